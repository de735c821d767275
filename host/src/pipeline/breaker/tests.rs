//! The rules of one breaker, by a clock of the test's own.

use super::*;

/// Seconds since the start.
fn at(seconds: u64) -> Timestamp {
    Timestamp(0).after(Duration::from_secs(seconds))
}

fn version(tag: &str) -> Version {
    Version { digest: Digest::of(tag.as_bytes()), terms: Digest::of(b"terms") }
}

fn tolerance(failures: u32) -> BreakerConfig {
    BreakerConfig { failures, ..BreakerConfig::default() }
}

fn breaker(tag: &str, record: Record) -> Breaker {
    Breaker::new(tolerance(20), false, version(tag), record)
}

fn fail(breaker: &mut Breaker, tag: &str, now: Timestamp) -> (Fate, Turn) {
    breaker.failed(version(tag).digest, "trapped", now, |interval| interval)
}

fn good(tags: &[&str]) -> Record {
    Record { good: tags.iter().map(|tag| version(tag).digest).collect(), open: None }
}

fn opened(tag: &str, record: Record) -> Breaker {
    let mut breaker = breaker(tag, record);
    for _ in 0..19 {
        assert_eq!(fail(&mut breaker, tag, at(0)), (Fate::Own, Turn::None));
    }
    assert_eq!(fail(&mut breaker, tag, at(0)), (Fate::Own, Turn::Opened));
    breaker
}

#[test]
fn twenty_failures_within_five_minutes_open_it_and_slower_ones_never_do() {
    let mut slow = breaker("v", Record::default());
    for time in 0..1000 {
        assert_eq!(fail(&mut slow, "v", at(time * 16)), (Fate::Own, Turn::None), "failure {time}");
    }
    assert!(slow.failures.len() <= 20, "what is counted is bounded");
    let mut fast = breaker("v", Record::default());
    let opens = (0..30).find(|time| fail(&mut fast, "v", at(time * 15)).1 == Turn::Opened);
    assert_eq!(opens, Some(19));
}

#[test]
fn what_fails_after_it_opened_is_put_back_so_that_no_more_than_the_limit_is_set_aside() {
    let mut breaker = opened("v", Record::default());
    for _ in 0..100 {
        let (fate, turn) = fail(&mut breaker, "v", at(1));
        assert_eq!((fate, turn), (Fate::Back(at(60)), Turn::None));
    }
}

#[test]
fn without_an_earlier_version_it_pauses_and_probes_one_message_at_growing_intervals() {
    let mut breaker = opened("v", Record::default());
    assert!(breaker.candidates().is_empty());
    let mut probes = Vec::new();
    for now in 0..86_400 {
        match breaker.gate(at(now)) {
            Gate::Hold(until) => assert!(until > at(now)),
            Gate::Probe => {
                breaker.probe_begins();
                assert!(matches!(breaker.gate(at(now)), Gate::Hold(_)), "one at a time");
                let (fate, _) = fail(&mut breaker, "v", at(now));
                let Fate::Back(due) = fate else { panic!("a probe is never set aside") };
                breaker.probe_ended();
                let Gate::Hold(next) = breaker.gate(at(now)) else { panic!("it waits") };
                assert!(due > next, "the next probe is another message");
                probes.push(now);
            }
            Gate::Open => panic!("it is paused"),
        }
    }
    assert_eq!(probes[..4], [60, 180, 420, 900]);
    let waits: Vec<_> = probes.windows(2).map(|two| two[1] - two[0]).collect();
    assert!(waits.iter().skip(6).all(|wait| *wait == 3600), "{waits:?}");
}

#[test]
fn a_probe_that_is_handled_closes_it() {
    let mut breaker = opened("v", Record::default());
    assert_eq!(breaker.gate(at(60)), Gate::Probe);
    breaker.probe_begins();
    assert_eq!(breaker.handled(version("v").digest), Turn::Closed);
    breaker.probe_ended();
    assert_eq!((breaker.gate(at(60)), &breaker.record().open), (Gate::Open, &None));
}

#[test]
fn a_probe_that_learns_nothing_leaves_the_next_message_to_be_one() {
    let mut breaker = opened("v", Record::default());
    breaker.probe_begins();
    breaker.probe_ended();
    assert_eq!(breaker.gate(at(60)), Gate::Probe);
}

#[test]
fn a_version_is_good_when_it_handled_twenty_and_two_of_them_are_remembered() {
    let mut breaker = breaker("c", good(&["b", "a"]));
    for _ in 1..PROVEN {
        assert_eq!(breaker.handled(version("c").digest), Turn::None);
    }
    assert_eq!(breaker.handled(version("c").digest), Turn::Noted);
    assert_eq!(breaker.record(), &good(&["c", "b"]));
    assert_eq!(breaker.handled(version("c").digest), Turn::None, "once");
}

