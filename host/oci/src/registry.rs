//! Pulling from a registry (OCI distribution specification 1.1), with HTTP Basic or a token as it wants. What was pulled is
//! kept in a layout, so that whoever asks there first need not pull it again: a digest cannot come to mean anything else.
//!
//! No answer is read further than its kind may be long: a registry that lies costs time, not memory.

use std::sync::Arc;
use std::time::Duration;

use postroom_mail::Digest;
use reqwest::header::{ACCEPT, WWW_AUTHENTICATE};
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;

use crate::artifact::{MANIFEST, Part, Parts};
use crate::challenge::Challenge;
use crate::{Error, Layout, MANIFEST_CAP, Plugin, TOKEN_CAP, http};

/// For everything.
const WHOLE: Duration = Duration::from_secs(300);
/// Of what is no manifest.
const OCTETS: &str = "application/octet-stream";

/// Whom a registry may be taken for.
#[derive(Clone)]
pub enum Trust {
    /// Who shows a certificate that this takes.
    Tls(Arc<rustls::ClientConfig>),
    /// Anybody, without TLS: only for a registry on this very machine.
    Plaintext,
}

/// A name and a password for it.
#[derive(Clone)]
pub struct Login {
    /// The name.
    pub user: String,
    /// The password or token.
    pub password: String,
}

/// A registry to pull from.
pub struct Registry {
    client: Client,
    host: String,
    root: Url,
    login: Option<Login>,
}

impl Registry {
    /// The registry at a host.
    ///
    /// # Errors
    /// When the trust is not usable, or the host is none.
    pub fn new(host: &str, login: Option<Login>, trust: &Trust) -> Result<Self, Error> {
        let scheme = match trust {
            Trust::Tls(_) => "https",
            Trust::Plaintext => "http",
        };
        let root = Url::parse(&format!("{scheme}://{host}/v2/"))
            .map_err(|error| Error::Unreachable { registry: host.to_owned(), problem: error.to_string() })?;
        Ok(Self { client: http::client(host, trust)?, host: host.to_owned(), root, login })
    }

    /// The plugin whose manifest has that digest; it is kept in `kept`.
    ///
    /// # Errors
    /// When it is not there, is not what its digest says, or the registry does not answer.
    pub async fn pull(&self, repository: &str, digest: &Digest, kept: &Layout) -> Result<Plugin, Error> {
        let mut pull = Pull { registry: self, repository, proof: None };
        let pulled = tokio::time::timeout(WHOLE, pull.plugin(digest)).await;
        let (manifest, plugin) =
            pulled.map_err(|_| self.unreachable(format!("it was not done after {WHOLE:?}")))??;
        kept.keep(&manifest, &plugin.component, plugin.signature.as_deref())?;
        Ok(plugin)
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, Error> {
        request.send().await.map_err(|error| http::failed(&self.host, error))
    }

    async fn read(&self, answer: Response, limit: u64) -> Result<Option<Vec<u8>>, Error> {
        http::read(answer, limit).await.map_err(|error| http::failed(&self.host, error))
    }

    fn refused(&self, problem: impl Into<String>) -> Error {
        Error::Refused { registry: self.host.clone(), problem: problem.into() }
    }

    fn unreachable(&self, problem: impl Into<String>) -> Error {
        Error::Unreachable { registry: self.host.clone(), problem: problem.into() }
    }
}

/// What is shown with each request.
enum Proof<'a> {
    Password(&'a Login),
    Token(String),
}

impl Proof<'_> {
    fn on(&self, request: RequestBuilder) -> RequestBuilder {
        match self {
            Self::Password(Login { user, password }) => request.basic_auth(user, Some(password)),
            Self::Token(token) => request.bearer_auth(token),
        }
    }
}

/// One plugin being pulled.
struct Pull<'a> {
    registry: &'a Registry,
    repository: &'a str,
    /// What the registry wanted to see.
    proof: Option<Proof<'a>>,
}

impl<'a> Pull<'a> {
    async fn plugin(&mut self, digest: &Digest) -> Result<(Vec<u8>, Plugin), Error> {
        let host = &self.registry.host;
        let answer = self.get("manifests", digest, MANIFEST).await?;
        let manifest = self.registry.read(answer, MANIFEST_CAP).await?.ok_or_else(|| Error::Overlong {
            what: "the manifest",
            place: host.clone(),
            limit: MANIFEST_CAP,
        })?;
        let parts = Parts::read(&manifest, digest, host)?;
        let component = self.part(&parts.component).await?;
        let signature = match &parts.signature {
            None => None,
            Some(part) => Some(String::from_utf8_lossy(&self.part(part).await?).into_owned()),
        };
        Ok((manifest, Plugin { component, signature }))
    }

