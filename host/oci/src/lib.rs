//! Plugins that are kept as OCI artifacts (OCI image and distribution specifications 1.1): in a registry, or in a layout on
//! disk. Everything is named by digest and checked against it; a tag, which can be moved, names nothing here.
//!
//! Must not know the configuration, run anything, or decide whether a plugin is trusted.

mod artifact;
mod challenge;
mod http;
mod layout;
mod reference;
mod registry;

use std::path::PathBuf;

use postroom_mail::Digest;

pub use artifact::{COMPONENT, SIGNATURE};
pub use layout::Layout;
pub use reference::{Place, Reference, ReferenceError};
pub use registry::{Login, Registry, Trust};

/// Octets of a component.
pub const COMPONENT_CAP: u64 = 64 << 20;
/// Octets of a manifest.
pub const MANIFEST_CAP: u64 = 1 << 20;
/// Octets of a signature.
pub const SIGNATURE_CAP: u64 = 4 << 10;
/// Octets of a registry's answer with a token.
pub const TOKEN_CAP: u64 = 64 << 10;

/// What was found under a digest. Both parts are what the digest says; whether they belong together is the signature's to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plugin {
    /// The component.
    pub component: Vec<u8>,
    /// A minisign signature of it, when there is one.
    pub signature: Option<String>,
}

/// Why there is no plugin.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is nothing of that digest.
    #[error(
        "{place} has nothing with the digest sha256:{digest}: was it removed, or is the digest another's?"
    )]
    Missing {
        /// Where it was looked for.
        place: String,
        /// What was looked for.
        digest: Box<Digest>,
    },
    /// What is there is not what the digest says.
    #[error(
        "{place} gave other octets than the digest sha256:{digest} names: it is damaged, or somebody changed it"
    )]
    Changed {
        /// Where it came from.
        place: String,
        /// What it should be.
        digest: Box<Digest>,
    },
    /// It is larger than anything of its kind may be.
    #[error("{what} at {place} has {size} octets, {limit} are allowed")]
    TooLarge {
        /// The part.
        what: &'static str,
        /// Where it is.
        place: String,
        /// So many.
        size: u64,
        /// Allowed.
        limit: u64,
    },
    /// It goes on after all that anything of its kind may have; the rest was not read.
    #[error("{what} of {place} has more than the {limit} octets that are allowed")]
    Overlong {
        /// The part.
        what: &'static str,
        /// Where it is.
        place: String,
        /// Allowed.
        limit: u64,
    },
    /// It is something else: a container image, or another kind of artifact.
    #[error("{place} holds no plugin: {problem}")]
    NoPlugin {
        /// Where it is.
        place: String,
        /// What it is instead.
        problem: String,
    },
    /// The registry wants a login, or another one.
    #[error(
        "{registry} refuses: {problem}; its login is `user` and `password` of the table [registries.NAME] whose `host` it is"
    )]
    Refused {
        /// The registry.
        registry: String,
        /// In its words.
        problem: String,
    },
    /// Nobody says that it is the registry.
    #[error(
        "{registry} cannot be trusted: {problem}; an authority of your own is `ca_file` of the table [registries.NAME] whose `host` it is"
    )]
    Untrusted {
        /// The registry.
        registry: String,
        /// Why.
        problem: String,
    },
    /// The registry could not be asked.
    #[error("{registry} cannot be asked: {problem}")]
    Unreachable {
        /// The registry.
        registry: String,
        /// Why.
        problem: String,
    },
    /// The disk.
    #[error("{}: {source}", path.display())]
    File {
        /// Of the file.
        path: PathBuf,
        /// What is wrong.
        source: std::io::Error,
    },
}

impl Error {
    /// Whether asking again later may help.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::File { .. } => true,
            Self::Missing { .. } | Self::Changed { .. } | Self::TooLarge { .. } => false,
            Self::NoPlugin { .. } | Self::Refused { .. } => false,
            Self::Overlong { .. } | Self::Untrusted { .. } => false,
        }
    }
}
