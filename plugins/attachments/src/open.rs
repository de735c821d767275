//! Taking out what stands inside of a thing. Which kind of container it is costs a look at its type and name, and at its first
//! octets only where these say nothing.

use postroom_mime::words;
use postroom_sdk::prelude::*;

use crate::extract::Room;
use crate::flag::Flag;
use crate::item::{Item, Role, Source};
use crate::settings::{Expanded, Opened, Settings};
use crate::{nested, smime, tnef, uuencode, zip};

/// Largest container that is opened: it is read into the plugin's memory.
const LARGEST: u64 = 16 << 20;

/// The line that begins an encrypted text, RFC 9580 section 6.2.
const PGP_MESSAGE: &[u8] = b"-----BEGIN PGP MESSAGE-----";

/// What was in a container.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    pub(crate) items: Vec<Item>,
    /// Why not everything was taken out.
    pub(crate) missing: Option<String>,
    /// Worth keeping beside what was in it.
    pub(crate) keep: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Container {
    Tnef,
    Text,
    Message,
    Smime,
    Zip,
}

/// What is inside of a thing; `None`: it is no container, or is not to be opened.
pub(crate) fn open(item: &mut Item, settings: &Settings, room: &mut Room) -> Result<Option<Contents>, Fault> {
    let Some(container) = container(item, settings) else { return Ok(None) };
    if item.depth >= settings.budget.depth {
        item.flag(Flag::Unopened);
        return Ok(Some(Contents {
            missing: Some("it is deeper than budget.depth".to_owned()),
            ..Contents::default()
        }));
    }
    let Some(octets) = item.all(LARGEST)? else {
        item.flag(Flag::Unopened);
        let missing = format!("{} octets are more than can be opened, {LARGEST}", item.size());
        return Ok(Some(Contents { missing: Some(missing), ..Contents::default() }));
    };
    let contents = match container {
        Container::Tnef => of_tnef(item, &octets, room)?,
        Container::Text => of_text(item, &octets, room),
        Container::Message => of_message(item, &octets, room)?,
        Container::Smime => of_smime(item, &octets, room)?,
        Container::Zip => of_zip(item, &octets, room),
    };
    if contents.as_ref().is_some_and(|contents| !contents.items.is_empty()) {
        item.flag(Flag::Opened);
    }
    Ok(contents)
}

fn container(item: &Item, settings: &Settings) -> Option<Container> {
    let opens = |kind| settings.open.contains(&kind);
    if item.role != Role::File {
        let is_plain = item.role == Role::Text && item.declared == "text/plain";
        return (is_plain && opens(Opened::Uuencode)).then_some(Container::Text);
    }
    let extension = |name: &str| name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
    let found = match item.declared.as_str() {
        "application/ms-tnef" | "application/vnd.ms-tnef" => Some(Container::Tnef),
        "application/pkcs7-mime" | "application/x-pkcs7-mime" => Some(Container::Smime),
        "message/rfc822" | "message/global" => (!item.is_listed).then_some(Container::Message),
        declared if declared.starts_with("application/") && declared != "application/pdf" => {
            let name = item.name().unwrap_or_default();
            match extension(&name).as_deref() {
                _ if name.eq_ignore_ascii_case("winmail.dat") => Some(Container::Tnef),
                Some("tnef") => Some(Container::Tnef),
                Some("p7m") => Some(Container::Smime),
                Some("zip") => Some(Container::Zip),
                _ => by_content(item),
            }
        }
        "text/plain" if item.head().starts_with(b"begin ") => Some(Container::Text),
        _ => None,
    };
    found.filter(|container| match container {
        Container::Tnef => opens(Opened::Tnef),
        Container::Text => opens(Opened::Uuencode),
        Container::Message => opens(Opened::Nested),
        Container::Smime => opens(Opened::Smime),
        // Documents are archives too, and are not to be taken apart.
        Container::Zip => settings.expand.contains(&Expanded::Zip) && !is_document(item),
    })
}

/// By what the first file in the archive is called: the formats say which it has to be, or which it may be.
fn is_document(item: &Item) -> bool {
    const FIRST: [&[u8]; 9] = [
        b"[Content_Types]",
        b"mimetype",
        b"_rels/",
        b"docProps/",
        b"word/",
        b"xl/",
        b"ppt/",
        b"META-INF/",
        b"AndroidManifest",
    ];
    let first = item.head().get(30..).unwrap_or_default();
    FIRST.iter().any(|name| first.starts_with(name))
}

