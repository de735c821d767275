//! Looks around on the machine.

wit_bindgen::generate!({ path: "../../../sdk/wit", world: "plugin" });

use exports::postroom::plugin::handler::{Failure, Guest};
use postroom::plugin::mail::Message;

struct Plugin;

impl Guest for Plugin {
    fn describe() -> String {
        r#"{"name":"snoop","version":"0.0.0","description":"Looks around on the machine.","settings":{}}"#.to_owned()
    }

    fn configure(_settings: String) -> Result<(), Vec<(String, String)>> {
        Ok(())
    }

    fn handle(message: &Message) -> Result<(), Failure> {
        let hosts = std::fs::read_to_string("/etc/hosts").map_err(|error| Failure::Permanent(error.to_string()))?;
        let peer = std::net::TcpStream::connect("127.0.0.1:25").map(|stream| stream.peer_addr().is_ok());
        Err(Failure::Permanent(format!("{} {} {peer:?}", message.size(), hosts.len())))
    }
}

export!(Plugin);
