//! Values and comparisons of extensions: RFC 5231, 5233, 5173, and regular expressions.

use super::*;

#[test]
fn rfc5231_4_1_value_compares_by_the_comparator() {
    let mail = Mail::new().header("X-Priority", "3").header("X-Spam-score", "10");
    let is = |test: &str| holds(&mail, "relational comparator-i;ascii-numeric", test);
    assert!(is(r#"header :value "lt" :comparator "i;ascii-numeric" "x-priority" "5""#));
    assert!(is(r#"header :value "ge" :comparator "i;ascii-numeric" "x-spam-score" ["9"]"#));
    assert!(!is(r#"header :value "ge" "x-spam-score" "9""#), "as texts 10 is before 9");
    assert!(is(r#"header :value "ne" "x-priority" "4""#));
}

#[test]
fn rfc5231_4_2_count_counts_fields_and_addresses() {
    let mail = coyote().header("Received", "a").header("Received", "b");
    let is = |test: &str| holds(&mail, "relational comparator-i;ascii-numeric", test);
    assert!(is(r#"header :count "eq" :comparator "i;ascii-numeric" "received" "2""#));
    assert!(is(r#"address :count "ge" :comparator "i;ascii-numeric" ["to", "cc"] ["3"]"#));
    assert!(is(r#"header :count "lt" "x-none" "1""#));
    assert!(!is(r#"address :count "gt" "to" "2""#));
}

#[test]
fn rfc5231_7_extended_example_runs() {
    let script = r#"require ["relational", "comparator-i;ascii-numeric", "fileinto"];
        if header :value "lt" :comparator "i;ascii-numeric" ["x-priority"] ["3"] { fileinto "Priority"; }
        elsif address :count "gt" :comparator "i;ascii-numeric" ["to"] ["5"] { fileinto "SPAM"; }"#;
    does(&Mail::new().header("X-Priority", "1"), script, &["file Priority"]);
    does(&Mail::new().header("X-Priority", "5").to("a@b, b@b, c@b, d@b, e@b, f@b"), script, &["file SPAM"]);
    does(&coyote(), script, &["keep"]);
}

#[test]
fn rfc5233_4_user_and_detail_divide_the_local_part() {
    let mail = coyote();
    let is = |test: &str| holds(&mail, "subaddress", test);
    assert!(is(r#"address :user "to" "tweety""#) && is(r#"address :detail "to" "cage""#));
    assert!(is(r#"address :user "from" "coyote""#) && !is(r#"address :detail :contains "from" """#));
    let mut minus = settings(
        "require [\"subaddress\", \"fileinto\"]; if address :detail \"to\" \"b\" { fileinto \"yes\"; }",
    );
    minus["separator"] = json!("-");
    assert_eq!(did(&bench().run::<Sieve>(minus, &Mail::new().to("a-b@c.example"))), ["file yes"]);
}

#[test]
fn rfc5173_5_1_raw_is_the_body_as_it_came() {
    let mail =
        Mail::new().subject("MAKE MONEY").text("Grüße").attach("a.bin", "application/x-bin", b"MAKE MONEY");
    let is = |test: &str| holds(&mail, "body", test);
    assert!(is(r#"body :raw :contains "R3LDvMOfZQ""#), "base64 stays");
    assert!(!is(r#"body :raw :contains "make money""#));
    assert!(!holds(&Mail::new().raw(b"Subject: only\r\n"), "body", r#"body :raw :contains "only""#));
}

#[test]
fn rfc5173_5_2_content_looks_at_decoded_parts_of_a_type() {
    let mail = Mail::new()
        .text("project schedule Grüße")
        .html("<b>bold</b> words")
        .attach("a.txt", "text/csv", b"x;y")
        .attach("a.bin", "application/x-bin", b"secret words");
    let is = |test: &str| holds(&mail, "body", test);
    assert!(is(r#"body :content "text" :contains "project schedule""#));
    assert!(is(r#"body :content "text/plain" :matches "*GRüßE*""#));
    assert!(is(r#"body :content ["image", "text/csv"] :is "x;y""#));
    assert!(!is(r#"body :content "text" :contains "secret""#));
    assert!(is(r#"body :content "" :contains "secret""#));
    assert!(!is(r#"body :content "text/" :contains "x""#));
}

#[test]
fn rfc5173_5_2_of_a_message_inside_only_the_header_is_looked_at() {
    let inner = b"Subject: inner\r\n\r\nnever seen\r\n";
    let mail = Mail::new().text("outer").attach("m.eml", "message/rfc822", inner);
    let is = |test: &str| holds(&mail, "body", test);
    assert!(is(r#"body :content "message/rfc822" :contains "inner""#));
    assert!(!is(r#"body :content "message/rfc822" :contains "never seen""#));
}

#[test]
fn rfc5173_5_3_text_is_what_can_be_read() {
    let mail = Mail::new().html("<p class=\"hidden\">shown</p>");
    assert!(holds(&mail, "body", r#"body :text :contains "shown""#));
    assert!(!holds(&mail, "body", r#"body :contains "hidden""#));
}

#[test]
fn mime_is_parsed_only_for_the_body() {
    assert!(!run_on(&coyote(), "if header :contains \"subject\" \"x\" { discard; }").parsed);
    assert!(run_on(&coyote(), "require \"body\"; if body :contains \"anvil\" { keep; }").parsed);
}

#[test]
fn regex_matches_anywhere_and_captures_groups() {
    let is = |test: &str| holds(&coyote(), "regex", test);
    assert!(is(r#"header :regex "subject" "^i have (a|the) present""#));
    assert!(is(r#"address :domain :regex "from" "^[[:alpha:]]+[.]example$""#));
    assert!(!is(r#"header :comparator "i;octet" :regex "subject" "^i have""#));
    let script = r#"require ["regex", "variables", "fileinto"];
        if header :regex "subject" "(\\w+) for (you|me)" { fileinto "${1}-${2}-${0}"; }"#;
    does(&coyote(), script, &["file present-you-present for you"]);
    let built = r#"require ["regex", "variables", "fileinto"]; set :quoteregex "x" "you."; set "y" "(pre)";
        if header :regex "subject" "${x}$" { discard; }
        if header :regex "subject" "${y}sent" { fileinto "${1}"; }"#;
    does(&coyote(), built, &["file pre"]);
    let broken = "require [\"regex\", \"variables\"]; set \"x\" \"(\"; if header :regex \"subject\" \"${x}\" { keep; }";
    assert!(failure(&coyote(), broken).starts_with("line 1, column 49: \"(\" is no regular expression"));
}
