//! What the process denies itself before it does anything, and what it warns of in its surroundings. Must not refuse to
//! start: people run it as root in containers, and on whatever disk they have.

use std::path::Path;

use rustix::fs::Mode;
use rustix::process::{DumpableBehavior, Resource, Rlimit};

/// Files are private unless a sink is told otherwise, and no memory of this process, with passwords and mail in it, is ever
/// written to a disk by a crash or read by another process of the same user.
pub(super) fn take() {
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    // Where a sandbox forbids these, the process is inside that sandbox.
    let _ = rustix::process::setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    let _ = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
}

/// Warns of root's rights, unless they are meant.
pub(super) fn warn_of_root(meant: bool) {
    if !meant && rustix::process::geteuid().is_root() {
        tracing::warn!(
            "running as root, which nothing here needs: run it as a user of its own, or say --as-root if this is meant"
        );
    }
}

/// Warns of a state directory on a file system that does not keep what is synced, or not for long.
pub(super) fn warn_of_ground(state: &Path) {
    let Ok(found) = rustix::fs::statfs(state) else { return };
    if let Some(why) = unsound(found.f_type as u64 & 0xffff_ffff) {
        tracing::warn!(state = %state.display(), "the state directory is on {why}");
    }
}

/// By the magic numbers of statfs(2).
fn unsound(magic: u64) -> Option<&'static str> {
    match magic {
        0x0102_1994 | 0x8584_58f6 => Some(
            "a memory file system: a restart of the machine loses mail that is on its way and what was seen",
        ),
        0x794c_7630 => Some(
            "an overlay, as in a container: it is deleted together with the container; mount a volume there",
        ),
        0x6969 | 0xff53_4d42 | 0xfe53_4d42 | 0x517b | 0x0102_1997 | 0x5346_414f | 0x00c3_6400 => Some(
            "a network file system: locks and syncs may not hold there, and a lost connection stops everything; use a local disk",
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_directory_in_memory_or_on_the_network_is_warned_of_and_a_local_disk_is_not() {
        for (magic, word) in [(0x0102_1994, "memory"), (0x6969, "network"), (0x794c_7630, "container")] {
            assert!(unsound(magic).unwrap().contains(word), "{magic:x}");
        }
        for local in [0xef53, 0x5846_5342, 0x9123_683e, 0x2fc1_2fc1] {
            assert_eq!(unsound(local), None, "{local:x}");
        }
    }
}
