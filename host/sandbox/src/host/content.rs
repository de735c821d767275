//! `content`: octets by handle.

use std::sync::Arc;

use postroom_contract::Writer;
use wasmtime::Result;
use wasmtime::component::Resource;

use crate::bindings::plugin::postroom::plugin::{content, types};
use crate::handles::BlobEntry;
use crate::invocation::Invocation;
use crate::refusal::Refusal;

impl types::Host for Invocation {
    fn convert_fault(&mut self, refusal: Refusal) -> Result<types::Fault> {
        match refusal {
            Refusal::Fault(fault) => Ok(fault),
            Refusal::Trap(error) => Err(error),
        }
    }
}

impl content::Host for Invocation {}

impl content::HostBlob for Invocation {
    fn size(&mut self, handle: Resource<BlobEntry>) -> Result<u64> {
        Ok(self.get(&handle)?.0.size())
    }

    fn sha256(&mut self, handle: Resource<BlobEntry>) -> Result<String> {
        let blob = Arc::clone(&self.get(&handle)?.0);
        Ok(self.call.digest(&blob)?.to_string())
    }

    fn read(&mut self, handle: Resource<BlobEntry>, offset: u64, len: u32) -> Result<Vec<u8>, Refusal> {
        let blob = Arc::clone(&self.get(&handle)?.0);
        Ok(self.call.read(&blob, offset, len)?)
    }

    fn slice(
        &mut self,
        handle: Resource<BlobEntry>,
        offset: u64,
        len: u64,
    ) -> Result<Resource<BlobEntry>, Refusal> {
        let blob = Arc::clone(&self.get(&handle)?.0);
        let slice = self.call.slice(&blob, offset, len)?;
        Ok(self.push(BlobEntry(Arc::new(slice)))?)
    }

    fn drop(&mut self, handle: Resource<BlobEntry>) -> Result<()> {
        self.delete(handle)
    }
}

impl content::HostWriter for Invocation {
    fn new(&mut self) -> Result<Resource<Writer>> {
        self.push(Writer::default())
    }

    fn write(&mut self, handle: Resource<Writer>, octets: Vec<u8>) -> Result<(), Refusal> {
        let (writer, call) = self.get_mut(&handle)?;
        Ok(call.write(writer, &octets)?)
    }

    fn append(&mut self, handle: Resource<Writer>, source: Resource<BlobEntry>) -> Result<(), Refusal> {
        let blob = Arc::clone(&self.get(&source)?.0);
        let (writer, call) = self.get_mut(&handle)?;
        Ok(call.append(writer, &blob)?)
    }

    fn finish(&mut self, handle: Resource<Writer>) -> Result<Resource<BlobEntry>, Refusal> {
        let (writer, call) = self.get_mut(&handle)?;
        let blob = call.finish(writer)?;
        Ok(self.push(BlobEntry(Arc::new(blob)))?)
    }

    fn drop(&mut self, handle: Resource<Writer>) -> Result<()> {
        self.delete(handle)
    }
}
