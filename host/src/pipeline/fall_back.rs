//! From a breaker that opened to a set that runs an earlier version, and back. Every change swaps the whole set, under the one
//! lock that a reload takes as well. Which version takes over is for [`super::breaker`] to say.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use postroom_failpoint::reach;
use postroom_mail::{Digest, MessageId, Name};
use postroom_sandbox::Component;
use serde::{Deserialize, Serialize};

use super::breaker::{Course, Open, Record, Turn};
use super::kept::Kept;
use super::set::{self, PluginSet};
use super::shadow;
use super::versions::{Losses, Place, recorded, steps};
use crate::config::{Config, StepConfig};
use crate::live::Live;
use crate::origin;
use crate::supervise::Host;

/// Takes up what earlier processes learnt: a step whose version failed too often goes on with the one it fell back to.
pub async fn begin(host: &Arc<Host>) {
    {
        let _swapping = host.swapping.lock().await;
        let live = host.live.load_full();
        for warning in live.plugins.warnings() {
            tracing::warn!("{warning}");
        }
        take_over(host, (*live).clone()).await;
    }
    // A process that ended between the two leaves a breaker that is open and has not fallen back.
    for place in host.versions.could_fall_back() {
        fall_back(host, &place).await;
    }
}

/// Makes a set that was just loaded the running one. The caller holds the lock.
pub async fn take_over(host: &Arc<Host>, live: Live) {
    let records = records(host, &live).await;
    // Whatever takes long comes first: until the set is stored, the breakers are those of what runs.
    let (live, losses) = with_fall_backs(host, live, &records).await;
    let (live, now) = (Arc::new(live), host.clock.now());
    let store = || host.live.store(Arc::clone(&live));
    let (turns, gone) = host.versions.configure(&live.plugins, records, losses, now, store);
    host.versions.forget(host.spool.as_ref(), &gone, now).await;
    for (place, turn) in turns {
        match turn {
            Turn::None => {}
            Turn::Noted | Turn::Opened | Turn::ProbeFailed => {
                host.versions.note(host.spool.as_ref(), &place, now).await
            }
            Turn::Closed => {
                tracing::info!(pipeline = %place.0, step = %place.1, "the step has another plugin or other settings: its breaker is closed");
                closed(host, &place).await;
            }
        }
    }
    keep(host).await;
}

async fn records(host: &Host, live: &Live) -> BTreeMap<Place, Record> {
    let mut records = BTreeMap::new();
    for (place, _) in steps(&live.plugins) {
        let record = recorded(host.spool.as_ref(), &place.0, &place.1).await;
        records.insert(place, record);
    }
    records
}

/// Does what follows from a run, but for what takes long: answers the steps that may fall back now.
pub(super) async fn follow(
    host: &Arc<Host>,
    pipeline: &Name,
    message: MessageId,
    turns: Vec<(Name, Turn)>,
) -> Vec<Place> {
    let mut opened = Vec::new();
    for (step, turn) in turns {
        let place = (pipeline.clone(), step);
        match turn {
            Turn::None => {}
            Turn::Noted => host.versions.note(host.spool.as_ref(), &place, host.clock.now()).await,
            Turn::ProbeFailed => {
                tell_probe(host, &place, message);
                host.versions.note(host.spool.as_ref(), &place, host.clock.now()).await;
            }
            Turn::Opened => {
                tell_open(host, &place);
                reach("breaker", "opened");
                host.versions.note(host.spool.as_ref(), &place, host.clock.now()).await;
                opened.push(place);
            }
            Turn::Closed => {
                tracing::info!(pipeline = %place.0, step = %place.1, "the plugin works again");
                closed(host, &place).await;
            }
        }
    }
    opened
}

fn tell_open(host: &Host, place: &Place) {
    let open = host.versions.with(place, |breaker| breaker.open().cloned()).flatten();
    if let Some(Open { version, failures, reason, .. }) = open {
        let (pipeline, step, version) = (&place.0, &place.1, version.short(12));
        tracing::error!(%pipeline, %step, %version, failures, %reason, "this version of the plugin failed too often");
    }
}

fn tell_probe(host: &Host, place: &Place, message: MessageId) {
    let open = host.versions.with(place, |breaker| breaker.open().cloned()).flatten();
    if let Some(Open { course: Course::Paused { next, .. }, .. }) = open {
        let (pipeline, step, message) = (&place.0, &place.1, message.0.short(12));
        let seconds = next.since(host.clock.now()).as_secs();
        tracing::warn!(%pipeline, %step, %message, seconds, "the plugin failed on the message that was tried: mail still waits, and another one is tried in so many seconds");
    }
}

async fn closed(host: &Arc<Host>, place: &Place) {
    host.versions.note(host.spool.as_ref(), place, host.clock.now()).await;
    wake(host, &place.0).await;
}

