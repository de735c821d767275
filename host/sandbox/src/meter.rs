//! What one call uses: CPU time, elapsed time, memory. Only counts and compares; whoever asks ends the call.
//!
//! Epochs alone would measure elapsed ticks. A plugin is to be blamed for the CPU time of its own thread, so each tick
//! only makes the guest look at the thread's CPU clock. The check reads data and never touches the store.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use wasmtime::ResourceLimiter;

use crate::limits::Limits;
use crate::refusal::Breach;

/// What a call used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// CPU time of the thread, parsing the MIME structure excluded.
    pub cpu: Duration,
    /// Elapsed time, parsing the MIME structure excluded.
    pub wall: Duration,
    /// Peak of linear memory in octets.
    pub peak_memory: u64,
    /// Calls of host functions.
    pub host_calls: u64,
}

/// Counts one call. Must stay on the thread it was made on.
pub(crate) struct Meter {
    started: (Duration, Instant),
    credit: (Duration, Duration),
    cpu: Duration,
    wall: Duration,
    memory: u64,
    used: u64,
    peak: u64,
    table_elements: u64,
    pub(crate) host_calls: u64,
}

const TABLE_ELEMENTS: u64 = 100_000;

impl Meter {
    /// Starts counting.
    pub(crate) fn start(limits: &Limits) -> Self {
        Self {
            started: (thread_cpu(), Instant::now()),
            credit: (Duration::ZERO, Duration::ZERO),
            cpu: limits.cpu,
            wall: limits.wall,
            memory: limits.memory,
            used: 0,
            peak: 0,
            table_elements: 0,
            host_calls: 0,
        }
    }

    /// Whether there is time left.
    pub(crate) fn check(&self) -> Result<(), Breach> {
        let usage = self.usage();
        if usage.cpu > self.cpu {
            return Err(Breach::CpuTime { limit: self.cpu });
        }
        if usage.wall > self.wall {
            return Err(Breach::WallTime { limit: self.wall });
        }
        Ok(())
    }

    /// Elapsed time that is left: how long a host function may wait.
    pub(crate) fn left(&self) -> Duration {
        self.wall.saturating_sub(self.usage().wall)
    }

    /// As [`Meter::check`], for the inside of reads.
    pub(crate) fn check_io(&self) -> std::io::Result<()> {
        self.check().map_err(std::io::Error::other)
    }

    /// So far.
    pub(crate) fn usage(&self) -> Usage {
        Usage {
            cpu: thread_cpu().saturating_sub(self.started.0).saturating_sub(self.credit.0),
            wall: self.started.1.elapsed().saturating_sub(self.credit.1),
            peak_memory: self.peak,
            host_calls: self.host_calls,
        }
    }

    /// Does work that the plugin is not to be charged for.
    pub(crate) fn uncharged<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let before = (thread_cpu(), Instant::now());
        let done = work();
        self.credit.0 += thread_cpu().saturating_sub(before.0);
        self.credit.1 += before.1.elapsed();
        done
    }
}

fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// An error, not `Ok(false)`: a refused growth makes a guest abort with a text that hides the reason.
impl ResourceLimiter for Meter {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let asked = self.used + desired.saturating_sub(current) as u64;
        if asked > self.memory {
            return Err(Breach::Memory { limit: self.memory, asked }.into());
        }
        self.used = asked;
        self.peak = self.peak.max(asked);
        Ok(true)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let asked = self.table_elements + desired.saturating_sub(current) as u64;
        if asked > TABLE_ELEMENTS {
            return Err(Breach::Table { limit: TABLE_ELEMENTS, asked }.into());
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
