//! The bench refuses what the host refuses, and says it in the same words.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::time::Duration;

use postroom_bench::{Bench, Cause, Effect, Limits, Mail, Run, json};
use postroom_sdk::prelude::*;
use serde_json::Value;

/// Does what its settings say.
struct Doing;

#[derive(serde::Deserialize, JsonSchema)]
struct Settings {
    what: String,
}

impl Plugin for Doing {
    type Settings = Settings;
    const NAME: &'static str = "doing";
    const VERSION: &'static str = "0";
    const DESCRIPTION: &'static str = "";

    fn handle(message: &Message, settings: &Settings) -> Result<(), Failure> {
        match settings.what.as_str() {
            "store" => drop(effects::store("papers", "a/b", &message.raw()).queue()?),
            "escape" => drop(effects::store("papers", "../b", &message.raw()).queue()?),
            "file" => effects::file_into("papers", "", &message.raw()).queue()?,
            "twice" => {
                for _ in 0..2 {
                    effects::store("papers", "a", &message.raw()).queue()?;
                    effects::label("x")?;
                }
            }
            "verdicts" => {
                effects::discard("junk")?;
                effects::quarantine("odd")?;
                effects::quarantine("odder")?;
                effects::stop();
            }
            "make" => {
                let mut writer = Writer::new();
                writer.write(b"12345678")?;
                effects::store("papers", "made", &writer.finish()?).queue()?;
            }
            "count" => {
                let seen = kv::get("seen")?.map_or(0, |value| value[0]);
                kv::set("seen", &[seen + 1])?;
            }
            "handles" => {
                let blobs: Vec<Blob> = (0..100).map(|_| message.raw()).collect();
                log::info("held", &[("blobs", &blobs.len())]);
            }
            "let go" => (0..100).for_each(|_| drop(message.raw())),
            "wait" => {
                effects::retry_after(90);
                return Err(Failure::transient("come back"));
            }
            "parts" => {
                for part in message.parts() {
                    let text = format!("{} {} {}", part.path(), part.content_type(), part.safe_filename());
                    log::info(&text, &[("octets", &part.content()?.size())]);
                }
            }
            "texts" => {
                log::info(&message.body(BodyKind::Text, 100).unwrap_or_default(), &[]);
                log::info(&message.body(BodyKind::Html, 100).unwrap_or_default(), &[]);
            }
            "header" => {
                log::info(&message.subject(), &[]);
                let from = message.from().unwrap();
                log::info(&from.email, &[("name", &from.name.unwrap_or_default())]);
                log::info(&message.date().unwrap().to_string(), &[]);
            }
            asked if asked.starts_with("fetch ") => {
                let mut words = asked.split(' ').skip(1);
                let (target, path) = (words.next().unwrap(), words.next().unwrap_or_default());
                let call = words.filter_map(|word| word.split_once('='));
                let call = call.fold(fetch::to(target), |call, (name, value)| call.header(name, value));
                let answer = call.post(path, &message.raw())?;
                let body = answer.body().read_all(1 << 20)?;
                log::info(&String::from_utf8_lossy(&body), &[("status", &answer.status())]);
            }
            other => panic!("nothing to do: {other}"),
        }
        Ok(())
    }
}

fn run(bench: &Bench, what: &str) -> Run {
    bench.run::<Doing>(json!({ "what": what }), &Mail::new().subject("Bill").text("see below"))
}

#[track_caller]
fn fails(bench: &Bench, what: &str, text: &str) {
    let run = run(bench, what);
    assert!(run.result.as_ref().is_err_and(|failure| failure.to_string().contains(text)), "{run:?}");
    assert!(run.effects.is_empty() && run.outcome.is_err());
}

fn texts(run: &Run) -> Vec<&str> {
    run.logs.iter().map(|line| line.text.as_str()).collect()
}

