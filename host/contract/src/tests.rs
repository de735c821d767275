//! Limits of a call: what is refused, and that nothing was read before.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use postroom_mail::{Digest, KvWrite, Name, Octets, Provenance, Timestamp, Uid};

use crate::blob::{Blob, SEGMENTS, Writer};
use crate::call::Call;
use crate::grants::{Grants, SinkKind, StepConfig};
use crate::kv::{KvRead, NoKv};
use crate::limits::Limits;
use crate::message::Message;
use crate::refusal::{Breach, Fault, Refusal};

/// Counts the octets that are read.
struct Counted(u64, AtomicU64);

impl Octets for Counted {
    fn len(&self) -> u64 {
        self.0
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let count = buffer.len().min(usize::try_from(self.0.saturating_sub(offset)).unwrap());
        buffer[..count].fill(b'x');
        self.1.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// A call over a message of that size.
fn call(size: u64, limits: Limits) -> (Call, Arc<Counted>) {
    let name = |text| Name::new(text).unwrap();
    let sinks = BTreeMap::from([(name("vault"), SinkKind::Object), (name("relay"), SinkKind::Transport)]);
    with(size, limits, Grants { sinks, ..Grants::default() }, Arc::new(NoKv))
}

fn with(size: u64, limits: Limits, grants: Grants, kv: Arc<dyn KvRead>) -> (Call, Arc<Counted>) {
    let octets = Arc::new(Counted(size, AtomicU64::new(0)));
    let name = |text| Name::new(text).unwrap();
    let provenance = Provenance {
        account: name("home"),
        uid: Uid(b"1".to_vec()),
        ordinal: 0,
        digest: Digest::of(b""),
        size,
        retrieved: Timestamp(0),
    };
    let message = Arc::new(Message::new(provenance, Arc::clone(&octets) as Arc<dyn Octets>, None));
    let step = StepConfig {
        pipeline: name("p"),
        step: name("s"),
        grants,
        limits,
        required: true,
        settings: String::new(),
    };
    (Call::working(Arc::new(step), message, Vec::new(), kv), octets)
}

fn blob(octets: &Arc<Counted>, len: u64) -> Blob {
    Blob::raw(Arc::clone(octets) as Arc<dyn Octets>, 0, len, None)
}

#[track_caller]
fn over_quota<T>(answer: Result<T, Refusal>, what: &str) {
    match answer.map(drop) {
        Err(Refusal::Fault(Fault::Quota(text))) => assert!(text.starts_with(what), "{text}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn quotas_are_checked_before_anything_is_digested() {
    let to = || vec!["a@x.example".to_owned(), "b@x.example".to_owned()];
    for (limits, what) in [
        (Limits { effects: 0, ..Limits::default() }, "effects"),
        (Limits { effect_octets: 0, ..Limits::default() }, "octets of all effects"),
        (Limits { recipients: 1, ..Limits::default() }, "recipients"),
    ] {
        let (mut call, octets) = call(1000, limits);
        let large = Arc::new(Counted(2001, AtomicU64::new(0)));
        let content = blob(&large, 2001);
        match what {
            "recipients" => over_quota(call.send("relay", to(), &content, Vec::new()), what),
            what => over_quota(call.store("vault", "k".to_owned(), &content, Vec::new()), what),
        }
        assert_eq!((octets.1.load(Ordering::Relaxed), large.1.load(Ordering::Relaxed)), (0, 0), "{what}");
    }
}

#[test]
fn what_was_asked_for_before_is_no_effect_more_even_at_the_quota() {
    let (mut call, octets) = call(1000, Limits { effects: 1, ..Limits::default() });
    let content = blob(&octets, 1000);
    for _ in 0..2 {
        let stored = call.store("vault", "k".to_owned(), &content, Vec::new());
        assert_eq!(stored.unwrap(), "k");
    }
    over_quota(call.store("vault", "other".to_owned(), &content, Vec::new()), "effects");
    assert_eq!(call.end(Ok(Ok(()))).unwrap().effects.len(), 1);
}

#[test]
fn a_writer_refuses_more_than_any_effect_could_carry_and_too_many_pieces() {
    let (mut call, octets) = call(1000, Limits { effect_octets: 10, ..Limits::default() });
    let content = blob(&octets, 1000);
    let mut writer = Writer::default();
    for _ in 0..2 {
        call.append(&mut writer, &content).unwrap();
    }
    over_quota(call.append(&mut writer, &content), "octets of one content");
    over_quota(call.write(&mut writer, &[0]), "octets of one content");
    assert_eq!(call.finish(&mut writer).unwrap().size(), 2000);

    let piece = blob(&octets, 1);
    let mut writer = Writer::default();
    let taken = (0..1000).take_while(|_| call.append(&mut writer, &piece).is_ok()).count();
    assert!(taken <= SEGMENTS && SEGMENTS <= 64, "{taken}");
    over_quota(call.append(&mut writer, &piece), "pieces of one content");
}

#[test]
fn a_long_digest_ends_with_the_limit_of_the_call() {
    let size = 1 << 30;
    let wall = Limits { wall: Duration::from_millis(1), ..Limits::default() };
    let cpu = Limits { cpu: Duration::from_millis(1), ..Limits::default() };
    for (limits, is_expected) in [
        (wall, (|b: &Breach| matches!(b, Breach::WallTime { .. })) as fn(&Breach) -> bool),
        (cpu, |b: &Breach| matches!(b, Breach::CpuTime { .. })),
    ] {
        let (mut call, octets) = call(size, limits);
        let content = blob(&octets, size);
        let breach = call.digest(&content).unwrap_err();
        assert!(is_expected(&breach), "{breach:?}");
        assert!(octets.1.load(Ordering::Relaxed) < size / 4);
    }
}

#[test]
fn the_first_digest_of_a_part_is_not_charged_but_a_slice_of_it_is() {
    let size = 32 << 20;
    let (mut call, octets) = call(size, Limits { wall: Duration::from_secs(300), ..Limits::default() });
    let part = Blob::raw(Arc::clone(&octets) as Arc<dyn Octets>, 0, size, None).shared();
    let before = call.meter.usage().cpu;
    call.digest(&part).unwrap();
    let of_part = call.meter.usage().cpu - before;
    let slice = call.slice(&part, 0, size).unwrap();
    call.digest(&slice).unwrap();
    let of_slice = call.meter.usage().cpu - before - of_part;
    assert!(of_part < of_slice / 4, "{of_part:?} {of_slice:?}");
}

/// One value of 90 octets under "old", whose key has 3: counted as 157.
struct Small;

impl KvRead for Small {
    fn get(&self, _: &str, key: &str) -> Result<Option<Vec<u8>>, String> {
        Ok((key == "old").then(|| vec![0; 90]))
    }

    fn total(&self, scope: &str) -> Result<u64, String> {
        assert_eq!(scope, "p/s/home");
        Ok(KvWrite::counted("old", &[0; 90]))
    }
}

#[test]
fn all_keys_and_values_together_have_a_quota_that_counts_what_the_call_wrote() {
    let limits = Limits { kv_total: 228, ..Limits::default() };
    let grants = Grants { kv: true, ..Grants::default() };
    let (mut call, _) = with(1000, limits, grants, Arc::new(Small));
    let set = |call: &mut Call, key: &str, octets: usize| call.kv_set(key.to_owned(), vec![0; octets]);
    over_quota(set(&mut call, "a", 7), "octets of all kv keys and values: asked for 229, allowed 228");
    set(&mut call, "a", 6).unwrap();
    over_quota(set(&mut call, "b", 0), "octets of all kv keys and values: asked for 293");
    set(&mut call, "a", 6).unwrap();
    over_quota(set(&mut call, "old", 91), "octets of all kv keys and values: asked for 229");
    call.kv_delete("old".to_owned()).unwrap();
    set(&mut call, "b", 92).unwrap();
    over_quota(set(&mut call, "old", 0), "octets of all kv keys and values: asked for 295");
    call.kv_delete("a".to_owned()).unwrap();
    set(&mut call, "old", 0).unwrap();
    assert_eq!(call.end(Ok(Ok(()))).unwrap().kv.len(), 3);
}

#[test]
fn a_lowered_quota_lets_state_shrink() {
    let limits = Limits { kv_total: 10, ..Limits::default() };
    let grants = Grants { kv: true, ..Grants::default() };
    let (mut call, _) = with(1000, limits, grants, Arc::new(Small));
    call.kv_set("old".to_owned(), vec![0; 50]).unwrap();
    over_quota(call.kv_set("old".to_owned(), vec![0; 51]), "octets of all kv keys and values");
}
