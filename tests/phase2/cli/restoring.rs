//! `btc wallet restore`: what a running wallet has, a restored one finds.

use btc::NodeConfig;
use btc::bitcoin::Amount;
use btc_regtest::Chain;
use btc_tests::Outcome;
use serde_json::Value;

use super::setup::program;
use super::{Case, script, text};

pub(super) const CASES: &[(&str, Case)] = &[(
    "a_payment_to_the_thirtieth_address_is_found_again",
    thirtieth,
)];

/// Ten more than the gap limit are given out, and the last one alone is paid.
fn thirtieth(chain: &mut Chain<'_>, node: &NodeConfig) -> Outcome {
    let home = tempfile::tempdir()?;
    let first = home.path().join("first");
    let run = |arguments: &[&str]| program(node, &first, arguments).run().code(0).json();
    let made = run(&["wallet", "create", "--plain", "--json"]);
    let mut last = Value::Null;
    for _ in 0..30 {
        last = run(&["address", "new", "--json"]);
    }
    assert_eq!(last["index"], 29);
    let paid = (script(&last["script_pubkey"])?, Amount::from_sat(80_000));
    chain.pay(&[paid], 2)?;
    chain.mine(1)?;
    let running = run(&["balance", "--json"]);
    assert_eq!(running["confirmed_sat"], 80_000);

    let again = home.path().join("again");
    let run = |arguments: &[&str]| program(node, &again, arguments);
    let restore = ["wallet", "restore", "--plain", "--words", "-"];
    run(&restore).input(text(&made["words"])).run().code(0);
    for side in ["rust", "python"] {
        let restored = run(&["balance", "--json"]).env("PRIMARY_IMPL", side);
        let restored = restored.run().code(0).json();
        assert_eq!(restored["spendable_sat"], 80_000, "{side}: {restored}");
    }
    let next = run(&["address", "new", "--json"]).run().code(0).json();
    assert_eq!(next["index"], 30, "{next}");
    Ok(())
}
