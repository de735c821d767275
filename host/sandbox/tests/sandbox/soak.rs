//! Many messages through a plugin that traps half of the time: what the process holds stays what it was.
//!
//! 2,000 messages; 100,000 with `POSTROOM_FULL=1`. Measured in a process of its own, where no other test takes anything.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use postroom_sandbox::Cause;

use crate::guests::{PLAIN, admit, message, no_kv, octets, sandbox, step};

/// Messages after which everything that is kept is there: pools, caches of the allocator.
const WARM: usize = 300;
/// Octets of resident memory that may come later: the allocator's, whatever the number of messages.
const GROWTH: u64 = 8 << 20;
/// Mappings that may come later, of the allocator.
const MAPPINGS: u64 = 16;

/// What the process holds.
#[derive(Clone, Copy, Debug)]
struct Held {
    resident: u64,
    descriptors: u64,
    mappings: u64,
    threads: u64,
}

impl Held {
    fn now() -> Self {
        let statm = std::fs::read_to_string("/proc/self/statm").expect("statm");
        let pages: u64 =
            statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("resident pages");
        let entries = |path: &str| std::fs::read_dir(path).expect(path).count() as u64;
        let mappings = std::fs::read_to_string("/proc/self/maps").expect("maps").lines().count() as u64;
        Self {
            resident: pages * rustix::param::page_size() as u64,
            descriptors: entries("/proc/self/fd"),
            mappings,
            threads: entries("/proc/self/task"),
        }
    }
}

#[test]
fn a_plugin_that_traps_half_of_the_time_leaves_nothing_behind() {
    let mut child = Command::new(std::env::current_exe().expect("this test"));
    child.args(["soak::the_soak_itself", "--exact", "--ignored", "--nocapture"]);
    let output = child.output().expect("the child runs");
    let said = String::from_utf8_lossy(&output.stdout);
    said.lines().filter(|line| line.starts_with("soak:")).for_each(|line| println!("{line}"));
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("soak: after"), "{said}");
}

#[test]
#[ignore = "a child of the test above, which has the process for itself"]
fn the_soak_itself() {
    let full = std::env::var_os("POSTROOM_FULL").is_some_and(|value| value == "1");
    let count = if full { 100_000 } else { 2_000 };
    let mime = std::sync::Arc::new(sandbox().load_mime(&octets("tree")).unwrap());
    let plugin = admit("hostile", step("half")).unwrap();
    let mails = [PLAIN.to_vec(), [PLAIN, b"x"].concat()];
    let mut trapped = 0_u32;
    let mut run = |times: usize| {
        for at in 0..times {
            let message = message(&mails[at % 2], Some(std::sync::Arc::clone(&mime)));
            match plugin.handle(&message, &[], &no_kv()) {
                Ok(outcome) => assert_eq!(outcome.effects.len(), 3),
                Err(error) => {
                    assert!(matches!(error.cause, Cause::Trap { .. }), "{error}");
                    trapped += 1;
                }
            }
        }
    };
    run(WARM);
    let before = Held::now();
    let started = Instant::now();
    run(count);
    let after = Held::now();
    println!("soak: before {before:?}");
    println!("soak: after {count} messages, {trapped} trapped, {:.1?}: {after:?}", started.elapsed());
    assert_eq!(trapped as usize, (WARM + count) / 2, "half of them");
    assert!(after.resident <= before.resident + GROWTH, "resident memory grew: {before:?} {after:?}");
    assert_eq!(after.descriptors, before.descriptors, "descriptors");
    assert_eq!(after.threads, before.threads, "threads");
    assert!(after.mappings <= before.mappings + MAPPINGS, "mappings grew: {before:?} {after:?}");
    assert!(Path::new("/proc/self").exists());
}
