//! `fetch`: look-ups at targets. Checks the call, lets whoever was given make it, and accounts for what it took. The
//! waiting counts as elapsed time, not as CPU time, and ends with the time of the call.

use std::sync::Arc;
use std::time::{Duration, Instant};

use postroom_mail::Name;
use postroom_mail::rules::neutral;
use wasmtime::Result as TrapResult;
use wasmtime::component::Resource;

use crate::bindings::plugin::postroom::plugin::fetch;
use crate::bindings::plugin::postroom::plugin::types::Fault;
use crate::blob::{Blob, BlobEntry};
use crate::fetch::{
    FetchAnswer, FetchError, FetchMethod, FetchPath, FetchRequest, Unfit, checked, is_visible,
};
use crate::invocation::Invocation;
use crate::refusal::Refusal;

type Fields = Vec<(String, String)>;

/// An answer as a plugin holds it.
#[allow(unreachable_pub, reason = "the generated bindings export it again")]
pub struct Response {
    status: u16,
    headers: Fields,
    body: Arc<Blob>,
}

impl fetch::Host for Invocation {
    fn get(&mut self, target: String, path: String, headers: Fields) -> Result<Resource<Response>, Refusal> {
        self.call(target, FetchMethod::Get, path, headers, None)
    }

    fn post(
        &mut self,
        target: String,
        path: String,
        headers: Fields,
        body: Resource<BlobEntry>,
    ) -> Result<Resource<Response>, Refusal> {
        self.call(target, FetchMethod::Post, path, headers, Some(&body))
    }
}

impl fetch::HostResponse for Invocation {
    fn status(&mut self, handle: Resource<Response>) -> TrapResult<u16> {
        Ok(self.get(&handle)?.status)
    }

    fn header(&mut self, handle: Resource<Response>, name: String) -> TrapResult<Option<String>> {
        let headers = &self.get(&handle)?.headers;
        let found = headers.iter().find(|(field, _)| field.eq_ignore_ascii_case(&name));
        Ok(found.map(|(_, value)| value.clone()))
    }

    fn body(&mut self, handle: Resource<Response>) -> TrapResult<Resource<BlobEntry>> {
        let body = Arc::clone(&self.get(&handle)?.body);
        self.push(BlobEntry(body))
    }

    fn drop(&mut self, handle: Resource<Response>) -> TrapResult<()> {
        self.delete(handle)
    }
}

impl Invocation {
    fn call(
        &mut self,
        target: String,
        method: FetchMethod,
        path: String,
        headers: Fields,
        body: Option<&Resource<BlobEntry>>,
    ) -> Result<Resource<Response>, Refusal> {
        let target = self.target(target)?;
        let path = FetchPath::new(path).map_err(Refusal::invalid)?;
        let headers = checked(headers)?;
        let body = match body {
            Some(handle) => Some(Arc::clone(&Invocation::get(self, handle)?.0)),
            None => None,
        };
        let (within, most) = self.admit_call(body.as_ref().map_or(0, |body| body.size()))?;
        let body = body.map(|body| self.whole(&body)).transpose()?;
        let work = self.work()?;
        let step = format!("{}/{}", work.step.pipeline, work.step.step);
        let request = FetchRequest { step, target, method, path, headers, body, most, within };
        let begun = Instant::now();
        let answer = work.fetch.fetch(&request);
        work.spent.time += begun.elapsed();
        // The call may have lasted until the time of the message was over.
        self.meter.check()?;
        let answer = answer.map_err(|error| self.explained(error))?;
        self.work()?.spent.received += answer.body.len() as u64;
        Ok(self.push(Response::new(answer))?)
    }

    fn target(&mut self, target: String) -> Result<Name, Refusal> {
        let grants = &self.work()?.step.grants;
        match Name::new(target.as_str()) {
            Ok(name) if grants.fetch.contains(&name) => Ok(name),
            Ok(name) => Err(Refusal::Fault(Fault::Denied(grants.line_with_target(&name)))),
            Err(_) => Err(Refusal::invalid(format!("\"{}\" is no name of a target", neutral(&target, 64)))),
        }
    }

    /// Counts the call, whatever becomes of it. Returns how long it may take and how much it may be answered.
    fn admit_call(&mut self, body: u64) -> Result<(Duration, u64), Refusal> {
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
        Ok(body.read(0, body.size(), cursors, &|| meter.check_io())?)
    }

    fn explained(&self, error: FetchError) -> Refusal {
        Refusal::Fault(match error {
            FetchError::Denied(line) => Fault::Denied(line),
            FetchError::TooLarge { most } => {
                let all = self.limits.fetch_octets;
                Fault::Quota(format!(
                    "octets of answers of fetch: more than {most} in this one, allowed {all} in all"
                ))
            }
            FetchError::Unavailable(text) => Fault::Transient(text),
            FetchError::Refused(text) => Fault::Other(text),
        })
    }
}

impl Response {
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
}

impl From<Unfit> for Refusal {
    fn from(unfit: Unfit) -> Self {
        match unfit {
            Unfit::Invalid(text) => Self::invalid(text),
            Unfit::Quota { what, asked, allowed } => Self::quota(what, asked, allowed),
        }
    }
}
