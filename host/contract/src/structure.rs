//! The structure of a message, and the distrust of what a parser answers.
//!
//! A parser sees a skeleton of the message (without what structure does not need), and every value it answers is checked
//! here before anything is read by it: it may be a guest that an attacker's mail has taken over.

use std::io;

use postroom_mail::octets::Octets;
use postroom_mail::skeleton::Skeleton;
use postroom_mail::structure::{Encoding, Node, Structure};

/// Octets of a skeleton; what is beyond is not looked at.
const SKELETON_CAP: usize = 16 << 20;
const NODES: u32 = 1000;
const DEPTH: u32 = 32;
/// Octets of a type, a charset, a disposition.
const WORD_CAP: usize = 255;
/// Octets of a file name or a content-id (RFC 5322 2.1.1: one line).
const TEXT_CAP: usize = 998;

/// How much of a tree is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Most nodes.
    pub nodes: u32,
    /// Most levels; the root is level 1.
    pub depth: u32,
}

/// One node as a parser answers it, not yet checked. Offsets count octets of what was parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundNode {
    /// Index of the parent; the root has none.
    pub parent: Option<u32>,
    /// Declared type.
    pub content_type: String,
    /// Declared charset.
    pub charset: Option<String>,
    /// How the body is encoded.
    pub encoding: Encoding,
    /// Declared disposition.
    pub disposition: Option<String>,
    /// Decoded file name.
    pub filename: Option<String>,
    /// Without angle brackets.
    pub content_id: Option<String>,
    /// Where its header block starts.
    pub header_start: u64,
    /// Where its body starts.
    pub body_start: u64,
    /// Where its body ends.
    pub body_end: u64,
    /// A multipart, or a message whose own parts are listed.
    pub is_container: bool,
    /// The encoding was damaged, or a boundary was missing.
    pub damaged: bool,
}

/// A tree as a parser answers it, parents before children.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FoundTree {
    /// All nodes.
    pub nodes: Vec<FoundNode>,
    /// More was there than the budget allowed.
    pub truncated: bool,
}

/// Finds the MIME tree in octets.
pub trait Parser: Send + Sync {
    /// The tree of a message.
    ///
    /// # Errors
    /// When there is none, or the parser could not be run.
    fn parse(&self, octets: &[u8], budget: Budget) -> Result<FoundTree, ParseError>;
}

/// Why there is no structure.
#[derive(Debug)]
pub enum ParseError {
    /// The message is to blame, or the parser; trying again will not help.
    Flawed(String),
    /// The message could not be read.
    Storage(io::Error),
    /// The parser could not be run now.
    Unavailable(String),
}

impl ParseError {
    /// The message is to blame, or the parser.
    pub fn flawed(text: &str) -> Self {
        Self::Flawed(format!("the structure could not be found: {text}"))
    }
}

/// The MIME tree of a raw message, as far as it makes sense.
///
/// # Errors
/// When the message could not be read, or the parser failed on it.
pub fn structure(octets: &dyn Octets, parser: &dyn Parser) -> Result<Structure, ParseError> {
    let skeleton = Skeleton::build(octets, SKELETON_CAP).map_err(ParseError::Storage)?;
    let tree = parser.parse(skeleton.octets(), Budget { nodes: NODES, depth: DEPTH })?;
    let span = Span { skeleton: &skeleton, seen: skeleton.octets().len() as u64, size: octets.len() };
    let nodes = checked(tree.nodes, &span)
        .map_err(|text| ParseError::flawed(&format!("the parser answered nonsense: {text}")))?;
    Ok(Structure { nodes, truncated: tree.truncated || skeleton.truncated() })
}

/// What offsets may point into, and how they are mapped onto the raw message.
struct Span<'a> {
    skeleton: &'a Skeleton,
    seen: u64,
    size: u64,
}

impl Span<'_> {
    fn map(&self, node: &FoundNode) -> Result<[u64; 3], String> {
        let offsets = [node.header_start, node.body_start, node.body_end];
        if !offsets.is_sorted() || offsets[2] > self.seen {
            return Err(format!("offsets {offsets:?} in a message of {} octets", self.seen));
        }
        let raw = offsets.map(|offset| self.skeleton.to_raw(offset));
        if !raw.is_sorted() || raw[2] > self.size {
            return Err(format!("offsets {offsets:?} map to {raw:?} of {} octets", self.size));
        }
        Ok(raw)
    }
}

