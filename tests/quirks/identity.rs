//! Which message is which from one session to the next: quirks 30 to 33, 35 and 60.

use postroom_tests::scripted::{Message, Script, Stored, Then, message, on};

use crate::bench;
use crate::mail::{mail, many, one, scan, three};
use crate::scenario::{Scenario, scenario};

#[test]
fn identity() {
    bench::run(scenarios());
}

pub(crate) fn scenarios() -> Vec<Scenario> {
    [reuse(), resets(), empties(), reviewed()].into_iter().flatten().collect()
}

fn server() -> Script {
    Script::new(three())
}

fn replaced(maildrop: &mut [Stored], uidl: &str, subject: &str) {
    for stored in maildrop.iter_mut().filter(|stored| stored.message.uidl == uidl.as_bytes()) {
        *stored = Stored::new(message(uidl, mail(subject)));
    }
}

fn renamed(maildrop: &mut [Stored], prefix: &str) {
    for stored in maildrop {
        stored.message.uidl = [prefix.as_bytes(), &stored.message.uidl].concat();
    }
}

fn both(subjects: &[&str]) -> Vec<Vec<u8>> {
    subjects.iter().map(|subject| mail(subject)).collect()
}

fn without_uidl(messages: Vec<Message>) -> Script {
    Script::new(messages).capable(&["USER"]).rule(on("UIDL").say("-ERR unknown command\r\n"))
}

const SPOOLED: &str = "{ when = \"spooled\" }";

/// What a review found.
fn reviewed() -> Vec<Scenario> {
    vec![
        scenario(
            "no_uidl_and_a_message_that_breaks_the_session_costs_that_message_only",
            without_uidl(three()).rule(on("RETR").number(1).only(-6).then(Then::Close)),
        )
        .quirks(&[33, 38])
        .delete_from(1, SPOOLED)
        .stores_only(&["b", "c"])
        .leaves(&["a"])
        .ended("SQ"),
        scenario(
            "no_uidl_and_the_same_octets_again_after_their_removal_are_mail_again",
            without_uidl(vec![message("x", scan("page"))])
                .change(2, |maildrop| maildrop.push(Stored::new(message("y", scan("page"))))),
        )
        .quirks(&[33])
        .delete_from(1, SPOOLED)
        .polls(2)
        .stores(vec![scan("page"), scan("page")])
        .leaves(&[]),
        scenario("no_uidl_and_a_time_to_stay_is_refused", without_uidl(three()))
            .quirks(&[33])
            .delete_from(1, "{ when = \"spooled\", after = \"7d\" }")
            .stores_only(&[])
            .parks(1, &["UIDL"])
            .ended("."),
        scenario(
            "equal_headers_do_not_make_another_message_known",
            Script::new(vec![message("1", scan("a page"))]).change(2, |maildrop| {
                maildrop[0] = Stored::new(message("1", scan("another page, and longer")));
            }),
        )
        .quirks(&[30])
        .tests(&[16])
        .polls(2)
        .stores(vec![scan("a page"), scan("another page, and longer")]),
        scenario(
            "a_top_that_breaks_the_session_does_not_keep_new_mail_away",
            server().rule(on("TOP").say("").then(Then::Close)).change(2, |maildrop| {
                replaced(maildrop, "a", "another a");
                maildrop.push(Stored::new(one("d")));
            }),
        )
        .quirks(&[46])
        .tests(&[9])
        .polls(2)
        .stores(both(&["a", "b", "c", "another a", "d"]))
        .leaves(&["a", "b", "c", "d"])
        .ended("QSQ"),
        scenario(
            "a_server_that_answered_capa_once_is_never_logged_in_to_without_it",
            server().rule(on("CAPA").session(2).say("").then(Then::Close)),
        )
        .quirks(&[8])
        .tests(&[27])
        .polls(2)
        .fails(2, &["closed the connection while CAPA"])
        .ended("QS"),
        scenario(
            "a_reply_too_many_before_a_slow_one_does_not_shift_the_batch",
            server()
                .capable(&["USER", "UIDL", "PIPELINING"])
                .rule(on("RETR").number(1).once().bend(|octets| [octets.clone(), octets].concat()))
                .rule(on("RETR").number(3).once().then(Then::Hold)),
        )
        .quirks(&[59])
        .tests(&[26])
        .ended(".+"),
    ]
}

