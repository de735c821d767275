//! Owns the tests against a real authorization server over TLS. Must not wait by sleeping or leave loopback.

mod bearer;
mod command;
mod flows;
mod kept;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use postroom_practice::token::{Endpoint, TokenServer, TokenServerConfig};
use postroom_practice::{Authority, CertificateKind};
use zeroize::Zeroizing;

use crate::*;

pub(super) const SECRET: &str = "canary-client-secret";

pub(super) struct World {
    pub(super) authority: Authority,
    pub(super) server: TokenServer,
    pub(super) http: Http,
    pub(super) client: Arc<Client>,
    pub(super) directory: tempfile::TempDir,
    pub(super) file: TokenFile,
}

pub(super) fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_000_000 + seconds)
}

pub(super) fn trust(authority: &Authority, limit: Duration) -> Http {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(authority.der()).unwrap();
    let builder =
        rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let tls = builder.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
    Http::new(tls.with_no_client_auth(), limit).unwrap()
}

pub(super) fn client_of(server: &TokenServer, secret: &str) -> Arc<Client> {
    let mut provider = Provider::find("generic").unwrap();
    provider.authorization_endpoint = Some(server.url(Endpoint::Authorize));
    provider.device_endpoint = Some(server.url(Endpoint::Device));
    provider.token_endpoint = Some(server.url(Endpoint::Token));
    provider.scopes = vec!["mail".into(), "offline_access".into()];
    let secret = Some(Zeroizing::new(secret.to_owned()));
    Arc::new(Client::new("work", &provider, "client", secret, None).unwrap())
}

impl World {
    pub(super) async fn new() -> Self {
        Self::with(|config| config).await
    }

    pub(super) async fn with(change: impl FnOnce(TokenServerConfig) -> TokenServerConfig) -> Self {
        let authority = Authority::new().unwrap();
        let identity = authority.issue(CertificateKind::Good).unwrap();
        let config = TokenServerConfig::new(identity, "client").client_secret(SECRET);
        let server = TokenServer::start(change(config)).await.unwrap();
        let http = trust(&authority, Duration::from_secs(20));
        let client = client_of(&server, SECRET);
        let directory = tempfile::tempdir().unwrap();
        let file = TokenFile::at(directory.path().join("work.json"));
        Self { authority, server, http, client, directory, file }
    }

    pub(super) async fn grant(&self) -> Grant {
        let flow = DeviceFlow::begin(&self.http, &self.client).await.unwrap();
        flow.wait(&self.http, || at(0), |_| std::future::ready(())).await.unwrap()
    }

    /// A user signs in at second 0; the token lives an hour.
    pub(super) async fn signed_in(&self) -> Tokens {
        let grant = self.grant().await;
        self.file.keep(&grant, &self.client, at(0)).unwrap();
        self.tokens()
    }

    /// As after a restart: nothing is known but the file.
    pub(super) fn tokens(&self) -> Tokens {
        let (http, client, file) = (self.http.clone(), Arc::clone(&self.client), self.file.clone());
        Tokens::new(Source::SignIn { http, client, file })
    }

    pub(super) fn on_disk(&self, field: &str) -> String {
        let text = std::fs::read_to_string(self.file.path()).unwrap();
        serde_json::from_str::<serde_json::Value>(&text).unwrap()[field].as_str().unwrap().to_owned()
    }

    pub(super) fn refreshes(&self) -> usize {
        self.server.stats().grants("refresh_token")
    }
}
