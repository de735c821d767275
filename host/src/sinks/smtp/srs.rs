//! Owns the Sender Rewriting Scheme: envelope senders of redirected mail become addresses of the operator's own domain, so
//! that SPF passes and bounces find back. The same addresses as libsrs2 and postsrsd make from the same secret, so that one
//! of them, at the domain's server, turns them back.
//!
//! The day in an address is the one of the retrieval: each attempt sends the same envelope, and no clock is read. Must not
//! be given to mail that was made here: that has the sink's own sender.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use postroom_mail::{Address, Timestamp};
use serde::Deserialize;
use sha1::Sha1;

use crate::config::{Secret, SecretRef};

/// Digits of the hash: what libsrs2 makes and wants.
const HASH: usize = 4;
/// For so many days an address is good, as in libsrs2.
const GOOD_FOR: u32 = 21;
/// The stamp counts days modulo this: two digits of base32.
const DAYS: u32 = 1024;
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const DAY_MS: i64 = 86_400_000;
/// A shorter secret can be guessed from the addresses it makes.
const SHORTEST_SECRET: usize = 16;

/// As the operator writes it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SrsConfig {
    /// A domain whose mail server knows how to turn its addresses back, and whose SPF record names the relay.
    pub domain: String,
    /// The secret it shares with that server.
    pub secret: SecretRef,
}

/// A domain and its secret.
#[derive(Debug)]
pub(super) struct Srs {
    domain: String,
    secret: Secret,
}

/// The envelope sender of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sender {
    /// The sink's own, if it has one.
    Own,
    /// The null path, which stays so: nothing answers a bounce.
    Null,
    /// This one.
    Address(Address),
}

/// Why an address of the domain does not lead back to anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    /// It has not the form.
    NotOurs,
    /// Made with another secret, or by a forger.
    Forged,
    /// It was good once.
    Expired,
}

impl Srs {
    /// The error is a text for the operator.
    pub(super) fn new(domain: &str, secret: Secret) -> Result<Self, String> {
        if Address::new(format!("x@{domain}")).is_err() {
            return Err("`srs.domain` must be the name of a domain".to_owned());
        }
        if secret.expose().len() < SHORTEST_SECRET {
            return Err(format!("the secret of `srs` must have at least {SHORTEST_SECRET} octets"));
        }
        Ok(Self { domain: domain.to_owned(), secret })
    }

    /// The sender of a message that is redirected: what its last delivery wrote on top, rewritten.
    pub(super) fn sender(&self, content: &[u8], retrieved: Timestamp) -> Sender {
        match return_path(content) {
            None => Sender::Own,
            Some("") => Sender::Null,
            Some(path) => {
                let rewritten = Address::new(path).ok().and_then(|path| self.encode(&path, day(retrieved)));
                rewritten.map_or(Sender::Own, Sender::Address)
            }
        }
    }

    /// `None` when that would be no address: SRS makes local parts longer, and 64 octets are the most there can be.
    fn encode(&self, address: &Address, today: u32) -> Option<Address> {
        let (local, host) = address.as_str().rsplit_once('@')?;
        if host.eq_ignore_ascii_case(&self.domain) {
            let is_good = !is_rewritten(local) || self.decode(address, today).is_ok();
            return is_good.then(|| address.clone());
        }
        let local = match (tagged(local, "SRS0"), tagged(local, "SRS1").and_then(second_hop)) {
            // The separator stays: it is part of what the first host has to be given back.
            (Some(rest), _) => self.again(host, rest),
            (None, Some((_, first, rest))) => self.again(first, rest),
            (None, None) => {
                let stamp = stamp(today);
                let hash = self.hash(&[&stamp, host, local]);
                format!("SRS0={hash}={stamp}={host}={local}")
            }
        };
        Address::new(format!("{local}@{}", self.domain)).ok()
    }

    /// The local part for a sender that another forwarder rewrote before: bounces go to that one, over no other host.
    fn again(&self, first: &str, rest: &str) -> String {
        format!("SRS1={}={first}={rest}", self.hash(&[first, rest]))
    }

