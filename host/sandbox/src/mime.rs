//! The sandboxed MIME parser, and the distrust of what it answers.
//!
//! A small mail can make a MIME parser overflow its stack or take quadratic time, and a stack overflow ends the host. So
//! the parser is a guest with limits of its own. It sees a skeleton of the message (without what structure does not
//! need), and every value it answers is checked here before anything is read by it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use postroom_mail::Digest;
use postroom_mail::octets::Octets;
use postroom_mail::rules::neutral;
use postroom_mail::skeleton::Skeleton;
use postroom_mail::structure::{Encoding, Node, Structure};
use wasmtime::component::Resource;

use crate::bindings::mime::MimePre;
use crate::bindings::mime::exports::postroom::plugin::structure as guest;
use crate::blob::{Blob, BlobEntry};
use crate::call;
use crate::error::Cause;
use crate::invocation::Invocation;
use crate::limits::Limits;

/// Octets of a skeleton; what is beyond is not looked at.
const SKELETON_CAP: usize = 16 << 20;
const NODES: u32 = 1000;
const DEPTH: u32 = 32;
/// Octets of a type, a charset, a disposition.
const WORD_CAP: usize = 255;
/// Octets of a file name or a content-id (RFC 5322 2.1.1: one line).
const TEXT_CAP: usize = 998;

/// The MIME parser, loaded.
pub struct Mime {
    pre: MimePre<Invocation>,
    digest: Digest,
    limits: Limits,
}

/// Why there is no structure.
#[derive(Debug)]
pub(crate) enum ParseError {
    /// The message is to blame, or the parser; trying again will not help.
    Flawed(String),
    /// The message could not be read.
    Storage(io::Error),
    /// The parser could not be run now.
    Unavailable(String),
}

impl Mime {
    pub(crate) fn new(pre: MimePre<Invocation>, digest: Digest) -> Self {
        let limits = Limits {
            memory: crate::limits::MEMORY_MAX,
            cpu: Duration::from_secs(5),
            wall: Duration::from_secs(30),
            hostcall_octets: 64 << 20,
            ..Limits::default()
        };
        Self { pre, digest, limits }
    }

    /// SHA-256 of the component.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The MIME tree of a raw message.
    ///
    /// # Errors
    /// A text: the message could not be read, or the parser failed on it.
    pub fn structure(&self, octets: &dyn Octets) -> Result<Structure, String> {
        self.parse(octets).map_err(|error| match error {
            ParseError::Flawed(text) | ParseError::Unavailable(text) => text,
            ParseError::Storage(error) => format!("reading the message failed: {error}"),
        })
    }

    pub(crate) fn parse(&self, octets: &dyn Octets) -> Result<Structure, ParseError> {
        let skeleton = Skeleton::build(octets, SKELETON_CAP).map_err(ParseError::Storage)?;
        let seen = skeleton.octets().len() as u64;
        let blob = Arc::new(Blob::made(skeleton.octets().to_vec()));
        let budget = guest::Budget { nodes: NODES, depth: DEPTH };
        let call = call::run(self.pre.engine(), Invocation::idle(&self.limits), |store| {
            let handle = store.data_mut().push(BlobEntry(blob))?;
            let guest = self.pre.instantiate(&mut *store)?;
            guest.postroom_plugin_structure().call_parse(store, Resource::new_borrow(handle.rep()), budget)
        });
        let tree = match call.result {
            Ok(Ok(tree)) => tree,
            Ok(Err(text)) => return Err(flawed(&neutral(&text, 500))),
            Err(cause) => return Err(failed(&cause)),
        };
        let span = Span { skeleton: &skeleton, seen, size: octets.len() };
        let nodes = checked(tree.nodes, &span)
            .map_err(|text| flawed(&format!("the parser answered nonsense: {text}")))?;
        Ok(Structure { nodes, truncated: tree.truncated || skeleton.truncated() })
    }
}

impl std::fmt::Debug for Mime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mime").field("digest", &self.digest).finish_non_exhaustive()
    }
}

/// Elapsed time says how busy this machine is: then, too, the mail is not to blame.
fn failed(cause: &Cause) -> ParseError {
    match cause {
        Cause::Busy(_) | Cause::Host(_) | Cause::WallTime { .. } => {
            ParseError::Unavailable(cause.to_string())
        }
        Cause::CpuTime { .. }
        | Cause::Memory { .. }
        | Cause::Limit { .. }
        | Cause::Trap { .. }
        | Cause::Exit(_)
        | Cause::Failed { .. } => flawed(&format!("the parser {cause}")),
    }
}

fn flawed(text: &str) -> ParseError {
    ParseError::Flawed(format!("the structure could not be found: {text}"))
}

/// What offsets may point into, and how they are mapped onto the raw message.
struct Span<'a> {
    skeleton: &'a Skeleton,
    seen: u64,
    size: u64,
}

impl Span<'_> {
    fn map(&self, node: &guest::Node) -> Result<[u64; 3], String> {
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
fn checked(answered: Vec<guest::Node>, span: &Span<'_>) -> Result<Vec<Node>, String> {
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
            encoding: match node.encoding {
                guest::Encoding::Identity => Encoding::Identity,
                guest::Encoding::Base64 => Encoding::Base64,
                guest::Encoding::QuotedPrintable => Encoding::QuotedPrintable,
            },
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

    fn node(parent: Option<u32>, content_type: &str, is_container: bool) -> guest::Node {
        guest::Node {
            parent,
            content_type: content_type.to_owned(),
            charset: None,
            encoding: guest::Encoding::Identity,
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

    fn paths(nodes: Vec<guest::Node>) -> Result<Vec<String>, String> {
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
    fn a_parser_that_took_long_may_be_tried_again_and_one_that_worked_long_may_not() {
        let limit = Duration::from_secs(1);
        for cause in [Cause::WallTime { limit }, Cause::Busy(String::new()), Cause::Host(String::new())] {
            assert!(matches!(failed(&cause), ParseError::Unavailable(_)), "{cause}");
        }
        let trap = Cause::Trap { what: "unreachable".to_owned(), stderr_tail: String::new() };
        for cause in [Cause::CpuTime { limit }, trap] {
            assert!(matches!(failed(&cause), ParseError::Flawed(_)), "{cause}");
        }
    }

    #[test]
    fn media_types_that_are_none_become_unknown_octets() {
        assert_eq!(media_type("Text/HTML"), "text/html");
        for bad in ["", "text", "/", "a/", "a/b c", "a/b/c", "a/\u{fc}", "a/b\r\n"] {
            assert_eq!(media_type(bad), "application/octet-stream", "{bad:?}");
        }
    }
}
