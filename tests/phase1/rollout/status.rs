//! What `btc status` says about a roll-out, from its beginning to its automatic rollback.

use std::fs;

use btc_tests::{Fixture, Outcome, Program};
use serde_json::Value;
use tempfile::TempDir;

/// The share, who changed it, and why it was rolled back; in what is overruled or damaged too.
pub(super) fn shown(fixture: &Fixture) -> Outcome {
    let folder = TempDir::new()?;
    let file = folder.path().join("rollout.json");
    let program = |arguments: &str| {
        Program::new(arguments)
            .env("ROLLOUT_FILE", &file)
            .env("LOG_FILE", folder.path().join("shadow.log"))
            .node(&fixture.config())
    };
    let run = |arguments: &str| program(arguments).run().code(0);
    let rollout = || run("status --json").json()["rollout"].take();

    let without = Program::new("status --json").node(&fixture.config());
    assert_eq!(without.run().code(0).json()["rollout"], Value::Null);
    let without = Program::new("status").node(&fixture.config());
    assert!(!without.run().code(0).stdout.contains("roll-out"));

    // The file is made by this first program that starts.
    let begun = rollout();
    assert_eq!(
        (&begun["percent"], &begun["generation"]),
        (&0.into(), &1.into())
    );
    assert_eq!(begun["is_overruled"], false);
    assert_eq!(begun["rollback_reason"], Value::Null);
    run("rollout set 5 --jump --reason customers");
    run("rollout hold --reason weekend");
    let held = rollout();
    let state = run("rollout --json").json()["state"].take();
    for name in [
        "percent",
        "is_held",
        "is_rolled_back",
        "generation",
        "changed_at_ms",
        "reason",
    ] {
        assert_eq!(held[name], state[name], "{name}");
        assert!(!held[name].is_null(), "{name}");
    }
    assert_eq!(
        (&held["percent"], &held["reason"]),
        (&5.into(), &"weekend".into())
    );
    let text = run("status").stdout;
    for said in [
        "roll-out",
        "Rust answers 5 % of the calls, Python the others, held",
        "generation 3, ",
        "ago: weekend",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }

    let txid = fixture.summary.kinds.values().flatten().next();
    let tx = format!("tx {}", txid.ok_or("a transaction")?);
    let faulty = program(&tx).env("PYTHON_BACKEND", "btc_legacy.mutants.reads:OffByOneSat");
    faulty.run().code(0);
    let rolled_back = rollout();
    assert_eq!(rolled_back["percent"], 0);
    assert_eq!(rolled_back["is_rolled_back"], true);
    let reason = rolled_back["rollback_reason"].as_str().ok_or("a reason")?;
    assert!(reason.contains("mismatch in get_transaction"), "{reason}");
    // The reason stays when something else was said last.
    run("rollout resume --reason later");
    let later = rollout();
    assert_eq!(later["rollback_reason"], rolled_back["rollback_reason"]);
    assert_eq!(later["reason"], "later");
    let text = run("status").stdout;
    assert!(text.contains("rolled back automatically"), "{text}");
    assert!(text.contains(reason), "{text}");

    // An overruled roll-out is not asked, so that its file may be anything.
    fs::write(&file, "{")?;
    let overruled = |arguments: &str| program(arguments).env("PRIMARY_IMPL", "python").run();
    let unknown = overruled("status --json").code(0).json()["rollout"].take();
    assert_eq!(unknown["is_overruled"], true);
    assert_eq!(unknown["percent"], Value::Null);
    let error = unknown["error"].as_str().ok_or("an error")?;
    assert!(error.contains("damaged"), "{error}");
    let text = overruled("status").code(0).stdout;
    assert!(
        text.contains("overruled") && text.contains("damaged"),
        "{text}"
    );
    Ok(())
}
