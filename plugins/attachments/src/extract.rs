//! One message: its parts, what is inside of them, and what becomes of each. Walks with a stack of its own: containers in
//! containers must not become recursion.

use std::collections::BTreeSet;

use postroom_sdk::prelude::*;

use crate::flag::Flag;
use crate::item::{Item, Role, Source};
use crate::manifest::Manifest;
use crate::name::Keys;
use crate::settings::{self, OnPartial, Opened, Settings};
use crate::{choice, decoration, name, open};

pub(crate) const DEFAULT_KEY: &str = "{account}/{date:%Y-%m}/{filename}";
/// The mark of a message of which not everything was taken out.
const PARTIAL: &str = "attachments-partial";
/// Longest name kept beside the content, octets.
const META_OCTETS: usize = 200;
/// Octets of HTML of one message that are looked at.
const HTML_OCTETS: u64 = 4 << 20;
/// Octets that cross to the host at once.
const WRITE_OCTETS: usize = 1 << 20;

/// What is left of the budget.
#[derive(Debug)]
pub(crate) struct Room {
    pub(crate) parts: usize,
    pub(crate) octets: u64,
    made: u64,
    files: usize,
}

impl Room {
    pub(crate) fn left(&self) -> usize {
        usize::try_from(self.octets).unwrap_or(usize::MAX)
    }
}

/// What became of a thing.
pub(crate) enum Fate {
    Stored { written: String, key: String },
    Skipped(String),
}

/// What is still to be done, the next last.
enum Visit {
    /// A thing to decide on.
    Thing(Item),
    /// A container that was opened whole, when all that was in it has been decided on.
    Container(Opening),
}

/// A container whose own fate depends on what was in it.
struct Opening {
    item: Item,
    /// How much had been left out when it was opened.
    left_out: usize,
    /// Where it stands in the manifest.
    at: usize,
}

struct Extraction<'m> {
    message: &'m Message<'m>,
    settings: &'m Settings,
    key: PartTemplate,
    room: Room,
    keys: Keys,
    /// Ids that a text shows; of the host's parts only when they were asked for.
    shown: BTreeSet<String>,
    has_text: bool,
    partial: Option<String>,
    /// Things that are neither stored nor in a container that is.
    left_out: usize,
    manifest: Option<Manifest>,
}

/// Stores what is wanted.
pub(crate) fn extract(message: &Message, settings: &Settings) -> Result<(), Failure> {
    let key = match &settings.key {
        Some(key) => key.clone(),
        None => PartTemplate::parse(DEFAULT_KEY).map_err(Failure::permanent)?,
    };
    let budget = &settings.budget;
    let room =
        Room { parts: budget.parts, octets: budget.octets.0, made: budget.made.0, files: budget.files };
    let manifest = match &settings.manifest {
        settings::Manifest::No => None,
        settings::Manifest::Key(_) => Some(Manifest::default()),
    };
    let mut extraction = Extraction {
        message,
        settings,
        key,
        room,
        keys: Keys::default(),
        shown: BTreeSet::new(),
        has_text: false,
        partial: None,
        left_out: 0,
        manifest,
    };
    extraction.run()?;
    extraction.finish()
}

