//! Messages, plans and effects to check with.

use std::sync::Arc;

use postroom_mail::{
    Action, Address, Content, Digest, Effect, Envelope, Key, KvWrite, Label, MessageId, Name, Octets as _,
    OnConflict, Plan, Provenance, StepTrace, Timestamp, Uid, Verdict,
};

use crate::{Admitted, Arrival, Body, Listed, MessageLease, MessageState, Receipt, Spool};

/// Plenty.
pub(crate) const LIMIT: u64 = 64 << 20;

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// An arrival of these octets in account `shop`.
pub(crate) fn arrival(spool: &dyn Spool, uid: &str, octets: &[u8]) -> Arrival {
    arrival_in(spool, "shop", uid, 0, octets, Timestamp(1000))
}

pub(crate) fn arrival_in(
    spool: &dyn Spool,
    account: &str,
    uid: &str,
    ordinal: u32,
    octets: &[u8],
    retrieved: Timestamp,
) -> Arrival {
    let mut incoming = spool.incoming(LIMIT).unwrap();
    for chunk in octets.chunks(70_001) {
        incoming.write(chunk).unwrap();
    }
    let body = incoming.seal().unwrap();
    let uid = Uid(uid.as_bytes().to_vec());
    let (account, digest, size) = (name(account), body.digest(), body.size());
    assert_eq!((digest, size), (Digest::of(octets), octets.len() as u64), "sealed as it arrived");
    let provenance = Provenance { account, uid, ordinal, digest, size, retrieved };
    Arrival { provenance, body, header: None, listed: None }
}

pub(crate) async fn admit(spool: &dyn Spool, uid: &str, octets: &[u8]) -> MessageId {
    let arrival = arrival(spool, uid, octets);
    let admitted = spool.admit(vec![arrival]).await.unwrap();
    let [Admitted { message, new: true }] = admitted[..] else { panic!("{admitted:?}") };
    message
}

/// Leases exactly the one message that waits.
pub(crate) async fn lease_one(spool: &dyn Spool, now: Timestamp) -> MessageLease {
    let mut leases = spool.lease_messages(10, now).await.unwrap();
    assert_eq!(leases.len(), 1, "exactly one message is due");
    leases.remove(0)
}

/// An effect of `lease` at `sink` for the whole message.
pub(crate) fn effect(lease: &MessageLease, sink: &str, key: &str, required: bool) -> Effect {
    let (step, sink, provenance) = (name("step"), name(sink), &lease.provenance);
    let action = Action::Store {
        key: Key::new(key).unwrap(),
        on_conflict: OnConflict::Refuse,
        content_type: None,
        meta: Vec::new(),
    };
    let id = Effect::derive_id(&lease.message, &name("home"), &step, &sink, &action, &provenance.digest);
    let content = Content::raw(provenance.size);
    Effect { id, step, sink, action, content, digest: provenance.digest, size: provenance.size, required }
}

/// A transport effect, for a second kind.
pub(crate) fn send(lease: &MessageLease, sink: &str) -> Effect {
    let envelope = Envelope { from: None, to: vec![Address::new("keeper@archive.example").unwrap()] };
    let action = Action::Send { envelope, add_headers: Vec::new() };
    let sample = effect(lease, sink, "x", false);
    let id =
        Effect::derive_id(&lease.message, &name("home"), &sample.step, &sample.sink, &action, &sample.digest);
    Effect { id, action, ..sample }
}

pub(crate) fn plan(effects: Vec<Effect>) -> Plan {
    Plan {
        effects,
        labels: vec![Label::new("kept").unwrap()],
        verdict: Verdict::Keep,
        kv: Vec::new(),
        kv_seen: Vec::new(),
        trace: vec![StepTrace {
            step: name("step"),
            plugin: "filter".into(),
            plugin_digest: Digest::of(b"component"),
            outcome: "did it".into(),
            labels: Vec::new(),
            log: Vec::new(),
            cpu_us: 7,
            peak_memory: 65536,
        }],
    }
}

pub(crate) fn discard() -> Plan {
    Plan { verdict: Verdict::Discard { step: name("step"), reason: "spam".into() }, ..plan(Vec::new()) }
}

pub(crate) fn quarantine(effects: Vec<Effect>) -> Plan {
    Plan { verdict: Verdict::Quarantine { step: name("step"), reason: "odd".into() }, ..plan(effects) }
}

pub(crate) fn write(scope: &str, key: &str, value: Option<&[u8]>) -> KvWrite {
    KvWrite { scope: scope.into(), key: key.into(), value: value.map(<[u8]>::to_vec) }
}

pub(crate) fn receipt() -> Receipt {
    Receipt { location: "there".into(), proof: "sha256".into(), already: false, stored: None }
}

pub(crate) fn listed(uid: &str, size: u64) -> Listed {
    Listed { uid: Uid(uid.as_bytes().to_vec()), ordinal: 0, size: Some(size) }
}

pub(crate) async fn state(spool: &dyn Spool, message: MessageId) -> MessageState {
    spool.history(message).await.unwrap().expect("it is known").state
}

/// All octets of a body, read in pieces of odd sizes.
pub(crate) fn octets(body: &Body) -> Vec<u8> {
    let mut all = Vec::new();
    let mut buffer = vec![0; 99_991];
    loop {
        match body.read_at(all.len() as u64, &mut buffer).unwrap() {
            0 => return all,
            count => all.extend_from_slice(&buffer[..count]),
        }
    }
}

/// Octets that look like nothing, the same each time.
pub(crate) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut random = Random(seed);
    (0..len.div_ceil(8)).flat_map(|_| random.next().to_le_bytes()).take(len).collect()
}

/// SplitMix64.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    #[cfg(test)]
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

/// A spool that was just made.
pub(crate) type Fresh = Arc<dyn Spool>;
