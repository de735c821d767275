//! The match type `:matches`, RFC 5228 section 2.7.1: `*` is any text, `?` one character, a backslash takes the next
//! character as it is. Every `*` takes as little as it can (RFC 5229 section 3.2). Never exponential.

use std::ops::Range;

use crate::matching::Captures;

/// Most wildcards whose texts are kept.
const KEPT: usize = 32;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Glyph {
    Char(char),
    One,
    Many,
}

/// Where to go on when what follows the last `*` does not fit.
struct Star {
    after: usize,
    end: usize,
    capture: usize,
}

/// What the wildcards stand for, after the whole; `None` when the value does not match.
pub(crate) fn captures(pattern: &str, value: &str, folds: bool) -> Option<Captures> {
    let ranges = matched(&glyphs(pattern), value, folds)?;
    let texts = ranges.into_iter().take(KEPT).filter_map(|range| value.get(range));
    Some(std::iter::once(value).chain(texts).map(str::to_owned).collect())
}

fn glyphs(pattern: &str) -> Vec<Glyph> {
    let mut glyphs = Vec::with_capacity(pattern.len());
    let mut chars = pattern.chars();
    while let Some(ch) = chars.next() {
        glyphs.push(match ch {
            '*' => Glyph::Many,
            '?' => Glyph::One,
            '\\' => Glyph::Char(chars.next().unwrap_or('\\')),
            ch => Glyph::Char(ch),
        });
    }
    glyphs
}

fn matched(pattern: &[Glyph], value: &str, folds: bool) -> Option<Vec<Range<usize>>> {
    let (mut next, mut at) = (0, 0);
    let mut captures: Vec<Range<usize>> = Vec::new();
    let mut star: Option<Star> = None;
    loop {
        let ch = value[at..].chars().next();
        match (pattern.get(next), ch) {
            (None, None) => return Some(captures),
            (Some(Glyph::Many), _) => {
                star = Some(Star { after: next + 1, end: at, capture: captures.len() });
                captures.push(at..at);
                next += 1;
                continue;
            }
            (Some(Glyph::One), Some(ch)) => {
                captures.push(at..at + ch.len_utf8());
                at += ch.len_utf8();
                next += 1;
                continue;
            }
            (Some(Glyph::Char(wanted)), Some(ch)) if is_same(*wanted, ch, folds) => {
                at += ch.len_utf8();
                next += 1;
                continue;
            }
            (_, None) | (None | Some(Glyph::Char(_)), Some(_)) => {}
        }
        let star = star.as_mut()?;
        star.end += value[star.end..].chars().next()?.len_utf8();
        captures.truncate(star.capture + 1);
        captures[star.capture].end = star.end;
        (next, at) = (star.after, star.end);
    }
}

fn is_same(left: char, right: char, folds: bool) -> bool {
    left == right || folds && left.eq_ignore_ascii_case(&right)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, value: &str, expected: Option<&[&str]>) {
        let found = captures(pattern, value, false);
        let found: Option<Vec<&str>> =
            found.as_ref().map(|all| all[1..].iter().map(String::as_str).collect());
        assert_eq!(found.as_deref(), expected, "{pattern:?} {value:?}");
    }

    #[test]
    fn wildcards_match_whole_values_and_take_as_little_as_they_can() {
        check("", "", Some(&[]));
        check("", "a", None);
        check("*", "", Some(&[""]));
        check("*", "abc", Some(&["abc"]));
        check("?", "", None);
        check("?", "ü", Some(&["ü"]));
        check("a?c", "abc", Some(&["b"]));
        check("*[coyote]*", "x [coyote] y [coyote] z", Some(&["x ", " y [coyote] z"]));
        check("*a*", "bananas", Some(&["b", "nanas"]));
        check("*-*.txt", "a-b-c.txt.txt", Some(&["a", "b-c.txt"]));
        check("?*?", "ab", Some(&["a", "", "b"]));
        check("**b", "aab", Some(&["", "aa"]));
        check("a\\*b", "a*b", Some(&[]));
        check("a\\*b", "axb", None);
        check("a\\?\\\\", "a?\\", Some(&[]));
        check("a\\", "a\\", Some(&[]));
        check("*b", "abc", None);
    }

    #[test]
    fn a_pattern_of_many_stars_stays_fast() {
        let value = "a".repeat(20_000);
        assert_eq!(captures(&format!("{}b", "*a".repeat(200)), &value, true), None);
    }
}
