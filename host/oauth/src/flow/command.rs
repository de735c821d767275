//! Owns tokens from a program of the user's (`pizauth show ACCOUNT` and its like). Run without a shell, bounded in time
//! and output. Must not show what it wrote to standard output.
//!
//! The contract: exit code 0, and on standard output either the token as the first line, or one JSON object with
//! `access_token` and, if known, `expires_in` (seconds).

use std::fmt;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal};
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncReadExt};
use zeroize::Zeroizing;

use crate::error::{Error, shown};
use crate::grant::Grant;

/// The longest standard output, in octets.
const LONGEST_OUTPUT: usize = 64 * 1024;
/// How much of standard error is kept for the user; the rest is read and thrown away.
const LONGEST_COMPLAINT: u64 = 2 * 1024;

/// A program that prints a token.
#[derive(Clone)]
pub struct TokenCommand {
    program: String,
    arguments: Vec<String>,
    directory: PathBuf,
    limit: Duration,
}

#[derive(Deserialize)]
struct Printed {
    access_token: Zeroizing<String>,
    expires_in: Option<u64>,
}

impl TokenCommand {
    /// `command` is the program and its arguments, run in `directory`; `limit` bounds one run, 30 s is a good value.
    ///
    /// # Errors
    /// [`Error::Settings`] if the command is empty.
    pub fn new(command: &[String], directory: PathBuf, limit: Duration) -> Result<Self, Error> {
        let Some((program, arguments)) = command.split_first() else {
            return Err(Error::Settings(
                "the token command is empty: write [\"program\", \"argument\"]".into(),
            ));
        };
        Ok(Self { program: program.clone(), arguments: arguments.to_vec(), directory, limit })
    }

    pub(crate) async fn run(&self) -> Result<Grant, Error> {
        let mut child = tokio::process::Command::new(&self.program)
            .args(&self.arguments)
            .current_dir(&self.directory)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| self.failed(&format!("cannot be run ({error}): check its path")))?;
        let group = Group(child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)));
        let (output, complaint) = (child.stdout.take(), child.stderr.take());
        let ended = tokio::time::timeout(self.limit, async {
            let (output, complaint) = tokio::join!(
                async {
                    let output = all_of(output).await;
                    // Whatever writes more than a token writes for ever.
                    if output.1 {
                        group.kill();
                    }
                    output
                },
                first_of(complaint)
            );
            (output, complaint, child.wait().await)
        });
        let Ok(((output, too_long), complaint, status)) = ended.await else {
            group.kill();
            let seconds = self.limit.as_secs_f32();
            return Err(self.failed(&format!(
                "did not end within {seconds} s: it must not ask questions; run it by hand to see what it waits for"
            )));
        };
        if too_long {
            return Err(self.failed("wrote more than 64 KiB: it must print one token only"));
        }
        let printed = String::from_utf8_lossy(&output);
        match status {
            Ok(status) if status.success() => self.read(&output),
            Ok(status) => {
                let complaint = String::from_utf8_lossy(&complaint);
                // Debugging output often repeats the token.
                let secrets: Vec<&str> = printed
                    .split(|ch: char| ch.is_whitespace() || "\"{}:,=".contains(ch))
                    .filter(|word| word.len() >= 8)
                    .collect();
                let complaint = without_tokens(&complaint);
                let how = status
                    .code()
                    .map_or_else(|| "was killed".into(), |code| format!("ended with exit code {code}"));
                Err(self
                    .failed(&format!("{how} ({}): run it by hand to see why", shown(&complaint, &secrets))))
            }
            Err(error) => Err(self.failed(&format!("cannot be waited for ({error})"))),
        }
    }

    fn read(&self, output: &[u8]) -> Result<Grant, Error> {
        let wrong = || {
            self.failed(
                "printed no token: the first line must be the token, or all of it JSON with access_token",
            )
        };
        let text = std::str::from_utf8(output).map_err(|_| wrong())?.trim();
        let (access_token, lifetime) = if text.starts_with('{') {
            // The parser's words may quote the token, so they are not passed on.
            let printed: Printed = serde_json::from_str(text).map_err(|_| wrong())?;
            (printed.access_token, printed.expires_in.map(Duration::from_secs))
        } else {
            (Zeroizing::new(text.lines().next().unwrap_or("").trim().to_owned()), None)
        };
        if access_token.is_empty() || !access_token.bytes().all(|octet| octet.is_ascii_graphic()) {
            return Err(wrong());
        }
        Ok(Grant { access_token, lifetime, refresh_token: None, scope: None })
    }

    fn failed(&self, problem: &str) -> Error {
        Error::Command { program: shown(&self.program, &[]), problem: problem.to_owned() }
    }
}

impl fmt::Debug for TokenCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Arguments may be secrets.
        f.debug_struct("TokenCommand").field("program", &self.program).finish_non_exhaustive()
    }
}

/// Everything the program started; ended with it, also when nobody waits any longer.
struct Group(Option<Pid>);

impl Group {
    fn kill(&self) {
        if let Some(group) = self.0 {
            let _ = rustix::process::kill_process_group(group, Signal::KILL);
        }
    }
}

/// All of standard output, and whether it was too long.
async fn all_of(from: Option<impl AsyncRead + Unpin>) -> (Zeroizing<Vec<u8>>, bool) {
    let mut kept = Zeroizing::new(Vec::with_capacity(LONGEST_OUTPUT + 1));
    if let Some(from) = from {
        // A pipe that breaks is a program that ended: its exit code tells.
        let _ = from.take(LONGEST_OUTPUT as u64 + 1).read_to_end(&mut kept).await;
    }
    let too_long = kept.len() > LONGEST_OUTPUT;
    (kept, too_long)
}

/// The beginning of standard error; the rest is read so that the program can end, and thrown away.
async fn first_of(from: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let mut kept = Vec::new();
    if let Some(mut from) = from {
        let _ = (&mut from).take(LONGEST_COMPLAINT).read_to_end(&mut kept).await;
        let _ = tokio::io::copy(&mut from, &mut tokio::io::sink()).await;
    }
    kept
}

/// Words that could be a token: long, and of nothing but what tokens are made of.
fn without_tokens(complaint: &str) -> String {
    let of_token = |ch: char| ch.is_ascii_alphanumeric() || "-._~+/=".contains(ch);
    let mut clean = String::with_capacity(complaint.len());
    let mut rest = complaint;
    while let Some(start) = rest.find(of_token) {
        let end = rest[start..].find(|ch| !of_token(ch)).map_or(rest.len(), |length| start + length);
        clean.push_str(&rest[..start]);
        clean.push_str(if end - start > 24 { "(not shown)" } else { &rest[start..end] });
        rest = &rest[end..];
    }
    clean.push_str(rest);
    clean
}
