//! What is said in a calendar object is told, whatever it is wrapped in, and hostile ones cost little.

use postroom_bench::{Bench, Effect, Mail, Run, json};
use serde_json::Value;

use super::*;

const INVITE: &str = "BEGIN:VCALENDAR\r\nPRODID:-//X//Y//EN\r\nMETHOD:request\r\nBEGIN:VTIMEZONE\r\nTZID:Europe/Berlin\r\n\
BEGIN:STANDARD\r\nDTSTART:19701025T030000\r\nEND:STANDARD\r\nEND:VTIMEZONE\r\nBEGIN:VEVENT\r\nUID:42@shop.example\r\n\
SEQUENCE:3\r\nDTSTART;TZID=Europe/Berlin:20261201T093000\r\nDTEND;TZID=Europe/Berlin:20261201T103000\r\n\
SUMMARY:Plan\\, part \r\n two\r\nLOCATION:Room 1\\; left\r\nRRULE:FREQ=WEEKLY;COUNT=3\r\n\
ORGANIZER;CN=\"Doe: Jane\":MAILTO:jane@shop.example\r\n\
ATTENDEE;CN=Bob;ROLE=REQ-PARTICIPANT;PARTSTAT=NEEDS-ACTION;RSVP=TRUE:mailto:bob@my.example\r\n\
BEGIN:VALARM\r\nSUMMARY:not the event's\r\nTRIGGER:-PT15M\r\nEND:VALARM\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";

fn bench() -> Bench {
    Bench::new().sink("agenda")
}

fn run(settings: Value, mail: &Mail) -> Run {
    let mut settings = settings;
    settings["sink"] = json!("agenda");
    let run = bench().run::<CalendarFiles>(settings, mail);
    assert_eq!(run.result, Ok(()));
    run
}

fn invitation(ics: &str) -> Mail {
    Mail::new().text("Please come").attach("invite.ics", "text/calendar", ics.as_bytes())
}

/// Keys and contents in order.
fn stored(run: &Run) -> Vec<(String, Vec<u8>)> {
    let stored = run.effects.iter().filter_map(|effect| match effect {
        Effect::Store { key, content, .. } => Some((key.clone(), content.clone())),
        _ => None,
    });
    stored.collect()
}

#[track_caller]
fn told(ics: &str) -> Value {
    let run = run(json!({ "ics": false }), &invitation(ics));
    serde_json::from_slice(&stored(&run)[0].1).unwrap()
}

#[test]
fn readme_examples_come_out_as_they_say() {
    postroom_bench::examples::<CalendarFiles>("README.md");
}

#[test]
fn an_invitation_is_stored_as_it_is_with_what_it_says_beside_it() {
    let run = run(json!({ "label": "invitation", "key": "{date:%Y}/{filename}" }), &invitation(INVITE));
    let files = stored(&run);
    assert_eq!((files[0].0.as_str(), files[1].0.as_str()), ("2026/invite.ics", "2026/invite.json"));
    assert_eq!(files[0].1, INVITE.as_bytes());
    assert_eq!(run.lines()[0], "label invitation");
    let told: Value = serde_json::from_slice(&files[1].1).unwrap();
    assert_eq!((&told["method"], &told["product"]), (&json!("REQUEST"), &json!("-//X//Y//EN")));
    let expected = json!([{
        "kind": "event", "uid": "42@shop.example", "sequence": 3, "summary": "Plan, part two", "location": "Room 1; left",
        "start": { "time": "2026-12-01T09:30:00", "zone": "Europe/Berlin", "all_day": false },
        "end": { "time": "2026-12-01T10:30:00", "zone": "Europe/Berlin", "all_day": false },
        "rule": "FREQ=WEEKLY;COUNT=3",
        "organizer": { "address": "jane@shop.example", "name": "Doe: Jane", "role": null, "answer": null, "wants_answer": false },
        "attendees": [{ "address": "bob@my.example", "name": "Bob", "role": "REQ-PARTICIPANT", "answer": "NEEDS-ACTION",
                        "wants_answer": true }],
    }]);
    assert_eq!(told["entries"], expected);
    assert_eq!(told["truncated"], json!(false));
}

#[test]
fn the_same_invitation_inside_the_text_and_as_a_file_is_stored_once() {
    let twice = invitation(INVITE).attach("copy.ics", "application/octet-stream", INVITE.as_bytes());
    assert_eq!(stored(&run(json!({}), &twice)).len(), 2);
    let raw = format!(
        "MIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nx\r\n\
         --b\r\nContent-Type: text/calendar; method=REQUEST\r\n\r\n{INVITE}\r\n--b--\r\n"
    );
    let keys: Vec<String> =
        stored(&run(json!({}), &Mail::new().raw(raw.as_bytes()))).into_iter().map(|file| file.0).collect();
    assert!(keys[0].ends_with(".ics") && keys[1].ends_with(".json") && keys.len() == 2, "{keys:?}");
}

