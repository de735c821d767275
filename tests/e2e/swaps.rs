//! A thousand swaps of the whole set while mail flows: nothing is lost or doubled, no message meets two sets, no set stays.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use postroom::clock::Clock;
use postroom::config::{Config, Environment};
use postroom::live::Live;
use postroom::pipeline::{Course, Record};
use postroom::progress::Observer;
use postroom::supervise::Host;
use postroom::{deliver, pipeline, reload};
use postroom_mail::{Action, Digest, MessageId, Name, Provenance, Timestamp, Uid};
use postroom_sandbox::{Sandbox, SandboxConfig};
use postroom_spool::{Arrival, EffectState, MessageState, SqliteSpool};

use crate::support::{Bench, account, mail};
use crate::versions::{custom_section, guest};

const SWAPS: u32 = 1000;
/// At least so many messages flow meanwhile.
const MESSAGES: u32 = 500;

/// A configuration of two steps whose plugin and whose setting are always of one version.
fn configure(bench: &Bench, setting: u32) {
    let step = |name: &str| {
        format!(
            "[[pipelines.main.steps]]\nname = \"{name}\"\nplugin = \"./{name}.wasm\"\ngrants = {{ sinks = [\"vault\"] }}\n\
             settings = {{ sink = \"vault\", key = \"{setting}/{name}/{{sha256}}.eml\" }}\n"
        )
    };
    let sink = "[sinks.vault]\ntype = \"directory\"\npath = \"vault\"\n";
    let account = account("home", 995, "enabled = false").replace("ca_file = \"ca.pem\"\n", "");
    bench.config(&format!("{account}{sink}{}{}", step("one"), step("two")));
}

fn install(bench: &Bench, version: u32) -> Digest {
    let archive = postroom_bundle::bundled("archive").expect("bundled");
    let octets = [archive, &custom_section(&format!("version {version}"))].concat();
    for name in ["one.wasm", "two.wasm"] {
        bench.write("incoming", &octets);
        std::fs::rename(bench.path("incoming"), bench.path(name)).expect("a rename");
    }
    Digest::of(&octets)
}

fn host(bench: &Bench) -> Arc<Host> {
    let cache = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("compiled");
    let config = Config::load_in(&bench.path("postroom.toml"), &Environment::default()).expect("it loads");
    let spool = SqliteSpool::open(&config.state).expect("a spool");
    let sandbox = Sandbox::new(&SandboxConfig { cache_dir: Some(cache), concurrency: 6, fuel: false })
        .expect("a sandbox");
    let live = Live::build(config, &sandbox).expect("it runs");
    Host::new(live, Arc::new(spool), sandbox, Observer::none())
}

async fn admit(host: &Host, number: u32) -> MessageId {
    let octets = mail(&format!("mail {number}"));
    let mut incoming = host.spool.incoming(1 << 20).expect("a place");
    incoming.write(&octets).expect("written");
    let provenance = Provenance {
        account: Name::new("home").expect("a name"),
        uid: Uid(format!("uid-{number}").into_bytes()),
        ordinal: 0,
        digest: Digest::of(&octets),
        size: octets.len() as u64,
        retrieved: Timestamp(1000),
    };
    let message = provenance.message();
    let body = incoming.seal().expect("sealed");
    let arrival = Arrival { provenance, body, header: None, listed: None };
    host.spool.admit(vec![arrival]).await.expect("admitted");
    host.bells.inbox.notify_one();
    message
}

/// What decided a message: which version, which setting; and where it was kept.
async fn decided(host: &Host, message: MessageId) -> (Digest, String) {
    let history = host.spool.history(message).await.expect("readable").expect("known");
    assert_eq!(history.state, MessageState::Done, "nothing is lost: {history:?}");
    assert_eq!((history.attempts, history.trace.len(), history.effects.len()), (1, 2, 2), "nor doubled");
    let versions: Vec<_> = history.trace.iter().map(|step| step.plugin_digest).collect();
    assert_eq!(versions[0], versions[1], "one version alone handles a message");
    let settings: Vec<_> = history
        .effects
        .iter()
        .map(|record| {
            assert_eq!(record.state, EffectState::Done);
            let Action::Store { key, .. } = &record.effect.action else { panic!("{record:?}") };
            key.as_str().split('/').next().expect("a prefix").to_owned()
        })
        .collect();
    assert_eq!(settings[0], settings[1], "and one setting");
    (versions[0], settings[0].clone())
}

