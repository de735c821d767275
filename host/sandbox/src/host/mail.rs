//! `mail`: the message and its parts.

use std::sync::Arc;

use postroom_mail::rules::safe_filename;
use postroom_mail::structure::Node;
use wasmtime::Result;
use wasmtime::component::Resource;

use crate::bindings::plugin::postroom::plugin::{mail, types};
use crate::blob::{Blob, BlobEntry};
use crate::invocation::Invocation;
use crate::message::{Message, MessageEntry, PartEntry, ReadError};
use crate::refusal::{Breach, Refusal};

/// Octets of text `body` returns at most.
const BODY_CAP: u32 = 8 << 20;
/// Values of one `header-all`, `header-raw` or `addresses`.
const VALUES: usize = 1000;

impl From<ReadError> for Breach {
    fn from(error: ReadError) -> Self {
        Self::Host(error.to_string())
    }
}

impl Invocation {
    fn message(&self, handle: &Resource<MessageEntry>) -> Result<Arc<Message>> {
        Ok(Arc::clone(&self.get(handle)?.0))
    }

    /// The message, with its structure found. Finding it is not charged to the plugin that happens to ask first.
    fn parsed(&mut self, message: &Message) -> Result<()> {
        if !message.is_parsed() {
            self.meter.uncharged(|| message.structure().map(drop)).map_err(Breach::from)?;
        }
        if !self.told_flaws && !message.flaws().is_empty() {
            self.told_flaws = true;
            self.log.emit("warn", &format!("the message is flawed: {}", message.flaws().join("; ")), &[]);
        }
        Ok(())
    }

    fn node<T>(&self, handle: &Resource<PartEntry>, look: impl FnOnce(&Node) -> T) -> Result<T> {
        let part = self.get(handle)?;
        match part.message.node(part.leaf).map_err(Breach::from)? {
            Some(node) => Ok(look(node)),
            None => Err(Breach::Host("a part is gone".to_owned()).into()),
        }
    }

    /// Decoding it for the first time is not charged: it is kept for all steps.
    fn part_content(&mut self, handle: &Resource<PartEntry>) -> Result<Arc<Blob>> {
        let part = self.get(handle)?;
        let (message, leaf) = (Arc::clone(&part.message), part.leaf);
        let encoded =
            message.node(leaf).map_err(Breach::from)?.map_or(0, |node| node.body_end - node.body_start);
        let is_free = !message.has_content(leaf) && message.is_free(encoded);
        let content = match is_free {
            true => self.meter.uncharged(|| message.content(leaf)),
            false => message.content(leaf),
        };
        let content = content.map_err(Breach::from)?;
        self.meter.check()?;
        content.ok_or_else(|| Breach::Host("a part is gone".to_owned()).into())
    }

    fn leaves(
        &mut self,
        handle: &Resource<MessageEntry>,
        attachments: bool,
    ) -> Result<Vec<Resource<PartEntry>>> {
        let message = self.message(handle)?;
        self.parsed(&message)?;
        let mut handles = Vec::new();
        for leaf in 0..message.leaf_count().map_err(Breach::from)? {
            if !attachments || message.is_attachment(leaf).map_err(Breach::from)? {
                handles.push(self.push(PartEntry { message: Arc::clone(&message), leaf })?);
            }
        }
        Ok(handles)
    }
}

impl mail::Host for Invocation {}

impl mail::HostMessage for Invocation {
    fn id(&mut self, handle: Resource<MessageEntry>) -> Result<String> {
        Ok(self.message(&handle)?.id().to_string())
    }

    fn account(&mut self, handle: Resource<MessageEntry>) -> Result<String> {
        Ok(self.message(&handle)?.provenance().account.to_string())
    }

    fn uidl(&mut self, handle: Resource<MessageEntry>) -> Result<Option<String>> {
        let uid = self.message(&handle)?.provenance().uid.to_string();
        Ok(Some(uid).filter(|uid| !uid.is_empty()))
    }

    fn sha256(&mut self, handle: Resource<MessageEntry>) -> Result<String> {
        Ok(self.message(&handle)?.provenance().digest.to_string())
    }

    fn size(&mut self, handle: Resource<MessageEntry>) -> Result<u64> {
        Ok(self.message(&handle)?.octets().len())
    }

    fn received_ms(&mut self, handle: Resource<MessageEntry>) -> Result<u64> {
        Ok(u64::try_from(self.message(&handle)?.provenance().retrieved.0).unwrap_or(0))
    }

