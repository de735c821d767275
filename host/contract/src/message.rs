//! One retrieved message as all steps of a chain see it. Everything but the raw octets is derived, lazily and once.
//!
//! A message whose structure cannot be found has one part of unknown octets, which is its whole body, and a flaw that
//! says why: what could not be looked into counts as an attachment. That is never an error of the message, because its
//! raw octets can still be stored and sent on. Only failing storage is an error.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use postroom_mail::header::HeaderBlock;
use postroom_mail::structure::{Encoding, Node, Structure};
use postroom_mail::{MessageId, Octets, Provenance, transfer};

use crate::blob::{Blob, Decoded};
use crate::structure::{ParseError, Parser, structure};

/// So many times the size of a message may be worked on without charging a plugin: every part decoded and digested.
const FREE: u64 = 4;

/// A message and what was derived from it so far. Share it between the steps of a chain.
pub struct Message {
    provenance: Provenance,
    id: MessageId,
    octets: Arc<dyn Octets>,
    parser: Option<Arc<dyn Parser>>,
    raw: Arc<Blob>,
    header: OnceLock<HeaderBlock>,
    tree: OnceLock<Tree>,
    keeping: Arc<AtomicU64>,
    /// Octets worked on without charging a plugin.
    free: AtomicU64,
}

/// Why the message could not be read now; trying later may help.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The storage failed.
    #[error("reading the message failed: {0}")]
    Storage(#[from] io::Error),
    /// The parser could not be run.
    #[error("the MIME parser could not be run: {0}")]
    Parser(String),
}

struct Tree {
    structure: Structure,
    leaves: Vec<Leaf>,
    flaws: Vec<String>,
}

struct Leaf {
    node: usize,
    content: OnceLock<Arc<Blob>>,
}

impl Message {
    /// `octets` are the raw message that `provenance` describes. Without a MIME parser the message has no structure.
    pub fn new(provenance: Provenance, octets: Arc<dyn Octets>, parser: Option<Arc<dyn Parser>>) -> Self {
        let raw = Blob::raw(Arc::clone(&octets), 0, octets.len(), Some(provenance.digest));
        Self {
            id: provenance.message(),
            provenance,
            octets,
            parser,
            raw: Arc::new(raw),
            header: OnceLock::new(),
            tree: OnceLock::new(),
            keeping: Arc::default(),
            free: AtomicU64::new(0),
        }
    }

    /// Where it came from.
    pub fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    /// Its id.
    pub fn id(&self) -> MessageId {
        self.id
    }

    /// The raw octets.
    pub fn octets(&self) -> &Arc<dyn Octets> {
        &self.octets
    }

    /// The header block; read at the first call.
    ///
    /// # Errors
    /// When the storage fails.
    pub fn header(&self) -> Result<&HeaderBlock, ReadError> {
        if let Some(header) = self.header.get() {
            return Ok(header);
        }
        let header = HeaderBlock::read(&*self.octets)?;
        Ok(self.header.get_or_init(|| header))
    }

    /// The MIME tree; found at the first call, by the parser. When it could not be found, or only in part, one
    /// leaf of type application/octet-stream stands for the whole body.
    ///
    /// # Errors
    /// When the storage fails or the parser could not be run at all.
    pub fn structure(&self) -> Result<&Structure, ReadError> {
        Ok(&self.tree()?.structure)
    }

    /// What is wrong with the structure, as far as it was asked for; empty when nothing is.
    pub fn flaws(&self) -> &[String] {
        self.tree.get().map_or(&[], |tree| &tree.flaws)
    }

    /// Whether work on that many more octets need not be charged. Parts may overlap: they must not add up without end.
    pub(crate) fn is_free(&self, octets: u64) -> bool {
        self.free.fetch_add(octets, Ordering::Relaxed).saturating_add(octets)
            <= FREE.saturating_mul(self.octets.len())
    }

    /// Whether the content of a leaf was made already.
    pub(crate) fn has_content(&self, leaf: usize) -> bool {
        let leaf = self.tree.get().and_then(|tree| tree.leaves.get(leaf));
        leaf.is_some_and(|leaf| leaf.content.get().is_some())
    }

    /// Whether the structure was found already.
    pub fn is_parsed(&self) -> bool {
        self.tree.get().is_some()
    }

    /// The raw octets as a blob.
    pub fn raw(&self) -> &Arc<Blob> {
        &self.raw
    }

