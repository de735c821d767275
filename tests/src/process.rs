//! Owns a server process the harness started: finding its program, waiting until it answers, ending it. Must not touch
//! any other process.

use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::io::AsyncReadExt;

use crate::HarnessError;

/// How long a server may take to answer its first connection.
const START_LIMIT: Duration = Duration::from_secs(20);
/// How long a server may take to end when told to, before it is killed.
const STOP_LIMIT: Duration = Duration::from_secs(5);
/// Between two looks at something that cannot be waited for.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// A running server process in a process group of its own; ended when dropped.
#[derive(Debug)]
pub(crate) struct Process {
    program: &'static str,
    child: Child,
}

impl Process {
    /// Starts the program in its own process group, without input, its error output kept for [`Process::ready`].
    pub(crate) fn start(program: &'static str, command: &mut Command) -> Result<Self, HarnessError> {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
        let child = command
            .spawn()
            .map_err(|source| HarnessError::Io { doing: "starting a server process", source })?;
        Ok(Self { program, child })
    }

    /// Kills it and all its processes at once, as when the machine fails.
    pub(crate) fn kill(&mut self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        // Not reaped yet, so neither its id nor its group's can belong to anybody else.
        if let (Some(pid), Ok(None)) = (pid, self.child.try_wait()) {
            let _ = kill_process_group(pid, Signal::KILL);
        }
        let _ = self.child.wait();
    }

    /// Waits until a connection to each address is answered with the given octets (none: until it is accepted).
    pub(crate) async fn ready(
        &mut self,
        ports: &[(SocketAddr, &[u8])],
        log: &Path,
    ) -> Result<(), HarnessError> {
        let started = Instant::now();
        for &(addr, greeting) in ports {
            while !answers(addr, greeting).await {
                if let Ok(Some(status)) = self.child.try_wait() {
                    let mut log = read_log(log);
                    if let Some(mut stderr) = self.child.stderr.take() {
                        let _ = stderr.read_to_string(&mut log);
                    }
                    return Err(HarnessError::Ended {
                        program: self.program,
                        status: status.to_string(),
                        log,
                    });
                }
                if started.elapsed() > START_LIMIT {
                    let what = format!("{} answering on {addr}", self.program);
                    return Err(HarnessError::TooLate {
                        what,
                        seconds: START_LIMIT.as_secs(),
                        log: read_log(log),
                    });
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) else { return };
        // The child is not reaped yet, so neither its id nor its group's can belong to anybody else.
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = kill_process(pid, Signal::TERM);
            let told = Instant::now();
            while told.elapsed() < STOP_LIMIT && !exited(pid) {
                std::thread::sleep(LOOK_AGAIN);
            }
            let _ = kill_process_group(pid, Signal::KILL);
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Whether the child has ended, without reaping it.
fn exited(pid: Pid) -> bool {
    use rustix::process::{WaitId, WaitIdOptions, waitid};
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    !matches!(waitid(WaitId::Pid(pid), options), Ok(None))
}

async fn answers(addr: SocketAddr, greeting: &[u8]) -> bool {
    let Ok(mut stream) = tokio::net::TcpStream::connect(addr).await else { return false };
    let mut got = vec![0; greeting.len()];
    let read = tokio::time::timeout(Duration::from_secs(5), stream.read_exact(&mut got)).await;
    matches!(read, Ok(Ok(_))) && got == greeting
}

/// A server's log so far; empty if it wrote none.
pub(crate) fn read_log(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
}

/// A port of loopback that was free a moment ago. Somebody may take it before the server does, so whoever starts a
/// server on it tries again with another when the server ends at once.
pub(crate) fn free_port() -> Result<SocketAddr, HarnessError> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map_err(|source| HarnessError::Io { doing: "looking for a free port on 127.0.0.1", source })
}

/// The path of a program, looked for where Debian puts servers.
pub(crate) fn program(
    program: &'static str,
    package: &'static str,
    directories: &[&str],
) -> Result<PathBuf, HarnessError> {
    let candidates = directories.iter().map(|directory| Path::new(directory).join(program));
    candidates.into_iter().find(|path| path.is_file()).ok_or(HarnessError::Missing { program, package })
}

/// Whether this process may start servers that change their user.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A user of this machine with its main group.
#[derive(Clone, Debug)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) group: String,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl User {
    /// The user this process runs as.
    pub(crate) fn current() -> Option<Self> {
        let uid = rustix::process::geteuid().as_raw().to_string();
        Self::find(|fields| fields[2] == uid)
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::find(|fields| fields[0] == name)
    }

    fn find(wanted: impl Fn(&[&str]) -> bool) -> Option<Self> {
        let users = std::fs::read_to_string("/etc/passwd").ok()?;
        let groups = std::fs::read_to_string("/etc/group").ok()?;
        let mut lines = users.lines().map(|line| line.split(':').collect::<Vec<_>>());
        let user = lines.find(|fields| fields.len() > 3 && wanted(fields))?;
        let mut lines = groups.lines().map(|line| line.split(':').collect::<Vec<_>>());
        let group = lines.find(|fields| fields.len() > 2 && fields[2] == user[3])?;
        Some(Self {
            name: user[0].to_owned(),
            group: group[0].to_owned(),
            uid: user[2].parse().ok()?,
            gid: user[3].parse().ok()?,
        })
    }
}

/// Makes a directory with exactly this mode, and gives it to a user where this process may.
pub(crate) fn directory(path: &Path, mode: u32, owner: Option<(u32, u32)>) -> Result<(), HarnessError> {
    let failed = |source| HarnessError::File { path: path.to_owned(), source };
    std::fs::create_dir_all(path).map_err(failed)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).map_err(failed)?;
    give(path, owner)?;
    // Changing the owner clears set-id bits.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).map_err(failed)
}

/// Gives a file or directory to a user, if this process is root.
pub(crate) fn give(path: &Path, owner: Option<(u32, u32)>) -> Result<(), HarnessError> {
    match owner {
        Some((uid, gid)) if is_root() => chown(path, Some(uid), Some(gid))
            .map_err(|source| HarnessError::File { path: path.to_owned(), source }),
        Some(_) | None => Ok(()),
    }
}

/// Writes a file that only its owner may read.
pub(crate) fn write(path: &Path, octets: &[u8]) -> Result<(), HarnessError> {
    let failed = |source| HarnessError::File { path: path.to_owned(), source };
    std::fs::write(path, octets).map_err(failed)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(failed)
}

/// The files of a Maildir's `new` and `cur` in the order of their names; empty where there is no directory yet.
pub(crate) fn maildir_files(maildir: &Path) -> Result<Vec<PathBuf>, HarnessError> {
    let mut files = Vec::new();
    for part in ["new", "cur"] {
        let path = maildir.join(part);
        match std::fs::read_dir(&path) {
            Ok(entries) => files.extend(entries.filter_map(Result::ok).map(|entry| entry.path())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => return Err(HarnessError::File { path, source }),
        }
    }
    files.sort_by(|one, other| one.file_name().cmp(&other.file_name()));
    Ok(files)
}

/// Reads a file.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, HarnessError> {
    std::fs::read(path).map_err(|source| HarnessError::File { path: path.to_owned(), source })
}
