//! The process is killed, or the power cut, right after each operation; the disk keeps all, nothing, or some of what was
//! not synced.

use std::path::Path;

use postroom_simulation::campaign::{Failures, chosen, crash, full, progress, recorded, short, tell};
use postroom_simulation::image::{Disk, Model};
use postroom_simulation::journal::{Entry, What};
use postroom_simulation::maildrop::Cut;

/// Both policies of deletion, and other orders of doing things.
const SEEDS: [u64; 2] = [1, 2];

#[test]
fn no_crash_at_any_operation_loses_or_repeats_anything() {
    let mut failures = Failures::default();
    let (mut operations, mut cases) = (0, 0);
    for seed in SEEDS {
        let entries = recorded(seed, Cut::Never);
        operations += entries.len();
        let points = chosen(entries.len(), 14, seed);
        cases += crashes(seed, &entries, &points, &mut failures);
    }
    tell(&format!(
        "crash points: {operations} operations x 4 models (kept, dropped, torn, reordered): {cases} images"
    ));
    failures.none();
}

#[test]
fn an_interrupted_checkpoint_loses_nothing() {
    let mut failures = Failures::default();
    let (mut points, mut cases) = (0, 0);
    for seed in SEEDS {
        let entries = recorded(seed, Cut::Never);
        // What is written to the database itself, or takes its log away, is a checkpoint.
        let folding: Vec<_> = (0..entries.len()).filter(|at| folds(&entries[*at])).collect();
        points += folding.len();
        let some: Vec<_> = chosen(folding.len(), 5, seed).into_iter().map(|index| folding[index]).collect();
        cases += crashes(seed, &entries, &some, &mut failures);
    }
    tell(&format!("checkpoints: {points} operations, {cases} images"));
    assert!(points > 50, "there were checkpoints");
    failures.none();
}

fn folds(entry: &Entry) -> bool {
    match entry {
        Entry::Disk(act) => {
            let log = act.path.as_path() == Path::new("state/postroom.db-wal");
            let removed = matches!(act.what, What::Remove);
            act.path.as_path() == Path::new("state/postroom.db") || (log && removed)
        }
        Entry::World(_) => false,
    }
}

/// The oracle can say no: on a disk that ignores syncs of the segments mail is lost, and where the database's log is not
/// synced the host itself finds out that its database is not what it was.
#[test]
fn a_disk_that_lies_about_its_syncs_is_found_out() {
    for (liar, broken) in [(".seg", "I2"), ("-wal", "the host does not start")] {
        let mut entries = recorded(SEEDS[0], Cut::Never).to_vec();
        entries.retain(|entry| match entry {
            Entry::Disk(act) => {
                !(matches!(act.what, What::Sync) && act.path.to_string_lossy().ends_with(liar))
            }
            Entry::World(_) => true,
        });
        let mut disk = Disk::new(true);
        let found = entries.iter().enumerate().find_map(|(at, entry)| {
            let event = matches!(entry, Entry::World(_));
            let wreck = event.then(|| crash(&entries, at, &disk, Model::Dropped));
            disk.take(entry);
            wreck.and_then(|wreck| wreck.recover(SEEDS[0]).err())
        });
        assert!(found.as_ref().is_some_and(|found| found.starts_with(broken)), "{liar}: {found:?}");
    }
}

fn crashes(seed: u64, entries: &[Entry], points: &[usize], failures: &mut Failures) -> usize {
    let mut disk = Disk::new(true);
    let mut cases = 0;
    for (at, entry) in entries.iter().enumerate() {
        if points.binary_search(&at).is_ok() {
            for model in models(entry, at as u64) {
                let wreck = crash(entries, at, &disk, model);
                let outcome = wreck.recover(seed + at as u64).and_then(|survivor| survivor.live());
                failures.take(outcome, || format!("seed {seed}, line {at} ({}), {model:?}", short(entry)));
                cases += 1;
                progress(cases, "images");
            }
        }
        disk.take(entry);
    }
    cases
}

fn models(entry: &Entry, at: u64) -> Vec<Model> {
    let mut models =
        vec![Model::Kept, Model::Dropped, Model::Reordered(at), Model::Reordered(at + 1_000_000)];
    let tears = Disk::tears(entry);
    if full() {
        models.extend(tears.into_iter().map(Model::Torn));
    } else {
        models.extend(tears.get(at as usize % tears.len().max(1)).copied().map(Model::Torn));
    }
    models
}
