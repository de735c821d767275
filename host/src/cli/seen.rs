//! `postroom seen`: the ledger of what was seen in a maildrop, as questions and as changes. Changes hold the state alone, so
//! a running host has to be stopped for them; nothing here retrieves or deletes mail.

mod import;
mod stuck;

use std::ffi::OsString;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use postroom_mail::{AccountId, Timestamp, Uid};
use postroom_seen::Mailbox;
use postroom_spool::{Forget, SeenBy, SeenRow, Spool, SqliteSpool};
use serde::Serialize;

use super::output::{self, Table, count, moment};
use super::setup::{self, Context};
use super::{Exit, Failure, Outcome, account};
use crate::clock::Clock;
use crate::config::{AccountConfig, Config};
use crate::seen::{exported, meant};
use crate::source::{self, Holdings, Keeping, Leases};

/// The verbs of `seen`.
#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// List what is known of an account's messages, by unique-id.
    Ls {
        /// The account's name.
        account: String,
        /// At most so many.
        #[arg(long, default_value_t = 100)]
        limit: usize,
        /// Leave out the first so many.
        #[arg(long, default_value_t = 0)]
        skip: usize,
    },
    /// Mark as seen what another program has retrieved already; logs in to list, retrieves nothing.
    Import(import::Args),
    /// Write what is known in a file that `import` reads; to standard output unless a file is named.
    Export {
        /// The account's name.
        account: String,
        /// A new file; one that is there is not overwritten.
        file: Option<PathBuf>,
    },
    /// Mark everything that is on the server now as seen, without retrieving it.
    Seed {
        /// The account's name.
        account: String,
        /// Only say what would be marked.
        #[arg(long)]
        dry_run: bool,
    },
    /// Forget entries: what the server still lists of them is retrieved again.
    Forget {
        /// The account's name.
        account: String,
        /// This unique-id, as the server gives it or as `ls` shows it.
        #[arg(long, required_unless_present = "all")]
        uid: Option<OsString>,
        /// Everything known of the account; says what that would be unless --yes is given.
        #[arg(long, conflicts_with = "uid")]
        all: bool,
        /// Do it.
        #[arg(long)]
        yes: bool,
    },
    /// List messages that could not be retrieved, why, and when they are tried again.
    Stuck {
        /// The account's name.
        account: String,
    },
    /// Have messages that could not be retrieved tried again at the next poll.
    Retry {
        /// The account's name.
        account: String,
        /// Only this unique-id, as the server gives it or as `stuck` shows it.
        #[arg(long)]
        uid: Option<OsString>,
    },
}

/// So many rows are read at once.
const PAGE: usize = 1000;

pub(super) fn seen(context: &Context, verb: &Verb) -> Outcome {
    let (_, config) = context.load()?;
    let name = match verb {
        Verb::Import(args) => &args.account,
        Verb::Ls { account, .. }
        | Verb::Export { account, .. }
        | Verb::Seed { account, .. }
        | Verb::Forget { account, .. }
        | Verb::Stuck { account }
        | Verb::Retry { account, .. } => account,
    };
    let (id, account) = account::find(&config, name)?;
    let ledger = Ledger { context, config: &config, id, account };
    match verb {
        Verb::Ls { limit, skip, .. } => ledger.ls(*limit, *skip),
        Verb::Import(args) => ledger.import(args),
        Verb::Export { file, .. } => ledger.export(file.as_deref()),
        Verb::Seed { dry_run, .. } => ledger.seed(*dry_run),
        Verb::Forget { uid: Some(uid), .. } => ledger.forget_one(&meant(uid.as_bytes())),
        Verb::Forget { yes, .. } => ledger.forget_all(*yes),
        Verb::Stuck { .. } => ledger.stuck(),
        Verb::Retry { uid, .. } => ledger.retry(uid.as_ref().map(|uid| meant(uid.as_bytes()))),
    }
}

/// One account's part of the ledger.
struct Ledger<'a> {
    context: &'a Context,
    config: &'a Config,
    id: &'a AccountId,
    account: &'a AccountConfig,
}

/// A row for programs.
#[derive(Serialize)]
struct Row {
    uid: String,
    ordinal: u32,
    size: Option<u64>,
    first_seen: String,
    how: SeenBy,
    message: Option<String>,
    absent: u32,
    removed: Option<String>,
}

impl Row {
    fn of(row: &SeenRow) -> Self {
        Self {
            uid: row.uid.to_string(),
            ordinal: row.ordinal,
            size: row.size,
            first_seen: moment(row.at),
            how: row.by,
            message: row.message.map(|message| message.0.to_string()),
            absent: row.absent,
            removed: row.removed.map(moment),
        }
    }
}

