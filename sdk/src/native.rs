//! What stands behind the SDK outside of WebAssembly: a host on the running thread, given by whoever calls a plugin
//! natively (`postroom-bench`). Plain types only, handles as numbers; not an interface for plugins.

use std::cell::RefCell;
use std::rc::Rc;

use crate::fault::{Failure, Fault, Problem};
use crate::log::Level;
use crate::message::{Address, BodyKind, Message};
use crate::plugin::Plugin;
use crate::{plugin, seam, settings};

/// Number of a blob, a writer, a part or an answer in the tables of the host.
pub type Handle = u32;
/// Named values, in order.
pub type Fields = Vec<(String, String)>;

/// The calls of the contract, as `sdk/wit` has them. A call may unwind: then the host has ended the run.
#[allow(missing_docs, reason = "sdk/wit says it")]
pub trait Host {
    fn blob_size(&mut self, blob: Handle) -> u64;
    fn blob_sha256(&mut self, blob: Handle) -> String;
    fn blob_read(&mut self, blob: Handle, offset: u64, len: u32) -> Result<Vec<u8>, Fault>;
    fn blob_slice(&mut self, blob: Handle, offset: u64, len: u64) -> Result<Handle, Fault>;

    fn writer_new(&mut self) -> Handle;
    fn writer_write(&mut self, writer: Handle, octets: &[u8]) -> Result<(), Fault>;
    fn writer_append(&mut self, writer: Handle, source: Handle) -> Result<(), Fault>;
    fn writer_finish(&mut self, writer: Handle) -> Result<Handle, Fault>;

    fn part_path(&mut self, part: Handle) -> String;
    fn part_content_type(&mut self, part: Handle) -> String;
    fn part_filename(&mut self, part: Handle) -> Option<String>;
    fn part_safe_filename(&mut self, part: Handle) -> String;
    fn part_content_id(&mut self, part: Handle) -> Option<String>;
    fn part_is_inline(&mut self, part: Handle) -> bool;
    fn part_is_attachment(&mut self, part: Handle) -> bool;
    fn part_size(&mut self, part: Handle) -> u64;
    fn part_content(&mut self, part: Handle) -> Result<Handle, Fault>;
    fn part_header_raw(&mut self, part: Handle, name: &str) -> Vec<Vec<u8>>;
    fn part_is_damaged(&mut self, part: Handle) -> bool;
    fn safe_filename(&mut self, name: &str, octets: u32, copy: u32) -> String;

    fn id(&mut self) -> String;
    fn account(&mut self) -> String;
    fn uidl(&mut self) -> Option<String>;
    fn sha256(&mut self) -> String;
    fn size(&mut self) -> u64;
    fn received_ms(&mut self) -> u64;
    fn header(&mut self, name: &str) -> Option<String>;
    fn header_all(&mut self, name: &str) -> Vec<String>;
    fn header_raw(&mut self, name: &str) -> Vec<Vec<u8>>;
    fn addresses(&mut self, header: &str) -> Vec<Address>;
    fn date_ms(&mut self) -> Option<i64>;
    fn body(&mut self, kind: BodyKind, max_bytes: u32) -> Option<String>;
    fn parts(&mut self) -> Vec<Handle>;
    fn attachments(&mut self) -> Vec<Handle>;
    fn raw(&mut self) -> Handle;
    fn labels(&mut self) -> Vec<String>;

    fn store(&mut self, sink: &str, key: &str, content: Handle, options: Fields) -> Result<String, Fault>;
    fn file_into(&mut self, sink: &str, mailbox: &str, content: Handle, options: Fields)
    -> Result<(), Fault>;
    fn forward(&mut self, sink: &str, to: Vec<String>, add_headers: Fields) -> Result<(), Fault>;
    fn send(&mut self, sink: &str, to: Vec<String>, message: Handle) -> Result<(), Fault>;
    fn label(&mut self, name: &str) -> Result<(), Fault>;
    fn discard(&mut self, reason: &str) -> Result<(), Fault>;
    fn quarantine(&mut self, reason: &str) -> Result<(), Fault>;
    fn stop(&mut self);
    fn retry_after(&mut self, seconds: u32);

    fn kv_get(&mut self, key: &str) -> Result<Option<Vec<u8>>, Fault>;
    fn kv_set(&mut self, key: &str, value: &[u8]) -> Result<(), Fault>;
    fn kv_delete(&mut self, key: &str) -> Result<(), Fault>;

    fn fetch_get(&mut self, target: &str, path: &str, headers: Fields) -> Result<Handle, Fault>;
    fn fetch_post(
        &mut self,
        target: &str,
        path: &str,
        headers: Fields,
        body: Handle,
    ) -> Result<Handle, Fault>;
    fn response_status(&mut self, response: Handle) -> u16;
    fn response_header(&mut self, response: Handle, name: &str) -> Option<String>;
    fn response_body(&mut self, response: Handle) -> Handle;

    fn log(&mut self, level: Level, text: &str, fields: Fields);

    /// A handle the plugin let go of.
    fn drop(&mut self, handle: Handle);
}

thread_local! {
    static HOST: RefCell<Option<Rc<RefCell<dyn Host>>>> = const { RefCell::new(None) };
}

/// Takes the host away again, also when the plugin panics.
struct Installed(Option<Rc<RefCell<dyn Host>>>);

impl Installed {
    fn new(host: Rc<RefCell<dyn Host>>) -> Self {
        Self(HOST.with(|slot| slot.replace(Some(host))))
    }
}

impl Drop for Installed {
    fn drop(&mut self) {
        HOST.with(|slot| slot.replace(self.0.take()));
    }
}

/// What `describe` of a plugin answers.
pub fn describe<P: Plugin>() -> String {
    plugin::describe::<P>()
}

/// What `configure` of a plugin makes of its settings.
///
/// # Errors
/// What is wrong with them.
pub fn configure<P: Plugin>(settings: &str) -> Result<P::Settings, Vec<Problem>> {
    settings::settings::<P>(settings)
}

/// What a plugin finds odd about settings that it takes.
///
/// # Errors
/// What is wrong with them.
pub fn warnings<P: Plugin>(settings: &str) -> Result<Vec<Problem>, Vec<Problem>> {
    Ok(P::warnings(&settings::settings::<P>(settings)?))
}

/// Calls something with the message of this host: `handle` of a plugin, or a part of one.
///
/// # Errors
/// What it answers.
pub fn call(
    host: Rc<RefCell<dyn Host>>,
    act: impl FnOnce(&Message<'_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let _installed = Installed::new(host);
    act(&Message(seam::Message::new()))
}

/// Asks the host of this thread; `None` outside of a call.
pub(crate) fn ask<T>(act: impl FnOnce(&mut dyn Host) -> T) -> Option<T> {
    let host = HOST.try_with(|slot| slot.borrow().clone()).ok().flatten()?;
    let mut host = host.try_borrow_mut().ok()?;
    Some(act(&mut *host))
}

/// As [`ask`], of what can be refused.
pub(crate) fn attempt<T>(act: impl FnOnce(&mut dyn Host) -> Result<T, Fault>) -> Result<T, Fault> {
    ask(act).unwrap_or_else(|| {
        Err(Fault::Other("outside of a run: call this from `handle`, run by a Bench".to_owned()))
    })
}
