//! `cargo xtask matrix`: every feature combination of the facade stands alone, and none drags another's backend in.

use std::process::Command;

use crate::error::{Error, Result};
use crate::flags::{MatrixFlags, Purpose};
use crate::process;
use crate::session::Session;
use crate::terminal;
use crate::workspace::Workspace;

/// The facade: the one package that a downstream project picks features of.
const PACKAGE: &str = "btc-migration";

/// A build with a single feature: what it is made for, and what it must not contain; `*` at the
/// end of a name stands for any rest.
struct Alone {
    feature: &'static str,
    own: &'static str,
    foreign: &'static [&'static str],
}

const ALONE: [Alone; 3] = [
    Alone {
        feature: "rust-bitcoin",
        own: "btc-rust",
        foreign: &[
            "pyo3*",
            "btc-python",
            "bdk*",
            "rusqlite",
            "libsqlite3-sys",
            "age*",
            "miniscript",
        ],
    },
    Alone {
        feature: "python-bitcoin",
        own: "btc-python",
        foreign: &["btc-rust", "bdk*", "bitcoincore-rpc*", "httparse*"],
    },
    Alone {
        feature: "shadow",
        own: "btc-shadow",
        foreign: &[
            "btc-rust",
            "bdk*",
            "bitcoincore-rpc*",
            "httparse*",
            "pyo3*",
            "btc-python",
        ],
    },
];

pub(crate) fn run(workspace: &Workspace, flags: &MatrixFlags) -> Result<()> {
    let session = Session::open(workspace, Purpose::Test, false)?;
    let summary = check(&session, flags.check)?;
    terminal::answer(&terminal::green(&summary));
    Ok(())
}

// All targets, so that examples and tests are compiled in each combination too.
const CHECK: &str = "check --all-targets";
const CHECK_PAIRS: &str = "check --all-targets --depth 2";
const TEST: &str = "test";
const LINT: &str = "clippy --all-targets --depth 1";

/// Compiles, or compiles and tests, each combination; returns what was done.
pub(crate) fn check(session: &Session<'_>, check_only: bool) -> Result<String> {
    check_sets(session, if check_only { CHECK } else { TEST })
}

/// Compiles each feature alone and each pair: what a change breaks, it breaks there.
pub(crate) fn check_pairs(session: &Session<'_>) -> Result<String> {
    check_sets(session, CHECK_PAIRS)
}

fn check_sets(session: &Session<'_>, words: &str) -> Result<String> {
    let listed = process::read(hack(session, words)?.arg("--print-command-list"))?;
    let combinations = combinations(&listed);
    if combinations.is_empty() {
        return Err(Error::new(format!(
            "cargo-hack found no feature combination of `{PACKAGE}`; a matrix of nothing proves nothing"
        )));
    }
    for (number, combination) in (1..).zip(&combinations) {
        session.say(&format!("{number:>3}  {combination}"));
    }
    session.run(&mut hack(session, words)?)?;
    for alone in &ALONE {
        let mut tree = session.cargo(&format!(
            "tree --package {PACKAGE} --no-default-features --features {} \
             --edges normal,build --prefix none --format {{p}}",
            alone.feature
        ))?;
        judge(&process::read(&mut tree)?, alone)?;
        session.say(&format!(
            "     {} alone: no {}",
            alone.feature,
            alone.foreign.join(", ")
        ));
    }
    let done = if words == TEST {
        "compiled and tested"
    } else {
        "compiled"
    };
    Ok(format!("{} combinations {done}", combinations.len()))
}

/// Lints each feature alone, and tests a build that only reads; a warning is an error.
pub(crate) fn lint(session: &Session<'_>) -> Result<String> {
    session.run(hack(session, LINT)?.args(["--", "--deny", "warnings"]))?;
    let words = format!("test --package {PACKAGE} --no-default-features --features rust-bitcoin");
    session.run(&mut session.cargo(&words)?)?;
    Ok("clean, and a build that only reads is tested".to_owned())
}

