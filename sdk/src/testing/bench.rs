//! What the bench grants, what a run did. The rules of the host, as far as the bench knows them, are here alone.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value;

use super::answers::{Answer, Answers};
use super::mail::Mail;
use crate::fault::{Failure, Fault, Problem};
use crate::log::Level;
use crate::message::Message;
use crate::plugin::Plugin;
use crate::{seam, settings};

/// One queued effect.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are the arguments of the functions in `effects`")]
pub enum Effect {
    /// [`effects::store`](crate::effects::store), with the key it ended at.
    Store { sink: String, key: String, content: Vec<u8>, options: Vec<(String, String)> },
    /// [`effects::file_into`](crate::effects::file_into).
    FileInto { sink: String, mailbox: String, content: Vec<u8>, options: Vec<(String, String)> },
    /// [`effects::forward`](crate::effects::forward).
    Forward { sink: String, to: Vec<String>, add_headers: Vec<(String, String)> },
    /// [`effects::send`](crate::effects::send).
    Send { sink: String, to: Vec<String>, message: Vec<u8> },
    /// [`effects::label`](crate::effects::label).
    Label(String),
    /// [`effects::discard`](crate::effects::discard).
    Discard(String),
    /// [`effects::quarantine`](crate::effects::quarantine).
    Quarantine(String),
    /// [`effects::stop`](crate::effects::stop).
    Stop,
}

/// One line: "store invoices:2026/11/bill.pdf 8 octets".
impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store { sink, key, content, .. } => {
                write!(f, "store {sink}:{key} {} octets", content.len())
            }
            Self::FileInto { sink, mailbox, content, .. } => {
                write!(f, "file-into {sink}:{mailbox} {} octets", content.len())
            }
            Self::Forward { sink, to, .. } => write!(f, "forward {sink} to {}", to.join(", ")),
            Self::Send { sink, to, message } => {
                write!(f, "send {sink} to {} {} octets", to.join(", "), message.len())
            }
            Self::Label(name) => write!(f, "label {name}"),
            Self::Discard(reason) => write!(f, "discard {reason}"),
            Self::Quarantine(reason) => write!(f, "quarantine {reason}"),
            Self::Stop => f.write_str("stop"),
        }
    }
}

/// One line a plugin logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// Severity.
    pub level: Level,
    /// Text.
    pub text: String,
    /// Fields in order.
    pub fields: Vec<(String, String)>,
}

impl LogLine {
    /// The first field of that name.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }
}

/// What one run did.
#[derive(Clone, Debug)]
pub struct Run {
    /// What `handle` answered; settings that make no sense are a permanent failure.
    pub result: Result<(), Failure>,
    /// The queue in order; empty when the run failed.
    pub effects: Vec<Effect>,
    /// What it logged.
    pub logs: Vec<LogLine>,
    /// Whether it asked for something the host has to parse MIME for.
    pub parsed: bool,
    /// What it asked for with `retry_after`, seconds.
    pub retry_after: Option<u32>,
}

impl Run {
    /// The effects, each as one line.
    pub fn lines(&self) -> Vec<String> {
        self.effects.iter().map(Effect::to_string).collect()
    }
}

/// What the operator granted. Nothing, to begin with.
#[derive(Clone, Debug, Default)]
pub struct Bench {
    sinks: BTreeSet<String>,
    refusals: BTreeMap<String, Fault>,
    discard: bool,
    kv: Option<BTreeMap<String, Vec<u8>>>,
    fetch: Answers,
}

impl Bench {
    /// A bench that grants nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Grants a sink.
    #[must_use]
    pub fn sink(mut self, name: &str) -> Self {
        self.sinks.insert(name.to_owned());
        self
    }

    /// Grants a sink that refuses everything.
    #[must_use]
    pub fn refuse(mut self, sink: &str, fault: Fault) -> Self {
        self.refusals.insert(sink.to_owned(), fault);
        self.sink(sink)
    }

    /// Grants `discard`.
    #[must_use]
    pub fn discard(mut self) -> Self {
        self.discard = true;
        self
    }

    /// Grants `kv`.
    #[must_use]
    pub fn kv(mut self) -> Self {
        self.kv.get_or_insert_default();
        self
    }

    /// Grants a target of `fetch`, and says what a path of it answers.
    #[must_use]
    pub fn answers(mut self, target: &str, path: &str, status: u16, body: impl Into<Vec<u8>>) -> Self {
        self.fetch.record(target, path, Ok(Answer { status, body: body.into() }));
        self
    }

    /// Grants a target of `fetch`, and says that a path of it has no answer.
    #[must_use]
    pub fn no_answer(mut self, target: &str, path: &str, fault: Fault) -> Self {
        self.fetch.record(target, path, Err(fault));
        self
    }

    /// Checks settings as the host does when it starts.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn configure<P: Plugin>(&self, settings: &Value) -> Result<(), Vec<Problem>> {
        settings::settings::<P>(&settings.to_string()).map(|_| ())
    }

    /// Runs a plugin over a mail. State in `kv` is kept for the next run on the same bench, unless the run fails.
    pub fn run_keeping<P: Plugin>(&mut self, settings: Value, mail: &Mail) -> Run {
        let (run, kv) = self.run_once::<P>(&settings, mail);
        if run.result.is_ok() {
            self.kv = kv;
        }
        run
    }

    /// Runs a plugin over a mail.
    pub fn run<P: Plugin>(&self, settings: Value, mail: &Mail) -> Run {
        self.run_once::<P>(&settings, mail).0
    }

    fn run_once<P: Plugin>(&self, settings: &Value, mail: &Mail) -> (Run, Option<BTreeMap<String, Vec<u8>>>) {
        let mail = mail.build();
        RUNNING.with(|slot| slot.replace(Some(Running { granted: self.clone(), ..Running::default() })));
        let result = match settings::settings::<P>(&settings.to_string()) {
            Ok(settings) => P::handle(&Message(seam::Message(&mail)), &settings),
            Err(problems) => Err(Failure::permanent(texts(&problems))),
        };
        let done = RUNNING.with(|slot| slot.take()).unwrap_or_default();
        let effects = if result.is_ok() { done.effects } else { Vec::new() };
        let run =
            Run { result, effects, logs: done.logs, parsed: done.parsed, retry_after: done.retry_after };
        (run, done.granted.kv)
    }
}

