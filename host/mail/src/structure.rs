//! The MIME tree of a message as data: what the sandboxed parser found, mapped onto the raw octets.

use serde::{Deserialize, Serialize};

/// RFC 2045 section 6, as far as decoding cares. 7bit, 8bit and binary are all identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encoding {
    /// The octets as they are.
    Identity,
    /// RFC 2045 section 6.8.
    Base64,
    /// RFC 2045 section 6.7.
    QuotedPrintable,
}

/// One node of the tree. Offsets count octets of the raw message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Index of the parent, always smaller than the own one.
    pub parent: Option<u32>,
    /// Dotted path from 1: "1.2.1"; empty for the root container.
    pub path: String,
    /// Declared type in lower case: "text/plain".
    pub content_type: String,
    /// Declared charset.
    pub charset: Option<String>,
    /// How the body is encoded.
    pub encoding: Encoding,
    /// Declared disposition in lower case.
    pub disposition: Option<String>,
    /// Decoded file name; the sender's data, not safe.
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

/// The whole tree, parents before children.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Structure {
    /// All nodes.
    pub nodes: Vec<Node>,
    /// More was there than the budget allowed.
    pub truncated: bool,
}

impl Structure {
    /// The leaves, in order.
    pub fn leaves(&self) -> impl Iterator<Item = (usize, &Node)> {
        self.nodes.iter().enumerate().filter(|(_, node)| !node.is_container)
    }

    /// What plugins see, in order: the leaves, and before its own leaves each message attached to this one, as one file.
    /// One attached to an attached message is in that file: all parts together are at most twice the message.
    pub fn parts(&self) -> impl Iterator<Item = (usize, &Node)> {
        self.nodes.iter().enumerate().filter(|(_, node)| self.is_part(node))
    }

    /// The leaves that are the message's own text: for each of plain and HTML the first leaf of that type that is
    /// not an attachment by disposition, has no file name, and does not lie inside an attached message.
    pub fn text(&self, content_type: &str) -> Option<&Node> {
        self.leaves()
            .map(|(_, node)| node)
            .find(|node| node.content_type == content_type && self.is_own_text(node))
    }

    /// Whether a part counts as an attachment: one that is not the text of this message or of one attached to it.
    pub fn is_attachment(&self, node: &Node) -> bool {
        self.is_part(node) && !is_text(node)
    }

    /// Whether a leaf is shown inside the text rather than as a file. Never when the sender calls it an attachment,
    /// whatever content-id it has: some programs give one to every file. A picture with a content-id is, where it can be
    /// referred to: beside the text in a multipart/related (RFC 2387), or anywhere when it has no name. So is what is
    /// declared inline and has no name; a name makes it a file, as some programs declare every file inline. Whether the
    /// text does refer to the content-id is not looked up.
    pub fn is_inline(&self, node: &Node) -> bool {
        let parent = node.parent.and_then(|index| self.nodes.get(index as usize));
        let is_related = parent.is_some_and(|parent| parent.content_type == "multipart/related");
        let is_picture = node.content_id.is_some() && node.content_type.starts_with("image/");
        match (node.disposition.as_deref(), &node.filename) {
            (Some("attachment"), _) => false,
            (_, Some(_)) => is_picture && is_related,
            (Some("inline"), None) => true,
            (_, None) => is_picture,
        }
    }

    fn is_own_text(&self, node: &Node) -> bool {
        is_text(node) && !self.is_nested(node)
    }

    fn is_part(&self, node: &Node) -> bool {
        let is_attached = |node: &Node| is_message(node) && node.parent.is_some();
        !node.is_container || (is_attached(node) && !self.is_below(node, is_attached))
    }

    fn is_nested(&self, node: &Node) -> bool {
        self.is_below(node, is_message)
    }

