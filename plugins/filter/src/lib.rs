//! Rules: when a message looks like this, then label, quarantine, discard or stop.
//!
//! Rules are tried in order, and the first that matches ends the filter, unless `continue` is among its actions. Cheap
//! conditions are looked at first, so that MIME is parsed only when a rule really depends on parts.
//!
//! ```toml
//! rules = [
//!   { name = "junk", when = { header = { "X-Spam-Flag" = "YES" } }, then = ["label:junk", "quarantine"] },
//!   { when = { from = "*@shop.example", subject = { regex = "invoice|receipt" } }, then = ["label:bills"] },
//! ]
//! ```

mod action;
mod condition;
mod pattern;

use postroom_sdk::prelude::*;
use serde::Deserialize;

use crate::action::Action;
use crate::condition::{Condition, Facts};

/// The plugin.
#[derive(Debug)]
pub struct Filter;

/// What the operator sets.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Tried in order.
    pub rules: Vec<Rule>,
}

/// One rule.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// For logs and reasons.
    pub name: Option<String>,
    /// What a message must look like.
    pub when: Condition,
    /// What happens to it, one action at least.
    #[schemars(length(min = 1))]
    pub then: Vec<Action>,
}

impl Plugin for Filter {
    type Settings = Settings;
    const NAME: &'static str = "filter";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const DESCRIPTION: &'static str = "Labels, quarantines or discards messages by rules";

    fn check(settings: &Settings) -> Result<(), Problem> {
        match settings.rules.iter().position(|rule| rule.then.is_empty()) {
            Some(index) => {
                Err(Problem::new(&format!("rules[{index}].then"), "must name at least one action"))
            }
            None => Ok(()),
        }
    }

    fn handle(message: &Message, settings: &Settings) -> Result<(), Failure> {
        let facts = Facts::of(message);
        for (index, rule) in settings.rules.iter().enumerate() {
            if !rule.when.matches(&facts) {
                continue;
            }
            let name = rule.name.clone().unwrap_or_else(|| format!("#{}", index + 1));
            log::info("rule matched", &[("rule", &name)]);
            for action in &rule.then {
                action.take(&name)?;
            }
            if !rule.then.contains(&Action::Continue) {
                break;
            }
        }
        Ok(())
    }
}

postroom_sdk::export!(Filter);

#[cfg(test)]
mod tests;
