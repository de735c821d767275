//! Guests of `tests/guests`, built when a test needs one. Owns one directory of builds for a kind of tests: cargo lets one
//! build after the other into it.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What a build of the host's would hand on to one of a guest, for another machine.
const INHERITED: [&str; 5] = [
    "RUSTFLAGS",
    "CARGO_ENCODED_RUSTFLAGS",
    "RUSTC_WRAPPER",
    "RUSTC_WORKSPACE_WRAPPER",
    "CARGO_BUILD_TARGET",
];

/// The component of a package of `tests/guests`, built below a directory for what tests make.
///
/// # Panics
/// When it does not compile.
#[allow(clippy::expect_used, reason = "a test fails by panicking")]
pub fn guest(package: &str, temporary: &Path) -> PathBuf {
    let guests = Path::new(env!("CARGO_MANIFEST_DIR")).join("guests");
    let target = temporary.join("guests");
    let mut build = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()));
    build.args(["build", "--release", "--locked", "--target", "wasm32-wasip2", "--package", package]);
    build.current_dir(guests).env("CARGO_TARGET_DIR", &target).env("CARGO_BUILD_BUILD_DIR", &target);
    for inherited in INHERITED {
        build.env_remove(inherited);
    }
    let output = build.output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let file = package.replace('-', "_");
    target.join("wasm32-wasip2/release").join(file).with_extension("wasm")
}
