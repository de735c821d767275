//! From settings as text to settings as a type, with errors that say where: the operator wrote TOML and never saw the
//! JSON, so lines and columns of it would say nothing.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::fault::Problem;
use crate::plugin::Plugin;

/// Field of a log line that names the setting a warning is about.
#[cfg_attr(not(target_family = "wasm"), allow(dead_code, reason = "natively warnings are values"))]
pub(crate) const PLACE: &str = "setting";

/// Deepest level a path goes to, and most children of one value that are tried: finding the place is a courtesy.
const LEVELS: usize = 12;
const CHILDREN: usize = 200;

/// The settings out of a JSON document, checked.
///
/// # Errors
/// What is wrong with them.
pub(crate) fn settings<P: Plugin>(json: &str) -> Result<P::Settings, Vec<Problem>> {
    let value: Value = serde_json::from_str(json).map_err(|error| vec![Problem::new("", error)])?;
    let settings = read::<P::Settings>(value).map_err(|problem| vec![problem])?;
    P::check(&settings).map_err(|problem| vec![problem])?;
    Ok(settings)
}

fn read<T: DeserializeOwned>(mut value: Value) -> Result<T, Problem> {
    match serde_json::from_value(value.clone()) {
        Ok(settings) => Ok(settings),
        Err(error) => {
            let text = error.to_string();
            let fails = |value: &Value| T::deserialize(value).err().map(|error| error.to_string());
            let path = place(&mut value, &text, &fails);
            Err(Problem::new(&path, text))
        }
    }
}

/// One step into a value.
#[derive(Clone)]
enum Step {
    Key(String),
    Index(usize),
}

/// The path of the innermost value without which the error would not be the same.
fn place(whole: &mut Value, error: &str, fails: &dyn Fn(&Value) -> Option<String>) -> String {
    let mut steps: Vec<Step> = Vec::new();
    while steps.len() < LEVELS && !is_missing_here(whole, &steps, error, fails) {
        match children(at(whole, &steps))
            .into_iter()
            .find(|child| is_to_blame(whole, &steps, child, error, fails))
        {
            Some(child) => steps.push(child),
            None => break,
        }
    }
    steps.iter().fold(String::new(), |path, step| match step {
        Step::Key(key) if path.is_empty() => key.clone(),
        Step::Key(key) => format!("{path}.{key}"),
        Step::Index(index) => format!("{path}[{index}]"),
    })
}

fn children(value: Option<&mut Value>) -> Vec<Step> {
    match value {
        Some(Value::Object(map)) => map.keys().take(CHILDREN).cloned().map(Step::Key).collect(),
        Some(Value::Array(list)) => (0..list.len().min(CHILDREN)).map(Step::Index).collect(),
        _ => Vec::new(),
    }
}

/// Whether the error is that this very value lacks a field: it is another error when the field is there.
fn is_missing_here(
    whole: &mut Value,
    steps: &[Step],
    error: &str,
    fails: &dyn Fn(&Value) -> Option<String>,
) -> bool {
    let Some(field) = error.strip_prefix("missing field `").and_then(|rest| rest.split('`').next()) else {
        return false;
    };
    match at(whole, steps) {
        Some(Value::Object(map)) if !map.contains_key(field) => map.insert(field.to_owned(), Value::Null),
        _ => return false,
    };
    let with = fails(whole);
    if let Some(Value::Object(map)) = at(whole, steps) {
        map.remove(field);
    }
    with.is_none_or(|other| other != error && !other.starts_with(&format!("unknown field `{field}`")))
}

/// Whether the error is another one, or none, while the child is away.
fn is_to_blame(
    whole: &mut Value,
    steps: &[Step],
    child: &Step,
    error: &str,
    fails: &dyn Fn(&Value) -> Option<String>,
) -> bool {
    let taken = match (at(whole, steps), child) {
        (Some(Value::Object(map)), Step::Key(key)) => map.remove(key),
        (Some(Value::Array(list)), Step::Index(index)) if *index < list.len() => Some(list.remove(*index)),
        _ => None,
    };
    let Some(taken) = taken else { return false };
    let without = fails(whole);
    match (at(whole, steps), child) {
        (Some(Value::Object(map)), Step::Key(key)) => {
            map.insert(key.clone(), taken);
        }
        (Some(Value::Array(list)), Step::Index(index)) => list.insert(*index, taken),
        _ => {}
    }
    without.is_none_or(|other| other != error)
}

fn at<'v>(whole: &'v mut Value, steps: &[Step]) -> Option<&'v mut Value> {
    steps.iter().try_fold(whole, |value, step| match step {
        Step::Key(key) => value.get_mut(key.as_str()),
        Step::Index(index) => value.get_mut(*index),
    })
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;
    use crate::size::Size;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "only read from JSON")]
    struct Settings {
        sink: String,
        to: String,
        #[serde(default)]
        rules: Vec<Rule>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "only read from JSON")]
    struct Rule {
        name: String,
        larger: Option<Size>,
    }

    #[track_caller]
    fn check(value: Value, path: &str, text: &str) {
        let problem = read::<Settings>(value).unwrap_err();
        assert_eq!(problem.path, path);
        assert!(problem.text.contains(text), "{problem}");
    }

    #[test]
    fn errors_say_where() {
        check(json!({ "to": "x" }), "settings", "missing field `sink`");
        check(json!({}), "settings", "missing field `sink`");
        check(json!({ "sink": "x", "to": "x", "tu": 1 }), "settings.tu", "unknown field `tu`");
        check(json!({ "sink": 1, "to": "x" }), "settings.sink", "expected a string");
        check(json!({ "sink": "x" }), "settings", "missing field `to`");
        check(
            json!({ "sink": "x", "to": "x", "rules": [{ "name": "a" }, {}] }),
            "settings.rules[1]",
            "missing field",
        );
        let rules = json!([{ "name": "a" }, { "name": "b", "larger": "10 XB" }]);
        check(json!({ "sink": "x", "to": "x", "rules": rules }), "settings.rules[1].larger", "is no size");
        check(json!("x"), "settings", "invalid type");
    }
}
