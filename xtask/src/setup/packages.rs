//! Which system packages are missing, judged by what they provide and not by what dpkg says.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use super::python::Python;
use crate::error::{Error, Result};
use crate::process::{self, find_on_path};

/// Bitcoin Core is written in C++20; older compilers fail in the middle of the build.
const OLDEST_GCC: u32 = 12;
/// Where headers are found without any option.
const HEADERS: [&str; 3] = [
    "/usr/include",
    "/usr/local/include",
    // Homebrew's, on macOS.
    "/opt/homebrew/include",
];
/// The package names that documents may mention.
pub(crate) const PACKAGES: [&str; 11] = [
    "cmake",
    "ninja-build",
    "g++",
    "g++-12",
    "pkg-config",
    "libboost-dev",
    "libevent-dev",
    "libssl-dev",
    "python3",
    "python3-dev",
    "python3-venv",
];

/// What a package provides.
#[derive(Clone, Copy, Debug)]
enum Provides {
    Program(&'static [&'static str]),
    Header(&'static str),
}

/// What a build of Bitcoin Core needs besides a compiler.
const FOR_NODE: [(Need, Provides); 5] = [
    (
        Need::new("cmake", "configures Bitcoin Core"),
        Provides::Program(&["cmake"]),
    ),
    (
        Need::new("ninja-build", "builds Bitcoin Core"),
        Provides::Program(&["ninja"]),
    ),
    (
        Need::new("pkg-config", "finds Bitcoin Core's libraries"),
        Provides::Program(&["pkg-config", "pkgconf"]),
    ),
    (
        Need::new("libboost-dev", "Bitcoin Core's containers"),
        Provides::Header("boost/multi_index_container.hpp"),
    ),
    (
        Need::new("libevent-dev", "Bitcoin Core's RPC server"),
        Provides::Header("event2/event.h"),
    ),
];

/// What the machine is wanted for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scope {
    pub(crate) builds_node: bool,
    pub(crate) runs_python: bool,
    pub(crate) builds_fuzzers: bool,
}

/// A package to install, and what it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Need {
    pub(crate) package: &'static str,
    pub(crate) reason: &'static str,
}

impl Need {
    pub(crate) const fn new(package: &'static str, reason: &'static str) -> Self {
        Self { package, reason }
    }
}

impl Provides {
    fn is_there(self) -> bool {
        match self {
            Self::Program(names) => names.iter().any(|name| find_on_path(name).is_some()),
            Self::Header(name) => has_header(name),
        }
    }
}

/// A C++ compiler and its major version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Compiler {
    pub(crate) program: &'static str,
    pub(crate) major: u32,
}

/// What was found on this machine.
#[derive(Debug, Default)]
pub(crate) struct Look {
    pub(crate) python: Option<Python>,
    pub(crate) compiler: Option<Compiler>,
    /// The packages of [`FOR_NODE`] whose content is there.
    found: BTreeSet<&'static str>,
}

impl Look {
    /// Probes only what `scope` needs, so that a machine that is ready answers at once.
    pub(crate) fn around(scope: Scope) -> Self {
        let mut look = Self::default();
        if scope.runs_python {
            look.python = Python::on_path();
        }
        if scope.builds_node || scope.builds_fuzzers {
            look.compiler = compiler();
        }
        if scope.builds_node {
            let needs = FOR_NODE
                .into_iter()
                .filter(|(_, provides)| provides.is_there());
            look.found = needs.map(|(need, _)| need.package).collect();
        }
        look
    }

    pub(crate) fn python_or_advice(&self) -> Result<Python> {
        self.python
            .clone()
            .ok_or_else(|| Error::new("there is no python3 on PATH; install one"))
    }
}

/// The packages to install; an error when no package can help.
pub(crate) fn missing(scope: Scope, look: &Look) -> Result<Vec<Need>> {
    let mut needs = Vec::new();
    let mut need = |is_there: bool, package, reason| {
        if !is_there {
            needs.push(Need { package, reason });
        }
    };
    if scope.builds_node {
        for (part, _) in FOR_NODE {
            need(look.found.contains(part.package), part.package, part.reason);
        }
    }
    if scope.builds_node || scope.builds_fuzzers {
        match &look.compiler {
            None => need(false, "g++", "compiles C++"),
            Some(found) if scope.builds_node && found.major < OLDEST_GCC => {
                need(false, "g++-12", "compiles Bitcoin Core, which is C++20");
            }
            Some(_) => {}
        }
    }
    if scope.runs_python {
        if let Some(advice) = look.python.as_ref().and_then(Python::advice) {
            return Err(Error::new(advice));
        }
        let python = look.python.as_ref();
        need(
            python.is_some(),
            "python3",
            "runs the Python implementation",
        );
        need(
            python.is_some_and(|p| p.library.is_some()),
            "python3-dev",
            "the Python library that Rust links against",
        );
        need(
            python.is_some_and(|p| p.makes_environments),
            "python3-venv",
            "makes the virtual environment",
        );
        // Python brings OpenSSL with it, so this is asked for only when it is known to lack.
        need(
            python.is_none_or(|p| p.has_openssl),
            "libssl-dev",
            "OpenSSL, which python-bitcoinlib loads",
        );
    }
    Ok(needs)
}

