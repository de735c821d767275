//! Which addresses a call of a plugin may go to: global unicast, and what the operator names. Pure: resolves and connects
//! nothing. Ranges are those of IANA's special-purpose registries (RFC 6890 and its updates).

#[cfg(test)]
mod tests;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::sync::Arc;

use postroom_mail::rules::neutral;
use serde::{Deserialize, Deserializer, de};

/// A block of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// With no bit set behind the prefix. IPv4 in the lower 32 bits.
    bits: u128,
    prefix: u8,
    version: Version,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    V4,
    V6,
}

impl Version {
    fn width(self) -> u8 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }
}

const fn v4(octets: [u8; 4], prefix: u8) -> Network {
    Network { bits: u32::from_be_bytes(octets) as u128, prefix, version: Version::V4 }
}

const fn v6(segments: [u16; 8], prefix: u8) -> Network {
    let [a, b, c, d, e, f, g, h] = segments;
    let address = Ipv6Addr::new(a, b, c, d, e, f, g, h);
    Network { bits: address.to_bits(), prefix, version: Version::V6 }
}

/// What an address is, when it is not global unicast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Tells every program on a machine of a cloud its credentials.
    Metadata,
    /// No address.
    Unspecified,
    /// This machine.
    Loopback,
    /// RFC 1918.
    Private,
    /// RFC 4193.
    UniqueLocal,
    /// RFC 6598.
    CarrierNat,
    /// RFC 3927, RFC 4291, and what was called site-local.
    LinkLocal,
    /// RFC 1112, RFC 4291.
    Multicast,
    /// The whole network.
    Broadcast,
    /// RFC 5737, RFC 3849, RFC 9637.
    Documentation,
    /// RFC 2544, RFC 5180.
    Benchmarking,
    /// An IPv4 address in IPv6 clothes: mapped, compatible, NAT64 (RFC 6052, RFC 8215), 6to4, Teredo.
    Embedded,
    /// Set aside, or not given to anybody.
    Reserved,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Metadata => "the metadata service of a cloud",
            Self::Unspecified => "no address",
            Self::Loopback => "a loopback address",
            Self::Private => "a private address",
            Self::UniqueLocal => "a unique local address",
            Self::CarrierNat => "an address behind a carrier's NAT",
            Self::LinkLocal => "a link-local address",
            Self::Multicast => "a multicast address",
            Self::Broadcast => "a broadcast address",
            Self::Documentation => "an address of documentation",
            Self::Benchmarking => "an address of benchmarks",
            Self::Embedded => "an IPv4 address within an IPv6 address",
            Self::Reserved => "a reserved address",
        })
    }
}

/// The first that holds an address says what it is.
const SPECIAL: [(Network, Kind); 43] = [
    (v4([169, 254, 169, 254], 32), Kind::Metadata),
    (v4([169, 254, 170, 0], 24), Kind::Metadata),
    (v4([100, 100, 100, 200], 32), Kind::Metadata),
    (v4([168, 63, 129, 16], 32), Kind::Metadata),
    (v4([192, 0, 0, 192], 32), Kind::Metadata),
    (v4([0, 0, 0, 0], 32), Kind::Unspecified),
    (v4([0, 0, 0, 0], 8), Kind::Reserved),
    (v4([10, 0, 0, 0], 8), Kind::Private),
    (v4([100, 64, 0, 0], 10), Kind::CarrierNat),
    (v4([127, 0, 0, 0], 8), Kind::Loopback),
    (v4([169, 254, 0, 0], 16), Kind::LinkLocal),
    (v4([172, 16, 0, 0], 12), Kind::Private),
    (v4([192, 0, 0, 0], 24), Kind::Reserved),
    (v4([192, 0, 2, 0], 24), Kind::Documentation),
    (v4([192, 88, 99, 0], 24), Kind::Embedded),
    (v4([192, 168, 0, 0], 16), Kind::Private),
    (v4([198, 18, 0, 0], 15), Kind::Benchmarking),
    (v4([198, 51, 100, 0], 24), Kind::Documentation),
    (v4([203, 0, 113, 0], 24), Kind::Documentation),
    (v4([224, 0, 0, 0], 4), Kind::Multicast),
    (v4([255, 255, 255, 255], 32), Kind::Broadcast),
    (v4([240, 0, 0, 0], 4), Kind::Reserved),
    (v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254], 128), Kind::Metadata),
    (v6([0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254], 128), Kind::Metadata),
    (v6([0, 0, 0, 0, 0, 0, 0, 0], 128), Kind::Unspecified),
    (v6([0, 0, 0, 0, 0, 0, 0, 1], 128), Kind::Loopback),
    (v6([0, 0, 0, 0, 0, 0, 0, 0], 96), Kind::Embedded),
    (v6([0, 0, 0, 0, 0, 0xffff, 0, 0], 96), Kind::Embedded),
    (v6([0, 0, 0, 0, 0xffff, 0, 0, 0], 96), Kind::Embedded),
    (v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96), Kind::Embedded),
    (v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48), Kind::Embedded),
    (v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7), Kind::UniqueLocal),
    (v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10), Kind::LinkLocal),
    (v6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10), Kind::LinkLocal),
    (v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8), Kind::Multicast),
    (v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 32), Kind::Embedded),
    (v6([0x2001, 2, 0, 0, 0, 0, 0, 0], 48), Kind::Benchmarking),
    (v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23), Kind::Reserved),
    (v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32), Kind::Documentation),
    (v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16), Kind::Embedded),
    (v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20), Kind::Documentation),
    (v6([0x3ffe, 0, 0, 0, 0, 0, 0, 0], 16), Kind::Reserved),
    (v6([0x100, 0, 0, 0, 0, 0, 0, 0], 64), Kind::Reserved),
];
/// All that is given out as global unicast of IPv6 (RFC 4291 2.4).
const GLOBAL: Network = v6([0x2000, 0, 0, 0, 0, 0, 0, 0], 3);

