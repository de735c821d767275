//! What is not taken out, and that the rest is.

use super::build::{Zip, base64, der_signed};
use super::*;

fn files(count: usize) -> Mail {
    (0..count).fold(Mail::new().text("hi"), |mail, n| mail.attach(&format!("{n}.txt"), "text/plain", b"x"))
}

fn labels(run: &Run) -> usize {
    run.effects.iter().filter(|effect| **effect == Effect::Label("attachments-partial".to_owned())).count()
}

#[test]
fn each_budget_gives_what_fits_and_a_label() {
    for (budget, stored) in
        [(json!({ "files": 3 }), 3), (json!({ "parts": 4 }), 3), (json!({ "files": 0 }), 0)]
    {
        let run = run_over(json!({ "budget": budget }), &files(5));
        assert_eq!((keys(&run).len(), labels(&run)), (stored, 1), "{budget}");
    }
    let run = run_over(json!({}), &files(5));
    assert_eq!((keys(&run).len(), labels(&run)), (5, 0));
}

#[test]
fn a_partial_message_may_be_set_aside_or_let_be() {
    let over =
        |on_partial: &str| run_over(json!({ "budget": { "files": 1 }, "on_partial": on_partial }), &files(2));
    let run = over("quarantine");
    assert!(
        run.lines().iter().any(|line| line.starts_with("quarantine attachments: 1 files are stored")),
        "{:?}",
        run.lines()
    );
    assert_eq!(over("ignore").lines().len(), 1);
}

#[test]
fn a_limit_of_the_host_gives_what_fits_too() {
    let limits = postroom_bench::Limits { effects: 2, ..Default::default() };
    let run =
        bench().limits(limits).run::<Attachments>(json!({ "sink": "files", "manifest": true }), &files(5));
    assert_eq!((keys(&run).len(), labels(&run)), (2, 1));
    let limits = postroom_bench::Limits { made_octets: 10, ..Default::default() };
    let zip = Zip::new().stored("a", b"123456").stored("b", b"1234567").build();
    let mail = Mail::new().attach("x.zip", "application/zip", &zip);
    let run = bench().limits(limits).run::<Attachments>(json!({ "sink": "files", "expand": ["zip"] }), &mail);
    assert_eq!((keys(&run), labels(&run)), (vec!["a".to_owned(), "x.zip".to_owned()], 1));
}

#[test]
fn a_bomb_is_stored_as_it_is_and_flagged() {
    let bomb = Zip::new().claims(20).deflated("bomb", &vec![0; 20_000_000]).build();
    let mail = Mail::new().attach("x.zip", "application/zip", &bomb);
    let run =
        run_over(json!({ "expand": ["zip"], "manifest": true, "budget": { "octets": "18 MB" } }), &mail);
    assert_eq!((&keys(&run)[0][..], labels(&run)), ("x.zip", 1));
    assert_eq!(part(&manifest(&run), "1+1")["flags"], json!(["nested", "bomb"]));
    let shared = Zip::new().stored("a", &[7; 100]).again("b").build();
    let run = run_over(
        json!({ "expand": ["zip"], "manifest": true }),
        &Mail::new().attach("x.zip", "application/zip", &shared),
    );
    assert_eq!(part(&manifest(&run), "1")["flags"], json!(["unopened", "bomb"]));
}

#[test]
fn containers_are_not_opened_for_ever() {
    let mut octets = b"Content-Type: application/pdf; name=deep.pdf\r\n\r\n%PDF".to_vec();
    for _ in 0..12 {
        let inside = base64(&der_signed(&octets));
        octets = format!(
            "Content-Type: application/pkcs7-mime\r\nContent-Transfer-Encoding: base64\r\n\r\n{inside}\r\n"
        )
        .into_bytes();
    }
    let run = run_over(json!({}), &Mail::new().raw(&octets));
    assert_eq!(labels(&run), 1);
    assert_eq!(keys(&run).len(), 1, "the innermost one that was reached is stored");
    assert_eq!(
        keys(&run_over(json!({ "budget": { "depth": 20 } }), &Mail::new().raw(&octets))),
        ["deep.pdf"]
    );
}

#[test]
fn a_message_with_too_many_parts_is_partial() {
    let parts = "--b\nContent-Type: application/pdf\n\n%PDF\n".repeat(1100);
    let run = run_raw(
        json!({ "budget": { "parts": 5000 } }),
        &format!("Content-Type: multipart/mixed; boundary=b\n\n{parts}--b--\n"),
    );
    assert_eq!(labels(&run), 1);
    assert!(keys(&run).len() >= 200);
}
