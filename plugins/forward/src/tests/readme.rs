//! The README's examples, run as it says.

use super::*;

const README: &str = include_str!("../../README.md");

/// The blocks of code of a language, in order.
fn blocks(language: &str) -> Vec<&'static str> {
    let fence = format!("```{language}\n");
    README.split(&fence).skip(1).filter_map(|rest| rest.split("\n```").next()).collect()
}

/// "From: a@b.example | Subject: x".
fn mail(fields: &str) -> Mail {
    fields.split(" | ").fold(Mail::new(), |mail, field| {
        let (name, value) = field.split_once(": ").expect(field);
        mail.header(name, value)
    })
}

/// The effects without sizes, which the host's own texts decide.
fn did(run: &Run) -> String {
    let without_size =
        |line: String| match line.strip_suffix(" octets").and_then(|line| line.rsplit_once(' ')) {
            Some((line, _)) => line.to_owned(),
            None => line,
        };
    run.lines().into_iter().map(without_size).collect::<Vec<_>>().join(" | ")
}

#[test]
fn the_examples_of_the_readme_do_what_it_says() {
    let (steps, cases) = (blocks("toml"), blocks("text"));
    assert!(steps.len() >= 4);
    assert_eq!(steps.len(), cases.len());
    for (step, cases) in steps.iter().zip(cases) {
        let file: Value = toml::from_str(step).unwrap();
        let settings = &file["pipelines"]["main"]["steps"][0]["settings"];
        for case in cases.lines() {
            let (fields, expected) = case.split_once(" => ").expect(case);
            let run = bench().run::<Forward>(settings.clone(), &mail(fields));
            assert_eq!(did(&run), expected, "{case}");
        }
    }
}

#[test]
fn the_readme_names_every_setting() {
    let described: Value = serde_json::from_str(&postroom_bench::describe::<Forward>()).unwrap();
    for setting in described["settings"]["properties"].as_object().unwrap().keys() {
        assert!(README.contains(&format!("| `{setting}")), "{setting}");
    }
}
