//! Owns what can go wrong with a token, whose fault it is and what to do about it. Must not hold a token, a secret or
//! more of a server's text than is safe to show.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use postroom_mail::rules::neutral;

/// Why there is no token. No variant holds a secret; texts of servers and programs are neutralised and shortened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The authorization server could not be asked, or was unwell. The next call may work.
    #[error("the authorization server {server} {problem}; it will be tried again")]
    Unavailable {
        /// Host of the endpoint.
        server: String,
        /// What happened, as the rest of a sentence.
        problem: String,
        /// How long the server asked us to stay away.
        retry_after: Option<Duration>,
    },
    /// The authorization server was unwell a moment ago and is left alone for now.
    #[error("waiting {} s before the authorization server is asked again; last time: {last}", wait.as_secs())]
    Waiting {
        /// How long still.
        wait: Duration,
        /// The text of the error that started the wait.
        last: String,
        /// Whether that error can pass by itself.
        transient: bool,
    },
    /// `invalid_grant`: the refresh token (or code) was revoked, used twice or has expired.
    #[error(
        "the sign-in of account {account} was revoked or has expired ({said}): run `postroom auth {account}`"
    )]
    SignInExpired {
        /// Name of the account.
        account: String,
        /// The server's words.
        said: String,
    },
    /// There is no token file yet.
    #[error("account {account} has not been signed in ({} is not there): run `postroom auth {account}`", path.display())]
    NotSignedIn {
        /// Name of the account.
        account: String,
        /// The token file.
        path: PathBuf,
    },
    /// The token file was made for another client or another server than the account now names.
    #[error(
        "the sign-in of account {account} in {} is for another {what} than the configuration names: \
         run `postroom auth {account}`",
        path.display()
    )]
    OtherClient {
        /// Name of the account.
        account: String,
        /// The token file.
        path: PathBuf,
        /// `client id` or `token endpoint`.
        what: &'static str,
    },
    /// The server refuses the client, not the user: the operator has to change something.
    #[error("the authorization server {server} answered {code} ({said}): {advice}")]
    Refused {
        /// Host of the endpoint.
        server: String,
        /// Error code of RFC 6749 section 5.2 or RFC 8628 section 3.5.
        code: String,
        /// The server's words.
        said: String,
        /// What to change.
        advice: &'static str,
    },
    /// The answer is not what RFC 6749 describes.
    #[error("the answer of the authorization server {server} {problem}; check the endpoints of the account")]
    Answer {
        /// Host of the endpoint.
        server: String,
        /// What is wrong with it, as the rest of a sentence.
        problem: String,
    },
    /// Nobody signed in within the time there was.
    #[error("nobody signed in within the time allowed: run `postroom auth {account}` again")]
    TimedOut {
        /// Name of the account.
        account: String,
    },
    /// The user, or the administrator, said no.
    #[error(
        "the sign-in was refused ({said}); run `postroom auth {account}` again and agree, or ask the administrator"
    )]
    Denied {
        /// Name of the account.
        account: String,
        /// The server's words.
        said: String,
    },
    /// No refresh token came with the grant, so the sign-in would end with the first access token.
    #[error("the server gave no refresh token, so nothing was kept; {advice}")]
    NoRefreshToken {
        /// What to change.
        advice: String,
    },
    /// The external command gave no token.
    #[error("the token command {program} {problem}")]
    Command {
        /// First word of the command.
        program: String,
        /// What happened and what to do, as the rest of a sentence.
        problem: String,
    },
    /// The token file can be read or changed by others, or belongs to somebody else.
    #[error("the token file {} {problem}", path.display())]
    Unsafe {
        /// The token file.
        path: PathBuf,
        /// What is wrong and the command that mends it.
        problem: String,
    },
    /// The token file cannot be read or written.
    #[error("cannot {doing} {}: {source}; check the directory, its owner and the space left", path.display())]
    File {
        /// `read`, `write` or `lock`.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The token file is no token file.
    #[error("{} is no token file of this version: remove it and run `postroom auth {account}`", path.display())]
    NotATokenFile {
        /// Name of the account.
        account: String,
        /// The file.
        path: PathBuf,
    },
    /// The account's settings cannot work.
    #[error("{0}")]
    Settings(String),
}

impl Error {
    /// Whether waiting can help: nothing has to be changed by anybody, the next poll may simply try again.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Waiting { transient, .. } => *transient,
            Self::Unavailable { .. } | Self::Answer { .. } | Self::File { .. } => true,
            Self::SignInExpired { .. }
            | Self::NotSignedIn { .. }
            | Self::OtherClient { .. }
            | Self::Refused { .. }
            | Self::TimedOut { .. }
            | Self::Denied { .. }
            | Self::NoRefreshToken { .. }
            | Self::Command { .. }
            | Self::Unsafe { .. }
            | Self::NotATokenFile { .. }
            | Self::Settings(_) => false,
        }
    }

    /// Whether only a new sign-in helps: `postroom auth ACCOUNT`.
    #[must_use]
    pub fn needs_sign_in(&self) -> bool {
        matches!(
            self,
            Self::SignInExpired { .. }
                | Self::NotSignedIn { .. }
                | Self::OtherClient { .. }
                | Self::NotATokenFile { .. }
        )
    }

    pub(crate) fn file(doing: &'static str, path: &Path, source: io::Error) -> Self {
        Self::File { doing, path: path.to_owned(), source }
    }
}

/// The words of a server or a program, fit to be shown: secrets it repeats are cut out, control characters escaped.
pub(crate) fn shown(text: &str, secrets: &[&str]) -> String {
    let mut text = text.to_owned();
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        text = text.replace(secret, "***");
    }
    neutral(text.trim(), 300)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_server_are_shown_without_secrets_and_control_characters() {
        assert_eq!(shown(" bad \u{1b}[31m s3cret s3cret\n", &["s3cret", ""]), "bad \\u{1b}[31m *** ***");
        assert_eq!(shown(&"x".repeat(1000), &[]).chars().count(), 300);
    }

    #[test]
    fn only_what_a_user_can_mend_by_signing_in_says_so() {
        let expired = Error::SignInExpired { account: "work".into(), said: "revoked".into() };
        assert!(expired.needs_sign_in() && !expired.is_transient());
        assert!(expired.to_string().contains("`postroom auth work`"), "{expired}");
        let away =
            Error::Unavailable { server: "a.example".into(), problem: "is away".into(), retry_after: None };
        assert!(away.is_transient() && !away.needs_sign_in());
    }
}
