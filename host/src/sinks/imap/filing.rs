//! Owns what is filed: the octets as they go out, their flags and their time. Must not speak to a server.

use std::sync::Arc;

use postroom_mail::header::HeaderBlock;
use postroom_mail::{Digest, Timestamp};

use super::InternalDate;
use crate::sinks::error::Fault;
use crate::sinks::smtp::canonical;
use crate::sinks::{Job, contents};

/// A message as it is filed.
#[derive(Debug)]
pub(super) struct Filing {
    /// Every CR is followed by LF, every LF preceded by CR; without NUL.
    pub(super) octets: Vec<u8>,
    /// Of those octets.
    pub(super) digest: Digest,
    /// The one Message-ID, when it can be searched for.
    pub(super) message_id: Option<String>,
    /// `(\Seen $Forwarded)`, or nothing.
    pub(super) flags: String,
    date: jiff::Timestamp,
}

impl Filing {
    pub(super) async fn prepare(job: &Job<'_>, flags: &str, which: InternalDate) -> Result<Self, Fault> {
        let flags = names(flags)?;
        let (effect, raw) = (job.effect.clone(), Arc::clone(&job.raw));
        let retrieved = job.provenance.retrieved;
        crate::sinks::blocking(move || {
            let octets = canonical(&contents::collect(&effect, &*raw)?);
            if octets.contains(&0) {
                return Err(Fault::permanent(
                    "the message holds NUL octets, which IMAP cannot carry (RFC 3501 section 9); nothing was filed: \
                     store it as a file, or in a Maildir",
                ));
            }
            let header = HeaderBlock::parse(&octets);
            let at = match which {
                InternalDate::Received => retrieved,
                // A header's date is its sender's claim: it may make a message older, not newer.
                InternalDate::Date => header.date().filter(|date| (0..retrieved.0).contains(&date.0)).unwrap_or(retrieved),
            };
            let digest = Digest::of(&octets);
            Ok(Self { digest, message_id: message_id(&header), flags, date: time(at), octets })
        })
        .await
    }

    pub(super) fn size(&self) -> u64 {
        self.octets.len() as u64
    }

    /// `"24-Nov-2026 17:23:25 +0000"`
    pub(super) fn internal_date(&self) -> String {
        self.date.strftime("\"%d-%b-%Y %H:%M:%S +0000\"").to_string()
    }

    /// The days around its time, whatever zone a server tells days in: the first one, and the one after the last.
    pub(super) fn days(&self) -> (String, String) {
        let day = |hours: i64| {
            let moved = self.date.checked_add(jiff::SignedDuration::from_hours(hours));
            moved.unwrap_or(self.date).strftime("%d-%b-%Y").to_string()
        };
        (day(-24), day(48))
    }
}

fn time(at: Timestamp) -> jiff::Timestamp {
    jiff::Timestamp::from_millisecond(at.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH)
}

/// The id with its brackets, as it stands there: searching compares parts of fields.
fn message_id(header: &HeaderBlock) -> Option<String> {
    let [id] = header.raw("Message-ID").try_into().ok()?;
    let id = String::from_utf8(id).ok()?.trim().to_owned();
    let fit = (3..=500).contains(&id.len()) && id.bytes().all(|octet| octet.is_ascii_graphic());
    fit.then_some(id)
}

/// Maildir's letters as IMAP's flags.
fn names(letters: &str) -> Result<String, Fault> {
    let mut names: Vec<&str> = Vec::new();
    for letter in letters.chars() {
        let name = match letter {
            'S' => "\\Seen",
            'R' => "\\Answered",
            'F' => "\\Flagged",
            'T' => "\\Deleted",
            'D' => "\\Draft",
            'P' => "$Forwarded",
            wrong => {
                return Err(Fault::permanent(format!(
                    "{wrong:?} is not a Maildir flag; they are D F P R S T"
                )));
            }
        };
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(if names.is_empty() { String::new() } else { format!("({}) ", names.join(" ")) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_become_flags_and_others_are_refused() {
        assert_eq!(names("").unwrap(), "");
        assert_eq!(names("SRFTDPS").unwrap(), "(\\Seen \\Answered \\Flagged \\Deleted \\Draft $Forwarded) ");
        assert!(names("X").is_err());
    }

    #[test]
    fn only_an_id_that_is_alone_and_can_stand_in_a_command_is_searched_for() {
        let of = |text: &str| message_id(&HeaderBlock::parse(text.as_bytes()));
        assert_eq!(of("Message-ID: <a@b>\r\n\r\n"), Some("<a@b>".to_owned()));
        assert_eq!(of("Message-ID:\r\n <a@b>\r\n\r\n"), Some("<a@b>".to_owned()));
        for odd in
            ["Message-ID: <a b>\r\n\r\n", "Message-ID: <a\r\n b>\r\n\r\n", "Message-ID: <ä>\r\n\r\n", "\r\n"]
        {
            assert_eq!(of(odd), None, "{odd:?}");
        }
        assert_eq!(of("Message-ID: <a@b>\r\nMessage-ID: <c@d>\r\n\r\n"), None);
    }
}
