//! The rules of one breaker, by a clock of the test's own.

use std::collections::BTreeSet;

use super::*;

/// Seconds since the start.
fn at(seconds: u64) -> Timestamp {
    Timestamp(0).after(Duration::from_secs(seconds))
}

fn digest(tag: &str) -> Digest {
    Digest::of(tag.as_bytes())
}

fn version(tag: &str) -> Version {
    Version { digest: digest(tag), terms: Digest::of(b"terms") }
}

fn tolerance(failures: u32) -> BreakerConfig {
    BreakerConfig { failures, ..BreakerConfig::default() }
}

fn standing(grants: &[&str]) -> Standing {
    let grants: BTreeSet<String> = grants.iter().map(|grant| (*grant).to_owned()).collect();
    Standing { plugin: "mine".to_owned(), bundled: false, grants }
}

fn rules(tag: &str) -> Rules {
    Rules {
        tolerance: tolerance(20),
        skips: false,
        configured: version(tag),
        standing: standing(&["sink vault"]),
        accounts: Vec::new(),
    }
}

fn breaker(tag: &str, record: Record) -> Breaker {
    Breaker::new(rules(tag), digest(tag), record)
}

fn message(number: u64) -> MessageId {
    MessageId(Digest::of(&number.to_be_bytes()))
}

fn run(tag: &str) -> Run {
    Run { version: digest(tag), message: message(0), probe: false }
}

fn fail(breaker: &mut Breaker, tag: &str, now: Timestamp) -> (Fate, Turn) {
    breaker.failed(run(tag), Fault::Broke, "trapped", now, |interval| interval)
}

fn refuse(breaker: &mut Breaker, tag: &str, now: Timestamp) -> (Fate, Turn) {
    breaker.failed(run(tag), Fault::Refused, "no mail of mine", now, |interval| interval)
}

fn handle(breaker: &mut Breaker, tag: &str, now: Timestamp) -> Turn {
    breaker.handled(run(tag), now)
}

/// The gate has said that it is a probe.
fn probe(breaker: &mut Breaker, tag: &str, message: MessageId, now: Timestamp) -> (Fate, Turn) {
    assert_eq!(breaker.gate(message, now), Gate::Probe);
    breaker.probe_begins();
    let run = Run { version: digest(tag), message, probe: true };
    let told = breaker.failed(run, Fault::Broke, "trapped", now, |interval| interval);
    breaker.probe_ended();
    told
}

fn good(tags: &[&str]) -> Record {
    let proved = |tag: &&str| Proved { digest: digest(tag), standing: standing(&["sink vault"]) };
    Record { proved: tags.iter().map(proved).collect(), ..Record::default() }
}

fn opened(tag: &str, record: Record) -> Breaker {
    let mut breaker = breaker(tag, record);
    open(&mut breaker, tag);
    breaker
}

fn open(breaker: &mut Breaker, tag: &str) {
    for _ in 0..19 {
        assert_eq!(fail(breaker, tag, at(0)), (Fate::Own, Turn::None));
    }
    assert_eq!(fail(breaker, tag, at(0)), (Fate::Own, Turn::Opened));
}

#[test]
fn twenty_failures_within_five_minutes_open_it_and_slower_ones_never_do() {
    let mut slow = breaker("v", Record::default());
    for time in 0..1000 {
        assert_eq!(fail(&mut slow, "v", at(time * 16)), (Fate::Own, Turn::None), "failure {time}");
    }
    assert!(slow.recent.len() <= 20, "what is counted is bounded");
    let mut fast = breaker("v", Record::default());
    let opens = (0..30).find(|time| fail(&mut fast, "v", at(time * 15)).1 == Turn::Opened);
    assert_eq!(opens, Some(19));
}

#[test]
fn bad_mail_among_as_much_good_mail_does_not_open_it_however_much_it_is() {
    let mut breaker = breaker("v", Record::default());
    for time in 0..500 {
        assert_eq!(fail(&mut breaker, "v", at(time / 10)), (Fate::Own, Turn::None), "failure {time}");
        handle(&mut breaker, "v", at(time / 10));
        handle(&mut breaker, "v", at(time / 10));
    }
    assert!(breaker.recent.len() <= 40, "what is counted is bounded");
    let opens = (0..30).find(|_| fail(&mut breaker, "v", at(60)).1 == Turn::Opened);
    assert!(opens.is_some_and(|more| more < 20), "one that went bad is found out all the same: {opens:?}");
}

