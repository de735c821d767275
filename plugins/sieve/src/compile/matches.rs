//! Comparators, match types and keys, as all tests that match have them.

use std::borrow::Cow;

use regex_lite::{Regex, RegexBuilder};

use super::Compiler;
use super::arguments::Arguments;
use crate::extension::Extension;
use crate::flaw::{Flaw, quoted};
use crate::matching::{Comparator, Kind, Matching, Relation};
use crate::program::{Index, Key, Part};

/// Largest compiled expression, octets.
const REGEX_OCTETS: usize = 1 << 20;

/// What the tags of a matching test have said so far.
#[derive(Default)]
pub(super) struct Tags {
    comparator: Option<Comparator>,
    kind: Option<(u32, Kind)>,
    pub(super) part: Option<Part>,
    number: Option<usize>,
    last: Option<u32>,
}

impl Compiler {
    /// Takes a tag that says how to match; `false` when it is none.
    pub(super) fn match_tag(
        &self,
        (at, tag): (u32, &str),
        arguments: &mut Arguments<'_, '_>,
        tags: &mut Tags,
    ) -> Result<bool, Flaw> {
        let kind = match tag {
            "comparator" => {
                let comparator = self.comparator(arguments.text("the name of a comparator")?)?;
                if tags.comparator.replace(comparator).is_some() {
                    return Err(Flaw::new(at, "a test has one \":comparator\""));
                }
                return Ok(true);
            }
            "is" => Kind::Is,
            "contains" => Kind::Contains,
            "matches" => Kind::Matches,
            "regex" => {
                self.need(Extension::Regex, at, ":regex")?;
                Kind::Regex
            }
            "value" | "count" => {
                self.need(Extension::Relational, at, &format!(":{tag}"))?;
                let relation = relation(arguments.text("a relation such as \"gt\"")?)?;
                if tag == "value" { Kind::Value(relation) } else { Kind::Count(relation) }
            }
            _ => return Ok(false),
        };
        match tags.kind.replace((at, kind)) {
            None => Ok(true),
            Some(_) => Err(Flaw::new(at, "a test has one match type")),
        }
    }

    fn comparator(&self, (at, name): (u32, &str)) -> Result<Comparator, Flaw> {
        match Comparator::find(name) {
            Some(Comparator::AsciiNumeric) => {
                self.need(Extension::AsciiNumeric, at, name)?;
                Ok(Comparator::AsciiNumeric)
            }
            Some(comparator) => Ok(comparator),
            None => Err(Flaw::new(
                at,
                format!(
                    "there is no comparator {}; there are i;octet, i;ascii-casemap and i;ascii-numeric",
                    quoted(name)
                ),
            )),
        }
    }

    /// Takes `:index` and `:last`; `false` for another tag.
    pub(super) fn index_tag(
        &self,
        (at, tag): (u32, &str),
        arguments: &mut Arguments<'_, '_>,
        tags: &mut Tags,
    ) -> Result<bool, Flaw> {
        match tag {
            "index" => {
                self.need(Extension::Index, at, ":index")?;
                let number = arguments.number("the index of a field")?;
                if number == 0 {
                    return Err(Flaw::new(at, "fields are counted from 1"));
                }
                tags.number = Some(usize::try_from(number).unwrap_or(usize::MAX));
            }
            "last" => {
                self.need(Extension::Index, at, ":last")?;
                tags.last = Some(at);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Takes the part of an address; `false` for another tag.
    pub(super) fn part_tag(&self, (at, tag): (u32, &str), tags: &mut Tags) -> Result<bool, Flaw> {
        let part = match tag {
            "all" => Part::All,
            "localpart" => Part::Local,
            "domain" => Part::Domain,
            "user" | "detail" => {
                self.need(Extension::SubAddress, at, &format!(":{tag}"))?;
                if tag == "user" { Part::User } else { Part::Detail }
            }
            _ => return Ok(false),
        };
        match tags.part.replace(part) {
            None => Ok(true),
            Some(_) => Err(Flaw::new(at, "a test looks at one part of an address")),
        }
    }

    /// The keys, the last argument of every matching test.
    pub(super) fn keys(&self, matching: Matching, keys: &[(u32, Cow<'_, str>)]) -> Result<Vec<Key>, Flaw> {
        let mut compiled = Vec::with_capacity(keys.len());
        for (at, written) in keys {
            let text = self.text((*at, written))?;
            let regex = match (matching.kind, text.plain()) {
                (Kind::Regex, Some(pattern)) => {
                    Some(regex(pattern, matching.comparator).map_err(|text| Flaw::new(*at, text))?)
                }
                _ => None,
            };
            compiled.push(Key { text, regex });
        }
        Ok(compiled)
    }
}

impl Tags {
    /// How to match, with what is meant when nothing was said.
    pub(super) fn matching(&self) -> Result<Matching, Flaw> {
        let comparator = self.comparator.unwrap_or_default();
        match (comparator, self.kind) {
            (Comparator::AsciiNumeric, Some((at, Kind::Contains | Kind::Matches | Kind::Regex))) => {
                Err(Flaw::new(at, "\"i;ascii-numeric\" compares whole numbers: use :is, :value or :count"))
            }
            (_, kind) => Ok(Matching { comparator, kind: kind.map(|(_, kind)| kind).unwrap_or_default() }),
        }
    }

    /// Which field, when one was named.
    pub(super) fn index(&self) -> Result<Option<Index>, Flaw> {
        match (self.number, self.last) {
            (None, Some(at)) => Err(Flaw::new(at, "\":last\" needs \":index\" beside it")),
            (number, last) => Ok(number.map(|number| Index { number, last: last.is_some() })),
        }
    }
}

fn relation((at, name): (u32, &str)) -> Result<Relation, Flaw> {
    Relation::find(name).ok_or_else(|| {
        Flaw::new(at, format!("there is no relation {}; there are gt, ge, lt, le, eq and ne", quoted(name)))
    })
}

/// An expression, found somewhere in a value.
pub(crate) fn regex(pattern: &str, comparator: Comparator) -> Result<Regex, String> {
    let mut builder = RegexBuilder::new(pattern);
    builder.case_insensitive(comparator == Comparator::AsciiCasemap).size_limit(REGEX_OCTETS);
    builder.build().map_err(|error| format!("{} is no regular expression: {error}", quoted(pattern)))
}
