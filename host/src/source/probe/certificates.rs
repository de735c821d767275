//! The certificates a server sent, as findings: whose, for which names, until when, with which pins. Must not judge trust:
//! an untrusted chain never gets so far.

use std::time::Duration;

use postroom_dial::{Certificate, Peer};

use super::{Level, Probe};

/// So long before its end a certificate is warned about, and so long it is noted.
const SOON: Duration = Duration::from_secs(14 * 86_400);
const LATER: Duration = Duration::from_secs(30 * 86_400);
/// More certificates of a chain are counted only.
const SHOWN: usize = 6;

pub(super) fn look(probe: &mut Probe<'_>, peer: &Peer) {
    probe.fact("TLS", format!("{}, {}", peer.version, peer.cipher));
    let now = probe.of.now.0 / 1000;
    for (index, certificate) in peer.certificates.iter().take(SHOWN).enumerate() {
        let whose = if index == 0 { "the server's" } else { "an authority's" };
        let (level, left) = ending(certificate.not_after, now);
        let text = format!("{whose}: {} ({left})", described(certificate));
        match level {
            Level::Warning => probe.warn("certificate", format!("{text}: after that no mail is retrieved")),
            Level::Note | Level::Fact => probe.add(level, "certificate", text),
        }
        probe.fact("pin", format!("{}  ({})", certificate.pin, certificate.subject));
        probe.known.pins.push((certificate.pin, certificate.subject.clone()));
    }
    if peer.certificates.len() > SHOWN {
        probe.note("certificate", format!("the server sent {} certificates in all", peer.certificates.len()));
    }
    if probe.of.account.trust.ca_file.is_some() {
        probe.fact("trust", "only the authorities of `ca_file` are trusted");
    }
    if !probe.of.account.trust.pins.is_empty() {
        probe.fact("trust", "the chain holds one of the keys in `pins`");
    }
}

fn described(certificate: &Certificate) -> String {
    let Certificate { subject, issuer, names, key, not_before, not_after, .. } = certificate;
    let names = match names.as_slice() {
        [] => String::new(),
        names => format!(", for {}", names.join(", ")),
    };
    format!(
        "{subject}{names}; issued by {issuer}; {key}; valid from {} to {}",
        day(*not_before),
        day(*not_after)
    )
}

/// How much the end matters, and when it is, in words. Both in seconds since 1970.
fn ending(not_after: i64, now: i64) -> (Level, String) {
    let left = not_after - now;
    let limit = |margin: Duration| i64::try_from(margin.as_secs()).unwrap_or(i64::MAX);
    let level = match left {
        left if left < limit(SOON) => Level::Warning,
        left if left < limit(LATER) => Level::Note,
        _ => Level::Fact,
    };
    (level, if left < 0 { "it has ended".to_owned() } else { format!("in {} days", left / 86_400) })
}

fn day(seconds: i64) -> String {
    match jiff::Timestamp::from_second(seconds) {
        Ok(at) => at.strftime("%Y-%m-%d").to_string(),
        Err(_) => format!("{seconds} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_certificate_is_warned_about_two_weeks_before_and_noted_a_month_before() {
        const DAY: i64 = 86_400;
        assert_eq!(ending(1000 + 31 * DAY, 1000), (Level::Fact, "in 31 days".to_owned()));
        assert_eq!(ending(1000 + 29 * DAY, 1000).0, Level::Note);
        assert_eq!(ending(1000 + 13 * DAY, 1000), (Level::Warning, "in 13 days".to_owned()));
        assert_eq!(ending(0, 1000), (Level::Warning, "it has ended".to_owned()));
    }

    #[test]
    fn days_are_shown_as_dates() {
        assert_eq!(day(1_773_043_200), "2026-03-09");
    }
}
