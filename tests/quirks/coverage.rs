//! That no quirk and no test is without a scenario.

use std::collections::{BTreeMap, BTreeSet};

use crate::scenario::Covers::{self, Quirk, Test};
use crate::scenario::Scenario;
use crate::{
    authentication, codes, deletion_sessions, greeting_tls, identity, listing, retrieval_framing,
    scheduling_limits, tls_failures,
};

/// What is shown elsewhere, and where.
const ELSEWHERE: &[(Covers, &str)] = &[
    (Test(28), "`scheduling_limits::dead_servers_hold_up_nobody`"),
    (Test(1), "`cuts`: every octet of a whole session"),
    (Test(3), "a killed process: `e2e` crash tests"),
    (Test(4), "a killed process at each call: the spool's crash tests"),
    (Test(5), "lost and torn writes: the spool's crash tests"),
    (Test(6), "a crash within recovery: the spool's crash tests"),
    (
        Test(19),
        "a paused lease holder: there is no lease between hosts; one state directory has one process, by a lock",
    ),
];

fn all() -> Vec<Scenario> {
    [
        authentication::scenarios(),
        codes::scenarios(),
        deletion_sessions::scenarios(),
        greeting_tls::scenarios(),
        identity::scenarios(),
        listing::scenarios(),
        retrieval_framing::scenarios(),
        scheduling_limits::scenarios(),
        tls_failures::scenarios(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[test]
fn every_quirk_and_every_test_has_a_scenario() {
    let scenarios = all();
    let names: BTreeSet<_> = scenarios.iter().map(|scenario| scenario.name).collect();
    assert_eq!(names.len(), scenarios.len(), "each scenario has a name of its own");
    let mut table: BTreeMap<Covers, Vec<&str>> = BTreeMap::new();
    for scenario in &scenarios {
        assert!(!scenario.covers.is_empty(), "{} says what it shows", scenario.name);
        for covers in &scenario.covers {
            table.entry(*covers).or_default().push(scenario.name);
        }
    }
    for (covers, reason) in ELSEWHERE {
        table.entry(*covers).or_default().push(reason);
    }
    for (covers, names) in &table {
        println!("{covers:?} ({}): {}", names.len(), names.join(", "));
    }
    println!("{} scenarios", scenarios.len());
    let wanted = (1..=62).map(Quirk).chain((1..=28).map(Test));
    let bare: Vec<_> = wanted.filter(|covers| !table.contains_key(covers)).collect();
    assert!(bare.is_empty(), "without a scenario: {bare:?}");
    assert!(scenarios.len() >= 150, "{} scenarios", scenarios.len());
}
