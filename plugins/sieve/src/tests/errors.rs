//! Scripts that are wrong: each with its line and column, and what was expected.

use super::*;

#[test]
fn every_mistake_has_its_line_and_column() {
    for (script, expected) in [
        (
            "keep",
            "line 1, column 5: expected \";\" after keep, or an argument of it, found the end of the script",
        ),
        ("keep;\n  kep;", "line 2, column 3: there is no command \"kep\""),
        ("keep;\r\n\r\n}", "line 3, column 1: expected a command, found \"}\""),
        ("if true { keep;", "line 1, column 16: expected a command or \"}\", found the end of the script"),
        ("if true keep;", "line 1, column 9: \"true\" takes no test, found \"keep\""),
        ("if true;", "line 1, column 1: \"if\" needs a block: expected \"{\""),
        ("if { keep; }", "line 1, column 1: \"if\" takes one test"),
        ("if (true, false) { keep; }", "line 1, column 1: \"if\" takes one test"),
        ("else { keep; }", "line 1, column 1: \"else\" must follow \"if\" or \"elsif\""),
        ("if true { } keep; elsif true { }", "line 1, column 19: \"elsif\" must follow \"if\" or \"elsif\""),
        ("if true { } else { } else { }", "line 1, column 22: \"else\" must follow \"if\" or \"elsif\""),
        ("keep { }", "line 1, column 1: \"keep\" takes no block: expected \";\""),
        ("keep true;", "line 1, column 6: \"keep\" takes no test, found \"true\""),
        ("if allof true { }", "line 1, column 4: \"allof\" takes tests in parentheses: expected \"(\""),
        ("if anyof (true false) { }", "line 1, column 16: \"true\" takes no test, found \"false\""),
        ("if anyof (true; true) { }", "line 1, column 15: expected \",\" or \")\" after a test, found \";\""),
        ("if anyof () { }", "line 1, column 11: expected a test, found \")\""),
        ("if not (true) { }", "line 1, column 4: \"not\" takes one test"),
        ("if nottrue { }", "line 1, column 4: there is no test \"nottrue\""),
        ("redirect;", "line 1, column 1: \"redirect\" lacks an argument: expected the address as one text"),
        ("redirect 5;", "line 1, column 10: expected the address as one text in \"redirect\", found 5"),
        (
            "redirect [\"a@b\", \"c@d\"];",
            "line 1, column 10: expected the address as one text in \"redirect\", found a list of texts",
        ),
        ("redirect \"a@b\" \"c\";", "line 1, column 16: \"redirect\" takes no argument more"),
        ("redirect \"nobody\";", "line 1, column 10: \"nobody\" is no bare address like a@b.example"),
        (
            "redirect \"a@b\" :copy;",
            "line 1, column 16: \":copy\" must stand before the other arguments of \"redirect\"",
        ),
        ("redirect :copy \"a@b\";", "line 1, column 10: \":copy\" needs require \"copy\""),
        ("redirect :slowly \"a@b\";", "line 1, column 10: \"redirect\" has no tag \":slowly\""),
        ("fileinto \"a\";", "line 1, column 1: \"fileinto\" needs require \"fileinto\""),
        ("keep :flags \"x\";", "line 1, column 6: \":flags\" needs require \"imap4flags\""),
        ("set \"a\" \"b\";", "line 1, column 1: \"set\" needs require \"variables\""),
        ("if header \"a\" { }", "line 1, column 4: \"header\" lacks an argument: expected the keys to match"),
        ("if header :is :contains \"a\" \"b\" { }", "line 1, column 15: a test has one match type"),
        (
            "if header :value \"gt\" \"a\" \"b\" { }",
            "line 1, column 11: \":value\" needs require \"relational\"",
        ),
        ("if header :regex \"a\" \"b\" { }", "line 1, column 11: \":regex\" needs require \"regex\""),
        ("if header :localpart \"a\" \"b\" { }", "line 1, column 11: \"header\" has no tag \":localpart\""),
        ("if header :index 1 \"a\" \"b\" { }", "line 1, column 11: \":index\" needs require \"index\""),
        (
            "if header :comparator \"i;basic\" \"a\" \"b\" { }",
            "line 1, column 23: there is no comparator \"i;basic\"; there are i;octet, i;ascii-casemap and i;ascii-numeric",
        ),
        (
            "if header :comparator \"i;ascii-numeric\" \"a\" \"b\" { }",
            "line 1, column 23: \"i;ascii-numeric\" needs require \"comparator-i;ascii-numeric\"",
        ),
        (
            "if address :all :domain \"a\" \"b\" { }",
            "line 1, column 17: a test looks at one part of an address",
        ),
        ("if address :user \"a\" \"b\" { }", "line 1, column 12: \":user\" needs require \"subaddress\""),
        ("if size 5 { }", "line 1, column 4: \"size\" needs \":over\" or \":under\""),
        (
            "if size :over \"5\" { }",
            "line 1, column 15: expected the size as a number in \"size\", found a text",
        ),
        ("if size :over 5X { }", "line 1, column 15: \"5X\" is no number; 10, 10K, 10M and 10G are"),
        ("if size :over 99999999999G { }", "line 1, column 15: \"99999999999G\" is no number, or too large"),
        ("keep; /* open", "line 1, column 7: this comment is not ended: expected \"*/\""),
        ("redirect \"open", "line 1, column 10: this text is not ended: expected a closing quote"),
        ("redirect \"open\\", "line 1, column 10: this text is not ended: expected a closing quote"),
        (
            "redirect text:\nopen\n",
            "line 1, column 14: this text is not ended: expected a line that is only \".\"",
        ),
        ("redirect text: open\n.\n", "line 1, column 16: expected the end of the line after \"text:\""),
        ("redirect : \"a\";", "line 1, column 10: expected the name of a tag right after \":\""),
        (
            "redirect [\"a\" \"b\"];",
            "line 1, column 15: expected \",\" or \"]\" in a list of texts, found the text \"b\"",
        ),
        ("redirect [1];", "line 1, column 11: expected a text in quotes, found the number 1"),
        ("ü;", "line 1, column 1: \"ü\" cannot stand here; texts are written in quotes"),
        ("require;", "line 1, column 1: \"require\" lacks an argument: expected the names of extensions"),
        ("keep; require \"copy\";", "line 1, column 7: \"require\" must stand before all other commands"),
        (
            "if true { require \"copy\"; }",
            "line 1, column 11: \"require\" must stand before all other commands",
        ),
    ] {
        assert_eq!(wrong(script), expected, "{script}");
    }
}

