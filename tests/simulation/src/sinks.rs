//! Four sinks as models: three that know an effect's own earlier work by its id, and one that cannot.

use std::collections::BTreeMap;

use postroom_mail::{EffectId, MessageId, Name};

use crate::journal::Event;
use crate::mails::name;

/// The kinds of sinks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Sink {
    /// Files: a name is made once.
    Directory,
    /// Messages: a name is made once.
    Maildir,
    /// Objects, written only where none is.
    Store,
    /// SMTP: each time is another mail.
    Relay,
}

impl Sink {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Directory, Self::Maildir, Self::Store, Self::Relay];

    /// What the operator called it.
    #[must_use]
    pub fn name(self) -> Name {
        name(match self {
            Self::Directory => "vault",
            Self::Maildir => "box",
            Self::Store => "cloud",
            Self::Relay => "relay",
        })
    }
}

/// What all of them hold: how many objects, or mails sent, for each effect.
#[derive(Clone, Debug, Default)]
pub struct Sinks(BTreeMap<(Sink, String), (MessageId, EffectId, usize)>);

impl Sinks {
    /// Carries an effect out. `None` when the sink has it already.
    pub fn deliver(&mut self, sink: Sink, effect: EffectId, message: MessageId) -> Option<Event> {
        let held = self.count(sink, effect);
        match sink {
            Sink::Directory | Sink::Maildir | Sink::Store if held > 0 => return None,
            Sink::Directory | Sink::Maildir | Sink::Store | Sink::Relay => {}
        }
        let sink = Sink::ALL.iter().position(|other| *other == sink).unwrap();
        let event = Event::Delivered { sink, effect, message };
        self.happened(&event);
        Some(event)
    }

    /// Takes in what happened before.
    pub fn happened(&mut self, event: &Event) {
        match event {
            Event::Delivered { sink, effect, message } => {
                let held =
                    self.0.entry((Sink::ALL[*sink], effect.to_string())).or_insert((*message, *effect, 0));
                held.2 += 1;
            }
            Event::Removed(_) => {}
        }
    }

    /// How many there are of one effect.
    #[must_use]
    pub fn count(&self, sink: Sink, effect: EffectId) -> usize {
        self.0.get(&(sink, effect.to_string())).map_or(0, |held| held.2)
    }

    /// Everything: sink, message, effect, how many.
    pub fn all(&self) -> impl Iterator<Item = (Sink, MessageId, EffectId, usize)> + '_ {
        self.0.iter().map(|((sink, _), (message, effect, count))| (*sink, *message, *effect, *count))
    }
}
