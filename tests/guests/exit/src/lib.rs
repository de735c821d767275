//! Ends its process.

wit_bindgen::generate!({ path: "../../../sdk/wit", world: "plugin" });

use exports::postroom::plugin::handler::{Failure, Guest};
use postroom::plugin::mail::Message;

struct Plugin;

impl Guest for Plugin {
    fn describe() -> String {
        r#"{"name":"exit","version":"0.0.0","description":"Ends its process.","settings":{}}"#.to_owned()
    }

    fn configure(_settings: String) -> Result<(), Vec<(String, String)>> {
        Ok(())
    }

    fn handle(message: &Message) -> Result<(), Failure> {
        std::process::exit(i32::from(message.size() > 0));
    }
}

export!(Plugin);
