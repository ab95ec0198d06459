//! The chain factory: every kind is there and is what it says, on the chain or in the mempool.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use bitcoin::consensus::encode::{deserialize_hex, serialize_hex};
use bitcoin::{Amount, Block, BlockHash, Network, ScriptBuf, Transaction, Txid};
use btc_regtest::{Chain, Kind, Node, NodeBuilder, NodeError, Plan, Summary};
use serde_json::{Value, json};

type Failure = Box<dyn std::error::Error>;
type Outcome = Result<(), Failure>;

fn builder() -> NodeBuilder {
    match env::var_os("BITCOIND_EXE") {
        Some(exe) => Node::builder().exe(exe),
        None => Node::builder(),
    }
}

fn build(node: &Node, seed: u64, plan: &Plan) -> Result<Summary, NodeError> {
    let begun = Instant::now();
    let mut last = None;
    let summary = Chain::new(node, seed)?.build(plan, &mut |at| {
        assert!(at.done <= at.total, "{at:?}");
        last = Some(at);
    })?;
    assert!(last.is_some_and(|at| at.done == at.total), "{last:?}");
    println!("built in {:?}", begun.elapsed());
    Ok(summary)
}

fn block(node: &Node, hash: BlockHash) -> Result<Block, Failure> {
    Ok(deserialize_hex(
        &node.call::<String>("getblock", &[json!(hash), json!(0)])?,
    )?)
}

fn mempool(node: &Node) -> Result<BTreeSet<Txid>, NodeError> {
    node.call("getrawmempool", &[])
}

/// Everything that the node has, without coinbases.
fn transactions(node: &Node, summary: &Summary) -> Result<BTreeMap<Txid, Transaction>, Failure> {
    let mut all = BTreeMap::new();
    for (height, hash) in &summary.blocks {
        assert_eq!(
            node.call::<BlockHash>("getblockhash", &[json!(height)])?,
            *hash
        );
        for tx in block(node, *hash)?.txdata.into_iter().skip(1) {
            all.insert(tx.compute_txid(), tx);
        }
    }
    for txid in mempool(node)? {
        let hex: String = node.call("getrawtransaction", &[json!(txid)])?;
        all.insert(txid, deserialize_hex(&hex)?);
    }
    Ok(all)
}

/// The summary and the node agree about every transaction; every kind is present.
fn check(node: &Node, summary: &Summary, without: &[Kind]) -> Outcome {
    let all = transactions(node, summary)?;
    let mut listed = BTreeSet::new();
    for kind in Kind::ALL {
        assert_eq!(
            summary.of(*kind).is_empty(),
            without.contains(kind),
            "{kind}"
        );
        for txid in summary.of(*kind) {
            assert!(listed.insert(*txid), "{txid} is listed twice");
            let tx = all
                .get(txid)
                .ok_or_else(|| format!("{kind} {txid} is nowhere"))?;
            assert!(shows(*kind, tx), "{txid} is no example of {kind}: {tx:?}");
        }
    }
    assert_eq!(listed, all.keys().copied().collect());
    assert_eq!(summary.transactions(), all.len());
    assert_eq!(
        summary.mempool.iter().copied().collect::<BTreeSet<_>>(),
        mempool(node)?
    );
    assert!(summary.replaced.iter().all(|txid| !all.contains_key(txid)));
    let tip: u32 = node.call("getblockcount", &[])?;
    assert_eq!(summary.tip_height(), Some(tip));
    let verified: bool = node.call("verifychain", &[json!(4), json!(0)])?;
    assert!(verified);
    Ok(())
}