#[test]
fn a_version_that_handled_mail_is_believed_when_it_says_that_a_message_is_bad() {
    let mut breaker = breaker("v", Record::default());
    handle(&mut breaker, "v", at(0));
    for _ in 0..100 {
        assert_eq!(refuse(&mut breaker, "v", at(1)), (Fate::Own, Turn::None));
    }
    assert!(breaker.open().is_none());
    let mut proved = self::breaker("v", good(&["v"]));
    for _ in 0..100 {
        assert_eq!(refuse(&mut proved, "v", at(1)), (Fate::Own, Turn::None), "also after a restart");
    }
}

#[test]
fn a_version_that_refuses_all_mail_has_failed_too_often() {
    let mut breaker = breaker("v", Record::default());
    let opens = (0..30).find(|_| refuse(&mut breaker, "v", at(1)).1 == Turn::Opened);
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
        match breaker.gate(message(now), at(now)) {
            Gate::Hold(until) => assert!(until > at(now)),
            Gate::Probe => {
                breaker.probe_begins();
                assert!(matches!(breaker.gate(message(1), at(now)), Gate::Hold(_)), "one at a time");
                breaker.probe_ended();
                let (fate, turn) = probe(&mut breaker, "v", message(now), at(now));
                assert!(matches!(fate, Fate::Back(_)) && turn == Turn::ProbeFailed, "it is not set aside");
                probes.push(now);
            }
            Gate::Open => panic!("it is paused"),
        }
    }
    assert_eq!(probes[..4], [60, 180, 420, 900]);
    let waits: Vec<_> = probes.windows(2).map(|two| two[1] - two[0]).collect();
    assert!(waits.iter().skip(6).all(|wait| *wait == 3600), "{waits:?}");
}

/// What the spool does: the lowest number that is due is leased first; what is held is due when the gate said.
#[test]
fn a_few_bad_messages_do_not_keep_it_paused_for_the_good_one_behind_them() {
    let mut breaker = opened("v", Record::default());
    let mut due = [at(0); 5];
    let mut probes = Vec::new();
    for now in (0..7200).map(at) {
        for number in 0..5 {
            if due[number as usize] > now {
                continue;
            }
            match breaker.gate(message(number), now) {
                Gate::Hold(until) => due[number as usize] = until,
                Gate::Probe if number == 4 => return assert_eq!(probes, [0, 1, 2, 3], "each bad one once"),
                Gate::Probe => {
                    let (fate, _) = probe(&mut breaker, "v", message(number), now);
                    let Fate::Back(until) = fate else { panic!("{fate:?}") };
                    due[number as usize] = until;
                    probes.push(number);
                }
                Gate::Open => panic!("it is paused"),
            }
        }
    }
    panic!("the good one was never tried: {probes:?}");
}

#[test]
fn a_message_that_failed_as_a_probe_is_not_tried_first_when_somebody_makes_all_mail_due() {
    let mut breaker = opened("v", Record::default());
    probe(&mut breaker, "v", message(1), at(60));
    breaker.hasten(at(61));
    assert!(matches!(breaker.gate(message(1), at(61)), Gate::Hold(until) if until > at(3600)));
    assert_eq!(breaker.gate(message(2), at(61)), Gate::Probe);
    let record: Record = serde_json::from_str(&serde_json::to_string(&breaker.record()).unwrap()).unwrap();
    let mut again = self::breaker("v", record);
    again.hasten(at(62));
    assert!(matches!(again.gate(message(1), at(62)), Gate::Hold(_)), "nor after a restart");
}

#[test]
fn a_message_that_failed_as_a_probe_for_days_meets_its_own_fate() {
    let mut breaker = opened("v", Record::default());
    let mut fates = Vec::new();
    let mut now = at(60);
    while fates.last() != Some(&Fate::Own) {
        let (fate, _) = probe(&mut breaker, "v", message(1), now);
        if let Fate::Back(until) = fate {
            now = until;
        }
        fates.push(fate);
    }
    assert_eq!(fates.len(), PROBES as usize);
    assert!(now > at(2 * 86_400), "not within a weekend: {now:?}");
    assert!(breaker.record().tried.is_empty());
}

