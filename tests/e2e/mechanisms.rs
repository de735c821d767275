//! Every way to log in, against a real Dovecot that checks it, over TLS from the start, over STLS and in the clear.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use postroom_mail::Digest;
use postroom_tests::dovecot::Setup;
use postroom_tests::{Dovecot, Fetched, Tls, fetch_all};
use serde_json::Value;

use crate::mailboxes::of;
use crate::support::{ARCHIVE, Bench, PASSWORD, authority, mail};

/// What is written in `auth`, and what Dovecot calls it.
const MECHANISMS: [(&str, &str); 8] = [
    ("user-pass", "PLAIN"),
    ("plain", "PLAIN"),
    ("login", "LOGIN"),
    ("cram-md5", "CRAM-MD5"),
    ("apop", "APOP"),
    ("scram-sha-1", "SCRAM-SHA-1"),
    ("scram-sha-256", "SCRAM-SHA-256"),
    ("auto", "SCRAM-SHA-256"),
];
const OFFERED: &str = "plain login cram-md5 apop scram-sha-1 scram-sha-256";
const CONSENT: &str = "tls = \"none\"\ninsecure_plaintext = \"I accept that anyone on the network can read my password and mail\"";

fn auth(name: &str) -> String {
    if name == "auto" { String::new() } else { format!("auth = \"{name}\"") }
}

