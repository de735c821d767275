//! A mail put together by hand.

use postroom_mail::{Digest, Name, Provenance, Timestamp, Uid};
use postroom_sdk::Date;

use crate::render;

/// A mail to run a plugin over: `Mail::new().subject("Hi").attach("a.pdf", "application/pdf", b"%PDF")`.
///
/// It becomes the octets of an RFC 5322 message with a MIME structure as mail programs write it: the texts in a
/// multipart/alternative, with what is shown inside them in a multipart/related, with the attachments in a
/// multipart/mixed, each only where there is more than one thing to put together. The bench parses those octets.
///
/// It begins as a mail of the bench's account with the unique-id "0001", with no field and no part.
///
/// ```
/// use postroom_bench::{Bench, Mail};
///
/// let mail = Mail::new()
///     .account("work")
///     .uidl(Some("0002"))
///     .received_ms(1_795_514_400_000)
///     .date_ms(1_795_514_400_000)
///     .from("Ann <ann@shop.example>")
///     .to("me@home.example")
///     .subject("Größe")
///     .header("X-Mood", "good")
///     .text("Hello")
///     .html("<p>Hello</p>")
///     .inline("logo.png", "image/png", "logo", b"\x89PNG")
///     .attach("bill.pdf", "application/pdf", b"%PDF-1.7")
///     .attach_unnamed("text/csv", b"a,b")
///     .inline_file("notes.txt", "text/plain", b"notes")
///     .content_id("notes")
///     .label("vip");
/// let run = Bench::new().run_fn(&mail, |message| {
///     assert_eq!((message.account().as_str(), message.subject().as_str()), ("work", "Größe"));
///     assert_eq!(message.parts().len(), 6);
///     assert_eq!(message.raw().read_all(1 << 20)?, mail.octets());
///     Ok(())
/// });
/// assert_eq!(run.result, Ok(()));
///
/// // Or as it came:
/// assert_eq!(Mail::new().raw(b"Subject: x\r\n\r\n").octets(), b"Subject: x\r\n\r\n");
/// ```
#[derive(Clone, Debug)]
pub struct Mail {
    pub(crate) account: Option<String>,
    pub(crate) labels: Vec<String>,
    uidl: Option<String>,
    received_ms: Option<u64>,
    date_ms: Option<i64>,
    headers: Vec<(String, String)>,
    parts: Vec<Part>,
    raw: Option<Vec<u8>>,
}

/// A leaf.
#[derive(Clone, Debug, Default)]
pub(crate) struct Part {
    pub(crate) place: Place,
    pub(crate) content_type: String,
    pub(crate) filename: Option<String>,
    pub(crate) content_id: Option<String>,
    pub(crate) disposition: Option<&'static str>,
    pub(crate) content: Vec<u8>,
}

/// Where in the structure a leaf goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Place {
    /// One way to read the message.
    Text,
    /// Shown inside the text.
    Related,
    /// Beside it.
    #[default]
    Mixed,
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
            account: None,
            labels: Vec::new(),
            uidl: Some("0001".to_owned()),
            received_ms: None,
            date_ms: None,
            headers: Vec::new(),
            parts: Vec::new(),
            raw: None,
        }
    }

    /// The account it was retrieved for.
    #[must_use]
    pub fn account(mut self, name: &str) -> Self {
        self.account = Some(name.to_owned());
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
        self.received_ms = Some(ms);
        self
    }

    /// A Date field, from milliseconds since 1970 UTC; seconds count.
    #[must_use]
    pub fn date_ms(mut self, ms: i64) -> Self {
        self.date_ms = Some(ms);
        self
    }

    /// A field below the others. What is not printable ASCII is encoded (RFC 2047).
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

    /// The plain text. Lines end with CRLF in the message, whatever they end with here.
    #[must_use]
    pub fn text(self, text: &str) -> Self {
        self.own_text("text/plain", text)
    }

    /// The HTML text.
    #[must_use]
    pub fn html(self, text: &str) -> Self {
        self.own_text("text/html", text)
    }

    fn own_text(self, content_type: &str, text: &str) -> Self {
        let content = text.replace("\r\n", "\n").replace('\n', "\r\n").into_bytes();
        self.part(Part { place: Place::Text, ..Part::of(content_type, &content) })
    }

    /// An attachment; `filename` is what the sender wrote.
    #[must_use]
    pub fn attach(self, filename: &str, content_type: &str, content: &[u8]) -> Self {
        self.part(Part {
            filename: Some(filename.to_owned()),
            disposition: Some("attachment"),
            ..Part::of(content_type, content)
        })
    }

    /// An attachment without a name.
    #[must_use]
    pub fn attach_unnamed(self, content_type: &str, content: &[u8]) -> Self {
        self.part(Part { disposition: Some("attachment"), ..Part::of(content_type, content) })
    }

    /// Something shown inside the text, such as an image: declared inline, in a multipart/related with the text.
    #[must_use]
    pub fn inline(self, filename: &str, content_type: &str, content_id: &str, content: &[u8]) -> Self {
        self.part(Part {
            place: Place::Related,
            filename: Some(filename.to_owned()),
            content_id: Some(content_id.to_owned()),
            disposition: Some("inline"),
            ..Part::of(content_type, content)
        })
    }

    /// A file declared inline that nothing refers to, beside the text in a multipart/mixed, as Apple Mail writes it.
    #[must_use]
    pub fn inline_file(self, filename: &str, content_type: &str, content: &[u8]) -> Self {
        self.part(Part {
            filename: Some(filename.to_owned()),
            disposition: Some("inline"),
            ..Part::of(content_type, content)
        })
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

    /// The octets as they came: fields and parts given to the mail count for nothing then.
    #[must_use]
    pub fn raw(mut self, octets: &[u8]) -> Self {
        self.raw = Some(octets.to_vec());
        self
    }

    fn part(mut self, part: Part) -> Self {
        self.parts.push(part);
        self
    }

    /// The message.
    pub fn octets(&self) -> Vec<u8> {
        if let Some(raw) = &self.raw {
            return raw.clone();
        }
        let mut headers = Vec::new();
        headers.extend(self.date_ms.map(|ms| ("Date".to_owned(), Date::from_millis(ms).rfc5322())));
        headers.extend(self.headers.iter().cloned());
        render::message(&headers, &self.parts)
    }

    pub(crate) fn provenance(&self, account: Name, received_ms: u64, octets: &[u8]) -> Provenance {
        let retrieved = self.received_ms.unwrap_or(received_ms);
        Provenance {
            account,
            uid: Uid(self.uidl.clone().unwrap_or_default().into_bytes()),
            ordinal: 0,
            digest: Digest::of(octets),
            size: octets.len() as u64,
            retrieved: Timestamp(i64::try_from(retrieved).unwrap_or(i64::MAX)),
        }
    }
}

impl Part {
    fn of(content_type: &str, content: &[u8]) -> Self {
        Self { content_type: content_type.to_owned(), content: content.to_vec(), ..Self::default() }
    }
}
