//! The inert baseline: what ordinary guests import from WASI, without any authority behind it.
//!
//! The environment and the arguments are empty and stdin is closed. Output goes to the plugin's log. `exit` ends the
//! call with its code. Random octets come from a seed (unless `entropy` is granted), the wall clock stands at the time of retrieval, and the
//! monotonic clock moves only when the guest sleeps, which takes no time: so the same message gives the same plan.
//!
//! Why not the stock WASI implementation: it brings files, sockets, an async runtime and real clocks into the
//! process, and each of them then has to be switched off. What was never linked cannot be switched on.

use postroom_contract::Breach;
use postroom_mail::{Digest, Timestamp};
use rustix::rand::{GetRandomFlags, getrandom};
use wasmtime::Result;
use wasmtime::component::Resource;

use crate::bindings::baseline::wasi::{cli, clocks, io, random};
use crate::invocation::Invocation;

/// What `check-write` allows: more than the log keeps, so that no guest waits.
const WRITE_CAP: u64 = 64 * 1024;

/// A handle to something that never has anything in it.
#[allow(unreachable_pub, reason = "the generated bindings export it again")]
pub struct Nothing;

/// Stdout or stderr.
#[derive(Clone, Copy)]
#[allow(unreachable_pub, reason = "the generated bindings export it again")]
pub enum Output {
    /// Logged as `info`.
    Stdout,
    /// Logged as `warn`; its end is kept for the text of a panic.
    Stderr,
}

/// Ready at that point of the monotonic clock; at once without one.
#[allow(unreachable_pub, reason = "the generated bindings export it again")]
pub struct Timer {
    due: Option<u64>,
}

/// Clocks and randomness of one call.
pub(crate) struct Ambience {
    seed: Digest,
    drawn: u64,
    /// Octets handed out.
    given: u64,
    /// Granted: `wasi:random/random` is the system's.
    entropy: bool,
    now: Timestamp,
    monotonic: u64,
}

impl Ambience {
    /// Everything follows from the seed and the time.
    pub(crate) fn new(seed: Digest, now: Timestamp) -> Self {
        Self { seed, drawn: 0, given: 0, entropy: false, now, monotonic: 0 }
    }

    /// Whether what is asked for as secure randomness comes from the system. Insecure randomness never does: hash maps
    /// are seeded with it, and their order is to be the same each time.
    pub(crate) fn with_entropy(self, entropy: bool) -> Self {
        Self { entropy, ..self }
    }

    fn secure(&mut self, len: usize) -> Result<Vec<u8>> {
        if !self.entropy {
            return Ok(self.random(len));
        }
        let mut octets = vec![0; len];
        let mut filled = 0;
        while filled < octets.len() {
            let read = getrandom(&mut octets[filled..], GetRandomFlags::empty());
            filled +=
                read.map_err(|error| Breach::Host(format!("the system gives no randomness: {error}")))?;
        }
        Ok(octets)
    }

    fn random(&mut self, len: usize) -> Vec<u8> {
        let mut octets = Vec::with_capacity(len + 32);
        while octets.len() < len {
            octets.extend(Digest::of_parts("random/1", &[&self.seed.0, &self.drawn.to_be_bytes()]).0);
            self.drawn += 1;
        }
        octets.truncate(len);
        octets
    }

    fn random_u64(&mut self) -> u64 {
        let block = Digest::of_parts("random/1", &[&self.seed.0, &self.drawn.to_be_bytes()]).0;
        self.drawn += 1;
        block.iter().take(8).fold(0, |value, octet| value << 8 | u64::from(*octet))
    }
}

impl Invocation {
    /// Counts octets that are about to be drawn.
    fn count_random(&mut self, len: u64) -> Result<usize> {
        let (limit, asked) = (self.call.limits.random_octets, self.ambience.given.saturating_add(len));
        if asked > limit {
            return Err(Breach::Random { limit, asked }.into());
        }
        self.ambience.given = asked;
        Ok(len as usize)
    }

    fn random(&mut self, len: u64) -> Result<Vec<u8>> {
        let len = self.count_random(len)?;
        Ok(self.ambience.random(len))
    }

    fn random_u64(&mut self) -> Result<u64> {
        self.count_random(8)?;
        Ok(self.ambience.random_u64())
    }
}

impl cli::environment::Host for Invocation {
    fn get_environment(&mut self) -> Result<Vec<(String, String)>> {
        Ok(Vec::new())
    }

