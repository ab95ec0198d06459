//! The rule that every dependency has its reason in docs/dependencies.md, and no reason outlives its dependency.

use std::collections::BTreeMap;

use toml::Table;

use super::tree::Tree;
use super::{Finding, known_tools, manifest, readme};

const DOCUMENT: &str = "docs/dependencies.md";

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let used = used(tree);
    let Some(document) = tree.text(DOCUMENT) else {
        return vec![Finding::new(
            DOCUMENT,
            1,
            "is missing; give each dependency a row with its reason",
        )];
    };
    compare(document, &used, &known_tools().collect::<Vec<_>>())
}

/// Each package from outside, with the place that names it first.
fn used(tree: &Tree) -> BTreeMap<String, (String, usize)> {
    let mut used = BTreeMap::new();
    for (path, text) in tree.texts() {
        let names = names(path, text);
        for name in names.into_iter().filter(|name| !name.is_empty()) {
            let line = manifest::line_of(text, &name);
            used.entry(name).or_insert_with(|| (path.to_owned(), line));
        }
    }
    used
}

fn names(path: &str, text: &str) -> Vec<String> {
    // A manifest that cannot be read stops cargo long before it stops this rule.
    let table = || text.parse::<Table>().unwrap_or_default();
    match path.rsplit('/').next() {
        Some("Cargo.toml") => {
            let outside = manifest::cargo(&table())
                .into_iter()
                .filter(|dependency| !dependency.is_path);
            let names = outside.map(|dependency| dependency.name);
            names
                .filter(|name| name != "btc" && !name.starts_with("btc-"))
                .collect()
        }
        Some("pyproject.toml") => manifest::python(&table()).into_iter().collect(),
        Some("requirements.in" | "requirements-dev.in") => {
            manifest::requirements(text).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

fn compare(
    document: &str,
    used: &BTreeMap<String, (String, usize)>,
    tools: &[&str],
) -> Vec<Finding> {
    let rows = readme::rows(document);
    let missing = used
        .iter()
        .filter(|(name, _)| rows.iter().all(|row| row.name != **name));
    let missing = missing.map(|(name, (path, line))| {
        Finding::new(
            path,
            *line,
            format!("`{name}` has no row in {DOCUMENT}; say there why it is needed"),
        )
    });
    let is_known = |name: &str| used.contains_key(name) || tools.contains(&name);
    let stale = rows.iter().filter(|row| !is_known(&row.name));
    let stale = stale.map(|row| {
        Finding::new(
            DOCUMENT,
            row.line,
            format!("nothing depends on `{}` any more; delete its row", row.name),
        )
    });
    missing.chain(stale).collect()
}

#[cfg(test)]
mod tests {
    use super::{check, compare, used};
    use crate::tidy::tree::Tree;

    const DOCUMENT: &str = "# Dependencies\n\n| package | reason |\n|---|---|\n| `serde` | records |\n| `cmake` | the node |\n";

    fn manifests() -> Tree {
        Tree::of(&[
            (
                "Cargo.toml",
                "[workspace.dependencies]\nserde = \"1\"\nbtc-iface = { path = \"x\" }\n",
            ),
            (
                "crates/a/Cargo.toml",
                "[dependencies]\nserde.workspace = true\nbtc-iface.workspace = true\n",
            ),
        ])
    }

    #[test]
    fn a_dependency_needs_a_reason() {
        let found = compare("# Dependencies\n", &used(&manifests()), &[]);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].path.as_str(), found[0].line), ("Cargo.toml", 2));
        assert!(compare(DOCUMENT, &used(&manifests()), &["cmake"]).is_empty());
    }

    #[test]
    fn a_reason_needs_a_dependency() {
        let found = compare(
            &format!("{DOCUMENT}| `gone` | once |\n"),
            &used(&manifests()),
            &["cmake"],
        );
        assert_eq!(
            found.iter().map(|finding| finding.line).collect::<Vec<_>>(),
            [7]
        );
    }

    #[test]
    fn the_document_must_be_there() {
        assert_eq!(check(&manifests()).len(), 1);
    }

    #[test]
    fn python_packages_count() {
        let tree = Tree::of(&[(
            "crates/a/python/pyproject.toml",
            "[project]\ndependencies = [\"embit==0.8\"]\n",
        )]);
        assert!(used(&tree).contains_key("embit"));
    }
}
