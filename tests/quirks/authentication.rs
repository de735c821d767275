//! Logins: quirks 12 to 21, and what a server may not talk the client into.

use postroom_tests::scripted::{Script, Security, Then, message, on};

use crate::bench::{self, GOOD};
use crate::mail::three;
use crate::scenario::{Scenario, scenario};

#[test]
fn authentication() {
    bench::run(scenarios());
}

fn server() -> Script {
    Script::new(three())
}

fn sasl(mechanisms: &str) -> Script {
    server().capable(&[&format!("SASL {mechanisms}"), "USER", "UIDL"])
}

/// A token never crosses a channel without TLS.
fn over_tls(mut script: Script) -> Script {
    script.security = Security::Implicit(GOOD.clone());
    script
}

fn no_mail(scenario: Scenario) -> Scenario {
    scenario.stores_only(&[]).ended(".")
}

pub(crate) fn scenarios() -> Vec<Scenario> {
    [plain(), tokens(), challenges(), names(), utf8()].into_iter().flatten().collect()
}

fn plain() -> Vec<Scenario> {
    let long = "0123456789abcdefghij0123456789abcdefghij0123456789abcdefghij0123456789abcdefghij0123456789abcdefghij\
                0123456789abcdefghij0123456789abcdefghij0123456789abcdefghij0123456789abcdefghij0123456789abcdefghij";
    vec![
        scenario("a_long_password_goes_in_two_lines", sasl("PLAIN"))
            .quirks(&[12])
            .login("user", long)
            .asks("SASL", 1),
        scenario("a_short_password_goes_in_one_line", sasl("PLAIN"))
            .quirks(&[12])
            .asks("SASL", 0)
            .sends("AUTH PLAIN "),
        scenario(
            "ok_in_place_of_a_challenge_asks_for_the_response",
            sasl("PLAIN").rule(on("AUTH").say("+OK\r\n")),
        )
        .quirks(&[13])
        .login("user", long)
        .asks("SASL", 1),
        scenario(
            "a_challenge_with_unexpected_text_asks_for_the_response",
            sasl("PLAIN").rule(on("AUTH").say("+ go on then\r\n")),
        )
        .quirks(&[13])
        .login("user", long)
        .asks("SASL", 1),
        scenario(
            "a_challenge_without_a_blank_asks_for_the_response",
            sasl("PLAIN").rule(on("AUTH").say("+\r\n")),
        )
        .quirks(&[13])
        .login("user", long),
        no_mail(scenario(
            "a_challenge_after_the_last_response_is_no_success",
            sasl("PLAIN").rule(on("AUTH").say("+ \r\n")),
        ))
        .quirks(&[13])
        .tests(&[27])
        .fails(1, &["challenge"]),
        no_mail(scenario(
            "endless_challenges_are_not_answered",
            sasl("PLAIN").rule(on("AUTH").say("+ \r\n")).rule(on("SASL").say("+ \r\n")),
        ))
        .tests(&[27])
        .login("user", long)
        .asks("SASL", 1)
        .fails(1, &["challenge"]),
        no_mail(scenario(
            "a_challenge_of_a_mebibyte_is_cut",
            sasl("PLAIN").rule(on("AUTH").say("+ ").endless("QUJD", 1 << 20)),
        ))
        .tests(&[12, 27])
        .login("user", long)
        .fails(1, &["line of more than"]),
        scenario(
            "bare_ok_lines_are_valid",
            server().rule(on("USER").say("+OK\r\n")).rule(on("PASS").say("+OK\r\n")).greeting("+OK\r\n"),
        )
        .quirks(&[15]),
        no_mail(scenario("a_bare_err_to_pass_is_a_refusal", server().rule(on("PASS").say("-ERR\r\n"))))
            .quirks(&[15])
            .parks(1, &["PASS"]),
        no_mail(scenario(
            "a_line_that_is_no_status_is_no_login",
            server().rule(on("PASS").say("*OK\r\n").effect(true)),
        ))
        .quirks(&[15])
        .fails(1, &["PASS"]),
        no_mail(scenario("a_challenge_to_user_is_no_answer", server().rule(on("USER").say("+ \r\n"))))
            .tests(&[27])
            .fails(1, &["USER"])
            .never_sends("PASS"),
        no_mail(scenario("user_refused_sends_no_password", server().rule(on("USER").say("-ERR who?\r\n"))))
            .tests(&[9])
            .parks(1, &["USER", "who?"])
            .never_sends("PASS"),
        no_mail(scenario(
            "a_password_that_is_echoed_is_not_shown",
            server().rule(on("PASS").say("-ERR bad password correct horse\r\n")),
        ))
        .quirks(&[17])
        .parks(1, &["redacted"]),
        no_mail(scenario(
            "a_socket_closed_on_pass_is_no_second_try",
            server().rule(on("PASS").say("").then(Then::Close)),
        ))
        .quirks(&[18])
        .fails(1, &["closed"])
        .asks("PASS", 1),
        no_mail(scenario(
            "a_socket_closed_on_auth_tries_no_other_mechanism",
            sasl("PLAIN").rule(on("AUTH").say("").then(Then::Close)),
        ))
        .quirks(&[18])
        .fails(1, &["closed"])
        .asks("USER", 0),
        no_mail(scenario(
            "a_socket_reset_on_pass_is_no_second_try",
            server().rule(on("PASS").say("").then(Then::Reset)),
        ))
        .quirks(&[18])
        .whatever_failing()
        .asks("PASS", 1),
        no_mail(scenario(
            "auth_refused_tries_no_weaker_mechanism",
            sasl("PLAIN").rule(on("AUTH").say("-ERR no\r\n")),
        ))
        .quirks(&[18])
        .tests(&[27])
        .parks(1, &["AUTH"])
        .never_sends("PASS"),
        no_mail(scenario(
            "a_login_that_is_never_answered_times_out",
            server().rule(on("PASS").say("").then(Then::Silent)),
        ))
        .tests(&[13])
        .fails(1, &["did not answer"]),
        no_mail(scenario(
            "a_mechanism_asked_for_is_not_replaced_by_a_weaker_one",
            server().rule(on("AUTH").say("-ERR unknown\r\n")),
        ))
        .tests(&[27])
        .account("auth = \"plain\"")
        .whatever_failing()
        .never_sends("PASS"),
    ]
}

