//! Which way a message goes with `mode = "auto"`, and why. A receiver believes a redirected message by its DKIM signature
//! alone: SPF never survives a forward. Where none is known to hold, the domain in From decides by its DMARC policy
//! (RFC 9989) what becomes of the message, and where it would be refused it has to be wrapped.
//!
//! Nothing is verified here: a plugin has no resolver. What a server that the operator named found is believed; a
//! signature that is merely there is not.

use postroom_sdk::Message;

use crate::auth::{self, Policy, Results};
use crate::settings::{Mode, Settings, Unknown};

/// How a message is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Redirect,
    Wrap,
}

impl Way {
    /// The label of a message that auto sent this way.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Redirect => "redirected",
            Self::Wrap => "wrapped",
        }
    }
}

/// Who chose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// The operator.
    Set(Way),
    /// This module, and why.
    Made(Way, String),
}

impl Choice {
    pub(crate) fn way(&self) -> Way {
        match self {
            Self::Set(way) | Self::Made(way, _) => *way,
        }
    }
}

pub(crate) fn choose(message: &Message, settings: &Settings) -> Choice {
    match settings.mode {
        Mode::Redirect => Choice::Set(Way::Redirect),
        Mode::Wrap => Choice::Set(Way::Wrap),
        Mode::Auto => {
            let (way, why) = auto(message, settings);
            Choice::Made(way, why)
        }
    }
}

fn auto(message: &Message, settings: &Settings) -> (Way, String) {
    if settings.relay_insists {
        return (Way::Wrap, "the relay insists on a From of its own".to_owned());
    }
    let unknown = match settings.unknown.unwrap_or_default() {
        Unknown::Wrap => Way::Wrap,
        Unknown::Redirect => Way::Redirect,
    };
    let Some(author) = auth::author_domain(message) else {
        return (unknown, "it has no single author whose domain could be asked".to_owned());
    };
    let said = settings.trusted.as_deref().and_then(|server| {
        let results = Results::of(message, server)?;
        Some(by_results(&results, &author, server, unknown))
    });
    said.unwrap_or_else(|| (unknown, by_signatures(message, &author)))
}

/// What a trusted server found.
fn by_results(results: &Results, author: &str, server: &str, unknown: Way) -> (Way, String) {
    if let Some(signer) = results.passed.iter().find(|signer| auth::aligned(signer, author)) {
        return (Way::Redirect, format!("aligned DKIM of {signer} passed, says {server}"));
    }
    match results.policy(author) {
        Some(Policy::Reject) => (Way::Wrap, "no aligned DKIM, p=reject".to_owned()),
        Some(Policy::Quarantine) => (Way::Wrap, "no aligned DKIM, p=quarantine".to_owned()),
        Some(Policy::None) => (Way::Redirect, "no aligned DKIM, p=none".to_owned()),
        Some(Policy::NotPublished) => {
            (Way::Redirect, format!("no aligned DKIM, {author} has no DMARC policy"))
        }
        None => (unknown, format!("no aligned DKIM, says {server}, and no word of a DMARC policy")),
    }
}

/// What the message claims: for the reason only.
fn by_signatures(message: &Message, author: &str) -> String {
    match auth::signers(message).into_iter().find(|signer| auth::aligned(signer, author)) {
        Some(signer) => format!("aligned DKIM of {signer} is not verified here"),
        None => "no aligned DKIM".to_owned(),
    }
}
