//! Plugins from registries, in the real binary: packed, served over TLS with an authority of its own, pulled by digest, kept;
//! and what a registry that is wrong, strange or gone costs: a start, and never a mail.

use std::path::Path;

use postroom_practice::registry::{Access, Endpoint, RegistryFault};
use postroom_practice::{Authority, Identity, Maildrop, Registry, RegistryConfig, Times};
use postroom_tests::registry::{PASSWORD as WORD, RealRegistry, USER};
use serde_json::Value;

use crate::reload::{Running, eventually};
use crate::support::{ARCHIVE, Bench, account, authority, mail, maildrop};

const REPOSITORY: &str = "team/archive";
const NOTHING: &str = "00000000000000000000000000000000000000000000000000000000000000ff";

/// A bench whose layout holds one plugin, with a maildrop that holds one mail.
struct Scene {
    bench: Bench,
    authority: Authority,
    identity: Identity,
    server: Maildrop,
    /// Of the manifest, as `plugin pack` tells it: `sha256:…`
    digest: String,
}

impl Scene {
    async fn new() -> Self {
        let bench = Bench::new();
        let (authority, identity) = authority(&bench);
        let server = maildrop(&identity, vec![mail("one")]).await;
        bench.secret("word", WORD);
        bench.secret("other-word", "battery staple");
        bench.write("mine.wasm", postroom_bundle::bundled("archive").expect("bundled"));
        let packed = bench.postroom(&["plugin", "pack", "mine.wasm", "--to", "layout", "--json"]).await;
        let packed = packed.expect(0).json();
        let digest = packed["digest"].as_str().expect("a digest").to_owned();
        assert_eq!(packed["plugin"], Value::from(format!("oci-layout:layout@{digest}")));
        Self { bench, authority, identity, server, digest }
    }

    async fn registry(&self, access: Access) -> Registry {
        let config = RegistryConfig::new(self.identity.clone(), &self.bench.path("layout"), REPOSITORY);
        Registry::start(config.access(access)).await.expect("a registry")
    }

    fn in_registry(&self, host: &str) -> String {
        format!("oci://{host}/{REPOSITORY}@{}", self.digest)
    }

    /// A configuration whose one step archives with that plugin.
    fn configure(&self, host: &str, plugin: &str) {
        let registry = format!(
            "[registries.ours]\nhost = \"{host}\"\nuser = \"{USER}\"\npassword = {{ file = \"word\" }}\nca_file = \"ca.pem\"\n"
        );
        let step =
            ARCHIVE.replace("plugin = \"archive\"", &format!("name = \"store\"\nplugin = \"{plugin}\""));
        let account = account("home", self.server.addr().port(), "poll = \"1s\"");
        self.bench.config(&format!("{account}{registry}{step}"));
    }

    fn change(&self, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.bench.path("postroom.toml")).expect("it");
        assert!(text.contains(from), "{from} is not in {text}");
        std::fs::write(self.bench.path("postroom.toml"), text.replace(from, to)).expect("written");
    }

    /// Runs once, after which so many mails are in the sink.
    async fn handled(&self, mails: usize) {
        let (run, _) = self.bench.once().await;
        run.expect(0);
        assert_eq!(self.bench.names("vault").len(), mails, "{run:#?}");
    }

    /// Runs once, which fails and says so; the mail stays where it is.
    async fn refused(&self, words: &[&str]) {
        let run = self.bench.postroom(&["once"]).await;
        run.expect(78).says(words);
        for secret in [WORD, "battery staple"] {
            assert!(!format!("{run:?}").contains(secret), "{run:#?}");
        }
        assert_eq!(self.server.messages("user").len(), 1);
        assert!(self.bench.names("vault").is_empty());
    }
}

fn basic() -> Access {
    Access::Basic { user: USER.to_owned(), password: WORD.to_owned() }
}