    /// Where a bounce to the address would go.
    fn decode(&self, address: &Address, today: u32) -> Result<Address, Refusal> {
        let (local, host) = address.as_str().rsplit_once('@').ok_or(Refusal::NotOurs)?;
        if !host.eq_ignore_ascii_case(&self.domain) {
            return Err(Refusal::NotOurs);
        }
        let (hash, parts, back) =
            if let Some((hash, first, rest)) = tagged(local, "SRS1").and_then(second_hop) {
                (hash, vec![first, rest], format!("SRS0{rest}@{first}"))
            } else {
                let fields = tagged(local, "SRS0").and_then(|rest| rest.get(1..)).ok_or(Refusal::NotOurs)?;
                let [hash, stamp, host, local] = four(fields).ok_or(Refusal::NotOurs)?;
                (hash, vec![stamp, host, local], format!("{local}@{host}"))
            };
        // Mail servers may change the case of an address, so that of the hash cannot count.
        if !self.hash(&parts).eq_ignore_ascii_case(hash) {
            return Err(Refusal::Forged);
        }
        if let [stamp, _, _] = parts[..] {
            let made = day_of(stamp).ok_or(Refusal::NotOurs)?;
            if (today % DAYS + DAYS - made) % DAYS > GOOD_FOR {
                return Err(Refusal::Expired);
            }
        }
        Address::new(back).map_err(|_| Refusal::NotOurs)
    }

    fn hash(&self, parts: &[&str]) -> String {
        // HMAC takes keys of any length.
        let Ok(mut hmac) = Hmac::<Sha1>::new_from_slice(self.secret.expose().as_bytes()) else {
            return String::new();
        };
        for part in parts {
            hmac.update(part.to_ascii_lowercase().as_bytes());
        }
        let mut digits = BASE64_STANDARD.encode(hmac.finalize().into_bytes());
        digits.truncate(HASH);
        digits
    }
}

fn is_rewritten(local: &str) -> bool {
    tagged(local, "SRS0").is_some() || tagged(local, "SRS1").is_some()
}

/// What follows the tag, with the separator, which may be any of three.
fn tagged<'a>(local: &'a str, tag: &str) -> Option<&'a str> {
    let (head, rest) = local.split_at_checked(tag.len())?;
    (head.eq_ignore_ascii_case(tag) && rest.starts_with(['=', '+', '-'])).then_some(rest)
}

/// Hash, first host and the rest of what follows `SRS1`.
fn second_hop(rest: &str) -> Option<(&str, &str, &str)> {
    let (hash, rest) = rest.get(1..)?.split_once('=')?;
    let (first, rest) = rest.split_once('=')?;
    rest.starts_with(['=', '+', '-']).then_some((hash, first, rest))
}

fn four(text: &str) -> Option<[&str; 4]> {
    let mut fields = text.splitn(4, '=');
    Some([fields.next()?, fields.next()?, fields.next()?, fields.next()?])
}

fn day(at: Timestamp) -> u32 {
    u32::try_from(at.0.div_euclid(DAY_MS)).unwrap_or(0)
}

fn stamp(day: u32) -> String {
    [day >> 5 & 31, day & 31].map(|digit| char::from(BASE32[digit as usize])).iter().collect()
}

fn day_of(stamp: &str) -> Option<u32> {
    let digit = |octet: u8| {
        BASE32
            .iter()
            .position(|digit| *digit == octet.to_ascii_uppercase())
            .and_then(|at| u32::try_from(at).ok())
    };
    match stamp.as_bytes() {
        [high, low] => Some(digit(*high)? << 5 | digit(*low)?),
        _ => None,
    }
}

