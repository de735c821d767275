//! Commands as octets (RFC 1939, RFC 2449 section 4).
//!
//! Owns the only way from a command to the wire. CR, LF and NUL cannot get in: an [`Argument`] that
//! holds one cannot be made, and everything else is a keyword or a number. Must not know states.

use std::fmt;
use std::ops::Deref;

use zeroize::Zeroizing;

use crate::error::Unencodable;
use crate::listing::MessageNumber;
use crate::sasl::Mechanism;

/// The longest command line in octets, with its CRLF (RFC 2449 section 4).
pub const COMMAND_LIMIT: usize = 255;

/// What a reply answers; names the place in errors and logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verb {
    /// No command: the greeting answers the connection itself.
    Connect,
    /// `CAPA`
    Capa,
    /// `STLS`
    Stls,
    /// `USER`
    User,
    /// `PASS`
    Pass,
    /// `AUTH`
    Auth,
    /// `APOP`
    Apop,
    /// `UTF8`
    Utf8,
    /// `STAT`
    Stat,
    /// `LIST`
    List,
    /// `UIDL`
    Uidl,
    /// `RETR`
    Retr,
    /// `TOP`
    Top,
    /// `DELE`
    Dele,
    /// `NOOP`
    Noop,
    /// `RSET`
    Rset,
    /// `QUIT`
    Quit,
}

impl Verb {
    /// Whether the command carries or asks for credentials.
    #[must_use]
    pub fn is_authentication(self) -> bool {
        matches!(self, Self::User | Self::Pass | Self::Auth | Self::Apop)
    }
}

impl Verb {
    /// Whether a refusal says something about one message only.
    pub(crate) fn is_about_one_message(self) -> bool {
        matches!(self, Self::Retr | Self::Top | Self::Dele)
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "the connection",
            Self::Capa => "CAPA",
            Self::Stls => "STLS",
            Self::User => "USER",
            Self::Pass => "PASS",
            Self::Auth => "AUTH",
            Self::Apop => "APOP",
            Self::Utf8 => "UTF8",
            Self::Stat => "STAT",
            Self::List => "LIST",
            Self::Uidl => "UIDL",
            Self::Retr => "RETR",
            Self::Top => "TOP",
            Self::Dele => "DELE",
            Self::Noop => "NOOP",
            Self::Rset => "RSET",
            Self::Quit => "QUIT",
        })
    }
}

/// A command with everything it needs.
#[derive(Debug)]
pub enum Command {
    /// Ask for the capabilities.
    Capa,
    /// Ask for TLS.
    Stls,
    /// Name the mailbox.
    User(Argument),
    /// Give the password.
    Pass(Argument),
    /// Name the mailbox and give the digest over the greeting's timestamp.
    Apop(Argument, Argument),
    /// A SASL mechanism, with the initial response or without (RFC 5034 section 4).
    Auth(Mechanism, Option<Argument>),
    /// Allow UTF-8 in what follows (RFC 6856 section 2).
    Utf8,
    /// Ask for the number of messages and their octets.
    Stat,
    /// Ask for the scan listing of all messages.
    List,
    /// Ask for the unique-ids of all messages.
    Uidl,
    /// Ask for a message.
    Retr(MessageNumber),
    /// Ask for the header and the first lines of the body.
    Top(MessageNumber, u32),
    /// Mark a message deleted.
    Dele(MessageNumber),
    /// Do nothing.
    Noop,
    /// Unmark the messages marked deleted.
    Rset,
    /// End the session.
    Quit,
}

impl Command {
    /// The octets to send, CRLF included, never more than [`COMMAND_LIMIT`].
    #[must_use]
    pub fn encode(&self) -> Outgoing {
        match self {
            Self::Capa => Outgoing::line(&[b"CAPA"]),
            Self::Stls => Outgoing::line(&[b"STLS"]),
            Self::User(name) => Outgoing::line(&[b"USER ", &name.0]),
            Self::Pass(password) => Outgoing::line(&[b"PASS ", &password.0]),
            Self::Apop(name, digest) => Outgoing::line(&[b"APOP ", &name.0, b" ", &digest.0]),
            Self::Auth(mechanism, None) => Outgoing::line(&[b"AUTH ", mechanism.wire_name().as_bytes()]),
            Self::Auth(mechanism, Some(initial)) => {
                Outgoing::line(&[b"AUTH ", mechanism.wire_name().as_bytes(), b" ", &initial.0])
            }
            Self::Utf8 => Outgoing::line(&[b"UTF8"]),
            Self::Stat => Outgoing::line(&[b"STAT"]),
            Self::List => Outgoing::line(&[b"LIST"]),
            Self::Uidl => Outgoing::line(&[b"UIDL"]),
            Self::Retr(number) => Outgoing::line(&[format!("RETR {number}").as_bytes()]),
            Self::Top(number, lines) => Outgoing::line(&[format!("TOP {number} {lines}").as_bytes()]),
            Self::Dele(number) => Outgoing::line(&[format!("DELE {number}").as_bytes()]),
            Self::Noop => Outgoing::line(&[b"NOOP"]),
            Self::Rset => Outgoing::line(&[b"RSET"]),
            Self::Quit => Outgoing::line(&[b"QUIT"]),
        }
    }
}