/// Swaps in the best earlier version that works with the settings as they are, else the configured one. May take long.
pub(super) async fn fall_back(host: &Arc<Host>, place: &Place) {
    let _swapping = host.swapping.lock().await;
    let (pipeline, step) = place;
    // A reload, or the operator, may have closed it meanwhile.
    if host.versions.with(place, |breaker| breaker.open().is_none()).unwrap_or(true) {
        return;
    }
    let candidates = host.versions.with(place, |breaker| breaker.candidates()).unwrap_or_default();
    let mut problems = Vec::new();
    for digest in candidates {
        match swap(host, place, digest).await {
            Ok(()) => {
                reach("breaker", "fell-back");
                host.versions.note(host.spool.as_ref(), place, host.clock.now()).await;
                tracing::warn!(%pipeline, %step, version = %digest.short(12), "the step runs an earlier version of its plugin");
                wake(host, pipeline).await;
                return;
            }
            Err(problem) => problems.push(format!("version {}: {problem}", digest.short(12))),
        }
    }
    stay(host, place, problems).await;
}

/// The set with that version, and the breaker that knows it, at one moment.
async fn swap(host: &Arc<Host>, place: &Place, digest: Digest) -> Result<(), String> {
    let live = host.live.load_full();
    let plugins = with_version(host, &live, place, digest).await?;
    let live = Arc::new(Live { plugins, ..(*live).clone() });
    host.versions.with(place, |breaker| {
        host.live.store(live);
        match digest == breaker.configured() {
            true => breaker.cannot_fall_back(None, digest, host.clock.now()),
            false => breaker.fell_back(digest),
        }
    });
    Ok(())
}

/// No earlier version can run. After one that failed as well it is the configured one again that is tried.
async fn stay(host: &Arc<Host>, place: &Place, mut problems: Vec<String>) {
    let (pipeline, step) = place;
    let runs = host.versions.with(place, |breaker| (breaker.running(), breaker.configured()));
    let Some((running, configured)) = runs else { return };
    if running != configured
        && let Err(problem) = swap(host, place, configured).await
    {
        problems.push(format!("the configured version: {problem}"));
    }
    let (now, problems) = (host.clock.now(), problems.join("; "));
    if !problems.is_empty() {
        host.versions.with(place, |breaker| {
            let running = breaker.running();
            breaker.cannot_fall_back(Some(problems.clone()), running, now);
        });
    }
    host.versions.note(host.spool.as_ref(), place, now).await;
    if host.versions.with(place, |breaker| breaker.is_paused()).unwrap_or_default() {
        tracing::error!(%pipeline, %step, problems, "there is no earlier version to run: mail waits here, and one message is tried now and then");
    } else {
        tracing::warn!(%pipeline, %step, problems, "there is no earlier version to run: mail goes on without the step");
    }
}

/// What became of a step whose breaker the operator wants closed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reclosed {
    /// The version that had failed; nothing when the breaker was not open.
    pub version: Option<Digest>,
}

/// Closes the breaker of a step for the operator: the configured version runs, as if it had never failed.
///
/// # Errors
/// When there is no such step, or the configured version is not to be had.
pub async fn reclose(host: &Arc<Host>, pipeline: &Name, step: &Name) -> Result<Reclosed, String> {
    let _swapping = host.swapping.lock().await;
    let place = (pipeline.clone(), step.clone());
    let known = host.versions.with(&place, |breaker| {
        (breaker.open().map(|open| open.version), breaker.running(), breaker.configured())
    });
    let Some((version, running, configured)) = known else {
        return Err(format!("there is no step {pipeline}/{step} in what is running"));
    };
    if version.is_none() {
        return Ok(Reclosed { version });
    }
    let live = host.live.load_full();
    let live = match running == configured {
        true => live,
        false => Arc::new(Live {
            plugins: with_version(host, &live, &place, configured).await?,
            ..(*live).clone()
        }),
    };
    host.versions.with(&place, |breaker| {
        host.live.store(live);
        breaker.close();
    });
    tracing::info!(%pipeline, %step, version = %configured.short(12), "the operator closed the breaker: the configured version runs");
    closed(host, &place).await;
    Ok(Reclosed { version })
}

/// The earlier versions that steps run are put into a set as configured; and which could not be.
async fn with_fall_backs(
    host: &Arc<Host>,
    mut live: Live,
    records: &BTreeMap<Place, Record>,
) -> (Live, Losses) {
    let mut losses = Losses::new();
    for (place, digest) in host.versions.foreseen(&live.plugins, records) {
        match with_version(host, &live, &place, digest).await {
            Ok(plugins) => {
                live.plugins = plugins;
                tracing::warn!(pipeline = %place.0, step = %place.1, version = %digest.short(12), "the step goes on with an earlier version of its plugin");
            }
            Err(problem) => {
                let problem = format!("version {}: {problem}", digest.short(12));
                tracing::error!(pipeline = %place.0, step = %place.1, %problem, "the step cannot go on with an earlier version of its plugin");
                losses.insert(place, problem);
            }
        }
    }
    (live, losses)
}

