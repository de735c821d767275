//! The message as a script sees it: with the fields that `addheader` put there. Nothing here changes anything.

use postroom_sdk::{BodyKind, Message, Part as MimePart};

use crate::address;
use crate::program::{End, Index, Transform};

/// So many octets of a body, and of each part, are looked at.
pub(crate) const BODY_OCTETS: u32 = 1 << 20;
/// So many parts.
const BODY_PARTS: usize = 64;
/// Fields that say whom the server delivered a message to, RFC 5321 section 4.4 has only the first end.
const DELIVERED: [&str; 3] = ["delivered-to", "x-original-to", "envelope-to"];

/// A message and the fields that were added.
pub(crate) struct View<'m> {
    message: &'m Message<'m>,
    added: Vec<Added>,
}

/// A field that a script has added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Added {
    /// Its name.
    pub(crate) name: String,
    /// Its value.
    pub(crate) value: String,
    /// Below the others.
    pub(crate) last: bool,
}

impl<'m> View<'m> {
    /// As it came.
    pub(crate) fn of(message: &'m Message<'m>) -> Self {
        Self { message, added: Vec::new() }
    }

    /// The message as it came.
    pub(crate) fn message(&self) -> &'m Message<'m> {
        self.message
    }

    /// Adds a field.
    pub(crate) fn add(&mut self, field: Added) {
        self.added.push(field);
    }

    /// The fields that were added, the topmost last.
    pub(crate) fn added(&self) -> &[Added] {
        &self.added
    }

    /// The decoded values of the fields of a name, from the top.
    pub(crate) fn fields(&self, name: &str, index: Option<Index>) -> Vec<String> {
        let mut values: Vec<String> = self.above(name).collect();
        values.extend(self.message.header_all(name));
        values.extend(self.below(name));
        chosen(values, index)
    }

    /// The addresses in the fields of a name, from the top.
    pub(crate) fn addresses(&self, name: &str, index: Option<Index>) -> Vec<String> {
        if let Some(index) = index {
            let raw = self.message.header_raw(name);
            let mut values: Vec<String> = self.above(name).collect();
            values.extend(raw.iter().map(|value| unfolded(value)));
            values.extend(self.below(name));
            return chosen(values, Some(index)).iter().flat_map(|value| address::list(value)).collect();
        }
        let own = self.message.addresses(name).into_iter().map(|address| address.email);
        let (above, below): (Vec<_>, Vec<_>) = (self.above(name).collect(), self.below(name).collect());
        let above = above.iter().flat_map(|value| address::list(value));
        above.chain(own).chain(below.iter().flat_map(|value| address::list(value))).collect()
    }

    /// Whether there is a field of that name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.added.iter().any(|field| field.name.eq_ignore_ascii_case(name))
            || self.message.header(name).is_some()
    }

    /// What the fields of the last delivery say of the envelope; the sender of a report is empty.
    pub(crate) fn envelope(&self, end: End) -> Vec<String> {
        match end {
            End::From => {
                let Some(path) = self.message.header("return-path") else { return Vec::new() };
                vec![address::list(&path).into_iter().next().unwrap_or_default()]
            }
            End::To => {
                let mut found: Vec<String> = Vec::new();
                for address in DELIVERED.iter().flat_map(|name| self.message.addresses(name)) {
                    if !found.iter().any(|known| known.eq_ignore_ascii_case(&address.email)) {
                        found.push(address.email);
                    }
                }
                found
            }
        }
    }

    /// The texts of a body.
    pub(crate) fn body(&self, transform: &Transform) -> Result<Vec<String>, postroom_sdk::Fault> {
        match transform {
            Transform::Raw => self.raw_body().map(|body| vec![body]),
            Transform::Content(types) => self.contents(|part| is_of(types, &part.content_type())),
            Transform::Text => self.contents(|part| part.content_type().starts_with("text/")),
        }
    }

    /// What follows the first blank line.
    fn raw_body(&self) -> Result<String, postroom_sdk::Fault> {
        let raw = self.message.raw();
        let octets = raw.read(0, BODY_OCTETS)?;
        let Some(start) = body_start(&octets) else {
            // A header as long as that leaves nothing to look at.
            return Ok(String::new());
        };
        Ok(lossy(&octets[start..]))
    }

    fn contents(&self, wanted: impl Fn(&MimePart) -> bool) -> Result<Vec<String>, postroom_sdk::Fault> {
        let mut texts = Vec::new();
        let mut first = [true, true];
        for part in self.message.parts().iter().filter(|part| wanted(part)).take(BODY_PARTS) {
            let content_type = part.content_type();
            // The host decodes the charset of the first text of each kind; of others it is not told.
            let kind = match content_type.as_str() {
                "text/plain" => Some((BodyKind::Text, 0)),
                "text/html" => Some((BodyKind::Html, 1)),
                _ => None,
            };
            let known = kind.filter(|(_, slot)| std::mem::take(&mut first[*slot]) && !part.is_attachment());
            let decoded = known.and_then(|(kind, _)| self.message.body(kind, BODY_OCTETS));
            let text = match decoded {
                Some(text) => text,
                None => lossy(&part.content()?.read(0, BODY_OCTETS)?),
            };
            texts.push(match content_type.as_str() {
                "text/html" => without_tags(&text),
                // Of a message inside only the header, RFC 5173 section 5.2.
                "message/rfc822" => {
                    let end = body_start(text.as_bytes()).unwrap_or(text.len());
                    text[..text.floor_char_boundary(end)].to_owned()
                }
                _ => text,
            });
        }
        Ok(texts)
    }

    fn above(&self, name: &str) -> impl Iterator<Item = String> {
        self.placed(name, false).rev()
    }

    fn below(&self, name: &str) -> impl Iterator<Item = String> {
        self.placed(name, true)
    }

    fn placed(&self, name: &str, last: bool) -> impl DoubleEndedIterator<Item = String> {
        let of_name = self.added.iter().filter(move |field| field.last == last);
        of_name.filter(move |field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value.clone())
    }
}