/// A string that may stand in a command: no CR, LF or NUL, not empty, short enough. Wiped on drop.
pub struct Argument(Zeroizing<Vec<u8>>);

impl Argument {
    /// Checks `octets`, called `what` in the error, against what fits after `keyword` and a blank.
    pub(crate) fn new(what: &'static str, octets: &[u8], keyword: &str) -> Result<Self, Unencodable> {
        Self::within(what, octets, argument_limit(keyword))
    }

    /// The same with the room that is left said outright.
    pub(crate) fn within(what: &'static str, octets: &[u8], limit: usize) -> Result<Self, Unencodable> {
        check(what, octets)?;
        if octets.len() > limit {
            return Err(Unencodable::TooLong { what, octets: octets.len(), limit });
        }
        Ok(Self(Zeroizing::new(octets.to_vec())))
    }
}

impl fmt::Debug for Argument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Argument(..)")
    }
}

/// The octets left for an argument after `keyword`, a blank and CRLF.
pub(crate) fn argument_limit(keyword: &str) -> usize {
    COMMAND_LIMIT - keyword.len() - 3
}

/// Refuses what can never be sent, however long the line may be.
pub(crate) fn check(what: &'static str, octets: &[u8]) -> Result<(), Unencodable> {
    if octets.is_empty() {
        return Err(Unencodable::Empty { what });
    }
    if octets.iter().any(|octet| matches!(octet, b'\r' | b'\n' | b'\0')) {
        return Err(Unencodable::ControlOctet { what });
    }
    Ok(())
}

/// Octets to send, wiped on drop because any of them may be credentials.
pub struct Outgoing(Zeroizing<Vec<u8>>);

impl Outgoing {
    /// One line; the room is reserved beforehand so that no copy is left behind by growing.
    pub(crate) fn line(parts: &[&[u8]]) -> Self {
        let length = parts.iter().map(|part| part.len()).sum::<usize>() + 2;
        let mut octets = Zeroizing::new(Vec::with_capacity(length));
        for part in parts {
            octets.extend_from_slice(part);
        }
        octets.extend_from_slice(b"\r\n");
        Self(octets)
    }

    /// Several commands, to be written at once.
    pub(crate) fn all(commands: impl Iterator<Item = Command>) -> Self {
        let mut octets = Zeroizing::new(Vec::new());
        commands.for_each(|command| octets.extend_from_slice(&command.encode()));
        Self(octets)
    }
}

impl Deref for Outgoing {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Outgoing({} octets)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_one_line_of_the_standard_form() {
        let number = MessageNumber::new(7).unwrap();
        let of = |command: Command| String::from_utf8(command.encode().to_vec()).unwrap();
        let user = Argument::new("user", b"alice smith", "USER").unwrap();
        let initial = Argument::new("initial response", b"AGEAYg==", "AUTH PLAIN").unwrap();
        let digest = Argument::new("digest", b"00ff", "APOP").unwrap();
        let name = Argument::new("user", b"alice", "APOP").unwrap();
        assert_eq!(of(Command::User(user)), "USER alice smith\r\n");
        assert_eq!(of(Command::Auth(Mechanism::Plain, None)), "AUTH PLAIN\r\n");
        assert_eq!(of(Command::Apop(name, digest)), "APOP alice 00ff\r\n");
        assert_eq!(of(Command::Utf8), "UTF8\r\n");
        assert_eq!(of(Command::Auth(Mechanism::Plain, Some(initial))), "AUTH PLAIN AGEAYg==\r\n");
        assert_eq!(of(Command::Retr(number)), "RETR 7\r\n");
        assert_eq!(of(Command::Top(number, 0)), "TOP 7 0\r\n");
        assert_eq!(of(Command::Dele(number)), "DELE 7\r\n");
        assert_eq!(of(Command::Quit), "QUIT\r\n");
    }

    #[test]
    fn carriage_return_line_feed_and_nul_cannot_become_an_argument() {
        for bad in [&b"a\rDELE 1"[..], b"a\nDELE 1", b"a\r\nDELE 1", b"a\0b", b"\n"] {
            assert_eq!(
                Argument::new("user", bad, "USER").unwrap_err(),
                Unencodable::ControlOctet { what: "user" }
            );
        }
        assert_eq!(Argument::new("user", b"", "USER").unwrap_err(), Unencodable::Empty { what: "user" });
    }

    #[test]
    fn a_command_line_has_at_most_255_octets() {
        let longest = Argument::new("password", &[b'x'; 248], "PASS").unwrap();
        assert_eq!(Command::Pass(longest).encode().len(), COMMAND_LIMIT);
        assert_eq!(
            Argument::new("password", &[b'x'; 249], "PASS").unwrap_err(),
            Unencodable::TooLong { what: "password", octets: 249, limit: 248 }
        );
    }

    #[test]
    fn debug_output_shows_no_credentials() {
        let secret = Argument::new("password", b"hunter2", "PASS").unwrap();
        let command = Command::Pass(secret);
        assert!(!format!("{command:?} {:?}", command.encode()).contains("hunter2"));
    }
}
