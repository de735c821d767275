//! fetchmail's `.fetchids`: `USER@HOST UID` on each line, without times, for all mailboxes together (6.4.37).
//!
//! Owns that format. Must not take a user's case for another user where fetchmail does not.

use crate::lines::{CUT, Reading, lines, split_once, text};
use crate::{How, Mailbox};

/// How much of a unique-id fetchmail keeps, in octets.
const KEPT: usize = 128;

pub(crate) fn read(octets: &[u8]) -> Reading {
    let mut reading = Reading::default();
    for line in lines(octets) {
        if line.octets.trim_ascii().is_empty() {
            continue;
        }
        match entry(line.octets) {
            _ if !line.ended => reading.bad(line.number, CUT),
            Ok((mailbox, uid)) => reading.good(Some(mailbox), uid, None, How::Retrieved),
            Err(why) => reading.bad(line.number, why),
        }
    }
    reading
}

/// As fetchmail reads it: a user may have blanks before its first `@`, and a host has none, so the mailbox ends at the
/// first blank after the first `@`; of its `@`s the last one parts user and host.
pub(crate) fn entry(line: &[u8]) -> Result<(Mailbox, &[u8]), &'static str> {
    let line = line.trim_ascii_start();
    let at = line.iter().position(|octet| *octet == b'@').ok_or("no @ between user and host")?;
    let blank = line[at..].iter().position(|octet| *octet == b' ').ok_or("no unique-id after the host")?;
    let (mailbox, rest) = line.split_at(at + blank);
    let last = mailbox.iter().rposition(|octet| *octet == b'@').ok_or("no @ between user and host")?;
    let (user, host) = (text(&mailbox[..last]), text(&mailbox[last + 1..]));
    let (Some(user), Some(host)) = (user, host) else { return Err("user or host is missing or not UTF-8") };
    let uid = first_word(rest.trim_ascii());
    if uid.is_empty() {
        return Err("no unique-id after the host");
    }
    Ok((Mailbox { user, host, port: None }, uid))
}

/// fetchmail keeps a unique-id up to its first blank, and 128 octets of it at most.
pub(crate) fn written(uid: &[u8]) -> Vec<u8> {
    let word = first_word(uid.trim_ascii());
    word[..word.len().min(KEPT)].to_vec()
}

fn first_word(octets: &[u8]) -> &[u8] {
    let word = split_once(octets, b' ').map_or(octets, |(word, _)| word);
    split_once(word, b'\t').map_or(word, |(word, _)| word)
}
