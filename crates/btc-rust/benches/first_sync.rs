//! The first sync of a wallet over Bitcoin Core, against BDK's Emitter on the same chain.
//!
//! Ours writes its books to disk; the Emitter's go to memory only. Both end with the same coins,
//! or the bench fails. `--quick` uses short chains.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use bdk_bitcoind_rpc::bitcoincore_rpc::{Auth, Client};
use bdk_bitcoind_rpc::{Emitter, NO_EXPECTED_MEMPOOL_TXS};
use bdk_chain::indexer::keychain_txout::KeychainTxOutIndex;
use bdk_chain::local_chain::LocalChain;
use bdk_chain::{CanonicalizationParams, ConfirmationBlockTime, IndexedTxGraph};
use bitcoin::constants::genesis_block;
use bitcoin::{Amount, OutPoint};
use btc_iface::{AddressType, Chain as KeyChain, Credentials, Network, NodeConfig};
use btc_regtest::{Chain, Node, NodeBuilder};
use btc_rust::wallet::keys::{Keychain, Keyring, Signer};
use btc_rust::wallet::ledger::Ledger;
use btc_rust::wallet::source::ChainSource;
use btc_rust::wallet::source::core::CoreSource;

type Outcome<T> = Result<T, Box<dyn Error>>;
/// Unspent outputs with their amounts in satoshi.
type Coins = BTreeMap<OutPoint, u64>;

const GAP: u32 = 20;
const RECEIVE: Keychain = (AddressType::P2wpkh, KeyChain::Receive);
const WORDS: &str = "abandon abandon abandon abandon abandon abandon abandon abandon abandon \
                     abandon abandon about";
/// Set for a child that syncs once and says how much memory it took: url, cookie file, birthday.
const CHILD: &str = "FIRST_SYNC_CHILD";

fn main() -> Outcome<()> {
    if let Ok(place) = std::env::var(CHILD) {
        return child(&place);
    }
    let is_quick = std::env::args().any(|arg| arg == "--quick");
    let rounds = if is_quick { 3 } else { 5 };
    println!("first sync, median of {rounds} rounds in turn; BDK's Emitter keeps nothing on disk");
    println!("| chain | node | ours | Emitter | ratio |");
    println!("|---|---|---|---|---|");
    let small = if is_quick { 1_000 } else { 6_000 };
    chain("small blocks", rounds, true, |chain| {
        for index in 0..60_u32 {
            chain.mine(if index == 0 { 110 } else { small / 60 })?;
            pay(chain, index)?;
        }
        chain.mine(20).map(drop)
    })?;
    let full = if is_quick { 4 } else { 16 };
    chain("full blocks", rounds, false, |chain| {
        chain.mine(110 + 6 * full)?;
        for index in 0..full {
            pay(chain, index)?;
            chain.mine_full_block(4_000, &mut |_| {})?;
        }
        Ok(())
    })
}

