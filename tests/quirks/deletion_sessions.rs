//! DELE, QUIT and what becomes of a session: quirks 49 to 57, 60 and 62.

use postroom_tests::scripted::{Script, Stored, Then, on};

use crate::bench;
use crate::mail::{mail, one, three};
use crate::scenario::{Scenario, scenario};

#[test]
fn deletion_and_sessions() {
    bench::run(scenarios());
}

fn server() -> Script {
    Script::new(three())
}

/// Three messages, stored in the first poll; deletion from the second on.
fn deleting(name: &'static str, script: Script) -> Scenario {
    scenario(name, script).deletes().polls(3).leaves(&[]).asks("RETR", 3)
}

pub(crate) fn scenarios() -> Vec<Scenario> {
    [deletions(), quits(), servers(), others(), policies()].into_iter().flatten().collect()
}

fn deletions() -> Vec<Scenario> {
    vec![
        deleting("what_is_done_is_deleted", server()).quirks(&[49]).polls(2).asks("DELE", 3),
        scenario("nothing_is_deleted_unasked", server())
            .quirks(&[49])
            .polls(3)
            .asks("DELE", 0)
            .asks("RETR", 3),
        deleting(
            "a_connection_lost_after_dele_deletes_again",
            server().rule(on("DELE").number(2).once().then(Then::Close)),
        )
        .quirks(&[49])
        .whatever(2)
        .ended("QSQ"),
        deleting(
            "a_connection_reset_after_dele_deletes_again",
            server().rule(on("DELE").number(3).once().then(Then::Reset)),
        )
        .quirks(&[49])
        .whatever(2)
        .ended("QSQ"),
        deleting(
            "a_connection_lost_after_dele_deletes_again_after_a_restart",
            server().rule(on("DELE").number(2).once().then(Then::Close)),
        )
        .quirks(&[49])
        .restarts()
        .whatever(2)
        .ended("QSQ"),
        deleting(
            "dele_refused_for_one_deletes_the_others",
            server().rule(on("DELE").number(1).say("-ERR [SYS/PERM] no\r\n")),
        )
        .quirks(&[52])
        .tests(&[9])
        .polls(2)
        .leaves(&["a"]),
        deleting(
            "dele_that_is_never_answered_times_out",
            server().rule(on("DELE").once().say("").then(Then::Silent)),
        )
        .quirks(&[49])
        .tests(&[13])
        .fails(2, &["DELE"])
        .ended("QDQ"),
        deleting("dele_without_effect_is_tried_a_few_times_only", server().rule(on("DELE").effect(false)))
            .quirks(&[52])
            .polls(12)
            .leaves(&["a", "b", "c"])
            .at_most("DELE", 15),
        deleting(
            "mail_moved_to_trash_and_back_is_not_stored_again",
            server().change(3, |maildrop| maildrop.push(Stored::new(one("b")))),
        )
        .quirks(&[52])
        .tests(&[8])
        .polls(4),
    ]
}

