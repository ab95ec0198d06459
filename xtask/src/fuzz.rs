//! `cargo xtask fuzz`: each fuzz target for a while; a crash fails and names its input.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::error::{Context, Error, Result};
use crate::flags::{FuzzFlags, Purpose};
use crate::session::Session;
use crate::setup::tools;
use crate::terminal::{self, bold, green};
use crate::workspace::Workspace;

/// The crate is outside the workspace and keeps its build out of the way of the others.
const TARGET_FOLDER: &str = "target/fuzz";

pub(crate) fn run(workspace: &Workspace, flags: &FuzzFlags) -> Result<()> {
    let targets = chosen(targets(workspace)?, flags.target.as_deref())?;
    let session = Session::open(workspace, Purpose::Use, false)?;
    tools::ensure(workspace, &[tools::CARGO_FUZZ])?;
    for target in &targets {
        terminal::answer(&bold(&format!("fuzz {target} for {} s", flags.secs)));
        let before = artifacts(workspace, target);
        let ran = session.run(&mut fuzz(&session, target, flags.secs)?);
        let new: Vec<_> = artifacts(workspace, target)
            .difference(&before)
            .cloned()
            .collect();
        if let Some(artifact) = new.first() {
            return Err(Error::new(format!(
                "`{target}` crashed; the input is in {}; make it a test, then repair the code",
                artifact.display()
            )));
        }
        ran?;
    }
    terminal::answer(&green(&format!("no crash in {}", targets.join(", "))));
    Ok(())
}

/// The command that checks that all targets compile.
pub(crate) fn check(session: &Session<'_>) -> Result<Command> {
    session.cargo(&format!(
        "check --manifest-path fuzz/Cargo.toml --target-dir {TARGET_FOLDER}"
    ))
}

/// The targets by their `[[bin]]` sections.
fn targets(workspace: &Workspace) -> Result<Vec<String>> {
    let path = workspace.root().join("fuzz/Cargo.toml");
    let failed = || format!("cannot read {}", path.display());
    let manifest: toml::Table = fs::read_to_string(&path)
        .context(failed)?
        .parse()
        .context(failed)?;
    let bins = manifest
        .get("bin")
        .and_then(toml::Value::as_array)
        .into_iter()
        .flatten();
    Ok(bins
        .filter_map(|bin| Some(bin.get("name")?.as_str()?.to_owned()))
        .collect())
}

fn chosen(targets: Vec<String>, wanted: Option<&str>) -> Result<Vec<String>> {
    if targets.is_empty() {
        return Err(Error::new(
            "fuzz/Cargo.toml has no [[bin]] target; nothing would be fuzzed",
        ));
    }
    match wanted {
        None => Ok(targets),
        Some(name) if targets.iter().any(|target| target == name) => Ok(vec![name.to_owned()]),
        Some(name) => Err(Error::new(format!(
            "there is no fuzz target `{name}`; there is: {}",
            targets.join(", ")
        ))),
    }
}

fn fuzz(session: &Session<'_>, target: &str, secs: u64) -> Result<Command> {
    let mut cargo = session.cargo(&format!(
        "fuzz run --fuzz-dir fuzz --target-dir {TARGET_FOLDER} {target} -- -max_total_time={secs}"
    ))?;
    // The sanitizer's flags are unstable, and the toolchain is a stable one.
    cargo.env("RUSTC_BOOTSTRAP", "1");
    Ok(cargo)
}

fn artifacts(workspace: &Workspace, target: &str) -> BTreeSet<PathBuf> {
    let folder = workspace.root().join("fuzz/artifacts").join(target);
    fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::chosen;

    #[test]
    fn targets_are_chosen_by_name() {
        let all = vec!["a".to_owned(), "b".to_owned()];
        assert_eq!(chosen(all.clone(), None).ok(), Some(all.clone()));
        assert_eq!(
            chosen(all.clone(), Some("b")).ok(),
            Some(vec!["b".to_owned()])
        );
        assert!(chosen(all, Some("c")).is_err_and(|error| error.to_string().contains("a, b")));
    }

    #[test]
    fn no_target_is_a_failure() {
        assert!(chosen(Vec::new(), None).is_err());
    }
}
