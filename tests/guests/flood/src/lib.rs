//! Logs, makes and asks without end, and goes on when refused.

wit_bindgen::generate!({ path: "../../../sdk/wit", world: "plugin" });

use exports::postroom::plugin::handler::{Failure, Guest};
use postroom::plugin::mail::Message;
use postroom::plugin::content::Writer;
use postroom::plugin::{effects, log};

struct Plugin;

impl Guest for Plugin {
    fn describe() -> String {
        r#"{"name":"flood","version":"0.0.0","description":"Logs, makes and asks without end, and goes on when refused.","settings":{}}"#.to_owned()
    }

    fn configure(_settings: String) -> Result<(), Vec<(String, String)>> {
        Ok(())
    }

    fn handle(message: &Message) -> Result<(), Failure> {
        let line = "x".repeat(100_000);
        let mut refused = 0_u32;
        for round in 0..2_000_u32 {
            log::emit(log::Level::Info, &line, &[(line.clone(), line.clone())]);
            if round % 100 == 0 {
                println!("{line}");
                eprintln!("{line}");
            }
            let key = format!("flood/{round}");
            let writer = Writer::new();
            let made = writer.write(line.as_bytes()).and_then(|()| writer.finish());
            let stored = made.and_then(|blob| effects::store("vault", &key, &blob, &[]).map(drop));
            let labelled = effects::label(&key);
            refused += u32::from(stored.is_err()) + u32::from(labelled.is_err());
        }
        match (refused, message.size()) {
            (0, _) => Err(Failure::Permanent("nothing was refused".to_owned())),
            _ => Ok(()),
        }
    }
}

export!(Plugin);