#[test]
fn what_is_remembered_of_failed_probes_is_bounded_and_fits_its_note() {
    let mut breaker =
        Breaker::new(Rules { tolerance: tolerance(1000), ..rules("v") }, digest("v"), Record::default());
    for number in 0..3000 {
        fail(&mut breaker, "v", at(number / 10));
        handle(&mut breaker, "v", at(number / 10));
    }
    for number in 0..200 {
        breaker.hasten(at(1000 + number));
        if breaker.is_paused() {
            probe(&mut breaker, "v", message(number), at(1000 + number));
        }
    }
    assert!(breaker.is_paused() && breaker.record().tried.len() == TRIED);
    let text = serde_json::to_string(&breaker.record()).unwrap();
    assert!(text.len() < postroom_spool::NOTE, "{}", text.len());
}

#[test]
fn a_run_that_began_before_it_opened_is_no_probe_whatever_it_meets() {
    let mut breaker = opened("v", Record::default());
    let before = breaker.record();
    breaker.probe_begins();
    assert_eq!(fail(&mut breaker, "v", at(61)), (Fate::Back(at(66)), Turn::None));
    assert_eq!(handle(&mut breaker, "v", at(61)), Turn::None);
    breaker.probe_ended();
    assert_eq!(breaker.record(), before, "its interval is what it was");
}

#[test]
fn a_probe_that_is_handled_closes_it() {
    let mut breaker = opened("v", Record::default());
    assert_eq!(breaker.gate(message(1), at(60)), Gate::Probe);
    breaker.probe_begins();
    assert_eq!(breaker.handled(Run { probe: true, ..run("v") }, at(60)), Turn::Closed);
    breaker.probe_ended();
    assert_eq!((breaker.gate(message(1), at(60)), breaker.open()), (Gate::Open, None));
}

#[test]
fn a_probe_that_learns_nothing_leaves_the_next_message_to_be_one() {
    let mut breaker = opened("v", Record::default());
    breaker.probe_begins();
    breaker.probe_ended();
    assert_eq!(breaker.gate(message(1), at(60)), Gate::Probe);
}

#[test]
fn a_version_is_good_when_it_handled_twenty_and_two_of_them_are_remembered() {
    let mut breaker = breaker("c", good(&["b", "a"]));
    for _ in 1..PROVEN {
        assert_eq!(handle(&mut breaker, "c", at(0)), Turn::None);
    }
    assert_eq!(handle(&mut breaker, "c", at(0)), Turn::Noted);
    assert_eq!(breaker.record().proved, good(&["c", "b"]).proved);
    assert_eq!(handle(&mut breaker, "c", at(0)), Turn::None, "once");
}

#[test]
fn processes_that_handle_a_few_messages_each_prove_a_version_and_find_a_bad_one() {
    let again = |breaker: &Breaker| {
        let text = serde_json::to_string(&breaker.record()).unwrap();
        self::breaker("v", serde_json::from_str(&text).unwrap())
    };
    let mut good = breaker("v", Record::default());
    for _ in 0..4 {
        for _ in 0..5 {
            handle(&mut good, "v", at(0));
        }
        assert!(good.take_unrecorded());
        good = again(&good);
    }
    assert_eq!(good.record().proved.len(), 1);
    handle(&mut good, "v", at(1));
    assert!(!good.take_unrecorded(), "then nothing is written for a message");
    let mut bad = breaker("v", Record::default());
    let opens = (0..30).find(|time| {
        let (_, turn) = fail(&mut bad, "v", at(*time));
        assert!(bad.take_unrecorded());
        bad = again(&bad);
        turn == Turn::Opened
    });
    assert_eq!(opens, Some(19));
}

#[test]
fn it_falls_back_to_the_last_good_version_that_is_another() {
    let mut breaker = opened("c", good(&["c", "b"]));
    assert_eq!(breaker.candidates(), [digest("b")]);
    breaker.fell_back(digest("b"));
    assert_eq!(breaker.gate(message(1), at(1)), Gate::Open);
    assert_eq!(breaker.fall_back(), Some(digest("b")));
    assert_eq!(fail(&mut breaker, "c", at(1)), (Fate::Swapped(at(6)), Turn::None), "a late failure");
    assert!(breaker.wanted().any(|wanted| wanted == digest("b")));
}

