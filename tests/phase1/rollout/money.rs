//! One wallet that both sides of a roll-out pay from in turn.

use std::collections::BTreeSet;
use std::path::Path;

use btc::bitcoin::hashes::Hash;
use btc::bitcoin::{Address, Amount, ScriptBuf, WPubkeyHash};
use btc::shadow::Rollout;
use btc::shadow::compare::Verdict;
use btc::shadow::record::{Comparison, Event, Line};
use btc::shadow::rollout::Limits;
use btc::{AddressType, BitcoinInterface, Network, Operation};
use btc_regtest::Chain;
use btc_tests::{Outcome, WalletFolder, builder, eventually, node_config};
use tempfile::TempDir;

use super::{SIDES, key, lines, state_at};

/// At 50 %, one wallet pays by turns from either side: every payment goes out, no coin twice.
pub(super) fn pays() -> Outcome {
    let node = builder().start()?;
    let mut chain = Chain::new(&node, 7)?;
    chain.mine(110)?;
    let wallet = WalletFolder::random(chain.height())?;
    let folder = TempDir::new()?;
    let file = state_at(&folder, 50)?;
    let log = folder.path().join("shadow.log");
    let paths = [file.path(), &log].map(|path| path.display().to_string());
    let variables = [
        ("ROLLOUT_FILE", paths[0].as_str()),
        ("LOG_FILE", &paths[1]),
        ("FALLBACK", "true"),
        ("SHADOW_RECHECK_MS", "20,200,1000"),
    ];
    let config = wallet.config(&node_config(&node), &variables);
    let rollout = btc::connect_rollout(&config, Limits::default())?;
    let salt = file.read()?.salt;
    let keys = [key(salt, true)?, key(salt, false)?];
    // Addresses of both, none twice.
    let mut addresses = Vec::new();
    for turn in 0..8 {
        let next = || rollout.generate_address(AddressType::P2wpkh);
        addresses.push(Rollout::with_key(&keys[turn % 2], next)?);
    }
    let indices: BTreeSet<_> = addresses.iter().map(|address| address.index).collect();
    assert_eq!(indices, (0..8).map(Some).collect());
    let paid: Vec<_> = addresses
        .into_iter()
        .map(|address| (address.script_pubkey, Amount::from_sat(1_000_000)))
        .collect();
    chain.pay(&paid, 2)?;
    chain.mine(1)?;
    let mut spent = BTreeSet::new();
    for turn in 0..10_u8 {
        let script = ScriptBuf::new_p2wpkh(&WPubkeyHash::from_byte_array([turn; 20]));
        let recipient = Address::from_script(&script, Network::Regtest)?.to_string();
        let create = || rollout.create_transaction(vec![(recipient.clone(), 10_000)], 2);
        // The first ones by key, the others as their recipients fall.
        let made = match keys.get(usize::from(turn)) {
            Some(key) => Rollout::with_key(key, create)?,
            None => create()?,
        };
        for input in &made.inputs {
            assert!(spent.insert(input.previous_output), "a coin is spent twice");
        }
        let txid = rollout.broadcast_transaction(&made)?;
        assert_eq!(txid, made.txid.to_string());
    }
    // A block before a comparison has ended would leave it open which of the two was right.
    eventually("8 addresses and 10 payments are compared", || {
        compared(&log) == 28
    });
    let height = chain.height();
    chain.mine(1)?;
    assert_eq!(chain.height(), height + 1);
    let mempool: Vec<String> = node.call("getrawmempool", &[])?;
    assert!(mempool.is_empty(), "all are in the block");
    let balances = keys.map(|key| Rollout::with_key(&key, || rollout.get_balance()));
    let [rust, python] = balances;
    assert_eq!(rust?, python?);
    eventually("the balances are compared too", || compared(&log) == 30);
    drop(rollout);
    assert_eq!(file.read()?.percent, 50, "{}", file.read()?.reason);
    // Each payment was sent by the side that had built it, and the other one agreed.
    let lines = lines(&log)?;
    let calls: Vec<&Comparison> = lines
        .iter()
        .filter_map(|line| match &line.event {
            Event::Comparison(comparison) => Some(comparison),
            _ => None,
        })
        .collect();
    for call in &calls {
        // A twin may be asked when the next payment is on its way already, and once more.
        let is_agreed = matches!(call.verdict, Verdict::Match | Verdict::Recovered);
        assert!(is_agreed, "{call:?}");
    }
    for side in SIDES {
        let [addresses, made, broadcast, balances] = [
            Operation::GenerateAddress,
            Operation::CreateTransaction,
            Operation::BroadcastTransaction,
            Operation::GetBalance,
        ]
        .map(|operation| {
            let calls = calls.iter().filter(|call| call.operation == operation);
            calls
                .filter(|call| call.primary.implementation == side)
                .count()
        });
        assert_eq!((addresses, balances), (4, 1), "{side}");
        assert!(made > 0 && made == broadcast, "{side}: {made} {broadcast}");
    }
    Ok(())
}

/// How many calls the log has a verdict of; the line that is being written is none yet.
fn compared(log: &Path) -> usize {
    lines(log).map_or(0, |lines| {
        let is_comparison = |line: &&Line| matches!(line.event, Event::Comparison(_));
        lines.iter().filter(is_comparison).count()
    })
}
