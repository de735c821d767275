//! State files that the programs themselves wrote (getmail 6.18.11, fetchmail 6.4.37, mpop 1.4.18), and Thunderbird's
//! made after its source: each is read whole, cut at every octet, and found again in the listing it came from.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use postroom_seen::{Error, Foreign, Format, How, Mailbox, getmail, match_listing, read, write};

const GETMAIL: &[u8] = include_bytes!("samples/getmail/oldmail-127.0.0.1-39987-alice");
const GETMAIL_SPACE: &[u8] = include_bytes!("samples/getmail/oldmail-127.0.0.1-56377-alice");
const FETCHMAIL: &[u8] = include_bytes!("samples/fetchmail/slashes.fetchids");
const FETCHMAIL_ODD: &[u8] = include_bytes!("samples/fetchmail/odd.fetchids");
const MPOP: &[u8] = include_bytes!("samples/mpop/slashes");
const MPOP_SPACE: &[u8] = include_bytes!("samples/mpop/spaces");
const MPOP_TWICE: &[u8] = include_bytes!("samples/mpop/twice");
const THUNDERBIRD: &[u8] = include_bytes!("samples/thunderbird/popstate.dat");
const NETSCAPE: &[u8] = include_bytes!("samples/thunderbird/old-popstate.dat");

/// What the server listed when the samples called "slashes" were written.
const LISTING: [&[u8]; 6] = [b"a/b/c", b"UPPER", b"upper", b"*star", b"#hash", b"user@host"];

fn samples() -> Vec<(Format, &'static str, Vec<u8>)> {
    let export = write(&read(Format::Thunderbird, NETSCAPE).unwrap().entries);
    vec![
        (Format::Getmail, "oldmail-127.0.0.1-39987-alice", GETMAIL.to_vec()),
        (Format::Getmail, "oldmail-127.0.0.1-56377-alice", GETMAIL_SPACE.to_vec()),
        (Format::Fetchmail, ".fetchids", FETCHMAIL.to_vec()),
        (Format::Fetchmail, ".fetchids", FETCHMAIL_ODD.to_vec()),
        (Format::Mpop, "alice_at_127.0.0.1", MPOP.to_vec()),
        (Format::Mpop, "alice_at_127.0.0.1", MPOP_SPACE.to_vec()),
        (Format::Mpop, "alice_at_127.0.0.1", MPOP_TWICE.to_vec()),
        (Format::Thunderbird, "popstate.dat", THUNDERBIRD.to_vec()),
        (Format::Thunderbird, "popstate.dat", NETSCAPE.to_vec()),
        (Format::Postroom, "seen.txt", export),
    ]
}

fn alice(host: &str) -> Mailbox {
    Mailbox { user: "alice".to_owned(), host: host.to_owned(), port: None }
}

fn uids(entries: &[Foreign]) -> Vec<&[u8]> {
    entries.iter().map(|entry| entry.uid.as_slice()).collect()
}

#[test]
fn each_sample_is_told_by_its_content_and_read_without_a_bad_line() {
    for (format, name, octets) in samples() {
        assert_eq!(Format::detect(name, &octets), Some(format), "{name}");
        assert_eq!(Format::detect("renamed", &octets), Some(format), "{name}");
        let reading = read(format, &octets).unwrap();
        assert_eq!((reading.bad_count, reading.entries.is_empty()), (0, false), "{name}: {:?}", reading.bad);
    }
}

#[test]
fn a_sample_cut_anywhere_yields_only_entries_of_the_whole_one() {
    for (format, name, octets) in samples() {
        let whole = read(format, &octets).unwrap().entries;
        for length in 0..octets.len() {
            let Ok(cut) = read(format, &octets[..length]) else { continue };
            assert_eq!(uids(&cut.entries), uids(&whole)[..cut.entries.len()], "{name} cut at {length}");
            let _ = Format::detect(name, &octets[..length]);
        }
    }
}