/// What is visible in the transaction itself.
fn shows(kind: Kind, tx: &Transaction) -> bool {
    let Some(first) = tx.input.first() else {
        return false;
    };
    let witness = first.witness.len();
    let script_sig = first.script_sig.len();
    let pays = |test: fn(&ScriptBuf) -> bool| tx.output.iter().any(|o| test(&o.script_pubkey));
    match kind {
        Kind::P2pk | Kind::P2pkUncompressed => witness == 0 && (71..=72).contains(&script_sig),
        Kind::P2pkh => witness == 0 && (104..=106).contains(&script_sig),
        Kind::Multisig => witness == 0 && (142..=145).contains(&script_sig),
        Kind::P2shMultisig => witness == 0 && script_sig > 240,
        Kind::P2shP2wpkh => witness == 2 && script_sig == 23,
        Kind::P2wpkh => witness == 2 && script_sig == 0,
        Kind::P2wsh => witness == 4 && script_sig == 0,
        Kind::P2shP2wsh => witness == 4 && script_sig == 35,
        Kind::P2trKeyPath => witness == 1 && script_sig == 0,
        Kind::P2trScriptPath => first
            .witness
            .nth(2)
            .is_some_and(|control| control.len() == 65),
        Kind::AnchorCreate => pays(|script| *script == ScriptBuf::new_p2a()),
        Kind::AnchorSpend => witness == 0 && script_sig == 0,
        Kind::OpReturn => pays(|script| script.is_op_return()),
        Kind::FutureWitness => pays(|script| {
            script
                .witness_version()
                .is_some_and(|version| version as u8 > 1)
        }),
        Kind::ManyInputs => tx.input.len() >= 11,
        Kind::ManyOutputs => tx.output.len() >= 20,
        Kind::BigWitness => tx.weight().to_wu() > 20_000,
        Kind::Replacement => first.sequence.is_rbf(),
        Kind::Final => first.sequence.is_final(),
        Kind::HeightLock => tx.lock_time.is_block_height() && tx.is_lock_time_enabled(),
        Kind::TimeLock => tx.lock_time.is_block_time() && tx.is_lock_time_enabled(),
        Kind::RelativeHeightLock => first.sequence.is_height_locked(),
        Kind::RelativeTimeLock => first.sequence.is_time_locked(),
        Kind::Version1 => tx.version.0 == 1,
        Kind::Version3 => tx.version.0 == 3,
        Kind::SighashType => first.witness.nth(0).and_then(|sig| sig.last()) != Some(&1),
        _ => true,
    }
}

#[test]
fn the_small_plan_has_every_kind() -> Outcome {
    let node = builder().start()?;
    let summary = build(&node, 1, &Plan::small())?;
    check(&node, &summary, &[Kind::FullBlock, Kind::Payment])?;
    assert_eq!(summary.blocks.len(), Plan::small().blocks() as usize);
    assert_eq!(summary.mempool.len(), 4);

    // The non-standard ones are refused by the mempool, or would be if they were not mined.
    let odd = block(&node, summary.odd_block.ok_or("it has an odd block")?)?;
    assert_eq!(odd.txdata.len(), 1 + summary.of(Kind::NonStandard).len());
    let annex = odd
        .txdata
        .iter()
        .filter(|tx| tx.input.iter().any(|i| i.witness.taproot_annex().is_some()));
    assert_eq!(annex.count(), 2);

    let text = serde_json::to_string(&summary)?;
    assert!(text.contains("\"p2tr_script_path\":["), "{text}");
    Ok(())
}

#[test]
fn the_full_plan_fills_a_block_and_feeds_the_estimates() -> Outcome {
    let node = builder().start()?;
    let summary = build(&node, 1, &Plan::full())?;
    check(&node, &summary, &[Kind::Payment])?;
    let full = block(&node, summary.full_block.ok_or("it has a full block")?)?;
    assert!(full.txdata.len() > 2_000);
    assert!(summary.transactions() - summary.of(Kind::FullBlock).len() > 400);
    let filled = summary.blocks.len() - Plan::full().base_blocks as usize;
    assert!(filled >= 15);
    assert_eq!(summary.mempool.len(), 25);

    let all = transactions(&node, &summary)?;
    let weights = summary
        .of(Kind::BigWitness)
        .iter()
        .map(|txid| all[txid].weight().to_wu());
    assert!(
        weights
            .max()
            .is_some_and(|weight| (385_000..400_000).contains(&weight))
    );

    let mut rates = Vec::new();
    for target in [2, 6] {
        let answer: Value = node.call("estimatesmartfee", &[json!(target)])?;
        rates.push(
            answer["feerate"]
                .as_f64()
                .ok_or_else(|| answer.to_string())?,
        );
    }
    assert!(
        rates[0] > rates[1] && rates[1] > 0.0,
        "the next blocks cost more: {rates:?}"
    );
    Ok(())
}