#[test]
fn it_falls_back_to_the_last_good_version_that_is_another() {
    let mut breaker = opened("c", good(&["c", "b"]));
    assert_eq!(breaker.candidates(), [version("b").digest]);
    breaker.fell_back(version("b").digest);
    assert_eq!(breaker.gate(at(1)), Gate::Open);
    assert_eq!(breaker.fall_back(), Some(version("b").digest));
    assert_eq!(fail(&mut breaker, "c", at(1)), (Fate::Back(at(1)), Turn::None), "a late failure");
    assert!(breaker.wanted().any(|digest| digest == version("b").digest));
}

#[test]
fn when_what_it_fell_back_to_fails_as_well_it_pauses() {
    let mut breaker = opened("b", good(&["a"]));
    breaker.fell_back(version("a").digest);
    for _ in 0..19 {
        assert_eq!(fail(&mut breaker, "a", at(2)), (Fate::Own, Turn::None));
    }
    assert_eq!(fail(&mut breaker, "a", at(2)), (Fate::Own, Turn::Opened));
    assert!(breaker.candidates().is_empty());
    assert!(matches!(breaker.gate(at(3)), Gate::Hold(_)));
}

#[test]
fn a_new_file_or_changed_settings_start_anew_and_the_same_does_not() {
    let mut breaker = opened("c", good(&["b"]));
    breaker.fell_back(version("b").digest);
    assert_eq!(breaker.configure(tolerance(20), false, version("c")), Turn::None);
    assert!(breaker.record().open.is_some());
    let changed = Version { terms: Digest::of(b"other"), ..version("c") };
    assert_eq!(breaker.configure(tolerance(20), false, changed), Turn::Closed);
    assert_eq!(breaker.record(), &good(&["b"]), "what is good stays");
    assert_eq!(
        fail(&mut breaker, "c", at(9)),
        (Fate::Own, Turn::None),
        "and what runs is the configured one"
    );
}

#[test]
fn an_open_breaker_survives_a_restart_and_is_void_for_another_version() {
    let mut before = opened("c", good(&["b"]));
    before.fell_back(version("b").digest);
    let text = serde_json::to_string(before.record()).unwrap();
    let record: Record = serde_json::from_str(&text).unwrap();
    assert_eq!(&record, before.record());
    let same = Breaker::new(tolerance(20), false, version("c"), record.clone());
    assert_eq!(same.fall_back(), Some(version("b").digest));
    let other = Breaker::new(tolerance(20), false, version("d"), record);
    assert_eq!(other.record(), &good(&["b"]));
}

#[test]
fn a_step_that_may_be_skipped_is_never_paused() {
    let mut breaker = Breaker::new(tolerance(2), true, version("v"), Record::default());
    fail(&mut breaker, "v", at(0));
    assert_eq!(fail(&mut breaker, "v", at(0)), (Fate::Own, Turn::Opened));
    for _ in 0..50 {
        assert_eq!(fail(&mut breaker, "v", at(1)), (Fate::Own, Turn::None));
    }
    assert_eq!(breaker.gate(at(1)), Gate::Open);
    for _ in 1..PROVEN {
        assert_eq!(breaker.handled(version("v").digest), Turn::None);
    }
    assert_eq!(breaker.handled(version("v").digest), Turn::Closed);
}

#[test]
fn a_step_that_may_not_fall_back_pauses() {
    let strict = BreakerConfig { failures: 1, fall_back: false, ..BreakerConfig::default() };
    let mut breaker = Breaker::new(strict, false, version("b"), good(&["a"]));
    assert_eq!(fail(&mut breaker, "b", at(0)), (Fate::Own, Turn::Opened));
    assert!(breaker.candidates().is_empty());
    assert!(matches!(breaker.gate(at(1)), Gate::Hold(_)));
}

#[test]
fn a_step_that_is_pinned_now_goes_on_with_no_other_version_than_its_own() {
    let mut before = opened("v", good(&["old"]));
    before.fell_back(version("old").digest);
    let strict = BreakerConfig { fall_back: false, ..tolerance(20) };
    let pinned = Breaker::new(strict.clone(), false, version("v"), before.record().clone());
    assert!(pinned.is_paused() && pinned.fall_back().is_none() && pinned.candidates().is_empty());
    assert_eq!(pinned.gate(at(60)), Gate::Probe);
    let skipped = Breaker::new(strict, true, version("v"), before.record().clone());
    assert!(!skipped.is_paused() && skipped.fall_back().is_none());
}

#[test]
fn the_operator_can_have_it_probed_at_once() {
    let mut breaker = opened("v", Record::default());
    assert!(matches!(breaker.gate(at(1)), Gate::Hold(_)));
    breaker.hasten(at(1));
    assert_eq!(breaker.gate(at(1)), Gate::Probe);
}

#[test]
fn when_nothing_can_take_over_the_reason_is_kept() {
    let mut breaker = opened("b", good(&["a"]));
    breaker.cannot_fall_back("the file is gone".to_owned(), at(0));
    let Some(Open { course: Course::Paused { because, .. }, .. }) = &breaker.record().open else { panic!() };
    assert_eq!(because, "the file is gone");
}
