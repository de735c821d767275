//! RFC 5260: dates. The clock of a run is when its message was retrieved.

use super::*;

const ALL: &str = "date index relational comparator-i;ascii-numeric";

#[test]
fn rfc5260_4_parts_of_a_date_are_compared_in_a_zone() {
    let is = |test: &str| holds(&coyote(), ALL, test);
    assert!(is(r#"date "date" "hour" "17""#), "in UTC, unless the operator says otherwise");
    assert!(is(r#"date :originalzone "date" "hour" "09""#));
    assert!(is(r#"date :zone "+0200" "date" "time" "19:06:31""#));
    assert!(is(r#"date :value "ge" :originalzone "date" "date" "1997-04-01""#));
    assert!(is(r#"date :zone "-1200" "date" "weekday" "2""#) && is(r#"date "DATE" "WEEKDAY" "2""#));
    assert!(!is(r#"date :contains "x-none" "year" """#));
    let bad = Mail::new().header("Date", "yesterday");
    assert!(!holds(&bad, ALL, r#"date :contains "date" "year" """#));
}

#[test]
fn rfc5260_4_4_example_of_received_and_index_runs() {
    let mail = Mail::new()
        .header("Received", "from a by b; Tue, 24 Nov 2026 11:30:00 +0100")
        .header("Received", "from c by a; Tue, 24 Nov 2026 08:00:00 +0100");
    let is = |test: &str| holds(&mail, ALL, test);
    assert!(is(r#"date :value "ge" :index 1 :originalzone "received" "hour" "09""#));
    assert!(is(r#"date :index 1 :last :originalzone "received" "iso8601" "2026-11-24T08:00:00+01:00""#));
    assert!(is(r#"anyof (date :is "received" "weekday" "0", date "received" "weekday" "2")"#));
}

#[test]
fn rfc5260_5_the_current_date_is_when_the_message_was_retrieved() {
    let mail = coyote().received_ms(1_795_514_400_000);
    let is = |test: &str| holds(&mail, ALL, test);
    assert!(is(r#"currentdate "iso8601" "2026-11-24T10:00:00+00:00""#));
    assert!(is(r#"currentdate :zone "+1400" "date" "2026-11-25""#));
    assert!(is(
        r#"allof (currentdate :value "ge" "date" "2026-11-01", currentdate :value "lt" "date" "2026-12-01")"#
    ));
    let mut zoned =
        settings("require [\"date\", \"fileinto\"]; if currentdate \"hour\" \"11\" { fileinto \"yes\"; }");
    zoned["zone"] = json!("+0100");
    assert_eq!(did(&bench().run::<Sieve>(zoned, &mail)), ["file yes"]);
}

#[test]
fn rfc5260_4_2_with_variables_a_date_names_a_mailbox() {
    let script = r#"require ["date", "variables", "fileinto"];
        if currentdate :matches "year" "*" { set "y" "${1}"; }
        if currentdate :matches "month" "*" { set "m" "${1}"; }
        fileinto "${y}/${m}";"#;
    does(&coyote().received_ms(1_795_514_400_000), script, &["file 2026/11"]);
}
