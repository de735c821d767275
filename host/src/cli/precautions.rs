//! What the process denies itself before it does anything, and what it warns of in its surroundings. Must not refuse to
//! start: people run it as root in containers, and on whatever disk they have.

use std::path::Path;

use postroom_spool::Ground;
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
    if let Some(ground) = Ground::of(state) {
        tracing::warn!(state = %state.display(), "the state directory is on {}", ground.words());
    }
}
