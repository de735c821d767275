//! One safe path component out of whatever a sender called an attachment.

use unicode_normalization::{UnicodeNormalization, is_nfc};

use super::key::{is_device, split_extension};
use super::text::{cut, is_hidden};

/// Longest file name in octets. A segment of a key may have 200: the rest is for what a template puts beside it.
const NAME_OCTETS: usize = 180;
/// Shorter, not even an extension and a number would have room.
const LEAST_OCTETS: usize = 16;

/// The file name for an attachment: one path component of at most 180 octets, harmless on every system and in every
/// shell, always a valid [`Key`](super::Key). `name` is the sender's, `content_type` the declared type, and `path` the
/// dotted part path, which name the file when nothing is left of `name`: `part-1.2.pdf`.
///
/// Two different names can give the same file name: the caller numbers them.
pub fn safe_filename(name: Option<&str>, content_type: &str, path: &str) -> String {
    match name.map(|name| clean_filename(name, NAME_OCTETS, 1)) {
        Some(name) if !name.is_empty() => name,
        Some(_) | None => fallback(content_type, path),
    }
}

/// Any name made one path component by the same rule, of at most `octets` octets (held between 16 and 180) and in
/// Unicode's form NFC; empty when nothing is left of it. A `copy` above 1 is numbered: `bill (2).pdf`.
pub fn clean_filename(name: &str, octets: usize, copy: u32) -> String {
    let kept = last_component(name);
    let kept = if is_nfc(&kept) { kept } else { kept.nfc().collect() };
    let name = tidy(&kept);
    if name.is_empty() {
        return String::new();
    }
    let name = undevice(shorten(name, octets.clamp(LEAST_OCTETS, NAME_OCTETS), copy));
    // What is left of a long name may be nothing but what is trimmed.
    if name.starts_with(['.', ' ']) { format!("_{}", name.trim_start_matches(['.', ' '])) } else { name }
}

/// What follows the last separator of either kind, without the characters that could deceive, and with blanks
/// collapsed. Reads only the last 4096 octets: more cannot matter for 180.
fn last_component(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or(name);
    let mut kept = String::new();
    for ch in tail(last, 4096).chars() {
        match ch {
            _ if ch.is_whitespace() => kept.push_str(if kept.ends_with(' ') { "" } else { " " }),
            // A colon separates a drive from a path, and a stream from its file.
            ':' => {}
            '<' | '>' | '"' | '|' | '?' | '*' => kept.push('_'),
            _ if ch.is_control() || is_hidden(ch) => {}
            _ => kept.push(ch),
        }
    }
    kept
}

fn tail(text: &str, octets: usize) -> &str {
    let mut start = text.len().saturating_sub(octets);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    &text[start..]
}

/// Without leading characters that hide a file, look like an option or a home, and trailing ones Windows drops.
fn tidy(name: &str) -> &str {
    name.trim_start_matches(['.', '-', '~', ' ']).trim_end_matches(['.', ' '])
}

/// At most one octet less than allowed, so that there is room for the mark of a device name. An extension that would leave
/// no room for the name is cut as part of it.
fn shorten(name: &str, octets: usize, copy: u32) -> String {
    let number = if copy > 1 { format!(" ({copy})") } else { String::new() };
    if number.is_empty() && name.len() < octets {
        return name.to_owned();
    }
    let room = octets - 1;
    let (stem, extension) = match split_extension(name) {
        (stem, extension) if extension.len() + number.len() < room => (stem, extension),
        _ => (name, ""),
    };
    let stem = cut(stem, room.saturating_sub(extension.len() + number.len())).trim_end_matches(['.', ' ']);
    format!("{stem}{number}{extension}")
}

fn undevice(name: String) -> String {
    if is_device(&name) { format!("_{name}") } else { name }
}

fn fallback(content_type: &str, path: &str) -> String {
    let path: String = path.chars().filter(|ch| ch.is_ascii_digit() || *ch == '.').take(60).collect();
    let path = path.trim_matches('.');
    let extension = extension_of(content_type);
    if path.is_empty() { format!("part.{extension}") } else { format!("part-{path}.{extension}") }
}

/// Types that are common in mail; everything else is `bin`.
fn extension_of(content_type: &str) -> &'static str {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        "text/plain" => "txt",
        "text/html" => "html",
        "text/csv" => "csv",
        "text/calendar" => "ics",
        "text/vcard" | "text/x-vcard" => "vcf",
        "text/xml" | "application/xml" => "xml",
        "message/rfc822" | "message/global" => "eml",
        "message/delivery-status" => "txt",
        "image/jpeg" | "image/jpg" => "jpg",
        "image/png" => "png",
        "image/gif" => "gif",
        "image/webp" => "webp",
        "image/tiff" => "tif",
        "image/bmp" => "bmp",
        "image/heic" => "heic",
        "image/svg+xml" => "svg",
        "audio/mpeg" => "mp3",
        "audio/wav" | "audio/x-wav" => "wav",
        "video/mp4" => "mp4",
        "application/pdf" => "pdf",
        "application/json" => "json",
        "application/zip" | "application/x-zip-compressed" => "zip",
        "application/gzip" | "application/x-gzip" => "gz",
        "application/x-tar" => "tar",
        "application/rtf" | "text/rtf" => "rtf",
        "application/msword" => "doc",
        "application/vnd.ms-excel" => "xls",
        "application/vnd.ms-powerpoint" => "ppt",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document" => "docx",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet" => "xlsx",
        "application/vnd.openxmlformats-officedocument.presentationml.presentation" => "pptx",
        "application/vnd.oasis.opendocument.text" => "odt",
        "application/vnd.oasis.opendocument.spreadsheet" => "ods",
        "application/pgp-signature" => "asc",
        "application/pkcs7-signature" | "application/x-pkcs7-signature" => "p7s",
        "application/pkcs7-mime" | "application/x-pkcs7-mime" => "p7m",
        "application/ms-tnef" | "application/vnd.ms-tnef" => "tnef",
        _ => "bin",
    }
}