fn by_content(item: &Item) -> Option<Container> {
    match item.head() {
        head if head.starts_with(&tnef::MAGIC) => Some(Container::Tnef),
        head if head.starts_with(b"PK\x03\x04") => Some(Container::Zip),
        head if head.starts_with(b"begin ") || head.starts_with(b"=ybegin ") => Some(Container::Text),
        _ => None,
    }
}

fn view(item: &Item, octets: &[u8], range: std::ops::Range<usize>) -> Result<Source, Fault> {
    match item.blob()? {
        Some(blob) => blob.slice(range.start as u64, range.len() as u64).map(Source::Blob),
        None => Ok(Source::Octets(octets.get(range).unwrap_or_default().to_vec())),
    }
}

fn of_tnef(item: &mut Item, octets: &[u8], room: &mut Room) -> Result<Option<Contents>, Fault> {
    let Some(found) = tnef::read(octets) else {
        item.flag(Flag::Unopened);
        return Ok(Some(Contents { missing: Some("it is no TNEF".to_owned()), ..Contents::default() }));
    };
    let mut items = Vec::new();
    let mut add = |source, name: Option<String>, declared: &str, role| {
        let path = format!("{}+{}", item.path, items.len() + 1);
        let raw = name.clone().unwrap_or_default();
        let mut inner = Item::new(path, source, item.depth + 1).named(name, raw.as_bytes()).typed(declared);
        inner.role = role;
        inner.flag(Flag::Nested);
        items.push(inner);
    };
    // The same text in several forms: the richest one that needs nothing but a look is enough.
    if let Some(html) = found.html.clone() {
        add(view(item, octets, html)?, Some("body.html".to_owned()), "text/html", Role::Body);
    } else if let Some(rtf) = found.rtf.clone().and_then(|range| tnef::rtf(octets.get(range)?, room.left())) {
        room.octets -= rtf.len() as u64;
        add(Source::Octets(rtf), Some("body.rtf".to_owned()), "application/rtf", Role::Body);
    } else if let Some(text) = &found.text {
        add(Source::Octets(text.clone().into_bytes()), Some("body.txt".to_owned()), "text/plain", Role::Body);
    }
    let uid = format!("{:016x}@tnef.invalid", fnv(octets));
    if let Some(calendar) = found.calendar(&uid) {
        add(
            Source::Octets(calendar.into_bytes()),
            Some("invitation.ics".to_owned()),
            "text/calendar",
            Role::File,
        );
    }
    for file in &found.files {
        let declared = match (&file.content_type, file.is_message) {
            (_, true) => "application/ms-tnef",
            (Some(declared), false) => declared.as_str(),
            (None, false) => "application/octet-stream",
        };
        let name = match (&file.name, file.is_message) {
            (Some(name), true) => Some(format!("{name}.tnef")),
            (name, _) => name.clone(),
        };
        add(view(item, octets, file.data.clone())?, name, declared, Role::File);
    }
    for (inner, file) in items.iter_mut().rev().zip(found.files.iter().rev()) {
        inner.content_id.clone_from(&file.content_id);
    }
    if found.damaged {
        item.flag(Flag::Damaged);
    }
    Ok(Some(Contents { items, missing: None, keep: found.damaged }))
}

/// FNV-1a: tells invitations apart, and means nothing.
fn fnv(octets: &[u8]) -> u64 {
    octets
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, octet| (hash ^ u64::from(*octet)).wrapping_mul(0x0100_0000_01b3))
}

fn of_text(item: &mut Item, octets: &[u8], room: &mut Room) -> Option<Contents> {
    if octets.split(|octet| *octet == b'\n').any(|line| line.trim_ascii_end() == PGP_MESSAGE) {
        item.flag(Flag::Encrypted);
    }
    let files = uuencode::files(octets, room.parts, room.left());
    if files.is_empty() {
        return None;
    }
    let mut missing = None;
    let mut items = Vec::new();
    for (index, file) in files.into_iter().enumerate() {
        room.octets -= (file.octets.len() as u64).min(room.octets);
        if file.truncated {
            missing = Some("a file in it is over budget.octets".to_owned());
        }
        let path = format!("{}+{}", item.path, index + 1);
        let inner = Item::new(path, Source::Octets(file.octets), item.depth + 1)
            .named(Some(words::decode(&file.name)), &file.name)
            .flagged(Flag::Nested, true)
            .flagged(Flag::Damaged, file.damaged)
            .flagged(Flag::Truncated, file.truncated);
        items.push(inner);
    }
    Some(Contents { items, missing, keep: false })
}

