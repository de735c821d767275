//! The chain of lines and heads, held against itself, the signatures, and what the state remembers.

use std::io;
use std::ops::Range as Numbers;

use postroom_mail::Digest;

use super::damage::{Damage, DamageKind};
use super::{Report, Verification};
use crate::manifest::{Book, Day, Line, ORIGIN, Signed};

/// Follows the lines of one manifest.
pub(super) struct Chain<'a> {
    of: &'a Verification<'a>,
    report: &'a mut Report,
    /// The number that comes next.
    next: u64,
    /// The digest of the line before; `None` when that line is known to be wrong.
    before: Option<Digest>,
    /// Where the line before stands.
    at: Option<(Day, u64)>,
    /// Numbers that were passed over, and where.
    gaps: Vec<(Numbers<u64>, Day, u64)>,
    /// The head before, of which day.
    head: Option<(Day, Option<Digest>)>,
    /// The number of the last line that a head signs.
    signed: u64,
}

impl<'a> Chain<'a> {
    pub(super) fn new(of: &'a Verification<'a>, report: &'a mut Report) -> Self {
        Self { of, report, next: 1, before: Some(ORIGIN), at: None, gaps: Vec::new(), head: None, signed: 0 }
    }

    pub(super) fn follow(mut self, book: &Book) -> io::Result<()> {
        let (days, heads) = (book.days()?, book.heads()?);
        let mut all: Vec<Day> = days.iter().chain(&heads).copied().collect();
        all.sort();
        all.dedup();
        let last = all.last().copied();
        if self.of.keys.is_empty() && !heads.is_empty() {
            let text = "no key is known to check signatures with; give it with --key".to_owned();
            self.report.warnings.push(Damage::new(DamageKind::KeyUnknown, text));
        }
        if let Some(from) = self.of.range.from {
            self.begin_after(book, all.iter().copied().rfind(|day| *day < from), &days)?;
        }
        for day in all.into_iter().filter(|day| self.of.range.has(*day)) {
            let signed = self.head_of(book, day, Some(day) == last)?;
            match days.contains(&day) {
                true => {
                    self.report.days += 1;
                    self.day(book, day, signed.as_ref())?;
                }
                false => self.missing(day, signed.as_ref()),
            }
            self.head = Some((day, signed.map(|signed| signed.hash)));
        }
        for name in book.cuts()? {
            let text = format!("what a crash left of lines was cut off and is kept in {name}");
            self.report.warnings.push(Damage::new(DamageKind::CutKept, text));
        }
        self.ends();
        Ok(())
    }

    /// The chain goes on from the last line of the day before the first that is asked for.
    fn begin_after(&mut self, book: &Book, before: Option<Day>, days: &[Day]) -> io::Result<()> {
        let Some(day) = before else { return Ok(()) };
        let head = book.head(day)?.and_then(|octets| Signed::read(&octets).ok());
        self.head = Some((day, head.as_ref().map(|signed| signed.hash)));
        let mut last = None;
        if days.contains(&day) {
            for line in book.lines(day)? {
                last = Some(line?.0);
            }
        }
        match (last.map(|octets| (Line::read(&octets), Digest::of(&octets))), head) {
            (Some((Ok(line), digest)), _) => (self.next, self.before) = (line.seq + 1, Some(digest)),
            (_, Some(signed)) => {
                (self.next, self.before) = (signed.head.seq + 1, Some(signed.head.last));
            }
            (_, None) => self.before = None,
        }
        self.at = Some((day, 0));
        Ok(())
    }

