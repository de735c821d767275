//! Owns what of a line of the configuration may be shown: whatever might be a secret is not, however it is misspelt.

use super::diagnose::nearest;
use super::sources::KeyPath;

/// Whether a value may be shown: it stands where the configuration has a value of its own, and none for secrets or plugins.
pub(super) fn is_showable(path: &KeyPath) -> bool {
    const NESTED: [&str; 9] =
        ["first", "poll", "silence", "delete", "when", "on_error", "limits", "grants", "breaker"];
    let above = match path.first().map(String::as_str) {
        Some("pipelines") if path.get(2).is_some_and(|key| key == "steps") => 4,
        Some("accounts" | "sinks" | "fetch" | "registries" | "pipelines") => 2,
        Some("limits" | "log") => 1,
        _ => 0,
    };
    let Some([first, rest @ ..]) = path.get(above..) else { return false };
    let expected = rest.is_empty() || NESTED.contains(&first.as_str()) || above == 2 && first == "accounts";
    expected
        && !["settings", "shadow_settings", "oauth2", "proxy", "url", "headers", "bearer"]
            .contains(&first.as_str())
        && !sounds_secret(first)
}

/// Whether a word in a line says that what follows may be a secret.
fn sounds_secret(word: &str) -> bool {
    const SIGNS: [&str; 9] = ["pas", "secret", "token", "key", "login", "cred", "pw", "pin", "pa$$"];
    let word = word.to_ascii_lowercase();
    let known = word == "ca_file" || word.starts_with("pipeline");
    !known
        && (SIGNS.iter().any(|sign| word.contains(sign))
            || nearest(&word, &["password", "secret_key", "access_key"]).is_some())
}

/// As much of a line as surely holds no secret, and whether something was cut off: up to the first key that is not known to
/// be harmless, or the first word that sounds like a secret.
pub(super) fn up_to_secret(line: &str) -> (&str, bool) {
    const HARMLESS: [&str; 60] = [
        "host",
        "port",
        "tls",
        "user",
        "auth",
        "ca_file",
        "poll",
        "timeout",
        "pipeline",
        "enabled",
        "delete",
        "type",
        "path",
        "bucket",
        "prefix",
        "region",
        "from",
        "hello",
        "socket",
        "create",
        "internal_date",
        "namespace",
        "accounts",
        "name",
        "plugin",
        "sha256",
        "grants",
        "sinks",
        "discard",
        "kv",
        "fetch",
        "entropy",
        "methods",
        "private",
        "max_response",
        "required",
        "when",
        "on_error",
        "limits",
        "breaker",
        "shadow",
        "shadow_sha256",
        "shadow_settings",
        "level",
        "format",
        "settings",
        "provider",
        "first",
        "renumbered",
        "pipelining",
        "utf8",
        "silence",
        "never_delete",
        "tls_minimum",
        "sessions",
        "sessions_per_host",
        "free_space",
        "spool",
        "waiting",
        "in_flight",
    ];
    let is_word = |ch: char| ch.is_alphanumeric() || "_-$".contains(ch);
    // A line that begins with anything but a key goes on with a list or a text, which may be a command's arguments.
    if line.contains('=') && !line.trim_start().starts_with('[') && !begins_with_key(line.trim_start()) {
        return ("", true);
    }
    let before_sign = line.find('=').unwrap_or(line.len());
    if !line.trim_start().starts_with('[') && before_sign == line.len() {
        let end = line.trim_end().find(char::is_whitespace).unwrap_or(line.len());
        return if HARMLESS.contains(&&line[..end]) { (&line[..end], end < line.len()) } else { ("", true) };
    }
    let mut start = 0;
    while let Some(first) = line[start..].find(is_word).map(|first| start + first) {
        let end = line[first..].find(|ch| !is_word(ch)).map_or(line.len(), |length| first + length);
        let word = &line[first..end];
        let is_key = line[end..].trim_start().starts_with('=');
        if sounds_secret(word) || is_key && !HARMLESS.contains(&word) {
            return (&line[..end], end < line.len());
        }
        start = end;
    }
    // A sign without a word before it: nothing is known of what follows.
    let odd = line.match_indices('=').find(|(at, _)| !line[..*at].trim_end().ends_with(is_word));
    odd.map_or((line, false), |(at, _)| (&line[..at], true))
}

/// Whether a line begins with a key, bare or quoted, and its `=`.
fn begins_with_key(line: &str) -> bool {
    let after = match line.chars().next() {
        Some(quote @ ('"' | '\'')) => line[1..].split_once(quote).map(|(_, after)| after),
        _ => Some(line.trim_start_matches(|ch: char| ch.is_alphanumeric() || "-_.$".contains(ch))),
    };
    after.is_some_and(|after| after.trim_start().starts_with('='))
}
