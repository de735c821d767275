//! Leases effects that are due, has their sink carry them out, settles them. Decides nothing but when to try again.

mod attempt;
mod breaker;
mod doubt;
mod retry;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use postroom_failpoint::reach;
use postroom_mail::Name;
use postroom_spool::{EffectLease, Leases, Settlement};
use tokio::task::JoinSet;

pub use breaker::{Breakers, LeftAlone};

use self::attempt::Attempt;
use crate::config::Then;
use crate::live::Live;
use crate::pipeline::failed_task;
use crate::progress::Progress;
use crate::sinks::{Holds, Kind, Sink};
use crate::supervise::Host;

/// The spool is asked at least so often while deliveries are under way, should something have become due meanwhile.
const LOOK: Duration = Duration::from_secs(1);

/// MiB of contents in the hands of all object stores together, and as much in those of all transports.
pub const MEMORY: usize = 128;

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
        if broken.is_none() && host.takes_on() {
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
        // Told to stop, no mail is handed over any more: what does not end in time would be in doubt.
        if host.stopping() && sink.kind() == Kind::Transport {
            continue;
        }
        let busy = busy.entry(name.clone()).or_default();
        let room = host.breakers.room(name, at_once(sink), *busy, host.clock.now());
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
    sink.sessions().unwrap_or(16)
}

async fn one(
    host: Arc<Host>,
    live: Arc<Live>,
    sink: Arc<Sink>,
    lease: EffectLease,
) -> (Name, Result<(), postroom_spool::Error>) {
    let name = lease.effect.sink.clone();
    let share = share(&host, &sink, &lease).await;
    let attempt = Attempt {
        spool: &*host.spool,
        clock: &host.clock,
        chance: &host.chance,
        breakers: &host.breakers,
        window: window(&live, &lease),
        sink: &sink,
        lease: &lease,
    };
    reach(format_args!("deliver.{:?}", sink.kind()), "leased");
    let settlement = attempt.carry_out().await;
    drop(share);
    let done = matches!(settlement, Settlement::Done(_));
    let settled = host.spool.settle(lease, settlement, host.clock.now()).await;
    reach(format_args!("deliver.{:?}", sink.kind()), "settled");
    if done {
        host.bells.receipts.notify_one();
    }
    host.observer.tell(Progress::Settled { sink: name.clone(), done });
    (name, settled)
}

/// Takes its share of the memory that contents may fill at once. Sinks that write files hold none; those that send a mail
/// hold about three copies, and for long, so that no store must wait for them.
async fn share<'a>(
    host: &'a Host,
    sink: &Sink,
    lease: &EffectLease,
) -> Option<tokio::sync::SemaphorePermit<'a>> {
    let (room, copies) = match sink.holds() {
        Holds::Nothing => return None,
        Holds::Content => (&host.contents, 1),
        Holds::Copies => (&host.copies, 3),
    };
    let mebibytes = (lease.effect.size >> 20).saturating_mul(copies).saturating_add(1).min(MEMORY as u64);
    room.acquire_many(u32::try_from(mebibytes).unwrap_or(1)).await.ok()
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
