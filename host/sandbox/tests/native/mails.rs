//! Mails that both sides see: the examples, and what a parser may stumble over.

use std::path::Path;

use postroom_bench::Mail;

/// Title and octets.
pub(crate) fn mails() -> Vec<(String, Vec<u8>)> {
    let mut mails = examples();
    mails.extend(put_together().into_iter().map(|(title, mail)| (title.to_owned(), mail.octets())));
    let odd = odd().into_iter();
    mails.extend(odd.map(|(title, text)| (title.to_owned(), text.replace('\n', "\r\n").into_bytes())));
    mails.push(("octets that are no mail".to_owned(), (0..=255).cycle().take(5000).collect()));
    mails.push((
        "8-bit fields".to_owned(),
        b"Subject: caf\xe9\r\nFrom: J\xfcrg <j@x.example>\r\n\r\n\xff".to_vec(),
    ));
    mails
}

/// As they are, with bare line feeds, and as they come over the wire.
fn examples() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/mail");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("the examples") {
        let path = entry.expect("an entry").path();
        let title = path.file_name().expect("a name").to_string_lossy().into_owned();
        let octets = std::fs::read(&path).expect("a mail");
        let mut wire = Vec::new();
        for octet in octets.iter().filter(|octet| **octet != b'\r') {
            wire.extend_from_slice(if *octet == b'\n' { b"\r\n" } else { std::slice::from_ref(octet) });
        }
        found.push((format!("{title}, on the wire"), wire));
        found.push((title, octets));
    }
    assert!(found.len() >= 24, "only {} examples", found.len());
    found.sort();
    found
}

fn put_together() -> Vec<(&'static str, Mail)> {
    let invoice = || Mail::new().from("Zoë Å <zoe@shop.example>").to("me@x.example").subject("Rechnung №7");
    vec![
        ("nothing at all", Mail::new()),
        ("one text", invoice().text("see below")),
        ("an invoice", invoice().text("a").html("b").attach("Größe.pdf", "application/pdf", b"%PDF-1.7")),
        (
            "decoration and files",
            invoice()
                .text("a")
                .html("<img src=cid:l>")
                .inline("l.png", "image/png", "l", b"PNG")
                .attach("same.pdf", "application/pdf", b"one")
                .attach("same.pdf", "application/pdf", b"two")
                .attach("same.pdf", "application/pdf", b"two")
                .attach_unnamed("application/zip", b"PK"),
        ),
        ("a name to escape with", invoice().attach("../../CON", "text/plain", b"x")),
        // Large enough that runs of its base64 are left out of the skeleton.
        ("a large file", invoice().text("a").attach("large.pdf", "application/pdf", &[7; 100_000])),
        ("spam", Mail::new().subject("WIN NOW").from("a@b.example").text("win")),
        ("a bounce", Mail::new().header("Return-Path", "<>").subject("Invoice failed").text("x")),
        ("many hops", (0..60).fold(Mail::new(), |mail, n| mail.header("Received", &format!("hop {n}")))),
    ]
}

fn odd() -> Vec<(&'static str, String)> {
    let multipart = "Subject: invoice\nContent-Type: multipart/mixed; boundary=b\n\n";
    vec![
        (
            "bad base64",
            format!(
                "{multipart}--b\nContent-Type: application/pdf; name=a.pdf\nContent-Transfer-Encoding: base64\n\nJVBE!!Rg\n@@@\nJVBERg=\n--b--\n"
            ),
        ),
        (
            "base64 that is cut",
            format!(
                "{multipart}--b\nContent-Type: application/pdf\nContent-Transfer-Encoding: base64\n\n{}",
                "JVBERi0xLjcKJVBERi0xLjcKJVBERi0xLjcKJVBERi0xLjcKJVBERi0xLjcKJVBERi0xLjcKJVBE\n".repeat(50)
            ),
        ),
        (
            "RFC 2231 names",
            format!(
                "{multipart}--b\nContent-Type: application/pdf; name*0*=utf-8''R%C3%A9; name*1=\"sum\"; name*2*=%C3%A9.pdf\n\n%PDF\n--b\nContent-Disposition: attachment; filename*=iso-8859-1'de'Gr%F6%DFe.pdf\nContent-Type: application/pdf\n\n%PDF 2\n--b--\n"
            ),
        ),
        (
            "a forwarded mail with files inside",
            format!(
                "{multipart}--b\nContent-Type: message/rfc822\n\nSubject: inner\nContent-Type: multipart/mixed; boundary=i\n\n--i\n\ntext\n--i\nContent-Type: application/pdf; name=inner.pdf\n\n%PDF\n--i--\n--b\n\nouter\n--b--\n"
            ),
        ),
        (
            "a multipart that never ends",
            "Content-Type: multipart/mixed; boundary=out\n\n--out\nContent-Type: multipart/alternative; boundary=in\n\n--in\n\nplain\n--out\nContent-Type: application/pdf; name=a.pdf\nContent-Transfer-Encoding: base64\n\nJVBERg==\n".to_owned(),
        ),
        (
            "a digest",
            "Content-Type: multipart/digest; boundary=b\n\n--b\n\nSubject: one\n\nfirst\n--b\n\nSubject: two\n\nsecond\n--b--\n"
                .to_owned(),
        ),
        ("nested too deep", "Content-Type: message/rfc822\n\n".repeat(100)),
        ("more parts than are looked at", format!("{multipart}{}--b--\n", "--b\nContent-Type: a/b\n\nx\n".repeat(1100))),
        (
            "an unknown charset and encoding",
            "Subject: =?x-none?B?aW52b2ljZQ==?= =?utf-8?Q?=FF?=\nContent-Type: text/plain; charset=x-none\nContent-Transfer-Encoding: x-uuencode\n\nGr\u{fc}\u{df}e\n"
                .to_owned(),
        ),
        ("a header without an end", "Subject: invoice\nFrom: a@b.example".to_owned()),
        ("a mail that went this way", "X-Postroom-Forwarded: x; route=0\n".repeat(12) + "\nbody\n"),
        ("addresses that are none", "From: , ;:<>@\nTo: a b c <<x>>\nReturn-Path: < >\n\nx\n".to_owned()),
    ]
}
