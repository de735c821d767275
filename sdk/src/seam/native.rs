//! The seam outside the host: every name is a call of the bench that runs on this thread.

use std::ops::Range;
use std::rc::Rc;

use crate::fault::Fault;
use crate::log::Level;
use crate::message::{Address, BodyKind};
use crate::testing::answers::Answer;
use crate::testing::bench::{self, Effect, LogLine};
use crate::testing::hex_sha256;
use crate::testing::mail::{BenchMail, BenchPart};

#[derive(Clone, Debug)]
pub(crate) struct Blob {
    octets: Rc<[u8]>,
    range: Range<usize>,
}

impl Blob {
    pub(crate) fn of(octets: impl Into<Rc<[u8]>>) -> Self {
        let octets = octets.into();
        let range = 0..octets.len();
        Self { octets, range }
    }
    pub(crate) fn octets(&self) -> &[u8] {
        &self.octets[self.range.clone()]
    }
    pub(crate) fn size(&self) -> u64 {
        self.range.len() as u64
    }
    pub(crate) fn sha256(&self) -> String {
        hex_sha256(self.octets())
    }
    pub(crate) fn read(&self, offset: u64, len: u32) -> Result<Vec<u8>, Fault> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(self.range.len());
        let end = start.saturating_add((len as usize).min(1 << 20)).min(self.range.len());
        Ok(self.octets()[start..end].to_vec())
    }
    pub(crate) fn slice(&self, offset: u64, len: u64) -> Result<Self, Fault> {
        let end = offset.checked_add(len).filter(|end| *end <= self.size());
        let Some((start, end)) =
            end.and_then(|end| Some((usize::try_from(offset).ok()?, usize::try_from(end).ok()?)))
        else {
            return Err(Fault::Invalid(format!("no {len} octets at {offset} in {}", self.size())));
        };
        let range = self.range.start + start..self.range.start + end;
        Ok(Self { octets: Rc::clone(&self.octets), range })
    }
}

#[derive(Debug)]
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    pub(crate) fn new() -> Self {
        Self(Vec::new())
    }
    pub(crate) fn write(&mut self, octets: &[u8]) -> Result<(), Fault> {
        self.0.extend_from_slice(octets);
        Ok(())
    }
    pub(crate) fn append(&mut self, source: &Blob) -> Result<(), Fault> {
        self.write(source.octets())
    }
    pub(crate) fn finish(self) -> Result<Blob, Fault> {
        Ok(Blob::of(self.0))
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Part(pub(crate) Rc<BenchPart>);

impl Part {
    pub(crate) fn path(&self) -> String {
        self.0.path.clone()
    }
    pub(crate) fn content_type(&self) -> String {
        self.0.content_type.clone()
    }
    pub(crate) fn filename(&self) -> Option<String> {
        self.0.filename.clone()
    }
    pub(crate) fn safe_filename(&self) -> String {
        self.0.safe_filename()
    }
    pub(crate) fn content_id(&self) -> Option<String> {
        self.0.content_id.clone()
    }
    pub(crate) fn is_inline(&self) -> bool {
        self.0.is_inline()
    }
    pub(crate) fn is_attachment(&self) -> bool {
        self.0.attachment
    }
    pub(crate) fn size(&self) -> u64 {
        self.0.content.len() as u64
    }
    pub(crate) fn content(&self) -> Result<Blob, Fault> {
        Ok(Blob::of(self.0.content.clone()))
    }
}

#[derive(Debug)]
pub(crate) struct Message<'m>(pub(crate) &'m BenchMail);

