//! The seam outside the host: every name is a call of the host of this thread. Outside of a call there is none, and
//! values are empty.

use std::marker::PhantomData;

use crate::fault::Fault;
use crate::log::Level;
use crate::message::{Address, BodyKind};
use crate::native::{Fields, Handle, ask, attempt};

/// A handle, given back when it is dropped.
#[derive(Debug)]
struct Held(Handle);

impl Drop for Held {
    fn drop(&mut self) {
        ask(|host| host.drop(self.0));
    }
}

#[derive(Debug)]
pub(crate) struct Blob(Held);

impl Blob {
    fn of(handle: Handle) -> Self {
        Self(Held(handle))
    }
    pub(crate) fn size(&self) -> u64 {
        ask(|host| host.blob_size(self.0.0)).unwrap_or_default()
    }
    pub(crate) fn sha256(&self) -> String {
        ask(|host| host.blob_sha256(self.0.0)).unwrap_or_default()
    }
    pub(crate) fn read(&self, offset: u64, len: u32) -> Result<Vec<u8>, Fault> {
        attempt(|host| host.blob_read(self.0.0, offset, len))
    }
    pub(crate) fn slice(&self, offset: u64, len: u64) -> Result<Self, Fault> {
        attempt(|host| host.blob_slice(self.0.0, offset, len)).map(Self::of)
    }
}

/// Outside of a call there is no writer, and nothing can be written.
#[derive(Debug)]
pub(crate) struct Writer(Option<Held>);

impl Writer {
    pub(crate) fn new() -> Self {
        Self(ask(|host| Held(host.writer_new())))
    }
    fn handle(&self) -> Handle {
        self.0.as_ref().map_or(Handle::MAX, |held| held.0)
    }
    pub(crate) fn write(&mut self, octets: &[u8]) -> Result<(), Fault> {
        attempt(|host| host.writer_write(self.handle(), octets))
    }
    pub(crate) fn append(&mut self, source: &Blob) -> Result<(), Fault> {
        attempt(|host| host.writer_append(self.handle(), source.0.0))
    }
    pub(crate) fn finish(self) -> Result<Blob, Fault> {
        attempt(|host| host.writer_finish(self.handle())).map(Blob::of)
    }
}

#[derive(Debug)]
pub(crate) struct Part(Held);

impl Part {
    fn of(handle: Handle) -> Self {
        Self(Held(handle))
    }
    pub(crate) fn path(&self) -> String {
        ask(|host| host.part_path(self.0.0)).unwrap_or_default()
    }
    pub(crate) fn content_type(&self) -> String {
        ask(|host| host.part_content_type(self.0.0)).unwrap_or_default()
    }
    pub(crate) fn filename(&self) -> Option<String> {
        ask(|host| host.part_filename(self.0.0)).flatten()
    }
    pub(crate) fn safe_filename(&self) -> String {
        ask(|host| host.part_safe_filename(self.0.0)).unwrap_or_default()
    }
    pub(crate) fn content_id(&self) -> Option<String> {
        ask(|host| host.part_content_id(self.0.0)).flatten()
    }
    pub(crate) fn is_inline(&self) -> bool {
        ask(|host| host.part_is_inline(self.0.0)).unwrap_or_default()
    }
    pub(crate) fn is_attachment(&self) -> bool {
        ask(|host| host.part_is_attachment(self.0.0)).unwrap_or_default()
    }
    pub(crate) fn size(&self) -> u64 {
        ask(|host| host.part_size(self.0.0)).unwrap_or_default()
    }
    pub(crate) fn content(&self) -> Result<Blob, Fault> {
        attempt(|host| host.part_content(self.0.0)).map(Blob::of)
    }
    pub(crate) fn header_raw(&self, name: &str) -> Vec<Vec<u8>> {
        ask(|host| host.part_header_raw(self.0.0, name)).unwrap_or_default()
    }
    pub(crate) fn is_damaged(&self) -> bool {
        ask(|host| host.part_is_damaged(self.0.0)).unwrap_or_default()
    }
}

pub(crate) fn safe_filename(name: &str, octets: u32, copy: u32) -> String {
    ask(|host| host.safe_filename(name, octets, copy)).unwrap_or_default()
}

/// The one message of the call.
#[derive(Debug)]
pub(crate) struct Message<'m>(PhantomData<&'m ()>);

