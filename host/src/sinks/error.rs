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
        /// It was the sink that failed, not this effect at it: any other effect would have failed as well.
        whole_sink: bool,
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
    /// Whether the sink itself is unwell, so that trying other effects there is of no use now. A lost answer counts: what
    /// comes next would be in doubt too.
    pub fn is_of_the_sink(&self) -> bool {
        match self {
            Self::Temporary { whole_sink, .. } => *whole_sink,
            Self::InDoubt { .. } => true,
            // A fault of the configuration is told by its own variant.
            Self::Configuration { .. } | Self::Permanent { .. } => false,
        }
    }

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
    after: Option<Duration>,
    source: Option<Source>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Temporary,
    Unavailable,
    Permanent,
    Configuration,
    InDoubt,
}

impl Fault {
    pub(super) fn temporary(what: impl Into<String>) -> Self {
        Self::new(Class::Temporary, what)
    }

    /// Temporary, and of the sink as a whole.
    pub(super) fn unavailable(what: impl Into<String>) -> Self {
        Self::new(Class::Unavailable, what)
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

    /// Adds what lies beneath.
    pub(super) fn because(self, source: impl StdError + Send + Sync + 'static) -> Self {
        Self { source: Some(Box::new(source)), ..self }
    }

    /// Adds when the other side wants to be asked again. Only a temporary failure has use for it.
    pub(super) fn not_before(self, after: Option<Duration>) -> Self {
        Self { after, ..self }
    }

    /// Puts the name of the sink to it.
    pub(super) fn at(self, sink: &Name) -> DeliveryError {
        let Self { class, what, after, source } = self;
        let sink = sink.clone();
        match class {
            Class::Temporary => DeliveryError::Temporary { sink, what, after, whole_sink: false, source },
            Class::Unavailable => DeliveryError::Temporary { sink, what, after, whole_sink: true, source },
            Class::Permanent => DeliveryError::Permanent { sink, what, source },
            Class::Configuration => DeliveryError::Configuration { sink, what, source },
            Class::InDoubt => DeliveryError::InDoubt { sink, what, source },
        }
    }

    fn new(class: Class, what: impl Into<String>) -> Self {
        Self { class, what: what.into(), after: None, source: None }
    }
}

/// What a server wrote, harmless and short.
pub(super) fn quoted(text: &str) -> String {
    format!("\"{}\"", neutral(text.trim(), 200))
}