impl Message<'_> {
    pub(crate) fn id(&self) -> String {
        self.0.id.clone()
    }
    pub(crate) fn account(&self) -> String {
        self.0.account.clone()
    }
    pub(crate) fn uidl(&self) -> Option<String> {
        self.0.uidl.clone()
    }
    pub(crate) fn sha256(&self) -> String {
        hex_sha256(&self.0.raw)
    }
    pub(crate) fn size(&self) -> u64 {
        self.0.raw.len() as u64
    }
    pub(crate) fn received_ms(&self) -> u64 {
        self.0.received_ms
    }
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        self.header_all(name).into_iter().next()
    }
    pub(crate) fn header_all(&self, name: &str) -> Vec<String> {
        self.0.fields(name).map(str::to_owned).collect()
    }
    pub(crate) fn header_raw(&self, name: &str) -> Vec<Vec<u8>> {
        self.0.fields(name).map(|value| format!(" {value}").into_bytes()).collect()
    }
    pub(crate) fn addresses(&self, header: &str) -> Vec<Address> {
        self.0.addresses(header)
    }
    pub(crate) fn date_ms(&self) -> Option<i64> {
        self.0.date_ms
    }
    pub(crate) fn body(&self, kind: BodyKind, max_bytes: u32) -> Option<String> {
        bench::note_parsed();
        self.0.body(kind, max_bytes as usize)
    }
    pub(crate) fn parts(&self) -> Vec<Part> {
        bench::note_parsed();
        self.0.parts.iter().cloned().map(Part).collect()
    }
    pub(crate) fn attachments(&self) -> Vec<Part> {
        let mut parts = self.parts();
        parts.retain(Part::is_attachment);
        parts
    }
    pub(crate) fn raw(&self) -> Blob {
        Blob::of(self.0.raw.clone())
    }
    pub(crate) fn labels(&self) -> Vec<String> {
        self.0.labels.iter().cloned().chain(bench::labels()).collect()
    }
}

type Fields = Vec<(String, String)>;

pub(crate) fn store(sink: &str, key: &str, content: &Blob, options: Fields) -> Result<String, Fault> {
    bench::queue_store(sink, key, content.octets(), options)
}
pub(crate) fn file_into(sink: &str, mailbox: &str, content: &Blob, options: Fields) -> Result<(), Fault> {
    let content = content.octets().to_vec();
    bench::queue_for(sink, Effect::FileInto { sink: sink.into(), mailbox: mailbox.into(), content, options })
}
pub(crate) fn forward(sink: &str, to: Vec<String>, add_headers: Fields) -> Result<(), Fault> {
    bench::queue_for(sink, Effect::Forward { sink: sink.into(), to, add_headers })
}
pub(crate) fn send(sink: &str, to: Vec<String>, message: &Blob) -> Result<(), Fault> {
    bench::queue_for(sink, Effect::Send { sink: sink.into(), to, message: message.octets().to_vec() })
}
pub(crate) fn label(name: &str) -> Result<(), Fault> {
    bench::queue(Effect::Label(name.to_owned()))
}
pub(crate) fn discard(reason: &str) -> Result<(), Fault> {
    bench::queue_discard(reason)
}
pub(crate) fn quarantine(reason: &str) -> Result<(), Fault> {
    bench::queue(Effect::Quarantine(reason.to_owned()))
}
pub(crate) fn stop() {
    let _ = bench::queue(Effect::Stop);
}
pub(crate) fn retry_after(seconds: u32) {
    bench::retry_after(seconds);
}

pub(crate) fn kv_get(key: &str) -> Result<Option<Vec<u8>>, Fault> {
    bench::kv(|kv| kv.get(key).cloned())
}
pub(crate) fn kv_set(key: &str, value: &[u8]) -> Result<(), Fault> {
    bench::kv(|kv| {
        kv.insert(key.to_owned(), value.to_vec());
    })
}
pub(crate) fn kv_delete(key: &str) -> Result<(), Fault> {
    bench::kv(|kv| {
        kv.remove(key);
    })
}

#[derive(Debug)]
pub(crate) struct Response(Answer);

impl Response {
    pub(crate) fn status(&self) -> u16 {
        self.0.status
    }
    pub(crate) fn header(&self, _: &str) -> Option<String> {
        None
    }
    pub(crate) fn body(&self) -> Blob {
        Blob::of(self.0.body.clone())
    }
}

pub(crate) fn fetch_get(target: &str, path: &str, _: Fields) -> Result<Response, Fault> {
    bench::fetch(target, path).map(Response)
}
pub(crate) fn fetch_post(target: &str, path: &str, _: Fields, _: &Blob) -> Result<Response, Fault> {
    bench::fetch(target, path).map(Response)
}

pub(crate) fn log(level: Level, text: &str, fields: Fields) {
    bench::log(LogLine { level, text: text.to_owned(), fields });
}