#[test]
fn the_same_seed_gives_the_same_transactions() -> Outcome {
    let (first, second) = (builder().start()?, builder().start()?);
    let one = build(&first, 7, &Plan::small())?;
    let same = build(&second, 7, &Plan::small())?;
    assert_eq!(one.kinds, same.kinds);
    assert_eq!(one.mempool, same.mempool);
    let wtxids = |node: &Node, summary: &Summary| -> Result<Vec<_>, Failure> {
        Ok(transactions(node, summary)?
            .values()
            .map(Transaction::compute_wtxid)
            .collect())
    };
    assert_eq!(wtxids(&first, &one)?, wtxids(&second, &same)?);
    drop(second);

    let other = builder().start()?;
    assert_ne!(build(&other, 8, &Plan::small())?.kinds, one.kinds);
    Ok(())
}

#[test]
fn a_chain_grows_on_what_is_there() -> Outcome {
    let node = builder().start()?;
    let mut chain = Chain::new(&node, 3)?;
    chain.mine(3)?;
    let plan = Plan::small();
    let first = chain.build(&plan, &mut |_| {})?;
    assert_eq!(first.blocks.first().map(|(height, _)| *height), Some(4));
    let second = chain.build(&plan, &mut |_| {})?;
    assert_eq!(second.tip_height(), Some(3 + 2 * plan.blocks()));

    // The node has its own clock again, and a restart changes nothing.
    node.restart()?;
    let tip = chain.mine(1)?;
    let header: Value = node.call("getblockheader", &[json!(tip.first())])?;
    let time = header["time"].as_u64().ok_or("a time")?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    assert!(now.abs_diff(time) < 600, "{time} is not near {now}");
    Ok(())
}

#[test]
fn reorganisations_keep_transactions_or_drop_them() -> Outcome {
    let node = builder().start()?;
    let mut chain = Chain::new(&node, 4)?;
    chain.mine(103)?;
    let txid = chain.pay(&[(ScriptBuf::new_p2a(), Amount::from_sat(5_000))], 3)?;
    assert!(mempool(&node)?.contains(&txid));
    let confirmed = chain.mine(1)?;
    assert!(mempool(&node)?.is_empty());

    let reorg = chain.reorg(1)?;
    assert_eq!(
        (reorg.fork_height, reorg.disconnected, reorg.connected.len()),
        (103, confirmed, 2)
    );
    assert_eq!(node.call::<u32>("getblockcount", &[])?, 105);
    let holds = |hash: BlockHash| -> Result<bool, Failure> {
        Ok(block(&node, hash)?
            .txdata
            .iter()
            .any(|tx| tx.compute_txid() == txid))
    };
    assert!(holds(reorg.connected[0])?);

    let reorg = chain.reorg_empty(2)?;
    assert_eq!((reorg.fork_height, reorg.connected.len()), (103, 3));
    assert_eq!(chain.height(), 106);
    assert!(mempool(&node)?.contains(&txid));
    chain.mine(1)?;
    assert!(mempool(&node)?.is_empty());
    assert!(matches!(chain.reorg(1_000), Err(NodeError::Build { .. })));
    Ok(())
}

#[test]
fn a_double_spend_replaces_or_wins_in_a_block() -> Outcome {
    let node = builder().start()?;
    let mut chain = Chain::new(&node, 5)?;
    assert!(matches!(chain.spend_one(), Err(NodeError::NoCoin { .. })));
    chain.mine(104)?;
    let send =
        |tx: &Transaction| node.call::<Txid>("sendrawtransaction", &[json!(serialize_hex(tx))]);

    let first = chain.spend_one()?;
    assert!(mempool(&node)?.is_empty(), "nothing was sent");
    let rival = chain.double_spend(&first)?;
    assert_eq!(
        first.input[0].previous_output,
        rival.input[0].previous_output
    );
    send(&first)?;
    send(&rival)?;
    assert_eq!(mempool(&node)?, BTreeSet::from([rival.compute_txid()]));
    assert_eq!(
        send(&first).expect_err("it pays less").rpc_code(),
        Some(-26)
    );

    chain.mine_transactions(std::slice::from_ref(&first))?;
    assert!(mempool(&node)?.is_empty());
    assert_ne!(chain.spend_one()?, first);
    let strange = Transaction {
        input: Vec::new(),
        ..first
    };
    assert!(matches!(
        chain.double_spend(&strange),
        Err(NodeError::Build { .. })
    ));
    Ok(())
}

#[test]
fn only_regtest_has_a_factory() -> Outcome {
    let node = builder().network(Network::Signet).start()?;
    assert!(matches!(
        Chain::new(&node, 1),
        Err(NodeError::WrongNetwork { .. })
    ));
    Ok(())
}