    fn get_arguments(&mut self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    fn initial_cwd(&mut self) -> Result<Option<String>> {
        Ok(None)
    }
}

impl cli::exit::Host for Invocation {
    fn exit(&mut self, status: std::result::Result<(), ()>) -> Result<()> {
        Err(Breach::Exit(status.map_or(1, |()| 0)).into())
    }
}

impl cli::stdin::Host for Invocation {
    fn get_stdin(&mut self) -> Result<Resource<Nothing>> {
        self.push(Nothing)
    }
}

impl cli::stdout::Host for Invocation {
    fn get_stdout(&mut self) -> Result<Resource<Output>> {
        self.push(Output::Stdout)
    }
}

impl cli::stderr::Host for Invocation {
    fn get_stderr(&mut self) -> Result<Resource<Output>> {
        self.push(Output::Stderr)
    }
}

impl cli::terminal_input::Host for Invocation {}
impl cli::terminal_input::HostTerminalInput for Invocation {
    fn drop(&mut self, handle: Resource<Nothing>) -> Result<()> {
        self.delete(handle)
    }
}

impl cli::terminal_output::Host for Invocation {}
impl cli::terminal_output::HostTerminalOutput for Invocation {
    fn drop(&mut self, handle: Resource<Nothing>) -> Result<()> {
        self.delete(handle)
    }
}

impl cli::terminal_stdin::Host for Invocation {
    fn get_terminal_stdin(&mut self) -> Result<Option<Resource<Nothing>>> {
        Ok(None)
    }
}

impl cli::terminal_stdout::Host for Invocation {
    fn get_terminal_stdout(&mut self) -> Result<Option<Resource<Nothing>>> {
        Ok(None)
    }
}

impl cli::terminal_stderr::Host for Invocation {
    fn get_terminal_stderr(&mut self) -> Result<Option<Resource<Nothing>>> {
        Ok(None)
    }
}

impl io::error::Host for Invocation {}
impl io::error::HostError for Invocation {
    fn to_debug_string(&mut self, _: Resource<Nothing>) -> Result<String> {
        Ok("error".to_owned())
    }

    fn drop(&mut self, handle: Resource<Nothing>) -> Result<()> {
        self.delete(handle)
    }
}

impl io::poll::Host for Invocation {
    /// Waits for the earliest timer; those that are due then are ready.
    fn poll(&mut self, list: Vec<Resource<Timer>>) -> Result<Vec<u32>> {
        let mut due = Vec::with_capacity(list.len());
        for timer in &list {
            due.push(self.get(timer)?.due.unwrap_or(0));
        }
        let Some(earliest) = due.iter().min() else {
            return Err(wasmtime::Error::msg("poll of an empty list"));
        };
        let now = self.ambience.monotonic.max(*earliest);
        self.ambience.monotonic = now;
        let ready = (0_u32..).zip(due).filter(|(_, due)| *due <= now);
        Ok(ready.map(|(index, _)| index).collect())
    }
}

impl io::poll::HostPollable for Invocation {
    fn ready(&mut self, handle: Resource<Timer>) -> Result<bool> {
        let now = self.ambience.monotonic;
        Ok(self.get(&handle)?.due.is_none_or(|due| due <= now))
    }

    fn block(&mut self, handle: Resource<Timer>) -> Result<()> {
        let due = self.get(&handle)?.due.unwrap_or(0);
        self.ambience.monotonic = self.ambience.monotonic.max(due);
        Ok(())
    }

    fn drop(&mut self, handle: Resource<Timer>) -> Result<()> {
        self.delete(handle)
    }
}

type StreamResult<T> = Result<std::result::Result<T, io::streams::StreamError>>;

const CLOSED: io::streams::StreamError = io::streams::StreamError::Closed;

impl io::streams::Host for Invocation {}

impl io::streams::HostInputStream for Invocation {
    fn read(&mut self, _: Resource<Nothing>, _: u64) -> StreamResult<Vec<u8>> {
        Ok(Err(CLOSED))
    }

    fn blocking_read(&mut self, _: Resource<Nothing>, _: u64) -> StreamResult<Vec<u8>> {
        Ok(Err(CLOSED))
    }

    fn skip(&mut self, _: Resource<Nothing>, _: u64) -> StreamResult<u64> {
        Ok(Err(CLOSED))
    }

    fn blocking_skip(&mut self, _: Resource<Nothing>, _: u64) -> StreamResult<u64> {
        Ok(Err(CLOSED))
    }

    fn subscribe(&mut self, _: Resource<Nothing>) -> Result<Resource<Timer>> {
        self.push(Timer { due: None })
    }

    fn drop(&mut self, handle: Resource<Nothing>) -> Result<()> {
        self.delete(handle)
    }
}

impl Invocation {
    fn print(&mut self, handle: &Resource<Output>, octets: &[u8]) -> StreamResult<()> {
        match self.get(handle)? {
            Output::Stdout => self.call.log.stdout(octets),
            Output::Stderr => self.call.log.stderr(octets),
        }
        Ok(Ok(()))
    }
}

impl io::streams::HostOutputStream for Invocation {
    fn check_write(&mut self, _: Resource<Output>) -> StreamResult<u64> {
        Ok(Ok(WRITE_CAP))
    }

