//! From what mail-parser found to the nodes of the contract: flat, in order, bounded, with sane offsets and strings.

use mail_parser::{ContentType, Message, MessagePart, MimeHeaders, PartType};
use postroom_sdk::structure::{Budget, Encoding, Node, Tree};

use crate::names;

/// Longest file name, octets.
const NAME_OCTETS: usize = 998;
/// Longest content id, octets; RFC 5322 lines end at 998.
const ID_OCTETS: usize = 998;
/// Longest type, subtype, charset or disposition, octets; RFC 6838 section 4.2 allows 127.
const TOKEN_OCTETS: usize = 127;

/// A part still to be listed.
struct Pending<'a> {
    message: &'a Message<'a>,
    part: &'a MessagePart<'a>,
    parent: Option<u32>,
    level: u32,
    /// Where the parent's body ends: what a part without an end of its own ends at.
    end: u64,
    /// A part of a multipart/digest is a message, unless it says otherwise (RFC 2046 section 5.1.5).
    of_digest: bool,
}

/// A tree, and for each node its boundary when it is a multipart.
pub(crate) struct Walked {
    pub(crate) tree: Tree,
    pub(crate) boundaries: Vec<Option<String>>,
}

/// The nodes of a message parsed from `octets`, parents before children. Walks with a stack of its own: nesting
/// must not become recursion.
pub(crate) fn walk(message: &Message<'_>, octets: &[u8], budget: Budget) -> Walked {
    let size = octets.len() as u64;
    let mut tree = Tree::default();
    let mut boundaries = Vec::new();
    let root = message.parts.first();
    let mut pending: Vec<Pending<'_>> = root
        .map(|part| Pending { message, part, parent: None, level: 1, end: size, of_digest: false })
        .into_iter()
        .collect();
    while let Some(next) = pending.pop() {
        if tree.nodes.len() >= budget.nodes as usize {
            tree.truncated = true;
            break;
        }
        let children = children(&next);
        let too_deep = next.level >= budget.depth && !children.is_empty();
        tree.truncated |= too_deep;
        let index = u32::try_from(tree.nodes.len()).unwrap_or(u32::MAX);
        let node = node(&next, octets, !too_deep);
        let (end, of_digest) = (node.body_end, node.content_type == "multipart/digest");
        let boundary = next.part.content_type().and_then(|declared| declared.attribute("boundary"));
        let is_multipart = node.is_container && matches!(next.part.body, PartType::Multipart(_));
        boundaries.push(boundary.filter(|boundary| is_multipart && !boundary.is_empty()).map(str::to_owned));
        tree.nodes.push(node);
        if too_deep {
            continue;
        }
        pending.extend(children.into_iter().rev().map(|(message, part)| Pending {
            message,
            part,
            parent: Some(index),
            level: next.level + 1,
            end,
            of_digest,
        }));
    }
    Walked { tree, boundaries }
}

/// One leaf for octets in which no header block ends: still a message, whatever is wrong with it.
pub(crate) fn unparsed(octets: &[u8], budget: Budget) -> Tree {
    if budget.nodes == 0 {
        return Tree { nodes: Vec::new(), truncated: true };
    }
    let size = octets.len() as u64;
    let node = Node {
        parent: None,
        content_type: "text/plain".to_owned(),
        charset: None,
        encoding: Encoding::Identity,
        disposition: None,
        filename: None,
        content_id: None,
        header_start: 0,
        body_start: body_start(octets) as u64,
        body_end: size,
        is_container: false,
        damaged: true,
    };
    Tree { nodes: vec![node], truncated: false }
}

/// After the first empty line, or the end.
fn body_start(octets: &[u8]) -> usize {
    let mut line_start = 0;
    for (at, octet) in octets.iter().enumerate() {
        if *octet == b'\n' {
            if matches!(&octets[line_start..at], b"" | b"\r") {
                return at + 1;
            }
            line_start = at + 1;
        }
    }
    octets.len()
}

