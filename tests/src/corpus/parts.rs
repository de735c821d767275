//! Owns the making of one mail of each kind. Must take every choice from the given randomness.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::{Kind, Mail};

/// SplitMix64: small, and the same on every machine.
#[derive(Debug)]
pub(super) struct Random {
    state: u64,
}

impl Random {
    /// The randomness of one mail, independent of how many come before it.
    pub(super) fn of(seed: u64, ordinal: usize) -> Self {
        let mut random = Self { state: seed ^ (ordinal as u64).wrapping_mul(0xA24B_AED4_963E_E407) };
        random.next();
        random
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number from `low` up to but not including `high`.
    fn between(&mut self, low: usize, high: usize) -> usize {
        low + (self.next() % (high - low) as u64) as usize
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.between(0, from.len())]
    }

    fn octets(&mut self, count: usize) -> Vec<u8> {
        let mut octets = Vec::with_capacity(count + 8);
        while octets.len() < count {
            octets.extend_from_slice(&self.next().to_le_bytes());
        }
        octets.truncate(count);
        octets
    }
}

const PEOPLE: [&str; 6] = ["ann", "bob", "cleo", "dan", "eve", "fay"];
const HOSTS: [&str; 4] = ["mail.example", "shop.example", "office.example", "list.example"];
const WORDS: [&str; 24] = [
    "invoice", "meeting", "tomorrow", "please", "find", "the", "attached", "order", "number", "we", "would",
    "like", "to", "thank", "you", "for", "your", "answer", "until", "Monday", "report", "is", "ready",
    "again",
];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Makes the mail.
pub(super) fn mail(kind: Kind, ordinal: usize, random: &mut Random) -> Mail {
    let mut octets = header(kind, ordinal, random);
    octets.extend(content(kind, random));
    Mail { kind, octets }
}

fn header(kind: Kind, ordinal: usize, random: &mut Random) -> Vec<u8> {
    let (from, to, host) = (random.pick(&PEOPLE), random.pick(&PEOPLE), random.pick(&HOSTS));
    let date = format!(
        "{} {} 2026 {:02}:{:02}:{:02} +0{}00",
        random.between(1, 29),
        random.pick(&MONTHS),
        random.between(0, 24),
        random.between(0, 60),
        random.between(0, 60),
        random.between(0, 3),
    );
    let id = format!("{:016x}.{ordinal}@{host}", random.next());
    let mut header = format!(
        "Return-Path: <{from}@{host}>\r\nReceived: from {host} (relay.{host} [192.0.2.{}])\r\n\tby mx.home.example with \
         ESMTPS id {:08X};\r\n\t{date}\r\n",
        random.between(1, 255),
        random.next() as u32,
    );
    match kind {
        Kind::MailingList => header.push_str(&format!(
            "List-Id: The {from} list <{from}.list.example>\r\nList-Unsubscribe: <mailto:{from}-leave@list.example>,\r\n \
             <https://list.example/leave/{from}>\r\nList-Post: <mailto:{from}@list.example>\r\nPrecedence: list\r\n"
        )),
        Kind::Spam => header.push_str(&format!(
            "X-Spam-Flag: YES\r\nX-Spam-Level: **********\r\nX-Spam-Status: Yes, score={}.{} required=5.0 \
             tests=BAYES_99,\r\n\tURIBL_BLACK autolearn=no\r\n",
            random.between(6, 30),
            random.between(0, 10),
        )),
        Kind::Plain
        | Kind::Alternative
        | Kind::Pdf
        | Kind::Xml
        | Kind::InlineImage
        | Kind::EightBit
        | Kind::QuotedPrintable
        | Kind::LongLines
        | Kind::Dots
        | Kind::Rfc2231Name
        | Kind::Rfc2047Name
        | Kind::Forwarded
        | Kind::Empty => {}
    }
    let subject = match kind {
        Kind::EightBit | Kind::QuotedPrintable => format!("=?UTF-8?Q?Gr=C3=BC=C3=9Fe_{ordinal}?="),
        Kind::MailingList => format!("[{from}] {}", sentence(random, 5)),
        _ => sentence(random, 5),
    };
    header.push_str(&format!(
        "From: \"{from} of {host}\" <{from}@{host}>\r\nTo: <{to}@home.example>\r\nSubject: {subject}\r\nDate: \
         {date}\r\nMessage-ID: <{id}>\r\nMIME-Version: 1.0\r\n"
    ));
    header.into_bytes()
}

