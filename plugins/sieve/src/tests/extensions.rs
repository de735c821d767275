//! RFC 7352, 5490, 5183 and 5463: duplicates, mailboxes, environment, ihave.

use super::*;

const DUPLICATE: &str = "require [\"duplicate\", \"fileinto\"]; if duplicate { fileinto \"twice\"; }";

fn on(bench: &mut Bench, script: &str, mail: &Mail) -> Vec<String> {
    did(&bench.run_keeping::<Sieve>(settings(script), mail))
}

#[test]
fn rfc7352_3_a_message_id_that_was_seen_is_a_duplicate() {
    let mut bench = bench();
    assert_eq!(on(&mut bench, DUPLICATE, &coyote()), ["keep"]);
    assert_eq!(on(&mut bench, DUPLICATE, &coyote().uidl(Some("2"))), ["file twice"]);
    assert_eq!(on(&mut bench, DUPLICATE, &coyote()), ["keep"], "handled anew it is none of itself");
    assert_eq!(on(&mut bench, DUPLICATE, &Mail::new()), ["keep"]);
    assert_eq!(on(&mut bench, DUPLICATE, &Mail::new().uidl(Some("2"))), ["keep"], "without an id never");
}

#[test]
fn rfc7352_3_1_what_identifies_a_message_can_be_chosen() {
    let mut bench = bench();
    let by = |tags: &str| {
        format!(
            "require [\"duplicate\", \"fileinto\", \"variables\"]; if duplicate {tags} {{ fileinto \"twice\"; }}"
        )
    };
    let other = |number: &str| Mail::new().uidl(Some(number)).subject("s").header("X-Event", "7");
    let event = by(":header \"X-Event\"");
    assert_eq!(on(&mut bench, &event, &other("1")), ["keep"]);
    assert_eq!(on(&mut bench, &event, &other("2")), ["file twice"]);
    assert_eq!(
        on(&mut bench, &by(":handle \"h\" :header \"X-Event\""), &other("3")),
        ["keep"],
        "another handle"
    );
    assert_eq!(on(&mut bench, &by(":uniqueid \"7\""), &other("4")), ["file twice"], "the same id");
}

#[test]
fn rfc7352_3_2_an_id_is_forgotten_after_its_time() {
    let script = |last: &str| {
        format!(
            "require [\"duplicate\", \"fileinto\"]; if duplicate {last} :seconds 100 {{ fileinto \"twice\"; }}"
        )
    };
    for (last, fourth) in [("", "keep"), (":last", "file twice")] {
        let mut bench = bench();
        let mut at = |uidl: &str, second: u64| {
            on(&mut bench, &script(last), &coyote().uidl(Some(uidl)).received_ms(second * 1000))
        };
        assert_eq!(at("1", 1000), ["keep"]);
        assert_eq!(at("2", 1060), ["file twice"]);
        assert_eq!(at("3", 1099), ["file twice"]);
        assert_eq!(at("4", 1130), [fourth], "{last}");
    }
}

#[test]
fn rfc7352_3_one_run_gives_one_answer_and_a_failed_run_remembers_nothing() {
    let mut bench = bench();
    let twice = "require [\"duplicate\", \"fileinto\"]; if allof (not duplicate, not duplicate) { fileinto \"once\"; }";
    assert_eq!(on(&mut bench, twice, &coyote()), ["file once"]);
    let failing = "require [\"duplicate\", \"ihave\"]; if not duplicate :uniqueid \"x\" { error \"no\"; }";
    assert!(bench.run_keeping::<Sieve>(settings(failing), &coyote()).result.is_err());
    let asks = "require [\"duplicate\", \"fileinto\"]; if duplicate :uniqueid \"x\" { fileinto \"twice\"; }";
    assert_eq!(on(&mut bench, asks, &coyote()), ["keep"]);
    let ungranted = Bench::new().mailbox("inbox").run::<Sieve>(settings(DUPLICATE), &coyote());
    assert!(
        matches!(&ungranted.result, Err(Failure::Permanent(text)) if text.contains("kv = true")),
        "{ungranted:?}"
    );
}

#[test]
fn the_state_of_duplicate_stays_bounded() {
    let mut bench = bench();
    let script =
        |id: usize| format!("require \"duplicate\"; if duplicate :seconds 10 :uniqueid \"{id}\" {{ keep; }}");
    let mut keys = 0;
    for id in 0..600_usize {
        let mail = coyote().received_ms(1000 * (1000 + 20 * id as u64));
        let run = bench.run_keeping::<Sieve>(settings(&script(id)), &mail);
        assert!(run.kv.values().all(|bucket| bucket.len() == 48), "what has expired is gone");
        keys = run.kv.len();
    }
    assert!((100..=256).contains(&keys), "{keys}");
}

#[test]
fn rfc5490_3_1_every_mailbox_that_can_be_there_is() {
    let is = |test: &str| holds(&coyote(), "mailbox", test);
    assert!(is("mailboxexists [\"INBOX\", \"a/b\"]"));
    assert!(!is("mailboxexists [\"a\", \"../b\"]") && !is("mailboxexists \"a//b\""));
    does(&coyote(), "require [\"mailbox\", \"fileinto\"]; fileinto :create \"new\";", &["file new"]);
}

#[test]
fn rfc5183_4_1_items_that_are_known_match() {
    let is = |test: &str| holds(&coyote().account("shop"), "environment", test);
    assert!(is("environment \"name\" \"Postroom\"") && is("environment :matches \"VERSION\" \"*.*\""));
    assert!(is("environment \"vnd.postroom.account\" \"shop\"") && is("environment \"location\" \"MUA\""));
    assert!(is("environment \"phase\" \"post\""));
    assert!(!is("environment :contains \"domain\" \"\"") && !is("environment :contains \"remote-ip\" \"\""));
}

#[test]
fn rfc5463_4_ihave_asks_and_enables() {
    let script = r#"require "ihave";
        if ihave ["fileinto", "copy"] { fileinto :copy "a"; }
        if ihave ["fileinto", "vnd.other.magic"] { magic :now "x"; if magictest { fileinto "b"; } }"#;
    does(&coyote(), script, &["file a", "keep"]);
    let reached = "require \"ihave\";\nif not ihave \"x\" {\n  magic;\n}";
    assert_eq!(failure(&coyote(), reached), "line 3, column 3: there is no command \"magic\"");
    let tested = "require \"ihave\"; if anyof (false, magictest) { keep; }";
    assert_eq!(failure(&coyote(), tested), "line 1, column 35: there is no test \"magictest\"");
}

#[test]
fn rfc5463_5_error_fails_the_run_in_the_words_of_the_script() {
    let script = "require [\"ihave\", \"fileinto\"]; fileinto \"a\"; error \"wants more\";";
    assert_eq!(failure(&coyote(), script), "line 1, column 46: the script says: wants more");
}
