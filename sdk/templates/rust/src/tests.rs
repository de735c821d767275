//! On the bench: no WebAssembly, no host, plain `cargo test`.

use postroom_bench::{Bench, Mail, fixtures, json};

use super::*;

#[test]
fn keeps_the_pdf_files_of_what_is_meant() {
    let mail = Mail::new()
        .subject("Your INVOICE of today")
        .attach("bill.pdf", "application/pdf", b"%PDF-1.7")
        .attach("terms.txt", "text/plain", b"terms");
    let settings = json!({ "sink": "papers", "words": ["receipt", "invoice"] });
    let run = Bench::new().sink("papers").run::<Documents>(settings, &mail);
    assert_eq!(run.result, Ok(()));
    assert_eq!(run.lines(), ["label document", "store papers:2026-11/bill.pdf 8 octets"]);
}

#[test]
fn leaves_other_mail_alone() {
    let mail = Mail::new().subject("Hello").attach("bill.pdf", "application/pdf", b"%PDF-1.7");
    let run = Bench::new().run::<Documents>(json!({ "sink": "papers", "words": ["invoice"] }), &mail);
    assert_eq!(run.result, Ok(()));
    assert!(run.effects.is_empty());
}

#[test]
fn the_fixtures_come_out_as_expected() {
    fixtures::<Documents>("fixtures");
}
