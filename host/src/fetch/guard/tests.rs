//! Each range at its ends, what the operator may name, and what stays out of reach.

use super::*;

fn of(text: &str) -> Option<Kind> {
    kind(text.parse().unwrap())
}

#[test]
fn each_special_range_is_known_at_both_of_its_ends_and_not_beyond() {
    // Beyond an end is either global (`None`) or the next special range.
    for (first, last, expected, before, after) in [
        ("10.0.0.0", "10.255.255.255", Kind::Private, "9.255.255.255", "11.0.0.0"),
        ("100.64.0.0", "100.127.255.255", Kind::CarrierNat, "100.63.255.255", "100.128.0.0"),
        ("127.0.0.0", "127.255.255.255", Kind::Loopback, "126.255.255.255", "128.0.0.0"),
        ("169.254.0.0", "169.254.255.255", Kind::LinkLocal, "169.253.255.255", "169.255.0.0"),
        ("172.16.0.0", "172.31.255.255", Kind::Private, "172.15.255.255", "172.32.0.0"),
        ("192.0.0.0", "192.0.0.255", Kind::Reserved, "191.255.255.255", "192.0.1.0"),
        ("192.0.2.0", "192.0.2.255", Kind::Documentation, "192.0.1.255", "192.0.3.0"),
        ("192.88.99.0", "192.88.99.255", Kind::Embedded, "192.88.98.255", "192.88.100.0"),
        ("192.168.0.0", "192.168.255.255", Kind::Private, "192.167.255.255", "192.169.0.0"),
        ("198.18.0.0", "198.19.255.255", Kind::Benchmarking, "198.17.255.255", "198.20.0.0"),
        ("198.51.100.0", "198.51.100.255", Kind::Documentation, "198.51.99.255", "198.51.101.0"),
        ("203.0.113.0", "203.0.113.255", Kind::Documentation, "203.0.112.255", "203.0.114.0"),
        ("2001:2::", "2001:2:0:ffff:ffff:ffff:ffff:ffff", Kind::Benchmarking, "2a00::", "2a00::"),
        (
            "2001:db8::",
            "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
            Kind::Documentation,
            "2001:db7::",
            "2001:db9::",
        ),
        ("2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Kind::Embedded, "2001:ffff::", "2003::"),
        ("2001::", "2001:0:ffff:ffff:ffff:ffff:ffff:ffff", Kind::Embedded, "2000::", "2001:200::"),
        ("3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", Kind::Documentation, "3f00::", "3fff:1000::"),
    ] {
        assert_eq!((of(first), of(last)), (Some(expected), Some(expected)), "{first}");
        assert_eq!((of(before), of(after)), (None, None), "{first}");
    }
}

#[test]
fn what_is_not_global_unicast_has_its_name() {
    for (address, expected) in [
        ("0.0.0.0", Kind::Unspecified),
        ("0.0.0.1", Kind::Reserved),
        ("169.254.169.254", Kind::Metadata),
        ("169.254.170.2", Kind::Metadata),
        ("100.100.100.200", Kind::Metadata),
        ("168.63.129.16", Kind::Metadata),
        ("192.0.0.192", Kind::Metadata),
        ("fd00:ec2::254", Kind::Metadata),
        ("fd20:ce::254", Kind::Metadata),
        ("224.0.0.1", Kind::Multicast),
        ("239.255.255.255", Kind::Multicast),
        ("240.0.0.0", Kind::Reserved),
        ("255.255.255.254", Kind::Reserved),
        ("255.255.255.255", Kind::Broadcast),
        ("::", Kind::Unspecified),
        ("::1", Kind::Loopback),
        ("::2", Kind::Embedded),
        ("::127.0.0.1", Kind::Embedded),
        ("::8.8.8.8", Kind::Embedded),
        ("::ffff:127.0.0.1", Kind::Embedded),
        ("::ffff:8.8.8.8", Kind::Embedded),
        ("::ffff:0:8.8.8.8", Kind::Embedded),
        ("64:ff9b::7f00:1", Kind::Embedded),
        ("64:ff9b::808:808", Kind::Embedded),
        ("64:ff9b:1::1", Kind::Embedded),
        ("64:ff9b:1:ffff:ffff:ffff:ffff:ffff", Kind::Embedded),
        ("2002:7f00:1::", Kind::Embedded),
        ("2002:808:808::1", Kind::Embedded),
        ("2001::1", Kind::Embedded),
        ("2001:10::1", Kind::Reserved),
        ("2001:20::1", Kind::Reserved),
        ("100::1", Kind::Reserved),
        ("fc00::1", Kind::UniqueLocal),
        ("fdff:ffff::1", Kind::UniqueLocal),
        ("fe80::1", Kind::LinkLocal),
        ("febf::1", Kind::LinkLocal),
        ("fec0::1", Kind::LinkLocal),
        ("ff02::1", Kind::Multicast),
        ("ffff::1", Kind::Multicast),
        ("5f00::1", Kind::Reserved),
        ("4000::1", Kind::Reserved),
        ("e000::1", Kind::Reserved),
        ("1::1", Kind::Reserved),
    ] {
        assert_eq!(of(address), Some(expected), "{address}");
    }
}

#[test]
fn global_unicast_is_let_through() {
    for address in
        ["8.8.8.8", "1.1.1.1", "193.99.144.80", "223.255.255.255", "2606:4700::1111", "2a00:1450::1"]
    {
        assert_eq!(of(address), None, "{address}");
    }
}

/// Every /16 of IPv4 against the standard library's own stable predicates, so that no row of the table is misplaced.
#[test]
fn the_table_agrees_with_the_standard_library_on_all_of_ipv4() {
    for high in 0..=u16::MAX {
        let [a, b] = high.to_be_bytes();
        for address in [Ipv4Addr::new(a, b, 0, 0), Ipv4Addr::new(a, b, 77, 77), Ipv4Addr::new(a, b, 255, 255)]
        {
            let special = address.is_loopback()
                || address.is_private()
                || address.is_link_local()
                || address.is_multicast()
                || address.is_broadcast()
                || address.is_documentation()
                || address.is_unspecified();
            assert!(!special || kind(address.into()).is_some(), "{address}");
            let mapped = IpAddr::from(address.to_ipv6_mapped());
            assert_eq!(kind(mapped), Some(Kind::Embedded));
        }
    }
}

fn networks(texts: &[&str]) -> Vec<Network> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn allowed(guard: &Guard, addresses: &[&str]) -> bool {
    guard.check(addresses.iter().map(|address| address.parse().unwrap())).is_ok()
}

#[test]
fn private_addresses_are_reached_only_where_the_operator_names_them() {
    let none = Guard::new(&[], false);
    let some = Guard::new(&networks(&["10.1.2.0/24", "127.0.0.1", "fd12::/16"]), false);
    for address in ["10.1.2.3", "127.0.0.1", "fd12::7"] {
        assert!(!allowed(&none, &[address]) && allowed(&some, &[address]), "{address}");
    }
    for address in ["10.1.3.1", "10.1.1.255", "127.0.0.2", "fd13::1", "::1", "192.168.1.1", "::ffff:10.1.2.3"]
    {
        assert!(!allowed(&some, &[address]), "{address}");
    }
    assert!(allowed(&some, &["8.8.8.8"]));
}

#[test]
fn one_forbidden_address_spoils_the_others_and_none_is_not_enough() {
    let guard = Guard::new(&[], false);
    assert!(!allowed(&guard, &["8.8.8.8", "127.0.0.1"]));
    assert!(!allowed(&guard, &["127.0.0.1", "8.8.8.8"]));
    assert!(!allowed(&guard, &["8.8.8.8", "2606:4700::1111", "::ffff:10.0.0.1"]));
    assert!(allowed(&guard, &["8.8.8.8", "2606:4700::1111"]));
    assert!(!allowed(&guard, &[]));
}

#[test]
fn metadata_services_stay_out_of_reach_whatever_is_named() {
    let guard = Guard::new(&networks(&["100.64.0.0/10", "fc00::/7"]), false);
    assert!(allowed(&guard, &["100.64.0.1"]) && allowed(&guard, &["fd00::1"]));
    for address in ["100.100.100.200", "fd00:ec2::254", "fd20:ce::254", "169.254.169.254"] {
        assert!(!allowed(&guard, &[address]), "{address}");
    }
}

#[test]
fn plain_http_goes_to_named_addresses_only() {
    let guard = Guard::new(&networks(&["127.0.0.0/8"]), true);
    assert!(allowed(&guard, &["127.0.0.1"]) && !allowed(&guard, &["8.8.8.8"]));
}

#[test]
fn only_blocks_of_private_addresses_can_be_named() {
    for text in [
        "10.0.0.0/8",
        "10.1.2.3",
        "172.16.0.0/12",
        "192.168.7.0/24",
        "127.0.0.0/8",
        "100.64.0.0/10",
        "::1",
        "fc00::/7",
    ] {
        assert!(text.parse::<Network>().is_ok(), "{text}");
    }
    for text in [
        "0.0.0.0/0",
        "::/0",
        "8.8.8.0/24",
        "10.0.0.0/7",
        "172.0.0.0/8",
        "169.254.0.0/16",
        "169.254.169.254",
        "fe80::/10",
        "::ffff:10.0.0.0/104",
        "224.0.0.0/4",
        "2001:db8::/32",
        "::/96",
    ] {
        assert!(text.parse::<Network>().unwrap_err().contains("not wholly of private"), "{text}");
    }
    assert!("10.1.2.3/24".parse::<Network>().unwrap_err().contains("\"10.1.2.0/24\""));
    for text in [
        "",
        "10",
        "10.0.0.0/33",
        "10.0.0.0/-1",
        "10.0.0.0/+8",
        "10.0.0.0/",
        "crm.example",
        "010.0.0.0/8",
        "0x0a.0.0.0/8",
        "fe80::1%eth0",
    ] {
        assert!(text.parse::<Network>().is_err(), "{text}");
    }
    assert!("10.0.0.0/008".parse::<Network>().is_ok(), "leading zeros of a length mislead nobody");
}
