//! `postroom queue export`: the octets of messages as files, from any state while they are here; also beside a running host.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use postroom_mail::{MessageId, Octets as _};
use postroom_spool::{Body, Spool};

use super::super::output::{self, count};
use super::super::setup::{self, Context};
use super::super::{Exit, Failure, Outcome};
use super::chosen::Choice;

/// Arguments of `queue export`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    choice: Choice,
    /// The directory to write `ID.eml` into, with --json also `ID.json` with all that is known of it. Nothing is overwritten.
    #[arg(long, value_name = "DIRECTORY")]
    to: PathBuf,
}

/// What became of one message.
#[derive(serde::Serialize)]
struct Exported {
    message: MessageId,
    file: Option<PathBuf>,
    error: Option<String>,
}

pub(super) fn export(context: &Context, args: &Args) -> Outcome {
    let spool = context.read_spool()?;
    let exported = setup::runtime()?.block_on(async {
        let mut all = Vec::new();
        for selected in args.choice.select(spool.as_ref()).await? {
            let message = selected.message;
            let written = one(spool.as_ref(), message, &args.to, context.json).await;
            let (file, error) = match written {
                Ok(file) => (Some(file), None),
                Err(failure) => (None, Some(format!("{:#}", failure.error))),
            };
            all.push(Exported { message, file, error });
        }
        Ok::<_, Failure>(all)
    })?;
    let written = exported.iter().filter(|one| one.file.is_some()).count();
    if context.json {
        output::json(&serde_json::json!({ "exported": exported, "written": written }))?;
    } else {
        for one in &exported {
            match (&one.file, &one.error) {
                (Some(file), _) => println!("{}", file.display()),
                (None, error) => {
                    println!("{}: {}", one.message.0.short(12), error.as_deref().unwrap_or_default());
                }
            }
        }
        println!("\n{} written", count(written as u64, "message", "messages"));
    }
    Ok(if written == exported.len() { Exit::Ok } else { Exit::CannotCreate })
}

async fn one(
    spool: &dyn Spool,
    message: MessageId,
    directory: &Path,
    history: bool,
) -> Result<PathBuf, Failure> {
    let body = spool.open(message).await?;
    let path = directory.join(format!("{message}.eml"));
    create(directory, &path, |file| copy(&body, file))?;
    if history && let Some(history) = spool.history(message).await? {
        let text =
            serde_json::to_vec_pretty(&history).map_err(|error| Failure::new(Exit::Software, error))?;
        create(directory, &directory.join(format!("{message}.json")), |file| file.write_all(&text))?;
    }
    Ok(path)
}

/// Whole, private, durable, and never over a file that is there.
fn create(
    directory: &Path,
    path: &Path,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> Result<(), Failure> {
    let made = || -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(directory)?;
        write(file.as_file_mut())?;
        file.as_file().sync_all()?;
        file.persist_noclobber(path).map_err(|error| error.error)?;
        File::open(directory)?.sync_all()
    };
    made().map_err(|error| {
        let text = match error.kind() {
            io::ErrorKind::AlreadyExists => format!("{} is there already", path.display()),
            _ => format!("cannot write {}: {error}", path.display()),
        };
        Failure::new(Exit::CannotCreate, anyhow::anyhow!(text))
    })
}

fn copy(body: &Body, file: &mut File) -> io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    let mut offset = 0;
    while offset < body.len() {
        let count = body.read_at(offset, &mut buffer)?;
        let octets = buffer.get(..count).filter(|octets| !octets.is_empty());
        file.write_all(octets.ok_or(io::ErrorKind::UnexpectedEof)?)?;
        offset += count as u64;
    }
    Ok(())
}
