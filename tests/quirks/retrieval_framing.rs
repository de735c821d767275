//! RETR, TOP and where a message ends: quirks 37 to 48.

use postroom_tests::scripted::{Script, Then, message, on};

use crate::bench;
use crate::mail::{mail, one, three};
use crate::scenario::{Scenario, scenario};

#[test]
fn retrieval_and_framing() {
    bench::run(scenarios());
}

fn server() -> Script {
    Script::new(three())
}

/// Messages around one with these octets.
fn around(octets: impl Into<Vec<u8>>) -> Script {
    Script::new(vec![one("a"), message("b", octets), one("c")])
}

fn head(body: &str) -> Vec<u8> {
    format!("Subject: x\r\n\r\n{body}").into_bytes()
}

pub(crate) fn scenarios() -> Vec<Scenario> {
    [refusals(), cuts(), dots(), ends(), octets(), limits()].into_iter().flatten().collect()
}

fn refusals() -> Vec<Scenario> {
    let refused = |name, text: &'static str| {
        scenario(name, server().rule(on("RETR").number(2).say(format!("-ERR {text}\r\n"))))
            .quirks(&[37])
            .tests(&[9])
            .stores_only(&["a", "c"])
            .refuses(1, &[text])
    };
    vec![
        refused("one_message_that_is_refused_blocks_no_other", "Can't get the letter, try again later"),
        refused("download_exceed_is_reported", "Download exceed the limit").quirks(&[61]),
        refused("a_refused_message_is_never_deleted", "no")
            .deletes()
            .polls(2)
            .refuses(2, &["no"])
            .leaves(&["b"]),
        refused("a_message_refused_with_sys_perm_parks_no_account", "[SYS/PERM] damaged"),
        refused("a_message_that_is_always_refused_is_given_up", "broken")
            .restarts()
            .polls(8)
            .refuses_to(8, &["message 2"])
            .refuses(8, &["broken", "3 times"]),
        scenario(
            "a_message_refused_once_comes_later",
            server().rule(on("RETR").number(2).once().say("-ERR later\r\n")),
        )
        .quirks(&[37])
        .polls(2)
        .refuses(1, &["later"]),
        scenario(
            "every_message_refused_is_no_reason_to_delete",
            server().rule(on("RETR").say("-ERR no\r\n")),
        )
        .quirks(&[37, 61])
        .deletes()
        .polls(2)
        .stores_only(&[])
        .refuses(1, &["no"])
        .refuses(2, &["no"]),
        scenario(
            "attachments_that_are_not_sent_are_stored_as_sent",
            around(head("(attachment not sent)\r\n")),
        )
        .quirks(&[47]),
        scenario(
            "the_pseudo_message_of_an_imap_server_is_a_message_like_any",
            around("Subject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA\r\nX-IMAP: 1\r\n\r\nx\r\n"),
        )
        .quirks(&[47]),
        scenario("top_is_never_used_to_retrieve", server()).quirks(&[46]).asks("TOP", 0).asks("RETR", 3),
    ]
}

fn cuts() -> Vec<Scenario> {
    let cut = |name, octets, then| {
        scenario(name, server().rule(on("RETR").number(2).once().only(octets).then(then)))
            .quirks(&[38])
            .tests(&[2])
            .polls(2)
            .whatever(1)
            .ended("S.+")
            .deletes()
            .polls(3)
            .leaves(&[])
    };
    vec![
        cut("a_connection_closed_in_the_status_line", 3, Then::Close),
        cut("a_connection_closed_in_the_headers", 40, Then::Close),
        cut("a_connection_reset_in_the_headers", 40, Then::Reset),
        cut("a_connection_closed_before_the_terminator", -5, Then::Close),
        cut("a_connection_closed_after_the_last_cr", -4, Then::Close),
        cut("a_connection_closed_after_the_last_line", -3, Then::Close),
        cut("a_connection_closed_after_the_dot", -2, Then::Close),
        cut("a_connection_closed_after_the_dot_and_cr", -1, Then::Close),
        cut("a_connection_closed_after_the_terminator", 4096, Then::Close),
        scenario(
            "a_message_that_breaks_every_session_blocks_no_other",
            server().rule(on("RETR").number(1).only(30).then(Then::Close)),
        )
        .quirks(&[38])
        .stores_only(&["b", "c"])
        .whatever(1)
        .ended("S+Q"),
        scenario(
            "a_message_that_breaks_every_session_is_given_up_for_good",
            server().rule(on("RETR").number(1).only(30).then(Then::Close)),
        )
        .quirks(&[37, 38])
        .restarts()
        .polls(3)
        .stores_only(&["b", "c"])
        .whatever(1)
        .whatever(2)
        .refuses(3, &["message 1"])
        .ended("S+Q+"),
        scenario(
            "a_message_that_stops_coming_times_out",
            server().rule(on("RETR").number(2).once().only(50).then(Then::Silent)),
        )
        .quirks(&[38])
        .tests(&[13])
        .polls(2)
        .whatever(1)
        .ended("D.+"),
    ]
}

