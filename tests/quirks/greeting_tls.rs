//! Greeting, STLS and CAPA: quirks 1 to 10.

use std::time::Duration;

use postroom_tests::scripted::{Script, Security, Then, on};

use crate::bench::{self, GOOD};
use crate::mail::three;
use crate::scenario::{Scenario, scenario};

#[test]
fn greeting_and_tls() {
    bench::run(scenarios());
}

fn plain() -> Script {
    Script::new(three())
}

fn stls() -> Script {
    let mut script = Script::new(three());
    script.security = Security::Stls(GOOD.clone());
    script.capabilities[0] = Some(vec!["STLS".to_owned(), "USER".to_owned()]);
    script
}

fn implicit() -> Script {
    let mut script = Script::new(three());
    script.security = Security::Implicit(GOOD.clone());
    script
}

/// Nothing was stored, nothing was deleted, no credential was sent.
fn nothing(scenario: Scenario) -> Scenario {
    scenario
        .stores_only(&[])
        .never_sends("USER")
        .never_sends("PASS")
        .never_sends("AUTH")
        .never_sends("correct")
}

pub(crate) fn scenarios() -> Vec<Scenario> {
    [banners(), silence(), upgrades(), capabilities()].into_iter().flatten().collect()
}

fn banners() -> Vec<Scenario> {
    let banner =
        |name, greeting: &str| scenario(name, plain().greeting(greeting)).quirks(&[1]).never_sends("APOP");
    vec![
        banner("an_apop_timestamp_alone_does_not_choose_apop", "+OK ready <1896.697@pop.example>\r\n"),
        banner("a_banner_without_a_timestamp_is_fine", "+OK\r\n"),
        banner("a_banner_with_a_broken_timestamp_is_fine", "+OK <<@>@ \x01 ready\r\n"),
        banner("a_banner_of_4000_octets_is_fine", &format!("+OK {}\r\n", "x".repeat(4000))),
        scenario("an_invalid_timestamp_is_never_used_for_apop", plain().greeting("+OK <no-at-sign>\r\n"))
            .quirks(&[1])
            .tests(&[27])
            .account("auth = \"apop\"")
            .parks(1, &["APOP"])
            .stores_only(&[])
            .ended(".")
            .never_sends("APOP")
            .never_sends("PASS"),
        nothing(scenario(
            "a_greeting_of_err_is_reported_and_tried_again",
            plain().greeting("-ERR too many connections\r\n"),
        ))
        .quirks(&[2])
        .tests(&[9])
        .fails(1, &["too many connections"])
        .ended("D"),
        nothing(scenario(
            "a_greeting_with_sys_temp_is_tried_again",
            plain().greeting("-ERR [SYS/TEMP] later\r\n"),
        ))
        .quirks(&[2])
        .tests(&[9, 10])
        .fails(1, &["SYS/TEMP", "later"])
        .ended("D"),
        nothing(scenario(
            "a_connection_closed_instead_of_a_greeting",
            plain().rule(on("GREETING").say("").then(Then::Close)),
        ))
        .quirks(&[2])
        .fails(1, &["closed"])
        .ended("S"),
        nothing(scenario(
            "a_reset_instead_of_a_greeting",
            plain().rule(on("GREETING").say("").then(Then::Reset)),
        ))
        .quirks(&[2])
        .whatever_failing()
        .ended("S"),
        nothing(scenario("a_greeting_that_is_no_pop3", plain().greeting("220 mail.example ESMTP\r\n")))
            .quirks(&[2])
            .fails(1, &["220 mail.example"])
            .ended("D"),
        nothing(scenario(
            "an_endless_greeting_is_cut",
            plain().rule(on("GREETING").say("+OK ").endless("x", 64 << 20)),
        ))
        .quirks(&[9])
        .tests(&[12])
        .fails(1, &["line of more than"])
        .ended("D"),
        nothing(scenario(
            "two_greetings_are_out_of_step",
            plain().greeting("+OK ready\r\n+OK logged in\r\n"),
        ))
        .quirks(&[2])
        .tests(&[21])
        .fails(1, &["more than"])
        .ended("D"),
        scenario(
            "a_greeting_that_pretends_to_be_logged_in_changes_nothing",
            plain().greeting("+OK user logged in, 3 messages\r\n"),
        )
        .tests(&[21])
        .asks("PASS", 1),
        scenario("a_greeting_in_single_octets", plain().rule(on("GREETING").pieces(1))).quirks(&[2]),
    ]
}