#[test]
fn a_thousand_swaps_under_load_lose_and_double_nothing_mix_nothing_and_leave_nothing_behind() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .thread_stack_size(8 << 20)
        .build()
        .expect("a runtime");
    runtime.block_on(swap_under_load());
}

async fn swap_under_load() {
    let bench = Bench::new();
    let mut versions = BTreeMap::from([(install(&bench, 0), 0_u32)]);
    configure(&bench, 0);
    let host = host(&bench);
    pipeline::begin(&host).await;
    let swapped = Arc::new(AtomicBool::new(false));
    let (feeder, feeding) = (Arc::clone(&host), Arc::clone(&swapped));
    let feed = tokio::spawn(async move {
        let mut messages = Vec::new();
        while messages.len() < MESSAGES as usize || !feeding.load(Ordering::Relaxed) {
            messages.push(admit(&feeder, u32::try_from(messages.len()).expect("few")).await);
        }
        messages
    });
    let (worker, working) = (Arc::clone(&host), Arc::new(AtomicBool::new(true)));
    let go_on = Arc::clone(&working);
    let work = tokio::spawn(async move {
        while go_on.load(Ordering::Relaxed) {
            pipeline::drain(&worker).await.expect("the pipeline");
            deliver::drain(&worker).await.expect("the deliveries");
            tokio::task::yield_now().await;
        }
        pipeline::drain(&worker).await.expect("the pipeline");
        deliver::drain(&worker).await.expect("the deliveries");
    });

    let mut sets: Vec<Weak<Live>> = Vec::new();
    for swap in 1..=SWAPS {
        sets.push(Arc::downgrade(&host.live.load_full()));
        versions.insert(install(&bench, swap % 2), swap % 2);
        configure(&bench, swap / 2 % 2);
        reload::reload(&host, &bench.path("postroom.toml")).await.expect("a swap");
    }
    swapped.store(true, Ordering::Relaxed);
    let messages = feed.await.expect("fed");
    working.store(false, Ordering::Relaxed);
    work.await.expect("worked");

    let mut met: BTreeMap<(u32, String), u32> = BTreeMap::new();
    for message in &messages {
        let (version, setting) = decided(&host, *message).await;
        *met.entry((versions[&version], setting)).or_default() += 1;
    }
    println!("{SWAPS} swaps, {} messages: {met:?}", messages.len());
    assert_eq!(met.len(), 4, "each version ran with each setting: {met:?}");
    let stored = bench.names("vault");
    assert_eq!(stored.len(), 2 * messages.len(), "each message is kept twice, once a step");
    let left = sets.iter().filter(|set| set.upgrade().is_some()).count();
    assert_eq!(left, 0, "sets that were replaced are freed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_settings_compiles_nothing_again() {
    let bench = Bench::new();
    install(&bench, 0);
    configure(&bench, 0);
    let host = host(&bench);
    assert_eq!(host.live.load().plugins.compiled(), 1, "two steps, one component");
    configure(&bench, 1);
    reload::reload(&host, &bench.path("postroom.toml")).await.expect("a swap");
    assert_eq!(host.live.load().plugins.compiled(), 0);
    install(&bench, 1);
    reload::reload(&host, &bench.path("postroom.toml")).await.expect("a swap");
    assert_eq!(host.live.load().plugins.compiled(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_pipeline_tries_one_message_at_growing_intervals_and_loses_none() {
    let bench = Bench::new();
    std::fs::copy(guest("trap"), bench.path("one.wasm")).expect("a copy");
    let archive = postroom_bundle::bundled("archive").expect("bundled");
    bench.write("two.wasm", archive);
    configure(&bench, 0);
    let file = bench.path("postroom.toml");
    let text = std::fs::read_to_string(&file).expect("the configuration");
    let one = "plugin = \"./one.wasm\"\n";
    std::fs::write(&file, text.replace(one, &format!("{one}breaker = {{ failures = 2 }}\n"))).expect("it");
    let mut host = host(&bench);
    let now = Arc::new(AtomicI64::new(1_000_000));
    let told = Arc::clone(&now);
    Arc::get_mut(&mut host).expect("ours alone").clock =
        Clock::from_fn(move || Timestamp(told.load(Ordering::Relaxed)));
    pipeline::begin(&host).await;
    let mut messages = Vec::new();
    for number in 0..8 {
        messages.push(admit(&host, number).await);
    }
    let mut failed = Vec::new();
    for minute in 0..60 {
        pipeline::drain(&host).await.expect("the pipeline");
        let counts = host.spool.counts(None).await.expect("counts");
        assert_eq!((counts.quarantined, counts.waiting), (2, 6), "minute {minute}");
        let open = recorded(&host).await.open.expect("it is open");
        let Course::Paused { next, .. } = open.course else { panic!("{open:?}") };
        failed.push(next);
        now.fetch_add(60_000, Ordering::Relaxed);
    }
    failed.dedup();
    assert!((5..=7).contains(&failed.len()), "probes after 1, 3, 7, 15, 31 minutes: {failed:?}");
    for message in &messages {
        let history = host.spool.history(*message).await.expect("readable").expect("known");
        let waits = history.state == MessageState::Spooled;
        assert_eq!(history.attempts, u32::from(!waits), "waiting uses up no attempt: {history:?}");
    }
    bench.write("one.wasm", archive);
    reload::reload(&host, &file).await.expect("a swap");
    pipeline::drain(&host).await.expect("the pipeline");
    deliver::drain(&host).await.expect("the deliveries");
    let counts = host.spool.counts(None).await.expect("counts");
    assert_eq!((counts.quarantined, counts.waiting, counts.done), (2, 0, 6));
    assert_eq!(recorded(&host).await.open, None);
}

async fn recorded(host: &Host) -> Record {
    let name = |text: &str| Name::new(text).expect("a name");
    pipeline::recorded(host.spool.as_ref(), &name("main"), &name("one")).await
}

/// Follows the files of a host in this process, and looks often.
async fn follow(host: &Arc<Host>, bench: &Bench) -> (reload::Watching, tokio::sync::watch::Sender<bool>) {
    let (stop, stops) = tokio::sync::watch::channel(false);
    let pace = reload::Pace { settle: Duration::from_millis(5), look: Duration::from_millis(20) };
    (reload::watch(Arc::clone(host), &bench.path("postroom.toml"), pace, stops).await, stop)
}

/// Waits for what the host does, without a clock of its own.
async fn until<F: Future<Output = bool>>(mut done: impl FnMut() -> F) {
    let wait = async {
        while !done().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), wait).await.expect("it happens");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_change_is_tried_again_quietly_until_its_cause_goes_away() {
    let bench = Bench::new();
    install(&bench, 0);
    configure(&bench, 0);
    let host = host(&bench);
    let following = follow(&host, &bench).await;
    let refused = || async { reload::refused(host.spool.as_ref()).await.expect("readable") };
    let text = std::fs::read_to_string(bench.path("postroom.toml")).expect("the configuration");
    let script = format!("echo x >> {0}/tries; cat {0}/token", bench.path("").display());
    let target = format!(
        "[fetch.crm]\nurl = \"https://crm.example/\"\nbearer = {{ command = [\"/bin/sh\", \"-c\", \"{script}\"] }}\n"
    );
    bench.write("postroom.toml", format!("{text}{target}"));
    until(|| async { refused().await.is_some() }).await;
    let first = refused().await.expect("refused");
    assert!(first.reason.contains("crm"), "{first:?}");
    let tries = || std::fs::read_to_string(bench.path("tries")).unwrap_or_default().lines().count();
    let before = tries();
    until(|| async { tries() > before + 2 }).await;
    assert_eq!(refused().await, Some(first), "the same reason is told once");
    assert!(host.live.load().config.fetch.is_empty());
    bench.write("token", "secret\n");
    until(|| async { !host.live.load().config.fetch.is_empty() }).await;
    until(|| async { refused().await.is_none() }).await;
    drop(following);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_no_event_tells_of_is_seen_at_the_next_look() {
    let (bench, elsewhere) = (Bench::new(), Bench::new());
    install(&elsewhere, 0);
    for name in ["one.wasm", "two.wasm"] {
        std::os::unix::fs::symlink(elsewhere.path(name), bench.path(name)).expect("a link");
    }
    configure(&bench, 0);
    let host = host(&bench);
    let following = follow(&host, &bench).await;
    let runs = |digest: Digest| {
        let live = host.live.load();
        live.plugins.chains().flat_map(|chain| &chain.steps).all(|step| step.version.digest == digest)
    };
    for version in 1..4 {
        // What a link points at lies where nothing is watched.
        let digest = install(&elsewhere, version);
        until(|| async { runs(digest) }).await;
    }
    drop(following);
}
