//! Rules: when a message looks like this, then label, file, forward, store, quarantine, discard or stop.
//!
//! Rules are tried in order, and the first that matches ends the filter, unless `continue` is among its actions. Cheap
//! conditions are looked at first, so that MIME is parsed only when a rule really depends on parts or text. The README
//! lists all conditions and actions.
//!
//! ```toml
//! rules = [
//!   { name = "junk", when = { header = { "X-Spam-Flag" = "YES" } }, then = ["label:junk", "quarantine"] },
//!   { when = { from = "*@shop.example", subject = { regex = "invoice|receipt" } }, then = ["label:bills"] },
//! ]
//! ```

mod action;
mod address;
mod attachment;
mod auth;
mod condition;
mod date;
mod facts;
mod html;
mod list;
mod pattern;
mod warnings;

use postroom_sdk::prelude::*;
use serde::Deserialize;

use crate::action::Action;
use crate::condition::Condition;
use crate::facts::Facts;
use crate::list::Lists;

/// Text that is looked at unless the settings say otherwise, octets.
const BODY: Size = Size(64 << 10);
/// Most that the settings may say: a plugin has two seconds for a message.
const BODY_MOST: Size = Size(1 << 20);

/// The plugin.
#[derive(Debug)]
pub struct Filter;

/// What the operator sets.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Tried in order.
    pub rules: Vec<Rule>,
    /// Lists that patterns may name, each a text with one entry a line.
    #[serde(default)]
    pub lists: Lists,
    /// Where `file` files, unless the action says otherwise: a mailbox sink.
    pub mailboxes: Option<String>,
    /// What `forward` sends through, unless the action says otherwise: an smtp sink.
    pub relay: Option<String>,
    /// Where `store` stores, unless the action says otherwise: an object sink.
    pub store: Option<String>,
    /// How much of the text `body` looks at, at most 1 MiB.
    #[schemars(extend("default" = "64 KiB"))]
    pub body_limit: Option<Size>,
}

/// One rule.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// For logs, reasons and `postroom why`; its number stands for it when there is none.
    pub name: Option<String>,
    /// What a message must look like.
    pub when: Condition,
    /// What happens to it, one action at least.
    #[schemars(length(min = 1))]
    pub then: Vec<Action>,
}

impl Rule {
    /// Its name, else its number, as in `why`.
    fn name(&self, index: usize) -> String {
        self.name.clone().unwrap_or_else(|| format!("#{}", index + 1))
    }

    /// As texts for the operator call it.
    fn called(&self, index: usize) -> String {
        match &self.name {
            Some(name) => format!("rule \"{name}\""),
            None => format!("rule #{}", index + 1),
        }
    }

    fn continues(&self) -> bool {
        self.then.contains(&Action::Continue)
    }

    /// Whether it may set a label: also one that says why it did not forward.
    fn labels(&self) -> bool {
        self.then.iter().any(|action| matches!(action, Action::Label(_) | Action::Forward { .. }))
    }
}

impl Settings {
    fn body_octets(&self) -> u32 {
        u32::try_from(self.body_limit.unwrap_or(BODY).0).unwrap_or(u32::MAX)
    }
}

impl Plugin for Filter {
    type Settings = Settings;
    const NAME: &'static str = "filter";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const DESCRIPTION: &'static str = "Labels, files, forwards, quarantines or discards messages by rules";

    fn check(settings: &Settings) -> Result<(), Problem> {
        if let Some(limit) = settings.body_limit.filter(|limit| *limit > BODY_MOST) {
            return Err(Problem::new("body_limit", format!("{limit} is more than {BODY_MOST}")));
        }
        for (index, rule) in settings.rules.iter().enumerate() {
            if rule.then.is_empty() {
                return Err(Problem::new(&format!("rules[{index}].then"), "must name at least one action"));
            }
            let lacking = rule.then.iter().map(|action| action.lacks(settings)).enumerate();
            if let Some((at, text)) = lacking.filter_map(|(at, text)| Some((at, text?))).next() {
                return Err(Problem::new(&format!("rules[{index}].then[{at}]"), text));
            }
            let mut lists = Vec::new();
            rule.when.lists(&mut lists);
            if let Some(name) = lists.into_iter().find(|name| settings.lists.get(name).is_none()) {
                let text = format!(
                    "there is no list \"{name}\": put its entries into lists.{name}, one a line (there are: {})",
                    settings.lists.names().collect::<Vec<_>>().join(", ")
                );
                return Err(Problem::new(&format!("rules[{index}].when"), text));
            }
        }
        Ok(())
    }

    fn warnings(settings: &Settings) -> Vec<Problem> {
        warnings::warnings(settings)
    }

    fn handle(message: &Message, settings: &Settings) -> Result<(), Failure> {
        let facts = Facts::of(message, &settings.lists, settings.body_octets());
        for (index, rule) in settings.rules.iter().enumerate() {
            if !rule.when.matches(&facts) {
                continue;
            }
            let name = rule.name(index);
            log::info("rule matched", &[("rule", &name)]);
            for action in &rule.then {
                action.take(&name, message, settings)?;
            }
            if !rule.continues() {
                break;
            }
        }
        Ok(())
    }
}

postroom_sdk::export!(Filter);

#[cfg(test)]
mod tests;
