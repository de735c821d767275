//! Pulling from the practice registry, over TLS with an authority of its own, as registries let somebody in; and what a
//! registry that lies, fails or never comes to an end gets.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use postroom_mail::Digest;
use postroom_oci::{COMPONENT_CAP, Error, Layout, Login, MANIFEST_CAP, Plugin, Registry, TOKEN_CAP, Trust};
use postroom_practice::registry::{Access, Endpoint, Proof, RegistryFault};
use postroom_practice::{Authority, CertificateKind, Times};
use postroom_practice::{Registry as Practice, RegistryConfig};
use tempfile::TempDir;

const REPOSITORY: &str = "team/receipts";
/// What may be on its way when a client breaks off: buffers of both sides.
const BUFFERS: u64 = 24 << 20;

/// A registry with one plugin, and where a client keeps what it pulls.
struct Bench {
    there: TempDir,
    here: TempDir,
    digest: Digest,
    authority: Authority,
}

impl Bench {
    fn new() -> Self {
        let (there, here) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let digest = Layout::at(there.path()).write(&plugin()).unwrap();
        Self { there, here, digest, authority: Authority::new().unwrap() }
    }

    fn config(&self) -> RegistryConfig {
        let identity = self.authority.issue(CertificateKind::Good).unwrap();
        RegistryConfig::new(identity, self.there.path(), REPOSITORY)
    }

    async fn start(&self, access: Access) -> Practice {
        Practice::start(self.config().access(access)).await.unwrap()
    }

    fn kept(&self) -> Layout {
        Layout::at(self.here.path())
    }

    fn trust(&self) -> Trust {
        trusting(&self.authority)
    }

    async fn pull(&self, practice: &Practice) -> Result<Plugin, Error> {
        self.pull_as(practice, Some(login("word"))).await
    }

    async fn pull_as(&self, practice: &Practice, login: Option<Login>) -> Result<Plugin, Error> {
        let registry = Registry::new(&practice.host(), login, &self.trust())?;
        let kept = self.kept();
        let pulled = registry.pull(REPOSITORY, &self.digest, &kept);
        tokio::time::timeout(Duration::from_secs(60), pulled).await.unwrap()
    }

    /// What a registry with this fault gets.
    async fn refused(&self, fault: RegistryFault) -> Error {
        let practice = self.start(token()).await;
        practice.inject(fault, Times::Always);
        let refused = self.pull(&practice).await.unwrap_err();
        assert!(self.kept().read(&self.digest).is_err(), "nothing of it is kept");
        assert!(!refused.to_string().contains("word"), "{refused}");
        refused
    }
}

