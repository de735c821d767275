//! Which failpoints each scenario reaches when nothing goes wrong with the program, and the list they are kept in.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use tokio::sync::OnceCell;

use crate::oracle;
use crate::scenario::{ALL, Scenario};
use crate::world::World;

/// So many names are promised.
const PROMISED: usize = 200;

/// One act of a scenario and how often it reached each name.
pub(crate) struct Surveyed {
    pub(crate) scenario: &'static Scenario,
    pub(crate) act: usize,
    pub(crate) reached: BTreeMap<String, usize>,
}

/// Runs every scenario once, undisturbed; the tests of this binary share the result.
pub(crate) async fn survey() -> &'static [Surveyed] {
    static DONE: OnceCell<Vec<Surveyed>> = OnceCell::const_new();
    DONE.get_or_init(|| async {
        let mut surveyed = Vec::new();
        for scenario in ALL {
            let world = World::new(scenario).await;
            for (act, &doing) in scenario.acts.iter().enumerate() {
                let Some(run) = world.act(doing, "").await else { continue };
                // What failed at a server waits, and is no other fault.
                assert!(matches!(run.status.code(), Some(0 | 75)), "{}, act {act}: {run:#?}", scenario.name);
                let mut reached = BTreeMap::new();
                for name in run.reached {
                    *reached.entry(name).or_default() += 1;
                }
                surveyed.push(Surveyed { scenario, act, reached });
            }
            oracle::settled(&world, scenario).await;
        }
        surveyed
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_failpoint_is_reached_and_stands_in_the_list() {
    let names: BTreeSet<&String> =
        survey().await.iter().flat_map(|surveyed| surveyed.reached.keys()).collect();
    println!("{} failpoints are reached:", names.len());
    names.iter().for_each(|name| println!("  {name}"));
    assert!(names.len() >= PROMISED, "only {} failpoints are reached", names.len());
    let list = Path::new(env!("CARGO_MANIFEST_DIR")).join("kill/failpoints.txt");
    let reached: String = names.iter().map(|name| format!("{name}\n")).collect();
    if std::env::var_os("POSTROOM_FAILPOINT_LIST").is_some() {
        std::fs::write(&list, &reached).expect("the list");
    }
    let kept = std::fs::read_to_string(&list).expect("the list");
    let (kept, reached): (BTreeSet<&str>, BTreeSet<&str>) =
        (kept.lines().collect(), reached.lines().collect());
    let lost: Vec<_> = kept.difference(&reached).collect();
    let new: Vec<_> = reached.difference(&kept).collect();
    assert!(
        lost.is_empty() && new.is_empty(),
        "not reached any more: {lost:?}; not in the list: {new:?}; POSTROOM_FAILPOINT_LIST=1 writes it anew"
    );
}