impl Message<'_> {
    pub(crate) fn new() -> Self {
        Self(PhantomData)
    }
    pub(crate) fn id(&self) -> String {
        ask(|host| host.id()).unwrap_or_default()
    }
    pub(crate) fn account(&self) -> String {
        ask(|host| host.account()).unwrap_or_default()
    }
    pub(crate) fn uidl(&self) -> Option<String> {
        ask(|host| host.uidl()).flatten()
    }
    pub(crate) fn sha256(&self) -> String {
        ask(|host| host.sha256()).unwrap_or_default()
    }
    pub(crate) fn size(&self) -> u64 {
        ask(|host| host.size()).unwrap_or_default()
    }
    pub(crate) fn received_ms(&self) -> u64 {
        ask(|host| host.received_ms()).unwrap_or_default()
    }
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        ask(|host| host.header(name)).flatten()
    }
    pub(crate) fn header_all(&self, name: &str) -> Vec<String> {
        ask(|host| host.header_all(name)).unwrap_or_default()
    }
    pub(crate) fn header_raw(&self, name: &str) -> Vec<Vec<u8>> {
        ask(|host| host.header_raw(name)).unwrap_or_default()
    }
    pub(crate) fn addresses(&self, header: &str) -> Vec<Address> {
        ask(|host| host.addresses(header)).unwrap_or_default()
    }
    pub(crate) fn date_ms(&self) -> Option<i64> {
        ask(|host| host.date_ms()).flatten()
    }
    pub(crate) fn body(&self, kind: BodyKind, max_bytes: u32) -> Option<String> {
        ask(|host| host.body(kind, max_bytes)).flatten()
    }
    pub(crate) fn parts(&self) -> Vec<Part> {
        ask(|host| host.parts()).unwrap_or_default().into_iter().map(Part::of).collect()
    }
    pub(crate) fn attachments(&self) -> Vec<Part> {
        ask(|host| host.attachments()).unwrap_or_default().into_iter().map(Part::of).collect()
    }
    pub(crate) fn raw(&self) -> Blob {
        Blob::of(ask(|host| host.raw()).unwrap_or(Handle::MAX))
    }
    pub(crate) fn labels(&self) -> Vec<String> {
        ask(|host| host.labels()).unwrap_or_default()
    }
}

pub(crate) fn store(sink: &str, key: &str, content: &Blob, options: Fields) -> Result<String, Fault> {
    attempt(|host| host.store(sink, key, content.0.0, options))
}
pub(crate) fn file_into(sink: &str, mailbox: &str, content: &Blob, options: Fields) -> Result<(), Fault> {
    attempt(|host| host.file_into(sink, mailbox, content.0.0, options))
}
pub(crate) fn forward(sink: &str, to: Vec<String>, add_headers: Fields) -> Result<(), Fault> {
    attempt(|host| host.forward(sink, to, add_headers))
}
pub(crate) fn send(sink: &str, to: Vec<String>, message: &Blob) -> Result<(), Fault> {
    attempt(|host| host.send(sink, to, message.0.0))
}
pub(crate) fn label(name: &str) -> Result<(), Fault> {
    attempt(|host| host.label(name))
}
pub(crate) fn discard(reason: &str) -> Result<(), Fault> {
    attempt(|host| host.discard(reason))
}
pub(crate) fn quarantine(reason: &str) -> Result<(), Fault> {
    attempt(|host| host.quarantine(reason))
}
pub(crate) fn stop() {
    ask(|host| host.stop());
}
pub(crate) fn retry_after(seconds: u32) {
    ask(|host| host.retry_after(seconds));
}

pub(crate) fn kv_get(key: &str) -> Result<Option<Vec<u8>>, Fault> {
    attempt(|host| host.kv_get(key))
}
pub(crate) fn kv_set(key: &str, value: &[u8]) -> Result<(), Fault> {
    attempt(|host| host.kv_set(key, value))
}
pub(crate) fn kv_delete(key: &str) -> Result<(), Fault> {
    attempt(|host| host.kv_delete(key))
}

#[derive(Debug)]
pub(crate) struct Response(Held);

impl Response {
    pub(crate) fn status(&self) -> u16 {
        ask(|host| host.response_status(self.0.0)).unwrap_or_default()
    }
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        ask(|host| host.response_header(self.0.0, name)).flatten()
    }
    pub(crate) fn body(&self) -> Blob {
        Blob::of(ask(|host| host.response_body(self.0.0)).unwrap_or_default())
    }
}

pub(crate) fn fetch_get(target: &str, path: &str, headers: Fields) -> Result<Response, Fault> {
    attempt(|host| host.fetch_get(target, path, headers)).map(|handle| Response(Held(handle)))
}
pub(crate) fn fetch_post(target: &str, path: &str, headers: Fields, body: &Blob) -> Result<Response, Fault> {
    attempt(|host| host.fetch_post(target, path, headers, body.0.0)).map(|handle| Response(Held(handle)))
}

pub(crate) fn log(level: Level, text: &str, fields: Fields) {
    ask(|host| host.log(level, text, fields));
}
