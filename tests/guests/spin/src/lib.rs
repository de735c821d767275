//! Never returns.

wit_bindgen::generate!({ path: "../../../sdk/wit", world: "plugin" });

use exports::postroom::plugin::handler::{Failure, Guest};
use postroom::plugin::mail::Message;

struct Plugin;

impl Guest for Plugin {
    fn describe() -> String {
        r#"{"name":"spin","version":"0.0.0","description":"Never returns.","settings":{}}"#.to_owned()
    }

    fn configure(_settings: String) -> Result<(), Vec<(String, String)>> {
        Ok(())
    }

    fn handle(message: &Message) -> Result<(), Failure> {
        let mut turns = message.size();
        loop {
            turns = std::hint::black_box(turns.wrapping_mul(31));
        }
    }
}

export!(Plugin);
