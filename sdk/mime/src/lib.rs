//! The MIME tree of octets (RFC 2045 to 2049), the names of files in it (RFC 2231, RFC 2047), and transfer encodings, as
//! guests need them: the bundled `mime` component, and plugins that open what a message contains.
//!
//! The octets may be a skeleton, with runs of base64 cut out: so the tree depends on no body's content, and what the
//! parser says about the encoding of a body counts less than the field that declares it.
//!
//! It must not decide what anything is called on disk, nor number the parts: the host does.

pub mod names;
mod swallowed;
pub mod transfer;
mod tree;
pub mod words;

use mail_parser::MessageParser;
use postroom_sdk::structure::{Budget, Tree};

use crate::tree::Walked;

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
    let found = tree::walk(&message, octets, budget);
    // Dropping recurses once for every attached message inside another: deep nesting would overflow the stack. The
    // instance ends with this call, and its memory with it.
    std::mem::forget(message);
    Some(found)
}

#[cfg(test)]
mod tests;
