//! Does what the `X-Mood` field of the message says: loops, grows, traps, exits, or nothing.

wit_bindgen::generate!({ path: "../../../sdk/wit", world: "plugin" });

use exports::postroom::plugin::handler::{Failure, Guest};
use postroom::plugin::mail::Message;

struct Plugin;

impl Guest for Plugin {
    fn describe() -> String {
        r#"{"name":"moody","version":"0.0.0","description":"Does what X-Mood says.","settings":{}}"#.to_owned()
    }

    fn configure(_settings: String) -> Result<(), Vec<(String, String)>> {
        Ok(())
    }

    fn handle(message: &Message) -> Result<(), Failure> {
        match message.header("x-mood").as_deref() {
            Some("spin") => loop {
                std::hint::black_box(());
            },
            Some("hoard") => {
                let mut hoard: Vec<Vec<u8>> = Vec::new();
                loop {
                    hoard.push(vec![1; 1 << 20]);
                    std::hint::black_box(&hoard);
                }
            }
            Some("trap") => panic!("a bad day"),
            Some("exit") => std::process::exit(3),
            _ => Ok(()),
        }
    }
}

export!(Plugin);