/// Polls one account for each mechanism, each with a maildrop of its own, and checks what Dovecot saw of it.
async fn every_mechanism_logs_in(
    mechanisms: &[(&str, &str)],
    tls: &str,
    port: impl Fn(&Dovecot) -> u16,
    protected: bool,
) {
    let bench = Bench::new();
    let (authority, _) = authority(&bench);
    let users: Vec<_> = mechanisms.iter().map(|(name, _)| (*name, PASSWORD)).collect();
    let setup = Setup::new(&users).mechanisms(OFFERED);
    let setup = if protected { setup } else { setup.cleartext() };
    let dovecot = Dovecot::configured(&authority, setup).await.expect("Dovecot");
    let mut config = String::from("[limits]\nsessions_per_host = 8\n");
    for &(name, _) in mechanisms {
        dovecot.deliver(name, &mail(name)).expect("delivered");
        config.push_str(&of(name, port(&dovecot), name, &format!("{}\n{tls}", auth(name))));
    }
    bench.config(&format!("{config}{ARCHIVE}"));
    let (run, summary) = bench.once().await;
    run.expect(0);
    for &(name, method) in mechanisms {
        assert_eq!(summary["accounts"][name]["retrieved"], 1, "{name}: {summary:#}");
        let logins = dovecot.logins(name);
        let seen: Vec<_> = logins.iter().map(|login| (login.method.as_str(), login.tls)).collect();
        assert_eq!(seen, [(method, protected)], "{name}: {}", dovecot.log());
    }
    assert_eq!(bench.names("vault").len(), mechanisms.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_mechanism_logs_in_over_implicit_tls_and_the_best_is_chosen() {
    every_mechanism_logs_in(&MECHANISMS, "", |dovecot| dovecot.implicit().port(), true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_mechanism_logs_in_after_stls_and_the_best_is_chosen() {
    // APOP digests the greeting, and what came before TLS does not count: a machine in between may have chosen it.
    let mechanisms: Vec<_> = MECHANISMS.into_iter().filter(|(name, _)| *name != "apop").collect();
    every_mechanism_logs_in(&mechanisms, "tls = \"starttls\"", |dovecot| dovecot.stls().port(), true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_mechanism_logs_in_without_tls_where_the_danger_was_accepted() {
    every_mechanism_logs_in(&MECHANISMS, CONSENT, |dovecot| dovecot.stls().port(), false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_needs_a_person_whatever_the_mechanism() {
    let bench = Bench::new();
    let (authority, _) = authority(&bench);
    let users = MECHANISMS.map(|(name, _)| (name, "another"));
    let setup = Setup::new(&users).mechanisms(OFFERED);
    let dovecot = Dovecot::configured(&authority, setup).await.expect("Dovecot");
    for (name, _) in MECHANISMS {
        dovecot.deliver(name, &mail(name)).expect("delivered");
        for (tls, port) in [("", dovecot.implicit()), ("tls = \"starttls\"", dovecot.stls())] {
            let more = format!("{}\n{tls}", auth(name));
            bench.config(&format!("{}{ARCHIVE}", of("home", port.port(), name, &more)));
            let (run, summary) = bench.once().await;
            if name == "apop" && !tls.is_empty() {
                run.expect(78);
                assert!(
                    text(&summary, "error").contains("APOP needs the greeting's timestamp"),
                    "{summary:#}"
                );
                continue;
            }
            run.expect(69);
            let report = &summary["accounts"]["home"];
            assert_eq!(report["needs_a_person"], true, "{name}: {report:#}");
            assert!(!text(report, "error").contains(PASSWORD), "{name}: {report:#}");
            assert_eq!(report["trouble"], "credentials", "{name}: {report:#}");
            assert!(text(report, "hint").contains("check `user` and `password`"), "{name}: {report:#}");
        }
        assert_eq!(dovecot.logins(name), [], "{name}");
    }
    let all = MECHANISMS.len();
    assert_eq!(bench.names("vault").len(), 0);
    assert_eq!(MECHANISMS.iter().filter(|(name, _)| dovecot.count(name).unwrap() == 1).count(), all);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_dovecot_does_not_offer_is_not_replaced_by_something_weaker() {
    let bench = Bench::new();
    let (authority, _) = authority(&bench);
    let dovecot = Dovecot::start(&authority, &[("user", PASSWORD)]).await.expect("Dovecot");
    dovecot.deliver("user", &mail("one")).expect("delivered");
    for name in ["scram-sha-256", "scram-sha-1", "cram-md5", "login", "apop"] {
        let port = dovecot.implicit().port();
        bench.config(&format!("{}{ARCHIVE}", of("home", port, "user", &auth(name))));
        let (run, summary) = bench.once().await;
        run.expect(69);
        assert_eq!(summary["accounts"]["home"]["needs_a_person"], true, "{name}: {summary:#}");
    }
    assert_eq!(dovecot.logins("user"), [], "{}", dovecot.log());
    // The server is not to blame: what it offers works.
    let port = dovecot.implicit().port();
    bench.config(&format!("{}{ARCHIVE}", of("home", port, "user", "")));
    bench.once().await.0.expect(0);
    assert_eq!(dovecot.logins("user").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn dovecot_takes_tokens_by_both_mechanisms_and_refuses_those_of_another_signer() {
    let bench = Bench::new();
    let (authority, _) = authority(&bench);
    let key = [7; 32];
    let setup = Setup::new(&[("user", PASSWORD)]).tokens(&BASE64_STANDARD.encode(key));
    let dovecot = Dovecot::configured(&authority, setup).await.expect("Dovecot");
    let mut methods = Vec::new();
    for (name, method) in [("xoauth2", "XOAUTH2"), ("oauthbearer", "OAUTHBEARER")] {
        for (tls, port) in [("", dovecot.implicit()), ("tls = \"starttls\"", dovecot.stls())] {
            dovecot.deliver("user", &mail(&format!("{name} {tls}"))).expect("delivered");
            let more =
                format!("auth = \"{name}\"\n{tls}\noauth2 = {{ command = [\"/bin/cat\", \"token\"] }}");
            let section =
                of("home", port.port(), "user", &more).replace("password = { file = \"password\" }", "");
            bench.config(&format!("{section}{ARCHIVE}"));
            bench.secret("token", &token(&[8; 32], "user"));
            let (run, summary) = bench.once().await;
            run.expect(69);
            let report = &summary["accounts"]["home"];
            assert_eq!(report["trouble"], "credentials", "{name}: {report:#}");
            assert_eq!(dovecot.logins("user").len(), methods.len(), "{}", dovecot.log());
            bench.secret("token", &token(&key, "user"));
            let (run, summary) = bench.once().await;
            run.expect(0);
            assert_eq!(summary["accounts"]["home"]["retrieved"], 1, "{name}: {summary:#}");
            methods.push(method.to_owned());
        }
    }
    let logins = dovecot.logins("user");
    assert!(logins.iter().all(|login| login.tls), "{logins:?}");
    assert_eq!(logins.into_iter().map(|login| login.method).collect::<Vec<_>>(), methods);
    let there: Vec<Fetched> = fetch_all(dovecot.implicit(), Tls::Implicit, &authority, "user", PASSWORD)
        .await
        .expect("the server's octets");
    assert_eq!(bench.digests("vault").len(), there.len());
}

fn text<'a>(report: &'a Value, name: &str) -> &'a str {
    report[name].as_str().unwrap_or_default()
}

/// A JSON Web Token (RFC 7519) for one name, good for an hour, longer than fits a command line (RFC 5034 section 4).
pub(crate) fn token(key: &[u8; 32], name: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs();
    let padding = "x".repeat(300);
    let claims = format!(
        "{{\"sub\":\"{name}\",\"iss\":\"https://auth.example\",\"iat\":{},\"exp\":{},\"padding\":\"{padding}\"}}",
        now - 10,
        now + 3600
    );
    let part = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
    let signed = format!("{}.{}", part("{\"alg\":\"HS256\",\"typ\":\"JWT\"}"), part(&claims));
    format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(hmac(key, signed.as_bytes())))
}

/// HMAC (RFC 2104) with SHA-256.
fn hmac(key: &[u8; 32], text: &[u8]) -> [u8; 32] {
    let pad = |with: u8| -> Vec<u8> {
        let mut block = [with; 64];
        block.iter_mut().zip(key).for_each(|(octet, key)| *octet ^= key);
        block.to_vec()
    };
    let inner = Digest::of(&[pad(0x36), text.to_vec()].concat());
    Digest::of(&[pad(0x5c), inner.0.to_vec()].concat()).0
}