fn hack(session: &Session<'_>, words: &str) -> Result<Command> {
    session.cargo(&format!(
        "hack {words} --package {PACKAGE} --feature-powerset --exclude-features default"
    ))
}

/// The features of each printed command, or what stands for them.
fn combinations(listed: &str) -> Vec<String> {
    let commands = listed.lines().filter(|line| line.starts_with("cargo"));
    commands.map(features).collect()
}

fn features(command: &str) -> String {
    let words: Vec<_> = command.split_whitespace().collect();
    let has = |flag: &str| words.contains(&flag);
    let named = words
        .windows(2)
        .find(|pair| pair[0] == "--features")
        .map(|pair| pair[1].trim_matches('"'));
    match named {
        _ if has("--all-features") => "all features".to_owned(),
        Some(named) => named.replace(',', ", "),
        None if has("--no-default-features") => "no features".to_owned(),
        None => "default features".to_owned(),
    }
}

/// Fails on a tree with another backend in it, and on one without its own, which shows nothing.
fn judge(tree: &str, alone: &Alone) -> Result<()> {
    let Alone {
        feature,
        own,
        foreign,
    } = alone;
    if matching(tree, &[own]).is_empty() {
        return Err(Error::new(format!(
            "a build with only `{feature}` does not contain {own}; correct the features of `{PACKAGE}`, or this rule"
        )));
    }
    let found = matching(tree, foreign);
    let Some(first) = found.first() else {
        return Ok(());
    };
    Err(Error::new(format!(
        "a build with only `{feature}` contains {}; make that dependency optional (`cargo tree --package {PACKAGE} \
         --no-default-features --features {feature} --invert {first}` shows the way in)",
        found.join(", "),
    )))
}

/// The packages of a tree that match one of the patterns.
pub(crate) fn matching(tree: &str, patterns: &[&str]) -> Vec<String> {
    let names = tree
        .lines()
        .filter_map(|line| line.split_whitespace().next());
    let mut found: Vec<_> = names
        .filter(|name| {
            patterns
                .iter()
                .any(|pattern| match pattern.strip_suffix('*') {
                    Some(start) => name.starts_with(start),
                    None => name == pattern,
                })
        })
        .map(str::to_owned)
        .collect();
    found.sort();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::{ALONE, combinations, judge};

    #[test]
    fn combinations_are_named() {
        let listed = "cargo check --manifest-path crates/btc/Cargo.toml --no-default-features\n\
                      cargo check --manifest-path crates/btc/Cargo.toml\n\
                      cargo check --manifest-path crates/btc/Cargo.toml --no-default-features --features shadow,full\n\
                      cargo check --manifest-path crates/btc/Cargo.toml --all-features\n";
        assert_eq!(
            combinations(listed),
            [
                "no features",
                "default features",
                "shadow, full",
                "all features"
            ]
        );
        assert!(combinations("").is_empty());
    }

    #[test]
    fn a_foreign_backend_is_found() {
        let tree = "btc v0.1.0 (/r)\nbtc-rust v0.1.0 (/r)\nbitcoin v0.32.0 (*)\n";
        assert!(judge(tree, &ALONE[0]).is_ok());
        let wallet = format!("{tree}bdk_wallet v3.2.0\n");
        assert!(
            judge(&wallet, &ALONE[0]).is_err(),
            "it reads, and has no wallet"
        );
        let both = format!("{tree}bdk_wallet v3.2.0\nbtc-python v0.1.0 (/r)\n");
        let text = judge(&both, &ALONE[1]).map_err(|error| error.to_string());
        assert!(text.is_err_and(|text| text.contains("contains bdk_wallet, btc-rust;")));
    }

    #[test]
    fn a_tree_without_its_own_backend_proves_nothing() {
        assert!(judge("btc v0.1.0 (/r)\n", &ALONE[0]).is_err());
    }
}
