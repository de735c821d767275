//! `fetch`: look-ups at targets.

use postroom_contract::FetchResponse;
use wasmtime::Result as TrapResult;
use wasmtime::component::Resource;

use crate::bindings::plugin::postroom::plugin::fetch;
use crate::handles::BlobEntry;
use crate::invocation::Invocation;
use crate::refusal::Refusal;

type Fields = Vec<(String, String)>;

impl fetch::Host for Invocation {
    fn get(
        &mut self,
        target: String,
        path: String,
        headers: Fields,
    ) -> Result<Resource<FetchResponse>, Refusal> {
        let response = self.call.fetch_get(&target, path, headers)?;
        Ok(self.push(response)?)
    }

    fn post(
        &mut self,
        target: String,
        path: String,
        headers: Fields,
        body: Resource<BlobEntry>,
    ) -> Result<Resource<FetchResponse>, Refusal> {
        let body = std::sync::Arc::clone(&Invocation::get(self, &body)?.0);
        let response = self.call.fetch_post(&target, path, headers, &body)?;
        Ok(self.push(response)?)
    }
}

impl fetch::HostResponse for Invocation {
    fn status(&mut self, handle: Resource<FetchResponse>) -> TrapResult<u16> {
        Ok(self.get(&handle)?.status())
    }

    fn header(&mut self, handle: Resource<FetchResponse>, name: String) -> TrapResult<Option<String>> {
        Ok(self.get(&handle)?.header(&name).map(str::to_owned))
    }

    fn body(&mut self, handle: Resource<FetchResponse>) -> TrapResult<Resource<BlobEntry>> {
        let body = std::sync::Arc::clone(self.get(&handle)?.body());
        self.push(BlobEntry(body))
    }

    fn drop(&mut self, handle: Resource<FetchResponse>) -> TrapResult<()> {
        self.delete(handle)
    }
}
