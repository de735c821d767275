//! What templates of keys make of real messages.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use postroom_bench::{Bench, Mail, json};
use postroom_sdk::prelude::*;

/// Says what its template becomes.
struct Rendering;

#[derive(serde::Deserialize, JsonSchema)]
struct Settings {
    template: String,
}

impl Plugin for Rendering {
    type Settings = Settings;
    const NAME: &'static str = "rendering";
    const VERSION: &'static str = "0";
    const DESCRIPTION: &'static str = "";

    fn handle(message: &Message, settings: &Settings) -> Result<(), Failure> {
        let template = MessageTemplate::parse(&settings.template).map_err(Failure::permanent)?;
        log::info(&template.render(message), &[]);
        Ok(())
    }
}

fn render(template: &str, mail: &Mail) -> String {
    let run = Bench::new().run::<Rendering>(json!({ "template": template }), mail);
    assert_eq!(run.result, Ok(()));
    run.logs[0].text.clone()
}

#[test]
fn every_variable_of_a_message() {
    let mail = Mail::new().from("Zoë <zoe@Shop.example>").subject("Rechnung №7: Größe / \u{202e}\u{4e2d}!");
    assert_eq!(render("{account}/{date:%Y/%m/%d}/x.eml", &mail), "home/2026/11/24/x.eml");
    assert_eq!(render("{subject}", &mail), "rechnung-7-grosse");
    assert_eq!(render("{subject:9}", &mail), "rechnung");
    assert_eq!(render("{from}_{from_domain}", &mail), "zoe-shop.example_shop.example");
    assert_eq!(render("{uidl}{{}}", &mail), "0001{}");
    assert_eq!(render("{sha256}", &mail).len(), 64);
    assert_eq!(render("{id:8}", &mail).len(), 8);
    assert!(render("{sha256}", &mail).starts_with(&render("{sha256:16}", &mail)));
}

#[test]
fn no_value_makes_a_directory_or_is_empty() {
    let mail = Mail::new().uidl(Some("../x/.")).subject("../../etc/passwd").from("/..@../");
    for template in ["{uidl}", "{subject}", "{from}", "{from_domain}"] {
        let value = render(template, &mail);
        assert!(
            !value.is_empty() && !value.contains('/') && !value.starts_with('.') && !value.ends_with('.'),
            "{value}"
        );
    }
    let bare = Mail::new().uidl(None);
    assert_eq!(render("{uidl}-{subject}-{from}-{from_domain}", &bare), "none-none-none-none");
}

#[test]
fn a_subject_that_is_a_device_name_makes_no_device_of_the_key() {
    let of = |subject, template| render(template, &Mail::new().subject(subject));
    assert_eq!(of("CON", "{account}/{subject}.eml"), "home/_con.eml");
    assert_eq!(of("com1", "{subject}/{account}.eml"), "_com1/home.eml");
    assert_eq!(of("lpt9.tar", "{subject}"), "_lpt9.tar");
    assert_eq!(of("console", "{subject}.eml"), "console.eml");
    assert_eq!(of("CON", "{subject}-{account}"), "con-home");
}

#[test]
fn different_unique_ids_stay_different() {
    let of = |uidl| render("{uidl}", &Mail::new().uidl(Some(uidl)));
    assert_ne!(of("a/b"), of("a_b"));
    assert_ne!(of("a/b"), of("a=2Fb"));
}
