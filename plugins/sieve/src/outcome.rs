//! From what a script decided to the effects of the contract.

use postroom_sdk::route::FIELD;
use postroom_sdk::{Message, effects, log};

use crate::address;
use crate::flags;
use crate::flaw::Place;
use crate::run::Trouble;
use crate::settings::{Discarding, LaterSteps, REJECT_REFUSED, Rejecting, Settings};
use crate::view::Added;

/// Most labels that flags become.
const LABELS: usize = 16;
/// Most octets of a mailbox, as the host has it.
const MAILBOX_OCTETS: usize = 200;

/// What a script decided.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// In the order of the script, each place once.
    pub(crate) deliveries: Vec<Delivery>,
    /// The message is kept, with these flags; without a place where no command said so.
    pub(crate) keep: Option<(Option<u32>, Vec<String>)>,
    /// There is no implicit keep.
    pub(crate) cancelled: bool,
    /// Where it was discarded.
    pub(crate) discarded: Option<u32>,
    /// Where it was rejected, and why.
    pub(crate) rejected: Option<(u32, String)>,
}

/// A copy.
#[derive(Debug)]
pub(crate) enum Delivery {
    /// Into a mailbox.
    File { at: u32, mailbox: String, flags: Vec<String> },
    /// To an address.
    Redirect { at: u32, to: String, mark: String, added: Vec<Added> },
}

impl Outcome {
    /// Adds a copy. What was asked for before is done once, the way it was asked for last (RFC 5228 section 2.10.3).
    pub(crate) fn deliver(&mut self, delivery: Delivery) {
        self.deliveries.retain(|known| match (known, &delivery) {
            (Delivery::File { mailbox: known, .. }, Delivery::File { mailbox, .. }) => known != mailbox,
            (Delivery::Redirect { to: known, .. }, Delivery::Redirect { to, .. }) => known != to,
            (Delivery::File { .. }, Delivery::Redirect { .. })
            | (Delivery::Redirect { .. }, Delivery::File { .. }) => true,
        });
        self.deliveries.push(delivery);
    }

    /// To how many addresses copies go.
    pub(crate) fn redirects(&self) -> usize {
        self.deliveries.iter().filter(|delivery| matches!(delivery, Delivery::Redirect { .. })).count()
    }

    /// Whether a copy goes to that address already.
    pub(crate) fn sends_to(&self, address: &str) -> bool {
        self.deliveries
            .iter()
            .any(|delivery| matches!(delivery, Delivery::Redirect { to, .. } if to == address))
    }

    /// Queues the effects.
    pub(crate) fn carry_out(self, message: &Message<'_>, settings: &Settings) -> Result<(), Trouble> {
        if let Some((at, reason)) = &self.rejected {
            // Only a script with `ihave` comes here without the setting.
            if settings.reject == Rejecting::Refuse {
                return Err(Trouble::permanent(*at, REJECT_REFUSED));
            }
            if !self.deliveries.is_empty() || self.keep.is_some() {
                let text =
                    "a message that is rejected cannot be kept, filed or redirected (RFC 5429 section 2)";
                return Err(Trouble::permanent(*at, text));
            }
            return quarantine(*at, &format!("sieve reject: {reason}"), settings);
        }
        let is_copied = !self.deliveries.is_empty();
        for delivery in &self.deliveries {
            match delivery {
                Delivery::File { at, mailbox, flags } => {
                    file(*at, &settings.mailbox(mailbox), flags, message, settings)?;
                }
                Delivery::Redirect { at, to, mark, added } => redirect(*at, (to, mark), added, settings)?,
            }
        }
        match (&self.keep, self.discarded) {
            (Some((at, flags)), _) => keep(at.unwrap_or(0), flags, message, settings)?,
            (None, Some(at)) if !is_copied => discard(at, settings)?,
            (None, _) => {}
        }
        match settings.later_steps {
            LaterSteps::Kept if self.keep.is_none() => effects::stop(),
            LaterSteps::Kept | LaterSteps::Always => {}
        }
        Ok(())
    }
}

