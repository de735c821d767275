//! What an attachment must look like. Name and type are what the sender says: nothing here looks into the content.

use std::borrow::Cow;
use std::fmt;

use postroom_sdk::schemars::{self, Schema, SchemaGenerator};
use postroom_sdk::size::Size;
use postroom_sdk::{JsonSchema, Part};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};

use crate::list::Lists;
use crate::pattern::{Listed, Pattern, PatternTable, Patterns, text_or};

/// In settings a pattern for the name, or a table of keys that must all match the same attachment.
#[derive(Clone, Debug, Default, Hash)]
pub struct FileTest {
    /// The name; the host's safe name where the sender gave none.
    pub(crate) name: Option<Patterns>,
    /// What follows the last dot of the name, blanks and dots at the end not counted.
    pub(crate) extension: Option<Patterns>,
    /// The declared type; `type` in settings.
    pub(crate) content_type: Option<Patterns>,
    /// More decoded octets than this.
    pub(crate) larger: Option<Size>,
    /// Fewer decoded octets than this.
    pub(crate) smaller: Option<Size>,
}

/// How many there must be, decoration inside the text not counted.
#[derive(Clone, Debug, Hash, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub struct CountTest {
    /// So many, or more.
    pub(crate) at_least: Option<usize>,
    /// So many, or fewer.
    pub(crate) at_most: Option<usize>,
}

/// An attachment as rules see it.
#[derive(Debug)]
pub(crate) struct File {
    name: String,
    content_type: String,
    size: u64,
}

impl File {
    pub(crate) fn of(part: &Part) -> Self {
        let name = part.filename().filter(|name| !name.is_empty()).unwrap_or_else(|| part.safe_filename());
        Self { name, content_type: part.content_type(), size: part.size() }
    }

    fn extension(&self) -> &str {
        let name = self.name.trim_end_matches(|ch: char| ch == '.' || ch.is_whitespace());
        name.rsplit_once('.').map_or("", |(_, extension)| extension)
    }
}

impl FileTest {
    fn named(pattern: Pattern) -> Self {
        Self { name: Some(Listed(vec![pattern])), ..Self::default() }
    }

    pub(crate) fn matches(&self, file: &File, lists: &Lists) -> bool {
        let holds = |patterns: &Option<Patterns>, text: &str| {
            patterns.as_ref().is_none_or(|patterns| patterns.matches(text, lists))
        };
        self.larger.is_none_or(|size| file.size > size.0)
            && self.smaller.is_none_or(|size| file.size < size.0)
            && holds(&self.content_type, &file.content_type)
            && holds(&self.extension, file.extension())
            && holds(&self.name, &file.name)
    }

    /// The patterns in it.
    pub(crate) fn patterns(&self) -> impl Iterator<Item = &Pattern> {
        let Self { name, extension, content_type, larger: _, smaller: _ } = self;
        [name, extension, content_type].into_iter().flatten().flat_map(|patterns| &patterns.0)
    }
}

impl CountTest {
    pub(crate) fn matches(&self, count: usize) -> bool {
        self.at_least.is_none_or(|least| count >= least) && self.at_most.is_none_or(|most| count <= most)
    }
}

/// All keys that the table of an attachment may have.
#[derive(Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(inline)]
struct Table {
    /// A regular expression for the name.
    regex: Option<String>,
    /// A list of names.
    list: Option<String>,
    /// A list of which a word of the name is an entry.
    words: Option<String>,
    /// The name.
    name: Option<Patterns>,
    /// What is after the last dot of the name.
    extension: Option<Patterns>,
    /// The declared type.
    #[serde(rename = "type")]
    content_type: Option<Patterns>,
    /// More octets than this.
    larger: Option<Size>,
    /// Fewer octets than this.
    smaller: Option<Size>,
}

impl Table {
    fn test(self) -> Result<FileTest, String> {
        let Self { regex, list, words, name, extension, content_type, larger, smaller } = self;
        let test = FileTest { name, extension, content_type, larger, smaller };
        if regex.is_none() && list.is_none() && words.is_none() {
            return Ok(test);
        }
        match test {
            FileTest { name: None, extension: None, content_type: None, larger: None, smaller: None } => {
                Pattern::of(PatternTable { regex, list, words }).map(FileTest::named)
            }
            _ => {
                Err("regex, list and words are for the name here: beside other keys put them into it, as in \
                      { name = { regex = \"…\" } }"
                    .to_owned())
            }
        }
    }
}

impl<'de> Deserialize<'de> for FileTest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct One;
        impl<'de> Visitor<'de> for One {
            type Value = FileTest;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a glob like \"*.pdf\", or a table like { extension = \"pdf\" }")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<FileTest, E> {
                Pattern::glob(text).map(FileTest::named).map_err(E::custom)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<FileTest, A::Error> {
                let table = Table::deserialize(MapAccessDeserializer::new(map))?;
                table.test().map_err(de::Error::custom)
            }
        }
        deserializer.deserialize_any(One)
    }
}

impl JsonSchema for FileTest {
    fn schema_name() -> Cow<'static, str> {
        Cow::Borrowed("FileTest")
    }

    fn schema_id() -> Cow<'static, str> {
        Cow::Borrowed(concat!(module_path!(), "::FileTest"))
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let table = generator.subschema_for::<Table>();
        text_or("A pattern for the name, or what must hold of the same attachment", table)
    }
}
