//! What a plugin sees and asks for, and what of it counts.

use std::sync::Arc;
use std::time::Duration;

use postroom_mail::{Action, Coding, Digest, Disposition, KvWrite, Label, Name, OnConflict, Piece, Verdict};
use postroom_sandbox::{Cause, Grants, KvRead, Outcome};

use crate::guests::{PLAIN, RETRIEVED, admit, all_grants, message, name, no_kv, run, said, step, texts};

fn outcome(mode: &str) -> Outcome {
    run("echo", step(mode)).unwrap_or_else(|error| panic!("{error}: {:?}", texts(&error.log)))
}

#[test]
fn the_message_is_what_was_retrieved() {
    let plugin = admit("echo", step("survey")).unwrap();
    let message = message(PLAIN, None);
    let earlier = [Label::new("invoice").unwrap()];
    let log = plugin.handle(&message, &earlier, &no_kv()).unwrap().log;
    assert_eq!(said(&log, "id"), format!("{:?}", message.id().to_string()));
    assert_eq!(said(&log, "sha256"), format!("{:?}", Digest::of(PLAIN).to_string()));
    assert_eq!(said(&log, "account"), "\"home\"");
    assert_eq!(said(&log, "uidl"), "Some(\"uid-1\")");
    assert_eq!(said(&log, "size"), PLAIN.len().to_string());
    assert_eq!(said(&log, "received"), RETRIEVED.0.to_string());
    assert_eq!(said(&log, "labels"), "[\"invoice\"]");
    assert_eq!(said(&log, "subject"), "Some(\"bill\")");
    assert_eq!(said(&log, "to"), "[\"b@shop.example\"]");
    assert_eq!(said(&log, "text"), "None", "there is no parser");
    assert_eq!(message.flaws(), ["there is no MIME parser"]);
    let line = log.last().unwrap();
    assert_eq!((line.level.as_str(), line.message.as_str()), ("warn", "with fields"));
    assert!(!line.fields[0].1.contains('\u{1b}'), "{:?}", line.fields);
}

#[test]
fn effects_are_exact_and_asked_for_twice_are_queued_once() {
    let outcome = outcome("effects");
    let actions: Vec<_> = outcome.effects.iter().map(|effect| &effect.action).collect();
    let [store, file, forward, send] = actions[..] else { panic!("{actions:?}") };
    let Action::Store { key, on_conflict, content_type, meta } = store else { panic!("{store:?}") };
    assert_eq!((key.as_str(), *on_conflict), ("mail/one.eml", OnConflict::Number));
    assert_eq!(content_type.as_deref(), Some("message/rfc822"));
    assert_eq!(meta, &[("from".to_owned(), "echo".to_owned())]);
    let Action::FileInto { mailbox, flags } = file else { panic!("{file:?}") };
    assert_eq!((mailbox.as_str(), flags.as_str()), ("Archive", "FS"));
    let Action::Send { envelope, add_headers } = forward else { panic!("{forward:?}") };
    assert_eq!((envelope.to.len(), add_headers[0].name()), (1, "X-Forwarded"));
    let Action::Send { envelope, .. } = send else { panic!("{send:?}") };
    assert_eq!(envelope.to[0].as_str(), "c@shop.example");

    let made = [b"X-Made: yes\r\n", PLAIN].concat();
    let digests: Vec<_> = outcome.effects.iter().map(|effect| effect.digest).collect();
    assert_eq!(digests, [PLAIN, &made, PLAIN, &made].map(Digest::of));
    assert_eq!(outcome.effects[0].content.coding, Coding::Zstd);
    assert_eq!(outcome.effects[0].content.pieces, [Piece::Raw { offset: 0, len: PLAIN.len() as u64 }]);
    assert_eq!(outcome.effects[1].size, made.len() as u64);
    assert!(outcome.effects.iter().all(|effect| effect.required && effect.step == name("echo")));

    assert_eq!(outcome.labels, [Label::new("seen-by-echo").unwrap()]);
    let quarantined = Verdict::Quarantine { step: name("echo"), reason: "second".to_owned() };
    assert_eq!(outcome.verdict, Some(quarantined), "quarantine beats discard");
    assert!(outcome.stop);
    assert_eq!(said(&outcome.log, "labels"), "[\"seen-by-echo\"]");
}

#[test]
fn a_denial_names_the_line_that_would_allow_it_and_the_plugin_goes_on() {
    let mut config = step("denied");
    config.grants.discard = false;
    let outcome = run("echo", config).unwrap();
    let line = r#"grants = { sinks = ["elsewhere", "home", "relay", "vault"], kv = true }"#;
    assert_eq!(said(&outcome.log, "store"), format!("denied: {line}"));
    let kind = said(&outcome.log, "kind");
    assert!(kind.starts_with("invalid: ") && kind.contains("\"vault\" is an object sink"), "{kind}");
    assert!(said(&outcome.log, "discard").contains("discard = true"));
    assert_eq!(outcome.effects.len(), 1);
    assert_eq!(outcome.verdict, None);
}

#[test]
fn wrong_arguments_are_answered_with_what_is_wrong() {
    let outcome = outcome("invalid");
    assert!(outcome.log.iter().all(|line| line.level == "info"), "{:?}", texts(&outcome.log));
    assert_eq!(outcome.log.len(), 12);
    assert!(said(&outcome.log, "option").contains("\"colour\""));
    assert!(said(&outcome.log, "everybody").starts_with("quota: recipients: asked for 11, allowed 10"));
    assert!(said(&outcome.log, "options").starts_with("quota: options"));
    assert!(outcome.effects.is_empty());
}

