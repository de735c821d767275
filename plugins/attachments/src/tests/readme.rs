//! The examples of the README are run: each block of settings over one mail, and what the block after it says is stored is.

use super::build::{Stream, Zip, der_signed};
use super::*;

/// The mail of the README.
fn mail() -> Mail {
    let inside = b"Content-Type: application/pdf; name=contract.pdf\r\n\r\n%PDF-1.7 contract";
    let pictures = Zip::new()
        .stored("photos/one.jpg", b"\xff\xd8\xff one")
        .stored("two.jpg", b"\xff\xd8\xff two")
        .build();
    Mail::new()
        .subject("Papers")
        .from("Ann <ann@a.example>")
        .text("see the files")
        .html("<p>see the files <img src=cid:logo></p>")
        .inline("logo.png", "image/png", "logo", b"\x89PNG\r\n\x1a\n")
        .attach("Invoice 7.pdf", "application/pdf", b"%PDF-1.7 invoice")
        .attach("invoice 7.PDF", "application/pdf", b"%PDF-1.7 another")
        .attach(
            "winmail.dat",
            "application/ms-tnef",
            &Stream::new().file("PLAN~1.TXT", Some("plan.txt"), b"the plan").build(),
        )
        .attach("smime.p7m", "application/pkcs7-mime", &der_signed(inside))
        .attach("pictures.zip", "application/zip", &pictures)
}

#[test]
fn the_examples_of_the_readme_do_what_it_says() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let mut examples = 0;
    let mut rest = readme.as_str();
    while let Some((_, after)) = rest.split_once("```toml\n") {
        let (settings, after) = after.split_once("```").unwrap();
        let (_, after) = after.split_once("```text\n").unwrap();
        let (expected, after) = after.split_once("```").unwrap();
        rest = after;
        let step: toml::Value = toml::from_str(settings).unwrap();
        let settings = serde_json::to_value(&step["steps"][0]["settings"]).unwrap();
        let run = bench().run::<Attachments>(settings, &mail());
        assert_eq!(run.result, Ok(()));
        let lines: Vec<String> = run.lines().iter().map(|line| without_id(line)).collect();
        assert_eq!(lines, expected.lines().collect::<Vec<_>>(), "example {examples}");
        examples += 1;
    }
    assert!(examples >= 4, "{examples}");
}

/// Ids and sizes of manifests are not written down.
fn without_id(line: &str) -> String {
    match line.split_once(".manifest.json") {
        Some((start, _)) => format!("{}ID.manifest.json", &start[..start.len() - 16]),
        None => line.to_owned(),
    }
}

#[test]
fn the_readme_lists_every_setting() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let described: Value = serde_json::from_str(&postroom_bench::describe::<Attachments>()).unwrap();
    let schema = &described["settings"];
    let top = schema["properties"].as_object().unwrap().keys().cloned();
    let budget = schema["properties"]["budget"]["properties"]
        .as_object()
        .unwrap()
        .keys()
        .map(|name| format!("budget.{name}"));
    for name in top.chain(budget) {
        assert!(readme.contains(&format!("`{name}`")), "{name}");
    }
}
