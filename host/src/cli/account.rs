//! What the verbs about one account share: finding it by its name, and what a failure at its server means for the exit code.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget};
use postroom_mail::AccountId;
use postroom_mail::rules::neutral;

use super::{Exit, Failure};
use crate::config::{AccountConfig, Config};
use crate::source::{self, NotOurs};

/// The account of this name.
///
/// # Errors
/// A usage error that names those there are.
pub(super) fn find<'c>(
    config: &'c Config,
    name: &str,
) -> Result<(&'c AccountId, &'c AccountConfig), Failure> {
    if let Some(found) = config.accounts.iter().find(|(id, _)| id.as_str() == name) {
        return Ok(found);
    }
    let names: Vec<_> = config.accounts.keys().map(AccountId::as_str).collect();
    let failure = Failure::usage(anyhow::anyhow!("there is no account {:?}", neutral(name, 80)));
    Err(match names.as_slice() {
        [] => failure.hint("the configuration has no accounts"),
        names => failure.hint(format!("the accounts are: {}", names.join(", "))),
    })
}

/// 69 when a person has to act, 75 when it may pass or somebody else is at work.
pub(super) fn failed(id: &AccountId, account: &AccountConfig, error: source::Error) -> Failure {
    let hint = hint(id, account, &error);
    Failure::new(exit(&error), error).hint(hint)
}

pub(super) fn hint(id: &AccountId, account: &AccountConfig, error: &source::Error) -> String {
    error.hint(account).replace("ACCOUNT", id.as_str())
}

pub(super) fn exit(error: &source::Error) -> Exit {
    match error {
        source::Error::NotOurs(NotOurs::Taken { .. }) => Exit::TemporaryFailure,
        error if error.needs_a_person() => Exit::Unavailable,
        _ => Exit::TemporaryFailure,
    }
}

/// Turns while a server is waited for; silent where nobody looks.
pub(super) fn spinner(message: &'static str) -> ProgressBar {
    let target = if std::io::stderr().is_terminal() {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    };
    let bar = ProgressBar::with_draw_target(None, target);
    bar.enable_steady_tick(Duration::from_millis(120));
    bar.set_message(message);
    bar
}
