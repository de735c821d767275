//! Archives: no more entries and no more octets than are allowed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use postroom_plugin_attachments::zip;

fuzz_target!(|data: (u8, u16, &[u8])| {
    let (most_entries, most, octets) = data;
    let Ok((entries, _)) = zip::entries(octets, usize::from(most_entries)) else { return };
    assert!(entries.len() <= usize::from(most_entries));
    for entry in entries {
        if let Ok(file) = entry.open(octets, usize::from(most)) {
            assert!(file.len() <= usize::from(most));
        }
    }
});
