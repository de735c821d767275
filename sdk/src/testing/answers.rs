//! What targets answer on the bench. Grants and recorded answers only: the rules of paths and header fields are the host's.

use std::collections::{BTreeMap, BTreeSet};

use crate::fault::Fault;

/// One answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

/// The targets that are granted, and what each path of them answers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answers {
    granted: BTreeSet<String>,
    recorded: BTreeMap<(String, String), Result<Answer, Fault>>,
}

impl Answers {
    pub(crate) fn record(&mut self, target: &str, path: &str, answer: Result<Answer, Fault>) {
        self.granted.insert(target.to_owned());
        self.recorded.insert((target.to_owned(), path.to_owned()), answer);
    }

    /// A path without an answer is a mistake of the test, not a 404.
    pub(crate) fn of(&self, target: &str, path: &str) -> Result<Answer, Fault> {
        if !self.granted.contains(target) {
            return Err(Fault::Denied(format!("grants = {{ fetch = [\"{target}\"] }}")));
        }
        let recorded = self.recorded.get(&(target.to_owned(), path.to_owned()));
        recorded.cloned().unwrap_or_else(|| {
            Err(Fault::Other(format!(
                "the bench has no answer: add .answers({target:?}, {path:?}, 200, …) to it"
            )))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_recorded_is_answered() {
        let mut answers = Answers::default();
        answers.record("crm", "people/1", Ok(Answer { status: 200, body: b"x".to_vec() }));
        answers.record("crm", "slow", Err(Fault::Transient("no answer".to_owned())));
        assert_eq!(answers.of("crm", "people/1").unwrap().body, b"x");
        assert_eq!(answers.of("crm", "slow").unwrap_err(), Fault::Transient("no answer".to_owned()));
        assert!(
            matches!(answers.of("crm", "people/2"), Err(Fault::Other(text)) if text.contains("people/2"))
        );
        let denied = answers.of("erp", "people/1").unwrap_err();
        assert_eq!(denied, Fault::Denied("grants = { fetch = [\"erp\"] }".to_owned()));
    }
}
