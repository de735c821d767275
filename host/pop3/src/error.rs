//! What can go wrong, by whose fault, and what to do about it.
//!
//! Text that a server wrote is shown only neutralised and capped ([`shown`]); credentials that a
//! server repeats are taken out before that. Must not hold octets of a message.

use std::fmt::Write as _;

use crate::class::Class;
use crate::command::Verb;
use crate::sasl::{SaslFault, TokenRefusal};
use crate::wire::ResponseCode;

/// What the account's next step should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// Passing trouble: end this session, wait with growing back-off, try again.
    RetryLater,
    /// A person has to change something first: credentials, configuration, the server.
    ParkAccount,
    /// The two sides disagree on where they are: close the connection without `QUIT`, discard what
    /// this session has not made durable, then try again later.
    DropConnection,
}

/// Why a session ended. Whatever the variant, its connection is of no more use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The server said `-ERR`.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The server broke the protocol.
    #[error(transparent)]
    ServerMisbehaved(#[from] ServerMisbehaved),
    /// The server broke the protocol while several replies were outstanding: it may not do well with
    /// commands sent ahead. Switch that off for this host.
    #[error(
        "commands were sent ahead, {unanswered} of them not fully answered, and then: {fault}; drop the connection and send this host one command at a time"
    )]
    OutOfStep {
        /// What it did.
        fault: ServerMisbehaved,
        /// Commands whose replies were not complete, the one being read included.
        unanswered: usize,
    },
    /// The login ended before the server said yes or no, for a reason of the mechanism.
    #[error("the login by {mechanism} ended: {fault}")]
    Sasl {
        /// Which mechanism, by the configuration's word.
        mechanism: &'static str,
        /// Why.
        fault: SaslFault,
    },
    /// The caller did not hand on the octets left over after a reply while others were outstanding.
    #[error(
        "{lost} octets received behind one reply were not handed to the next exchange; the driving loop must keep its input"
    )]
    InputLost {
        /// How many octets.
        lost: usize,
    },
    /// The server lacks something that was asked for.
    #[error(transparent)]
    Unsupported(#[from] Unsupported),
    /// A reply passed a limit of ours.
    #[error(
        "the server's {what} passed our limit of {limit}; drop the connection without QUIT, and raise the limit if the mail is wanted"
    )]
    TooLarge {
        /// What was too large.
        what: &'static str,
        /// The limit, in the unit `what` names.
        limit: u64,
    },
    /// Something configured cannot be said in POP3.
    #[error(transparent)]
    Unencodable(#[from] Unencodable),
    /// `QUIT` was asked for before everything retrieved was reported durable. The caller's fault; the
    /// session is gone so that no `QUIT` can follow.
    #[error(
        "QUIT refused: {messages} retrieved message(s) not reported durable, and QUIT may remove or hide them on the server; drop the connection"
    )]
    NotDurable {
        /// How many.
        messages: u32,
    },
}

impl Error {
    /// What to do with the account.
    #[must_use]
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Rejected(rejection) => rejection.disposition(),
            // A closed connection during authentication is a refusal that was not worded, or a block:
            // trying again at once makes it worse.
            Self::ServerMisbehaved(ServerMisbehaved::Closed { during }) if during.is_authentication() => {
                Disposition::RetryLater
            }
            Self::ServerMisbehaved(_)
            | Self::OutOfStep { .. }
            | Self::InputLost { .. }
            | Self::TooLarge { .. }
            | Self::NotDurable { .. } => Disposition::DropConnection,
            Self::Unsupported(_) | Self::Unencodable(_) | Self::Sasl { .. } => Disposition::ParkAccount,
        }
    }
}

/// A `-ERR` reply. The session goes on unless the reply says otherwise.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the server refused {verb}: {}{}", .code.as_ref().map(|code| format!("[{code}] ")).unwrap_or_default(), if .text.is_empty() { "(no text)" } else { .text.as_str() })]
#[non_exhaustive]
pub struct Rejection {
    /// What was refused.
    pub verb: Verb,
    /// The response code, when the server gave one.
    pub code: Option<ResponseCode>,
    /// The server's text, neutralised, at most 200 characters.
    pub text: String,
    /// Whether the server promised `AUTH-RESP-CODE` (RFC 3206 section 6), which makes the absence of
    /// `[AUTH]` say that the credentials were not the reason.
    pub codes_promised: bool,
    /// What the server had against a bearer token, when it said so before it refused.
    pub token: Option<TokenRefusal>,
}

impl Rejection {
    /// What to do with the account. Refusals of one message (`RETR`, `TOP`, `DELE`) never park it.
    #[must_use]
    pub fn disposition(&self) -> Disposition {
        match self.class() {
            _ if self.verb.is_about_one_message() => Disposition::RetryLater,
            Class::Credentials | Class::Permanent => Disposition::ParkAccount,
            Class::TokenExpired
            | Class::InUse
            | Class::LoginDelay
            | Class::Throttled
            | Class::Temporary
            | Class::ClosedDuringLogin
            | Class::Other => Disposition::RetryLater,
        }
    }

