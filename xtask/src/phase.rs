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

/// Runs one suite that exists.
pub(crate) fn run_suite(session: &Session<'_>, number: u8, args: &[String]) -> Result<Count> {
    let words = format!("test --package btc-tests --test {} --", target(number));
    let mut cargo = session.cargo(&words)?;
    suite::run(session, cargo.args(args))
}

/// The phases that have a suite.
pub(crate) fn available(workspace: &Workspace) -> Result<Vec<u8>> {
    let folder = workspace.root().join("tests");
    let path = folder.join("Cargo.toml");
    let manifest =
        std::fs::read_to_string(&path).context(|| format!("cannot read {}", path.display()))?;
    let declared = declared(&manifest).context(|| format!("cannot read {}", path.display()))?;
    let has = |number: &u8| declared.contains(&target(*number)) || is_discovered(&folder, *number);
    Ok((1..=3).filter(has).collect())
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

/// The places where cargo looks by itself.
fn is_discovered(folder: &Path, number: u8) -> bool {
    let target = target(number);
    folder.join("tests").join(format!("{target}.rs")).is_file()
        || folder.join("tests").join(target).join("main.rs").is_file()
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
        fs::create_dir_all(folder.path().join("tests/tests/phase3"))?;
        fs::write(
            folder.path().join("tests/Cargo.toml"),
            "[[test]]\nname = \"phase1\"\n",
        )?;
        fs::write(folder.path().join("tests/tests/phase3/main.rs"), "")?;
        assert_eq!(
            available(&Workspace::at(folder.path(), folder.path()))?,
            [1, 3]
        );
        Ok(())
    }
}