fn file(
    at: u32,
    mailbox: &str,
    flags: &[String],
    message: &Message<'_>,
    settings: &Settings,
) -> Result<(), Trouble> {
    let Some(mailboxes) = &settings.mailboxes else {
        return Err(Trouble::permanent(at, "fileinto needs the setting mailboxes"));
    };
    file_into(at, &mailboxes.sink, mailbox, flags, message)?;
    log::info("filed", &[("line", &settings.script.place(at)), ("mailbox", &mailbox)]);
    Ok(())
}

fn keep(at: u32, flags: &[String], message: &Message<'_>, settings: &Settings) -> Result<(), Trouble> {
    match &settings.keep {
        Some(keep) => {
            file_into(at, &keep.sink, &keep.mailbox, flags, message)?;
            log::info("kept", &[("mailbox", &keep.mailbox)]);
            Ok(())
        }
        // A later step has it.
        None => label(at, flags),
    }
}

fn file_into(
    at: u32,
    sink: &str,
    mailbox: &str,
    flags: &[String],
    message: &Message<'_>,
) -> Result<(), Trouble> {
    let letters = flags::letters(flags);
    let raw = message.raw();
    let mut filing = effects::file_into(sink, mailbox, &raw);
    if !letters.is_empty() {
        filing = filing.flags(&letters);
    }
    filing.queue().map_err(|fault| Trouble::refused(at, fault))?;
    label(at, flags)
}

/// Flags that Maildir has no letter for are labels.
fn label(at: u32, flags: &[String]) -> Result<(), Trouble> {
    let labels = flags::labels(flags);
    if labels.len() > LABELS {
        log::warn("more flags than become labels", &[("flags", &labels.len()), ("labels", &LABELS)]);
    }
    labels
        .iter()
        .take(LABELS)
        .try_for_each(|label| effects::label(label).map_err(|fault| Trouble::refused(at, fault)))
}

fn redirect(at: u32, (to, mark): (&str, &str), added: &[Added], settings: &Settings) -> Result<(), Trouble> {
    let Some(relay) = &settings.redirect else {
        return Err(Trouble::permanent(at, "redirect needs the setting redirect"));
    };
    let recipients = [to];
    let mut copy = effects::forward(&relay.sink, &recipients).header(FIELD, mark);
    // Fields come on top one by one: the one that was added last is the first.
    for field in added.iter().rev().filter(|field| !field.last).chain(added.iter().filter(|field| field.last))
    {
        copy = copy.header(&field.name, address::field_value(&field.value));
    }
    copy.queue().map_err(|fault| Trouble::refused(at, fault))?;
    log::info("redirected", &[("line", &settings.script.place(at)), ("to", &to)]);
    Ok(())
}

fn discard(at: u32, settings: &Settings) -> Result<(), Trouble> {
    match settings.discard {
        Discarding::Quarantine => quarantine(at, "sieve discard", settings),
        Discarding::Discard => {
            effects::discard("sieve discard").map_err(|fault| Trouble::refused(at, fault))?;
            log::info("discarded", &[("line", &settings.script.place(at))]);
            Ok(())
        }
    }
}

fn quarantine(at: u32, reason: &str, settings: &Settings) -> Result<(), Trouble> {
    effects::quarantine(reason).map_err(|fault| Trouble::refused(at, fault))?;
    let place: Place = settings.script.place(at);
    log::info("set aside", &[("line", &place), ("reason", &reason)]);
    Ok(())
}

/// Whether the host takes it for a mailbox; the host has the last word when something is filed.
pub(crate) fn is_mailbox(name: &str) -> bool {
    let fits = |word: &str| {
        !word.is_empty()
            && !word.starts_with('.')
            && !word.contains("..")
            && word.trim() == word
            && !word.contains(|ch: char| ch == '\\' || ch.is_control())
    };
    name.is_empty() || name.len() <= MAILBOX_OCTETS && name.split('/').all(fits)
}
