//! The recovery crashes too: at each of its operations, and up to three deep.

use postroom_simulation::campaign::{Failures, Wreck, chosen, crash, progress, recorded, short, tell};
use postroom_simulation::image::{Disk, Model};
use postroom_simulation::maildrop::Cut;
use postroom_simulation::random::Random;

const SEED: u64 = 3;
/// Recoveries that crash one after another.
const DEPTH: usize = 3;

#[test]
fn a_recovery_that_crashes_at_any_operation_reaches_the_same_state() {
    let entries = recorded(SEED, Cut::Never);
    let mut failures = Failures::default();
    let points = chosen(entries.len(), 20, SEED);
    let (mut disk, mut cases) = (Disk::new(true), 0);
    for (at, entry) in entries.iter().enumerate() {
        if points.binary_search(&at).is_ok() {
            let model = model(at, at as u64);
            let wreck = crash(&entries, at, &disk, model);
            let outcome = again_and_again(&wreck, model != Model::Kept, at as u64, &mut cases);
            failures.take(outcome, || format!("seed {SEED}, line {at} ({}), {model:?}", short(entry)));
        }
        disk.take(entry);
    }
    tell(&format!(
        "recovery points: {cases}, after crashes at {} of {} operations",
        points.len(),
        entries.len()
    ));
    assert!(cases > points.len(), "recoveries do something");
    failures.none();
}

fn model(choice: usize, seed: u64) -> Model {
    match choice % 3 {
        0 => Model::Kept,
        1 => Model::Dropped,
        _ => Model::Reordered(seed),
    }
}

/// Crashes the recovery of this wreck everywhere, and some of the recoveries from that again.
///
/// When the process alone was killed, a commit whose sync was never reached is in the cache: nobody was told of it, and a
/// power cut during the recovery may take it back. Only the oracle is asked then.
fn again_and_again(wreck: &Wreck, settled: bool, seed: u64, cases: &mut usize) -> Result<(), String> {
    let first = wreck.recover(seed)?;
    let (recovery, dump) = (first.recovery.clone(), first.dump.clone());
    drop(first);
    let mut random = Random::new(seed, 7);
    let deeper = random.below(recovery.len().max(1));
    for at in chosen(recovery.len(), 6, seed) {
        let mut wreck = wreck.crash(&recovery, at, model(at + seed as usize, random.number()));
        for depth in 1..=DEPTH {
            let survivor = wreck.recover(seed)?;
            *cases += 1;
            progress(*cases, "recoveries");
            if settled && survivor.dump != dump {
                return Err(format!(
                    "I8: crashed at {at} of its recovery, {depth} deep, it knows:\n{}\nand not:\n{dump}",
                    survivor.dump
                ));
            }
            let next = random.below(survivor.recovery.len().max(1));
            if depth == DEPTH || at != deeper || survivor.recovery.is_empty() {
                if at == deeper {
                    survivor.live()?;
                }
                break;
            }
            wreck = wreck.crash(&survivor.recovery, next, model(random.below(3), random.number()));
        }
    }
    Ok(())
}