fn reuse() -> Vec<Scenario> {
    let reused = |name, subject: &'static str| {
        scenario(name, server())
            .quirks(&[30])
            .tests(&[16])
            .before(2, move |maildrop| replaced(maildrop, "b", subject))
            .polls(2)
            .stores(both(&["a", "b", "c", subject]))
    };
    vec![
        reused(
            "an_id_that_returns_with_a_larger_message_is_fetched",
            "something much longer than before, really",
        ),
        reused("an_id_that_returns_after_a_restart_is_fetched", "another subject that is longer").restarts(),
        reused(
            "an_id_that_returns_with_other_mail_is_not_deleted_unseen",
            "a longer subject for the new one",
        )
        .delete_from(2, "{ when = \"done\", after = \"0s\" }")
        .whatever_left(),
        reused("all_mail_under_a_reused_id_is_stored_before_it_goes", "a longer subject for the new one")
            .deletes()
            .polls(4)
            .leaves(&[]),
        scenario(
            "an_id_that_is_gone_for_a_session_and_returns_is_the_same",
            server()
                .change(2, |maildrop| drop(maildrop.remove(1)))
                .change(3, |maildrop| maildrop.insert(1, Stored::new(one("b")))),
        )
        .quirks(&[30, 60])
        .polls(3),
    ]
}

fn resets() -> Vec<Scenario> {
    let reset = |name, count| {
        scenario(name, Script::new(many(count)))
            .quirks(&[31])
            .tests(&[15])
            .before(2, |maildrop| renamed(maildrop, "new-"))
    };
    let names = |count: usize| -> Vec<Vec<u8>> {
        many(count).iter().map(|message| [b"new-".to_vec(), message.uidl.clone()].concat()).collect()
    };
    let left = |mut scenario: Scenario, count| {
        scenario.left = names(count);
        scenario
    };
    vec![
        left(reset("all_ids_change_at_once_and_nothing_is_stored_twice", 20), 20)
            .polls(3)
            .whatever(2)
            .whatever(3)
            .ended("Q+"),
        left(reset("all_ids_of_three_messages_change_and_nothing_is_stored_twice", 3), 3)
            .polls(3)
            .whatever(2)
            .whatever(3)
            .ended("Q+"),
        left(reset("all_ids_change_over_a_restart", 20), 20)
            .restarts()
            .polls(3)
            .whatever(2)
            .whatever(3)
            .ended("Q+"),
        left(reset("all_ids_change_and_nothing_is_deleted_in_that_session", 20), 20)
            .deletes()
            .polls(2)
            .whatever(2)
            .asks("DELE", 0),
    ]
}

fn empties() -> Vec<Scenario> {
    let nothing = || {
        server()
            .rule(on("STAT").session(2).say("+OK 0 0\r\n"))
            .rule(on("LIST").session(2).say("+OK\r\n.\r\n"))
            .rule(on("UIDL").session(2).say("+OK\r\n.\r\n"))
    };
    vec![
        scenario("an_empty_maildrop_is_fine", Script::new(Vec::new())).quirks(&[25]).polls(2),
        scenario("a_maildrop_empty_for_one_session_fetches_nothing_again", nothing())
            .quirks(&[60])
            .polls(3)
            .whatever(2)
            .asks("RETR", 3),
        scenario("an_empty_listing_after_many_messages_is_held", nothing()).quirks(&[60]).polls(2).holds(2),
        scenario(
            "uidl_that_fails_once_fetches_nothing_again",
            server().rule(on("UIDL").session(2).say("-ERR not now\r\n")),
        )
        .quirks(&[32])
        .polls(3)
        .fails(2, &["not now"])
        .asks("RETR", 3)
        .ended("Q.Q"),
        scenario(
            "no_uidl_at_all_is_said_with_what_to_do",
            server().capable(&["USER"]).rule(on("UIDL").say("-ERR unknown command\r\n")),
        )
        .quirks(&[33])
        .stores_only(&[])
        .parks(1, &["UIDL"])
        .hints(1, &["delete"])
        .ended("."),
        scenario(
            "no_uidl_at_all_downloads_and_deletes_in_one_session",
            server().capable(&["USER"]).rule(on("UIDL").say("-ERR unknown command\r\n")),
        )
        .quirks(&[33])
        .delete_from(1, "{ when = \"spooled\" }")
        .leaves(&[]),
        scenario(
            "no_uidl_and_a_lost_quit_store_nothing_twice",
            server()
                .capable(&["USER"])
                .rule(on("UIDL").say("-ERR unknown command\r\n"))
                .rule(on("QUIT").once().say("").then(postroom_tests::scripted::Then::Close)),
        )
        .quirks(&[33])
        .delete_from(1, "{ when = \"spooled\" }")
        .polls(2)
        .whatever(1)
        .ended("SQ")
        .leaves(&[]),
        scenario("a_server_that_shows_two_at_a_time_is_emptied", {
            let mut script = Script::new(many(6));
            script.shows = 2;
            script
        })
        .quirks(&[35])
        .deletes()
        .polls(7)
        .leaves(&[]),
        scenario("mail_hidden_by_quit_is_stored", {
            let mut script = server();
            script.hides_retrieved = true;
            script
        })
        .quirks(&[35, 53])
        .polls(2)
        .holds(2)
        .leaves(&[]),
    ]
}