fn quits() -> Vec<Scenario> {
    let lost = |name, removes: bool| {
        let rule = on("QUIT").session(2).say("").effect(removes).then(Then::Close);
        deleting(name, server().rule(rule)).quirks(&[50]).tests(&[7]).whatever(2).ended("Q.Q")
    };
    vec![
        lost("a_quit_lost_after_it_deleted", true),
        lost("a_quit_lost_before_it_deleted", false),
        lost("a_quit_lost_after_it_deleted_and_a_restart", true).restarts(),
        lost("a_quit_lost_before_it_deleted_and_a_restart", false).restarts(),
        deleting(
            "a_quit_refused_after_part_was_deleted",
            server().rule(
                on("QUIT")
                    .session(2)
                    .say("-ERR [SYS/TEMP] some messages not removed\r\n")
                    .effect(true)
                    .removes(1),
            ),
        )
        .quirks(&[50])
        .tests(&[9])
        .fails(2, &["not removed"]),
        deleting(
            "a_quit_refused_and_nothing_deleted",
            server().rule(on("QUIT").session(2).say("-ERR no\r\n")),
        )
        .quirks(&[50])
        .tests(&[9])
        .fails(2, &["QUIT"])
        .ended("Q.Q"),
        deleting(
            "a_quit_that_lies_is_seen_in_the_next_listing",
            server().rule(on("QUIT").session(2).effect(true).removes(0)),
        )
        .quirks(&[50, 52])
        .tests(&[8]),
        deleting(
            "a_quit_slower_than_the_time_limit_is_waited_for",
            server().rule(
                on("QUIT")
                    .session(2)
                    .bend(|octets| [b"".to_vec(), octets].concat())
                    .pieces(1)
                    .every(std::time::Duration::from_millis(1200))
                    .only(4),
            ),
        )
        .quirks(&[51])
        .whatever(2)
        .ended("Q.Q"),
        deleting(
            "a_quit_that_is_never_answered_decides_nothing",
            server().rule(on("QUIT").session(2).say("").effect(false).then(Then::Silent)),
        )
        .quirks(&[51])
        .tests(&[7])
        .fails(2, &["QUIT"])
        .ended("QDQ"),
        scenario("no_quit_before_all_is_durable_when_the_session_breaks", {
            let mut script = server().rule(on("RETR").number(2).once().only(20).then(Then::Silent));
            script.hides_retrieved = true;
            script
        })
        .quirks(&[38, 53])
        .polls(2)
        .whatever(1)
        .whatever_left()
        .ended("D.+"),
        scenario(
            "octets_after_the_answer_to_quit_cost_nothing",
            server().rule(on("QUIT").say("+OK bye\r\n+OK really\r\n")),
        )
        .quirks(&[50])
        .whatever(1)
        .asks("RETR", 3),
        scenario("a_reset_right_after_quit_costs_nothing", server().rule(on("QUIT").then(Then::Reset)))
            .quirks(&[50])
            .whatever(1)
            .ended("S"),
    ]
}

fn servers() -> Vec<Scenario> {
    let disconnect = || {
        let mut script = server().rule(on("DELE").number(2).once().then(Then::Close));
        script.deletes_on_disconnect = true;
        script
    };
    let expire =
        |name, expire: &str| scenario(name, server().capable(&["UIDL", "USER", expire])).quirks(&[53]);
    vec![
        deleting("a_server_that_deletes_without_quit_takes_only_what_is_stored", disconnect())
            .tests(&[8])
            .quirks(&[49])
            .whatever(2)
            .ended("QSQ"),
        deleting(
            "a_server_that_ignores_quit_is_asked_again",
            server().rule(on("QUIT").session(2).removes(0)),
        )
        .tests(&[8])
        .quirks(&[52])
        .asks("DELE", 6),
        scenario("a_server_that_deletes_what_was_retrieved_loses_nothing", {
            let mut script = server();
            script.hides_retrieved = true;
            script
        })
        .quirks(&[53])
        .leaves(&[]),
        expire("expire_0_is_warned_of", "EXPIRE 0").warns("EXPIRE"),
        expire("expire_never_is_nothing_to_warn_of", "EXPIRE NEVER"),
        expire("expire_30_user_is_understood", "EXPIRE 30 USER"),
        scenario(
            "mail_that_the_server_deletes_is_not_missed",
            server().change(2, |maildrop| maildrop.clear()),
        )
        .quirks(&[53])
        .polls(2)
        .leaves(&[])
        .whatever(2),
        scenario(
            "an_idle_disconnect_at_noop_loses_nothing",
            server().rule(on("NOOP").say("").then(Then::Close)),
        )
        .quirks(&[54]),
        scenario("no_session_waits_for_a_plugin", server()).quirks(&[54]).asks("NOOP", 0),
    ]
}

