//! `postroom status`: how each account and the queue stand, with every message on a server accounted for. Reads only, also
//! beside a running host.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use postroom_mail::rules::neutral;
use postroom_mail::{AccountId, Name, Timestamp};
use postroom_spool::{
    AccountStatus, Aside, Counts, EffectState, QueueFilter, Selection, Spool, Tally, Usage,
};
use serde::Serialize;

use super::output::{self, Table, count, moment};
use super::setup::{self, Context};
use super::{Exit, Failure, Outcome};
use crate::clock::Clock;
use crate::config::Config;
use crate::manifest;
use crate::pipeline::{Course, Open, recorded};
use crate::reload::{self, Refused};

/// How things stand.
#[derive(Serialize)]
struct Status {
    /// When this was read.
    at: Timestamp,
    /// The process that has the state now, if any.
    process: Option<u32>,
    accounts: Vec<Account>,
    counts: Counts,
    /// When the oldest message that waits was retrieved.
    oldest_waiting: Option<Timestamp>,
    /// Effects that are parked, by sink.
    parked: BTreeMap<Name, u64>,
    /// Steps whose plugin failed too often.
    breakers: Vec<OpenBreaker>,
    /// Why the last change of the configuration or of a plugin was not taken.
    refused_change: Option<Refused>,
    /// Of each sink that ever had one.
    manifests: BTreeMap<Name, manifest::Standing>,
    bodies: Usage,
    /// Octets left on the disk of the state.
    free: Option<u64>,
}

/// A step whose plugin failed too often.
#[derive(Serialize)]
struct OpenBreaker {
    pipeline: Name,
    step: Name,
    #[serde(flatten)]
    open: Open,
}

#[derive(Serialize)]
struct Account {
    account: AccountId,
    /// It is in the configuration.
    configured: bool,
    poll: Option<AccountStatus>,
    tally: Tally,
    /// The sum of all that is told apart is what the server has.
    adds_up: bool,
}

pub(super) fn status(context: &Context) -> Outcome {
    let (_, config) = context.load()?;
    let spool = context.read_spool()?;
    let status = setup::runtime()?.block_on(read(spool.as_ref(), &config))?;
    if context.json {
        output::json(&status)?;
    } else {
        print(&status);
    }
    Ok(Exit::Ok)
}

async fn read(spool: &dyn Spool, config: &Config) -> Result<Status, Failure> {
    let at = Clock::system().now();
    let mut polls: BTreeMap<_, _> =
        spool.accounts().await?.into_iter().map(|status| (status.account.clone(), status)).collect();
    let mut names: Vec<_> = config.accounts.keys().chain(polls.keys()).cloned().collect();
    names.sort();
    names.dedup();
    let mut accounts = Vec::with_capacity(names.len());
    for account in names {
        let tally = spool.tally(&account).await?;
        let (configured, poll) = (config.accounts.contains_key(&account), polls.remove(&account));
        accounts.push(Account { account, configured, poll, tally, adds_up: tally.adds_up() });
    }
    let waiting = Selection { state: Some(Aside::Waiting), ..Selection::default() };
    let oldest = spool.select(waiting, at).await?.iter().map(|one| one.retrieved).min();
    let mut parked = BTreeMap::new();
    for row in spool.queue(QueueFilter::default()).await? {
        if let (Some(EffectState::Parked), Some(sink)) = (row.effect_state, row.sink) {
            *parked.entry(sink).or_default() += 1;
        }
    }
    Ok(Status {
        breakers: breakers(spool, config).await,
        refused_change: reload::refused(spool).await?,
        at,
        process: holder(&config.state),
        accounts,
        counts: spool.counts(None).await?,
        oldest_waiting: oldest,
        parked,
        manifests: manifests(spool, config).await?,
        bodies: spool.usage().await?,
        free: rustix::fs::statvfs(&config.state).ok().map(|disk| disk.f_bavail * disk.f_frsize),
    })
}

async fn manifests(
    spool: &dyn Spool,
    config: &Config,
) -> Result<BTreeMap<Name, manifest::Standing>, Failure> {
    let mut all = BTreeMap::new();
    for name in config.sinks.keys() {
        all.extend(manifest::standing(spool, name).await?.map(|standing| (name.clone(), standing)));
    }
    Ok(all)
}

async fn breakers(spool: &dyn Spool, config: &Config) -> Vec<OpenBreaker> {
    let mut open = Vec::new();
    for (pipeline, configured) in &config.pipelines {
        for step in &configured.steps {
            let record = recorded(spool, pipeline, &step.name).await;
            open.extend(record.open.map(|open| OpenBreaker {
                pipeline: pipeline.clone(),
                step: step.name.clone(),
                open,
            }));
        }
    }
    open
}

