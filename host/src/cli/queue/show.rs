//! `postroom queue show MESSAGE`: what `why` shows, and how the message begins. What came from outside is neutralised.

use postroom_mail::header::HeaderBlock;
use postroom_mail::octets::read_range;
use postroom_mail::rules::neutral;
use postroom_spool::Body;

use super::super::setup::{self, Context};
use super::super::{Exit, Failure, Outcome, output, why};

/// Fields of the header that are shown.
const FIELDS: [&str; 4] = ["From", "To", "Subject", "Date"];
/// Octets of the text that are looked at.
const TEXT: usize = 4096;
/// Characters of a line.
const LINE: usize = 100;

/// Arguments of `queue show`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The beginning of the message's id, of its SHA-256, or its unique-id on the server.
    message: String,
    /// So many lines of its text, as they are in the mail.
    #[arg(long, default_value_t = 10)]
    lines: usize,
}

/// How a message begins.
#[derive(serde::Serialize)]
struct Head {
    fields: Vec<(&'static str, String)>,
    lines: Vec<String>,
}

pub(super) fn show(context: &Context, args: &Args) -> Outcome {
    let (_, config) = context.load()?;
    let spool = context.read_spool()?;
    let (known, head) = setup::runtime()?.block_on(async {
        let message = why::find(spool.as_ref(), &args.message).await?;
        let known = why::know(spool.as_ref(), &config, message).await?;
        let head = match spool.open(message).await {
            Ok(body) => Ok(head(&body, args.lines)?),
            Err(error) => Err(error),
        };
        Ok::<_, Failure>((known, head))
    })?;
    if context.json {
        output::json(&serde_json::json!({ "known": known, "head": head.ok() }))?;
        return Ok(Exit::Ok);
    }
    why::print(&known);
    println!("\nmail");
    match head {
        Err(error) => println!("  {error}"),
        Ok(head) => {
            for (name, value) in &head.fields {
                println!("  {name}: {value}");
            }
            println!();
            for line in &head.lines {
                println!("  {line}");
            }
        }
    }
    Ok(Exit::Ok)
}

fn head(body: &Body, lines: usize) -> Result<Head, Failure> {
    let block = HeaderBlock::read(body)?;
    let fields = FIELDS.iter().filter_map(|name| Some((*name, neutral(&block.first(name)?, LINE)))).collect();
    let text = read_range(body, block.body_offset(), TEXT)?;
    let text = String::from_utf8_lossy(&text);
    let lines = text.lines().take(lines).map(|line| neutral(line, LINE)).collect();
    Ok(Head { fields, lines })
}
