//! Whether a manifest and the objects it names are as they were written. Reads only; memory does not grow with the octets,
//! and by 8 octets for each object.

mod chain;
mod damage;
mod objects;
#[cfg(test)]
mod tests;

use std::io;
use std::path::Path;

use futures::stream::{self, StreamExt as _};
use postroom_mail::{Digest, Name};
use serde::Serialize;

use self::chain::Chain;
use self::objects::Known;
use super::{Book, Day, Kind, Line, PublicKeys, SigningKey, Standing};
use crate::sinks::{DeliveryError, ManifestPlace, Sink};

pub use damage::{Damage, DamageKind};
pub use objects::{Examined, Examiner, read_back};

/// So many objects are read at once.
const AT_ONCE: usize = 8;

/// Which days, and how much of their objects.
#[derive(Clone, Copy, Debug, Default)]
pub struct Range {
    /// The first day.
    pub from: Option<Day>,
    /// The last day.
    pub to: Option<Day>,
    /// Of so many objects in a hundred; of all when not given.
    pub sample: Option<f64>,
    /// Decides which those are.
    pub seed: u64,
}

impl Range {
    fn has(&self, day: Day) -> bool {
        self.from.is_none_or(|from| from <= day) && self.to.is_none_or(|to| day <= to)
    }

    /// Whether nothing is left out.
    fn is_whole(&self) -> bool {
        self.from.is_none() && self.to.is_none()
    }

    fn samples(&self, line: &Line) -> bool {
        let Some(percent) = self.sample else { return true };
        let digest = Digest::of_parts("sample/1", &[&self.seed.to_be_bytes(), &line.seq.to_be_bytes()]);
        let [a, b, c, d, ..] = digest.0;
        f64::from(u32::from_be_bytes([a, b, c, d])) < percent / 100.0 * f64::from(u32::MAX)
    }
}

/// What was found of one sink.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The sink.
    pub sink: Name,
    /// Days that have lines, of those asked for.
    pub days: u64,
    /// Their lines.
    pub lines: u64,
    /// The digest of the last line of all.
    pub last: Option<Digest>,
    /// The day whose head was found last.
    pub signed: Option<Day>,
    /// Lines after that head, which nothing signs yet.
    pub unsigned: u64,
    /// Objects that were read back.
    pub objects: u64,
    /// Their octets, as they are stored.
    pub octets: u64,
    /// What is not as it was.
    pub damage: Vec<Damage>,
    /// What is odd, and proves no damage.
    pub warnings: Vec<Damage>,
}

/// Told while it goes on.
#[derive(Clone, Copy, Debug)]
pub enum Progress {
    /// So many lines are to be followed by their objects.
    Lines(u64),
    /// One more object was read.
    Object,
}

/// One manifest, and what it is held against.
pub struct Verification<'a> {
    /// The sink.
    pub sink: &'a Sink,
    /// Where its manifest is.
    pub place: &'a ManifestPlace,
    /// Whose signatures count, when any is known.
    pub keys: &'a PublicKeys,
    /// What the state remembers.
    pub standing: Option<&'a Standing>,
    /// What is looked at.
    pub range: Range,
}

/// Why a verification could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Unverified {
    /// The manifest cannot be read.
    #[error("the manifest cannot be read: {0}")]
    Book(#[from] io::Error),
    /// The sink does not list its objects.
    #[error(transparent)]
    Sink(#[from] DeliveryError),
}

impl Verification<'_> {
    /// Makes it.
    ///
    /// # Errors
    /// When manifest or sink cannot be read at all; what is damaged is in the report.
    pub async fn make(&self, told: &(dyn Fn(Progress) + Sync)) -> Result<Report, Unverified> {
        let mut report = Report {
            sink: self.sink.name().clone(),
            days: 0,
            lines: 0,
            last: None,
            signed: None,
            unsigned: 0,
            objects: 0,
            octets: 0,
            damage: Vec::new(),
            warnings: Vec::new(),
        };
        let Some(book) = Book::open(self.place, false)? else {
            if self.standing.is_some_and(|standing| standing.seq > 0) {
                report.damage.push(Damage::manifest_gone(&self.place.path()));
            }
            return Ok(report);
        };
        Chain::new(self, &mut report).follow(&book)?;
        told(Progress::Lines(report.lines));
        let known = self.objects(&book, &mut report, told).await?;
        if self.range.is_whole() {
            self.unlisted(&known, &mut report).await?;
        }
        report.damage.sort_by_key(|damage| (damage.seq, damage.line));
        Ok(report)
    }

    /// Reads back what the lines name.
    async fn objects(
        &self,
        book: &Book,
        report: &mut Report,
        told: &(dyn Fn(Progress) + Sync),
    ) -> Result<Known, Unverified> {
        let mut known = Known::default();
        for day in book.days()?.into_iter().filter(|day| self.range.has(*day)) {
            let lines = book.lines(day)?.zip(1..).filter_map(|(line, number)| match line {
                Err(error) => Some(Err(error)),
                // What cannot be read was told already.
                Ok((octets, _)) => Line::read(&octets).ok().map(|line| Ok((line, number))),
            });
            let mut wanted = Vec::new();
            for line in lines {
                let (line, number) = line?;
                match line.kind {
                    Kind::Stored => known.add(&line.key),
                }
                if self.range.samples(&line) {
                    wanted.push((line, number));
                }
                if wanted.len() >= 1024 {
                    self.examine(day, std::mem::take(&mut wanted), report, told).await;
                }
            }
            self.examine(day, wanted, report, told).await;
        }
        Ok(known.sorted())
    }

    async fn examine(
        &self,
        day: Day,
        lines: Vec<(Line, u64)>,
        report: &mut Report,
        told: &(dyn Fn(Progress) + Sync),
    ) {
        let examined = stream::iter(lines).map(|(line, number)| async move {
            let found = objects::examine(self.sink, &line, io::sink()).await;
            (line, number, found)
        });
        let mut examined = examined.buffer_unordered(AT_ONCE);
        while let Some((line, number, found)) = examined.next().await {
            report.objects += 1;
            told(Progress::Object);
            match found {
                Ok(found) => {
                    report.octets += found.stored_size;
                    report.damage.extend(damage::of_object(day, number, &line, &found));
                }
                Err(missing) => report.damage.push(missing.of(day, number, &line)),
            }
        }
    }

    async fn unlisted(&self, known: &Known, report: &mut Report) -> Result<(), Unverified> {
        let mut keys = self.sink.keys();
        while let Some(key) = keys.next().await {
            let key = key?;
            if !known.has(&key) {
                report.warnings.push(Damage::unlisted(key));
            }
        }
        Ok(())
    }
}

/// Keys whose signatures count for a state: its own, if it has one, and those given.
///
/// # Errors
/// When one of those given is none.
pub fn keys_of(state: &Path, given: &[String]) -> Result<PublicKeys, String> {
    let mut keys = PublicKeys::default();
    if let Ok(own) = SigningKey::read(state) {
        keys.add(&own.public())?;
    }
    given.iter().try_for_each(|key| keys.add(key).map_err(|problem| format!("{key:?}: {problem}")))?;
    Ok(keys)
}
