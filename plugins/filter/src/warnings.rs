//! Rules that were probably not meant: those that can never match, those that an earlier one leaves nothing to, lists that
//! nobody asks for.
//!
//! Everything told here is certain, and much that is dead is not told: a condition is taken for a set of parts that must
//! all hold, and parts are the same when they are written alike. It runs before every message, so it only compares numbers.

use std::hash::{DefaultHasher, Hash, Hasher};

use postroom_sdk::Problem;

use crate::action::Action;
use crate::condition::Condition;
use crate::pattern::Listed;
use crate::{Rule, Settings};

/// What is odd about the settings.
pub(crate) fn warnings(settings: &Settings) -> Vec<Problem> {
    let mut found = Vec::new();
    let parts: Vec<Vec<u64>> = settings.rules.iter().map(|rule| parts(&rule.when)).collect();
    for (index, rule) in settings.rules.iter().enumerate() {
        let place = format!("rules[{index}]");
        if let Some(why) = impossible(&rule.when) {
            found.push(Problem::new(
                &format!("{place}.when"),
                format!("{} can never match: {why}", rule.called(index)),
            ));
        } else if let Some(earlier) = shadow(settings, &parts, index) {
            let (own, other) = (rule.called(index), settings.rules[earlier].called(earlier));
            let why = match parts[earlier].is_empty() {
                true => "matches every message".to_owned(),
                false => "matches every message that this one would".to_owned(),
            };
            let text = format!("{own} is never reached: {other} before it {why}, and does not continue");
            found.push(Problem::new(&place, text));
        }
        if rule.then.iter().all(|action| *action == Action::Continue) {
            found
                .push(Problem::new(&format!("{place}.then"), format!("{} does nothing", rule.called(index))));
        }
        let twin = |other: &Rule| rule.name.is_some() && other.name == rule.name;
        if let Some(other) = settings.rules[..index].iter().position(twin) {
            let text = format!(
                "{} has the name of rules[{other}]: `why` cannot tell them apart",
                rule.called(index)
            );
            found.push(Problem::new(&format!("{place}.name"), text));
        }
    }
    found.extend(odd_lists(settings));
    found
}

fn odd_lists(settings: &Settings) -> Vec<Problem> {
    let mut used = Vec::new();
    settings.rules.iter().for_each(|rule| rule.when.lists(&mut used));
    let problem = |name: &str, text: &str| Problem::new(&format!("lists.{name}"), text);
    let lists = settings.lists.names().filter_map(|name| match settings.lists.get(name) {
        _ if !used.contains(&name) => Some(problem(name, "no rule asks for this list")),
        Some(list) if list.is_empty() => Some(problem(name, "the list has no entry")),
        _ => None,
    });
    lists.collect()
}

/// The first rule before this one that takes everything it would match, and ends there.
fn shadow(settings: &Settings, parts: &[Vec<u64>], index: usize) -> Option<usize> {
    (0..index).find(|&earlier| {
        let rule = &settings.rules[earlier];
        !rule.continues() && is_subset(&parts[earlier], &parts[index]) && {
            // A rule between may set the label that the earlier one did not find.
            let between = &settings.rules[earlier + 1..index];
            !(rule.when.reads_labels() && between.iter().any(Rule::labels))
        }
    })
}

/// Both sorted.
fn is_subset(small: &[u64], large: &[u64]) -> bool {
    small.len() <= large.len() && small.iter().all(|part| large.binary_search(part).is_ok())
}

/// The condition, and those inside that must hold with it.
fn layers<'c>(condition: &'c Condition, into: &mut Vec<&'c Condition>) {
    into.push(condition);
    condition.all.iter().flatten().for_each(|inner| layers(inner, into));
    if let Some([only]) = condition.any.as_deref() {
        layers(only, into);
    }
}

/// What must hold for the condition to hold, each as a number, sorted.
fn parts(condition: &Condition) -> Vec<u64> {
    let mut all = Vec::new();
    layers(condition, &mut all);
    let mut parts = Vec::new();
    all.into_iter().for_each(|layer| own_parts(layer, &mut parts));
    parts.sort_unstable();
    parts.dedup();
    parts
}

fn own_parts(condition: &Condition, into: &mut Vec<u64>) {
    let Condition {
        header,
        header_raw,
        exists,
        from,
        to,
        cc,
        recipient,
        address,
        subject,
        list_id,
        auth,
        date,
        retrieved,
        account,
        label,
        not_label,
        larger,
        smaller,
        attachment,
        attachments,
        has_attachment,
        body,
        all: _,
        any,
        not,
    } = condition;
    let mut add = |key: &str, number: Option<u64>| into.extend(number.map(|number| digest(&(key, number))));
    for (key, fields) in [("header", header), ("header_raw", header_raw)] {
        for (name, patterns) in fields.iter().flatten() {
            add(key, Some(digest(&(name.to_ascii_lowercase(), patterns))));
        }
    }
    for (name, patterns) in address.iter().flatten() {
        add("address", Some(digest(&(name.to_ascii_lowercase(), patterns))));
    }
    exists
        .iter()
        .flat_map(|names| &names.0)
        .for_each(|name| add("exists", Some(digest(&name.to_ascii_lowercase()))));
    add("from", number(from));
    add("to", number(to));
    add("cc", number(cc));
    add("recipient", number(recipient));
    add("subject", number(subject));
    add("list_id", number(list_id));
    add("auth", number(auth));
    add("date", number(date));
    add("retrieved", number(retrieved));
    add("account", number(account));
    add("label", number(label));
    add("not_label", number(not_label));
    add("larger", number(larger));
    add("smaller", number(smaller));
    add("attachment", number(attachment));
    add("attachments", number(attachments));
    add("has_attachment", number(has_attachment));
    add("body", number(body));
    add("any", any.as_ref().filter(|any| any.len() != 1).map(digest));
    add("not", number(not));
}

