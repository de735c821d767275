//! Compiling what nobody vouches for: in a child process of ours, with limits on its CPU time and memory.
//!
//! The compiler is large, and what it compiles was written by somebody else: a component of a few kilobytes can keep it busy
//! for minutes. The child compiles into the cache of compiled code, finds it there, and ends; the parent then loads from the
//! cache, which compiles nothing. Where the cache does not keep the code, on a full disk perhaps, the component is refused:
//! the parent never is the one to compile it. Nothing here trusts what the child says but that it is well: what it writes is
//! read only by way of the cache, whose directory is ours alone.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, SystemTime};

use postroom_contract::octets as size;
use postroom_mail::Digest;
use postroom_mail::rules::neutral;
use rustix::process::{Resource, Rlimit, setrlimit};
use tempfile::TempDir;
use wasmtime::component::Component;

use crate::component::{SIZE_CAP, check_kind};
use crate::engine;
use crate::error::{CompileError, LoadError};

/// What compiling one component may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompileLimits {
    /// CPU time of the child, all its threads together; whole seconds.
    pub cpu: Duration,
    /// Octets of memory.
    pub memory: u64,
}

impl Default for CompileLimits {
    fn default() -> Self {
        Self { cpu: Duration::from_secs(20), memory: 1 << 30 }
    }
}

impl CompileLimits {
    /// The most that can be configured.
    pub const MAX: Self = Self { cpu: Duration::from_secs(120), memory: 4 << 30 };

    /// Elapsed time: a busy machine may give the child a tenth of a processor.
    fn wall(self) -> Duration {
        self.cpu * 10
    }
}

/// The program that compiles: run as `PROGRAM ARGUMENTS --cache DIR --cpu SECONDS --memory OCTETS [--fuel]`, with the octets
/// of the component on its stdin. It must call [`compile_stdin`] and print its error, exiting with [`REFUSED`] or [`NOT_KEPT`].
#[derive(Clone, Debug)]
pub struct Compiler {
    /// The program.
    pub program: PathBuf,
    /// What comes before the rest.
    pub arguments: Vec<OsString>,
    /// For each component.
    pub limits: CompileLimits,
    /// Components that are part of this program: compiled without a child.
    pub trusted: BTreeSet<Digest>,
}

/// Exit code of a child that found the component at fault, EX_DATAERR of sysexits.h.
pub const REFUSED: u8 = 65;
/// Exit code of a child that compiled it and could not keep the code, EX_CANTCREAT of sysexits.h.
pub const NOT_KEPT: u8 = 73;

/// Octets of the child's stderr that are kept.
const TOLD: u64 = 4096;
/// Open files of the child, for the cache.
const FILES: u64 = 256;
/// Octets of addresses that are no memory: code, reservations.
const ADDRESSES: u64 = 4 << 30;
/// Octets of a file it writes.
const FILE: u64 = 1 << 30;
/// Octets of the code of one component: it stays in memory while the plugin is configured.
const CODE: u64 = 256 << 20;
/// The cache writes a file under another name first. One that was left, by a child that was killed or a disk that was full,
/// would keep the cache from ever writing it again.
const UNFINISHED: &str = "wip-atomic-write";
/// After so long nobody writes it any more.
const LEFT: Duration = Duration::from_secs(60);

/// Compiles in children, each component once.
pub(crate) struct Apart {
    compiler: Compiler,
    cache: PathBuf,
    compiled: Mutex<BTreeSet<Digest>>,
    fuel: bool,
    /// The cache, when none was configured; removed with this.
    _temporary: Option<TempDir>,
}

impl Apart {
    pub(crate) fn new(compiler: Compiler, cache: Option<&Path>, fuel: bool) -> Result<Self, LoadError> {
        let made = |error| LoadError::Engine(format!("no directory for compiled code: {error}"));
        let temporary = match cache {
            Some(_) => None,
            None => Some(tempfile::Builder::new().prefix("postroom-compiled-").tempdir().map_err(made)?),
        };
        let cache = cache.or(temporary.as_ref().map(TempDir::path)).map(std::path::absolute);
        let cache = cache.transpose().map_err(made)?.unwrap_or_default();
        Ok(Self { compiler, cache, compiled: Mutex::default(), fuel, _temporary: temporary })
    }