/// Trusts that authority alone.
fn trusting(authority: &Authority) -> Trust {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(authority.der()).unwrap();
    let builder = rustls::ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    Trust::Tls(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}

fn plugin() -> Plugin {
    Plugin { component: b"\0asm component".to_vec(), signature: Some("signature".to_owned()) }
}

fn login(password: &str) -> Login {
    Login { user: "me".to_owned(), password: password.to_owned() }
}

fn basic() -> Access {
    Access::Basic { user: "me".to_owned(), password: "word".to_owned() }
}

fn token() -> Access {
    Access::Token { user: "me".to_owned(), password: "word".to_owned() }
}

#[tokio::test]
async fn a_plugin_is_pulled_whole_and_kept_however_the_registry_lets_somebody_in() {
    for (access, proof) in [(Access::Open, Proof::None), (basic(), Proof::Basic), (token(), Proof::Token)] {
        let bench = Bench::new();
        let practice = bench.start(access).await;
        assert_eq!(bench.pull(&practice).await.unwrap(), plugin());
        assert_eq!(bench.kept().read(&bench.digest).unwrap(), plugin(), "it need not be asked for again");
        let stats = practice.stats();
        let given: Vec<_> = stats.asked.iter().filter(|asked| asked.status == 200).collect();
        assert_eq!(given.iter().filter(|asked| asked.endpoint == Endpoint::Blob).count(), 2);
        assert!(given.iter().all(|asked| asked.proof == proof || asked.endpoint == Endpoint::Token));
        assert_eq!(stats.count(Endpoint::Token), usize::from(proof == Proof::Token), "one token is enough");
    }
}

#[tokio::test]
async fn a_registry_on_this_machine_may_be_asked_without_tls() {
    let bench = Bench::new();
    let practice = Practice::start(bench.config().plain().access(token())).await.unwrap();
    let trust = Trust::Plaintext;
    let registry = Registry::new(&practice.host(), Some(login("word")), &trust).unwrap();
    let pulled = registry.pull(REPOSITORY, &bench.digest, &bench.kept()).await.unwrap();
    assert_eq!(pulled, plugin());
}

#[tokio::test]
async fn a_registry_of_a_strange_authority_is_not_asked() {
    let bench = Bench::new();
    let practice = bench.start(basic()).await;
    let trust = trusting(&Authority::new().unwrap());
    let registry = Registry::new(&practice.host(), Some(login("word")), &trust).unwrap();
    let refused = registry.pull(REPOSITORY, &bench.digest, &bench.kept()).await.unwrap_err();
    assert!(matches!(refused, Error::Untrusted { .. }) && !refused.is_passing(), "{refused}");
    let text = refused.to_string();
    assert!(text.contains("invalid peer certificate") && text.contains("`ca_file`"), "{text}");
    assert_eq!(practice.stats().asked, []);
}

#[tokio::test]
async fn a_wrong_password_and_none_are_refused_and_not_shown() {
    for access in [basic(), token()] {
        for given in [None, Some(login("secret"))] {
            let bench = Bench::new();
            let practice = bench.start(access.clone()).await;
            let refused = bench.pull_as(&practice, given.clone()).await.unwrap_err();
            assert!(matches!(refused, Error::Refused { .. }) && !refused.is_passing(), "{refused}");
            let text = refused.to_string();
            assert!(text.contains("`user` and `password`") && !text.contains("secret"), "{text}");
            assert!(practice.stats().asked.len() <= 2, "it is not tried again: {:?}", practice.stats());
        }
    }
}

#[tokio::test]
async fn a_token_that_is_not_taken_is_not_asked_for_again_and_one_that_ran_out_is() {
    let bench = Bench::new();
    let practice = bench.start(token()).await;
    practice.inject(RegistryFault::UselessToken, Times::Always);
    let refused = bench.pull(&practice).await.unwrap_err();
    assert!(matches!(refused, Error::Refused { .. }), "{refused}");
    assert_eq!(practice.stats().count(Endpoint::Token), 1);

    let practice = bench.start(token()).await;
    practice.inject(RegistryFault::ShortToken, Times::Always);
    assert_eq!(bench.pull(&practice).await.unwrap(), plugin());
    assert_eq!(practice.stats().count(Endpoint::Token), 3, "one for each content");
}

#[tokio::test]
async fn where_a_registry_sends_to_gets_no_password_and_no_token() {
    let bench = Bench::new();
    let practice = bench.start(basic()).await;
    let store = bench.start(Access::Open).await;
    practice.inject(RegistryFault::Redirect(Endpoint::Blob, store.host()), Times::Always);
    assert_eq!(bench.pull(&practice).await.unwrap(), plugin());
    assert!(store.stats().asked.iter().all(|asked| asked.proof == Proof::None), "{:?}", store.stats());
    assert_eq!(store.stats().count(Endpoint::Blob), 2);

    let bench = Bench::new();
    for access in [basic(), token()] {
        let (practice, thief) = (bench.start(basic()).await, bench.start(access).await);
        practice.inject(RegistryFault::Redirect(Endpoint::Blob, thief.host()), Times::Always);
        let refused = bench.pull(&practice).await.unwrap_err();
        assert!(matches!(refused, Error::Refused { .. }), "{refused}");
        let stats = thief.stats();
        assert!(stats.asked.iter().all(|asked| asked.proof == Proof::None), "{stats:?}");
        assert_eq!(stats.count(Endpoint::Token), 0);
    }
}

#[tokio::test]
async fn what_is_not_there_is_missing() {
    let bench = Bench::new();
    let practice = bench.start(token()).await;
    for gone in [Digest::of(b"signature"), Digest::of(b"\0asm component"), bench.digest] {
        std::fs::remove_file(bench.there.path().join("blobs/sha256").join(gone.to_string())).unwrap();
        let missing = bench.pull(&practice).await.unwrap_err();
        assert!(matches!(&missing, Error::Missing { digest, .. } if **digest == gone), "{missing}");
    }
}

#[tokio::test]
async fn octets_that_the_digest_does_not_name_are_refused() {
    let bench = Bench::new();
    for endpoint in [Endpoint::Manifest, Endpoint::Blob] {
        for fault in [RegistryFault::Changed(endpoint), RegistryFault::Longer(endpoint)] {
            let changed = bench.refused(fault.clone()).await;
            assert!(matches!(changed, Error::Changed { .. }), "{fault:?}: {changed}");
        }
    }
}

#[tokio::test]
async fn an_answer_without_end_costs_no_more_than_its_kind_may_have() {
    let cases = [
        (Endpoint::Manifest, MANIFEST_CAP, "the manifest of localhost:"),
        (Endpoint::Token, TOKEN_CAP, "the token of localhost:"),
        (Endpoint::Blob, COMPONENT_CAP, "other octets than the digest"),
    ];
    for (endpoint, limit, words) in cases {
        let bench = Bench::new();
        let practice = bench.start(token()).await;
        practice.inject(RegistryFault::Endless(endpoint), Times::Always);
        let refused = bench.pull(&practice).await.unwrap_err().to_string();
        assert!(refused.contains(words), "{refused}");
        let broken_off = practice.wait_until(|stats| stats.broken_off == 1);
        let stats = tokio::time::timeout(Duration::from_secs(60), broken_off).await.unwrap();
        assert!(stats.endless < limit.min(1 << 20) + BUFFERS, "{endpoint:?}: {} octets", stats.endless);
    }
}

#[tokio::test]
async fn an_answer_that_is_announced_too_long_is_not_read_at_all() {
    let bench = Bench::new();
    for (endpoint, octets) in [(Endpoint::Manifest, MANIFEST_CAP + 1), (Endpoint::Token, u64::MAX / 2)] {
        let refused = bench.refused(RegistryFault::Announced(endpoint, octets)).await;
        assert!(matches!(refused, Error::Overlong { .. }) && !refused.is_passing(), "{refused}");
    }
}

#[tokio::test]
async fn a_registry_that_fails_may_be_asked_again_later() {
    let bench = Bench::new();
    for endpoint in [Endpoint::Manifest, Endpoint::Blob, Endpoint::Token] {
        for status in [429, 500, 503] {
            let failed = bench.refused(RegistryFault::Status(endpoint, status)).await;
            assert!(matches!(failed, Error::Unreachable { .. }) && failed.is_passing(), "{failed}");
            assert!(failed.to_string().contains(&format!("it answered {status}")), "{failed}");
        }
    }
    let gone = bench.start(Access::Open).await;
    let registry = Registry::new(&gone.host(), None, &bench.trust()).unwrap();
    drop(gone);
    let failed = registry.pull(REPOSITORY, &bench.digest, &bench.kept()).await.unwrap_err();
    assert!(matches!(failed, Error::Unreachable { .. }) && failed.is_passing(), "{failed}");
}
