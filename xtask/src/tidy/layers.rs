//! The rule that dependencies point down: siblings never import each other.

use toml::Table;

use super::tree::Tree;
use super::{Finding, manifest};

/// For each crate of ours, the crates of ours that it may use; a crate that is missing here may use all.
const EDGES: [(&str, &[&str]); 8] = [
    ("btc-iface", &[]),
    ("btc-rust", &["btc-iface"]),
    ("btc-python", &["btc-iface"]),
    ("btc-shadow", &["btc-iface"]),
    ("btc-lightning", &["btc-iface"]),
    ("btc-dlc", &["btc-iface"]),
    ("btc-regtest", &["btc-iface"]),
    (
        "btc-migration",
        &[
            "btc-iface",
            "btc-rust",
            "btc-python",
            "btc-shadow",
            "btc-lightning",
            "btc-dlc",
        ],
    ),
];
/// The top: these bring everything together.
const TOP: [&str; 2] = ["btc-migration-cli", "btc-tests"];
/// What tests of any crate may use beyond that.
const FOR_TESTS: &str = "btc-regtest";

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let manifests = tree
        .texts()
        .filter(|(path, _)| path.starts_with("crates/") && path.ends_with("/Cargo.toml"));
    manifests
        .flat_map(|(path, text)| check_manifest(path, text))
        .collect()
}

fn check_manifest(path: &str, text: &str) -> Vec<Finding> {
    let table: Table = match text.parse() {
        Ok(table) => table,
        Err(error) => {
            return vec![Finding::new(
                path,
                1,
                format!("cannot be read: {}", error.message()),
            )];
        }
    };
    let name = table
        .get("package")
        .and_then(|package| package.get("name"))
        .and_then(toml::Value::as_str);
    let name = name.unwrap_or_default();
    if TOP.contains(&name) {
        return Vec::new();
    }
    let Some((_, allowed)) = EDGES.iter().find(|(krate, _)| *krate == name) else {
        return vec![Finding::new(
            path,
            1,
            format!("`{name}` has no place in the layers; give it one in xtask/src/tidy/layers.rs"),
        )];
    };
    let ours = manifest::cargo(&table)
        .into_iter()
        .filter(|dependency| dependency.name == "btc" || dependency.name.starts_with("btc-"));
    let wrong = ours.filter(|dependency| {
        let is_for_tests = dependency.is_dev && dependency.name == FOR_TESTS;
        !is_for_tests && !allowed.contains(&dependency.name.as_str())
    });
    let found = wrong.map(|dependency| {
        let message = format!(
            "`{name}` may not use `{}`; what both need lives in btc-iface, what joins them in btc",
            dependency.name
        );
        Finding::new(path, manifest::line_of(text, &dependency.name), message)
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use super::check_manifest;

    fn count(text: &str) -> usize {
        check_manifest("crates/x/Cargo.toml", text).len()
    }

    #[test]
    fn siblings_do_not_see_each_other() {
        let found = check_manifest(
            "crates/btc-shadow/Cargo.toml",
            "[package]\nname = \"btc-shadow\"\n[dependencies]\nbtc-iface.workspace = true\nbtc-rust.workspace = true\n",
        );
        assert_eq!(
            found.iter().map(|finding| finding.line).collect::<Vec<_>>(),
            [5]
        );
    }

    #[test]
    fn nothing_points_up() {
        assert_eq!(
            count("[package]\nname = \"btc-iface\"\n[dependencies]\nbtc = \"1\"\n"),
            1
        );
        assert_eq!(
            count(
                "[package]\nname = \"btc-migration\"\n[dependencies]\nbtc-migration-cli = \"1\"\n"
            ),
            1
        );
        assert_eq!(
            count("[package]\nname = \"btc-migration\"\n[dependencies]\nbtc-rust = \"1\"\n"),
            0
        );
        assert_eq!(
            count("[package]\nname = \"btc-migration-cli\"\n[dependencies]\nbtc-rust = \"1\"\n"),
            0
        );
    }

    #[test]
    fn a_renamed_sibling_is_seen() {
        let text = "[package]\nname = \"btc-rust\"\n[dependencies]\nother = { package = \"btc-python\", path = \"..\" }\n";
        assert_eq!(count(text), 1);
    }

    #[test]
    fn tests_may_start_a_node() {
        assert_eq!(
            count("[package]\nname = \"btc-rust\"\n[dev-dependencies]\nbtc-regtest = \"1\"\n"),
            0
        );
        assert_eq!(
            count("[package]\nname = \"btc-rust\"\n[dependencies]\nbtc-regtest = \"1\"\n"),
            1
        );
        assert_eq!(
            count("[package]\nname = \"btc-rust\"\n[dev-dependencies]\nbtc-python = \"1\"\n"),
            1
        );
    }

    #[test]
    fn a_new_crate_needs_a_place() {
        assert_eq!(count("[package]\nname = \"btc-new\"\n"), 1);
        assert_eq!(count("["), 1);
    }
}
