//! From merged sources to [`RawConfig`]: finds every unknown key and every wrong type it can, not just the first.
//! Must not show a value in a text: the line in the file shows it, masked where needed.

use std::path::PathBuf;

use figment::error::{Actual, Error, Kind};
use figment::value::Value;
use postroom_mail::Name;
use postroom_mail::rules::neutral;
use serde::de::DeserializeOwned;

use super::diagnose::{ConfigError, Origin, nearest, suggest};
use super::raw::{RawConfig, RawPipeline, TOP};
use super::sources::{KeyPath, Sources, child};
use super::written::Part;
use crate::sinks::{
    DirectoryConfig, ImapConfig, LmtpConfig, MaildirConfig, S3Config, SinkConfig, SmtpConfig, WebhookConfig,
};

/// Reads everything; what is returned beside errors has holes.
pub(super) fn read(sources: &Sources) -> (RawConfig, Vec<ConfigError>) {
    let mut reader = Reader { sources, errors: Vec::new() };
    let raw = reader.config();
    (raw, reader.errors)
}

/// A key path from its parts.
pub(super) fn path<const N: usize>(keys: [&str; N]) -> Vec<String> {
    keys.iter().map(|key| (*key).to_owned()).collect()
}

/// How a place in the configuration is called in a text.
pub(super) fn called(path: &KeyPath) -> String {
    match path {
        [] => "the configuration".to_owned(),
        [first, pipeline, steps, index, rest @ ..] if first == "pipelines" && steps == "steps" => {
            let number = index.parse::<usize>().map_or(0, |index| index + 1);
            let step = format!("step {number} of `pipelines.{}`", neutral(pipeline, 64));
            if rest.is_empty() { step } else { format!("`{}` of {step}", dotted(rest)) }
        }
        _ => format!("`{}`", dotted(path)),
    }
}

fn dotted(path: &KeyPath) -> String {
    neutral(&path.join("."), 120)
}

struct Reader<'a> {
    sources: &'a Sources,
    errors: Vec<ConfigError>,
}

