//! Owns the closed sets of what a client can ask and of what a maildrop can do wrong. Must not act.

/// A POP3 command (RFC 1939, 2449, 2595, 5034).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    /// `CAPA`
    Capa,
    /// `STLS`
    Stls,
    /// `USER name`
    User,
    /// `PASS password`
    Pass,
    /// `AUTH PLAIN`
    Auth,
    /// `STAT`
    Stat,
    /// `LIST [message]`
    List,
    /// `UIDL [message]`
    Uidl,
    /// `RETR message`
    Retr,
    /// `TOP message lines`
    Top,
    /// `DELE message`
    Dele,
    /// `RSET`
    Rset,
    /// `NOOP`
    Noop,
    /// `QUIT`
    Quit,
}

impl Verb {
    /// The command a keyword names, in any case.
    pub(super) fn parse(keyword: &[u8]) -> Option<Self> {
        Some(match keyword.to_ascii_uppercase().as_slice() {
            b"CAPA" => Self::Capa,
            b"STLS" => Self::Stls,
            b"USER" => Self::User,
            b"PASS" => Self::Pass,
            b"AUTH" => Self::Auth,
            b"STAT" => Self::Stat,
            b"LIST" => Self::List,
            b"UIDL" => Self::Uidl,
            b"RETR" => Self::Retr,
            b"TOP" => Self::Top,
            b"DELE" => Self::Dele,
            b"RSET" => Self::Rset,
            b"NOOP" => Self::Noop,
            b"QUIT" => Self::Quit,
            _ => return None,
        })
    }
}

/// One thing a maildrop does wrong. `message` is the message's ordinal in its account: 1 for the first ever added,
/// never given again; so a fault stays with its message when others are deleted. It is the message number as long as
/// nothing was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Accepts the connection and says nothing, not even TLS.
    SilentConnection,
    /// Greets with `-ERR` and this text, then closes.
    RefuseConnection(String),
    /// Right credentials are answered with `-ERR` and this text, e.g. `[AUTH] no` or `[SYS/TEMP] later`.
    RefuseLogin(String),
    /// The command is answered with `-ERR` and this text.
    Refuse(Verb, String),
    /// The command is never answered; the connection stays open.
    Silent(Verb),
    /// The connection is cut when the command comes.
    Cut(Verb),
    /// The command is answered with this line, which need not be POP3.
    Garbage(Verb, Vec<u8>),
    /// `RETR` of the message is answered with `-ERR`.
    RetrRefused {
        /// The message's ordinal.
        message: u64,
    },
    /// The connection is cut, without TLS saying so, in the midst of the message.
    RetrCut {
        /// The message's ordinal.
        message: u64,
        /// Octets sent after the `+OK` line, dots stuffed.
        after: usize,
    },
    /// Nothing more is sent in the midst of the message; the connection stays open.
    RetrStall {
        /// The message's ordinal.
        message: u64,
        /// Octets sent after the `+OK` line, dots stuffed.
        after: usize,
    },
    /// The message never ends: after its own octets comes one line over and over.
    RetrEndless {
        /// The message's ordinal.
        message: u64,
    },
    /// `LIST` and `STAT` tell another size than the message has.
    WrongSize {
        /// The message's ordinal.
        message: u64,
        /// The size told, in octets.
        size: u64,
    },
    /// `UIDL` tells one message's identifier for another, too.
    DuplicateUidl {
        /// The ordinal of the message shown wrongly.
        message: u64,
        /// The ordinal of the message whose identifier it gets.
        of: u64,
    },
    /// The session sees an empty maildrop, whatever is in it.
    EmptyListing,
    /// Messages retrieved in the session are hidden from later ones after `QUIT`, as some servers do.
    HideRetrieved,
    /// `QUIT` is answered with `-ERR` and nothing is deleted.
    QuitRefused,
    /// `QUIT` deletes what it should, then the connection is cut instead of an answer.
    QuitCut,
}
