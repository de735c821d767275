//! How much memory a guest has, all its memories together, and when that is too much.

use postroom_contract::{Breach, Limits};
use wasmtime::ResourceLimiter;

/// Counts the memory of one call.
pub(crate) struct Memory {
    limit: u64,
    used: u64,
    peak: u64,
    table_elements: u64,
    table_limit: u64,
}

impl Memory {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            limit: limits.memory,
            used: 0,
            peak: 0,
            table_elements: 0,
            table_limit: limits.table_elements.into(),
        }
    }

    /// The most there was at once, in octets.
    pub(crate) fn peak(&self) -> u64 {
        self.peak
    }
}

/// An error, not `Ok(false)`: a refused growth makes a guest abort with a text that hides the reason.
impl ResourceLimiter for Memory {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let asked = self.used + desired.saturating_sub(current) as u64;
        if asked > self.limit {
            return Err(Breach::Memory { limit: self.limit, asked }.into());
        }
        self.used = asked;
        self.peak = self.peak.max(asked);
        Ok(true)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let asked = self.table_elements + desired.saturating_sub(current) as u64;
        if asked > self.table_limit {
            return Err(Breach::Table { limit: self.table_limit, asked }.into());
        }
        self.table_elements = asked;
        Ok(true)
    }

    fn instances(&self) -> usize {
        64
    }

    fn tables(&self) -> usize {
        16
    }

    fn memories(&self) -> usize {
        4
    }
}
