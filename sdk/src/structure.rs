//! The world `mime`: a component that finds the MIME tree of a message, RFC 2046. Few will write one.

use crate::content::Blob;

/// How a body is encoded, RFC 2045 section 6. 7bit, 8bit and binary are all identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// The octets as they are.
    Identity,
    /// RFC 2045 section 6.8.
    Base64,
    /// RFC 2045 section 6.7.
    QuotedPrintable,
}

/// One node of the tree, leaf or container. Offsets count octets of the blob that was parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Index of the parent, always smaller than the own one; the root has none.
    pub parent: Option<u32>,
    /// Declared type in lower case: "text/plain".
    pub content_type: String,
    /// Declared charset.
    pub charset: Option<String>,
    /// How the body is encoded.
    pub encoding: Encoding,
    /// Declared disposition in lower case.
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

/// How much of a tree is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Most nodes.
    pub nodes: u32,
    /// Most levels; the root is level 1.
    pub depth: u32,
}

/// The tree, parents before children.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    /// All nodes, the root first.
    pub nodes: Vec<Node>,
    /// More was there than the budget allowed.
    pub truncated: bool,
}

/// Finds the tree. Export it with `export!(mime MyParser)`.
pub trait Parser {
    /// The tree of the message.
    ///
    /// # Errors
    /// Why there is none.
    fn parse(message: &Blob, budget: Budget) -> Result<Tree, String>;
}

/// Does nothing but compile only for a parser.
#[doc(hidden)]
pub const fn is_parser<P: Parser>() {}
