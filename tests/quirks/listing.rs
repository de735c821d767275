//! STAT, LIST and UIDL: what one listing may look like, quirks 22 to 29, 34 and 36.

use postroom_tests::scripted::{Script, Stored, message, on};

use crate::bench;
use crate::mail::{mail, one, three};
use crate::scenario::{Scenario, scenario};

#[test]
fn listings() {
    bench::run(scenarios());
}

fn server() -> Script {
    Script::new(three())
}

fn stat(name: &'static str, answer: &str) -> Scenario {
    scenario(name, server().rule(on("STAT").say(format!("{answer}\r\n")))).quirks(&[22])
}

fn list(name: &'static str, answer: &str) -> Scenario {
    scenario(name, server().rule(on("LIST").say(answer)))
}

fn uidl(name: &'static str, answer: impl Into<Vec<u8>>) -> Scenario {
    scenario(name, server().rule(on("UIDL").say(answer)))
}

fn both(subjects: &[&str]) -> Vec<Vec<u8>> {
    subjects.iter().map(|subject| mail(subject)).collect()
}

pub(crate) fn scenarios() -> Vec<Scenario> {
    [counts(), shapes(), sizes(), ids()].into_iter().flatten().collect()
}

fn counts() -> Vec<Scenario> {
    vec![
        stat("stat_with_negative_octets_is_fine", "+OK 3 -17"),
        stat("stat_with_2_to_the_70_octets_is_fine", "+OK 3 1180591620717411303424"),
        stat("stat_without_octets_is_fine", "+OK 3"),
        stat("stat_with_text_behind_is_fine", "+OK 3 300 octets in all"),
        scenario("stat_counts_more_than_list", server().rule(on("STAT").say("+OK 5 500\r\n")))
            .quirks(&[23])
            .tests(&[14, 17]),
        scenario("stat_counts_fewer_than_list", server().rule(on("STAT").say("+OK 1 100\r\n")))
            .quirks(&[23])
            .tests(&[14, 17]),
        list("list_lacks_one_that_uidl_has", "+OK\r\n1 10\r\n3 10\r\n.\r\n")
            .quirks(&[23])
            .tests(&[14])
            .stores_only(&["a", "c"]),
        uidl("uidl_lacks_one_that_list_has", "+OK\r\n1 a\r\n3 c\r\n.\r\n")
            .quirks(&[23])
            .tests(&[14])
            .stores_only(&["a", "c"]),
        scenario(
            "an_incomplete_listing_forgets_nothing",
            server().rule(on("UIDL").session(2).say("+OK\r\n1 a\r\n.\r\n")),
        )
        .quirks(&[23, 60])
        .polls(3)
        .asks("RETR", 3)
        .whatever(2)
        .ended("Q.Q"),
        scenario(
            "an_incomplete_listing_deletes_only_what_it_proves",
            server().rule(on("UIDL").session(2).say("+OK\r\n1 a\r\n.\r\n")),
        )
        .quirks(&[23])
        .deletes()
        .polls(3)
        .whatever(2)
        .leaves(&[])
        .ended("Q.Q"),
        scenario(
            "a_message_that_comes_between_stat_and_list",
            server().rule(on("STAT").say("+OK 2 200\r\n")),
        )
        .tests(&[17]),
        scenario(
            "a_message_that_goes_between_list_and_retr",
            server().rule(on("RETR").number(2).once().say("-ERR message 2 expunged\r\n")),
        )
        .quirks(&[57])
        .tests(&[17])
        .stores_only(&["a", "c"])
        .refuses(1, &["expunged"]),
    ]
}

