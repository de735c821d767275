//! Runs a checked script over one message. Decides, and does nothing: what comes of it is an [`Outcome`].

use std::collections::HashMap;

use postroom_sdk::route::Route;
use postroom_sdk::{Failure, Fault, Message};

use crate::address;
use crate::flags;
use crate::flaw::quoted;
use crate::outcome::{Delivery, Outcome};
use crate::program::{Action, Change, Program, Step};
use crate::settings::Settings;
use crate::text::Text;
use crate::variables::Variables;
use crate::view::{Added, View};

/// Most actions of a run, and most copies sent on (RFC 5228 section 2.10.2).
pub(crate) const ACTIONS: usize = 32;
/// See [`ACTIONS`].
pub(crate) const REDIRECTS: usize = 4;
/// Most fields that are added: with the trace field the host takes no more on top of a copy.
pub(crate) const ADDED: usize = 15;

/// Why a run ended early, and where.
#[derive(Debug)]
pub(crate) struct Trouble {
    /// Offset of the command or test.
    pub(crate) at: u32,
    /// What the host is told.
    pub(crate) failure: Failure,
}

impl Trouble {
    pub(crate) fn permanent(at: u32, text: impl std::fmt::Display) -> Self {
        Self { at, failure: Failure::permanent(text) }
    }

    pub(crate) fn refused(at: u32, fault: Fault) -> Self {
        Self { at, failure: fault.into() }
    }
}

/// Whether the script goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    On,
    Stop,
}

/// What a script does with a message.
pub(crate) fn run(program: &Program, message: &Message<'_>, settings: &Settings) -> Result<Outcome, Trouble> {
    let mut run = Run {
        program,
        settings,
        view: View::of(message),
        variables: Variables::default(),
        flags: Vec::new(),
        duplicates: HashMap::new(),
        actions: 0,
        outcome: Outcome::default(),
    };
    run.steps(&program.steps)?;
    let Run { flags, mut outcome, .. } = run;
    if !outcome.cancelled {
        outcome.keep.get_or_insert((None, flags));
    }
    Ok(outcome)
}

/// The state of a run.
pub(crate) struct Run<'r> {
    pub(crate) program: &'r Program,
    pub(crate) settings: &'r Settings,
    pub(crate) view: View<'r>,
    pub(crate) variables: Variables,
    /// The internal variable, RFC 5232 section 2.
    pub(crate) flags: Vec<String>,
    /// What `duplicate` answered already: one answer for each id.
    pub(crate) duplicates: HashMap<String, bool>,
    actions: usize,
    outcome: Outcome,
}

