//! The bundled MIME parser, compiled natively. What it answers is checked by the contract, as from the sandbox.

use postroom_contract::{Budget, FoundNode, FoundTree, ParseError, Parser};
use postroom_mail::structure::Encoding;
use postroom_sdk::structure as sdk;

/// The parser.
pub(crate) struct Bundled;

impl Parser for Bundled {
    fn parse(&self, octets: &[u8], budget: Budget) -> Result<FoundTree, ParseError> {
        let budget = sdk::Budget { nodes: budget.nodes, depth: budget.depth };
        let tree = postroom_plugin_mime::structure(octets, budget);
        Ok(FoundTree { nodes: tree.nodes.into_iter().map(node).collect(), truncated: tree.truncated })
    }
}

fn node(node: sdk::Node) -> FoundNode {
    FoundNode {
        parent: node.parent,
        content_type: node.content_type,
        charset: node.charset,
        encoding: match node.encoding {
            sdk::Encoding::Identity => Encoding::Identity,
            sdk::Encoding::Base64 => Encoding::Base64,
            sdk::Encoding::QuotedPrintable => Encoding::QuotedPrintable,
        },
        disposition: node.disposition,
        filename: node.filename,
        content_id: node.content_id,
        header_start: node.header_start,
        body_start: node.body_start,
        body_end: node.body_end,
        is_container: node.is_container,
        damaged: node.damaged,
    }
}