#[test]
fn grants_and_kinds_of_sinks_are_checked_and_the_line_that_would_allow_it_is_told() {
    fails(&Bench::new().mailbox("home"), "store", r#"grants = { sinks = ["home", "papers"] }"#);
    fails(&Bench::new().sink("papers"), "file", "is an object sink");
    fails(&Bench::new().relay("papers"), "store", "is a transport sink");
    fails(&Bench::new(), "verdicts", "discard = true");
    fails(&Bench::new(), "count", "kv = true");
    assert_eq!(run(&Bench::new().sink("papers"), "store").lines(), ["store papers:a/b 86 octets"]);
}

#[test]
fn rules_of_keys_and_quotas_are_those_of_the_host() {
    let bench = Bench::new().sink("papers");
    fails(&bench, "escape", "invalid: ");
    let less = |limits: Limits| bench.clone().limits(limits);
    fails(&less(Limits { effects: 0, ..Limits::default() }), "store", "effects: asked for 1, allowed 0");
    fails(&less(Limits { made_octets: 7, ..Limits::default() }), "make", "octets made by the plugin");
    fails(&less(Limits { labels: 0, ..Limits::default() }), "twice", "labels: asked for 1, allowed 0");
    fails(&less(Limits { wall: Duration::ZERO, ..Limits::default() }), "store", "out of range");
}

#[test]
fn what_is_asked_for_twice_happens_once_and_quarantine_beats_discard() {
    let bench = Bench::new().sink("papers").discard();
    assert_eq!(run(&bench, "twice").lines(), ["label x", "store papers:a 86 octets"]);
    let verdicts = run(&bench, "verdicts").effects;
    assert_eq!(verdicts, [Effect::Quarantine("odd".to_owned()), Effect::Stop]);
}

#[test]
fn a_limit_that_ends_a_call_ends_it_here_too() {
    let few = Bench::new().limits(Limits { handles: 50, ..Limits::default() });
    let ended = run(&few, "handles");
    assert_eq!(ended.outcome.unwrap_err(), Cause::Limit { what: "held more than 50 handles".to_owned() });
    assert!(ended.logs.is_empty(), "the call did not go on");
    assert_eq!(run(&few, "let go").result, Ok(()));
    assert_eq!(run(&Bench::new(), "handles").result, Ok(()));
}

#[test]
fn state_is_kept_with_a_run_that_ends_well() {
    let mut bench = Bench::new().kv();
    for seen in 1..3 {
        let run = bench.run_keeping::<Doing>(json!({ "what": "count" }), &Mail::new());
        assert_eq!(run.kv["seen"], [seen]);
    }
    let other = bench.run::<Doing>(json!({ "what": "count" }), &Mail::new().account("shop"));
    assert_eq!(other.kv["seen"], [1], "accounts do not see each other");
}

#[test]
fn a_failure_carries_when_to_try_again() {
    let run = run(&Bench::new(), "wait");
    assert_eq!((run.result, run.retry_after), (Err(Failure::transient("come back")), Some(90)));
    let Err(Cause::Failed { retry_after, .. }) = run.outcome else { panic!("{:?}", run.outcome) };
    assert_eq!(retry_after, Some(Duration::from_secs(90)));
}

#[test]
fn settings_that_make_no_sense_are_a_failure_with_their_place() {
    let run = Bench::new().run::<Doing>(json!({ "what": 1 }), &Mail::new());
    let text = run.result.unwrap_err().to_string();
    assert!(text.starts_with("the settings are wrong: settings.what: "), "{text}");
}

#[test]
#[should_panic(expected = "nothing to do: dance")]
fn a_panic_of_the_plugin_is_the_tests() {
    run(&Bench::new(), "dance");
}

#[test]
fn outside_of_a_run_nothing_can_be_asked_for() {
    assert!(matches!(effects::label("x"), Err(Fault::Other(text)) if text.contains("outside of a run")));
    assert!(Writer::new().finish().is_err());
    let _ = run(&Bench::new(), "let go");
    assert!(effects::label("x").is_err(), "a run leaves nothing behind");
}

fn of(what: &str, mail: &Mail) -> Run {
    let run = Bench::new().run::<Doing>(json!({ "what": what }), mail);
    assert_eq!(run.result, Ok(()), "{}", String::from_utf8_lossy(&mail.octets()));
    run
}

#[test]
fn a_mail_put_together_has_the_structure_that_mail_programs_write() {
    let mail = Mail::new()
        .subject("x")
        .attach("Größe №7 \"a\".pdf", "application/pdf", b"%PDF")
        .html("<p>h</p>")
        .inline("logo.png", "image/png", "logo@x.example", &[0, 255, 10, 13])
        .text("plain")
        .attach_unnamed("application/zip", &[7; 200]);
    let run = of("parts", &mail);
    assert_eq!(
        texts(&run),
        [
            "1.1.1 text/html part-1.1.1.html",
            "1.1.2 text/plain part-1.1.2.txt",
            "1.2 image/png logo.png",
            "2 application/pdf Größe №7 _a_.pdf",
            "3 application/zip part-3.zip",
        ]
    );
    let sizes: Vec<_> = run.logs.iter().filter_map(|line| line.field("octets")).collect();
    assert_eq!(sizes, ["8", "5", "4", "4", "200"]);
    assert!(run.parsed);
}

#[test]
fn texts_arrive_as_they_were_given_but_for_their_line_ends() {
    let long = "word ".repeat(300);
    for text in ["one\ntwo\r\n.\n--\n\nend", "Grüße\n\u{4e2d}", "", &long, "trailing \n"] {
        let expected = text.replace("\r\n", "\n").replace('\n', "\r\n");
        let expected: String = expected.chars().take(100).collect();
        let shown = |text: &str| postroom_mail::rules::neutral(text, 4096);
        for mail in [Mail::new().text(text), Mail::new().text(text).attach("a", "a/b", b"x").html(text)] {
            let run = of("texts", &mail);
            assert_eq!(texts(&run)[0], shown(&expected), "{text:?}");
        }
    }
}

#[test]
fn fields_arrive_as_they_were_given() {
    let long = "a field that is folded ".repeat(20).trim().to_owned();
    let wide = "Grüße №7 \u{4e2d}\u{6587} ".repeat(20).trim().to_owned();
    for subject in ["plain", "Grüße", &long, &wide, "a  b", "=?utf-8?Q?x?="] {
        let mail = Mail::new()
            .subject(subject)
            .from("Zoë \"Zed\" Ångström <zoe@x.example>")
            .date_ms(1_795_514_400_000);
        let run = of("header", &mail);
        let lines = mail.octets();
        assert!(lines.split(|octet| *octet == b'\n').all(|line| line.len() <= 79), "{subject}");
        if subject != "=?utf-8?Q?x?=" {
            assert_eq!(texts(&run)[0], subject);
        }
        assert_eq!(texts(&run)[1..], ["zoe@x.example", "2026-11-24T10:00:00Z"]);
        assert_eq!(run.logs[1].field("name"), Some("Zoë Zed Ångström"));
    }
}

#[test]
fn the_octets_of_a_file_are_taken_as_they_are() {
    let bench = Bench::new().sink("papers").account("shop").received(0);
    let run = bench.run_eml::<Doing>(json!({ "what": "store" }), b"no header at all\n");
    let [Effect::Store { content, .. }] = &run.effects[..] else { panic!("{run:?}") };
    assert_eq!(content, b"no header at all\n");
    let settings: Value = json!({ "what": "parts" });
    let eml = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\none\r\n--b\r\nContent-Type: a/b\r\n\r\ntwo\r\n--b--\r\n";
    assert_eq!(
        texts(&bench.run_eml::<Doing>(settings, eml)),
        ["1 text/plain part-1.txt", "2 a/b part-2.bin"]
    );
}

#[test]
fn look_ups_are_answered_from_the_bench_under_the_rules_of_the_host() {
    let mail = Mail::new().subject("x");
    let size = u32::try_from(mail.octets().len()).unwrap();
    let bench = Bench::new().answers("crm", "people/1", 404, "nobody").no_answer(
        "crm",
        "slow",
        "the target crm did not answer",
    );
    let asking = |bench: &Bench, what: &str| bench.run::<Doing>(json!({ "what": what }), &mail);

    let run = asking(&bench, "fetch crm people/1 accept=text/plain");
    assert_eq!((run.logs[0].text.as_str(), run.logs[0].field("status")), ("nobody", Some("404")));

    let limits = Limits { fetch_octets: u64::from(size) - 1, ..Limits::default() };
    let small = bench.clone().limits(limits);
    for (bench, what, is_transient, said) in [
        (&bench, "fetch erp people/1", false, r#"grants = { fetch = ["crm", "erp"] }"#),
        (&bench, "fetch crm ../x", false, "must not go up"),
        (&bench, "fetch crm people/1 Host=x.example", false, "the host's to set"),
        (&bench, "fetch crm people/2", false, "no answer is recorded"),
        (&bench, "fetch crm slow", true, "the target crm did not answer"),
        (&small, "fetch crm people/1", false, "octets sent by fetch: asked for"),
    ] {
        let (transient, text) = match asking(bench, what).result.unwrap_err() {
            Failure::Transient(text) => (true, text),
            Failure::Permanent(text) => (false, text),
        };
        assert!(transient == is_transient && text.contains(said), "{what}: {text}");
    }
}
