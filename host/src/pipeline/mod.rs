//! Leases messages, runs their chain on a blocking thread, commits the plan.
//!
//! Owns how many run at once and what a failed run costs: that message, never another.

mod apart;
mod breaker;
mod chain;
mod dry;
mod fall_back;
mod heard;
mod kept;
mod set;
mod shadow;
mod versions;
mod when;

use std::sync::Arc;
use std::time::Duration;

use postroom_failpoint::reach;
use postroom_mail::{Disposition, Name, Octets, Plan, StepTrace, Timestamp, Verdict};
use postroom_sandbox::{KvRead, Message};
use postroom_spool::{Leases, MessageLease, Planned, Remedy, Spool};
use tokio::task::JoinSet;

pub use breaker::{Course, Open, Record, Version};
pub use chain::{Conduct, Did, Notes, RunFailure};
pub use dry::dry_run;
pub use fall_back::{Reclosed, begin, hasten, reclose, take_over};
pub use set::{
    Chain, PluginProblem, PluginSet, bundled_names, candidate_version, plugin_files, step_version,
};
pub use shadow::{Compared, Difference, How, Report, Shadows};
pub use versions::{Versions, close, recorded};

use breaker::Fate;
use versions::{Passage, Place};

use crate::live::Live;
use crate::progress::Progress;
use crate::supervise::Host;

/// The spool is asked at least so often while runs are under way, should something have become due meanwhile.
const LOOK: Duration = Duration::from_secs(1);
/// How long a message waits that was not looked at, because its account or the sandbox was not ready.
const NOT_READY: Duration = Duration::from_secs(60);

/// Why a message waits that no plugin saw.
const PAUSED: &str =
    "its pipeline is paused, because a plugin failed too often; `postroom status` says which";
/// Why one waits that met such a plugin.
const WAITS: &str = "this version of the plugin fails too often, so the message waits for another";

/// How long a message waits whose damaged body is to be retrieved again; it is due at once when it is here.
pub(crate) const RETRIEVAL: Duration = Duration::from_secs(15 * 60);

