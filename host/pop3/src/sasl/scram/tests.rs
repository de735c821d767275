//! The conversations of the RFCs, and servers that cheat in them.

use super::*;

fn scram(hash: Hash, nonce: &str) -> Scram {
    let credentials = Credentials::new("user", "pencil").unwrap();
    let mut scram = Scram::new(hash, &credentials, "pencil", Nonce(nonce.to_owned())).unwrap();
    let first = scram.first();
    assert_eq!(&**first, format!("n,,n=user,r={nonce}").as_bytes());
    scram
}

const SHA1_NONCE: &str = "fyko+d2lbbFgONRv9qkxdawL";
const SHA1_FIRST: &str = "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096";

#[test]
fn the_sha_1_conversation_is_the_one_of_rfc_5802() {
    let mut scram = scram(Hash::Sha1, SHA1_NONCE);
    let answer = scram.answer(SHA1_FIRST.as_bytes()).unwrap();
    let expected = "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=";
    assert_eq!(&**answer, expected.as_bytes());
    assert!(!scram.proven());
    assert_eq!(scram.answer(b"v=rmF9pqV8S7suAoZWja4dJRkFsKQ=").unwrap().len(), 0);
    assert!(scram.proven());
}

#[test]
fn the_sha_256_conversation_is_the_one_of_rfc_7677() {
    let mut scram = scram(Hash::Sha256, "rOprNGfwEbeRWgbNEkqO");
    let first = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
    let answer = scram.answer(first.as_bytes()).unwrap();
    let expected = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
    assert_eq!(&**answer, expected.as_bytes());
    scram.answer(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=").unwrap();
    assert!(scram.proven());
}

#[test]
fn a_server_that_cannot_prove_itself_is_not_believed() {
    for (last, fault) in [
        (&b"v=rmF9pqV8S7suAoZWja4dJRkFsKR="[..], SaslFault::Malformed),
        (b"v=AAAAAAAAAAAAAAAAAAAAAAAAAAA=", SaslFault::WrongSignature),
        (b"v=", SaslFault::WrongSignature),
        (b"v=rmF9pqV8", SaslFault::WrongSignature),
        (b"", SaslFault::Malformed),
        (b"rmF9pqV8S7suAoZWja4dJRkFsKQ=", SaslFault::Malformed),
        (b"e=other-error", SaslFault::ServerError { text: "other-error".into() }),
    ] {
        let mut scram = scram(Hash::Sha1, SHA1_NONCE);
        scram.answer(SHA1_FIRST.as_bytes()).unwrap();
        assert_eq!(scram.answer(last), Err(fault), "{last:?}");
        assert!(!scram.proven());
    }
}

#[test]
fn a_first_message_with_a_foreign_nonce_a_weak_count_or_an_extension_gets_no_proof() {
    let nonce = "fyko+d2lbbFgONRv9qkxdawL";
    for (first, fault) in [
        ("r=other3rfc,s=QSXC,i=4096".to_owned(), SaslFault::ForeignNonce),
        (format!("r={nonce},s=QSXC,i=4096"), SaslFault::ForeignNonce),
        (format!("r={nonce}x,s=QSXC,i=4095"), SaslFault::Iterations { count: 4095 }),
        (format!("r={nonce}x,s=QSXC,i=0"), SaslFault::Iterations { count: 0 }),
        (format!("r={nonce}x,s=QSXC,i=1000001"), SaslFault::Iterations { count: 1_000_001 }),
        (format!("r={nonce}x,s=QSXC,i=99999999999"), SaslFault::Iterations { count: u32::MAX }),
        (format!("r={nonce}x,s=QSXC,i=+4096"), SaslFault::Malformed),
        (format!("r={nonce}x,s=,i=4096"), SaslFault::Malformed),
        (format!("r={nonce}x,s=!!!,i=4096"), SaslFault::Malformed),
        (format!("r={nonce}x,i=4096,s=QSXC"), SaslFault::Malformed),
        (format!("m=x,r={nonce}x,s=QSXC,i=4096"), SaslFault::Malformed),
        (format!("r={nonce} x,s=QSXC,i=4096"), SaslFault::Malformed),
        (String::new(), SaslFault::Malformed),
    ] {
        let mut scram = scram(Hash::Sha1, nonce);
        assert_eq!(scram.answer(first.as_bytes()), Err(fault), "{first}");
    }
    let mut scram = scram(Hash::Sha1, nonce);
    assert!(scram.answer(format!("r={nonce}x,s=QSXC,i=4096,x=y").as_bytes()).is_ok());
    assert_eq!(scram.answer(b"\xff"), Err(SaslFault::Malformed));
}

#[test]
fn names_are_prepared_and_escaped_and_what_cannot_be_prepared_is_refused() {
    let credentials = Credentials::new("a=b,\u{ad}c", "p").unwrap();
    let mut scram = Scram::new(Hash::Sha1, &credentials, "p", Nonce("n".into())).unwrap();
    assert_eq!(&**scram.first(), b"n,,n=a=3Db=2Cc,r=n");
    // RFC 4013 section 3: the soft hyphen maps to nothing, a Roman numeral to its letters.
    assert_eq!(prepared("password", "\u{2168}").unwrap().as_str(), "IX");
    for bad in ["\u{7}", "\u{ad}", "\u{627}1"] {
        assert!(matches!(prepared("password", bad), Err(Unencodable::NotSaslprep { .. })), "{bad:?}");
    }
}

#[test]
fn a_nonce_is_printable_and_holds_no_comma() {
    assert_eq!(Nonce::new([0xff; 18]).0, "/".repeat(24));
    assert_eq!(Nonce::new([0; 18]).0, "A".repeat(24));
}
