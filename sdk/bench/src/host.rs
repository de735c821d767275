//! The host that a plugin compiled natively talks to: the contract behind a table of handles. Converts types; no rule is
//! here. A breach of the contract ends the call by unwinding, as it ends a guest by a trap.

use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::sync::Arc;

use postroom_contract as contract;
use postroom_contract::{Blob, Breach, Call, FetchResponse, Message, Refusal, Text, Writer};
use postroom_mail::structure::Node;
use postroom_sdk::log::Level;
use postroom_sdk::native::{Fields, Handle, Host};
use postroom_sdk::{Address, BodyKind, Fault};

/// One call of a plugin.
pub(crate) struct BenchHost {
    pub(crate) call: Call,
    pub(crate) message: Arc<Message>,
    /// Sinks that refuse everything.
    pub(crate) refusals: BTreeMap<String, Fault>,
    pub(crate) retry_after: Option<u32>,
    table: Table,
}

enum Entry {
    Blob(Arc<Blob>),
    Writer(Writer),
    Part(usize),
    Response(Arc<FetchResponse>),
}

/// What the handles refer to. Numbers are not used twice.
#[derive(Default)]
struct Table {
    entries: BTreeMap<Handle, Entry>,
    next: Handle,
}

impl Table {
    fn writer(&mut self, handle: Handle) -> Result<&mut Writer, Breach> {
        match self.entries.get_mut(&handle) {
            Some(Entry::Writer(writer)) => Ok(writer),
            Some(Entry::Blob(_) | Entry::Part(_) | Entry::Response(_)) | None => Err(unknown()),
        }
    }
}

impl BenchHost {
    pub(crate) fn new(call: Call, message: Arc<Message>, refusals: BTreeMap<String, Fault>) -> Self {
        Self { call, message, refusals, retry_after: None, table: Table::default() }
    }

    /// Each call of the plugin passes here.
    fn counted(&mut self) -> &mut Call {
        self.call.meter.count_call();
        &mut self.call
    }

    /// The message takes one handle, as in the sandbox.
    fn push(&mut self, entry: Entry) -> Handle {
        let limit = u64::from(self.call.limits.handles);
        if self.table.entries.len() as u64 + 1 >= limit {
            end(Breach::Handles { limit });
        }
        let handle = self.table.next;
        self.table.next += 1;
        self.table.entries.insert(handle, entry);
        handle
    }

    fn blob(&self, handle: Handle) -> Arc<Blob> {
        match self.table.entries.get(&handle) {
            Some(Entry::Blob(blob)) => Arc::clone(blob),
            Some(Entry::Writer(_) | Entry::Part(_) | Entry::Response(_)) | None => end(unknown()),
        }
    }

    fn leaf(&self, handle: Handle) -> usize {
        match self.table.entries.get(&handle) {
            Some(Entry::Part(leaf)) => *leaf,
            Some(Entry::Blob(_) | Entry::Writer(_) | Entry::Response(_)) | None => end(unknown()),
        }
    }

    fn response(&self, handle: Handle) -> Arc<FetchResponse> {
        match self.table.entries.get(&handle) {
            Some(Entry::Response(response)) => Arc::clone(response),
            Some(Entry::Blob(_) | Entry::Writer(_) | Entry::Part(_)) | None => end(unknown()),
        }
    }

    fn node(&mut self, handle: Handle) -> &Node {
        self.counted();
        let leaf = self.leaf(handle);
        value(self.message.part(leaf))
    }

    fn leaves(&mut self, attachments: bool) -> Vec<Handle> {
        let message = Arc::clone(&self.message);
        let leaves = value(self.counted().leaves(&message, attachments));
        leaves.into_iter().map(|leaf| self.push(Entry::Part(leaf))).collect()
    }

    fn part_blob(&mut self, part: Handle) -> Arc<Blob> {
        let (message, leaf) = (Arc::clone(&self.message), self.leaf(part));
        value(self.counted().part_content(&message, leaf))
    }

    /// What a sink answers that the bench was told to let fail.
    fn refused(&self, sink: &str) -> Result<(), Fault> {
        self.refusals.get(sink).map_or(Ok(()), |fault| Err(fault.clone()))
    }
}

impl Host for BenchHost {
    fn blob_size(&mut self, blob: Handle) -> u64 {
        self.counted();
        self.blob(blob).size()
    }

    fn blob_sha256(&mut self, blob: Handle) -> String {
        let blob = self.blob(blob);
        value(self.counted().digest(&blob)).to_string()
    }

    fn blob_read(&mut self, blob: Handle, offset: u64, len: u32) -> Result<Vec<u8>, Fault> {
        let blob = self.blob(blob);
        answer(self.counted().read(&blob, offset, len))
    }

