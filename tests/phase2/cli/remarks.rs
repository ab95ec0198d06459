//! Payments to outputs that another than the recipient may spend: said before they are made.

use btc::bitcoin::{Address, WitnessProgram, WitnessVersion};
use btc::{AddressType, Network, NodeConfig};
use btc_regtest::Chain;
use btc_tests::Outcome;
use serde_json::json;

use super::{Case, Purse, SOMEBODY, mempool, text};

pub(super) const CASES: &[(&str, Case)] = &[(
    "an_output_that_others_may_spend_is_remarked_on",
    without_rules,
)];

fn without_rules(chain: &mut Chain<'_>, node: &NodeConfig) -> Outcome {
    let purse = Purse::new(chain, node)?;
    purse.receive(chain, AddressType::P2wpkh, &[900_000, 800_000])?;
    let later = WitnessProgram::new(WitnessVersion::V2, &[7; 32])?;
    let later = Address::from_witness_program(later, Network::Regtest).to_string();
    let anchor = "bcrt1pfeesnyr2tx";
    for (address, said) in [(later.as_str(), "version 2 with 32 bytes"), (anchor, "P2A")] {
        let payment = format!("{address}=20000sat");
        let other = format!("{SOMEBODY}=20000sat");
        let send = ["send", &payment, &other, "--fee-rate", "2"];
        let dry = [&send[..], &["--dry-run"]].concat();
        let shown = purse.run(&dry).code(0).stdout;
        assert_eq!(shown.matches("note").count(), 1, "{shown}");
        assert!(shown.contains(said), "{shown}");
        // It is shown, and needs no consent beyond the usual.
        let paid = purse.json(&send);
        assert!(mempool(chain.node())?.contains(&text(&paid["txid"])));
        let warnings = paid["warnings"].as_array().ok_or("a list")?;
        let [warning] = warnings.as_slice() else {
            return Err(format!("one output of three: {paid}").into());
        };
        let warning = text(warning);
        assert!(warning.starts_with(address), "{warning}");
        assert!(warning.contains(said), "{warning}");
        chain.mine(1)?;
    }
    // Of what is as usual, there is nothing to say.
    let usual = format!("{SOMEBODY}=20000sat");
    let shown = purse.json(&["send", &usual, "--fee-rate", "2", "--dry-run"]);
    assert_eq!(shown["warnings"], json!([]));
    // So before it is signed elsewhere.
    let payment = format!("{later}=20000sat");
    let made = purse.json(&["psbt", "create", &payment, "--fee-rate", "2"]);
    let shown = purse.json(&["psbt", "show", &text(&made["psbt"])]);
    assert_eq!(shown["warnings"], made["warnings"]);
    assert!(text(&shown["warnings"][0]).starts_with(&later), "{shown}");
    // Python and shadow mode send the same, and say the same.
    let send = ["send", &payment, "--fee-rate", "2"];
    let run = purse.program(&send).env("SHADOW_MODE", "true").run();
    run.code(0).says(&["no rules"]);
    Ok(())
}
