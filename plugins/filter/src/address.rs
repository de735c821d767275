//! Patterns for addresses: as a whole, or for their parts.

use std::borrow::Cow;
use std::fmt;

use postroom_sdk::schemars::{self, Schema, SchemaGenerator};
use postroom_sdk::{Address, JsonSchema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};

use crate::list::Lists;
use crate::pattern::{Listed, Pattern, PatternTable, Patterns, text_or};

/// One or more of which one must match.
pub(crate) type AddressPatterns = Listed<AddressPattern>;

/// In settings a pattern for `local@domain`, or a table of patterns for parts, all of the same address.
#[derive(Clone, Debug, Hash)]
pub enum AddressPattern {
    /// For the address as a whole. An entry `@domain` of a list is every address there.
    Whole(Pattern),
    /// For its parts.
    Parts(Parts),
}

/// Those that are there must match.
#[derive(Clone, Debug, Hash)]
pub struct Parts {
    pub(crate) domain: Option<Patterns>,
    pub(crate) local: Option<Patterns>,
    pub(crate) name: Option<Patterns>,
}

impl AddressPatterns {
    /// Whether one matches one of the addresses.
    pub(crate) fn match_any(&self, addresses: &[Address], lists: &Lists) -> bool {
        addresses.iter().any(|address| self.0.iter().any(|pattern| pattern.matches(address, lists)))
    }

    /// The patterns in it.
    pub(crate) fn patterns(&self) -> impl Iterator<Item = &Pattern> {
        self.0.iter().flat_map(AddressPattern::patterns)
    }
}

impl AddressPattern {
    fn matches(&self, address: &Address, lists: &Lists) -> bool {
        match self {
            Self::Whole(Pattern::List(name)) => {
                let at_domain = address.domain().map(|domain| format!("@{domain}"));
                let texts: Vec<&str> =
                    std::iter::once(address.email.as_str()).chain(at_domain.as_deref()).collect();
                lists.get(name).is_some_and(|list| list.has(&texts))
            }
            Self::Whole(pattern) => pattern.matches(&address.email, lists),
            Self::Parts(Parts { domain, local, name }) => {
                let (own_local, own_domain) = address.email.rsplit_once('@').unwrap_or((&address.email, ""));
                let own_name = address.name.as_deref().unwrap_or_default();
                let holds = |patterns: &Option<Patterns>, text: &str| {
                    patterns.as_ref().is_none_or(|patterns| patterns.matches(text, lists))
                };
                holds(domain, own_domain) && holds(local, own_local) && holds(name, own_name)
            }
        }
    }

    fn patterns(&self) -> Vec<&Pattern> {
        match self {
            Self::Whole(pattern) => vec![pattern],
            Self::Parts(Parts { domain, local, name }) => {
                [domain, local, name].into_iter().flatten().flat_map(|patterns| &patterns.0).collect()
            }
        }
    }
}

/// All keys that the table of an address may have.
#[derive(Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(inline, extend("minProperties" = 1))]
struct Table {
    /// A regular expression for the whole address.
    regex: Option<String>,
    /// A list of addresses, or of `@domain`.
    list: Option<String>,
    /// A list of which a word of the address is an entry.
    words: Option<String>,
    /// What is after the @.
    domain: Option<Patterns>,
    /// What is before the @.
    local: Option<Patterns>,
    /// The display name.
    name: Option<Patterns>,
}

impl Table {
    fn pattern(self) -> Result<AddressPattern, String> {
        let Self { regex, list, words, domain, local, name } = self;
        let has_parts = domain.is_some() || local.is_some() || name.is_some();
        let is_whole = regex.is_some() || list.is_some() || words.is_some();
        match (has_parts, is_whole) {
            (true, false) => Ok(AddressPattern::Parts(Parts { domain, local, name })),
            (false, _) => Pattern::of(PatternTable { regex, list, words }).map(AddressPattern::Whole),
            (true, true) => {
                Err("domain, local and name are for parts of an address; regex, list and words beside them \
                 would be for all of it: put them into a part, as in { domain = { list = \"NAME\" } }"
                    .to_owned())
            }
        }
    }
}

impl<'de> Deserialize<'de> for AddressPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct One;
        impl<'de> Visitor<'de> for One {
            type Value = AddressPattern;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a glob like \"*@example.com\", or a table like { domain = \"example.com\" }")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<AddressPattern, E> {
                Pattern::glob(text).map(AddressPattern::Whole).map_err(E::custom)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<AddressPattern, A::Error> {
                let table = Table::deserialize(MapAccessDeserializer::new(map))?;
                table.pattern().map_err(de::Error::custom)
            }
        }
        deserializer.deserialize_any(One)
    }
}

impl JsonSchema for AddressPattern {
    fn schema_name() -> Cow<'static, str> {
        Cow::Borrowed("AddressPattern")
    }

    fn schema_id() -> Cow<'static, str> {
        Cow::Borrowed(concat!(module_path!(), "::AddressPattern"))
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let table = generator.subschema_for::<Table>();
        text_or("A pattern for the address, or patterns for its parts", table)
    }
}