/// The content's own header, the empty line and the body.
fn content(kind: Kind, random: &mut Random) -> Vec<u8> {
    match kind {
        Kind::Plain | Kind::MailingList | Kind::Spam => plain(random),
        Kind::Alternative => {
            let html = text(
                "text/html; charset=us-ascii",
                "7bit",
                &format!("<html><body><p>{}</p></body></html>\r\n", sentence(random, 12)),
            );
            let parts = [plain(random), html];
            multipart(random, "alternative", &parts)
        }
        Kind::Pdf => {
            let mut pdf = b"%PDF-1.7\n".to_vec();
            let size = random.between(2_000, 300_000);
            pdf.extend(random.octets(size));
            pdf.extend_from_slice(b"\n%%EOF\n");
            let number = random.between(1000, 9999);
            with_attachment(
                random,
                "application/pdf",
                &format!("filename=\"invoice-{number}.pdf\""),
                "",
                &pdf,
            )
        }
        Kind::Xml => {
            let mut xml = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Invoice>\n".to_owned();
            for line in 0..random.between(20, 2000) {
                xml.push_str(&format!("  <Line id=\"{line}\" amount=\"{}\"/>\n", random.between(1, 100_000)));
            }
            xml.push_str("</Invoice>\n");
            with_attachment(random, "application/xml", "filename=invoice.xml", "", xml.as_bytes())
        }
        Kind::InlineImage => {
            let id = format!("{:x}@mail.example", random.next());
            let html = text(
                "text/html; charset=us-ascii",
                "7bit",
                &format!("<html><body><img src=\"cid:{id}\"></body></html>\r\n"),
            );
            let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
            let size = random.between(500, 60_000);
            png.extend(random.octets(size));
            let mut image = format!(
                "Content-Type: image/png\r\nContent-ID: <{id}>\r\nContent-Disposition: inline; filename=\"logo.png\"\r\n\
                 Content-Transfer-Encoding: base64\r\n\r\n"
            )
            .into_bytes();
            image.extend(base64_lines(&png));
            multipart(random, "related", &[html, image])
        }
        Kind::EightBit => {
            let body = format!("Schöne Grüße, 你好, привет 🙂\r\n{}\r\n", sentence(random, 20));
            text("text/plain; charset=utf-8", "8bit", &body)
        }
        Kind::QuotedPrintable => {
            let body = format!(
                "Sch=F6ne Gr=FC=DFe und eine Zeile, die weich =\r\numgebrochen ist =3D {}\r\n",
                sentence(random, 3)
            );
            text("text/plain; charset=iso-8859-1", "quoted-printable", &body)
        }
        Kind::LongLines => {
            let line = sentence(random, 900);
            let short = sentence(random, 4);
            text("text/plain; charset=us-ascii", "7bit", &format!("{line}\r\n{short}\r\n{line}\r\n"))
        }
        Kind::Dots => {
            let word = random.pick(&WORDS);
            let body = format!(".\r\n..\r\n.{word}\r\n...{word}\r\n{word}.\r\n\r\n.\r\n");
            text("text/plain; charset=us-ascii", "7bit", &body)
        }
        Kind::Rfc2231Name => {
            let number = random.between(1, 1000);
            let name =
                format!("filename*0*=UTF-8''%C3%9Cbersicht%20;\r\n\tfilename*1*=%E2%82%AC%20{number}.pdf");
            let size = random.between(100, 5_000);
            let octets = random.octets(size);
            with_attachment(random, "application/octet-stream", &name, "", &octets)
        }
        Kind::Rfc2047Name => {
            let name = BASE64_STANDARD.encode(format!("Übersicht {}.png", random.between(1, 1000)));
            let size = random.between(100, 5_000);
            let octets = random.octets(size);
            let word = format!("=?UTF-8?B?{name}?=");
            let parameter = format!(";\r\n\tname=\"{word}\"");
            with_attachment(random, "image/png", &format!("filename=\"{word}\""), &parameter, &octets)
        }
        Kind::Forwarded => {
            let mut inner =
                b"Content-Type: message/rfc822\r\nContent-Disposition: attachment\r\n\r\n".to_vec();
            inner.extend(header(Kind::Plain, 0, random));
            inner.extend(plain(random));
            let note = plain(random);
            multipart(random, "mixed", &[note, inner])
        }
        Kind::Empty => b"\r\n".to_vec(),
    }
}

fn plain(random: &mut Random) -> Vec<u8> {
    let lines = random.between(1, 40);
    let body: String = (0..lines).map(|_| sentence(random, 11) + "\r\n").collect();
    text("text/plain; charset=us-ascii", "7bit", &body)
}

fn text(content_type: &str, encoding: &str, body: &str) -> Vec<u8> {
    format!("Content-Type: {content_type}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n{body}")
        .into_bytes()
}

fn with_attachment(
    random: &mut Random,
    content_type: &str,
    file_name: &str,
    parameter: &str,
    octets: &[u8],
) -> Vec<u8> {
    let mut attachment = format!(
        "Content-Type: {content_type}{parameter}\r\nContent-Disposition: attachment;\r\n\t{file_name}\r\n\
         Content-Transfer-Encoding: base64\r\n\r\n"
    )
    .into_bytes();
    attachment.extend(base64_lines(octets));
    let note = plain(random);
    multipart(random, "mixed", &[note, attachment])
}

fn multipart(random: &mut Random, subtype: &str, parts: &[Vec<u8>]) -> Vec<u8> {
    let boundary = format!("=_{:016x}", random.next());
    let mut octets = format!(
        "Content-Type: multipart/{subtype};\r\n\tboundary=\"{boundary}\"\r\n\r\nA multipart mail.\r\n"
    )
    .into_bytes();
    for part in parts {
        octets.extend(format!("\r\n--{boundary}\r\n").into_bytes());
        octets.extend_from_slice(part);
    }
    octets.extend(format!("\r\n--{boundary}--\r\n").into_bytes());
    octets
}

fn base64_lines(octets: &[u8]) -> Vec<u8> {
    let encoded = BASE64_STANDARD.encode(octets);
    encoded.as_bytes().chunks(76).flat_map(|line| [line, b"\r\n"].concat()).collect()
}

fn sentence(random: &mut Random, words: usize) -> String {
    (0..words).map(|_| random.pick(&WORDS)).collect::<Vec<_>>().join(" ")
}
