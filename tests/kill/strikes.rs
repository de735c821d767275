//! A message that takes the process with it: its attempts are counted before the first octet is looked at.

use std::collections::BTreeMap;

use postroom_mail::Digest;

use crate::scenario::WHOLE;
use crate::world::World;

/// Kills that a message may cause.
const STRIKES: usize = 3;

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_ends_the_process_three_times_is_set_aside_and_the_others_go_on() {
    for place in [
        "pipeline/leased",
        "pipeline/opened",
        "pipeline.step/begun",
        "pipeline.step/ended",
        "pipeline/decided",
    ] {
        let world = World::new(&WHOLE).await;
        // One at a time, so that it is known whose fault it is.
        world.reconfigure("[limits]", "[limits]\nworkers = 1");
        for strike in 1..=STRIKES {
            let run = world.run(&["once", "--json"], &format!("kill={place}#1")).await;
            assert!(run.was_killed(), "{place}, strike {strike}: {run:#?}");
        }
        for _ in 0..2 {
            world.run(&["once", "--json"], "").await;
        }
        let last = world.run(&["once", "--json"], "").await;
        let counts = &last.json()["counts"];
        let others = world.mails.len() - 1;
        assert_eq!(
            (&counts["quarantined"], &counts["done"]),
            (&1.into(), &others.into()),
            "{place}: {counts:#}"
        );
        let left = world.maildrop.messages("user");
        assert_eq!(left.len(), 1, "{place}: only what was set aside stays at the server");
        assert_eq!(delivered(&world), others, "{place}");
    }
}

/// How many different mails are in the directory.
fn delivered(world: &World) -> usize {
    let mut digests: BTreeMap<Digest, usize> = BTreeMap::new();
    for file in std::fs::read_dir(world.path("vault/home")).expect("a directory").flatten() {
        *digests.entry(Digest::of(&std::fs::read(file.path()).expect("a file"))).or_default() += 1;
    }
    assert!(digests.values().all(|times| *times == 1), "{digests:?}");
    digests.len()
}
