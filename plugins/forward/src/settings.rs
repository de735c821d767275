//! What the operator sets, and which settings make sense together.

use postroom_sdk::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{envelope, wrap};

/// What the operator sets.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Name of a granted transport sink.
    pub sink: String,
    /// Recipients, bare addresses.
    #[schemars(length(min = 1))]
    pub to: Vec<String>,
    /// How.
    #[serde(default)]
    pub mode: Mode,
    /// What a message made here is from, a bare address.
    pub from: Option<String>,
    /// Subject of a wrapping message; `{subject}` is the original one.
    #[schemars(extend("default" = wrap::SUBJECT))]
    pub subject: Option<String>,
    /// For mode auto: whose Authentication-Results fields are believed. The name that the server of this account
    /// writes first in them.
    pub trusted: Option<String>,
    /// For mode auto: the relay takes nothing but mail from addresses of its own.
    #[serde(default)]
    pub relay_insists: bool,
    /// For mode auto: what to do when nobody that is trusted says whether a redirected message would be believed.
    #[schemars(extend("default" = Unknown::Wrap))]
    pub unknown: Option<Unknown>,
    /// Addresses whose mail comes to this account: none of them can be a recipient.
    #[serde(default)]
    pub own: Vec<String>,
    /// Adds Resent-From, Resent-To, Resent-Date and Resent-Message-ID to what is redirected.
    #[serde(default)]
    pub resent: bool,
    /// Largest message that is forwarded.
    pub max_size: Option<Size>,
    /// What becomes of a larger one.
    #[schemars(extend("default" = Oversize::Quarantine))]
    pub oversize: Option<Oversize>,
}

/// How a message is sent on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The same octets to new recipients.
    #[default]
    Redirect,
    /// Attached to a new message.
    Wrap,
    /// Whichever will be believed.
    Auto,
}

/// What mode auto does when nothing trusted decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Unknown {
    /// As mode wrap.
    #[default]
    Wrap,
    /// As mode redirect.
    Redirect,
}

/// What becomes of a message that is too large.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Oversize {
    /// It is set aside.
    #[default]
    Quarantine,
    /// The recipients get a short message about it, and it is labelled.
    Notice,
    /// It is labelled.
    Skip,
}

/// Longest value of Resent-To, octets: the host takes no longer field.
const RESENT_TO: usize = 850;

/// Why these settings are senseless, before any mail.
pub(crate) fn check(settings: &Settings) -> Result<(), Problem> {
    if settings.to.is_empty() {
        return Err(Problem::new("to", "must name at least one address"));
    }
    addresses("to", &settings.to)?;
    addresses("own", &settings.own)?;
    if let Some(index) = settings.to.iter().position(|to| is_one_of(to, &settings.own)) {
        let text = "is among own: what goes there comes back to this account";
        return Err(Problem::new(&format!("to[{index}]"), text));
    }
    if let Some(from) = &settings.from {
        envelope::check_address(from).map_err(|text| Problem::new("from", text))?;
    }
    match settings.mode {
        Mode::Redirect => check_redirect(settings)?,
        Mode::Wrap | Mode::Auto if settings.from.is_none() => {
            return Err(Problem::new("from", "a wrapping message needs the address it is from"));
        }
        Mode::Wrap if settings.resent => {
            return Err(Problem::new("resent", "nothing is redirected with mode = \"wrap\": remove resent"));
        }
        Mode::Wrap | Mode::Auto => {}
    }
    if settings.resent && settings.to.join(", ").len() > RESENT_TO {
        return Err(Problem::new("resent", "there are too many recipients for one Resent-To field"));
    }
    check_auto(settings)?;
    check_oversize(settings)
}

fn check_redirect(settings: &Settings) -> Result<(), Problem> {
    let needs_from = settings.resent || settings.oversize == Some(Oversize::Notice);
    match &settings.from {
        Some(_) if !needs_from => Err(Problem::new(
            "from",
            "a redirected message keeps its own From: remove from, or set mode = \"wrap\"",
        )),
        None if settings.resent => {
            Err(Problem::new("from", "resent = true needs the address for Resent-From"))
        }
        _ if settings.subject.is_some() => Err(Problem::new(
            "subject",
            "a redirected message keeps its own Subject: remove subject, or set mode = \"wrap\"",
        )),
        _ => Ok(()),
    }
}

fn check_auto(settings: &Settings) -> Result<(), Problem> {
    let given = [
        ("trusted", settings.trusted.is_some()),
        ("relay_insists", settings.relay_insists),
        ("unknown", settings.unknown.is_some()),
    ];
    match given.iter().find(|(_, given)| *given && settings.mode != Mode::Auto) {
        Some((name, _)) => {
            Err(Problem::new(name, "only mode = \"auto\" looks at it: remove it, or set that"))
        }
        None if settings.trusted.as_ref().is_some_and(|id| id.trim().is_empty() || id.contains(';')) => {
            Err(Problem::new("trusted", "must be a server's name, as in \"mx.example.com\""))
        }
        None => Ok(()),
    }
}

fn check_oversize(settings: &Settings) -> Result<(), Problem> {
    match (settings.max_size, settings.oversize) {
        (None, Some(_)) => {
            Err(Problem::new("oversize", "nothing is too large without max_size: set that too"))
        }
        (Some(_), Some(Oversize::Notice)) if settings.from.is_none() => {
            Err(Problem::new("from", "a notice needs the address it is from"))
        }
        _ => Ok(()),
    }
}

fn addresses(field: &str, list: &[String]) -> Result<(), Problem> {
    for (index, address) in list.iter().enumerate() {
        envelope::check_address(address).map_err(|text| Problem::new(&format!("{field}[{index}]"), text))?;
    }
    Ok(())
}

/// Addresses are compared without case: that no server tells "A" from "a" is safer to believe where loops are concerned.
pub(crate) fn is_one_of(address: &str, list: &[String]) -> bool {
    list.iter().any(|other| other.eq_ignore_ascii_case(address))
}