#[test]
fn mistakes_in_extensions_have_their_line_and_column() {
    for (script, expected) in [
        (
            "require \"variables\"; set \"1\" \"x\";",
            "line 1, column 26: \"1\" cannot be set: letters, digits and \"_\" name a variable",
        ),
        (
            "require \"variables\"; set :lower :upper \"a\" \"x\";",
            "line 1, column 33: \":upper\" cannot stand beside another of its kind",
        ),
        (
            "require \"variables\"; set :quoteregex \"a\" \"x\";",
            "line 1, column 26: \":quoteregex\" needs require \"regex\"",
        ),
        (
            "require \"variables\"; redirect \"${env.home}\";",
            "line 1, column 31: there is no variable \"env.home\": no extension has it",
        ),
        (
            "require \"relational\"; if header :value \"is\" \"a\" \"b\" { }",
            "line 1, column 40: there is no relation \"is\"; there are gt, ge, lt, le, eq and ne",
        ),
        (
            "require \"comparator-i;ascii-numeric\"; if header :contains :comparator \"i;ascii-numeric\" \"a\" \"b\" { }",
            "line 1, column 49: \"i;ascii-numeric\" compares whole numbers: use :is, :value or :count",
        ),
        (
            "require \"index\"; if header :last \"a\" \"b\" { }",
            "line 1, column 28: \":last\" needs \":index\" beside it",
        ),
        (
            "require \"index\"; if header :index 0 \"a\" \"b\" { }",
            "line 1, column 28: fields are counted from 1",
        ),
        (
            "require \"envelope\"; if envelope \"auth\" \"b\" { }",
            "line 1, column 33: the envelope has no part \"auth\"; it has from and to",
        ),
        (
            "require \"date\"; if date :zone \"CET\" \"date\" \"year\" \"1\" { }",
            "line 1, column 31: \"CET\" is no zone like \"+0100\"",
        ),
        (
            "require \"date\"; if date :zone \"+0100\" :originalzone \"date\" \"year\" \"1\" { }",
            "line 1, column 39: a date has one zone",
        ),
        (
            "require \"body\"; if body :raw :text \"x\" { }",
            "line 1, column 30: a test looks at the body in one way",
        ),
        (
            "require \"duplicate\"; if duplicate :header \"x\" :uniqueid \"y\" { }",
            "line 1, column 47: \"duplicate\" takes \":header\" or \":uniqueid\", not both",
        ),
        (
            "require \"editheader\"; addheader \"X Y\" \"z\";",
            "line 1, column 33: \"X Y\" is no name of a header field",
        ),
        (
            "require \"editheader\"; deleteheader \"X\";",
            "line 1, column 23: \"deleteheader\" is not supported: originals are never rewritten, so no field can be taken away",
        ),
    ] {
        assert_eq!(wrong(script), expected, "{script}");
    }
    let regex = wrong("require \"regex\"; if header :regex \"a\" [\"ok\", \"(\"] { }");
    assert!(regex.starts_with("line 1, column 46: \"(\" is no regular expression: "), "{regex}");
    let unit = wrong("require \"date\"; if currentdate \"century\" \"1\" { }");
    assert!(
        unit.starts_with("line 1, column 32: \"century\" is no part of a date; there are year,"),
        "{unit}"
    );
}