#[test]
fn nothing_counts_when_the_plugin_fails() {
    let error = run("echo", step("transient")).unwrap_err();
    let after = Some(Duration::from_secs(90));
    assert_eq!(error.disposition(), Disposition::Retry { after });
    assert!(error.to_string().starts_with("failed for now: come back"), "{error}");
    assert!(!error.to_string().contains('\n'), "{error}");

    let error = run("echo", step("permanent")).unwrap_err();
    let failed = Cause::Failed { transient: false, message: "no use".to_owned(), retry_after: None };
    assert_eq!(error.cause, failed);
    assert_eq!(error.disposition(), Disposition::Park);
}

struct Seen;

impl KvRead for Seen {
    fn get(&self, scope: &str, key: &str) -> Result<Option<Vec<u8>>, String> {
        match (scope, key) {
            (_, "broken") => Err("the disk is away".to_owned()),
            ("shop/echo/home", "seen") => Ok(Some(b"before".to_vec())),
            _ => Ok(None),
        }
    }

    fn total(&self, _: &str) -> Result<u64, String> {
        Ok(10)
    }
}

#[test]
fn state_is_read_through_the_own_writes_and_written_once_a_key() {
    let plugin = admit("echo", step("state")).unwrap();
    let kv: Arc<dyn KvRead> = Arc::new(Seen);
    let outcome = plugin.handle(&message(PLAIN, None), &[], &kv).unwrap();
    assert_eq!(said(&outcome.log, "before"), format!("Some({:?})", b"before"));
    assert_eq!(said(&outcome.log, "after"), format!("(Some({:?}), None)", b"twice"));
    assert_eq!(said(&outcome.log, "broken"), "transient: the disk is away");
    for (what, answer) in
        [("empty key", "invalid"), ("long key", "quota"), ("large value", "quota"), ("often", "quota")]
    {
        assert!(said(&outcome.log, what).starts_with(answer), "{what}");
    }
    let write = |key: &str, value: Option<&[u8]>| KvWrite {
        scope: "shop/echo/home".to_owned(),
        key: key.to_owned(),
        value: value.map(<[u8]>::to_vec),
    };
    assert_eq!(outcome.kv, [write("other", None), write("seen", Some(b"twice"))]);
}

#[test]
fn there_is_nothing_around_a_plugin() {
    let log = outcome("ambience").log;
    assert_eq!(said(&log, "environment"), "0");
    assert_eq!(said(&log, "arguments"), "0");
    assert_eq!(said(&log, "now"), format!("Some({})", RETRIEVED.0));
    assert_eq!(said(&log, "elapsed"), "0");
    assert_eq!(said(&log, "stdin"), "Ok(\"\")");
    let output: Vec<_> = log.iter().filter(|line| line.message.starts_with("to ")).collect();
    assert_eq!((output[0].level.as_str(), output[0].message.as_str()), ("info", "to stdout"));
    assert_eq!(output[1].level, "warn");
    assert!(
        output[1].message.starts_with("to stderr") && !output[1].message.contains('\u{1b}'),
        "{:?}",
        output[1]
    );
}

#[test]
fn the_same_message_gives_the_same_outcome() {
    for mode in ["ambience", "effects", "survey"] {
        let (one, two) = (outcome(mode), outcome(mode));
        assert_eq!(
            (one.effects, one.labels, one.verdict, one.log),
            (two.effects, two.labels, two.verdict, two.log)
        );
    }
    let plugin = admit("echo", step("ambience")).unwrap();
    let hash = |octets: &[u8]| {
        let log = plugin.handle(&message(octets, None), &[], &no_kv()).unwrap().log;
        said(&log, "hash").to_owned()
    };
    assert_ne!(hash(PLAIN), hash(b"another"), "randomness follows from the message");
}

#[test]
fn blobs_are_read_sliced_and_made() {
    let log = outcome("blobs").log;
    assert_eq!(said(&log, "whole"), PLAIN.len().to_string());
    assert_eq!(said(&log, "slice"), "(\"om: a@\", 6)");
    assert_eq!(said(&log, "past the end"), "0");
    assert_eq!(said(&log, "made"), format!("(\"<om: a@>\", 8, {:?})", Digest::of(b"<om: a@>").to_string()));
    assert_eq!(said(&log, "raw"), "true");
}

#[test]
fn usage_is_reported() {
    let usage = outcome("survey").usage;
    assert!(usage.peak_memory >= 64 << 10 && usage.host_calls > 15, "{usage:?}");
    assert!(usage.cpu > Duration::ZERO && usage.wall > Duration::ZERO, "{usage:?}");
}

#[test]
fn many_calls_at_the_same_time_do_not_disturb_each_other() {
    let plugin = admit("echo", step("effects")).unwrap();
    let expected = plugin.handle(&message(PLAIN, None), &[], &no_kv()).unwrap().effects;
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..50 {
                    let outcome = plugin.handle(&message(PLAIN, None), &[], &no_kv()).unwrap();
                    assert_eq!(outcome.effects, expected);
                }
            });
        }
    });
}

#[test]
fn grants_of_another_sink_do_not_help() {
    let mut config = step("permanent");
    config.grants = Grants {
        sinks: [(Name::new("home").unwrap(), all_grants().sinks[&name("home")])].into(),
        ..all_grants()
    };
    assert!(matches!(run("echo", config).unwrap_err().cause, Cause::Failed { .. }));
}