/// Runs everything that is due, and what comes due meanwhile, and returns how many runs there were.
///
/// No more is leased than runs at once: an abort of the process counts an attempt only for what was really tried.
///
/// # Errors
/// When the spool cannot be read or written. Runs under way are finished first, and what was leased is given back.
pub async fn drain(host: &Arc<Host>) -> Result<u64, postroom_spool::Error> {
    let mut running: JoinSet<Ended> = JoinSet::new();
    // It may wait for a reload, and compile: no run waits for it.
    let mut falling_back = JoinSet::new();
    let mut broken = None;
    let mut runs = 0;
    loop {
        if broken.is_none() && host.takes_on() {
            match lease(host, &mut running).await {
                Ok(leased) => runs += leased,
                Err(error) => broken = Some(error),
            }
        }
        if running.is_empty() && falling_back.is_empty() {
            host.versions.flush(host.spool.as_ref(), host.clock.now(), true).await;
            host.shadows.flush(&host.live.load().config.state, host.clock.now(), true).await;
            return match broken {
                None => Ok(runs),
                Some(error) => {
                    host.spool.release(given_back(&error), host.clock.now()).await?;
                    Err(error)
                }
            };
        }
        tokio::select! {
            Some(ended) = running.join_next() => match ended {
                Ok(Ended { settled, opened }) => {
                    broken = broken.or(settled.err());
                    for place in opened {
                        let host = Arc::clone(host);
                        falling_back.spawn(async move { fall_back::fall_back(&host, &place).await });
                    }
                }
                Err(panic) => broken = broken.or(Some(failed_task(&panic))),
            },
            Some(ended) = falling_back.join_next() => if let Err(panic) = ended {
                tracing::error!(%panic, "a step could not fall back");
            },
            () = host.bells.inbox.notified() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// In which way leases go back after the spool failed: a disk that is full, or was made read-only, is no strike against the mail
/// that could not be recorded on it.
pub fn given_back(error: &postroom_spool::Error) -> Leases {
    match error {
        postroom_spool::Error::Full { .. } | postroom_spool::Error::ReadOnly { .. } => Leases::Unrecorded,
        _ => Leases::Messages,
    }
}

async fn lease(host: &Arc<Host>, running: &mut JoinSet<Ended>) -> Result<u64, postroom_spool::Error> {
    let live = host.live.load_full();
    let room = live.config.limits.workers.saturating_sub(running.len());
    if room == 0 {
        return Ok(0);
    }
    let leases = host.spool.lease_messages(room, host.clock.now()).await?;
    let count = leases.len() as u64;
    for lease in leases {
        running.spawn(one(Arc::clone(host), Arc::clone(&live), lease));
    }
    Ok(count)
}

/// A task of ours that panicked: its lease is gone with it.
pub(crate) fn failed_task(panic: &tokio::task::JoinError) -> postroom_spool::Error {
    postroom_spool::Error::Conflict(format!("a task of the host failed: {panic}"))
}

/// How the run of a message ended.
struct Ended {
    settled: Result<(), postroom_spool::Error>,
    /// Steps whose plugin has failed too often by it.
    opened: Vec<Place>,
}

/// One message through its chain, to a committed plan or a recorded failure.
async fn one(host: Arc<Host>, live: Arc<Live>, lease: MessageLease) -> Ended {
    let mut opened = Vec::new();
    let settled = pass(&host, &live, lease, &mut opened).await;
    Ended { settled, opened }
}

async fn pass(
    host: &Arc<Host>,
    live: &Arc<Live>,
    lease: MessageLease,
    opened: &mut Vec<Place>,
) -> Result<(), postroom_spool::Error> {
    reach("pipeline", "leased");
    let id = lease.message;
    let most = live.config.limits.attempts;
    let now = host.clock.now();
    let Some(chain) = live.plugins.chain(&lease.provenance.account).cloned() else {
        let account = &lease.provenance.account;
        let reason = format!("account {account} has no pipeline any more: add it back to the configuration");
        return host.spool.put_back(lease, now.after(NOT_READY), reason, now).await;
    };
    if lease.attempt > most {
        return set_aside(host, lease, format!("tried {most} times without an end"), Vec::new()).await;
    }
    let body = match host.spool.open(id).await {
        Ok(body) => body,
        Err(error) => return settle_unreadable(host, lease, &error).await,
    };
    reach("pipeline", "opened");
    let octets: Arc<dyn Octets> = Arc::new(body);
    let message =
        Arc::new(Message::new(lease.provenance.clone(), octets, Some(Arc::clone(live.plugins.mime()))));
    let kv: Arc<dyn KvRead> = Arc::new(SpoolKv(Arc::clone(&host.spool)));
    let last = lease.attempt >= most;
    let pipeline = chain.name.clone();
    let account = &lease.provenance.account;
    let probed = match host.versions.gate(&pipeline, account, id, host.clock.now()) {
        Ok(probed) => probed,
        Err(until) => return hold(host, &pipeline, lease, until, PAUSED.to_owned()).await,
    };
    let shadows = shadow::has_time(&lease, now).then(|| Arc::clone(live.plugins.mime()));
    let run = tokio::task::spawn_blocking(move || chain.run_noting(&message, &kv, last, shadows)).await;
    let (ended, notes) = match run {
        Ok((ended, notes)) => (Ok(ended), notes),
        Err(panic) => (Err(panic), Notes::default()),
    };
    let passage = Passage { pipeline: &pipeline, message: id, probed: &probed };
    let verdicts = host.versions.told(passage, &notes.conduct, host.clock.now(), &host.chance);
    let settled = match ended {
        Ok(Ok(plan)) => {
            host.shadows.compared(&pipeline, id, live, notes.compared, host.clock.now());
            let plan = apart::apart(plan, id, &pipeline, &live.config.sinks);
            commit(host, lease, plan).await
        }
        Ok(Err(failure)) => match verdicts.fate {
            Some((step, Fate::Back(due))) if step == failure.step => {
                hold(host, &pipeline, lease, due, format!("{failure}; {WAITS}")).await
            }
            Some((step, Fate::Swapped(due))) if step == failure.step => {
                let reason = format!("{failure}; {WAITS}");
                host.spool.put_back(lease, due, reason, host.clock.now()).await
            }
            Some((_, Fate::Back(_) | Fate::Swapped(_) | Fate::Own)) | None => {
                if last || !matches!(failure.disposition, Disposition::Retry { .. }) {
                    host.shadows.compared(&pipeline, id, live, notes.compared, host.clock.now());
                }
                settle_failed(host, lease, last, failure).await
            }
        },
        Err(panic) => {
            let reason = format!("the host failed while running its plugins: {panic}");
            set_aside(host, lease, reason, Vec::new()).await
        }
    };
    // The message is settled first: nothing that follows may cost it its fate.
    opened.extend(fall_back::follow(host, &pipeline, id, verdicts.turns).await);
    host.versions.flush(host.spool.as_ref(), host.clock.now(), false).await;
    host.shadows.flush(&live.config.state, host.clock.now(), false).await;
    settled
}

/// Puts a message back that waits for a better version of a plugin. No attempt is counted: the message is not to blame.
async fn hold(
    host: &Host,
    pipeline: &Name,
    lease: MessageLease,
    due: Timestamp,
    reason: String,
) -> Result<(), postroom_spool::Error> {
    let account = lease.provenance.account.clone();
    host.spool.put_back(lease, due, reason, host.clock.now()).await?;
    // What it waits for may have come meanwhile, and woken all that was put back before.
    if host.versions.goes_on(pipeline, &account) {
        fall_back::wake(host, pipeline).await;
    }
    Ok(())
}

/// Commit point 2.
async fn commit(host: &Host, lease: MessageLease, plan: Plan) -> Result<(), postroom_spool::Error> {
    let message = lease.message;
    reach("pipeline", "decided");
    let effects = plan.effects.len() as u64;
    let set_aside = match &plan.verdict {
        Verdict::Quarantine { reason, .. } => Some(reason.clone()),
        Verdict::Keep | Verdict::Discard { .. } => None,
    };
    match host.spool.plan(lease, plan, host.clock.now()).await? {
        Planned::Committed => {}
        Planned::Stale => {
            host.bells.inbox.notify_one();
            return Ok(());
        }
    }
    reach("pipeline", "planned");
    host.bells.outbox.notify_one();
    if let Some(reason) = set_aside {
        host.observer.tell(Progress::Quarantined { message, reason });
    }
    host.observer.tell(Progress::Planned { message, effects });
    Ok(())
}

async fn settle_failed(
    host: &Host,
    lease: MessageLease,
    last: bool,
    failure: RunFailure,
) -> Result<(), postroom_spool::Error> {
    tracing::warn!(message = %lease.message.0.short(12), step = %failure.step, reason = %failure.reason, "a step failed");
    reach("pipeline", "failed");
    let (reason, trace) = (failure.to_string(), failure.trace);
    let now = host.clock.now();
    if let Some(wait) =
        failure.nobodys.and_then(|nobodys| nobodys.waits(now.since(lease.provenance.retrieved)))
    {
        return host.spool.put_back(lease, now.after(host.chance.around(wait)), reason, now).await;
    }
    match failure.disposition {
        Disposition::Retry { after } if !last => {
            let wait = after.unwrap_or_else(|| {
                Duration::from_secs(60) * 4_u32.saturating_pow(lease.attempt.saturating_sub(1))
            });
            host.spool.defer(lease, now.after(host.chance.around(wait)), reason, trace, now).await
        }
        Disposition::Retry { .. } => {
            let attempts = lease.attempt;
            set_aside(host, lease, format!("{reason} ({attempts} attempts)"), trace).await
        }
        Disposition::Park | Disposition::Stop => set_aside(host, lease, reason, trace).await,
    }
}

/// A body that cannot be read now may be readable later; one that is damaged or gone will not.
async fn settle_unreadable(
    host: &Host,
    lease: MessageLease,
    error: &postroom_spool::Error,
) -> Result<(), postroom_spool::Error> {
    tracing::error!(message = %lease.message.0.short(12), %error, "a body cannot be read");
    if let postroom_spool::Error::Corrupt { what } = error {
        return settle_damaged(host, lease, what).await;
    }
    let now = host.clock.now();
    match error.disposition() {
        Disposition::Retry { .. } => {
            host.spool.put_back(lease, now.after(NOT_READY), error.to_string(), now).await
        }
        Disposition::Park | Disposition::Stop => set_aside(host, lease, error.to_string(), Vec::new()).await,
    }
}

/// What the server still has is retrieved again by the next poll; the message is due when it is here.
async fn settle_damaged(host: &Host, lease: MessageLease, what: &str) -> Result<(), postroom_spool::Error> {
    let now = host.clock.now();
    match host.spool.damaged(lease.message, what.to_owned(), now).await? {
        Remedy::Sound => {
            // A disk that reads it only at times is not to be asked without a pause.
            let due = now.after(Duration::from_secs(5));
            host.spool.put_back(lease, due, "its body was moved meanwhile".to_owned(), now).await
        }
        Remedy::Retrieve => {
            let reason = format!("its body is damaged and is retrieved again by the next poll: {what}");
            host.spool.put_back(lease, now.after(RETRIEVAL), reason, now).await
        }
        Remedy::Lost => {
            let reason = format!("its body is damaged, and the server has it no more: {what}");
            set_aside(host, lease, reason, Vec::new()).await
        }
    }
}

async fn set_aside(
    host: &Host,
    lease: MessageLease,
    reason: String,
    trace: Vec<StepTrace>,
) -> Result<(), postroom_spool::Error> {
    let message = lease.message;
    host.spool.quarantine(lease, reason.clone(), trace, host.clock.now()).await?;
    reach("pipeline", "quarantined");
    host.observer.tell(Progress::Quarantined { message, reason });
    Ok(())
}

/// A step's durable state as the sandbox reads it.
struct SpoolKv(Arc<dyn Spool>);

impl KvRead for SpoolKv {
    fn get(&self, scope: &str, key: &str) -> Result<Option<Vec<u8>>, String> {
        self.0.kv_get(scope, key).map_err(|error| unreadable(scope, &error))
    }

    fn total(&self, scope: &str) -> Result<u64, String> {
        self.0.kv_total(scope).map_err(|error| unreadable(scope, &error))
    }
}

/// The cause names places of this machine, which are no business of a plugin's.
fn unreadable(scope: &str, error: &postroom_spool::Error) -> String {
    tracing::error!(scope, %error, "the state of a plugin cannot be read");
    "its state cannot be read now".to_owned()
}
