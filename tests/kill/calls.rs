//! Calls to the system that fail in the middle of the work: what was to be done is done later, once.

use crate::chance::Chance;
use crate::oracle::{not_lost, settled};
use crate::scenario::WHOLE;
use crate::survey::survey;
use crate::world::World;

/// The disk is broken, full, read-only; the process has no descriptors left.
const ERRORS: [i32; 4] = [5, 28, 30, 24];
/// Failures of the spool's own calls that are tried.
const SPOOL: usize = 12;

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_whose_file_system_fails_gets_everything_once_when_it_is_well() {
    let mut chance = Chance::seeded(7);
    for call in ["create", "write", "sync", "rename", "sync-directory", "make"] {
        for owner in ["Directory", "Maildir"] {
            let errno = *chance.pick(&ERRORS);
            // Once, and for all of a run.
            for times in ["1", "1+"] {
                fails(&format!("fail={owner}.{call}/before#{times}:{errno}")).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spool_whose_disk_fails_goes_on_when_it_is_well() {
    let names: Vec<&String> = survey()
        .await
        .iter()
        .filter(|surveyed| surveyed.scenario.name == WHOLE.name)
        .flat_map(|surveyed| surveyed.reached.keys())
        .filter(|name| name.starts_with("disk."))
        .collect();
    let mut chance = Chance::seeded(8);
    for _ in 0..SPOOL.min(names.len()) {
        let (name, errno) = (*chance.pick(&names), *chance.pick(&ERRORS));
        fails(&format!("fail={name}#1:{errno}")).await;
    }
    assert!(names.len() > 8, "the spool's calls to the disk can fail: {names:?}");
}

async fn fails(orders: &str) {
    println!("{orders}");
    let world = World::new(&WHOLE).await;
    let run = world.run(&["once", "--json"], orders).await;
    assert!(run.status.code().is_some(), "{orders}: {run:#?}");
    not_lost(&world, &WHOLE);
    settled(&world, &WHOLE).await;
}
