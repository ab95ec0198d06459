//! What a class is given and what it is kept from, in the program: modules, variables, streams.

use std::fs;
use std::path::Path;

use btc_tests::{Backend, FakeNode, Fault, Outcome, Program, healthy};
use serde_json::Value;
use tempfile::TempDir;

use super::Trial;

pub(super) const OF_PROGRAMS: &[(&str, Fault)] = &[
    ("searches_the_pinned_packages_first", pinned),
    ("prints_beside_the_answer", prints),
    ("takes_no_module_from_the_current_folder", current_folder),
];

pub(super) const OF_WORKERS: &[(&str, Trial)] = &[
    ("searches_as_embedded_python_does", same_order),
    ("inherits_no_secret", no_secret),
];

/// Of other children than Python.
pub(super) const OF_NODES: &[(&str, Trial)] = &[("private_node_inherits_no_secret", node)];

/// Within this process.
pub(super) const EMBEDDED: &[(&str, Trial)] = &[("many_threads_open_at_once", at_once)];

/// It writes down what it finds in its process.
const LOOKING: &str = "
import json, os, pathlib, subprocess, sys
import bitcoin, embit
HERE = pathlib.Path(__file__).parent
print('printed while imported')
class Own:
    def __init__(self, config):
        print('printed by the constructor')
    def get_block_height(self):
        print('printed by a method', flush=True)
        found = {
            'path': sys.path, 'variables': dict(os.environ),
            'modules': [bitcoin.__file__, embit.__file__], 'input': sys.stdin.read(),
        }
        (HERE / 'found.json').write_text(json.dumps(found))
        return 7
";

/// `btc height --json` with the class, in this folder.
fn height(backend: Backend, folder: &Path) -> Program {
    let mode = match backend {
        Backend::PythonWorker => "worker",
        _ => "embedded",
    };
    fs::write(folder.join("looking.py"), LOOKING).expect("a disk with room");
    Program::new("height --json")
        .env("USE_RUST_BITCOIN", "false")
        .env("PYTHON_MODE", mode)
        .env("PYTHON_BACKEND", "looking:Own")
        .env("PYTHONPATH", folder)
        .env("BITCOIN_NETWORK", "regtest")
}

fn found(folder: &Path) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
    Ok(serde_json::from_slice(&fs::read(
        folder.join("found.json"),
    )?)?)
}

/// The user has other packages of the same names.
fn pinned(backend: Backend) -> Outcome {
    let folder = TempDir::new()?;
    let program = height(backend, folder.path());
    let user = program.folder.path().join(".local/lib");
    let minor = |text: &str| {
        let rest = text.strip_prefix("python3.")?;
        rest.parse::<u8>().ok()
    };
    let venv = std::env::var_os("PYTHON_VENV").map_or_else(
        btc::python::PythonConfig::default_venv,
        std::path::PathBuf::from,
    );
    let python = fs::read_dir(venv.join("lib"))?
        .flatten()
        .find_map(|entry| entry.file_name().to_str().and_then(minor))
        .ok_or("no python in the environment")?;
    let packages = user.join(format!("python3.{python}/site-packages"));
    for name in ["bitcoin", "embit"] {
        fs::create_dir_all(packages.join(name))?;
        fs::write(packages.join(name).join("__init__.py"), "")?;
    }
    program.run().code(0);
    let found = found(folder.path())?;
    for module in found["modules"].as_array().ok_or("two modules")? {
        let place = module.as_str().ok_or("a path")?;
        assert!(Path::new(place).starts_with(&venv), "{module}");
    }
    let user = packages.to_string_lossy().into_owned();
    let path = found["path"].as_array().ok_or("a path")?;
    assert!(!path.iter().any(|it| it == &user), "{path:?}");
    Ok(())
}

fn prints(backend: Backend) -> Outcome {
    let folder = TempDir::new()?;
    let run = height(backend, folder.path())
        .input("what the program is given")
        .run()
        .code(0);
    assert_eq!(run.json()["height"], 7);
    assert!(!run.stdout.contains("printed"), "{run:?}");
    assert_eq!(found(folder.path())?["input"], "");
    Ok(())
}

