//! Addresses in header fields and their parts: RFC 5322 section 3.4, RFC 5228 section 2.7.4, RFC 5233.

use std::borrow::Cow;

use crate::program::Part;

/// Whether it can be the one recipient of a copy. The host has the last word, this is for a good text.
pub(crate) fn is_bare(address: &str) -> bool {
    let fits =
        address.is_ascii() && !address.chars().any(|ch| ch.is_ascii_control() || " <>,;\"".contains(ch));
    let ends = address.split_once('@');
    fits && ends
        .is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty() && !domain.contains('@'))
}

/// Whether it can be the name of a header field, RFC 5322 section 2.2.
pub(crate) fn is_field_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|octet| octet.is_ascii_graphic() && octet != b':')
}

/// What a test looks at of an address; `None` when the address has no such part.
pub(crate) fn part<'a>(address: &'a str, part: Part, separator: &str) -> Option<&'a str> {
    let (local, domain) = address.rsplit_once('@').unwrap_or((address, ""));
    let divided = Some(separator).filter(|separator| !separator.is_empty());
    let divided = divided.and_then(|separator| local.split_once(separator));
    match part {
        Part::All => Some(address),
        Part::Local => Some(local),
        Part::Domain => Some(domain),
        Part::User => Some(divided.map_or(local, |(user, _)| user)),
        Part::Detail => divided.map(|(_, detail)| detail),
    }
}

/// The addresses in one field that the host has not parsed. Names and comments are passed over, groups flattened.
pub(crate) fn list(value: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut entry = Entry::default();
    let mut chars = value.chars();
    let mut comments = 0_u32;
    while let Some(ch) = chars.next() {
        match ch {
            '(' => comments += 1,
            ')' if comments > 0 => comments -= 1,
            '\\' if comments > 0 => drop(chars.next()),
            _ if comments > 0 => {}
            '"' => entry.quoted(&mut chars),
            '<' => {
                entry.angled = Some(chars.by_ref().take_while(|ch| *ch != '>').collect());
            }
            ',' | ';' => found.extend(std::mem::take(&mut entry).address()),
            // What stands before is the name of a group.
            ':' => entry = Entry::default(),
            ch => entry.bare.push(ch),
        }
    }
    found.extend(entry.address());
    found
}

#[derive(Default)]
struct Entry {
    bare: String,
    angled: Option<String>,
}

impl Entry {
    fn quoted(&mut self, chars: &mut std::str::Chars<'_>) {
        self.bare.push('"');
        while let Some(ch) = chars.next() {
            self.bare.push(ch);
            match ch {
                '"' => return,
                '\\' => self.bare.extend(chars.next()),
                _ => {}
            }
        }
    }

    fn address(self) -> Option<String> {
        let text = match self.angled {
            // A route before the address is obsolete and says nothing (RFC 5322 section 4.4).
            Some(angled) => angled.rsplit(':').next().unwrap_or_default().trim().to_owned(),
            None => self.bare.trim().to_owned(),
        };
        (!text.is_empty()).then_some(text)
    }
}

/// Text for a header field: printable ASCII stays, other text becomes encoded words (RFC 2047).
pub(crate) fn field_value(text: &str) -> Cow<'_, str> {
    const WORD_OCTETS: usize = 60;
    let is_plain = text.bytes().all(|octet| matches!(octet, b' '..=b'~' | b'\t'));
    if is_plain && !text.contains("=?") {
        return Cow::Borrowed(text);
    }
    let mut words: Vec<String> = Vec::new();
    let mut word = String::new();
    for ch in text.chars().map(|ch| if ch.is_control() { ' ' } else { ch }) {
        let encoded = match ch {
            ' ' => "_".to_owned(),
            ch if ch.is_ascii_alphanumeric() => ch.to_string(),
            ch => ch.encode_utf8(&mut [0; 4]).bytes().map(|octet| format!("={octet:02X}")).collect(),
        };
        if word.len() + encoded.len() > WORD_OCTETS {
            words.push(std::mem::take(&mut word));
        }
        word.push_str(&encoded);
    }
    words.push(word);
    let words: Vec<String> = words.iter().map(|word| format!("=?utf-8?Q?{word}?=")).collect();
    Cow::Owned(words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_its_parts() {
        let parts = |address: &'static str| {
            [Part::All, Part::Local, Part::Domain, Part::User, Part::Detail]
                .map(|one| part(address, one, "+").unwrap_or("-"))
        };
        assert_eq!(
            parts("ken+sieve@b.example"),
            ["ken+sieve@b.example", "ken+sieve", "b.example", "ken", "sieve"]
        );
        assert_eq!(parts("ken@b.example"), ["ken@b.example", "ken", "b.example", "ken", "-"]);
        assert_eq!(parts("ken+@b.example")[4], "");
        assert_eq!(parts("+a+b@b.example")[3..], ["", "a+b"]);
        assert_eq!(parts("root"), ["root", "root", "", "root", "-"]);
        assert_eq!(part("a+b@c", Part::Detail, ""), None);
    }

    #[test]
    fn a_field_is_taken_apart() {
        let check = |value: &str, expected: &[&str]| assert_eq!(list(value), expected, "{value:?}");
        check("a@b.example", &["a@b.example"]);
        check(
            "\"X, Y\" <a@b.example> (c, d), g: e@f.example;, <@r.example:h@i.example>",
            &["a@b.example", "e@f.example", "h@i.example"],
        );
        check("\"a,b\"@c.example, ", &["\"a,b\"@c.example"]);
        check("<", &[]);
        check("(((", &[]);
        check("\"", &["\""]);
    }

    #[test]
    fn values_for_fields_are_printable_ascii() {
        assert_eq!(field_value("plain text"), "plain text");
        assert_eq!(field_value("Grüße"), "=?utf-8?Q?Gr=C3=BC=C3=9Fe?=");
        assert_eq!(field_value("a\r\nBcc: x"), "=?utf-8?Q?a__Bcc=3A_x?=");
        assert!(field_value(&"ü".repeat(100)).split(' ').all(|word| word.len() <= 75));
    }
}