    /// The directory that holds what was compiled.
    pub(crate) fn cache(&self) -> &Path {
        &self.cache
    }

    /// Whether this process may compile it.
    pub(crate) fn trusts(&self, digest: Digest) -> bool {
        self.compiler.trusted.contains(&digest)
    }

    /// What was found out when the code was not in the cache after all: the next time a child compiles it again.
    pub(crate) fn not_kept(&self, digest: Digest) -> LoadError {
        self.compiled.lock().unwrap_or_else(PoisonError::into_inner).remove(&digest);
        CompileError::NotKept { cache: self.cache.clone() }.into()
    }

    /// Has it compiled, unless it is trusted or was compiled before. Takes up to the limits.
    pub(crate) fn prepare(&self, digest: Digest, octets: &[u8]) -> Result<(), LoadError> {
        let is_known = || self.compiled.lock().unwrap_or_else(PoisonError::into_inner).contains(&digest);
        if self.trusts(digest) || is_known() {
            return Ok(());
        }
        self.run(octets)?;
        self.compiled.lock().unwrap_or_else(PoisonError::into_inner).insert(digest);
        Ok(())
    }

    fn run(&self, octets: &[u8]) -> Result<(), LoadError> {
        let limits = self.compiler.limits;
        let not_run = |error| CompileError::NotRun(format!("{}: {error}", self.compiler.program.display()));
        let mut child = self.command().spawn().map_err(not_run)?;
        let told = attend(&mut child, octets, limits.wall());
        let status = child.wait().map_err(not_run)?;
        match told {
            Some(_) if status.code() == Some(NOT_KEPT.into()) => {
                Err(CompileError::NotKept { cache: self.cache.clone() }.into())
            }
            Some(told) => judge(status, &told, limits),
            None => Err(CompileError::Wall { limit: limits.wall() }.into()),
        }
    }

    /// Without our environment, which may hold secrets, and without our directory.
    fn command(&self) -> Command {
        let limits = self.compiler.limits;
        let mut command = Command::new(&self.compiler.program);
        command.args(&self.compiler.arguments).arg("--cache").arg(&self.cache);
        command.arg("--cpu").arg(limits.cpu.as_secs().max(1).to_string());
        command.arg("--memory").arg(limits.memory.to_string());
        if self.fuel {
            command.arg("--fuel");
        }
        command.env_clear().current_dir("/");
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        command
    }
}

/// Hands the octets over and waits for the child to close its stderr, which it does by ending. The beginning of what it said;
/// `None` when that took too long: then it was killed.
fn attend(child: &mut Child, octets: &[u8], wall: Duration) -> Option<String> {
    let (stdin, stderr) = (child.stdin.take(), child.stderr.take());
    let (ended, end) = mpsc::channel();
    // Both threads end with the child.
    thread::scope(|scope| {
        scope.spawn(move || {
            // A child that ended early says why itself.
            let _ = stdin.map(|mut stdin| stdin.write_all(octets));
        });
        scope.spawn(move || {
            let mut told = Vec::new();
            if let Some(mut stderr) = stderr {
                let _ = (&mut stderr).take(TOLD).read_to_end(&mut told);
                let _ = std::io::copy(&mut stderr, &mut std::io::sink());
            }
            let _ = ended.send(told);
        });
        let told = end.recv_timeout(wall);
        if told.is_err() {
            // What fails here has ended already.
            let _ = child.kill();
        }
        told.ok().map(|told| String::from_utf8_lossy(&told).trim().to_owned())
    })
}

fn judge(status: ExitStatus, told: &str, limits: CompileLimits) -> Result<(), LoadError> {
    let cpu_time = rustix::process::Signal::XCPU.as_raw();
    let is_memory = ["memory allocation of", "os error 12", "Cannot allocate memory"];
    let error = match (status.code(), status.signal()) {
        (Some(0), _) => return Ok(()),
        (_, Some(signal)) if signal == cpu_time => CompileError::Cpu { limit: limits.cpu },
        _ if is_memory.iter().any(|sign| told.contains(sign)) => {
            CompileError::Memory { limit: limits.memory }
        }
        (Some(code), _) if code == i32::from(REFUSED) => return Err(LoadError::Refused(neutral(told, 2000))),
        _ => CompileError::Crashed(format!("{status}: {}", neutral(told, 500))),
    };
    Err(error.into())
}

