//! The Python environment `.venv`: made from pinned requirements, and made again when they change.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::lock::Lock;
use super::python::Python;
use crate::error::{Context, Error, Result};
use crate::flags::Purpose;
use crate::process::{self, Output};
use crate::terminal::note;
use crate::workspace::Workspace;

/// What builds packages that come as source alone.
const BUILDERS: &str = "requirements-build.txt";
const RUNTIME: &str = "requirements.txt";
const DEVELOPMENT: &str = "requirements-dev.txt";
/// Written last: an environment without it is torn and is made again.
const STAMP: &str = "btc-requirements";

/// The words that install the runtime part with the builders that are there.
const FROM_SOURCE: [&str; 4] = ["--no-build-isolation", "--use-pep517", "-r", RUNTIME];

/// What has to be done to an environment.
#[derive(Debug, PartialEq, Eq)]
enum Work {
    Nothing,
    /// The runtime part is whole; the development part is to be added.
    AddDevelopment,
    Make,
}

/// What the stamp says for each purpose.
struct Wanted {
    runtime: String,
    development: String,
}

/// Brings `.venv` to what `purpose` needs.
pub(crate) fn ensure(workspace: &Workspace, python: &Python, purpose: Purpose) -> Result<()> {
    let wanted = Wanted::read(workspace, python)?;
    if wanted.work(purpose, &stamp(workspace)) == Work::Nothing {
        return Ok(());
    }
    let _lock = Lock::take(workspace)?;
    // Another setup may have done it in the meantime.
    let work = wanted.work(purpose, &stamp(workspace));
    match work {
        Work::Nothing => return Ok(()),
        Work::AddDevelopment => forget(&workspace.venv().join(STAMP))?,
        Work::Make => {
            note(&format!(
                "making the Python environment .venv with Python {}",
                python.version
            ));
            make(&workspace.venv(), python)?;
            // Without isolation pip builds with what is installed; isolated, it would fetch
            // builders that nothing pins.
            install(workspace, &["-r", BUILDERS])?;
            install(workspace, &FROM_SOURCE)?;
        }
    }
    if purpose == Purpose::Test {
        note("adding the tools that check the Python package");
        install(workspace, &["-r", DEVELOPMENT])?;
    }
    let path = workspace.venv().join(STAMP);
    fs::write(&path, wanted.stamp(purpose)).context(|| format!("cannot write {}", path.display()))
}

impl Wanted {
    fn read(workspace: &Workspace, python: &Python) -> Result<Self> {
        let read = |name: &str| {
            let path = workspace.python_package().join(name);
            fs::read_to_string(&path)
                .context(|| format!("cannot read {}; restore it", path.display()))
        };
        let runtime = format!("{}\n{}", read(BUILDERS)?, read(RUNTIME)?);
        Ok(Self::new(python, &runtime, &read(DEVELOPMENT)?))
    }

    /// The stamp holds the requirements themselves: nothing to compute, nothing to collide.
    fn new(python: &Python, runtime: &str, development: &str) -> Self {
        let runtime = format!(
            "python {} {}\n{runtime}",
            python.version,
            python.executable.display()
        );
        let development = format!("{runtime}\n# development\n{development}");
        Self {
            runtime,
            development,
        }
    }

    fn stamp(&self, purpose: Purpose) -> &str {
        match purpose {
            Purpose::Use => &self.runtime,
            Purpose::Test => &self.development,
        }
    }

    fn work(&self, purpose: Purpose, stamp: &str) -> Work {
        if stamp == self.development || stamp == self.stamp(purpose) {
            Work::Nothing
        } else if stamp == self.runtime {
            Work::AddDevelopment
        } else {
            Work::Make
        }
    }
}

/// Empty when there is no whole environment.
fn stamp(workspace: &Workspace) -> String {
    let venv = workspace.venv();
    if !process::is_executable(&venv.join("bin/python")) {
        return String::new();
    }
    fs::read_to_string(venv.join(STAMP)).unwrap_or_default()
}

