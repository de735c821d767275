//! Each hostile guest yields its own error, within its limits, and the next call of another plugin is fine.

use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{io, thread};

use postroom_mail::{Disposition, Octets};
use postroom_sandbox::{Allocation, Cause, InvokeError, Limits, Message, Outcome, Sandbox, SandboxConfig};

use crate::guests::{PLAIN, admit, message, no_kv, octets, run, sandbox, step, texts};

fn fails(guest: &str, limits: Limits) -> InvokeError {
    let mut config = step("");
    config.limits = limits;
    let error = run(guest, config).expect_err("the guest is hostile");
    well();
    error
}

/// Another plugin still works.
fn well() -> Outcome {
    let outcome = run("echo", step("blobs")).expect("a well-behaved guest works");
    assert!(!outcome.log.is_empty());
    outcome
}

#[test]
fn an_endless_loop_is_ended_by_its_cpu_time() {
    let limit = Duration::from_millis(200);
    let started = Instant::now();
    let error = fails("spin", Limits { cpu: limit, ..Limits::default() });
    assert_eq!(error.cause, Cause::CpuTime { limit });
    assert_eq!(error.to_string(), "used more than 200ms of CPU time");
    assert_eq!(error.disposition(), Disposition::Park);
    assert!(error.usage.cpu >= limit && error.usage.cpu < limit * 10, "{:?}", error.usage);
    assert!(started.elapsed() < Duration::from_secs(60));
}

#[test]
fn an_endless_loop_is_ended_by_its_wall_time_and_may_be_retried() {
    let limit = Duration::from_millis(50);
    let error = fails("spin", Limits { wall: limit, ..Limits::default() });
    assert_eq!(error.cause, Cause::WallTime { limit });
    assert_eq!(error.disposition(), Disposition::RETRY);
}

#[test]
fn taking_memory_without_end_says_how_much_was_allowed_and_asked_for() {
    let error = fails("hoard", Limits::default());
    let Cause::Memory { limit, asked } = error.cause else { panic!("{error}") };
    assert_eq!(limit, 64 << 20);
    assert!(asked > limit);
    assert!(error.to_string().starts_with("used more than 64 MiB of memory (asked for 6"), "{error}");
    assert!(error.usage.peak_memory > 60 << 20 && error.usage.peak_memory <= limit, "{:?}", error.usage);
}

#[test]
fn a_panic_shows_the_plugins_own_words() {
    let error = fails("trap", Limits::default());
    assert!(matches!(error.cause, Cause::Trap { .. }), "{:?}", error.cause);
    let text = error.to_string();
    assert!(text.contains("panicked") && text.contains("the flux is not calibrated"), "{text}");
    assert!(text.contains("src/lib.rs"), "{text}");
    assert_eq!(error.disposition(), Disposition::Park);
}

#[test]
fn ending_the_process_ends_only_the_call() {
    let error = fails("exit", Limits::default());
    assert_eq!(error.cause, Cause::Exit(1));
    assert_eq!(error.to_string(), "called exit(1)");
}

#[test]
fn a_flood_is_refused_bit_by_bit_and_stays_bounded() {
    let mut config = step("");
    config.limits = Limits { cpu: Duration::from_secs(20), made_octets: 64 << 20, ..Limits::default() };
    let limits = config.limits.clone();
    let outcome = run("flood", config).expect("refusals do not end the call");
    assert_eq!(outcome.effects.len(), limits.effects as usize);
    assert_eq!(outcome.labels.len(), limits.labels as usize);
    assert!(outcome.log.len() <= limits.log_lines as usize + 1, "{}", outcome.log.len());
    let octets: usize = outcome
        .log
        .iter()
        .map(|line| line.message.len() + line.fields.iter().map(|(n, v)| n.len() + v.len()).sum::<usize>())
        .sum();
    assert!(octets as u64 <= limits.log_octets + 100, "{octets}");
    assert!(
        texts(&outcome.log).last().is_some_and(|line| line.ends_with("log lines were dropped: too many"))
    );
    well();
}