fn silence() -> Vec<Scenario> {
    let pace = Duration::from_millis(400);
    vec![
        nothing(scenario(
            "a_silent_greeting_times_out",
            plain().rule(on("GREETING").say("").then(Then::Silent)),
        ))
        .quirks(&[2])
        .tests(&[13])
        .fails(1, &["did not answer", "greeting"])
        .ended("D"),
        nothing(scenario(
            "a_trickling_greeting_times_out_in_total",
            plain().rule(on("GREETING").say("+OK ").endless("x", 4096).every(pace).pieces(1)),
        ))
        .quirks(&[2])
        .tests(&[13])
        .fails(1, &["did not answer"])
        .ended("D"),
        nothing(scenario("clear_text_on_a_tls_port", plain()).tls("implicit"))
            .quirks(&[2])
            .tests(&[21])
            .parks(1, &["TLS"])
            .hints(1, &["tls"])
            .ended("D"),
        nothing(scenario("tls_on_a_clear_text_port", implicit()).tls("starttls"))
            .quirks(&[2])
            .fails(1, &["did not answer"])
            .hints(1, &["implicit"])
            .ended("."),
        nothing(scenario(
            "a_handshake_that_never_answers_after_stls",
            stls().rule(on("TLS").say("").then(Then::Silent)),
        ))
        .quirks(&[5])
        .tests(&[13])
        .fails(1, &["handshake"])
        .ended("D"),
        nothing(scenario(
            "a_handshake_that_never_answers",
            implicit().rule(on("TLS").say("").then(Then::Silent)),
        ))
        .quirks(&[5])
        .tests(&[13])
        .fails(1, &["handshake"])
        .ended("D"),
        nothing(scenario("stls_that_never_answers", stls().rule(on("STLS").say("").then(Then::Silent))))
            .quirks(&[5])
            .tests(&[13])
            .fails(1, &["did not answer", "STLS"])
            .ended("D"),
    ]
}

fn upgrades() -> Vec<Scenario> {
    let injected = "+OK go ahead\r\n+OK logged in\r\n+OK 1 10\r\n";
    let mut without = stls();
    without.capabilities[0] = Some(vec!["USER".to_owned(), "UIDL".to_owned()]);
    let mut refused_capa = stls().rule(on("STLS").say("-ERR no\r\n"));
    refused_capa.capabilities[0] = None;
    vec![
        scenario("stls_works", stls()).quirks(&[6]).sends("STLS"),
        nothing(scenario(
            "replies_injected_after_stls_abort",
            stls().rule(on("STLS").say(injected).then(Then::Silent)),
        ))
        .quirks(&[3])
        .tests(&[20])
        .fails(1, &["injected"])
        .ended("D"),
        nothing(scenario(
            "an_octet_injected_after_stls_aborts",
            stls().rule(on("STLS").say("+OK go\r\n\0").then(Then::Silent)),
        ))
        .quirks(&[3])
        .tests(&[20])
        .fails(1, &["injected"])
        .ended("D"),
        nothing(scenario(
            "replies_injected_before_the_answer_to_stls",
            stls().greeting("+OK hi\r\n+OK x\r\n"),
        ))
        .quirks(&[3])
        .tests(&[20])
        .fails(1, &["more than"])
        .ended("D"),
        nothing(scenario("stls_refused_fails_closed", stls().rule(on("STLS").say("-ERR no TLS today\r\n"))))
            .quirks(&[4])
            .tests(&[9, 21])
            .whatever_failing()
            .ended("."),
        nothing(scenario(
            "stls_stripped_from_capa_and_refused_fails_closed",
            without.rule(on("STLS").say("-ERR what?\r\n")),
        ))
        .quirks(&[4])
        .tests(&[21])
        .whatever_failing()
        .ended("."),
        nothing(scenario("capa_and_stls_refused_fail_closed", refused_capa))
            .quirks(&[4])
            .tests(&[21])
            .whatever_failing()
            .ended("."),
        nothing(scenario(
            "stls_accepted_and_then_clear_text",
            stls().rule(on("TLS").say("+OK still here\r\n").then(Then::Silent)),
        ))
        .quirks(&[4])
        .tests(&[21])
        .fails(1, &["TLS"])
        .ended("D"),
        nothing(scenario("the_connection_ends_after_stls", stls().rule(on("STLS").then(Then::Close))))
            .quirks(&[4])
            .whatever_failing()
            .ended("S"),
    ]
}

