//! Delays, pipelining, quotas and slow servers: quirks 54, 58, 59 and 61, tests 13, 26 and 28.

use std::time::Duration;

use postroom::config::PLAINTEXT_CONSENT;
use postroom_tests::scripted::{End, Script, Server, Then, on};

use crate::bench::{self, Bench, configured};
use crate::mail::{many, three};
use crate::scenario::{Scenario, scenario};

#[test]
fn scheduling_and_limits() {
    bench::run(scenarios());
}

fn server() -> Script {
    Script::new(three())
}

fn pipelining() -> Script {
    Script::new(many(8)).capable(&["UIDL", "TOP", "USER", "PIPELINING"])
}

pub(crate) fn scenarios() -> Vec<Scenario> {
    [delays(), pipelines(), quotas(), slow()].into_iter().flatten().collect()
}

fn delays() -> Vec<Scenario> {
    let delay = |name, line: &str| scenario(name, server().capable(&["UIDL", "USER", line])).quirks(&[58]);
    vec![
        delay("login_delay_in_capa_is_read", "LOGIN-DELAY 300"),
        delay("login_delay_per_user_is_read", "LOGIN-DELAY 720 USER"),
        delay("login_delay_of_nonsense_is_nothing", "LOGIN-DELAY soon"),
        delay("a_second_login_before_the_delay_is_not_made", "LOGIN-DELAY 86400")
            .polls(2)
            .whatever(2)
            .asks("PASS", 1)
            .ended("Q"),
        scenario(
            "too_soon_is_tried_again_and_not_by_a_person",
            server().rule(on("PASS").times(2).say("-ERR [LOGIN-DELAY] minimum time between mail checks\r\n")),
        )
        .quirks(&[58])
        .tests(&[10])
        .polls(3)
        .fails(1, &["LOGIN-DELAY"])
        .fails(2, &["LOGIN-DELAY"])
        .ended("..Q"),
    ]
}

fn pipelines() -> Vec<Scenario> {
    let lie = |name, script: Script| {
        scenario(name, script).quirks(&[59]).tests(&[26]).polls(2).whatever(1).ended(".+")
    };
    vec![
        scenario("a_server_that_pipelines_gets_everything", pipelining()).quirks(&[59]).tests(&[26]),
        scenario(
            "pipelined_answers_in_one_packet_are_paired",
            pipelining().rule(on("RETR").number(2).then(Then::Continue)),
        )
        .quirks(&[59])
        .tests(&[26]),
        scenario("pipelined_answers_in_single_octets_are_paired", pipelining().rule(on("RETR").pieces(3)))
            .quirks(&[59])
            .tests(&[26]),
        lie(
            "pipelining_that_answers_twice",
            pipelining().rule(on("RETR").number(3).once().bend(|octets| [octets.clone(), octets].concat())),
        )
        .warns("lost step"),
        lie(
            "pipelining_that_answers_nothing_to_one",
            pipelining().rule(on("RETR").number(3).once().say("").effect(true)),
        )
        .warns("lost step"),
        lie("pipelining_that_answers_late", pipelining().rule(on("RETR").number(3).once().then(Then::Hold))),
        lie(
            "pipelining_that_answers_early",
            pipelining()
                .rule(on("UIDL").once().bend(|octets| [octets, b"+OK early\r\n.\r\n".to_vec()].concat())),
        ),
        lie(
            "pipelining_that_closes_on_the_second_command",
            pipelining().rule(on("RETR").number(2).once().say("").then(Then::Close)),
        )
        .warns("lost step"),
        lie(
            "pipelining_that_refuses_in_the_middle",
            pipelining().rule(on("RETR").number(4).once().say("-ERR slow down\r\n")),
        ),
        scenario("pipelining_switched_off_waits_for_each_answer", pipelining())
            .quirks(&[59])
            .account("pipelining = false"),
        scenario(
            "dele_and_quit_are_never_behind_an_unanswered_retr",
            pipelining().rule(on("RETR").number(8).once().only(20).then(Then::Close)),
        )
        .quirks(&[59])
        .polls(2)
        .whatever(1)
        .ended("S.+"),
    ]
}

