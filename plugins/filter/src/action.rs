//! What a rule does. Most actions are texts: `label:NAME`, `quarantine[:REASON]`, `discard[:REASON]`, `stop`, `continue`,
//! `file:MAILBOX`, `forward:ADDRESS`, `store:KEY`. Those that write may be tables, which say more.

use std::borrow::Cow;
use std::fmt;

use postroom_sdk::effects::{self, Compression};
use postroom_sdk::route::{self, Route};
use postroom_sdk::schemars::{self, Schema, SchemaGenerator, json_schema};
use postroom_sdk::template::MessageTemplate;
use postroom_sdk::{Fault, JsonSchema, Message, log};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};

use crate::Settings;
use crate::pattern::Listed;

/// The actions that are texts, as a pattern.
const PATTERN: &str = r"^\s*(label\s*:\s*[A-Za-z0-9_./:-]{1,64}|(quarantine|discard)\s*(:[\s\S]*)?|(file|forward|store)\s*:[\s\S]*|stop|continue)\s*$";

/// One action of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Sets a label.
    Label(String),
    /// Sets the message aside, with a reason.
    Quarantine(Option<String>),
    /// Lets the message go, with a reason.
    Discard(Option<String>),
    /// No later step sees the message.
    Stop,
    /// The next rules are tried too.
    Continue,
    /// Files a copy into a mailbox.
    File {
        /// Empty is the inbox.
        mailbox: String,
        sink: Option<String>,
        flags: Option<String>,
    },
    /// Sends it on as it is.
    Forward { to: Vec<String>, sink: Option<String> },
    /// Stores the raw message.
    Store { key: MessageTemplate, sink: Option<String>, zstd: bool },
}

const KNOWN: &str = "there are label:NAME, quarantine, quarantine:REASON, discard, discard:REASON, file:MAILBOX, \
                     forward:ADDRESS, store:KEY, stop and continue";

impl Action {
    fn of_text(text: &str) -> Result<Self, String> {
        let (verb, argument) = match text.split_once(':') {
            Some((verb, argument)) => (verb.trim(), Some(argument.trim().to_owned())),
            None => (text.trim(), None),
        };
        match (verb, argument) {
            ("label", Some(name)) if is_label(&name) => Ok(Self::Label(name)),
            ("label", _) => Err(format!(
                "\"{text}\": a label is 1 to 64 letters, digits, '-', '_', '.', '/' or ':', as in \"label:bills\""
            )),
            ("quarantine", reason) => Ok(Self::Quarantine(reason)),
            ("discard", reason) => Ok(Self::Discard(reason)),
            ("stop", None) => Ok(Self::Stop),
            ("continue", None) => Ok(Self::Continue),
            ("file", Some(mailbox)) => Table { file: Some(mailbox), ..Table::default() }.action(),
            ("forward", Some(to)) => Table { forward: Some(Listed(vec![to])), ..Table::default() }.action(),
            ("store", Some(key)) => Table { store: Some(key), ..Table::default() }.action(),
            _ => Err(format!("\"{text}\" is no action; {KNOWN}")),
        }
    }

    /// Does it, for the rule of that name.
    pub(crate) fn take(&self, rule: &str, message: &Message, settings: &Settings) -> Result<(), Fault> {
        let reason =
            |reason: &Option<String>| reason.clone().unwrap_or_else(|| format!("filter rule {rule}"));
        match self {
            Self::Label(name) => effects::label(name),
            Self::Quarantine(why) => effects::quarantine(&reason(why)),
            Self::Discard(why) => effects::discard(&reason(why)),
            Self::Stop => {
                effects::stop();
                Ok(())
            }
            Self::Continue => Ok(()),
            Self::File { mailbox, flags, .. } => {
                let raw = message.raw();
                let filing = effects::file_into(self.sink(settings), mailbox, &raw);
                flags.iter().fold(filing, |filing, flags| filing.flags(flags)).queue()
            }
            Self::Forward { to, .. } => forward(message, self.sink(settings), to, rule),
            Self::Store { key, zstd, .. } => {
                let raw = message.raw();
                let storing = effects::store(self.sink(settings), key.render(message), &raw);
                let storing = storing.content_type("message/rfc822").meta("rule", printable(rule));
                let storing = if *zstd { storing.compress(Compression::Zstd) } else { storing };
                storing.queue().map(drop)
            }
        }
    }

    /// Where it writes to: its own sink, else that of the settings. Empty when it writes nowhere, or when nothing is said.
    fn sink<'s>(&'s self, settings: &'s Settings) -> &'s str {
        let (own, general) = match self {
            Self::Label(_) | Self::Quarantine(_) | Self::Discard(_) | Self::Stop | Self::Continue => {
                return "";
            }
            Self::File { sink, .. } => (sink, &settings.mailboxes),
            Self::Forward { sink, .. } => (sink, &settings.relay),
            Self::Store { sink, .. } => (sink, &settings.store),
        };
        own.as_deref().or(general.as_deref()).unwrap_or_default()
    }

