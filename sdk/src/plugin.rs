//! What a plugin is, and what it says of itself.

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::fault::{Failure, Problem};
use crate::message::Message;

/// One step over one message. Implement it and call [`export!`](crate::export).
///
/// The host makes a fresh instance for every message: nothing is kept between messages but what [`kv`](crate::kv) holds.
pub trait Plugin {
    /// The step's `settings`. Derive `Deserialize` with `#[serde(deny_unknown_fields)]`, so that a typing error is told.
    type Settings: DeserializeOwned + 'static;

    /// Lower-case name: "receipts".
    const NAME: &'static str;
    /// Version of the plugin, usually `env!("CARGO_PKG_VERSION")`.
    const VERSION: &'static str;
    /// One line for the operator.
    const DESCRIPTION: &'static str;
    /// JSON Schema of the settings, an object.
    const SETTINGS: &'static str = r#"{"type":"object"}"#;

    /// Checks what the types of the settings cannot say. Called when the host starts, before any message.
    ///
    /// # Errors
    /// The first setting that makes no sense.
    fn check(settings: &Self::Settings) -> Result<(), Problem> {
        let _ = settings;
        Ok(())
    }

    /// What makes sense but is probably not meant, such as a rule that can never match. `postroom check` shows it, the host
    /// logs it when it starts, and mail flows all the same. Called after [`check`](Self::check), also before each message:
    /// keep it cheap.
    fn warnings(settings: &Self::Settings) -> Vec<Problem> {
        let _ = settings;
        Vec::new()
    }

    /// Looks at one message and queues effects. No effect at all keeps the message where it is.
    ///
    /// # Errors
    /// When the message cannot be handled: then none of the effects happens.
    fn handle(message: &Message, settings: &Self::Settings) -> Result<(), Failure>;
}

/// Does nothing but compile only for a plugin.
#[doc(hidden)]
pub const fn is_plugin<P: Plugin>() {}

/// The answer to `describe`: an object of name, version, description and settings.
pub(crate) fn describe<P: Plugin>() -> String {
    let settings: Value = serde_json::from_str(P::SETTINGS).unwrap_or_else(|_| json!({ "type": "object" }));
    json!({ "name": P::NAME, "version": P::VERSION, "description": P::DESCRIPTION, "settings": settings })
        .to_string()
}
