//! Mail to test with: realistic ones made from a seed, and the shared corpus where it is present.
//!
//! Owns the generator. Must not use a clock or another source of randomness: the same seed makes the same octets.

mod parts;

use std::path::{Path, PathBuf};

use parts::Random;

/// What a generated mail is like; the generator takes them in turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `text/plain`, ASCII.
    Plain,
    /// `multipart/alternative` of text and HTML.
    Alternative,
    /// A PDF attachment in base64, up to some hundred KB.
    Pdf,
    /// An XML attachment in base64, as an e-invoice comes.
    Xml,
    /// `multipart/related`: HTML with an inline PNG.
    InlineImage,
    /// UTF-8 in 8bit.
    EightBit,
    /// Latin-1 in quoted-printable.
    QuotedPrintable,
    /// Lines longer than 998 octets.
    LongLines,
    /// Lines that start with dots, or are only a dot.
    Dots,
    /// An attachment with a non-ASCII name in RFC 2231 continuations.
    Rfc2231Name,
    /// An attachment with a non-ASCII name in RFC 2047 words, as many senders write it.
    Rfc2047Name,
    /// From a mailing list.
    MailingList,
    /// Flagged by a spam filter on the way.
    Spam,
    /// Another mail attached as `message/rfc822`.
    Forwarded,
    /// A header and nothing else.
    Empty,
}

impl Kind {
    /// Every kind, in the generator's order.
    pub const ALL: [Self; 15] = [
        Self::Plain,
        Self::Alternative,
        Self::Pdf,
        Self::Xml,
        Self::InlineImage,
        Self::EightBit,
        Self::QuotedPrintable,
        Self::LongLines,
        Self::Dots,
        Self::Rfc2231Name,
        Self::Rfc2047Name,
        Self::MailingList,
        Self::Spam,
        Self::Forwarded,
        Self::Empty,
    ];
}

/// One mail of a corpus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// What it is like.
    pub kind: Kind,
    /// Its octets, with CRLF line ends.
    pub octets: Vec<u8>,
}

/// Makes so many mails from a seed, no two the same. The first mails of a longer corpus are those of a shorter one.
#[must_use]
pub fn generate(seed: u64, mails: usize) -> Vec<Mail> {
    let kinds = Kind::ALL.into_iter().cycle().take(mails).enumerate();
    kinds.map(|(ordinal, kind)| parts::mail(kind, ordinal, &mut Random::of(seed, ordinal))).collect()
}

/// Every `.eml` file below `../shared/corpus`, seen from the workspace, sorted by path; none, with a note printed, where
/// there is no such directory. The octets are the file's, whatever its line ends.
#[must_use]
pub fn shared_corpus() -> Vec<(PathBuf, Vec<u8>)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus");
    let mut paths = Vec::new();
    let mut waiting = vec![directory];
    while let Some(directory) = waiting.pop() {
        let Ok(entries) = std::fs::read_dir(&directory) else { continue };
        for path in entries.filter_map(Result::ok).map(|entry| entry.path()) {
            if path.is_dir() {
                waiting.push(path);
            } else if path.extension().is_some_and(|extension| extension == "eml") {
                paths.push(path);
            }
        }
    }
    if paths.is_empty() {
        println!("note: no ../shared/corpus beside the workspace, so its mails are not tested");
    }
    paths.sort();
    paths.into_iter().filter_map(|path| Some((path.clone(), std::fs::read(path).ok()?))).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn is_crlf_only(octets: &[u8]) -> bool {
        let feeds = octets.iter().filter(|&&octet| octet == b'\n').count();
        let returns = octets.iter().filter(|&&octet| octet == b'\r').count();
        let pairs = octets.windows(2).filter(|pair| pair == b"\r\n").count();
        feeds == pairs && returns == pairs
    }

    fn contains(octets: &[u8], text: &[u8]) -> bool {
        octets.windows(text.len()).any(|window| window == text)
    }

    #[test]
    fn the_same_seed_makes_the_same_distinct_crlf_mails() {
        let mails = generate(7, 60);
        assert_eq!(generate(7, 30), mails[..30]);
        assert_ne!(generate(8, 60), mails);
        assert_eq!(mails.iter().map(|mail| &mail.octets).collect::<BTreeSet<_>>().len(), 60);
        for mail in &mails {
            assert!(is_crlf_only(&mail.octets), "{:?}", mail.kind);
            assert!(contains(&mail.octets, b"\r\n\r\n") && contains(&mail.octets, b"Message-ID: <"));
        }
        let largest = mails.iter().map(|mail| mail.octets.len()).max().unwrap();
        assert!((100_000..1_000_000).contains(&largest), "{largest}");
    }

    #[test]
    fn each_kind_is_what_it_says() {
        for mail in generate(1, 45) {
            let mark: &[u8] = match mail.kind {
                Kind::Plain => b"text/plain; charset=us-ascii",
                Kind::Alternative => b"multipart/alternative",
                Kind::Pdf => b"application/pdf",
                Kind::Xml => b"application/xml",
                Kind::InlineImage => b"Content-ID: <",
                Kind::EightBit => "ü".as_bytes(),
                Kind::QuotedPrintable => b"=FC",
                Kind::LongLines | Kind::Empty => b"Subject: ",
                Kind::Dots => b"\r\n.\r\n",
                Kind::Rfc2231Name => b"filename*0*=UTF-8''",
                Kind::Rfc2047Name => b"name=\"=?UTF-8?B?",
                Kind::MailingList => b"List-Id: ",
                Kind::Spam => b"X-Spam-Flag: YES",
                Kind::Forwarded => b"message/rfc822",
            };
            assert!(contains(&mail.octets, mark), "{:?}", mail.kind);
            let longest = mail.octets.split(|&octet| octet == b'\n').map(<[u8]>::len).max().unwrap();
            assert_eq!(longest > 999, mail.kind == Kind::LongLines, "{:?}: {longest}", mail.kind);
        }
    }

    #[test]
    fn the_shared_corpus_is_read_where_present() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus");
        let mails = shared_corpus();
        assert_eq!(mails.is_empty(), !directory.exists());
        assert!(mails.iter().all(|(path, _)| path.exists()));
    }
}
