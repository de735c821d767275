//! A mail as the host would present it, put together by hand.

use std::rc::Rc;

use super::hex_sha256;
use crate::message::{Address, BodyKind};

/// A mail to run a plugin over: `Mail::new().subject("Hi").attach("a.pdf", "application/pdf", b"%PDF")`.
///
/// It begins as a mail of account "home", unique id "0001", retrieved at 2026-11-24 10:00:00 UTC, with no field and no
/// part. The raw octets are put together from the fields and parts, unless [`raw`](Self::raw) gives them.
#[derive(Clone, Debug)]
pub struct Mail {
    account: String,
    uidl: Option<String>,
    received_ms: u64,
    date_ms: Option<i64>,
    headers: Vec<(String, String)>,
    parts: Vec<BenchPart>,
    labels: Vec<String>,
    raw: Option<Vec<u8>>,
}

impl Default for Mail {
    fn default() -> Self {
        Self::new()
    }
}

impl Mail {
    /// A mail with nothing in it.
    pub fn new() -> Self {
        Self {
            account: "home".to_owned(),
            uidl: Some("0001".to_owned()),
            received_ms: 1_795_514_400_000,
            date_ms: None,
            headers: Vec::new(),
            parts: Vec::new(),
            labels: Vec::new(),
            raw: None,
        }
    }

    /// The account it was retrieved for.
    #[must_use]
    pub fn account(mut self, name: &str) -> Self {
        self.account = name.to_owned();
        self
    }

    /// The server's unique id; `None` for a server without.
    #[must_use]
    pub fn uidl(mut self, uidl: Option<&str>) -> Self {
        self.uidl = uidl.map(str::to_owned);
        self
    }

    /// When it was retrieved, milliseconds since 1970 UTC.
    #[must_use]
    pub fn received_ms(mut self, ms: u64) -> Self {
        self.received_ms = ms;
        self
    }

    /// What its Date field says, milliseconds since 1970 UTC.
    #[must_use]
    pub fn date_ms(mut self, ms: i64) -> Self {
        self.date_ms = Some(ms);
        self
    }

    /// A field below the others, its value decoded and unfolded.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A From field: "Alice <alice@example.org>".
    #[must_use]
    pub fn from(self, value: &str) -> Self {
        self.header("From", value)
    }

    /// A To field.
    #[must_use]
    pub fn to(self, value: &str) -> Self {
        self.header("To", value)
    }

    /// A Subject field.
    #[must_use]
    pub fn subject(self, value: &str) -> Self {
        self.header("Subject", value)
    }

    /// The plain text.
    #[must_use]
    pub fn text(self, text: &str) -> Self {
        self.own_text("text/plain", text)
    }

    /// The HTML text.
    #[must_use]
    pub fn html(self, text: &str) -> Self {
        self.own_text("text/html", text)
    }

    fn own_text(mut self, content_type: &str, text: &str) -> Self {
        self.push(BenchPart {
            content_type: content_type.to_owned(),
            content: text.as_bytes().to_vec(),
            ..BenchPart::default()
        });
        self
    }

    /// An attachment; `filename` is what the sender wrote.
    #[must_use]
    pub fn attach(mut self, filename: &str, content_type: &str, content: &[u8]) -> Self {
        self.push(BenchPart {
            content_type: content_type.to_owned(),
            filename: Some(filename.to_owned()),
            disposition: Some("attachment"),
            attachment: true,
            content: content.to_vec(),
            ..BenchPart::default()
        });
        self
    }

    /// An attachment without a name.
    #[must_use]
    pub fn attach_unnamed(mut self, content_type: &str, content: &[u8]) -> Self {
        self.push(BenchPart {
            content_type: content_type.to_owned(),
            disposition: Some("attachment"),
            attachment: true,
            content: content.to_vec(),
            ..BenchPart::default()
        });
        self
    }

    /// Something shown inside the text, such as an image: declared inline, in a multipart/related with the text.
    #[must_use]
    pub fn inline(mut self, filename: &str, content_type: &str, content_id: &str, content: &[u8]) -> Self {
        self.push(BenchPart {
            content_type: content_type.to_owned(),
            filename: Some(filename.to_owned()),
            content_id: Some(content_id.to_owned()),
            disposition: Some("inline"),
            related: true,
            attachment: true,
            content: content.to_vec(),
            ..BenchPart::default()
        });
        self
    }

    /// A file declared inline that nothing refers to, beside the text in a multipart/mixed, as Apple Mail writes it.
    #[must_use]
    pub fn inline_file(mut self, filename: &str, content_type: &str, content: &[u8]) -> Self {
        self.push(BenchPart {
            content_type: content_type.to_owned(),
            filename: Some(filename.to_owned()),
            disposition: Some("inline"),
            attachment: true,
            content: content.to_vec(),
            ..BenchPart::default()
        });
        self
    }