impl Extraction<'_> {
    fn run(&mut self) -> Result<(), Failure> {
        let mut stack: Vec<Visit> = self.parts()?.into_iter().rev().map(Visit::Thing).collect();
        while let Some(visit) = stack.pop() {
            match visit {
                Visit::Container(opening) => self.close(opening)?,
                Visit::Thing(_) if self.room.parts == 0 => {
                    let most = self.settings.budget.parts;
                    self.left_out += 1;
                    self.is_partial(format!("{most} parts, no more are looked at: budget.parts"));
                }
                Visit::Thing(item) => {
                    self.room.parts -= 1;
                    self.visit(item, &mut stack)?;
                }
            }
        }
        Ok(())
    }

    fn visit(&mut self, mut item: Item, stack: &mut Vec<Visit>) -> Result<(), Failure> {
        let (fate, inner) = self.decide(&mut item)?;
        let at = self.manifest.as_ref().map_or(0, Manifest::len);
        match fate {
            Some(fate) => self.told(&item, fate, at)?,
            None => {
                let left_out = self.left_out;
                stack.push(Visit::Container(Opening { item, left_out, at }));
            }
        }
        stack.extend(inner.into_iter().rev().map(Visit::Thing));
        Ok(())
    }

    /// What becomes of a container that was opened: it is stored itself when not everything in it could be.
    fn close(&mut self, Opening { mut item, left_out, at }: Opening) -> Result<(), Failure> {
        let fate = if self.left_out == left_out {
            Fate::Skipped("opened: what was in it follows; keep_opened = true would store it".to_owned())
        } else {
            // It stands for all that is missing, and there are only as many as there are parts.
            self.room.files += 1;
            let fate = self.judge(&mut item)?;
            if let Fate::Stored { .. } = fate {
                self.left_out = left_out;
            }
            fate
        };
        self.told(&item, fate, at)
    }

    /// The parts that the host found.
    fn parts(&mut self) -> Result<Vec<Item>, Failure> {
        let mut items: Vec<Item> = self.message.parts().into_iter().map(Item::of_part).collect();
        let messages: Vec<(usize, String)> = items
            .iter()
            .enumerate()
            .filter(|(_, item)| item.declared.starts_with("message/"))
            .map(|(index, item)| (index, format!("{}.", item.path)))
            .collect();
        for (index, below) in messages {
            for other in index + 1..items.len() {
                if items[other].path.starts_with(&below) {
                    items[other].flag(Flag::Nested);
                    items[index].is_listed = true;
                }
            }
        }
        self.has_text =
            items.iter().any(|item| item.role == Role::Text && !item.flags.contains(&Flag::Nested));
        // Content ids matter only where there is a picture with one.
        let has_picture =
            items.iter().any(|item| item.declared.starts_with("image/") && item.content_id().is_some());
        if has_picture && self.settings.inline != settings::Inline::Yes {
            self.look_for_shown(&items)?;
        }
        Ok(items)
    }

    fn look_for_shown(&mut self, items: &[Item]) -> Result<(), Failure> {
        let mut left = HTML_OCTETS;
        for item in items.iter().filter(|item| item.role != Role::File && item.declared == "text/html") {
            let html = item.start(decoration::LOOKED_AT.min(left) as u32)?;
            left -= html.len() as u64;
            decoration::collect(&html, &mut self.shown);
        }
        Ok(())
    }

    /// What becomes of a thing, and what was in it. No fate yet: what was in it decides.
    fn decide(&mut self, item: &mut Item) -> Result<(Option<Fate>, Vec<Item>), Failure> {
        if let Source::Part(part) = &item.source
            && (part.is_damaged() || item.path == "0")
        {
            item.flag(Flag::Damaged);
        }
        if item.path == "0" {
            item.flag(Flag::Truncated);
            self.is_partial(
                "the message has more parts than the host looks at, or none that make sense".to_owned(),
            );
        }
        let is_host_part = matches!(item.source, Source::Part(_));
        if is_host_part && item.flags.contains(&Flag::Nested) && !self.settings.open.contains(&Opened::Nested)
        {
            let reason = "inside of an attached message; open = [\"nested\"] would take it out".to_owned();
            return Ok((Some(Fate::Skipped(reason)), Vec::new()));
        }
        if let Source::None(reason) = &item.source {
            let reason = reason.clone();
            if item.flags.contains(&Flag::Truncated) || !reason.starts_with("a link") {
                self.is_partial(format!("{}: {reason}", item.path));
            }
            return Ok((Some(Fate::Skipped(reason)), Vec::new()));
        }
        note_encrypted(item);
        let contents = open::open(item, self.settings, &mut self.room)?;
        let mut inner = Vec::new();
        let mut was_opened_whole = false;
        if let Some(contents) = contents {
            was_opened_whole = contents.missing.is_none() && !contents.keep && !contents.items.is_empty();
            if let Some(missing) = contents.missing {
                self.is_partial(format!("{}: {missing}", item.path));
            }
            inner = contents.items;
            self.look_for_shown(&inner)?;
        }
        let fate = match item.role {
            Role::Text => Some(Fate::Skipped("text of the message".to_owned())),
            Role::Body if self.has_text => {
                Some(Fate::Skipped("a text; the message has one of its own".to_owned()))
            }
            Role::Body | Role::File if was_opened_whole && !self.settings.keep_opened => None,
            Role::Body | Role::File => Some(self.judge(item)?),
        };
        Ok((fate, inner))
    }

    /// Stores it, if it is wanted.
    fn judge(&mut self, item: &mut Item) -> Result<Fate, Failure> {
        let shown = &self.shown;
        match choice::unwanted(item, self.settings, |id| shown.contains(&decoration::key(id))) {
            Some(reason) => Ok(Fate::Skipped(reason)),
            None => self.store(item),
        }
    }

    fn store(&mut self, item: &mut Item) -> Result<Fate, Failure> {
        if self.room.files == 0 {
            return Ok(
                self.over(format!("{} files are stored, no more: budget.files", self.settings.budget.files))
            );
        }
        let made;
        let content = match (&item.source, item.blob()?) {
            (_, Some(blob)) => blob,
            (Source::Octets(octets), None) => match self.make(octets)? {
                Some(blob) => {
                    made = blob;
                    &made
                }
                None => {
                    return Ok(self.over(
                        "its octets are over budget.made, or the step's limit made-octets".to_owned(),
                    ));
                }
            },
            (_, None) => return Ok(Fate::Skipped("it cannot be read".to_owned())),
        };
        let wanted = name::name(item);
        let fallback = format!("part-{}", item.path);
        let (written, key) = self.keys.place(&wanted, &fallback, |filename| {
            self.key.render_named(self.message, filename, &item.path, content)
        });
        let mut storing = effects::store(&self.settings.sink, key, content)
            .content_type(&item.declared)
            .number_on_conflict()
            .meta("message", self.message.id())
            .meta("part", &item.path);
        if let Some(name) = item.name() {
            storing = storing.meta("filename", printable(&name));
        }
        match storing.queue() {
            Ok(key) => {
                self.room.files -= 1;
                Ok(Fate::Stored { written, key })
            }
            Err(Fault::Quota(text)) => Ok(self.over(format!("over a limit: {text}"))),
            Err(fault) => Err(fault.into()),
        }
    }

    /// Octets made here, in the host; `None` when they are too many.
    fn make(&mut self, octets: &[u8]) -> Result<Option<Blob>, Failure> {
        let Some(left) = self.room.made.checked_sub(octets.len() as u64) else { return Ok(None) };
        match written(octets) {
            Ok(blob) => {
                self.room.made = left;
                Ok(Some(blob))
            }
            Err(Fault::Quota(_)) => Ok(None),
            Err(fault) => Err(fault.into()),
        }
    }

    fn over(&mut self, reason: String) -> Fate {
        self.left_out += 1;
        self.is_partial(reason.clone());
        Fate::Skipped(reason)
    }

    fn is_partial(&mut self, reason: String) {
        self.partial.get_or_insert(reason);
    }

    /// Logs it, and writes it down at its place.
    fn told(&mut self, item: &Item, fate: Fate, at: usize) -> Result<(), Failure> {
        match &fate {
            Fate::Stored { key, .. } => {
                log::info("stored", &[("part", &item.path), ("key", key), ("octets", &item.size())]);
            }
            Fate::Skipped(reason) if item.role == Role::Text => {
                log::debug("skipped", &[("part", &item.path), ("reason", reason)]);
            }
            Fate::Skipped(reason) => {
                let name = name::name(item);
                log::info("skipped", &[("part", &item.path), ("name", &name), ("reason", reason)]);
            }
        }
        match &mut self.manifest {
            Some(manifest) => Ok(manifest.put(at, item, &fate)?),
            None => Ok(()),
        }
    }

    fn finish(mut self) -> Result<(), Failure> {
        if let (Some(manifest), settings::Manifest::Key(key)) =
            (self.manifest.take(), &self.settings.manifest)
            && manifest.has_files()
        {
            let text = manifest.text(self.message, self.partial.as_deref());
            self.store_manifest(&text, &key.render(self.message))?;
        }
        let Some(reason) = &self.partial else { return Ok(()) };
        log::warn("not everything was taken out", &[("reason", reason)]);
        match self.settings.on_partial {
            OnPartial::Label => effects::label(PARTIAL)?,
            OnPartial::Quarantine => effects::quarantine(&format!("attachments: {reason}"))?,
            OnPartial::Ignore => {}
        }
        Ok(())
    }

    fn store_manifest(&mut self, text: &str, key: &str) -> Result<(), Failure> {
        let stored = written(text.as_bytes()).and_then(|blob| {
            effects::store(&self.settings.sink, key, &blob)
                .content_type("application/json")
                .number_on_conflict()
                .meta("message", self.message.id())
                .queue()
        });
        match stored {
            Ok(_) => Ok(()),
            Err(Fault::Quota(text)) => {
                self.is_partial(format!("the manifest is over a limit: {text}"));
                Ok(())
            }
            Err(fault) => Err(fault.into()),
        }
    }
}

fn written(octets: &[u8]) -> Result<Blob, Fault> {
    let mut writer = Writer::new();
    octets.chunks(WRITE_OCTETS).try_for_each(|octets| writer.write(octets))?;
    writer.finish()
}

/// PGP: by name, and by the armour where the name or the type says that there may be one.
fn note_encrypted(item: &mut Item) {
    if item.role != Role::File || !item.declared.starts_with("application/") {
        return;
    }
    let extension =
        item.name().and_then(|name| name.rsplit_once('.').map(|(_, ext)| ext.to_ascii_lowercase()));
    let is_encrypted = match extension.as_deref() {
        Some("pgp" | "gpg") => true,
        Some("asc") => item.head().starts_with(b"-----BEGIN PGP MESSAGE-----"),
        _ => false,
    };
    if is_encrypted {
        item.flag(Flag::Encrypted);
    }
}

/// The sender's name, fit to be kept beside the content.
fn printable(name: &str) -> String {
    let mut kept = String::new();
    for ch in name.chars().filter(|ch| !ch.is_control()) {
        if kept.len() + ch.len_utf8() > META_OCTETS {
            break;
        }
        kept.push(ch);
    }
    kept
}
