//! Owns the mail of a run: makes it from the seed, and remembers what was put into which maildrop, and how often. Must not
//! put it there.
//!
//! Every mail bears a mark, by which it is known again where a header was added or line ends were changed; where octets
//! must stay as they are, it is known by their digest.

use std::collections::BTreeMap;

use postroom_mail::Digest;

use super::draw::Draw;
use crate::corpus::{self, Mail};

/// The field that bears the mark.
const FIELD: &str = "X-Chaos-Mark: ";
/// So many different bodies there are; they recur under other Message-IDs.
const BODIES: usize = 150;
/// Mail that is to be kept small is at most so many octets.
const SMALL: usize = 64 * 1024;

/// What makes a mail known again.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Mark(u64);

impl Mark {
    /// The mark in a mail, wherever in its first octets; `None` when it has none.
    pub(super) fn of(octets: &[u8]) -> Option<Self> {
        let head = &octets[..octets.len().min(SMALL)];
        let at = head.windows(FIELD.len()).position(|window| window == FIELD.as_bytes())? + FIELD.len();
        let digits: Vec<u8> = head[at..].iter().copied().take_while(u8::is_ascii_digit).collect();
        String::from_utf8(digits).ok()?.parse().ok().map(Self)
    }
}

/// One mail that was put into a maildrop.
#[derive(Clone, Debug)]
pub(super) struct Put {
    /// Which maildrop.
    pub(super) account: usize,
    /// How often, with the very same octets.
    pub(super) times: u64,
    /// Of the octets as the server serves them.
    pub(super) digest: Digest,
}

/// Mail to be put into a maildrop now.
#[derive(Clone, Debug)]
pub(super) struct Letter {
    pub(super) account: usize,
    /// The very same octets so often.
    pub(super) times: u64,
    pub(super) octets: Vec<u8>,
}

/// How many of which sort were made.
#[derive(Clone, Copy, Debug, Default, serde::Serialize)]
pub(super) struct Sorts {
    /// Put in all.
    pub(super) mails: u64,
    /// Of these larger than a MiB.
    pub(super) large: u64,
    /// Of these against the rules of RFC 5322.
    pub(super) malformed: u64,
    /// Of these with the Message-ID of another.
    pub(super) same_id: u64,
    /// Of these with the very octets of another.
    pub(super) twins: u64,
    /// Octets in all.
    pub(super) octets: u64,
}

/// The generator and its memory.
#[derive(Debug)]
pub(super) struct Post {
    draw: Draw,
    bodies: Vec<Mail>,
    small: Vec<usize>,
    put: BTreeMap<Mark, Put>,
    sorts: Sorts,
    accounts: usize,
    /// The last of the accounts gets small mail only.
    last_small: bool,
}

impl Post {
    pub(super) fn new(seed: u64, accounts: usize, last_small: bool) -> Self {
        let bodies = corpus::generate(seed, BODIES);
        let small = (0..bodies.len()).filter(|&at| bodies[at].octets.len() < SMALL / 2).collect();
        let draw = Draw::of(seed, "mail");
        Self { draw, bodies, small, put: BTreeMap::new(), sorts: Sorts::default(), accounts, last_small }
    }

    /// The next mail, remembered as put.
    pub(super) fn next(&mut self) -> Letter {
        let account = self.draw.between(0, self.accounts as u64) as usize;
        let small = self.last_small && account + 1 == self.accounts;
        let mark = Mark(self.put.len() as u64 + 1);
        let mut octets = self.marked(mark, small);
        if !small && self.draw.once_in(60) {
            self.sorts.large += 1;
            let lines = self.draw.between(1, 3) as usize * 14_000;
            octets.extend([[b'x'; 76].as_slice(), b"\r\n"].concat().repeat(lines));
        } else if self.draw.once_in(15) {
            self.sorts.malformed += 1;
            octets = self.malformed(mark, octets, small);
        }
        let times = 1 + u64::from(self.draw.once_in(40));
        self.sorts.twins += times - 1;
        self.sorts.mails += times;
        self.sorts.octets += times * octets.len() as u64;
        self.put.insert(mark, Put { account, times, digest: Digest::of(&served(&octets)) });
        Letter { account, times, octets }
    }