fn capabilities() -> Vec<Scenario> {
    let mut differs = stls();
    differs.capabilities[1] = Some(vec!["SASL PLAIN".to_owned()]);
    differs.capabilities[2] = Some(vec!["UIDL".to_owned(), "TOP".to_owned()]);
    let mut plain_only_before = stls();
    plain_only_before.capabilities[0] = Some(vec!["STLS".to_owned(), "SASL PLAIN".to_owned()]);
    plain_only_before.capabilities[1] = Some(vec!["USER".to_owned(), "UIDL".to_owned()]);
    let mut none = plain();
    none.capabilities = [None, None, None];
    let mut lies = plain().capable(&["UIDL", "TOP", "USER"]);
    lies.capabilities[2] = Some(vec!["TOP".to_owned()]);
    vec![
        scenario("capabilities_under_tls_are_asked_for_again", differs)
            .quirks(&[6])
            .sends("AUTH PLAIN")
            .never_sends("USER"),
        scenario("capabilities_from_before_tls_are_forgotten", plain_only_before)
            .quirks(&[3, 6])
            .never_sends("AUTH")
            .sends("USER"),
        scenario("capability_names_in_lower_case_count", plain().capable(&["uidl", "sasl plain  ", "top "]))
            .quirks(&[7])
            .sends("AUTH PLAIN"),
        scenario("a_server_without_capa_works", none.clone()).quirks(&[8]),
        scenario(
            "the_connection_closed_on_capa_is_tried_without",
            plain().rule(on("CAPA").say("").then(Then::Close)),
        )
        .quirks(&[8])
        .ended("SQ"),
        scenario("capa_that_hangs_is_tried_without", plain().rule(on("CAPA").say("").then(Then::Silent)))
            .quirks(&[8])
            .ended("DQ"),
        scenario("that_capa_hangs_is_remembered", plain().rule(on("CAPA").say("").then(Then::Silent)))
            .quirks(&[8])
            .polls(2)
            .asks("CAPA", 1)
            .ended("DQQ"),
        scenario("few_commands_are_probed_before_the_login", none).quirks(&[8]).asks("AUTH", 0),
        scenario("capa_with_bare_ok_and_no_lines", plain().rule(on("CAPA").say("+OK\r\n.\r\n")))
            .quirks(&[10, 25]),
        nothing(scenario(
            "an_endless_capa_is_cut",
            plain().rule(on("CAPA").say("+OK\r\n").endless("X-JUNK\r\n", 64 << 20)),
        ))
        .quirks(&[9])
        .tests(&[12])
        .fails(1, &["limit"])
        .ended("D+"),
        nothing(scenario(
            "a_capa_line_without_an_end_is_cut",
            plain().rule(on("CAPA").say("+OK\r\n").endless("x", 64 << 20)),
        ))
        .quirks(&[9])
        .tests(&[12])
        .fails(1, &["line of more than"])
        .ended("D+"),
        scenario("uidl_missing_from_capa_is_probed", lies).quirks(&[10]).asks("UIDL", 1),
        scenario(
            "top_that_fails_though_advertised_costs_nothing",
            plain().rule(on("TOP").say("-ERR no\r\n")),
        )
        .quirks(&[10]),
        scenario(
            "capabilities_it_does_not_know_are_nothing",
            plain().capable(&["X-\x01", "", "PIPELINING\t", "EXPIRE x", "LOGIN-DELAY -5"]),
        )
        .quirks(&[10]),
    ]
}