impl Ledger<'_> {
    fn ls(&self, limit: usize, skip: usize) -> Outcome {
        let spool = self.context.read_spool()?;
        let (mut shown, mut total) = (Vec::new(), 0);
        setup::runtime()?.block_on(self.each_row(spool.as_ref(), |row| {
            if total >= skip && shown.len() < limit {
                shown.push(Row::of(row));
            }
            total += 1;
        }))?;
        if self.context.json {
            output::json(&serde_json::json!({ "account": self.id, "total": total, "rows": shown }))?;
            return Ok(Exit::Ok);
        }
        if total == 0 {
            println!("nothing is known of account {} yet", self.id);
            return Ok(Exit::Ok);
        }
        let mut table =
            Table::new(["UNIQUE-ID", "FIRST SEEN", "HOW", "SIZE", "MESSAGE", "ABSENT", "REMOVED"]);
        for row in &shown {
            let copy = if row.ordinal > 0 { format!(" (copy {})", row.ordinal + 1) } else { String::new() };
            table.row([
                format!("{}{copy}", row.uid),
                row.first_seen.clone(),
                how(row.how).to_owned(),
                row.size.map(output::size).unwrap_or_default(),
                row.message.as_deref().unwrap_or_default().chars().take(12).collect(),
                if row.absent > 0 { format!("{} times", row.absent) } else { String::new() },
                row.removed.clone().unwrap_or_default(),
            ]);
        }
        table.print();
        let after = skip.saturating_add(shown.len());
        if after < total {
            println!("\n{} of {total}; the next ones: --skip {after}", shown.len());
        } else {
            println!("\n{} of {total}", shown.len());
        }
        Ok(Exit::Ok)
    }

    fn export(&self, file: Option<&Path>) -> Outcome {
        let spool = self.context.read_spool()?;
        let AccountConfig { user, host, port, .. } = self.account;
        let mailbox = Mailbox { user: user.clone(), host: host.clone(), port: Some(*port) };
        let (mut entries, mut removed) = (Vec::new(), 0_u64);
        setup::runtime()?.block_on(self.each_row(spool.as_ref(), |row| match exported(row, &mailbox) {
            Some(entry) => entries.push(entry),
            None => removed += 1,
        }))?;
        let octets = postroom_seen::write(&entries);
        match file {
            Some(path) => write_new(path, &octets)?,
            None if self.context.json => {}
            None => std::io::stdout().write_all(&octets)?,
        }
        if self.context.json {
            output::json(&serde_json::json!({
                "account": self.id, "entries": entries.len(), "removed_left_out": removed, "file": file,
                "export": file.is_none().then(|| String::from_utf8_lossy(&octets)),
            }))?;
            return Ok(Exit::Ok);
        }
        // Beside the export itself, which may be on standard output.
        if let Some(path) = file {
            eprintln!("wrote {} to {}", count(entries.len() as u64, "entry", "entries"), path.display());
        }
        if removed > 0 {
            eprintln!(
                "left out {removed} whose deletion the server confirmed: what shows under their unique-ids now is other mail"
            );
        }
        Ok(Exit::Ok)
    }

    fn seed(&self, dry_run: bool) -> Outcome {
        let spool = self.spool(!dry_run)?;
        let marked = setup::runtime()?.block_on(async {
            let holdings = self.list(spool.as_ref(), !dry_run).await?;
            let found = spool.reconcile(self.id, &holdings.listed).await?;
            let new = found.new.len() as u64;
            if !dry_run {
                let entries = holdings.listed.iter().map(|listed| postroom_spool::Seen {
                    uid: listed.uid.clone(),
                    ordinal: listed.ordinal,
                    size: listed.size,
                    at: None,
                });
                spool.seed(self.id, entries.collect(), SeenBy::Seeded, now()).await?;
            }
            Ok::<_, Failure>((holdings, new))
        });
        let (holdings, new) = marked?;
        let listed = holdings.listed.len() as u64;
        if self.context.json {
            output::json(&serde_json::json!({
                "account": self.id, "listed": listed, "marked": new, "known": listed - new,
                "without_id": holdings.without_id, "dry_run": dry_run,
            }))?;
            return Ok(Exit::Ok);
        }
        println!(
            "{} on the server: {new} {} seen, {} known before; nothing was retrieved",
            count(listed, "message", "messages"),
            if dry_run { "would be marked as" } else { "marked as" },
            listed - new
        );
        self.tell_without_id(&holdings);
        Ok(Exit::Ok)
    }

    fn forget_one(&self, meant: &[Uid]) -> Outcome {
        let spool = self.spool(true)?;
        let forgotten = setup::runtime()?.block_on(async {
            for uid in meant {
                let rows = spool.forget(self.id, Forget::Uid(uid.clone()), now()).await?;
                if rows > 0 {
                    return Ok::<_, Failure>(Some((uid, rows)));
                }
            }
            Ok(None)
        });
        let Some((uid, rows)) = forgotten? else { return Err(self.unknown(&meant[..1], "ls")) };
        if self.context.json {
            output::json(
                &serde_json::json!({ "account": self.id, "uid": uid.to_string(), "forgotten": rows, "done": true }),
            )?;
        } else {
            println!("forgot {} of {uid}", count(rows, "entry", "entries"));
            println!("{FORGOTTEN}");
        }
        Ok(Exit::Ok)
    }

    fn forget_all(&self, yes: bool) -> Outcome {
        let spool = self.spool(yes)?;
        let rows = setup::runtime()?.block_on(async {
            if yes {
                return Ok::<_, Failure>(spool.forget(self.id, Forget::All, now()).await?);
            }
            let mut rows = 0;
            self.each_row(spool.as_ref(), |_| rows += 1).await?;
            Ok(rows)
        });
        let rows = rows?;
        if self.context.json {
            output::json(&serde_json::json!({ "account": self.id, "forgotten": rows, "done": yes }))?;
            return Ok(Exit::Ok);
        }
        let entries = count(rows, "entry", "entries");
        if yes {
            println!("forgot {entries} of account {}", self.id);
        } else {
            println!("would forget {entries} of account {}; nothing was changed", self.id);
        }
        println!("{FORGOTTEN}");
        if !yes {
            println!("\nto do it: postroom seen forget {} --all --yes", self.id);
        }
        Ok(Exit::Ok)
    }

    /// All rows in their order, a page at a time.
    async fn each_row(&self, spool: &dyn Spool, mut tell: impl FnMut(&SeenRow)) -> Result<(), Failure> {
        let mut after = None;
        loop {
            let rows = spool.seen(self.id, after, PAGE).await?;
            rows.iter().for_each(&mut tell);
            match rows.last() {
                Some(last) if rows.len() == PAGE => after = Some((last.uid.clone(), last.ordinal)),
                _ => return Ok(()),
            }
        }
    }

    /// Held alone for a change; for a question as it is, or empty when there is none yet.
    fn spool(&self, change: bool) -> Result<Arc<dyn Spool>, Failure> {
        if !change {
            return setup::look_at_spool(self.config);
        }
        match SqliteSpool::open(&self.config.state) {
            Ok(spool) => Ok(Arc::new(spool)),
            Err(error @ postroom_spool::Error::InUse { .. }) => Err(Failure::from(error).hint(
                "a running host keeps the ledger to itself: stop it, run this, start it again; `seen ls`, `export`, `stuck` and \
                 --dry-run work beside it",
            )),
            Err(error) => Err(error.into()),
        }
    }

    async fn list(&self, spool: &dyn Spool, change: bool) -> Result<Holdings, Failure> {
        let leases = Leases::of_machine();
        let keeping = change.then_some(Keeping { spool, leases: &leases });
        let bar = account::spinner("listing what is on the server");
        let listed = source::list(self.id, self.account, &self.config.base, keeping, now()).await;
        bar.finish_and_clear();
        listed.map_err(|error| account::failed(self.id, self.account, error))
    }

    fn tell_without_id(&self, holdings: &Holdings) {
        if holdings.without_id > 0 {
            println!(
                "{} without a usable unique-id: they cannot be marked, and stay on the server",
                count(holdings.without_id, "message", "messages")
            );
        }
    }

    fn unknown(&self, meant: &[Uid], verb: &str) -> Failure {
        let shown = meant.first().map(ToString::to_string).unwrap_or_default();
        let text = format!(
            "account {} has no entry with the unique-id {}",
            self.id,
            postroom_mail::rules::neutral(&shown, 200)
        );
        Failure::new(Exit::NoInput, anyhow::anyhow!(text))
            .hint(format!("`postroom seen {verb} {}` shows those it has", self.id))
    }
}

const FORGOTTEN: &str = "what the server still lists of it is retrieved again at the next poll. A message whose octets are the same as \
                         before is recognised then, and is not processed a second time: its history stays here.";

fn how(by: SeenBy) -> &'static str {
    match by {
        SeenBy::Retrieved => "retrieved",
        SeenBy::Seeded => "marked",
        SeenBy::Imported => "imported",
        SeenBy::Adopted => "renamed",
    }
}

fn now() -> Timestamp {
    Clock::system().now()
}

/// Never over a file that is there.
fn write_new(path: &Path, octets: &[u8]) -> Result<(), Failure> {
    let made = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let written = made.and_then(|mut file| file.write_all(octets).and_then(|()| file.sync_all()));
    written.map_err(|error| {
        let there = error.kind() == std::io::ErrorKind::AlreadyExists;
        let text = if there {
            format!("{} is there already", path.display())
        } else {
            format!("cannot write {}: {error}", path.display())
        };
        let hint = if there {
            "name another file, or remove that one"
        } else {
            "see who owns the directory, and the space left"
        };
        Failure::new(Exit::CannotCreate, anyhow::anyhow!(text)).hint(hint)
    })
}
