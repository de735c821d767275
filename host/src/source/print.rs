//! A header as a fingerprint and a date, from the octets of RETR or TOP as they pass. Tells whether two messages are the
//! same mail under different unique-ids; never identifies one by itself. Holds at most [`LIMIT`] octets.

use postroom_mail::Digest;

/// More of a header is not looked at.
const LIMIT: usize = 256 << 10;
/// Fields that servers add or change after delivery.
const CHANGING: [&str; 8] =
    ["status", "x-status", "x-uid", "x-uidl", "x-keywords", "x-imapbase", "content-length", "lines"];

/// Collects the header.
#[derive(Default)]
pub(super) struct Print {
    header: Vec<u8>,
    ended: bool,
}

impl Print {
    /// Takes the next octets of the message.
    pub(super) fn take(&mut self, octets: &[u8]) {
        if self.ended {
            return;
        }
        // Three octets back, so that an empty line across two pieces is seen.
        let from = self.header.len().saturating_sub(3);
        self.header.extend_from_slice(&octets[..octets.len().min(LIMIT - self.header.len())]);
        if let Some(end) = end(&self.header, from) {
            self.header.truncate(end);
            self.ended = true;
        } else if self.header.len() >= LIMIT {
            self.ended = true;
        }
    }

    /// The fingerprint, whatever the line ends are and without the fields that servers change. `None` for a header that could
    /// be another message's as well: one without `Message-ID` that does not have both `Received` and `Date` either.
    pub(super) fn digest(&self) -> Option<Digest> {
        let has = |name: &str| self.header.split(|&octet| octet == b'\n').any(|line| is_field(line, name));
        let unmistakable = has("message-id") || (has("received") && has("date"));
        if !unmistakable {
            return None;
        }
        let mut kept = Vec::with_capacity(self.header.len());
        let mut skipping = false;
        for line in self.header.split(|&octet| octet == b'\n') {
            let line = line.trim_ascii_end();
            if !line.first().is_some_and(|first| matches!(first, b' ' | b'\t')) {
                let name = line.split(|&octet| octet == b':').next().unwrap_or_default().trim_ascii();
                skipping = CHANGING.iter().any(|changing| name.eq_ignore_ascii_case(changing.as_bytes()))
                    || name.get(..10).is_some_and(|start| start.eq_ignore_ascii_case(b"x-mozilla-"));
            }
            if !skipping && !line.is_empty() {
                kept.extend_from_slice(line);
                kept.push(b'\n');
            }
        }
        (!kept.is_empty()).then(|| Digest::of_parts("header/1", &[&kept]))
    }

    /// When the message came, in seconds since 1970: by its newest `Received` field, else by its `Date`.
    pub(super) fn date(&self) -> Option<i64> {
        let text = String::from_utf8_lossy(&self.header).replace("\r\n ", " ").replace("\r\n\t", " ");
        let text = text.replace("\n ", " ").replace("\n\t", " ");
        let field = |wanted: &str| {
            text.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.trim().eq_ignore_ascii_case(wanted).then(|| value.to_owned())
            })
        };
        let received = field("received").and_then(|value| rfc5322(value.rsplit(';').next()?));
        received.or_else(|| field("date").and_then(|value| rfc5322(&value)))
    }
}

fn rfc5322(text: &str) -> Option<i64> {
    // Comments such as "(CEST)" after the offset are common.
    let text = text.split('(').next().unwrap_or_default().trim();
    jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok().map(jiff::Timestamp::as_second)
}

fn is_field(line: &[u8], name: &str) -> bool {
    let (field, rest) = line.split_at(line.len().min(name.len()));
    field.eq_ignore_ascii_case(name.as_bytes()) && rest.trim_ascii_start().starts_with(b":")
}

/// Where the header ends: at the first empty line that begins at or after `from`, or at the very start.
fn end(header: &[u8], from: usize) -> Option<usize> {
    if header.starts_with(b"\r\n") || header.starts_with(b"\n") {
        return Some(0);
    }
    let tail = header.get(from..)?;
    tail.iter().enumerate().find_map(|(at, &octet)| {
        let rest = tail.get(at + 1..)?;
        (octet == b'\n' && (rest.starts_with(b"\n") || rest.starts_with(b"\r\n"))).then_some(from + at + 1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn print(pieces: &[&[u8]]) -> Print {
        let mut print = Print::default();
        pieces.iter().for_each(|piece| print.take(piece));
        print
    }

    const MESSAGE: &[u8] = b"Received: by mx; Tue, 10 Mar 2026 09:00:01 +0100 (CET)\r\nStatus: RO\r\nSubject: a\r\n b\r\nDate: Mon, 9 Mar 2026 09:00:00 +0100\r\n\r\nbody";

    #[test]
    fn every_split_gives_the_same_print() {
        let whole = print(&[MESSAGE]);
        for at in 0..MESSAGE.len() {
            let split = print(&[&MESSAGE[..at], &MESSAGE[at..]]);
            assert_eq!(split.digest(), whole.digest(), "split at {at}");
            assert_eq!(split.header, whole.header, "split at {at}");
        }
    }

    #[test]
    fn line_ends_bodies_and_changing_fields_make_no_difference_but_others_do() {
        let one = print(&[MESSAGE]).digest();
        let other = String::from_utf8(MESSAGE.to_vec())
            .unwrap()
            .replace("\r\n", "\n")
            .replace("Status: RO", "X-UIDL: 7");
        assert_eq!(print(&[other.replace("body", "another").as_bytes()]).digest(), one);
        assert_ne!(print(&[other.replace(" b\n", " c\n").as_bytes()]).digest(), one);
    }

    #[test]
    fn a_header_that_another_message_may_have_too_has_no_print() {
        assert_eq!(print(&[b"From: scanner@example.net\r\nSubject: scan\r\n\r\n"]).digest(), None);
        assert_eq!(print(&[b"Date: Mon, 9 Mar 2026 09:00:00 +0100\r\nSubject: scan\r\n\r\n"]).digest(), None);
        assert!(print(&[b"Subject: scan\r\nMESSAGE-ID : <1@example.net>\r\n\r\n"]).digest().is_some());
    }

    #[test]
    fn an_empty_header_has_no_print() {
        assert_eq!(print(&[b"\r\nbody"]).digest(), None);
        assert_eq!(print(&[b""]).digest(), None);
    }

    #[test]
    fn the_date_is_that_of_the_newest_received_field() {
        assert_eq!(print(&[MESSAGE]).date(), Some(1_773_129_601));
        assert_eq!(print(&[b"Date: Mon, 9 Mar 2026 09:00:00 +0100\r\n\r\n"]).date(), Some(1_773_043_200));
        assert_eq!(print(&[b"Date: yesterday\r\n\r\n"]).date(), None);
    }

    #[test]
    fn an_endless_header_is_bounded() {
        let mut print = Print::default();
        for _ in 0..100 {
            print.take(&[b'x'; 65_536]);
        }
        assert_eq!(print.header.len(), LIMIT);
    }
}
