//! Owns the closed sets of the endpoints and of what a token server can do wrong. Must not act.

/// Where a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `/authorize` (RFC 6749 section 3.1); agrees at once.
    Authorize,
    /// `/device` (RFC 8628 section 3.1)
    Device,
    /// `/token` (RFC 6749 section 3.2)
    Token,
}

impl Endpoint {
    /// The path of its URL.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Self::Authorize => "/authorize",
            Self::Device => "/device",
            Self::Token => "/token",
        }
    }

    pub(super) fn of(path: &str) -> Option<Self> {
        [Self::Authorize, Self::Device, Self::Token].into_iter().find(|endpoint| endpoint.path() == path)
    }
}

/// One thing a token server does wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenFault {
    /// Answers with this status and no OAuth error; nothing is issued.
    Status(Endpoint, u16),
    /// Answers with this status, `Retry-After` in seconds, and no OAuth error.
    RetryAfter(Endpoint, u16, u64),
    /// Answers 400 with this error code and description, e.g. `slow_down` or `authorization_pending`. `{secrets}` in the
    /// description becomes all parameters of the request.
    Error(Endpoint, String, String),
    /// Answers 200 with this body, which need not be JSON.
    Garbage(Endpoint, Vec<u8>),
    /// Answers 200 with a body of this many octets.
    Huge(Endpoint, usize),
    /// Answers 307 to this URL.
    Redirect(Endpoint, String),
    /// Does what was asked, then cuts the connection instead of answering: the client cannot know.
    Drop(Endpoint),
    /// Does what was asked, but answers only after [`super::TokenServer::release`].
    Hold(Endpoint),
    /// Never answers; the connection stays open. Nothing is issued.
    Silent(Endpoint),
    /// `/authorize` sends the browser back with another state.
    WrongState,
}

impl TokenFault {
    /// Whether the fault belongs to this endpoint.
    pub(super) fn at(&self, endpoint: Endpoint) -> bool {
        match self {
            Self::Status(of, _)
            | Self::RetryAfter(of, ..)
            | Self::Error(of, ..)
            | Self::Garbage(of, _)
            | Self::Huge(of, _)
            | Self::Redirect(of, _)
            | Self::Drop(of)
            | Self::Hold(of)
            | Self::Silent(of) => *of == endpoint,
            Self::WrongState => endpoint == Endpoint::Authorize,
        }
    }
}