#[test]
fn it_never_falls_back_to_another_plugin_nor_to_one_that_was_granted_or_trusted_less() {
    let candidates = |today: Standing| {
        let mut breaker = Breaker::new(Rules { standing: today, ..rules("c") }, digest("c"), good(&["b"]));
        open(&mut breaker, "c");
        let because = match &breaker.open().unwrap().course {
            Course::Paused { because, .. } => because.clone(),
            course => panic!("{course:?}"),
        };
        assert_eq!(because == UNFIT, breaker.candidates().is_empty(), "{because}");
        breaker.candidates().len()
    };
    let same = || standing(&["sink vault"]);
    assert!(same().covers(&same()));
    assert_eq!(candidates(standing(&["sink vault", "sink relay"])), 0);
    assert_eq!(candidates(Standing { plugin: "other".to_owned(), ..same() }), 0);
    assert_eq!(candidates(Standing { bundled: true, ..same() }), 0);
    let fits = |proved: Standing, today: Standing| proved.covers(&today);
    assert!(fits(same(), standing(&[])), "fewer grants than it had do no harm");
    assert!(fits(Standing { bundled: true, ..same() }, same()), "nor does one that is trusted more");
}

#[test]
fn good_versions_that_an_earlier_program_recorded_are_not_used_and_what_is_open_stays_open() {
    let open = serde_json::to_value(opened("c", Record::default()).open()).unwrap();
    let old = serde_json::json!({ "good": [digest("b")], "open": open });
    let record: Record = serde_json::from_value(old).unwrap();
    assert!(record.proved.is_empty());
    let mut fell = record.clone();
    fell.open.as_mut().unwrap().course = Course::FallsBack { to: digest("b") };
    let (breaker, fell) = (breaker("c", record), self::breaker("c", fell));
    assert!(breaker.is_paused() && breaker.candidates().is_empty());
    assert!(fell.is_paused() && fell.fall_back().is_none(), "{fell:?}");
}

#[test]
fn when_what_it_fell_back_to_fails_as_well_it_pauses() {
    let mut breaker = opened("b", good(&["a"]));
    breaker.fell_back(digest("a"));
    open(&mut breaker, "a");
    assert!(breaker.candidates().is_empty());
    assert!(matches!(breaker.gate(message(1), at(3)), Gate::Hold(_)));
    breaker.cannot_fall_back(None, digest("b"), at(3));
    assert_eq!(breaker.running(), digest("b"), "it is the configured one that is tried");
}

#[test]
fn losing_the_earlier_version_leaves_the_configured_one_paused_and_in_no_circle() {
    let mut breaker = opened("c", good(&["b"]));
    breaker.fell_back(digest("b"));
    breaker.cannot_fall_back(Some("it is gone".to_owned()), digest("c"), at(10));
    let Gate::Hold(next) = breaker.gate(message(1), at(10)) else { panic!("{breaker:?}") };
    assert!(next > at(10));
    let (fate, turn) = probe(&mut breaker, "c", message(1), next);
    assert!(matches!(fate, Fate::Back(until) if until > next.after(SOON)), "{fate:?}");
    assert_eq!(turn, Turn::ProbeFailed);
    let later = next.after(LONGEST);
    assert_eq!(breaker.gate(message(2), later), Gate::Probe);
    breaker.probe_begins();
    assert_eq!(breaker.handled(Run { message: message(2), probe: true, ..run("c") }, later), Turn::Closed);
}

#[test]
fn what_a_version_that_does_not_run_failed_on_waits_a_little() {
    let mut breaker = breaker("c", Record::default());
    assert_eq!(fail(&mut breaker, "another", at(1)), (Fate::Swapped(at(1).after(SOON)), Turn::None));
}

#[test]
fn a_new_file_or_changed_settings_start_anew_and_the_same_does_not() {
    let mut breaker = opened("c", good(&["b"]));
    breaker.fell_back(digest("b"));
    handle(&mut breaker, "b", at(1));
    assert_eq!(breaker.configure(rules("c"), digest("b")), Turn::None);
    assert!(breaker.open().is_some() && breaker.handled == 1, "what is counted stays");
    let changed = Version { terms: Digest::of(b"other"), ..version("c") };
    let changed = Rules { configured: changed, ..rules("c") };
    assert_eq!(breaker.configure(changed, digest("c")), Turn::Closed);
    assert_eq!(breaker.record(), good(&["b"]), "what is good stays");
    assert_eq!(
        fail(&mut breaker, "c", at(9)),
        (Fate::Own, Turn::None),
        "and what runs is the configured one"
    );
}

