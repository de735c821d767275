//! What a plugin is, and what it says of itself.

use schemars::{JsonSchema, SchemaGenerator};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::fault::{Failure, Problem};
use crate::message::Message;

/// One step over one message. Implement it and call [`export!`](crate::export).
///
/// The host makes a fresh instance for every message: nothing is kept between messages but what [`kv`](crate::kv) holds.
pub trait Plugin {
    /// The step's `settings`; [`NoSettings`] when there are none. Derive `Deserialize` with
    /// `#[serde(deny_unknown_fields)]`, so that a typing error is told, and `JsonSchema`, so that the operator sees what
    /// can be set: the fields' documentation becomes their descriptions.
    type Settings: DeserializeOwned + JsonSchema + 'static;

    /// Lower-case name: "receipts".
    const NAME: &'static str;
    /// Version of the plugin, usually `env!("CARGO_PKG_VERSION")`.
    const VERSION: &'static str;
    /// One line for the operator.
    const DESCRIPTION: &'static str;

    /// Checks what the types of the settings cannot say. Called when the host starts, before any message.
    ///
    /// # Errors
    /// The first setting that makes no sense.
    fn check(settings: &Self::Settings) -> Result<(), Problem> {
        let _ = settings;
        Ok(())
    }

    /// Looks at one message and queues effects. No effect at all keeps the message where it is.
    ///
    /// # Errors
    /// When the message cannot be handled: then none of the effects happens.
    fn handle(message: &Message, settings: &Self::Settings) -> Result<(), Failure>;
}

/// The settings of a plugin that has none: whatever is set is an error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(description = "There is nothing to set")]
pub struct NoSettings {}

/// Does nothing but compile only for a plugin.
#[doc(hidden)]
pub const fn is_plugin<P: Plugin>() {}

/// The answer to `describe`: an object of name, version, description and settings, the latter as JSON Schema 2020-12. The
/// schema is made here and nowhere else: no message pays for it.
pub(crate) fn describe<P: Plugin>() -> String {
    let settings = SchemaGenerator::default().into_root_schema_for::<P::Settings>();
    json!({ "name": P::NAME, "version": P::VERSION, "description": P::DESCRIPTION, "settings": settings })
        .to_string()
}
