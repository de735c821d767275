//! What is to happen to the message. Each call is checked by the host at once and queued; the queue is carried out only
//! if [`Plugin::handle`](crate::Plugin::handle) returns `Ok`.

use std::fmt::Display;

use crate::content::Blob;
use crate::fault::Fault;
use crate::seam;

/// How the sink compresses what it stores.
///
/// ```
/// use postroom_bench::{Bench, Mail};
/// use postroom_sdk::prelude::*;
///
/// let run = Bench::new().sink("vault").run_fn(&Mail::new().raw(b"Hello"), |message| {
///     effects::store("vault", "a.eml.zst", &message.raw()).compress(Compression::Zstd).queue()?;
///     Ok(())
/// });
/// assert_eq!(run.lines(), ["store vault:a.eml.zst 5 octets"]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Zstandard, RFC 8878.
    Zstd,
}

/// Stores content under a key in an object sink (directory, s3): `store("vault", key, &blob).queue()?`.
///
/// ```
/// use postroom_bench::{Bench, Mail};
/// use postroom_sdk::prelude::*;
///
/// let run = Bench::new().sink("vault").run_fn(&Mail::new().raw(b"Hello"), |message| {
///     let key = effects::store("vault", "2026/a.eml", &message.raw()).queue()?;
///     assert_eq!(key, "2026/a.eml");
///     Ok(())
/// });
/// assert_eq!(run.lines(), ["store vault:2026/a.eml 5 octets"]);
/// ```
pub fn store<'a>(sink: &'a str, key: impl Into<String>, content: &'a Blob) -> Store<'a> {
    Store { sink, key: key.into(), content, options: Vec::new() }
}

/// A `store` being put together.
///
/// ```
/// use postroom_bench::{Bench, Mail};
/// use postroom_sdk::prelude::*;
///
/// let run = Bench::new().sink("vault").run_fn(&Mail::new().raw(b"Hello"), |message| {
///     effects::store("vault", "a.eml", &message.raw())
///         .content_type("message/rfc822")
///         .compress(Compression::Zstd)
///         .number_on_conflict()
///         .meta("account", message.account())
///         .queue()?;
///     Ok(())
/// });
/// assert_eq!(run.lines(), ["store vault:a.eml 5 octets"]);
/// ```
#[derive(Debug)]
#[must_use = "nothing is stored before queue()"]
pub struct Store<'a> {
    sink: &'a str,
    key: String,
    content: &'a Blob,
    options: Vec<(String, String)>,
}

impl Store<'_> {
    /// The type the sink is told, where it keeps types.
    pub fn content_type(self, content_type: &str) -> Self {
        self.option("content-type", content_type)
    }

    /// Compresses on the way to the sink.
    pub fn compress(self, compression: Compression) -> Self {
        match compression {
            Compression::Zstd => self.option("compress", "zstd"),
        }
    }

    /// When other content is under the key already, takes `name (2).ext` and so on instead of failing.
    pub fn number_on_conflict(self) -> Self {
        self.option("on-conflict", "number")
    }

    /// A value the sink keeps beside the content, where it can.
    pub fn meta(self, name: &str, value: impl Display) -> Self {
        self.option(&format!("meta-{name}"), value)
    }

    fn option(mut self, name: &str, value: impl Display) -> Self {
        self.options.push((name.to_owned(), value.to_string()));
        self
    }

    /// Queues it and answers with the key.
    ///
    /// # Errors
    /// When the sink is not granted, or the key, an option or a limit forbids it.
    pub fn queue(self) -> Result<String, Fault> {
        seam::store(self.sink, &self.key, &self.content.0, self.options)
    }
}

/// Files content as a message into a mailbox sink (maildir). An empty mailbox is the inbox.
///
/// ```
/// use postroom_bench::{Bench, Mail};
/// use postroom_sdk::prelude::*;
///
/// let run = Bench::new().mailbox("mail").run_fn(&Mail::new().raw(b"Hello"), |message| {
///     effects::file_into("mail", "Archive/2026", &message.raw()).queue()?;
///     Ok(())
/// });
/// assert_eq!(run.lines(), ["file-into mail:Archive/2026 5 octets"]);
/// ```
pub fn file_into<'a>(sink: &'a str, mailbox: &'a str, content: &'a Blob) -> FileInto<'a> {
    FileInto { sink, mailbox, content, options: Vec::new() }
}

/// A `file_into` being put together.
///
/// ```
/// use postroom_bench::{Bench, Mail};
/// use postroom_sdk::prelude::*;
///
/// let run = Bench::new().mailbox("mail").run_fn(&Mail::new().raw(b"Hello"), |message| {
///     effects::file_into("mail", "", &message.raw()).flags("S").queue()?;
///     Ok(())
/// });
/// assert_eq!(run.lines(), ["file-into mail: 5 octets"]);
/// ```
#[derive(Debug)]
#[must_use = "nothing is filed before queue()"]
pub struct FileInto<'a> {
    sink: &'a str,
    mailbox: &'a str,
    content: &'a Blob,
    options: Vec<(String, String)>,
}

impl FileInto<'_> {
    /// Maildir flags, letters of `DFPRST`.
    pub fn flags(mut self, flags: &str) -> Self {
        self.options.push(("flags".to_owned(), flags.to_owned()));
        self
    }

    /// Queues it.
    ///
    /// # Errors
    /// When the sink is not granted, or the mailbox, an option or a limit forbids it.
    pub fn queue(self) -> Result<(), Fault> {
        seam::file_into(self.sink, self.mailbox, &self.content.0, self.options)
    }
}

