//! The files of the repository: their names, and the text of those that a rule reads.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use crate::error::{Context, Result};

/// Kinds that rules read; of other files only the name matters.
const READ: [&str; 5] = ["rs", "py", "md", "toml", "in"];
/// Folders that are made, not written.
const MADE: [&str; 6] = [
    "target",
    "__pycache__",
    "logs",
    "artifacts",
    "corpus",
    "node_modules",
];
/// Hidden names that belong to the repository.
const SHOWN: [&str; 5] = [".cargo", ".ci", ".config", ".gitattributes", ".gitignore"];

/// Paths are relative to the root and use `/`.
pub(super) struct Tree {
    files: BTreeMap<String, Option<String>>,
}

impl Tree {
    pub(super) fn read(root: &Path) -> Result<Self> {
        let mut files = BTreeMap::new();
        walk(root, "", &mut files)?;
        Ok(Self { files })
    }

    #[cfg(test)]
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        let files = files
            .iter()
            .map(|(path, text)| ((*path).to_owned(), Some((*text).to_owned())));
        Self {
            files: files.collect(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.files.len()
    }

    /// The files that rules read, with their text.
    pub(super) fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files
            .iter()
            .filter_map(|(path, text)| Some((path.as_str(), text.as_deref()?)))
    }

    pub(super) fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path)?.as_deref()
    }

    /// True for a file and for a folder with a file in it.
    pub(super) fn exists(&self, path: &str) -> bool {
        let folder = format!("{path}/");
        path.is_empty()
            || self.files.contains_key(path)
            || self.files.keys().any(|file| file.starts_with(&folder))
    }
}

/// The part of a name after its last full stop.
pub(super) fn extension(path: &str) -> &str {
    let extension = Path::new(path).extension();
    extension.and_then(OsStr::to_str).unwrap_or_default()
}

fn walk(root: &Path, folder: &str, files: &mut BTreeMap<String, Option<String>>) -> Result<()> {
    let path = root.join(folder);
    for entry in fs::read_dir(&path).context(|| format!("cannot list {}", path.display()))? {
        let entry = entry.context(|| format!("cannot list {}", path.display()))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if (name.starts_with('.') && !SHOWN.contains(&name.as_str()))
            || MADE.contains(&name.as_str())
        {
            continue;
        }
        let relative = if folder.is_empty() {
            name
        } else {
            format!("{folder}/{name}")
        };
        // A link is a name; what it points at is read where it lives.
        let kind = entry
            .file_type()
            .context(|| format!("cannot look at {relative}"))?;
        if kind.is_dir() {
            walk(root, &relative, files)?;
            continue;
        }
        let is_read = kind.is_file() && READ.contains(&extension(&relative));
        let text = if is_read {
            Some(
                fs::read_to_string(root.join(&relative))
                    .context(|| format!("cannot read {relative} as text"))?,
            )
        } else {
            None
        };
        files.insert(relative, text);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::Tree;

    #[test]
    fn made_and_hidden_folders_are_left_out() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        for path in [
            "src/a.rs",
            "target/b.rs",
            ".venv/c.py",
            ".ci/run",
            "LICENSE",
        ] {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().ok_or("no parent")?)?;
            fs::write(path, "x")?;
        }
        let tree = Tree::read(folder.path())?;
        assert_eq!(tree.texts().collect::<Vec<_>>(), [("src/a.rs", "x")]);
        assert!(tree.exists("LICENSE") && tree.exists(".ci/run") && tree.exists("src"));
        assert!(!tree.exists("target") && !tree.exists(".venv/c.py") && !tree.exists("sr"));
        assert_eq!(tree.text("LICENSE"), None);
        Ok(())
    }
}
