//! A parser finds in the skeleton what it finds in the raw message. Every generated message and, when present, every
//! message of the corpus is parsed twice; every offset must map exactly.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use mail_parser::{Message, MessageParser, PartType};
use postroom_mail::skeleton::Skeleton;

/// What a structure is made of: nesting, type, and where header, body and end are.
#[derive(Debug, PartialEq)]
struct Part {
    depth: usize,
    content_type: Option<String>,
    filename: Option<String>,
    kind: &'static str,
    header: u64,
    body: u64,
    end: u64,
}

fn parts(octets: &[u8], to_raw: &dyn Fn(u64) -> u64) -> Vec<Part> {
    let mut found = Vec::new();
    if let Some(message) = MessageParser::default().parse(octets) {
        collect(&message, 0, to_raw, &mut found);
    }
    found
}

fn collect(message: &Message<'_>, depth: usize, to_raw: &dyn Fn(u64) -> u64, found: &mut Vec<Part>) {
    use mail_parser::MimeHeaders;
    for part in &message.parts {
        // An encoded message is opened from its decoded octets: it has no ranges in the raw message.
        let is_encoded = part.encoding != mail_parser::Encoding::None;
        let (kind, nested) = match &part.body {
            PartType::Multipart(_) => ("multipart", None),
            PartType::Message(nested) if !is_encoded => ("message", Some(nested)),
            PartType::Message(_) => ("encoded message", None),
            _ => ("leaf", None),
        };
        let kind = if part.content_type().is_some_and(|ct| ct.ctype() == "message") && is_encoded {
            "encoded message"
        } else {
            kind
        };
        found.push(Part {
            depth,
            content_type: part.content_type().map(|ct| format!("{}/{:?}", ct.ctype(), ct.subtype())),
            filename: part.attachment_name().map(str::to_owned),
            kind,
            header: to_raw(part.raw_header_offset().into()),
            body: to_raw(part.raw_body_offset().into()),
            end: to_raw(part.raw_end_offset().into()),
        });
        if let Some(nested) = nested {
            collect(nested, depth + 1, to_raw, found);
        }
    }
}

/// Returns how many octets the skeleton saves.
fn check(raw: &[u8], what: &str) -> usize {
    let raw = raw.to_vec();
    let skeleton = Skeleton::build(&raw, usize::MAX).unwrap();
    assert!(!skeleton.truncated(), "{what}");
    assert_eq!(
        parts(skeleton.octets(), &|offset| skeleton.to_raw(offset)),
        parts(&raw, &|offset| offset),
        "{what}"
    );
    check_map(&raw, &skeleton, what);
    raw.len() - skeleton.octets().len()
}

/// Every octet of the skeleton is the octet of the raw message that it maps to, in order, and only plain octets and line
/// ends are missing.
fn check_map(raw: &[u8], skeleton: &Skeleton, what: &str) {
    let mut next = 0;
    for (at, byte) in skeleton.octets().iter().enumerate() {
        let mapped = usize::try_from(skeleton.to_raw(at as u64)).unwrap();
        assert_eq!(raw[mapped], *byte, "{what} at {at}");
        assert!(mapped >= next, "{what} at {at}: not monotone");
        let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=\r\n".contains(byte);
        assert!(raw[next..mapped].iter().all(is_plain), "{what} at {at}: more was cut than base64");
        next = mapped + 1;
    }
    assert_eq!(skeleton.to_raw(skeleton.octets().len() as u64), raw.len() as u64, "{what}");
    assert_eq!(skeleton.to_raw(u64::MAX), raw.len() as u64, "{what}");
}

fn base64_body(octets: usize, width: usize) -> String {
    let digits = octets.div_ceil(3) * 4;
    let all: String = (0..digits).map(|at| char::from(b"ABCDwxyz0189+/"[at * 7 % 14])).collect();
    let lines: Vec<&str> =
        all.as_bytes().chunks(width).map(|line| std::str::from_utf8(line).unwrap()).collect();
    lines.join("\n")
}

fn attachment(body: &str, boundary: &str, name: &str) -> String {
    format!(
        "--{boundary}\nContent-Type: application/pdf; name=\"{name}\"\nContent-Transfer-Encoding: base64\nContent-Disposition: attachment;\n filename=\"{name}\"\n\n{body}\n"
    )
}

