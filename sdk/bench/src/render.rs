//! From fields and parts to the octets of a message: RFC 5322, with RFC 2045, 2046, 2047, 2231 and 2387 where needed. The
//! same fields and parts give the same octets.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::mail::{Part, Place};

/// Longest line of a field (RFC 5322 section 2.1.1), where it can be folded.
const LINE: usize = 78;
/// Octets in one encoded word, so that it has at most 75 characters (RFC 2047 section 2).
const WORD: usize = 42;
const ADDRESSES: [&str; 7] = ["from", "to", "cc", "bcc", "reply-to", "sender", "delivered-to"];

/// The message.
pub(crate) fn message(headers: &[(String, String)], parts: &[Part]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in headers {
        field(&mut out, name, &encoded(name, value));
    }
    let mut boundaries = 0;
    match tree(parts) {
        Some(root) => {
            field(&mut out, "MIME-Version", "1.0");
            root.write(&mut out, &mut boundaries);
        }
        None => out.extend_from_slice(b"\r\n"),
    }
    out
}

/// What a body is put together from.
enum Node<'a> {
    Leaf(&'a Part),
    Multi(&'static str, Vec<Node<'a>>),
}

/// mixed(related(alternative(texts), shown inside), attachments), without multiparts of one; `None` without parts.
fn tree(parts: &[Part]) -> Option<Node<'_>> {
    let at = |place| parts.iter().filter(move |part| part.place == place).map(Node::Leaf);
    let texts = joined("multipart/alternative", at(Place::Text).collect());
    let related: Vec<_> = texts.into_iter().chain(at(Place::Related)).collect();
    // A picture alone would not be beside a text, and so would not be shown inside one.
    let shown = match at(Place::Related).next() {
        Some(_) => Some(Node::Multi("multipart/related", related)),
        None => joined("multipart/related", related),
    };
    joined("multipart/mixed", shown.into_iter().chain(at(Place::Mixed)).collect())
}

fn joined<'a>(content_type: &'static str, mut nodes: Vec<Node<'a>>) -> Option<Node<'a>> {
    match nodes.len() {
        0 | 1 => nodes.pop(),
        _ => Some(Node::Multi(content_type, nodes)),
    }
}

impl Node<'_> {
    /// Its own fields, an empty line, and the body.
    fn write(&self, out: &mut Vec<u8>, boundaries: &mut u32) {
        match self {
            Node::Leaf(part) => leaf(out, part),
            Node::Multi(content_type, nodes) => {
                // "=_" is in no base64 text, and with the rest in no text that does not mean to be it.
                let boundary = format!("=_postroom-bench-{boundaries}");
                *boundaries += 1;
                field(out, "Content-Type", &format!("{content_type}; boundary=\"{boundary}\""));
                for node in nodes {
                    out.extend_from_slice(format!("\r\n--{boundary}\r\n").as_bytes());
                    node.write(out, boundaries);
                }
                out.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
            }
        }
    }
}

fn leaf(out: &mut Vec<u8>, part: &Part) {
    let charset = if part.place == Place::Text { "; charset=utf-8" } else { "" };
    field(out, "Content-Type", &format!("{}{charset}", part.content_type));
    if let Some(disposition) = part.disposition {
        let name = part.filename.as_deref().map(parameter).unwrap_or_default();
        field(out, "Content-Disposition", &format!("{disposition}{name}"));
    }
    if let Some(content_id) = &part.content_id {
        field(out, "Content-ID", &format!("<{content_id}>"));
    }
    let is_plain = part.place == Place::Text
        && part.content.iter().all(|octet| matches!(octet, b' '..=b'~' | b'\t' | b'\r' | b'\n'))
        && part.content.split(|octet| *octet == b'\n').all(|line| line.len() < 998);
    if is_plain {
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(&part.content);
        return;
    }
    field(out, "Content-Transfer-Encoding", "base64");
    out.extend_from_slice(b"\r\n");
    let lines: Vec<String> = part.content.chunks(57).map(|line| STANDARD.encode(line)).collect();
    out.extend_from_slice(lines.join("\r\n").as_bytes());
}

/// A file name as a quoted string, or as RFC 2231 section 4 has it.
fn parameter(name: &str) -> String {
    if name.bytes().all(|octet| matches!(octet, b' '..=b'~')) {
        return format!("; filename=\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""));
    }
    let mut encoded = String::new();
    for octet in name.bytes() {
        match octet {
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'.' | b'-' | b'_' => encoded.push(char::from(octet)),
            other => encoded.push_str(&format!("%{other:02X}")),
        }
    }
    format!("; filename*=utf-8''{encoded}")
}

/// A field, folded at blanks where a line gets too long.
fn field(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(format!("{name}:").as_bytes());
    let mut line = name.len() + 1;
    for word in value.split(' ') {
        if line + 1 + word.len() > LINE && line > name.len() + 1 && !word.is_empty() {
            out.extend_from_slice(b"\r\n");
            line = 0;
        }
        out.push(b' ');
        out.extend_from_slice(word.as_bytes());
        line += 1 + word.len();
    }
    out.extend_from_slice(b"\r\n");
}

/// The value with what is not printable ASCII as encoded words. Of a field with addresses only the words around them.
fn encoded(name: &str, value: &str) -> String {
    let is_plain = |text: &str| text.bytes().all(|octet| matches!(octet, b' '..=b'~' | b'\t'));
    if is_plain(value) {
        return value.to_owned();
    }
    if !ADDRESSES.contains(&name.to_ascii_lowercase().as_str()) {
        return words(value);
    }
    // A quoted string cannot hold an encoded word (RFC 2047 section 5).
    let value = value.replace('"', "");
    let mut out: Vec<String> = Vec::new();
    let mut run: Vec<&str> = Vec::new();
    for word in value.split(' ') {
        if is_plain(word) || word.contains('@') {
            out.extend((!run.is_empty()).then(|| words(&run.join(" "))));
            run.clear();
            out.push(word.to_owned());
        } else {
            run.push(word);
        }
    }
    out.extend((!run.is_empty()).then(|| words(&run.join(" "))));
    out.join(" ")
}

/// Encoded words: the blanks between them are not part of the text.
fn words(text: &str) -> String {
    let mut words = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (word, after) = rest.split_at(rest.floor_char_boundary(WORD));
        words.push(format!("=?utf-8?B?{}?=", STANDARD.encode(word)));
        rest = after;
    }
    words.join(" ")
}
