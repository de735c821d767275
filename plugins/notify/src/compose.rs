//! A notice as a mail (RFC 5322) or a JSON document. The same message gives the same octets.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use postroom_sdk::prelude::*;
use serde_json::{Value, json};

use crate::Settings;
use crate::gathered::Pending;
use crate::place::MARK;
use crate::text::{Template, one_line};

/// Octets of text in one encoded word (RFC 2047 section 2) and in one line of base64 (RFC 2045 section 6.8).
const WORD: usize = 42;
const BASE64_LINE: usize = 57;
const SUBJECT_OF_ONE: &str = "New mail from {name}: {subject}";
const SUBJECT_OF_MANY: &str = "{count} new messages for {account}";
const TEXT: &str = "From: {from}\nSubject: {subject}\nDate: {date}\nAccount: {account}\nLabels: {labels}\n\
                    Size: {size} octets\nMessage: {id}\n";
const KEY: &str = "{account}/{date:%Y%m%d%H%M%S}-{id:16}.json";

pub(crate) fn mail_of_one(
    message: &Message,
    settings: &Settings,
    to: &[String],
    untold: u64,
) -> Result<(), Failure> {
    let mut text = render(settings.text.as_ref(), TEXT, message, 1)?;
    if untold > 0 {
        text.push_str(&format!("\n{untold} more came that no notice was sent for.\n"));
    }
    let subject = render(settings.subject.as_ref(), SUBJECT_OF_ONE, message, 1)?;
    send(message, settings, to, &subject, &text)
}

pub(crate) fn mail_of_many(
    message: &Message,
    settings: &Settings,
    to: &[String],
    pending: &Pending,
) -> Result<(), Failure> {
    let mut text = format!("Since {}:\n\n", pending.since());
    pending.lines().for_each(|line| text.push_str(&format!("{line}\n")));
    if pending.unlisted() > 0 {
        text.push_str(&format!("and {} more\n", pending.unlisted()));
    }
    let subject = render(settings.subject.as_ref(), SUBJECT_OF_MANY, message, pending.count())?;
    send(message, settings, to, &subject, &text)
}

pub(crate) fn json_of_one(message: &Message, settings: &Settings, untold: u64) -> Result<(), Failure> {
    let from = message.from();
    let document = json!({
        "event": "message",
        "id": message.id(),
        "account": message.account(),
        "from": from.as_ref().map(|from| one_line(&from.email)),
        "name": from.and_then(|from| from.name).map(|name| one_line(&name)),
        "subject": one_line(&message.subject()),
        "date": message.date().map(|date| date.to_string()),
        "received": message.received().to_string(),
        "size": message.size(),
        "labels": message.labels(),
        "untold": untold,
    });
    store(message, settings, &document)
}

pub(crate) fn json_of_many(message: &Message, settings: &Settings, pending: &Pending) -> Result<(), Failure> {
    let document = json!({
        "event": "digest",
        "account": message.account(),
        "since": pending.since().to_string(),
        "count": pending.count(),
        "lines": pending.lines().collect::<Vec<_>>(),
        "unlisted": pending.unlisted(),
    });
    store(message, settings, &document)
}

fn render(own: Option<&Template>, general: &str, message: &Message, count: u64) -> Result<String, Failure> {
    match own {
        Some(template) => Ok(template.render(message, count)),
        None => {
            let template = Template::try_from(general.to_owned()).map_err(Failure::permanent)?;
            Ok(template.render(message, count))
        }
    }
}

fn store(message: &Message, settings: &Settings, document: &Value) -> Result<(), Failure> {
    let mut writer = Writer::new();
    writer.write(format!("{document}\n").as_bytes())?;
    let key = match &settings.key {
        Some(key) => key.render(message),
        None => MessageTemplate::parse(KEY).map_err(Failure::permanent)?.render(message),
    };
    let document = writer.finish()?;
    effects::store(&settings.sink, key, &document)
        .content_type("application/json")
        .number_on_conflict()
        .queue()?;
    Ok(())
}

fn send(
    message: &Message,
    settings: &Settings,
    to: &[String],
    subject: &str,
    text: &str,
) -> Result<(), Failure> {
    let from = settings.from.as_deref().unwrap_or_default();
    let domain = from.rsplit_once('@').map_or("", |(_, domain)| domain);
    let id: String = message.id().chars().take(32).collect();
    let fields = [
        ("From", from.to_owned()),
        ("To", to.join(",\r\n ")),
        ("Subject", encoded(&one_line(subject))),
        ("Date", message.received().rfc5322()),
        ("Message-ID", format!("<notice.{id}@{domain}>")),
        // RFC 3834 section 5: nobody is to answer it automatically.
        ("Auto-Submitted", "auto-generated".to_owned()),
        (MARK, id),
        ("MIME-Version", "1.0".to_owned()),
        ("Content-Type", "text/plain; charset=utf-8".to_owned()),
        ("Content-Transfer-Encoding", "base64".to_owned()),
    ];
    let mut mail: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    mail.push_str("\r\n");
    for line in text.replace('\n', "\r\n").as_bytes().chunks(BASE64_LINE) {
        mail.push_str(&STANDARD.encode(line));
        mail.push_str("\r\n");
    }
    let mut writer = Writer::new();
    writer.write(mail.as_bytes())?;
    effects::send(&settings.sink, to, &writer.finish()?)?;
    Ok(())
}

/// As it is when that is plain and short, else as encoded words, one a line.
fn encoded(text: &str) -> String {
    if text.len() <= 60 && text.bytes().all(|octet| matches!(octet, b' '..=b'~')) && !text.contains("=?") {
        return text.to_owned();
    }
    let mut words = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (word, after) = rest.split_at(rest.floor_char_boundary(WORD));
        words.push(format!("=?utf-8?B?{}?=", STANDARD.encode(word)));
        rest = after;
    }
    words.join("\r\n ")
}
