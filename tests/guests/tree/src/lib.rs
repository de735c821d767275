//! Answers with a tree that the message itself asks for in its first word, so that the host's checks can be tried.

wit_bindgen::generate!({ path: "../../../sdk/wit", world: "mime" });

use exports::postroom::plugin::structure::{Blob, Budget, Encoding, Guest, Node, Tree};

struct Parser;

impl Guest for Parser {
    fn parse(message: &Blob, budget: Budget) -> Result<Tree, String> {
        let octets = message.read(0, 1 << 20).map_err(|fault| format!("{fault:?}"))?;
        let word = octets.split(|octet| !octet.is_ascii_alphanumeric()).next().unwrap_or(&[]);
        let size = message.size();
        let mut nodes = mixed(&octets);
        match word {
            b"error" => return Err("the guest gave up".to_owned()),
            b"panic" => panic!("the parser met its match"),
            b"spin" => loop {
                std::hint::black_box(&octets);
            },
            b"range" => nodes[2].body_end = size + 1,
            b"order" => nodes[2].body_start = nodes[2].body_end + 1,
            b"parent" => nodes[1].parent = Some(2),
            b"own" => nodes[1].parent = Some(1),
            b"roots" => nodes[1].parent = None,
            b"leaf" => nodes[2].parent = Some(1),
            b"many" => nodes = vec![nodes[0].clone(); budget.nodes as usize + 1],
            b"long" => nodes[2].filename = Some("\u{fc}".repeat(100_000)),
            b"type" => nodes[2].content_type = "no\r\ntype".to_owned(),
            _ => {}
        }
        Ok(Tree { nodes, truncated: false })
    }
}

/// A multipart of a text, a base64 attachment, and an attached message of one text; cut at the marks `[` and `]`.
fn mixed(octets: &[u8]) -> Vec<Node> {
    let size = octets.len() as u64;
    let marks = |mark: u8| octets.iter().enumerate().filter(move |(_, octet)| **octet == mark).map(|(at, _)| at as u64);
    let ranges: Vec<(u64, u64)> = marks(b'[').map(|at| at + 1).zip(marks(b']')).collect();
    let range = |index: usize| ranges.get(index).copied().unwrap_or((size, size));
    let node = |parent, content_type: &str, (start, end): (u64, u64)| Node {
        parent,
        content_type: content_type.to_owned(),
        charset: None,
        encoding: Encoding::Identity,
        disposition: None,
        filename: None,
        content_id: None,
        header_start: start,
        body_start: start,
        body_end: end,
        is_container: false,
        damaged: false,
    };
    vec![
        Node { is_container: true, ..node(None, "multipart/mixed", (0, size)) },
        Node { charset: Some("utf-8".to_owned()), ..node(Some(0), "text/plain", range(0)) },
        Node {
            encoding: Encoding::Base64,
            disposition: Some("attachment".to_owned()),
            filename: Some("../evil.pdf".to_owned()),
            ..node(Some(0), "application/pdf", range(1))
        },
        Node { is_container: true, ..node(Some(0), "message/rfc822", range(2)) },
        Node { content_id: Some("one@x".to_owned()), ..node(Some(3), "text/plain", range(2)) },
    ]
}

export!(Parser);
