//! The `python3` on PATH, and whether it can be embedded and can make an environment.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The oldest Python that the pinned requirements support.
const OLDEST: (u32, u32) = (3, 10);

/// Facts about an interpreter, asked of the interpreter itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Python {
    pub(crate) version: String,
    /// The base interpreter, also when a virtual environment is active.
    pub(crate) executable: PathBuf,
    /// Installed by the system's packages, so that more packages can complete it.
    pub(crate) is_system: bool,
    /// The shared library that a Rust program links against.
    pub(crate) library: Option<PathBuf>,
    pub(crate) makes_environments: bool,
    pub(crate) has_openssl: bool,
}

/// One fact a line; `ensurepip` is what Debian leaves out, OpenSSL is loaded by name at run time.
const PROBE: &str = r#"
import ctypes.util, importlib.util, os, sys, sysconfig
var = lambda name: sysconfig.get_config_var(name) or ""
folders = [var("LIBDIR"), os.path.join(var("LIBDIR"), var("MULTIARCH"))]
paths = [os.path.join(folder, var("LDLIBRARY")) for folder in folders]
shared = var("Py_ENABLE_SHARED") and [path for path in paths if os.path.isfile(path)]
found = lambda name: importlib.util.find_spec(name) is not None
print(sys.version.split()[0])
print(getattr(sys, "_base_executable", None) or sys.executable)
print(int(sys.base_prefix == "/usr"))
print(shared[0] if shared else "")
print(int(found("venv") and found("ensurepip")))
print(int(found("_ssl") and ctypes.util.find_library("ssl") is not None))
"#;

impl Python {
    /// None when there is no `python3` or only a part of one.
    pub(crate) fn on_path() -> Option<Self> {
        let mut probe = Command::new("python3");
        // Isolated: the probe must not depend on the person's PYTHONPATH.
        let probe = probe
            .args(["-I", "-c", PROBE])
            .stdin(Stdio::null())
            .stderr(Stdio::null());
        let answer = probe
            .output()
            .ok()
            .filter(|answer| answer.status.success())?;
        Self::parse(&String::from_utf8(answer.stdout).ok()?)
    }

    fn parse(answer: &str) -> Option<Self> {
        let mut lines = answer.lines();
        Some(Self {
            version: lines
                .next()
                .filter(|version| !version.is_empty())?
                .to_owned(),
            executable: PathBuf::from(lines.next()?),
            is_system: lines.next()? == "1",
            library: lines
                .next()
                .filter(|path| !path.is_empty())
                .map(PathBuf::from),
            makes_environments: lines.next()? == "1",
            has_openssl: lines.next()? == "1",
        })
    }

    pub(crate) fn library_folder(&self) -> Option<&Path> {
        self.library.as_deref().and_then(Path::parent)
    }

    pub(crate) fn is_too_old(&self) -> bool {
        let mut parts = self
            .version
            .split('.')
            .map(|part| part.parse().unwrap_or(0));
        (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) < OLDEST
    }

    /// What to do about an interpreter that no system package can complete; None when it is fine.
    pub(crate) fn advice(&self) -> Option<String> {
        let problem = if self.is_too_old() {
            format!("is older than {}.{}", OLDEST.0, OLDEST.1)
        } else if self.is_system {
            return None;
        } else if self.library.is_none() {
            "has no shared library to link against".to_owned()
        } else if !self.makes_environments {
            "cannot make virtual environments (no ensurepip)".to_owned()
        } else if !self.has_openssl {
            "finds no OpenSSL".to_owned()
        } else {
            return None;
        };
        Some(format!(
            "python3 is {} {}, which {problem}; put another python3 first on PATH (Debian's own in /usr/bin will do), \
             or build this one again with --enable-shared and OpenSSL",
            self.executable.display(),
            self.version,
        ))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::Python;

    const WHOLE: &str = "3.11.2\n/usr/bin/python3.11\n1\n/usr/lib/x/libpython3.11.so\n1\n1\n";

    pub(in crate::setup) fn whole() -> Python {
        Python {
            version: "3.11.2".to_owned(),
            executable: "/usr/bin/python3.11".into(),
            is_system: true,
            library: Some("/usr/lib/x/libpython3.11.so".into()),
            makes_environments: true,
            has_openssl: true,
        }
    }

    #[test]
    fn the_probe_is_read_back() {
        assert_eq!(Python::parse(WHOLE), Some(whole()));
        assert_eq!(Python::parse("3.11.2\n"), None);
        assert_eq!(Python::parse(""), None);
    }

    #[test]
    fn the_probe_runs_on_the_python_here() {
        // The workspace does not build without a python3, so there is one wherever this test runs.
        let python = Python::on_path();
        assert!(python.is_some_and(|python| python.executable.is_file()));
    }

    #[test]
    fn a_foreign_static_python_gets_advice_and_no_packages() {
        let foreign = Python {
            is_system: false,
            library: None,
            ..whole()
        };
        assert!(
            foreign
                .advice()
                .is_some_and(|advice| advice.contains("no shared library"))
        );
        assert_eq!(
            Python {
                library: None,
                ..whole()
            }
            .advice(),
            None
        );
    }

    #[test]
    fn an_old_python_gets_advice() {
        let old = Python {
            version: "3.9.2".to_owned(),
            ..whole()
        };
        assert!(
            old.advice()
                .is_some_and(|advice| advice.contains("older than 3.10"))
        );
        assert!(
            !Python {
                version: "3.14.0rc1".to_owned(),
                ..whole()
            }
            .is_too_old()
        );
    }
}