type Child<'a> = (&'a Message<'a>, &'a MessagePart<'a>);

fn children<'a>(pending: &Pending<'a>) -> Vec<Child<'a>> {
    match &pending.part.body {
        PartType::Multipart(ids) => {
            let parts = ids.iter().filter_map(|id| pending.message.parts.get(*id as usize));
            parts.map(|part| (pending.message, part)).collect()
        }
        // The parts of an attached message that was itself encoded have offsets in the decoded octets: no use here.
        PartType::Message(nested) if encoding(pending.part) == Encoding::Identity => {
            nested.parts.first().map(|part| (nested, part)).into_iter().collect()
        }
        PartType::Message(_)
        | PartType::Text(_)
        | PartType::Html(_)
        | PartType::Binary(_)
        | PartType::InlineBinary(_) => Vec::new(),
    }
}

fn node(pending: &Pending<'_>, octets: &[u8], listed: bool) -> Node {
    let size = octets.len() as u64;
    let part = pending.part;
    let encoding = encoding(part);
    let is_container = listed
        && match part.body {
            PartType::Multipart(_) => true,
            PartType::Message(_) => encoding == Encoding::Identity,
            PartType::Text(_) | PartType::Html(_) | PartType::Binary(_) | PartType::InlineBinary(_) => false,
        };
    let content_type = part.content_type();
    let header_start = u64::from(part.offset_header).min(size);
    let body_start = u64::from(part.offset_body).clamp(header_start, size);
    let header = octets.get(header_start as usize..body_start as usize).unwrap_or_default();
    let end = if u64::from(part.offset_end) < body_start { pending.end } else { u64::from(part.offset_end) };
    Node {
        parent: pending.parent,
        content_type: type_of(content_type, pending.of_digest),
        charset: content_type.and_then(|ct| ct.attribute("charset")).and_then(token),
        encoding: if is_container { Encoding::Identity } else { encoding },
        disposition: part.content_disposition().and_then(|disposition| token(disposition.ctype())),
        filename: names::in_header(header).map(|name| cut(&name.text, NAME_OCTETS)),
        content_id: part.content_id().filter(|id| !id.is_empty()).map(|id| cut(id, ID_OCTETS)),
        header_start,
        body_start,
        body_end: end.clamp(body_start, size),
        is_container,
        damaged: part.is_encoding_problem,
    }
}

/// As declared. The parser falls back to identity where it cannot decode; the host decodes more patiently.
fn encoding(part: &MessagePart<'_>) -> Encoding {
    match part.content_transfer_encoding().map(str::trim) {
        Some(name) if name.eq_ignore_ascii_case("base64") => Encoding::Base64,
        Some(name) if name.eq_ignore_ascii_case("quoted-printable") => Encoding::QuotedPrintable,
        Some(_) | None => Encoding::Identity,
    }
}

fn type_of(content_type: Option<&ContentType<'_>>, of_digest: bool) -> String {
    let default = if of_digest { "message/rfc822" } else { "text/plain" };
    let Some(content_type) = content_type else { return default.to_owned() };
    match (token(content_type.ctype()), content_type.subtype().and_then(token)) {
        (Some(kind), Some(subtype)) => format!("{kind}/{subtype}"),
        // RFC 2045 section 5.2: a field that makes no sense counts as none, but what it says of its kind is kept.
        (Some(kind), None) if kind == "text" => "text/plain".to_owned(),
        _ => "application/octet-stream".to_owned(),
    }
}

/// An RFC 2045 token in lower case, or nothing.
fn token(text: &str) -> Option<String> {
    let text = text.trim();
    let fits = |ch: char| ch.is_ascii_graphic() && !"()<>@,;:\\\"/[]?=".contains(ch);
    let is_token = !text.is_empty() && text.len() <= TOKEN_OCTETS && text.chars().all(fits);
    is_token.then(|| text.to_ascii_lowercase())
}

fn cut(text: &str, octets: usize) -> String {
    let mut end = text.len().min(octets);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}