    /// What is missing in the settings to do it.
    pub(crate) fn lacks(&self, settings: &Settings) -> Option<String> {
        let (verb, setting, kind) = match self {
            Self::Label(_) | Self::Quarantine(_) | Self::Discard(_) | Self::Stop | Self::Continue => {
                return None;
            }
            Self::File { .. } => ("file", "mailboxes", "mailbox"),
            Self::Forward { .. } => ("forward", "relay", "smtp"),
            Self::Store { .. } => ("store", "store", "directory or s3"),
        };
        self.sink(settings).is_empty().then(|| {
            format!(
                "{verb} needs a sink: set {setting} = \"SINK\" to the name of a {kind} sink, or write {{ {verb} = …, \
                 sink = \"SINK\" }}"
            )
        })
    }
}

/// Sends it on, unless that would make a loop, or bounce a bounce.
fn forward(message: &Message, sink: &str, to: &[String], rule: &str) -> Result<(), Fault> {
    let route = Route::of(message, to)?;
    let (label, reason) = match route.looped(message) {
        _ if route::is_bounce(message) => ("bounce", "a bounce: its Return-Path is <>".to_owned()),
        Some(found) => ("loop", format!("a mail loop: {found}")),
        None => return effects::forward(sink, to).header(route::FIELD, route.mark(message)).queue(),
    };
    log::warn("not forwarded", &[("rule", &rule), ("reason", &reason)]);
    effects::label(label)
}

/// A rule's name, fit to be kept beside the content.
fn printable(name: &str) -> String {
    name.chars().filter(|ch| !ch.is_control()).take(100).collect()
}

fn is_label(name: &str) -> bool {
    let fits = |octet: u8| octet.is_ascii_alphanumeric() || b"-_./:".contains(&octet);
    (1..=64).contains(&name.len()) && name.bytes().all(fits)
}

/// The keys of actions that write.
#[derive(Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(inline, extend("minProperties" = 1))]
struct Table {
    /// A mailbox to file it into.
    file: Option<String>,
    /// Addresses to send it on to.
    forward: Option<Listed<String>>,
    /// A key to store it under.
    store: Option<String>,
    /// Another sink than that of the settings.
    sink: Option<String>,
    /// Letters of DFPRST, with `file`.
    flags: Option<String>,
    /// "zstd", with `store`.
    compress: Option<String>,
}

impl Table {
    fn action(self) -> Result<Action, String> {
        match self {
            Self { file: Some(mailbox), forward: None, store: None, sink, flags, compress: None } => {
                let mailbox = if mailbox.eq_ignore_ascii_case("inbox") { String::new() } else { mailbox };
                match flags.as_deref().and_then(|flags| flags.chars().find(|flag| !"DFPRST".contains(*flag)))
                {
                    Some(flag) => Err(format!("flag '{}' is not one of DFPRST", flag.escape_debug())),
                    None => Ok(Action::File { mailbox, sink, flags }),
                }
            }
            Self {
                file: None,
                forward: Some(Listed(to)),
                store: None,
                sink,
                flags: None,
                compress: None,
            } => match to.iter().find(|to| !is_address(to)) {
                None if !to.is_empty() => Ok(Action::Forward { to, sink }),
                None => Err("forward must name at least one address".to_owned()),
                Some(bad) => {
                    Err(format!("\"{}\" is no bare address like me@example.org", bad.escape_debug()))
                }
            },
            Self { file: None, forward: None, store: Some(key), sink, flags: None, compress } => {
                let key = MessageTemplate::parse(&key).map_err(|problem| problem.text)?;
                match compress.as_deref() {
                    None => Ok(Action::Store { key, sink, zstd: false }),
                    Some("zstd") => Ok(Action::Store { key, sink, zstd: true }),
                    Some(_) => Err("compress can only be \"zstd\"".to_owned()),
                }
            }
            _ => Err("an action as a table is one of { file = \"MAILBOX\", sink, flags }, \
                      { forward = \"ADDRESS\", sink } or { store = \"KEY\", sink, compress }"
                .to_owned()),
        }
    }
}

fn is_address(text: &str) -> bool {
    let plain = |ch: char| !ch.is_whitespace() && !ch.is_control() && !"<>,;:\"()".contains(ch);
    text.chars().all(plain)
        && text
            .split_once('@')
            .is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty() && !domain.contains('@'))
}

impl<'de> Deserialize<'de> for Action {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct One;
        impl<'de> Visitor<'de> for One {
            type Value = Action;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an action like \"label:bills\", or a table like { file = \"Bills\" }")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Action, E> {
                Action::of_text(text).map_err(E::custom)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Action, A::Error> {
                let table = Table::deserialize(MapAccessDeserializer::new(map))?;
                table.action().map_err(de::Error::custom)
            }
        }
        deserializer.deserialize_any(One)
    }
}

impl JsonSchema for Action {
    fn schema_name() -> Cow<'static, str> {
        Cow::Borrowed("Action")
    }

    fn schema_id() -> Cow<'static, str> {
        Cow::Borrowed(concat!(module_path!(), "::Action"))
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let table = generator.subschema_for::<Table>();
        let text = json_schema!({ "type": "string", "pattern": PATTERN });
        json_schema!({ "description": KNOWN, "anyOf": [text, table] })
    }
}