/// Modules that Python, the package and the class import, and one that they do not find.
fn current_folder(backend: Backend) -> Outcome {
    let folder = TempDir::new()?;
    let program = height(backend, folder.path());
    for name in [
        "__future__",
        "json",
        "pathlib",
        "site",
        "bitcoin",
        "embit",
        "btc_legacy",
    ] {
        let source = "import os; open('/proc/self/cwd/was_run', 'w'); raise SystemExit(9)\n";
        fs::write(program.folder.path().join(format!("{name}.py")), source)?;
    }
    let run = program.run().code(0);
    let was_run = run.files.iter().any(|file| file.ends_with("was_run"));
    assert!(!was_run, "{run:?}");
    Ok(())
}

fn same_order() -> Outcome {
    let mut paths = Vec::new();
    for backend in [Backend::PythonEmbedded, Backend::PythonWorker] {
        let folder = TempDir::new()?;
        height(backend, folder.path()).run().code(0);
        let text = found(folder.path())?["path"].to_string();
        paths.push(text.replace(&*folder.path().to_string_lossy(), "HERE"));
    }
    assert_eq!(paths[0], paths[1]);
    assert!(paths[0].ends_with("\"HERE\"]"), "{}", paths[0]);
    Ok(())
}

fn no_secret() -> Outcome {
    let folder = TempDir::new()?;
    height(Backend::PythonWorker, folder.path())
        .env("WALLET_PASSPHRASE", "not-to-be-seen")
        .env("BITCOIN_RPC_USER", "user")
        .env("BITCOIN_RPC_PASSWORD", "not-to-be-seen")
        .env("SOME_TOKEN", "not-to-be-seen")
        .env("LC_ALL", "C.UTF-8")
        .run()
        .code(0);
    let found = found(folder.path())?;
    assert!(!found.to_string().contains("not-to-be-seen"), "{found}");
    let variables = &found["variables"];
    assert_eq!(variables["LC_ALL"], "C.UTF-8");
    for needed in ["PATH", "HOME", "PYTHONPATH"] {
        assert!(variables[needed].is_string(), "no {needed}: {variables}");
    }
    Ok(())
}

/// `btc node` over a Bitcoin Core that writes down first what it was given.
fn node() -> Outcome {
    use std::os::unix::fs::PermissionsExt;
    let exe = std::env::var_os("BITCOIND_EXE").map(std::path::PathBuf::from);
    let exe = btc_regtest::exe::find(exe.as_deref())?;
    let folder = TempDir::new()?;
    let script = folder.path().join("bitcoind");
    let text = format!(
        "#!/bin/sh\nenv > \"$HOME/environment\"\nexec '{}' \"$@\"\n",
        exe.display()
    );
    fs::write(&script, text)?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o700))?;
    let run = Program::new("node")
        .env("BITCOIND_EXE", &script)
        .env("WALLET_PASSPHRASE", "not-to-be-seen")
        .env("SOME_TOKEN", "not-to-be-seen")
        .signal("INT", |folder| folder.join("environment").exists())
        .run();
    let given = fs::read_to_string(run.folder.path().join("environment"))?;
    assert!(
        given.contains("PATH=") && given.contains("HOME="),
        "{given}"
    );
    assert!(!given.contains("not-to-be-seen"), "{given}");
    Ok(())
}

/// Where modules are looked for is the process's: one thread that opens takes nothing from another.
fn at_once() -> Outcome {
    let node = FakeNode::start(healthy);
    let config = node.config();
    let open = || {
        (0..20).try_for_each(|_| {
            Backend::PythonEmbedded
                .connect(&config)
                .map(drop)
                .map_err(|error| format!("{error:?}"))
        })
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().map_err(|_| "a panic".to_owned())?)
    })?;
    Ok(())
}