/// Builds a chain once and measures on it: a node with compact filters, one without.
fn chain(
    name: &str,
    rounds: usize,
    shows_memory: bool,
    build: impl FnOnce(&mut Chain<'_>) -> Result<(), btc_regtest::NodeError>,
) -> Outcome<()> {
    let folder = tempfile::tempdir()?;
    let start = |has_filters| {
        let builder: NodeBuilder = Node::builder().datadir(folder.path()).txindex(false);
        builder.block_filters(has_filters).start()
    };
    let node = start(true)?;
    build(&mut Chain::new(&node, 1)?)?;
    wait_for_filters(&node)?;
    // Of full blocks, only those: the empty ones before them cost nobody anything.
    let birthday = if shows_memory {
        0
    } else {
        first_payment(&node)?
    };
    measure(name, "filters", rounds, &node, birthday)?;
    drop(node);
    let node = start(false)?;
    measure(name, "no filters", rounds, &node, birthday)?;
    if shows_memory {
        let tip: u32 = node.call("getblockcount", &[])?;
        for birthday in [tip - tip / 8, tip - tip / 2, 0] {
            let kib = memory_of_child(&node, birthday)?;
            println!("peak memory over {} blocks: {kib} KiB", tip - birthday);
        }
    }
    Ok(())
}

fn measure(name: &str, kind: &str, rounds: usize, node: &Node, birthday: u32) -> Outcome<()> {
    let keyring = keyring()?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..=rounds {
        let (our_time, our_coins) = sync_ours(node, &keyring, birthday)?;
        let (their_time, their_coins) = sync_emitter(node, &keyring, birthday)?;
        if our_coins != their_coins || our_coins.is_empty() {
            let (ours, theirs) = (our_coins.len(), their_coins.len());
            return Err(format!("{name}, {kind}: {ours} coins are not {theirs} coins").into());
        }
        // The first round warms the caches of both.
        if round > 0 {
            ours.push(our_time);
            theirs.push(their_time);
        }
    }
    ours.sort();
    theirs.sort();
    let (ours, theirs) = (ours[rounds / 2], theirs[rounds / 2]);
    let tenths = theirs.as_micros() * 10 / ours.as_micros().max(1);
    println!(
        "| {name} | {kind} | {ours:.1?} | {theirs:.1?} | {}.{} x |",
        tenths / 10,
        tenths % 10
    );
    Ok(())
}

fn sync_ours(node: &Node, keyring: &Keyring, birthday: u32) -> Outcome<(Duration, Coins)> {
    let folder = tempfile::tempdir()?;
    let begun = Instant::now();
    let mut ledger = Ledger::open(&folder.path().join("rust.sqlite"), keyring, birthday, GAP)?;
    let source = CoreSource::connect(&config(&node.rpc_url(), node.cookie_file()))?;
    source.follow(&mut ledger)?;
    let view = ledger.view();
    let took = begun.elapsed();
    let coins = view.coins.iter();
    let coins = coins.map(|coin| (coin.outpoint, coin.value_sat)).collect();
    Ok((took, coins))
}

fn sync_emitter(node: &Node, keyring: &Keyring, birthday: u32) -> Outcome<(Duration, Coins)> {
    let cookie = node.cookie_file().ok_or("no cookie")?;
    let begun = Instant::now();
    let client = Client::new(&node.rpc_url(), Auth::CookieFile(cookie))?;
    let mut index = KeychainTxOutIndex::new(GAP, false);
    for (keychain, descriptor) in keyring.keychains() {
        index.insert_descriptor(keychain, descriptor.clone())?;
    }
    let mut graph: IndexedTxGraph<ConfirmationBlockTime, _> = IndexedTxGraph::new(index);
    let genesis = genesis_block(Network::Regtest).block_hash();
    let (mut chain, _) = LocalChain::from_genesis_hash(genesis);
    let tip = chain.tip();
    let mut emitter = Emitter::new(&client, tip, birthday, NO_EXPECTED_MEMPOOL_TXS);
    while let Some(event) = emitter.next_block()? {
        let height = event.block_height();
        let _ = graph.apply_block_relevant(&event.block, height);
        let _ = chain.apply_update(event.checkpoint)?;
    }
    let mempool = emitter.mempool()?;
    let _ = graph.batch_insert_relevant_unconfirmed(mempool.update);
    let outpoints = graph.index.outpoints().iter().copied();
    let unspent = graph.graph().filter_chain_unspents(
        &chain,
        chain.tip().block_id(),
        CanonicalizationParams::default(),
        outpoints,
    );
    let coins: Coins = unspent
        .map(|(_, coin)| (coin.outpoint, coin.txout.value.to_sat()))
        .collect();
    Ok((begun.elapsed(), coins))
}

fn pay(chain: &mut Chain<'_>, index: u32) -> Result<(), btc_regtest::NodeError> {
    let script = keyring().and_then(|keyring| Ok(keyring.script(RECEIVE, index % GAP)?));
    let script = script.expect("a right index of a right wallet");
    chain
        .pay(
            &[(script, Amount::from_sat(100_000 + u64::from(index)))],
            20,
        )
        .map(drop)
}

/// The height of the first payment to the wallet.
fn first_payment(node: &Node) -> Outcome<u32> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("rust.sqlite");
    let mut ledger = Ledger::open(&path, &keyring()?, 0, GAP)?;
    CoreSource::connect(&config(&node.rpc_url(), node.cookie_file()))?.follow(&mut ledger)?;
    let view = ledger.view();
    let heights = view.coins.iter().filter_map(|coin| coin.block);
    let first = heights.map(|block| block.height).min();
    first.ok_or_else(|| "no payment".into())
}

fn wait_for_filters(node: &Node) -> Outcome<()> {
    let tip: u32 = node.call("getblockcount", &[])?;
    for _ in 0..600 {
        let info: serde_json::Value = node.call("getindexinfo", &[])?;
        if info["basic block filter index"]["best_block_height"] == tip {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Err("the filters are not made".into())
}

fn memory_of_child(node: &Node, birthday: u32) -> Outcome<u64> {
    let cookie = node.cookie_file().ok_or("no cookie")?;
    let place = format!("{}\n{}\n{birthday}", node.rpc_url(), cookie.display());
    let output = Command::new(std::env::current_exe()?)
        .env(CHILD, place)
        .output()?;
    let text = String::from_utf8(output.stdout)?;
    Ok(text.trim().parse()?)
}

fn child(place: &str) -> Outcome<()> {
    let mut parts = place.split('\n');
    let mut part = || parts.next().ok_or("three lines are needed");
    let config = config(part()?, Some(Path::new(part()?).to_owned()));
    let birthday = part()?.parse()?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("rust.sqlite");
    let mut ledger = Ledger::open(&path, &keyring()?, birthday, GAP)?;
    CoreSource::connect(&config)?.follow(&mut ledger)?;
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.ok_or("no peak in /proc/self/status")?;
    println!("{}", peak.trim().trim_end_matches(" kB"));
    Ok(())
}

fn keyring() -> Outcome<Keyring> {
    let signer = Signer::from_words(Network::Regtest, WORDS, "")?;
    Ok(Keyring::new(Network::Regtest, &signer.accounts())?)
}

fn config(url: &str, cookie: Option<std::path::PathBuf>) -> NodeConfig {
    NodeConfig {
        url: url.to_owned(),
        credentials: cookie.map_or(Credentials::None, Credentials::CookieFile),
        timeout: Duration::from_mins(1),
        ..NodeConfig::new(Network::Regtest)
    }
}
