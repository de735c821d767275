//! SIGKILL at the failpoints: once, in the middle and at the last time each is reached, and again while recovering.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use futures::StreamExt as _;
use postroom_practice::Times;
use postroom_practice::maildrop::{Fault, Verb};

use crate::chance::Chance;
use crate::oracle::{not_lost, settled};
use crate::scenario::WHOLE;
use crate::survey::{Surveyed, survey};
use crate::world::World;

/// Worlds at once.
const AT_ONCE: usize = 3;
/// Kills at least, where not all are asked for.
const SAMPLE: usize = 60;

/// When a run is killed.
#[derive(Clone)]
struct Kill {
    name: &'static str,
    /// Where it is reached; the first of them that it is reached in again.
    places: Vec<&'static Surveyed>,
    /// When it is reached there for the so-manieth time.
    time: usize,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_at_any_failpoint_loses_nothing_and_doubles_nothing_but_mail_in_doubt() {
    let all = points(survey().await);
    let names: BTreeSet<&str> = all.iter().map(|kill| kill.name).collect();
    let full = std::env::var_os("POSTROOM_FULL").is_some();
    let chosen = if full { all.clone() } else { sample(&all) };
    let (count, started) = (chosen.len(), Instant::now());
    let doubled: usize = all_of(chosen.into_iter().map(killed)).await.into_iter().sum();
    postroom_tests::figure(&format!(
        "kill points: {} names, {count} kills, 0 lost, doubled: {doubled} mails in doubt, in {} s",
        names.len(),
        started.elapsed().as_secs()
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_while_an_earlier_version_takes_over_loses_nothing_and_it_takes_over_all_the_same() {
    let all = points(survey().await);
    let taking_over =
        |kill: &&Kill| kill.name.starts_with("breaker/") || kill.name.starts_with("spool.hasten/");
    let chosen: Vec<Kill> = all.iter().filter(taking_over).cloned().collect();
    let names: BTreeSet<&str> = chosen.iter().map(|kill| kill.name).collect();
    assert!(names.is_superset(&BTreeSet::from(["breaker/opened", "breaker/fell-back"])), "{names:?}");
    assert!(names.len() > 2, "{names:?}");
    all_of(chosen.into_iter().map(killed)).await;
}

/// Every name where it is first reached: the first, the middle and the last time.
fn points(survey: &'static [Surveyed]) -> Vec<Kill> {
    let mut places: BTreeMap<&'static str, Vec<&'static Surveyed>> = BTreeMap::new();
    for surveyed in survey {
        surveyed.reached.keys().for_each(|name| places.entry(name).or_default().push(surveyed));
    }
    let of = |(name, places): (&'static str, Vec<&'static Surveyed>)| {
        let most = places[0].reached[name];
        let times = BTreeSet::from([1, most.div_ceil(2), most]);
        times.into_iter().map(|time| Kill { name, places: places.clone(), time }).collect::<Vec<_>>()
    };
    places.into_iter().flat_map(of).collect()
}

/// One of each place, and others until there are enough.
fn sample(all: &[Kill]) -> Vec<Kill> {
    let mut chance = Chance::seeded(0x9e37_79b9_7f4a_7c15);
    let mut places: BTreeMap<&str, Vec<&Kill>> = BTreeMap::new();
    for kill in all {
        places.entry(kill.name.split('/').next().unwrap_or_default()).or_default().push(kill);
    }
    let mut chosen: Vec<_> = places.values().map(|kills| (*chance.pick(kills)).clone()).collect();
    while chosen.len() < SAMPLE.min(all.len()) {
        chosen.push(chance.pick(all).clone());
    }
    chosen
}

/// Kills then, recovers, and answers how many mails were sent twice.
async fn killed(kill: Kill) -> usize {
    let (world, at) = struck(&kill).await;
    not_lost(&world, at.scenario);
    for &act in &at.scenario.acts[at.act..] {
        world.act(act, "").await;
    }
    settled(&world, at.scenario).await
}

/// A world whose program was killed then. Threads take turns differently from run to run, so a time that one run did not
/// come to is tried earlier in another.
async fn struck(kill: &Kill) -> (World, &'static Surveyed) {
    for at in &kill.places {
        let mut time = kill.time;
        while time > 0 {
            let world = World::new(at.scenario).await;
            for &act in &at.scenario.acts[..at.act] {
                world.act(act, "").await;
            }
            let run = world.act(at.scenario.acts[at.act], &format!("kill={}#{time}", kill.name)).await;
            if run.expect("a run").was_killed() {
                println!("{}#{time} in run {} of {}", kill.name, at.act, at.scenario.name);
                return (world, at);
            }
            time /= 2;
        }
    }
    panic!("{} is not reached any more", kill.name)
}

/// Runs some at a time, and fails with the first that does.
async fn all_of<F>(worlds: impl Iterator<Item = F>) -> Vec<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    let tasks = futures::stream::iter(worlds).map(tokio::spawn).buffer_unordered(AT_ONCE);
    tasks.map(|done| done.expect("a world in which nothing was lost")).collect().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recovery_that_is_killed_too_reaches_the_same_end() {
    let survey = survey().await;
    let starts: Vec<String> =
        names(survey, |name| name.starts_with("start") || name.starts_with("spool.expedite"));
    let before: Vec<String> = names(survey, |name| !name.starts_with("start") && name != "once/swept");
    let mut chance = Chance::seeded(0x2545_f491_4f6c_dd1d);
    let kills: Vec<_> = starts
        .iter()
        .map(|name| [chance.pick(&before).clone(), name.clone(), chance.pick(&starts).clone()])
        .collect();
    let count = kills.len();
    all_of(kills.into_iter().map(three_deep)).await;
    postroom_tests::figure(&format!("{count} recoveries were killed, and the recoveries from that"));
}

/// The names of the first run of all.
fn names(survey: &[Surveyed], wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let first = survey.iter().find(|surveyed| surveyed.scenario.name == WHOLE.name).expect("the first run");
    // What makes the database is over then.
    let lasting = |name: &&String| wanted(name) && !name.starts_with("start.schema");
    first.reached.keys().filter(lasting).cloned().collect()
}

async fn three_deep(kills: [String; 3]) {
    let world = World::new(&WHOLE).await;
    for name in &kills {
        let run = world.run(&["once", "--json"], &format!("kill={name}#1")).await;
        assert!(run.was_killed(), "{kills:?}: {run:#?}");
        not_lost(&world, &WHOLE);
    }
    println!("{kills:?}");
    settled(&world, &WHOLE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_after_quit_was_sent_costs_nothing_whether_the_server_deleted_or_not() {
    for fault in [Fault::QuitCut, Fault::Cut(Verb::Quit)] {
        let world = World::new(&WHOLE).await;
        world.run(&["once", "--json"], "").await;
        world.maildrop.inject(fault.clone(), Times::Next(1));
        let run = world.run(&["once", "--json"], "kill=pop3.QUIT/sent#1").await;
        assert!(run.was_killed(), "{run:#?}");
        let deleted = world.maildrop.messages("user").is_empty();
        assert_eq!(deleted, fault == Fault::QuitCut, "{fault:?}");
        not_lost(&world, &WHOLE);
        assert_eq!(settled(&world, &WHOLE).await, 0);
    }
}
