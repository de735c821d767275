//! Lists of addresses, words or phrases, one entry a line.
//!
//! An instance handles one message, so a list is never indexed: what the message has is put into a set, and the list is
//! read through once. A list of a hundred thousand entries costs a look-up for each, and nothing when no rule gets to it.

use std::cell::OnceCell;
use std::collections::{BTreeMap, HashSet};

use postroom_sdk::glob::Glob;
use postroom_sdk::{JsonSchema, schemars};
use serde::Deserialize;

/// The lists by name.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline)]
pub struct Lists(BTreeMap<String, List>);

impl Lists {
    pub(crate) fn get(&self, name: &str) -> Option<&List> {
        self.0.get(name)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

/// One entry a line. Empty lines, and lines that begin with `#`, say nothing.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(from = "String")]
#[schemars(with = "String", inline)]
pub(crate) struct List {
    text: String,
    folded: OnceCell<String>,
}

impl From<String> for List {
    fn from(text: String) -> Self {
        Self { text, folded: OnceCell::new() }
    }
}

impl List {
    /// Whether one of the texts is an entry, or matches an entry that is a glob.
    pub(crate) fn has(&self, texts: &[&str]) -> bool {
        let folded: Vec<String> = texts.iter().map(|text| text.trim().to_lowercase()).collect();
        self.entries().any(|entry| {
            folded.iter().any(|text| text == entry)
                || (entry.contains(['*', '?'])
                    && Glob::new(entry).is_ok_and(|glob| folded.iter().any(|text| glob.matches(text))))
        })
    }

    /// Whether an entry stands in the text as a word or phrase.
    pub(crate) fn is_in(&self, text: &str) -> bool {
        let text = spaced(&text.to_lowercase());
        let words: HashSet<&str> = words(&text).collect();
        self.entries().any(|entry| {
            if entry.chars().all(|ch| ch.is_alphanumeric() && !is_unsegmented(ch)) {
                return words.contains(entry);
            }
            if entry.chars().any(is_unsegmented) {
                return text.contains(entry);
            }
            // Most phrases end here, without a search.
            self::words(entry).all(|word| words.contains(word)) && has_phrase(&text, &spaced(entry))
        })
    }

    fn entries(&self) -> impl Iterator<Item = &str> {
        let text = self.folded.get_or_init(|| self.text.to_lowercase());
        text.lines().map(str::trim).filter(|entry| !entry.is_empty() && !entry.starts_with('#'))
    }

    /// Whether it has no entry.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries().next().is_none()
    }
}

/// Runs of letters and digits.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|ch: char| !ch.is_alphanumeric()).filter(|word| !word.is_empty())
}

/// With single blanks, so that a phrase is found across the end of a line.
fn spaced(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
    }
    out
}

fn has_phrase(text: &str, phrase: &str) -> bool {
    text.match_indices(phrase).any(|(at, found)| {
        let is_edge = |ch: Option<char>| ch.is_none_or(|ch| !ch.is_alphanumeric());
        is_edge(text[..at].chars().next_back()) && is_edge(text[at + found.len()..].chars().next())
    })
}

/// Scripts that put no blanks between words: there any place is the edge of a word.
fn is_unsegmented(ch: char) -> bool {
    matches!(u32::from(ch),
        0x0E00..=0x0EFF | 0x1000..=0x109F | 0x1780..=0x17FF | 0x3040..=0x30FF | 0x3400..=0x4DBF | 0x4E00..=0x9FFF
        | 0xF900..=0xFAFF | 0x20000..=0x3FFFF)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> List {
        List::from(text.to_owned())
    }

    #[test]
    fn an_entry_is_a_whole_text_or_a_glob() {
        let list = list("# people\r\nAda@Shop.example\r\n\r\n@club.example\n*@*.bulk.example\n");
        assert!(list.has(&["ada@shop.EXAMPLE"]));
        assert!(!list.has(&["da@shop.example"]));
        assert!(list.has(&["bob@club.example", "@club.example"]));
        assert!(list.has(&["x@eu.bulk.example"]));
        assert!(!list.has(&["# people", ""]));
        assert!(super::List::from("# nothing\n \n".to_owned()).is_empty());
    }

    #[test]
    fn words_are_found_at_their_edges_only() {
        let list = list("casino\nfree money\nx-ray\nétude\nnull(");
        assert!(list.is_in("The CASINO!"));
        assert!(!list.is_in("casinos, mycasino"));
        assert!(list.is_in("get free\r\n   money now"));
        assert!(!list.is_in("freemoney; free the money"));
        assert!(list.is_in("an X-Ray."));
        assert!(list.is_in("ÉTUDE"));
        assert!(list.is_in("a null( b"));
        assert!(!list.is_in(""));
    }

    #[test]
    fn scripts_without_blanks_have_edges_everywhere() {
        let list = list("発票\n");
        assert!(list.is_in("代開発票請聯系"));
        assert!(!list.is_in("発 票"));
    }

    #[test]
    fn a_hundred_thousand_words_are_read_through_once() {
        let mut text: String = (0..100_000).map(|n| format!("word{n}\n")).collect();
        text.push_str("the very last phrase\n");
        let list = list(&text);
        let body = "nothing of that kind here. ".repeat(2000);
        assert!(!list.is_in(&body));
        assert!(list.is_in(&format!("{body} the very\nlast phrase")));
    }
}