fn utf8() -> Vec<Scenario> {
    let capable = || server().capable(&["UTF8 USER", "USER", "UIDL"]);
    let raw = message("a", "Subject: Gr\u{fc}\u{df}e\r\n\r\nHallo.\r\n".as_bytes());
    vec![
        scenario("utf8_is_asked_for_before_the_login_where_the_account_wants_it", {
            let mut script = capable().rule(on("UTF8").say("+OK\r\n"));
            script.messages = vec![raw.clone()];
            script
        })
        .quirks(&[19])
        .account("utf8 = true")
        .stores(vec![raw.octets])
        .asks("UTF8", 1),
        scenario("utf8_is_not_asked_for_unless_the_account_wants_it", capable())
            .quirks(&[19])
            .never_sends("UTF8"),
        scenario("utf8_is_not_asked_for_where_it_is_not_listed", server())
            .quirks(&[19])
            .account("utf8 = true")
            .never_sends("UTF8"),
    ]
}

fn tokens() -> Vec<Scenario> {
    let token = "x".repeat(600);
    let token: &'static str = Box::leak(token.into_boxed_str());
    let failure = "+ eyJzdGF0dXMiOiJpbnZhbGlkX3Rva2VuIiwic2NvcGUiOiJtYWlsIn0=\r\n";
    let mechanism = |name, need: &'static str, list: &str| {
        scenario(name, over_tls(sasl(list))).account(&format!("auth = \"{need}\"")).login("user", token)
    };
    let fails = |name, need: &'static str, list: &str| {
        let script = over_tls(sasl(list))
            .rule(on("SASL").once().say(failure))
            .rule(on("SASL").say("-ERR [AUTH] denied\r\n"));
        no_mail(scenario(name, script))
            .account(&format!("auth = \"{need}\""))
            .login("user", token)
            .quirks(&[14])
    };
    vec![
        mechanism("a_long_token_goes_in_two_lines", "xoauth2", "XOAUTH2").quirks(&[12]).asks("SASL", 1),
        mechanism("a_long_bearer_token_goes_in_two_lines", "oauthbearer", "OAUTHBEARER")
            .quirks(&[12])
            .asks("SASL", 1),
        fails("the_json_of_a_failed_xoauth2_is_no_success", "xoauth2", "XOAUTH2")
            .parks(1, &["denied"])
            .ended("..")
            .asks("SASL", 3),
        fails("the_json_of_a_failed_oauthbearer_is_answered_with_01", "oauthbearer", "OAUTHBEARER")
            .parks(1, &["denied"])
            .ended("..")
            .sends("AQ=="),
        no_mail(mechanism("a_token_that_is_refused_names_what_to_check", "xoauth2", "XOAUTH2"))
            .quirks(&[21])
            .rule(on("SASL").say("-ERR Logon failure: unknown user name or bad password.\r\n"))
            .parks(1, &["Logon failure"])
            .hints(1, &["scope"]),
    ]
}

