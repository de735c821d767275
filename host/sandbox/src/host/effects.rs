//! `effects`: what is to happen.

use std::sync::Arc;

use postroom_contract::Fields;
use wasmtime::Result as TrapResult;
use wasmtime::component::Resource;

use crate::bindings::plugin::postroom::plugin::effects;
use crate::handles::BlobEntry;
use crate::invocation::Invocation;
use crate::refusal::Refusal;

impl effects::Host for Invocation {
    fn store(
        &mut self,
        sink: String,
        key: String,
        content: Resource<BlobEntry>,
        options: Fields,
    ) -> Result<String, Refusal> {
        let blob = Arc::clone(&self.get(&content)?.0);
        Ok(self.call.store(&sink, key, &blob, options)?)
    }

    fn file_into(
        &mut self,
        sink: String,
        mailbox: String,
        content: Resource<BlobEntry>,
        options: Fields,
    ) -> Result<(), Refusal> {
        let blob = Arc::clone(&self.get(&content)?.0);
        Ok(self.call.file_into(&sink, mailbox, &blob, options)?)
    }

    fn forward(&mut self, sink: String, to: Vec<String>, add_headers: Fields) -> Result<(), Refusal> {
        Ok(self.call.forward(&sink, to, add_headers)?)
    }

    fn send(
        &mut self,
        sink: String,
        to: Vec<String>,
        message: Resource<BlobEntry>,
        options: Fields,
    ) -> Result<(), Refusal> {
        let blob = Arc::clone(&self.get(&message)?.0);
        Ok(self.call.send(&sink, to, &blob, options)?)
    }

    fn label(&mut self, name: String) -> Result<(), Refusal> {
        Ok(self.call.label(name)?)
    }

    fn discard(&mut self, reason: String) -> Result<(), Refusal> {
        Ok(self.call.discard(&reason)?)
    }

    fn quarantine(&mut self, reason: String) -> Result<(), Refusal> {
        Ok(self.call.quarantine(&reason)?)
    }

    fn stop(&mut self) -> TrapResult<()> {
        self.call.stop();
        Ok(())
    }

    fn retry_after(&mut self, seconds: u32) -> TrapResult<()> {
        self.call.retry_after(seconds);
        Ok(())
    }
}
