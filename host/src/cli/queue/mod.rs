//! `postroom queue`: what waits and what was set aside, and the operator's hold on it.

mod act;
mod chosen;
mod export;
mod ls;
mod show;

use postroom_mail::Name;

use super::setup::Context;
use super::{Failure, Outcome};
use crate::requests::Deed;

/// The verbs of `queue`.
#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// List messages and effects that wait, are being tried again, or were set aside.
    Ls(ls::Args),
    /// Show everything known of one message, and how it begins.
    Show(show::Args),
    /// Try again now: from the steps on where they came to no plan, else the effects that wait or are parked.
    Retry(act::Args),
    /// Let a message go on without the verdict or the effects that set it aside.
    Release(act::Args),
    /// Give a message up: nothing more of it is delivered. `retry` takes it back until its octets are freed.
    Drop(act::Args),
    /// Write messages to files, octet for octet.
    Export(export::Args),
}

pub(super) fn queue(context: &Context, verb: &Verb) -> Outcome {
    match verb {
        Verb::Ls(args) => ls::ls(context, args),
        Verb::Show(args) => show::show(context, args),
        Verb::Retry(args) => act::act(context, Deed::Retry, args),
        Verb::Release(args) => act::act(context, Deed::Release, args),
        Verb::Drop(args) => act::act(context, Deed::Drop, args),
        Verb::Export(args) => export::export(context, args),
    }
}

/// A name as it was given on the command line.
fn name(text: &Option<String>) -> Result<Option<Name>, Failure> {
    text.clone().map(Name::new).transpose().map_err(Failure::usage)
}
