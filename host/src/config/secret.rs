//! Owns secrets: the configuration only refers to them, and what is read is wiped from memory when it is dropped.
//! Must never show one, in no error and no `Debug`.

mod reference;
#[cfg(test)]
mod tests;

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use postroom_mail::rules::neutral;
use rustix::fs::OFlags;
use rustix::process::{Pid, Signal};
use zeroize::Zeroizing;

use super::diagnose::ConfigError;

/// A password is short; whatever is longer is the wrong file.
const LONGEST: u64 = 64 << 10;
/// How long a command may take.
const BOUND: Duration = Duration::from_secs(10);
const HOW: &str = "write { file = \"secrets/NAME\" }, { env = \"NAME\" }, { command = [\"program\", \"argument\"] } or \
                   { credential = \"NAME\" }";

/// Where a secret is kept. Holds none itself, but the arguments of a command are not shown either.
#[derive(Clone, PartialEq, Eq)]
pub enum SecretRef {
    /// In this file, relative to the configuration; only its owner may read it.
    File(PathBuf),
    /// In this environment variable.
    Env(String),
    /// First line of what this program writes to standard output.
    Command(Vec<String>),
    /// A systemd credential: this file in `$CREDENTIALS_DIRECTORY`.
    Credential(String),
}

/// A secret text. Wiped when dropped; cannot be shown, cloned or written out.
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes over a secret; for those that come from elsewhere than the configuration.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// What a reference is read against.
struct Surroundings<'a> {
    base: &'a Path,
    variable: &'a dyn Fn(&str) -> Option<String>,
    bound: Duration,
}

impl SecretRef {
    /// Reads the secret now. Blocks, for a command at most 10 seconds. `base` is the directory of the configuration file.
    ///
    /// # Errors
    /// When there is none, it cannot be read, others may read it, or it is empty or several lines.
    pub fn read(&self, base: &Path) -> Result<Secret, ConfigError> {
        let variable = |name: &str| std::env::var(name).ok();
        self.read_in(&Surroundings { base, variable: &variable, bound: BOUND })
    }

    fn read_in(&self, around: &Surroundings<'_>) -> Result<Secret, ConfigError> {
        let mut text = match self {
            Self::File(path) => read_private(&around.base.join(path))?,
            Self::Env(name) => Zeroizing::new((around.variable)(name).ok_or_else(|| {
                let name = neutral(name, 80);
                ConfigError::new(format!(
                    "the environment variable {name} of {self} is not set, or is no UTF-8"
                ))
                .hint("set it for this process, or keep the secret in a file")
            })?),
            Self::Command(command) => run(command, around)?,
            Self::Credential(name) => read_credential(name, around)?,
        };
        let end = text.trim_end_matches(['\n', '\r']).len();
        text.truncate(end);
        if text.is_empty() {
            return Err(
                ConfigError::new(format!("{self} is empty")).hint("put the secret there, on one line")
            );
        }
        if text.contains(['\n', '\r']) {
            return Err(
                ConfigError::new(format!("{self} has more than one line")).hint("keep only the secret there")
            );
        }
        Ok(Secret(text))
    }
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "the secret file {}", neutral(&path.display().to_string(), 200)),
            Self::Env(name) => write!(f, "the secret in ${}", neutral(name, 80)),
            Self::Command(command) => {
                write!(
                    f,
                    "the secret from the command {}",
                    neutral(command.first().map_or("", String::as_str), 80)
                )
            }
            Self::Credential(name) => write!(f, "the credential {}", neutral(name, 80)),
        }
    }
}

impl fmt::Debug for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretRef({self})")
    }
}

/// Looks at what was opened, not at the name, so that nothing can be swapped in between.
fn read_private(path: &Path) -> Result<Zeroizing<String>, ConfigError> {
    let (file, mode, owner) = open(path)?;
    let shown = neutral(&path.display().to_string(), 300);
    let me = rustix::process::geteuid().as_raw();
    if owner != me && owner != 0 {
        return Err(ConfigError::new(format!(
            "the secret file {shown} belongs to another user (uid {owner})"
        ))
        .hint(format!("give it to this one: chown {me} {}", quoted(&shown))));
    }
    if mode & 0o077 != 0 {
        let others =
            if mode & 0o044 != 0 { "can be read by other users" } else { "can be changed by other users" };
        return Err(ConfigError::new(format!("the secret file {shown} {others} (mode {mode:04o})"))
            .hint(format!("make it private: chmod 600 {}", quoted(&shown))));
    }
    read_text(file, &format!("the secret file {shown}"))
}

fn read_credential(name: &str, around: &Surroundings<'_>) -> Result<Zeroizing<String>, ConfigError> {
    let Some(directory) = (around.variable)("CREDENTIALS_DIRECTORY") else {
        return Err(ConfigError::new(format!(
            "there is no credential {}: CREDENTIALS_DIRECTORY is not set",
            neutral(name, 80)
        ))
        .hint("run as a systemd service with LoadCredential=, or keep the secret in a file"));
    };
    // The service manager made this directory for us alone and chose the modes in it.
    let (file, _, _) = open(&Path::new(&directory).join(name))?;
    read_text(file, &format!("the credential {}", neutral(name, 80)))
}