    /// One of the bodies, with the mark on top, and nearly always a Message-ID of its own.
    fn marked(&mut self, mark: Mark, small: bool) -> Vec<u8> {
        let any = self.draw.between(0, self.bodies.len() as u64) as usize;
        let body = if small { self.small[any % self.small.len()] } else { any };
        let mut octets = format!("{FIELD}{:010}\r\n", mark.0).into_bytes();
        let mail = &self.bodies[body].octets;
        let id = b"Message-ID: <";
        match mail.windows(id.len()).position(|window| window == id) {
            Some(at) if !self.draw.once_in(20) => {
                let rest = at + id.len();
                octets.extend_from_slice(&mail[..rest]);
                octets.extend_from_slice(format!("{}.", mark.0).as_bytes());
                octets.extend_from_slice(&mail[rest..]);
            }
            Some(_) | None => {
                self.sorts.same_id += 1;
                octets.extend_from_slice(mail);
            }
        }
        octets
    }

    fn malformed(&mut self, mark: Mark, octets: Vec<u8>, small: bool) -> Vec<u8> {
        let top = format!("{FIELD}{:010}\r\n", mark.0).into_bytes();
        match self.draw.between(0, 5) {
            // Never a blank line.
            0 => [top, b"Subject: only a header\r\n".to_vec()].concat(),
            // Neither text nor a header. NUL cannot be sent by SMTP, so what is forwarded has none.
            1 => [top, vec![u8::from(small), 0xff, b':', 0x80, b'\r', b'\n'], octets].concat(),
            // A boundary that never comes, in a structure that never ends.
            2 => {
                let part = "Content-Type: multipart/mixed; boundary=\"=\"\r\n\r\n--=\r\n";
                [top, b"MIME-Version: 1.0\r\n".to_vec(), part.repeat(40).into_bytes()].concat()
            }
            // Lines that end in every way there is.
            3 => [octets, b"bare\nfeeds\n\nand\rreturns\r\r\n.\r\n..\nend\n".to_vec()].concat(),
            // Starts with what is no header line.
            _ => [b">From nobody Thu Jan  1 00:00:00 1970\r\n".to_vec(), octets].concat(),
        }
    }

    pub(super) fn put(&self) -> &BTreeMap<Mark, Put> {
        &self.put
    }

    pub(super) fn sorts(&self) -> Sorts {
        self.sorts
    }
}

/// The octets as Dovecot serves them: each line ends with CRLF.
pub(super) fn served(octets: &[u8]) -> Vec<u8> {
    let mut served = Vec::with_capacity(octets.len() + 64);
    let mut before = 0;
    for &octet in octets {
        if octet == b'\n' && before != b'\r' {
            served.push(b'\r');
        }
        served.push(octet);
        before = octet;
    }
    served
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mail_is_known_again_by_its_mark_and_by_its_octets() {
        let mut post = Post::new(5, 3, true);
        let letters: Vec<_> = (0..600).map(|_| post.next()).collect();
        for letter in &letters {
            let mark = Mark::of(&letter.octets).expect("a mark");
            let put = &post.put()[&mark];
            assert_eq!((put.account, put.times), (letter.account, letter.times));
            assert_eq!(put.digest, Digest::of(&served(&letter.octets)));
            assert!(letter.account < 2 || letter.octets.len() <= SMALL, "{}", letter.octets.len());
        }
        let digests: std::collections::BTreeSet<_> = post.put().values().map(|put| put.digest).collect();
        assert_eq!(digests.len(), 600, "different marks are different octets");
        let Sorts { large, malformed, same_id, twins, .. } = post.sorts();
        assert!([large, malformed, same_id, twins].iter().all(|&count| count > 0), "{:?}", post.sorts());
    }

    #[test]
    fn a_bare_line_feed_is_served_as_crlf() {
        assert_eq!(served(b"a\nb\r\nc\r\r\n\n"), b"a\r\nb\r\nc\r\r\n\r\n");
        assert_eq!(Mark::of(b"no mark"), None);
    }
}
