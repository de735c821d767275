//! Panics with a text, after asking for an effect. Calls itself as `moody` does, as a bad version of the same plugin would.

wit_bindgen::generate!({ path: "../../../sdk/wit", world: "plugin" });

use exports::postroom::plugin::handler::{Failure, Guest};
use postroom::plugin::mail::Message;
use postroom::plugin::effects;

struct Plugin;

impl Guest for Plugin {
    fn describe() -> String {
        r#"{"name":"moody","version":"0.0.0","description":"Panics with a text, after asking for an effect.","settings":{}}"#.to_owned()
    }

    fn configure(_settings: String) -> Result<(), Vec<(String, String)>> {
        Ok(())
    }

    fn handle(message: &Message) -> Result<(), Failure> {
        let _ = effects::label("never-committed");
        let _ = effects::store("vault", "never/committed.eml", &message.raw(), &[]);
        panic!("the flux is not calibrated");
    }
}

export!(Plugin);
