//! The message being handled, and its parts. Everything but `raw` is derived by the host, and is the sender's data.

use crate::content::Blob;
use crate::date::Date;
use crate::fault::Fault;
use crate::seam;

/// One mailbox of an address field, RFC 5322 section 3.4.
///
/// ```
/// use postroom_sdk::Address;
///
/// let address = Address { name: Some("Ann".to_owned()), email: "ann@shop.example".to_owned() };
/// assert_eq!(address.domain(), Some("shop.example"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Display name, decoded.
    pub name: Option<String>,
    /// `local-part@domain`, as written.
    pub email: String,
}

impl Address {
    /// What follows the last `@`, if there is one.
    pub fn domain(&self) -> Option<&str> {
        self.email.rsplit_once('@').map(|(_, domain)| domain)
    }
}

/// Which text of a message.
///
/// ```
/// use postroom_bench::{Bench, Mail};
/// use postroom_sdk::prelude::*;
///
/// let mail = Mail::new().text("plain").html("<p>rich</p>");
/// let run = Bench::new().run_fn(&mail, |message| {
///     assert_eq!(message.body(BodyKind::Text, 1024).as_deref(), Some("plain"));
///     assert_eq!(message.body(BodyKind::Html, 1024).as_deref(), Some("<p>rich</p>"));
///     Ok(())
/// });
/// assert_eq!(run.result, Ok(()));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyKind {
    /// `text/plain`.
    Text,
    /// `text/html`.
    Html,
}

/// The message being handled; valid while [`Plugin::handle`](crate::Plugin::handle) runs.
///
/// ```
/// use postroom_bench::{Bench, Mail};
/// use postroom_sdk::prelude::*;
///
/// let mail = Mail::new()
///     .from("Ann <ann@shop.example>")
///     .subject("Größe")
///     .date_ms(1_795_514_400_000)
///     .text("Hello")
///     .attach("bill.pdf", "application/pdf", b"%PDF-1.7")
///     .label("vip");
/// let run = Bench::new().run_fn(&mail, |message| {
///     // Where it comes from: the host's word.
///     assert_eq!((message.account().as_str(), message.uidl().as_deref()), ("home", Some("0001")));
///     assert_eq!((message.id().len(), message.sha256().len()), (64, 64));
///     assert_eq!((message.size(), message.received().format("%Y")), (message.raw().size(), "2026".to_owned()));
///     assert!(message.has_label("vip") && message.labels().len() == 1);
///     // What it says: the sender's.
///     assert_eq!(message.subject(), "Größe");
///     assert_eq!(message.header("x-none"), None);
///     assert_eq!(message.header_all("subject"), ["Größe"]);
///     assert!(message.header_raw("subject")[0].starts_with(b" =?utf-8?B?"));
///     assert_eq!(message.from(), message.addresses("from").into_iter().next());
///     assert_eq!(message.date(), Some(message.received()));
///     // What is in it: here the host parses MIME.
///     assert_eq!(message.body(BodyKind::Text, 100).as_deref(), Some("Hello"));
///     assert_eq!((message.parts().len(), message.attachments().len()), (2, 1));
///     Ok(())
/// });
/// assert_eq!(run.result, Ok(()));
/// ```
#[derive(Debug)]
pub struct Message<'m>(pub(crate) seam::Message<'m>);

impl Message<'_> {
    /// Stable id, 64 hexadecimal digits: the same on every try and on every host.
    pub fn id(&self) -> String {
        self.0.id()
    }

    /// Name of the account it was retrieved for.
    pub fn account(&self) -> String {
        self.0.account()
    }

    /// The server's unique id, RFC 1939 section 7.
    pub fn uidl(&self) -> Option<String> {
        self.0.uidl()
    }

    /// SHA-256 of the raw octets, 64 hexadecimal digits.
    pub fn sha256(&self) -> String {
        self.0.sha256()
    }

    /// Raw octets.
    pub fn size(&self) -> u64 {
        self.0.size()
    }

    /// When the host retrieved it.
    pub fn received(&self) -> Date {
        Date::from_millis(i64::try_from(self.0.received_ms()).unwrap_or(i64::MAX))
    }

    /// First field of that name: unfolded, RFC 2047 decoded.
    pub fn header(&self, name: &str) -> Option<String> {
        self.0.header(name)
    }

    /// All fields of that name, as [`header`](Self::header).
    pub fn header_all(&self, name: &str) -> Vec<String> {
        self.0.header_all(name)
    }

    /// All fields of that name as they are on the wire, without the name and the last line end.
    pub fn header_raw(&self, name: &str) -> Vec<Vec<u8>> {
        self.0.header_raw(name)
    }

    /// The decoded Subject, empty when there is none.
    pub fn subject(&self) -> String {
        self.header("subject").unwrap_or_default()
    }

    /// The mailboxes of an address field; groups are flattened.
    pub fn addresses(&self, header: &str) -> Vec<Address> {
        self.0.addresses(header)
    }

    /// The first mailbox of From.
    pub fn from(&self) -> Option<Address> {
        self.addresses("from").into_iter().next()
    }

    /// The Date field.
    pub fn date(&self) -> Option<Date> {
        self.0.date_ms().map(Date::from_millis)
    }

    /// The first text of that kind, decoded to UTF-8, at most `max_bytes` octets of it. The host parses MIME for this.
    pub fn body(&self, kind: BodyKind, max_bytes: u32) -> Option<String> {
        self.0.body(kind, max_bytes)
    }

    /// All leaves of the MIME tree, in order, and before its own leaves each attached message as one file. The host parses
    /// MIME for this.
    pub fn parts(&self) -> Vec<Part> {
        self.0.parts().into_iter().map(Part).collect()
    }

    /// The parts for which [`Part::is_attachment`] holds. The host parses MIME for this.
    pub fn attachments(&self) -> Vec<Part> {
        self.0.attachments().into_iter().map(Part).collect()
    }

    /// Exactly what came over the wire after undoing dot-stuffing.
    pub fn raw(&self) -> Blob {
        Blob(self.0.raw())
    }

    /// Labels set by earlier steps and by this one.
    pub fn labels(&self) -> Vec<String> {
        self.0.labels()
    }

    /// Whether a label is set.
    pub fn has_label(&self, name: &str) -> bool {
        self.labels().iter().any(|label| label == name)
    }
}

