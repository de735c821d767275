//! `postroom seen import`: another program's state file, held against what is on the server now.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use postroom_mail::rules::neutral;
use postroom_seen::{Foreign, Format, Mailbox, Reading, getmail};
use postroom_spool::SeenBy;
use serde::Serialize;

use super::super::output::{self, count};
use super::super::setup;
use super::super::{Exit, Failure, Outcome};
use super::{Ledger, now};
use crate::config::AccountConfig;
use crate::seen::Import;

/// Arguments of `seen import`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The account's name.
    pub(super) account: String,
    /// The other program's state file; it is only read.
    file: PathBuf,
    /// Whose file it is [default: told by its form and name].
    #[arg(long, value_name = "PROGRAM")]
    format: Option<Whose>,
    /// Which mailbox of the file [default: that of the account].
    #[arg(long, value_name = "USER@HOST")]
    mailbox: Option<String>,
    /// Only say what would be marked.
    #[arg(long)]
    dry_run: bool,
}

/// Whose state file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Whose {
    /// oldmail-SERVER-PORT-USER
    Getmail,
    /// .fetchids
    Fetchmail,
    /// ~/.mpop_uidls/USER_at_SERVER
    Mpop,
    /// popstate.dat
    Thunderbird,
    /// Written by `seen export`
    Postroom,
}

impl Whose {
    fn format(self) -> Format {
        match self {
            Self::Getmail => Format::Getmail,
            Self::Fetchmail => Format::Fetchmail,
            Self::Mpop => Format::Mpop,
            Self::Thunderbird => Format::Thunderbird,
            Self::Postroom => Format::Postroom,
        }
    }
}

/// The answer for programs.
#[derive(Serialize)]
struct Document {
    account: String,
    format: String,
    dry_run: bool,
    /// Entries of the mailbox in the file.
    entries: u64,
    /// Messages on the server.
    listed: u64,
    /// Of these seen by the file.
    matched: u64,
    /// Of the matched ones, those that are marked by this.
    marked: u64,
    /// Messages on the server that nobody has seen: they will be retrieved.
    unknown: u64,
    /// Entries of mail that is not on the server.
    not_on_server: u64,
    /// Entries of which only the header was retrieved; they do not count.
    header_only: u64,
    /// Messages that entries may or may not mean; they count as not seen.
    doubtful: u64,
    /// Messages that cannot be marked.
    without_id: u64,
    bad_lines: Vec<Bad>,
    bad_count: u64,
}

#[derive(Serialize)]
struct Bad {
    line: usize,
    why: &'static str,
}

impl Ledger<'_> {
    pub(super) fn import(&self, args: &Args) -> Outcome {
        let (format, reading) = read(&args.file, args.format)?;
        let wanted = match &args.mailbox {
            Some(text) => parse_mailbox(text)?,
            None => own(self.account),
        };
        let (bad, bad_count) = (reading.bad.clone(), reading.bad_count as u64);
        let entries = of_mailbox(reading, format, &args.file, &wanted)?;
        let spool = self.spool(!args.dry_run)?;
        let done = setup::runtime()?.block_on(async {
            let holdings = self.list(spool.as_ref(), !args.dry_run).await?;
            let import = Import::of(format, &entries, &holdings.listed, now());
            let found = spool.reconcile(self.id, &holdings.listed).await?;
            let (known, unknown): (Vec<usize>, Vec<usize>) =
                found.new.iter().partition(|&&index| import.seen[index]);
            if !args.dry_run {
                spool.seed(self.id, import.entries.clone(), SeenBy::Imported, now()).await?;
            }
            Ok::<_, Failure>((holdings, import, known.len() as u64, unknown.len() as u64))
        });
        let (holdings, import, marked, unknown) = done?;
        let document = Document {
            account: self.id.to_string(),
            format: format.to_string(),
            dry_run: args.dry_run,
            entries: entries.len() as u64,
            listed: holdings.listed.len() as u64,
            matched: import.entries.len() as u64,
            marked,
            unknown,
            not_on_server: import.unlisted,
            header_only: import.header_only,
            doubtful: import.doubtful,
            without_id: holdings.without_id,
            bad_lines: bad.iter().map(|bad| Bad { line: bad.line, why: bad.why }).collect(),
            bad_count,
        };
        if self.context.json {
            output::json(&document)?;
        } else {
            print(&document);
            self.tell_without_id(&holdings);
        }
        Ok(Exit::Ok)
    }
}

fn read(file: &Path, format: Option<Whose>) -> Result<(Format, Reading), Failure> {
    let shown = file.display();
    let octets = postroom_seen::read_file(file).map_err(|error| {
        let exit = if matches!(error, postroom_seen::Error::Io(_)) { Exit::NoInput } else { Exit::Data };
        Failure::new(exit, anyhow::Error::new(error).context(format!("{shown}")))
    })?;
    let format = match format {
        Some(whose) => whose.format(),
        None => Format::detect(&name(file), &octets).ok_or_else(|| {
            Failure::usage(anyhow::anyhow!("it does not show whose state file {shown} is"))
                .hint("say so with --format getmail, fetchmail, mpop, thunderbird or postroom")
        })?,
    };
    let reading = postroom_seen::read(format, &octets)
        .map_err(|error| Failure::new(Exit::Data, anyhow::Error::new(error).context(format!("{shown}"))))?;
    Ok((format, reading))
}

