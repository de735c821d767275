//! Builds the test guests once, and sets the scene for calling them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, LazyLock};

use postroom_mail::{Digest, LogLine, Name, Octets, Provenance, Timestamp, Uid};
use postroom_sandbox::{
    Component, Grants, InvokeError, KvRead, Limits, LoadError, Message, Mime, NoKv, Outcome, Parser, Plugin,
    Sandbox, SandboxConfig, SinkKind, StepConfig,
};

/// Builds all guests in a target directory of their own. Settings of the outer build must not leak in.
static BUILT: LazyLock<PathBuf> = LazyLock::new(|| {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let target = root.join("target/guests");
    let status = Command::new(env!("CARGO"))
        .args(["build", "--release", "--locked", "--target", "wasm32-wasip2"])
        .current_dir(root.join("tests/guests"))
        .env("CARGO_TARGET_DIR", &target)
        .env("CARGO_BUILD_BUILD_DIR", &target)
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("RUSTC_WRAPPER")
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .env_remove("CARGO_BUILD_TARGET")
        .status()
        .expect("cargo runs");
    assert!(
        status.success(),
        "the guests do not build; is the target there? rustup target add wasm32-wasip2"
    );
    target.join("wasm32-wasip2/release")
});

/// The octets of a guest.
pub(crate) fn octets(name: &str) -> Vec<u8> {
    std::fs::read(BUILT.join(format!("guest_{name}.wasm"))).expect("the guest was built")
}

static SANDBOX: LazyLock<Sandbox> =
    LazyLock::new(|| Sandbox::new(&SandboxConfig::default()).expect("a sandbox"));

/// One for all tests, as in the host.
pub(crate) fn sandbox() -> &'static Sandbox {
    &SANDBOX
}

pub(crate) fn component(guest: &str) -> Component {
    sandbox().load(&octets(guest)).expect("the guest loads")
}

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

/// Everything, to one sink of each kind.
pub(crate) fn all_grants() -> Grants {
    let sinks = [("vault", SinkKind::Object), ("home", SinkKind::Mailbox), ("relay", SinkKind::Transport)];
    let sinks: BTreeMap<_, _> = sinks.into_iter().map(|(sink, kind)| (name(sink), kind)).collect();
    Grants { sinks, discard: true, kv: true, ..Grants::default() }
}

/// A step with everything granted.
pub(crate) fn step(mode: &str) -> StepConfig {
    StepConfig {
        pipeline: name("shop"),
        step: name("echo"),
        grants: all_grants(),
        limits: Limits::default(),
        required: true,
        settings: format!(r#"{{"mode":"{mode}"}}"#),
    }
}

pub(crate) fn admit(guest: &str, step: StepConfig) -> Result<Plugin, LoadError> {
    component(guest).admit(step)
}

pub(crate) const RETRIEVED: Timestamp = Timestamp(1_790_000_000_123);

pub(crate) fn message(octets: &[u8], mime: Option<Arc<Mime>>) -> Arc<Message> {
    let provenance = Provenance {
        account: name("home"),
        uid: Uid(b"uid-1".to_vec()),
        ordinal: 0,
        digest: Digest::of(octets),
        size: octets.len() as u64,
        retrieved: RETRIEVED,
    };
    let octets: Arc<dyn Octets> = Arc::new(octets.to_vec());
    Arc::new(Message::new(provenance, octets, mime.map(|mime| mime as Arc<dyn Parser>)))
}

pub(crate) const PLAIN: &[u8] =
    b"From: a@shop.example\r\nTo: b@shop.example\r\nSubject: bill\r\n\r\nThe bill is in the post.\r\n";

pub(crate) fn no_kv() -> Arc<dyn KvRead> {
    Arc::new(NoKv)
}

/// Loads, admits and calls a guest with a plain message.
pub(crate) fn run(guest: &str, step: StepConfig) -> Result<Outcome, InvokeError> {
    admit(guest, step).expect("admitted").handle(&message(PLAIN, None), &[], &no_kv())
}

/// Messages of log lines.
pub(crate) fn texts(log: &[LogLine]) -> Vec<&str> {
    log.iter().map(|line| line.message.as_str()).collect()
}

/// The value of the line `what: value`.
pub(crate) fn said<'a>(log: &'a [LogLine], what: &str) -> &'a str {
    let prefix = format!("{what}: ");
    let found = log.iter().find_map(|line| line.message.strip_prefix(&prefix));
    found.unwrap_or_else(|| panic!("nothing was said about {what:?}: {:?}", texts(log)))
}