fn token() -> Access {
    Access::Token { user: USER.to_owned(), password: WORD.to_owned() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_is_pulled_from_a_registry_runs_and_is_kept_for_when_the_registry_is_gone() {
    for access in [basic(), token()] {
        let scene = Scene::new().await;
        let registry = scene.registry(access).await;
        scene.configure(&registry.host(), &scene.in_registry(&registry.host()));
        scene.handled(1).await;
        assert_eq!(registry.stats().count(Endpoint::Blob), 1, "{:?}", registry.stats());

        drop(registry);
        scene.server.add("user", mail("two"));
        scene.handled(2).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_is_taken_from_a_layout_as_it_was_packed() {
    let scene = Scene::new().await;
    scene.configure("registry.example", &format!("oci-layout:layout@{}", scene.digest));
    scene.handled(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_registry_is_told_and_the_mail_waits_at_the_server() {
    let scene = Scene::new().await;
    let registry = scene.registry(token()).await;
    let (host, digest) = (registry.host(), scene.digest.clone());
    let configure = || scene.configure(&host, &scene.in_registry(&host));

    let changes: [(&str, &str, &[&str]); 4] = [
        (&digest, &format!("sha256:{NOTHING}"), &["has nothing with the digest", NOTHING]),
        ("\"word\"", "\"other-word\"", &["refuses: it gives no token: it answered 401", "[registries.NAME]"]),
        ("\"word\"", "\"no-word\"", &["[registries.ours]", "no-word"]),
        ("ca_file = \"ca.pem\"\n\n[sinks", "[sinks", &["cannot be trusted", "`ca_file` of the table"]),
    ];
    for (from, to, words) in changes {
        configure();
        scene.change(from, to);
        scene.refused(words).await;
    }

    configure();
    let faults: [(RegistryFault, &str); 7] = [
        (RegistryFault::Changed(Endpoint::Manifest), "gave other octets than the digest"),
        (RegistryFault::Changed(Endpoint::Blob), "gave other octets than the digest"),
        (RegistryFault::Longer(Endpoint::Blob), "gave other octets than the digest"),
        (RegistryFault::Endless(Endpoint::Manifest), "has more than the 1048576 octets"),
        (RegistryFault::Endless(Endpoint::Token), "has more than the 65536 octets"),
        (RegistryFault::UselessToken, "refuses: it answered 401"),
        (RegistryFault::Status(Endpoint::Blob, 503), "cannot be asked: it answered 503"),
    ];
    for (fault, words) in faults {
        registry.inject(fault, Times::Always);
        scene.refused(&["pipeline main, step store", words]).await;
        registry.clear_faults();
    }
    scene.handled(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_is_gone_is_told_and_the_mail_waits_at_the_server() {
    let scene = Scene::new().await;
    let registry = scene.registry(basic()).await;
    let host = registry.host();
    drop(registry);
    scene.configure(&host, &scene.in_registry(&host));
    scene.refused(&["cannot be asked"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_host_goes_on_with_what_it_has_while_a_registry_is_wrong() {
    let scene = Scene::new().await;
    let registry = scene.registry(token()).await;
    registry.inject(RegistryFault::Changed(Endpoint::Blob), Times::Always);
    let host = registry.host();
    scene.configure(&host, "archive");
    tokio::task::spawn_blocking(move || {
        let running = Running::start(&scene.bench);
        running.says("retrieved=1");
        scene.change("\"archive\"\ngrants", &format!("\"{}\"\ngrants", scene.in_registry(&host)));
        running.says("the change was not taken");
        running.says("gave other octets than the digest");
        scene.server.add("user", mail("two"));
        eventually(|| scene.bench.names("vault").len() == 2);

        registry.clear_faults();
        scene.change("[registries.ours]", "# mended\n[registries.ours]");
        running.says("are running now");
        drop(registry);
        scene.server.add("user", mail("three"));
        eventually(|| scene.bench.names("vault").len() == 3);
        running.stop();
    })
    .await
    .expect("the test");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_registry_gives_what_was_pushed_to_it() {
    let scene = Scene::new().await;
    let registry = match RealRegistry::start(&scene.identity).await {
        Ok(registry) => registry,
        Err(error) if error.is_unavailable() => {
            return postroom_tests::figure(&format!("not tested: a real registry ({error})"));
        }
        Err(error) => panic!("{error}"),
    };
    let host = registry.host();
    push(&scene, &host).await;
    scene.configure(&host, &scene.in_registry(&host));
    scene.change("\"word\"", "\"other-word\"");
    scene.refused(&["refuses: it answered 401"]).await;
    scene.change("\"other-word\"", "\"word\"");
    scene.change(&scene.digest, &format!("sha256:{NOTHING}"));
    scene.refused(&["has nothing with the digest"]).await;
    scene.change(&format!("sha256:{NOTHING}"), &scene.digest);
    scene.handled(1).await;
    drop(registry);
    scene.server.add("user", mail("two"));
    scene.handled(2).await;
}

/// Pushes the layout as tools do (OCI distribution specification 1.1, "push").
async fn push(scene: &Scene, host: &str) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let trusted = reqwest::Certificate::from_pem(scene.authority.pem().as_bytes()).expect("a certificate");
    let client = reqwest::Client::builder().tls_certs_merge([trusted]).build().expect("a client");
    let root = format!("https://{host}/v2/{REPOSITORY}");
    let blobs = scene.bench.path("layout/blobs/sha256");
    let octets = |name: &str| std::fs::read(Path::new(&blobs).join(name)).expect("a blob");
    let manifest = scene.digest.trim_start_matches("sha256:");
    let names = scene.bench.names("layout/blobs/sha256");
    for name in names.iter().filter(|name| *name != manifest) {
        let begun = client.post(format!("{root}/blobs/uploads/")).basic_auth(USER, Some(WORD)).send();
        let begun = begun.await.expect("an answer");
        let place = begun.headers()["location"].to_str().expect("a URL");
        let place = begun.url().join(place).expect("a URL");
        let joint = if place.query().is_some() { '&' } else { '?' };
        let put = client.put(format!("{place}{joint}digest=sha256:{name}")).basic_auth(USER, Some(WORD));
        let put = put.body(octets(name)).send().await.expect("an answer");
        assert_eq!(put.status(), 201, "{name}");
    }
    let put = client.put(format!("{root}/manifests/{}", scene.digest)).basic_auth(USER, Some(WORD));
    let put = put.header("content-type", "application/vnd.oci.image.manifest.v1+json").body(octets(manifest));
    assert_eq!(put.send().await.expect("an answer").status(), 201);
}