fn of_message(item: &mut Item, octets: &[u8], room: &mut Room) -> Result<Option<Contents>, Fault> {
    let (items, more) =
        nested::parts(octets, item.blob()?, &item.path, item.depth + 1, room.parts, &mut room.octets)?;
    let missing = more.then(|| "it has more parts than are looked at".to_owned());
    // A message is a file of its own.
    Ok(Some(Contents { items, missing, keep: true }))
}

fn of_smime(item: &mut Item, octets: &[u8], room: &mut Room) -> Result<Option<Contents>, Fault> {
    let pieces = match smime::read(octets) {
        Some(smime::Cms::Signed(pieces)) => pieces,
        Some(smime::Cms::Enveloped) => {
            item.flag(Flag::Encrypted);
            return Ok(None);
        }
        Some(smime::Cms::Compressed | smime::Cms::Other) => {
            item.flag(Flag::Unopened);
            return Ok(None);
        }
        None => {
            item.flag(Flag::Unopened);
            let missing = Some("it is no S/MIME, or is damaged".to_owned());
            return Ok(Some(Contents { missing, ..Contents::default() }));
        }
    };
    item.flag(Flag::Signed);
    if pieces.is_empty() {
        return Ok(None);
    }
    let whole = match (&pieces[..], item.blob()?) {
        ([piece], Some(blob)) => Some(blob.slice(piece.start as u64, piece.len() as u64)?),
        (_, _) => None,
    };
    let inside: Vec<u8> =
        pieces.into_iter().flat_map(|piece| octets.get(piece).unwrap_or_default()).copied().collect();
    let (items, more) =
        nested::parts(&inside, whole.as_ref(), &item.path, item.depth + 1, room.parts, &mut room.octets)?;
    let missing = more.then(|| "it has more parts than are looked at".to_owned());
    Ok(Some(Contents { items, missing, keep: false }))
}

fn of_zip(item: &mut Item, octets: &[u8], room: &mut Room) -> Option<Contents> {
    let (entries, more) = match zip::entries(octets, room.parts) {
        Ok(found) => found,
        Err(refused) => {
            item.flag(Flag::Unopened);
            let missing = match refused {
                zip::Refused::Damaged => {
                    item.flag(Flag::Damaged);
                    "the archive is damaged"
                }
                zip::Refused::Overlap => {
                    item.flag(Flag::Bomb);
                    "files in the archive share octets"
                }
                zip::Refused::Zip64 => "the archive is of the form ZIP64",
            };
            return Some(Contents { missing: Some(missing.to_owned()), ..Contents::default() });
        }
    };
    let mut missing = more.then(|| "it has more files than are looked at".to_owned());
    let mut items = Vec::new();
    for (index, entry) in entries.iter().enumerate().filter(|(_, entry)| entry.kind != zip::Kind::Directory) {
        let (source, flag) = of_entry(entry, octets, room);
        if let Source::None(reason) = &source {
            missing.get_or_insert_with(|| format!("a file in it: {reason}"));
        }
        let path = format!("{}+{}", item.path, index + 1);
        let mut inner =
            Item::new(path, source, item.depth + 1).named(Some(words::text(&entry.name, None)), &entry.name);
        inner.flag(Flag::Nested);
        flag.into_iter().for_each(|flag| inner.flag(flag));
        items.push(inner);
    }
    Some(Contents { items, missing, keep: false })
}

fn of_entry(entry: &zip::Entry, octets: &[u8], room: &mut Room) -> (Source, Option<Flag>) {
    let none = |reason: &str| Source::None(reason.to_owned());
    if entry.encrypted {
        return (none("it needs a password"), Some(Flag::Encrypted));
    }
    if entry.kind == zip::Kind::Special {
        return (none("a link, or no file"), Some(Flag::Special));
    }
    match entry.open(octets, room.left()) {
        Ok(file) => {
            room.octets -= file.len() as u64;
            (Source::Octets(file), None)
        }
        Err(zip::Failed::Damaged) => (none("its octets are damaged"), Some(Flag::Damaged)),
        Err(zip::Failed::TooLarge) => (none("it is over budget.octets"), Some(Flag::Truncated)),
        Err(zip::Failed::Ratio) => {
            // What a bomb cost is spent, so that many small ones cost no more than one.
            room.octets -= room.octets.min(zip::FREE as u64);
            (none("more comes out of it than any file gives"), Some(Flag::Bomb))
        }
        Err(zip::Failed::Method(method)) => {
            (none(&format!("compressed by method {method}")), Some(Flag::Unopened))
        }
    }
}
