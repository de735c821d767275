//! Owns why a delivery failed: whose fault it is and what becomes of it, as types. Must not hold a secret, and must not
//! pass on what a server wrote without making it harmless first.

use std::error::Error as StdError;
use std::time::Duration;

use postroom_mail::rules::neutral;
use postroom_mail::{Disposition, Name};

/// What lies beneath a failure, when it is known and holds no secret.
pub type Source = Box<dyn StdError + Send + Sync>;

/// Why an effect was not carried out. The text names the sink, what happened, whose fault it is and what to do.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// The other side, the disk or the network is unwell: try again.
    #[error("sink {sink}: {what}")]
    Temporary {
        /// Which sink.
        sink: Name,
        /// What happened, whose fault it is and what to do.
        what: String,
        /// Not before, when the other side named a time.
        after: Option<Duration>,
        /// Whether another message may fare better.
        scope: Scope,
        /// Beneath it.
        source: Option<Source>,
    },
    /// This effect will never succeed here: set it aside.
    #[error("sink {sink}: {what}")]
    Permanent {
        /// Which sink.
        sink: Name,
        /// What happened, whose fault it is and what to do.
        what: String,
        /// Beneath it.
        source: Option<Source>,
    },
    /// The sink is set up wrongly (credentials, bucket, certificate, a directory that is not there): hold the sink,
    /// do not use up its effects.
    #[error("sink {sink}: {what}")]
    Configuration {
        /// Which sink.
        sink: Name,
        /// What happened, whose fault it is and what to do.
        what: String,
        /// Beneath it.
        source: Option<Source>,
    },
    /// The other side was given the whole message and then did not say whether it took it (RFC 1047).
    #[error("sink {sink}: {what}")]
    InDoubt {
        /// Which sink.
        sink: Name,
        /// What happened, whose fault it is and what to do.
        what: String,
        /// Beneath it.
        source: Option<Source>,
    },
}

impl DeliveryError {
    /// What becomes of the effect. A configuration fault and a doubt are retried too; for how long, and how often, is the
    /// host's decision, which matches on the variant.
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Temporary { after, .. } => Disposition::Retry { after: *after },
            Self::Configuration { .. } | Self::InDoubt { .. } => Disposition::RETRY,
            Self::Permanent { .. } => Disposition::Park,
        }
    }
}

/// How far a failure that passes reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The sink is unwell.
    Sink,
    /// Only this message is not taken now.
    Message,
}

/// A sink cannot be made from its configuration.
#[derive(Debug, thiserror::Error)]
#[error("sink {sink}: {what}")]
pub struct SinkError {
    sink: Name,
    what: String,
    source: Option<Source>,
}

impl SinkError {
    pub(super) fn new(sink: &Name, what: impl Into<String>) -> Self {
        Self { sink: sink.clone(), what: what.into(), source: None }
    }

    pub(super) fn from_source(
        sink: &Name,
        what: impl Into<String>,
        source: impl StdError + Send + Sync + 'static,
    ) -> Self {
        Self { sink: sink.clone(), what: what.into(), source: Some(Box::new(source)) }
    }

    /// Which sink.
    pub fn sink(&self) -> &Name {
        &self.sink
    }
}

/// A failure inside a sink, before the name of the sink is put to it.
#[derive(Debug)]
pub(super) struct Fault {
    class: Class,
    what: String,
    scope: Scope,
    source: Option<Source>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Temporary,
    Permanent,
    Configuration,
    InDoubt,
}

impl Fault {
    pub(super) fn temporary(what: impl Into<String>) -> Self {
        Self::new(Class::Temporary, what)
    }

    pub(super) fn permanent(what: impl Into<String>) -> Self {
        Self::new(Class::Permanent, what)
    }

    pub(super) fn configuration(what: impl Into<String>) -> Self {
        Self::new(Class::Configuration, what)
    }

    pub(super) fn in_doubt(what: impl Into<String>) -> Self {
        Self::new(Class::InDoubt, what)
    }

    /// The sink is well otherwise.
    pub(super) fn of_message(self) -> Self {
        Self { scope: Scope::Message, ..self }
    }

    /// Adds what lies beneath.
    pub(super) fn because(self, source: impl StdError + Send + Sync + 'static) -> Self {
        Self { source: Some(Box::new(source)), ..self }
    }

    /// Puts the name of the sink to it.
    pub(super) fn at(self, sink: &Name) -> DeliveryError {
        let Self { class, what, scope, source } = self;
        let sink = sink.clone();
        match class {
            Class::Temporary => DeliveryError::Temporary { sink, what, after: None, scope, source },
            Class::Permanent => DeliveryError::Permanent { sink, what, source },
            Class::Configuration => DeliveryError::Configuration { sink, what, source },
            Class::InDoubt => DeliveryError::InDoubt { sink, what, source },
        }
    }

    fn new(class: Class, what: impl Into<String>) -> Self {
        Self { class, what: what.into(), scope: Scope::Sink, source: None }
    }
}

/// What a server wrote, harmless and short.
pub(super) fn quoted(text: &str) -> String {
    format!("\"{}\"", neutral(text.trim(), 200))
}
