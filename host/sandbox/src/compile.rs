//! Compiling what nobody vouches for: in a child process of ours, with limits on its CPU time and memory.
//!
//! The compiler is large, and what it compiles was written by somebody else: a component of a few kilobytes can keep it busy
//! for minutes. The child compiles into the cache of compiled code and ends; the parent then loads from the cache, which
//! compiles nothing. Should the cache have lost the code meanwhile, the parent compiles octets that were compiled within the
//! limits just before. Nothing here trusts what the child says but that it is well: what it writes is read only by way of
//! the cache, whose directory is ours alone.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

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

/// The program that compiles: run as `PROGRAM ARGUMENTS --cache DIR --cpu SECONDS --memory OCTETS`, with the octets of the
/// component on its stdin. It must call [`compile_stdin`] and print its error, exiting with [`REFUSED`].
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

/// Octets of the child's stderr that are kept.
const TOLD: u64 = 4096;
/// Open files of the child, for the cache.
const FILES: u64 = 256;
/// Octets of addresses that are no memory: code, reservations.
const ADDRESSES: u64 = 4 << 30;
/// Octets of a file it writes.
const FILE: u64 = 1 << 30;

/// Compiles in children, each component once.
pub(crate) struct Apart {
    compiler: Compiler,
    cache: PathBuf,
    compiled: Mutex<BTreeSet<Digest>>,
    /// The cache, when none was configured; removed with this.
    _temporary: Option<TempDir>,
}

impl Apart {
    pub(crate) fn new(compiler: Compiler, cache: Option<&Path>) -> Result<Self, LoadError> {
        let made = |error| LoadError::Engine(format!("no directory for compiled code: {error}"));
        let temporary = match cache {
            Some(_) => None,
            None => Some(tempfile::Builder::new().prefix("postroom-compiled-").tempdir().map_err(made)?),
        };
        let cache = cache.or(temporary.as_ref().map(TempDir::path)).map(std::path::absolute);
        let cache = cache.transpose().map_err(made)?.unwrap_or_default();
        Ok(Self { compiler, cache, compiled: Mutex::default(), _temporary: temporary })
    }

    /// The directory that holds what was compiled.
    pub(crate) fn cache(&self) -> &Path {
        &self.cache
    }

    /// Has it compiled, unless it is trusted or was compiled before. Takes up to the limits.
    pub(crate) fn prepare(&self, digest: Digest, octets: &[u8]) -> Result<(), LoadError> {
        let is_known = || self.compiled.lock().unwrap_or_else(PoisonError::into_inner).contains(&digest);
        if self.compiler.trusted.contains(&digest) || is_known() {
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

/// What the child does: limits itself, reads the octets of a component from `input`, and compiles them into `cache`.
///
/// # Errors
/// When they are no component, or the engine refuses them. What passes the limits ends the process.
pub fn compile_stdin(cache: &Path, limits: CompileLimits, input: impl Read) -> Result<(), LoadError> {
    limit_process(limits)
        .map_err(|error| LoadError::Engine(format!("no limits for the compiler: {error}")))?;
    let mut octets = Vec::new();
    let read = input.take(SIZE_CAP + 1).read_to_end(&mut octets);
    read.map_err(|error| LoadError::Engine(format!("the component cannot be read: {error}")))?;
    check_kind(&octets)?;
    let engine = engine::for_compiling(cache)?;
    Component::from_binary(&engine, &octets)
        .map(drop)
        .map_err(|error| LoadError::Refused(format!("{error:#}")))
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