/// The first compiler that is new enough, else the default one.
fn compiler() -> Option<Compiler> {
    let programs = ["g++", "g++-15", "g++-14", "g++-13", "g++-12"];
    let mut found = programs
        .into_iter()
        .filter(|program| find_on_path(program).is_some())
        .filter_map(|program| {
            let version = process::read(Command::new(program).arg("-dumpversion")).ok()?;
            Some(Compiler {
                program,
                major: major(&version)?,
            })
        });
    let default = found.next()?;
    if default.major >= OLDEST_GCC {
        return Some(default);
    }
    Some(
        found
            .find(|other| other.major >= OLDEST_GCC)
            .unwrap_or(default),
    )
}

fn major(version: &str) -> Option<u32> {
    version.trim().split('.').next()?.parse().ok()
}

fn has_header(name: &str) -> bool {
    let extra = std::env::var_os("CPATH").unwrap_or_default();
    let usual = HEADERS.iter().map(|folder| Path::new(folder).to_path_buf());
    usual
        .chain(std::env::split_paths(&extra))
        .any(|folder| folder.join(name).is_file())
}

#[cfg(test)]
mod tests {
    use super::super::python::tests::whole;
    use super::{Compiler, FOR_NODE, Look, PACKAGES, Scope, major, missing};
    use crate::setup::python::Python;

    const EVERYTHING: Scope = Scope {
        builds_node: true,
        runs_python: true,
        builds_fuzzers: true,
    };
    const DEMO: Scope = Scope {
        builds_node: false,
        runs_python: true,
        builds_fuzzers: false,
    };

    fn packages(scope: Scope, look: &Look) -> Vec<&'static str> {
        missing(scope, look)
            .map(|needs| needs.iter().map(|need| need.package).collect())
            .unwrap_or_default()
    }

    fn complete() -> Look {
        Look {
            python: Some(whole()),
            compiler: Some(Compiler {
                program: "g++",
                major: 12,
            }),
            found: FOR_NODE.into_iter().map(|(need, _)| need.package).collect(),
        }
    }

    #[test]
    fn a_bare_machine_needs_everything_once() {
        let bare = packages(EVERYTHING, &Look::default());
        assert_eq!(
            bare,
            [
                "cmake",
                "ninja-build",
                "pkg-config",
                "libboost-dev",
                "libevent-dev",
                "g++",
                "python3",
                "python3-dev",
                "python3-venv"
            ]
        );
        assert!(bare.iter().all(|package| PACKAGES.contains(package)));
    }

    #[test]
    fn a_complete_machine_needs_nothing() {
        assert!(packages(EVERYTHING, &complete()).is_empty());
    }

    #[test]
    fn build_packages_are_only_for_a_build() {
        let look = Look {
            python: Some(whole()),
            ..Look::default()
        };
        assert!(packages(DEMO, &look).is_empty());
        assert_eq!(
            packages(
                Scope {
                    builds_fuzzers: true,
                    ..DEMO
                },
                &look
            ),
            ["g++"]
        );
    }

    #[test]
    fn an_old_compiler_is_told_apart_from_none() {
        let old = Look {
            compiler: Some(Compiler {
                program: "g++",
                major: 11,
            }),
            ..complete()
        };
        assert_eq!(packages(EVERYTHING, &old), ["g++-12"]);
        assert!(
            packages(
                Scope {
                    builds_node: false,
                    ..EVERYTHING
                },
                &old
            )
            .is_empty()
        );
    }

    #[test]
    fn each_python_part_has_its_package() {
        let with = |python: Python| Look {
            python: Some(python),
            ..complete()
        };
        assert_eq!(
            packages(
                DEMO,
                &with(Python {
                    library: None,
                    ..whole()
                })
            ),
            ["python3-dev"]
        );
        assert_eq!(
            packages(
                DEMO,
                &with(Python {
                    makes_environments: false,
                    ..whole()
                })
            ),
            ["python3-venv"]
        );
        assert_eq!(
            packages(
                DEMO,
                &with(Python {
                    has_openssl: false,
                    ..whole()
                })
            ),
            ["libssl-dev"]
        );
    }

    #[test]
    fn no_package_is_asked_for_when_none_can_help() {
        let foreign = Python {
            is_system: false,
            library: None,
            ..whole()
        };
        assert!(
            missing(
                DEMO,
                &Look {
                    python: Some(foreign),
                    ..complete()
                }
            )
            .is_err()
        );
    }

    #[test]
    fn versions_are_read() {
        assert_eq!(major("12\n"), Some(12));
        assert_eq!(major("11.4.0"), Some(11));
        assert_eq!(major("?"), None);
    }
}
