//! The manifest, and what it says of damage.

use super::*;

#[test]
fn the_manifest_tells_of_every_part_what_became_of_it() {
    let mail = Mail::new()
        .subject("Bill")
        .from("Ann <ann@a.example>")
        .date_ms(1_795_514_400_000)
        .text("see")
        .html("<img src=cid:l>")
        .inline("logo.png", "image/png", "l", b"\x89PNG\r\n\x1a\n")
        .attach("../№ 1.pdf", "application/pdf", b"%PDF-1.7")
        .attach("setup.pdf", "application/pdf", b"MZ\x90\0");
    let run = run_over(json!({ "manifest": true, "max_size": "7 B" }), &mail);
    let manifest = manifest(&run);
    let said: Vec<_> =
        ["message", "account", "date", "from", "subject"].iter().map(|name| manifest[name].clone()).collect();
    assert_eq!(
        said[1..],
        [json!("home"), json!("2026-11-24T10:00:00Z"), json!("ann@a.example"), json!("Bill")]
    );
    assert_eq!(said[0].as_str().unwrap().len(), 64);
    let parts = manifest["parts"].as_array().unwrap();
    assert_eq!(parts.len(), 5);
    assert!(parts.iter().all(|part| part["key"].is_string() != part["skipped"].is_string()), "{manifest:#}");
    let bill = part(&manifest, "2");
    assert_eq!(bill["name"], "../№ 1.pdf");
    assert_eq!(bill["raw_name"], "utf-8''..%2F%E2%84%96%201.pdf");
    assert_eq!(bill["skipped"], "8 octets are more than max_size, 7 B");
    assert_eq!(
        (&bill["flags"], &bill["sniffed"], &bill["disposition"]),
        (&json!(["unsafe-name"]), &json!("application/pdf"), &json!("attachment"))
    );
    let setup = part(&manifest, "3");
    assert_eq!((&setup["written"], &setup["flags"]), (&json!("setup.pdf"), &json!(["type-differs"])));
    assert_eq!(setup["sha256"].as_str().unwrap().len(), 64);
    assert_eq!(part(&manifest, "1.2")["flags"], json!(["decoration"]));
}

#[test]
fn the_manifest_goes_where_the_operator_says_and_only_where_there_are_files() {
    let mail = Mail::new().text("x").attach("a.txt", "text/plain", b"a");
    let run = run_over(json!({ "manifest": "lists/{id:8}.json" }), &mail);
    assert!(keys(&run).iter().any(|key| key.starts_with("lists/") && key.ends_with(".json")));
    assert_eq!(run_over(json!({ "manifest": true }), &Mail::new().text("x")).effects, []);
    assert_eq!(keys(&run_over(json!({ "manifest": false }), &mail)), ["a.txt"]);
}

#[test]
fn what_a_missing_boundary_cut_off_is_decoded_and_flagged() {
    let text = "Content-Type: multipart/mixed; boundary=b\n\n--b\n\nhi\n--b\nContent-Type: application/pdf; name=a.pdf\n\
                Content-Transfer-Encoding: base64\n\nJVBERi0xLjc=\n";
    let run = run_raw(json!({ "manifest": true }), text);
    assert_eq!(content(&run, "a.pdf"), b"%PDF-1.7");
    assert_eq!(part(&manifest(&run), "2")["flags"], json!(["damaged"]));
}

#[test]
fn cut_and_external_messages_are_flagged_and_never_fetched() {
    let text = "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: message/partial; id=x; number=1\n\nSubject: a\n\nx\n\
                --b\nContent-Type: message/external-body; access-type=URL; URL=\"http://a.example/\"\n\nContent-Type: image/png\n\n\n--b--\n";
    let manifest = manifest(&run_raw(json!({ "manifest": true }), text));
    assert_eq!(part(&manifest, "1")["flags"][0], "partial");
    assert_eq!(part(&manifest, "2")["flags"][0], "external");
}
