//! What a session asked for, got and removed. Must not be shown with a password in it.

use std::fmt;

/// How a session ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum End {
    /// Still open.
    #[default]
    Open,
    /// The client said `QUIT` and the server answered it.
    Quit,
    /// The client closed the connection without `QUIT`.
    Dropped,
    /// The server closed it, as its script says.
    Closed,
    /// The TLS handshake failed.
    NoTls,
}

impl End {
    /// One letter: `?`, `Q`, `D`, `S` (the server), `T` (no TLS).
    #[must_use]
    pub fn letter(self) -> char {
        match self {
            Self::Open => '?',
            Self::Quit => 'Q',
            Self::Dropped => 'D',
            Self::Closed => 'S',
            Self::NoTls => 'T',
        }
    }
}

/// One session.
#[derive(Clone, Default)]
pub struct SessionLog {
    /// Lines the client sent, without line ends, passwords included.
    pub lines: Vec<Vec<u8>>,
    /// Octets sent to it, before encryption.
    pub sent: u64,
    /// Whether TLS came about.
    pub tls: bool,
    /// The name asked for in the handshake.
    pub server_name: Option<String>,
    /// Unique-ids and octets that went away when it ended.
    pub removed: Vec<super::Message>,
    /// How it ended.
    pub end: End,
    /// When.
    pub ended: Option<std::time::Instant>,
}

impl SessionLog {
    /// The verbs sent, in upper case; SASL lines as `SASL`.
    #[must_use]
    pub fn verbs(&self) -> Vec<String> {
        let verb = |line: &Vec<u8>| {
            let word = line.split(|&octet| octet == b' ').next().unwrap_or(line);
            let text = String::from_utf8_lossy(word).to_ascii_uppercase();
            if text.len() <= 8 && !text.is_empty() { text } else { "SASL".to_owned() }
        };
        self.lines.iter().map(verb).collect()
    }

    /// Whether any line holds these octets.
    #[must_use]
    pub fn has(&self, octets: &[u8]) -> bool {
        self.lines.iter().any(|line| line.windows(octets.len().max(1)).any(|part| part == octets))
    }
}

impl fmt::Debug for SessionLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: Vec<String> = self
            .lines
            .iter()
            .zip(self.verbs())
            .map(|(line, verb)| match verb.as_str() {
                "PASS" | "AUTH" | "APOP" | "SASL" => format!("{verb} *"),
                _ => String::from_utf8_lossy(line).into_owned(),
            })
            .collect();
        let removed: Vec<_> =
            self.removed.iter().map(|message| String::from_utf8_lossy(&message.uidl).into_owned()).collect();
        write!(f, "{:?} {} octets {shown:?} removed {removed:?}", self.end, self.sent)
    }
}