#[test]
fn every_reader_survives_every_sample_with_each_octet_damaged() {
    let formats = [Format::Getmail, Format::Fetchmail, Format::Mpop, Format::Thunderbird, Format::Postroom];
    for (_, name, octets) in samples() {
        for place in 0..octets.len() {
            for damage in [0, b'\n', b' ', b'%', 0xff] {
                let mut damaged = octets.clone();
                damaged[place] = damage;
                for format in formats {
                    if let Ok(reading) = read(format, &damaged) {
                        assert!(
                            reading.entries.iter().all(|entry| !entry.uid.is_empty()),
                            "{name} at {place}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn what_each_program_wrote_is_found_in_the_listing_it_saw() {
    for (format, octets) in [(Format::Getmail, GETMAIL), (Format::Fetchmail, FETCHMAIL), (Format::Mpop, MPOP)]
    {
        let reading = read(format, octets).unwrap().of(&alice("127.0.0.1"));
        let mut listing = LISTING.to_vec();
        listing.push(b"new");
        let matched = match_listing(format, &reading.entries, &listing);
        let seen: Vec<_> = matched.entries.iter().map(Option::is_some).collect();
        assert_eq!(seen, [true, true, true, true, true, true, false], "{format}");
        assert_eq!(matched.doubtful, 0, "{format}");
    }
}

#[test]
fn getmail_writes_the_time_and_a_hyphen_for_each_slash() {
    let entries = read(Format::Getmail, GETMAIL).unwrap().entries;
    assert!(uids(&entries).contains(&b"a-b-c".as_slice()));
    assert!(entries.iter().all(|entry| entry.seen == Some(1_795_505_099) && entry.mailbox.is_none()));
    let spaced = read(Format::Getmail, GETMAIL_SPACE).unwrap().entries;
    assert!(uids(&spaced).contains(&b"with space".as_slice()));
}

#[test]
fn getmail_files_are_named_after_their_mailbox() {
    let mailbox = getmail::mailbox("oldmail-pop-3.example.net-995-al-ice").unwrap();
    let wanted = Mailbox { user: "al-ice".to_owned(), host: "pop-3.example.net".to_owned(), port: Some(995) };
    assert_eq!(mailbox, wanted);
    assert_eq!(getmail::file_name(&wanted).unwrap(), "oldmail-pop-3.example.net-995-al-ice");
    let odd = Mailbox { user: r"dom\:al/ice".to_owned(), host: "h".to_owned(), port: Some(110) };
    assert_eq!(getmail::file_name(&odd).unwrap(), "oldmail-h-110-dom-al-ice");
    for wrong in ["oldmail-", "oldmail-host-0-a", "oldmail-host-99999-a", "oldmail-host-110-", "mail-h-110-a"]
    {
        assert_eq!(getmail::mailbox(wrong), None, "{wrong}");
    }
}

#[test]
fn an_imap_file_of_getmail_is_refused_with_its_line() {
    let error = read(Format::Getmail, b"1700000000/17\x001795504833\n").unwrap_err();
    assert!(matches!(error, Error::Foreign { line: 1, .. }));
    assert!(error.to_string().contains("IMAP"), "{error}");
}

#[test]
fn fetchmail_keeps_one_word_and_128_octets_of_a_unique_id() {
    let entries = read(Format::Fetchmail, FETCHMAIL_ODD).unwrap().entries;
    let long = [b'L'; 300];
    assert!(uids(&entries).contains(&&long[..128]));
    let listing: [&[u8]; 5] = [b"with space", b"uid\xe9\xff", &long, b"a b c d", b"other"];
    let matched = match_listing(Format::Fetchmail, &entries, &listing);
    let seen: Vec<_> = matched.entries.iter().map(Option::is_some).collect();
    assert_eq!(seen, [true, true, true, true, false]);
}

#[test]
fn fetchmail_users_may_hold_at_signs_and_blanks() {
    let text = b"al ice@example.net@pop.example.net <1@x>\nBOB@Pop.Example.NET 2\nno mailbox\n";
    let reading = read(Format::Fetchmail, text).unwrap();
    let mailboxes = reading.mailboxes();
    assert_eq!(
        (mailboxes[0].user.as_str(), mailboxes[0].host.as_str()),
        ("al ice@example.net", "pop.example.net")
    );
    assert_eq!((reading.bad_count, reading.bad[0].line), (1, 3));
    let bob = Mailbox { user: "BOB".to_owned(), host: "pop.example.net.".to_owned(), port: Some(995) };
    assert_eq!(uids(&reading.clone().of(&bob).entries), [b"2"]);
    assert!(reading.of(&Mailbox { user: "bob".to_owned(), ..bob }).entries.is_empty());
}

#[test]
fn mails_that_an_entry_cannot_tell_apart_are_doubtful_and_not_seen() {
    let (one, other) = ([b'L'; 130].to_vec(), [[b'L'; 129].as_slice(), b"x"].concat());
    let line = [b"a@h ".as_slice(), &one[..128], b"\n"].concat();
    let once = read(Format::Fetchmail, &line).unwrap().entries;
    let matched = match_listing(Format::Fetchmail, &once, &[&one, &other]);
    assert_eq!((matched.entries, matched.doubtful), (vec![None, None], 2));
    let twice = read(Format::Fetchmail, &line.repeat(2)).unwrap().entries;
    assert_eq!(match_listing(Format::Fetchmail, &twice, &[&one, &other]).entries, [Some(0), Some(1)]);
}

#[test]
fn of_equal_unique_ids_as_many_are_seen_as_were_written() {
    let entries = read(Format::Mpop, MPOP_TWICE).unwrap().entries;
    let matched = match_listing(Format::Mpop, &entries, &["dup", "dup", "dup"]);
    assert_eq!(matched.entries, [Some(0), Some(1), None]);
}

#[test]
fn mpop_lists_end_where_they_say_and_damage_stays_in_its_list() {
    let text = b"# c\n 2 h alice\none\n 1 h bob\ntwo\nstray\n x h carol\nthree\n 3 h dave\n#four\n";
    let reading = read(Format::Mpop, text).unwrap();
    assert_eq!(uids(&reading.entries), [b"one".as_slice(), b"two", b"#four"]);
    let lines: Vec<_> = reading.bad.iter().map(|bad| bad.line).collect();
    assert_eq!(lines, [4, 6, 7, 8, 11]);
    let mailboxes: Vec<_> = reading.mailboxes().iter().map(|mailbox| mailbox.user.as_str()).collect();
    assert_eq!(mailboxes, ["alice", "bob", "dave"]);
}

#[test]
fn thunderbird_mails_without_their_body_are_not_seen() {
    let reading = read(Format::Thunderbird, THUNDERBIRD).unwrap().of(&alice("POP.example.net"));
    let how: Vec<_> = reading.entries.iter().map(|entry| entry.how).collect();
    assert_eq!(how, [How::Retrieved, How::Removing, How::HeaderOnly, How::HeaderOnly, How::Retrieved]);
    assert_eq!(reading.entries[0].seen, Some(1_795_504_833));
    let listing: [&[u8]; 4] = [b"0000000a5f5e1001", b"0000000c5f5e1001", b"0000000d5f5e1001", b"caf\xe9"];
    let matched = match_listing(Format::Thunderbird, &reading.entries, &listing);
    assert_eq!(matched.entries, [Some(0), None, None, Some(4)]);
}

#[test]
fn an_export_gives_every_octet_back() {
    let mailbox = Some(Mailbox { user: "a %\u{e9}".to_owned(), host: "h".to_owned(), port: Some(1) });
    let entry = |uid: Vec<u8>, how| Foreign {
        mailbox: mailbox.clone(),
        uid,
        ordinal: Some(2),
        size: Some(u64::MAX),
        seen: Some(-1),
        how,
    };
    let bare =
        Foreign { mailbox: None, ordinal: None, size: None, seen: None, ..entry(b"-".to_vec(), How::Marked) };
    let entries = [
        bare,
        entry((0..=255).collect(), How::Retrieved),
        entry(b"%41".to_vec(), How::Removing),
        entry(b"x".to_vec(), How::HeaderOnly),
    ];
    let octets = write(&entries);
    let reading = read(Format::Postroom, &octets).unwrap();
    assert_eq!((reading.entries.as_slice(), reading.bad_count), (entries.as_slice(), 0));
    assert!(octets.is_ascii());
}

#[test]
fn a_cut_export_is_noticed_even_between_two_lines() {
    let entries = read(Format::Fetchmail, FETCHMAIL).unwrap().entries;
    let octets = write(&entries);
    let end = octets.len() - "end 6\n".len();
    let reading = read(Format::Postroom, &octets[..end]).unwrap();
    assert_eq!((reading.entries, reading.bad_count), (entries, 1));
}

#[test]
fn an_export_of_a_later_version_is_refused() {
    let error = read(Format::Postroom, b"postroom-seen 2\x1b[2J\n").unwrap_err();
    assert!(error.to_string().contains("2%1B[2J"), "{error}");
}

#[test]
fn an_empty_file_holds_nothing_and_is_told_by_its_name() {
    assert_eq!(read(Format::Getmail, b"").unwrap().entries, []);
    assert_eq!(Format::detect("oldmail-h-110-alice", b""), Some(Format::Getmail));
    assert_eq!(Format::detect(".fetchids", b""), Some(Format::Fetchmail));
    assert_eq!(Format::detect("notes.txt", b"hello\n"), None);
}

#[test]
fn many_bad_lines_are_counted_and_the_first_twenty_described() {
    let text = [b"a@h uid\n".as_slice(), &b"nonsense\n".repeat(1000)].concat();
    let reading = read(Format::Fetchmail, &text).unwrap();
    assert_eq!((reading.entries.len(), reading.bad_count, reading.bad.len()), (1, 1000, 20));
}
