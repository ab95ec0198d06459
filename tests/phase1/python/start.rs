//! A Python side that does not start: missing, misnamed, broken or hanging.

use std::time::Duration;

use btc::python::{PythonBitcoin, PythonConfig};
use btc::{ErrorKind, Operation};
use btc_tests::{Backend, Fault, Outcome, failure};
use tempfile::TempDir;

use super::{planted, written};

pub(super) const FAULTS: &[(&str, Fault)] = &[
    ("environment_missing", environment_missing),
    ("environment_of_another_python", environment_wrong),
    ("module_or_class_missing", module_missing),
    ("module_that_cannot_be_imported", unimportable),
    ("constructor_that_fails", constructor),
    ("hangs_at_the_start", hangs_at_the_start),
];

fn refused(config: &PythonConfig, kind: ErrorKind, what: &str) -> String {
    let error = failure(PythonBitcoin::connect(config), kind, what);
    assert_eq!(error.operation(), Operation::Connect, "{what}");
    error.to_string()
}

fn environment_missing(backend: Backend) -> Outcome {
    let config = PythonConfig {
        venv: "/does/not/exist".into(),
        ..planted(backend, "NoMethods")
    };
    let text = refused(&config, ErrorKind::Configuration, "no environment");
    assert!(
        text.contains("cargo xtask setup") && text.contains("PYTHON_VENV"),
        "{text}"
    );
    Ok(())
}

fn environment_wrong(backend: Backend) -> Outcome {
    let folder = TempDir::new()?;
    std::fs::create_dir_all(folder.path().join("lib/python3.1/site-packages"))?;
    let config = PythonConfig {
        venv: folder.path().to_owned(),
        ..planted(backend, "NoMethods")
    };
    let text = refused(&config, ErrorKind::Configuration, "another Python's");
    assert!(text.contains("cargo xtask setup"), "{text}");
    Ok(())
}

/// Only a process of its own can show this: the embedded interpreter keeps what it once found.
pub(super) fn without_packages() -> Outcome {
    let whole = planted(Backend::PythonWorker, "NoMethods");
    let folder = TempDir::new()?;
    let bin = folder.path().join("bin");
    std::fs::create_dir_all(&bin)?;
    let python = std::fs::canonicalize(whole.venv.join("bin/python"))?;
    let home = python.parent().ok_or("it lies in a folder")?.display();
    let settings = format!("home = {home}\n");
    std::fs::write(folder.path().join("pyvenv.cfg"), settings)?;
    std::os::unix::fs::symlink(&python, bin.join("python"))?;
    let mut config = PythonConfig {
        venv: folder.path().to_owned(),
        ..whole
    };
    for class in [
        "btc_legacy.backend:LegacyBackend",
        "btc_legacy.mutants.reads:OffByOneSat",
    ] {
        class.clone_into(&mut config.backend);
        let text = refused(&config, ErrorKind::Configuration, class);
        assert!(text.contains("cargo xtask setup"), "{text}");
    }
    Ok(())
}

fn module_missing(backend: Backend) -> Outcome {
    for class in [
        "no_such_module:Class",
        "btc_legacy.no_such_module:Class",
        "btc_legacy.planted:NoSuchClass",
        "btc_legacy.planted:os",
        "btc_legacy.planted:",
        ":Raises",
        "btc_legacy.planted",
        "",
    ] {
        let config = PythonConfig {
            backend: class.to_owned(),
            ..planted(backend, "NoMethods")
        };
        let text = refused(&config, ErrorKind::Configuration, class);
        assert!(text.contains("PYTHON_BACKEND"), "{text}");
    }
    Ok(())
}

fn unimportable(backend: Backend) -> Outcome {
    let folder = TempDir::new()?;
    for (name, source, word) in [
        (
            "raising",
            "raise ValueError('planted import')",
            "planted import",
        ),
        ("broken", "def f(:\n", "SyntaxError"),
        ("leaving", "import sys; sys.exit(0)", "SystemExit"),
        (
            "needy",
            "import no_such_package_anywhere",
            "no_such_package_anywhere",
        ),
    ] {
        let config = written(backend, folder.path(), name, source)?;
        let text = refused(&config, ErrorKind::Configuration, name);
        assert!(text.contains(word), "{text}");
    }
    Ok(())
}

fn constructor(backend: Backend) -> Outcome {
    let folder = TempDir::new()?;
    let source = "class Own:\n def __init__(self, config):\n  raise ";
    for (name, raised, kind) in [
        (
            "own_error",
            "RuntimeError('planted start')",
            ErrorKind::Internal,
        ),
        (
            "own_refusal",
            "ConnectionRefusedError('planted start')",
            ErrorKind::Unavailable,
        ),
        (
            "own_exit",
            "SystemExit('planted start')",
            ErrorKind::Internal,
        ),
    ] {
        let config = written(backend, folder.path(), name, &format!("{source}{raised}\n"))?;
        let text = refused(&config, kind, raised);
        assert!(text.contains("planted start"), "{text}");
    }
    let source = "class Own:\n def __init__(self):\n  pass\n";
    let config = written(backend, folder.path(), "own_arity", source)?;
    refused(&config, ErrorKind::Internal, "a constructor without config");
    Ok(())
}

fn hangs_at_the_start(backend: Backend) -> Outcome {
    let folder = TempDir::new()?;
    let source = "import time\nclass Own:\n def __init__(self, config):\n  time.sleep(3600)\n";
    let mut config = written(backend, folder.path(), "hanging_start", source)?;
    config.timeout = Some(Duration::from_secs(1));
    refused(&config, ErrorKind::Timeout, "hangs at the start");
    Ok(())
}
