//! Owns what an answer means: taken, to be tried again, or whose fault it is. Must not read more of it than a little.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use postroom_mail::Timestamp;
use postroom_mail::rules::neutral;
use reqwest::header::{HeaderMap, RETRY_AFTER};

use crate::sinks::error::Fault;

/// How much of a body is read; what is shown of it is shorter.
const LONGEST_BODY: usize = 8 * 1024;
/// How much of a body is kept in a receipt.
const SHOWN: usize = 200;
/// The longest wait a receiver may ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// What a receiver said.
#[derive(Debug)]
pub(super) struct Answer {
    status: u16,
    body: String,
    /// Its `Idempotency-Key`.
    key: Option<String>,
    after: Option<Duration>,
}

impl Answer {
    pub(super) async fn read(mut response: reqwest::Response, now: Timestamp) -> Self {
        let status = response.status().as_u16();
        let field = |name: &str| response.headers().get(name)?.to_str().ok().map(str::to_owned);
        let (key, after) = (field("idempotency-key"), wait(response.headers(), now));
        let mut body = Vec::new();
        // The status is the answer; a body that breaks off takes nothing from it.
        while body.len() < LONGEST_BODY
            && let Ok(Some(octets)) = response.chunk().await
        {
            let room = LONGEST_BODY - body.len();
            body.extend_from_slice(&octets[..octets.len().min(room)]);
        }
        Self { status, body: String::from_utf8_lossy(&body).into_owned(), key, after }
    }

    /// Whether an earlier attempt had been taken, when the effect was taken at all. 409 says so only when it repeats the
    /// effect's id: receivers also say 409 while an earlier request is under way, and about anything else.
    pub(super) fn taken(&self, id: &str) -> Option<bool> {
        match self.status {
            208 => Some(true),
            200..300 => Some(false),
            409 if self.key.as_deref() == Some(id) || self.body.contains(id) => Some(true),
            _ => None,
        }
    }

    /// What it means that it was not taken.
    pub(super) fn fault(&self, place: &str) -> Fault {
        let what = format!("{place} answered {self}");
        match self.status {
            300..400 => Fault::configuration(format!(
                "{what} to send us elsewhere, which is not followed; correct `url`"
            )),
            401 | 403 | 407 => Fault::configuration(format!(
                "{what}; it does not take us: check `bearer` and `secret` of this sink"
            )),
            404 | 405 | 410 | 501 | 505 => {
                Fault::configuration(format!("{what}; nothing takes mail there: correct `url`"))
            }
            409 => Fault::temporary(format!(
                "{what}, and did not repeat the Idempotency-Key, so whether it has the effect is not known; it will be \
                 tried again with the same key"
            )),
            429 | 503 => Fault::unavailable(format!("{what}; it will be tried again")).not_before(self.after),
            408 | 425 | 500.. => Fault::unavailable(format!("{what}; it is unwell, and will be tried again"))
                .not_before(self.after),
            400..500 => Fault::permanent(format!("{what}; it will not take this one")),
            _ => Fault::unavailable(format!("{what}, which is no answer to a POST; the server is broken")),
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HTTP {}", self.status)?;
        match self.body.trim() {
            "" => Ok(()),
            body => write!(f, " \"{}\"", neutral(body, SHOWN)),
        }
    }
}

/// `Retry-After` as seconds or as a date (RFC 9110 section 10.2.3), at most a day.
fn wait(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let at = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
            Timestamp(at.as_millisecond()).since(now)
        }
    };
    Some(wait.min(LONGEST_WAIT))
}

/// What it means that there was no answer, in our own words: the texts beneath quote the address.
pub(super) fn trouble(place: &str, error: &reqwest::Error) -> Fault {
    let mut cause = error.source();
    while let Some(beneath) = cause {
        if let Some(tls) = tls(beneath) {
            return Fault::configuration(format!(
                "TLS with {place} failed: {tls}; check `url` and `ca_file`, or renew the server's certificate"
            ));
        }
        cause = beneath.source();
    }
    let what = if error.is_connect() {
        "no connection; the server or the network is down"
    } else if error.is_timeout() {
        "no answer in time"
    } else {
        "the connection broke"
    };
    Fault::unavailable(format!("{place}: {what}; it will be tried again with the same Idempotency-Key"))
}

fn tls<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a rustls::Error> {
    let beneath = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    error.downcast_ref().or_else(|| beneath?.downcast_ref())
}
