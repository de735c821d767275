//! A multipart without its end boundary ends where a boundary of one around it starts (RFC 2046 section 5.1.2). The
//! parser reads on to the end of the message instead, and what follows is lost inside the last leaf. Here that leaf is cut
//! where it should have ended, and the rest is given to the multipart it belongs to.

use std::ops::Range;

use postroom_sdk::structure::{Budget, Tree};

use crate::tree::Walked;

/// Most cuts of one message: each parses the rest of it again.
const CUTS: usize = 32;

/// A boundary line of a multipart further up, inside a leaf.
struct Found {
    leaf: usize,
    /// The multipart whose boundary it is.
    owner: usize,
    /// Where the line starts.
    at: usize,
    is_end: bool,
}

/// The tree with such leaves cut. `parse` finds the tree of other octets.
pub(crate) fn recover(
    octets: &[u8],
    mut walked: Walked,
    budget: Budget,
    parse: impl Fn(&[u8], Budget) -> Option<Walked>,
) -> Tree {
    let mut from = 0;
    for _ in 0..CUTS {
        let Some(found) = find(octets, &walked, from) else { return walked.tree };
        from = found.leaf;
        cut(octets, &mut walked.tree, &found);
        if !found.is_end {
            graft(octets, &mut walked, &found, budget, &parse);
        }
    }
    walked.tree.truncated |= find(octets, &walked, from).is_some();
    walked.tree
}

fn find(octets: &[u8], walked: &Walked, from: usize) -> Option<Found> {
    let leaves = walked.tree.nodes.iter().enumerate().skip(from).filter(|(_, node)| !node.is_container);
    leaves.into_iter().find_map(|(leaf, node)| {
        // The boundary of the multipart the leaf stands in is the one the parser looked for.
        let owners: Vec<(usize, &str)> = multiparts_around(walked, leaf).skip(1).collect();
        if owners.is_empty() {
            return None;
        }
        let (start, end) = (node.body_start as usize, node.body_end as usize);
        let mut at = start;
        octets.get(start..end)?.split_inclusive(|octet| *octet == b'\n').find_map(|line| {
            let here = at;
            at += line.len();
            let line = line.strip_prefix(b"--")?;
            owners.iter().find_map(|(owner, boundary)| {
                let is_end = match line.strip_prefix(boundary.as_bytes())?.trim_ascii_end() {
                    b"" => false,
                    b"--" => true,
                    _ => return None,
                };
                Some(Found { leaf, owner: *owner, at: here, is_end })
            })
        })
    })
}

/// The multiparts a node stands in, the nearest first, with their boundaries.
fn multiparts_around(walked: &Walked, node: usize) -> impl Iterator<Item = (usize, &str)> {
    let parent = |node: &usize| walked.tree.nodes.get(*node)?.parent.map(|parent| parent as usize);
    std::iter::successors(parent(&node), move |node| parent(node))
        .filter_map(|node| Some((node, walked.boundaries.get(node)?.as_deref()?)))
}

/// Ends the leaf, and what it stands in below the owner, before the line.
fn cut(octets: &[u8], tree: &mut Tree, found: &Found) {
    let before = octets.get(..found.at).unwrap_or_default();
    // The line end before a boundary belongs to the boundary.
    let before = before.strip_suffix(b"\n").map_or(before, |text| text.strip_suffix(b"\r").unwrap_or(text));
    let mut next = Some(found.leaf);
    while let Some(node) = next.filter(|node| *node != found.owner).and_then(|node| tree.nodes.get_mut(node))
    {
        node.body_end = (before.len() as u64).clamp(node.body_start, node.body_end);
        node.damaged = true;
        next = node.parent.map(|parent| parent as usize);
    }
}

/// Where a boundary is used twice, the parser took parts of the rest for parts of the wrong multipart.
fn drop_between(walked: &mut Walked, range: Range<u64>) {
    let mut places = Vec::with_capacity(walked.tree.nodes.len());
    let (mut nodes, mut boundaries) = (Vec::new(), Vec::new());
    for (mut node, boundary) in walked.tree.nodes.drain(..).zip(walked.boundaries.drain(..)) {
        // Parents come first, so what became of them is known.
        let parent: Option<Option<u32>> =
            node.parent.map(|parent| places.get(parent as usize).copied().flatten());
        let is_kept = !range.contains(&node.header_start) && parent != Some(None);
        places.push(is_kept.then_some(nodes.len() as u32));
        if is_kept {
            node.parent = parent.flatten();
            nodes.push(node);
            boundaries.push(boundary);
        }
    }
    (walked.tree.nodes, walked.boundaries) = (nodes, boundaries);
}

fn kept(walked: &Walked, dropped: Range<u64>) -> u32 {
    walked.tree.nodes.iter().filter(|node| !dropped.contains(&node.header_start)).count() as u32
}

/// Parses from the line on, as a multipart of the owner's kind, and adds the parts to the owner's.
fn graft(
    octets: &[u8],
    walked: &mut Walked,
    found: &Found,
    budget: Budget,
    parse: &impl Fn(&[u8], Budget) -> Option<Walked>,
) {
    let level = 1 + std::iter::successors(walked.tree.nodes.get(found.owner), |node| {
        walked.tree.nodes.get(node.parent? as usize)
    })
    .skip(1)
    .count() as u32;
    let Some(owner) = walked.tree.nodes.get(found.owner) else { return };
    let Some(Some(boundary)) = walked.boundaries.get(found.owner) else { return };
    let Some(rest) = octets.get(found.at..owner.body_end as usize) else { return };
    let boundary = boundary.replace('\\', "\\\\").replace('"', "\\\"");
    let mut again =
        format!("Content-Type: {}; boundary=\"{boundary}\"\r\n\r\n", owner.content_type).into_bytes();
    let head = again.len() as u64;
    again.extend_from_slice(rest);
    let at = found.at as u64;
    // One more node and level than is left: the owner itself is found again.
    let left = Budget {
        nodes: budget.nodes.saturating_sub(kept(walked, at..owner.body_end)).saturating_add(1),
        depth: budget.depth.saturating_sub(level).saturating_add(1),
    };
    let Some(more) = parse(&again, left) else { return };
    let end = owner.body_end;
    drop_between(walked, at..end);
    let base = walked.tree.nodes.len() as u32;
    walked.tree.truncated |= more.tree.truncated;
    let shift = |offset: u64| offset.saturating_sub(head).saturating_add(at);
    for (mut node, boundary) in more.tree.nodes.into_iter().zip(more.boundaries).skip(1) {
        node.parent = match node.parent {
            None | Some(0) => Some(found.owner as u32),
            Some(parent) => Some(base + parent - 1),
        };
        (node.header_start, node.body_start, node.body_end) =
            (shift(node.header_start), shift(node.body_start), shift(node.body_end));
        walked.tree.nodes.push(node);
        walked.boundaries.push(boundary);
    }
}
