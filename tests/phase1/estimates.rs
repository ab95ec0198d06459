//! Behaviour of fee estimates on a chain that has enough history for them.

use btc::BitcoinInterface;
use btc_regtest::Plan;
use btc_tests::{Fixture, Outcome};
use serde_json::{Value, json};

use crate::read::Case;

pub(crate) const CASES: &[(&str, Case)] = &[("fee_estimate_is_the_nodes_rounded_up", rounded_up)];

/// As many rounds as an estimate takes, and nothing bulky.
pub(crate) fn plan() -> Plan {
    Plan {
        many_inputs: 2,
        many_outputs: 2,
        envelope_bytes: 100,
        descendants: 2,
        full_block: None,
        mempool: 0,
        ..Plan::full()
    }
}

fn rounded_up(fixture: &Fixture, bitcoin: &dyn BitcoinInterface) -> Outcome {
    const SAT_PER_BTC: u64 = 100_000_000;
    let mut distinct = std::collections::BTreeSet::new();
    for target in [1, 2, 3, 6, 12, 25, 144, 255] {
        let answer: Value = fixture.node.call("estimatesmartfee", &[json!(target)])?;
        // Core writes eight decimals, so the digits are the satoshi per 1000 vB.
        let btc_per_kvb = format!("{:.8}", answer["feerate"].as_f64().ok_or("no estimate")?);
        let (whole, part) = btc_per_kvb.split_once('.').ok_or("no decimals")?;
        let sat_per_kvb = whole.parse::<u64>()? * SAT_PER_BTC + part.parse::<u64>()?;
        let expected = sat_per_kvb.div_ceil(1000);
        assert_eq!(bitcoin.estimate_fee(target)?, expected, "{target} blocks");
        distinct.insert(expected);
    }
    assert!(distinct.len() > 1, "all targets alike: {distinct:?}");
    Ok(())
}
