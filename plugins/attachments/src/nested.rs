//! The parts of a message that lies inside of a part the host did not look into: an encoded attached message, or what was
//! signed with S/MIME.

use postroom_mime::{names, transfer};
use postroom_sdk::prelude::*;
use postroom_sdk::structure::{Encoding, Node};

use crate::flag::Flag;
use crate::item::{Item, Role, Source};

/// Levels of one message's own tree.
const LEVELS: u32 = 32;

/// The parts of the message in `octets`, and whether there are more. `whole` is the same octets in the host, when they are
/// there: what is not encoded is then a view of them. `room` is how many octets may be decoded; less is left afterwards.
pub(crate) fn parts(
    octets: &[u8],
    whole: Option<&Blob>,
    path: &str,
    depth: u32,
    most: usize,
    room: &mut u64,
) -> Result<(Vec<Item>, bool), Fault> {
    let nodes = u32::try_from(most).unwrap_or(u32::MAX);
    let tree = postroom_mime::structure(octets, postroom_sdk::structure::Budget { nodes, depth: LEVELS });
    let mut places: Vec<(String, u32)> = Vec::with_capacity(tree.nodes.len());
    let mut items = Vec::new();
    for (index, node) in tree.nodes.iter().enumerate() {
        let place = match node.parent.and_then(|parent| places.get_mut(parent as usize)) {
            None if node.is_container => String::new(),
            None => "1".to_owned(),
            Some((above, children)) => {
                *children += 1;
                if above.is_empty() { children.to_string() } else { format!("{above}.{children}") }
            }
        };
        let is_message = node.content_type.starts_with("message/") && index > 0;
        if !node.is_container || is_message {
            let source = source(octets, whole, node, room)?;
            let item = Item::new(format!("{path}+{place}"), source.0, depth);
            items.push(described(item, octets, node).flagged(Flag::Damaged, node.damaged || source.1));
        }
        places.push((place, 0));
    }
    Ok((items, tree.truncated))
}

/// The decoded body, and whether it was damaged.
fn source(octets: &[u8], whole: Option<&Blob>, node: &Node, room: &mut u64) -> Result<(Source, bool), Fault> {
    let body = octets.get(node.body_start as usize..node.body_end as usize).unwrap_or_default();
    if let (Encoding::Identity, Some(whole)) = (node.encoding, whole) {
        return Ok((Source::Blob(whole.slice(node.body_start, body.len() as u64)?), false));
    }
    if body.len() as u64 > *room {
        return Ok((Source::None(format!("{} octets to decode are over budget.octets", body.len())), false));
    }
    *room -= body.len() as u64;
    let (decoded, damaged) = transfer::decode(body, node.encoding);
    Ok((Source::Octets(decoded.into_owned()), damaged))
}

fn described(item: Item, octets: &[u8], node: &Node) -> Item {
    let header = octets.get(node.header_start as usize..node.body_start as usize).unwrap_or_default();
    let name = names::in_header(header);
    let is_text = matches!(node.content_type.as_str(), "text/plain" | "text/html")
        && node.disposition.as_deref() != Some("attachment")
        && name.is_none();
    let raw = name.as_ref().map(|name| name.raw.clone()).unwrap_or_default();
    let mut item = item.named(name.map(|name| name.text), &raw).typed(&node.content_type);
    item.role = if is_text { Role::Text } else { Role::File };
    item.disposition.clone_from(&node.disposition);
    item.content_id.clone_from(&node.content_id);
    item.is_listed = node.is_container;
    item.flag(Flag::Nested);
    item
}
