//! Ends of a message inside of it, at every place and in every mix of line ends, in front of receivers from the strictest
//! to the laxest: what is sent has one end, and CRLF only.

use postroom_mail::{Digest, EffectId};

use super::outgoing::Outgoing;

/// What a receiver takes for the end of a line, longest first, and whether it drops NUL before it looks.
struct Model {
    name: &'static str,
    line_ends: &'static [&'static [u8]],
    drops_nul: bool,
}

const MODELS: [Model; 5] = [
    Model { name: "strict", line_ends: &[b"\r\n"], drops_nul: false },
    Model { name: "takes LF", line_ends: &[b"\r\n", b"\n"], drops_nul: false },
    Model { name: "takes CR", line_ends: &[b"\r\n", b"\r"], drops_nul: false },
    Model { name: "takes all", line_ends: &[b"\r\r\n", b"\r\n", b"\n\r", b"\n", b"\r"], drops_nul: false },
    Model { name: "takes all and drops NUL", line_ends: &[b"\r\n", b"\n", b"\r"], drops_nul: true },
];

/// `reliability` test 55: LF.LF, LF.CRLF, CR.CR, CRLF.CR, CR and LF apart, NUL around the dot; and their mixes.
const ENDS: [&[u8]; 16] = [
    b"\n.\n",
    b"\n.\r\n",
    b"\r\n.\n",
    b"\r.\r",
    b"\r\n.\r",
    b"\r.\r\n",
    b"\n.\r",
    b"\r.\n",
    b"\r\n.\r\n",
    b"\r\r\n.\r\r\n",
    b"\n\r.\n\r",
    b"\r\n.\r\r\n",
    b"\r\n\0.\r\n",
    b"\r\n.\0\r\n",
    b"\n\0.\0\n",
    b"\0\r.\r\0",
];

const SAMPLE: &[u8] =
    b"From: a@a.example\r\nMessage-ID: <m@a.example>\r\nSubject: a\n b\r\n\r\n.one\r\n..two\n.\x20\r\nthree";
const SMUGGLED: &[u8] =
    b"MAIL FROM:<x@x.example>\r\nRCPT TO:<y@y.example>\r\nDATA\r\nSubject: x\r\n\r\nsmuggled";

impl Model {
    /// The octet after the first line with a dot alone.
    fn end(&self, wire: &[u8]) -> Option<usize> {
        let (mut line, mut at) = (Vec::new(), 0);
        while at < wire.len() {
            match self.line_ends.iter().find(|end| wire[at..].starts_with(end)) {
                Some(end) => {
                    at += end.len();
                    if line == b"." {
                        return Some(at);
                    }
                    line.clear();
                }
                None => {
                    if !(self.drops_nul && wire[at] == 0) {
                        line.push(wire[at]);
                    }
                    at += 1;
                }
            }
        }
        None
    }
}

fn prepared(content: &[u8]) -> Option<Outgoing> {
    Outgoing::prepare(content, &[], &EffectId(Digest::of(b"effect")), "own.example").ok()
}

fn wire(mail: &Outgoing) -> Vec<u8> {
    mail.blocks().flatten().chain(*b".\r\n").collect()
}

/// Every end at every offset of the sample, header and body.
fn mixes() -> impl Iterator<Item = (&'static [u8], Vec<u8>)> {
    ENDS.into_iter().flat_map(|end| {
        (0..=SAMPLE.len()).map(move |at| (end, [&SAMPLE[..at], end, SMUGGLED, &SAMPLE[at..]].concat()))
    })
}

#[test]
fn every_receiver_sees_one_message_that_ends_where_it_was_ended() {
    let (mut sent, mut refused) = (0, 0);
    for (end, content) in mixes() {
        let Some(mail) = prepared(&content) else {
            assert!(content.contains(&0), "only NUL is refused: {}", content.escape_ascii());
            refused += 1;
            continue;
        };
        assert!(!end.contains(&0), "NUL never leaves");
        let wire = wire(&mail);
        for model in MODELS {
            assert_eq!(model.end(&wire), Some(wire.len()), "{}: {}", model.name, wire.escape_ascii());
        }
        let ends = wire.windows(2).filter(|pair| pair == b"\r\n").count();
        let lone = wire.iter().filter(|&&octet| octet == b'\r' || octet == b'\n').count();
        assert_eq!(lone, 2 * ends, "CRLF only: {}", wire.escape_ascii());
        sent += 1;
    }
    assert_eq!((sent, refused), (12 * (SAMPLE.len() + 1), 4 * (SAMPLE.len() + 1)));
}

#[test]
fn what_the_strict_receiver_unstuffs_is_what_was_prepared() {
    for mail in mixes().filter_map(|(_, content)| prepared(&content)) {
        let wire = wire(&mail);
        let lines = wire[..wire.len() - 3].split_inclusive(|&octet| octet == b'\n');
        let unstuffed: Vec<u8> =
            lines.flat_map(|line| line.strip_prefix(b".").unwrap_or(line)).copied().collect();
        assert_eq!(unstuffed, mail.octets());
    }
}

/// The models can tell: what is stuffed after CRLF alone, as RFC 5321 says and some clients do, is cut by each lax one.
#[test]
fn the_lax_receivers_are_fooled_by_a_client_that_stuffs_only_after_crlf() {
    let naive = |content: &[u8]| {
        let lines = content.split_inclusive(|&octet| octet == b'\n');
        let mut wire: Vec<u8> = Vec::new();
        for line in lines {
            if line.starts_with(b".") && (wire.is_empty() || wire.ends_with(b"\r\n")) {
                wire.push(b'.');
            }
            wire.extend_from_slice(line);
        }
        [wire, b"\r\n.\r\n".to_vec()].concat()
    };
    for model in MODELS {
        let fooled = mixes().any(|(_, content)| {
            let wire = naive(&content);
            model.end(&wire).is_some_and(|end| end < wire.len())
        });
        assert_eq!(fooled, model.name != "strict", "{}", model.name);
    }
}