    /// The head of a day, as far as it can be believed.
    fn head_of(&mut self, book: &Book, day: Day, is_last: bool) -> io::Result<Option<Signed>> {
        let mut damaged = |kind, text: String| {
            self.report.damage.push(Damage::new(kind, text).at(day, None, None));
        };
        let Some(octets) = book.head(day)? else {
            // The last day is signed when it is over, or the host stops.
            if !is_last {
                damaged(DamageKind::HeadMissing, format!("the head of {day} is gone"));
            }
            return Ok(None);
        };
        let signed = match Signed::read(&octets) {
            Ok(signed) => signed,
            Err(why) => {
                damaged(DamageKind::HeadMissing, format!("the head of {day} cannot be read: {why}"));
                return Ok(None);
            }
        };
        if !self.of.keys.is_empty() && !signed.is_by(self.of.keys) {
            damaged(
                DamageKind::BadSignature,
                format!(
                    "the signature of the head of {day} is not by a key that counts, or the head was changed"
                ),
            );
            return Ok(None);
        }
        if signed.head.day != day || signed.head.sink != *self.of.sink.name() {
            let (of, sink) = (signed.head.day, &signed.head.sink);
            damaged(DamageKind::HeadDiffers, format!("the head of {day} is that of {of} of sink {sink}"));
            return Ok(None);
        }
        if !is_last && !signed.head.closed {
            damaged(DamageKind::HeadDiffers, format!("{day} is over, and its head does not say so"));
        }
        self.follows_the_head_before(day, &signed);
        self.report.signed = Some(day);
        self.signed = self.signed.max(signed.head.seq);
        Ok(Some(signed))
    }

    fn follows_the_head_before(&mut self, day: Day, signed: &Signed) {
        let (Some(previous), at) = (&signed.head.previous, self.head) else { return };
        match at {
            Some((before, hash)) if before == previous.day => {
                if let Some(hash) = hash.filter(|hash| *hash != previous.hash) {
                    let text = format!("the head of {before} is another than the one that {day} follows");
                    let damage = Damage::new(DamageKind::HeadDiffers, text).at(before, None, None);
                    self.report.damage.push(damage.instead(previous.hash, hash));
                }
            }
            _ => {
                let gone = previous.day;
                let text = format!("{gone} is missing, lines and head: the head of {day} follows it");
                self.report.damage.push(Damage::new(DamageKind::DayMissing, text).at(gone, None, None));
                // Its lines are told with it.
                self.before = None;
                self.next = signed.head.seq + 1 - signed.head.lines;
            }
        }
    }

    /// A day that has a head and no lines.
    fn missing(&mut self, day: Day, signed: Option<&Signed>) {
        let text = format!("the lines of {day} are missing: the file {} is gone", day.lines());
        self.report.damage.push(Damage::new(DamageKind::DayMissing, text).at(day, None, None));
        match signed {
            Some(signed) => (self.next, self.before) = (signed.head.seq + 1, Some(signed.head.last)),
            None => self.before = None,
        }
        self.at = Some((day, 0));
    }

    fn day(&mut self, book: &Book, day: Day, signed: Option<&Signed>) -> io::Result<()> {
        let mut count = 0;
        for (number, line) in (1..).zip(book.lines(day)?) {
            let (octets, whole) = line?;
            if !whole && octets.len() < 60_000 {
                let text = format!(
                    "line {number} of {day} has no end: it is being written, or was torn; the host mends it"
                );
                let damage = Damage::new(DamageKind::LineTorn, text).at(day, Some(number), None);
                self.report.warnings.push(damage);
                continue;
            }
            count += 1;
            let digest = Digest::of(&octets);
            self.report.last = Some(digest);
            match Line::read(&octets) {
                Ok(line) => self.line(day, number, &line, digest, signed),
                Err(why) => {
                    self.edited(day, number, Some(self.next), &format!("it cannot be read: {why}"));
                    (self.next, self.before) = (self.next + 1, None);
                }
            }
            self.at = Some((day, number));
        }
        self.report.lines += count;
        if let Some(signed) = signed {
            self.day_ends(day, count, signed);
        }
        Ok(())
    }

    fn line(&mut self, day: Day, number: u64, line: &Line, digest: Digest, signed: Option<&Signed>) {
        let seq = line.seq;
        if seq < self.next {
            self.out_of_order(day, number, seq);
            return;
        }
        if seq > self.next {
            self.gaps.push((self.next..seq, day, number));
        } else if self.before.is_some_and(|before| before != line.prev) {
            self.does_not_follow(day, number, line);
        }
        let head = signed.filter(|signed| signed.head.seq == seq);
        let changed = head.filter(|signed| signed.head.last != digest);
        if let Some(signed) = changed {
            let damage = Damage::new(
                DamageKind::LineEdited,
                format!("line {number} of {day} was changed: the head signs another"),
            );
            let damage = damage.at(day, Some(number), Some(seq)).instead(signed.head.last, digest);
            self.report.damage.push(damage);
        }
        (self.next, self.before) = (seq + 1, changed.is_none().then_some(digest));
    }

