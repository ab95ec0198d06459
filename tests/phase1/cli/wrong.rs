//! The program when something is wrong: the exit code, and words that say what to do.

use btc::python::PythonMode;
use btc::{Credentials, Network, NodeConfig, Secret};
use btc_regtest::RpcAuth;
use btc_tests::{
    FakeNode, Outcome, Program, Reply, Test, builder, healthy, node_config, python_config,
};

pub(super) const TRIALS: &[(&str, Test)] = &[
    ("wrong_settings_name_the_variable", wrong_settings),
    ("wrong_usage", wrong_usage),
    ("node_down_and_node_starting", node_down),
    ("login_is_refused_and_never_shown", login),
    ("unwritable_log_leaves_nothing", unwritable_log),
    ("python_side_missing", python_missing),
];

fn wrong_settings() -> Outcome {
    for (name, value, allowed) in [
        ("PRIMARY_IMPL", "pyton", &["python", "rust"][..]),
        ("USE_RUST_BITCOIN", "maybe", &["true", "false"]),
        ("SHADOW_MODE", "on", &["true", "false"]),
        ("LOG_ALL", "2", &["true", "false"]),
        (
            "BITCOIN_NETWORK",
            "testnet",
            &["testnet3", "testnet4", "signet", "mainnet"],
        ),
        ("PYTHON_MODE", "inline", &["embedded", "worker"]),
        ("PYTHON_BACKEND", "no colon", &["module:Class"]),
        ("PYTHON_TIMEOUT_SECS", "-1", &["86400", "0"]),
        ("SHADOW_SAMPLING", "half", &["10%"]),
        ("SHADOW_QUEUE", "none", &["1"]),
        ("BITCOIN_RPC_TIMEOUT_SECS", "0", &["1", "3600"]),
        ("BTC_CONFIG", "/does/not/exist.toml", &["cannot be read"]),
    ] {
        // In shadow mode, unless that is what is wrong: nothing is asked or logged before.
        let program = Program::new("height").env("SHADOW_MODE", "true");
        let program = program.env(name, value);
        let shown = if name == "BTC_CONFIG" { value } else { name };
        let run = program.run().code(3).says(&["error:", shown]).says(allowed);
        assert!(run.stdout.is_empty() && run.files.is_empty(), "{run:?}");
    }
    let run = Program::new("height")
        .env("PRIMARY_IMPL", "rust")
        .env("USE_RUST_BITCOIN", "false")
        .run();
    run.code(3).says(&["PRIMARY_IMPL", "USE_RUST_BITCOIN"]);
    let run = Program::new("height")
        .env("BITCOIN_RPC_URL", "http://127.0.0.1:1")
        .run();
    run.code(3).says(&["BITCOIN_NETWORK"]);
    let run = Program::new("height")
        .env("BITCOIN_NETWORK", "regtest")
        .env("BITCOIN_RPC_URL", "http://a:not-to-be-seen@127.0.0.1:1")
        .run()
        .code(3)
        .says(&["BITCOIN_RPC_URL"]);
    assert!(!run.stderr.contains("not-to-be-seen"), "{run:?}");
    let run = Program::new("height --private")
        .env("BITCOIND_EXE", "/does/not/exist")
        .run();
    run.code(3).says(&["BITCOIND_EXE", "cargo xtask bitcoind"]);
    Ok(())
}

fn wrong_usage() -> Outcome {
    for arguments in [
        "fee 256",
        "fee",
        "fee -1",
        "tx",
        "block",
        "nonsense",
        "--nonsense",
    ] {
        let run = Program::new(arguments).run().code(2);
        assert!(run.stdout.is_empty() && !run.stderr.is_empty(), "{run:?}");
    }
    Program::new("fee 0 --private")
        .run()
        .code(2)
        .says(&["estimate_fee"]);
    Ok(())
}

fn node_down() -> Outcome {
    let gone = FakeNode::start(healthy).config();
    for verb in ["height", "python", "rust", "test"] {
        let run = Program::new(verb).node(&gone).run().code(4);
        let run = run.says(&["error:", "BITCOIN_RPC_URL"]);
        assert!(run.stdout.is_empty(), "{run:?}");
        assert!(!run.stderr.contains("Traceback"), "only with -v: {run:?}");
    }
    let starting = FakeNode::start(|_| Reply::Error(-28, "Loading block index…"));
    for verb in ["rust", "python"] {
        let run = Program::new(verb).node(&starting.config()).run().code(4);
        run.says(&["Loading block index"]);
    }
    let run = Program::new("height --json").node(&gone).run().code(4);
    let error: serde_json::Value = serde_json::from_str(&run.stderr)?;
    assert_eq!(error["error"]["kind"], "unavailable");
    assert_eq!(error["error"]["exit_code"], 4);
    let other = FakeNode::start(healthy);
    let config = NodeConfig {
        network: Network::Signet,
        ..other.config()
    };
    for verb in ["rust", "python"] {
        let run = Program::new(verb).node(&config).run().code(3);
        run.says(&["regtest", "signet", "BITCOIN_NETWORK"]);
    }
    Ok(())
}