fn texts(problems: &[Problem]) -> String {
    problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("; ")
}

/// The run on this thread.
#[derive(Debug, Default)]
struct Running {
    granted: Bench,
    effects: Vec<Effect>,
    logs: Vec<LogLine>,
    parsed: bool,
    retry_after: Option<u32>,
}

thread_local! {
    static RUNNING: RefCell<Option<Running>> = const { RefCell::new(None) };
}

fn running<T>(act: impl FnOnce(&mut Running) -> Result<T, Fault>) -> Result<T, Fault> {
    RUNNING.with(|slot| match slot.borrow_mut().as_mut() {
        Some(running) => act(running),
        None => Err(Fault::Other("outside of a run: call this from `handle`, run by a Bench".to_owned())),
    })
}

impl Running {
    fn check_sink(&self, sink: &str) -> Result<(), Fault> {
        match self.granted.refusals.get(sink) {
            Some(fault) => Err(fault.clone()),
            None if self.granted.sinks.contains(sink) => Ok(()),
            None => Err(Fault::Denied(format!("grants = {{ sinks = [\"{sink}\"] }}"))),
        }
    }

    /// The key the content ends at: conflicts within the run are settled as the host does.
    fn free_key(&self, sink: &str, key: &str, content: &[u8], number: bool) -> Result<String, Fault> {
        let mut candidate = key.to_owned();
        for n in 2_u32.. {
            let taken = self.effects.iter().any(|effect| match effect {
                Effect::Store { sink: s, key: k, content: c, .. } => {
                    s == sink && *k == candidate && c != content
                }
                _ => false,
            });
            match (taken, number) {
                (false, _) => break,
                (true, false) => return Err(Fault::Invalid(format!("key \"{key}\" holds other content"))),
                (true, true) => candidate = numbered(key, n),
            }
        }
        Ok(candidate)
    }
}

pub(crate) fn queue(effect: Effect) -> Result<(), Fault> {
    running(|running| {
        running.effects.push(effect);
        Ok(())
    })
}

pub(crate) fn queue_for(sink: &str, effect: Effect) -> Result<(), Fault> {
    running(|running| {
        running.check_sink(sink)?;
        running.effects.push(effect);
        Ok(())
    })
}

pub(crate) fn queue_store(
    sink: &str,
    key: &str,
    content: &[u8],
    options: Vec<(String, String)>,
) -> Result<String, Fault> {
    running(|running| {
        running.check_sink(sink)?;
        check_key(key)?;
        let number = options.iter().any(|(name, value)| name == "on-conflict" && value == "number");
        let key = running.free_key(sink, key, content, number)?;
        let (sink, content) = (sink.to_owned(), content.to_vec());
        running.effects.push(Effect::Store { sink, key: key.clone(), content, options });
        Ok(key)
    })
}

pub(crate) fn queue_discard(reason: &str) -> Result<(), Fault> {
    running(|running| {
        if !running.granted.discard {
            return Err(Fault::Denied("grants = { discard = true }".to_owned()));
        }
        running.effects.push(Effect::Discard(reason.to_owned()));
        Ok(())
    })
}

pub(crate) fn retry_after(seconds: u32) {
    let _ = running(|running| {
        running.retry_after = Some(seconds);
        Ok(())
    });
}

pub(crate) fn kv<T>(act: impl FnOnce(&mut BTreeMap<String, Vec<u8>>) -> T) -> Result<T, Fault> {
    running(|running| match running.granted.kv.as_mut() {
        Some(kv) => Ok(act(kv)),
        None => Err(Fault::Denied("grants = { kv = true }".to_owned())),
    })
}

pub(crate) fn fetch(target: &str, path: &str) -> Result<Answer, Fault> {
    running(|running| running.granted.fetch.of(target, path))
}

pub(crate) fn log(line: LogLine) {
    let _ = running(|running| {
        running.logs.push(line);
        Ok(())
    });
}

pub(crate) fn note_parsed() {
    let _ = running(|running| {
        running.parsed = true;
        Ok(())
    });
}

pub(crate) fn labels() -> Vec<String> {
    let set = running(|running| {
        let labels = running.effects.iter().filter_map(|effect| match effect {
            Effect::Label(name) => Some(name.clone()),
            _ => None,
        });
        Ok(labels.collect())
    });
    set.unwrap_or_default()
}

fn check_key(key: &str) -> Result<(), Fault> {
    let bad = |segment: &str| {
        segment.is_empty() || segment == "." || segment == ".." || segment.ends_with(['.', ' '])
    };
    if key.len() > 900 || key.contains('\\') || key.chars().any(char::is_control) || key.split('/').any(bad) {
        return Err(Fault::Invalid(format!("key \"{key}\" is not a plain relative path")));
    }
    Ok(())
}

fn numbered(key: &str, n: u32) -> String {
    let name_at = key.rfind('/').map_or(0, |at| at + 1);
    match key[name_at..].rfind('.').filter(|dot| *dot > 0) {
        Some(dot) => format!("{} ({n}){}", &key[..name_at + dot], &key[name_at + dot..]),
        None => format!("{key} ({n})"),
    }
}
