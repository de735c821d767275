//! `postroom export SINK TO`: the way out of an archive. Each object is decoded, held against its line of the manifest, and
//! appears under its name whole or not at all; what is there already is left as it is.

mod target;

use std::path::PathBuf;

use clap::ValueEnum;
use indicatif::ProgressBar;
use postroom_mail::Name;
use postroom_mail::rules::neutral;
use serde::Serialize;

use self::target::{Put, Target};
use super::output::{self, count};
use super::setup::{self, Context};
use super::verify::{name_of, sinks};
use super::{Exit, Failure, Outcome};
use crate::manifest::{Book, Day, Line, read_back};
use crate::sinks::{ManifestPlace, Sink};

/// Arguments of `export`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The sink; it needs a manifest.
    #[arg(value_parser = name_of)]
    sink: Name,
    /// Where to: a directory, or for an mbox a file that is not there yet.
    to: PathBuf,
    /// In what form.
    #[arg(long, value_enum, default_value_t = Format::Eml)]
    format: Format,
    /// Only what was retrieved from this account.
    #[arg(long, value_parser = name_of)]
    account: Option<Name>,
    /// The first day, as 2026-11-24.
    #[arg(long, value_name = "DAY")]
    from: Option<Day>,
    /// The last day.
    #[arg(long, value_name = "DAY")]
    until: Option<Day>,
}

/// In what form objects leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// Each object as a file under its key, `.zst` undone; also what is no whole message.
    Eml,
    /// Whole messages, in `new` of a maildir.
    Maildir,
    /// Whole messages in one file, in the dialect mboxrd: lines that begin with `From ` are quoted, so that it is not byte-exact.
    Mbox,
}

#[derive(Default, Serialize)]
struct Exported {
    /// Written now.
    exported: u64,
    /// There already, with the same octets.
    already: u64,
    /// No whole messages, in a form that has only those.
    left_out: u64,
    /// Not written, and why.
    failed: Vec<Failed>,
}

#[derive(Serialize)]
struct Failed {
    key: String,
    day: Day,
    reason: String,
}

pub(super) fn export(context: &Context, args: &Args) -> Outcome {
    let (_, config) = context.load()?;
    let sinks = sinks(&config, Some(&args.sink))?;
    let Some((sink, place)) = sinks.get(&args.sink) else { return Ok(Exit::Software) };
    let mut target = Target::open(args.format, &args.to)
        .map_err(|error| Failure::new(Exit::CannotCreate, anyhow::Error::new(error)))?;
    let exported = setup::runtime()?.block_on(all(args, sink, place, &mut target))?;
    target.finish()?;
    if context.json {
        output::json(&exported)?;
    } else {
        print(&exported);
    }
    Ok(if exported.failed.is_empty() { Exit::Ok } else { Exit::Data })
}

async fn all(
    args: &Args,
    sink: &Sink,
    place: &ManifestPlace,
    target: &mut Target,
) -> Result<Exported, Failure> {
    let mut exported = Exported::default();
    let Some(book) = Book::open(place, false)? else { return Ok(exported) };
    let asked =
        |day: &Day| args.from.is_none_or(|from| from <= *day) && args.until.is_none_or(|until| *day <= until);
    let bar = ProgressBar::new_spinner().with_message("exporting");
    for day in book.days()?.into_iter().filter(asked) {
        for line in book.lines(day)? {
            // What cannot be read is for `verify` to tell.
            let Ok(line) = Line::read(&line?.0) else { continue };
            if args.account.as_ref().is_some_and(|account| *account != line.account) {
                continue;
            }
            bar.inc(1);
            match one(sink, &line, target).await {
                Ok(Put::New) => exported.exported += 1,
                Ok(Put::Already) => exported.already += 1,
                Ok(Put::LeftOut) => exported.left_out += 1,
                Err(reason) => exported.failed.push(Failed { key: line.key, day, reason }),
            }
        }
    }
    bar.finish_and_clear();
    Ok(exported)
}

async fn one(sink: &Sink, line: &Line, target: &mut Target) -> Result<Put, String> {
    if !target.takes(line) {
        return Ok(Put::LeftOut);
    }
    let mut draft = target.draft().map_err(|error| format!("cannot be written: {error}"))?;
    read_back(sink, line, &mut draft).await?;
    target.put(line, draft)
}

fn print(exported: &Exported) {
    println!(
        "{} exported, {} there already, {} left out, {} failed",
        count(exported.exported, "object", "objects"),
        exported.already,
        exported.left_out,
        exported.failed.len()
    );
    for failed in &exported.failed {
        println!("  {} ({}): {}", neutral(&failed.key, 300), failed.day, neutral(&failed.reason, 300));
    }
}
