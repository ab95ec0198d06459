//! Which versions of the packages that decide about money an environment has.

use std::path::Path;

/// The packages, as `requirements.in` names them.
const PACKAGES: [&str; 2] = ["embit", "python-bitcoinlib"];

/// The versions of embit and python-bitcoinlib in a virtual environment, as in
/// `embit-0.8.0 python-bitcoinlib-0.12.2`; part of what a build is called, since another version
/// is other code. A package that is not there is left out.
pub fn installed_packages(venv: &Path) -> String {
    let pythons = venv.join("lib").read_dir().into_iter().flatten().flatten();
    let entries = pythons
        .filter_map(|python| python.path().join("site-packages").read_dir().ok())
        .flatten()
        .flatten();
    let mut found: Vec<String> = entries
        .filter_map(|entry| named(entry.file_name().to_str()?))
        .collect();
    found.sort();
    found.dedup();
    found.join(" ")
}

/// One of the packages and its version, of the folder that describes what is installed.
fn named(folder: &str) -> Option<String> {
    let (name, version) = folder.strip_suffix(".dist-info")?.rsplit_once('-')?;
    let name = name.to_lowercase().replace(['_', '.'], "-");
    PACKAGES
        .contains(&name.as_str())
        .then(|| format!("{name}-{version}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_packages_of_an_environment_are_named_with_their_versions() {
        let venv = tempfile::tempdir().expect("a temporary folder");
        assert_eq!(installed_packages(venv.path()), "");
        let packages = venv.path().join("lib/python3.11/site-packages");
        for folder in [
            "python_bitcoinlib-0.12.2.dist-info",
            "embit-0.8.0.dist-info",
            "bitcoin",
            "pip-24.0.dist-info",
        ] {
            std::fs::create_dir_all(packages.join(folder)).expect("a disk with room");
        }
        let named = installed_packages(venv.path());
        assert_eq!(named, "embit-0.8.0 python-bitcoinlib-0.12.2");
    }
}
