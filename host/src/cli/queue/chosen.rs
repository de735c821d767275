//! Which messages a verb is about: those that are named, or those that fit. Reads only.

use clap::ValueEnum;
use postroom_mail::MessageId;
use postroom_spool::{Aside, Selected, Selection, Spool};

use super::super::output::{Table, moment};
use super::super::{Failure, why};
use super::name;
use crate::clock::Clock;
use crate::config::units::parse_duration;

/// Which messages.
#[derive(Debug, clap::Args)]
pub(super) struct Choice {
    /// The beginning of a message's id, of its SHA-256, or its unique-id on the server.
    messages: Vec<String>,
    /// Only this account's.
    #[arg(long)]
    account: Option<String>,
    /// Only those with an effect of this sink that waits or is parked, and only that effect of them.
    #[arg(long)]
    pub(super) sink: Option<String>,
    /// Only those that are so.
    #[arg(long)]
    state: Option<State>,
    /// Only those whose reason contains this text.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Only those retrieved at least so long ago, such as `2d`.
    #[arg(long, value_name = "TIME")]
    older: Option<String>,
}

/// In which way a message is not done.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum State {
    /// The message was set aside.
    Quarantined,
    /// An effect of it was.
    Parked,
    /// It waits, or an effect of it does.
    Waiting,
    /// It was dropped and can be taken back.
    Dropped,
}

impl Choice {
    /// Whether exactly one message is named, so that nothing else can be meant.
    pub(super) fn is_one(&self) -> bool {
        self.messages.len() == 1
    }

    /// Whether nothing at all is said.
    pub(super) fn is_empty(&self) -> bool {
        let Self { messages, account, sink, state, reason, older } = self;
        messages.is_empty()
            && state.is_none()
            && [account, sink, reason, older].iter().all(|given| given.is_none())
    }

    /// The messages, oldest first.
    ///
    /// # Errors
    /// When a name means none or several, or a value cannot be read.
    pub(super) async fn select(&self, spool: &dyn Spool) -> Result<Vec<Selected>, Failure> {
        let mut messages = Vec::with_capacity(self.messages.len());
        for text in &self.messages {
            messages.push(why::find(spool, text).await?);
        }
        let selection = self.selection(messages)?;
        Ok(spool.select(selection, Clock::system().now()).await?)
    }

    fn selection(&self, messages: Vec<MessageId>) -> Result<Selection, Failure> {
        Ok(Selection {
            messages,
            account: name(&self.account)?,
            sink: name(&self.sink)?,
            state: self.state.map(|state| match state {
                State::Quarantined => Aside::Quarantined,
                State::Parked => Aside::Parked,
                State::Waiting => Aside::Waiting,
                State::Dropped => Aside::Dropped,
            }),
            reason: self.reason.clone(),
            older: self.older.as_deref().map(parse_duration).transpose().map_err(Failure::usage)?,
        })
    }
}

/// Prints them, the first hundred.
pub(super) fn print(selected: &[Selected]) {
    const SHOWN: usize = 100;
    let mut table = Table::new(["MESSAGE", "ACCOUNT", "STATE", "RETRIEVED", "PARKED", "WAITING", "REASON"]);
    for one in selected.iter().take(SHOWN) {
        table.row([
            one.message.0.short(12),
            one.account.to_string(),
            why::state(one.state).to_owned(),
            moment(one.retrieved),
            one.parked.to_string(),
            one.open.to_string(),
            one.reason.clone().unwrap_or_default(),
        ]);
    }
    table.print();
    if selected.len() > SHOWN {
        println!("and {} more", selected.len() - SHOWN);
    }
}
