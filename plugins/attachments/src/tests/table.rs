//! What other programs get wrong, row by row: each mail is as a program or an attacker wrote it.

use super::*;

/// One part with these lines in its header, after a text.
fn beside_a_text(header: &str) -> String {
    format!("Content-Type: multipart/mixed; boundary=b\n\n--b\n\nhi\n--b\n{header}\n\n%PDF-1.7\n--b--\n")
}

#[track_caller]
fn is_called(header: &str, expected: &str) {
    assert_eq!(keys(&run_raw(json!({}), &beside_a_text(header))), [expected], "{header}");
}

#[test]
fn a_first_part_that_is_an_inline_picture_is_stored() {
    let text = "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: image/png; name=scan.png\n\
                Content-Disposition: inline\n\nPNG\n--b\n\nhi\n--b--\n";
    assert_eq!(keys(&run_raw(json!({}), text)), ["scan.png"]);
}

#[test]
fn a_pdf_is_stored_whatever_its_disposition() {
    for disposition in [
        "",
        "Content-Disposition: inline\n",
        "Content-Disposition: attachment\n",
        "Content-Disposition: nonsense\n",
    ] {
        is_called(&format!("{disposition}Content-Type: application/pdf; name=a.pdf"), "a.pdf");
    }
}

#[test]
fn a_message_that_is_a_file_is_stored() {
    let text = "Content-Type: application/pdf; name=\"whole.pdf\"\nContent-Transfer-Encoding: base64\n\nJVBERi0xLjc=\n";
    assert_eq!(content(&run_raw(json!({}), text), "whole.pdf"), b"%PDF-1.7");
}

#[test]
fn names_as_programs_write_them() {
    for (header, expected) in [
        ("Content-Disposition: attachment; filename*0=\"ab\";\n filename*1=\"cd.pdf\"", "abcd.pdf"),
        ("Content-Disposition: attachment; filename=\"=?utf-8?Q?Gr=C3=BC=C3=9Fe.pdf?=\"", "Grüße.pdf"),
        (
            "Content-Disposition: attachment;\n filename*0=\"=?utf-8?B?R3LD\";\n filename*1=\"vMOfZS5wZGY=?=\"",
            "Grüße.pdf",
        ),
        (
            "Content-Disposition: attachment;\n filename*0*=utf-8''Gr%C3;\n filename*1*=%BC%C3%9Fe.pdf",
            "Grüße.pdf",
        ),
        ("Content-Disposition: attachment; filename*=''Gr%C3%BC%C3%9Fe.pdf", "Grüße.pdf"),
        ("Content-Disposition: attachment; filename=my own file.pdf", "my own file.pdf"),
        ("Content-Type: application/pdf; name*=iso-8859-1''Gr%FC%DFe.pdf", "Grüße.pdf"),
        ("Content-Disposition: attachment; filename=\"C:\\Users\\x\\bill.pdf\"", "bill.pdf"),
        ("Content-Disposition: attachment; filename=\"../../../etc/cron.d/x\"", "x"),
        ("Content-Disposition: attachment; filename=\"a\u{202e}fdp.exe\"", "afdp.exe"),
        ("Content-Disposition: attachment; filename=\"NUL.pdf\"", "_NUL.pdf"),
        ("Content-Disposition: attachment; filename=\"...\"\nContent-Type: application/pdf", "part-2"),
        ("Content-Disposition: attachment", "part-2.pdf"),
    ] {
        is_called(header, expected);
    }
}

#[test]
fn a_name_in_raw_latin_1_is_read() {
    let mut octets = beside_a_text("Content-Disposition: attachment; filename=\"GrXe.pdf\"")
        .replace('\n', "\r\n")
        .into_bytes();
    let at = octets.windows(4).position(|window| window == b"GrXe").unwrap();
    octets[at + 2] = 0xfc;
    assert_eq!(keys(&run_over(json!({}), &Mail::new().raw(&octets))), ["Grüe.pdf"]);
}

#[test]
fn a_million_empty_parts_cost_no_more_than_the_budget() {
    let text = format!("Content-Type: multipart/mixed; boundary=b\n\n{}", "--b\n\n".repeat(100_000));
    let run = run_raw(json!({}), &text);
    assert_eq!(run.result, Ok(()));
}

#[test]
fn thirty_thousand_messages_in_each_other_are_partial_and_stored_whole() {
    let run = run_raw(json!({}), &"Content-Type: message/rfc822\n\n".repeat(30_000));
    assert_eq!(run.result, Ok(()));
    assert!(run.effects.contains(&Effect::Label("attachments-partial".to_owned())), "{:?}", run.lines());
}

#[test]
fn a_dot_in_a_name_is_no_surprise_to_a_glob() {
    let mail = Mail::new().attach("a.b.pdf", "application/pdf", b"%PDF").attach("pdf", "text/x-a", b"a");
    assert_eq!(keys(&run_over(json!({ "include": ["*.pdf"] }), &mail)), ["a.b.pdf"]);
}
