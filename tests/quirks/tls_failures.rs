//! Certificates that must be refused, versions, names and truncation: quirk 11 and tests 22 and 23.

use postroom_practice::CertificateKind;
use postroom_tests::scripted::{Certificate, Script, Security, Then, on};
use rcgen::{CertificateParams, DnType, KeyPair, date_time_ymd};

use crate::bench::{self, AUTHORITY, GOOD};
use crate::mail::three;
use crate::scenario::{Scenario, scenario};

#[test]
fn tls_that_fails() {
    bench::run(scenarios());
}

fn with(certificate: Certificate) -> Script {
    let mut script = Script::new(three());
    script.security = Security::Implicit(certificate);
    script
}

fn kind(kind: CertificateKind) -> Certificate {
    Certificate::of(&AUTHORITY.issue(kind).expect("a certificate")).expect("a certificate")
}

/// One that signs itself, which the account trusts no more than any stranger's.
fn own(change: impl FnOnce(&mut CertificateParams)) -> Certificate {
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("names");
    change(&mut params);
    let key = KeyPair::generate().expect("a key");
    let certificate = params.self_signed(&key).expect("a certificate");
    Certificate::pem(&certificate.pem(), &key.serialize_pem(), rustls::DEFAULT_VERSIONS)
        .expect("a certificate")
}

fn refused(name: &'static str, certificate: Certificate) -> Scenario {
    scenario(name, with(certificate)).tests(&[22]).stores_only(&[]).ended("T").never_sends("PASS")
}

pub(crate) fn scenarios() -> Vec<Scenario> {
    let identity = AUTHORITY.issue(CertificateKind::Good).expect("a certificate");
    let old = Certificate::pem(identity.certificate_pem(), identity.key_pem(), &[&rustls::version::TLS12])
        .expect("TLS 1.2");
    let mut alert = Script::new(three()).greeting([0x15, 3, 1, 0, 2, 2, 70].to_vec());
    alert.rules.push(on("GREETING").then(Then::Close));
    let zeros = "sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    vec![
        scenario("a_good_certificate_is_accepted", with(GOOD.clone())).tests(&[22]),
        scenario("the_handshake_names_the_server", with(GOOD.clone())).quirks(&[11]).names("localhost"),
        scenario("a_certificate_about_to_end_is_warned_of", with(kind(CertificateKind::EndsSoon)))
            .tests(&[22])
            .warns("certificate ends in"),
        refused("an_expired_certificate_is_refused", kind(CertificateKind::Expired))
            .parks(1, &["expired"])
            .hints(1, &["clock"]),
        refused("a_certificate_for_another_name_is_refused", kind(CertificateKind::OtherHost))
            .parks(1, &["another name"])
            .hints(1, &["host"]),
        refused("a_certificate_that_signs_itself_is_refused", kind(CertificateKind::SelfSigned))
            .parks(1, &["signed by itself"])
            .hints(1, &["ca_file"]),
        refused(
            "a_certificate_not_valid_yet_is_refused",
            own(|params| params.not_before = date_time_ymd(2090, 1, 1)),
        )
        .parks(1, &["certificate"]),
        refused(
            "a_name_in_the_common_name_alone_is_refused",
            own(|params| {
                params.subject_alt_names.clear();
                params.distinguished_name.push(DnType::CommonName, "localhost");
            }),
        )
        .parks(1, &["certificate"]),
        scenario("tls_1_2_is_accepted_by_default", with(old.clone())).tests(&[22]),
        scenario("tls_1_2_is_refused_where_1_3_is_asked_for", with(old))
            .tests(&[22])
            .account("tls_minimum = \"1.3\"")
            .stores_only(&[])
            .parks(1, &["TLS"])
            .ended("T"),
        scenario("a_server_with_tls_1_0_alone_is_refused", alert)
            .tls("implicit")
            .tests(&[22])
            .stores_only(&[])
            .parks(1, &["TLS"])
            .ended("S"),
        scenario(
            "tls_cut_off_within_a_message_is_no_message",
            with(GOOD.clone()).rule(on("RETR").number(2).once().only(-6).then(Then::Truncate)),
        )
        .quirks(&[38])
        .tests(&[22])
        .polls(2)
        .whatever(1)
        .ended("S.+Q"),
        scenario(
            "tls_cut_off_between_messages_loses_nothing",
            with(GOOD.clone()).rule(on("RETR").number(2).once().then(Then::Truncate)),
        )
        .tests(&[22])
        .polls(2)
        .whatever(1)
        .ended("S.+Q"),
        scenario("a_pin_that_does_not_fit_fails_though_the_authority_is_trusted", with(GOOD.clone()))
            .tests(&[23])
            .account(&format!("pins = [\"{zeros}\"]"))
            .stores_only(&[])
            .parks(1, &["pin"])
            .ended(".")
            .never_sends("PASS"),
        scenario("a_pinned_account_never_sends_a_password_to_another_key", with(GOOD.clone()))
            .tests(&[23])
            .account(&format!("auth = \"plain\"\npins = [\"{zeros}\"]"))
            .stores_only(&[])
            .parks(1, &["pin"])
            .ended(".")
            .never_sends("AUTH"),
        scenario("a_proxy_that_is_not_there_is_never_gone_around", with(GOOD.clone()))
            .tests(&[24])
            .account("proxy = \"socks5://127.0.0.1:1\"")
            .stores_only(&[])
            .fails(1, &["proxy"])
            .ended(""),
        scenario("a_client_certificate_that_is_missing_needs_a_person", with(GOOD.clone()))
            .tests(&[22])
            .account("client_certificate = \"none.pem\"\nclient_key = \"none.pem\"")
            .stores_only(&[])
            .parks(1, &["none.pem"])
            .ended(""),
        scenario("a_server_name_that_does_not_exist_is_tried_again", Script::new(three()))
            .tests(&[24])
            .host("nowhere.invalid")
            .tls("implicit")
            .stores_only(&[])
            .fails(1, &["nowhere.invalid"])
            .hints(1, &["host"])
            .ended(""),
        scenario("an_address_that_does_not_answer_falls_back_to_the_next", Script::new(three()))
            .tests(&[24])
            .host("localhost"),
        scenario("an_address_in_place_of_a_name_works", Script::new(three())).tests(&[24]).host("127.0.0.1"),
    ]
}
