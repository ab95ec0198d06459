//! `cargo xtask tidy`: the repository's own rules, each finding with its place and what to do.

mod dependencies;
mod environment;
mod files;
mod layers;
mod links;
mod manifest;
mod readme;
mod tree;

use std::fmt;

use crate::error::{Error, Result};
use crate::process::{self, Output};
use crate::setup;
use crate::terminal;
use crate::workspace::Workspace;

use tree::Tree;

/// One broken rule.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    path: String,
    line: usize,
    message: String,
}

impl Finding {
    /// `line` counts from 1.
    fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line,
            message: message.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.message)
    }
}

pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let summary = check(workspace, Output::Stdout)?;
    terminal::answer(&terminal::green(&summary));
    Ok(())
}

/// Checks all rules; returns how much was looked at.
pub(crate) fn check(workspace: &Workspace, output: Output) -> Result<String> {
    let tree = Tree::read(workspace.root())?;
    let mut findings = rules(&tree);
    // A program that does not build must not hide what the files alone show.
    let program = ask_btc(workspace);
    if let Ok(program) = &program {
        findings.extend(readme::check(&tree, program));
    }
    findings.sort();
    findings.dedup();
    for finding in &findings {
        output.say(&finding.to_string());
    }
    program?;
    match findings.len() {
        0 => Ok(format!("{} files, no findings", tree.len())),
        1 => Err(Error::new(
            "tidy found 1 thing to repair; it is listed above",
        )),
        count => Err(Error::new(format!(
            "tidy found {count} things to repair; they are listed above"
        ))),
    }
}

/// The rules that need nothing but the files.
fn rules(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.texts() {
        findings.extend(files::opening(path, text));
        findings.extend(files::length(path, text));
        findings.extend(files::unfinished(path, text));
        findings.extend(environment::check(path, text));
        findings.extend(links::check(path, text, tree));
    }
    findings.extend(layers::check(tree));
    findings.extend(dependencies::check(tree));
    findings
}

/// What the program itself says about its verbs and variables.
fn ask_btc(workspace: &Workspace) -> Result<readme::Program> {
    let ask = |args: &[&str]| {
        let mut cargo = workspace.cargo();
        cargo
            .args(["run", "--quiet", "--package", "btc-migration-cli", "--"])
            .args(args);
        process::read(&mut cargo)
    };
    readme::Program::parse(&ask(&["--help"])?, &ask(&["variables", "--json"])?)
}

/// Names that docs/dependencies.md may explain although no manifest has them.
fn known_tools() -> impl Iterator<Item = &'static str> {
    let tools = [
        setup::tools::CARGO_HACK,
        setup::tools::CARGO_DENY,
        setup::tools::CARGO_FUZZ,
    ];
    let packages = setup::packages::PACKAGES.into_iter();
    packages
        .chain(tools.into_iter().map(|tool| tool.name))
        .chain([crate::bitcoind::SOURCE_PACKAGE, setup::browser::PACKAGE])
}

#[cfg(test)]
mod tests {
    use super::tree::Tree;
    use super::{Finding, rules};

    #[test]
    fn a_finding_can_be_clicked() {
        assert_eq!(
            Finding::new("a/b.rs", 7, "do this").to_string(),
            "a/b.rs:7: do this"
        );
    }

    #[test]
    fn every_rule_is_called() {
        let long = format!(
            "fn main() {{ todo!() }}\n{}let x = std::env::var(\"X\");\n",
            "\n".repeat(400)
        );
        let tree = Tree::of(&[
            ("crates/btc-cli/src/main.rs", &long),
            (
                "crates/btc-iface/Cargo.toml",
                "[package]\nname = \"btc-iface\"\n[dependencies]\nbtc-rust = \"1\"\n",
            ),
            ("Cargo.toml", "[workspace.dependencies]\nserde = \"1\"\n"),
            ("README.md", "[gone](gone.md)"),
        ]);
        let found: Vec<_> = rules(&tree)
            .into_iter()
            .map(|finding| finding.message)
            .collect();
        let has = |part: &str| found.iter().any(|message| message.contains(part));
        assert!(
            has("//!") && has("400") && has("todo!") && has("environment"),
            "{found:?}"
        );
        assert!(
            has("gone.md") && has("btc-rust") && has("reason"),
            "{found:?}"
        );
    }
}