    fn header(&mut self, handle: Resource<MessageEntry>, name: String) -> Result<Option<String>> {
        Ok(self.message(&handle)?.header().map_err(Breach::from)?.first(&name))
    }

    fn header_all(&mut self, handle: Resource<MessageEntry>, name: String) -> Result<Vec<String>> {
        let mut values = self.message(&handle)?.header().map_err(Breach::from)?.all(&name);
        values.truncate(VALUES);
        Ok(values)
    }

    fn header_raw(&mut self, handle: Resource<MessageEntry>, name: String) -> Result<Vec<Vec<u8>>> {
        let mut values = self.message(&handle)?.header().map_err(Breach::from)?.raw(&name);
        values.truncate(VALUES);
        Ok(values)
    }

    fn addresses(&mut self, handle: Resource<MessageEntry>, header: String) -> Result<Vec<types::Address>> {
        let found = self.message(&handle)?.header().map_err(Breach::from)?.addresses(&header);
        let found = found.into_iter().take(VALUES);
        Ok(found.map(|address| types::Address { name: address.name, email: address.email }).collect())
    }

    fn date_ms(&mut self, handle: Resource<MessageEntry>) -> Result<Option<i64>> {
        Ok(self.message(&handle)?.header().map_err(Breach::from)?.date().map(|date| date.0))
    }

    fn body(
        &mut self,
        handle: Resource<MessageEntry>,
        kind: mail::BodyKind,
        max: u32,
    ) -> Result<Option<String>> {
        let message = self.message(&handle)?;
        self.parsed(&message)?;
        let content_type = match kind {
            mail::BodyKind::Text => "text/plain",
            mail::BodyKind::Html => "text/html",
        };
        Ok(message.text(content_type, max.min(BODY_CAP) as usize).map_err(Breach::from)?)
    }

    fn parts(&mut self, handle: Resource<MessageEntry>) -> Result<Vec<Resource<PartEntry>>> {
        self.leaves(&handle, false)
    }

    fn attachments(&mut self, handle: Resource<MessageEntry>) -> Result<Vec<Resource<PartEntry>>> {
        self.leaves(&handle, true)
    }

    fn raw(&mut self, handle: Resource<MessageEntry>) -> Result<Resource<BlobEntry>> {
        let raw = Arc::clone(self.message(&handle)?.raw());
        self.push(BlobEntry(raw))
    }

    fn labels(&mut self, _: Resource<MessageEntry>) -> Result<Vec<String>> {
        let Ok(work) = self.work() else { return Ok(Vec::new()) };
        Ok(work.earlier.iter().chain(&work.queue.labels).map(|label| label.as_str().to_owned()).collect())
    }

    fn drop(&mut self, handle: Resource<MessageEntry>) -> Result<()> {
        self.delete(handle)
    }
}

impl mail::HostPart for Invocation {
    fn path(&mut self, handle: Resource<PartEntry>) -> Result<String> {
        self.node(&handle, |node| node.path.clone())
    }

    fn content_type(&mut self, handle: Resource<PartEntry>) -> Result<String> {
        self.node(&handle, |node| node.content_type.clone())
    }

    fn filename(&mut self, handle: Resource<PartEntry>) -> Result<Option<String>> {
        self.node(&handle, |node| node.filename.clone())
    }

    fn safe_filename(&mut self, handle: Resource<PartEntry>) -> Result<String> {
        self.node(&handle, |node| safe_filename(node.filename.as_deref(), &node.content_type, &node.path))
    }

    fn content_id(&mut self, handle: Resource<PartEntry>) -> Result<Option<String>> {
        self.node(&handle, |node| node.content_id.clone())
    }

    fn is_inline(&mut self, handle: Resource<PartEntry>) -> Result<bool> {
        let part = self.get(&handle)?;
        Ok(part.message.is_inline(part.leaf).map_err(Breach::from)?)
    }

    fn is_attachment(&mut self, handle: Resource<PartEntry>) -> Result<bool> {
        let part = self.get(&handle)?;
        Ok(part.message.is_attachment(part.leaf).map_err(Breach::from)?)
    }

    fn size(&mut self, handle: Resource<PartEntry>) -> Result<u64> {
        Ok(self.part_content(&handle)?.size())
    }

    fn content(&mut self, handle: Resource<PartEntry>) -> Result<Resource<BlobEntry>, Refusal> {
        let content = self.part_content(&handle)?;
        Ok(self.push(BlobEntry(content))?)
    }

    fn drop(&mut self, handle: Resource<PartEntry>) -> Result<()> {
        self.delete(handle)
    }
}