fn quotas() -> Vec<Scenario> {
    vec![
        scenario(
            "a_quota_in_the_middle_keeps_what_came",
            server().rule(on("RETR").after(1).times(2).say("-ERR [SYS/TEMP] daily bandwidth exceeded\r\n")),
        )
        .quirks(&[61])
        .polls(2)
        .refuses(1, &["bandwidth"]),
        scenario(
            "a_quota_that_closes_the_session_keeps_what_came",
            server().rule(on("RETR").after(1).once().say("-ERR Download exceed\r\n").then(Then::Close)),
        )
        .quirks(&[61])
        .polls(2)
        .whatever(1)
        .ended("S.+"),
        scenario(
            "a_quota_is_no_reason_to_ask_for_every_other_message",
            Script::new(many(30)).rule(on("RETR").say("-ERR [SYS/TEMP] Download exceed, try tomorrow\r\n")),
        )
        .quirks(&[61])
        .stores_only(&[])
        .whatever(1)
        .at_most("RETR", 10)
        .ended("."),
        scenario("a_hundred_messages_come_in_one_session", Script::new(many(100))).quirks(&[35]).tests(&[28]),
    ]
}

fn slow() -> Vec<Scenario> {
    let trickle = |name, verb| {
        let rule = on(verb).once().only(2).endless(" ", 4096).pieces(1).every(Duration::from_millis(400));
        scenario(name, server().rule(rule)).tests(&[13]).polls(2).whatever(1).ended("D.+")
    };
    vec![
        trickle("an_answer_to_stat_that_trickles_is_given_up", "STAT"),
        trickle("an_answer_to_list_that_trickles_is_given_up", "LIST"),
        trickle("an_answer_to_retr_that_trickles_is_given_up", "RETR"),
        trickle("an_answer_to_pass_that_trickles_is_given_up", "PASS"),
        scenario(
            "a_slow_but_honest_message_is_whole",
            server().rule(on("RETR").number(2).pieces(30).every(Duration::from_millis(100))),
        )
        .quirks(&[54])
        .tests(&[13]),
    ]
}

/// Ten accounts of a server that says nothing and ten of one that works, in one poll.
#[test]
fn dead_servers_hold_up_nobody() {
    let (honest, dead, stored) = bench::runtime().block_on(async {
        let bench = Bench::new("correct horse");
        let honest = Server::start(server()).await.unwrap();
        let dead = Server::start(server().rule(on("GREETING").say("").then(Then::Silent))).await.unwrap();
        let mut text = configured("", "localhost", honest.addr().port(), "none", "user", "timeout = \"2s\"");
        for number in 0..19 {
            let port = if number < 9 { honest.addr().port() } else { dead.addr().port() };
            text.push_str(&format!(
                "[accounts.a{number}]\nhost = \"localhost\"\nport = {port}\ntls = \"none\"\nuser = \"user{number}\"\n\
                 insecure_plaintext = \"{PLAINTEXT_CONSENT}\"\npassword = {{ file = \"password\" }}\ntimeout = \"2s\"\n"
            ));
        }
        bench.poll(&mut None, &text).await.unwrap();
        assert!(honest.settled().await && dead.settled().await);
        (honest.log(), dead.log(), bench.stored())
    });
    assert_eq!((honest.len(), dead.len()), (10, 10));
    assert!(honest.iter().all(|session| session.end == End::Quit), "{honest:?}");
    assert!(dead.iter().all(|session| session.end == End::Dropped), "{dead:?}");
    assert_eq!(stored.values().sum::<usize>(), 30);
    let last = honest.iter().filter_map(|session| session.ended).max();
    let first = dead.iter().filter_map(|session| session.ended).min();
    assert!(last < first, "the accounts that work waited for those that do not");
}