fn open(path: &Path) -> Result<(File, u32, u32), ConfigError> {
    let shown = neutral(&path.display().to_string(), 300);
    let unreadable = |error: io::Error| {
        let hint = match error.kind() {
            io::ErrorKind::NotFound => {
                format!("write the secret into it, then: chmod 600 {}", quoted(&shown))
            }
            _ => "let the user that Postroom runs as read it".to_owned(),
        };
        ConfigError::new(format!("the secret file {shown} cannot be read: {}", reason(&error))).hint(hint)
    };
    // Without waiting for a writer, should it be a pipe.
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(unreadable)?;
    let meta = file.metadata().map_err(unreadable)?;
    if !meta.is_file() {
        return Err(ConfigError::new(format!("the secret file {shown} is no regular file"))
            .hint("name a file with one line"));
    }
    Ok((file, meta.mode() & 0o7777, meta.uid()))
}

fn read_text(file: impl Read, what: &str) -> Result<Zeroizing<String>, ConfigError> {
    let room = usize::try_from(LONGEST).unwrap_or(0) + 1;
    // All room at once: growing would leave copies behind.
    let mut octets = Zeroizing::new(Vec::with_capacity(room));
    let read = file.take(LONGEST + 1).read_to_end(&mut octets);
    read.map_err(|error| ConfigError::new(format!("{what} cannot be read: {}", reason(&error))))?;
    if octets.len() >= room {
        return Err(ConfigError::new(format!("{what} is longer than 64 KiB")).hint("is it the right one?"));
    }
    let text =
        std::str::from_utf8(&octets).map_err(|_| ConfigError::new(format!("{what} is no UTF-8 text")))?;
    Ok(Zeroizing::new(text.to_owned()))
}

/// Runs the command in a process group of its own, so that everything it started ends with it.
fn run(command: &[String], around: &Surroundings<'_>) -> Result<Zeroizing<String>, ConfigError> {
    let Some((name, arguments)) = command.split_first() else {
        return Err(ConfigError::new("the command of a secret is empty").hint(HOW));
    };
    let shown = neutral(name, 80);
    let program = if name.contains('/') { around.base.join(name) } else { PathBuf::from(name) };
    let mut child = Command::new(program)
        .args(arguments)
        .current_dir(around.base)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(|error| {
            ConfigError::new(format!("the command {shown} of a secret cannot be run: {}", reason(&error)))
                .hint("check its path, and that it may be executed")
        })?;
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let output = child.stdout.take();
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let line = output.map_or_else(|| Err(io::ErrorKind::BrokenPipe.into()), first_line);
        let _ = tell.send((line, child.wait()));
    });
    let Ok((line, status)) = told.recv_timeout(around.bound) else {
        if let Some(group) = group {
            let _ = rustix::process::kill_process_group(group, Signal::KILL);
        }
        let seconds = around.bound.as_secs_f32();
        return Err(ConfigError::new(format!(
            "the command {shown} of a secret did not end within {seconds} s"
        ))
        .hint("it must not ask questions; run it by hand to see what it waits for"));
    };
    let failed = |how: String| {
        ConfigError::new(format!("the command {shown} of a secret failed: {how}"))
            .hint("run it by hand to see why")
    };
    match (line, status) {
        (Ok(line), Ok(status)) if status.success() => Ok(line),
        (_, Ok(status)) if !status.success() => Err(failed(ended(status))),
        (Err(error), _) | (_, Err(error)) => Err(failed(reason(&error))),
        (Ok(line), Ok(_)) => Ok(line),
    }
}

/// Keeps the first line; the rest is read so that the program can end, and thrown away.
fn first_line(mut output: ChildStdout) -> io::Result<Zeroizing<String>> {
    let mut octets = Zeroizing::new(Vec::with_capacity(usize::try_from(LONGEST).unwrap_or(0)));
    (&mut output).take(LONGEST).read_to_end(&mut octets)?;
    io::copy(&mut output, &mut io::sink())?;
    let line = octets.split(|octet| *octet == b'\n').next().unwrap_or_default();
    let line = std::str::from_utf8(line).map_err(|_| io::Error::other("it wrote no UTF-8 text"))?;
    Ok(Zeroizing::new(line.to_owned()))
}

fn ended(status: ExitStatus) -> String {
    status.code().map_or_else(|| "it was killed".to_owned(), |code| format!("exit code {code}"))
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    }
}

/// For a shell.
fn quoted(path: &str) -> String {
    let plain = path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte));
    if plain { path.to_owned() } else { format!("'{}'", path.replace('\'', "'\\''")) }
}
