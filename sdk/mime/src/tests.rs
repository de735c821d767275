//! No part is lost, and every offset holds.

use postroom_sdk::structure::{Budget, Encoding, Node, Tree};

use super::structure;

const PLENTY: Budget = Budget { nodes: 1000, depth: 50 };

fn parse(text: &str) -> (Vec<u8>, Tree) {
    let octets = text.replace('\n', "\r\n").into_bytes();
    let tree = structure(&octets, PLENTY);
    check_sane(&tree, octets.len());
    (octets, tree)
}

/// What the host insists on.
#[track_caller]
fn check_sane(tree: &Tree, size: usize) {
    for (index, node) in tree.nodes.iter().enumerate() {
        assert_eq!(node.parent.is_none(), index == 0, "one root, the first node");
        if let Some(parent) = node.parent {
            assert!(
                (parent as usize) < index && tree.nodes[parent as usize].is_container,
                "node {index}: {node:?}"
            );
        }
        assert!(
            node.header_start <= node.body_start && node.body_start <= node.body_end,
            "node {index}: {node:?}"
        );
        assert!(node.body_end <= size as u64, "node {index}: {node:?}");
    }
}

fn body<'a>(octets: &'a [u8], node: &Node) -> &'a str {
    std::str::from_utf8(&octets[node.body_start as usize..node.body_end as usize]).unwrap()
}

fn header<'a>(octets: &'a [u8], node: &Node) -> &'a str {
    std::str::from_utf8(&octets[node.header_start as usize..node.body_start as usize]).unwrap()
}

fn shape(tree: &Tree) -> Vec<(Option<u32>, &str, bool)> {
    tree.nodes.iter().map(|node| (node.parent, node.content_type.as_str(), node.is_container)).collect()
}

#[test]
fn a_single_part_is_one_leaf() {
    let (octets, tree) = parse("Subject: hi\nContent-Type: Text/Plain; charset=\"UTF-8\"\n\nHello\nthere\n");
    assert_eq!(shape(&tree), [(None, "text/plain", false)]);
    assert_eq!(tree.nodes[0].charset.as_deref(), Some("utf-8"));
    assert_eq!(body(&octets, &tree.nodes[0]), "Hello\r\nthere\r\n");
}

#[test]
fn a_message_that_is_an_attachment_is_one_leaf() {
    let (octets, tree) = parse(
        "Content-Type: application/pdf; name=\"a b.pdf\"\nContent-Transfer-Encoding: BASE64\nContent-Disposition: attachment\n\nJVBERg==\n",
    );
    let node = &tree.nodes[0];
    assert_eq!(shape(&tree), [(None, "application/pdf", false)]);
    assert_eq!((node.encoding, node.filename.as_deref()), (Encoding::Base64, Some("a b.pdf")));
    assert_eq!(node.disposition.as_deref(), Some("attachment"));
    assert_eq!(body(&octets, node).trim_end(), "JVBERg==");
}

const NESTED: &str = "\
Content-Type: multipart/mixed; boundary=outer

preamble
--outer
Content-Type: multipart/alternative; boundary=\"inner=1\"

--inner=1

plain
--inner=1
Content-Type: text/html
Content-Transfer-Encoding: quoted-printable

<p>=C3=BC</p>
--inner=1--

--outer
Content-Type: message/rfc822
Content-Disposition: attachment; filename=\"fwd.eml\"

Subject: inside
Content-Type: multipart/mixed; boundary=deep

--deep
Content-Type: image/PNG
Content-ID: <logo@x.example>
Content-Disposition: INLINE
Content-Transfer-Encoding: base64

iVBORw0K
--deep--
--outer
Content-Type: application/pdf; name*=utf-8''R%C3%A9sum%C3%A9.pdf

%PDF
--outer--
epilogue
";

#[test]
fn leaves_and_containers_with_their_octets() {
    let (octets, tree) = parse(NESTED);
    assert_eq!(
        shape(&tree),
        [
            (None, "multipart/mixed", true),
            (Some(0), "multipart/alternative", true),
            (Some(1), "text/plain", false),
            (Some(1), "text/html", false),
            (Some(0), "message/rfc822", true),
            (Some(4), "multipart/mixed", true),
            (Some(5), "image/png", false),
            (Some(0), "application/pdf", false),
        ]
    );
    let nodes = &tree.nodes;
    assert_eq!(body(&octets, &nodes[2]), "plain");
    assert_eq!(body(&octets, &nodes[3]), "<p>=C3=BC</p>");
    assert_eq!(nodes[3].encoding, Encoding::QuotedPrintable);
    assert_eq!(nodes[4].filename.as_deref(), Some("fwd.eml"));
    assert!(body(&octets, &nodes[4]).starts_with("Subject: inside\r\n"));
    assert!(body(&octets, &nodes[4]).trim_end().ends_with("--deep--"));
    assert!(header(&octets, &nodes[6]).starts_with("Content-Type: image/PNG\r\n"));
    assert_eq!(body(&octets, &nodes[6]), "iVBORw0K");
    assert_eq!(nodes[6].content_id.as_deref(), Some("logo@x.example"));
    assert_eq!(nodes[6].disposition.as_deref(), Some("inline"));
    assert_eq!(nodes[7].filename.as_deref(), Some("Résumé.pdf"));
    assert_eq!(body(&octets, &nodes[7]), "%PDF");
    assert!(!tree.truncated);
}

