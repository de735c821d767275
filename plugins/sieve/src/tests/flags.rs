//! RFC 5232: flags.

use super::*;

#[test]
fn rfc5232_3_flags_are_set_added_and_removed() {
    let require = "require [\"imap4flags\", \"fileinto\"];";
    does(&coyote(), &format!("{require} setflag \"\\\\Deleted\"; fileinto \"a\";"), &["file a T"]);
    does(
        &coyote(),
        &format!("{require} addflag \"\\\\Seen\"; addflag [\"\\\\flagged\", \"\\\\SEEN\"]; keep;"),
        &["keep FS"],
    );
    does(
        &coyote(),
        &format!("{require} setflag \"\\\\Seen \\\\Draft\"; removeflag \"\\\\Seen\";"),
        &["keep D"],
    );
    does(
        &coyote(),
        &format!("{require} setflag \"\\\\Answered\"; setflag [\"$Forwarded\", \"$Junk\"];"),
        &["label junk", "keep P"],
    );
    does(
        &coyote(),
        &format!("{require} setflag \"\\\\Seen\"; fileinto \"a\"; setflag []; keep;"),
        &["file a S", "keep"],
    );
}

#[test]
fn rfc5232_4_has_flag_matches_each_flag() {
    let is = |flags: &str, test: &str| {
        let script = format!(
            "require [\"imap4flags\", \"fileinto\", \"relational\", \"comparator-i;ascii-numeric\"];
             setflag {flags}; if {test} {{ fileinto \"yes\"; }}"
        );
        did(&run_on(&coyote(), &script)).last().is_some_and(|last| last.starts_with("file yes"))
    };
    assert!(is("[\"A B\"]", "hasflag [\"b\", \"A\"]"));
    assert!(is("[\"A B\"]", "hasflag :contains \"b\""));
    assert!(!is("[\"A B\"]", "hasflag \"A B\""));
    assert!(is("[\"A B\"]", "hasflag :count \"ge\" :comparator \"i;ascii-numeric\" \"2\""));
    assert!(!is("[]", "hasflag :matches \"*\""));
}

#[test]
fn rfc5232_2_variables_hold_flags_too() {
    let script = r#"require ["imap4flags", "variables", "fileinto"];
        setflag "myflags" ["\\Seen", "x"]; addflag "myflags" "\\Flagged"; removeflag "MYFLAGS" "x";
        if hasflag ["other", "myflags"] "\\flagged" { fileinto :flags "${myflags}" "${myflags}"; }"#;
    let run = run_on(&coyote(), &script.replace("\"${myflags}\";", "\"a\";"));
    assert_eq!(did(&run), ["file a FS"]);
}

#[test]
fn rfc5232_5_the_tag_beats_the_variable() {
    let script = "require [\"imap4flags\", \"fileinto\"]; setflag \"\\\\Seen\"; fileinto :flags \"\\\\Flagged\" \"a\"; keep :flags [];";
    does(&coyote(), script, &["file a F", "keep"]);
}

#[test]
fn rfc5232_6_example_runs() {
    let script = r#"require ["fileinto", "imap4flags", "variables"];
        if size :over 1M {
            addflag "MyFlags" "Big";
            if header :is "From" "boss@company.example" { addflag "MyFlags" "Important"; }
        }
        if header :contains "subject" "present" { addflag "MyFlags" ["\\Flagged", "gift"]; }
        fileinto :flags "${MyFlags}" "a";"#;
    does(&coyote(), script, &["label gift", "file a F"]);
}
