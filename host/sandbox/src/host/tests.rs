//! Limits of host functions that no guest is needed for: what is refused, and that nothing was read before.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use postroom_mail::{Digest, Name, Octets, Provenance, Timestamp, Uid};
use wasmtime::component::Resource;

use crate::bindings::plugin::postroom::plugin::content::{HostBlob, HostWriter};
use crate::bindings::plugin::postroom::plugin::effects::Host;
use crate::bindings::plugin::postroom::plugin::types::Fault;
use crate::blob::{Blob, BlobEntry, SEGMENTS};
use crate::grants::{Grants, SinkKind, StepConfig};
use crate::invocation::{Invocation, Work};
use crate::kv::NoKv;
use crate::limits::Limits;
use crate::message::Message;
use crate::refusal::{Breach, Refusal};

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
fn call(size: u64, limits: Limits) -> (Invocation, Arc<Counted>) {
    let octets = Arc::new(Counted(size, AtomicU64::new(0)));
    let provenance = Provenance {
        account: Name::new("home").unwrap(),
        uid: Uid(b"1".to_vec()),
        ordinal: 0,
        digest: Digest::of(b""),
        size,
        retrieved: Timestamp(0),
    };
    let message = Arc::new(Message::new(provenance, Arc::clone(&octets) as Arc<dyn Octets>, None));
    let name = |text| Name::new(text).unwrap();
    let sinks = BTreeMap::from([(name("vault"), SinkKind::Object), (name("relay"), SinkKind::Transport)]);
    let step = StepConfig {
        pipeline: name("p"),
        step: name("s"),
        grants: Grants { sinks, ..Grants::default() },
        limits,
        required: true,
        settings: String::new(),
    };
    (Invocation::working(Work::new(Arc::new(step), message, Vec::new(), Arc::new(NoKv))), octets)
}

fn blob(call: &mut Invocation, octets: &Arc<Counted>, len: u64) -> Resource<BlobEntry> {
    let octets = Arc::clone(octets) as Arc<dyn Octets>;
    call.push(BlobEntry(Arc::new(Blob::raw(octets, 0, len, None)))).unwrap()
}

fn again<T: 'static>(handle: &Resource<T>) -> Resource<T> {
    Resource::new_own(handle.rep())
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
        let content = blob(&mut call, &large, 2001);
        match what {
            "recipients" => over_quota(call.send("relay".to_owned(), to(), content, Vec::new()), what),
            what => over_quota(call.store("vault".to_owned(), "k".to_owned(), content, Vec::new()), what),
        }
        assert_eq!((octets.1.load(Ordering::Relaxed), large.1.load(Ordering::Relaxed)), (0, 0), "{what}");
    }
}

#[test]
fn what_was_asked_for_before_is_no_effect_more_even_at_the_quota() {
    let (mut call, octets) = call(1000, Limits { effects: 1, ..Limits::default() });
    let content = blob(&mut call, &octets, 1000);
    for _ in 0..2 {
        let stored = call.store("vault".to_owned(), "k".to_owned(), again(&content), Vec::new());
        assert_eq!(stored.unwrap(), "k");
    }
    over_quota(call.store("vault".to_owned(), "other".to_owned(), content, Vec::new()), "effects");
    assert_eq!(call.take_queue().effects.len(), 1);
}

#[test]
fn a_writer_refuses_more_than_any_effect_could_carry_and_too_many_pieces() {
    let (mut call, octets) = call(1000, Limits { effect_octets: 10, ..Limits::default() });
    let content = blob(&mut call, &octets, 1000);
    let writer = HostWriter::new(&mut call).unwrap();
    for _ in 0..2 {
        call.append(again(&writer), again(&content)).unwrap();
    }
    over_quota(call.append(again(&writer), again(&content)), "octets of one content");
    over_quota(HostWriter::write(&mut call, again(&writer), vec![0]), "octets of one content");
    assert_eq!(call.finish(writer).map(|blob| call.get(&blob).unwrap().0.size()).unwrap(), 2000);

    let piece = blob(&mut call, &octets, 1);
    let writer = HostWriter::new(&mut call).unwrap();
    let taken = (0..1000).take_while(|_| call.append(again(&writer), again(&piece)).is_ok()).count();
    assert!(taken <= SEGMENTS && SEGMENTS <= 64, "{taken}");
    over_quota(call.append(again(&writer), piece), "pieces of one content");
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
        let content = blob(&mut call, &octets, size);
        let error = call.sha256(content).unwrap_err();
        assert!(error.downcast_ref::<Breach>().is_some_and(is_expected), "{error:?}");
        assert!(octets.1.load(Ordering::Relaxed) < size / 4);
    }
}

#[test]
fn the_first_digest_of_a_part_is_not_charged_but_a_slice_of_it_is() {
    let size = 32 << 20;
    let (mut call, octets) = call(size, Limits { wall: Duration::from_secs(300), ..Limits::default() });
    let part = Blob::raw(Arc::clone(&octets) as Arc<dyn Octets>, 0, size, None).shared();
    let part = call.push(BlobEntry(Arc::new(part))).unwrap();
    let before = call.meter.usage().cpu;
    call.sha256(again(&part)).unwrap();
    let of_part = call.meter.usage().cpu - before;
    let slice = call.slice(part, 0, size).unwrap();
    call.sha256(slice).unwrap();
    let of_slice = call.meter.usage().cpu - before - of_part;
    assert!(of_part < of_slice / 4, "{of_part:?} {of_slice:?}");
}
