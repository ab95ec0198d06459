//! Whose settings the program follows, and whose files it leaves alone.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;

use btc::NodeConfig;
use btc_tests::{FakeNode, Outcome, Program, Reply, Test, healthy, only};

pub(super) const TRIALS: &[(&str, Test)] = &[
    ("a_foreign_btc_toml_does_nothing_and_is_said", foreign),
    ("own_settings_of_the_folder_are_the_harmless_ones", own),
    ("host_keys_belong_to_the_users_file", users),
    ("a_test_deletes_no_file_of_the_log", keeps_all),
    (
        "a_program_elsewhere_finds_python_beside_itself_alone",
        elsewhere,
    ),
];

/// Everything that a file could ask for.
fn everything(node: &NodeConfig) -> String {
    format!(
        "primary_impl = 'python'\nshadow_mode = true\nlog_file = 'foreign.log'\n\
         call_log = 'foreign.calls'\npython_backend = 'foreign:Class'\nwallet_dir = 'foreign'\n\
         bitcoind_exe = './foreign.sh'\npython_venv = 'foreign'\nbitcoin_network = 'regtest'\n\
         bitcoin_rpc_url = '{}'\n",
        node.url
    )
}

/// Puts a file there that others own or may write.
fn make_foreign(path: &Path, text: &str) -> std::io::Result<()> {
    fs::write(path, text)?;
    if chown(path, Some(12_345), None).is_err() {
        fs::set_permissions(path, fs::Permissions::from_mode(0o666))?;
    }
    Ok(())
}

fn foreign() -> Outcome {
    let node = FakeNode::start(healthy);
    let program = |arguments: &str| {
        let program = Program::new(arguments);
        let folder = program.folder.path();
        make_foreign(&folder.join("btc.toml"), &everything(&node.config()))?;
        let ran = "touch ran.here\nexit 1\n";
        fs::write(folder.join("foreign.sh"), format!("#!/bin/sh\n{ran}"))?;
        fs::set_permissions(folder.join("foreign.sh"), fs::Permissions::from_mode(0o755))?;
        fs::write(folder.join("foreign.py"), "open('ran.here', 'w')\n")?;
        Ok::<_, std::io::Error>(program)
    };
    for (arguments, code) in [
        ("--private status --json", 0),
        ("--private python --json", 0),
        ("--private test --json", 0),
        ("variables --json", 0),
        // Nor does what the environment says of a login go to the file's host.
        ("height", 3),
    ] {
        let run = program(arguments)?
            .env("BITCOIN_RPC_USER", "alice")
            .env("BITCOIN_RPC_PASSWORD", "hunter2")
            .env("BITCOIN_NETWORK", if code == 0 { "regtest" } else { "" })
            .run()
            .code(code);
        if arguments.starts_with("variables") {
            // It reads no settings.
            continue;
        }
        let run = run.says(&["btc.toml of the current folder is not read", "BTC_CONFIG"]);
        let names = run.files.iter().filter_map(|path| path.file_name());
        let names: Vec<_> = names.filter_map(|name| name.to_str()).collect();
        assert_eq!(names, ["btc.toml", "foreign.py", "foreign.sh"], "{run:?}");
        if arguments.contains("status") {
            let status = run.json();
            assert_eq!(status["implementation"], "rust");
            assert_eq!(status["shadow_mode"], false);
        }
    }
    assert!(node.requests().is_empty(), "{:?}", node.requests());
    Ok(())
}

fn own() -> Outcome {
    let with = |arguments: &str, text: &str| {
        let program = Program::new(arguments);
        fs::write(program.folder.path().join("btc.toml"), text)?;
        Ok::<_, std::io::Error>(program)
    };
    let run = with("--private status --json", "primary_impl = 'python'\n")?;
    let run = run.run().code(0);
    let run = run.says(&["btc.toml of the current folder is read"]);
    assert_eq!(run.json()["implementation"], "python");
    let node = FakeNode::start(healthy);
    for key in [
        format!("bitcoin_rpc_url = '{}'", node.config().url),
        "bitcoind_exe = './btc.toml'".to_owned(),
        "python_venv = 'venv'".to_owned(),
        "wallet_dir = 'wallet'".to_owned(),
        "log_file = 'a.log'".to_owned(),
    ] {
        for arguments in ["height --private", "status", "balance"] {
            let run = with(arguments, &key)?.run().code(3);
            let name = key.split(' ').next().unwrap_or_default();
            let run = run.says(&[name, "~/.config", "BTC_CONFIG"]);
            assert_eq!(run.files.len(), 1, "{run:?}");
        }
    }
    assert!(node.requests().is_empty());
    Ok(())
}