    fn blob_slice(&mut self, blob: Handle, offset: u64, len: u64) -> Result<Handle, Fault> {
        let blob = self.blob(blob);
        let slice = answer(self.counted().slice(&blob, offset, len))?;
        Ok(self.push(Entry::Blob(Arc::new(slice))))
    }

    fn writer_new(&mut self) -> Handle {
        self.counted();
        self.push(Entry::Writer(Writer::default()))
    }

    fn writer_write(&mut self, writer: Handle, octets: &[u8]) -> Result<(), Fault> {
        self.counted();
        let writer = value(self.table.writer(writer));
        answer(self.call.write(writer, octets))
    }

    fn writer_append(&mut self, writer: Handle, source: Handle) -> Result<(), Fault> {
        self.counted();
        let blob = self.blob(source);
        let writer = value(self.table.writer(writer));
        answer(self.call.append(writer, &blob))
    }

    fn writer_finish(&mut self, writer: Handle) -> Result<Handle, Fault> {
        self.counted();
        let writer = value(self.table.writer(writer));
        let blob = answer(self.call.finish(writer))?;
        Ok(self.push(Entry::Blob(Arc::new(blob))))
    }

    fn part_path(&mut self, part: Handle) -> String {
        self.node(part).path.clone()
    }

    fn part_content_type(&mut self, part: Handle) -> String {
        self.node(part).content_type.clone()
    }

    fn part_filename(&mut self, part: Handle) -> Option<String> {
        self.node(part).filename.clone()
    }

    fn part_safe_filename(&mut self, part: Handle) -> String {
        self.counted();
        value(self.message.safe_filename(self.leaf(part)))
    }

    fn part_content_id(&mut self, part: Handle) -> Option<String> {
        self.node(part).content_id.clone()
    }

    fn part_is_inline(&mut self, part: Handle) -> bool {
        self.counted();
        value(self.message.is_inline(self.leaf(part)))
    }

    fn part_is_attachment(&mut self, part: Handle) -> bool {
        self.counted();
        value(self.message.is_attachment(self.leaf(part)))
    }

    fn part_size(&mut self, part: Handle) -> u64 {
        self.part_blob(part).size()
    }

    fn part_content(&mut self, part: Handle) -> Result<Handle, Fault> {
        let blob = self.part_blob(part);
        Ok(self.push(Entry::Blob(blob)))
    }

    fn part_header_raw(&mut self, part: Handle, name: &str) -> Vec<Vec<u8>> {
        self.counted();
        value(self.message.part_raw_fields(self.leaf(part), name))
    }

    fn part_is_damaged(&mut self, part: Handle) -> bool {
        self.node(part).damaged
    }

    fn safe_filename(&mut self, name: &str, octets: u32, copy: u32) -> String {
        self.counted().safe_filename(name, octets, copy)
    }

    fn id(&mut self) -> String {
        self.counted();
        self.message.id().to_string()
    }

    fn account(&mut self) -> String {
        self.counted();
        self.message.provenance().account.to_string()
    }

    fn uidl(&mut self) -> Option<String> {
        self.counted();
        self.message.uidl()
    }

    fn sha256(&mut self) -> String {
        self.counted();
        self.message.provenance().digest.to_string()
    }

    fn size(&mut self) -> u64 {
        self.counted();
        self.message.octets().len()
    }

    fn received_ms(&mut self) -> u64 {
        self.counted();
        self.message.received_ms()
    }

    fn header(&mut self, name: &str) -> Option<String> {
        self.counted();
        value(self.message.field(name))
    }

    fn header_all(&mut self, name: &str) -> Vec<String> {
        self.counted();
        value(self.message.fields(name))
    }

    fn header_raw(&mut self, name: &str) -> Vec<Vec<u8>> {
        self.counted();
        value(self.message.raw_fields(name))
    }

    fn addresses(&mut self, header: &str) -> Vec<Address> {
        self.counted();
        let found = value(self.message.addresses(header)).into_iter();
        found.map(|address| Address { name: address.name, email: address.email }).collect()
    }

    fn date_ms(&mut self) -> Option<i64> {
        self.counted();
        value(self.message.date_ms())
    }

    fn body(&mut self, kind: BodyKind, max_bytes: u32) -> Option<String> {
        let kind = match kind {
            BodyKind::Text => Text::Plain,
            BodyKind::Html => Text::Html,
        };
        let message = Arc::clone(&self.message);
        value(self.counted().body(&message, kind, max_bytes))
    }

    fn parts(&mut self) -> Vec<Handle> {
        self.leaves(false)
    }

    fn attachments(&mut self) -> Vec<Handle> {
        self.leaves(true)
    }

    fn raw(&mut self) -> Handle {
        self.counted();
        let raw = Arc::clone(self.message.raw());
        self.push(Entry::Blob(raw))
    }