fn chosen(mut values: Vec<String>, index: Option<Index>) -> Vec<String> {
    let Some(Index { number, last }) = index else { return values };
    let at = if last { values.len().checked_sub(number) } else { number.checked_sub(1) };
    match at.filter(|at| *at < values.len()) {
        Some(at) => vec![values.swap_remove(at)],
        None => Vec::new(),
    }
}

/// RFC 5173 section 5.2: a type, all of a kind ("text"), or everything ("").
fn is_of(types: &[String], content_type: &str) -> bool {
    let kind = content_type.split('/').next().unwrap_or_default();
    types.iter().any(|wanted| match wanted.split_once('/') {
        _ if wanted.is_empty() => true,
        None => wanted == kind,
        Some((first, second)) if first.is_empty() || second.is_empty() || second.contains('/') => false,
        Some(_) => wanted == content_type,
    })
}

fn body_start(octets: &[u8]) -> Option<usize> {
    let mut at = 0;
    for line in octets.split_inclusive(|octet| *octet == b'\n') {
        at += line.len();
        if line == b"\n" || line == b"\r\n" {
            return Some(at);
        }
    }
    None
}

fn unfolded(raw: &[u8]) -> String {
    lossy(raw).replace(['\r', '\n'], "")
}

/// UTF-8, or else every octet as the character of that number (ISO 8859-1).
fn lossy(octets: &[u8]) -> String {
    match std::str::from_utf8(octets) {
        Ok(text) => text.to_owned(),
        // A character that was cut in half at the end.
        Err(error) if error.error_len().is_none() => {
            String::from_utf8_lossy(&octets[..error.valid_up_to()]).into_owned()
        }
        Err(_) => octets.iter().map(|octet| char::from(*octet)).collect(),
    }
}

/// The text of a page: tags are left out, and the few references that are common are put in.
fn without_tags(html: &str) -> String {
    let mut text = String::with_capacity(html.len());
    let mut rest = html;
    while let Some(start) = rest.find('<') {
        text.push_str(&rest[..start]);
        rest = &rest[start..];
        let lower = rest.get(..7).unwrap_or_default().to_ascii_lowercase();
        let end = if rest.starts_with("<!--") {
            "-->"
        } else if lower.starts_with("<style") {
            "</style>"
        } else if lower == "<script" {
            "</script>"
        } else {
            ">"
        };
        let found = find_folded(rest, end);
        rest = found.map_or("", |at| &rest[at + end.len()..]);
    }
    text.push_str(rest);
    if text.contains('&') {
        let references =
            [("&nbsp;", " "), ("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")];
        for (reference, put_in) in references {
            text = text.replace(reference, put_in);
        }
    }
    text
}

fn find_folded(text: &str, ascii: &str) -> Option<usize> {
    text.as_bytes().windows(ascii.len()).position(|window| window.eq_ignore_ascii_case(ascii.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_page_has_no_tags() {
        let page = "<p>a &amp; b</p><!-- x > y --><STYLE>p { }</Style>c<script>if (a<b) {}</SCRIPT>d <br";
        assert_eq!(without_tags(page), "a & bcd ");
        assert_eq!(without_tags("<style>never ended"), "");
    }

    #[test]
    fn types_of_parts_are_named_in_three_ways() {
        let of = |wanted: &str, found: &str| is_of(&[wanted.to_owned()], found);
        assert!(of("", "image/png") && of("text", "text/plain") && of("text/plain", "text/plain"));
        assert!(!of("text", "image/png") && !of("text/", "text/plain") && !of("/", "text/plain"));
        assert!(!of("/plain", "text/plain") && !of("text/plain/x", "text/plain/x"));
    }

    #[test]
    fn a_character_cut_in_half_is_left_out() {
        assert_eq!(lossy(b"a\xc3"), "a");
        assert_eq!(lossy(b"a\xc3b"), "aÃb");
    }
}
