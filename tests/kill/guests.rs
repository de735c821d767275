//! Guests of `tests/guests`, built, and a version of a plugin that is known to be good before the program ever ran.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::LazyLock;

use postroom_mail::{Digest, Timestamp};
use postroom_spool::{Spool as _, SqliteSpool};

use crate::world::World;

/// Fails on every message.
static TRAP: LazyLock<Vec<u8>> = LazyLock::new(|| built("guest-trap"));
/// Does nothing with an ordinary message.
static MOODY: LazyLock<Vec<u8>> = LazyLock::new(|| built("moody"));

fn built(package: &str) -> Vec<u8> {
    std::fs::read(postroom_tests::guest(package, Path::new(env!("CARGO_TARGET_TMPDIR")))).expect("the guest")
}

/// `mine.wasm` fails on every message, and the version of it before has proved itself in the step `main/mine`: twenty mails
/// would show that, which a world does not have, so it is written where the host keeps it.
pub(crate) fn a_bad_version_after_a_good_one(world: &World) {
    std::fs::write(world.path("mine.wasm"), &*TRAP).expect("the plugin");
    let good = Digest::of(&MOODY);
    let kept = world.path("state/plugins");
    std::fs::DirBuilder::new().mode(0o700).create(&kept).expect("a directory");
    std::fs::write(kept.join(format!("{good}.wasm")), &*MOODY).expect("the version before");
    let proved = serde_json::json!({ "digest": good, "plugin": "moody", "bundled": false, "grants": [] });
    let record = serde_json::json!({ "proved": [proved] }).to_string();
    let state = world.path("state");
    // A thread of its own: the test's runtime may not wait for another.
    let noted = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let spool = SqliteSpool::open(&state).expect("the state");
        runtime.block_on(spool.learn("plugin/main/mine", Some(record), Timestamp(0))).expect("a note");
    });
    noted.join().expect("the note");
}