fn challenges() -> Vec<Scenario> {
    let vector = server().greeting("+OK POP3 server ready <1896.697170952@dbc.mtview.ca.us>\r\n");
    let scram = |name, first: fn(&[u8]) -> Vec<u8>| {
        let script = sasl("SCRAM-SHA-256").rule(on("AUTH").reply(first)).rule(on("SASL").once().reply(first));
        no_mail(scenario(name, script))
            .account("auth = \"scram-sha-256\"")
            .tests(&[27])
            .whatever_failing()
            .never_sends("PASS")
    };
    vec![
        scenario("apop_answers_the_timestamp_of_rfc_1939", vector)
            .quirks(&[1])
            .account("auth = \"apop\"")
            .login("mrose", "tanstaaf")
            .sends("APOP mrose c4c9334bac560ecc979e58001b3e22fb"),
        scenario("cram_md5_answers_the_challenge_of_rfc_2195", sasl("CRAM-MD5"))
            .tests(&[27])
            .account("auth = \"cram-md5\"")
            .login("tim", "tanstaaftanstaaf")
            .sends("dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw"),
        scenario("login_answers_two_challenges", sasl("LOGIN"))
            .quirks(&[13])
            .account("auth = \"login\"")
            .asks("SASL", 1),
        no_mail(scenario(
            "a_challenge_that_is_no_base64_is_not_answered",
            sasl("CRAM-MD5").rule(on("AUTH").say("+ !!!\r\n")),
        ))
        .tests(&[27])
        .account("auth = \"cram-md5\"")
        .whatever_failing()
        .never_sends("PASS"),
        scram("a_scram_nonce_that_is_not_ours_aborts", |_| b"+ cj1vdGhlcixzPVFRPT0saT00MDk2\r\n".to_vec()),
        scram("a_scram_challenge_without_iterations_aborts", |_| b"+ cj14LHM9UVE9PQ==\r\n".to_vec()),
        no_mail(scenario(
            "scram_sha_1_that_is_refused_sends_no_password_in_clear",
            sasl("SCRAM-SHA-1").rule(on("AUTH").say("-ERR no\r\n")),
        ))
        .account("auth = \"scram-sha-1\"")
        .tests(&[27])
        .whatever_failing()
        .never_sends("PASS"),
        scram("a_scram_success_without_a_signature_is_none", |line| {
            if line.starts_with(b"AUTH") { b"+ \r\n".to_vec() } else { b"+OK\r\n".to_vec() }
        }),
    ]
}

fn names() -> Vec<Scenario> {
    vec![
        scenario("blanks_in_a_password_are_kept", server())
            .quirks(&[19])
            .login("user", " two  blanks ")
            .sends("PASS  two  blanks "),
        scenario("eight_bit_passwords_go_by_sasl_where_offered", sasl("PLAIN"))
            .quirks(&[19])
            .login("user", "pässwörd")
            .asks("AUTH", 1)
            .asks("PASS", 0),
        no_mail(scenario("a_line_end_in_a_password_is_never_sent", server()))
            .quirks(&[19])
            .login("user", "one\rDELE 1")
            .parks(1, &["password"])
            .ended("")
            .never_sends("DELE"),
        no_mail(scenario("a_nul_in_a_password_is_never_sent", sasl("PLAIN")))
            .quirks(&[19])
            .login("user", "a\0b")
            .parks(1, &["password"])
            .ended("")
            .never_sends("AUTH"),
        scenario("utf8_is_not_switched_on_unasked", server().capable(&["UTF8 USER", "USER", "UIDL"]))
            .quirks(&[19])
            .asks("UTF8", 0),
        scenario("a_user_name_with_recent_is_sent_as_it_is", server())
            .quirks(&[20])
            .login("recent:user@mail.example", "x")
            .sends("USER recent:user@mail.example"),
        scenario("a_recent_mailbox_is_never_deleted_from", server())
            .quirks(&[20])
            .login("recent:user@mail.example", "x")
            .deletes()
            .polls(2)
            .asks("DELE", 0),
        scenario("a_shared_mailbox_name_is_sent_as_it_is", server())
            .quirks(&[20])
            .login("me@a.example/shared@a.example", "x")
            .sends("USER me@a.example/shared@a.example"),
    ]
}