#[test]
fn an_encoded_attached_message_is_a_leaf() {
    let (octets, tree) = parse(
        "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nU3ViamVjdDogeA0KDQp5DQo=\n--b--\n",
    );
    assert_eq!(shape(&tree), [(None, "multipart/mixed", true), (Some(0), "message/rfc822", false)]);
    assert_eq!(tree.nodes[1].encoding, Encoding::Base64);
    assert_eq!(body(&octets, &tree.nodes[1]), "U3ViamVjdDogeA0KDQp5DQo=");
}

#[test]
fn a_damaged_or_cut_base64_body_keeps_its_encoding_and_is_marked() {
    let (octets, tree) = parse(
        "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: application/zip\nContent-Transfer-Encoding: base64\n\nAAAA!!!\nBBBB\n--b\n\nnext\n--b--\n",
    );
    assert_eq!(shape(&tree)[1..], [(Some(0), "application/zip", false), (Some(0), "text/plain", false)]);
    assert_eq!((tree.nodes[1].encoding, tree.nodes[1].damaged), (Encoding::Base64, true));
    assert_eq!(body(&octets, &tree.nodes[1]), "AAAA!!!\r\nBBBB");
    assert_eq!(body(&octets, &tree.nodes[2]), "next");
}

#[test]
fn a_missing_end_boundary_loses_no_part() {
    let (octets, tree) = parse(
        "Content-Type: multipart/mixed; boundary=b\n\n--b\n\none\n--b\nContent-Type: application/pdf\nContent-Transfer-Encoding: base64\n\nAAAA\nBBBB\n",
    );
    assert_eq!(shape(&tree)[1..], [(Some(0), "text/plain", false), (Some(0), "application/pdf", false)]);
    assert!(tree.nodes[2].damaged);
    assert_eq!(body(&octets, &tree.nodes[2]).trim_end(), "AAAA\r\nBBBB");
    assert_eq!(tree.nodes[2].encoding, Encoding::Base64);
}

/// RFC 2046 section 5.1.2.
#[test]
fn an_inner_multipart_without_its_end_boundary_swallows_no_later_attachment() {
    let (octets, tree) = parse(
        "Content-Type: multipart/mixed; boundary=out\n\n--out\nContent-Type: multipart/alternative; boundary=\"out-in\"\n\n--out-in\n\nplain\n--out-in\nContent-Type: text/html\n\n<p>\n--out\nContent-Type: application/pdf; name=a.pdf\nContent-Transfer-Encoding: base64\n\nJVBERg==\n--out\nContent-Type: multipart/related; boundary=b3\n\n--b3\nContent-Type: text/html\n\nlast\n--out\nContent-Type: application/zip\n\nPK\n--out--\nepilogue\n",
    );
    assert_eq!(
        shape(&tree),
        [
            (None, "multipart/mixed", true),
            (Some(0), "multipart/alternative", true),
            (Some(1), "text/plain", false),
            (Some(1), "text/html", false),
            (Some(0), "application/pdf", false),
            (Some(0), "multipart/related", true),
            (Some(5), "text/html", false),
            (Some(0), "application/zip", false),
        ]
    );
    let bodies: Vec<_> = [2, 3, 4, 6, 7].iter().map(|n| body(&octets, &tree.nodes[*n])).collect();
    assert_eq!(bodies, ["plain", "<p>", "JVBERg==", "last", "PK"]);
    assert_eq!(tree.nodes[4].filename.as_deref(), Some("a.pdf"));
    assert!(header(&octets, &tree.nodes[4]).starts_with("Content-Type: application/pdf"));
    assert!(tree.nodes[3].damaged && !tree.nodes[4].damaged && !tree.truncated);
}

#[test]
fn the_end_of_an_outer_multipart_ends_an_inner_one_too() {
    let (octets, tree) = parse(
        "Content-Type: multipart/mixed; boundary=out\n\n--out\nContent-Type: multipart/alternative; boundary=in\n\n--in\n\nplain\n--out--\nepilogue\n",
    );
    assert_eq!(tree.nodes.len(), 3);
    assert_eq!(body(&octets, &tree.nodes[2]), "plain");
}