fn login() -> Outcome {
    let password = "not-to-be-seen";
    let in_header = "c29tZW9uZTpub3QtdG8tYmUtc2Vlbg==";
    let node = builder()
        .auth(RpcAuth::UserPassword {
            user: "someone".to_owned(),
            password: password.to_owned(),
        })
        .start()?;
    let with = |password: &str| NodeConfig {
        credentials: Credentials::UserPassword {
            user: "someone".to_owned(),
            password: Secret::new(password.to_owned()),
        },
        ..node_config(&node)
    };
    let hidden = |text: &str| !text.contains("not-to-be-seen") && !text.contains(in_header);
    for verb in [
        "-v rust",
        "-v python",
        "-v test --blocks 1",
        "-v --json status",
    ] {
        let run = Program::new(verb).node(&with(password)).run().code(0);
        assert!(
            hidden(&run.stdout) && hidden(&run.stderr),
            "{verb}: {run:?}"
        );
    }
    for verb in ["-v rust", "-v python"] {
        let wrong = "not-to-be-seen-either";
        let run = Program::new(verb).node(&with(wrong)).run().code(3);
        let run = run.says(&["BITCOIN_RPC_PASSWORD"]);
        assert!(
            hidden(&run.stdout) && hidden(&run.stderr),
            "{verb}: {run:?}"
        );
    }
    // A password in the file is refused, and not repeated.
    let program = Program::new("-v height");
    let file = program.folder.path().join("btc.toml");
    std::fs::write(file, "bitcoin_rpc_password = \"not-to-be-seen\"\n")?;
    let run = program.run().code(3).says(&["BITCOIN_RPC_PASSWORD"]);
    assert!(hidden(&run.stderr), "{run:?}");
    Ok(())
}

fn unwritable_log() -> Outcome {
    for verb in ["test", "status"] {
        let program = Program::with(&[verb, "--private"])
            .env("SHADOW_MODE", "true")
            .env("LOG_FILE", "file/below/shadow.log");
        let file = program.folder.path().join("file");
        std::fs::write(&file, "")?;
        let run = program
            .run()
            .code(3)
            .says(&["LOG_FILE", "file/below/shadow.log"]);
        assert_eq!(run.files, [file]);
        assert!(run.stdout.is_empty(), "{run:?}");
    }
    // A disk that is full is no reason to fail the caller.
    let program = Program::new("status --json --private")
        .env("SHADOW_MODE", "true")
        .env("LOG_FILE", "/dev/full");
    program.run().code(0);
    Ok(())
}

fn python_missing() -> Outcome {
    let run = Program::new("python --private")
        .env("PYTHON_VENV", "/does/not/exist")
        .run();
    run.code(3).says(&["PYTHON_VENV", "cargo xtask setup"]);
    let run = Program::new("python --private")
        .env("PYTHONHOME", "/does/not/exist")
        .run();
    run.code(3).says(&["PYTHONHOME"]);
    let run = Program::new("python --private")
        .env("PYTHON_BACKEND", "nowhere:Class")
        .run();
    run.code(3).says(&["PYTHON_BACKEND", "nowhere"]);
    // A class that raises, without and with its traceback.
    let raises = |arguments: &str| {
        Program::new(&format!("{arguments} --private"))
            .env("PYTHON_BACKEND", "btc_legacy.planted:Raises")
    };
    let run = raises("python").run().code(1).says(&["planted fault"]);
    assert!(!run.stderr.contains("Traceback"), "{run:?}");
    raises("-v python")
        .run()
        .code(1)
        .says(&["Traceback", "planted.py"]);
    let hangs = Program::new("python --private")
        .env("PYTHON_BACKEND", "btc_legacy.planted:Hangs")
        .env("PYTHON_TIMEOUT_SECS", "1");
    hangs.run().code(4).says(&["PYTHON_TIMEOUT_SECS"]);
    let dies = Program::new("python --private")
        .env("PYTHON_BACKEND", "btc_legacy.planted:Dies")
        .env("PYTHON_MODE", "worker");
    dies.run().code(4);
    // The environment of another Python, or of none.
    let program = Program::new("python --private").env("PYTHON_VENV", "empty");
    std::fs::create_dir(program.folder.path().join("empty"))?;
    program.run().code(3).says(&["cargo xtask setup"]);
    // One that has the right Python and none of the packages.
    let minor = std::fs::read_dir(whole_environment().join("lib"))?
        .flatten()
        .map(|entry| entry.file_name())
        .find(|name| name.to_string_lossy().starts_with("python3."));
    let program = Program::new("python --private").env("PYTHON_VENV", "bare");
    let lib = program.folder.path().join("bare/lib");
    std::fs::create_dir_all(lib.join(minor.ok_or("a Python")?).join("site-packages"))?;
    program.run().code(3).says(&["cargo xtask setup"]);
    // The Rust implementation needs none of it.
    Program::new("rust --private")
        .env("PYTHON_VENV", "/does/not/exist")
        .run()
        .code(0);
    Ok(())
}

/// The environment that the other trials use.
fn whole_environment() -> std::path::PathBuf {
    let node = NodeConfig::new(Network::Regtest);
    python_config(&node, PythonMode::Embedded).venv
}
