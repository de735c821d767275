//! Comparators (RFC 4790) and match types (RFC 5228 section 2.7, RFC 5231): whether a value matches a key.

use std::cmp::Ordering;

use crate::wildcard;

/// How octets are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Comparator {
    /// i;octet.
    Octet,
    /// i;ascii-casemap, which is what is meant when nothing is said.
    #[default]
    AsciiCasemap,
    /// i;ascii-numeric: the digits a text begins with; a text that begins with none is larger than every number.
    AsciiNumeric,
}

impl Comparator {
    /// The comparator of that name.
    pub(crate) fn find(name: &str) -> Option<Self> {
        match name {
            "i;octet" => Some(Self::Octet),
            "i;ascii-casemap" => Some(Self::AsciiCasemap),
            "i;ascii-numeric" => Some(Self::AsciiNumeric),
            _ => None,
        }
    }

    /// Which of two texts comes first.
    pub(crate) fn order(self, left: &str, right: &str) -> Ordering {
        match self {
            Self::Octet => left.as_bytes().cmp(right.as_bytes()),
            Self::AsciiCasemap => {
                let upper = |text: &'_ str| text.to_ascii_uppercase().into_bytes();
                upper(left).cmp(&upper(right))
            }
            Self::AsciiNumeric => match (number(left), number(right)) {
                (Some(left), Some(right)) => left.len().cmp(&right.len()).then_with(|| left.cmp(right)),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => Ordering::Equal,
            },
        }
    }

    fn is_equal(self, left: &str, right: &str) -> bool {
        match self {
            Self::Octet => left == right,
            Self::AsciiCasemap => left.eq_ignore_ascii_case(right),
            Self::AsciiNumeric => self.order(left, right) == Ordering::Equal,
        }
    }
}

/// The digits a text begins with, without leading zeros: however many, they can be compared.
fn number(text: &str) -> Option<&str> {
    let end = text.find(|ch: char| !ch.is_ascii_digit()).unwrap_or(text.len());
    (end > 0).then(|| text[..end].trim_start_matches('0'))
}

/// RFC 5231 section 4: how a value stands to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Relation {
    /// `gt`
    Greater,
    /// `ge`
    GreaterOrEqual,
    /// `lt`
    Less,
    /// `le`
    LessOrEqual,
    /// `eq`
    Equal,
    /// `ne`
    NotEqual,
}

impl Relation {
    /// The relation of that name.
    pub(crate) fn find(name: &str) -> Option<Self> {
        match name {
            "gt" => Some(Self::Greater),
            "ge" => Some(Self::GreaterOrEqual),
            "lt" => Some(Self::Less),
            "le" => Some(Self::LessOrEqual),
            "eq" => Some(Self::Equal),
            "ne" => Some(Self::NotEqual),
            _ => None,
        }
    }

    fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Equal => order.is_eq(),
            Self::NotEqual => order.is_ne(),
        }
    }
}

/// What matching means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The whole value.
    #[default]
    Is,
    /// Somewhere in the value; the empty key is in every value.
    Contains,
    /// Wildcards over the whole value.
    Matches,
    /// An expression somewhere in the value.
    Regex,
    /// The value stands so to the key.
    Value(Relation),
    /// The number of values stands so to the key.
    Count(Relation),
}

/// A comparator and a match type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Matching {
    /// The comparator.
    pub(crate) comparator: Comparator,
    /// The match type.
    pub(crate) kind: Kind,
}

/// What the wildcards, or the groups of an expression, stand for; the whole comes first.
pub(crate) type Captures = Vec<String>;

impl Matching {
    /// Whether a value matches a key, and with what captures. Expressions are not matched here.
    pub(crate) fn matches(self, value: &str, key: &str) -> Option<Captures> {
        let folds = self.comparator == Comparator::AsciiCasemap;
        let hit = match self.kind {
            Kind::Is => self.comparator.is_equal(value, key),
            Kind::Contains if folds => contains_folded(value, key),
            Kind::Contains => value.contains(key),
            Kind::Matches => return wildcard::captures(key, value, folds),
            Kind::Value(relation) | Kind::Count(relation) => {
                relation.holds(self.comparator.order(value, key))
            }
            Kind::Regex => false,
        };
        hit.then(Captures::new)
    }
}

fn contains_folded(value: &str, key: &str) -> bool {
    let (value, key) = (value.as_bytes(), key.as_bytes());
    let Some(first) = key.first() else { return true };
    let (low, high) = (first.to_ascii_lowercase(), first.to_ascii_uppercase());
    let last = value.len().saturating_sub(key.len());
    value.len() >= key.len()
        && (0..=last).any(|at| {
            (value[at] == low || value[at] == high) && value[at..at + key.len()].eq_ignore_ascii_case(key)
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use Comparator::{AsciiCasemap, AsciiNumeric, Octet};

    #[test]
    fn every_comparator_matches_by_every_match_type() {
        let value = |relation| Kind::Value(relation);
        for (comparator, kind, text, key, expected) in [
            (Octet, Kind::Is, "abc", "abc", true),
            (Octet, Kind::Is, "abc", "ABC", false),
            (AsciiCasemap, Kind::Is, "abc", "ABC", true),
            (AsciiCasemap, Kind::Is, "ä", "Ä", false),
            (AsciiNumeric, Kind::Is, "007", "7 dwarves", true),
            (AsciiNumeric, Kind::Is, "7", "8", false),
            (AsciiNumeric, Kind::Is, "x", "y", true),
            (AsciiNumeric, Kind::Is, "", "0", false),
            (Octet, Kind::Contains, "xabcx", "abc", true),
            (Octet, Kind::Contains, "xABCx", "abc", false),
            (AsciiCasemap, Kind::Contains, "xABCx", "abc", true),
            (AsciiCasemap, Kind::Contains, "ab", "abc", false),
            (AsciiCasemap, Kind::Contains, "", "", true),
            (AsciiCasemap, Kind::Contains, "aäB", "Äb", false),
            (AsciiCasemap, Kind::Contains, "aäB", "äb", true),
            (Octet, Kind::Matches, "frop", "f*p", true),
            (Octet, Kind::Matches, "FROP", "f*p", false),
            (AsciiCasemap, Kind::Matches, "FROP", "f??p", true),
            (AsciiCasemap, value(Relation::Greater), "b", "A", true),
            (Octet, value(Relation::Greater), "B", "a", false),
            (AsciiNumeric, value(Relation::Greater), "10", "9", true),
            (Octet, value(Relation::Greater), "10", "9", false),
            (AsciiNumeric, value(Relation::Less), "99999999999999999999998", "99999999999999999999999", true),
            (AsciiNumeric, value(Relation::Less), "5", "many", true),
            (AsciiNumeric, value(Relation::GreaterOrEqual), "many", "5", true),
            (AsciiNumeric, value(Relation::LessOrEqual), "0005", "5", true),
            (AsciiNumeric, value(Relation::Equal), "5x", "5", true),
            (AsciiNumeric, value(Relation::NotEqual), "5", "5", false),
        ] {
            let matching = Matching { comparator, kind };
            assert_eq!(matching.matches(text, key).is_some(), expected, "{matching:?} {text:?} {key:?}");
        }
    }
}
