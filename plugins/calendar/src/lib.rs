//! Stores the calendar objects of a message (RFC 5545, 6047), each as it is and with what it says as JSON beside it.
//!
//! All leaves of the message are looked at, also those inside the text where programs put invitations. The JSON is read
//! leniently from what anybody may have sent: it says what the file says, checks nobody's identity and computes no time.

mod line;
mod object;
mod time;

use postroom_sdk::glob::Glob;
use postroom_sdk::prelude::*;
use serde::Deserialize;

use crate::object::Calendar;

/// The plugin.
#[derive(Debug)]
pub struct CalendarFiles;

/// What the operator sets.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where to: an object sink.
    pub sink: String,
    /// The key of each file, without its ending.
    #[schemars(extend("default" = KEY))]
    pub key: Option<PartTemplate>,
    /// Methods that are wanted, such as "REQUEST" and "CANCEL"; all unless some are named.
    pub methods: Option<Vec<Glob>>,
    /// Whether the file itself is stored.
    #[serde(default = "yes")]
    pub ics: bool,
    /// Whether the JSON is stored.
    #[serde(default = "yes")]
    pub json: bool,
    /// Set on a message that has a wanted one.
    pub label: Option<String>,
    /// Largest calendar object.
    #[serde(default = "largest")]
    #[schemars(extend("default" = "256 KiB"))]
    pub max_size: Size,
}

fn yes() -> bool {
    true
}

fn largest() -> Size {
    Size(256 << 10)
}

/// Names alone would collide: every invitation is called invite.ics.
const KEY: &str = "{account}/{date:%Y-%m}/{content_sha256:12}-{filename}";
/// Most that `max_size` may say.
const MOST: Size = Size(1 << 20);
/// Calendar objects of one message that are looked at.
const OBJECTS: usize = 32;

impl Plugin for CalendarFiles {
    type Settings = Settings;
    const NAME: &'static str = "calendar";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const DESCRIPTION: &'static str =
        "Stores invitations and other calendar objects, and what they say as JSON";

    fn check(settings: &Settings) -> Result<(), Problem> {
        if !settings.ics && !settings.json {
            return Err(Problem::new("json", "ics and json are both false: nothing would be stored"));
        }
        if settings.max_size > MOST {
            return Err(Problem::new("max_size", format!("{} is more than {MOST}", settings.max_size)));
        }
        Ok(())
    }

    fn handle(message: &Message, settings: &Settings) -> Result<(), Failure> {
        let mut seen: Vec<String> = Vec::new();
        let parts = message.parts().into_iter().filter(is_calendar);
        for part in parts {
            // Most invitations are in a mail twice: inside the text and as a file.
            let content = part.content()?;
            let digest = content.sha256();
            let skip = if seen.contains(&digest) {
                Some("the same is in this message before")
            } else if seen.len() >= OBJECTS {
                Some("there are too many in this message")
            } else if content.size() > settings.max_size.0 {
                Some("it is larger than max_size")
            } else {
                None
            };
            if let Some(reason) = skip {
                log::info("skipped", &[("part", &part.path()), ("reason", &reason)]);
                continue;
            }
            seen.push(digest);
            take(message, &part, &content, settings)?;
        }
        Ok(())
    }
}

/// By its declared type, or by its name: some programs declare every file application/octet-stream.
fn is_calendar(part: &Part) -> bool {
    matches!(part.content_type().as_str(), "text/calendar" | "application/ics")
        || part.filename().is_some_and(|name| name.trim_end().to_ascii_lowercase().ends_with(".ics"))
}

fn take(message: &Message, part: &Part, content: &Blob, settings: &Settings) -> Result<(), Failure> {
    let path = part.path();
    let octets = content.read_all(settings.max_size.0)?;
    let Some(calendar) = Calendar::read(&line::text(&octets)) else {
        log::warn(
            "skipped",
            &[("part", &path), ("reason", &"it is no calendar object: there is no VCALENDAR")],
        );
        return Ok(());
    };
    let method = calendar.method().unwrap_or("PUBLISH").to_owned();
    if settings.methods.as_ref().is_some_and(|wanted| !wanted.iter().any(|glob| glob.matches(&method))) {
        log::info(
            "skipped",
            &[("part", &path), ("reason", &"methods does not name its method"), ("method", &method)],
        );
        return Ok(());
    }
    let key = match &settings.key {
        Some(key) => key.render(message, part)?,
        None => PartTemplate::parse(KEY).map_err(Failure::permanent)?.render(message, part)?,
    };
    let key = without_ending(&key);
    if settings.ics {
        store(message, settings, format!("{key}.ics"), content, "text/calendar", &path)?;
    }
    if settings.json {
        let mut writer = Writer::new();
        writer.write(format!("{:#}\n", calendar.json()).as_bytes())?;
        store(message, settings, format!("{key}.json"), &writer.finish()?, "application/json", &path)?;
    }
    if let Some(label) = &settings.label {
        effects::label(label)?;
    }
    log::info("stored", &[("part", &path), ("method", &method), ("key", &key), ("entries", &calendar.len())]);
    Ok(())
}

fn store(
    message: &Message,
    settings: &Settings,
    key: String,
    content: &Blob,
    content_type: &str,
    path: &str,
) -> Result<(), Fault> {
    let storing =
        effects::store(&settings.sink, key, content).content_type(content_type).number_on_conflict();
    storing.meta("message", message.id()).meta("part", path).queue().map(drop)
}

/// The name may end in .ics already, and the template may add one too.
fn without_ending(key: &str) -> &str {
    let (directory, name) = key.rsplit_once('/').map_or(("", key), |(directory, name)| (directory, name));
    let is_ending = |name: &str| {
        name.len() > 4
            && name.is_char_boundary(name.len() - 4)
            && name[name.len() - 4..].eq_ignore_ascii_case(".ics")
    };
    let kept = if is_ending(name) { &name[..name.len() - 4] } else { name };
    let end = if directory.is_empty() { kept.len() } else { directory.len() + 1 + kept.len() };
    key[..end].trim_end_matches(['.', ' '])
}

postroom_sdk::export!(CalendarFiles);

#[cfg(test)]
mod tests;
