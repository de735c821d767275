//! The way a forwarded message goes, and how to tell that it has gone it before: for every plugin that sends mail on, so that
//! each knows what the others sent.
//!
//! The mark has no key. Whoever forges one can only keep a message of his own from being forwarded, which he could do as
//! well by not sending it: the mark in somebody else's message is out of his reach. A key would not keep a relay from
//! stripping the mark either; the Received count stops that loop. So a keyed mark would need a secret, which plugins do
//! not have, and would protect nothing.

use std::fmt;

use crate::content::Writer;
use crate::fault::Fault;
use crate::message::Message;

/// The trace field: the message's id and the route it took, no name of an account or a sink.
///
/// ```
/// assert_eq!(postroom_sdk::route::FIELD, "X-Postroom-Forwarded");
/// ```
pub const FIELD: &str = "X-Postroom-Forwarded";
/// Most forwards of one message by hosts of this kind.
const FORWARDS: usize = 10;
/// Longest mark that is carried on, octets; one of ours has 88.
const MARK_OCTETS: usize = 199;
/// Most Received fields; RFC 5321 section 6.3 suggests 100 for relays, and this host is at the end of the way.
const HOPS: usize = 50;

/// From an account to recipients: a fingerprint of 16 hexadecimal digits, which the host computes.
///
/// ```
/// use postroom_bench::{Bench, Effect, Mail};
/// use postroom_sdk::prelude::*;
/// use postroom_sdk::route::{self, Loop, Route};
///
/// let to = ["me@other.example"];
/// let run = Bench::new().relay("out").run_fn(&Mail::new(), |message| {
///     let route = Route::of(message, &to)?;
///     assert_eq!((route.looped(message), route::is_bounce(message)), (None, false));
///     effects::forward("out", &to).header(route::FIELD, route.mark(message)).queue()?;
///     Ok(())
/// });
/// let Effect::Forward { add_headers, .. } = &run.effects[0] else { panic!("{run:?}") };
///
/// let (name, mark) = &add_headers[0];
/// let run = Bench::new().run_fn(&Mail::new().header(name, mark), |message| {
///     assert_eq!(Route::of(message, &to)?.looped(message), Some(Loop::SameRoute));
///     assert_eq!(Route::of(message, &["you@other.example"])?.looped(message), None);
///     Ok(())
/// });
/// assert_eq!(run.result, Ok(()));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route(String);

/// Displays as the fingerprint.
impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a message is not sent on again. Displays as a phrase: "it was forwarded too often".
///
/// ```
/// use postroom_sdk::route::Loop;
///
/// assert_eq!(Loop::TooManyHops.to_string(), "it has too many Received fields");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loop {
    /// It has the mark of this route.
    SameRoute,
    /// It has the marks of many routes.
    TooManyForwards,
    /// It was relayed very often.
    TooManyHops,
}

impl fmt::Display for Loop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SameRoute => "it was forwarded to the same destination before",
            Self::TooManyForwards => "it was forwarded too often",
            Self::TooManyHops => "it has too many Received fields",
        })
    }
}

impl Route {
    /// Of the message's account to these recipients, in any order and case.
    ///
    /// # Errors
    /// When the host refuses to compute it: a limit of what a plugin may make.
    pub fn of<T: AsRef<str>>(message: &Message, to: &[T]) -> Result<Self, Fault> {
        let mut recipients: Vec<String> = to.iter().map(|to| to.as_ref().to_ascii_lowercase()).collect();
        recipients.sort_unstable();
        recipients.dedup();
        let mut writer = Writer::new();
        writer.write(format!("{}\n{}", message.account(), recipients.join("\n")).as_bytes())?;
        let mut digest = writer.finish()?.sha256();
        digest.truncate(16);
        Ok(Self(digest))
    }

    /// The value of the trace field.
    pub fn mark(&self, message: &Message) -> String {
        format!("{}; route={self}", message.id())
    }

    /// Whether the message has gone this way before, or too many ways.
    pub fn looped(&self, message: &Message) -> Option<Loop> {
        let marks = message.header_all(FIELD);
        let same =
            |mark: &String| mark.rsplit_once("route=").is_some_and(|(_, taken)| taken.trim() == self.0);
        if marks.iter().any(same) {
            Some(Loop::SameRoute)
        } else if marks.len() >= FORWARDS {
            Some(Loop::TooManyForwards)
        } else if message.header_all("Received").len() > HOPS {
            Some(Loop::TooManyHops)
        } else {
            None
        }
    }
}

/// Marks of earlier forwards, for a message that wraps this one to carry on: without them its receiver could not tell a loop.
///
/// ```
/// use postroom_bench::{Bench, Mail};
/// use postroom_sdk::route::{FIELD, earlier};
///
/// let run = Bench::new().run_fn(&Mail::new().header(FIELD, "x; route=1"), |message| {
///     assert_eq!(earlier(message), ["x; route=1"]);
///     Ok(())
/// });
/// assert_eq!(run.result, Ok(()));
/// ```
pub fn earlier(message: &Message) -> Vec<String> {
    let fits = |mark: &String| {
        (1..=MARK_OCTETS).contains(&mark.len()) && mark.bytes().all(|octet| (b' '..=b'~').contains(&octet))
    };
    let marks = message.header_all(FIELD).into_iter().map(|mark| mark.trim().to_owned());
    marks.filter(fits).take(FORWARDS).collect()
}

/// Whether it has the null reverse-path (RFC 5321 section 4.4): the last delivery wrote the topmost one. If a bounce is
/// sent on and fails, its bounce comes here again.
///
/// ```
/// use postroom_bench::{Bench, Mail};
/// use postroom_sdk::route::is_bounce;
///
/// let run = Bench::new().run_fn(&Mail::new().header("Return-Path", "<>"), |message| {
///     assert!(is_bounce(message));
///     Ok(())
/// });
/// assert_eq!(run.result, Ok(()));
/// ```
pub fn is_bounce(message: &Message) -> bool {
    let path = message.header_raw("Return-Path").into_iter().next();
    path.is_some_and(|path| path.iter().filter(|octet| !octet.is_ascii_whitespace()).eq(b"<>"))
}