fn generated() -> Vec<(String, String)> {
    let mut messages = Vec::new();
    for octets in [0, 1, 29, 30, 31, 56, 57, 58, 114, 115, 150, 1000, 10_000] {
        for width in [20, 39, 40, 60, 76, 998, 999, 5000, usize::MAX] {
            let body = base64_body(octets, width);
            let one = attachment(&body, "b1", "one.pdf");
            let two = attachment(&body, "b1", "two.pdf");
            let head = "From: a@b.example\nSubject: s\nMIME-Version: 1.0\n";
            let name = format!("{octets} octets in lines of {width}");
            messages.push((format!("{name}, two parts"), format!("{head}Content-Type: multipart/mixed; boundary=b1\n\npreamble\n--b1\n\ntext\n{one}{two}--b1--\nepilogue\n")));
            messages.push((
                format!("{name}, blank line after"),
                format!("{head}Content-Type: multipart/mixed; boundary=b1\n\n{one}\n{two}\n\n--b1--\n"),
            ));
            messages.push((
                format!("{name}, one part"),
                format!("{head}Content-Type: application/pdf\nContent-Transfer-Encoding: base64\n\n{body}\n"),
            ));
            messages.push((
                format!("{name}, no line end"),
                format!("{head}Content-Transfer-Encoding: base64\n\n{body}"),
            ));
            messages.push((
                format!("{name}, boundary missing"),
                format!("{head}Content-Type: multipart/mixed; boundary=b1\n\n{one}{two}"),
            ));
            messages.push((
                format!("{name}, boundary in a line"),
                format!("{head}Content-Type: multipart/mixed; boundary=b1\n\n{}{two}--b1--", one.trim_end()),
            ));
            let inner = format!(
                "Subject: inner\nContent-Type: multipart/related;\n boundary=\"b2\"\n\n--b2\nContent-Type: text/html\n\n<p>\n{}--b2--\n",
                attachment(&body, "b2", "in.pdf")
            );
            messages.push((format!("{name}, nested"), format!("{head}Content-Type: multipart/mixed; boundary=b1\n\n--b1\n{inner}\n{one}--b1\nContent-Type: message/rfc822\n\n{inner}\n--b1--\n")));
            messages.push((
                format!("{name}, nested at the end"),
                format!("{head}Content-Type: message/rfc822\n\n{inner}"),
            ));
            messages.push((
                format!("{name}, in a text"),
                format!("{head}\nSee:\n{body}\nHello\n\n{body}\nx y\n{body}\nshort\nshort\n"),
            ));
            messages.push((
                format!("{name}, among fields"),
                format!(
                    "{head}{body}\n{body}\n folded\nX: y\nX:\n {body}\nContent-Type: text/html\n\nbody\n"
                ),
            ));
            messages.push((format!("{name}, encoded message"), format!("{head}Content-Type: multipart/mixed; boundary=b1\n\n--b1\nContent-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\n{body}\n{one}--b1--\n")));
            messages.push((format!("{name}, no header"), format!("{body}\n\n{body}")));
            messages.push((format!("{name}, only"), body.clone()));
        }
    }
    messages
}

#[test]
fn generated_messages_have_the_same_parts_with_either_line_end() {
    for (what, text) in generated() {
        check(text.as_bytes(), &format!("{what}, LF"));
        check(text.replace('\n', "\r\n").as_bytes(), &format!("{what}, CRLF"));
        check(text.replace("\n", "\r\r\n").as_bytes(), &format!("{what}, CRCRLF"));
        check(text.replace('\n', "\r").as_bytes(), &format!("{what}, CR"));
    }
}

#[test]
fn line_ends_may_change_within_a_run() {
    for ends in ["\n\r", "\r\n\n", "\n\r\r\n"] {
        let line = "QUFB".repeat(19);
        let mixed: String =
            (0..40).map(|at| format!("{line}{}", if at % 3 == 0 { "\n" } else { "\r\n" })).collect();
        let text = format!(
            "Content-Type: multipart/mixed; boundary=b1\n\n{}--b1--{ends}",
            attachment(&mixed, "b1", "x")
        );
        assert!(check(text.as_bytes(), "mixed") > 2000);
    }
}

#[test]
fn a_large_attachment_nearly_vanishes() {
    let text = format!(
        "Content-Type: multipart/mixed; boundary=b1\n\n{}--b1--\n",
        attachment(&base64_body(3_000_000, 76), "b1", "x")
    );
    let saved = check(text.replace('\n', "\r\n").as_bytes(), "large");
    assert!(text.len() + text.lines().count() - saved < 500, "{saved}");
}

#[test]
fn a_full_skeleton_says_so_and_its_end_is_the_end_of_the_message() {
    let text = format!("Subject: s\n\n{}", "some words on a line\n".repeat(1000)).into_bytes();
    for cap in [0, 1, 11, 12, 100, 5000, text.len() - 1] {
        let skeleton = Skeleton::build(&text, cap).unwrap();
        assert!(skeleton.truncated(), "{cap}");
        assert_eq!(skeleton.octets(), &text[..cap]);
        assert_eq!(skeleton.to_raw(cap as u64), text.len() as u64);
        assert_eq!(skeleton.to_raw((cap / 2) as u64), if cap == 0 { text.len() } else { cap / 2 } as u64);
    }
    assert!(!Skeleton::build(&text, text.len()).unwrap().truncated());
}

#[test]
fn the_cap_counts_what_is_kept_not_what_is_cut() {
    for width in [76, usize::MAX] {
        let raw = format!("A: b\n\n{}\n--b", base64_body(1_000_000, width)).into_bytes();
        let skeleton = Skeleton::build(&raw, 200).unwrap();
        assert!(!skeleton.truncated(), "{width}");
        check_map(&raw, &skeleton, "capped");
        let smaller = Skeleton::build(&raw, 50).unwrap();
        assert!(smaller.truncated() && smaller.octets().len() == 50, "{width}");
        assert_eq!(smaller.to_raw(50), raw.len() as u64);
    }
}

#[test]
fn a_long_line_that_turns_out_not_to_be_base64_stays_whole() {
    let raw = format!("A: b\n\n{}!\n", "A".repeat(200_000)).into_bytes();
    assert_eq!(Skeleton::build(&raw, usize::MAX).unwrap().octets(), raw);
}

#[test]
fn every_message_of_the_corpus_has_the_same_parts() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus");
    let mut files = Vec::new();
    find_messages(&root, &mut files);
    if files.is_empty() {
        println!("no corpus at {}: nothing to compare", root.display());
    }
    println!("comparing {} messages", files.len());
    for file in files {
        let raw = std::fs::read(&file).unwrap();
        check(&raw, &file.display().to_string());
        let crlf = String::from_utf8_lossy(&raw).replace("\r\n", "\n").replace('\n', "\r\n");
        check(crlf.as_bytes(), &format!("{} with CRLF", file.display()));
    }
}

fn find_messages(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            find_messages(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "eml") {
            found.push(path);
        }
    }
}
