//! RFC 5228: the language and its own actions and tests.

use super::*;

#[test]
fn rfc5228_2_3_comments_and_2_4_texts_are_read() {
    does(&coyote(), "# a comment\r\nif /* in\nside */ size :over 1 { # another\n discard; }", &["discard"]);
    let mail = Mail::new().subject("say \"hi\" \\ now");
    assert!(holds(&mail, "", r#"header "subject" "say \"hi\" \\ now""#));
    assert!(holds(&mail, "", r#"header "subject" "s\ay \"hi\" \\ now""#));
    let script = "require \"reject\"; reject text: # why\r\none\r\n..two\r\n.three\r\n.\r\n;";
    does(&coyote(), script, &["quarantine sieve reject: one\\r\\n.two\\r\\n.three\\r\\n"]);
    does(&coyote(), "require \"reject\"; reject TEXT:\n.\n;", &["quarantine sieve reject: "]);
}

#[test]
fn rfc5228_2_4_1_numbers_have_quantifiers() {
    let mail = Mail::new().text(&"x\n".repeat(500));
    assert!(holds(&mail, "", "size :over 1K") && !holds(&mail, "", "size :over 1M"));
    assert!(holds(&mail, "", "size :under 1g") && holds(&mail, "", "size :under 2000"));
}

#[test]
fn rfc5228_2_4_2_1_a_list_of_one_is_the_same_as_the_one() {
    assert!(holds(&coyote(), "", r#"header :is ["x-priority"] ["3"]"#));
    assert!(holds(&coyote(), "", r#"header :is ["x", "X-PRIORITY"] ["1", "3"]"#));
    assert!(!holds(&coyote(), "", r#"header :is "x-priority" []"#));
}

#[test]
fn rfc5228_2_4_2_4_encoded_characters_are_put_in_only_when_required() {
    let mail = Mail::new().subject("$@ Grüße");
    assert!(holds(&mail, "encoded-character", r#"header :contains "subject" "${hex:40}""#));
    assert!(holds(
        &mail,
        "encoded-character",
        r#"header "subject" "${hex:24 40} Gr${unicode:00fc}${UNICODE:df}e""#
    ));
    assert!(!holds(&mail, "", r#"header :contains "subject" "${hex:40}""#));
    let odd = Mail::new().subject("${hex:4x} ${unicode:} ${hex:400} ${}");
    assert!(holds(&odd, "encoded-character", r#"header "subject" "${hex:4x} ${unicode:} ${hex:400} ${}""#));
    assert_eq!(
        wrong("require \"encoded-character\"; redirect \"${unicode:d800}\";"),
        "line 1, column 39: \"d800\" is no character of Unicode"
    );
    assert!(wrong("require \"encoded-character\"; redirect \"${hex:ff}\";").contains("do not make UTF-8"));
}

#[test]
fn rfc5228_2_7_1_match_types_compare_headers() {
    let mail = coyote();
    assert!(holds(&mail, "", r#"header :contains "subject" "present""#));
    assert!(holds(&mail, "", r#"header :contains "subject" """#));
    assert!(!holds(&mail, "", r#"header :contains "x-missing" """#));
    assert!(holds(&mail, "", r#"header :matches "subject" "i have * ??? you""#));
    assert!(!holds(&mail, "", r#"header :matches "subject" "have *""#));
    assert!(!holds(&mail, "", r#"header :is "subject" "present""#));
}

#[test]
fn rfc5228_2_7_2_values_are_decoded_and_trimmed() {
    let mail =
        Mail::new().raw("Subject:   =?iso-8859-1?Q?Gr=FC=DFe?=\r\n =?utf-8?Q?_2?=  \r\n\r\n".as_bytes());
    assert!(holds(&mail, "", "header :is \"subject\" \"Grüße 2\""));
}

#[test]
fn rfc5228_2_7_3_comparators_decide_over_case() {
    assert!(holds(
        &coyote(),
        "",
        r#"header :is :comparator "i;ascii-casemap" "subject" "I HAVE A PRESENT FOR YOU""#
    ));
    assert!(!holds(
        &coyote(),
        "comparator-i;octet",
        r#"header :comparator "i;octet" "subject" "I HAVE A PRESENT FOR YOU""#
    ));
    let mail = Mail::new().header("X-Spam-Score", "010 points");
    let numeric = r#"header :comparator "i;ascii-numeric" "x-spam-score" "10""#;
    assert!(holds(&mail, "comparator-i;ascii-numeric", numeric));
}

#[test]
fn rfc5228_2_7_4_addresses_have_parts() {
    let mail = coyote();
    assert!(holds(&mail, "", r#"address :is :all "from" "coyote@desert.example""#));
    assert!(holds(&mail, "", r#"address :domain :is "from" "DESERT.example""#));
    assert!(holds(&mail, "", r#"address :localpart ["cc", "to"] "tweety+cage""#));
    assert!(!holds(&mail, "", r#"address :is "from" "Wile E. Coyote <coyote@desert.example>""#));
}

#[test]
fn rfc5228_2_10_2_an_empty_script_keeps() {
    does(&coyote(), "", &["keep"]);
    does(&coyote(), "  # nothing\n", &["keep"]);
    let mut alone = settings("");
    alone.as_object_mut().unwrap().remove("keep");
    assert_eq!(did(&bench().run::<Sieve>(alone, &coyote())), [""; 0], "what is kept is left to later steps");
}

#[test]
fn rfc5228_3_1_only_the_first_branch_that_holds_is_taken() {
    let script = |subject: &str| {
        let mail = Mail::new().subject(subject);
        let script = r#"require "fileinto";
            if header :contains "subject" "one" { fileinto "1"; }
            elsif header :contains "subject" "two" { fileinto "2"; }
            ELSIF header :contains "subject" "three" { fileinto "3"; stop; }
            else { discard; }
            fileinto "end";"#;
        did(&run_on(&mail, script))
    };
    assert_eq!(script("one two"), ["file 1", "file end"]);
    assert_eq!(script("two three"), ["file 2", "file end"]);
    assert_eq!(script("three"), ["file 3"]);
    assert_eq!(script("nothing"), ["file end"]);
}

#[test]
fn rfc5228_3_1_example_of_if_and_elsif() {
    let script = r#"require "fileinto";
        if header :contains "from" "coyote" { discard; }
        elsif header :contains ["subject"] ["$$$"] { discard; }
        else { fileinto "INBOX"; }"#;
    does(&coyote(), script, &["discard"]);
    does(&Mail::new().from("a@b.example").subject("win $$$"), script, &["discard"]);
    does(&Mail::new().from("a@b.example").subject("hello"), script, &["file "]);
}

#[test]
fn rfc5228_3_3_stop_ends_the_script_and_keeps() {
    does(&coyote(), "stop; discard;", &["keep"]);
    does(&coyote(), "if true { if true { stop; } discard; } discard;", &["keep"]);
    does(&coyote(), "discard; stop; keep;", &["discard"]);
}

#[test]
fn rfc5228_4_1_fileinto_cancels_the_implicit_keep() {
    does(&coyote(), "require \"fileinto\"; fileinto \"INBOX.harassment\";", &["file INBOX.harassment"]);
    does(&coyote(), "require \"fileinto\"; fileinto \"a/b\"; keep;", &["file a/b", "keep"]);
    let mut dotted = settings("require \"fileinto\"; fileinto \"Lists.rust\";");
    dotted["mailboxes"]["separator"] = json!(".");
    assert_eq!(did(&bench().run::<Sieve>(dotted, &coyote())), ["file Lists/rust"]);
}

#[test]
fn rfc5228_4_2_redirect_sends_a_copy_and_cancels_the_implicit_keep() {
    does(&coyote(), "redirect \"bart@example.example\";", &["redirect bart@example.example"]);
    does(
        &coyote(),
        "redirect \"a@b.example\"; redirect \"c@d.example\"; keep;",
        &["redirect a@b.example", "redirect c@d.example", "keep"],
    );
    let delivered = coyote().header("Delivered-To", "a@b.example");
    assert_eq!(
        failure(&delivered, "redirect \"A@b.example\";"),
        "line 1, column 1: redirecting to \"A@b.example\" would send the message round in a circle"
    );
    let circled = (0..51).fold(coyote(), |mail, _| mail.header("Received", "from a by b"));
    assert!(failure(&circled, "redirect \"x@b.example\";").contains("round in a circle"));
    let sent = run_on(&coyote(), "redirect \"x@b.example\";");
    let Effect::Forward { add_headers, .. } = &sent.effects[0] else { panic!("{sent:?}") };
    let back = coyote().header(&add_headers[0].0, &add_headers[0].1);
    assert!(failure(&back, "redirect \"x@b.example\";").contains("round in a circle"), "it came back");
    does(&back, "redirect \"y@b.example\";", &["redirect y@b.example"]);
}

#[test]
fn rfc5228_4_3_and_4_4_keep_beats_discard() {
    does(&coyote(), "keep;", &["keep"]);
    does(&coyote(), "discard; keep;", &["keep"]);
    does(&coyote(), "if header :contains [\"from\"] [\"coyote@desert.example\"] { discard; }", &["discard"]);
    does(&coyote(), "require \"fileinto\"; discard; fileinto \"a\";", &["file a"]);
}

#[test]
fn rfc5228_5_2_and_5_3_tests_combine() {
    for (test, expected) in [
        ("allof (true, true)", true),
        ("allof (true, false)", false),
        ("anyof (false, true)", true),
        ("anyof (false, false)", false),
        ("not false", true),
        ("not anyof (allof (true, not true), false)", true),
    ] {
        assert_eq!(holds(&coyote(), "", test), expected, "{test}");
    }
}

#[test]
fn rfc5228_5_4_the_envelope_is_what_the_last_delivery_wrote() {
    let mail = coyote()
        .header("Return-Path", "<bounce@desert.example>")
        .header("Delivered-To", "me+lists@my.example")
        .header("X-Original-To", "alias@my.example");
    let is = |test: &str| holds(&mail, "envelope", test);
    assert!(is(r#"envelope :all :is "from" "bounce@desert.example""#));
    assert!(is(r#"envelope :domain "from" "desert.example""#));
    assert!(is(r#"envelope "TO" ["me+lists@my.example"]"#) && is(r#"envelope "to" "alias@my.example""#));
    assert!(!is(r#"envelope "to" "roadrunner@acme.example""#));
    assert!(!holds(&coyote(), "envelope", r#"envelope :contains ["from", "to"] """#), "POP3 gives none");
    let report = Mail::new().header("Return-Path", "<>");
    assert!(holds(&report, "envelope", r#"envelope "from" """#));
}

#[test]
fn rfc5228_5_5_exists_wants_all_fields() {
    assert!(holds(&coyote(), "", r#"exists ["From", "date"]"#));
    assert!(!holds(&coyote(), "", r#"exists ["From", "X-None"]"#));
    does(&Mail::new().to("a@b.example"), r#"if not exists ["From","Date"] { discard; }"#, &["discard"]);
}

#[test]
fn rfc5228_5_9_size_is_that_of_the_raw_message() {
    let size = coyote().octets().len();
    assert!(!holds(&coyote(), "", &format!("size :over {size}")));
    assert!(!holds(&coyote(), "", &format!("size :under {size}")));
    assert!(holds(&coyote(), "", &format!("size :over {}", size - 1)));
    assert!(holds(&coyote(), "", &format!("size :under {}", size + 1)));
}

#[test]
fn rfc5228_9_the_extended_example_runs_unchanged() {
    let script = r#"
        #
        # Example Sieve Filter
        # Declare any optional features or extension used by the script
        #
        require ["fileinto"];

        #
        # Handle messages from known mailing lists
        # Move messages from IETF filter discussion list to filter mailbox
        #
        if header :is "Sender" "owner-ietf-mta-filters@imc.example"
                {
                fileinto "filter";  # move to "filter" mailbox
                }
        #
        # Keep all messages to or from people in my company
        #
        elsif address :DOMAIN :is ["From", "To"] "example.example"
                {
                keep;               # keep in "In" mailbox
                }

        #
        # Try and catch unsolicited email.  If a message is not to me,
        # or it contains a subject known to be spam, file it away.
        #
        elsif anyof (NOT address :all :contains
                       ["To", "Cc", "Bcc"] "me@example.example",
                     header :matches "subject"
                       ["*make*money*fast*", "*university*dipl*mas*"])
                {
                fileinto "spam";   # move to "spam" mailbox
                }
        else
                {
                # Move all other (non-company) mail to "personal"
                # mailbox.
                fileinto "personal";
                }"#;
    let list = Mail::new().header("Sender", "owner-ietf-mta-filters@imc.example");
    does(&list, script, &["file filter"]);
    does(&Mail::new().from("a@example.example"), script, &["keep"]);
    does(&coyote(), script, &["file spam"]);
    let to_me = Mail::new().from("a@b.example").to("Some <me@example.example.org>");
    does(&to_me.clone().subject("Make MONEY real fast"), script, &["file spam"]);
    does(&to_me.subject("hello"), script, &["file personal"]);
}
