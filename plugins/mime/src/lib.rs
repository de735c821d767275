//! Finds the MIME tree of a message, RFC 2045 to 2049, inside the sandbox: what a parser bomb costs is this instance.
//!
//! The parsing is `postroom-mime`, which plugins that open containers use as well. It must not decide what anything is
//! called on disk, nor number the parts: the host does.

pub use postroom_mime::structure;
use postroom_sdk::Blob;
use postroom_sdk::structure::{Budget, Parser, Tree};

/// Largest blob parsed, octets.
const LARGEST: u64 = 64 << 20;

/// The parser.
#[derive(Debug)]
pub struct Mime;

impl Parser for Mime {
    fn parse(message: &Blob, budget: Budget) -> Result<Tree, String> {
        let octets = message.read_all(LARGEST).map_err(|fault| fault.to_string())?;
        Ok(structure(&octets, budget))
    }
}

postroom_sdk::export!(mime Mime);
