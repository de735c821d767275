//! Runs of the script, and what is done with their journals: crashes at operations, crashes of recoveries, faults. Owns
//! how many points there are and which of them a short run takes.

use std::cell::OnceCell;
use std::future::Future;
use std::io::Write as _;
use std::sync::Arc;

use crate::host::{Host, World};
use crate::image::{Disk, Model};
use crate::journal::{Entry, Fault};
use crate::maildrop::{Cut, Maildrop};
use crate::oracle;
use crate::random::Random;
use crate::sinks::Sinks;

/// Everything, and not only a sample: with `POSTROOM_FULL=1`.
#[must_use]
pub fn full() -> bool {
    std::env::var_os("POSTROOM_FULL").is_some_and(|value| value == "1")
}

/// Waits for it on this thread.
pub fn wait<T>(work: impl Future<Output = T>) -> T {
    thread_local! {
        static RUNTIME: OnceCell<tokio::runtime::Runtime> = const { OnceCell::new() };
    }
    RUNTIME.with(|runtime| {
        let make = || tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.get_or_init(make).block_on(work)
    })
}

/// One run of the script.
pub struct Run {
    /// What happened.
    pub entries: Vec<Entry>,
    /// The server at the end.
    pub maildrop: Maildrop,
    /// The fault was reached.
    pub hit: bool,
    /// How often the host had to be started again.
    pub halts: usize,
}

/// Runs the script to its end and stops the host in good order, with a stop and a start on the way.
///
/// # Errors
/// What the oracle says.
pub fn run(seed: u64, cut: Cut, fault: Option<Fault>) -> Result<Run, String> {
    let world = World { maildrop: Maildrop::new(cut), sinks: Sinks::default() };
    let mut host = Host::new(seed, world);
    host.journal.arm(fault);
    let pause = 1 + Random::new(seed, 3).below(3);
    wait(async {
        host.live(Some(pause)).await?;
        oracle::at_rest(&host).await
    })?;
    host.stop();
    Ok(Run {
        entries: host.journal.entries(),
        hit: host.journal.hit(),
        halts: host.halts,
        maildrop: host.world.maildrop,
    })
}

/// A disk as a crash left it, and the world at that moment.
pub struct Wreck {
    /// The disk, with what its cache still holds.
    pub disk: Disk,
    /// Outside.
    pub world: World,
}

/// A host that found a wreck and recovered.
pub struct Survivor {
    host: Host,
    /// What the recovery did on the disk.
    pub recovery: Vec<Entry>,
    /// What it knows.
    pub dump: String,
}

impl Wreck {
    /// Starts a host on it, and asks the oracle.
    ///
    /// # Errors
    /// What does not hold.
    pub fn recover(&self, seed: u64) -> Result<Survivor, String> {
        let mut host = Host::new(seed, self.world.clone());
        self.disk.seen().write(host.root());
        host.start().map_err(|error| format!("the host does not start: {error}"))?;
        let recovery = host.journal.entries();
        let dump = wait(async {
            oracle::recovered(&host).await?;
            Ok::<_, String>(oracle::dump(&host).await)
        })?;
        Ok(Survivor { host, recovery, dump })
    }

    /// What a crash of the recovery leaves, right after its operation `at`.
    #[must_use]
    pub fn crash(&self, recovery: &[Entry], at: usize, model: Model) -> Self {
        let mut disk = self.disk.clone();
        recovery[..at].iter().for_each(|entry| disk.take(entry));
        Self { disk: disk.crash(&recovery[at], model), world: self.world.clone() }
    }
}

impl Survivor {
    /// Goes on to the end, and asks the oracle.
    ///
    /// # Errors
    /// What does not hold.
    pub fn live(mut self) -> Result<(), String> {
        wait(async {
            self.host.live(None).await?;
            oracle::at_rest(&self.host).await
        })
    }
}

/// The disk and the world right after line `at` of a journal.
#[must_use]
pub fn crash(entries: &[Entry], at: usize, before: &Disk, model: Model) -> Wreck {
    Wreck { disk: before.crash(&entries[at], model), world: World::after(&entries[..=at]) }
}

/// What failed, told so that it can be run alone.
#[derive(Default)]
pub struct Failures(Vec<String>);

impl Failures {
    /// Takes the outcome of one case.
    pub fn take(&mut self, outcome: Result<(), String>, case: impl FnOnce() -> String) {
        if let Err(broken) = outcome {
            self.0.push(format!("{}: {broken}", case()));
        }
    }

    /// # Panics
    /// When there were any.
    pub fn none(self) {
        let told: Vec<_> =
            self.0.iter().take(5).map(|text| text.chars().take(1500).collect::<String>()).collect();
        assert!(self.0.is_empty(), "{} cases failed, the first:\n{}", self.0.len(), told.join("\n\n"));
    }
}

/// Says it even when the test passes.
pub fn tell(text: &str) {
    let _ = std::io::stderr().write_all(format!("{text}\n").as_bytes());
}

/// Says how far a full run is.
pub fn progress(cases: usize, what: &str) {
    if cases.is_multiple_of(1000) {
        tell(&format!("{cases} {what}"));
    }
}

/// A line of a journal in a few words.
#[must_use]
pub fn short(entry: &Entry) -> String {
    format!("{entry:?}").chars().take(100).collect()
}

/// Of so many cases all, or `sample` that the seed chooses; with `POSTROOM_POINT=n` the one that a failure named.
#[must_use]
pub fn chosen(count: usize, sample: usize, seed: u64) -> Vec<usize> {
    let alone = std::env::var("POSTROOM_POINT").ok().and_then(|point| point.parse().ok());
    if let Some(point) = alone.filter(|point| *point < count) {
        return vec![point];
    }
    if full() || count <= sample || alone.is_some() {
        return (0..count).collect();
    }
    let mut random = Random::new(seed, 6);
    let mut all: Vec<_> = (0..count).collect();
    random.shuffle(&mut all);
    all.truncate(sample);
    all.sort_unstable();
    all
}

/// Shared by the campaigns: the journal of the run without faults.
///
/// # Panics
/// When it fails.
#[must_use]
pub fn recorded(seed: u64, cut: Cut) -> Arc<[Entry]> {
    run(seed, cut, None).unwrap_or_else(|broken| panic!("seed {seed} {cut:?}: {broken}")).entries.into()
}
