//! Globs as settings write them: case is ignored, a whole text is matched, and `*` matches everything, also `/`. Needs the
//! feature `glob`.
//!
//! A glob is made anew for every message, since every message has a fresh instance. Most globs are words and `*`: these
//! are matched as they stand, and only the others (`[…]`, `{…}`, `\`, `**`) are compiled, which costs a hundred times as much.

use globset::{GlobBuilder, GlobMatcher};
use schemars::JsonSchema;
use serde::Deserialize;
use wildmatch::WildMatch;

/// One glob.
///
/// ```
/// let glob = postroom_sdk::glob::Glob::new("*.PDF")?;
/// assert!(glob.matches("2026/bill.pdf"));
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String", inline, description = "A glob; case is ignored")]
pub struct Glob(Kind);

#[derive(Clone, Debug)]
enum Kind {
    /// Only `*` and `?` are special in it.
    Plain(WildMatch),
    /// Anything.
    Compiled(Box<GlobMatcher>),
}

impl Glob {
    /// Reads a glob.
    ///
    /// # Errors
    /// A text for the operator, when it is none.
    pub fn new(pattern: &str) -> Result<Self, String> {
        if !pattern.contains(['[', ']', '{', '}', '\\']) && !pattern.contains("**") {
            return Ok(Self(Kind::Plain(WildMatch::new_case_insensitive(pattern))));
        }
        // The compiler folds only the case of ASCII.
        let glob = GlobBuilder::new(&pattern.to_lowercase()).build();
        let glob = glob.map_err(|error| format!("\"{pattern}\" is no glob: {}", error.kind()))?;
        Ok(Self(Kind::Compiled(Box::new(glob.compile_matcher()))))
    }

    /// Whether it matches the whole text; `?` is one character (one octet, when the glob is compiled). Takes at most the product of both lengths.
    pub fn matches(&self, text: &str) -> bool {
        match &self.0 {
            Kind::Plain(plain) => plain.matches(text),
            Kind::Compiled(compiled) => compiled.is_match(text.to_lowercase()),
        }
    }
}

impl TryFrom<String> for Glob {
    type Error = String;

    fn try_from(pattern: String) -> Result<Self, String> {
        Self::new(&pattern)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_compiled_matches_as_if_it_were() {
        let letters = ["a", "B", "/", ".", "*", "?", "é", "!", ","];
        let texts = ["", "a", "b", "ab", "A/b", "a.b", "É", "/a", "!", "a,b", ".", "aé/b", "ba.b"];
        let mut patterns = vec![String::new()];
        for _ in 0..3 {
            let longer = patterns.iter().flat_map(|p| letters.iter().map(move |l| format!("{p}{l}")));
            patterns = patterns.iter().cloned().chain(longer).collect();
            patterns.sort();
            patterns.dedup();
        }
        for pattern in &patterns {
            let compiled = GlobBuilder::new(&pattern.to_lowercase()).build().unwrap().compile_matcher();
            let glob = Glob::new(pattern).unwrap();
            assert_eq!(matches!(glob.0, Kind::Plain(_)), !pattern.contains("**"));
            // The compiler counts octets where this counts characters.
            for text in texts.into_iter().filter(|text| text.is_ascii() || !pattern.contains('?')) {
                assert_eq!(
                    glob.matches(text),
                    compiled.is_match(text.to_lowercase()),
                    "{pattern:?} on {text:?}"
                );
            }
        }
    }

    #[test]
    fn everything_else_is_compiled() {
        let glob = Glob::new("*.{pdf,x[ml]?}").unwrap();
        assert!(
            glob.matches("bill.PDF")
                && glob.matches("a/bill.xmz")
                && glob.matches("\u{c9}.Pdf")
                && !glob.matches("bill.txt")
        );
        let refused = Glob::new("[a").unwrap_err();
        assert!(refused.starts_with("\"[a\" is no glob"), "{refused}");
    }
}
