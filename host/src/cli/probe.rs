//! `postroom probe ACCOUNT`: what the account's server is like, and the configuration that fits it. Retrieves and deletes
//! nothing, needs no state.

use postroom_mail::rules::neutral;
use serde::Serialize;

use super::output;
use super::setup::{self, Context};
use super::{Exit, Outcome, account};
use crate::clock::Clock;
use crate::source::{self, Examined, Finding, Leases, Level, Probed};

/// Arguments of `probe`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The account's name in the configuration.
    account: String,
}

/// The answer for programs.
#[derive(Serialize)]
struct Document<'a> {
    account: &'a str,
    host: &'a str,
    port: u16,
    findings: &'a [Finding],
    suggestion: String,
    error: Option<String>,
    hint: Option<String>,
    ok: bool,
}

pub(super) fn probe(context: &Context, args: &Args) -> Outcome {
    let (_, config) = context.load()?;
    let (id, settings) = account::find(&config, &args.account)?;
    let bar = account::spinner("connecting");
    let leases = Leases::of_machine();
    let stage = |doing: &'static str| bar.set_message(doing);
    let now = Clock::system().now();
    let probed = Probed { id, account: settings, base: &config.base, now, leases: &leases, stage: &stage };
    let Examined { findings, suggestion, ended } = setup::runtime()?.block_on(source::examine(probed));
    bar.finish_and_clear();
    if context.json {
        output::json(&Document {
            account: id.as_str(),
            host: &settings.host,
            port: settings.port,
            findings: &findings,
            suggestion: suggestion.iter().map(|line| format!("{line}\n")).collect(),
            error: ended.as_ref().err().map(ToString::to_string),
            hint: ended.as_ref().err().map(|error| account::hint(id, settings, error)),
            ok: ended.is_ok(),
        })?;
        return Ok(ended.as_ref().err().map_or(Exit::Ok, account::exit));
    }
    println!("account {id}: {}:{}, {}\n", neutral(&settings.host, 200), settings.port, settings.tls);
    findings.iter().for_each(print);
    if !suggestion.is_empty() {
        println!("\nWhat fits it, in the configuration (what is not named stays as it is):\n");
        suggestion.iter().for_each(|line| println!("{line}"));
    }
    match ended {
        Ok(()) => Ok(Exit::Ok),
        Err(error) => {
            println!();
            Err(account::failed(id, settings, error))
        }
    }
}

fn print(finding: &Finding) {
    let mark = match finding.level {
        Level::Fact => "",
        Level::Note => "note",
        Level::Warning => "WARN",
    };
    println!("{mark:<5}{:<16}{}", finding.what, neutral(&finding.found, 2000));
}