#[cfg(test)]
mod tests {
    use super::super::Key;
    use super::*;

    fn safe(name: &str) -> String {
        safe_filename(Some(name), "application/pdf", "1.2")
    }

    #[test]
    fn ordinary_names_stay() {
        for name in
            ["invoice.pdf", "Grüße 2026.pdf", "世界.png", "a.tar.gz", "no extension", "100% (final).docx"]
        {
            assert_eq!(safe(name), name);
        }
    }

    #[test]
    fn hostile_names_become_one_harmless_component() {
        for (name, expected) in [
            ("../../etc/passwd", "passwd"),
            ("..\\..\\x.exe", "x.exe"),
            ("C:\\Windows\\x.dll", "x.dll"),
            ("C:x.txt", "Cx.txt"),
            ("\\\\host\\share\\y", "y"),
            ("a.txt:stream", "a.txtstream"),
            ("a\0b\r\nc.txt", "ab c.txt"),
            ("a\t \u{a0} b.txt", "a b.txt"),
            ("x\u{202e}gpj.exe", "xgpj.exe"),
            ("x\u{200b}\u{feff}y", "xy"),
            ("name. . .", "name"),
            (".bashrc", "bashrc"),
            ("-rf", "rf"),
            ("~root", "root"),
            ("-.~ x", "x"),
            ("con", "_con"),
            ("NUL.txt", "_NUL.txt"),
            ("com1.tar.gz", "_com1.tar.gz"),
            ("a<b>|\"c?*.txt", "a_b___c__.txt"),
            ("%2e%2e%2fx", "%2e%2e%2fx"),
        ] {
            assert_eq!(safe(name), expected, "{name:?}");
        }
    }

    #[test]
    fn a_name_with_nothing_left_is_named_after_its_part() {
        for name in ["", ".", "..", "...", "/", "a/", "a\\", "../..", "\0", "\u{202e}", " ", "-", "::", "~~"]
        {
            assert_eq!(safe(name), "part-1.2.pdf", "{name:?}");
        }
        assert_eq!(safe_filename(None, "Message/RFC822; x=y", "1"), "part-1.eml");
        assert_eq!(safe_filename(None, "x/y", ""), "part.bin");
        assert_eq!(safe_filename(None, "x/y", "../1/2\n"), "part-12.bin");
    }

    #[test]
    fn long_names_keep_their_extension_and_end_between_characters() {
        for unit in ["a", "ä", "世", "😀"] {
            let name = safe(&format!("{}.pdf", unit.repeat(1000)));
            assert!(name.len() <= 180 && name.len() > 170 && name.ends_with(".pdf"), "{name}");
        }
        let compressed = safe(&format!("{}.tar.gz", "a".repeat(4096)));
        assert!(compressed.len() <= 180 && compressed.ends_with(".tar.gz"));
        assert!(safe(&"a".repeat(4096)).len() <= 180);
    }

    /// Sequences of up to four of the pieces that have ever made trouble, and long ones.
    #[test]
    fn the_result_is_always_one_valid_key_segment() {
        let pieces = [
            "",
            "a",
            ".",
            "..",
            "/",
            "\\",
            " ",
            ":",
            "CON",
            "nul",
            "COM1",
            "-",
            "~",
            "\0",
            "\n",
            "\u{202e}",
            "\u{200b}",
            "ä",
            "世",
            ".gz",
            ".tar",
            "\u{301}",
            "\u{e0001}",
            "%2f",
            "\u{fffd}",
            "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        ];
        let check = |name: &str| {
            let safe = safe_filename(Some(name), "application/pdf", "1.2");
            assert!(!safe.contains('/') && safe.len() <= 180, "{name:?} -> {safe:?}");
            assert!(Key::new(safe.as_str()).is_ok(), "{name:?} -> {safe:?}");
            assert!(!safe.starts_with(['.', '-', '~']), "{name:?} -> {safe:?}");
        };
        for a in pieces {
            for b in pieces {
                for c in pieces {
                    for d in ["", "x", ".", " ", ".gz", "/", "\u{202e}"] {
                        check(&[a, b, c, d].concat());
                    }
                    check(&format!("{}{}{}", a.repeat(50), b.repeat(40), c.repeat(45)));
                }
            }
        }
    }
}