#[test]
fn an_open_breaker_survives_a_restart_and_is_void_for_another_version() {
    let mut before = opened("c", good(&["b"]));
    before.fell_back(digest("b"));
    let text = serde_json::to_string(&before.record()).unwrap();
    let record: Record = serde_json::from_str(&text).unwrap();
    assert_eq!(record, before.record());
    let same = Breaker::new(rules("c"), digest("b"), record.clone());
    assert_eq!(same.fall_back(), Some(digest("b")));
    let other = Breaker::new(rules("d"), digest("d"), record);
    assert_eq!(other.record(), good(&["b"]));
}

#[test]
fn the_operator_closes_one_and_the_configured_version_runs_as_if_it_had_never_failed() {
    let mut breaker = opened("c", good(&["b"]));
    breaker.fell_back(digest("b"));
    breaker.close();
    assert_eq!((breaker.running(), breaker.open()), (digest("c"), None));
    assert_eq!(breaker.gate(message(1), at(1)), Gate::Open);
    open(&mut breaker, "c");
}

#[test]
fn a_step_that_may_be_skipped_is_never_paused() {
    let rules = Rules { tolerance: tolerance(2), skips: true, ..rules("v") };
    let mut breaker = Breaker::new(rules, digest("v"), Record::default());
    fail(&mut breaker, "v", at(0));
    assert_eq!(fail(&mut breaker, "v", at(0)), (Fate::Own, Turn::Opened));
    for _ in 0..50 {
        assert_eq!(fail(&mut breaker, "v", at(1)), (Fate::Own, Turn::None));
    }
    assert_eq!(breaker.gate(message(1), at(1)), Gate::Open);
    for _ in 1..PROVEN {
        assert_eq!(handle(&mut breaker, "v", at(1)), Turn::None);
    }
    assert_eq!(handle(&mut breaker, "v", at(1)), Turn::Closed);
}

#[test]
fn a_step_that_may_not_fall_back_pauses() {
    let strict = BreakerConfig { failures: 1, fall_back: false, ..BreakerConfig::default() };
    let rules = Rules { tolerance: strict, ..rules("b") };
    let mut breaker = Breaker::new(rules, digest("b"), good(&["a"]));
    assert_eq!(fail(&mut breaker, "b", at(0)), (Fate::Own, Turn::Opened));
    assert!(breaker.candidates().is_empty());
    assert!(matches!(breaker.gate(message(1), at(1)), Gate::Hold(_)));
}

#[test]
fn a_step_that_is_pinned_now_goes_on_with_no_other_version_than_its_own() {
    let mut before = opened("v", good(&["old"]));
    before.fell_back(digest("old"));
    let strict = || BreakerConfig { fall_back: false, ..tolerance(20) };
    let pinned = |skips| {
        let rules = Rules { tolerance: strict(), skips, ..rules("v") };
        Breaker::new(rules, digest("v"), before.record())
    };
    let waits = pinned(false);
    assert!(waits.is_paused() && waits.fall_back().is_none() && waits.candidates().is_empty());
    assert_eq!(waits.gate(message(1), at(60)), Gate::Probe);
    let skipped = pinned(true);
    assert!(!skipped.is_paused() && skipped.fall_back().is_none());
}

#[test]
fn the_operator_can_have_it_probed_at_once() {
    let mut breaker = opened("v", Record::default());
    assert!(matches!(breaker.gate(message(1), at(1)), Gate::Hold(_)));
    breaker.hasten(at(1));
    assert_eq!(breaker.gate(message(1), at(1)), Gate::Probe);
}

#[test]
fn when_nothing_can_take_over_the_reason_is_kept() {
    let mut breaker = opened("b", good(&["a"]));
    breaker.cannot_fall_back(Some("the file is gone".to_owned()), digest("b"), at(0));
    let Some(Open { course: Course::Paused { because, .. }, .. }) = breaker.open() else { panic!() };
    assert_eq!(because, "the file is gone");
}
