//! What a run did, as an author wants to compare it.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;

use postroom_contract::{Cause, Outcome};
use postroom_mail::{Action, Address, Coding, Content, OnConflict, Verdict};
use postroom_sdk::Failure;
use postroom_sdk::log::Level;

/// One thing that would happen.
///
/// ```
/// use postroom_bench::Effect;
///
/// let effect = Effect::Store {
///     sink: "papers".to_owned(),
///     key: "bill.pdf".to_owned(),
///     content: b"%PDF-1.7".to_vec(),
///     options: Vec::new(),
/// };
/// assert_eq!(effect.to_string(), "store papers:bill.pdf 8 octets");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are the arguments of the functions in `effects`")]
pub enum Effect {
    /// `effects::store`. With `on-conflict` = `number` the sink may take `name (2).ext` instead.
    Store { sink: String, key: String, content: Vec<u8>, options: Vec<(String, String)> },
    /// `effects::file_into`.
    FileInto { sink: String, mailbox: String, content: Vec<u8>, options: Vec<(String, String)> },
    /// `effects::forward`, or a `send` of the original as it is.
    Forward { sink: String, to: Vec<String>, add_headers: Vec<(String, String)> },
    /// `effects::send`.
    Send { sink: String, to: Vec<String>, message: Vec<u8> },
    /// `effects::label`.
    Label(String),
    /// `effects::discard`.
    Discard(String),
    /// `effects::quarantine`.
    Quarantine(String),
    /// `effects::stop`.
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

/// One line a plugin logged, or the host about its message.
///
/// ```
/// use postroom_bench::{Bench, Mail};
/// use postroom_sdk::log;
///
/// let run = Bench::new().run_fn(&Mail::new(), |_| {
///     log::info("stored", &[("octets", &1024)]);
///     Ok(())
/// });
/// assert_eq!((run.logs[0].text.as_str(), run.logs[0].field("octets")), ("stored", Some("1024")));
/// ```
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
///
/// ```
/// use postroom_bench::{Bench, Mail};
/// use postroom_sdk::prelude::*;
///
/// let run = Bench::new().run_fn(&Mail::new(), |_| {
///     log::warn("odd", &[]);
///     effects::label("odd")?;
///     Ok(())
/// });
/// assert_eq!((run.result.is_ok(), run.parsed, run.retry_after), (true, false, None));
/// assert_eq!(run.lines(), ["label odd"]);
/// assert_eq!(run.log()[0].message, "odd");
/// ```
#[derive(Clone, Debug)]
pub struct Run {
    /// What `handle` answered; settings that make no sense and limits that were passed are permanent failures.
    pub result: Result<(), Failure>,
    /// What would happen: labels, then effects in the order they were asked for, then the verdict, then the stop. Nothing
    /// when the run failed. What was asked for twice is there once; quarantine beats discard.
    pub effects: Vec<Effect>,
    /// What was logged.
    pub logs: Vec<LogLine>,
    /// Whether the MIME structure had to be found.
    pub parsed: bool,
    /// The state of the step after the run.
    pub kv: BTreeMap<String, Vec<u8>>,
    /// What it asked for with `retry_after`, seconds.
    pub retry_after: Option<u32>,
    /// The same as the host has it.
    pub outcome: Result<Outcome, Cause>,
    pub(crate) log: Vec<postroom_mail::LogLine>,
}

impl Run {
    /// Of a bench that is set up wrong.
    pub(crate) fn impossible(text: String) -> Self {
        Self {
            result: Err(Failure::permanent(&text)),
            effects: Vec::new(),
            logs: Vec::new(),
            parsed: false,
            kv: BTreeMap::new(),
            retry_after: None,
            outcome: Err(Cause::Host(text)),
            log: Vec::new(),
        }
    }

    /// What was logged, as the host has it, also of a run that failed.
    pub fn log(&self) -> &[postroom_mail::LogLine] {
        &self.log
    }

