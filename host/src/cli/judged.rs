//! Cases that were run: what is said of them, and what `--bless` writes back. For the fixtures of a plugin and the tests
//! of a configuration alike.

use postroom_fixture::{Case, Fixtures, Judgement};
use postroom_mail::rules::neutral;
use serde_json::json;

use super::output;
use super::{Exit, Failure};

/// One case that was run.
pub(super) struct Judged {
    name: String,
    lines: Vec<String>,
    judgement: Judgement,
    blessed: bool,
    cpu_us: u64,
    peak_memory: u64,
}

impl From<postroom_fixture::Error> for Failure {
    fn from(error: postroom_fixture::Error) -> Self {
        use postroom_fixture::Error;
        let exit = match &error {
            Error::File { source, .. } if source.kind() != std::io::ErrorKind::NotFound => Exit::Io,
            Error::File { .. } | Error::Empty { .. } => Exit::NoInput,
            Error::Wrong { .. } | Error::Limits { .. } | Error::Orphan { .. } => Exit::Data,
        };
        Self::new(exit, error)
    }
}

impl Judged {
    /// Compares what was decided with what is expected; with `bless` it becomes what is expected.
    pub(super) fn of(
        fixtures: &Fixtures,
        case: &Case,
        lines: Vec<String>,
        (cpu_us, peak_memory): (u64, u64),
        bless: bool,
    ) -> Result<Self, Failure> {
        let judgement = case.judge(&lines);
        let blessed = bless && judgement != Judgement::Right;
        if blessed {
            fixtures.bless(case, &lines)?;
        }
        Ok(Self { name: case.name.clone(), lines, judgement, blessed, cpu_us, peak_memory })
    }

    fn ok(&self) -> bool {
        self.blessed || self.judgement == Judgement::Right
    }

    fn document(&self) -> serde_json::Value {
        let difference = match &self.judgement {
            Judgement::Wrong(difference) => Some(json!({
                "line": difference.line, "before": difference.before,
                "expected": difference.expected, "found": difference.found,
            })),
            Judgement::Right | Judgement::Unwritten => None,
        };
        json!({
            "case": self.name, "ok": self.ok(), "blessed": self.blessed, "lines": self.lines,
            "unwritten": self.judgement == Judgement::Unwritten, "difference": difference,
            "cpu_us": self.cpu_us, "peak_memory": self.peak_memory,
        })
    }

    fn print(&self, width: usize) {
        let word = match (self.ok(), self.blessed) {
            (true, false) => "ok",
            (true, true) => "blessed",
            (false, _) => "FAILED",
        };
        println!(
            "{word:7} {:width$}  {:>8} CPU  {:>9} memory",
            neutral(&self.name, 100),
            format!("{} µs", self.cpu_us),
            output::size(self.peak_memory)
        );
    }

    fn explain(&self, fixtures: &Fixtures) {
        let path = fixtures.directory.join(format!("{}.expected", self.name));
        let path = path.strip_prefix(".").unwrap_or(&path).display();
        match &self.judgement {
            Judgement::Right => {}
            Judgement::Wrong(difference) => println!("\n{path}, {difference}"),
            Judgement::Unwritten => {
                println!("\n{path} is not there yet; what was decided:");
                self.lines.iter().for_each(|line| println!("  + {line}"));
            }
        }
    }
}

/// Whether all are right, or were made so.
pub(super) fn exit(judged: &[Judged]) -> Exit {
    if judged.iter().all(Judged::ok) { Exit::Ok } else { Exit::Data }
}

/// For programs.
pub(super) fn documents(judged: &[Judged]) -> Vec<serde_json::Value> {
    judged.iter().map(Judged::document).collect()
}

/// For people: a line for each, then the first difference of each that failed.
pub(super) fn print(fixtures: &Fixtures, judged: &[Judged]) {
    let width = judged.iter().map(|case| case.name.chars().count()).max().unwrap_or(0);
    judged.iter().for_each(|case| case.print(width));
    judged.iter().filter(|case| !case.ok()).for_each(|case| case.explain(fixtures));
    let wrong = judged.iter().filter(|case| !case.ok()).count();
    if wrong == 0 {
        println!("\n{}", output::count(judged.len() as u64, "case is", "cases are") + " as expected");
    } else {
        println!("\n{wrong} of {} failed", output::count(judged.len() as u64, "case", "cases"));
        println!("if the new decisions are right, --bless writes them down as what is expected");
    }
}