#[test]
fn extensions_that_are_not_supported_are_refused_with_their_place_and_the_reason() {
    for (extension, reason) in [
        ("vacation", ": nobody is answered, since mail that is retrieved by POP3 was accepted long ago"),
        ("include", ": a script is one file; put the commands into it"),
        ("imapflags", ": it was replaced by \"imap4flags\""),
        ("enotify", ": use a step of its own for notifications"),
        ("spamtest", ": test the header that the filter has written"),
        ("foreverypart", ": originals are never rewritten; the plugin attachments works on parts"),
        ("vnd.dovecot.pipe", ""),
        ("Fileinto", ""),
    ] {
        let script = format!("require [\"fileinto\",\n  \"{extension}\"];");
        let expected = format!("line 2, column 3: the extension \"{extension}\" is not supported{reason}");
        assert_eq!(wrong(&script), expected);
    }
    assert_eq!(
        wrong("vacation \"away\";"),
        "line 1, column 1: \"vacation\" is not supported: nobody is answered, since mail that is retrieved by POP3 was accepted long ago"
    );
    assert_eq!(
        wrong("include \"other\";"),
        "line 1, column 1: \"include\" is not supported: a script is one file"
    );
}

#[test]
fn an_action_without_its_setting_is_refused_before_any_mail() {
    for (script, setting) in [
        (
            "require \"fileinto\"; if true { fileinto \"a\"; }",
            "line 1, column 31: \"fileinto\" needs the setting mailboxes = { sink = \"…\" }",
        ),
        (
            "if true {\n redirect \"a@b.example\"; }",
            "line 2, column 2: \"redirect\" needs the setting redirect = { sink = \"…\" }",
        ),
    ] {
        let problems = Bench::new().configure::<Sieve>(&json!({ "script": script })).unwrap_err();
        assert_eq!((problems[0].path.as_str(), problems[0].text.as_str()), ("settings.script", setting));
    }
    Bench::new().configure::<Sieve>(&json!({ "script": "keep;" })).unwrap();
}

#[test]
fn settings_that_make_no_sense_are_refused_where_they_are() {
    for (key, value, text) in [
        ("zone", json!("CET"), "\"CET\" is no zone; write it like \"+0100\""),
        ("discard", json!("burn"), "unknown variant"),
        ("mailboxes", json!({ "sink": "home", "separator": "ab" }), "a character"),
        ("colour", json!(1), "unknown field"),
    ] {
        let mut settings = json!({ "script": "keep;" });
        settings[key] = value;
        let problems = Bench::new().configure::<Sieve>(&settings).unwrap_err();
        assert!(problems[0].path.starts_with(&format!("settings.{key}")), "{problems:?}");
        assert!(problems[0].text.contains(text), "{problems:?}");
    }
}