fn name(file: &Path) -> String {
    file.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn own(account: &AccountConfig) -> Mailbox {
    Mailbox { user: account.user.clone(), host: account.host.clone(), port: Some(account.port) }
}

/// The user may have an `@` of its own.
fn parse_mailbox(text: &str) -> Result<Mailbox, Failure> {
    match text.rsplit_once('@') {
        Some((user, host)) if !user.is_empty() && !host.is_empty() => {
            Ok(Mailbox { user: user.to_owned(), host: host.to_owned(), port: None })
        }
        _ => Err(Failure::usage(anyhow::anyhow!("--mailbox must be USER@HOST, not {:?}", neutral(text, 80)))),
    }
}

/// The entries of one mailbox; a file of other mailboxes only is refused, since its mail is not ours.
fn of_mailbox(
    reading: Reading,
    format: Format,
    file: &Path,
    wanted: &Mailbox,
) -> Result<Vec<Foreign>, Failure> {
    let mut named: Vec<Mailbox> = reading.mailboxes().into_iter().cloned().collect();
    if named.is_empty() && format == Format::Getmail {
        let name = name(file);
        // The exact name is certain where reading it the other way round is a guess.
        let exact = getmail::file_name(wanted).as_deref() == Some(name.as_str());
        named.extend(getmail::mailbox(&name).filter(|_| !exact));
    }
    if named.is_empty() || named.iter().any(|mailbox| mailbox.is(wanted)) {
        return Ok(reading.of(wanted).entries);
    }
    let shown = |mailbox: &Mailbox| neutral(&format!("{}@{}", mailbox.user, mailbox.host), 120);
    let names: Vec<_> = named.iter().take(10).map(shown).collect();
    let more = if named.len() > 10 { format!(" and {} more", named.len() - 10) } else { String::new() };
    let text = format!("the file has nothing of {}; it is about {}{more}", shown(wanted), names.join(", "));
    let hint = format!("if one of these is the same mailbox under another name: --mailbox '{}'", names[0]);
    Err(Failure::new(Exit::Data, anyhow::anyhow!(text)).hint(hint))
}

fn print(document: &Document) {
    let Document { format, entries, listed, matched, marked, unknown, .. } = document;
    println!("{format}: {} of this mailbox in the file", count(*entries, "entry", "entries"));
    println!("server: {}\n", count(*listed, "message", "messages"));
    let verb = if document.dry_run { "would be marked as seen" } else { "marked as seen" };
    println!("{marked:>8}  {verb} ({matched} matched, {} known before)", matched - marked);
    println!("{unknown:>8}  on the server only: retrieved at the next poll");
    println!("{:>8}  in the file only: not on the server any more", document.not_on_server);
    if document.header_only > 0 {
        println!(
            "{:>8}  in the file with the header only: nobody has this mail, so it is not marked",
            document.header_only
        );
    }
    if document.doubtful > 0 {
        println!(
            "{:>8}  on the server may be meant by the file or not: retrieved, to be certain",
            document.doubtful
        );
    }
    if document.bad_count > 0 {
        println!(
            "\n{} of the file cannot be read, and were left out:",
            count(document.bad_count, "line", "lines")
        );
        document.bad_lines.iter().for_each(|bad| println!("  line {}: {}", bad.line, bad.why));
        let more = document.bad_count - document.bad_lines.len() as u64;
        if more > 0 {
            println!("  and {more} more");
        }
    }
    println!(
        "\n{}",
        if document.dry_run { "nothing was changed" } else { "nothing was retrieved or deleted" }
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mailbox_is_split_at_its_last_at_sign() {
        let mailbox = parse_mailbox("me@home.example@pop.example.net").unwrap();
        assert_eq!((mailbox.user.as_str(), mailbox.host.as_str()), ("me@home.example", "pop.example.net"));
        for wrong in ["", "me", "@host", "me@"] {
            assert_eq!(parse_mailbox(wrong).unwrap_err().exit, Exit::Usage, "{wrong}");
        }
    }

    #[test]
    fn a_file_of_other_mailboxes_is_refused_with_their_names() {
        let wanted = Mailbox { user: "me".to_owned(), host: "pop.example.net".to_owned(), port: Some(995) };
        let reading = || postroom_seen::read(Format::Fetchmail, b"you@pop.example.net 0001\n").unwrap();
        let failure = of_mailbox(reading(), Format::Fetchmail, Path::new("x"), &wanted).unwrap_err();
        assert_eq!(failure.exit, Exit::Data);
        assert!(failure.hint.unwrap().contains("--mailbox 'you@pop.example.net'"));
        let other = Mailbox { user: "you".to_owned(), ..wanted };
        assert_eq!(of_mailbox(reading(), Format::Fetchmail, Path::new("x"), &other).unwrap().len(), 1);
    }

    #[test]
    fn the_name_of_a_getmail_file_tells_whose_it_is() {
        let wanted = Mailbox { user: "me".to_owned(), host: "pop.example.net".to_owned(), port: Some(995) };
        let read = |name: &str| {
            let reading = postroom_seen::read(Format::Getmail, b"0001\x001700000000\n").unwrap();
            of_mailbox(reading, Format::Getmail, Path::new(name), &wanted).map(|entries| entries.len()).ok()
        };
        assert_eq!(read("oldmail-pop.example.net-995-me"), Some(1));
        assert_eq!(read("oldmail-pop.example.net-995-you"), None);
        assert_eq!(read("renamed"), Some(1), "its name says nothing");
    }
}