impl Reader<'_> {
    fn config(&mut self) -> RawConfig {
        self.unknown_keys(&[], &TOP);
        let mut raw = RawConfig {
            state: self.read(&path(["state"])).map(|text: String| PathBuf::from(text)),
            never_delete: self.read(&path(["never_delete"])).unwrap_or_default(),
            limits: self.read(&path(["limits"])).unwrap_or_default(),
            log: self.read(&path(["log"])).unwrap_or_default(),
            ..RawConfig::default()
        };
        for (id, at) in self.entries("accounts") {
            raw.accounts.extend(self.read(&at).map(|account| (id, account)));
        }
        for (name, at) in self.entries("sinks") {
            raw.sinks.extend(self.sink(&at).map(|sink| (name, sink)));
        }
        for (name, at) in self.entries("fetch") {
            raw.fetch.extend(self.read(&at).map(|target| (name, target)));
        }
        for (name, at) in self.entries("registries") {
            raw.registries.extend(self.read(&at).map(|registry| (name, registry)));
        }
        raw.keys = self.read(&path(["keys"])).unwrap_or_default();
        for (name, at) in self.entries("pipelines") {
            raw.pipelines.extend(self.pipeline(&at).map(|pipeline| (name, pipeline)));
        }
        raw
    }

    /// The named tables of a section.
    fn entries(&mut self, section: &str) -> Vec<(Name, Vec<String>)> {
        let at = path([section]);
        let mut entries = Vec::new();
        for key in self.keys(&at) {
            let at = path([section, &key]);
            match Name::new(key) {
                Ok(name) if self.is_table(&at) => entries.push((name, at)),
                Ok(_) => {}
                Err(error) => {
                    let hint = "letters, digits, `-` and `_` make a name";
                    self.mistake(&at, Part::Key, error.to_string(), Some(hint.to_owned()));
                }
            }
        }
        entries
    }

    /// The struct of a sink is chosen by its `type`, here and not by serde, which would lose where a mistake is.
    fn sink(&mut self, at: &KeyPath) -> Option<SinkConfig> {
        const TYPES: [&str; 7] = ["directory", "maildir", "imap", "s3", "webhook", "smtp", "lmtp"];
        let mut value = self.sources.find(at)?.clone();
        let kind = match &mut value {
            Value::Dict(_, dict) => dict.remove("type"),
            _ => None,
        };
        for key in ["host", "endpoint"] {
            if child(&value, key).and_then(Value::as_str).is_some_and(|text| text.contains('@')) {
                let at = [at, &path([key])].concat();
                let hint = "keys of their own hold the user and a reference to the password";
                self.mistake(
                    &at,
                    Part::Key,
                    format!("{} may not hold a user or a password", called(&at)),
                    Some(hint.to_owned()),
                );
            }
        }
        match kind.as_ref().map(Value::as_str) {
            Some(Some("directory")) => {
                self.read_value::<DirectoryConfig>(at, value).map(SinkConfig::Directory)
            }
            Some(Some("maildir")) => self.read_value::<MaildirConfig>(at, value).map(SinkConfig::Maildir),
            Some(Some("s3")) => self.read_value::<S3Config>(at, value).map(SinkConfig::S3),
            Some(Some("smtp")) => self.read_value::<SmtpConfig>(at, value).map(SinkConfig::Smtp),
            Some(Some("lmtp")) => self.read_value::<LmtpConfig>(at, value).map(SinkConfig::Lmtp),
            Some(Some("imap")) => {
                self.read_value::<ImapConfig>(at, value).map(Box::new).map(SinkConfig::Imap)
            }
            Some(Some("webhook")) => self.read_value::<WebhookConfig>(at, value).map(SinkConfig::Webhook),
            Some(other) => {
                let at = [at, &path(["type"])].concat();
                let text = format!("{} is no type of sink", called(&at));
                self.mistake(&at, Part::Value, text, suggest(other.unwrap_or(""), TYPES));
                None
            }
            None => {
                let hint = "possible: directory, maildir, imap, s3, webhook, smtp, lmtp; for example type = \"directory\"";
                self.mistake(at, Part::Key, format!("{} lacks `type`", called(at)), Some(hint.to_owned()));
                None
            }
        }
    }

    fn pipeline(&mut self, at: &KeyPath) -> Option<RawPipeline> {
        self.unknown_keys(at, &["accounts", "steps"]);
        let accounts = self.read(&[at, &path(["accounts"])].concat());
        let steps_at = [at, &path(["steps"])].concat();
        let count = match self.sources.find(&steps_at) {
            None => 0,
            Some(Value::Array(_, steps)) => steps.len(),
            Some(_) => {
                let hint = format!("each step is a table of its own: [[{}]]", dotted(&steps_at));
                self.mistake(
                    &steps_at,
                    Part::Key,
                    format!("{} must be a list of tables", called(&steps_at)),
                    Some(hint),
                );
                return None;
            }
        };
        let steps =
            (0..count).filter_map(|index| self.read(&[&*steps_at, &[index.to_string()]].concat())).collect();
        Some(RawPipeline { accounts, steps })
    }

    fn keys(&mut self, at: &KeyPath) -> Vec<String> {
        match self.sources.find(at) {
            Some(Value::Dict(_, dict)) => dict.keys().cloned().collect(),
            Some(_) => {
                self.is_table(at);
                Vec::new()
            }
            None => Vec::new(),
        }
    }

    fn is_table(&mut self, at: &KeyPath) -> bool {
        let is_table = matches!(self.sources.find(at), Some(Value::Dict(..)));
        if !is_table {
            let hint = format!("write [{}] on a line of its own, its keys below", dotted(at));
            self.mistake(at, Part::Key, format!("{} must be a table", called(at)), Some(hint));
        }
        is_table
    }

    fn unknown_keys(&mut self, at: &KeyPath, known: &[&'static str]) {
        for key in self.keys_of_dict(at) {
            if !known.contains(&key.as_str()) {
                let path = [at, &[key]].concat();
                self.unknown(&path, known);
            }
        }
    }

    fn keys_of_dict(&self, at: &KeyPath) -> Vec<String> {
        let value = self.sources.find(at);
        value.and_then(Value::as_dict).map(|dict| dict.keys().cloned().collect()).unwrap_or_default()
    }

    fn unknown(&mut self, at: &KeyPath, known: &[&'static str]) {
        let (key, table) = at.split_last().map_or(("", at), |(key, table)| (key.as_str(), table));
        let hint = suggest(key, known.iter().copied());
        self.mistake(
            at,
            Part::Key,
            format!("there is no key `{}` in {}", neutral(key, 60), called(table)),
            hint,
        );
    }

    fn read<T: DeserializeOwned>(&mut self, at: &KeyPath) -> Option<T> {
        let value = self.sources.find(at)?.clone();
        self.read_value(at, value)
    }

    /// After each mistake the value that has it is left out and the rest is read again, so that all are found.
    fn read_value<T: DeserializeOwned>(&mut self, at: &KeyPath, mut value: Value) -> Option<T> {
        let mut left_out: Vec<Vec<String>> = Vec::new();
        loop {
            let error = match T::deserialize(&value) {
                Ok(read) => return Some(read),
                Err(error) => error,
            };
            let lacks = match &error.kind {
                Kind::MissingField(field) => Some([&*error.path, &[field.to_string()]].concat()),
                _ => None,
            };
            // What was left out, or only misspelt, is not missing.
            if !lacks.is_some_and(|lacks| left_out.contains(&lacks)) {
                self.explain(&[at, &*error.path].concat(), &error);
            }
            left_out.extend(meant(&error));
            match leave_out(&mut value, &error.path) {
                Some(path) => left_out.push(path),
                None => return None,
            }
        }
    }

    fn explain(&mut self, at: &KeyPath, error: &Error) {
        let name = called(at);
        match &error.kind {
            Kind::UnknownField(_, known) => self.unknown(at, known),
            Kind::MissingField(field) => {
                let text = format!("{name} lacks `{field}`");
                self.mistake(
                    at,
                    Part::Value,
                    text,
                    example(field).map(|example| format!("for example {example}")),
                );
            }
            Kind::UnknownVariant(written, known) => {
                let text = format!("{name} cannot be \"{}\"", neutral(written, 60));
                self.mistake(at, Part::Value, text, suggest(written, known.iter().copied()));
            }
            Kind::InvalidValue(_, expected) => {
                self.mistake(at, Part::Value, format!("{name} must be {}", expectation(expected)), None);
            }
            Kind::InvalidType(found, expected) => {
                let (expected, found, variable) = (expectation(expected), kind(found), self.is_variable(at));
                let hint = match found {
                    "a number" if variable && expected == "a text in quotes" => {
                        Some("write quotes into it: '\"123\"'")
                    }
                    "a text" if !variable && expected.starts_with("a whole number") => {
                        Some("write it without quotes")
                    }
                    "a text" if !variable && expected == "true or false" => {
                        Some("write true or false without quotes")
                    }
                    _ => None,
                };
                self.mistake(
                    at,
                    Part::Value,
                    format!("{name} must be {expected}, not {found}"),
                    hint.map(str::to_owned),
                );
            }
            Kind::Message(text) => {
                let (what, hint) =
                    text.split_once('\n').map_or((text.as_str(), None), |(what, hint)| (what, Some(hint)));
                self.mistake(at, Part::Value, format!("{name}: {what}"), hint.map(str::to_owned));
            }
            other => self.mistake(at, Part::Value, format!("{name}: {other}"), None),
        }
    }

    fn is_variable(&self, at: &KeyPath) -> bool {
        matches!(self.sources.locate(at, Part::Value).0, Some(Origin::Variable(_)))
    }

    fn mistake(&mut self, at: &KeyPath, part: Part, text: String, hint: Option<String>) {
        let (origin, place) = self.sources.locate(at, part);
        self.errors.push(ConfigError::new(text).maybe_hint(hint).at(origin, place));
    }
}

/// The key that an unknown one was probably meant to be.
fn meant(error: &Error) -> Option<Vec<String>> {
    let Kind::UnknownField(written, known) = &error.kind else { return None };
    let (_, table) = error.path.split_last()?;
    nearest(written, known).map(|near| [table, &[near.to_owned()]].concat())
}

/// Takes out the value at `path`, or the list or the then empty table it is in. Returns what was taken out.
fn leave_out(value: &mut Value, path: &KeyPath) -> Option<Vec<String>> {
    let (key, above) = path.split_last()?;
    let mut table = &mut *value;
    for (depth, step) in above.iter().enumerate() {
        if matches!(child(table, step), Some(Value::Array(..))) {
            return leave_out(value, path.get(..=depth)?);
        }
        let Value::Dict(_, dict) = table else { return None };
        table = dict.get_mut(step)?;
    }
    let Value::Dict(_, dict) = table else { return None };
    dict.remove(key)?;
    if dict.is_empty() && !above.is_empty() { leave_out(value, above) } else { Some(path.to_vec()) }
}

fn kind(found: &Actual) -> &'static str {
    match found {
        Actual::Bool(_) => "true or false",
        Actual::Unsigned(_) | Actual::Signed(_) => "a number",
        Actual::Float(_) => "a number with a point",
        Actual::Char(_) | Actual::Str(_) => "a text",
        Actual::Seq => "a list",
        Actual::Map => "a table",
        Actual::Unit | Actual::Option => "nothing",
        Actual::Bytes(_)
        | Actual::NewtypeStruct
        | Actual::Enum
        | Actual::UnitVariant
        | Actual::NewtypeVariant => "this",
        Actual::TupleVariant | Actual::StructVariant | Actual::Other(_) => "this",
    }
}

