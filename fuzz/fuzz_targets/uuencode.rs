//! Files in a text: no more of them and no more octets than are allowed, or than lines of that many octets can mean.
#![no_main]

use libfuzzer_sys::fuzz_target;
use postroom_plugin_attachments::uuencode;

/// What a line of one octet can mean: blanks at its end are lost on the way, and stand for zeros.
const MOST_OF_A_LINE: usize = 63;

fuzz_target!(|data: (u8, u16, &[u8])| {
    let (most_files, most, text) = data;
    let found = uuencode::files(text, usize::from(most_files), usize::from(most));
    assert!(found.len() <= usize::from(most_files));
    let octets: usize = found.iter().map(|file| file.octets.len()).sum();
    assert!(octets <= usize::from(most) && octets <= text.len() * MOST_OF_A_LINE);
    assert!(found.iter().all(|file| !file.name.is_empty() || text.starts_with(b"=ybegin") || text.contains(&b'=')));
});
