//! Exit codes, and the one place where an error becomes text.

use std::process::ExitCode;

use crate::config::ConfigErrors;
use crate::live::NotLive;

/// As in sysexits.h, so that scripts and service managers can tell trouble apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// All is well.
    Ok,
    /// The command line is wrong.
    Usage,
    /// The input (a message, a plugin) is not what it should be.
    Data,
    /// A file that was named is not there.
    NoInput,
    /// A server could not be used, and a person has to act.
    Unavailable,
    /// A fault of ours.
    Software,
    /// A file cannot be written.
    CannotCreate,
    /// Reading or writing failed.
    Io,
    /// Something has to wait for another try.
    TemporaryFailure,
    /// The configuration is wrong.
    Config,
}

impl Exit {
    /// The number.
    pub fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Usage => 64,
            Self::Data => 65,
            Self::NoInput => 66,
            Self::Unavailable => 69,
            Self::Software => 70,
            Self::CannotCreate => 73,
            Self::Io => 74,
            Self::TemporaryFailure => 75,
            Self::Config => 78,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Why a verb ended early.
#[derive(Debug)]
pub struct Failure {
    /// With which code.
    pub exit: Exit,
    /// What happened.
    pub error: anyhow::Error,
    /// What to do.
    pub hint: Option<String>,
}

impl Failure {
    /// An error with its code.
    pub fn new(exit: Exit, error: impl Into<anyhow::Error>) -> Self {
        Self { exit, error: error.into(), hint: None }
    }

    /// The command line was wrong.
    pub fn usage(error: impl Into<anyhow::Error>) -> Self {
        Self::new(Exit::Usage, error)
    }

    /// With what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Prints the whole chain once, then the hint.
    pub fn print(&self, json: bool) {
        let text = format!("{:#}", self.error);
        if json {
            let document = serde_json::json!({ "error": text, "hint": self.hint, "exit": self.exit.code() });
            println!("{document:#}");
        } else {
            eprintln!("error: {text}");
            if let Some(hint) = &self.hint {
                eprintln!("\nhint: {hint}");
            }
        }
    }
}

impl From<ConfigErrors> for Failure {
    fn from(errors: ConfigErrors) -> Self {
        Self::new(Exit::Config, errors)
    }
}

impl From<NotLive> for Failure {
    fn from(error: NotLive) -> Self {
        Self::new(Exit::Config, error)
    }
}

impl From<postroom_sandbox::LoadError> for Failure {
    fn from(error: postroom_sandbox::LoadError) -> Self {
        Self::new(Exit::Software, error)
    }
}

impl From<postroom_spool::Error> for Failure {
    fn from(error: postroom_spool::Error) -> Self {
        let exit = match &error {
            postroom_spool::Error::InUse { .. } | postroom_spool::Error::Full { .. } => {
                Exit::TemporaryFailure
            }
            postroom_spool::Error::Conflict(_) => Exit::Software,
            postroom_spool::Error::Corrupt { .. } => Exit::Data,
            _ => Exit::Io,
        };
        let damaged = exit == Exit::Data;
        let failure = Self::new(exit, error);
        match damaged {
            true => failure
                .hint("`postroom doctor` says what is damaged and what can be done; it changes nothing"),
            false => failure,
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::new(Exit::Io, error)
    }
}
