//! The world `mime`: a component that finds the MIME tree of a message, RFC 2046. Few will write one.

use crate::content::Blob;

/// How a body is encoded, RFC 2045 section 6. 7bit, 8bit and binary are all identity.
///
/// ```
/// use postroom_sdk::structure::Encoding;
///
/// let encoding = match "quoted-printable" {
///     "base64" => Encoding::Base64,
///     "quoted-printable" => Encoding::QuotedPrintable,
///     _ => Encoding::Identity,
/// };
/// assert_eq!(encoding, Encoding::QuotedPrintable);
/// ```
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
///
/// ```
/// use postroom_sdk::structure::{Encoding, Node};
///
/// let root = Node {
///     parent: None,
///     content_type: "text/plain".to_owned(),
///     charset: Some("utf-8".to_owned()),
///     encoding: Encoding::Identity,
///     disposition: None,
///     filename: None,
///     content_id: None,
///     header_start: 0,
///     body_start: 14,
///     body_end: 19,
///     is_container: false,
///     damaged: false,
/// };
/// assert_eq!(root.body_end - root.body_start, 5);
/// ```
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
///
/// ```
/// use postroom_sdk::structure::Budget;
///
/// let budget = Budget { nodes: 1000, depth: 50 };
/// assert!(budget.depth < budget.nodes);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Most nodes.
    pub nodes: u32,
    /// Most levels; the root is level 1.
    pub depth: u32,
}

/// The tree, parents before children.
///
/// ```
/// use postroom_sdk::structure::Tree;
///
/// let tree = Tree { truncated: true, ..Tree::default() };
/// assert!(tree.nodes.is_empty() && tree.truncated);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    /// All nodes, the root first.
    pub nodes: Vec<Node>,
    /// More was there than the budget allowed.
    pub truncated: bool,
}

/// Finds the tree. Export it with `export!(mime MyParser)`.
///
/// ```
/// use postroom_bench::{Bench, Mail};
/// use postroom_sdk::Blob;
/// use postroom_sdk::structure::{Budget, Encoding, Node, Parser, Tree};
///
/// /// Sees one text in every message.
/// struct Flat;
///
/// impl Parser for Flat {
///     fn parse(message: &Blob, _: Budget) -> Result<Tree, String> {
///         let octets = message.read_all(1 << 20).map_err(|fault| fault.to_string())?;
///         let end = octets.windows(4).position(|four| four == b"\r\n\r\n").ok_or("it has no body")?;
///         let text = Node {
///             parent: None,
///             content_type: "text/plain".to_owned(),
///             charset: None,
///             encoding: Encoding::Identity,
///             disposition: None,
///             filename: None,
///             content_id: None,
///             header_start: 0,
///             body_start: end as u64 + 4,
///             body_end: octets.len() as u64,
///             is_container: false,
///             damaged: false,
///         };
///         Ok(Tree { nodes: vec![text], truncated: false })
///     }
/// }
///
/// let run = Bench::new().run_fn(&Mail::new().raw(b"A: b\r\n\r\nHello"), |message| {
///     let tree = Flat::parse(&message.raw(), Budget { nodes: 100, depth: 10 }).map_err(postroom_sdk::Failure::permanent)?;
///     assert_eq!((tree.nodes[0].body_start, tree.truncated), (8, false));
///     Ok(())
/// });
/// assert_eq!(run.result, Ok(()));
/// ```
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
