//! `mail`: the message and its parts.

use std::sync::Arc;

use postroom_contract::{Message, Text};
use postroom_mail::structure::Node;
use wasmtime::Result;
use wasmtime::component::Resource;

use crate::bindings::plugin::postroom::plugin::{mail, types};
use crate::handles::{BlobEntry, MessageEntry, PartEntry};
use crate::invocation::Invocation;
use crate::refusal::Refusal;

impl Invocation {
    fn message(&self, handle: &Resource<MessageEntry>) -> Result<Arc<Message>> {
        Ok(Arc::clone(&self.get(handle)?.0))
    }

    fn node(&self, handle: &Resource<PartEntry>) -> Result<&Node> {
        let part = self.get(handle)?;
        Ok(part.message.part(part.leaf)?)
    }

    fn leaves(
        &mut self,
        handle: &Resource<MessageEntry>,
        attachments: bool,
    ) -> Result<Vec<Resource<PartEntry>>> {
        let message = self.message(handle)?;
        let leaves = self.call.leaves(&message, attachments)?;
        leaves.into_iter().map(|leaf| self.push(PartEntry { message: Arc::clone(&message), leaf })).collect()
    }

    fn content_of(&mut self, handle: &Resource<PartEntry>) -> Result<Arc<postroom_contract::Blob>> {
        let PartEntry { message, leaf } = self.get(handle)?;
        let (message, leaf) = (Arc::clone(message), *leaf);
        Ok(self.call.part_content(&message, leaf)?)
    }
}

impl mail::Host for Invocation {
    fn safe_filename(&mut self, name: String, octets: u32, copy: u32) -> Result<String> {
        Ok(self.call.safe_filename(&name, octets, copy))
    }
}

impl mail::HostMessage for Invocation {
    fn id(&mut self, handle: Resource<MessageEntry>) -> Result<String> {
        Ok(self.message(&handle)?.id().to_string())
    }

    fn account(&mut self, handle: Resource<MessageEntry>) -> Result<String> {
        Ok(self.message(&handle)?.provenance().account.to_string())
    }

    fn uidl(&mut self, handle: Resource<MessageEntry>) -> Result<Option<String>> {
        Ok(self.message(&handle)?.uidl())
    }

    fn sha256(&mut self, handle: Resource<MessageEntry>) -> Result<String> {
        Ok(self.message(&handle)?.provenance().digest.to_string())
    }

    fn size(&mut self, handle: Resource<MessageEntry>) -> Result<u64> {
        Ok(self.message(&handle)?.octets().len())
    }

    fn received_ms(&mut self, handle: Resource<MessageEntry>) -> Result<u64> {
        Ok(self.message(&handle)?.received_ms())
    }

    fn header(&mut self, handle: Resource<MessageEntry>, name: String) -> Result<Option<String>> {
        Ok(self.message(&handle)?.field(&name)?)
    }

    fn header_all(&mut self, handle: Resource<MessageEntry>, name: String) -> Result<Vec<String>> {
        Ok(self.message(&handle)?.fields(&name)?)
    }

    fn header_raw(&mut self, handle: Resource<MessageEntry>, name: String) -> Result<Vec<Vec<u8>>> {
        Ok(self.message(&handle)?.raw_fields(&name)?)
    }

    fn addresses(&mut self, handle: Resource<MessageEntry>, header: String) -> Result<Vec<types::Address>> {
        let found = self.message(&handle)?.addresses(&header)?.into_iter();
        Ok(found.map(|address| types::Address { name: address.name, email: address.email }).collect())
    }

    fn date_ms(&mut self, handle: Resource<MessageEntry>) -> Result<Option<i64>> {
        Ok(self.message(&handle)?.date_ms()?)
    }

    fn body(
        &mut self,
        handle: Resource<MessageEntry>,
        kind: mail::BodyKind,
        max: u32,
    ) -> Result<Option<String>> {
        let message = self.message(&handle)?;
        let kind = match kind {
            mail::BodyKind::Text => Text::Plain,
            mail::BodyKind::Html => Text::Html,
        };
        Ok(self.call.body(&message, kind, max)?)
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
        Ok(self.call.labels())
    }

    fn drop(&mut self, handle: Resource<MessageEntry>) -> Result<()> {
        self.delete(handle)
    }
}

impl mail::HostPart for Invocation {
    fn path(&mut self, handle: Resource<PartEntry>) -> Result<String> {
        Ok(self.node(&handle)?.path.clone())
    }

    fn content_type(&mut self, handle: Resource<PartEntry>) -> Result<String> {
        Ok(self.node(&handle)?.content_type.clone())
    }

    fn filename(&mut self, handle: Resource<PartEntry>) -> Result<Option<String>> {
        Ok(self.node(&handle)?.filename.clone())
    }

    fn safe_filename(&mut self, handle: Resource<PartEntry>) -> Result<String> {
        let part = self.get(&handle)?;
        Ok(part.message.safe_filename(part.leaf)?)
    }

    fn content_id(&mut self, handle: Resource<PartEntry>) -> Result<Option<String>> {
        Ok(self.node(&handle)?.content_id.clone())
    }

    fn is_inline(&mut self, handle: Resource<PartEntry>) -> Result<bool> {
        let part = self.get(&handle)?;
        Ok(part.message.is_inline(part.leaf)?)
    }

    fn is_attachment(&mut self, handle: Resource<PartEntry>) -> Result<bool> {
        let part = self.get(&handle)?;
        Ok(part.message.is_attachment(part.leaf)?)
    }

    fn size(&mut self, handle: Resource<PartEntry>) -> Result<u64> {
        Ok(self.content_of(&handle)?.size())
    }

    fn content(&mut self, handle: Resource<PartEntry>) -> Result<Resource<BlobEntry>, Refusal> {
        let content = self.content_of(&handle)?;
        Ok(self.push(BlobEntry(content))?)
    }

    fn header_raw(&mut self, handle: Resource<PartEntry>, name: String) -> Result<Vec<Vec<u8>>> {
        let part = self.get(&handle)?;
        Ok(part.message.part_raw_fields(part.leaf, &name)?)
    }

    fn is_damaged(&mut self, handle: Resource<PartEntry>) -> Result<bool> {
        Ok(self.node(&handle)?.damaged)
    }

    fn drop(&mut self, handle: Resource<PartEntry>) -> Result<()> {
        self.delete(handle)
    }
}
