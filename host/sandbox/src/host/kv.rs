//! `kv`: durable state. Reads see the writes of the same call; writes are only queued.

use postroom_mail::KvWrite;

use crate::bindings::plugin::postroom::plugin::kv;
use crate::bindings::plugin::postroom::plugin::types::Fault;
use crate::invocation::{Invocation, Work};
use crate::refusal::Refusal;

impl kv::Host for Invocation {
    fn get(&mut self, key: String) -> Result<Option<Vec<u8>>, Refusal> {
        let work = self.keyed(&key)?;
        if let Some(write) = work.queue.kv.get(&key) {
            return Ok(write.value.clone());
        }
        let found = work.kv.get(&scope(work), &key);
        found.map_err(|text| Refusal::Fault(Fault::Transient(text)))
    }

    fn set(&mut self, key: String, value: Vec<u8>) -> Result<(), Refusal> {
        let allowed = self.limits.kv_value;
        if value.len() as u64 > allowed {
            return Err(Refusal::quota("octets of a kv value", value.len() as u64, allowed));
        }
        let work = self.keyed(&key)?;
        write(work, key, Some(value));
        Ok(())
    }

    fn delete(&mut self, key: String) -> Result<(), Refusal> {
        let work = self.keyed(&key)?;
        write(work, key, None);
        Ok(())
    }
}

impl Invocation {
    /// The work, when it may use this key and this often.
    fn keyed(&mut self, key: &str) -> Result<&mut Work, Refusal> {
        let (ops, longest) = (self.limits.kv_ops, u64::from(self.limits.kv_key));
        let work = self.work()?;
        if !work.step.grants.kv {
            return Err(Refusal::Fault(Fault::Denied(work.step.grants.line_with_kv())));
        }
        if key.is_empty() {
            return Err(Refusal::invalid("a kv key must not be empty"));
        }
        if key.len() as u64 > longest {
            return Err(Refusal::quota("octets of a kv key", key.len() as u64, longest));
        }
        if work.queue.kv_ops >= ops {
            return Err(Refusal::quota("calls of kv", u64::from(ops) + 1, ops.into()));
        }
        work.queue.kv_ops += 1;
        Ok(work)
    }
}

fn scope(work: &Work) -> String {
    format!("{}/{}/{}", work.step.pipeline, work.step.step, work.message.provenance().account)
}

fn write(work: &mut Work, key: String, value: Option<Vec<u8>>) {
    let write = KvWrite { scope: scope(work), key: key.clone(), value };
    work.queue.kv.insert(key, write);
}