#[test]
fn holding_too_many_handles_ends_the_call() {
    let error = run("echo", step("handles")).expect_err("too many");
    assert!(matches!(error.cause, Cause::Limit { .. } | Cause::Trap { .. }), "{:?}", error.cause);
    assert!(error.to_string().contains("handles"), "{error}");
    well();
}

#[test]
fn sleeping_takes_no_time() {
    let outcome = run("echo", step("sleep")).expect("wakes up");
    assert_eq!(texts(&outcome.log), ["slept: \"an hour\""]);
    assert!(outcome.usage.wall < Duration::from_secs(20));
}

#[test]
fn recursion_without_end_is_a_trap() {
    let error = run("echo", step("deep")).expect_err("the stack ends");
    let Cause::Trap { what, .. } = &error.cause else { panic!("{error}") };
    // Which of its two stacks ends first is the guest's compiler's choice.
    assert!(what.contains("stack") || what.contains("out of bounds"), "{what}");
    well();
}

#[test]
fn passing_too_much_to_the_host_at_once_ends_the_call() {
    let error = run("echo", step("transfer")).expect_err("too much");
    assert!(error.to_string().contains("too much data"), "{error}");
    assert_eq!(error.disposition(), Disposition::Park);
    well();
}

#[test]
fn no_instance_remembers_an_earlier_message() {
    for _ in 0..20 {
        assert_eq!(texts(&run("echo", step("memory")).expect("works").log), ["before: 0"]);
    }
}

/// Octets on a failing disk, or behind a mistake of the host.
struct Broken {
    panics: bool,
}

impl Octets for Broken {
    fn len(&self) -> u64 {
        1000
    }

    fn read_at(&self, _: u64, _: &mut [u8]) -> io::Result<usize> {
        if self.panics {
            panic!("a mistake");
        }
        Err(io::Error::other("the disk is away"))
    }
}

#[test]
fn what_fails_in_the_host_is_not_blamed_on_the_plugin() {
    let plugin = admit("echo", step("blobs")).unwrap();
    for (panics, text) in [(false, "the disk is away"), (true, "a mistake")] {
        let provenance = message(b"", None).provenance().clone();
        let message = Arc::new(Message::new(provenance, Arc::new(Broken { panics }), None));
        let error = plugin.handle(&message, &[], &no_kv()).unwrap_err();
        assert!(matches!(&error.cause, Cause::Host(found) if found.contains(text)), "{error}");
        assert_eq!(error.disposition(), Disposition::RETRY);
        well();
    }
}

#[test]
fn more_calls_than_the_pool_holds_are_told_to_come_back() {
    let sandbox = Sandbox::new(&SandboxConfig { cache_dir: None, concurrency: 1, fuel: false }).unwrap();
    if sandbox.allocation() == Allocation::OnDemand {
        return;
    }
    let mut config = step("");
    config.limits.wall = Duration::from_secs(2);
    let spin = sandbox.load(&octets("spin")).unwrap().admit(config).unwrap();
    let calls = || spin.handle(&message(PLAIN, None), &[], &no_kv()).unwrap_err();
    let errors: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(calls)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let busy: Vec<_> = errors.iter().filter(|error| matches!(error.cause, Cause::Busy(_))).collect();
    assert_eq!(busy.len(), 5, "one call, and two more for loading: {errors:?}");
    assert!(busy.iter().all(|error| error.disposition() == Disposition::RETRY));
    assert!(matches!(calls().cause, Cause::WallTime { .. }), "slots are given back");
}

/// Prints what a call costs: `cargo test --release -p postroom-sandbox -- --ignored --nocapture cost`.
#[test]
#[ignore = "prints figures, asserts nothing"]
fn cost_of_a_call() {
    println!("{:?}", sandbox().allocation());
    for mode in ["nothing", "memory", "blobs", "effects"] {
        let plugin = admit("echo", step(mode)).unwrap();
        let message = message(PLAIN, None);
        let started = Instant::now();
        for _ in 0..2000 {
            let _ = plugin.handle(&message, &[], &no_kv());
        }
        println!("{mode}: {:?} a call", started.elapsed() / 2000);
    }
}
