//! The seam inside the host: every name is a call of the contract.

use std::any::Any;
use std::cell::RefCell;
use std::marker::PhantomData;
use std::rc::Rc;

use crate::bindings::mime::exports::postroom::plugin::structure as wit_structure;
use crate::bindings::plugin::exports::postroom::plugin::handler;
use crate::bindings::plugin::postroom::plugin::{content, effects, fetch, kv, log as wit_log, mail, types};
use crate::fault::{Failure, Fault, Problem};
use crate::log::Level;
use crate::message::{Address, BodyKind};
use crate::plugin::{self, Plugin};
use crate::settings;
use crate::structure::{Budget, Encoding, Node, Parser, Tree};

#[derive(Debug)]
pub(crate) struct Blob(content::Blob);

impl Blob {
    pub(crate) fn size(&self) -> u64 {
        self.0.size()
    }
    pub(crate) fn sha256(&self) -> String {
        self.0.sha256()
    }
    pub(crate) fn read(&self, offset: u64, len: u32) -> Result<Vec<u8>, Fault> {
        self.0.read(offset, len).map_err(fault)
    }
    pub(crate) fn slice(&self, offset: u64, len: u64) -> Result<Self, Fault> {
        self.0.slice(offset, len).map(Self).map_err(fault)
    }
}

#[derive(Debug)]
pub(crate) struct Writer(content::Writer);

impl Writer {
    pub(crate) fn new() -> Self {
        Self(content::Writer::new())
    }
    pub(crate) fn write(&mut self, octets: &[u8]) -> Result<(), Fault> {
        self.0.write(octets).map_err(fault)
    }
    pub(crate) fn append(&mut self, source: &Blob) -> Result<(), Fault> {
        self.0.append(&source.0).map_err(fault)
    }
    pub(crate) fn finish(self) -> Result<Blob, Fault> {
        self.0.finish().map(Blob).map_err(fault)
    }
}

#[derive(Debug)]
pub(crate) struct Part(mail::Part);

impl Part {
    pub(crate) fn path(&self) -> String {
        self.0.path()
    }
    pub(crate) fn content_type(&self) -> String {
        self.0.content_type()
    }
    pub(crate) fn filename(&self) -> Option<String> {
        self.0.filename()
    }
    pub(crate) fn safe_filename(&self) -> String {
        self.0.safe_filename()
    }
    pub(crate) fn content_id(&self) -> Option<String> {
        self.0.content_id()
    }
    pub(crate) fn is_inline(&self) -> bool {
        self.0.is_inline()
    }
    pub(crate) fn is_attachment(&self) -> bool {
        self.0.is_attachment()
    }
    pub(crate) fn size(&self) -> u64 {
        self.0.size()
    }
    pub(crate) fn content(&self) -> Result<Blob, Fault> {
        self.0.content().map(Blob).map_err(fault)
    }
    pub(crate) fn header_raw(&self, name: &str) -> Vec<Vec<u8>> {
        self.0.header_raw(name)
    }
    pub(crate) fn is_damaged(&self) -> bool {
        self.0.is_damaged()
    }
}

pub(crate) fn safe_filename(name: &str, octets: u32, copy: u32) -> String {
    mail::safe_filename(name, octets, copy)
}

#[derive(Debug)]
pub(crate) struct Message<'m>(&'m mail::Message);

