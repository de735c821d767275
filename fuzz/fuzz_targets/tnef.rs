//! TNEF: every place lies inside, and RTF gives no more than is allowed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use postroom_plugin_attachments::tnef;

fuzz_target!(|data: &[u8]| {
    let octets = [&tnef::MAGIC[..], data].concat();
    let Some(found) = tnef::read(&octets) else { return };
    let places = found.files.iter().map(|file| &file.data).chain(&found.html).chain(&found.rtf);
    for place in places {
        assert!(octets.get(place.clone()).is_some(), "{place:?} of {}", octets.len());
    }
    if let Some(calendar) = found.calendar("x") {
        assert!(calendar.lines().all(|line| line.contains(':')), "{calendar:?}");
    }
    if let Some(rtf) = tnef::rtf(data, 1000) {
        assert!(rtf.len() <= 1000);
    }
});
