//! Which pictures the text shows: content ids that an HTML text refers to (RFC 2392). No HTML is parsed: whoever writes "cid:"
//! means one.

use std::collections::BTreeSet;

/// Octets of one text that are looked at.
pub(crate) const LOOKED_AT: u64 = 1 << 20;
/// Ids that are kept.
const IDS: usize = 1000;

/// The ids in a text, added to those that were found before.
pub(crate) fn collect(html: &[u8], found: &mut BTreeSet<String>) {
    let mut rest = html;
    while let Some(at) = rest.windows(4).position(|window| window.eq_ignore_ascii_case(b"cid:")) {
        rest = &rest[at + 4..];
        let end = rest.iter().position(|octet| is_end(*octet)).unwrap_or(rest.len());
        if end > 0 && found.len() < IDS {
            found.insert(key(&String::from_utf8_lossy(&rest[..end])));
        }
        rest = &rest[end..];
    }
}

fn is_end(octet: u8) -> bool {
    octet.is_ascii_whitespace() || b"\"'<>)&;,`\\".contains(&octet)
}

/// An id as it is compared: without escapes and without case.
pub(crate) fn key(id: &str) -> String {
    let mut octets = Vec::with_capacity(id.len());
    let mut rest = id.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        let escape = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match escape.filter(|_| *first == b'%').and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(octet) => {
                octets.push(octet);
                rest = &after[2..];
            }
            None => octets.push(*first),
        }
    }
    String::from_utf8_lossy(&octets).trim_matches(['<', '>']).to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_found_quoted_bare_and_escaped() {
        let mut found = BTreeSet::new();
        let html = b"<img src=\"cid:A@x\"><img src=cid:b><div style='background:url(CID:c%40d)'> cid: <b>";
        collect(html, &mut found);
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["a@x", "b", "c@d"]);
        assert_eq!(key("<A@x>"), "a@x");
    }
}