fn dots() -> Vec<Scenario> {
    let whole = |name, body: &str| scenario(name, around(head(body))).quirks(&[39]).tests(&[25]);
    let dotted = ".\r\n..\r\n...\r\n.x\r\n..x\r\n\r\n.\r\n";
    let pieces = |name, count| {
        scenario(name, around(head(dotted)).rule(on("RETR").pieces(count))).quirks(&[39, 41]).tests(&[2, 25])
    };
    vec![
        whole("lines_of_dots_are_kept", dotted),
        whole("a_dot_and_cr_in_a_line_is_kept", ".\rx\r\n.\r\r\n"),
        pieces("dots_in_single_octets", 1),
        pieces("dots_in_pairs", 2),
        pieces("dots_in_threes", 3),
        pieces("dots_in_fives", 5),
        pieces("dots_in_sevens", 7),
        scenario(
            "a_dot_that_was_not_stuffed_is_kept",
            around(head(".x\r\n")).rule(on("RETR").number(2).bend(|octets| unstuffed(&octets))),
        )
        .quirks(&[40])
        .tests(&[25]),
        scenario(
            "a_message_that_begins_with_an_unstuffed_dot",
            around(".Subject: x\r\n\r\nx\r\n").rule(on("RETR").number(2).bend(|octets| unstuffed(&octets))),
        )
        .quirks(&[40]),
        scenario(
            "a_first_line_of_an_unstuffed_dot_alone_is_out_of_step",
            around(".\r\nSubject: x\r\n\r\nx\r\n")
                .rule(on("RETR").number(2).bend(|octets| unstuffed(&octets))),
        )
        .quirks(&[40, 42])
        .stores_only(&["a", "c"])
        .whatever(1)
        .ended("D.+"),
    ]
}

/// As a server that forgot to stuff dots.
fn unstuffed(octets: &[u8]) -> Vec<u8> {
    String::from_utf8_lossy(octets).replace("\r\n..", "\r\n.").into_bytes()
}

fn ends() -> Vec<Scenario> {
    let never = |name, end: &'static [u8], says: &'static str| {
        let octets = [b"+OK\r\n".as_slice(), &mail("b"), end].concat();
        scenario(name, server().rule(on("RETR").number(2).say(octets)))
            .quirks(&[41])
            .stores_only(&["a", "c"])
            .fails_or_refuses(1, says)
            .ended("D.+")
    };
    let mut lf = server();
    lf.bare_lf = true;
    let lines =
        |subject: &str| String::from_utf8(mail(subject)).expect("text").replace("\r\n", "\n").into_bytes();
    let smuggled = head("one\n.\n+OK here\r\nFrom: forged@a.example\r\n\r\ntwo\r\n");
    vec![
        never("a_terminator_of_dot_and_lf_is_none_where_lines_end_in_crlf", b".\n", "message 2"),
        never("a_terminator_of_dot_and_cr_is_none", b".\r", "message 2"),
        scenario("a_server_that_ends_lines_in_bare_lf_works", lf)
            .quirks(&[41])
            .stores(["a", "b", "c"].map(lines).to_vec()),
        scenario("a_dot_and_crlf_in_packets_of_their_own", server().rule(on("RETR").pieces(1)))
            .quirks(&[41])
            .tests(&[2]),
        scenario(
            "a_second_terminator_is_out_of_step",
            server().rule(on("RETR").number(2).once().bend(|octets| [octets, b".\r\n".to_vec()].concat())),
        )
        .quirks(&[41, 42])
        .polls(2)
        .whatever(1)
        .ended("D.+"),
        scenario(
            "no_line_end_before_the_dot_times_out",
            server()
                .rule(on("RETR").number(2).bend(|octets| [&octets[..octets.len() - 5], b".\r\n"].concat())),
        )
        .quirks(&[41])
        .stores_only(&["a", "c"])
        .whatever(1)
        .ended("D.+"),
        scenario("bare_lf_dot_bare_lf_ends_no_message", around(smuggled.clone())).quirks(&[42]).tests(&[25]),
        scenario("bare_lf_dot_crlf_ends_no_message", around(head("one\n.\r\ntwo\r\n")))
            .quirks(&[42])
            .tests(&[25]),
        scenario("a_message_ended_early_by_bare_lf_is_not_accepted", {
            let mut script = around(smuggled);
            script.bare_lf = true;
            script
        })
        .quirks(&[42])
        .whatever(1)
        .stores(vec![lines("a"), lines("c")])
        .ended("D.+"),
        scenario(
            "octets_after_a_message_are_out_of_step",
            server()
                .rule(on("RETR").number(2).once().bend(|octets| [octets, b"trailing\r\n".to_vec()].concat())),
        )
        .quirks(&[42])
        .tests(&[26])
        .polls(2)
        .whatever(1)
        .ended("D.+"),
    ]
}

