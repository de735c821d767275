//! Chaos: the real program under load, killed at random moments, among servers and lines that fail at random, and an oracle
//! that counts every mail afterwards. Not a test: it is paced by a clock, and its length is chosen by who runs it.
//!
//! Owns one run from its first mail to its verdict. Every choice comes from the seed, which is printed; when the operating
//! system schedules otherwise, the same choices meet another state.

mod against;
mod arena;
mod drain;
mod draw;
mod faults;
mod oracle;
mod post;
mod proxy;
mod scene;
mod storm;
mod subject;
mod table;
mod tools;

pub use tools::Tool;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Serialize;

use self::against::Score;
use self::arena::Arena;
use self::faults::Made;
use self::oracle::Tally;
use self::post::Sorts;
use self::scene::Scene;
use self::storm::{Blows, Storm};
use self::table::{row, table};
use crate::HarnessError;

/// What is to be done.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long it is stormy; the calm after it takes a few minutes at most.
    pub time: Duration,
    /// Where every choice comes from.
    pub seed: u64,
    /// Compared with these, instead of the storm with all sinks.
    pub against: Vec<Tool>,
    /// Leave everything to be looked at, even when all is well.
    pub keep: bool,
    /// The program under test.
    pub binary: PathBuf,
}

/// What came of it.
#[derive(Debug, Serialize)]
pub struct Verdict {
    seed: u64,
    seconds: u64,
    mails: Sorts,
    #[serde(flatten)]
    outcome: Outcome,
    /// What must not be; empty when all is well.
    violations: Vec<String>,
    /// Where to look when something is not well.
    kept: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    Storm(Box<Weathered>),
    Comparison(Vec<Score>),
}

#[derive(Debug, Serialize)]
struct Weathered {
    signals: Blows,
    faults: Made,
    sinks: Vec<Tally>,
    /// Done mail that the server still has, and work that still waits.
    on_server: usize,
    waiting: u64,
    set_aside: BTreeMap<String, u64>,
}

/// Does it all.
///
/// # Errors
/// [`HarnessError`] when the surroundings cannot be set up or a program cannot be run; never for what is lost.
pub async fn run(options: &Options) -> Result<Verdict, HarnessError> {
    eprintln!("chaos: seed {}, {} s", options.seed, options.time.as_secs());
    let began = Instant::now();
    let (mails, outcome, arena) = if options.against.is_empty() {
        storm(options).await?
    } else {
        let tools = [&[Tool::Postroom], options.against.as_slice()].concat();
        let compared = against::compare(&options.binary, &tools, options.time, options.seed).await?;
        (compared.1, Outcome::Comparison(compared.0), compared.2)
    };
    let violations = outcome.violations();
    let kept = (options.keep || !violations.is_empty()).then(|| arena.keep());
    let seconds = began.elapsed().as_secs();
    Ok(Verdict { seed: options.seed, seconds, mails, outcome, violations, kept })
}

async fn storm(options: &Options) -> Result<(Sorts, Outcome, Arena), HarnessError> {
    let mut scene = Scene::set(&options.binary).await?;
    // Compiles the plugins; kills are to hit a program at work.
    let (checked, _) = scene.program().with(&["check"]).run(Duration::from_secs(300)).await?;
    if !checked.success() {
        let got = subject::tail(&crate::process::read_log(&scene.arena.path("log")));
        return Err(HarnessError::Answer {
            expected: "a configuration that passes its check".to_owned(),
            got,
        });
    }
    let after = Storm::new(&mut scene, options.seed)?.rage(options.time).await?;
    let waiting = drain::drain(&scene).await?;
    let (held, set_aside) = drain::held(scene.program()).await?;
    let weathered = Weathered {
        signals: after.blows,
        faults: after.trouble.made(&scene),
        sinks: drain::tallies(&scene, &after.post, &held)?,
        on_server: scene.on_server()?,
        waiting,
        set_aside,
    };
    Ok((after.post.sorts(), Outcome::Storm(Box::new(weathered)), scene.leave()))
}

impl Outcome {
    /// Of our program only: others may lose what they like.
    fn violations(&self) -> Vec<String> {
        let mut found = Vec::new();
        match self {
            Self::Storm(weathered) => {
                for tally in &weathered.sinks {
                    found.extend(broken(
                        tally,
                        if tally.place == "smtp" { tally.over_two } else { tally.doubled },
                    ));
                }
                if weathered.waiting > 0 {
                    found.push(format!("{} still wait after everything was mended", weathered.waiting));
                }
            }
            Self::Comparison(scores) => {
                let ours = scores.iter().filter(|score| score.tool == Tool::Postroom.name());
                found.extend(ours.flat_map(|score| broken(&score.tally, score.tally.doubled)));
            }
        }
        found
    }
}