/// What the child does: limits itself, reads the octets of a component from `input`, compiles them into `cache`, counting
/// `fuel` if it is to, and makes sure that the code is there.
///
/// # Errors
/// When they are no component, the engine refuses them, or their code is too large or cannot be kept. What passes the limits
/// ends the process.
pub fn compile_stdin(
    cache: &Path,
    limits: CompileLimits,
    fuel: bool,
    input: impl Read,
) -> Result<(), LoadError> {
    limit_process(limits)
        .map_err(|error| LoadError::Engine(format!("no limits for the compiler: {error}")))?;
    let mut octets = Vec::new();
    let read = input.take(SIZE_CAP + 1).read_to_end(&mut octets);
    read.map_err(|error| LoadError::Engine(format!("the component cannot be read: {error}")))?;
    check_kind(&octets)?;
    remove_unfinished(cache, SystemTime::now());
    let (engine, counted) = engine::for_compiling(cache, fuel)?;
    let load =
        || Component::from_binary(&engine, &octets).map_err(|error| LoadError::Refused(format!("{error:#}")));
    let code = load()?.image_range();
    check_code((code.end.addr() - code.start.addr()) as u64)?;
    if counted.cache_hits() == 0 {
        load()?;
    }
    match counted.cache_hits() {
        0 => Err(CompileError::NotKept { cache: cache.to_owned() }.into()),
        _ => Ok(()),
    }
}

fn check_code(code: u64) -> Result<(), LoadError> {
    if code <= CODE {
        return Ok(());
    }
    let text = format!("compiled it has {} of code; {} are allowed", size(code), size(CODE));
    Err(LoadError::Refused(text))
}

/// Of a directory of compiled code, in whose own directories the cache writes. What cannot be removed is in nobody's way but
/// the cache's.
fn remove_unfinished(cache: &Path, now: SystemTime) {
    let entries = |directory: &Path| std::fs::read_dir(directory).into_iter().flatten().flatten();
    for file in entries(&cache.join("modules")).flat_map(|directory| entries(&directory.path())) {
        let is_unfinished = file
            .path()
            .extension()
            .is_some_and(|extension| extension.as_encoded_bytes().starts_with(UNFINISHED.as_bytes()));
        let written = file.metadata().and_then(|meta| meta.modified());
        let is_left = written.is_ok_and(|at| now.duration_since(at).is_ok_and(|age| age > LEFT));
        if is_unfinished && is_left {
            let _ = std::fs::remove_file(file.path());
        }
    }
}

/// Of the whole process, for good. Memory is what is private and writable: code and reservations count for nothing.
fn limit_process(limits: CompileLimits) -> rustix::io::Result<()> {
    let set = |resource, current: u64, more: u64| {
        setrlimit(resource, Rlimit { current: Some(current), maximum: Some(current + more) })
    };
    // The soft limit ends the process by a signal of its own, the hard one by one that may be anybody's.
    set(Resource::Cpu, limits.cpu.as_secs().max(1), 1)?;
    set(Resource::Data, limits.memory, 0)?;
    set(Resource::As, limits.memory.saturating_add(ADDRESSES), 0)?;
    set(Resource::Fsize, FILE, 0)?;
    set(Resource::Nofile, FILES, 0)?;
    set(Resource::Core, 0, 0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn code_that_is_too_large_is_refused() {
        assert!(check_code(CODE).is_ok());
        let refused = check_code(CODE + (1 << 30)).unwrap_err().to_string();
        assert!(refused.contains("1.2 GiB of code; 256 MiB are allowed"), "{refused}");
    }

    #[test]
    fn what_a_writer_left_unfinished_is_removed_and_what_is_being_written_is_not() {
        let cache = tempfile::tempdir().unwrap();
        let directory = cache.path().join("modules/wasmtime-1");
        std::fs::create_dir_all(&directory).unwrap();
        for name in ["code", "code.wip-atomic-write-mod"] {
            std::fs::write(directory.join(name), "").unwrap();
        }
        let now = SystemTime::now();
        let left = |at: SystemTime| {
            remove_unfinished(cache.path(), at);
            std::fs::read_dir(&directory).unwrap().count()
        };
        assert_eq!(left(now), 2);
        assert_eq!(left(now + 2 * LEFT), 1);
        assert!(directory.join("code").exists());
    }
}
