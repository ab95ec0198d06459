//! Mutants: shadow mode must catch every faulty copy of the Python implementation, and nothing else.

mod enduring;
mod moving;
mod paying;
mod reading;
mod score;
mod stage;
mod table;
mod watch;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use btc_tests::{Outcome, Shared, Suite};

use crate::score::Score;
use crate::stage::{Failure, Stage};
use crate::table::{Mutant, Scene};
use crate::watch::Report;

/// The one without a fault.
const TWIN: &str = "btc_legacy.backend:LegacyBackend";

/// What the trials share.
#[derive(Default)]
struct Theatre {
    stage: Shared<Stage>,
    bare: Shared<Stage>,
    score: Score,
}

impl Theatre {
    fn play(&self, scene: Scene, class: String) -> Result<Report, Failure> {
        let mut report = None;
        let run = |stage: &Stage| {
            report = Some(stage.with(move |ground| match scene {
                Scene::Reading => reading::run(ground, &class),
                Scene::Bare => reading::run_bare(ground, &class),
                _ => paying::run(ground, &class, scene),
            })?);
            Ok(())
        };
        match scene {
            Scene::Bare => self.bare.with(Stage::bare, run)?,
            _ => self.stage.with(Stage::start, run)?,
        }
        report.ok_or_else(|| "nothing was played".into())
    }

    fn judge(&self, mutant: &Mutant) -> Outcome {
        let class = format!("btc_legacy.mutants.{}", mutant.class);
        let report = self.play(mutant.scene, class);
        let judged = report.and_then(|report| Ok(self.score.judge(mutant, report)?));
        self.score.miss(mutant);
        judged
    }
}

fn main() -> ExitCode {
    let theatre = Arc::new(Theatre::default());
    let mut suite = Suite::default();
    suite.add("every_mutant_is_in_the_table", every_mutant);
    for scene in [Scene::Reading, Scene::Bare, Scene::Enduring] {
        let theatre = Arc::clone(&theatre);
        suite.add(format!("twin::{scene:?}").to_lowercase(), move || {
            let report = theatre.play(scene, TWIN.to_owned())?;
            let least = if scene == Scene::Bare { 8 } else { 50 };
            assert!(
                report.calls >= least,
                "hardly anything was called: {report:?}"
            );
            let has_differences = report.mismatches.iter().any(|found| !found.is_empty());
            assert!(!has_differences && report.unclear.is_empty(), "{report:#?}");
            Ok(())
        });
    }
    let moving = Arc::clone(&theatre);
    suite.add("twin::while_the_chain_moves", move || {
        let run = |stage: &Stage| stage.with(moving::run);
        moving.stage.with(Stage::start, run)
    });
    for mutant in table::caught() {
        let theatre = Arc::clone(&theatre);
        suite.add(format!("mutant::{}", mutant.class), move || {
            theatre.judge(mutant)
        });
    }
    let code = suite.run();
    if let Some(table) = theatre.score.table() {
        println!("{table}");
    }
    code
}

/// A class that is in no table is never tried; the page says what each class says of itself.
fn every_mutant() -> Outcome {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = std::fs::read_to_string(root.join("docs/mutants.md"))?;
    let package = root.join("crates/btc-python/python/btc_legacy/mutants");
    let mut classes = BTreeSet::new();
    for file in package.read_dir()? {
        let path = file?.path();
        let module = path.file_stem().and_then(|name| name.to_str());
        let Some(module) = module.filter(|name| !["copies", "__init__"].contains(name)) else {
            continue;
        };
        if path.extension().is_none_or(|extension| extension != "py") {
            continue;
        }
        let text = std::fs::read_to_string(&path)?;
        for class in text.split("\nclass ").skip(1) {
            let name = class.split(['(', ':']).next().unwrap_or_default();
            if name.starts_with('_') {
                continue;
            }
            let says = class.split("\"\"\"").nth(1).unwrap_or_default();
            let row = format!("| `{module}:{name}` | {} |", says.trim_end_matches('.'));
            assert!(page.contains(&row), "docs/mutants.md has no row {row}");
            classes.insert(format!("{module}:{name}"));
        }
    }
    let known: Vec<_> = table::caught().map(|it| it.class).collect();
    let unique: BTreeSet<_> = known.iter().map(ToString::to_string).collect();
    assert_eq!(
        unique.len(),
        known.len(),
        "a mutant stands in the table twice"
    );
    assert_eq!(classes, unique);
    Ok(())
}
