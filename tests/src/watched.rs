//! A run of a program together with what it took of the machine, as the kernel counts it. Must not judge the figures.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

use crate::HarnessError;
use crate::process::LOOK_AGAIN;

/// What a run printed and what it took.
#[derive(Debug)]
pub struct Watched {
    /// What it printed and how it ended.
    pub output: Output,
    /// The most memory it had at once (`VmHWM`), in octets, as last seen a few milliseconds before its end.
    pub peak: u64,
    /// What it handed to the kernel to be written (`wchar`), in octets: to files, sockets and standard output.
    pub written: u64,
}

/// Runs a program to its end. Blocks.
///
/// # Errors
/// [`HarnessError::Io`] when it cannot be started or watched.
pub fn watch(command: &mut Command) -> Result<Watched, HarnessError> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let failed = |doing| move |source| HarnessError::Io { doing, source };
    let mut child = command.spawn().map_err(failed("starting a program to watch"))?;
    let (stdout, stderr) = (reader(child.stdout.take()), reader(child.stderr.take()));
    let (peak, written) = figures(&child).map_err(failed("watching a program"))?;
    let status = child.wait().map_err(failed("waiting for a program"))?;
    let collected = |reader: std::thread::JoinHandle<Vec<u8>>| reader.join().unwrap_or_default();
    let output = Output { status, stdout: collected(stdout), stderr: collected(stderr) };
    Ok(Watched { output, peak, written })
}

/// Reads on in a thread of its own, so that a full pipe holds nobody up.
fn reader(pipe: Option<impl Read + Send + 'static>) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut octets = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_end(&mut octets);
        }
        octets
    })
}

/// Looks until it has ended; its memory is gone then, its other counts stay until it is reaped.
fn figures(child: &Child) -> std::io::Result<(u64, u64)> {
    let process = Path::new("/proc").join(child.id().to_string());
    let (mut peak, mut written) = (0, 0);
    loop {
        let status = std::fs::read_to_string(process.join("status"))?;
        peak = number(&status, "VmHWM:").map_or(peak, |kibibytes| kibibytes << 10);
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let ended = waitid(WaitId::Pid(Pid::from_child(child)), options)?.is_some();
        written = number(&std::fs::read_to_string(process.join("io"))?, "wchar:").unwrap_or(written);
        if ended {
            return Ok((peak, written));
        }
        std::thread::sleep(LOOK_AGAIN / 4);
    }
}

fn number(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_and_writes_of_a_run_are_seen() {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "printf '%0100000d' 1; sleep 0.1; exit 3"]);
        let watched = watch(&mut command).unwrap();
        assert_eq!((watched.output.status.code(), watched.output.stdout.len()), (Some(3), 100_000));
        assert!(watched.peak > 100_000, "{}", watched.peak);
        assert!(watched.written >= 100_000, "{}", watched.written);
    }
}