/// The process that holds the lock of the state, as the kernel tells.
fn holder(state: &Path) -> Option<u32> {
    let inode = std::fs::metadata(state.join("lock")).ok()?.ino().to_string();
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    locks.lines().find_map(|line| {
        // `1: FLOCK  ADVISORY  WRITE 1234 fe:01:5678 0 EOF`
        let mut words = line.split_ascii_whitespace().skip(1);
        let (kind, process) = (words.next()?, words.nth(2)?);
        let of = words.next()?.rsplit(':').next()?;
        (kind == "FLOCK" && of == inode).then(|| process.parse().ok())?
    })
}

fn print(status: &Status) {
    match status.process {
        Some(process) => println!("as of {}; process {process} is at work", moment(status.at)),
        None => println!("as of {}; no process is at work", moment(status.at)),
    }
    println!();
    let mut table = Table::new(["ACCOUNT", "LAST POLL", "FAILURES", "STATE"]);
    for account in &status.accounts {
        let poll = account.poll.as_ref();
        let last = poll.and_then(|poll| poll.last_success).map_or_else(|| "never".to_owned(), moment);
        let failures = poll.map_or(0, |poll| poll.failures).to_string();
        table.row([account.account.to_string(), last, failures, state(account)]);
    }
    table.print();
    println!();
    for account in &status.accounts {
        tally(&account.account, &account.tally);
    }
    let counts = &status.counts;
    println!(
        "\n{}: {} waiting, {} being delivered, {} done, {} discarded, {} quarantined",
        count(counts.admitted, "message", "messages"),
        counts.waiting,
        counts.planned,
        counts.done,
        counts.discarded,
        counts.quarantined
    );
    if let Some(oldest) = status.oldest_waiting {
        println!("the oldest that waits was retrieved {}", moment(oldest));
    }
    for (sink, number) in &status.parked {
        println!("sink {sink}: {} parked", count(*number, "effect", "effects"));
    }
    for (sink, standing) in &status.manifests {
        println!("sink {sink}: manifest of {}", count(standing.seq, "line", "lines"));
        if let Some((since, reason)) = &standing.trouble {
            println!(
                "  NOT WRITTEN since {}: {}; mail goes on, lines wait",
                moment(*since),
                neutral(reason, 300)
            );
        }
    }
    for breaker in &status.breakers {
        println!("\n{}", told(breaker));
    }
    if let Some(refused) = &status.refused_change {
        let at = moment(refused.at);
        println!("\nthe change of {at} was not taken, the configuration and plugins before it go on:");
        refused.reason.lines().for_each(|line| println!("  {}", neutral(line, 500)));
    }
    let free = status.free.map(|free| format!(", {} free", output::size(free))).unwrap_or_default();
    println!(
        "{} in {}{free}",
        output::size(status.bodies.octets),
        count(status.bodies.bodies, "body", "bodies")
    );
}

/// What a person has to know of a plugin that failed too often.
fn told(breaker: &OpenBreaker) -> String {
    let Open { version, failures, since, reason, course, .. } = &breaker.open;
    let (step, version, since) =
        (format!("{}/{}", breaker.pipeline, breaker.step), version.short(12), moment(*since));
    let times = count((*failures).into(), "time", "times");
    let course = match course {
        Course::FallsBack { to } => {
            format!("the step runs version {} until the plugin or its settings change", to.short(12))
        }
        Course::Paused { next, because, .. } => format!(
            "the pipeline is paused, its mail waits: {}; one message is tried at {}",
            neutral(because, 300),
            moment(*next)
        ),
        Course::Skips => "mail goes on without the step, as `on_error` says".to_owned(),
    };
    let reason = neutral(reason, 300);
    format!(
        "step {step}: version {version} failed {times}, {since}: {reason}\n  {course}\n  to run it again as it is: postroom plugin retry {step}"
    )
}

/// One line: what the server has, and where each of them stands.
pub(super) fn tally(account: &AccountId, tally: &Tally) {
    let wrong = if tally.adds_up() { "" } else { " (this does not add up: please report it)" };
    println!("{account}: {tally}{wrong}");
}

fn state(account: &Account) -> String {
    if !account.configured {
        return "not configured any more".to_owned();
    }
    let Some(poll) = &account.poll else { return "not polled yet".to_owned() };
    match (&poll.last_error, &poll.held) {
        (Some((at, error)), _) => format!("failing, {}: {}", moment(*at), neutral(error, 200)),
        (None, Some((since, held))) => format!("held since {}: {}", moment(*since), neutral(held, 200)),
        (None, None) => "ok".to_owned(),
    }
}