    pub(crate) fn leaf_count(&self) -> Result<usize, ReadError> {
        Ok(self.tree()?.leaves.len())
    }

    /// `None` for a leaf that does not exist.
    pub(crate) fn node(&self, leaf: usize) -> Result<Option<&Node>, ReadError> {
        let tree = self.tree()?;
        Ok(tree.leaves.get(leaf).and_then(|leaf| tree.structure.nodes.get(leaf.node)))
    }

    /// The decoded content of a leaf.
    pub(crate) fn content(&self, leaf: usize) -> Result<Option<Arc<Blob>>, ReadError> {
        let tree = self.tree()?;
        let Some(leaf) = tree.leaves.get(leaf) else { return Ok(None) };
        let Some(node) = tree.structure.nodes.get(leaf.node) else { return Ok(None) };
        if let Some(content) = leaf.content.get() {
            return Ok(Some(Arc::clone(content)));
        }
        let (offset, len) = (node.body_start, node.body_end - node.body_start);
        let octets = Arc::clone(&self.octets);
        let blob = match node.encoding {
            Encoding::Identity => Blob::raw(octets, offset, len, None),
            encoding => {
                Blob::decoded(Decoded::new(octets, offset, len, encoding, Arc::clone(&self.keeping)))?
            }
        };
        Ok(Some(Arc::clone(leaf.content.get_or_init(|| Arc::new(blob.shared())))))
    }

    /// The first text of that type, decoded to UTF-8 and cut to `cap` octets.
    pub(crate) fn text(&self, content_type: &str, cap: usize) -> Result<Option<String>, ReadError> {
        let Some(node) = self.structure()?.text(content_type) else { return Ok(None) };
        let range = postroom_mail::octets::RangeReader::new(
            &*self.octets,
            node.body_start,
            node.body_end - node.body_start,
        );
        // Twice: UTF-16 text may shrink to half its size.
        let most = 2 * cap as u64 + 4;
        let mut octets = Vec::new();
        io::Read::read_to_end(
            &mut io::Read::take(transfer::decode(range, node.encoding), most),
            &mut octets,
        )?;
        let mut text = transfer::text(&octets, node.charset.as_deref());
        text.truncate(text.floor_char_boundary(cap));
        Ok(Some(text))
    }

    /// What stands for a body that could not be looked into.
    fn whole_body(&self) -> Result<Node, ReadError> {
        let body_start = self.header()?.body_offset();
        Ok(Node {
            parent: None,
            path: "0".to_owned(),
            content_type: "application/octet-stream".to_owned(),
            charset: None,
            encoding: Encoding::Identity,
            disposition: None,
            filename: None,
            content_id: None,
            header_start: 0,
            body_start,
            body_end: self.octets.len().max(body_start),
            is_container: false,
            damaged: true,
        })
    }

    fn tree(&self) -> Result<&Tree, ReadError> {
        if let Some(tree) = self.tree.get() {
            return Ok(tree);
        }
        let tree = match &self.parser {
            None => Tree::opaque(self.whole_body()?, "there is no MIME parser".to_owned()),
            Some(parser) => match structure(&*self.octets, &**parser) {
                Ok(mut structure) => {
                    if structure.truncated {
                        structure.nodes.push(self.whole_body()?);
                    }
                    Tree::of(structure)
                }
                Err(ParseError::Flawed(flaw)) => Tree::opaque(self.whole_body()?, flaw),
                Err(ParseError::Storage(error)) => return Err(error.into()),
                Err(ParseError::Unavailable(text)) => return Err(ReadError::Parser(text)),
            },
        };
        Ok(self.tree.get_or_init(|| tree))
    }
}

impl Tree {
    fn opaque(body: Node, flaw: String) -> Self {
        let structure = Structure { nodes: vec![body], truncated: true };
        Self { structure, leaves: vec![Leaf { node: 0, content: OnceLock::new() }], flaws: vec![flaw] }
    }

    fn of(structure: Structure) -> Self {
        let leaves = structure.parts().map(|(node, _)| Leaf { node, content: OnceLock::new() }).collect();
        let damaged = structure.nodes.iter().filter(|node| node.damaged && node.path != "0").count();
        let mut flaws = Vec::new();
        if structure.truncated {
            flaws.push("the message has more parts than are looked at".to_owned());
        }
        if damaged > 0 {
            flaws.push(format!("{damaged} parts are damaged"));
        }
        Self { structure, leaves, flaws }
    }
}
