//! An operation fails: once, until the host starts again, or until there is room. Afterwards the power is cut, which shows
//! what of a failed sync was believed.

use postroom_mail::{Disposition, Timestamp};
use postroom_simulation::campaign::{Failures, Wreck, chosen, progress, run, short, tell, wait};
use postroom_simulation::host::{Host, World};
use postroom_simulation::image::{Disk, Model};
use postroom_simulation::journal::{Entry, Fault, Span, What};
use postroom_simulation::maildrop::{Cut, Maildrop};
use postroom_simulation::random::Random;
use postroom_simulation::sinks::Sinks;
use postroom_spool::{Error, Spool as _};
use rustix::io::Errno;

const SEED: u64 = 4;

#[test]
fn a_disk_that_fails_once_or_until_a_restart_loses_nothing() {
    let mut failures = Failures::default();
    let (operations, mut cases) = (operations(), 0);
    for from in chosen(operations, 14, SEED) {
        for span in [Span::Once, Span::UntilRestart] {
            let fault = Fault { from, errno: Errno::IO, span, partial: from % 2 == 0 };
            failures.take(survive(fault).map(drop), || format!("seed {SEED}, {fault:?}"));
            cases += 1;
            progress(cases, "faults");
        }
    }
    tell(&format!("faults: {cases} of {} with EIO", operations * 2));
    failures.none();
}

#[test]
fn a_full_disk_loses_nothing_and_goes_on_by_itself_when_there_is_room() {
    let mut failures = Failures::default();
    let (operations, mut cases) = (operations(), 0);
    for from in chosen(operations, 20, SEED + 1) {
        let fault = Fault { from, errno: Errno::NOSPC, span: Span::UntilFreed, partial: from % 2 == 0 };
        failures.take(survive(fault).map(drop), || format!("seed {SEED}, {fault:?}"));
        cases += 1;
        progress(cases, "full disks");
    }
    tell(&format!("faults: {cases} of {operations} with ENOSPC"));
    failures.none();
}

fn operations() -> usize {
    let entries = run(SEED, Cut::Never, None).unwrap().entries;
    entries.iter().filter(|entry| matches!(entry, Entry::Disk(_))).count()
}

fn survive(fault: Fault) -> Result<(), String> {
    let run = run(SEED, Cut::Never, Some(fault))?;
    let done = run.entries.iter().filter(|entry| matches!(entry, Entry::Disk(_))).count();
    if !run.hit {
        // The last one counted is done when the run is over, and nobody looks any more; some runs have one less.
        return if done <= fault.from + 1 { Ok(()) } else { Err("the fault was never reached".into()) };
    }
    let failed = run.entries.iter().position(|entry| match entry {
        Entry::Disk(act) => matches!(act.what, What::SyncFailed),
        Entry::World(_) => false,
    });
    let mut random = Random::new(SEED, fault.from as u64);
    let from = failed.unwrap_or(0);
    let later = from + random.below(run.entries.len() - from);
    let soon = (from + random.below(12)).min(run.entries.len() - 1);
    let mut points = vec![(later, true), (soon, true)];
    if failed.is_some() {
        // Or it reached the disk all the same.
        points.extend([(later, false), (soon, false), (run.entries.len() - 1, true)]);
    }
    for (at, lost) in points {
        let before = Disk::after(&run.entries[..at], lost);
        for model in [Model::Dropped, Model::Kept, Model::Reordered(at as u64)] {
            let wreck = Wreck {
                disk: before.crash(&run.entries[at], model),
                world: World::after(&run.entries[..=at]),
            };
            let outcome = wreck.recover(SEED).and_then(|survivor| survivor.live());
            outcome.map_err(|broken| {
                format!("then at line {at} ({}), {model:?}, lost {lost}: {broken}", short(&run.entries[at]))
            })?;
        }
    }
    Ok(())
}

/// Whoever calls must learn that calling again is of no use, and the next start finds everything that was acknowledged.
#[test]
fn a_commit_that_the_disk_fails_stops_the_writer() {
    let mut stopped = 0;
    for later in 0..40 {
        let world = World { maildrop: Maildrop::new(Cut::Never), sinks: Sinks::default() };
        let mut host = Host::new(SEED, world);
        host.start().unwrap();
        let (spool, account) = (host.spool(), postroom_simulation::mails::account());
        let learn = |text: &str| wait(spool.learn("scope", Some(text.into()), Timestamp(1)));
        learn("before").unwrap();
        let from = host.journal.operations() + later;
        host.journal.arm(Some(Fault { from, errno: Errno::IO, span: Span::Once, partial: false }));
        let failed = learn("during");
        if !host.journal.hit() {
            break;
        }
        assert!(matches!(failed, Err(Error::CommitFailed { .. })), "{later}: {failed:?}");
        assert_eq!(failed.unwrap_err().disposition(), Disposition::Stop);
        let after = learn("after");
        assert!(matches!(after, Err(Error::WriterStopped)), "{later}: {after:?}");
        assert!(wait(spool.seen(&account, None, 1)).is_ok(), "questions are answered all the same");
        drop(spool);
        host.kill();
        host.start().unwrap();
        let found = wait(host.spool().learnt("scope")).unwrap();
        assert!(
            found.as_deref().is_some_and(|text| ["before", "during"].contains(&text)),
            "{later}: {found:?}"
        );
        stopped += 1;
    }
    assert!(stopped > 2, "each write and the sync of a commit, but only {stopped}");
}
