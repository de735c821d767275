//! Response codes and refusals of every command: quirks 16, 17, 50, 55 and 58, tests 9 and 10.

use postroom_tests::scripted::{Script, on};

use crate::bench;
use crate::mail::three;
use crate::scenario::{Scenario, scenario};

#[test]
fn codes() {
    bench::run(scenarios());
}

fn refusing(name: &'static str, text: &str) -> Scenario {
    let script = Script::new(three()).rule(on("PASS").once().say(format!("-ERR {text}\r\n")));
    scenario(name, script).quirks(&[16]).tests(&[10]).polls(2).ended(".Q")
}

pub(crate) fn scenarios() -> Vec<Scenario> {
    let mut all = vec![
        refusing("in_use_is_no_wrong_password", "[IN-USE] locked").fails(1, &["IN-USE"]).quirks(&[55]),
        refusing("in_use_in_lower_case_counts", "[in-use] locked").fails(1, &["IN-USE"]),
        refusing("login_delay_is_no_wrong_password", "[LOGIN-DELAY] too soon")
            .fails(1, &["LOGIN-DELAY"])
            .quirks(&[58]),
        refusing("sys_temp_is_no_wrong_password", "[SYS/TEMP] disk").fails(1, &["SYS/TEMP"]),
        refusing("an_unknown_suffix_counts_as_its_prefix", "[SYS/TEMP/DISK] disk").fails(1, &["SYS/TEMP"]),
        refusing("sys_perm_needs_a_person", "[SYS/PERM] account closed")
            .parks(1, &["SYS/PERM", "account closed"]),
        refusing("auth_needs_a_person", "[AUTH] no")
            .parks(1, &["AUTH"])
            .hints(1, &["password"])
            .quirks(&[17]),
        refusing("an_unknown_code_is_tried_again", "[X-QUOTA] 5").fails(1, &["X-QUOTA"]),
        refusing("a_lock_in_words_is_no_wrong_password", "maildrop is locked by another session")
            .fails(1, &["locked"])
            .quirks(&[55]),
        refusing("busy_in_words_is_no_wrong_password", "server busy, try again later").fails(1, &["busy"]),
        refusing("too_frequent_in_words_is_no_wrong_password", "logins too frequent")
            .fails(1, &["frequent"])
            .quirks(&[58]),
        refusing("an_uncoded_refusal_needs_a_person", "invalid user or password")
            .parks(1, &["invalid user"])
            .quirks(&[17]),
    ];
    let promised = Script::new(three())
        .capable(&["AUTH-RESP-CODE", "USER", "UIDL"])
        .rule(on("PASS").once().say("-ERR no luck\r\n"));
    all.push(
        scenario("an_uncoded_refusal_where_codes_are_promised_is_tried_again", promised)
            .quirks(&[16])
            .tests(&[10])
            .polls(2)
            .fails(1, &["no luck"])
            .ended(".Q"),
    );
    let throttled = Script::new(three())
        .rule(on("PASS").say("-ERR Logon failure: unknown user name or bad password.\r\n"));
    all.push(
        scenario("a_refused_password_is_sent_once_a_poll", throttled)
            .quirks(&[17])
            .tests(&[10])
            .polls(2)
            .parks(1, &["Logon failure"])
            .parks(2, &["Logon failure"])
            .stores_only(&[])
            .asks("PASS", 2)
            .ended(".."),
    );
    all.extend(every_command());
    all
}

/// `-ERR` to each command of a session, once: the next poll makes it good.
fn every_command() -> Vec<Scenario> {
    let refused = |name, verb| {
        let script = Script::new(three()).rule(on(verb).once().say("-ERR [SYS/TEMP] not now\r\n"));
        scenario(name, script).tests(&[9]).polls(2)
    };
    vec![
        refused("capa_refused_once_costs_nothing", "CAPA"),
        refused("stat_refused_once_is_tried_again", "STAT").whatever(1).ended(".Q"),
        refused("list_refused_once_is_tried_again", "LIST").whatever(1).ended(".Q"),
        refused("uidl_refused_once_is_tried_again", "UIDL").fails(1, &["UIDL"]).quirks(&[32]).ended(".Q"),
        refused("retr_refused_once_is_tried_again", "RETR").refuses(1, &["not now"]).quirks(&[37]),
        refused("dele_refused_once_is_tried_again", "DELE").deletes().polls(3).leaves(&[]).quirks(&[49]),
        refused("quit_refused_after_retrieval_loses_nothing", "QUIT").whatever(1).quirks(&[50]).ended(".Q"),
    ]
}