fn number<T: Hash>(key: &Option<T>) -> Option<u64> {
    key.as_ref().map(digest)
}

fn digest<T: Hash + ?Sized>(value: &T) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// Why the condition holds for no message.
fn impossible(condition: &Condition) -> Option<String> {
    let mut all = Vec::new();
    layers(condition, &mut all);
    all.iter()
        .find_map(|layer| empty_key(layer))
        .or_else(|| sizes(&all))
        .or_else(|| dates(&all))
        .or_else(|| files(&all))
        .or_else(|| labels(&all))
        .or_else(|| negated(condition, &all))
}

/// A key that asks for one of nothing.
fn empty_key(condition: &Condition) -> Option<String> {
    fn is_empty<T>(key: &Option<Listed<T>>) -> bool {
        key.as_ref().is_some_and(|key| key.0.is_empty())
    }
    let Condition { from, to, cc, recipient, subject, list_id, account, label, body, attachment, .. } =
        condition;
    let keys = [
        ("from", is_empty(from)),
        ("to", is_empty(to)),
        ("cc", is_empty(cc)),
        ("recipient", is_empty(recipient)),
        ("subject", is_empty(subject)),
        ("list_id", is_empty(list_id)),
        ("account", is_empty(account)),
        ("label", is_empty(label)),
        ("body", is_empty(body)),
        ("attachment", is_empty(attachment)),
    ];
    if let Some((name, _)) = keys.iter().find(|(_, is_empty)| *is_empty) {
        return Some(format!("{name} = [] asks for one of nothing"));
    }
    let any = condition.any.as_deref()?;
    match any.iter().map(impossible).collect::<Option<Vec<String>>>() {
        Some(reasons) if reasons.is_empty() => Some("any = [] asks for one of nothing".to_owned()),
        Some(reasons) => Some(format!("no condition of any can hold: {}", reasons.join("; "))),
        None => None,
    }
}

fn sizes(layers: &[&Condition]) -> Option<String> {
    let larger = layers.iter().filter_map(|layer| layer.larger).max()?;
    let smaller = layers.iter().filter_map(|layer| layer.smaller).min()?;
    let is_empty = larger.0.saturating_add(1) >= smaller.0;
    is_empty.then(|| format!("nothing is larger than {larger} and smaller than {smaller}"))
}

fn dates(layers: &[&Condition]) -> Option<String> {
    let dates = || layers.iter().filter_map(|layer| layer.date.as_ref());
    let retrieved = || layers.iter().filter_map(|layer| layer.retrieved.as_ref());
    let older = dates().filter_map(|test| test.older).max();
    let newer = dates().filter_map(|test| test.newer).min();
    let ranges = [
        ("date", dates().filter_map(|test| test.after).max(), dates().filter_map(|test| test.before).min()),
        (
            "retrieved",
            retrieved().filter_map(|test| test.after).max(),
            retrieved().filter_map(|test| test.before).min(),
        ),
    ];
    for (key, after, before) in ranges {
        if let (Some(after), Some(before)) = (after, before)
            && after >= before
        {
            return Some(format!("{key}: nothing is after {after} and before {before}"));
        }
    }
    let (older, newer) = (older?, newer?);
    (older >= newer).then(|| format!("date: nothing is older than {older} and newer than {newer}"))
}

fn files(layers: &[&Condition]) -> Option<String> {
    let counts = || layers.iter().filter_map(|layer| layer.attachments.as_ref());
    let least = counts().filter_map(|test| test.at_least).max().unwrap_or(0);
    let some = layers.iter().any(|layer| layer.attachment.is_some() || layer.has_attachment == Some(true));
    let least = if some { least.max(1) } else { least };
    let most = counts().filter_map(|test| test.at_most).min();
    let none = layers.iter().any(|layer| layer.has_attachment == Some(false));
    let most = if none { Some(0) } else { most };
    most.filter(|most| *most < least)
        .map(|most| format!("it asks for at least {least} and at most {most} attachments"))
}

fn labels(layers: &[&Condition]) -> Option<String> {
    let wanted = layers.iter().filter_map(|layer| layer.label.as_ref()).map(digest);
    let unwanted: Vec<u64> = layers.iter().filter_map(|layer| layer.not_label.as_ref()).map(digest).collect();
    let both = wanted.into_iter().any(|label| unwanted.contains(&label));
    both.then(|| "label and not_label ask for the same".to_owned())
}

/// It asks for something and for the opposite.
fn negated(condition: &Condition, layers: &[&Condition]) -> Option<String> {
    let own = parts(condition);
    let mut denied = layers.iter().filter_map(|layer| layer.not.as_deref()).map(parts);
    let found = denied.find(|denied| is_subset(denied, &own))?;
    Some(match found.is_empty() {
        true => "not = {} never holds".to_owned(),
        false => "what not denies is asked for beside it".to_owned(),
    })
}