/// The topmost Return-Path (RFC 5321 section 4.4), without its angle brackets. Nobody folds that field.
fn return_path(content: &[u8]) -> Option<&str> {
    let lines = content.split(|&octet| octet == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    for line in lines.take_while(|line| !line.is_empty()) {
        let Some(colon) = line.iter().position(|&octet| octet == b':') else { continue };
        let (name, value) = line.split_at(colon);
        if name.trim_ascii_end().eq_ignore_ascii_case(b"Return-Path") {
            let value = std::str::from_utf8(value.get(1..)?).ok()?.trim();
            return value.strip_prefix('<')?.strip_suffix('>').map(str::trim);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const RETRIEVED: Timestamp = Timestamp(1_795_000_000_123);

    fn srs() -> Srs {
        Srs::new("fwd.example", Secret::new("a secret of sixteen".to_owned())).unwrap()
    }

    fn address(text: &str) -> Address {
        Address::new(text).unwrap()
    }

    fn encoded(text: &str) -> Option<String> {
        srs().encode(&address(text), day(RETRIEVED)).map(|address| address.as_str().to_owned())
    }

    fn decoded(text: &str, later: u32) -> Result<String, Refusal> {
        srs().decode(&address(text), day(RETRIEVED) + later).map(|address| address.as_str().to_owned())
    }

    /// Made by a few lines of Python from the description of the scheme.
    const FIRST: &str = "SRS0=HIwN=JH=shop.example=Eve@fwd.example";
    const SECOND: &str = "SRS1=6o6J=one.example==abcd=XY=orig.example=bob@fwd.example";

    #[test]
    fn addresses_are_those_that_other_programs_make() {
        assert_eq!(encoded("Eve@shop.example").as_deref(), Some(FIRST));
        assert_eq!(encoded("SRS0=abcd=XY=orig.example=bob@one.example").as_deref(), Some(SECOND));
        let third = SECOND.replace("fwd.example", "two.example");
        assert_eq!(encoded(&third).as_deref(), Some(SECOND), "no chain of more than two hosts");
    }

    #[test]
    fn bounces_find_back_whatever_became_of_the_case() {
        assert_eq!(decoded(FIRST, 0).as_deref(), Ok("Eve@shop.example"));
        assert_eq!(decoded(&FIRST.to_lowercase(), 1).as_deref(), Ok("eve@shop.example"));
        assert_eq!(decoded(SECOND, 0).as_deref(), Ok("SRS0=abcd=XY=orig.example=bob@one.example"));
        for local in ["a", "a=b", "a=b=c=d", "a+b", "=", "SRS2=x", "SRS0", "a-b.c"] {
            let from = format!("{local}@shop.example");
            assert_eq!(decoded(&encoded(&from).unwrap(), 0), Ok(from));
        }
    }

    #[test]
    fn an_address_expires_and_the_days_begin_anew_without_it_coming_back_too_soon() {
        for (later, expected) in [
            (0, Ok("Eve@shop.example".to_owned())),
            (21, Ok("Eve@shop.example".to_owned())),
            (22, Err(Refusal::Expired)),
            (1023, Err(Refusal::Expired)),
        ] {
            assert_eq!(decoded(FIRST, later), expected, "{later}");
        }
        assert_eq!(srs().decode(&address(FIRST), day(RETRIEVED) - 1), Err(Refusal::Expired), "of tomorrow");
    }

    #[test]
    fn no_changed_octet_passes() {
        for at in "SRS0=".len()..FIRST.find('@').unwrap() {
            let mut octets = FIRST.as_bytes().to_vec();
            octets[at] = if octets[at].eq_ignore_ascii_case(&b'q') { b'z' } else { b'q' };
            let changed = String::from_utf8(octets).unwrap();
            assert!(decoded(&changed, 0).is_err(), "{changed}");
        }
        let other = Srs::new("fwd.example", Secret::new("another secret of ours".to_owned())).unwrap();
        assert_eq!(other.decode(&address(FIRST), day(RETRIEVED)), Err(Refusal::Forged));
        assert_eq!(decoded("SRS0=abcd=XY=shop.example=Eve@other.example", 0), Err(Refusal::NotOurs));
    }

    #[test]
    fn addresses_of_the_domain_stay_unless_they_are_forged() {
        assert_eq!(encoded("bob@FWD.example").as_deref(), Some("bob@FWD.example"));
        assert_eq!(encoded(FIRST).as_deref(), Some(FIRST));
        assert_eq!(encoded("SRS0=abcd=XY=shop.example=Eve@fwd.example"), None);
    }

    #[test]
    fn what_would_be_too_long_for_smtp_is_not_rewritten() {
        assert_eq!(encoded(&format!("{}@shop.example", "x".repeat(60))), None);
    }

    #[test]
    fn the_topmost_return_path_is_the_sender() {
        let sender = |raw: &[u8]| srs().sender(raw, RETRIEVED);
        let rewritten = Sender::Address(address(FIRST));
        assert_eq!(sender(b"Return-Path: <Eve@shop.example>\r\nReturn-Path: <>\r\n\r\n"), rewritten);
        assert_eq!(sender(b"A: b\nreturn-path : < Eve@shop.example >\n\n"), rewritten);
        assert_eq!(sender(b"Return-Path: <>\r\n\r\n"), Sender::Null);
        for own in [
            &b""[..],
            b"\r\nReturn-Path: <a@b.example>\r\n",
            b"Return-Path: a@b.example\r\n\r\n",
            b"Return-Path: <a b>\r\n",
        ] {
            assert_eq!(sender(own), Sender::Own, "{}", own.escape_ascii());
        }
    }

    #[test]
    fn a_short_secret_and_a_strange_domain_are_refused() {
        let make = |domain, secret: &str| Srs::new(domain, Secret::new(secret.to_owned()));
        assert!(make("fwd.example", "short").unwrap_err().contains("at least 16 octets"));
        assert!(make("fwd example", "a secret of sixteen").is_err());
        assert!(!format!("{:?}", srs()).contains("sixteen"));
    }
}
