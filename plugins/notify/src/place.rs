//! Whom a notice goes to, and which messages are never told of.

use postroom_sdk::{Message, Problem};

use crate::{Form, Settings};

/// Marks a notice, with the id of a message it tells of.
pub(crate) const MARK: &str = "X-Postroom-Notice";
/// Fields that say whose message it is.
const SENDERS: [&str; 4] = ["from", "sender", "reply-to", "return-path"];

/// Settings that do not fit together.
pub(crate) fn check(settings: &Settings) -> Result<(), Problem> {
    match (settings.form, &settings.from) {
        (Form::Mail, None) => {
            Err(Problem::new("from", "as = \"mail\" needs the address that notices are from"))
        }
        (Form::Mail, Some(from)) if settings.to.is_empty() => {
            Err(Problem::new("to", format!("must name at least one address to tell, from {from}")))
        }
        (Form::Mail, Some(from)) => {
            address(from).map_err(|text| Problem::new("from", text))?;
            let wrong = settings.to.iter().map(|to| address(to)).enumerate();
            let wrong = wrong.filter_map(|(index, result)| Some((index, result.err()?))).next();
            match (wrong, &settings.key) {
                (Some((index, text)), _) => Err(Problem::new(&format!("to[{index}]"), text)),
                (None, Some(_)) => Err(Problem::new("key", "only as = \"json\" has a key")),
                (None, None) => Ok(()),
            }
        }
        (Form::Json, Some(_)) => Err(Problem::new("from", "only as = \"mail\" has a from")),
        (Form::Json, None) if !settings.to.is_empty() => {
            Err(Problem::new("to", "only as = \"mail\" has recipients"))
        }
        (Form::Json, None) if settings.subject.is_some() || settings.text.is_some() => {
            Err(Problem::new("subject", "only as = \"mail\" has a subject and a text"))
        }
        (Form::Json, None) => Ok(()),
    }
}

fn address(text: &str) -> Result<(), String> {
    let plain = |ch: char| ch.is_ascii_graphic() && !"<>,;:\"()[]\\".contains(ch);
    let is_one = text.chars().all(plain)
        && text
            .split_once('@')
            .is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty() && !domain.contains('@'));
    match is_one {
        true => Ok(()),
        false => Err(format!("\"{}\" is no bare address like me@example.org", text.escape_debug())),
    }
}

/// Those to tell who did not send the message themselves.
pub(crate) fn recipients(message: &Message, settings: &Settings) -> Vec<String> {
    let senders: Vec<String> = SENDERS
        .iter()
        .flat_map(|field| message.addresses(field))
        .map(|address| address.email.to_lowercase())
        .collect();
    settings.to.iter().filter(|to| !senders.contains(&to.to_lowercase())).cloned().collect()
}

/// Why nobody is told of a message, whatever the settings say.
pub(crate) fn untold(message: &Message) -> Option<&'static str> {
    if !message.header_raw(MARK).is_empty() {
        return Some("it is a notice");
    }
    let path = message.header_raw("return-path").into_iter().next();
    if path.is_some_and(|path| path.iter().filter(|octet| !octet.is_ascii_whitespace()).eq(b"<>")) {
        return Some("a bounce: its Return-Path is <>");
    }
    // RFC 3834 section 5: a reply to a notice, such as of somebody on holiday.
    let submitted = message.header("auto-submitted").unwrap_or_default();
    let keyword = submitted.split(';').next().unwrap_or_default().trim();
    keyword.eq_ignore_ascii_case("auto-replied").then_some("an automatic reply")
}
