//! `mail`: the message and its parts.

use std::sync::Arc;

use postroom_mail::header::{HeaderAddress, HeaderBlock};
use postroom_mail::octets::read_range;
use postroom_mail::rules::{clean_filename, safe_filename};
use postroom_mail::structure::Node;

use crate::blob::Blob;
use crate::call::Call;
use crate::message::{Message, ReadError};
use crate::refusal::Breach;

/// Octets of text `body` returns at most.
const BODY_CAP: u32 = 8 << 20;
/// Values of one field's name.
const VALUES: usize = 1000;
/// Octets of a part's own header that are looked at.
const PART_HEADER: u64 = 64 << 10;

/// Which text of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Text {
    /// `text/plain`.
    Plain,
    /// `text/html`.
    Html,
}

/// What a plugin reads of the header. Each fails only with the storage.
#[allow(clippy::missing_errors_doc, reason = "said once, above")]
impl Message {
    /// The unique-id; `None` of a server without.
    pub fn uidl(&self) -> Option<String> {
        Some(self.provenance().uid.to_string()).filter(|uid| !uid.is_empty())
    }

    /// When it was retrieved, milliseconds since 1970 UTC.
    pub fn received_ms(&self) -> u64 {
        u64::try_from(self.provenance().retrieved.0).unwrap_or(0)
    }

    /// The first field of that name: unfolded, decoded.
    pub fn field(&self, name: &str) -> Result<Option<String>, Breach> {
        Ok(self.header()?.first(name))
    }

    /// All fields of that name.
    pub fn fields(&self, name: &str) -> Result<Vec<String>, Breach> {
        let mut values = self.header()?.all(name);
        values.truncate(VALUES);
        Ok(values)
    }

    /// All fields of that name as they are on the wire.
    pub fn raw_fields(&self, name: &str) -> Result<Vec<Vec<u8>>, Breach> {
        let mut values = self.header()?.raw(name);
        values.truncate(VALUES);
        Ok(values)
    }

    /// The mailboxes in the fields of that name.
    pub fn addresses(&self, name: &str) -> Result<Vec<HeaderAddress>, Breach> {
        let mut found = self.header()?.addresses(name);
        found.truncate(VALUES);
        Ok(found)
    }

    /// The Date field, milliseconds since 1970 UTC.
    pub fn date_ms(&self) -> Result<Option<i64>, Breach> {
        Ok(self.header()?.date().map(|date| date.0))
    }

    /// A leaf that a plugin holds.
    pub fn part(&self, leaf: usize) -> Result<&Node, Breach> {
        self.node(leaf)?.ok_or_else(gone)
    }

    /// Its file name made one safe path component.
    pub fn safe_filename(&self, leaf: usize) -> Result<String, Breach> {
        let node = self.part(leaf)?;
        Ok(safe_filename(node.filename.as_deref(), &node.content_type, &node.path))
    }

    /// All fields of that name in the part's own header, as they are on the wire.
    pub fn part_raw_fields(&self, leaf: usize, name: &str) -> Result<Vec<Vec<u8>>, Breach> {
        let node = self.part(leaf)?;
        let len = (node.body_start - node.header_start).min(PART_HEADER) as usize;
        let block = read_range(&**self.octets(), node.header_start, len).map_err(ReadError::Storage)?;
        let mut values = HeaderBlock::parse(&block).raw(name);
        values.truncate(VALUES);
        Ok(values)
    }

    /// Whether a leaf is anything but the message's own text.
    pub fn is_attachment(&self, leaf: usize) -> Result<bool, Breach> {
        Ok(self.structure()?.is_attachment(self.part(leaf)?))
    }

    /// Whether a leaf is shown inside the text.
    pub fn is_inline(&self, leaf: usize) -> Result<bool, Breach> {
        Ok(self.structure()?.is_inline(self.part(leaf)?))
    }
}

impl Call {
    /// Any name made one safe path component, numbered when it is a further copy.
    pub fn safe_filename(&mut self, name: &str, octets: u32, copy: u32) -> String {
        clean_filename(name, octets as usize, copy)
    }

    /// The leaves of a message, or those that are attachments.
    ///
    /// # Errors
    /// When the storage fails, or the parser cannot be run now.
    pub fn leaves(&mut self, message: &Message, attachments: bool) -> Result<Vec<usize>, Breach> {
        self.parsed(message)?;
        let mut leaves = Vec::new();
        for leaf in 0..message.leaf_count()? {
            if !attachments || message.is_attachment(leaf)? {
                leaves.push(leaf);
            }
        }
        Ok(leaves)
    }

    /// The first text of that kind, at most `max` octets of it.
    ///
    /// # Errors
    /// When the storage fails, or the parser cannot be run now.
    pub fn body(&mut self, message: &Message, kind: Text, max: u32) -> Result<Option<String>, Breach> {
        self.parsed(message)?;
        let content_type = match kind {
            Text::Plain => "text/plain",
            Text::Html => "text/html",
        };
        Ok(message.text(content_type, max.min(BODY_CAP) as usize)?)
    }

    /// The decoded content of a leaf. Decoding it for the first time is not charged: it is kept for all steps.
    ///
    /// # Errors
    /// When the storage fails or there is no time left.
    pub fn part_content(&mut self, message: &Message, leaf: usize) -> Result<Arc<Blob>, Breach> {
        let node = message.part(leaf)?;
        let is_free = !message.has_content(leaf) && message.is_free(node.body_end - node.body_start);
        let content = match is_free {
            true => self.meter.uncharged(|| message.content(leaf)),
            false => message.content(leaf),
        }?;
        self.meter.check()?;
        content.ok_or_else(gone)
    }

    /// Labels of earlier steps and of this one.
    pub fn labels(&mut self) -> Vec<String> {
        let Ok(work) = self.work() else { return Vec::new() };
        work.earlier.iter().chain(&work.queue.labels).map(|label| label.as_str().to_owned()).collect()
    }

    /// Finds the structure. That is not charged to the plugin that happens to ask first.
    fn parsed(&mut self, message: &Message) -> Result<(), Breach> {
        if !message.is_parsed() {
            self.meter.uncharged(|| message.structure().map(drop))?;
        }
        if !self.told_flaws && !message.flaws().is_empty() {
            self.told_flaws = true;
            self.log.emit("warn", &format!("the message is flawed: {}", message.flaws().join("; ")), &[]);
        }
        Ok(())
    }
}

fn gone() -> Breach {
    Breach::Host("a part is gone".to_owned())
}