fn expectation(expected: &str) -> String {
    let words = match expected {
        "a string" | "path string" | "string or map" => "a text in quotes",
        "a boolean" => "true or false",
        "u16" => "a whole number from 0 to 65535",
        "u8" | "u32" | "u64" | "usize" => "a whole number",
        "a sequence" => "a list: [ … ]",
        "a map" => "a table: { … }",
        expected if expected.starts_with("struct ") => "a table: { … }",
        expected => expected,
    };
    words.to_owned()
}

fn example(field: &str) -> Option<&'static str> {
    Some(match field {
        "host" => "host = \"pop.example.net\"",
        "user" => "user = \"me@example.net\"",
        "password" => "password = { file = \"secrets/NAME\" }",
        "plugin" => "plugin = \"archive\"",
        "url" => "url = \"https://crm.example/api/\"",
        "path" => "path = \"mail\"",
        "bucket" => "bucket = \"mail-vault\"",
        "after" => "{ when = \"done\", after = \"7d\" }",
        "when" => "{ when = \"done\", after = \"7d\" }",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use figment::value::Dict;

    use super::*;

    #[test]
    fn leaving_a_value_out_leaves_no_empty_table_and_no_shifted_list() {
        let value = || {
            Value::from(Dict::from([(
                "a".to_owned(),
                Value::from(Dict::from([("b".to_owned(), Value::from(vec![1, 2]))])),
            )]))
        };
        let mut list = value();
        assert_eq!(leave_out(&mut list, &path(["a", "b", "1"])), Some(path(["a"])));
        assert_eq!(list.as_dict().map(Dict::len), Some(0));
        assert_eq!(leave_out(&mut value(), &path(["a", "c"])), None);
        assert_eq!(leave_out(&mut value(), &[]), None);
    }

    #[test]
    fn steps_are_counted_from_one() {
        assert_eq!(
            called(&path(["pipelines", "main", "steps", "0", "when"])),
            "`when` of step 1 of `pipelines.main`"
        );
        assert_eq!(called(&path(["accounts", "home"])), "`accounts.home`");
    }
}
