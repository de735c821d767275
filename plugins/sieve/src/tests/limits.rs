//! Limits, each with its text, and scripts that try to take too much.

use super::*;

#[test]
fn a_script_is_at_most_a_mebibyte() {
    let script = |octets: usize| format!("#{}", "x".repeat(octets - 1));
    assert_eq!(wrong(&script((1 << 20) + 1)), "the script has 1048577 octets; at most 1048576 are allowed");
    does(&coyote(), &script(1 << 20), &["keep"]);
}

#[test]
fn blocks_and_tests_are_nested_fifteen_deep() {
    let blocks = |depth: usize| format!("{}keep;{}", "if true {".repeat(depth), "}".repeat(depth));
    does(&coyote(), &blocks(15), &["keep"]);
    assert_eq!(wrong(&blocks(16)), "line 1, column 144: blocks are nested deeper than 15");
    let tests = |depth: usize| format!("if {} true {{ keep; }}", "not ".repeat(depth));
    does(&coyote(), &tests(14), &["keep"]);
    assert!(wrong(&tests(15)).ends_with("tests are nested deeper than 15"));
    let parentheses = format!("if {} true", "anyof (".repeat(100_000));
    assert!(wrong(&parentheses).ends_with("tests are nested deeper than 15"));
}

#[test]
fn a_run_takes_at_most_thirty_two_actions_and_four_redirects() {
    let filing = |count: usize| {
        let filed: String = (0..count).map(|number| format!("fileinto \"{number}\";\n")).collect();
        format!("require \"fileinto\";\n{filed}")
    };
    assert_eq!(did(&run_on(&coyote(), &filing(32))).len(), 32);
    assert_eq!(failure(&coyote(), &filing(33)), "line 34, column 1: a script takes at most 32 actions");
    let redirecting = |count: usize| {
        (0..count).map(|number| format!("redirect \"{number}@b.example\";\n")).collect::<String>()
    };
    assert_eq!(did(&run_on(&coyote(), &redirecting(4))).len(), 4);
    assert_eq!(
        failure(&coyote(), &redirecting(5)),
        "line 5, column 1: a script redirects to at most 4 addresses"
    );
}

#[test]
fn there_are_at_most_128_variables_and_15_added_fields() {
    let sets = |count: usize| {
        let sets: String = (0..count).map(|number| format!("set \"v{number}\" \"x\";\n")).collect();
        format!("require \"variables\";\n{sets}")
    };
    does(&coyote(), &sets(128), &["keep"]);
    assert_eq!(wrong(&sets(129)), "line 130, column 5: there are more than 128 variables");
    let adds =
        |count: usize| format!("require \"editheader\";\n{}", "addheader \"X\" \"y\";\n".repeat(count));
    does(&coyote(), &adds(15), &["keep"]);
    assert_eq!(failure(&coyote(), &adds(16)), "line 17, column 1: a script adds at most 15 header fields");
}

#[test]
fn flags_beyond_their_limits_are_left_out() {
    let many: String = (0..100).map(|number| format!("flag{number} ")).collect();
    let run = run_on(&coyote(), &format!("require \"imap4flags\"; setflag \"{many} {}\";", "x".repeat(65)));
    assert_eq!(did(&run).len(), 17, "16 labels and the keep");
    assert_eq!(run.logs[0].text, "more flags than become labels");
}

#[test]
fn a_long_script_is_read_once_and_fast() {
    let rules: String = (0..10_000)
        .map(|number| format!("if header :contains [\"from\", \"to\"] \"user{number}@b.example\" {{ fileinto \"m{number}\"; }}\n"))
        .collect();
    does(
        &Mail::new().from("user9999@b.example"),
        &format!("require \"fileinto\";\n{rules}"),
        &["file m9999"],
    );
}
