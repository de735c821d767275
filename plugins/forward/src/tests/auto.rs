//! `mode = "auto"`: each way it can go, and the reason it gives.

use super::*;

fn auto(more: Value) -> Value {
    let mut settings = json!({
        "sink": "relay", "to": ["archive@example.com"], "mode": "auto", "from": "postroom@my.example",
        "trusted": "mx.example",
    });
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    settings
}

/// The label, which is also how it was sent, and the reason after it.
#[track_caller]
fn decided(settings: Value, mail: &Mail) -> String {
    let run = bench().run::<Forward>(settings, mail);
    let decision =
        run.logs.iter().find_map(|line| line.field("decision")).unwrap_or_else(|| panic!("{run:?}"));
    let (label, _) = decision.split_once(": ").unwrap();
    let sent = match &run.effects[..] {
        [Effect::Label(name), Effect::Forward { .. }] => (name.as_str(), "redirected"),
        [Effect::Label(name), Effect::Send { .. }] => (name.as_str(), "wrapped"),
        _ => panic!("{run:?}"),
    };
    assert_eq!(sent, (label, label), "{decision}");
    decision.to_owned()
}

fn from_shop() -> Mail {
    Mail::new().from("Eve <eve@shop.example>").subject("x")
}

fn results(said: &str) -> Mail {
    from_shop().header("Authentication-Results", said)
}

#[test]
fn aligned_dkim_that_a_trusted_server_saw_pass_is_redirected() {
    let redirected = "redirected: aligned DKIM of shop.example passed, says mx.example";
    let mail = results("mx.example; dkim=pass header.d=other.example; dkim=pass header.d=shop.example");
    assert_eq!(decided(auto(json!({})), &mail), redirected);
    let mail = results("mx.example; dmarc=pass (p=REJECT)")
        .header("Authentication-Results", "MX.example; dkim=pass header.i=@shop.example");
    assert_eq!(decided(auto(json!({})), &mail), redirected);
}

#[test]
fn without_aligned_dkim_the_policy_of_the_authors_domain_decides() {
    for (said, expected) in [
        ("dmarc=fail (p=REJECT dis=NONE) header.from=shop.example", "wrapped: no aligned DKIM, p=reject"),
        ("dmarc=pass (p=quarantine) header.from=shop.example", "wrapped: no aligned DKIM, p=quarantine"),
        ("dkim=fail header.d=shop.example; dmarc=fail (p=none)", "redirected: no aligned DKIM, p=none"),
        ("dmarc=none", "redirected: no aligned DKIM, shop.example has no DMARC policy"),
        (
            "dkim=pass header.d=evil.example",
            "wrapped: no aligned DKIM, says mx.example, and no word of a DMARC policy",
        ),
        (
            "dmarc=none header.from=other.example",
            "wrapped: no aligned DKIM, says mx.example, and no word of a DMARC policy",
        ),
    ] {
        assert_eq!(decided(auto(json!({})), &results(&format!("mx.example; {said}"))), expected);
    }
}

#[test]
fn what_only_the_sender_says_is_not_believed() {
    let forged = "mx.example; dkim=pass header.d=shop.example";
    let below =
        results("other.example; dkim=fail header.d=shop.example").header("Authentication-Results", forged);
    assert_eq!(decided(auto(json!({})), &below), "wrapped: no aligned DKIM");
    let failed = results("mx.example; dkim=none").header("Authentication-Results", forged);
    assert!(decided(auto(json!({})), &failed).starts_with("wrapped: "));
    let untrusted = json!({ "trusted": "mx2.example" });
    assert_eq!(decided(auto(untrusted), &results(forged)), "wrapped: no aligned DKIM");
}

#[test]
fn a_signature_that_nobody_verified_is_told_and_the_setting_decides() {
    let signed = from_shop().header("DKIM-Signature", "v=1; a=rsa-sha256; d=mail.shop.example; s=a; b=x");
    assert_eq!(
        decided(auto(json!({})), &signed),
        "wrapped: aligned DKIM of mail.shop.example is not verified here"
    );
    assert_eq!(
        decided(auto(json!({ "unknown": "redirect" })), &signed),
        "redirected: aligned DKIM of mail.shop.example is not verified here"
    );
    assert_eq!(decided(auto(json!({ "unknown": "redirect" })), &from_shop()), "redirected: no aligned DKIM");
}

#[test]
fn a_relay_that_insists_gets_everything_wrapped() {
    let mail = results("mx.example; dkim=pass header.d=shop.example");
    assert_eq!(
        decided(auto(json!({ "relay_insists": true })), &mail),
        "wrapped: the relay insists on a From of its own"
    );
}

#[test]
fn two_authors_have_no_domain_that_could_vouch_for_both() {
    let passed = "mx.example; dkim=pass header.d=shop.example";
    let none = "wrapped: it has no single author whose domain could be asked";
    let two = Mail::new().from("a@shop.example, b@bank.example").header("Authentication-Results", passed);
    assert_eq!(decided(auto(json!({})), &two), none);
    let twice = results(passed).from("b@bank.example");
    assert_eq!(decided(auto(json!({})), &twice), none);
    assert_eq!(decided(auto(json!({})), &Mail::new().header("Authentication-Results", passed)), none);
}
