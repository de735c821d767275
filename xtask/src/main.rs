//! Chores that need more than one cargo command: `cargo xtask demo`, `test`, `chaos` and `bench`.
//!
//! Owns what must be on the machine first (the wasm target, the servers the tests talk to). Holds no test and no logic of
//! the project's.

mod machine;

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, anyhow, bail};

const USAGE: &str = "usage:
  cargo xtask demo [ARGS]   build everything and run `postroom demo` on the mails in examples/mail
  cargo xtask test [--full] install what the tests need, then check format, lints, and run every test; with --full every
                            crash point of the simulation and the kill suite, of which it else takes a sample
  cargo xtask chaos [ARGS]  kill the program at random under load and count every mail; see `cargo xtask chaos --help`
  cargo xtask bench         measure what a call of a plugin costs, beside a peer";

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let done = match args.next().as_deref() {
        Some("demo") => demo(args.collect()),
        Some("test") => match args.next().as_deref() {
            None => test(false),
            Some("--full") => test(true),
            Some(other) => Err(anyhow!("`test` does not know {other}; it takes --full")),
        },
        Some("chaos") => chaos(&args.collect::<Vec<_>>()),
        Some("bench") => bench(),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(64);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nxtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn demo(args: Vec<String>) -> Result<()> {
    machine::ensure_wasm_target()?;
    let mut words = vec!["run", "--package", "postroom", "--", "demo"];
    if !args.iter().any(|arg| arg == "--mail") {
        words.extend(["--mail", "examples/mail"]);
    }
    words.extend(args.iter().map(String::as_str));
    // The demo's own exit code says whether something waits for another try; that is not a failure of the chore.
    let status = Command::new(cargo()).args(&words).status().context("cannot run cargo")?;
    match status.code() {
        Some(0 | 75) => Ok(()),
        code => bail!("the demo ended with {code:?}"),
    }
}

fn test(full: bool) -> Result<()> {
    machine::ensure_wasm_target()?;
    machine::ensure_components()?;
    machine::ensure_servers()?;
    let steps: [(&str, &[&str]); 3] = [
        ("format", &["fmt", "--all", "--check"]),
        ("lints", &["clippy", "--workspace", "--all-targets", "--locked", "--", "--deny", "warnings"]),
        ("tests", &["test", "--workspace", "--locked"]),
    ];
    for (name, words) in steps {
        println!("\n== {name}: cargo {}", words.join(" "));
        let mut command = Command::new(cargo());
        if full {
            command.env("POSTROOM_FULL", "1");
        }
        let status = command.args(words).status().with_context(|| format!("cannot run cargo for {name}"))?;
        if !status.success() {
            bail!("{name} failed");
        }
    }
    println!("\nformat, lints and tests passed");
    Ok(())
}

/// Builds the program under test and what kills it, then becomes the latter, so that whoever ends this ends that.
fn chaos(args: &[String]) -> Result<()> {
    machine::ensure_wasm_target()?;
    machine::ensure_servers()?;
    let build = ["build", "--quiet", "--package", "postroom-tests", "--bins", "--locked"];
    let built = Command::new(cargo()).args(build).status().context("cannot run cargo")?;
    if !built.success() {
        bail!("the build failed");
    }
    let run = ["run", "--quiet", "--package", "postroom-tests", "--bin", "chaos", "--locked", "--"];
    let error = Command::new(cargo()).args(run).args(args).exec();
    Err(error).context("cannot run cargo")
}

/// The peer's plugins are core modules, which have a target of their own.
fn bench() -> Result<()> {
    machine::ensure_wasm_target()?;
    machine::ensure_target("wasm32-unknown-unknown")?;
    let status = Command::new(cargo()).args(["bench", "--locked"]).current_dir("bench").status();
    if !status.context("cannot run cargo")?.success() {
        bail!("the benchmark failed");
    }
    Ok(())
}

fn cargo() -> String {
    std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned())
}
