//! What is to happen to the message. Each call is checked by the host at once and queued; the queue is carried out only
//! if [`Plugin::handle`](crate::Plugin::handle) returns `Ok`.

use std::fmt::Display;

use crate::content::Blob;
use crate::fault::Fault;
use crate::seam;

/// How the sink compresses what it stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Zstandard, RFC 8878.
    Zstd,
}

/// Stores content under a key in an object sink (directory, s3): `store("vault", key, &blob).queue()?`.
pub fn store<'a>(sink: &'a str, key: impl Into<String>, content: &'a Blob) -> Store<'a> {
    Store { sink, key: key.into(), content, options: Vec::new() }
}

/// A `store` being put together.
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
pub fn file_into<'a>(sink: &'a str, mailbox: &'a str, content: &'a Blob) -> FileInto<'a> {
    FileInto { sink, mailbox, content, options: Vec::new() }
}

/// A `file_into` being put together.
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
pub fn forward<'a, T: AsRef<str>>(sink: &'a str, to: &[T]) -> Forward<'a> {
    Forward { sink, to: texts(to), add_headers: Vec::new() }
}

/// A `forward` being put together.
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
/// # Errors
/// When the sink is not granted, or a recipient or a limit forbids it.
pub fn send<T: AsRef<str>>(sink: &str, to: &[T], message: &Blob) -> Result<(), Fault> {
    seam::send(sink, texts(to), &message.0)
}

/// Marks the message for later steps and for the operator.
///
/// # Errors
/// When the name is not fit for a label.
pub fn label(name: &str) -> Result<(), Fault> {
    seam::label(name)
}

/// Lets the message go without a copy. The spool keeps it for a grace period.
///
/// # Errors
/// When the grant `discard` is missing.
pub fn discard(reason: &str) -> Result<(), Fault> {
    seam::discard(reason)
}

/// Sets the message aside for the operator.
///
/// # Errors
/// When the reason is not fit to keep.
pub fn quarantine(reason: &str) -> Result<(), Fault> {
    seam::quarantine(reason)
}

/// No later step sees the message.
pub fn stop() {
    seam::stop();
}

/// When to try again, should `handle` fail.
pub fn retry_after(seconds: u32) {
    seam::retry_after(seconds);
}

fn texts<T: AsRef<str>>(list: &[T]) -> Vec<String> {
    list.iter().map(|text| text.as_ref().to_owned()).collect()
}
