//! CMS: every piece of signed content lies inside, and none is there twice.
#![no_main]

use libfuzzer_sys::fuzz_target;
use postroom_plugin_attachments::smime::{Cms, read};

fuzz_target!(|data: &[u8]| {
    if let Some(Cms::Signed(pieces)) = read(data) {
        assert!(pieces.iter().all(|piece| data.get(piece.clone()).is_some()));
        assert!(pieces.windows(2).all(|pair| pair[0].end <= pair[1].start));
    }
});
