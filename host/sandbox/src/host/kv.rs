//! `kv`: durable state.

use crate::bindings::plugin::postroom::plugin::kv;
use crate::invocation::Invocation;
use crate::refusal::Refusal;

impl kv::Host for Invocation {
    fn get(&mut self, key: String) -> Result<Option<Vec<u8>>, Refusal> {
        Ok(self.call.kv_get(&key)?)
    }

    fn set(&mut self, key: String, value: Vec<u8>) -> Result<(), Refusal> {
        Ok(self.call.kv_set(key, value)?)
    }

    fn delete(&mut self, key: String) -> Result<(), Refusal> {
        Ok(self.call.kv_delete(key)?)
    }
}
