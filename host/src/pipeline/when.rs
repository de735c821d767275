//! Whether a step runs for a message. Data, not a language: accounts and labels; anything finer is a plugin's business.

use postroom_mail::{AccountId, Label};

use crate::config::When;

/// `None` when the step runs; otherwise why it does not.
pub(super) fn skipped(when: &When, account: &AccountId, labels: &[Label]) -> Option<String> {
    if !when.account.is_empty() && !when.account.contains(account) {
        return Some(format!("account is {account}"));
    }
    if let Some(label) = when.not_label.iter().find(|label| labels.contains(label)) {
        return Some(format!("label {label} is set"));
    }
    if !when.label.is_empty() && !when.label.iter().any(|label| labels.contains(label)) {
        let wanted: Vec<_> = when.label.iter().map(Label::as_str).collect();
        return Some(format!("label {} is not set", wanted.join(" or ")));
    }
    None
}