impl Run<'_> {
    fn steps(&mut self, steps: &[Step]) -> Result<Flow, Trouble> {
        for step in steps {
            let flow = match step {
                Step::Act { at, action } => self.act(*at, action)?,
                Step::If { branches, otherwise } => {
                    let mut chosen = otherwise;
                    for (test, steps) in branches {
                        if self.holds(test)? {
                            chosen = steps;
                            break;
                        }
                    }
                    self.steps(chosen)?
                }
            };
            if flow == Flow::Stop {
                return Ok(Flow::Stop);
            }
        }
        Ok(Flow::On)
    }

    pub(crate) fn fill(&self, text: &Text) -> String {
        text.fill(&self.variables).into_owned()
    }

    fn act(&mut self, at: u32, action: &Action) -> Result<Flow, Trouble> {
        match action {
            Action::Keep { flags } => {
                self.count(at)?;
                let flags = self.flags_of(flags.as_deref());
                self.outcome.keep = Some((Some(at), flags));
            }
            Action::FileInto { mailbox, copy, flags } => {
                self.count(at)?;
                let (mailbox, flags) = (self.fill(mailbox), self.flags_of(flags.as_deref()));
                self.outcome.deliver(Delivery::File { at, mailbox, flags });
                self.outcome.cancelled |= !copy;
            }
            Action::Redirect { to, copy } => {
                self.count(at)?;
                let to = self.fill(to);
                self.redirect(at, to)?;
                self.outcome.cancelled |= !copy;
            }
            Action::Discard => {
                self.count(at)?;
                self.outcome.discarded = Some(at);
                self.outcome.cancelled = true;
            }
            Action::Reject { reason } => {
                self.count(at)?;
                self.outcome.rejected = Some((at, self.fill(reason)));
                self.outcome.cancelled = true;
            }
            Action::Stop => return Ok(Flow::Stop),
            Action::Set { variable, modifiers, value } => {
                let value = modifiers.iter().fold(self.fill(value), |value, modifier| modifier.apply(&value));
                self.variables.set(*variable, value);
            }
            Action::Flags { change, variable, flags } => self.change_flags(*change, *variable, flags),
            Action::AddHeader { name, value, last } => self.add_header(at, name, value, *last)?,
            Action::Error { text } => {
                return Err(Trouble::permanent(at, format!("the script says: {}", self.fill(text))));
            }
            Action::Refused { text } => return Err(Trouble::permanent(at, text)),
        }
        Ok(Flow::On)
    }

    fn count(&mut self, at: u32) -> Result<(), Trouble> {
        self.actions += 1;
        match self.actions <= ACTIONS {
            true => Ok(()),
            false => Err(Trouble::permanent(at, format!("a script takes at most {ACTIONS} actions"))),
        }
    }

    fn redirect(&mut self, at: u32, to: String) -> Result<(), Trouble> {
        if self.outcome.redirects() == REDIRECTS && !self.outcome.sends_to(&to) {
            return Err(Trouble::permanent(
                at,
                format!("a script redirects to at most {REDIRECTS} addresses"),
            ));
        }
        let message = self.view.message();
        let came_by =
            |name| message.addresses(name).iter().any(|known| known.email.eq_ignore_ascii_case(&to));
        let route = Route::of(message, &[&to]).map_err(|fault| Trouble::refused(at, fault))?;
        if came_by("delivered-to") || route.looped(message).is_some() {
            let text = format!("redirecting to {} would send the message round in a circle", quoted(&to));
            return Err(Trouble::permanent(at, text));
        }
        let mark = route.mark(message);
        let added = self.view.added().to_vec();
        self.outcome.deliver(Delivery::Redirect { at, to, mark, added });
        Ok(())
    }

    fn flags_of(&self, flags: Option<&[Text]>) -> Vec<String> {
        match flags {
            Some(texts) => flags::listed(&texts.iter().map(|text| self.fill(text)).collect::<Vec<_>>()),
            None => self.flags.clone(),
        }
    }

    fn change_flags(&mut self, change: Change, variable: Option<usize>, texts: &[Text]) {
        let given: Vec<String> = texts.iter().map(|text| self.fill(text)).collect();
        let given = flags::listed(&given);
        let before = match variable {
            Some(number) => flags::listed(&[self.variables.get(number)]),
            None => std::mem::take(&mut self.flags),
        };
        let after = match change {
            Change::Set => given,
            Change::Add => flags::listed(&[before, given].concat()),
            Change::Remove => flags::without(before, &given),
        };
        match variable {
            Some(number) => self.variables.set(number, after.join(" ")),
            None => self.flags = after,
        }
    }

    fn add_header(&mut self, at: u32, name: &Text, value: &Text, last: bool) -> Result<(), Trouble> {
        let (name, value) = (self.fill(name), self.fill(value));
        if !address::is_field_name(&name) {
            return Err(Trouble::permanent(at, format!("{} is no name of a header field", quoted(&name))));
        }
        if self.view.added().len() == ADDED {
            return Err(Trouble::permanent(at, format!("a script adds at most {ADDED} header fields")));
        }
        self.view.add(Added { name, value: value.trim().to_owned(), last });
        Ok(())
    }
}
