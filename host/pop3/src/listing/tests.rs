//! Listings as servers send them.

use super::*;

fn scan(lines: &[&[u8]]) -> ScanListing {
    let mut listing = ScanListing::default();
    lines.iter().for_each(|line| listing.read_line(line));
    listing
}

fn uids(lines: &[&[u8]]) -> UidListing {
    let mut listing = UidListing::default();
    lines.iter().for_each(|line| listing.read_line(line));
    listing
}

/// Of 1025 times `y`.
const DIGEST: &[u8] = b"sha256:d27894a78480c4baf28429e24bf019b9f1b0c08e775d06b89f12202361f652ea";

fn number(value: u32) -> MessageNumber {
    MessageNumber::new(value).unwrap()
}

fn uid(octets: &[u8]) -> UniqueId {
    UniqueId::new(octets.to_vec()).unwrap()
}

#[test]
fn stat_takes_negative_huge_and_missing_octets_and_needs_a_count() {
    let parse = |text: &str| Stat::parse(text.as_bytes()).map(|stat| (stat.count, stat.octets));
    assert_eq!(parse("2 320"), Some((2, Some(320))));
    assert_eq!(parse("2\t 320 extra"), Some((2, Some(320))));
    assert_eq!(parse("20000 -2147483648"), Some((20000, None)));
    assert_eq!(parse("1 99999999999999999999999"), Some((1, Some(u64::MAX))));
    assert_eq!(parse("3"), Some((3, None)));
    assert_eq!(parse(""), None);
    assert_eq!(parse("-1 5"), None);
}

#[test]
fn sizes_are_advice_and_never_refused() {
    let list = scan(&[b"1 120", b"2", b"3 -5", b"4 99999999999999999999", b"5 17 octets"]);
    let sizes: Vec<_> = list.sizes().map(|(_, size)| size).collect();
    assert_eq!(sizes, [Some(120), None, None, Some(u64::MAX), Some(17)]);
    assert_eq!(list.oddities(), Oddities::default());
}

#[test]
fn blank_lines_are_skipped_and_not_odd() {
    let list = scan(&[b"", b"  \t", b"1 5"]);
    assert_eq!(list.sizes().count(), 1);
    assert_eq!(list.oddities(), Oddities::default());
}

#[test]
fn numbers_out_of_range_or_repeated_are_flagged_and_left_out() {
    let list = scan(&[b"0 5", b"4294967296 5", b"x 5", b"-1 5", b"4294967295 5", b"4294967295 6"]);
    assert_eq!(list.sizes().collect::<Vec<_>>(), [(number(u32::MAX), Some(5))]);
    assert_eq!(list.oddities(), Oddities { unreadable: 4, repeated: 1 });
}

#[test]
fn a_unique_id_is_the_rest_of_the_line_after_one_run_of_blanks() {
    let listing = uids(&[b"1   a", b"2 \t b c ", b" 3 \xff\x80", b"4 whqtswO00WBw418f9t5JxYwZ"]);
    let ids: Vec<_> = listing.ids().map(|(_, id)| id.unwrap().as_bytes().to_vec()).collect();
    assert_eq!(
        ids,
        [b"a".to_vec(), b"b c ".to_vec(), b"\xff\x80".to_vec(), b"whqtswO00WBw418f9t5JxYwZ".to_vec()]
    );
}

#[test]
fn an_empty_unique_id_is_an_oddity_of_that_message_and_an_overlong_one_becomes_its_digest() {
    let longest = [b"3 ".to_vec(), vec![b'x'; 1024]].concat();
    let longer = [b"4 ".to_vec(), vec![b'y'; 1025]].concat();
    let listing = uids(&[b"1", b"2  \t", &longest, &longer, b"5 ok"]);
    let ids: Vec<_> = listing.ids().map(|(_, id)| id.cloned().map_err(Clone::clone)).collect();
    assert_eq!(
        ids,
        [Err(NoId::Empty), Err(NoId::Empty), Ok(uid(&[b'x'; 1024])), Ok(uid(DIGEST)), Ok(uid(b"ok")),]
    );
    let list = scan(&[b"1 1", b"2 2", b"3 3", b"4 4", b"5 5"]);
    let joined = join(&list, &listing);
    assert_eq!(joined.entries.len(), 3);
    assert_eq!(joined.without_id.len(), 2);
    assert!(!joined.complete);
}

#[test]
fn a_number_listed_twice_with_different_ids_is_not_trusted() {
    let listing = uids(&[b"1 a", b"1 b", b"2 c", b"2 c", b"1 a"]);
    let ids: Vec<_> = listing.ids().collect();
    assert_eq!(ids, [(number(1), Err(&NoId::Conflicting)), (number(2), Ok(&uid(b"c")))]);
    assert_eq!(listing.oddities().repeated, 3);
}

#[test]
fn agreeing_listings_are_complete() {
    let joined = join(&scan(&[b"1 10", b"2 20"]), &uids(&[b"2 b", b"1 a"]));
    let stat = |count| Stat { count, octets: None };
    assert!(joined.complete);
    assert_eq!(joined.entries[0], Entry { number: number(1), size: Some(10), uid: uid(b"a"), ordinal: 0 });
    assert!(joined.clone().against(stat(2)).complete);
    assert!(!joined.against(stat(3)).complete);
}

#[test]
fn an_empty_maildrop_is_complete() {
    assert!(join(&scan(&[]), &uids(&[])).complete);
}

#[test]
fn disagreeing_listings_give_the_intersection_and_are_incomplete() {
    let joined = join(&scan(&[b"1 10", b"2 20", b"3 30"]), &uids(&[b"2 b", b"3 c", b"4 d"]));
    let numbers: Vec<_> = joined.entries.iter().map(|entry| entry.number.value()).collect();
    assert_eq!(numbers, [2, 3]);
    assert!(!joined.complete);
    assert!(!join(&scan(&[b"1 10"]), &uids(&[])).complete);
    assert!(!join(&scan(&[b"1 10", b"junk"]), &uids(&[b"1 a"])).complete);
    assert!(!join(&scan(&[b"1 10"]), &uids(&[b"1 a", b"junk"])).complete);
    assert!(!join(&scan(&[b"1 10"]), &uids(&[b"1 a", b"2 b"])).complete);
    assert!(join(&scan(&[b"1 10"]), &uids(&[b"1 a"])).complete);
}

#[test]
fn equal_ids_are_numbered_in_order_and_all_kept() {
    let joined =
        join(&scan(&[b"1 1", b"2 2", b"3 3", b"4 4"]), &uids(&[b"1 same", b"2 other", b"3 same", b"4 same"]));
    let ordinals: Vec<_> = joined.entries.iter().map(|entry| entry.ordinal).collect();
    assert_eq!(ordinals, [0, 0, 1, 2]);
    assert!(joined.complete);
}

#[test]
fn unique_ids_are_printed_without_control_characters() {
    assert_eq!(format!("{}", uid(b"a\x1b\xff")), "a\\u{1b}\\xff");
    assert!(UniqueId::new(Vec::new()).is_err());
    assert!(UniqueId::new(vec![b'x'; 1025]).is_err());
}
