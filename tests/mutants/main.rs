//! Mutants: shadow mode must catch every faulty copy of the Python implementation, and nothing else.

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
use crate::table::{ESCAPED, Mutant, Scene};
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
                Scene::Paying => paying::run(ground, &class),
                Scene::Bare => reading::run_bare(ground, &class),
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
    for scene in [Scene::Reading, Scene::Bare, Scene::Paying] {
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
    let caught = table::caught().map(|mutant| ("mutant", mutant));
    let escaped = ESCAPED.iter().map(|mutant| ("escaped", mutant));
    for (what, mutant) in caught.chain(escaped) {
        let theatre = Arc::clone(&theatre);
        suite.add(format!("{what}::{}", mutant.class), move || {
            theatre.judge(mutant)
        });
    }
    let code = suite.run();
    if let Some(table) = theatre.score.table() {
        println!("{table}");
    }
    code
}

/// A class that is in no table is never tried.
fn every_mutant() -> Outcome {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../crates/btc-python/python/btc_legacy/mutants");
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
        let names = text.lines().filter_map(|line| line.strip_prefix("class "));
        let names = names.filter_map(|line| line.split(['(', ':']).next());
        let public = names.filter(|name| !name.starts_with('_'));
        classes.extend(public.map(|name| format!("{module}:{name}")));
    }
    let known = table::caught().chain(ESCAPED).map(|it| it.class.to_owned());
    let mut count = 0;
    let known: BTreeSet<_> = known.inspect(|_| count += 1).collect();
    assert_eq!(known.len(), count, "a mutant stands in the table twice");
    assert_eq!(classes, known);
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/mutants.md");
    let page = std::fs::read_to_string(page)?;
    for class in &known {
        assert!(
            page.contains(&format!("`{class}`")),
            "docs/mutants.md lacks {class}"
        );
    }
    Ok(())
}
