//! A plugin's project: `plugin.toml`, and the commands it names. The same for every language.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use postroom_fixture::{CONDITIONS, Conditions};
use serde::Deserialize;

use super::super::{Exit, Failure};

/// What says how a project is built.
const MANIFEST: &str = "plugin.toml";

/// The Rust target that makes components.
const TARGET: &str = "wasm32-wasip2";

/// A directory with a `plugin.toml`.
#[derive(Debug)]
pub(super) struct Project {
    directory: PathBuf,
    manifest: Manifest,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    build: Build,
    test: Option<Test>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Build {
    command: Vec<String>,
    component: PathBuf,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Test {
    command: Vec<String>,
}

impl Project {
    /// Reads `plugin.toml`.
    pub(super) fn open(directory: &Path) -> Result<Self, Failure> {
        let path = directory.join(MANIFEST);
        let text = fs::read_to_string(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                let text = format!("{} is no plugin's project: there is no {MANIFEST}", directory.display());
                Failure::new(Exit::NoInput, anyhow::anyhow!(text))
                    .hint("go to the project's directory or name it; `postroom plugin new NAME` writes one")
            }
            _ => Failure::new(Exit::Io, anyhow::anyhow!("cannot read {}: {error}", path.display())),
        })?;
        let manifest: Manifest = toml::from_str(&text).map_err(|error| {
            Failure::new(Exit::Data, anyhow::anyhow!("{}: {error}", path.display()))
                .hint("it needs [build] with command = [\"…\"] and component = \"PATH\"; [test] with command is optional")
        })?;
        Ok(Self { directory: directory.to_owned(), manifest })
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Where the component is, once it is built.
    pub(super) fn component(&self) -> PathBuf {
        self.directory.join(&self.manifest.build.component)
    }

    pub(super) fn fixtures(&self) -> PathBuf {
        self.directory.join("fixtures")
    }

    /// What its fixtures say the operator would write; the defaults when there are none.
    pub(super) fn conditions(&self) -> Result<Conditions, Failure> {
        let path = self.fixtures().join(CONDITIONS);
        if path.exists() { Ok(Conditions::read(&path)?) } else { Ok(Conditions::default()) }
    }

    /// Runs the build, and reads the component.
    pub(super) fn build(&self) -> Result<Vec<u8>, Failure> {
        let command = &self.manifest.build.command;
        if command.first().is_some_and(|program| program == "cargo")
            && command.iter().any(|word| word == TARGET)
        {
            check_target(&self.directory)?;
        }
        self.run(command, "does not build", "what it printed above says where the mistake is")?;
        let path = self.component();
        fs::read(&path).map_err(|error| {
            let text = format!("the build ended well, but left no component at {}: {error}", path.display());
            Failure::new(Exit::Data, anyhow::anyhow!(text))
                .hint(format!("`component` in {MANIFEST} must name the file that the build command writes"))
        })
    }

    /// Runs its own tests; `false` when it has none.
    pub(super) fn test(&self) -> Result<bool, Failure> {
        let Some(test) = &self.manifest.test else { return Ok(false) };
        let hint = "what it printed above says where; if a fixture differs and the new decision is right, \
                    `postroom plugin test --bless` writes it down";
        self.run(&test.command, "does not pass its own tests", hint).map(|()| true)
    }

    /// What the command prints goes to the error output as it comes: a long build is seen to move.
    fn run(&self, command: &[String], fails: &str, hint: &str) -> Result<(), Failure> {
        let Some((program, words)) = command.split_first() else {
            let text = format!("a command in {} is empty", self.directory.join(MANIFEST).display());
            return Err(Failure::new(Exit::Data, anyhow::anyhow!(text)));
        };
        let line = command.join(" ");
        eprintln!("running: {line}");
        let output = io::stderr().as_fd().try_clone_to_owned()?;
        let mut started = Command::new(program);
        started.args(words).current_dir(&self.directory).stdin(Stdio::null()).stdout(output);
        let status = started.status().map_err(|error| {
            let text = format!("cannot run `{program}`, which the project needs: {error}");
            Failure::new(Exit::Unavailable, anyhow::anyhow!(text))
                .hint(format!("install it, or change the command in {MANIFEST}"))
        })?;
        if status.success() {
            return Ok(());
        }
        let text = format!("the plugin {fails}: `{line}` ended with {status}");
        Err(Failure::new(Exit::Data, anyhow::anyhow!(text)).hint(hint))
    }
}

/// Says what is missing before cargo says it in a hundred lines.
fn check_target(directory: &Path) -> Result<(), Failure> {
    let mut rustc = Command::new("rustc");
    rustc.args(["--print", "target-libdir", "--target", TARGET]).current_dir(directory);
    // Without rustc cargo says it better.
    let Ok(output) = rustc.stderr(Stdio::null()).output() else { return Ok(()) };
    let library = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    if fs::read_dir(library).is_ok_and(|mut entries| entries.next().is_some()) {
        return Ok(());
    }
    let text = format!("the Rust target {TARGET} is not installed on this machine");
    Err(Failure::new(Exit::Unavailable, anyhow::anyhow!(text))
        .hint(format!("run: rustup target add {TARGET}")))
}
