//! File names out of two header fields: decoding ends, and what the host makes of any name is one safe component.
#![no_main]

use libfuzzer_sys::fuzz_target;
use postroom_mail::Key;
use postroom_mail::rules::clean_filename;
use postroom_mime::names;

fuzz_target!(|data: (&[u8], &[u8], u8, u32)| {
    let (disposition, content_type, octets, copy) = data;
    let Some(name) = names::of(disposition, content_type) else { return };
    assert!(!name.text.trim().is_empty());
    let octets = usize::from(octets);
    let clean = clean_filename(&name.text, octets, copy);
    if clean.is_empty() {
        return;
    }
    assert!(clean.len() <= octets.clamp(16, 180), "{clean:?}");
    assert!(!clean.contains(['/', '\\', ':', '\0']) && !clean.starts_with(['.', '-', '~']), "{clean:?}");
    assert!(Key::new(clean.as_str()).is_ok(), "{clean:?}");
    assert_eq!(clean_filename(&clean, 180, 1), clean, "cleaning twice changes nothing");
});
