//! Leases effects that are due, has their sink carry them out, settles them. Decides nothing but when to try again.

mod breaker;
mod retry;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use postroom_failpoint::reach;
use postroom_mail::rules::neutral;
use postroom_mail::{Disposition, Name, Octets, Timestamp};
use postroom_spool::{EffectLease, Leases, Remedy, Settlement};
use tokio::task::JoinSet;

pub use breaker::{Breakers, Resting};

use self::breaker::Trouble;

use crate::config::Then;
use crate::live::Live;
use crate::pipeline::{RETRIEVAL, failed_task};
use crate::progress::Progress;
use crate::sinks::{DeliveryError, InDoubt, Job, Kind, Scope, Sink};
use crate::supervise::Host;

/// After so long a message whose delivery is in doubt is handed over once more, where that is allowed.
const DOUBT: Duration = Duration::from_secs(60);

/// The spool is asked at least so often while deliveries are under way, should something have become due meanwhile.
const LOOK: Duration = Duration::from_secs(1);

/// MiB of contents in the hands of all sinks together.
pub const MEMORY: usize = 256;

type Ended = (Name, Result<(), postroom_spool::Error>);

/// Carries out everything that is due, and what comes due meanwhile, at every sink side by side, and returns how many
/// attempts there were.
///
/// # Errors
/// When the spool cannot be read or written. Deliveries under way are finished first, and what was leased is given back;
/// an effect whose receipt was not recorded is tried again, which its id makes harmless.
pub async fn drain(host: &Arc<Host>) -> Result<u64, postroom_spool::Error> {
    let mut running: JoinSet<Ended> = JoinSet::new();
    let mut busy: BTreeMap<Name, usize> = BTreeMap::new();
    let mut broken = None;
    let mut attempts = 0;
    loop {
        if broken.is_none() {
            match lease(host, &mut running, &mut busy).await {
                Ok(leased) => attempts += leased,
                Err(error) => broken = Some(error),
            }
        }
        if running.is_empty() {
            return match broken {
                None => Ok(attempts),
                Some(error) => {
                    host.spool.release(Leases::Effects, host.clock.now()).await?;
                    Err(error)
                }
            };
        }
        tokio::select! {
            Some(ended) = running.join_next() => match ended {
                Ok((name, settled)) => {
                    busy.entry(name).and_modify(|count| *count = count.saturating_sub(1));
                    if let Err(error) = settled {
                        broken = broken.or(Some(error));
                    }
                }
                Err(panic) => broken = broken.or(Some(failed_task(&panic))),
            },
            () = host.bells.outbox.notified() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

async fn lease(
    host: &Arc<Host>,
    running: &mut JoinSet<Ended>,
    busy: &mut BTreeMap<Name, usize>,
) -> Result<u64, postroom_spool::Error> {
    let live = host.live.load_full();
    let mut leased = 0;
    for (name, sink) in &live.sinks {
        let busy = busy.entry(name.clone()).or_default();
        let width = host.breakers.width(name, at_once(sink), host.clock.now());
        let room = width.saturating_sub(*busy);
        if room == 0 {
            continue;
        }
        let leases = host.spool.lease_effects(name, room, host.clock.now()).await?;
        *busy += leases.len();
        leased += leases.len() as u64;
        for lease in leases {
            running.spawn(one(Arc::clone(host), Arc::clone(&live), Arc::clone(sink), lease));
        }
    }
    Ok(leased)
}

/// How many effects of one sink are carried out at once.
fn at_once(sink: &Sink) -> usize {
    match sink.kind() {
        Kind::Object | Kind::Mailbox => 16,
        Kind::Transport => 2,
    }
}

async fn one(
    host: Arc<Host>,
    live: Arc<Live>,
    sink: Arc<Sink>,
    lease: EffectLease,
) -> (Name, Result<(), postroom_spool::Error>) {
    let name = lease.effect.sink.clone();
    reach(format_args!("deliver.{:?}", sink.kind()), "leased");
    let share = share(&host, &lease).await;
    let settlement = attempt(&host, &live, &sink, &lease).await;
    drop(share);
    let done = matches!(settlement, Settlement::Done(_));
    let settled = host.spool.settle(lease, settlement, host.clock.now()).await;
    reach(format_args!("deliver.{:?}", sink.kind()), "settled");
    host.observer.tell(Progress::Settled { sink: name.clone(), done });
    (name, settled)
}

/// Takes its share of the memory that contents may fill at once; sinks that send a mail hold about three copies.
async fn share<'a>(host: &'a Host, lease: &EffectLease) -> Option<tokio::sync::SemaphorePermit<'a>> {
    let mebibytes = (lease.effect.size >> 20).saturating_mul(3).saturating_add(1).min(MEMORY as u64);
    host.contents.acquire_many(u32::try_from(mebibytes).unwrap_or(1)).await.ok()
}

async fn attempt(host: &Host, live: &Live, sink: &Sink, lease: &EffectLease) -> Settlement {
    if lease.doubts >= sink.in_doubt().most() {
        return held_in_doubt(
            lease.doubts,
            "nobody knows how the last attempt ended: the process was ended within it",
        );
    }
    let body = match host.spool.open(lease.message).await {
        Ok(body) => body,
        Err(postroom_spool::Error::Corrupt { what }) => return damaged(host, lease, what).await,
        Err(error) => return unreadable(host, &error),
    };
    let job = Job {
        effect: &lease.effect,
        message: lease.message,
        provenance: &lease.provenance,
        raw: Arc::new(body) as Arc<dyn Octets>,
        attempt: lease.attempt,
        sending: &|| Box::pin(host.spool.sending(lease, host.clock.now())),
    };
    reach(format_args!("deliver.{:?}", sink.kind()), "opened");
    match sink.deliver(&job).await {
        Ok(receipt) => {
            reach(format_args!("deliver.{:?}", sink.kind()), "delivered");
            if host.breakers.succeeded(&lease.effect.sink) {
                tracing::info!(sink = %lease.effect.sink, "the sink is well again");
            }
            Settlement::Done(receipt)
        }
        Err(error) => {
            reach(format_args!("deliver.{:?}", sink.kind()), "failed");
            failed(host, live, sink.in_doubt(), lease, &error)
        }
    }
}

/// A body that cannot be read now may be readable later; one that is damaged or gone will not.
fn unreadable(host: &Host, error: &postroom_spool::Error) -> Settlement {
    let reason = error.to_string();
    match error.disposition() {
        Disposition::Retry { .. } => {
            Settlement::Hold { at: host.clock.now().after(Duration::from_secs(60)), reason }
        }
        Disposition::Park | Disposition::Stop => Settlement::Park { reason },
    }
}

/// What the server still has is retrieved again by the next poll; the effect is due when it is here.
async fn damaged(host: &Host, lease: &EffectLease, what: String) -> Settlement {
    tracing::error!(message = %lease.message.0.short(12), %what, "a body is damaged");
    let now = host.clock.now();
    let reason = format!("the message's body is damaged: {what}");
    match host.spool.damaged(lease.message, what, now).await {
        Ok(Remedy::Sound) => Settlement::Hold { at: now, reason },
        Ok(Remedy::Retrieve) => Settlement::Hold {
            at: now.after(RETRIEVAL),
            reason: format!("{reason}; it is retrieved again by the next poll"),
        },
        Ok(Remedy::Lost) => Settlement::Park { reason },
        // Should the database be damaged, recording this says so too, and stops the host.
        Err(error) => unreadable(host, &error),
    }
}

/// What is set aside because its delivery is in doubt, with what the operator needs to decide.
fn held_in_doubt(doubts: u32, what: &str) -> Settlement {
    let times = if doubts == 1 { "once".to_owned() } else { format!("{doubts} times") };
    let reason = format!(
        "in doubt: the message was handed over {times} and may have arrived; {what}. Look at the receiving side, then \\
         `postroom queue retry` sends it again and `postroom queue release` lets go of it"
    );
    Settlement::Doubt { at: None, reason }
}

fn failed(
    host: &Host,
    live: &Live,
    in_doubt: InDoubt,
    lease: &EffectLease,
    error: &DeliveryError,
) -> Settlement {
    let reason = in_words(error);
    let again = |wait: Duration| -> Timestamp { host.clock.now().after(host.chance.around(wait)) };
    tracing::warn!(
        message = %lease.message.0.short(12), sink = %lease.effect.sink, attempt = lease.attempt, %reason,
        "an effect failed"
    );
    trip(host, &lease.effect.sink, error, &reason);
    match error {
        // The sink is at fault, not the effect: no attempt is used up.
        DeliveryError::Configuration { .. } => {
            let now = host.clock.now();
            let at = host.breakers.until(&lease.effect.sink).filter(|until| *until > now).unwrap_or(now);
            Settlement::Hold { at, reason }
        }
        DeliveryError::InDoubt { .. } if lease.doubts + 1 >= in_doubt.most() => {
            held_in_doubt(lease.doubts + 1, &reason)
        }
        DeliveryError::InDoubt { .. } => Settlement::Doubt { at: Some(again(DOUBT)), reason },
        DeliveryError::Temporary { .. } | DeliveryError::Permanent { .. } => match error.disposition() {
            Disposition::Retry { after } => match retry::wait_after(lease.attempt, window(live, lease)) {
                Some(wait) => {
                    Settlement::Retry { at: again(after.map_or(wait, |after| after.max(wait))), reason }
                }
                None => Settlement::Park {
                    reason: format!("{reason} (gave up after {} attempts)", lease.attempt),
                },
            },
            Disposition::Park | Disposition::Stop => Settlement::Park { reason },
        },
    }
}

/// A sink that is unwell is left alone for a while.
fn trip(host: &Host, sink: &Name, error: &DeliveryError, reason: &str) {
    let trouble = match error {
        DeliveryError::Configuration { .. } => Trouble::Mistake,
        DeliveryError::Temporary { scope: Scope::Sink, .. } | DeliveryError::InDoubt { .. } => {
            Trouble::Unwell
        }
        // It answered, so it is well.
        DeliveryError::Temporary { scope: Scope::Message, .. } | DeliveryError::Permanent { .. } => return,
    };
    let now = host.clock.now();
    if let Some(until) = host.breakers.failed(sink, trouble, reason, now, |wait| host.chance.around(wait)) {
        let seconds = until.since(now).as_secs();
        tracing::warn!(%sink, seconds, %reason, "the sink is left alone for a while, then tried with one effect");
    }
}

/// An error and its causes in one line; each says its own level only.
fn in_words(error: &DeliveryError) -> String {
    let mut words = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let said = error.to_string();
        if !words.contains(&said) {
            words.push_str(": ");
            words.push_str(&said);
        }
        cause = error.source();
    }
    neutral(&words, 500)
}

/// How long the step wants its effects tried.
fn window(live: &Live, lease: &EffectLease) -> Duration {
    const DEFAULT: Duration = Duration::from_secs(5 * 86_400);
    let account = live.config.accounts.get(&lease.provenance.account);
    let pipeline = account.and_then(|account| live.config.pipelines.get(&account.pipeline));
    let step =
        pipeline.and_then(|pipeline| pipeline.steps.iter().find(|step| step.name == lease.effect.step));
    step.and_then(|step| step.on_error.retry).unwrap_or(DEFAULT)
}

/// What a step does once it gave up, for the words of `check`.
pub fn describe(then: Then) -> &'static str {
    match then {
        Then::Quarantine => "then quarantine",
        Then::Skip => "then skip",
    }
}
