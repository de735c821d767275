//! What is taken out of what.

use super::build::{Stream, Zip, base64, ber_signed, der_enveloped, der_signed};
use super::*;

const INSIDE: &[u8] = b"Content-Type: multipart/mixed; boundary=i\r\n\r\n--i\r\nContent-Type: text/plain\r\n\r\nhello\r\n--i\r\n\
    Content-Type: application/pdf; name=\"plain.pdf\"\r\n\r\n%PDF-1.7\r\n--i\r\nContent-Type: image/png; name=\"a.png\"\r\n\
    Content-Transfer-Encoding: base64\r\n\r\niVBORw0KGgo=\r\n--i--\r\n";

fn attached(name: &str, content_type: &str, octets: &[u8]) -> Mail {
    Mail::new().text("see the file").attach(name, content_type, octets)
}

#[test]
fn files_in_winmail_dat_are_stored_instead_of_it() {
    let tnef = Stream::new().text("hi").file("BILL~1.PDF", Some("bill.pdf"), b"%PDF-1.7").build();
    for mail in [
        attached("winmail.dat", "application/ms-tnef", &tnef),
        attached("WINMAIL.DAT", "application/octet-stream", &tnef),
        attached("other.bin", "application/octet-stream", &tnef),
        Mail::new().text("x").attach_unnamed("application/vnd.ms-tnef", &tnef),
    ] {
        let run = run_over(json!({}), &mail);
        assert_eq!(keys(&run), ["bill.pdf"]);
        assert_eq!(content(&run, "bill.pdf"), b"%PDF-1.7");
        assert!(
            reasons(&run).iter().any(|(_, reason)| reason.starts_with("opened: ")),
            "{:?}",
            reasons(&run)
        );
    }
    let mail = attached("winmail.dat", "application/ms-tnef", &tnef);
    assert_eq!(keys(&run_over(json!({ "keep_opened": true }), &mail)), ["winmail.dat", "bill.pdf"]);
    assert_eq!(keys(&run_over(json!({ "open": [] }), &mail)), ["winmail.dat"]);
}

#[test]
fn a_body_in_winmail_dat_is_stored_only_where_there_is_no_other_text() {
    let tnef = Stream::new().text("hi").html(b"<p>hi</p>").build();
    assert_eq!(keys(&run_over(json!({}), &attached("winmail.dat", "application/ms-tnef", &tnef))), [""; 0]);
    let alone = Mail::new().attach("winmail.dat", "application/ms-tnef", &tnef);
    assert_eq!(keys(&run_over(json!({}), &alone)), ["body.html"]);
}

#[test]
fn an_invitation_in_winmail_dat_becomes_a_calendar_file() {
    let tnef = Stream::new().invitation("Lunch", 1_795_514_400_000, 1_795_518_000_000).build();
    let run = run_over(json!({}), &attached("winmail.dat", "application/ms-tnef", &tnef));
    assert_eq!(keys(&run), ["invitation.ics"]);
    assert!(content(&run, "invitation.ics").starts_with(b"BEGIN:VCALENDAR\r\n"));
}

#[test]
fn damaged_tnef_is_kept_beside_what_came_out_of_it() {
    let mut tnef = Stream::new().file("a.txt", None, b"one").file("b.txt", None, b"two").build();
    tnef.truncate(tnef.len() - 4);
    let run = run_over(json!({ "manifest": true }), &attached("winmail.dat", "application/ms-tnef", &tnef));
    assert_eq!(keys(&run)[..2], ["winmail.dat", "a.txt"]);
    assert_eq!(part(&manifest(&run), "2")["flags"], json!(["damaged", "opened"]));
}

#[test]
fn a_file_in_the_text_is_taken_out_by_uudecode() {
    let run = run_over(json!({}), &Mail::new().text("Hi,\n\nbegin 644 cat.txt\n#0V%T\n`\nend\n\nBye\n"));
    assert_eq!((keys(&run), content(&run, "cat.txt")), (vec!["cat.txt".to_owned()], &b"Cat"[..]));
}

