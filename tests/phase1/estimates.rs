//! Fee rates and where they come from: the node's estimate, its mempool, its minimum.

use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::Arc;

use bitcoin::hashes::Hash;
use bitcoin::script::{PushBytesBuf, ScriptBuf};
use bitcoin::{Amount, WScriptHash};
use btc::{BitcoinInterface, BitcoinResult, ErrorKind, FeeEstimate, FeeEstimator, FeeSource};
use btc_regtest::{Chain, Node, Plan};
use btc_tests::{
    Backend, Backends, Connected, FakeNode, Fixture, Outcome, Reply, Suite, Test, builder, failure,
    healthy, node_config,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use crate::Phase;
use crate::read::Case;

pub(crate) const CASES: &[(&str, Case)] = &[("fee_estimate_is_the_nodes_rounded_up", rounded_up)];

/// Over nodes of their own.
const TRIALS: &[(&str, Test)] = &[
    ("without_estimate_and_mempool_it_is_the_floor", the_floor),
    ("the_floor_follows_minrelaytxfee", minimum_relay),
    ("a_mempool_of_more_than_a_block_decides", full_mempool),
    ("a_node_told_not_to_estimate_is_unsupported", blocks_only),
    ("both_make_the_same_of_any_mempool", any_mempool),
];

pub(crate) fn add(suite: &mut Suite, phase: &Arc<Phase>) {
    for (name, trial) in TRIALS {
        suite.add(format!("estimate::{name}"), trial);
    }
    let phase = Arc::clone(phase);
    suite.add("estimate::it_is_explained_as_the_nodes_own", move || {
        phase.estimating(explained)
    });
}

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

const TARGETS: [u8; 8] = [1, 2, 3, 6, 12, 25, 144, 255];

fn rounded_up(fixture: &Fixture, bitcoin: &dyn BitcoinInterface) -> Outcome {
    let mut distinct = HashSet::new();
    for target in TARGETS {
        let expected = nodes_own(&fixture.node, target)?;
        assert_eq!(bitcoin.estimate_fee(target)?, expected, "{target} blocks");
        distinct.insert(expected);
    }
    assert!(distinct.len() > 1, "all targets alike: {distinct:?}");
    Ok(())
}

fn explained(fixture: &Fixture) -> Outcome {
    for backend in Backend::REAL {
        let fees = backend.connect_fees(&fixture.config())?;
        for target_blocks in TARGETS {
            let expected = FeeEstimate {
                sat_per_vb: nodes_own(&fixture.node, target_blocks)?,
                source: FeeSource::Core,
                floor_sat_per_vb: 1,
                target_blocks,
            };
            let found = fees.explain_fee(target_blocks)?;
            assert_eq!(found, expected, "{}", backend.name());
        }
    }
    Ok(())
}

/// The node's estimate in sat/vB, rounded up.
fn nodes_own(node: &Node, target: u8) -> Result<u64, Box<dyn std::error::Error + Send + Sync>> {
    const SAT_PER_BTC: u64 = 100_000_000;
    let answer: Value = node.call("estimatesmartfee", &[json!(target), json!("economical")])?;
    // Core writes eight decimals, so the digits are the satoshi per 1000 vB.
    let btc_per_kvb = format!("{:.8}", answer["feerate"].as_f64().ok_or("no estimate")?);
    let (whole, part) = btc_per_kvb.split_once('.').ok_or("no decimals")?;
    let sat_per_kvb = whole.parse::<u64>()? * SAT_PER_BTC + part.parse::<u64>()?;
    Ok(sat_per_kvb.div_ceil(1000))
}

/// Every backend over one node, those that ask it themselves twice: with and without the source.
struct Everyone {
    plain: Vec<Connected>,
    explaining: Vec<Arc<dyn FeeEstimator>>,
}

impl Everyone {
    fn connect(node: &Node) -> BitcoinResult<Self> {
        let config = node_config(node);
        let backends = Backends::new(config.clone());
        let plain = Backend::ALL.map(|backend| backends.connect(backend));
        let explaining = Backend::REAL.map(|backend| backend.connect_fees(&config));
        Ok(Self {
            plain: plain.into_iter().collect::<BitcoinResult<_>>()?,
            explaining: explaining.into_iter().collect::<BitcoinResult<_>>()?,
        })
    }

    /// That all of them say so.
    fn say(&self, target_blocks: u8, sat_per_vb: u64, source: FeeSource, floor: u64) -> Outcome {
        let expected = FeeEstimate {
            sat_per_vb,
            source,
            floor_sat_per_vb: floor,
            target_blocks,
        };
        for fees in &self.explaining {
            assert_eq!(fees.explain_fee(target_blocks)?, expected);
        }
        for connected in &self.plain {
            assert_eq!(connected.bitcoin.estimate_fee(target_blocks)?, sat_per_vb);
            connected.assert_agreement();
        }
        Ok(())
    }
}

fn the_floor() -> Outcome {
    let node = builder().start()?;
    let everyone = Everyone::connect(&node)?;
    for target in TARGETS {
        everyone.say(target, 1, FeeSource::MinimumRelay, 1)?;
    }
    Ok(())
}

fn minimum_relay() -> Outcome {
    for (btc_per_kvb, floor) in [("0.00005", 5), ("0.00005001", 6), ("0", 1)] {
        let node = builder()
            .arg(format!("-minrelaytxfee={btc_per_kvb}"))
            .start()?;
        let everyone = Everyone::connect(&node)?;
        everyone.say(6, floor, FeeSource::MinimumRelay, floor)?;
    }
    Ok(())
}

/// Twelve transactions of a little less than 100,000 vB each, at 20 to 31 sat/vB.
fn full_mempool() -> Outcome {
    const COUNT: u64 = 12;
    const LOWEST: u64 = 20;
    let node = builder().arg("-minrelaytxfee=0.00003").start()?;
    let mut chain = Chain::new(&node, 7)?;
    chain.mine(120)?;
    let everyone = Everyone::connect(&node)?;
    let bulky = ScriptBuf::new_op_return(PushBytesBuf::try_from(vec![0x5a; 99_000])?);
    // So much that each takes a coinbase of its own: a chain of them would be refused.
    let nobody = ScriptBuf::new_p2wsh(&WScriptHash::from_byte_array([7; 32]));
    let most = Amount::from_int_btc(30);
    for rate in LOWEST..LOWEST + COUNT {
        let outputs = [(bulky.clone(), Amount::ZERO), (nobody.clone(), most)];
        // Not in the order of their rates.
        chain.pay(&outputs, LOWEST + (rate * 5) % COUNT)?;
    }
    let info: Value = node.call("getmempoolinfo", &[])?;
    let total_vb = info["bytes"].as_u64().ok_or("a number")?;
    assert!((1_150_000..1_250_000).contains(&total_vb), "{info}");
    let answer: Value = node.call("estimatesmartfee", &[json!(1)])?;
    assert!(answer["feerate"].is_null(), "the test needs a node without");

    let expected = marginal_rate(&node, 1_000_000)?;
    // Ten fit, and the eleventh does not.
    assert_eq!(expected, LOWEST + 1);
    everyone.say(1, expected, FeeSource::Mempool, 3)?;
    everyone.say(2, 3, FeeSource::MinimumRelay, 3)?;
    chain.mine(1)?;
    everyone.say(1, 3, FeeSource::MinimumRelay, 3)
}

/// What the node's entries say, added up in the order of whole satoshi per 1000 vB.
fn marginal_rate(
    node: &Node,
    room_vb: u64,
) -> Result<u64, Box<dyn std::error::Error + Send + Sync>> {
    let entries: serde_json::Map<String, Value> = node.call("getrawmempool", &[json!(true)])?;
    let mut rates = Vec::new();
    for entry in entries.values() {
        let vsize = entry["vsize"].as_u64().ok_or("a size")?;
        let fee = entry["fees"]["base"].as_f64().ok_or("a fee")?;
        let fee_sat = Amount::from_btc(fee)?.to_sat();
        rates.push((fee_sat * 1000 / vsize, fee_sat.div_ceil(vsize), vsize));
    }
    rates.sort_unstable();
    let mut used_vb = 0;
    while let Some((_, sat_per_vb, vsize)) = rates.pop() {
        used_vb += vsize;
        if used_vb > room_vb {
            return Ok(sat_per_vb);
        }
    }
    Err("all of it fits".into())
}

fn blocks_only() -> Outcome {
    let node = builder().arg("-blocksonly").start()?;
    for backend in Backend::REAL {
        let answer = backend.connect(&node_config(&node))?.estimate_fee(6);
        let error = failure(answer, ErrorKind::Unsupported, backend.name());
        for said in ["-blocksonly", "disabled"] {
            assert!(error.message().contains(said), "{error}");
        }
    }
    let run = btc_tests::Program::new("fee 6")
        .node(&node_config(&node))
        .run();
    run.code(1).says(&["-blocksonly", "name a fee rate"]);
    Ok(())
}

/// The answers of a node, in satoshi per 1000 vB, satoshi and vB.
#[derive(Debug)]
struct Said {
    estimate: Option<u64>,
    minima: (u64, u64),
    mempool: Vec<(u64, u32)>,
}

fn any_said() -> impl Strategy<Value = Said> {
    let entry = (0_u64..40_000_000, 1_u32..600_000);
    (
        proptest::option::weighted(0.2, 1_u64..100_000),
        (0_u64..20_000, 0_u64..20_000),
        vec(entry, 0..20),
    )
        .prop_map(|(estimate, minima, mempool)| Said {
            estimate,
            minima,
            mempool,
        })
}

fn any_mempool() -> Outcome {
    let node = FakeNode::start(healthy);
    let both = [Backend::Rust, Backend::PythonEmbedded]
        .map(|backend| backend.connect_fees(&node.config()));
    let [rust, python] = both;
    let (rust, python) = (rust?, python?);
    let sources = RefCell::new(HashSet::new());
    let mut runner = TestRunner::new(Config {
        cases: 200,
        failure_persistence: None,
        ..Config::default()
    });
    runner.run(&(any_said(), 1_u8..4), |(said, target)| {
        serve(&node, &said);
        let ours = rust.explain_fee(target).map_err(|error| error.to_string());
        let theirs = python
            .explain_fee(target)
            .map_err(|error| error.to_string());
        prop_assert_eq!(&ours, &theirs);
        prop_assert!(ours.is_ok(), "{:?}", ours);
        sources.borrow_mut().extend(ours.map(|fee| fee.source));
        Ok(())
    })?;
    assert_eq!(sources.borrow().len(), FeeSource::ALL.len(), "one-sided");
    Ok(())
}

fn serve(node: &FakeNode, said: &Said) {
    let btc = |sat: u64| format!("{}.{:08}", sat / 100_000_000, sat % 100_000_000);
    let estimate = said.estimate.map_or_else(
        || r#"{"errors":["Insufficient data"],"blocks":0}"#.to_owned(),
        |sat_per_kvb| format!(r#"{{"feerate":{},"blocks":2}}"#, btc(sat_per_kvb)),
    );
    let total_vb: u64 = said
        .mempool
        .iter()
        .map(|(_, vsize)| u64::from(*vsize))
        .sum();
    let info = format!(
        r#"{{"bytes":{total_vb},"mempoolminfee":{},"minrelaytxfee":{}}}"#,
        btc(said.minima.0),
        btc(said.minima.1)
    );
    let entry = |(index, (fee_sat, vsize)): (usize, &(u64, u32))| {
        format!(
            r#""{index:064x}":{{"vsize":{vsize},"fees":{{"base":{}}}}}"#,
            btc(*fee_sat)
        )
    };
    let entries: Vec<String> = said.mempool.iter().enumerate().map(entry).collect();
    let entries = format!("{{{}}}", entries.join(","));
    node.set(move |request| match request.method.as_str() {
        "estimatesmartfee" => Reply::Text(estimate.clone()),
        "getmempoolinfo" => Reply::Text(info.clone()),
        "getrawmempool" => Reply::Text(entries.clone()),
        _ => healthy(request),
    });
}
