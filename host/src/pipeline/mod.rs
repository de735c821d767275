//! Leases messages, runs their chain on a blocking thread, commits the plan.
//!
//! Owns how many run at once and what a failed run costs: that message, never another.

mod chain;
mod set;
mod when;

use std::sync::Arc;
use std::time::Duration;

use postroom_mail::{Disposition, Octets};
use postroom_sandbox::{KvRead, Message};
use postroom_spool::{MessageLease, Spool};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

pub use chain::RunFailure;
pub use set::{Chain, PluginProblem, PluginSet, bundled_names, plugin_files};

use crate::live::Live;
use crate::progress::Progress;
use crate::supervise::Host;

/// Messages taken at once: enough for commits to group, few enough to bound memory.
const IN_FLIGHT: usize = 32;

/// Runs everything that is due now, and returns how many runs there were.
///
/// # Errors
/// When the spool cannot be read or written; what was leased is leased again after a restart.
pub async fn drain(host: &Arc<Host>) -> Result<u64, postroom_spool::Error> {
    let threads = Arc::new(Semaphore::new(host.live.load().config.limits.workers));
    let mut running = JoinSet::new();
    let mut runs = 0;
    loop {
        let room = IN_FLIGHT - running.len();
        let leases = host.spool.lease_messages(room, host.clock.now()).await?;
        runs += leases.len() as u64;
        let idle = leases.is_empty();
        for lease in leases {
            running.spawn(one(Arc::clone(host), host.live.load_full(), Arc::clone(&threads), lease));
        }
        match running.join_next().await {
            Some(Ok(settled)) => settled?,
            Some(Err(error)) => tracing::error!(%error, "a pipeline task failed"),
            None if idle => return Ok(runs),
            None => {}
        }
    }
}

/// One message through its chain, to a committed plan or a recorded failure.
async fn one(
    host: Arc<Host>,
    live: Arc<Live>,
    threads: Arc<Semaphore>,
    lease: MessageLease,
) -> Result<(), postroom_spool::Error> {
    let id = lease.message;
    let most = live.config.limits.attempts;
    if lease.attempt > most {
        return set_aside(&host, lease, format!("tried {most} times without an end")).await;
    }
    let body = match host.spool.open(id).await {
        Ok(body) => body,
        Err(error) => return settle_unreadable(&host, lease, &error).await,
    };
    let Some(chain) = live.plugins.chain(&lease.provenance.account).cloned() else {
        let reason = format!("account {} has no pipeline any more: add it back to the configuration", lease.provenance.account);
        let at = host.clock.now().after(Duration::from_secs(300));
        return host.spool.defer(lease, at, reason, host.clock.now()).await;
    };
    let message = Message::new(lease.provenance.clone(), Arc::new(body) as Arc<dyn Octets>, Some(Arc::clone(live.plugins.mime())));
    let kv: Arc<dyn KvRead> = Arc::new(SpoolKv(Arc::clone(&host.spool)));
    let Ok(_thread) = threads.acquire().await else {
        return Ok(());
    };
    let ran = tokio::task::spawn_blocking(move || chain.run(&Arc::new(message), &kv)).await;
    match ran {
        Ok(Ok(plan)) => {
            let effects = plan.effects.len() as u64;
            let set_aside = match &plan.verdict {
                postroom_mail::Verdict::Quarantine { reason, .. } => Some(reason.clone()),
                _ => None,
            };
            host.spool.plan(lease, plan, host.clock.now()).await?;
            host.bells.outbox.notify_one();
            if let Some(reason) = set_aside {
                host.observer.tell(Progress::Quarantined { message: id, reason });
            }
            host.observer.tell(Progress::Planned { message: id, effects });
            Ok(())
        }
        Ok(Err(failure)) => settle_failed(&host, lease, most, &failure).await,
        Err(panic) => set_aside(&host, lease, format!("the host failed while running its plugins: {panic}")).await,
    }
}

async fn settle_failed(
    host: &Host,
    lease: MessageLease,
    most: u32,
    failure: &RunFailure,
) -> Result<(), postroom_spool::Error> {
    tracing::warn!(message = %lease.message.0.short(12), step = %failure.step, reason = %failure.reason, "a step failed");
    let reason = failure.to_string();
    match failure.disposition {
        Disposition::Retry { after } if lease.attempt < most => {
            let wait = after.unwrap_or_else(|| Duration::from_secs(60) * 4_u32.saturating_pow(lease.attempt - 1));
            let at = host.clock.now().after(host.chance.around(wait));
            host.spool.defer(lease, at, reason, host.clock.now()).await
        }
        Disposition::Retry { .. } => set_aside(host, lease, format!("{reason} ({most} attempts)")).await,
        Disposition::Park | Disposition::Stop => set_aside(host, lease, reason).await,
    }
}

async fn settle_unreadable(
    host: &Host,
    lease: MessageLease,
    error: &postroom_spool::Error,
) -> Result<(), postroom_spool::Error> {
    tracing::error!(message = %lease.message.0.short(12), %error, "a body cannot be read");
    set_aside(host, lease, error.to_string()).await
}

async fn set_aside(host: &Host, lease: MessageLease, reason: String) -> Result<(), postroom_spool::Error> {
    let message = lease.message;
    host.spool.quarantine(lease, reason.clone(), host.clock.now()).await?;
    host.observer.tell(Progress::Quarantined { message, reason });
    Ok(())
}

/// A step's durable state as the sandbox reads it.
struct SpoolKv(Arc<dyn Spool>);

impl KvRead for SpoolKv {
    fn get(&self, scope: &str, key: &str) -> Result<Option<Vec<u8>>, String> {
        self.0.kv_get(scope, key).map_err(|error| error.to_string())
    }
}
