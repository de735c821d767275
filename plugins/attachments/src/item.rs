//! One thing that may become a file: a part of the message, or something that was inside of one.

use std::cell::OnceCell;

use postroom_mime::names::{self, FileName};
use postroom_sdk::prelude::*;

use crate::flag::Flag;

/// Octets that tell a type.
const HEAD: u32 = 4096;

/// What a thing is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// The text of this message, or of one inside of it.
    Text,
    /// The text of a message as its container has it, beside its files.
    Body,
    /// Anything else.
    File,
}

/// Where the octets are.
#[derive(Debug)]
pub(crate) enum Source {
    /// A part of the message; decoded by the host.
    Part(Part),
    /// A view of a part.
    Blob(Blob),
    /// Decoded here.
    Octets(Vec<u8>),
    /// It could not be had, and why.
    None(String),
}

/// One thing.
#[derive(Debug)]
pub(crate) struct Item {
    /// Place in the message: "1.2"; inside of another, that one's, a plus and a place there: "1.2+3".
    pub(crate) path: String,
    /// Declared type.
    pub(crate) declared: String,
    pub(crate) role: Role,
    pub(crate) disposition: Option<String>,
    pub(crate) content_id: Option<String>,
    pub(crate) flags: Vec<Flag>,
    /// How many containers it stood in.
    pub(crate) depth: u32,
    /// Its parts are in the list already.
    pub(crate) is_listed: bool,
    pub(crate) source: Source,
    name: OnceCell<Option<FileName>>,
    blob: OnceCell<Blob>,
    head: OnceCell<Vec<u8>>,
}

impl Item {
    pub(crate) fn of_part(part: Part) -> Self {
        let role = if part.is_attachment() { Role::File } else { Role::Text };
        let (path, declared) = (part.path(), part.content_type());
        let mut item = Self { role, declared, ..Self::new(path, Source::Part(part), 0) };
        item.note_type();
        item
    }

    pub(crate) fn new(path: String, source: Source, depth: u32) -> Self {
        Self {
            path,
            declared: "application/octet-stream".to_owned(),
            role: Role::File,
            disposition: None,
            content_id: None,
            flags: Vec::new(),
            depth,
            is_listed: false,
            source,
            name: OnceCell::new(),
            blob: OnceCell::new(),
            head: OnceCell::new(),
        }
    }

    pub(crate) fn named(self, text: Option<String>, raw: &[u8]) -> Self {
        let name =
            text.filter(|text| !text.trim().is_empty()).map(|text| FileName { text, raw: raw.to_vec() });
        Self { name: OnceCell::from(name), ..self }
    }

    pub(crate) fn typed(mut self, declared: &str) -> Self {
        declared.clone_into(&mut self.declared);
        self.note_type();
        self
    }

    pub(crate) fn flagged(mut self, flag: Flag, is_so: bool) -> Self {
        if is_so {
            self.flag(flag);
        }
        self
    }

    pub(crate) fn flag(&mut self, flag: Flag) {
        if !self.flags.contains(&flag) {
            self.flags.push(flag);
        }
    }

    /// What the declared type alone says.
    fn note_type(&mut self) {
        match self.declared.as_str() {
            "message/partial" => self.flag(Flag::Partial),
            "message/external-body" => self.flag(Flag::External),
            "application/pgp-encrypted" => self.flag(Flag::Encrypted),
            "application/pgp-signature" | "application/pkcs7-signature" | "application/x-pkcs7-signature" => {
                self.flag(Flag::Signature);
            }
            _ => {}
        }
    }

    /// The sender's name, decoded.
    pub(crate) fn name(&self) -> Option<String> {
        match (&self.source, self.name.get()) {
            (_, Some(name)) => name.as_ref().map(|name| name.text.clone()),
            (Source::Part(part), None) => part.filename().filter(|name| !name.trim().is_empty()),
            (_, None) => None,
        }
    }

