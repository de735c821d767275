//! Greeting and CAPA: every split gives the same, texts are printable, success needs `+OK`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use postroom_fuzz::Wire;
use postroom_pop3::{Channel, Session};

fn outcome(octets: &[u8], capa: &[u8], size: usize) -> String {
    let mut wire = Wire::new(octets, size);
    let session = match wire.drive(Session::new(Channel::Tls).greeting()) {
        Ok(Ok(session)) => {
            assert!(octets.len() >= 4 && octets[..3].eq_ignore_ascii_case(b"+OK"));
            session
        }
        Ok(Err(rejection)) => return format!("{rejection} {:?}", rejection.class()),
        // How much surplus is seen depends on the split.
        Err(error) => return format!("{:?}", std::mem::discriminant(&error)),
    };
    let banner = session.banner().to_owned();
    assert!(!banner.chars().any(char::is_control));
    let timestamp = session.apop_timestamp().map(<[u8]>::to_vec);
    let capa = match Wire::new(capa, size).drive(session.capa()) {
        Ok((_, capabilities)) => format!("{capabilities:?}"),
        Err(error) => format!("{:?}", std::mem::discriminant(&error)),
    };
    format!("{banner} {timestamp:?} {capa}")
}

fuzz_target!(|data: (usize, Vec<u8>, Vec<u8>)| {
    let (size, greeting, capa) = data;
    // The surplus check sees only what has arrived, so a greeting is one line here.
    let end = greeting.iter().position(|&octet| octet == b'\n').map_or(greeting.len(), |at| at + 1);
    let greeting = &greeting[..end];
    // CAPA alone, its surplus cut off the same way for all splits: the dot line ends it.
    let whole = outcome(greeting, &capa, 0);
    for size in [1, size % 64] {
        let other = outcome(greeting, &capa, size);
        // A surplus behind the dot is an error when it has arrived and unseen when it has not.
        let surplus = capa.windows(2).any(|pair| pair == b".\r" || pair == b".\n");
        let status = capa.iter().position(|&octet| octet == b'\n').is_some_and(|at| at + 1 < capa.len());
        assert!(whole == other || surplus || status, "{whole}\n{other}");
    }
});
