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
///
/// ```
/// use postroom_bench::{Bench, Mail, json};
/// use postroom_sdk::prelude::*;
///
/// #[derive(serde::Deserialize, JsonSchema)]
/// #[serde(deny_unknown_fields)]
/// struct Settings {
///     /// Words that mark a message.
///     words: Vec<String>,
/// }
///
/// struct Marked;
///
/// impl Plugin for Marked {
///     type Settings = Settings;
///     const NAME: &'static str = "marked";
///     const VERSION: &'static str = "0.1.0";
///     const DESCRIPTION: &'static str = "Labels messages by words";
///
///     fn check(settings: &Settings) -> Result<(), Problem> {
///         if settings.words.is_empty() { Err(Problem::new("words", "must name one")) } else { Ok(()) }
///     }
///
///     fn handle(message: &Message, settings: &Settings) -> Result<(), Failure> {
///         if settings.words.iter().any(|word| message.subject().contains(word)) {
///             effects::label("marked")?;
///         }
///         Ok(())
///     }
/// }
///
/// let run = Bench::new().run::<Marked>(json!({ "words": ["bill"] }), &Mail::new().subject("A bill"));
/// assert_eq!(run.lines(), ["label marked"]);
/// assert!(Bench::new().configure::<Marked>(&json!({ "words": [] })).is_err());
/// ```
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

/// The settings of a plugin that has none: whatever is set is an error.
///
/// ```
/// use postroom_bench::{Bench, Mail, json};
/// use postroom_sdk::prelude::*;
///
/// struct Stops;
///
/// impl Plugin for Stops {
///     type Settings = NoSettings;
///     const NAME: &'static str = "stops";
///     const VERSION: &'static str = "0.1.0";
///     const DESCRIPTION: &'static str = "Ends the chain";
///
///     fn handle(_: &Message, _: &NoSettings) -> Result<(), Failure> {
///         effects::stop();
///         Ok(())
///     }
/// }
///
/// assert_eq!(Bench::new().run::<Stops>(json!({}), &Mail::new()).lines(), ["stop"]);
/// assert!(Bench::new().configure::<Stops>(&json!({ "colour": "red" })).is_err());
/// ```
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