fn shapes() -> Vec<Scenario> {
    vec![
        list("text_after_ok_is_ignored", "+OK 20 Messages (666 octets)\r\n1 10\r\n2 10\r\n3 10\r\n.\r\n")
            .quirks(&[24]),
        list("blank_lines_in_list_are_skipped", "+OK\r\n\r\n1 10\r\n\r\n2 10\r\n3 10\r\n.\r\n").quirks(&[24]),
        uidl("blank_lines_in_uidl_are_skipped", "+OK\r\n\r\n1 a\r\n2 b\r\n \r\n3 c\r\n.\r\n").quirks(&[24]),
        uidl("three_blanks_before_the_id", "+OK\r\n1   a\r\n2 \t b\r\n3\tc\r\n.\r\n")
            .quirks(&[26])
            .polls(2)
            .asks("RETR", 3),
        uidl("blanks_before_the_number", "+OK\r\n 1 a\r\n  2 b\r\n\t3 c\r\n.\r\n").quirks(&[26]),
        list("list_with_more_fields", "+OK\r\n1 10 new\r\n2 10 (x)\r\n3 10\r\n.\r\n").quirks(&[26]),
        scenario("uidl_with_a_number_is_never_used", server()).quirks(&[27]).never_sends("UIDL "),
        scenario(
            "the_number_in_an_answer_to_retr_does_not_matter",
            server()
                .rule(on("RETR").number(1).bend(|octets| [b"+OK 7 17 octets\r\n", &octets[16..]].concat())),
        )
        .quirks(&[27]),
        scenario(
            "an_empty_listing_ends_at_the_dot",
            server()
                .rule(on("STAT").say("+OK 3 300\r\n"))
                .rule(on("LIST").say("+OK\r\n.\r\n"))
                .rule(on("UIDL").say("+OK\r\n.\r\n")),
        )
        .quirks(&[23, 25])
        .stores_only(&[])
        .whatever(1)
        .ended("."),
        scenario(
            "the_dot_in_a_packet_of_its_own",
            server().rule(on("LIST").pieces(1)).rule(on("UIDL").pieces(1)),
        )
        .quirks(&[25]),
        scenario("a_uidl_list_in_bare_lf", server().rule(on("UIDL").say("+OK\n1 a\n2 b\n3 c\n.\n")))
            .quirks(&[41]),
        scenario(
            "an_endless_uidl_list_is_cut",
            server().rule(on("UIDL").say("+OK\r\n").endless("1 a\r\n", 64 << 20)),
        )
        .quirks(&[9])
        .tests(&[12])
        .stores_only(&[])
        .fails(1, &["limit"])
        .ended("D"),
        scenario(
            "a_list_line_without_an_end_is_cut",
            server().rule(on("LIST").say("+OK\r\n1 ").endless("9", 64 << 20)),
        )
        .quirks(&[9])
        .tests(&[12])
        .stores_only(&[])
        .fails(1, &["line of more than"])
        .ended("D"),
        scenario(
            "numbers_out_of_range_are_left_out",
            server().rule(
                on("LIST")
                    .say("+OK\r\n0 10\r\n1 10\r\n2 10\r\n3 10\r\n4294967297 10\r\n-1 10\r\nx y\r\n.\r\n"),
            ),
        )
        .tests(&[14]),
        scenario(
            "numbers_repeated_are_asked_for_once",
            server().rule(on("UIDL").say("+OK\r\n1 a\r\n1 a\r\n2 b\r\n3 c\r\n.\r\n")),
        )
        .tests(&[14])
        .asks("RETR", 3),
        scenario(
            "a_number_with_two_ids_is_not_trusted",
            server().rule(on("UIDL").say("+OK\r\n1 a\r\n2 b\r\n2 x\r\n3 c\r\n.\r\n")),
        )
        .tests(&[14])
        .stores_only(&["a", "c"])
        .refuses(1, &["message 2"]),
        scenario(
            "a_listing_in_reverse_order_is_the_same",
            server().rule(on("UIDL").say("+OK\r\n3 c\r\n2 b\r\n1 a\r\n.\r\n")),
        )
        .quirks(&[36])
        .tests(&[14]),
        scenario("other_numbers_in_the_next_session_fetch_nothing_again", server())
            .quirks(&[36])
            .tests(&[14])
            .before(2, |maildrop| maildrop.reverse())
            .polls(2)
            .asks("RETR", 3)
            .leaves(&["c", "b", "a"]),
        scenario("other_numbers_in_the_next_session_delete_the_right_mail", server())
            .quirks(&[36])
            .tests(&[14])
            .before(2, |maildrop| {
                maildrop.reverse();
                maildrop.insert(0, Stored::new(one("late")));
            })
            .deletes()
            .polls(2)
            .stores(both(&["a", "b", "c", "late"]))
            .whatever_left(),
    ]
}

