//! The MIME parser as a guest, and what becomes of a message when it answers nonsense.

use std::sync::{Arc, LazyLock};

use postroom_mail::octets::Octets;
use postroom_mail::structure::Structure;
use postroom_sandbox::Mime;

use crate::guests::{admit, message, no_kv, octets, said, sandbox, step, texts};

static MIME: LazyLock<Arc<Mime>> =
    LazyLock::new(|| Arc::new(sandbox().load_mime(&octets("tree")).expect("loads")));

/// The guest `tree` makes a text, a base64 attachment and an attached message of what stands in brackets.
fn mail(word: &str) -> Vec<u8> {
    format!("{word}: x\r\n\r\n[Gr\u{fc}\u{df}e] [aGVsbG8gd29ybGQ=] [inner]\r\n").into_bytes()
}

fn structure(word: &str) -> Result<Structure, String> {
    let octets: Box<dyn Octets> = Box::new(mail(word));
    MIME.structure(&*octets)
}

#[test]
fn a_plugin_sees_the_tree_that_the_parser_found() {
    let plugin = admit("echo", step("survey")).unwrap();
    let message = message(&mail("good"), Some(Arc::clone(&MIME)));
    let log = plugin.handle(&message, &[], &no_kv()).unwrap().log;
    assert_eq!(said(&log, "text"), "Some(\"Gr\u{fc}\u{df}e\")");
    assert_eq!(said(&log, "text cut"), "Some(\"Gr\")", "never in the middle of a character");
    assert_eq!(said(&log, "html"), "None");
    let parts: Vec<_> = texts(&log).into_iter().filter(|line| line.starts_with("part: ")).collect();
    assert_eq!(parts.len(), 4, "{parts:?}");
    assert!(
        parts[0].contains("1 text/plain") && parts[0].contains("attachment=false size=7"),
        "{}",
        parts[0]
    );
    assert!(parts[1].contains("2 application/pdf") && parts[1].contains("hello world"), "{}", parts[1]);
    assert!(parts[1].contains("size=11") && parts[1].contains("attachment=true"), "{}", parts[1]);
    assert!(parts[2].contains("3 message/rfc822") && parts[2].contains("attachment=true"), "{}", parts[2]);
    assert!(parts[3].contains("3.1 text/plain") && parts[3].contains("one@x"), "{}", parts[3]);
    let tree = message.structure().unwrap();
    let attached = tree.parts().filter(|(_, leaf)| tree.is_attachment(leaf));
    let attached: Vec<_> = attached.map(|(_, leaf)| leaf.path.as_str()).collect();
    assert!(attached.contains(&"2") && attached.contains(&"3") && !attached.contains(&"1"), "{attached:?}");
    assert_eq!(
        said(&log, "attachments"),
        format!("{attached:?}"),
        "the rule of the mail crate, and no other"
    );
    assert!(message.flaws().is_empty());
}

#[test]
fn nonsense_from_the_parser_is_found_out() {
    let cases = [
        ("range", "offsets"),
        ("order", "offsets"),
        ("parent", "comes later"),
        ("own", "comes later"),
        ("roots", "second root"),
        ("leaf", "which is a leaf"),
        ("many", "1001 nodes"),
        ("error", "the guest gave up"),
        ("panic", "the parser met its match"),
    ];
    for (word, expected) in cases {
        let text = structure(word).expect_err(word);
        assert!(text.contains(expected), "{word}: {text}");
    }
}

#[test]
fn words_from_the_parser_are_cut_and_checked() {
    assert_eq!(structure("long").unwrap().nodes[2].filename.as_deref().map(str::len), Some(998));
    assert_eq!(structure("type").unwrap().nodes[2].content_type, "application/octet-stream");
}

#[test]
fn a_message_without_a_structure_is_one_unknown_attachment_and_is_still_handled() {
    let plugin = admit("echo", step("effects")).unwrap();
    let survey = admit("echo", step("survey")).unwrap();
    for word in ["panic", "range"] {
        let message = message(&mail(word), Some(Arc::clone(&MIME)));
        let log = survey.handle(&message, &[], &no_kv()).unwrap().log;
        assert_eq!(said(&log, "attachments"), "[\"0\"]", "what is not known may be one");
        let warned: Vec<_> = log.iter().filter(|line| line.message.contains(&message.flaws()[0])).collect();
        assert_eq!((warned.len(), warned[0].level.as_str()), (1, "warn"));
        let structure = message.structure().unwrap();
        let leaves: Vec<_> = structure.leaves().map(|(_, leaf)| leaf).collect();
        assert_eq!((leaves.len(), leaves[0].content_type.as_str()), (1, "application/octet-stream"));
        assert!(structure.is_attachment(leaves[0]) && leaves[0].filename.is_none());
        let body = mail(word)[leaves[0].body_start as usize..leaves[0].body_end as usize].to_vec();
        assert!(mail(word).ends_with(&body) && body.starts_with(b"[Gr"), "the whole body");
        assert!(message.flaws()[0].starts_with("the structure could not be found"), "{:?}", message.flaws());
        assert_eq!(plugin.handle(&message, &[], &no_kv()).unwrap().effects.len(), 4);
    }
}

#[test]
fn what_is_beyond_the_skeleton_is_one_more_unknown_attachment() {
    let large = [mail("good"), b"more text\r\n".repeat(2 << 20)].concat();
    let message = message(&large, Some(Arc::clone(&MIME)));
    let structure = message.structure().unwrap();
    let leaves: Vec<_> = structure.leaves().map(|(_, leaf)| leaf).collect();
    assert_eq!((leaves.len(), leaves[0].path.as_str()), (4, "1"), "what was found stays");
    assert_eq!((leaves[3].path.as_str(), leaves[3].body_end), ("0", large.len() as u64));
    assert!(structure.is_attachment(leaves[3]));
    assert_eq!(message.flaws().len(), 1, "{:?}", message.flaws());
}

#[test]
fn the_time_of_the_parser_is_not_charged_to_the_plugin() {
    let mut config = step("survey");
    config.limits.cpu = std::time::Duration::from_secs(1);
    let plugin = admit("echo", config).unwrap();
    let message = message(&mail("spin"), Some(Arc::clone(&MIME)));
    let outcome = plugin.handle(&message, &[], &no_kv()).unwrap();
    assert!(message.flaws()[0].contains("used more than 5s of CPU time"), "{:?}", message.flaws());
    assert!(outcome.usage.cpu < std::time::Duration::from_secs(1), "{:?}", outcome.usage);
}