    fn is_below(&self, node: &Node, above: impl Fn(&Node) -> bool) -> bool {
        let mut below = node;
        let mut last = u32::MAX;
        // The tree comes out of a sandbox: parents that do not go down would be a loop.
        while let Some(index) = below.parent.filter(|index| *index < last) {
            let Some(parent) = self.nodes.get(index as usize) else { return false };
            if above(parent) {
                return true;
            }
            (below, last) = (parent, index);
        }
        false
    }
}

fn is_message(node: &Node) -> bool {
    node.content_type.starts_with("message/")
}

fn is_text(node: &Node) -> bool {
    matches!(node.content_type.as_str(), "text/plain" | "text/html")
        && node.disposition.as_deref() != Some("attachment")
        && node.filename.is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(parent: Option<u32>, content_type: &str, is_container: bool) -> Node {
        Node {
            parent,
            path: String::new(),
            content_type: content_type.into(),
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

    #[test]
    fn text_inside_an_attached_message_is_neither_its_text_nor_an_attachment() {
        let nodes = vec![
            node(None, "multipart/mixed", true),
            node(Some(0), "message/rfc822", true),
            node(Some(1), "text/plain", false),
            node(Some(0), "text/plain", false),
        ];
        let structure = Structure { nodes, truncated: false };
        assert!(!structure.is_attachment(&structure.nodes[2]));
        assert!(!structure.is_attachment(&structure.nodes[0]));
        assert_eq!(structure.text("text/plain"), Some(&structure.nodes[3]));
        assert_eq!(structure.text("text/html"), None);
    }

    #[test]
    fn an_attached_message_is_a_part_and_an_attachment_before_its_own_leaves() {
        let nodes = vec![
            node(None, "multipart/mixed", true),
            node(Some(0), "message/rfc822", true),
            node(Some(1), "multipart/mixed", true),
            node(Some(2), "application/pdf", false),
            node(Some(2), "message/rfc822", true),
            node(Some(4), "image/png", false),
        ];
        let structure = Structure { nodes, truncated: false };
        assert_eq!(structure.parts().map(|(index, _)| index).collect::<Vec<_>>(), [1, 3, 5]);
        assert!(structure.is_attachment(&structure.nodes[1]));
        let root = Structure {
            nodes: vec![node(None, "message/rfc822", true), node(Some(0), "text/plain", false)],
            truncated: false,
        };
        assert_eq!(root.parts().map(|(index, _)| index).collect::<Vec<_>>(), [1], "the root is no part");
    }

    #[test]
    fn a_named_file_is_inline_only_as_a_picture_of_a_related_text() {
        let picture = |parent: u32, disposition: Option<&str>, filename: Option<&str>| Node {
            disposition: disposition.map(str::to_owned),
            filename: filename.map(str::to_owned),
            content_id: Some("i@x".to_owned()),
            ..node(Some(parent), "image/png", false)
        };
        let nodes = vec![node(None, "multipart/mixed", true), node(Some(0), "multipart/related", true)];
        let structure = Structure { nodes, truncated: false };
        let name = Some("a.png");
        for (node, expected) in [
            (picture(0, Some("attachment"), name), false),
            (picture(1, Some("attachment"), name), false),
            (picture(1, Some("attachment"), None), false),
            (picture(0, Some("inline"), name), false),
            (picture(0, None, name), false),
            (picture(1, Some("inline"), name), true),
            (picture(1, None, name), true),
            (picture(0, None, None), true),
            (Node { content_id: None, ..picture(1, Some("inline"), name) }, false),
            (Node { content_type: "application/pdf".to_owned(), ..picture(1, Some("inline"), name) }, false),
        ] {
            assert_eq!(structure.is_inline(&node), expected, "{node:?}");
        }
    }

    #[test]
    fn parents_that_form_a_loop_or_lead_nowhere_end() {
        let nodes = vec![
            node(Some(1), "a/b", false),
            node(Some(0), "a/b", false),
            node(Some(9), "text/plain", false),
        ];
        let structure = Structure { nodes, truncated: false };
        assert!(structure.is_attachment(&structure.nodes[0]));
        assert!(!structure.is_attachment(&structure.nodes[2]));
    }
}
