//! `postroom init`: a commented configuration to start from, and the file for the password.

use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};

use super::setup::Context;
use super::{Exit, Failure, Outcome, output};
use crate::config::template::{self, Answers};

/// Arguments of `init`. What is not given is asked for on a terminal, and left at its default elsewhere.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The POP3 server.
    #[arg(long)]
    host: Option<String>,
    /// The login name there.
    #[arg(long)]
    user: Option<String>,
    /// A short name for the account.
    #[arg(long)]
    account: Option<String>,
    /// Where messages are archived.
    #[arg(long, value_name = "DIRECTORY")]
    archive: Option<String>,
    /// Ask nothing.
    #[arg(long)]
    yes: bool,
}

pub(super) fn init(context: &Context, args: &Args) -> Outcome {
    let path = context.config.clone().unwrap_or_else(|| PathBuf::from("postroom.toml"));
    if path.exists() {
        let text = format!("{} is there already, and nothing is overwritten", path.display());
        return Err(
            Failure::new(Exit::CannotCreate, anyhow::anyhow!(text)).hint("name another file with --config")
        );
    }
    let ask = !args.yes && std::io::stdin().is_terminal();
    let answer = |given: &Option<String>, question: &str, default: &str| match given {
        Some(given) => Ok(given.clone()),
        None if ask => prompt(question, default),
        None => Ok(default.to_owned()),
    };
    let host = answer(&args.host, "POP3 server", "pop.example.net")?;
    let user = answer(&args.user, "login name", "me@example.net")?;
    let account = answer(&args.account, "a short name for this account", "home")?;
    postroom_mail::Name::new(&account).map_err(Failure::usage)?;
    let archive = answer(&args.archive, "archive messages in", "archive")?;
    let secret = format!("secrets/{account}");
    let text = template::render(&Answers { account, host, user, secret: secret.clone(), archive });
    let base =
        path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned();
    create_new(&path, &text, 0o640)?;
    let secret_path = base.join(&secret);
    if let Some(directory) = secret_path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    if !secret_path.exists() {
        create_new(&secret_path, "", 0o600)?;
    }
    if context.json {
        output::json(&serde_json::json!({ "config": path, "secret": secret_path }))?;
    } else {
        println!("wrote {}", path.display());
        println!("put the password into {} (only you can read it), then:", secret_path.display());
        println!("  postroom check --online   # logs in and looks at every sink, sends nothing");
        println!("  postroom once             # the first mail");
    }
    Ok(Exit::Ok)
}

fn prompt(question: &str, default: &str) -> Result<String, Failure> {
    print!("{question} [{default}]: ");
    std::io::stdout().flush()?;
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    let line = line.trim();
    Ok(if line.is_empty() { default.to_owned() } else { line.to_owned() })
}

fn create_new(path: &Path, text: &str, mode: u32) -> Result<(), Failure> {
    use std::os::unix::fs::OpenOptionsExt;
    let wrong =
        |error| Failure::new(Exit::CannotCreate, anyhow::anyhow!("cannot write {}: {error}", path.display()));
    let mut file =
        std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(wrong)?;
    file.write_all(text.as_bytes()).map_err(wrong)
}