/// Checks every node and gives each its path.
fn checked(answered: Vec<FoundNode>, span: &Span<'_>) -> Result<Vec<Node>, String> {
    if answered.len() > NODES as usize {
        return Err(format!("{} nodes, {NODES} were allowed", answered.len()));
    }
    let mut nodes: Vec<Node> = Vec::with_capacity(answered.len());
    let mut places: Vec<Place> = Vec::with_capacity(answered.len());
    for (index, node) in answered.into_iter().enumerate() {
        let [header_start, body_start, body_end] = span.map(&node)?;
        let content_type = media_type(&node.content_type);
        let place = match (node.parent, index) {
            (None, 0) => Place::root(node.is_container, &content_type),
            (None, _) => return Err(format!("node {index} is a second root")),
            (Some(parent), _) => match (nodes.get(parent as usize), places.get_mut(parent as usize)) {
                (Some(above), Some(place)) if above.is_container => {
                    place.child(above, node.is_container, &content_type)
                }
                (Some(_), _) => return Err(format!("node {index} is inside node {parent}, which is a leaf")),
                (None, _) => return Err(format!("node {index} is inside node {parent}, which comes later")),
            },
        };
        if place.depth > DEPTH {
            return Err(format!("node {index} is {} deep, {DEPTH} was allowed", place.depth));
        }
        nodes.push(Node {
            parent: node.parent,
            path: place.path.clone(),
            content_type,
            charset: node.charset.map(|text| cut(text, WORD_CAP)),
            encoding: node.encoding,
            disposition: node.disposition.map(|text| cut(text.to_ascii_lowercase(), WORD_CAP)),
            filename: node.filename.map(|text| cut(text, TEXT_CAP)),
            content_id: node.content_id.map(|text| cut(text, TEXT_CAP)),
            header_start,
            body_start,
            body_end,
            is_container: node.is_container,
            damaged: node.damaged,
        });
        places.push(place);
    }
    Ok(nodes)
}

/// Where a node stands: its path as IMAP numbers it (RFC 3501 6.4.5), and how many children it has so far.
struct Place {
    path: String,
    depth: u32,
    children: u32,
}

impl Place {
    /// The multipart of a message has no number of its own; anything else is part 1.
    fn root(is_container: bool, content_type: &str) -> Self {
        let path = if is_multipart(is_container, content_type) { "" } else { "1" };
        Self { path: path.to_owned(), depth: 1, children: 0 }
    }

    /// The multipart of an attached message shares the number of the message.
    fn child(&mut self, above: &Node, is_container: bool, content_type: &str) -> Self {
        self.children += 1;
        let shares =
            is_multipart(is_container, content_type) && !above.content_type.starts_with("multipart/");
        let path = match (shares, self.path.as_str()) {
            (true, above) => above.to_owned(),
            (false, "") => self.children.to_string(),
            (false, above) => format!("{above}.{}", self.children),
        };
        Self { path, depth: self.depth + 1, children: 0 }
    }
}

fn is_multipart(is_container: bool, content_type: &str) -> bool {
    is_container && content_type.starts_with("multipart/")
}

/// RFC 2045 5.1: two tokens; anything else is unknown octets (RFC 2045 5.2, 2046 4.5.1).
fn media_type(text: &str) -> String {
    let token = |token: &str| {
        !token.is_empty()
            && token.bytes().all(|b| b.is_ascii_graphic() && !br#"()<>@,;:\"/[]?="#.contains(&b))
    };
    match text.split_once('/') {
        Some((kind, sub)) if text.len() <= WORD_CAP && token(kind) && token(sub) => text.to_ascii_lowercase(),
        _ => "application/octet-stream".to_owned(),
    }
}

fn cut(mut text: String, cap: usize) -> String {
    text.truncate(text.floor_char_boundary(cap));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(parent: Option<u32>, content_type: &str, is_container: bool) -> FoundNode {
        FoundNode {
            parent,
            content_type: content_type.to_owned(),
            charset: None,
            encoding: Encoding::Identity,
            disposition: None,
            filename: None,
            content_id: None,
            header_start: 0,
            body_start: 0,
            body_end: 0,
            is_container,
            damaged: false,
        }
    }

    fn paths(nodes: Vec<FoundNode>) -> Result<Vec<String>, String> {
        let skeleton = Skeleton::build(&Vec::new(), 0).unwrap();
        let span = Span { skeleton: &skeleton, seen: 0, size: 0 };
        Ok(checked(nodes, &span)?.into_iter().map(|node| node.path).collect())
    }

    #[test]
    fn paths_are_numbered_as_in_imap() {
        let tree = vec![
            node(None, "multipart/mixed", true),
            node(Some(0), "text/plain", false),
            node(Some(0), "message/rfc822", true),
            node(Some(2), "multipart/alternative", true),
            node(Some(3), "text/plain", false),
            node(Some(3), "text/html", false),
            node(Some(0), "multipart/related", true),
            node(Some(6), "text/html", false),
            node(Some(0), "message/rfc822", true),
            node(Some(8), "text/plain", false),
        ];
        assert_eq!(paths(tree).unwrap(), ["", "1", "2", "2", "2.1", "2.2", "3", "3.1", "4", "4.1"]);
        assert_eq!(paths(vec![node(None, "text/plain", false)]).unwrap(), ["1"]);
    }

    #[test]
    fn a_tree_deeper_than_allowed_is_refused() {
        let deep = |depth: u32| {
            let parent = |index: u32| index.checked_sub(1);
            paths((0..depth).map(|index| node(parent(index), "multipart/mixed", true)).collect())
        };
        assert!(deep(DEPTH).is_ok());
        assert!(deep(DEPTH + 1).is_err());
    }

    #[test]
    fn media_types_that_are_none_become_unknown_octets() {
        assert_eq!(media_type("Text/HTML"), "text/html");
        for bad in ["", "text", "/", "a/", "a/b c", "a/b/c", "a/\u{fc}", "a/b\r\n"] {
            assert_eq!(media_type(bad), "application/octet-stream", "{bad:?}");
        }
    }
}
