//! What the settings make of actions, and the extensions that bring actions: copy, editheader, reject.

use super::*;

#[test]
fn rfc3894_copy_leaves_the_implicit_keep() {
    let script = "require [\"copy\", \"fileinto\"]; fileinto :copy \"a\"; redirect :copy \"b@c.example\";";
    does(&coyote(), script, &["file a", "redirect b@c.example", "keep"]);
    does(
        &coyote(),
        "require [\"copy\", \"fileinto\"]; fileinto :copy \"a\"; fileinto \"b\";",
        &["file a", "file b"],
    );
}

#[test]
fn rfc5228_2_10_3_what_is_asked_for_twice_happens_once() {
    let script = "require \"fileinto\"; fileinto \"a\"; fileinto \"a\"; redirect \"b@c.example\"; redirect \"b@c.example\";";
    does(&coyote(), script, &["file a", "redirect b@c.example"]);
}

#[test]
fn discard_sets_aside_unless_the_operator_lets_it_go() {
    let mut careful = settings("discard;");
    careful.as_object_mut().unwrap().remove("discard");
    assert_eq!(did(&bench().run::<Sieve>(careful, &coyote())), ["quarantine sieve discard"]);
    let ungranted = Bench::new().mailbox("inbox").run::<Sieve>(settings("discard;"), &coyote());
    assert!(
        matches!(&ungranted.result, Err(Failure::Permanent(text))
            if text.starts_with("line 1, column 1: not granted:") && text.contains("discard = true")),
        "{ungranted:?}"
    );
}

#[test]
fn rfc5429_reject_sets_aside_where_the_operator_says_so_and_is_refused_elsewhere() {
    let script =
        "require \"ereject\";\nif header :contains \"from\" \"coyote\" {\n  ereject \"no more anvils\";\n}";
    does(&coyote(), script, &["quarantine sieve reject: no more anvils"]);
    let mut strict = settings(script);
    strict.as_object_mut().unwrap().remove("reject");
    let problems = bench().configure::<Sieve>(&strict).unwrap_err();
    assert!(problems[0].text.starts_with("line 3, column 3: nobody can be told"), "{problems:?}");
    strict["script"] = json!("require \"ihave\"; if ihave \"reject\" { reject \"no\"; }");
    let run = bench().run::<Sieve>(strict, &coyote());
    assert!(
        matches!(&run.result, Err(Failure::Permanent(text)) if text.contains("nobody can be told")),
        "{run:?}"
    );
    let both = "require [\"reject\", \"fileinto\"]; fileinto \"a\"; reject \"no\";";
    assert!(failure(&coyote(), both).contains("cannot be kept, filed or redirected"));
}

#[test]
fn later_steps_see_only_what_is_kept_when_the_operator_says_so() {
    let run = |script: &str| {
        let mut settings = settings(script);
        settings["later_steps"] = json!("kept");
        did(&bench().run::<Sieve>(settings, &coyote()))
    };
    assert_eq!(run("require \"fileinto\"; fileinto \"a\";"), ["file a", "stop"]);
    assert_eq!(run("require [\"fileinto\", \"copy\"]; fileinto :copy \"a\";"), ["file a", "keep"]);
    assert_eq!(run("stop;"), ["keep"]);
    assert_eq!(run("redirect \"a@b.example\";"), ["redirect a@b.example", "stop"]);
}

#[test]
fn rfc5293_4_added_fields_are_seen_by_later_tests_and_stand_on_top_of_copies_sent_on() {
    let script = r#"require ["editheader", "fileinto", "variables"];
        redirect "before@b.example";
        addheader "X-Sieve" "one";
        addheader "X-Sieve" "Grüße";
        addheader :last "X-Sieve" "last";
        addheader "To" "New Name <new@b.example>";
        if allof (exists "x-sieve", header :is "X-SIEVE" "Grüße", address "to" "new@b.example") {
          redirect "after@b.example";
        }
        fileinto "a";"#;
    let run = run_on(&coyote(), script);
    assert_eq!(did(&run), ["redirect before@b.example", "redirect after@b.example", "file a"]);
    // Above them is the mark that tells a loop.
    let fields = |at: usize| -> Vec<String> {
        let Effect::Forward { add_headers, .. } = &run.effects[at] else { panic!("{run:?}") };
        assert_eq!(add_headers[0].0, postroom_sdk::route::FIELD);
        add_headers[1..].iter().map(|(name, value)| format!("{name}: {value}")).collect()
    };
    assert!(fields(0).is_empty());
    assert_eq!(
        fields(1),
        [
            "To: New Name <new@b.example>",
            "X-Sieve: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=",
            "X-Sieve: one",
            "X-Sieve: last",
        ]
    );
    let Effect::FileInto { content, .. } = &run.effects[2] else { panic!("{run:?}") };
    assert_eq!(*content, coyote().octets(), "originals are never rewritten");
}

#[test]
fn rfc5260_6_an_index_counts_added_fields_too() {
    let script = |test: &str| {
        let script = format!(
            "require [\"editheader\", \"index\", \"fileinto\"];
             addheader \"X-N\" \"top <top@b.example>\"; addheader :last \"X-N\" \"bottom <bottom@b.example>\";
             if {test} {{ fileinto \"yes\"; }}"
        );
        let mail = Mail::new().header("X-N", "middle <middle@b.example>");
        did(&run_on(&mail, &script)) == ["file yes"]
    };
    assert!(script(r#"header :index 1 :contains "x-n" "top""#));
    assert!(script(r#"header :index 2 :contains "x-n" "middle""#));
    assert!(script(r#"address :index 1 :last "x-n" "bottom@b.example""#));
    assert!(script(r#"address :index 2 "x-n" "middle@b.example""#));
    assert!(!script(r#"header :index 4 :contains "x-n" """#));
}

#[test]
fn an_error_of_the_host_names_the_line_that_asked() {
    let refused = bench().refuse("home", Fault::Transient("disk is full".to_owned()));
    let run = refused.run::<Sieve>(settings("require \"fileinto\";\n\n fileinto \"a\";"), &coyote());
    let expected = "line 3, column 2: try again later: disk is full".replace("try again later: ", "");
    assert_eq!(run.result, Err(Failure::Transient(expected)));
    let text = failure(&coyote(), "require \"fileinto\"; fileinto \"a/../b\";");
    assert!(text.starts_with("line 1, column 21: invalid: "), "{text}");
}

#[test]
fn what_was_done_is_logged_with_its_line() {
    let run = run_on(&coyote(), "require \"fileinto\";\nfileinto \"a\";\nredirect \"b@c.example\";");
    let logged: Vec<String> = run
        .logs
        .iter()
        .map(|line| format!("{} {}", line.text, line.field("line").unwrap_or_default()))
        .collect();
    assert_eq!(logged, ["filed line 2, column 1", "redirected line 3, column 1"]);
}
