//! The five messages of the script, and the plan that the pipeline makes of each: one effect for each of four sinks.

use postroom_mail::{
    AccountId, Action, Address, Content, Digest, Effect, Envelope, Key, Mailbox, MessageId, Name, OnConflict,
    Plan, Provenance, Timestamp, Uid, Verdict,
};

use crate::random::Random;
use crate::sinks::Sink;

/// One message as the server has it.
#[derive(Clone, Debug)]
pub struct Mail {
    /// Its unique-id.
    pub uid: String,
    /// Its octets.
    pub octets: Vec<u8>,
}

/// How many there are.
pub const COUNT: usize = 5;
/// Octets of each: two to a segment, one that passes through a file, one that is tiny.
const SIZES: [usize; COUNT] = [300, 1500, 6000, 60, 700];

/// The account.
#[must_use]
pub fn account() -> AccountId {
    name("home")
}

/// The messages in the order of the listing.
#[must_use]
pub fn mails() -> Vec<Mail> {
    let mut random = Random::new(1, 1);
    let mail = |(number, size): (usize, usize)| {
        let mut octets =
            format!("Subject: {number}\r\nMessage-ID: <{number}@mail.example>\r\n\r\n").into_bytes();
        while octets.len() < size {
            // A line that begins with a dot is stuffed on its way.
            octets.extend([b'.', b'a' + u8::try_from(random.below(26)).unwrap()]);
            octets.extend((0..60).map(|_| b'0' + u8::try_from(random.below(10)).unwrap()));
            octets.extend(b"\r\n");
        }
        Mail { uid: format!("uid-{number}"), octets }
    };
    SIZES.into_iter().enumerate().map(mail).collect()
}

impl Mail {
    /// The id it has once it is here.
    #[must_use]
    pub fn message(&self) -> MessageId {
        MessageId::derive(&account(), &Uid(self.uid.clone().into_bytes()), 0, &self.digest())
    }

    /// Of its octets.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&self.octets)
    }

    /// Where it came from, once it was retrieved.
    #[must_use]
    pub fn provenance(&self, size: u64, digest: Digest, retrieved: Timestamp) -> Provenance {
        let uid = Uid(self.uid.clone().into_bytes());
        Provenance { account: account(), uid, ordinal: 0, digest, size, retrieved }
    }
}

/// What is to happen to a message: the whole of it to every sink.
#[must_use]
pub fn plan(provenance: &Provenance) -> Plan {
    let effects = Sink::ALL.into_iter().map(|sink| effect(provenance, sink)).collect();
    Plan {
        effects,
        labels: Vec::new(),
        verdict: Verdict::Keep,
        kv: Vec::new(),
        kv_seen: Vec::new(),
        trace: Vec::new(),
    }
}

/// The effect at one sink.
#[must_use]
pub fn effect(provenance: &Provenance, sink: Sink) -> Effect {
    let message = provenance.message();
    let action = match sink {
        Sink::Directory | Sink::Store => Action::Store {
            key: Key::new(format!("{}.eml", message.0.short(16))).unwrap(),
            on_conflict: OnConflict::Refuse,
            content_type: None,
            meta: Vec::new(),
        },
        Sink::Maildir => {
            Action::FileInto { mailbox: Mailbox::new(String::new()).unwrap(), flags: String::new() }
        }
        Sink::Relay => {
            let to = vec![Address::new("keeper@archive.example").unwrap()];
            Action::Send { envelope: Envelope { from: None, to }, add_headers: Vec::new() }
        }
    };
    let (step, name, digest, size) = (name("keep"), sink.name(), provenance.digest, provenance.size);
    let id = Effect::derive_id(&message, &self::name("main"), &step, &name, &action, &digest);
    let content = Content::raw(size);
    Effect { id, step, sink: name, action, content, digest, size, required: true }
}

/// A name that is one.
#[must_use]
pub fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}