/// Makes an environment, in the place of one that is there.
pub(super) fn make(venv: &Path, python: &Python) -> Result<()> {
    if venv.exists() {
        // A folder that is no environment was not made by us and is not ours to delete.
        let is_ours = venv.join("pyvenv.cfg").is_file() || venv.join("bin").is_dir();
        if !is_ours {
            return Err(Error::new(format!(
                "{} is no Python environment; move it away",
                venv.display()
            )));
        }
        fs::remove_dir_all(venv).context(|| format!("cannot remove {}", venv.display()))?;
    }
    process::run(
        Command::new(&python.executable)
            .args(["-m", "venv"])
            .arg(venv),
        Output::Stderr,
    )
}

fn install(workspace: &Workspace, words: &[&str]) -> Result<()> {
    pip(&workspace.venv(), &workspace.python_package(), words)
}

/// Installs into an environment what was pinned with hashes, with `folder` as the working folder.
pub(super) fn pip(venv: &Path, folder: &Path, words: &[&str]) -> Result<()> {
    let mut pip = Command::new(venv.join("bin/python"));
    pip.current_dir(folder);
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-input",
        "--disable-pip-version-check",
        "--require-hashes",
    ]);
    pip.args(words);
    process::run(&mut pip, Output::Stderr)
}

fn forget(path: &Path) -> Result<()> {
    fs::remove_file(path).context(|| format!("cannot remove {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::super::python::tests::whole;
    use super::{BUILDERS, FROM_SOURCE, RUNTIME, Wanted, Work, make};
    use crate::flags::Purpose::{Test, Use};
    use crate::setup::python::Python;

    #[test]
    fn what_builds_a_source_package_is_pinned_with_hashes() {
        assert!(FROM_SOURCE.contains(&"--no-build-isolation") && FROM_SOURCE.contains(&RUNTIME));
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/btc-python/python/");
        for name in [BUILDERS, RUNTIME] {
            let text = std::fs::read_to_string(format!("{folder}{name}")).unwrap_or_default();
            let pinned = text.lines().filter(|line| line.contains("=="));
            let pinned: Vec<_> = pinned.filter(|line| !line.starts_with('#')).collect();
            assert!(!pinned.is_empty(), "{name}");
            for line in pinned {
                let (_, rest) = text.split_once(line).unwrap_or_default();
                assert!(rest.trim_start().starts_with("--hash=sha256:"), "{line}");
            }
        }
    }

    #[test]
    fn a_whole_environment_is_left_alone() {
        let wanted = Wanted::new(&whole(), "a==1", "b==2");
        assert_eq!(wanted.work(Use, &wanted.runtime), Work::Nothing);
        assert_eq!(wanted.work(Test, &wanted.development), Work::Nothing);
        assert_eq!(wanted.work(Use, &wanted.development), Work::Nothing);
    }

    #[test]
    fn tests_add_to_what_the_demo_made() {
        let wanted = Wanted::new(&whole(), "a==1", "b==2");
        assert_eq!(wanted.work(Test, &wanted.runtime), Work::AddDevelopment);
    }

    #[test]
    fn a_change_or_a_torn_install_starts_again() {
        let old = Wanted::new(&whole(), "a==1", "b==2");
        let newer = Python {
            version: "3.12.1".to_owned(),
            ..whole()
        };
        assert_eq!(
            Wanted::new(&whole(), "a==2", "b==2").work(Use, &old.runtime),
            Work::Make
        );
        assert_eq!(
            Wanted::new(&whole(), "a==1", "b==3").work(Test, &old.development),
            Work::Make
        );
        assert_eq!(
            Wanted::new(&newer, "a==1", "b==2").work(Use, &old.runtime),
            Work::Make
        );
        assert_eq!(old.work(Use, ""), Work::Make);
    }

    #[test]
    fn a_foreign_folder_is_not_deleted() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        std::fs::create_dir_all(folder.path().join(".venv/precious"))?;
        assert!(make(&folder.path().join(".venv"), &whole()).is_err());
        assert!(folder.path().join(".venv/precious").is_dir());
        Ok(())
    }
}
