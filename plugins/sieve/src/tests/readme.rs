//! The README's scripts, run over the mails beside them, and the fixtures.

use super::*;

const README: &str = include_str!("../../README.md");

/// The blocks of code of a language, in order.
fn blocks(language: &str) -> Vec<&'static str> {
    let fence = format!("```{language}\n");
    README.split(&fence).skip(1).filter_map(|rest| rest.split("\n```").next()).collect()
}

/// "From: a@b.example, Subject: x"; a semicolon stands for a comma.
fn mail(fields: &str) -> Mail {
    fields.split(", ").fold(Mail::new(), |mail, field| {
        let (name, value) = field.split_once(": ").expect(field);
        mail.header(name, &value.replace(';', ","))
    })
}

#[test]
fn the_examples_of_the_readme_do_what_it_says() {
    let (scripts, cases) = (blocks("sieve"), blocks("text"));
    assert!(scripts.len() >= 4);
    assert_eq!(scripts.len(), cases.len());
    for (script, cases) in scripts.iter().zip(cases) {
        let mut careful = settings(script);
        careful.as_object_mut().unwrap().remove("discard");
        for case in cases.lines() {
            let (fields, expected) = case.split_once(" => ").expect(case);
            let run = bench().run::<Sieve>(careful.clone(), &mail(fields));
            assert_eq!(did(&run).join(" | "), expected, "{case}");
        }
    }
}

#[test]
fn the_readme_names_every_setting_and_every_extension() {
    let described: Value = serde_json::from_str(&postroom_bench::describe::<Sieve>()).unwrap();
    let schema = &described["settings"];
    for setting in schema["properties"].as_object().unwrap().keys() {
        assert!(README.contains(&format!("| `{setting}")), "{setting}");
    }
    for (extension, _) in crate::extension::KNOWN {
        let shown = extension.strip_prefix("comparator-").unwrap_or(extension);
        assert!(README.contains(&format!("`{shown}`")), "{extension}");
    }
}

#[test]
fn the_fixtures_are_decided_as_they_say() {
    postroom_bench::fixtures::<Sieve>("fixtures");
}