    /// A number that was passed over, or one that was there.
    fn out_of_order(&mut self, day: Day, number: u64, seq: u64) {
        let gap = self.gaps.iter().position(|(gap, ..)| gap.contains(&seq));
        let (kind, text) = match gap {
            Some(at) => {
                let (gap, on, line) = self.gaps.swap_remove(at);
                self.gaps.extend([(gap.start..seq, on, line), (seq + 1..gap.end, on, line)]);
                self.gaps.retain(|(gap, ..)| !gap.is_empty());
                let text = format!("line {number} of {day} stands at another place than it was written at");
                (DamageKind::LineReordered, text)
            }
            None => (
                DamageKind::LineDoubled,
                format!("line {number} of {day} has a number that another line has"),
            ),
        };
        self.report.damage.push(Damage::new(kind, text).at(day, Some(number), Some(seq)));
    }

    /// The numbers fit and the digests do not: the line before is another than it was.
    fn does_not_follow(&mut self, day: Day, number: u64, line: &Line) {
        let (on, at) = self.at.unwrap_or((day, number));
        let why = format!("line {number} of {day} follows another");
        self.edited(on, at, Some(line.seq.saturating_sub(1)), &why);
        if let (Some(damage), Some(before)) = (self.report.damage.last_mut(), self.before) {
            *damage = damage.clone().instead(line.prev, before);
        }
    }

    fn edited(&mut self, day: Day, number: u64, seq: Option<u64>, why: &str) {
        let text = format!("line {number} of {day} was changed: {why}");
        let line = Some(number).filter(|number| *number > 0);
        self.report.damage.push(Damage::new(DamageKind::LineEdited, text).at(day, line, seq));
    }

    /// Whether the head's end is the file's.
    fn day_ends(&mut self, day: Day, count: u64, signed: &Signed) {
        let head = &signed.head;
        if head.seq >= self.next {
            // Lines at the end of the day are gone.
            self.gaps.push((self.next..head.seq + 1, day, count + 1));
            (self.next, self.before) = (head.seq + 1, Some(head.last));
        } else if head.closed && self.next > head.seq + 1 {
            let text = format!("{day} has lines after the ones that were signed when it was over");
            let damage = Damage::new(DamageKind::HeadDiffers, text).at(day, Some(count), None);
            self.report.damage.push(damage.instead(head.seq, self.next - 1));
        }
    }

    fn ends(mut self) {
        if self.of.range.to.is_none() {
            self.ends_as_remembered();
        }
        for (gap, day, line) in std::mem::take(&mut self.gaps) {
            let count = gap.end - gap.start;
            let which = match count {
                1 => format!("line {} of the chain is missing", gap.start),
                _ => format!("lines {} to {} of the chain are missing", gap.start, gap.end - 1),
            };
            let text = format!("{which}, before line {line} of {day}");
            let damage = Damage::new(DamageKind::LineRemoved, text);
            self.report.damage.push(damage.at(day, Some(line), Some(gap.start)));
        }
        self.report.unsigned = (self.next - 1).saturating_sub(self.signed);
    }

    /// What the state remembers is at least there.
    fn ends_as_remembered(&mut self) {
        let Some(standing) = self.of.standing.filter(|standing| standing.seq > 0) else { return };
        let day = standing.day.or(self.at.map(|(day, _)| day));
        let Some(day) = day else { return };
        if standing.seq >= self.next {
            let ends_there = self.at.is_some_and(|(last, _)| last == day);
            match ends_there {
                true => {
                    let line = self.at.map_or(1, |(_, line)| line + 1);
                    self.gaps.push((self.next..standing.seq + 1, day, line));
                }
                false => {
                    let text = format!("{day} is missing, lines and head: the state remembers its last line");
                    let damage = Damage::new(DamageKind::DayMissing, text).at(day, None, Some(self.next));
                    self.report.damage.push(damage);
                }
            }
        } else if standing.seq + 1 == self.next
            && let (Some(hash), Some(before), Some((on, line))) = (standing.hash, self.before, self.at)
            && hash != before
        {
            self.edited(on, line, Some(standing.seq), "the state remembers another");
        }
    }
}