    fn write(&mut self, handle: Resource<Output>, contents: Vec<u8>) -> StreamResult<()> {
        self.print(&handle, &contents)
    }

    fn blocking_write_and_flush(&mut self, handle: Resource<Output>, contents: Vec<u8>) -> StreamResult<()> {
        self.print(&handle, &contents)
    }

    fn flush(&mut self, _: Resource<Output>) -> StreamResult<()> {
        Ok(Ok(()))
    }

    fn blocking_flush(&mut self, _: Resource<Output>) -> StreamResult<()> {
        Ok(Ok(()))
    }

    fn subscribe(&mut self, _: Resource<Output>) -> Result<Resource<Timer>> {
        self.push(Timer { due: None })
    }

    /// Zeros have no place in a log.
    fn write_zeroes(&mut self, _: Resource<Output>, _: u64) -> StreamResult<()> {
        Ok(Ok(()))
    }

    fn blocking_write_zeroes_and_flush(&mut self, _: Resource<Output>, _: u64) -> StreamResult<()> {
        Ok(Ok(()))
    }

    /// The only source there is, stdin, is closed.
    fn splice(&mut self, _: Resource<Output>, _: Resource<Nothing>, _: u64) -> StreamResult<u64> {
        Ok(Err(CLOSED))
    }

    fn blocking_splice(&mut self, _: Resource<Output>, _: Resource<Nothing>, _: u64) -> StreamResult<u64> {
        Ok(Err(CLOSED))
    }

    fn drop(&mut self, handle: Resource<Output>) -> Result<()> {
        self.delete(handle)
    }
}

impl random::random::Host for Invocation {
    fn get_random_bytes(&mut self, len: u64) -> Result<Vec<u8>> {
        let len = self.count_random(len)?;
        self.ambience.secure(len)
    }

    fn get_random_u64(&mut self) -> Result<u64> {
        self.count_random(8)?;
        let octets = self.ambience.secure(8)?;
        Ok(octets.into_iter().fold(0, |value, octet| value << 8 | u64::from(octet)))
    }
}

impl random::insecure::Host for Invocation {
    fn get_insecure_random_bytes(&mut self, len: u64) -> Result<Vec<u8>> {
        self.random(len)
    }

    fn get_insecure_random_u64(&mut self) -> Result<u64> {
        self.random_u64()
    }
}

impl random::insecure_seed::Host for Invocation {
    fn insecure_seed(&mut self) -> Result<(u64, u64)> {
        Ok((self.random_u64()?, self.random_u64()?))
    }
}

impl clocks::wall_clock::Host for Invocation {
    fn now(&mut self) -> Result<clocks::wall_clock::Datetime> {
        let milliseconds = u64::try_from(self.ambience.now.0).unwrap_or(0);
        Ok(clocks::wall_clock::Datetime {
            seconds: milliseconds / 1000,
            nanoseconds: (milliseconds % 1000) as u32 * 1_000_000,
        })
    }

    fn resolution(&mut self) -> Result<clocks::wall_clock::Datetime> {
        Ok(clocks::wall_clock::Datetime { seconds: 0, nanoseconds: 1_000_000 })
    }
}

impl clocks::monotonic_clock::Host for Invocation {
    fn now(&mut self) -> Result<u64> {
        Ok(self.ambience.monotonic)
    }

    fn resolution(&mut self) -> Result<u64> {
        Ok(1_000_000)
    }

    fn subscribe_instant(&mut self, when: u64) -> Result<Resource<Timer>> {
        self.push(Timer { due: Some(when) })
    }

    fn subscribe_duration(&mut self, when: u64) -> Result<Resource<Timer>> {
        let due = self.ambience.monotonic.saturating_add(when);
        self.push(Timer { due: Some(due) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ambience(entropy: bool) -> Ambience {
        Ambience::new(Digest::of(b"seed"), Timestamp(0)).with_entropy(entropy)
    }

    #[test]
    fn only_granted_entropy_differs_from_call_to_call() {
        let drawn = |entropy| ambience(entropy).secure(32).unwrap();
        assert_eq!(drawn(false), drawn(false));
        assert_ne!(drawn(true), drawn(true));
        assert_ne!(drawn(true), drawn(false));
        assert!(ambience(true).secure(0).unwrap().is_empty());
        assert_eq!(ambience(true).secure(300).unwrap().len(), 300);
    }

    #[test]
    fn hash_maps_are_seeded_from_the_message_even_with_entropy() {
        assert_eq!(ambience(true).random_u64(), ambience(false).random_u64());
        assert_eq!(ambience(true).random(16), ambience(false).random(16));
    }
}
