//! A plugin's settings as people read them, out of the JSON Schema it describes itself with. A courtesy: what a schema says
//! in ways that are not understood here is left out, and only the plugin decides over settings.

use serde_json::Value;

/// Deepest chain of references that is followed.
const REFERENCES: usize = 8;

/// One property of the settings.
pub(super) struct Setting {
    pub(super) name: String,
    /// In words: `text`, `list of text`, `none or zstd`.
    pub(super) kind: String,
    pub(super) required: bool,
    /// What to write when the operator says nothing: its default, first example or only choice.
    pub(super) usual: Option<Value>,
    /// Whether `usual` is the plugin's own default.
    pub(super) has_default: bool,
    pub(super) description: String,
}

/// The properties of a schema: the required ones first, each group as the schema orders them.
pub(super) fn settings(schema: &Value) -> Vec<Setting> {
    let required = |name: &str| {
        let list = schema.get("required").and_then(Value::as_array);
        list.is_some_and(|list| list.iter().any(|wanted| wanted == name))
    };
    let properties = schema.get("properties").and_then(Value::as_object);
    let properties = properties.into_iter().flatten();
    let mut settings: Vec<_> =
        properties.map(|(name, property)| setting(schema, name, property, required(name))).collect();
    settings.sort_by_key(|setting| !setting.required);
    settings
}

fn setting(schema: &Value, name: &str, property: &Value, required: bool) -> Setting {
    let resolved = resolve(schema, property);
    let own = |key: &str| property.get(key).or_else(|| resolved.get(key));
    let default = own("default").filter(|default| !default.is_null());
    let only = || choices(resolved)?.next()?.get("const");
    let first = |key: &str| own(key).and_then(Value::as_array).and_then(|list| list.first());
    Setting {
        name: name.to_owned(),
        kind: kind(schema, resolved),
        required,
        usual: default.or_else(|| first("examples")).or_else(|| first("enum")).or_else(only).cloned(),
        has_default: default.is_some(),
        // A description may be wrapped as the source it comes from is.
        description: own("description").and_then(Value::as_str).unwrap_or_default().replace('\n', " "),
    }
}

/// Follows `$ref` within the schema.
fn resolve<'a>(schema: &'a Value, mut property: &'a Value) -> &'a Value {
    for _ in 0..REFERENCES {
        let target = property.get("$ref").and_then(Value::as_str).and_then(|name| name.strip_prefix('#'));
        match target.and_then(|pointer| schema.pointer(pointer)) {
            Some(found) => property = found,
            None => break,
        }
    }
    property
}

fn kind(schema: &Value, property: &Value) -> String {
    if let Some(only) = property.get("const") {
        return text(only);
    }
    if let Some(choices) = property.get("enum").and_then(Value::as_array) {
        return choices.iter().filter(|choice| !choice.is_null()).map(text).collect::<Vec<_>>().join(" or ");
    }
    if let Some(choices) = choices(property) {
        let mut kinds: Vec<_> = choices.map(|choice| kind(schema, resolve(schema, choice))).collect();
        kinds.dedup();
        return kinds.join(" or ");
    }
    match property.get("type") {
        Some(Value::String(word)) => typed(schema, property, word),
        Some(Value::Array(list)) => {
            let words = list.iter().filter_map(Value::as_str).filter(|word| *word != "null");
            words.map(|word| typed(schema, property, word)).collect::<Vec<_>>().join(" or ")
        }
        Some(_) | None => "anything".to_owned(),
    }
}

/// The choices of a property, but `null`: TOML has none, and leaving a setting out says the same.
fn choices(property: &Value) -> Option<impl Iterator<Item = &Value>> {
    let list = ["anyOf", "oneOf"].iter().find_map(|key| property.get(key)?.as_array())?;
    Some(list.iter().filter(|choice| choice.get("type").is_none_or(|word| word != "null")))
}

fn typed(schema: &Value, property: &Value, word: &str) -> String {
    let word = match word {
        "string" => "text",
        "boolean" => "true or false",
        "integer" => "whole number",
        "number" => "number",
        "object" => "table",
        "array" => {
            let items = property.get("items").map(|items| resolve(schema, items));
            return items
                .map_or_else(|| "list".to_owned(), |items| format!("list of {}", kind(schema, items)));
        }
        other => other,
    };
    word.to_owned()
}

fn text(choice: &Value) -> String {
    choice.as_str().map_or_else(|| choice.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use serde_json::json;

    use super::*;

    #[test]
    fn settings_are_told_in_words_the_required_ones_first() {
        let schema = json!({
            "required": ["words"],
            "properties": {
                "compress": { "enum": ["none", "zstd"], "default": "none" },
                "words": { "type": "array", "items": { "$ref": "#/$defs/word" }, "description": "Which" },
                "either": { "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "integer" } }] },
                "loop": { "$ref": "#/$defs/loop" },
                "mode": { "$ref": "#/$defs/mode", "default": "one" },
                "size": { "type": ["string", "integer", "null"] },
                "word": { "anyOf": [{ "$ref": "#/$defs/word" }, { "type": "null" }] },
            },
            "$defs": {
                "word": { "type": "string" },
                "loop": { "$ref": "#/$defs/loop" },
                "mode": { "oneOf": [{ "type": "string", "const": "one" }, { "type": "string", "const": "two" }] },
            },
        });
        let told: Vec<_> = settings(&schema)
            .into_iter()
            .map(|setting| (setting.name, setting.kind, setting.required))
            .collect();
        let expected = [
            ("words", "list of text", true),
            ("compress", "none or zstd", false),
            ("either", "text or list of whole number", false),
            ("loop", "anything", false),
            ("mode", "one or two", false),
            ("size", "text or whole number", false),
            ("word", "text", false),
        ];
        assert_eq!(told, expected.map(|(name, kind, required)| (name.to_owned(), kind.to_owned(), required)));
        assert!(settings(&json!({ "type": "object" })).is_empty() && settings(&json!(null)).is_empty());
    }
}
