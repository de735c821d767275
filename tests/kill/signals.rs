//! Signals to `run` in the middle of its work, and a second process beside it.

use std::time::Duration;

use rustix::process::Signal;

use crate::chance::Chance;
use crate::oracle::{not_lost, settled};
use crate::scenario::LASTING;
use crate::survey::survey;
use crate::world::{World, signal};

/// A stop may take so long.
const STOP: Duration = Duration::from_secs(30);
/// Each signal is sent at so many moments.
const MOMENTS: usize = 3;

/// Failpoints of a lasting run between its start and its last deletion.
async fn moments() -> Vec<String> {
    let lasting =
        survey().await.iter().find(|surveyed| surveyed.scenario.name == LASTING.name).expect("it ran");
    let work =
        ["pop3", "visit", "remove", "body", "pipeline", "deliver", "Directory", "Maildir", "s3", "smtp"];
    let at_work = |name: &&String| work.iter().any(|part| name.starts_with(part));
    lasting.reached.keys().filter(at_work).cloned().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_and_sigint_end_in_order_and_sigquit_at_once_with_nothing_lost() {
    let moments = moments().await;
    let mut chance = Chance::seeded(38);
    for sent in [Signal::TERM, Signal::INT, Signal::QUIT] {
        for _ in 0..MOMENTS {
            let moment = chance.pick(&moments);
            println!("{sent:?} at {moment}");
            let world = World::new(&LASTING).await;
            let mut child = world.start("");
            assert!(world.comes_to(&mut child, moment).await, "{moment}: {}", log(&world));
            signal(&child, sent);
            let (run, took) = world.finish(child).await;
            assert!(took < STOP, "{sent:?} at {moment}: it took {took:?} to end");
            if sent != Signal::QUIT {
                assert_eq!(run.status.code(), Some(0), "{sent:?} at {moment}: {run:#?}");
            }
            goes_on(&world).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sighup_and_sigpipe_end_nothing_be_it_a_hundred_times() {
    let moments = moments().await;
    let mut chance = Chance::seeded(39);
    for (sent, times) in [(Signal::HUP, 1), (Signal::PIPE, 1), (Signal::HUP, 100), (Signal::PIPE, 100)] {
        let moment = chance.pick(&moments);
        println!("{times} times {sent:?} at {moment}");
        let world = World::new(&LASTING).await;
        let mut child = world.start("");
        assert!(world.comes_to(&mut child, moment).await, "{moment}: {}", log(&world));
        (0..times).for_each(|_| signal(&child, sent));
        assert!(world.comes_to(&mut child, "remove/recorded").await, "{sent:?}: {}", log(&world));
        signal(&child, Signal::TERM);
        let (run, _) = world.finish(child).await;
        assert_eq!(run.status.code(), Some(0), "{run:#?}");
        goes_on(&world).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_was_stopped_for_longer_than_its_time_limits_goes_on() {
    for moment in ["pop3.RETR/received", "pop3.UIDL/sent", "smtp.body/send", "s3.PUT/send"] {
        let world = World::new(&LASTING).await;
        world.reconfigure("timeout = \"10s\"", "timeout = \"1s\"");
        let mut child = world.start("");
        assert!(world.comes_to(&mut child, moment).await, "{moment}: {}", log(&world));
        signal(&child, Signal::STOP);
        // What is tested is time that passes without the process.
        tokio::time::sleep(Duration::from_secs(2)).await;
        signal(&child, Signal::CONT);
        assert!(world.comes_to(&mut child, "remove/recorded").await, "{moment}: {}", log(&world));
        signal(&child, Signal::TERM);
        let (run, _) = world.finish(child).await;
        assert_eq!(run.status.code(), Some(0), "{run:#?}");
        goes_on(&world).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_is_refused_while_the_first_lives_and_let_in_once_it_was_killed() {
    let world = World::new(&LASTING).await;
    let mut child = world.start("");
    assert!(world.comes_to(&mut child, "visit/listed").await, "{}", log(&world));
    let mut second = world.command_beside(&["once"]);
    let refused =
        tokio::task::spawn_blocking(move || second.output()).await.expect("joins").expect("it runs");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code().is_some_and(|code| code != 0), "{said}");
    assert!(said.contains("another postroom process"), "{said}");
    signal(&child, Signal::KILL);
    let (run, _) = world.finish(child).await;
    assert!(run.was_killed());
    goes_on(&world).await;
}

async fn goes_on(world: &World) {
    not_lost(world, &LASTING);
    settled(world, &LASTING).await;
}

fn log(world: &World) -> String {
    std::fs::read_to_string(world.path("log")).unwrap_or_default()
}