    /// The effects, each as one line.
    pub fn lines(&self) -> Vec<String> {
        self.effects.iter().map(Effect::to_string).collect()
    }
}

pub(crate) fn failure(cause: &Cause) -> Failure {
    match cause {
        Cause::Failed { transient: true, message, .. } | Cause::OutOfReach { message, .. } => {
            Failure::Transient(message.clone())
        }
        Cause::Failed { transient: false, message, .. } => Failure::Permanent(message.clone()),
        Cause::CpuTime { .. }
        | Cause::WallTime { .. }
        | Cause::Memory { .. }
        | Cause::Limit { .. }
        | Cause::Trap { .. }
        | Cause::Exit(_)
        | Cause::Busy(_)
        | Cause::Host(_) => Failure::permanent(cause),
    }
}

/// `raw` is the message.
pub(crate) fn effects(outcome: &Outcome, raw: &Vec<u8>) -> Vec<Effect> {
    let labels = outcome.labels.iter().map(|label| Effect::Label(label.as_str().to_owned()));
    let asked = outcome.effects.iter().map(|asked| effect(asked, raw));
    let verdict = outcome.verdict.as_ref().and_then(|verdict| match verdict {
        Verdict::Keep => None,
        Verdict::Discard { reason, .. } => Some(Effect::Discard(reason.clone())),
        Verdict::Quarantine { reason, .. } => Some(Effect::Quarantine(reason.clone())),
    });
    labels.chain(asked).chain(verdict).chain(outcome.stop.then_some(Effect::Stop)).collect()
}

fn effect(asked: &postroom_mail::Effect, raw: &Vec<u8>) -> Effect {
    let sink = asked.sink.to_string();
    match &asked.action {
        Action::Store { key, on_conflict, content_type, meta } => {
            let mut options = Vec::new();
            if let Some(content_type) = content_type {
                options.push(("content-type".to_owned(), content_type.clone()));
            }
            match asked.content.coding {
                Coding::Identity => {}
                Coding::Zstd => options.push(("compress".to_owned(), "zstd".to_owned())),
            }
            match on_conflict {
                OnConflict::Refuse => {}
                OnConflict::Number => options.push(("on-conflict".to_owned(), "number".to_owned())),
            }
            options.extend(meta.iter().map(|(name, value)| (format!("meta-{name}"), value.clone())));
            let content = octets(&asked.content, raw);
            Effect::Store { sink, key: key.as_str().to_owned(), content, options }
        }
        Action::FileInto { mailbox, flags } => {
            let options = match flags.as_str() {
                "" => Vec::new(),
                flags => vec![("flags".to_owned(), flags.to_owned())],
            };
            let content = octets(&asked.content, raw);
            Effect::FileInto { sink, mailbox: mailbox.as_str().to_owned(), content, options }
        }
        Action::Send { envelope, add_headers } => {
            let to = envelope.to.iter().map(Address::as_str).map(str::to_owned).collect();
            let is_original = asked.content.pieces == Content::raw(raw.len() as u64).pieces;
            match is_original {
                true => Effect::Forward {
                    sink,
                    to,
                    add_headers: add_headers
                        .iter()
                        .map(|field| (field.name().to_owned(), field.value().to_owned()))
                        .collect(),
                },
                false => Effect::Send { sink, to, message: octets(&asked.content, raw) },
            }
        }
    }
}

/// What the sink would read. Reading memory does not fail.
fn octets(content: &Content, raw: &Vec<u8>) -> Vec<u8> {
    let mut octets = Vec::new();
    let _ = content.open(raw).read_to_end(&mut octets);
    octets
}

pub(crate) fn line(line: &postroom_mail::LogLine) -> LogLine {
    let level = match line.level.as_str() {
        "trace" => Level::Trace,
        "debug" => Level::Debug,
        "warn" => Level::Warn,
        "error" => Level::Error,
        _ => Level::Info,
    };
    LogLine { level, text: line.message.clone(), fields: line.fields.clone() }
}