#[test]
fn two_invitations_of_one_name_get_two_keys() {
    let other = INVITE.replace("42@", "43@");
    let both = invitation(INVITE).attach("invite.ics", "text/calendar", other.as_bytes());
    let mut keys: Vec<String> = stored(&run(json!({}), &both)).into_iter().map(|file| file.0).collect();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), 4);
    let run = run(json!({ "key": "{filename}" }), &both);
    let numbered = |effect: &Effect| matches!(effect, Effect::Store { options, .. } if options.contains(&("on-conflict".into(), "number".into())));
    assert!(run.effects.iter().all(numbered), "the sink numbers what collides");
}

#[test]
fn only_wanted_methods_are_stored() {
    let wanted = |methods: Value| stored(&run(json!({ "methods": methods }), &invitation(INVITE))).len();
    assert_eq!(
        (wanted(json!(["request"])), wanted(json!(["CANCEL", "REPLY"])), wanted(json!(["*"]))),
        (2, 0, 2)
    );
    let published = INVITE.replace("METHOD:request\r\n", "");
    assert_eq!(stored(&run(json!({ "methods": ["PUBLISH"] }), &invitation(&published))).len(), 2);
}

#[test]
fn other_files_and_those_without_a_calendar_are_passed_over() {
    assert!(
        run(json!({}), &Mail::new().attach("a.pdf", "application/pdf", b"BEGIN:VCALENDAR"))
            .effects
            .is_empty()
    );
    let run = run(json!({}), &invitation("BEGIN:VCARD\r\nEND:VCARD\r\n"));
    assert!(run.effects.is_empty());
    assert_eq!(run.logs[0].field("reason"), Some("it is no calendar object: there is no VCALENDAR"));
}

#[test]
fn what_is_too_large_or_too_many_is_told_and_left() {
    let large = run(json!({ "max_size": 100 }), &invitation(INVITE));
    assert_eq!((large.effects.len(), large.logs[0].field("reason")), (0, Some("it is larger than max_size")));
    let many = (0..40).fold(Mail::new(), |mail, n| {
        let ics = INVITE.replace("42@", &format!("{n}@"));
        mail.attach(&format!("{n}.ics"), "text/calendar", ics.as_bytes())
    });
    assert_eq!(stored(&run(json!({}), &many)).len(), 64);
}

#[test]
fn days_and_times_that_are_none_are_told_as_they_are() {
    let event =
        |start: &str| told(&format!("BEGIN:VCALENDAR\nBEGIN:VEVENT\n{start}\nEND:VEVENT\nEND:VCALENDAR"));
    let start = |line: &str| event(line)["entries"][0]["start"].clone();
    assert_eq!(
        start("DTSTART;VALUE=DATE:20261224"),
        json!({ "time": "2026-12-24", "zone": null, "all_day": true })
    );
    assert_eq!(start("DTSTART:20261224T180000Z")["time"], json!("2026-12-24T18:00:00Z"));
    assert_eq!(start("DTSTART:soon"), json!({ "invalid": "soon" }));
}

#[test]
fn damaged_and_hostile_objects_are_told_as_far_as_they_go() {
    let head = "BEGIN:VCALENDAR\n";
    assert_eq!(told(&format!("{head}BEGIN:VTODO\nUID:1\nDUE:20261224"))["entries"][0]["kind"], json!("todo"));
    let entries = told(&format!("{head}{}", "BEGIN:VEVENT\nEND:VEVENT\n".repeat(1000)));
    assert_eq!((entries["entries"].as_array().unwrap().len(), &entries["truncated"]), (200, &json!(true)));
    let people = told(&format!("{head}BEGIN:VEVENT\n{}", "ATTENDEE:mailto:a@b.example\n".repeat(5000)));
    assert_eq!(people["entries"][0]["attendees"].as_array().unwrap().len(), 2000);
    for hostile in [
        "BEGIN:VEVENT\n",
        "END:VEVENT\n",
        "BEGIN:VALARM\n",
        "UID;",
        "X:\n ",
        ";:\n",
        "METHOD:\u{1b}[2J\n",
        "é\n",
    ] {
        let told = told(&format!("{head}{}", hostile.repeat(10_000)));
        assert!(!told.to_string().contains('\u{1b}'));
    }
}

#[test]
fn settings_that_store_nothing_are_refused() {
    let refused = |more: Value| {
        let mut settings = more;
        settings["sink"] = json!("agenda");
        bench().configure::<CalendarFiles>(&settings).unwrap_err()[0].path.clone()
    };
    assert_eq!(refused(json!({ "ics": false, "json": false })), "settings.json");
    assert_eq!(refused(json!({ "max_size": "2 MiB" })), "settings.max_size");
    assert_eq!(refused(json!({ "methods": ["["] })), "settings.methods[0]");
    assert_eq!(refused(json!({ "key": "{nope}" })), "settings.key");
}
