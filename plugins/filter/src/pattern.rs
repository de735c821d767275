//! Globs and regular expressions, one or a list. Both ignore case; neither can take exponential time.

use std::borrow::Cow;
use std::fmt;

use postroom_sdk::JsonSchema;
use postroom_sdk::glob::Glob;
use postroom_sdk::schemars::{Schema, SchemaGenerator, json_schema};
use regex_lite::{Regex, RegexBuilder};
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// One or more patterns, of which one must match. In settings a glob, `{ regex = "…" }`, or a list of them.
#[derive(Clone, Debug)]
pub struct Patterns(Vec<Pattern>);

#[derive(Clone, Debug)]
enum Pattern {
    /// Matches a whole text; `*` matches everything.
    Glob(Glob),
    /// Matches anywhere in a text.
    Regex(Regex),
}

impl Patterns {
    /// Whether one matches the text.
    pub(crate) fn matches(&self, text: &str) -> bool {
        self.0.iter().any(|pattern| match pattern {
            Pattern::Glob(glob) => glob.matches(text),
            Pattern::Regex(regex) => regex.is_match(text),
        })
    }

    /// Whether one matches one of the texts.
    pub(crate) fn match_any<T: AsRef<str>>(&self, texts: &[T]) -> bool {
        texts.iter().any(|text| self.matches(text.as_ref()))
    }
}

fn glob<E: de::Error>(pattern: &str) -> Result<Pattern, E> {
    Glob::new(pattern).map(Pattern::Glob).map_err(E::custom)
}

fn regex<'de, A: MapAccess<'de>>(mut map: A) -> Result<Pattern, A::Error> {
    let mut pattern: Option<String> = None;
    while let Some(key) = map.next_key::<String>()? {
        match (key.as_str(), &pattern) {
            ("regex", None) => pattern = Some(map.next_value()?),
            ("regex", Some(_)) => return Err(de::Error::duplicate_field("regex")),
            (other, _) => return Err(de::Error::unknown_field(other, &["regex"])),
        }
    }
    let pattern = pattern.ok_or_else(|| de::Error::missing_field("regex"))?;
    let regex = RegexBuilder::new(&pattern).case_insensitive(true).build();
    regex
        .map(Pattern::Regex)
        .map_err(|error| de::Error::custom(format!("\"{pattern}\" is no regex: {error}")))
}

const EXPECTED: &str = "a glob like \"*@example.com\" or { regex = \"…\" }";

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct One;
        impl<'de> Visitor<'de> for One {
            type Value = Pattern;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(EXPECTED)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Pattern, E> {
                glob(text)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Pattern, A::Error> {
                regex(map)
            }
        }
        deserializer.deserialize_any(One)
    }
}

impl<'de> Deserialize<'de> for Patterns {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMore;
        impl<'de> Visitor<'de> for OneOrMore {
            type Value = Patterns;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{EXPECTED}, or a list of them")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Patterns, E> {
                Ok(Patterns(vec![glob(text)?]))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Patterns, A::Error> {
                Ok(Patterns(vec![regex(map)?]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Patterns, A::Error> {
                let mut patterns = Vec::new();
                while let Some(pattern) = list.next_element()? {
                    patterns.push(pattern);
                }
                Ok(Patterns(patterns))
            }
        }
        deserializer.deserialize_any(OneOrMore)
    }
}

impl JsonSchema for Pattern {
    fn schema_name() -> Cow<'static, str> {
        Cow::Borrowed("Pattern")
    }

    fn schema_id() -> Cow<'static, str> {
        Cow::Borrowed(concat!(module_path!(), "::Pattern"))
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A glob, or a regular expression; both ignore case",
            "anyOf": [
                { "type": "string" },
                {
                    "type": "object",
                    "properties": { "regex": { "type": "string" } },
                    "required": ["regex"],
                    "additionalProperties": false,
                },
            ],
        })
    }
}

impl JsonSchema for Patterns {
    fn schema_name() -> Cow<'static, str> {
        Cow::Borrowed("Patterns")
    }

    fn schema_id() -> Cow<'static, str> {
        Cow::Borrowed(concat!(module_path!(), "::Patterns"))
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let (one, list) = (generator.subschema_for::<Pattern>(), generator.subschema_for::<Vec<Pattern>>());
        json_schema!({ "description": "One, or a list of which one must match", "anyOf": [one, list] })
    }
}
