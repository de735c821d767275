//! What the tests of the sinks share.

use std::sync::Arc;

use postroom_mail::{
    Action, Address, Content, Digest, Effect, EffectId, Envelope, Key, Mailbox, MessageId, Name, OnConflict,
    Provenance, Timestamp, Uid,
};
use postroom_spool::Receipt;

use super::{DeliveryError, Job, Sending, Sink, SinkConfig};

/// When every attempt of a test is made.
pub(super) const NOW: Timestamp = Timestamp(1_795_000_060_000);

/// A store effect with this key over a raw message.
pub(super) fn effect(key: &str, raw: &[u8]) -> Effect {
    let action = Action::Store {
        key: Key::new(key).unwrap(),
        on_conflict: OnConflict::Refuse,
        content_type: None,
        meta: Vec::new(),
    };
    effect_of(action, raw)
}

pub(super) fn effect_of(action: Action, raw: &[u8]) -> Effect {
    let name = |text: &str| Name::new(text).unwrap();
    let digest = Digest::of(raw);
    let message = provenance(raw).message();
    Effect {
        id: Effect::derive_id(&message, &name("main"), &name("archive"), &name("vault"), &action, &digest),
        step: name("archive"),
        sink: name("vault"),
        action,
        content: Content::raw(raw.len() as u64),
        digest,
        size: raw.len() as u64,
        required: true,
    }
}

pub(super) fn numbered(mut effect: Effect) -> Effect {
    if let Action::Store { on_conflict, .. } = &mut effect.action {
        *on_conflict = OnConflict::Number;
    }
    effect
}

pub(super) fn file_into(mailbox: &str, flags: &str, raw: &[u8]) -> Effect {
    effect_of(Action::FileInto { mailbox: Mailbox::new(mailbox).unwrap(), flags: flags.to_owned() }, raw)
}

pub(super) fn send(from: Option<&str>, to: &[&str], raw: &[u8]) -> Effect {
    let address = |text: &str| Address::new(text).unwrap();
    let envelope = Envelope { from: from.map(address), to: to.iter().map(|to| address(to)).collect() };
    effect_of(Action::Send { envelope, add_headers: Vec::new() }, raw)
}

pub(super) fn provenance(raw: &[u8]) -> Provenance {
    Provenance {
        account: Name::new("home").unwrap(),
        uid: Uid(b"uid-1".to_vec()),
        ordinal: 0,
        digest: Digest::of(raw),
        size: raw.len() as u64,
        retrieved: Timestamp(1_795_000_000_123),
    }
}

pub(super) fn build(base: &std::path::Path, config: &str) -> Sink {
    try_build(base, config).unwrap()
}

pub(super) fn try_build(base: &std::path::Path, config: &str) -> Result<Sink, super::SinkError> {
    let config: SinkConfig = toml::from_str(config).unwrap();
    Sink::build(&Name::new("vault").unwrap(), &config, base)
}

pub(super) async fn deliver(
    sink: &Sink,
    effect: &Effect,
    raw: &[u8],
    attempt: u32,
) -> Result<Receipt, DeliveryError> {
    deliver_marking(sink, effect, raw, attempt, &|| Box::pin(async { Ok(()) })).await
}

/// The same, with what records that the last octets are about to leave.
pub(super) async fn deliver_marking(
    sink: &Sink,
    effect: &Effect,
    raw: &[u8],
    attempt: u32,
    sending: &Sending<'_>,
) -> Result<Receipt, DeliveryError> {
    let provenance = provenance(raw);
    // Its futures may live longer than the job.
    let sending = || -> futures::future::BoxFuture<'_, _> { sending() };
    let job = Job {
        effect,
        message: MessageId(Digest::of(raw)),
        provenance: &provenance,
        raw: Arc::new(raw.to_vec()),
        again: attempt > 1,
        now: NOW,
        sending: &sending,
    };
    sink.deliver(&job).await
}

/// Writes a secret so that only its owner can read it.
pub(super) fn secret(base: &std::path::Path, name: &str, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    let path = base.join(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// One word for the class of a failure, so that a table of them reads at a glance.
pub(super) fn class<T: std::fmt::Debug>(outcome: &Result<T, DeliveryError>) -> &'static str {
    match outcome {
        Ok(_) => "done",
        Err(DeliveryError::Temporary { .. }) => "temporary",
        Err(DeliveryError::Permanent { .. }) => "permanent",
        Err(DeliveryError::Configuration { .. }) => "configuration",
        Err(DeliveryError::InDoubt { .. }) => "in doubt",
    }
}

/// Whether the failure opens the breaker of the sink in the end.
pub(super) fn of_the_sink<T>(outcome: &Result<T, DeliveryError>) -> bool {
    outcome.as_ref().is_err_and(DeliveryError::is_of_the_sink)
}

/// Another effect of the same message: another content, hence another id.
pub(super) fn other_id(effect: &Effect) -> EffectId {
    EffectId(Digest::of_parts("test", &[&effect.id.0.0]))
}
