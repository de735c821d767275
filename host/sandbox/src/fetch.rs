//! Look-ups for plugins: what a call is, what answers it, and who makes it. A plugin names a target and a path below
//! it; addresses and credentials are known only to whoever implements [`Fetch`]. Nothing here touches a network.

mod rules;

use std::collections::BTreeMap;
use std::time::Duration;

use postroom_mail::Name;

pub use rules::FetchPath;
pub(crate) use rules::{Unfit, checked, is_visible};

/// What is asked of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FetchMethod {
    /// RFC 9110 9.3.1.
    Get,
    /// RFC 9110 9.3.3.
    Post,
}

impl FetchMethod {
    /// As on the wire: `GET`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
        }
    }
}

/// One call of a plugin, checked against its grants, its limits and the rules of paths and header fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchRequest {
    /// Who asks, for the log: `pipeline/step`.
    pub step: String,
    /// A target that is granted.
    pub target: Name,
    /// Whether the target takes it is for the implementation to say.
    pub method: FetchMethod,
    /// Below the target's own.
    pub path: FetchPath,
    /// What the plugin adds: names in lower case, none that the host decides about.
    pub headers: Vec<(String, String)>,
    /// Of a `post`.
    pub body: Option<Vec<u8>>,
    /// Octets the body of the answer may have.
    pub most: u64,
    /// How long all of it may take.
    pub within: Duration,
}

/// What a target answered. The plugin is shown only the header fields that it may see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FetchAnswer {
    /// Any: 404 is an answer.
    pub status: u16,
    /// Names in lower case, in their order.
    pub headers: Vec<(String, String)>,
    /// As it was sent.
    pub body: Vec<u8>,
}

/// Why there is no answer. The texts reach the plugin: no address, no URL, no credential may be in them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// The target does not take this: the line that would let it.
    #[error("not granted: {0}")]
    Denied(String),
    /// The body of the answer is larger than [`FetchRequest::most`].
    #[error("the answer has more than {most} octets")]
    TooLarge {
        /// What was allowed.
        most: u64,
    },
    /// No connection, no trust, no answer in time, too many calls just now: worth another try.
    #[error("{0}")]
    Unavailable(String),
    /// There was an answer, or would be, and it is not to be had.
    #[error("{0}")]
    Refused(String),
}

/// Makes calls. Blocks until there is an answer, at most [`FetchRequest::within`].
pub trait Fetch: Send + Sync {
    /// One call.
    ///
    /// # Errors
    /// Why there is no answer.
    fn fetch(&self, request: &FetchRequest) -> Result<FetchAnswer, FetchError>;
}

/// Makes no calls, and says why.
#[derive(Clone, Debug)]
pub struct NoFetch(&'static str);

impl NoFetch {
    /// `why` is what the plugin is told.
    pub fn new(why: &'static str) -> Self {
        Self(why)
    }
}

impl Fetch for NoFetch {
    fn fetch(&self, request: &FetchRequest) -> Result<FetchAnswer, FetchError> {
        Err(FetchError::Refused(format!("no call to the target {}: {}", request.target, self.0)))
    }
}

/// Answers from a table: for tests of plugins.
#[derive(Clone, Debug, Default)]
pub struct RecordedFetch {
    answers: BTreeMap<(Name, String), FetchAnswer>,
}

impl RecordedFetch {
    /// What that path of that target answers, whatever the method.
    #[must_use]
    pub fn answers(mut self, target: &Name, path: &str, answer: FetchAnswer) -> Self {
        self.answers.insert((target.clone(), path.to_owned()), answer);
        self
    }
}

impl Fetch for RecordedFetch {
    /// A path without an answer is refused, rather than made up.
    fn fetch(&self, request: &FetchRequest) -> Result<FetchAnswer, FetchError> {
        let (target, path) = (&request.target, request.path.as_str());
        match self.answers.get(&(target.clone(), path.to_owned())) {
            Some(answer) if answer.body.len() as u64 > request.most => {
                Err(FetchError::TooLarge { most: request.most })
            }
            Some(answer) => Ok(answer.clone()),
            None => Err(FetchError::Refused(format!("no answer is recorded for {path:?} of {target}"))),
        }
    }
}

/// What the calls of one message used so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Spent {
    pub(crate) calls: u32,
    pub(crate) sent: u64,
    pub(crate) received: u64,
    pub(crate) time: Duration,
}
