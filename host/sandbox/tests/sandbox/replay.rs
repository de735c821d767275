//! The same message, plugin and step give the same outcome, octet for octet: in another call, another engine, another process.

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::Arc;

use postroom_mail::Digest;
use postroom_sandbox::{Limits, Outcome, Plugin, Sandbox, SandboxConfig};

use crate::guests::{PLAIN, message, no_kv, octets, said, sandbox, step, texts};

/// Guest and mode: what follows from clocks, randomness, hashing, addresses, and the order of effects.
const PLAYS: [(&str, &str); 8] = [
    ("echo", "survey"),
    ("echo", "effects"),
    ("echo", "state"),
    ("echo", "ambience"),
    ("echo", "blobs"),
    ("hostile", "ambience"),
    ("hostile", "keys"),
    ("hostile", "edges"),
];

fn plugin(sandbox: &Sandbox, guest: &str, mode: &str) -> Plugin {
    let component = sandbox.load(&octets(guest)).unwrap();
    let limits = Limits { cpu: std::time::Duration::from_secs(20), ..Limits::default() };
    component.admit(postroom_sandbox::StepConfig { limits, ..step(mode) }).unwrap()
}

/// Everything but what it used.
fn script(outcome: &Outcome) -> String {
    let Outcome { effects, labels, verdict, stop, kv, kv_seen: _, log, usage: _ } = outcome;
    format!("{effects:?}\n{labels:?}\n{verdict:?}\n{stop}\n{kv:?}\n{log:?}")
}

fn mails() -> [Vec<u8>; 2] {
    [PLAIN.to_vec(), [PLAIN, b"another one\r\n"].concat()]
}

/// One line for each play and mail.
fn scripts(sandbox: &Sandbox) -> Vec<String> {
    let mut lines = Vec::new();
    for (guest, mode) in PLAYS {
        let plugin = plugin(sandbox, guest, mode);
        for mail in mails() {
            let outcome = plugin.handle(&message(&mail, None), &[], &no_kv());
            let outcome = outcome.unwrap_or_else(|error| panic!("{guest} {mode}: {error}"));
            lines.push(format!("replay: {guest} {mode} {}", Digest::of(script(&outcome).as_bytes())));
        }
    }
    lines
}

#[test]
fn a_replay_is_the_same_in_every_call_engine_and_process() {
    let here = scripts(sandbox());
    assert_eq!(here, scripts(sandbox()), "another call");
    let other = Sandbox::new(&SandboxConfig { cache_dir: None, concurrency: 3, fuel: false }).unwrap();
    assert_eq!(here, scripts(&other), "another engine");
    let mut child = Command::new(std::env::current_exe().expect("this test"));
    child.args(["replay::the_replay_itself", "--exact", "--ignored", "--nocapture"]);
    child.env("TZ", "Asia/Tokyo").env("LANG", "de_DE.UTF-8").env("RANDOM_SEED", "7");
    let output = child.output().expect("the child runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    let there: Vec<_> = said.lines().filter(|line| line.starts_with("replay: ")).collect();
    assert_eq!(here, there, "another process");
    // What is in the state does not depend on the message.
    let depends: Vec<_> = here.iter().filter(|line| !line.contains(" state ")).collect();
    let different: BTreeSet<_> = depends.iter().collect();
    assert_eq!(different.len(), depends.len(), "the scripts tell modes and messages apart");
}

#[test]
#[ignore = "a child of the test above"]
fn the_replay_itself() {
    // After a newline of its own: the test harness has begun a line.
    println!();
    scripts(sandbox()).iter().for_each(|line| println!("{line}"));
}

#[test]
fn the_clock_stands_and_randomness_follows_from_message_and_step() {
    let first = plugin(sandbox(), "hostile", "ambience");
    let ambience = |plugin: &Plugin, mail: &[u8]| {
        let outcome = plugin.handle(&message(mail, None), &[], &no_kv());
        let log = outcome.unwrap_or_else(|error| panic!("{error}: {:?}", texts(&error.log))).log;
        ["wall", "elapsed", "now", "random", "order", "nan"].map(|what| said(&log, what).to_owned())
    };
    let [one, two] = mails().map(|mail| ambience(&first, &mail));
    assert_eq!(one[0], "true", "the wall clock stands");
    assert_eq!(one[1], "(0, true)", "no time passes");
    assert_eq!(one[2], format!("Some({})", u128::from(1_790_000_000_123_u64) * 1_000_000));
    assert_ne!(one[3], two[3], "randomness is another for another message");
    assert_ne!(one[4], two[4], "so is the order of a map");
    assert_eq!(one[5], two[5]);
    let mut elsewhere = step("ambience");
    elsewhere.step = crate::guests::name("elsewhere");
    let elsewhere = sandbox().load(&octets("hostile")).unwrap().admit(elsewhere).unwrap();
    assert_ne!(ambience(&elsewhere, PLAIN)[3], one[3], "and for another step");
}

/// Which NaN an operation gives is the processor's choice, unless the compiler makes it one for all.
#[test]
fn what_is_no_number_is_the_same_on_every_processor() {
    let plugin = plugin(sandbox(), "hostile", "ambience");
    let log = plugin.handle(&message(PLAIN, None), &[], &no_kv()).unwrap().log;
    let canonical = 0x7ff8_0000_0000_0000_u64;
    assert_eq!(said(&log, "nan"), format!("({canonical}, {canonical}, true)"));
}

#[test]
fn many_threads_at_once_give_the_same_as_one() {
    let plugin = Arc::new(plugin(sandbox(), "hostile", "ambience"));
    let play = || script(&plugin.handle(&message(PLAIN, None), &[], &no_kv()).unwrap());
    let alone = play();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| (0..10).all(|_| play() == alone))).collect();
        assert!(threads.into_iter().all(|thread| thread.join().unwrap()));
    });
}