    async fn part(&mut self, part: &Part) -> Result<Vec<u8>, Error> {
        let host = &self.registry.host;
        part.check(part.size, host)?;
        let answer = self.get("blobs", &part.digest, OCTETS).await?;
        // More than the manifest says is something else than the manifest says.
        let octets = self.registry.read(answer, part.size).await?;
        let octets =
            octets.ok_or_else(|| Error::Changed { place: host.clone(), digest: Box::new(part.digest) })?;
        part.verify(&octets, host)?;
        Ok(octets)
    }

    /// The answer with what has that digest. A registry says what it wants to see when it does not see it, which is also how a
    /// token that has run out is told.
    async fn get(&mut self, kind: &str, digest: &Digest, accept: &str) -> Result<Response, Error> {
        let mut answer = self.ask(kind, digest, accept).await?;
        if answer.status() == StatusCode::UNAUTHORIZED && self.is_registry(answer.url()) {
            self.proof = Some(self.prove(answer).await?);
            answer = self.ask(kind, digest, accept).await?;
        }
        match answer.status() {
            StatusCode::OK => Ok(answer),
            StatusCode::NOT_FOUND => {
                Err(Error::Missing { place: self.registry.host.clone(), digest: Box::new(*digest) })
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Err(self.registry.refused(http::complaint(answer).await))
            }
            _ => Err(self.registry.unreachable(http::complaint(answer).await)),
        }
    }

    async fn ask(&self, kind: &str, digest: &Digest, accept: &str) -> Result<Response, Error> {
        let Registry { client, root, .. } = self.registry;
        let path = format!("{}/{kind}/sha256:{digest}", self.repository);
        let url = root.join(&path).map_err(|error| self.registry.unreachable(error.to_string()))?;
        let request = client.get(url).header(ACCEPT, accept);
        self.registry
            .send(match &self.proof {
                Some(proof) => proof.on(request),
                None => request,
            })
            .await
    }

    /// A store that the registry sent to may not ask for the registry's password.
    fn is_registry(&self, url: &Url) -> bool {
        url.origin() == self.registry.root.origin()
    }

    async fn prove(&self, answer: Response) -> Result<Proof<'a>, Error> {
        let fields =
            answer.headers().get_all(WWW_AUTHENTICATE).iter().filter_map(|field| field.to_str().ok());
        let registry: &'a Registry = self.registry;
        match (Challenge::read(fields), &registry.login) {
            (None, _) => Err(self.registry.refused(http::complaint(answer).await)),
            (Some(Challenge::Basic), None) => Err(self.registry.refused("it wants a name and a password")),
            (Some(Challenge::Basic), Some(login)) => Ok(Proof::Password(login)),
            (Some(Challenge::Bearer { realm, service }), login) => {
                self.token(&realm, service.as_deref(), login.as_ref()).await.map(Proof::Token)
            }
        }
    }

    /// A token for pulling from this repository, and for nothing more.
    async fn token(
        &self,
        realm: &str,
        service: Option<&str>,
        login: Option<&Login>,
    ) -> Result<String, Error> {
        let registry = self.registry;
        let mut realm = Url::parse(realm)
            .map_err(|error| registry.unreachable(format!("where it gives tokens is no URL ({error})")))?;
        // Without TLS only to this very machine, where the registry is.
        if realm.scheme() != "https" && realm.host_str() != registry.root.host_str() {
            return Err(registry.refused("it wants its password to be sent elsewhere without TLS"));
        }
        realm.query_pairs_mut().append_pair("scope", &format!("repository:{}:pull", self.repository));
        if let Some(service) = service {
            realm.query_pairs_mut().append_pair("service", service);
        }
        let mut request = registry.client.get(realm);
        if let Some(login) = login {
            request = Proof::Password(login).on(request);
        }
        let answer = registry.send(request).await?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                let said = http::complaint(answer).await;
                return Err(registry.refused(format!("it gives no token: {said}")));
            }
            _ => {
                let said = http::complaint(answer).await;
                return Err(registry.unreachable(format!("it gives no token: {said}")));
            }
        }
        let octets = registry.read(answer, TOKEN_CAP).await?.ok_or_else(|| Error::Overlong {
            what: "the token",
            place: registry.host.clone(),
            limit: TOKEN_CAP,
        })?;
        token(&octets).ok_or_else(|| registry.unreachable("its answer holds no token"))
    }
}

/// What holds a token. Registries call it by either name.
#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

fn token(octets: &[u8]) -> Option<String> {
    let Token { token, access_token } = serde_json::from_slice(octets).ok()?;
    // Another character would be no header field.
    let is_token = |text: &String| !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_graphic());
    token.or(access_token).filter(is_token)
}