fn users() -> Outcome {
    let node = FakeNode::start(only("getblockcount", Reply::Result(7.into())));
    let text = format!(
        "bitcoin_network = 'regtest'\nbitcoin_rpc_url = '{}'\n",
        node.config().url
    );
    let program = Program::new("height");
    let folder = program.folder.path().join(".config/btc");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("btc.toml"), &text)?;
    let run = program.run().code(0);
    assert!(run.stderr.is_empty(), "{run:?}");
    assert!(!node.requests().is_empty(), "the user's own node is asked");
    // A file that is named is read whole, wherever it is.
    let before = node.requests().len();
    let program = Program::new("height").env("BTC_CONFIG", "btc.toml");
    fs::write(program.folder.path().join("btc.toml"), &text)?;
    program.run().code(0);
    assert!(node.requests().len() > before);
    // One that others may write can lead anywhere.
    let program = Program::new("height");
    let folder = program.folder.path().join(".config/btc");
    fs::create_dir_all(&folder)?;
    make_foreign(&folder.join("btc.toml"), &text)?;
    program
        .run()
        .code(3)
        .says(&[".config/btc/btc.toml", "not read"]);
    Ok(())
}

/// A full log with more older files than the configured rotation keeps.
fn keeps_all() -> Outcome {
    let program = Program::new("--private test --blocks 5")
        .env("SHADOW_MODE", "true")
        .env("LOG_FILE", "shadow.log")
        .env("LOG_MAX_MB", "1")
        .env("LOG_MAX_FILES", "2");
    let folder = program.folder.path().to_owned();
    let line = format!("{}\n", " ".repeat(1023));
    fs::write(folder.join("shadow.log"), line.repeat(1024))?;
    for number in 1..=12 {
        fs::write(
            folder.join(format!("shadow.log.{number}")),
            format!("{number}\n"),
        )?;
    }
    let run = program.run().code(0);
    // The full one has moved on with all the others, and a new one has begun.
    assert_eq!(run.files.len(), 14, "{:?}", run.files);
    for number in 1..=12 {
        let moved = fs::read_to_string(folder.join(format!("shadow.log.{}", number + 1)))?;
        assert_eq!(moved, format!("{number}\n"));
    }
    Ok(())
}

/// As docs/deploy.md lays it out: nothing of the folder in which it was built is used.
fn elsewhere() -> Outcome {
    let home = tempfile::tempdir()?;
    let bin = home.path().join("bin");
    fs::create_dir_all(&bin)?;
    let python = || {
        let program = Program::copied_to(&bin, &["python", "--private", "--json"]);
        program.without("PYTHON_VENV")
    };
    let run = python().run().code(3);
    let expected = home.path().join("bin/../lib/btc/venv");
    run.says(&["PYTHON_VENV", &expected.display().to_string()]);
    let node = NodeConfig::new(btc::Network::Regtest);
    let found = btc_tests::python_config(&node, btc::python::PythonMode::Embedded);
    let lib = home.path().join("lib/btc");
    fs::create_dir_all(lib.join("python"))?;
    symlink(&found.venv, lib.join("venv"))?;
    let package = found.package_dir.ok_or("the package of this workspace")?;
    symlink(package.join("btc_legacy"), lib.join("python/btc_legacy"))?;
    for mode in ["embedded", "worker"] {
        let status = python().env("PYTHON_MODE", mode).run().code(0).json();
        assert_eq!(status["implementation"], "python");
    }
    Ok(())
}