fn others() -> Vec<Scenario> {
    let locked = server()
        .rule(on("RETR").number(2).once().only(20).then(Then::Silent))
        .rule(on("PASS").after(1).times(2).say("-ERR [IN-USE] maildrop locked\r\n"));
    vec![
        scenario("a_maildrop_still_locked_by_our_dropped_session_is_waited_for", locked)
            .quirks(&[55])
            .tests(&[10, 18])
            .polls(4)
            .whatever(1)
            .whatever(2)
            .whatever(3)
            .ended("D.+"),
        scenario(
            "a_maildrop_in_use_by_another_reader_is_no_fault",
            server().rule(on("PASS").times(3).say("-ERR [IN-USE] busy\r\n")),
        )
        .quirks(&[55, 56])
        .tests(&[10, 18])
        .polls(4)
        .fails(1, &["IN-USE"])
        .fails(2, &["IN-USE"])
        .fails(3, &["IN-USE"])
        .ended("...Q"),
        scenario(
            "mail_deleted_by_another_reader_meanwhile_stays_deleted",
            server()
                .rule(on("RETR").number(2).say("-ERR Message 2 expunged.\r\n"))
                .change(2, |maildrop| drop(maildrop.remove(1))),
        )
        .quirks(&[57])
        .polls(2)
        .stores_only(&["a", "c"])
        .refuses(1, &["expunged"])
        .leaves(&["a", "c"]),
        scenario(
            "a_maildrop_in_inconsistent_state_is_opened_again",
            server().rule(
                on("RETR")
                    .number(2)
                    .once()
                    .say("-ERR [SYS/TEMP] Mailbox is in inconsistent state\r\n")
                    .then(Then::Close),
            ),
        )
        .quirks(&[57])
        .polls(2)
        .whatever(1)
        .ended("S.+"),
        scenario(
            "a_dele_for_mail_that_is_gone_is_nothing",
            server()
                .rule(on("DELE").number(2).say("-ERR no such message\r\n"))
                .change(3, |maildrop| maildrop.clear()),
        )
        .quirks(&[57])
        .deletes()
        .polls(3)
        .whatever(3)
        .leaves(&[]),
        scenario(
            "a_stale_replica_with_old_mail_fetches_nothing_again",
            server()
                .change(2, |maildrop| maildrop.truncate(1))
                .change(3, |maildrop| maildrop.extend(["b", "c"].map(|name| Stored::new(one(name))))),
        )
        .quirks(&[60])
        .polls(3)
        .whatever(2)
        .whatever(3)
        .asks("RETR", 3),
        scenario(
            "a_stale_replica_after_deletion_is_deleted_again_and_not_stored_again",
            server().change(3, |maildrop| maildrop.extend(["a", "b"].map(|name| Stored::new(one(name))))),
        )
        .quirks(&[60])
        .deletes()
        .polls(4)
        .asks("RETR", 3)
        .leaves(&[]),
    ]
}

fn policies() -> Vec<Scenario> {
    let policy = |name, policy: &str| scenario(name, server()).delete_from(2, policy).polls(2);
    let old = |name: &str| -> Vec<u8> {
        [b"Date: Thu, 1 Jan 1970 00:00:00 +0000\r\n".to_vec(), mail(name)].concat()
    };
    let dated = Script::new(vec![postroom_tests::scripted::message("a", old("a"))]);
    vec![
        scenario("the_date_header_does_not_make_mail_old_enough_to_delete", dated)
            .quirks(&[62])
            .delete_from(2, "{ when = \"done\", after = \"7d\" }")
            .polls(2)
            .asks("DELE", 0),
        scenario("mail_that_just_came_is_not_deleted_before_its_time", server())
            .quirks(&[62])
            .delete_from(1, "{ when = \"done\", after = \"1h\" }")
            .polls(3)
            .asks("DELE", 0),
        policy("the_newest_are_kept", "{ when = \"done\", after = \"0s\", keep = 2 }")
            .quirks(&[62])
            .leaves(&["b", "c"]),
        policy("only_the_large_are_deleted", "{ when = \"done\", after = \"0s\", over = \"1 MiB\" }")
            .quirks(&[62])
            .asks("DELE", 0),
        policy("never_delete_is_above_all", "{ when = \"done\", after = \"0s\" }")
            .quirks(&[62])
            .top("never_delete = true")
            .asks("DELE", 0),
        policy("spooled_is_enough_where_said", "{ when = \"spooled\" }").quirks(&[49]).leaves(&[]),
        scenario("first_contact_with_new_alone_takes_nothing_old", server())
            .quirks(&[31])
            .account("first = \"new\"")
            .before(2, |maildrop| maildrop.push(Stored::new(one("late"))))
            .polls(2)
            .stores(vec![mail("late")])
            .leaves(&["a", "b", "c", "late"]),
        scenario("first_contact_with_the_newest_takes_those", server())
            .quirks(&[36])
            .account("first = { newest = 2 }")
            .stores_only(&["b", "c"]),
    ]
}
