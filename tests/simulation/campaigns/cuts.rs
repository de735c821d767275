//! The connection breaks: at each octet of an answer, before each command, and between `QUIT` and its answer.

use postroom_simulation::campaign::{Failures, chosen, full, progress, run, tell};
use postroom_simulation::maildrop::Cut;

/// Mail is deleted in the session that retrieved it, and in a later one.
const SEEDS: [u64; 2] = [1, 2];

#[test]
fn a_session_cut_anywhere_costs_nothing() {
    let mut failures = Failures::default();
    let (mut points, mut cases) = (0, 0);
    for seed in SEEDS {
        let whole = run(seed, Cut::Never, None).unwrap();
        let (octets, commands) = (whole.maildrop.octets, whole.maildrop.commands);
        points += octets + commands;
        let octets = chosen(octets, 12, seed).into_iter().map(Cut::Octets);
        let commands = chosen(commands, 12, seed).into_iter().map(Cut::Command);
        for cut in octets.chain(commands) {
            failures.take(run(seed, cut, None).map(drop), || format!("seed {seed}, {cut:?}"));
            cases += 1;
            progress(cases, "cuts");
        }
    }
    tell(&format!("session cuts: {cases} of {points}"));
    failures.none();
}

/// The last octets of a message are CR LF . CR LF, and only the whole of them is its end.
#[test]
fn a_message_cut_inside_its_terminator_is_not_accepted() {
    let mut failures = Failures::default();
    let ends = message_ends();
    assert_eq!(ends.len(), postroom_simulation::mails::COUNT);
    for end in ends {
        for missing in 0..=5 {
            let cut = Cut::Octets(end - missing);
            failures.take(run(SEEDS[0], cut, None).map(drop), || format!("{missing} missing, {cut:?}"));
        }
    }
    failures.none();
}

/// Octets of all answers up to the end of each message, in the first session.
fn message_ends() -> Vec<usize> {
    let mut maildrop = postroom_simulation::maildrop::Maildrop::new(Cut::Never);
    maildrop.connect();
    for line in ["USER keeper\r\n", "PASS secret\r\n", "STAT\r\n", "LIST\r\n", "UIDL\r\n"] {
        maildrop.command(line.as_bytes());
    }
    let ends = (1..=maildrop.mails().len()).map(|number| {
        maildrop.command(format!("RETR {number}\r\n").as_bytes());
        maildrop.octets
    });
    ends.collect()
}

#[test]
fn a_lost_answer_to_quit_costs_nothing_whether_the_server_deleted_or_not() {
    let mut failures = Failures::default();
    for seed in 0..if full() { 200 } else { 5 } {
        for cut in [Cut::QuitDone, Cut::QuitUndone] {
            failures.take(run(seed, cut, None).map(drop), || format!("seed {seed}, {cut:?}"));
        }
    }
    failures.none();
}