async fn with_version(
    host: &Arc<Host>,
    live: &Live,
    place: &Place,
    digest: Digest,
) -> Result<PluginSet, String> {
    let (host, place) = (Arc::clone(host), place.clone());
    let (plugins, config) = (live.plugins.clone(), live.config.clone());
    let built = tokio::task::spawn_blocking(move || {
        let configured = step_of(&config, &place)?;
        let component = component(&host, &config, &place, configured, digest)?;
        plugins.with_version(&config, configured, &place, &component)
    });
    built.await.unwrap_or_else(|panic| Err(format!("the host failed: {panic}")))
}

fn step_of<'a>(config: &'a Config, (pipeline, step): &Place) -> Result<&'a StepConfig, String> {
    let configured = config.pipelines.get(pipeline);
    let found = configured.and_then(|configured| configured.steps.iter().find(|one| one.name == *step));
    found.ok_or_else(|| "the step is not there any more".to_owned())
}

/// The version itself. One that runs in the step needs no file, unless whom to trust has changed since.
fn component(
    host: &Host,
    config: &Config,
    place: &Place,
    configured: &StepConfig,
    digest: Digest,
) -> Result<Component, String> {
    let live = host.live.load_full();
    let key = |config: &Config, step: &StepConfig| {
        step.signed_by.as_ref().map(|name| config.keys.get(name).cloned().unwrap_or_default())
    };
    let before = step_of(&live.config, place).ok().map(|before| key(&live.config, before));
    if before == Some(key(config, configured))
        && let Some(component) = live.plugins.running(place, &digest)
    {
        return Ok(component);
    }
    let kept = Kept::of(&config.state);
    let octets = kept.read(&digest).map_err(|error| error.to_string())?;
    if let Some(name) = &configured.signed_by {
        let signature = kept.signature(&digest).map_err(|error| error.to_string())?;
        origin::check_kept(&configured.plugin, name, config, &octets, signature)
            .map_err(|error| error.to_string())?;
    }
    host.sandbox.load(&octets).map_err(|error| error.to_string())
}

impl PluginSet {
    /// What a step runs, when it is that version.
    fn running(&self, (pipeline, step): &Place, digest: &Digest) -> Option<Component> {
        let step = self.chains.get(pipeline)?.steps.iter().find(|one| one.name == *step)?;
        let component = step.plugin.component();
        (component.digest() == *digest).then(|| component.clone())
    }

    /// The same set, but for the version of one step's plugin.
    fn with_version(
        mut self,
        config: &Config,
        configured: &StepConfig,
        (pipeline, step): &Place,
        component: &Component,
    ) -> Result<Self, String> {
        let gone = || "the step is not there any more".to_owned();
        let admission = set::admission(config, pipeline, configured);
        let plugin = component.admit(admission).map_err(|error| error.to_string())?;
        let mut chain = (**self.chains.get(pipeline).ok_or_else(gone)?).clone();
        let one = chain.steps.iter_mut().find(|one| one.name == *step).ok_or_else(gone)?;
        one.plugin_name = match component.digest() == one.version.digest {
            true => configured.plugin.to_string(),
            false => format!("{} (an earlier version)", configured.plugin),
        };
        one.plugin = plugin.with_fetch(Arc::clone(one.plugin.fetch()));
        self.chains.insert(pipeline.clone(), Arc::new(chain));
        Ok(self)
    }
}

/// What waits for this pipeline is due.
pub(super) async fn wake(host: &Host, pipeline: &Name) {
    let accounts = host.live.load().plugins.accounts(pipeline);
    if let Err(error) = host.spool.hasten(&accounts, host.clock.now()).await {
        tracing::error!(%pipeline, %error, "mail that was held back waits a little longer");
    }
    host.bells.inbox.notify_one();
}

/// Pipelines that are paused try a message at once: the operator has mended something.
pub async fn hasten(host: &Host) {
    host.versions.hasten(host.clock.now());
    let pipelines: BTreeSet<Name> =
        host.versions.paused().into_iter().map(|((pipeline, _), _)| pipeline).collect();
    for pipeline in &pipelines {
        wake(host, pipeline).await;
    }
}

/// Keeps the octets of what runs, for when a later version fails, and removes what no step can fall back to.
async fn keep(host: &Arc<Host>) {
    let (live, wanted) = (host.live.load_full(), host.versions.wanted());
    let kept = tokio::task::spawn_blocking(move || {
        let kept = Kept::of(&live.config.state);
        for configured in live.config.pipelines.values() {
            for step in &configured.steps {
                // A file that was changed meanwhile is kept by the reload that follows.
                let read = origin::read_signed(&step.plugin, step.signed_by.as_ref(), &live.config);
                let Ok((octets, signature)) = read else { continue };
                let digest = Digest::of(&octets);
                if wanted.contains(&digest) {
                    kept.keep(&digest, &octets, signature.as_deref())?;
                }
            }
        }
        let (plugins, reports) = (kept.prune(&wanted), shadow::prune(&live.config));
        plugins.and(reports)
    });
    match kept.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::error!(%error, "versions of plugins to fall back to cannot be kept in good order")
        }
        Err(panic) => tracing::error!(%panic, "versions of plugins to fall back to cannot be kept"),
    }
}