    /// Gives the last part a content id, as Gmail does with every attachment.
    #[must_use]
    pub fn content_id(mut self, content_id: &str) -> Self {
        if let Some(part) = self.parts.last_mut() {
            part.content_id = Some(content_id.to_owned());
        }
        self
    }

    /// A label an earlier step set.
    #[must_use]
    pub fn label(mut self, name: &str) -> Self {
        self.labels.push(name.to_owned());
        self
    }

    /// The octets as they came, instead of ones put together.
    #[must_use]
    pub fn raw(mut self, octets: &[u8]) -> Self {
        self.raw = Some(octets.to_vec());
        self
    }

    fn push(&mut self, mut part: BenchPart) {
        part.path = (self.parts.len() + 1).to_string();
        self.parts.push(part);
    }

    pub(crate) fn build(&self) -> BenchMail {
        let raw = self.raw.clone().unwrap_or_else(|| self.octets());
        let uidl = self.uidl.clone();
        let identity = format!("{}\0{}\0{}", self.account, uidl.as_deref().unwrap_or(""), hex_sha256(&raw));
        BenchMail {
            id: hex_sha256(identity.as_bytes()),
            account: self.account.clone(),
            uidl,
            received_ms: self.received_ms,
            date_ms: self.date_ms,
            headers: self.headers.clone(),
            parts: self.parts.iter().cloned().map(Rc::new).collect(),
            labels: self.labels.clone(),
            raw,
        }
    }

    /// The fields, an empty line, and the contents of the parts one after another: enough to be octets of its own.
    fn octets(&self) -> Vec<u8> {
        let mut octets = Vec::new();
        for (name, value) in &self.headers {
            octets.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        for part in &self.parts {
            octets.extend_from_slice(b"\r\n");
            octets.extend_from_slice(&part.content);
        }
        octets.extend_from_slice(b"\r\n");
        octets
    }
}

/// A leaf as the host would have found it.
#[derive(Clone, Debug, Default)]
pub(crate) struct BenchPart {
    pub(crate) path: String,
    pub(crate) content_type: String,
    pub(crate) filename: Option<String>,
    pub(crate) content_id: Option<String>,
    pub(crate) disposition: Option<&'static str>,
    /// Its parent is a multipart/related.
    pub(crate) related: bool,
    pub(crate) attachment: bool,
    pub(crate) content: Vec<u8>,
}

impl BenchPart {
    /// The rule of the host.
    pub(crate) fn is_inline(&self) -> bool {
        let is_picture = self.content_id.is_some() && self.content_type.starts_with("image/");
        match (self.disposition, &self.filename) {
            (Some("attachment"), _) => false,
            (_, Some(_)) => is_picture && self.related,
            (Some("inline"), None) => true,
            (_, None) => is_picture,
        }
    }

    pub(crate) fn safe_filename(&self) -> String {
        let last = self.filename.as_deref().and_then(|name| name.rsplit(['/', '\\']).next()).unwrap_or("");
        let kept: String = last.chars().filter(|ch| !ch.is_control() && !"<>:\"|?*".contains(*ch)).collect();
        match kept.trim_matches(['.', ' ', '-', '~']) {
            "" => format!("part-{}.bin", self.path),
            name => name.to_owned(),
        }
    }
}

/// A [`Mail`] with everything derived from it.
#[derive(Debug)]
pub(crate) struct BenchMail {
    pub(crate) id: String,
    pub(crate) account: String,
    pub(crate) uidl: Option<String>,
    pub(crate) received_ms: u64,
    pub(crate) date_ms: Option<i64>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) parts: Vec<Rc<BenchPart>>,
    pub(crate) labels: Vec<String>,
    pub(crate) raw: Vec<u8>,
}

impl BenchMail {
    pub(crate) fn fields<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let of_name = self.headers.iter().filter(move |(field, _)| field.eq_ignore_ascii_case(name));
        of_name.map(|(_, value)| value.as_str())
    }

    /// Mailboxes separated by commas; no quoting, no groups.
    pub(crate) fn addresses(&self, header: &str) -> Vec<Address> {
        let boxes = self.fields(header).flat_map(|value| value.split(','));
        boxes.map(str::trim).filter(|text| !text.is_empty()).map(address).collect()
    }

    pub(crate) fn body(&self, kind: BodyKind, max_bytes: usize) -> Option<String> {
        let wanted = match kind {
            BodyKind::Text => "text/plain",
            BodyKind::Html => "text/html",
        };
        let part = self.parts.iter().find(|part| !part.attachment && part.content_type == wanted)?;
        let mut text = String::from_utf8_lossy(&part.content).into_owned();
        while text.len() > max_bytes {
            text.pop();
        }
        Some(text)
    }
}

fn address(text: &str) -> Address {
    match text.split_once('<') {
        Some((name, rest)) => {
            let name = name.trim().trim_matches('"');
            let email = rest.trim_end_matches('>').trim().to_owned();
            Address { name: (!name.is_empty()).then(|| name.to_owned()), email }
        }
        None => Address { name: None, email: text.to_owned() },
    }
}
