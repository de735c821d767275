//! Owns the closed sets of what a registry is asked and of what it can do wrong. Must not act.

/// Where a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `/v2/`, where clients look how they are let in.
    Root,
    /// `/v2/NAME/manifests/sha256:…`
    Manifest,
    /// `/v2/NAME/blobs/sha256:…`
    Blob,
    /// `/token`, which gives tokens.
    Token,
}

/// One thing a registry does wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegistryFault {
    /// Answers with this status and a body that is no error of the specification.
    Status(Endpoint, u16),
    /// Answers with one octet more than there is.
    Longer(Endpoint),
    /// Answers with as many octets as there are, one of them another.
    Changed(Endpoint),
    /// Answers 200 and never comes to an end, as fast as the client reads.
    Endless(Endpoint),
    /// Answers 200 with so many octets announced, and sends none.
    Announced(Endpoint, u64),
    /// Answers 307 to the same path of another registry.
    Redirect(Endpoint, String),
    /// Gives tokens that it does not take.
    UselessToken,
    /// Takes no token but the last one it gave, and each of them once: they run out at once.
    ShortToken,
}

impl RegistryFault {
    /// Whether the fault belongs to this endpoint.
    pub(super) fn at(&self, endpoint: Endpoint) -> bool {
        match self {
            Self::Status(of, _)
            | Self::Longer(of)
            | Self::Changed(of)
            | Self::Endless(of)
            | Self::Announced(of, _)
            | Self::Redirect(of, _) => *of == endpoint,
            Self::UselessToken => endpoint == Endpoint::Token,
            Self::ShortToken => matches!(endpoint, Endpoint::Manifest | Endpoint::Blob),
        }
    }
}