    /// Whether this means wrong credentials, as far as can be told.
    #[must_use]
    pub fn bad_credentials(&self) -> bool {
        self.class() == Class::Credentials
    }
}

/// How the server broke the protocol. Always: drop the connection without `QUIT`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServerMisbehaved {
    /// A status line was due and something else came.
    #[error(
        "the server answered {verb} with something that is no POP3 status: {line:?}; drop the connection, the two sides are out of step"
    )]
    NotAStatus {
        /// What was asked.
        verb: Verb,
        /// The line, neutralised.
        line: String,
    },
    /// Octets came that nothing asked for.
    #[error(
        "the server sent more than the reply to {verb}: {text:?}; drop the connection, the two sides are out of step"
    )]
    Unsolicited {
        /// The last thing asked, already answered or about to be sent.
        verb: Verb,
        /// The surplus, neutralised.
        text: String,
    },
    /// Octets came after the `+OK` to `STLS` and before TLS: somebody on the path may have put them
    /// there to be taken for protected ones (RFC 3207 section 6 names the attack).
    #[error(
        "plaintext followed the +OK to STLS, which is how replies are injected; drop the connection and check the network path"
    )]
    PlaintextAfterStls,
    /// A status or list line was longer than any honest one.
    #[error("the server sent a line of more than {limit} octets where a status or list line belongs")]
    LineTooLong {
        /// The limit in octets.
        limit: usize,
    },
    /// The connection ended before the reply did. What was received of a message is not the message.
    #[error("the server closed the connection while {during} was being answered; what arrived is incomplete")]
    Closed {
        /// What was being answered.
        during: Verb,
    },
    /// A `+OK` without the number that belongs there.
    #[error("the server's reply to {verb} cannot be read: {text:?}")]
    Malformed {
        /// What was asked.
        verb: Verb,
        /// The text, neutralised.
        text: String,
    },
    /// The server said success although it had just refused the token.
    #[error(
        "the server accepted a login it had just refused; drop the connection, the two sides are out of step"
    )]
    AcceptedAfterRefusal,
    /// The server asked for more after the SASL mechanism had said everything.
    #[error("the server sent a challenge after {verb} was complete")]
    UnexpectedChallenge {
        /// Always [`Verb::Auth`].
        verb: Verb,
    },
}

/// What the server, or the channel to it, cannot do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unsupported {
    /// `CAPA` does not list `STLS`.
    #[error(
        "the server does not offer STLS; use implicit TLS (port 995), the session does not go on in clear text"
    )]
    Stls,
    /// `STLS` inside TLS (RFC 2595 section 4 forbids it).
    #[error("STLS was asked for on a channel that already has TLS; configure one of the two")]
    StlsInsideTls,
    /// Credentials would have crossed an unencrypted channel.
    #[error(
        "credentials not sent: the channel is not encrypted; use TLS or accept clear text by name in the account's configuration"
    )]
    CleartextCredentials,
    /// A bearer token without TLS, which RFC 7628 section 4 and RFC 6750 section 5.3 forbid whatever
    /// the configuration says.
    #[error(
        "token not sent: the channel is not encrypted, and a token is good for whoever reads it; use TLS"
    )]
    CleartextToken,
    /// No mechanism that takes a token.
    #[error(
        "the server lists no mechanism that takes a token (OAUTHBEARER, XOAUTH2); name one in the account's configuration if it is known to work"
    )]
    NoTokenMechanism,
    /// A password for a mechanism that takes a token, or the other way round.
    #[error(
        "{mechanism} does not take the kind of credentials that are configured (password or token); correct one of the two"
    )]
    WrongCredentials {
        /// The mechanism, by the configuration's word.
        mechanism: &'static str,
    },
    /// APOP without a timestamp.
    #[error("the greeting holds no valid timestamp, so APOP cannot be used; name another mechanism")]
    Apop,
    /// `CAPA` does not list `UTF8`.
    #[error("the server does not offer UTF8")]
    Utf8,
    /// Commands sent ahead without `PIPELINING` in the CAPA reply after the login, or to a server that
    /// ends its lines in a bare LF and so cannot mark the end of a message for certain.
    #[error("the server does not take commands ahead of their replies; send one at a time")]
    Pipelining,
}

/// What was configured but cannot be sent. The account's configuration is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unencodable {
    /// CR, LF or NUL, which would start another command or end the string.
    #[error("the {what} holds a carriage return, line feed or NUL; take it out, it can never be sent")]
    ControlOctet {
        /// What holds it.
        what: &'static str,
    },
    /// Longer than fits a command line (255 octets, RFC 2449 section 4) or our own limit.
    #[error("the {what} has {octets} octets, {limit} can be sent")]
    TooLong {
        /// What is too long.
        what: &'static str,
        /// Its length.
        octets: usize,
        /// What would fit.
        limit: usize,
    },
    /// Nothing at all.
    #[error("the {what} is empty; set it")]
    Empty {
        /// What is empty.
        what: &'static str,
    },
    /// A blank where it would separate two arguments.
    #[error("the {what} holds a blank, which this mechanism cannot carry; name another mechanism")]
    Blank {
        /// What holds it.
        what: &'static str,
    },
    /// SASLprep (RFC 4013) does not allow it.
    #[error("the {what} holds characters that SCRAM cannot carry (RFC 4013); name another mechanism")]
    NotSaslprep {
        /// What holds them.
        what: &'static str,
    },
}

