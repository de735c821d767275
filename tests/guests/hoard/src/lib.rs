//! Takes memory without end.

wit_bindgen::generate!({ path: "../../../sdk/wit", world: "plugin" });

use exports::postroom::plugin::handler::{Failure, Guest};
use postroom::plugin::mail::Message;

struct Plugin;

impl Guest for Plugin {
    fn describe() -> String {
        r#"{"name":"hoard","version":"0.0.0","description":"Takes memory without end.","settings":{}}"#.to_owned()
    }

    fn configure(_settings: String) -> Result<(), Vec<(String, String)>> {
        Ok(())
    }

    fn handle(message: &Message) -> Result<(), Failure> {
        let mut hoard: Vec<Vec<u8>> = Vec::new();
        loop {
            hoard.push(vec![message.size() as u8; 1 << 20]);
            std::hint::black_box(&hoard);
        }
    }
}

export!(Plugin);
