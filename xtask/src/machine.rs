//! What must be on the machine. Installs what it may, otherwise says what is missing and how to get it.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// The target plugins are compiled for.
const WASM: &str = "wasm32-wasip2";

/// A program that tests need, servers, other retrievers and what builds plugins in other languages: what shows that it is there, and Debian's package.
const SERVERS: [(&str, &str); 9] = [
    ("dovecot", "dovecot-pop3d"),
    ("postfix", "postfix"),
    ("getmail", "getmail6"),
    ("mpop", "mpop"),
    ("fetchmail", "fetchmail"),
    ("docker-registry", "docker-registry"),
    ("node", "nodejs"),
    ("npm", "npm"),
    ("python3", "python3"),
];

/// Adds the wasm target when it is missing.
pub(crate) fn ensure_wasm_target() -> Result<()> {
    ensure_target(WASM)
}

/// Adds a target of the compiler when it is missing.
pub(crate) fn ensure_target(target: &str) -> Result<()> {
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let printed = Command::new(rustc)
        .args(["--print", "target-libdir", "--target", target])
        .output()
        .context("cannot run rustc")?;
    if printed.status.success() && Path::new(String::from_utf8_lossy(&printed.stdout).trim()).is_dir() {
        return Ok(());
    }
    println!("adding the target {target}");
    let added = Command::new("rustup").args(["target", "add", target]).status();
    match added {
        Ok(status) if status.success() => Ok(()),
        _ => bail!("the target {target} is missing and rustup could not add it: rustup target add {target}"),
    }
}

/// Adds rustfmt and clippy when they are missing.
pub(crate) fn ensure_components() -> Result<()> {
    for (probe, component) in [("fmt", "rustfmt"), ("clippy", "clippy")] {
        let there = Command::new("cargo")
            .args([probe, "--version"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        if there.is_ok_and(|status| status.success()) {
            continue;
        }
        let added = Command::new("rustup").args(["component", "add", component]).status();
        if !added.is_ok_and(|status| status.success()) {
            bail!("{component} is missing and rustup could not add it: rustup component add {component}");
        }
    }
    Ok(())
}

/// Debian's package with what `python3 -m venv` needs and `python3` does not bring.
const VENV: &str = "python3-venv";

/// Parts of Dovecot that tests need besides POP3, and Debian's packages of them.
const PROTOCOLS: [(&str, &str); 2] = [("imap", "dovecot-imapd"), ("lmtp", "dovecot-lmtpd")];

/// Installs the servers, retrievers and languages with apt-get where it may.
pub(crate) fn ensure_servers() -> Result<()> {
    let mut missing: Vec<_> =
        SERVERS.iter().filter(|(program, _)| !on_path(program)).map(|(_, package)| *package).collect();
    let there = |protocol| Path::new("/usr/lib/dovecot").join(protocol).is_file();
    missing.extend(PROTOCOLS.iter().filter(|(protocol, _)| !there(protocol)).map(|(_, package)| *package));
    if !has_venv() {
        missing.push(VENV);
    }
    if missing.is_empty() {
        return Ok(());
    }
    let packages = missing.join(" ");
    if !is_root() || !on_path("apt-get") {
        bail!(
            "the tests need programs that are not here: apt-get install --no-install-recommends {packages}"
        );
    }
    println!("installing {packages}");
    // Postfix asks what it is for; the tests bring their own configuration, and no system service is wanted.
    apt(&["update"])?;
    preseed("postfix postfix/main_mailer_type select No configuration\n")?;
    apt(&[&["install", "--yes", "--no-install-recommends"], missing.as_slice()].concat())
}

fn apt(words: &[&str]) -> Result<()> {
    let mut command = Command::new("apt-get");
    command.args(words).env("DEBIAN_FRONTEND", "noninteractive").env("RUNLEVEL", "1");
    let output = command.stdin(Stdio::null()).output().context("cannot run apt-get")?;
    if !output.status.success() {
        bail!("apt-get {} failed: {}", words.join(" "), String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

fn preseed(answers: &str) -> Result<()> {
    let mut child = Command::new("debconf-set-selections")
        .stdin(Stdio::piped())
        .spawn()
        .context("cannot run debconf-set-selections")?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(answers.as_bytes()).context("cannot answer debconf")?;
    }
    if !child.wait().context("debconf-set-selections")?.success() {
        bail!("debconf-set-selections failed");
    }
    Ok(())
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Servers live in sbin, which is not on every user's path.
    let sbin = [Path::new("/usr/sbin").to_owned(), Path::new("/usr/local/sbin").to_owned()];
    std::env::split_paths(&path).chain(sbin).any(|directory| directory.join(program).is_file())
}

fn has_venv() -> bool {
    let output = Command::new("python3").args(["-c", "import ensurepip, venv"]).output();
    output.is_ok_and(|output| output.status.success())
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}