/// What an address is; `None` is global unicast.
pub(super) fn kind(address: IpAddr) -> Option<Kind> {
    let special = SPECIAL.iter().find(|(network, _)| network.holds(address)).map(|(_, kind)| *kind);
    special.or_else(|| (address.is_ipv6() && !GLOBAL.holds(address)).then_some(Kind::Reserved))
}

impl Kind {
    /// Whether the operator can name such addresses as targets of plugins.
    fn may_be_named(self) -> bool {
        match self {
            Self::Loopback | Self::Private | Self::UniqueLocal | Self::CarrierNat => true,
            Self::Metadata
            | Self::Unspecified
            | Self::LinkLocal
            | Self::Multicast
            | Self::Broadcast
            | Self::Documentation
            | Self::Benchmarking
            | Self::Embedded
            | Self::Reserved => false,
        }
    }
}

impl Network {
    /// Whether the address is in it. An IPv4 address is in no IPv6 network, however it is embedded.
    pub(super) fn holds(&self, address: IpAddr) -> bool {
        let (bits, version) = bits(address);
        version == self.version && masked(bits, self.prefix, version) == self.bits
    }

    fn last(&self) -> IpAddr {
        let host = u128::MAX.checked_shr((128 - self.version.width() + self.prefix).into()).unwrap_or(0);
        address(self.bits | host, self.version)
    }

    /// Whether all of it may be named; ranges that may do not touch each other.
    fn may_be_named(&self) -> bool {
        let nameable = |at: IpAddr| {
            let mut ranges = SPECIAL.iter().filter(|(_, kind)| kind.may_be_named());
            ranges.position(|(network, _)| network.holds(at))
        };
        let first = nameable(address(self.bits, self.version));
        first.is_some() && first == nameable(self.last())
    }
}

fn bits(address: IpAddr) -> (u128, Version) {
    match address {
        IpAddr::V4(address) => (address.to_bits().into(), Version::V4),
        IpAddr::V6(address) => (address.to_bits(), Version::V6),
    }
}

fn masked(bits: u128, prefix: u8, version: Version) -> u128 {
    let host = u32::from(version.width() - prefix);
    bits.checked_shr(host).and_then(|network| network.checked_shl(host)).unwrap_or(0)
}

fn address(bits: u128, version: Version) -> IpAddr {
    match version {
        Version::V4 => Ipv4Addr::from_bits(u32::try_from(bits).unwrap_or(u32::MAX)).into(),
        Version::V6 => Ipv6Addr::from_bits(bits).into(),
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", address(self.bits, self.version), self.prefix)
    }
}

/// As written: `10.1.2.0/24`, `fd00::/8`, or one address. The text of the error has its hint on a second line.
impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let shown = neutral(text, 60);
        let wrong = || {
            format!("\"{shown}\" is no block of addresses\nfor example \"10.1.2.0/24\" or \"fd12:3456::/32\"")
        };
        let (start, prefix) = text.split_once('/').map_or((text, None), |(at, prefix)| (at, Some(prefix)));
        let (bits, version) = bits(start.parse::<IpAddr>().map_err(|_| wrong())?);
        let prefix = match prefix {
            None => version.width(),
            Some(digits) if digits.bytes().all(|digit| digit.is_ascii_digit()) => {
                digits.parse().ok().filter(|prefix| *prefix <= version.width()).ok_or_else(wrong)?
            }
            Some(_) => return Err(wrong()),
        };
        let network = Self { bits: masked(bits, prefix, version), prefix, version };
        if network.bits != bits {
            return Err(format!("\"{shown}\" does not begin its block\ndid you mean \"{network}\"?"));
        }
        if !network.may_be_named() {
            return Err(format!(
                "\"{shown}\" is not wholly of private addresses\npublic addresses need no word; link-local and \
                 reserved ones are never reached"
            ));
        }
        Ok(network)
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// An address that no call may go to. For the host's log, not for the plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Forbidden {
    /// Not global unicast, and not named by the operator.
    #[error("{0} is {1}, which plugins are not let to; `private` can name some")]
    Special(IpAddr, Kind),
    /// Plain HTTP only ever goes to addresses that `private` names.
    #[error("{0} is not in `private`, and nothing goes in the clear beyond it")]
    InTheClear(IpAddr),
    /// The name has no address.
    #[error("the name has no address")]
    Nothing,
}

/// Where the calls to one target may go.
#[derive(Clone, Debug)]
pub(super) struct Guard {
    private: Arc<[Network]>,
    in_the_clear: bool,
}

impl Guard {
    pub(super) fn new(private: &[Network], in_the_clear: bool) -> Self {
        Self { private: private.into(), in_the_clear }
    }

    /// Whether all of them may be connected to: one that may not spoils the others, since who mixes them has a plan.
    pub(super) fn check(&self, addresses: impl IntoIterator<Item = IpAddr>) -> Result<(), Forbidden> {
        let mut any = false;
        for address in addresses {
            self.check_one(address)?;
            any = true;
        }
        if any { Ok(()) } else { Err(Forbidden::Nothing) }
    }

    fn check_one(&self, address: IpAddr) -> Result<(), Forbidden> {
        let named = self.private.iter().any(|network| network.holds(address));
        match kind(address) {
            Some(kind) if !(named && kind.may_be_named()) => Err(Forbidden::Special(address, kind)),
            None if self.in_the_clear => Err(Forbidden::InTheClear(address)),
            Some(_) | None => Ok(()),
        }
    }
}
