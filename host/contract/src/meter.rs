//! What one call uses: CPU time and elapsed time. Only counts and compares; whoever asks ends the call.
//!
//! A plugin is to be blamed for the CPU time of its own thread, not for elapsed ticks, so the thread's CPU clock is read.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

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
pub struct Meter {
    started: (Duration, Instant),
    credit: (Duration, Duration),
    cpu: Duration,
    wall: Duration,
    peak_memory: u64,
    host_calls: u64,
}

impl Meter {
    /// Starts counting.
    pub fn start(limits: &Limits) -> Self {
        Self {
            started: (thread_cpu(), Instant::now()),
            credit: (Duration::ZERO, Duration::ZERO),
            cpu: limits.cpu,
            wall: limits.wall,
            peak_memory: 0,
            host_calls: 0,
        }
    }

    /// One more call of a host function.
    pub fn count_call(&mut self) {
        self.host_calls += 1;
    }

    /// So much linear memory was in use, in octets.
    pub fn saw_memory(&mut self, octets: u64) {
        self.peak_memory = self.peak_memory.max(octets);
    }

    /// Whether there is time left.
    ///
    /// # Errors
    /// The limit that is passed.
    pub fn check(&self) -> Result<(), Breach> {
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
    pub fn usage(&self) -> Usage {
        Usage {
            cpu: thread_cpu().saturating_sub(self.started.0).saturating_sub(self.credit.0),
            wall: self.started.1.elapsed().saturating_sub(self.credit.1),
            peak_memory: self.peak_memory,
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