#[test]
fn a_part_that_is_uuencoded_is_decoded() {
    let text = "Content-Type: application/octet-stream\nContent-Transfer-Encoding: x-uuencode\n\n\
                begin 600 ../cat.bin\n#0V%T\n`\nend\n";
    let run = run_raw(json!({}), text);
    assert_eq!((keys(&run), content(&run, "cat.bin")), (vec!["cat.bin".to_owned()], &b"Cat"[..]));
}

#[test]
fn signed_smime_is_opened_in_der_and_in_ber() {
    for octets in [der_signed(INSIDE), ber_signed(INSIDE, 40)] {
        for (name, content_type) in
            [("smime.p7m", "application/pkcs7-mime"), ("smime.p7m", "application/octet-stream")]
        {
            let run = run_over(json!({ "manifest": true }), &Mail::new().attach(name, content_type, &octets));
            assert_eq!(keys(&run)[..2], ["plain.pdf", "a.png"]);
            assert_eq!(content(&run, "plain.pdf"), b"%PDF-1.7");
            assert_eq!(content(&run, "a.png"), b"\x89PNG\r\n\x1a\n");
            let manifest = manifest(&run);
            assert_eq!(part(&manifest, "1")["flags"], json!(["signed", "opened"]));
            assert_eq!(part(&manifest, "1+1")["skipped"], "text of the message");
            assert_eq!(part(&manifest, "1+2")["flags"], json!(["nested"]));
        }
    }
}

