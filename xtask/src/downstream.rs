//! The programs in `tests/downstream`, as people elsewhere would write them: one only reads, and
//! must come without what it does not use; one configures itself in code. And the program `btc`
//! without Python.

use crate::error::{Error, Result};
use crate::matrix::matching;
use crate::process;
use crate::session::Session;

/// The one that only reads, and what must not come with it; `*` stands for any rest of a name.
const READS: &str = "tests/downstream/reads/Cargo.toml";
const FOREIGN: [&str; 9] = [
    "bdk*",
    "rusqlite",
    "libsqlite3-sys",
    "age",
    "age-core",
    "bip39",
    "miniscript",
    "pyo3*",
    "btc-python",
];
const SERVICE: &str = "tests/downstream/service/Cargo.toml";
/// Where its own class is, and what it prints: the executor goes on while the worker closes.
const CLASS_FOLDER: &str = "tests/downstream/service";
const SERVICE_SAYS: &str = "840000\nmeanwhile\nclosed\n";

/// The command line of a host without Python.
const WITHOUT_PYTHON: &str = "--package btc-migration-cli --no-default-features";

/// Compiles them and the program without Python, and looks at what comes with them.
pub(crate) fn check(session: &Session<'_>) -> Result<String> {
    let words = format!("tree {WITHOUT_PYTHON} --edges normal,build --prefix none");
    let tree = process::read(&mut session.cargo(&words)?)?;
    let foreign = matching(&tree, &["pyo3*", "btc-python"]);
    if !foreign.is_empty() {
        return Err(Error::new(format!(
            "the program without Python comes with {}",
            foreign.join(", ")
        )));
    }
    session.run(&mut session.cargo(&format!("check --quiet {WITHOUT_PYTHON}"))?)?;
    let words = format!("tree --manifest-path {READS} --edges normal,build --prefix none");
    judge(&process::read(&mut session.cargo(&words)?)?)?;
    let into = "--target-dir target/downstream";
    session.run(&mut session.cargo(&format!("check --quiet --manifest-path {READS} {into}"))?)?;
    let mut service = session.cargo(&format!("run --quiet --manifest-path {SERVICE} {into} --"))?;
    service
        .arg("http://127.0.0.1:1")
        .arg(session.workspace.venv())
        .arg("height:Height")
        .env("PYTHONPATH", session.workspace.root().join(CLASS_FOLDER));
    let said = process::read(&mut service)?;
    if said != SERVICE_SAYS {
        return Err(Error::new(format!("the service printed {said:?}")));
    }
    Ok("3 programs compiled, one of them run".to_owned())
}

/// Fails on a tree with something foreign in it, and on one that is not that of a reader.
fn judge(tree: &str) -> Result<()> {
    if matching(tree, &["btc-rust"]).is_empty() {
        return Err(Error::new(format!(
            "{READS} does not depend on btc-rust, so that its tree shows nothing"
        )));
    }
    let foreign = matching(tree, &FOREIGN);
    if foreign.is_empty() {
        return Ok(());
    }
    Err(Error::new(format!(
        "a program that only reads comes with {}; make that a part of the feature `wallet`",
        foreign.join(", ")
    )))
}

#[cfg(test)]
mod tests {
    use super::judge;

    #[test]
    fn a_reader_comes_without_bdk_sqlite_age_and_python() {
        let tree = "downstream-reads v0.0.0 (/r)\nbtc v0.1.0 (/r)\nbtc-rust v0.1.0 (/r)\n\
                    bitcoin v0.32.0\nmessage-io v1\n";
        assert!(judge(tree).is_ok());
        for foreign in [
            "bdk_chain v0.23.0",
            "rusqlite v0.31.0",
            "age v0.11.0",
            "pyo3 v0.30.0",
        ] {
            let error = judge(&format!("{tree}{foreign}\n")).map_err(|error| error.to_string());
            let name = foreign.split(' ').next().unwrap_or_default();
            assert!(error.is_err_and(|error| error.contains(name)), "{foreign}");
        }
    }

    #[test]
    fn a_tree_of_something_else_shows_nothing() {
        assert!(judge("btc v0.1.0 (/r)\n").is_err());
    }
}
