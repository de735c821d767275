//! Finds the MIME tree of a message, RFC 2045 to 2049, inside the sandbox: what a parser bomb costs is this instance.
//!
//! The blob it is given may be a skeleton, with runs of base64 cut out: so nothing here depends on a body's content, and
//! what the parser says about the encoding of a body counts less than the field that declares it.
//!
//! It must not decide what anything is called on disk, nor number the parts: the host does.

mod swallowed;
mod tree;

use mail_parser::MessageParser;
use postroom_sdk::Blob;
use postroom_sdk::structure::{Budget, Parser, Tree};

use crate::tree::Walked;

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

/// The tree of a message. Natively, memory of a hostile one is leaked.
pub fn structure(octets: &[u8], budget: Budget) -> Tree {
    match walked(octets, budget) {
        Some(found) => swallowed::recover(octets, found, budget, walked),
        None => tree::unparsed(octets, budget),
    }
}

fn walked(octets: &[u8], budget: Budget) -> Option<Walked> {
    let parser = MessageParser::new().with_mime_headers().default_header_ignore();
    let message = parser.parse(octets)?;
    let found = tree::walk(&message, octets.len() as u64, budget);
    // Dropping recurses once for every attached message inside another: deep nesting would overflow the stack. The
    // instance ends with this call, and its memory with it.
    std::mem::forget(message);
    Some(found)
}

postroom_sdk::export!(mime Mime);

#[cfg(test)]
mod tests;