fn octets() -> Vec<Scenario> {
    let exact = |name, octets: Vec<u8>| scenario(name, around(octets)).quirks(&[43]).tests(&[25]);
    let long = format!("Subject: x\r\n\r\n{}\r\n", "x".repeat(2 << 20));
    vec![
        exact("lone_cr_is_kept", head("a\rb\r\n")),
        exact("lone_lf_is_kept", head("a\nb\r\n")),
        exact("nul_is_kept", b"Subject: x\r\n\r\na\0b\r\n".to_vec()),
        exact(
            "all_octets_are_kept",
            [b"Subject: x\r\n\r\n".to_vec(), (0..=255).collect(), b"\r\n".to_vec()].concat(),
        ),
        exact("cr_cr_lf_is_kept", head("a\r\r\nb\r\n")),
        exact("no_final_line_end_gets_the_one_that_the_protocol_needs", head("end")).stores(vec![
            mail("a"),
            head("end\r\n"),
            mail("c"),
        ]),
        scenario("a_line_of_2_mib_is_kept", around(long)).quirks(&[44]),
        scenario(
            "a_header_line_of_100_kib_is_kept",
            around(format!("Subject: {}\r\n\r\nx\r\n", "y".repeat(100 << 10))),
        )
        .quirks(&[44]),
        scenario("an_empty_message_is_stored", around("")).quirks(&[48]),
        scenario("a_message_of_headers_alone_is_stored", around("Subject: x\r\n")).quirks(&[48]),
        scenario("a_message_without_headers_is_stored", around("\r\nx\r\n")).quirks(&[48]),
        scenario("a_message_of_one_line_end_is_stored", around("\r\n")).quirks(&[48]),
    ]
}

fn limits() -> Vec<Scenario> {
    let small = |scenario: Scenario| scenario.top("limits.message = \"64 KiB\"");
    let endless = || {
        server().rule(on("RETR").number(2).say("+OK\r\nSubject: x\r\n\r\n").endless("line\r\n", 256 << 20))
    };
    vec![
        small(scenario("a_message_that_never_ends_is_cut", endless()))
            .quirks(&[45])
            .tests(&[12])
            .stores_only(&["a", "c"])
            .fails_or_refuses(1, "limit")
            .ended("D+Q+"),
        small(scenario("a_message_that_never_ends_is_not_asked_for_again", endless()))
            .quirks(&[45])
            .tests(&[12])
            .restarts()
            .polls(2)
            .stores_only(&["a", "c"])
            .whatever(1)
            .refuses(2, &["limit"])
            .ended("D+Q+"),
        small(scenario(
            "a_line_of_200_mib_takes_no_memory",
            server().rule(on("RETR").number(2).say("+OK\r\n").endless("x", 200 << 20)),
        ))
        .quirks(&[44, 45])
        .tests(&[12])
        .stores_only(&["a", "c"])
        .whatever(1)
        .ended("D+Q+"),
        small(scenario(
            "a_message_larger_than_listed_and_allowed",
            Script::new(vec![one("a"), message("b", vec![b'x'; 70_000]).listed("10"), one("c")]),
        ))
        .quirks(&[45])
        .tests(&[11])
        .stores_only(&["a", "c"])
        .whatever(1)
        .ended("D+Q+"),
        small(scenario(
            "a_message_listed_larger_than_allowed_is_not_asked_for",
            Script::new(vec![one("a"), one("b").listed("70000"), one("c")]),
        ))
        .quirks(&[45])
        .tests(&[11])
        .stores_only(&["a", "c"])
        .asks("RETR", 2)
        .refuses(1, &["limits.message"]),
        scenario(
            "a_message_larger_than_listed_is_whole",
            Script::new(vec![message("b", head(&"line\r\n".repeat(500))).listed("10")]),
        )
        .quirks(&[34, 45])
        .tests(&[11]),
    ]
}
