//! Sizes as an operator writes them: "10 MiB", "500 KB", 1024.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, Visitor};

use crate::fault::Problem;

/// The texts that [`Size::from_str`] reads, those that are too large aside.
const PATTERN: &str = r"^\s*[0-9]+\s*(([kKmMgG][iI]?)?[bB])?\s*$";

/// A number of octets. In settings a number, or a text with a unit: B, KB, MB, GB (1000) or KiB, MiB, GiB (1024).
///
/// ```
/// use postroom_sdk::size::Size;
///
/// let limit: Size = "10 MiB".parse()?;
/// assert_eq!(limit, Size(10 << 20));
/// assert_eq!(limit.to_string(), "10 MiB");
/// assert!("10 M".parse::<Size>().is_err());
/// # Ok::<(), postroom_sdk::Problem>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size(pub u64);

impl FromStr for Size {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        let bad = || {
            Problem::new("", format!("\"{text}\" is no size; write it like \"10 MiB\", \"500 KB\" or 1024"))
        };
        let trimmed = text.trim();
        let digits = trimmed.find(|ch: char| !ch.is_ascii_digit()).unwrap_or(trimmed.len());
        let number: u64 = trimmed[..digits].parse().map_err(|_| bad())?;
        let unit: u64 = match trimmed[digits..].trim_start().to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "kb" => 1000,
            "mb" => 1_000_000,
            "gb" => 1_000_000_000,
            "kib" => 1 << 10,
            "mib" => 1 << 20,
            "gib" => 1 << 30,
            _ => return Err(bad()),
        };
        number.checked_mul(unit).map(Self).ok_or_else(bad)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            n if n >= 1 << 30 && n % (1 << 30) == 0 => write!(f, "{} GiB", n >> 30),
            n if n >= 1 << 20 && n % (1 << 20) == 0 => write!(f, "{} MiB", n >> 20),
            n if n >= 1 << 10 && n % (1 << 10) == 0 => write!(f, "{} KiB", n >> 10),
            n => write!(f, "{n} B"),
        }
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl Visitor<'_> for Either {
            type Value = Size;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size like \"10 MiB\" or 1024")
            }

            fn visit_u64<E: de::Error>(self, octets: u64) -> Result<Size, E> {
                Ok(Size(octets))
            }

            fn visit_i64<E: de::Error>(self, octets: i64) -> Result<Size, E> {
                u64::try_from(octets).map(Size).map_err(|_| E::custom("a size must not be negative"))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Size, E> {
                text.parse().map_err(|problem: Problem| E::custom(problem.text))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl JsonSchema for Size {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        Cow::Borrowed("Size")
    }

    fn schema_id() -> Cow<'static, str> {
        Cow::Borrowed(concat!(module_path!(), "::Size"))
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "integer"],
            "minimum": 0,
            "pattern": PATTERN,
            "examples": ["10 MiB"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_with_and_without_units() {
        let parse = |text: &str| text.parse::<Size>().map(|size| size.0).ok();
        assert_eq!(parse("10 MiB"), Some(10 << 20));
        assert_eq!(parse("10mb"), Some(10_000_000));
        assert_eq!(parse(" 7 "), Some(7));
        assert_eq!(parse("1.5 MiB"), None);
        assert_eq!(parse("MiB"), None);
        assert_eq!(parse("10 M"), None);
        assert_eq!(parse("18446744073709551615 KiB"), None);
        assert_eq!(serde_json::from_str::<Size>("2048").ok(), Some(Size(2048)));
        assert!(serde_json::from_str::<Size>("-1").is_err());
    }
}