impl Message<'_> {
    pub(crate) fn id(&self) -> String {
        self.0.id()
    }
    pub(crate) fn account(&self) -> String {
        self.0.account()
    }
    pub(crate) fn uidl(&self) -> Option<String> {
        self.0.uidl()
    }
    pub(crate) fn sha256(&self) -> String {
        self.0.sha256()
    }
    pub(crate) fn size(&self) -> u64 {
        self.0.size()
    }
    pub(crate) fn received_ms(&self) -> u64 {
        self.0.received_ms()
    }
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        self.0.header(name)
    }
    pub(crate) fn header_all(&self, name: &str) -> Vec<String> {
        self.0.header_all(name)
    }
    pub(crate) fn header_raw(&self, name: &str) -> Vec<Vec<u8>> {
        self.0.header_raw(name)
    }
    pub(crate) fn addresses(&self, header: &str) -> Vec<Address> {
        let addresses = self.0.addresses(header).into_iter();
        addresses.map(|address| Address { name: address.name, email: address.email }).collect()
    }
    pub(crate) fn date_ms(&self) -> Option<i64> {
        self.0.date_ms()
    }
    pub(crate) fn body(&self, kind: BodyKind, max_bytes: u32) -> Option<String> {
        let kind = match kind {
            BodyKind::Text => mail::BodyKind::Text,
            BodyKind::Html => mail::BodyKind::Html,
        };
        self.0.body(kind, max_bytes)
    }
    pub(crate) fn parts(&self) -> Vec<Part> {
        self.0.parts().into_iter().map(Part).collect()
    }
    pub(crate) fn attachments(&self) -> Vec<Part> {
        self.0.attachments().into_iter().map(Part).collect()
    }
    pub(crate) fn raw(&self) -> Blob {
        Blob(self.0.raw())
    }
    pub(crate) fn labels(&self) -> Vec<String> {
        self.0.labels()
    }
}

type Fields = Vec<(String, String)>;

pub(crate) fn store(sink: &str, key: &str, content: &Blob, options: Fields) -> Result<String, Fault> {
    effects::store(sink, key, &content.0, &options).map_err(fault)
}
pub(crate) fn file_into(sink: &str, mailbox: &str, content: &Blob, options: Fields) -> Result<(), Fault> {
    effects::file_into(sink, mailbox, &content.0, &options).map_err(fault)
}
pub(crate) fn forward(sink: &str, to: Vec<String>, add_headers: Fields) -> Result<(), Fault> {
    effects::forward(sink, &to, &add_headers).map_err(fault)
}
pub(crate) fn send(sink: &str, to: Vec<String>, message: &Blob) -> Result<(), Fault> {
    effects::send(sink, &to, &message.0, &[]).map_err(fault)
}
pub(crate) fn label(name: &str) -> Result<(), Fault> {
    effects::label(name).map_err(fault)
}
pub(crate) fn discard(reason: &str) -> Result<(), Fault> {
    effects::discard(reason).map_err(fault)
}
pub(crate) fn quarantine(reason: &str) -> Result<(), Fault> {
    effects::quarantine(reason).map_err(fault)
}
pub(crate) fn stop() {
    effects::stop();
}
pub(crate) fn retry_after(seconds: u32) {
    effects::retry_after(seconds);
}

pub(crate) fn kv_get(key: &str) -> Result<Option<Vec<u8>>, Fault> {
    kv::get(key).map_err(fault)
}
pub(crate) fn kv_set(key: &str, value: &[u8]) -> Result<(), Fault> {
    kv::set(key, value).map_err(fault)
}
pub(crate) fn kv_delete(key: &str) -> Result<(), Fault> {
    kv::delete(key).map_err(fault)
}

#[derive(Debug)]
pub(crate) struct Response(fetch::Response);

impl Response {
    pub(crate) fn status(&self) -> u16 {
        self.0.status()
    }
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        self.0.header(name)
    }
    pub(crate) fn body(&self) -> Blob {
        Blob(self.0.body())
    }
}

pub(crate) fn fetch_get(target: &str, path: &str, headers: Fields) -> Result<Response, Fault> {
    fetch::get(target, path, &headers).map(Response).map_err(fault)
}
pub(crate) fn fetch_post(target: &str, path: &str, headers: Fields, body: &Blob) -> Result<Response, Fault> {
    fetch::post(target, path, &headers, &body.0).map(Response).map_err(fault)
}

