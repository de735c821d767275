//! LIST and UIDL: bounded, the same at every split, equal ids told apart.
#![no_main]

use std::collections::BTreeSet;

use libfuzzer_sys::fuzz_target;
use postroom_fuzz::{Wire, open};
use postroom_pop3::UniqueId;
use postroom_pop3::listing::join;

fuzz_target!(|data: (u8, Vec<u8>, Vec<u8>)| {
    let (size, list, uidl) = data;
    // A line that is a dot would end the reply early; here it ends where the target says.
    let reply = |rows: &[u8]| {
        let rows: Vec<u8> = rows
            .split(|&octet| octet == b'\n')
            .filter(|row| !matches!(row, [b'.'] | [b'.', b'\r']))
            .flat_map(|row| [row, b"\n"].concat())
            .collect();
        [b"+OK\r\n", rows.as_slice(), b".\r\n"].concat()
    };
    let (list, uidl) = (reply(&list), reply(&uidl));
    let read = |size: usize| {
        let (session, sizes) = Wire::new(&list, size).drive(open().list()).ok()?;
        let (_, ids) = Wire::new(&uidl, size).drive(session.uidl()).ok()?;
        Some((sizes.unwrap(), ids.unwrap()))
    };
    let whole = read(0);
    assert_eq!(whole, read(1));
    assert_eq!(whole, read(usize::from(size)));
    let Some((sizes, ids)) = whole else { return };
    let joined = join(&sizes, &ids);
    let mut seen = BTreeSet::new();
    for entry in &joined.entries {
        assert!((1..=UniqueId::LIMIT).contains(&entry.uid.as_bytes().len()));
        assert!(seen.insert((entry.uid.clone(), entry.ordinal)), "two entries are one");
        assert!(!entry.uid.to_string().chars().any(char::is_control));
    }
    assert!(joined.entries.len() + joined.without_id.len() <= sizes.sizes().count());
    if joined.complete {
        assert_eq!(joined.entries.len(), ids.ids().count());
    }
});
