//! The harness of the end-to-end tests: real servers in private directories, and mail to feed them.
//!
//! Owns starting and stopping Dovecot, Postfix, an S3 server and a registry on ephemeral ports of loopback, and the test corpus.
//! Must not install software, use a fixed port, touch a system directory, or end a process it did not start.

pub mod chaos;
pub mod corpus;
pub mod dovecot;
mod guests;
mod pop3_fetch;
pub mod postfix;
mod process;
pub mod registry;
pub mod retrievers;
pub mod s3;
pub mod scripted;
pub mod watched;

pub use dovecot::Dovecot;
pub use guests::guest;
pub use pop3_fetch::{Fetched, Held, Tls, fetch_all, hold};
pub use postfix::Postfix;
pub use s3::S3Server;

use std::path::PathBuf;

/// Why the harness could not do its part. Never the fault of the program under test.
#[derive(Debug, thiserror::Error)]
pub enum HarnessError {
    /// A server's program is not on this machine.
    #[error(
        "{program} is not installed; it comes with the Debian package {package} (`cargo xtask test` installs it)"
    )]
    Missing {
        /// The program looked for.
        program: &'static str,
        /// The Debian package that brings it.
        package: &'static str,
    },
    /// A server that must be started by root.
    #[error("{program} can only be started by root; run the tests as root, e.g. in a container")]
    NotRoot {
        /// The program.
        program: &'static str,
    },
    /// A server ended while it was starting.
    #[error("{program} ended while starting ({status}); its log says:\n{log}")]
    Ended {
        /// The program.
        program: &'static str,
        /// How it ended.
        status: String,
        /// What it wrote.
        log: String,
    },
    /// Something did not happen within its time.
    #[error("{what} did not happen within {seconds} s; the log says:\n{log}")]
    TooLate {
        /// What was waited for.
        what: String,
        /// How long.
        seconds: u64,
        /// What the server wrote.
        log: String,
    },
    /// A server said what it must not say.
    #[error("expected {expected}, got {got:?}")]
    Answer {
        /// What was expected.
        expected: String,
        /// What came.
        got: String,
    },
    /// A file or directory could not be used.
    #[error("cannot use {path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The network or a child process failed.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A practice certificate could not be made.
    #[error(transparent)]
    Practice(#[from] postroom_practice::PracticeError),
}

impl HarnessError {
    /// Whether the error only says that this machine or user cannot run the server at all.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Missing { .. } | Self::NotRoot { .. })
    }
}

/// Prints a figure that belongs into the report of a run that passes too; the test runner keeps what is printed otherwise.
pub fn figure(text: &str) {
    use std::io::Write as _;
    let _ = std::io::stderr().write_all(format!("{text}\n").as_bytes());
}