/// One leaf of the MIME tree, RFC 2046.
///
/// ```
/// use postroom_bench::{Bench, Mail};
/// use postroom_sdk::prelude::*;
///
/// let mail = Mail::new().html("<img src=cid:logo>").inline("logo.png", "image/png", "logo", b"\x89PNG");
/// let run = Bench::new().run_fn(&mail, |message| {
///     let parts = message.parts();
///     let logo = &parts[1];
///     assert_eq!((logo.path().as_str(), logo.content_type().as_str()), ("2", "image/png"));
///     assert_eq!(logo.filename().as_deref(), Some("logo.png"));
///     assert_eq!(logo.safe_filename(), "logo.png");
///     assert_eq!(logo.content_id().as_deref(), Some("logo"));
///     assert!(logo.is_inline() && logo.is_attachment() && logo.is_decoration() && !logo.is_damaged());
///     assert_eq!((logo.size(), logo.content()?.read_all(100)?), (4, b"\x89PNG".to_vec()));
///     Ok(())
/// });
/// assert_eq!(run.result, Ok(()));
/// ```
#[derive(Debug)]
pub struct Part(pub(crate) seam::Part);

impl Part {
    /// Dotted path in the tree from 1, as in IMAP: "1.2.1".
    pub fn path(&self) -> String {
        self.0.path()
    }

    /// Declared type in lower case: "application/pdf".
    pub fn content_type(&self) -> String {
        self.0.content_type()
    }

    /// Decoded file name exactly as the sender wrote it: never a path to write to, see
    /// [`safe_filename`](Self::safe_filename).
    pub fn filename(&self) -> Option<String> {
        self.0.filename()
    }

    /// The file name made one safe path component; derived from the type when there is none.
    pub fn safe_filename(&self) -> String {
        self.0.safe_filename()
    }

    /// Without the angle brackets.
    pub fn content_id(&self) -> Option<String> {
        self.0.content_id()
    }

    /// Shown inside the text rather than as a file: a picture with a content id beside the text, or something declared
    /// inline that has no file name. Never what the sender calls an attachment.
    pub fn is_inline(&self) -> bool {
        self.0.is_inline()
    }

    /// A part that is not the message's own text.
    pub fn is_attachment(&self) -> bool {
        self.0.is_attachment()
    }

    /// Shown inside the text and no file of its own: a picture the text can refer to by its content id. Some programs
    /// declare every file inline, and some give every file a content id; neither makes a file decoration.
    pub fn is_decoration(&self) -> bool {
        self.is_inline() && self.content_id().is_some() && self.content_type().starts_with("image/")
    }

    /// Decoded size in octets.
    pub fn size(&self) -> u64 {
        self.0.size()
    }

    /// Decoded octets.
    ///
    /// # Errors
    /// When the host cannot decode it within its limits.
    pub fn content(&self) -> Result<Blob, Fault> {
        self.0.content().map(Blob)
    }

    /// Values of the part's own header fields of that name as they are on the wire, as [`Message::header_raw`].
    pub fn header_raw(&self, name: &str) -> Vec<Vec<u8>> {
        self.0.header_raw(name)
    }

    /// Its encoding was damaged, or a boundary was missing: the content may be less than the sender meant.
    pub fn is_damaged(&self) -> bool {
        self.0.is_damaged()
    }
}

/// Any name made one safe path component of at most `octets` octets (16 to 180) by the host's rule, which is also that of
/// [`Part::safe_filename`]; empty when nothing is left of it. A `copy` above 1 is numbered: "bill (2).pdf".
///
/// ```
/// use postroom_bench::{Bench, Mail};
/// use postroom_sdk::message::safe_filename;
///
/// let run = Bench::new().run_fn(&Mail::new(), |_| {
///     assert_eq!(safe_filename("../../bill.pdf", 180, 2), "bill (2).pdf");
///     Ok(())
/// });
/// assert_eq!(run.result, Ok(()));
/// ```
pub fn safe_filename(name: &str, octets: u32, copy: u32) -> String {
    seam::safe_filename(name, octets, copy)
}