#[test]
fn more_missing_ends_than_are_recovered_are_told() {
    let one = "--out\nContent-Type: multipart/alternative; boundary=in\n\n--in\n\nplain\n";
    let (_, tree) = parse(&format!("Content-Type: multipart/mixed; boundary=out\n\n{}", one.repeat(20)));
    assert_eq!((tree.nodes.len(), tree.truncated), (41, false));
    let (_, tree) = parse(&format!("Content-Type: multipart/mixed; boundary=out\n\n{}", one.repeat(60)));
    assert!(tree.truncated);
}

#[test]
fn parts_of_a_digest_are_messages_by_default() {
    let (_, tree) = parse(
        "Content-Type: multipart/digest; boundary=b\n\n--b\n\nSubject: one\n\nfirst\n--b\n\nSubject: two\n\nsecond\n--b--\n",
    );
    assert_eq!(
        shape(&tree),
        [
            (None, "multipart/digest", true),
            (Some(0), "message/rfc822", true),
            (Some(1), "text/plain", false),
            (Some(0), "message/rfc822", true),
            (Some(3), "text/plain", false),
        ]
    );
}

#[test]
fn octets_without_fields_are_a_damaged_text() {
    for text in ["", "\n", "no fields here", "no fields\n\nbody"] {
        let (_, tree) = parse(text);
        assert_eq!(tree.nodes.len(), 1, "{text:?}");
        assert_eq!(tree.nodes[0].content_type, "text/plain", "{text:?}");
    }
}

#[test]
fn senseless_types_become_octets() {
    let (_, tree) = parse("Content-Type: nonsense\n\nx\n");
    assert_eq!(tree.nodes[0].content_type, "application/octet-stream");
    let (_, tree) = parse("Content-Type: app\u{fc}/x y\n\nx\n");
    assert_eq!(tree.nodes[0].content_type, "application/octet-stream");
}

#[test]
fn a_long_name_is_cut_at_a_character() {
    let (_, tree) = parse(&format!("Content-Type: a/b; name=\"{}\"\n\nx\n", "ü".repeat(5000)));
    let name = tree.nodes[0].filename.as_deref().unwrap();
    assert!(name.len() <= 998 && name.chars().all(|ch| ch == 'ü'), "{} octets", name.len());
}

#[test]
fn the_budget_cuts_nodes_and_levels() {
    let octets = NESTED.replace('\n', "\r\n").into_bytes();
    let tree = structure(&octets, Budget { nodes: 3, depth: 50 });
    check_sane(&tree, octets.len());
    assert_eq!((tree.nodes.len(), tree.truncated), (3, true));

    let tree = structure(&octets, Budget { nodes: 50, depth: 2 });
    check_sane(&tree, octets.len());
    assert!(tree.truncated);
    assert_eq!(
        shape(&tree)[1..],
        [
            (Some(0), "multipart/alternative", false),
            (Some(0), "message/rfc822", false),
            (Some(0), "application/pdf", false)
        ]
    );
    assert!(structure(&octets, Budget { nodes: 0, depth: 0 }).nodes.is_empty());
}

#[test]
fn deep_nesting_of_messages_does_not_overflow_the_stack() {
    let octets = "Content-Type: message/rfc822\r\n\r\n".repeat(60_000).into_bytes();
    let tree = structure(&octets, PLENTY);
    check_sane(&tree, octets.len());
    assert!(tree.truncated);
    assert_eq!(tree.nodes.len(), 50);
}

#[test]
fn every_prefix_of_a_message_gives_a_sane_tree() {
    let octets = NESTED.replace('\n', "\r\n").into_bytes();
    for end in 0..=octets.len() {
        check_sane(&structure(&octets[..end], PLENTY), end);
    }
}

/// Real and malformed messages, where they are at hand. Each is tried whole and cut in its middle; no part the parser
/// found may be unreachable from the root.
#[test]
fn the_corpus_gives_sane_trees() {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/corpus");
    let corpus = std::env::var("POSTROOM_CORPUS").unwrap_or_else(|_| beside.to_owned());
    let Ok(paths) = messages(std::path::Path::new(&corpus)) else {
        println!("not tested: no corpus");
        return;
    };
    for path in paths {
        let octets = std::fs::read(&path).unwrap();
        for octets in [&octets[..], &octets[..octets.len() / 2]] {
            let tree = structure(octets, PLENTY);
            check_sane(&tree, octets.len());
            assert!(!tree.nodes.is_empty() && !tree.truncated, "{}", path.display());
            if let Some(message) = mail_parser::MessageParser::default().parse(octets) {
                assert!(tree.nodes.len() >= count(&message), "{}", path.display());
            }
        }
    }
}

fn count(message: &mail_parser::Message<'_>) -> usize {
    let nested = message.parts.iter().map(|part| match &part.body {
        mail_parser::PartType::Message(nested) if part.encoding == mail_parser::Encoding::None => {
            count(nested)
        }
        _ => 0,
    });
    message.parts.len() + nested.sum::<usize>()
}

fn messages(dir: &std::path::Path) -> std::io::Result<Vec<std::path::PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(messages(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "eml") {
            found.push(path);
        }
    }
    Ok(found)
}
