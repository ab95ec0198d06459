//! The birthday of a new wallet, against the tip of the chain.

use btc::NodeConfig;
use btc_regtest::Chain;
use btc_tests::Outcome;
use serde_json::json;

use super::setup::program;
use super::{Case, text};

pub(super) const CASES: &[(&str, Case)] = &[("a_birthday_above_the_tip_is_warned_of", birthday)];

fn birthday(chain: &mut Chain<'_>, node: &NodeConfig) -> Outcome {
    let home = tempfile::tempdir()?;
    let create = |name: &str, birthday: &str, more: &[&str]| {
        let arguments = ["wallet", "create", "--plain", "--birthday", birthday];
        let arguments = [&arguments, more].concat();
        program(node, &home.path().join(name), &arguments)
            .run()
            .code(0)
    };
    let tip = chain.height().to_string();
    let run = create("people", "9000000", &[]);
    run.says(&["warning", "9000000", &tip, "never seen", "--birthday"]);
    let made = create("programs", "9000000", &["--json"]).json();
    assert_eq!(made["birthday"], 9_000_000);
    let warnings = made["warnings"].as_array().ok_or("a list")?;
    assert!(text(&warnings[0]).contains(&tip), "{made}");
    let run = create("tip", &tip, &[]);
    assert!(!run.stderr.contains("warning"), "{run:?}");
    let made = create("tip and program", &tip, &["--json"]).json();
    assert_eq!(made["warnings"], json!([]));
    // Words that are there already, and descriptors, have it said as well.
    let restore = ["wallet", "restore", "--plain", "--words", "-", "--json"];
    let restore = [&restore[..], &["--birthday", "9000000"]].concat();
    let words = text(&made["words"]);
    let restored = program(node, &home.path().join("again"), &restore).input(words);
    let restored = restored.run().code(0).json();
    assert_eq!(restored["warnings"], json!(warnings));
    let keys = ["wallet", "export", "--json"];
    let exported = program(node, &home.path().join("tip"), &keys)
        .run()
        .code(0)
        .json();
    let mut rows = exported
        .as_array()
        .into_iter()
        .flatten()
        .map(|row| text(&row["both"]));
    let watched = rows
        .find(|text| text.starts_with("wpkh("))
        .ok_or("exported")?;
    let watch = [
        "wallet",
        "create",
        "--watch",
        &watched,
        "--birthday",
        "9000000",
        "--json",
    ];
    let made = program(node, &home.path().join("watch"), &watch)
        .run()
        .code(0)
        .json();
    assert_eq!(made["warnings"], json!(warnings));
    Ok(())
}
