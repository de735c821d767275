//! Look-ups for plugins: what a call is, what answers it, and who makes it. A plugin names a target and a path below
//! it; addresses and credentials are known only to whoever implements [`Fetch`]. Nothing here touches a network.

mod rules;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use postroom_mail::Name;
use postroom_mail::rules::neutral;

use crate::blob::Blob;
use crate::call::{Call, Fields};
use crate::refusal::{Breach, Fault, Refusal};

pub use rules::FetchPath;
use rules::{Unfit, checked, is_visible};

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
    answers: BTreeMap<(Name, String), Result<FetchAnswer, FetchError>>,
}

impl RecordedFetch {
    /// What that path of that target answers, whatever the method.
    #[must_use]
    pub fn answers(self, target: &Name, path: &str, answer: FetchAnswer) -> Self {
        self.records(target, path, Ok(answer))
    }

    /// The same, when there may be no answer.
    #[must_use]
    pub fn records(mut self, target: &Name, path: &str, answer: Result<FetchAnswer, FetchError>) -> Self {
        self.answers.insert((target.clone(), path.to_owned()), answer);
        self
    }
}

impl Fetch for RecordedFetch {
    /// A path without an answer is refused, rather than made up.
    fn fetch(&self, request: &FetchRequest) -> Result<FetchAnswer, FetchError> {
        let (target, path) = (&request.target, request.path.as_str());
        match self.answers.get(&(target.clone(), path.to_owned())) {
            Some(Ok(answer)) if answer.body.len() as u64 > request.most => {
                Err(FetchError::TooLarge { most: request.most })
            }
            Some(answer) => answer.clone(),
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

/// An answer as a plugin holds it.
pub struct FetchResponse {
    status: u16,
    headers: Fields,
    body: Arc<Blob>,
}

impl FetchResponse {
    fn new(answer: FetchAnswer) -> Self {
        let connection = answer.headers.iter().filter(|(name, _)| name == "connection");
        let named: Vec<String> = connection
            .flat_map(|(_, value)| value.split(','))
            .map(|name| name.trim().to_ascii_lowercase())
            .collect();
        let mut headers = answer.headers;
        headers.retain(|(name, _)| is_visible(name, &named));
        Self { status: answer.status, headers, body: Arc::new(Blob::made(answer.body)) }
    }

    /// Any: 404 is an answer.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The first field of that name that a plugin may see.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(field, _)| field.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// As it was sent.
    pub fn body(&self) -> &Arc<Blob> {
        &self.body
    }
}

/// Checks the call, lets whoever was given make it, and accounts for what it took. The waiting counts as elapsed time,
/// not as CPU time, and ends with the time of the call.
impl Call {
    /// Asks a target.
    ///
    /// # Errors
    /// A fault when it may not or cannot; a breach when there is no time left.
    pub fn fetch_get(
        &mut self,
        target: &str,
        path: String,
        headers: Fields,
    ) -> Result<FetchResponse, Refusal> {
        self.fetch(target, FetchMethod::Get, path, headers, None)
    }

    /// Sends a body to a target.
    ///
    /// # Errors
    /// As [`Call::fetch_get`].
    pub fn fetch_post(
        &mut self,
        target: &str,
        path: String,
        headers: Fields,
        body: &Blob,
    ) -> Result<FetchResponse, Refusal> {
        self.fetch(target, FetchMethod::Post, path, headers, Some(body))
    }

    fn fetch(
        &mut self,
        target: &str,
        method: FetchMethod,
        path: String,
        headers: Fields,
        body: Option<&Blob>,
    ) -> Result<FetchResponse, Refusal> {
        let target = self.target(target)?;
        let path = FetchPath::new(path).map_err(Refusal::invalid)?;
        let headers = checked(headers)?;
        let (within, most) = self.admit_fetch(body.map_or(0, Blob::size))?;
        let body = body.map(|body| self.whole(body)).transpose()?;
        let work = self.work()?;
        let step = format!("{}/{}", work.step.pipeline, work.step.step);
        let request = FetchRequest { step, target, method, path, headers, body, most, within };
        let begun = Instant::now();
        let answer = work.fetch.fetch(&request);
        work.spent.time += begun.elapsed();
        // The call may have lasted until the time of the message was over.
        self.meter.check()?;
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => return Err(self.unanswered(error, most)?),
        };
        self.work()?.spent.received += answer.body.len() as u64;
        Ok(FetchResponse::new(answer))
    }

    fn target(&mut self, target: &str) -> Result<Name, Refusal> {
        let grants = &self.work()?.step.grants;
        match Name::new(target) {
            Ok(name) if grants.fetch.contains(&name) => Ok(name),
            Ok(name) => Err(Refusal::Fault(Fault::Denied(grants.line_with_target(&name)))),
            Err(_) => Err(Refusal::invalid(format!("\"{}\" is no name of a target", neutral(target, 64)))),
        }
    }

    /// Counts the call, whatever becomes of it. Returns how long it may take and how much it may be answered.
    fn admit_fetch(&mut self, body: u64) -> Result<(Duration, u64), Refusal> {
        let (calls, octets, time) =
            (self.limits.fetch_calls, self.limits.fetch_octets, self.limits.fetch_time);
        let left = self.meter.left();
        let spent = &mut self.work()?.spent;
        if spent.calls >= calls {
            return Err(Refusal::quota("calls of fetch", u64::from(spent.calls) + 1, calls.into()));
        }
        if spent.sent.saturating_add(body) > octets {
            return Err(Refusal::quota("octets sent by fetch", spent.sent.saturating_add(body), octets));
        }
        if spent.time >= time {
            let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
            return Err(Refusal::quota("milliseconds of fetch", millis(spent.time), millis(time)));
        }
        spent.calls += 1;
        spent.sent += body;
        Ok(((time - spent.time).min(left), octets.saturating_sub(spent.received)))
    }

    fn whole(&mut self, body: &Blob) -> Result<Vec<u8>, Refusal> {
        let (cursors, meter) = (&mut self.cursors, &self.meter);
        Ok(body.read(0, body.size(), cursors, &|| meter.check_io()).map_err(Breach::from)?)
    }

    /// What the plugin is told when there is no answer. All that was let through counts as received: how much of it came is
    /// not known. An outage is noted, since it is nobody's fault should the call fail.
    fn unanswered(&mut self, error: FetchError, most: u64) -> Result<Refusal, Refusal> {
        let work = self.work()?;
        match &error {
            FetchError::TooLarge { .. } => work.spent.received += most,
            FetchError::Unavailable(text) => work.out_of_reach = Some(text.clone()),
            FetchError::Denied(_) | FetchError::Refused(_) => {}
        }
        Ok(Refusal::Fault(match error {
            FetchError::Denied(line) => Fault::Denied(line),
            FetchError::TooLarge { most } => {
                let all = self.limits.fetch_octets;
                Fault::Quota(format!(
                    "octets of answers of fetch: more than {most} in this one, allowed {all} in all"
                ))
            }
            FetchError::Unavailable(text) => Fault::Transient(text),
            FetchError::Refused(text) => Fault::Other(text),
        }))
    }
}

impl From<Unfit> for Refusal {
    fn from(unfit: Unfit) -> Self {
        match unfit {
            Unfit::Invalid(text) => Self::invalid(text),
            Unfit::Quota { what, asked, allowed } => Self::quota(what, asked, allowed),
        }
    }
}