    fn labels(&mut self) -> Vec<String> {
        self.counted().labels()
    }

    fn store(&mut self, sink: &str, key: &str, content: Handle, options: Fields) -> Result<String, Fault> {
        self.refused(sink)?;
        let blob = self.blob(content);
        answer(self.counted().store(sink, key.to_owned(), &blob, options))
    }

    fn file_into(
        &mut self,
        sink: &str,
        mailbox: &str,
        content: Handle,
        options: Fields,
    ) -> Result<(), Fault> {
        self.refused(sink)?;
        let blob = self.blob(content);
        answer(self.counted().file_into(sink, mailbox.to_owned(), &blob, options))
    }

    fn forward(&mut self, sink: &str, to: Vec<String>, add_headers: Fields) -> Result<(), Fault> {
        self.refused(sink)?;
        answer(self.counted().forward(sink, to, add_headers))
    }

    fn send(&mut self, sink: &str, to: Vec<String>, message: Handle) -> Result<(), Fault> {
        self.refused(sink)?;
        let blob = self.blob(message);
        answer(self.counted().send(sink, to, &blob, Vec::new()))
    }

    fn label(&mut self, name: &str) -> Result<(), Fault> {
        answer(self.counted().label(name.to_owned()))
    }

    fn discard(&mut self, reason: &str) -> Result<(), Fault> {
        answer(self.counted().discard(reason))
    }

    fn quarantine(&mut self, reason: &str) -> Result<(), Fault> {
        answer(self.counted().quarantine(reason))
    }

    fn stop(&mut self) {
        self.counted().stop();
    }

    fn retry_after(&mut self, seconds: u32) {
        self.retry_after = Some(seconds);
        self.counted().retry_after(seconds);
    }

    fn kv_get(&mut self, key: &str) -> Result<Option<Vec<u8>>, Fault> {
        answer(self.counted().kv_get(key))
    }

    fn kv_set(&mut self, key: &str, value: &[u8]) -> Result<(), Fault> {
        answer(self.counted().kv_set(key.to_owned(), value.to_vec()))
    }

    fn kv_delete(&mut self, key: &str) -> Result<(), Fault> {
        answer(self.counted().kv_delete(key.to_owned()))
    }

    fn fetch_get(&mut self, target: &str, path: &str, headers: Fields) -> Result<Handle, Fault> {
        let fetched = self.counted().fetch_get(target, path.to_owned(), headers);
        answer(fetched).map(|response| self.push(Entry::Response(Arc::new(response))))
    }

    fn fetch_post(
        &mut self,
        target: &str,
        path: &str,
        headers: Fields,
        body: Handle,
    ) -> Result<Handle, Fault> {
        let body = self.blob(body);
        let fetched = self.counted().fetch_post(target, path.to_owned(), headers, &body);
        answer(fetched).map(|response| self.push(Entry::Response(Arc::new(response))))
    }

    fn response_status(&mut self, response: Handle) -> u16 {
        self.counted();
        self.response(response).status()
    }

    fn response_header(&mut self, response: Handle, name: &str) -> Option<String> {
        self.counted();
        self.response(response).header(name).map(str::to_owned)
    }

    fn response_body(&mut self, response: Handle) -> Handle {
        self.counted();
        let body = Arc::clone(self.response(response).body());
        self.push(Entry::Blob(body))
    }

    fn log(&mut self, level: Level, text: &str, fields: Fields) {
        let level = match level {
            Level::Trace => "trace",
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
        };
        self.counted().log.emit(level, text, &fields);
    }

    fn drop(&mut self, handle: Handle) {
        self.table.entries.remove(&handle);
    }
}

/// Ends the call; whoever started it finds the breach again by its type.
fn end(breach: Breach) -> ! {
    resume_unwind(Box::new(breach))
}

fn unknown() -> Breach {
    Breach::Host("a handle of another call was used".to_owned())
}

fn value<T>(result: Result<T, Breach>) -> T {
    result.unwrap_or_else(|breach| end(breach))
}

fn answer<T>(result: Result<T, Refusal>) -> Result<T, Fault> {
    result.map_err(|refusal| match refusal {
        Refusal::Fault(fault) => self::fault(fault),
        Refusal::Breach(breach) => end(breach),
    })
}

fn fault(fault: contract::Fault) -> Fault {
    match fault {
        contract::Fault::Denied(text) => Fault::Denied(text),
        contract::Fault::Quota(text) => Fault::Quota(text),
        contract::Fault::Invalid(text) => Fault::Invalid(text),
        contract::Fault::Missing => Fault::Missing,
        contract::Fault::Transient(text) => Fault::Transient(text),
        contract::Fault::Other(text) => Fault::Other(text),
    }
}
