//! mpop's uidls file: lists headed by ` COUNT HOST USER`, one unique-id a line, `#` before comments (1.4.18).
//!
//! Owns that format. Must not credit a list with more unique-ids than it announces.

use crate::lines::{CUT, Line, Reading, lines, number, split_once, text};
use crate::{How, Mailbox};

const SHORT: &str = "the list before this line has fewer unique-ids than it announces";

pub(crate) fn read(octets: &[u8]) -> Reading {
    let mut reading = Reading::default();
    let mut list: Option<(Mailbox, u64)> = None;
    let mut last = 0;
    for line in lines(octets) {
        last = line.number;
        if !line.ended {
            reading.bad(line.number, CUT);
            list = None;
            break;
        }
        match (&mut list, line.octets) {
            // In mpop a unique-id that begins with # is lost as a comment when it reads its file; we still know where
            // unique-ids stand.
            (None, [] | [b'#', ..]) => {}
            (open, [b' ', ..]) => {
                if open.as_ref().is_some_and(|(_, left)| *left > 0) {
                    reading.bad(line.number, SHORT);
                }
                list = head(&line, &mut reading);
            }
            (None, _) => reading.bad(line.number, "a unique-id outside of a list"),
            (Some(_), []) => reading.bad(line.number, "an empty line within a list"),
            (Some((mailbox, left)), uid) => {
                reading.good(Some(mailbox.clone()), uid, None, How::Retrieved);
                *left -= 1;
                if *left == 0 {
                    list = None;
                }
            }
        }
    }
    if list.is_some() {
        reading.bad(last + 1, SHORT);
    }
    reading
}

fn head(line: &Line<'_>, reading: &mut Reading) -> Option<(Mailbox, u64)> {
    let head = parse_head(line.octets);
    if head.is_none() {
        reading.bad(line.number, "the head of a list is not ` COUNT HOST USER`");
    }
    head
}

pub(crate) fn parse_head(octets: &[u8]) -> Option<(Mailbox, u64)> {
    // Every entry carries it.
    if octets.len() > crate::LONGEST_NAME {
        return None;
    }
    let (count, rest) = split_once(octets.strip_prefix(b" ")?, b' ')?;
    let (host, user) = split_once(rest, b' ')?;
    let count = number::<u64>(count).filter(|count| *count > 0)?;
    Some((Mailbox { user: text(user)?, host: text(host)?, port: None }, count))
}
