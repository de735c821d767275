//! `kv`: durable state of a step. Reads see the writes of the same call; writes are only queued, and are part of the
//! outcome.

use std::collections::BTreeMap;

use postroom_mail::{Digest, KvSeen, KvWrite};

use crate::call::{Call, Queue, Work};
use crate::refusal::{Fault, Refusal};

/// Durable state. Each answer is of its own moment: what a call read is noted, and its plan is made only if it is still so.
pub trait KvRead: Send + Sync {
    /// The value of a key in a scope (`pipeline/step/account`).
    ///
    /// # Errors
    /// A text, when the state cannot be read now; the plugin is told that it may work later.
    fn get(&self, scope: &str, key: &str) -> Result<Option<Vec<u8>>, String>;

    /// Octets that all entries of a scope are counted as ([`KvWrite::counted`]). Asked at most once a call, and only by one that writes.
    ///
    /// # Errors
    /// As [`KvRead::get`].
    fn total(&self, scope: &str) -> Result<u64, String>;
}

/// No state at all.
pub struct NoKv;

impl KvRead for NoKv {
    fn get(&self, _scope: &str, _key: &str) -> Result<Option<Vec<u8>>, String> {
        Ok(None)
    }

    fn total(&self, _scope: &str) -> Result<u64, String> {
        Ok(0)
    }
}

/// How large the state is that a call found, as far as it had to know.
#[derive(Default)]
pub(crate) struct Stored {
    total: Option<u64>,
    entries: BTreeMap<String, u64>,
}

impl Call {
    /// What is under a key.
    ///
    /// # Errors
    /// As every call of `kv`: without the grant, for a key that cannot be one, past the number of calls, or when the state
    /// cannot be read.
    pub fn kv_get(&mut self, key: &str) -> Result<Option<Vec<u8>>, Refusal> {
        let work = self.keyed(key)?;
        if let Some(write) = work.queue.kv.get(key) {
            return Ok(write.value.clone());
        }
        let value = read(work, key)?;
        let seen = &mut work.queue.kv_seen;
        if !seen.contains_key(key) {
            seen.insert(key.to_owned(), value.as_deref().map(Digest::of));
        }
        Ok(value)
    }

    /// Puts a value under a key.
    ///
    /// # Errors
    /// As [`Call::kv_get`], and `quota` when the value is too large, or all keys and values together.
    pub fn kv_set(&mut self, key: String, value: Vec<u8>) -> Result<(), Refusal> {
        let allowed = self.limits.kv_value;
        if value.len() as u64 > allowed {
            return Err(Refusal::quota("octets of a kv value", value.len() as u64, allowed));
        }
        let allowed = self.limits.kv_total;
        let work = self.keyed(&key)?;
        let (before, after) = (work.entry(&key)?, KvWrite::counted(&key, &value));
        let asked = work.total()?.saturating_sub(before).saturating_add(after);
        // What takes no more room is never refused, even if the limit was lowered.
        if asked > allowed && after > before {
            return Err(Refusal::quota("octets of all kv keys and values", asked, allowed));
        }
        write(work, key, Some(value));
        Ok(())
    }

    /// Removes a key.
    ///
    /// # Errors
    /// As [`Call::kv_get`].
    pub fn kv_delete(&mut self, key: String) -> Result<(), Refusal> {
        let work = self.keyed(&key)?;
        write(work, key, None);
        Ok(())
    }

    /// The work, when it may use this key and this often.
    fn keyed(&mut self, key: &str) -> Result<&mut Work, Refusal> {
        let (ops, longest) = (self.limits.kv_ops, u64::from(self.limits.kv_key));
        let work = self.work()?;
        if !work.step.grants.kv {
            return Err(Fault::Denied(work.step.grants.line_with_kv()).into());
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

impl Queue {
    /// What the call read, for who carries the rest out.
    pub(crate) fn seen(&mut self, scope: &str) -> Vec<KvSeen> {
        let seen = std::mem::take(&mut self.kv_seen).into_iter();
        seen.map(|(key, digest)| KvSeen { scope: scope.to_owned(), key, digest }).collect()
    }
}

impl Work {
    /// Whose state the step has: `pipeline/step/account`.
    pub fn scope(&self) -> String {
        format!("{}/{}/{}", self.step.pipeline, self.step.step, self.message.provenance().account)
    }

    /// Octets of an entry as the call sees it; 0 when there is none.
    fn entry(&mut self, key: &str) -> Result<u64, Refusal> {
        match self.queue.kv.get(key) {
            Some(write) => Ok(written(write)),
            None => self.stored(key),
        }
    }

    /// Octets of an entry as the call found it.
    fn stored(&mut self, key: &str) -> Result<u64, Refusal> {
        if let Some(octets) = self.queue.kv_stored.entries.get(key) {
            return Ok(*octets);
        }
        let octets = read(self, key)?.map_or(0, |value| KvWrite::counted(key, &value));
        self.queue.kv_stored.entries.insert(key.to_owned(), octets);
        Ok(octets)
    }

    /// Octets of all keys and values as the call sees them.
    fn total(&mut self) -> Result<u64, Refusal> {
        let mut total = match self.queue.kv_stored.total {
            Some(total) => total,
            None => self.kv.total(&self.scope()).map_err(Fault::Transient)?,
        };
        self.queue.kv_stored.total = Some(total);
        let writes: Vec<(String, u64)> =
            self.queue.kv.values().map(|write| (write.key.clone(), written(write))).collect();
        for (key, octets) in writes {
            total = total.saturating_sub(self.stored(&key)?).saturating_add(octets);
        }
        Ok(total)
    }
}

fn written(write: &KvWrite) -> u64 {
    write.value.as_ref().map_or(0, |value| KvWrite::counted(&write.key, value))
}

fn read(work: &Work, key: &str) -> Result<Option<Vec<u8>>, Refusal> {
    work.kv.get(&work.scope(), key).map_err(|text| Fault::Transient(text).into())
}

fn write(work: &mut Work, key: String, value: Option<Vec<u8>>) {
    let write = KvWrite { scope: work.scope(), key: key.clone(), value };
    work.queue.kv.insert(key, write);
}
