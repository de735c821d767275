//! No secret is shown and nothing panics, however broken the file is.

use super::*;

/// A file with literal secrets wherever somebody might write one.
fn with_secrets() -> String {
    with("{ file = \"secrets/home\" }", &format!("\"{CANARY}\" # was {CANARY}")).replace(
        "type = \"directory\"\npath = \"mail\"",
        &format!("type = \"s3\"\nbucket = \"b\"\nsecret_key = \"{CANARY}\"\naccess_key = '{CANARY}'"),
    )
}

/// Loads it and looks at everything that could be printed. The canary counts as shown when its middle is.
fn shows_nothing(text: &str) {
    let files = Files::new(text);
    if let Err(errors) = files.load(&[]) {
        let json = serde_json::to_string(&errors).unwrap();
        for shown in [errors.to_string(), format!("{errors:?}"), json] {
            assert!(!shown.contains("hunter2"), "{text}\n----\n{shown}");
        }
    }
}

#[test]
fn secrets_are_not_shown_after_any_one_slip() {
    let text = with_secrets();
    for (at, ch) in text.char_indices() {
        let (before, after) = (&text[..at], &text[at + ch.len_utf8()..]);
        shows_nothing(before);
        shows_nothing(&format!("{before}{after}"));
        for wrong in ["\"", "=", "{", "]", "#", "\n", " ", "x", "\0"] {
            shows_nothing(&format!("{before}{wrong}{after}"));
        }
    }
}

#[test]
fn secrets_are_not_shown_with_any_word_in_the_place_of_a_key() {
    for key in [
        "password",
        "Password",
        "passwd",
        "pw",
        "pass",
        "secret",
        "token",
        "login",
        "oauth2",
        "credentials",
        "pasw",
        "x",
        "\"a b\"",
        "auth.x",
    ] {
        for value in [
            format!("\"{CANARY}\""),
            CANARY.to_owned(),
            format!("[\"{CANARY}\"]"),
            format!("{{ x = \"{CANARY}\" }}"),
            format!("\"\"\"\n{CANARY}\\q\"\"\""),
        ] {
            shows_nothing(&format!("{GOOD}\n{key} = {value}\n"));
            shows_nothing(&with("password = { file = \"secrets/home\" }", &format!("{key} = {value}")));
            shows_nothing(&with("path =", &format!("{key} = {value}\npath =")));
            shows_nothing(&before_grants(&format!("{key} = {value}")));
        }
    }
    let inline =
        format!("accounts = {{ home = {{ hots = 3, password = \"{CANARY}\", pasword = \"{CANARY}\" }} }}\n");
    shows_nothing(&inline);
}

#[test]
fn a_secret_in_the_address_of_a_sink_is_refused_and_not_shown() {
    let s3 = format!("type = \"s3\"\nbucket = \"b\"\nendpoint = \"https://me:{CANARY}@s3.example\"");
    let text = Files::new(&with("type = \"directory\"\npath = \"mail\"", &s3)).mistakes(&[]);
    assert!(
        text.starts_with("postroom.toml:9:1: `sinks.vault.endpoint` may not hold a user or a password"),
        "{text}"
    );
}

#[test]
fn a_configuration_shows_where_its_secrets_are_but_not_the_arguments_of_commands() {
    let text = with("{ file = \"secrets/home\" }", &format!("{{ command = [\"pass\", \"{CANARY}\"] }}"));
    let shown = format!("{:?}", load(&text));
    assert!(!shown.contains("hunter2") && shown.contains("pass"), "{shown}");
}

#[test]
fn the_arguments_of_a_command_on_lines_of_their_own_are_not_shown() {
    for line in [
        "\"curl -d user=bob:hunter2 https://x\" x",
        "\"curl -u bob:hunter2 host=x\" x",
        "'user = hunter2' ]]",
        "{ x = \"hunter2\" } x",
    ] {
        shows_nothing(&GOOD.replace(
            "password = { file = \"secrets/home\" }",
            &format!("password = {{ command = [\n  \"sh\", \"-c\",\n  {line}\n] }}"),
        ));
    }
}

#[test]
fn the_password_of_a_proxy_is_not_shown() {
    for proxy in [
        format!("\"socks5://me:{CANARY}@127.0.0.1:1080\""),
        format!("{{ socks5 = \"127.0.0.1\", user = \"me\", password = \"{CANARY}\" }}"),
        format!("{{ socks5 = \"me:{CANARY}@127.0.0.1:1\" }}"),
    ] {
        shows_nothing(&GOOD.replace("user = \"me", &format!("proxy = {proxy}\nuser = \"me")));
    }
}
