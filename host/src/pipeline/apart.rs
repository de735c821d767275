//! One effect for each recipient, at sinks that answer for each: so what one of them refused is tried again for it alone.
//! Must not change what is sent, or to whom.

use std::collections::BTreeMap;

use postroom_mail::{Action, Effect, Envelope, MessageId, Name, Plan};

use crate::sinks::SinkConfig;

/// The plan with such effects taken apart. Their ids follow from what they are, so a run again makes the same ones.
pub(super) fn apart(
    mut plan: Plan,
    message: MessageId,
    pipeline: &Name,
    sinks: &BTreeMap<Name, SinkConfig>,
) -> Plan {
    let mut effects: Vec<Effect> = Vec::with_capacity(plan.effects.len());
    for effect in plan.effects {
        for one in each(effect, message, pipeline, sinks) {
            if !effects.iter().any(|other| other.id == one.id) {
                effects.push(one);
            }
        }
    }
    plan.effects = effects;
    plan
}

fn each(
    effect: Effect,
    message: MessageId,
    pipeline: &Name,
    sinks: &BTreeMap<Name, SinkConfig>,
) -> Vec<Effect> {
    let divided = sinks.get(&effect.sink).is_some_and(SinkConfig::answers_each_recipient);
    let Action::Send { envelope, add_headers } = &effect.action else { return vec![effect] };
    if !divided || envelope.to.len() < 2 {
        return vec![effect];
    }
    let one = |to: &postroom_mail::Address| {
        let envelope = Envelope { from: envelope.from.clone(), to: vec![to.clone()] };
        let action = Action::Send { envelope, add_headers: add_headers.clone() };
        let id = Effect::derive_id(&message, pipeline, &effect.step, &effect.sink, &action, &effect.digest);
        Effect { id, action, ..effect.clone() }
    };
    envelope.to.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use postroom_mail::{Address, Content, Digest, Verdict};

    use super::*;

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    fn sent_to(sink: &str, to: &[&str]) -> Plan {
        let to = to.iter().map(|to| Address::new(*to).unwrap()).collect();
        let action = Action::Send { envelope: Envelope { from: None, to }, add_headers: Vec::new() };
        let (message, digest) = (MessageId(Digest::of(b"m")), Digest::of(b"raw"));
        let id = Effect::derive_id(&message, &name("main"), &name("s"), &name(sink), &action, &digest);
        let content = Content::raw(3);
        let effect = Effect {
            id,
            step: name("s"),
            sink: name(sink),
            action,
            content,
            digest,
            size: 3,
            required: true,
        };
        Plan {
            effects: vec![effect],
            labels: Vec::new(),
            verdict: Verdict::Keep,
            kv: Vec::new(),
            kv_seen: Vec::new(),
            trace: Vec::new(),
        }
    }

    fn taken_apart(plan: Plan) -> Plan {
        let lmtp = toml::from_str("type = \"lmtp\"\nsocket = \"s\"").unwrap();
        let smtp = toml::from_str("type = \"smtp\"\nhost = \"h\"").unwrap();
        let sinks = BTreeMap::from([(name("near"), lmtp), (name("far"), smtp)]);
        apart(plan, MessageId(Digest::of(b"m")), &name("main"), &sinks)
    }

    #[test]
    fn each_recipient_of_lmtp_is_an_effect_of_its_own_and_all_of_smtp_are_one() {
        let both = ["a@a.example", "b@b.example"];
        let far = sent_to("far", &both);
        assert_eq!(taken_apart(far.clone()).effects, far.effects);
        let near = taken_apart(sent_to("near", &both)).effects;
        assert_eq!(near.iter().map(|effect| effect.action.target()).collect::<Vec<_>>(), both);
        // As if the plugin had asked for each by itself: a run again, or one that does, collides with it.
        for (effect, to) in near.iter().zip(both) {
            assert_eq!(*effect, sent_to("near", &[to]).effects[0]);
        }
        let mut twice = sent_to("near", &both);
        twice.effects.extend(sent_to("near", &both[..1]).effects);
        assert_eq!(taken_apart(twice).effects, near);
    }
}
