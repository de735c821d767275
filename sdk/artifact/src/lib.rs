//! Compiles guest packages to WebAssembly components from a build script, with a cargo inside the cargo.
//!
//! A `cdylib` built for `wasm32-wasip2` already is a component, so cargo is the only tool. What needs care is keeping
//! the inner cargo apart from the outer one; each rule stands beside its line.
//!
//! ```no_run
//! let guests = postroom_artifact::Guests::of_workspace("../..");
//! let components = guests.build(&["my-plugin"], &std::path::PathBuf::from(std::env::var_os("OUT_DIR").unwrap()));
//! ```

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use thiserror::Error;

/// The target a plain cargo makes components for.
const TARGET: &str = "wasm32-wasip2";

/// Where the inner cargo works, instead of `target/plugins` of the workspace.
const TARGET_DIR: &str = "POSTROOM_PLUGINS_TARGET_DIR";

/// Of the outer cargo and its lint driver; inherited, they would change or break what the inner cargo builds.
/// `CARGO_MAKEFLAGS` stays: it shares the job slots.
const REMOVED: [&str; 11] = [
    "RUSTFLAGS",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_BUILD_RUSTFLAGS",
    "RUSTC_WRAPPER",
    "CARGO_BUILD_RUSTC_WRAPPER",
    "RUSTC_WORKSPACE_WRAPPER",
    "CARGO_BUILD_RUSTC_WORKSPACE_WRAPPER",
    "CARGO_BUILD_TARGET",
    "CARGO_BUILD_TARGET_DIR",
    "LLVM_PROFILE_FILE",
    "CLIPPY_ARGS",
];

/// Why there are no components.
#[derive(Debug, Error)]
pub enum Error {
    /// The operator's machine lacks the target.
    #[error("the Rust target {TARGET} is not installed; run: rustup target add {TARGET}")]
    TargetMissing,
    /// Cargo or rustc did not start.
    #[error("cannot run {program}: {source}")]
    NotRun {
        /// What was to run.
        program: String,
        /// Why it did not.
        source: io::Error,
    },
    /// The guests do not compile.
    #[error("the plugins do not compile:\n{stderr}")]
    NotCompiled {
        /// What cargo said.
        stderr: String,
    },
    /// A component is not where cargo should have put it, or cannot be copied.
    #[error("{path}: {source}")]
    File {
        /// Of the file.
        path: PathBuf,
        /// What is wrong.
        source: io::Error,
    },
}

/// A compiled component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Component {
    /// Name of the package.
    pub package: String,
    /// Where the component is.
    pub path: PathBuf,
}

/// Guest packages of one workspace.
#[derive(Clone, Debug)]
pub struct Guests {
    workspace: PathBuf,
    profile: String,
    target_dir: PathBuf,
}

impl Guests {
    /// Of the workspace at a path relative to the package whose build script runs. Guests are compiled with the profile
    /// `plugin` into `target/plugins` of the workspace.
    pub fn of_workspace(path: impl AsRef<Path>) -> Self {
        let package = env::var_os("CARGO_MANIFEST_DIR").map_or_else(PathBuf::new, PathBuf::from);
        let workspace = package.join(path);
        let workspace = fs::canonicalize(&workspace).unwrap_or(workspace);
        // One directory for all outer profiles: in OUT_DIR, dev, clippy and release would each compile the guests again.
        let target_dir =
            env::var_os(TARGET_DIR).map_or_else(|| workspace.join("target/plugins"), PathBuf::from);
        Self { workspace, profile: "plugin".to_owned(), target_dir }
    }

    /// Another profile of the workspace.
    #[must_use]
    pub fn profile(mut self, name: &str) -> Self {
        self.profile = name.to_owned();
        self
    }

    /// Compiles the packages and copies each component to `out/PACKAGE.wasm`, untouched when it is the same.
    ///
    /// # Errors
    /// When the target is missing, or a package does not compile.
    pub fn build(&self, packages: &[&str], out: &Path) -> Result<Vec<Component>, Error> {
        check_target()?;
        self.compile(packages)?;
        packages.iter().map(|package| self.take(package, out)).collect()
    }

    /// Tells cargo to run the build script again when something at these paths of the workspace changes.
    pub fn rerun_if_changed(&self, paths: &[&str]) {
        for path in paths {
            println!("cargo::rerun-if-changed={}", self.workspace.join(path).display());
        }
        println!("cargo::rerun-if-env-changed={TARGET_DIR}");
    }

    fn compile(&self, packages: &[&str]) -> Result<(), Error> {
        let mut cargo = Command::new(program("CARGO", "cargo"));
        cargo.current_dir(&self.workspace);
        // Locked, so that a build neither changes the lock file nor needs a network.
        cargo.args(["build", "--quiet", "--locked", "--target", TARGET, "--profile", &self.profile]);
        for package in packages {
            cargo.args(["--package", package]);
        }
        for name in REMOVED {
            cargo.env_remove(name);
        }
        // Both: left inherited, the inner cargo waits for the directory lock of the outer one, for ever.
        cargo.env("CARGO_TARGET_DIR", &self.target_dir).env("CARGO_BUILD_BUILD_DIR", &self.target_dir);
        let output = run(&mut cargo)?;
        if output.status.success() {
            return Ok(());
        }
        Err(Error::NotCompiled { stderr: String::from_utf8_lossy(&output.stderr).into_owned() })
    }

    fn take(&self, package: &str, out: &Path) -> Result<Component, Error> {
        let name = format!("{}.wasm", package.replace('-', "_"));
        let built = self.target_dir.join(TARGET).join(&self.profile).join(name);
        let octets = fs::read(&built).map_err(|source| Error::File { path: built, source })?;
        let path = out.join(format!("{package}.wasm"));
        if fs::read(&path).ok().as_ref() != Some(&octets) {
            fs::write(&path, octets).map_err(|source| Error::File { path: path.clone(), source })?;
        }
        Ok(Component { package: package.to_owned(), path })
    }
}

/// Machines without rustup have no toolchain file to fetch the target: say what is missing before cargo says it in
/// a hundred lines.
fn check_target() -> Result<(), Error> {
    let mut rustc = Command::new(program("RUSTC", "rustc"));
    rustc.args(["--print", "target-libdir", "--target", TARGET]);
    let output = run(&mut rustc)?;
    let libdir = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    let installed = fs::read_dir(libdir).is_ok_and(|mut entries| entries.next().is_some());
    if installed { Ok(()) } else { Err(Error::TargetMissing) }
}

fn program(variable: &str, name: &str) -> OsString {
    env::var_os(variable).unwrap_or_else(|| name.into())
}

fn run(command: &mut Command) -> Result<Output, Error> {
    command
        .output()
        .map_err(|source| Error::NotRun { program: command.get_program().to_string_lossy().into(), source })
}
