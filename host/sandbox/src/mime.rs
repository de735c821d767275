//! The sandboxed MIME parser.
//!
//! A small mail can make a MIME parser overflow its stack or take quadratic time, and a stack overflow ends the host. So
//! the parser is a guest with limits of its own. What it answers is believed only as far as `postroom_contract` checks it.

use std::sync::Arc;
use std::time::Duration;

use postroom_contract::{
    Blob, Budget, Cause, FoundNode, FoundTree, Limits, MEMORY_MAX, ParseError, Parser, structure,
};
use postroom_mail::Digest;
use postroom_mail::octets::Octets;
use postroom_mail::rules::neutral;
use postroom_mail::structure::{Encoding, Structure};
use wasmtime::component::Resource;

use crate::bindings::mime::MimePre;
use crate::bindings::mime::exports::postroom::plugin::structure as guest;
use crate::call;
use crate::handles::BlobEntry;
use crate::invocation::Invocation;

/// The MIME parser, loaded.
pub struct Mime {
    pre: MimePre<Invocation>,
    digest: Digest,
    limits: Limits,
}

impl Mime {
    pub(crate) fn new(pre: MimePre<Invocation>, digest: Digest) -> Self {
        let limits = Limits {
            memory: MEMORY_MAX,
            cpu: Duration::from_secs(5),
            wall: Duration::from_secs(30),
            hostcall_octets: 64 << 20,
            ..Limits::default()
        };
        Self { pre, digest, limits }
    }

    /// SHA-256 of the component.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The MIME tree of a raw message.
    ///
    /// # Errors
    /// A text: the message could not be read, or the parser failed on it.
    pub fn structure(&self, octets: &dyn Octets) -> Result<Structure, String> {
        structure(octets, self).map_err(|error| match error {
            ParseError::Flawed(text) | ParseError::Unavailable(text) => text,
            ParseError::Storage(error) => format!("reading the message failed: {error}"),
        })
    }
}

impl Parser for Mime {
    fn parse(&self, octets: &[u8], budget: Budget) -> Result<FoundTree, ParseError> {
        let blob = Arc::new(Blob::made(octets.to_vec()));
        let budget = guest::Budget { nodes: budget.nodes, depth: budget.depth };
        let returned = call::run(self.pre.engine(), Invocation::idle(&self.limits), |store| {
            let handle = store.data_mut().push(BlobEntry(blob))?;
            let guest = self.pre.instantiate(&mut *store)?;
            guest.postroom_plugin_structure().call_parse(store, Resource::new_borrow(handle.rep()), budget)
        });
        match returned.result {
            Ok(Ok(tree)) => {
                Ok(FoundTree { nodes: tree.nodes.into_iter().map(node).collect(), truncated: tree.truncated })
            }
            Ok(Err(text)) => Err(ParseError::flawed(&neutral(&text, 500))),
            Err(cause) => Err(failed(&cause)),
        }
    }
}

impl std::fmt::Debug for Mime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mime").field("digest", &self.digest).finish_non_exhaustive()
    }
}

/// Elapsed time says how busy this machine is: then, too, the mail is not to blame.
fn failed(cause: &Cause) -> ParseError {
    match cause {
        Cause::Busy(_) | Cause::Host(_) | Cause::WallTime { .. } => {
            ParseError::Unavailable(cause.to_string())
        }
        Cause::CpuTime { .. }
        | Cause::Memory { .. }
        | Cause::Limit { .. }
        | Cause::Trap { .. }
        | Cause::Exit(_)
        | Cause::Failed { .. }
        | Cause::OutOfReach { .. } => ParseError::flawed(&format!("the parser {cause}")),
    }
}

fn node(node: guest::Node) -> FoundNode {
    FoundNode {
        parent: node.parent,
        content_type: node.content_type,
        charset: node.charset,
        encoding: match node.encoding {
            guest::Encoding::Identity => Encoding::Identity,
            guest::Encoding::Base64 => Encoding::Base64,
            guest::Encoding::QuotedPrintable => Encoding::QuotedPrintable,
        },
        disposition: node.disposition,
        filename: node.filename,
        content_id: node.content_id,
        header_start: node.header_start,
        body_start: node.body_start,
        body_end: node.body_end,
        is_container: node.is_container,
        damaged: node.damaged,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parser_that_took_long_may_be_tried_again_and_one_that_worked_long_may_not() {
        let limit = Duration::from_secs(1);
        for cause in [Cause::WallTime { limit }, Cause::Busy(String::new()), Cause::Host(String::new())] {
            assert!(matches!(failed(&cause), ParseError::Unavailable(_)), "{cause}");
        }
        let trap = Cause::Trap { what: "unreachable".to_owned(), stderr_tail: String::new() };
        for cause in [Cause::CpuTime { limit }, trap] {
            assert!(matches!(failed(&cause), ParseError::Flawed(_)), "{cause}");
        }
    }
}