    /// The sender's name as it was written.
    pub(crate) fn raw_name(&self) -> Option<Vec<u8>> {
        let name = self.name.get_or_init(|| match &self.source {
            Source::Part(part) => {
                let first = |name| part.header_raw(name).into_iter().next().unwrap_or_default();
                names::of(&first("content-disposition"), &first("content-type"))
            }
            Source::Blob(_) | Source::Octets(_) | Source::None(_) => None,
        });
        name.as_ref().map(|name| name.raw.clone())
    }

    pub(crate) fn disposition(&self) -> Option<String> {
        match &self.source {
            Source::Part(part) => {
                let value = part.header_raw("content-disposition").into_iter().next()?;
                let word = value.split(|octet| *octet == b';').next().unwrap_or_default().trim_ascii();
                Some(String::from_utf8_lossy(word).to_ascii_lowercase()).filter(|word| !word.is_empty())
            }
            Source::Blob(_) | Source::Octets(_) | Source::None(_) => self.disposition.clone(),
        }
    }

    pub(crate) fn content_id(&self) -> Option<String> {
        match &self.source {
            Source::Part(part) => part.content_id(),
            Source::Blob(_) | Source::Octets(_) | Source::None(_) => self.content_id.clone(),
        }
    }

    pub(crate) fn size(&self) -> u64 {
        match &self.source {
            Source::Part(part) => part.size(),
            Source::Blob(blob) => blob.size(),
            Source::Octets(octets) => octets.len() as u64,
            Source::None(_) => 0,
        }
    }

    /// Its octets in the host, when they are there.
    pub(crate) fn blob(&self) -> Result<Option<&Blob>, Fault> {
        match &self.source {
            Source::Blob(blob) => Ok(Some(blob)),
            Source::Octets(_) | Source::None(_) => Ok(None),
            Source::Part(part) => {
                if self.blob.get().is_none() {
                    let _ = self.blob.set(part.content()?);
                }
                Ok(self.blob.get())
            }
        }
    }

    /// At most so many octets from its start.
    pub(crate) fn start(&self, most: u32) -> Result<Vec<u8>, Fault> {
        match (&self.source, self.blob()?) {
            (Source::Octets(octets), _) => Ok(octets[..octets.len().min(most as usize)].to_vec()),
            (_, Some(blob)) => blob.read(0, most),
            (_, None) => Ok(Vec::new()),
        }
    }

    /// All octets, when they are no more than `most`.
    pub(crate) fn all(&self, most: u64) -> Result<Option<Vec<u8>>, Fault> {
        match (&self.source, self.blob()?) {
            (Source::Octets(octets), _) => Ok(Some(octets.clone())),
            (_, Some(blob)) if blob.size() <= most => blob.read_all(most).map(Some),
            (_, _) => Ok(None),
        }
    }

    /// The octets that tell its type; empty when they cannot be had.
    pub(crate) fn head(&self) -> &[u8] {
        self.head.get_or_init(|| self.start(HEAD).unwrap_or_default())
    }

    /// The type that the content shows, and its extension.
    pub(crate) fn sniffed(&self) -> Option<(&'static str, &'static str)> {
        // A message has no mark of its own: whoever wrote it says so.
        if matches!(self.declared.as_str(), "message/rfc822" | "message/global") {
            return Some(("message/rfc822", "eml"));
        }
        if self.head().get(..15).is_some_and(|head| head.eq_ignore_ascii_case(b"BEGIN:VCALENDAR")) {
            return Some(("text/calendar", "ics"));
        }
        // CMS has no mark that tells it from numbers.
        if self.declared.contains("pkcs7-") {
            return None;
        }
        let found = infer::get(self.head()).map(|found| (found.mime_type(), found.extension()));
        // Anything in DER or PEM would be one: keys, signatures, what is encrypted.
        found.filter(|(found, _)| *found != "application/x-x509-ca-cert")
    }
}
