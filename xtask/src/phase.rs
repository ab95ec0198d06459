//! `cargo xtask phase`: the behaviour suite of one phase, over every backend.

use std::path::Path;

use crate::error::{Context, Error, Result};
use crate::flags::{PhaseFlags, Purpose};
use crate::session::Session;
use crate::suite::{self, Count};
use crate::terminal;
use crate::workspace::Workspace;

pub(crate) fn run(workspace: &Workspace, flags: &PhaseFlags) -> Result<()> {
    let there = available(workspace)?;
    if !there.contains(&flags.number) {
        let names: Vec<_> = there.iter().map(u8::to_string).collect();
        return Err(Error::new(format!(
            "there is no suite for phase {} yet (no test target `{}` in tests/Cargo.toml); there is: {}",
            flags.number,
            target(flags.number),
            if names.is_empty() {
                "none".to_owned()
            } else {
                names.join(", ")
            },
        )));
    }
    let session = Session::open(workspace, Purpose::Use, false)?;
    let count = run_suite(&session, flags.number, &flags.args)?;
    let summary = terminal::green(&count.summary());
    terminal::answer(&format!("phase {}: {summary}", flags.number));
    Ok(())
}

/// A suite beside those of `tests/`, which needs a feature that those do without.
struct Beside {
    phase: u8,
    folder: &'static str,
    package: &'static str,
    feature: &'static str,
    target: &'static str,
}

const BESIDE: [Beside; 1] = [Beside {
    phase: 3,
    folder: "crates/btc",
    package: "btc-migration",
    feature: "dlc",
    target: "dlc",
}];

/// Runs the suites of a phase that has some.
pub(crate) fn run_suite(session: &Session<'_>, number: u8, args: &[String]) -> Result<Count> {
    let mut count = Count::default();
    let target = target(number);
    if in_tests(session.workspace.root())?.contains(&target) {
        let words = format!("test --package btc-tests --test {target} --");
        count.add_all(suite::run(session, session.cargo(&words)?.args(args))?);
    }
    for beside in BESIDE.iter().filter(|beside| beside.phase == number) {
        let words = format!(
            "test --package {} --no-default-features --features {} --test {} --",
            beside.package, beside.feature, beside.target
        );
        count.add_all(suite::run(session, session.cargo(&words)?.args(args))?);
    }
    Ok(count)
}

/// The phases that have a suite.
pub(crate) fn available(workspace: &Workspace) -> Result<Vec<u8>> {
    let declared = in_tests(workspace.root())?;
    let has = |number: &u8| {
        let is_there = |suite: &Beside| {
            let path = workspace.root().join(suite.folder).join("Cargo.toml");
            suite.phase == *number && path.is_file()
        };
        declared.contains(&target(*number)) || BESIDE.iter().any(is_there)
    };
    Ok((1..=3).filter(has).collect())
}

/// The phases with a suite of their own in `tests/`; what stands beside them runs with the unit
/// tests, where every feature is on.
pub(crate) fn in_suites(workspace: &Workspace) -> Result<Vec<u8>> {
    let declared = in_tests(workspace.root())?;
    Ok((1..=3)
        .filter(|it| declared.contains(&target(*it)))
        .collect())
}

/// The test targets of `tests/Cargo.toml`.
fn in_tests(root: &Path) -> Result<Vec<String>> {
    let path = root.join("tests").join("Cargo.toml");
    let manifest =
        std::fs::read_to_string(&path).context(|| format!("cannot read {}", path.display()))?;
    declared(&manifest).context(|| format!("cannot read {}", path.display()))
}

fn target(number: u8) -> String {
    format!("phase{number}")
}

/// The names of the `[[test]]` sections.
fn declared(manifest: &str) -> std::result::Result<Vec<String>, toml::de::Error> {
    let manifest: toml::Table = manifest.parse()?;
    let tests = manifest
        .get("test")
        .and_then(toml::Value::as_array)
        .into_iter()
        .flatten();
    Ok(tests
        .filter_map(|test| Some(test.get("name")?.as_str()?.to_owned()))
        .collect())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{available, declared};
    use crate::workspace::Workspace;

    #[test]
    fn test_sections_are_read() {
        let manifest =
            "[package]\nname = \"x\"\n[[test]]\nname = \"phase1\"\npath = \"phase1/main.rs\"\n";
        assert_eq!(declared(manifest).ok(), Some(vec!["phase1".to_owned()]));
        assert_eq!(declared("").ok(), Some(vec![]));
        assert!(declared("[").is_err());
    }

    #[test]
    fn only_phases_with_a_suite_are_available() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        fs::create_dir_all(folder.path().join("tests"))?;
        fs::write(
            folder.path().join("tests/Cargo.toml"),
            "[[test]]\nname = \"phase1\"\n",
        )?;
        let workspace = Workspace::at(folder.path(), folder.path());
        assert_eq!(available(&workspace)?, [1]);
        // A suite that lies beside those of `tests/`.
        fs::create_dir_all(folder.path().join("crates/btc"))?;
        fs::write(folder.path().join("crates/btc/Cargo.toml"), "")?;
        assert_eq!(available(&workspace)?, [1, 3]);
        Ok(())
    }
}
