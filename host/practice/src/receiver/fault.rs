//! Owns the closed sets of the stages of an SMTP session and of what a receiver can do wrong. Must not act.

/// Where in a session the server has to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The connection was opened.
    Greeting,
    /// `EHLO` or `HELO`
    Hello,
    /// `STARTTLS`
    StartTls,
    /// `AUTH`, before looking at the credentials.
    Auth,
    /// `MAIL`
    Mail,
    /// `RCPT`
    Rcpt,
    /// `DATA`, before the mail is sent.
    Data,
    /// The final dot came: the mail is here, the answer is not.
    Message,
    /// `QUIT`
    Quit,
}

/// One thing a receiver does wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReceiverFault {
    /// Answers with this code and text, e.g. 452 or 550, and does not do what was asked. At [`Stage::Greeting`] the
    /// connection is closed after it.
    Reply {
        /// Where.
        stage: Stage,
        /// The reply code, 3 digits.
        code: u16,
        /// The text, with its enhanced status code if there is to be one.
        text: String,
    },
    /// Answers `RCPT` for this address with this code; others are fine.
    RefuseRecipient {
        /// The forward-path without angle brackets.
        address: String,
        /// The reply code, 3 digits.
        code: u16,
    },
    /// Cuts the connection instead of answering. At [`Stage::Message`] the mail is not kept.
    Drop(Stage),
    /// Never answers; the connection stays open. At [`Stage::Message`] the mail is not kept.
    Silent(Stage),
    /// Keeps the mail, then cuts the connection instead of answering: the client cannot know.
    AcceptThenDrop,
    /// Answers with this line, which need not be SMTP.
    Garbage(Stage, Vec<u8>),
}

impl ReceiverFault {
    /// Whether the fault belongs to this stage, for those that belong to a stage alone.
    pub(super) fn at(&self, stage: Stage) -> bool {
        match self {
            Self::Reply { stage: of, .. } | Self::Drop(of) | Self::Silent(of) | Self::Garbage(of, _) => {
                *of == stage
            }
            Self::AcceptThenDrop => stage == Stage::Message,
            Self::RefuseRecipient { .. } => false,
        }
    }
}
