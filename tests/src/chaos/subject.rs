//! Owns a program under test as a process: starts it in a group of its own, signals it, kills it with all it started.
//! Must not touch any other process.

use std::fs::{File, OpenOptions};
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::process::{Child, Command};

use crate::HarnessError;
use crate::process::{self, User};

/// How a program is started.
#[derive(Clone, Debug)]
pub(super) struct Program {
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<String>,
    pub(super) directory: PathBuf,
    pub(super) owner: User,
    /// What it prints is appended here.
    pub(super) log: PathBuf,
}

impl Program {
    /// The same with other arguments.
    pub(super) fn with(&self, arguments: &[&str]) -> Self {
        Self { arguments: arguments.iter().map(|&word| word.to_owned()).collect(), ..self.clone() }
    }

    /// As it would be typed.
    pub(super) fn shown(&self) -> String {
        let words = [&[self.program.display().to_string()], self.arguments.as_slice()].concat();
        words.join(" ")
    }

    /// Starts it.
    pub(super) fn start(&self) -> Result<Running, HarnessError> {
        let output = self.log()?;
        Ok(Running { child: self.spawn(Stdio::from(output))? })
    }

    /// Runs it to its end, at most so long, and returns how it ended and what it printed on standard output.
    pub(super) async fn run(&self, limit: Duration) -> Result<(ExitStatus, String), HarnessError> {
        let printed = self.log.with_extension("stdout");
        let failed = |source| HarnessError::File { path: printed.clone(), source };
        let mut running =
            Running { child: self.spawn(Stdio::from(File::create(&printed).map_err(failed)?))? };
        let status = match tokio::time::timeout(limit, running.ended()).await {
            Ok(status) => status?,
            Err(_) => {
                running.kill().await;
                let what = format!("the end of {}", self.shown());
                let log = process::read_log(&self.log);
                return Err(HarnessError::TooLate { what, seconds: limit.as_secs(), log: tail(&log) });
            }
        };
        Ok((status, process::read_log(&printed)))
    }

    fn log(&self) -> Result<File, HarnessError> {
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.log)
            .map_err(|source| HarnessError::File { path: self.log.clone(), source })
    }

    fn spawn(&self, output: Stdio) -> Result<Child, HarnessError> {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).current_dir(&self.directory).stdin(Stdio::null());
        command.stdout(output).stderr(self.log()?).process_group(0).kill_on_drop(true);
        command.env("HOME", &self.directory).env("LC_ALL", "C").env_remove("STATE_DIRECTORY");
        command.env_remove("POSTROOM_CONFIG").env_remove("POSTROOM_LOG").env_remove("XDG_CONFIG_HOME");
        if process::is_root() {
            command.uid(self.owner.uid).gid(self.owner.gid);
        }
        command.spawn().map_err(|source| HarnessError::Io { doing: "starting a program under test", source })
    }
}

/// The end of a log.
pub(super) fn tail(log: &str) -> String {
    const LINES: usize = 20;
    let lines: Vec<_> = log.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

/// A program that runs, or ran; all of it is killed when this is dropped.
#[derive(Debug)]
pub(super) struct Running {
    child: Child,
}

impl Running {
    /// Sends the process a signal.
    pub(super) fn signal(&self, signal: Signal) {
        if let Some(pid) = self.pid() {
            let _ = kill_process(pid, signal);
        }
    }

    /// SIGKILL for it and all it started.
    pub(super) async fn kill(&mut self) {
        if let Some(pid) = self.pid() {
            let _ = kill_process_group(pid, Signal::KILL);
        }
        let _ = self.child.wait().await;
    }

    /// Waits for its end.
    pub(super) async fn ended(&mut self) -> Result<ExitStatus, HarnessError> {
        self.child
            .wait()
            .await
            .map_err(|source| HarnessError::Io { doing: "waiting for a program under test", source })
    }

    /// None once it is reaped: its number may be another's then.
    fn pid(&self) -> Option<Pid> {
        self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(pid) = self.pid() {
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}