/// Sends the original on to new recipients through a transport sink (smtp).
///
/// ```
/// use postroom_bench::{Bench, Mail};
/// use postroom_sdk::prelude::*;
///
/// let run = Bench::new().relay("out").run_fn(&Mail::new().raw(b"Hello"), |_| {
///     effects::forward("out", &["a@shop.example"]).queue()?;
///     Ok(())
/// });
/// assert_eq!(run.lines(), ["forward out to a@shop.example"]);
/// ```
pub fn forward<'a, T: AsRef<str>>(sink: &'a str, to: &[T]) -> Forward<'a> {
    Forward { sink, to: texts(to), add_headers: Vec::new() }
}

/// A `forward` being put together.
///
/// ```
/// use postroom_bench::{Bench, Mail};
/// use postroom_sdk::prelude::*;
///
/// let run = Bench::new().relay("out").run_fn(&Mail::new().raw(b"Hello"), |_| {
///     effects::forward("out", &["a@shop.example"]).header("X-By", "postroom").queue()?;
///     Ok(())
/// });
/// assert_eq!(run.lines(), ["forward out to a@shop.example"]);
/// ```
#[derive(Debug)]
#[must_use = "nothing is forwarded before queue()"]
pub struct Forward<'a> {
    sink: &'a str,
    to: Vec<String>,
    add_headers: Vec<(String, String)>,
}

impl Forward<'_> {
    /// A field on top of the original ones.
    pub fn header(mut self, name: &str, value: impl Display) -> Self {
        self.add_headers.push((name.to_owned(), value.to_string()));
        self
    }

    /// Queues it.
    ///
    /// # Errors
    /// When the sink is not granted, or a recipient, a field or a limit forbids it.
    pub fn queue(self) -> Result<(), Fault> {
        seam::forward(self.sink, self.to, self.add_headers)
    }
}

/// Sends a message this plugin made, a whole RFC 5322 message, through a transport sink (smtp).
///
/// ```
/// use postroom_bench::{Bench, Mail};
/// use postroom_sdk::prelude::*;
///
/// let run = Bench::new().relay("out").run_fn(&Mail::new().raw(b"Hello"), |_| {
///     let mut writer = Writer::new();
///     writer.write(b"From: me@shop.example\r\nSubject: Seen\r\n\r\n")?;
///     effects::send("out", &["a@shop.example"], &writer.finish()?)?;
///     Ok(())
/// });
/// assert_eq!(run.lines(), ["send out to a@shop.example 40 octets"]);
/// ```
///
/// # Errors
/// When the sink is not granted, or a recipient or a limit forbids it.
pub fn send<T: AsRef<str>>(sink: &str, to: &[T], message: &Blob) -> Result<(), Fault> {
    seam::send(sink, texts(to), &message.0)
}

/// Marks the message for later steps and for the operator.
///
/// ```
/// use postroom_bench::{Bench, Mail};
/// use postroom_sdk::prelude::*;
///
/// let run = Bench::new().run_fn(&Mail::new().raw(b"Hello"), |_| {
///     effects::label("receipt")?;
///     Ok(())
/// });
/// assert_eq!(run.lines(), ["label receipt"]);
/// ```
///
/// # Errors
/// When the name is not fit for a label.
pub fn label(name: &str) -> Result<(), Fault> {
    seam::label(name)
}

/// Lets the message go without a copy. The spool keeps it for a grace period.
///
/// ```
/// use postroom_bench::{Bench, Mail};
/// use postroom_sdk::prelude::*;
///
/// let run = Bench::new().discard().run_fn(&Mail::new().raw(b"Hello"), |_| {
///     effects::discard("an advertisement")?;
///     Ok(())
/// });
/// assert_eq!(run.lines(), ["discard an advertisement"]);
/// ```
///
/// # Errors
/// When the grant `discard` is missing.
pub fn discard(reason: &str) -> Result<(), Fault> {
    seam::discard(reason)
}

/// Sets the message aside for the operator.
///
/// ```
/// use postroom_bench::{Bench, Mail};
/// use postroom_sdk::prelude::*;
///
/// let run = Bench::new().run_fn(&Mail::new().raw(b"Hello"), |_| {
///     effects::quarantine("it asks for a password")?;
///     Ok(())
/// });
/// assert_eq!(run.lines(), ["quarantine it asks for a password"]);
/// ```
///
/// # Errors
/// When the reason is not fit to keep.
pub fn quarantine(reason: &str) -> Result<(), Fault> {
    seam::quarantine(reason)
}

/// No later step sees the message.
///
/// ```
/// use postroom_bench::{Bench, Mail};
/// use postroom_sdk::prelude::*;
///
/// let run = Bench::new().run_fn(&Mail::new().raw(b"Hello"), |_| {
///     effects::stop();
///     Ok(())
/// });
/// assert_eq!(run.lines(), ["stop"]);
/// ```
pub fn stop() {
    seam::stop();
}

/// When to try again, should `handle` fail.
///
/// ```
/// use postroom_bench::{Bench, Mail};
/// use postroom_sdk::prelude::*;
///
/// let run = Bench::new().run_fn(&Mail::new(), |_| {
///     effects::retry_after(300);
///     Err(Failure::transient("the index is being built"))
/// });
/// assert_eq!(run.retry_after, Some(300));
/// ```
pub fn retry_after(seconds: u32) {
    seam::retry_after(seconds);
}

fn texts<T: AsRef<str>>(list: &[T]) -> Vec<String> {
    list.iter().map(|text| text.as_ref().to_owned()).collect()
}
