//! `cargo xtask chaos`: random kills and faults under load, and a count of every mail afterwards. Exits with 1 when a mail
//! was lost or doubled, with 70 when the run itself failed, with 130 when it was interrupted.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use postroom_tests::HarnessError;
use postroom_tests::chaos::{self, Options, Tool};
use tokio::signal::unix::{SignalKind, signal};

/// Kills Postroom at random moments under load, among failing servers, and counts every mail afterwards.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask chaos", max_term_width = 100)]
struct Arguments {
    /// How long it is stormy; the calm after it takes a few minutes more at most.
    #[arg(long, value_name = "N", default_value_t = 1)]
    minutes: u64,
    /// Where every choice comes from; chosen by the clock when not given, and printed.
    #[arg(long)]
    seed: Option<u64>,
    /// Compare with other retrievers, side by side for the same time: getmail6, getmail6-each, mpop.
    #[arg(long, value_name = "TOOLS", value_delimiter = ',', value_parser = tool)]
    against: Vec<Tool>,
    /// Leave what was delivered and logged to be looked at, even when all is well.
    #[arg(long)]
    keep: bool,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

fn tool(name: &str) -> Result<Tool, String> {
    match Tool::named(name) {
        Some(Tool::Postroom) | None => {
            Err("only getmail6, getmail6-each and mpop can be compared with".to_owned())
        }
        Some(tool) => Ok(tool),
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    const INTERRUPTED: u8 = 130;
    const FAILED: u8 = 70;
    let arguments = Arguments::parse();
    let ended = tokio::select! {
        ended = run(&arguments) => ended,
        interrupted = interruption() => match interrupted {
            // What was started ends with the run that is dropped here.
            Ok(()) => return ExitCode::from(INTERRUPTED),
            Err(error) => Err(error),
        },
    };
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("chaos: {error}");
            ExitCode::from(FAILED)
        }
    }
}

/// Whether all went well.
async fn run(arguments: &Arguments) -> Result<bool, HarnessError> {
    let doing = "looking for the own program";
    let own = std::env::current_exe().map_err(|source| HarnessError::Io { doing, source })?;
    let since = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
    let options = Options {
        time: Duration::from_secs(arguments.minutes * 60),
        seed: arguments.seed.unwrap_or(since.as_secs()),
        against: arguments.against.clone(),
        keep: arguments.keep,
        binary: chaos::binary_beside(&own)?,
    };
    let verdict = chaos::run(&options).await?;
    if arguments.json {
        println!("{:#}", serde_json::json!(verdict));
    } else {
        println!("{verdict}");
    }
    Ok(verdict.is_good())
}

/// SIGINT or SIGTERM.
async fn interruption() -> Result<(), HarnessError> {
    let failed = |source| HarnessError::Io { doing: "waiting for signals", source };
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}
