//! Patterns for texts: globs, regular expressions and lists, one or several. All ignore case; none can take exponential
//! time. They are made once in each instance.

use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;

use postroom_sdk::JsonSchema;
use postroom_sdk::glob::Glob;
use postroom_sdk::schemars::{self, Schema, SchemaGenerator, json_schema};
use regex_lite::{Regex, RegexBuilder};
use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::list::Lists;

/// One value, or a list of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Listed<T>(pub(crate) Vec<T>);

/// One or more patterns, of which one must match.
pub(crate) type Patterns = Listed<Pattern>;

/// In settings a glob, `{ regex = "…" }`, `{ list = "NAME" }` or `{ words = "NAME" }`.
#[derive(Clone, Debug)]
pub enum Pattern {
    /// Matches a whole text; `*` matches everything.
    Glob { source: String, glob: Glob },
    /// Matches anywhere in a text.
    Regex(Regex),
    /// The whole text is an entry of the list.
    List(String),
    /// A word or phrase of the text is an entry of the list.
    Words(String),
}

impl Pattern {
    /// Whether it matches the text.
    pub(crate) fn matches(&self, text: &str, lists: &Lists) -> bool {
        match self {
            Self::Glob { glob, .. } => glob.matches(text),
            Self::Regex(regex) => regex.is_match(text),
            Self::List(name) => lists.get(name).is_some_and(|list| list.has(&[text])),
            Self::Words(name) => lists.get(name).is_some_and(|list| list.is_in(text)),
        }
    }

    /// The list it needs.
    pub(crate) fn list(&self) -> Option<&str> {
        match self {
            Self::Glob { .. } | Self::Regex(_) => None,
            Self::List(name) | Self::Words(name) => Some(name),
        }
    }

    pub(crate) fn glob(source: &str) -> Result<Self, String> {
        Ok(Self::Glob { source: source.to_owned(), glob: Glob::new(source)? })
    }

    /// What a table says.
    pub(crate) fn of(table: PatternTable) -> Result<Self, String> {
        match table {
            PatternTable { regex: Some(regex), list: None, words: None } => {
                let built = RegexBuilder::new(&regex).case_insensitive(true).build();
                built.map(Self::Regex).map_err(|error| format!("\"{regex}\" is no regex: {error}"))
            }
            PatternTable { regex: None, list: Some(list), words: None } => Ok(Self::List(list)),
            PatternTable { regex: None, list: None, words: Some(words) } => Ok(Self::Words(words)),
            _ => Err(
                "a pattern is a glob, or one of { regex = \"…\" }, { list = \"NAME\" }, { words = \"NAME\" }"
                    .to_owned(),
            ),
        }
    }
}

impl Patterns {
    /// Whether one matches the text.
    pub(crate) fn matches(&self, text: &str, lists: &Lists) -> bool {
        self.0.iter().any(|pattern| pattern.matches(text, lists))
    }

    /// Whether one matches one of the texts.
    pub(crate) fn match_any<T: AsRef<str>>(&self, texts: &[T], lists: &Lists) -> bool {
        texts.iter().any(|text| self.matches(text.as_ref(), lists))
    }
}

/// Equal patterns are written alike.
impl Hash for Pattern {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Self::Glob { source, .. } => ("glob", source.as_str()).hash(state),
            Self::Regex(regex) => ("regex", regex.as_str()).hash(state),
            Self::List(name) => ("list", name.as_str()).hash(state),
            Self::Words(name) => ("words", name.as_str()).hash(state),
        }
    }
}

/// The keys of a pattern that is no glob.
#[derive(Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(inline, extend("minProperties" = 1, "maxProperties" = 1))]
pub(crate) struct PatternTable {
    /// A regular expression that matches anywhere.
    pub(crate) regex: Option<String>,
    /// A list of which the whole text is an entry.
    pub(crate) list: Option<String>,
    /// A list of which a word or phrase of the text is an entry.
    pub(crate) words: Option<String>,
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct One;
        impl<'de> Visitor<'de> for One {
            type Value = Pattern;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a glob like \"*@example.com\", or a table like { regex = \"…\" }")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Pattern, E> {
                Pattern::glob(text).map_err(E::custom)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Pattern, A::Error> {
                let table = PatternTable::deserialize(MapAccessDeserializer::new(map))?;
                Pattern::of(table).map_err(de::Error::custom)
            }
        }
        deserializer.deserialize_any(One)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Listed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMore<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for OneOrMore<T> {
            type Value = Listed<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text like \"*@example.com\", a table, or a list of them")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Listed<T>, E> {
                T::deserialize(StrDeserializer::new(text)).map(|one| Listed(vec![one]))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Listed<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(|one| Listed(vec![one]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Listed<T>, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = list.next_element()? {
                    items.push(item);
                }
                Ok(Listed(items))
            }
        }
        deserializer.deserialize_any(OneOrMore(PhantomData))
    }
}

impl JsonSchema for Pattern {
    fn schema_name() -> Cow<'static, str> {
        Cow::Borrowed("Pattern")
    }

    fn schema_id() -> Cow<'static, str> {
        Cow::Borrowed(concat!(module_path!(), "::Pattern"))
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let table = generator.subschema_for::<PatternTable>();
        text_or("A glob, a regular expression or a list; all ignore case", table)
    }
}

/// A value that is written as a text or as a table.
pub(crate) fn text_or(description: &str, table: Schema) -> Schema {
    json_schema!({ "description": description, "anyOf": [{ "type": "string" }, table] })
}

impl<T: JsonSchema> JsonSchema for Listed<T> {
    fn schema_name() -> Cow<'static, str> {
        Cow::Owned(format!("{}OrList", T::schema_name()))
    }

    fn schema_id() -> Cow<'static, str> {
        Cow::Owned(format!("{}::Listed<{}>", module_path!(), T::schema_id()))
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let (one, list) = (generator.subschema_for::<T>(), generator.subschema_for::<Vec<T>>());
        json_schema!({ "description": "One, or a list of which one must match", "anyOf": [one, list] })
    }
}