fn broken(tally: &Tally, too_many: u64) -> Vec<String> {
    let Tally { place, lost, left, strange, .. } = tally;
    let counts = [
        (*lost, "lost"),
        (too_many, "too many"),
        (*left, "never fetched from the server"),
        (*strange, "with octets nobody sent"),
    ];
    let found = counts.iter().filter(|(count, _)| *count > 0);
    found.map(|(count, what)| format!("{place}: {count} {what}")).collect()
}

impl Verdict {
    /// Whether nothing was lost and nothing doubled.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.violations.is_empty()
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Sorts { mails, large, malformed, same_id, twins, octets } = self.mails;
        writeln!(
            f,
            "seed {}, {} s, {mails} mails ({} MiB; {large} over 1 MiB, {malformed} malformed, {same_id} with a Message-ID \
             of another, {twins} with all octets of another)\n",
            self.seed,
            self.seconds,
            octets >> 20,
        )?;
        match &self.outcome {
            Outcome::Storm(weathered) => weathered.fmt(f)?,
            Outcome::Comparison(scores) => compared(f, scores)?,
        }
        for violation in &self.violations {
            writeln!(f, "VIOLATION  {violation}")?;
        }
        if let Some(kept) = &self.kept {
            writeln!(f, "everything is left in {} to be looked at", kept.display())?;
        }
        Ok(())
    }
}

impl std::fmt::Display for Weathered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut rows = vec![row(&[
            &"SINK",
            &"MAILS",
            &"DELIVERED",
            &"LOST",
            &"DOUBLED",
            &"OVER TWO",
            &"SET ASIDE",
            &"LEFT",
            &"STRANGE",
        ])];
        for tally in &self.sinks {
            let Tally { place, expected, delivered, lost, doubled, over_two, held, left, strange } = tally;
            rows.push(row(&[place, expected, delivered, lost, doubled, over_two, held, left, strange]));
        }
        writeln!(f, "{}", table(&rows))?;
        let Blows { sigkill, sigterm, sighup, sigstop, starts } = self.signals;
        writeln!(
            f,
            "signals: {sigkill} KILL, {sigterm} TERM, {sighup} HUP, {sigstop} STOP; {starts} starts"
        )?;
        let Made {
            dovecot_crashes,
            connections,
            s3_refusals,
            s3_lost_answers,
            smtp_silent_acceptances,
            smtp_refusals,
            unwritable,
        } = self.faults;
        writeln!(
            f,
            "faults: Dovecot killed {dovecot_crashes} times, {connections} connections cut or stalled, S3 refused {s3_refusals} \
             requests and was to lose {s3_lost_answers} answers, SMTP was to accept {smtp_silent_acceptances} silently and to \
             misbehave {smtp_refusals} times, a sink was unwritable {unwritable} times"
        )?;
        writeln!(
            f,
            "on the server: {}, waiting: {}, set aside: {}",
            self.on_server,
            self.waiting,
            self.set_aside.values().sum::<u64>()
        )?;
        self.set_aside.iter().try_for_each(|(reason, times)| writeln!(f, "  {times} {reason}"))
    }
}

fn compared(f: &mut std::fmt::Formatter<'_>, scores: &[Score]) -> std::fmt::Result {
    let mut rows = vec![row(&[
        &"TOOL",
        &"MAILS",
        &"RUNS",
        &"KILLS",
        &"CUTS",
        &"DELIVERED",
        &"LOST",
        &"DOUBLED",
        &"LEFT",
        &"STRANGE",
    ])];
    for Score { tool, runs, kills, connections, tally, .. } in scores {
        let Tally { expected, delivered, lost, doubled, left, strange, .. } = tally;
        rows.push(row(&[tool, expected, runs, kills, connections, delivered, lost, doubled, left, strange]));
    }
    writeln!(f, "{}", table(&rows))?;
    scores.iter().try_for_each(|score| writeln!(f, "{}: {}", score.tool, score.command))
}

/// The program under test, which Cargo builds beside this one.
///
/// # Errors
/// [`HarnessError::File`] when it is not there.
pub fn binary_beside(own: &Path) -> Result<PathBuf, HarnessError> {
    let binary = own.with_file_name("postroom-host");
    match binary.metadata() {
        Ok(_) => Ok(binary),
        Err(source) => Err(HarnessError::File { path: binary, source }),
    }
}
