//! Which packages the manifests name, in Cargo's and in Python's format.

use std::collections::BTreeSet;

use toml::{Table, Value};

/// A dependency as a manifest names it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Dependency {
    pub(super) name: String,
    pub(super) is_dev: bool,
    /// Lives in this repository.
    pub(super) is_path: bool,
}

/// The dependencies of a `Cargo.toml`, those of its workspace and targets included.
pub(super) fn cargo(manifest: &Table) -> Vec<Dependency> {
    let mut found = Vec::new();
    let workspace = table(manifest, "workspace");
    let targets = table(manifest, "target")
        .into_iter()
        .flat_map(Table::values)
        .filter_map(Value::as_table);
    for section in [Some(manifest), workspace]
        .into_iter()
        .flatten()
        .chain(targets)
    {
        for (name, is_dev) in [
            ("dependencies", false),
            ("build-dependencies", false),
            ("dev-dependencies", true),
        ] {
            let entries = table(section, name).into_iter().flatten();
            found.extend(entries.map(|(key, value)| {
                Dependency {
                    name: value
                        .get("package")
                        .and_then(Value::as_str)
                        .unwrap_or(key)
                        .to_owned(),
                    is_dev,
                    is_path: value.get("path").is_some(),
                }
            }));
        }
    }
    found
}

/// The packages that a `pyproject.toml` names, for running, building and developing.
pub(super) fn python(manifest: &Table) -> BTreeSet<String> {
    let project = table(manifest, "project");
    let lists = [
        project.and_then(|project| project.get("dependencies")),
        table(manifest, "build-system").and_then(|build| build.get("requires")),
    ];
    let extras = project.and_then(|project| table(project, "optional-dependencies"));
    let groups = [extras, table(manifest, "dependency-groups")];
    let grouped = groups.into_iter().flatten().flat_map(Table::values);
    let lists = lists.into_iter().flatten().chain(grouped);
    let entries = lists
        .filter_map(Value::as_array)
        .flatten()
        .filter_map(Value::as_str);
    entries.map(requirement).collect()
}

/// The packages of a `requirements.in`, which is what a person writes.
pub(super) fn requirements(text: &str) -> BTreeSet<String> {
    let lines = text
        .lines()
        .map(|line| line.split('#').next().unwrap_or("").trim());
    lines
        .filter(|line| !line.is_empty() && !line.starts_with('-'))
        .map(requirement)
        .collect()
}

/// The line on which a name is first mentioned, for the reader.
pub(super) fn line_of(text: &str, name: &str) -> usize {
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let mentions = |line: &str| line.split(|c| !is_name(c)).any(|word| word == name);
    let found = (1..).zip(text.lines()).find(|(_, line)| mentions(line));
    found.map_or(1, |(number, _)| number)
}

/// `name` of `name[extra]>=1; marker`.
fn requirement(text: &str) -> String {
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    text.chars().take_while(|c| is_name(*c)).collect()
}

fn table<'t>(parent: &'t Table, name: &str) -> Option<&'t Table> {
    parent.get(name)?.as_table()
}

#[cfg(test)]
mod tests {
    use super::{cargo, line_of, python, requirements};

    #[test]
    fn cargo_manifests_are_read_in_all_their_tables() -> Result<(), toml::de::Error> {
        let manifest = "[workspace.dependencies]\na = \"1\"\nown = { path = \"x\" }\n\
                        [dependencies]\nb.workspace = true\nc = { package = \"real\" }\n\
                        [dev-dependencies]\nd = \"1\"\n\
                        [target.'cfg(unix)'.dependencies]\ne = \"1\"\n";
        let found = cargo(&manifest.parse()?);
        let names: Vec<_> = found
            .iter()
            .map(|dependency| dependency.name.as_str())
            .collect();
        assert_eq!(names, ["b", "real", "d", "a", "own", "e"]);
        assert!(found[2].is_dev && found[4].is_path);
        Ok(())
    }

    #[test]
    fn python_requirements_are_read() -> Result<(), toml::de::Error> {
        let manifest = "[build-system]\nrequires = [\"setuptools>=77\"]\n\
                        [project]\ndependencies = [\"python-bitcoinlib==0.12.2\"]\n\
                        [project.optional-dependencies]\nkeys = [\"embit ; python_version > '3'\"]\n";
        let found = python(&manifest.parse()?);
        assert_eq!(
            found.into_iter().collect::<Vec<_>>(),
            ["embit", "python-bitcoinlib", "setuptools"]
        );
        let found = requirements("-c requirements.txt\nmypy  # types\n\npytest>=8\n");
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["mypy", "pytest"]);
        Ok(())
    }

    #[test]
    fn the_line_is_found() {
        assert_eq!(line_of("[dependencies]\nserde = \"1\"\n", "serde"), 2);
        assert_eq!(
            line_of(
                "a = [\n    \"serde_json\",\n    \"serde==1\",\n]\n",
                "serde"
            ),
            3
        );
        assert_eq!(line_of("", "serde"), 1);
    }
}
