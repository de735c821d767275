//! RFC 5229: variables, captures, modifiers, and the test `string`.

use super::*;

#[track_caller]
fn files(mail: &Mail, script: &str, mailbox: &str) {
    let script = format!("require [\"variables\", \"fileinto\"];\n{script}");
    does(mail, &script, &[&format!("file {mailbox}")]);
}

#[test]
fn rfc5229_3_references_are_filled_in_and_what_is_none_stays() {
    files(&coyote(), r#"set "company" "ACME"; fileinto "a ${company} b ${Company}";"#, "a ACME b ACME");
    files(&coyote(), r#"set "company" "ACME"; fileinto "&%${}!";"#, "&%${}!");
    files(&coyote(), r#"set "company" "ACME"; fileinto "${doh!}";"#, "${doh!}");
    files(&coyote(), r#"set "company" "ACME"; fileinto "x${PANIC}y";"#, "xy");
    files(&coyote(), r#"set "a" "${b}"; set "b" "2"; fileinto "x${a}${b";"#, "x${b");
    files(&coyote(), r#"set "company" "ACME"; fileinto "${compa";"#, "${compa");
    does(&coyote(), "require \"fileinto\"; fileinto \"${x}\";", &["file ${x}"]);
}

#[test]
fn rfc5229_3_values_are_not_filled_in_again() {
    files(&coyote(), r#"set "a" "b"; set "d" "$"; set "c" "${d}{a}"; fileinto "${c}";"#, "${a}");
}

#[test]
fn rfc5229_3_2_wildcards_are_captured() {
    let list = Mail::new().header("List-ID", "<acme-users@lists.example>").subject("[acme-users] [fwd] bug");
    files(&list, r#"if header :matches "List-ID" "*<*@*" { fileinto "Lists/${2}"; }"#, "Lists/acme-users");
    files(
        &list,
        r#"if header :matches "subject" "[*] *" { fileinto "${1}|${2}|${0}"; }"#,
        "acme-users|[fwd] bug|[acme-users] [fwd] bug",
    );
    files(
        &Mail::new().subject("a b"),
        r#"if header :matches "subject" "? *" { if header :matches "subject" "x*" { stop; } fileinto "${1}${2}${3}"; }"#,
        "ab",
    );
    files(
        &coyote(),
        r#"if header :matches ["to", "cc"] ["*zzz*", "*@cats.*"] { fileinto "${1}"; }"#,
        "sylvester",
    );
}

#[test]
fn rfc5173_6_the_body_captures_nothing() {
    let script = r#"require ["variables", "fileinto", "body"];
        if header :matches "subject" "i have *" { if body :matches "*anvil*" { fileinto "${1}"; } }"#;
    does(&coyote(), script, &["file a present for you"]);
}

#[test]
fn rfc5229_4_1_modifiers_have_an_order() {
    let check = |modifiers: &str, value: &str, expected: &str| {
        files(&coyote(), &format!("set {modifiers} \"x\" \"{value}\"; fileinto \"${{x}}\";"), expected);
    };
    check(":length", "juMBlEd üß", "10");
    check(":lower", "juMBlEd lETteRS", "jumbled letters");
    check(":upperfirst", "juMBlEd lETteRS", "JuMBlEd lETteRS");
    check(":upperfirst :lower", "juMBlEd lETteRS", "Jumbled letters");
    check(":lowerfirst :upper", "abc", "aBC");
    check(":length :quotewildcard", "a*b", "4");
    let quoted = r#"set :quotewildcard "x" "Rock*"; if string :matches "Rock*" "${x}" { fileinto "yes"; }"#;
    files(&coyote(), quoted, "yes");
}

#[test]
fn rfc5229_5_string_tests_texts() {
    let is = |test: &str| holds(&coyote(), "variables relational comparator-i;ascii-numeric", test);
    assert!(is(r#"string "${state}" """#) && is(r#"string :matches " ${state} " "??""#));
    assert!(is(r#"string ["a", "b"] "B""#) && !is(r#"string "a" "b""#));
    assert!(is(r#"string :count "eq" ["a", "", "c"] "2""#));
    assert!(is(r#"string :value "gt" :comparator "i;ascii-numeric" "10" "9""#));
}

#[test]
fn rfc5229_6_values_are_cut_to_their_limit() {
    let script = r#"require ["variables", "fileinto"]; set "a" "0123456789abcdef"; set "b" "${a}${a}${a}${a}"; set "c" "${b}${b}${b}${b}${b}${b}${b}${b}";
        set "d" "${c}${c}${c}${c}${c}${c}${c}${c}${c}"; set :length "n" "${d}"; fileinto "${n}";"#;
    does(&coyote(), script, &["file 4096"]);
}