fn sizes() -> Vec<Scenario> {
    let sized = |name, size: &'static str| {
        let messages = three().into_iter().map(|message| message.listed(size)).collect();
        scenario(name, Script::new(messages)).quirks(&[34]).tests(&[11])
    };
    let kib = Script::new(vec![one("a").listed("1024"), one("b").listed("1024")]);
    vec![
        sized("a_listed_size_of_0_is_fine", "0"),
        sized("a_listed_size_of_minus_1_is_fine", "-1"),
        sized("a_listed_size_half_the_truth_is_fine", "40"),
        sized("a_listed_size_twice_the_truth_is_fine", "200"),
        sized("a_listed_size_ten_times_the_truth_is_fine", "1000"),
        sized("a_listed_size_that_is_missing_is_fine", ""),
        sized("a_listed_size_that_is_no_number_is_fine", "big"),
        sized("a_listed_size_of_2_to_the_63_costs_no_memory", "9223372036854775808")
            .stores_only(&[])
            .refuses(1, &["limit"]),
        scenario("sizes_rounded_to_1_kib_are_fine", kib).quirks(&[34]).deletes().polls(2).leaves(&[]),
        scenario("a_size_that_changes_with_the_session_is_the_same_mail", server())
            .quirks(&[34])
            .before(2, |maildrop| maildrop[0].message.listed = Some(b"81".to_vec()))
            .polls(2),
    ]
}

fn ids() -> Vec<Scenario> {
    let with = |uidl: &[u8]| Script::new(vec![message(uidl, mail("odd")), one("b")]);
    let kept =
        |name, uidl: Vec<u8>| scenario(name, with(&uidl)).quirks(&[28]).tests(&[14]).polls(2).asks("RETR", 2);
    let twins = || Script::new(vec![message("twin", mail("one")), message("twin", mail("two")), one("c")]);
    let copies = || Script::new(vec![message("copy", mail("same")), message("copy", mail("same"))]);
    vec![
        kept("an_id_of_71_octets_is_kept", vec![b'x'; 71]),
        kept("an_id_of_1024_octets_is_kept", vec![b'x'; 1024]),
        kept("an_id_of_3000_octets_is_kept_as_its_digest", vec![b'x'; 3000]),
        kept("an_id_with_blanks_is_kept", b"<id with blanks>".to_vec()),
        kept("an_id_with_eight_bit_octets_is_kept", b"\xff\xfe\x80".to_vec()),
        kept("an_id_with_control_octets_is_kept", b"a\x01\x1b[2J\x7f".to_vec()),
        kept("an_id_like_a_path_is_only_an_id", b"../../etc/passwd".to_vec()),
        kept("an_id_of_a_dot_is_only_an_id", b".".to_vec()),
        scenario(
            "long_ids_with_the_same_beginning_are_two",
            Script::new(vec![
                message([vec![b'x'; 1500], b"1".to_vec()].concat(), mail("one")),
                message([vec![b'x'; 1500], b"2".to_vec()].concat(), mail("two")),
            ]),
        )
        .quirks(&[28]),
        scenario("an_empty_id_is_no_id", with(b""))
            .quirks(&[28])
            .tests(&[14])
            .stores(both(&["b"]))
            .refuses(1, &["unique-id"]),
        scenario("an_empty_id_is_never_deleted", with(b""))
            .quirks(&[28])
            .deletes()
            .polls(2)
            .stores(both(&["b"]))
            .refuses(1, &["unique-id"])
            .refuses(2, &["unique-id"])
            .leaves(&[""]),
        scenario("two_messages_with_one_id_are_both_stored", twins()).quirks(&[29]).tests(&[14]),
        scenario("two_messages_with_one_id_are_fetched_once", twins()).quirks(&[29]).polls(2).asks("RETR", 3),
        scenario("two_messages_with_one_id_are_both_deleted", twins())
            .quirks(&[29])
            .deletes()
            .polls(2)
            .leaves(&[]),
        scenario("of_two_messages_with_one_id_the_other_stays_right", twins())
            .quirks(&[29])
            .before(2, |maildrop| drop(maildrop.remove(0)))
            .polls(2)
            .whatever(2)
            .leaves(&["twin", "c"]),
        scenario("two_identical_copies_with_one_id_lose_nothing", copies())
            .quirks(&[29])
            .stores(both(&["same", "same"])),
        scenario(
            "case_tells_ids_apart",
            Script::new(vec![message("ID", mail("up")), message("id", mail("down"))]),
        )
        .quirks(&[28]),
    ]
}