pub(crate) fn log(level: Level, text: &str, fields: Fields) {
    let level = match level {
        Level::Trace => types::Level::Trace,
        Level::Debug => types::Level::Debug,
        Level::Info => types::Level::Info,
        Level::Warn => types::Level::Warn,
        Level::Error => types::Level::Error,
    };
    wit_log::emit(level, text, &fields);
}

fn fault(fault: types::Fault) -> Fault {
    match fault {
        types::Fault::Denied(text) => Fault::Denied(text),
        types::Fault::Quota(text) => Fault::Quota(text),
        types::Fault::Invalid(text) => Fault::Invalid(text),
        types::Fault::Missing => Fault::Missing,
        types::Fault::Transient(text) => Fault::Transient(text),
        types::Fault::Other(text) => Fault::Other(text),
    }
}

thread_local! {
    /// The settings `configure` took, of the exported plugin's own type.
    static SETTINGS: RefCell<Option<Rc<dyn Any>>> = const { RefCell::new(None) };
}

/// A [`Plugin`] as the world `plugin` wants it.
#[derive(Debug)]
pub struct PluginExport<P>(PhantomData<P>);

impl<P: Plugin> handler::Guest for PluginExport<P> {
    fn describe() -> String {
        plugin::describe::<P>()
    }

    fn configure(settings: String) -> Result<(), Vec<(String, String)>> {
        let settings = settings::settings::<P>(&settings).map_err(pairs)?;
        // A line is all that can be said beside the answer; the host shows those of this call and forgets them with mail.
        for problem in P::warnings(&settings) {
            log(Level::Warn, &problem.text, vec![(settings::PLACE.to_owned(), problem.path)]);
        }
        SETTINGS.with(|slot| slot.replace(Some(Rc::new(settings))));
        Ok(())
    }

    fn handle(message: &handler::Message) -> Result<(), handler::Failure> {
        let settings =
            SETTINGS.with(|slot| slot.borrow().clone()).and_then(|any| any.downcast::<P::Settings>().ok());
        let Some(settings) = settings else {
            return Err(handler::Failure::Permanent("handle was called before configure".to_owned()));
        };
        P::handle(&crate::message::Message(Message(message)), &settings).map_err(|failure| match failure {
            Failure::Transient(text) => handler::Failure::Transient(text),
            Failure::Permanent(text) => handler::Failure::Permanent(text),
        })
    }
}

fn pairs(problems: Vec<Problem>) -> Vec<(String, String)> {
    problems.into_iter().map(|problem| (problem.path, problem.text)).collect()
}

/// A [`Parser`] as the world `mime` wants it.
#[derive(Debug)]
pub struct ParserExport<P>(PhantomData<P>);

impl<P: Parser> wit_structure::Guest for ParserExport<P> {
    fn parse(
        message: &wit_structure::Blob,
        budget: wit_structure::Budget,
    ) -> Result<wit_structure::Tree, String> {
        // The export lends the blob; a slice of all of it is a handle of our own, without a copy.
        let whole = message.slice(0, message.size()).map_err(|refused| fault(refused).to_string())?;
        let budget = Budget { nodes: budget.nodes, depth: budget.depth };
        let Tree { nodes, truncated } = P::parse(&crate::content::Blob(Blob(whole)), budget)?;
        Ok(wit_structure::Tree { nodes: nodes.into_iter().map(node).collect(), truncated })
    }
}

fn node(node: Node) -> wit_structure::Node {
    wit_structure::Node {
        parent: node.parent,
        content_type: node.content_type,
        charset: node.charset,
        encoding: match node.encoding {
            Encoding::Identity => wit_structure::Encoding::Identity,
            Encoding::Base64 => wit_structure::Encoding::Base64,
            Encoding::QuotedPrintable => wit_structure::Encoding::QuotedPrintable,
        },
        disposition: node.disposition,
        filename: node.filename,
        content_id: node.content_id,
        header_start: node.header_start,
        body_start: node.body_start,
        body_end: node.body_end,
        is_container: node.is_container,
        damaged: node.damaged,
    }
}