/// The most characters of a server's text that are shown.
const SHOWN_LIMIT: usize = 200;

/// A server's text made safe to print: no control or direction characters, no raw octets, at most
/// 200 characters.
pub(crate) fn shown(octets: &[u8]) -> String {
    let mut out = String::new();
    let mut count = 0;
    for chunk in octets.utf8_chunks() {
        for character in chunk.valid().chars() {
            let before = out.len();
            if is_unsafe(character) {
                out.extend(character.escape_default());
            } else {
                out.push(character);
            }
            count += out[before..].chars().count();
            if count > SHOWN_LIMIT {
                return capped(out);
            }
        }
        for octet in chunk.invalid() {
            // Writing to a String cannot fail.
            let _ = write!(out, "\\x{octet:02x}");
            count += 4;
        }
        if count > SHOWN_LIMIT {
            return capped(out);
        }
    }
    out
}

/// `text` with every secret replaced; servers have been seen to repeat the command they refuse.
pub(crate) fn without(text: &[u8], secrets: &[&[u8]]) -> Vec<u8> {
    let mut text = text.to_vec();
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        let mut clean = Vec::new();
        let mut rest = text.as_slice();
        while let Some(at) = memchr::memmem::find(rest, secret) {
            clean.extend_from_slice(&rest[..at]);
            clean.extend_from_slice(b"(redacted)");
            rest = &rest[at + secret.len()..];
        }
        clean.extend_from_slice(rest);
        text = clean;
    }
    text
}

fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

fn capped(text: String) -> String {
    let mut short: String = text.chars().take(SHOWN_LIMIT - 1).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rejection(verb: Verb, code: Option<ResponseCode>, text: &str) -> Rejection {
        Rejection { verb, code, text: text.into(), codes_promised: false, token: None }
    }

    #[test]
    fn server_text_is_escaped_and_capped() {
        assert_eq!(shown(b"a\x1b[2J\r\0b"), "a\\u{1b}[2J\\r\\u{0}b");
        assert_eq!(shown("ü\u{202e}".as_bytes()), "ü\\u{202e}");
        assert_eq!(shown(b"\xff\xc3"), "\\xff\\xc3");
        assert_eq!(shown(&[b'x'; 200]).chars().count(), 200);
        let long = shown(&[b'x'; 201]);
        assert_eq!(long.chars().count(), 200);
        assert!(long.ends_with('…'));
        assert_eq!(shown(&[0xff; 9000]).chars().count(), 200);
    }

    #[test]
    fn codes_decide_between_waiting_and_parking() {
        let of = |code| rejection(Verb::Pass, Some(code), "").disposition();
        assert_eq!(of(ResponseCode::InUse), Disposition::RetryLater);
        assert_eq!(of(ResponseCode::LoginDelay), Disposition::RetryLater);
        assert_eq!(of(ResponseCode::SysTemp), Disposition::RetryLater);
        assert_eq!(of(ResponseCode::Other("X".into())), Disposition::RetryLater);
        assert_eq!(of(ResponseCode::Auth), Disposition::ParkAccount);
        assert_eq!(of(ResponseCode::SysPerm), Disposition::ParkAccount);
    }

    #[test]
    fn an_uncoded_refusal_of_a_login_is_bad_credentials_only_without_better_signs() {
        let mut plain = rejection(Verb::Pass, None, "no");
        assert!(plain.bad_credentials());
        plain.codes_promised = true;
        assert!(!plain.bad_credentials());
        assert_eq!(plain.disposition(), Disposition::RetryLater);
        for text in ["maildrop is LOCKED", "Try again in 5 minutes", "service unavailable"] {
            assert!(!rejection(Verb::Auth, None, text).bad_credentials(), "{text}");
        }
        assert!(!rejection(Verb::Connect, None, "go away").bad_credentials());
    }

    #[test]
    fn a_refusal_of_one_message_never_parks_the_account() {
        for verb in [Verb::Retr, Verb::Top, Verb::Dele] {
            let refused = rejection(verb, Some(ResponseCode::SysPerm), "gone");
            assert_eq!(refused.disposition(), Disposition::RetryLater);
        }
    }

    #[test]
    fn a_closed_login_backs_off_and_a_closed_retrieval_drops() {
        let closed = |during| Error::from(ServerMisbehaved::Closed { during }).disposition();
        assert_eq!(closed(Verb::Pass), Disposition::RetryLater);
        assert_eq!(closed(Verb::Retr), Disposition::DropConnection);
    }

    #[test]
    fn a_rejection_reads_as_a_sentence_with_and_without_text() {
        let bare = rejection(Verb::Retr, None, "");
        assert_eq!(bare.to_string(), "the server refused RETR: (no text)");
        let coded = rejection(Verb::Pass, Some(ResponseCode::InUse), "busy");
        assert_eq!(coded.to_string(), "the server refused PASS: [IN-USE] busy");
    }
}