#[test]
fn encrypted_smime_and_pgp_are_stored_and_flagged() {
    let mail = Mail::new()
        .attach("smime.p7m", "application/pkcs7-mime", &der_enveloped())
        .attach("a.gpg", "application/octet-stream", b"\x85\x01")
        .attach("encrypted.asc", "application/octet-stream", b"-----BEGIN PGP MESSAGE-----\n")
        .attach("key.asc", "application/pgp-keys", b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n");
    let run = run_over(json!({ "manifest": true }), &mail);
    assert_eq!(keys(&run)[..4], ["smime.p7m", "a.gpg", "encrypted.asc", "key.asc"]);
    let manifest = manifest(&run);
    let flags: Vec<_> =
        ["1", "2", "3", "4"].iter().map(|path| part(&manifest, path)["flags"].clone()).collect();
    assert_eq!(flags, [json!(["encrypted"]), json!(["encrypted"]), json!(["encrypted"]), json!([])]);
    let inline = Mail::new().text("-----BEGIN PGP MESSAGE-----\n\nabc\n").attach("a.txt", "text/plain", b"a");
    assert_eq!(
        part(&self::manifest(&run_over(json!({ "manifest": true }), &inline)), "1")["flags"],
        json!(["encrypted"])
    );
}

#[test]
fn an_attached_message_gives_itself_and_its_files() {
    let inside = String::from_utf8(INSIDE.to_vec()).unwrap();
    let head = "Content-Type: multipart/mixed; boundary=o\n\n--o\n\nhi\n--o\nContent-Type: message/rfc822; name=f.eml\n";
    let identity = run_raw(json!({ "manifest": true }), &format!("{head}\n{inside}\n--o--\n"));
    assert_eq!(keys(&identity)[..3], ["f.eml", "plain.pdf", "a.png"]);
    assert_eq!(part(&manifest(&identity), "2.2")["flags"], json!(["nested"]));
    let encoded = format!("{head}Content-Transfer-Encoding: base64\n\n{}\n--o--\n", base64(INSIDE));
    let run = run_raw(json!({ "manifest": true }), &encoded);
    assert_eq!(keys(&run)[..3], ["f.eml", "plain.pdf", "a.png"]);
    assert_eq!(part(&manifest(&run), "2+2")["written"], "plain.pdf");
    for text in [format!("{head}\n{inside}\n--o--\n"), encoded] {
        assert_eq!(keys(&run_raw(json!({ "open": [] }), &text)), ["f.eml"]);
    }
}

#[test]
fn an_archive_is_taken_apart_only_when_the_operator_says_so() {
    let zip = Zip::new().stored("a.txt", b"one").deflated("d/../../b.txt", b"two").stored("d/", b"").build();
    let mail = attached("x.zip", "application/zip", &zip);
    assert_eq!(keys(&run_over(json!({}), &mail)), ["x.zip"]);
    assert_eq!(keys(&run_over(json!({ "expand": ["zip"] }), &mail)), ["a.txt", "b.txt"]);
    assert_eq!(
        keys(&run_over(json!({ "expand": ["zip"], "keep_opened": true }), &mail)),
        ["x.zip", "a.txt", "b.txt"]
    );
    let document = Zip::new().stored("[Content_Types].xml", b"").stored("word/document.xml", b"<x/>").build();
    let mail = attached("x.docx", "application/octet-stream", &document);
    assert_eq!(keys(&run_over(json!({ "expand": ["zip"] }), &mail)), ["x.docx"], "a document stays whole");
}

#[test]
fn a_container_is_stored_itself_when_not_all_that_was_in_it_could_be() {
    let zip = Zip::new().stored("a.txt", b"one").stored("b.txt", &[b'b'; 3000]).stored("c.txt", b"c").build();
    let mail = attached("x.zip", "application/zip", &zip).attach("d.txt", "text/plain", b"d");
    for budget in [json!({ "made": 100 }), json!({ "files": 2 }), json!({ "parts": 3 })] {
        let run = run_over(json!({ "expand": ["zip"], "budget": budget, "manifest": true }), &mail);
        assert!(keys(&run).contains(&"x.zip".to_owned()), "{budget}: {:?}", keys(&run));
        assert!(run.lines().iter().any(|line| line == "label attachments-partial"), "{budget}");
        let manifest = manifest(&run);
        assert_eq!(part(&manifest, "2")["written"], "x.zip", "{budget}");
    }
    let whole = run_over(json!({ "expand": ["zip"] }), &mail);
    assert_eq!(keys(&whole), ["a.txt", "b.txt", "c.txt", "d.txt"]);
}

#[test]
fn links_and_files_with_a_password_stay_in_the_archive_with_a_flag() {
    let zip = Zip::new()
        .mode(0o120_777)
        .stored("link", b"/etc/passwd")
        .encrypted()
        .stored("s.txt", b"x")
        .stored("b", b"b");
    let mail = attached("x.zip", "application/zip", &zip.build());
    let run = run_over(json!({ "expand": ["zip"], "manifest": true }), &mail);
    assert_eq!(keys(&run)[..2], ["x.zip", "b"], "not everything came out of it, so it is kept");
    let manifest = manifest(&run);
    assert_eq!(part(&manifest, "2+1")["flags"], json!(["nested", "special"]));
    assert_eq!(part(&manifest, "2+2")["flags"], json!(["nested", "encrypted"]));
    assert_eq!(part(&manifest, "2+2")["skipped"], "it needs a password");
}

#[test]
fn containers_are_opened_inside_of_each_other() {
    let zip = Zip::new().stored("deep.pdf", b"%PDF-1.7").build();
    let tnef = Stream::new().file("in.zip", None, &zip).build();
    let message = format!(
        "Content-Type: application/ms-tnef\r\nContent-Transfer-Encoding: base64\r\n\r\n{}\r\n",
        base64(&tnef)
    );
    let mail = Mail::new().attach("smime.p7m", "application/pkcs7-mime", &der_signed(message.as_bytes()));
    let run = run_over(json!({ "expand": ["zip"], "manifest": true }), &mail);
    assert_eq!(keys(&run)[..1], ["deep.pdf"]);
    assert_eq!(part(&manifest(&run), "1+1+1+1")["key"], "home/2026-11/deep.pdf");
}

#[test]
fn a_calendar_part_is_a_file() {
    let text = "Content-Type: multipart/alternative; boundary=b\n\n--b\n\nhi\n--b\nContent-Type: text/calendar; method=REQUEST\n\n\
                BEGIN:VCALENDAR\nMETHOD:REQUEST\nBEGIN:VEVENT\nUID:u1\nEND:VEVENT\nEND:VCALENDAR\n--b--\n";
    let run = run_raw(json!({ "manifest": true }), text);
    assert_eq!(keys(&run)[..1], ["part-2.ics"]);
    assert_eq!(part(&manifest(&run), "2")["calendar"], json!({ "method": "REQUEST", "uid": "u1" }));
}
