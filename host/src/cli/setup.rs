//! From arguments to a host that is ready to start.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use postroom_failpoint::reach;
use postroom_mail::Digest;
use postroom_sandbox::{CompileLimits, Compiler, Sandbox, SandboxConfig};
use postroom_spool::{MemorySpool, Spool, SqliteSpool};
use tokio::runtime::Runtime;

use super::{Exit, Failure, precautions};
use crate::config::{Config, LogFormat};
use crate::live::Live;
use crate::progress::Observer;
use crate::supervise::{Host, Mode};
use crate::telemetry;

/// What every verb is told.
pub(super) struct Context {
    /// As given.
    pub(super) config: Option<PathBuf>,
    /// Print JSON.
    pub(super) json: bool,
    /// Log level, as given.
    pub(super) log: Option<String>,
    /// How log lines look, as given.
    pub(super) log_format: Option<LogFormat>,
}

impl Context {
    /// Starts logging as the command line says, or as given here.
    ///
    /// # Errors
    /// When the level cannot be read.
    pub(super) fn start_log(&self, level: &str, format: LogFormat) -> Result<(), Failure> {
        let level = self.log.as_deref().unwrap_or(level);
        telemetry::start(level, self.log_format.unwrap_or(format)).map_err(Failure::usage)
    }

    /// The configuration file to use.
    ///
    /// # Errors
    /// When there is none.
    pub(super) fn config_path(&self) -> Result<PathBuf, Failure> {
        Config::find(self.config.as_deref()).map_err(Failure::from)
    }

    /// The configuration.
    ///
    /// # Errors
    /// When there is none or it is wrong.
    pub(super) fn load(&self) -> Result<(PathBuf, Config), Failure> {
        let path = self.config_path()?;
        let config = Config::load(&path)?;
        Ok((path, config))
    }

    /// The spool beside a host that may be running: questions only.
    ///
    /// # Errors
    /// When there is no state yet.
    pub(super) fn read_spool(&self) -> Result<Arc<dyn Spool>, Failure> {
        let (_, config) = self.load()?;
        match SqliteSpool::open_readonly(&config.state) {
            Ok(spool) => Ok(Arc::new(spool)),
            Err(postroom_spool::Error::Io { source, .. })
                if source.kind() == std::io::ErrorKind::NotFound =>
            {
                let text = format!(
                    "there is no state at {} yet: nothing was retrieved so far",
                    config.state.display()
                );
                Err(Failure::new(Exit::NoInput, anyhow::anyhow!(text)).hint("run `postroom once` first"))
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// A sandbox for `workers` messages at once that keeps compiled plugins in `cache`. What is not bundled is compiled by a child.
///
/// # Errors
/// When this machine cannot run one.
pub(super) fn sandbox(
    cache: Option<&Path>,
    workers: usize,
    limits: CompileLimits,
) -> Result<Sandbox, Failure> {
    // A plugin that asks for parts has the MIME parser run inside its own call; one more for checking a reload.
    let concurrency = u32::try_from(2 * workers + 2).unwrap_or(u32::MAX);
    let config = SandboxConfig { cache_dir: cache.map(Path::to_owned), concurrency, fuel: false };
    Ok(Sandbox::with_compiler(&config, compiler(limits))?)
}

/// One that counts fuel, for one call at a time.
///
/// # Errors
/// As [`sandbox`].
pub(super) fn counting_sandbox(cache: Option<&Path>, limits: CompileLimits) -> Result<Sandbox, Failure> {
    let cache_dir = cache.map(Path::to_owned);
    let config = SandboxConfig { cache_dir, fuel: true, ..SandboxConfig::default() };
    Ok(Sandbox::with_compiler(&config, compiler(limits))?)
}

fn compiler(limits: CompileLimits) -> Compiler {
    let bundled = postroom_bundle::BUNDLED.iter().map(|(_, octets)| Digest::of(octets));
    Compiler {
        // Not by name: the file may have been replaced by another version since this process started.
        program: PathBuf::from("/proc/self/exe"),
        arguments: vec!["compile-plugin".into()],
        limits,
        trusted: bundled.chain([Digest::of(postroom_bundle::MIME)]).collect(),
    }
}

/// Opens the state, compiles the plugins, makes the sinks.
///
/// # Errors
/// When any of it cannot be done.
pub(super) fn host(config: Config, observer: Observer) -> Result<Arc<Host>, Failure> {
    // The state first: its lock says whether another process is at work, and its directory holds the compile cache.
    reach("start", "configured");
    let spool: Arc<dyn Spool> = Arc::new(SqliteSpool::open(&config.state)?);
    precautions::warn_of_ground(&config.state);
    reach("start", "spool");
    let sandbox =
        sandbox(Some(&config.state.join("compiled")), config.limits.workers, config.limits.compile)?;
    reach("start", "sandbox");
    let live = Live::build(config, &sandbox)?;
    reach("start", "live");
    Ok(Host::new(live, spool, sandbox, observer))
}

/// The state as it is, perhaps beside a running host; empty when there is none yet. Nothing in it can be changed.
///
/// # Errors
/// When there is one that cannot be read.
pub(super) fn look_at_spool(config: &Config) -> Result<Arc<dyn Spool>, Failure> {
    match SqliteSpool::open_readonly(&config.state) {
        Ok(spool) => Ok(Arc::new(spool)),
        Err(postroom_spool::Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            Ok(Arc::new(MemorySpool::new()))
        }
        Err(error) => Err(error.into()),
    }
}

/// A host that only says what it would do: it looks at the state, and takes nothing for itself.
///
/// # Errors
/// As [`host`].
pub(super) fn rehearsal(config: Config, observer: Observer) -> Result<Arc<Host>, Failure> {
    let spool = look_at_spool(&config)?;
    let cache = config.state.join("compiled");
    let sandbox = sandbox(cache.is_dir().then_some(cache.as_path()), 1, config.limits.compile)?;
    let live = Live::build(config, &sandbox)?;
    Ok(Host::in_mode(Mode::Rehearsal, live, spool, sandbox, observer))
}

/// A plugin or a disk that hangs on a blocking thread keeps the process no longer than this.
pub(super) const HANGING: Duration = Duration::from_secs(2);

/// The runtime; blocking threads get room for the stack of a plugin.
///
/// # Errors
/// When the system gives no threads.
pub(super) fn runtime() -> Result<Runtime, Failure> {
    const STACK: usize = 8 << 20;
    let built = tokio::runtime::Builder::new_multi_thread().enable_all().thread_stack_size(STACK).build();
    built.map_err(Failure::from)
}
