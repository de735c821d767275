//! Owns the names of mailboxes on the wire: hierarchy, namespace, modified UTF-7 (RFC 3501 section 5.1.3). Must not ask
//! a server.

use base64::Engine;
use base64::alphabet::IMAP_MUTF7;
use base64::engine::{GeneralPurpose, general_purpose::NO_PAD};
use postroom_mail::Mailbox;

use crate::sinks::error::{Fault, quoted};

const MODIFIED: GeneralPurpose = GeneralPurpose::new(&IMAP_MUTF7, NO_PAD);

/// How a server names mailboxes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Naming {
    /// Between the names of a path; `None` where there are no paths.
    pub(super) delimiter: Option<char>,
    /// Before every name but that of the inbox, e.g. `INBOX.`.
    pub(super) prefix: String,
    /// Names go as UTF-8 (RFC 6855), which the server switched on.
    pub(super) utf8: bool,
}

impl Naming {
    /// The mailbox as an argument of a command.
    pub(super) fn argument(&self, mailbox: &Mailbox) -> Result<String, Fault> {
        let name = self.name(mailbox)?;
        Ok(string(&if self.utf8 { name } else { encoded(&name) }))
    }

    fn name(&self, mailbox: &Mailbox) -> Result<String, Fault> {
        if mailbox.is_inbox() {
            return Ok("INBOX".to_owned());
        }
        let parts: Vec<&str> = mailbox.as_str().split('/').collect();
        let wrong = |why: String| {
            Err(Fault::permanent(format!(
                "mailbox {} cannot be named at this server: {why}; choose another name in the step's settings",
                quoted(mailbox.as_str())
            )))
        };
        let Some(delimiter) = self.delimiter else {
            return match parts.len() {
                1 => Ok(format!("{}{}", self.prefix, mailbox.as_str())),
                _ => wrong("it has no mailboxes within mailboxes".to_owned()),
            };
        };
        if parts.iter().any(|part| part.contains(delimiter)) {
            return wrong(format!("{delimiter:?} separates names there"));
        }
        let joined = parts.join(&delimiter.to_string());
        // What is already below the inbox is not put there twice.
        let within = self.prefix.get(..).filter(|prefix| !prefix.is_empty()).is_some_and(|prefix| {
            joined.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
        });
        Ok(if within { joined } else { format!("{}{joined}", self.prefix) })
    }
}

/// Modified UTF-7.
fn encoded(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(first) = rest.chars().next() {
        let plain = |ch: char| (' '..='~').contains(&ch);
        let run = rest.find(|ch| plain(ch) != plain(first)).unwrap_or(rest.len());
        if plain(first) {
            out.push_str(&rest[..run].replace('&', "&-"));
        } else {
            let octets: Vec<u8> = rest[..run].encode_utf16().flat_map(u16::to_be_bytes).collect();
            out.push_str(&format!("&{}-", MODIFIED.encode(octets)));
        }
        rest = &rest[run..];
    }
    out
}

/// A quoted string (RFC 3501 section 9). The text has no CR, LF or NUL.
pub(super) fn string(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn argument(naming: &Naming, mailbox: &str) -> Option<String> {
        naming.argument(&Mailbox::new(mailbox).unwrap()).ok()
    }

    #[test]
    fn names_are_in_modified_utf_7_as_the_rfc_shows() {
        assert_eq!(encoded("~peter/mail/台北/日本語"), "~peter/mail/&U,BTFw-/&ZeVnLIqe-");
        assert_eq!(encoded("Entwürfe & mehr"), "Entw&APw-rfe &- mehr");
        assert_eq!(encoded("😀"), "&2D3eAA-");
    }

    #[test]
    fn paths_take_the_servers_delimiter_and_namespace() {
        let slash = Naming { delimiter: Some('/'), ..Naming::default() };
        let courier = Naming { delimiter: Some('.'), prefix: "INBOX.".to_owned(), utf8: false };
        let flat = Naming::default();
        assert_eq!(argument(&slash, ""), Some("\"INBOX\"".to_owned()));
        assert_eq!(argument(&courier, "inbox"), Some("\"INBOX\"".to_owned()));
        assert_eq!(argument(&slash, "Work/Bills \"x\""), Some("\"Work/Bills \\\"x\\\"\"".to_owned()));
        assert_eq!(argument(&courier, "Work/Bills"), Some("\"INBOX.Work.Bills\"".to_owned()));
        assert_eq!(argument(&courier, "Inbox/Work"), Some("\"Inbox.Work\"".to_owned()));
        assert_eq!(argument(&courier, "Mr. Smith"), None);
        assert_eq!((argument(&flat, "a/b"), argument(&flat, "a")), (None, Some("\"a\"".to_owned())));
        let utf8 = Naming { utf8: true, ..slash };
        assert_eq!(argument(&utf8, "Ü"), Some("\"Ü\"".to_owned()));
    }
}
