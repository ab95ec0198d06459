//! What a wallet lives on fails under it: the node, its mempool, the disk, the time.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use btc::bitcoin::{Amount, OutPoint};
use btc::rust::wallet::reservations::{Reservations, now_ms};
use btc::shadow::parity::Random;
use btc::{AddressType, BitcoinTransaction, ErrorKind, NodeConfig};
use btc_regtest::disk::NO_DISK;
use btc_regtest::{Chain, Disk, Node, NodeBuilder};
use btc_tests::{
    Backend, Outcome, Reference, Skipped, WalletFolder, compare, failure, node_config,
};

use crate::faults::{open, pay};
use crate::kill::send;
use crate::reorg::stranger;

/// An outage with a node of its own.
pub(crate) type Outage = fn(Backend, &Node, &mut Chain<'_>) -> Outcome;

/// Its name, what happens, and whether the node forgets its mempool.
pub(crate) const OUTAGES: [(&str, Outage, bool); 2] = [
    ("a_node_that_is_killed_during_a_sync", killed_node, false),
    ("a_mempool_that_is_emptied", emptied_mempool, true),
];

/// An outage on a node that is well.
pub(crate) const SHORTAGES: [(&str, crate::faults::Fault); 3] = [
    ("a_disk_that_is_full", full_disk),
    ("a_reservation_whose_time_is_over", expired),
    ("a_coin_that_is_gone_is_not_asked_for", gone_coin),
];

/// More indices than a case gives out, and the gap.
const RANGE: u32 = 60;
const BLOCKS: u32 = 160;

/// Starts the node that an outage is for.
pub(crate) fn on_own_node(
    backend: Backend,
    outage: Outage,
    forgets: bool,
    options: NodeBuilder,
) -> Outcome {
    let options = if forgets {
        options.arg("-persistmempool=0")
    } else {
        options
    };
    let node = options.start()?;
    let mut chain = Chain::new(&node, 3)?;
    chain.mine(BLOCKS)?;
    outage(backend, &node, &mut chain)
}

/// At every moment of the first scan, and of later ones.
fn killed_node(backend: Backend, node: &Node, chain: &mut Chain<'_>) -> Outcome {
    let wallet = WalletFolder::random(chain.height())?;
    let config = node_config(node);
    let reference = Reference::new(node, &wallet, RANGE)?;
    let mut random = Random::new(backend as u64);
    let mut interrupted = 0;
    let mut opened = open(wallet.path(), backend, &config, &[])?;
    for round in 0..6 {
        let script = opened.generate_address(AddressType::P2wpkh)?.script_pubkey;
        pay(chain, &[script])?;
        chain.mine(60)?;
        // Written to disk, and so there again after the kill.
        node.restart()?;
        let wait = Duration::from_millis(random.between(0, 150));
        let outcome = thread::scope(|scope| {
            let asked = scope.spawn(|| opened.get_balance());
            thread::sleep(wait);
            node.kill9()?;
            Ok::<_, btc_regtest::NodeError>(asked.join())
        })?;
        match outcome.map_err(|_| "the wallet panicked")? {
            Ok(_) => {}
            Err(error) => {
                assert!(error.kind().is_transport(), "{error}");
                interrupted += 1;
            }
        }
        // Without the node there is no balance, and addresses all the same.
        let error = opened.get_balance().err().ok_or("a balance of no node")?;
        assert!(error.kind().is_transport(), "{error}");
        opened.generate_address(AddressType::P2pkh)?;
        node.restart()?;
        let expected = reference.state(node)?;
        compare("after the restart", &opened.wallet_state()?, &expected)?;
        if round % 2 == 1 {
            drop(opened);
            opened = open(wallet.path(), backend, &config, &[])?;
            compare("opened again", &opened.wallet_state()?, &expected)?;
        }
    }
    println!(
        "  {}: {interrupted} of 6 scans were interrupted",
        backend.name()
    );
    Ok(())
}

/// Everything unconfirmed is gone with a restart: what came in, what went out, and the change.
fn emptied_mempool(backend: Backend, node: &Node, chain: &mut Chain<'_>) -> Outcome {
    let wallet = WalletFolder::random(chain.height())?;
    let config = node_config(node);
    let reference = Reference::new(node, &wallet, RANGE)?;
    let opened = open(wallet.path(), backend, &config, &[])?;
    let script = |address_type| -> Result<_, btc::BitcoinError> {
        Ok(opened.generate_address(address_type)?.script_pubkey)
    };
    pay(
        chain,
        &[script(AddressType::P2wpkh)?, script(AddressType::P2tr)?],
    )?;
    let incoming = chain.spend_to(&script(AddressType::P2pkh)?, Amount::from_sat(70_000))?;
    send(node, &incoming)?;
    let mut own = Vec::new();
    for value_sat in [100_000, 600_000] {
        let built = opened.create_transaction(vec![(stranger(), value_sat)], 3)?;
        opened.broadcast_transaction(&built)?;
        own.push(built);
    }
    let with_all = reference.state(node)?;
    assert!(with_all.balance.trusted_pending_sat > 0);
    assert_eq!(with_all.balance.untrusted_pending_sat, 70_000);
    compare("before", &opened.wallet_state()?, &with_all)?;

    node.restart()?;
    let without = reference.state(node)?;
    assert_eq!(without.balance.confirmed_sat, 800_000);
    assert_eq!(without.coins.len(), 2, "{without:?}");
    compare("forgotten", &opened.wallet_state()?, &without)?;
    // The coins are still spoken for: the transactions can be sent again, and are.
    failure(
        opened.create_transaction(vec![(stranger(), 10_000)], 2),
        ErrorKind::Rejected,
        "both coins are reserved",
    );
    for built in &own {
        opened.broadcast_transaction(built)?;
    }
    send(node, &incoming)?;
    compare(
        "sent again",
        &opened.wallet_state()?,
        &reference.state(node)?,
    )?;
    assert_eq!(reference.state(node)?.coins, with_all.coins);
    node.restart()?;
    drop(opened);
    let opened = open(wallet.path(), backend, &config, &[])?;
    compare("opened again", &opened.wallet_state()?, &without)?;
    // Gone for ever: another takes the place of what came in.
    send(node, &chain.double_spend(&incoming)?)?;
    chain.mine(1)?;
    compare(
        "at the end",
        &opened.wallet_state()?,
        &reference.state(node)?,
    )
}

/// During a sync, and while a payment is built: told, and nothing half done.
fn full_disk(backend: Backend, chain: &mut Chain<'_>, node: &NodeConfig) -> Outcome {
    let Some(disk) = Disk::mount(2048)? else {
        return Err(Skipped(NO_DISK).into());
    };
    let wallet = WalletFolder::random(chain.height())?;
    let reference = Reference::new(chain.node(), &wallet, RANGE)?;
    let dir = disk.path().join("wallet");
    copy(wallet.path(), &dir)?;
    let mut opened = open(&dir, backend, node, &[])?;
    opened.get_balance()?;
    let mut failures = 0;
    let mut given = None;
    for free_kib in [0, 4, 8, 12, 16, 24, 32, 48] {
        let script = opened.generate_address(AddressType::P2wpkh)?.script_pubkey;
        let all = vec![script; 20];
        pay(chain, &all)?;
        chain.mine(20)?;
        let filler = disk.fill(free_kib)?;
        let is_full = |error: btc::BitcoinError| -> Outcome {
            assert_eq!(error.kind(), ErrorKind::Internal, "{error}");
            Ok(())
        };
        for _ in 0..2 {
            if let Err(error) = opened.get_balance() {
                is_full(error)?;
                failures += 1;
            }
        }
        match opened.generate_address(AddressType::P2tr) {
            Ok(address) => {
                assert!(address.index > given, "{address:?} after {given:?}");
                given = address.index;
            }
            Err(error) => is_full(error)?,
        }
        let made = opened.create_transaction(vec![(stranger(), 10_000)], 2);
        let built = match made {
            Ok(built) => Some(built),
            Err(error) => {
                is_full(error)?;
                failures += 1;
                None
            }
        };
        fs::remove_file(filler)?;
        check_reserved(&dir, built.as_ref())?;
        let expected = reference.state(chain.node())?;
        compare("room again", &opened.wallet_state()?, &expected)?;
        let next = opened.generate_address(AddressType::P2tr)?.index;
        assert!(next > given, "{next:?} after {given:?}");
        given = next;
        drop(opened);
        // SQLite needs room to open its log; without, the wallet says so, and opens later.
        let filler = disk.fill(0)?;
        let closed = open(&dir, backend, node, &[]);
        fs::remove_file(filler)?;
        if let Err(error) = closed {
            assert!(error.to_string().contains("check the disk"), "{error}");
            is_full(error)?;
        }
        release_all(&dir)?;
        opened = open(&dir, backend, node, &[])?;
        compare("opened again", &opened.wallet_state()?, &expected)?;
    }
    println!("  {}: {failures} calls met the full disk", backend.name());
    assert!(failures > 0, "the disk was never full");
    Ok(())
}

/// What is reserved is what the transaction spends, or nothing.
fn check_reserved(dir: &Path, built: Option<&BitcoinTransaction>) -> Outcome {
    let reserved = Reservations::open(dir)?.reserved(now_ms())?;
    let inputs = built.iter().flat_map(|it| &it.inputs);
    let mut expected: Vec<OutPoint> = inputs.map(|it| it.previous_output).collect();
    let mut found: Vec<OutPoint> = reserved.into_keys().collect();
    expected.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, expected);
    Ok(())
}

/// Lets the time of all reservations be over.
fn release_all(dir: &Path) -> Outcome {
    let mut reservations = Reservations::open(dir)?;
    reservations.begin(u64::MAX)?.commit()?;
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Outcome {
    fs::create_dir(to)?;
    for entry in from.read_dir()? {
        let entry = entry?;
        fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}

/// A coin comes back when its time is over, and the change address with it.
fn expired(backend: Backend, chain: &mut Chain<'_>, node: &NodeConfig) -> Outcome {
    let wallet = WalletFolder::random(chain.height())?;
    let opened = open(wallet.path(), backend, node, &[])?;
    let script = opened.generate_address(AddressType::P2tr)?.script_pubkey;
    pay(chain, &[script])?;
    let payment = || opened.create_transaction(vec![(stranger(), 10_000)], 2);
    let first = payment()?;
    failure(payment(), ErrorKind::Rejected, "the only coin is reserved");
    let coins: Vec<_> = first.inputs.iter().map(|it| it.previous_output).collect();
    let reservations = Reservations::open(wallet.path())?;
    let reserved = reservations.reserved(now_ms())?;
    assert_eq!(reserved[&coins[0]].reason, first.txid.to_string());
    drop(reservations);
    release_all(wallet.path())?;

    let second = opened.create_transaction(vec![(stranger(), 20_000)], 2)?;
    assert_eq!(second.inputs[0].previous_output, coins[0]);
    let change = |built: &BitcoinTransaction| built.outputs[1].script_pubkey.clone();
    assert_eq!(change(&first), change(&second), "nothing was paid to it");
    failure(payment(), ErrorKind::Rejected, "reserved again");
    opened.broadcast_transaction(&second)?;
    let error = failure(
        opened.broadcast_transaction(&first),
        ErrorKind::Rejected,
        "its coin was spent by the second",
    );
    assert!(!error.to_string().is_empty());
    Ok(())
}

/// A coin that another spent meanwhile, with the same words elsewhere, is not chosen.
fn gone_coin(backend: Backend, chain: &mut Chain<'_>, node: &NodeConfig) -> Outcome {
    let birthday = chain.height();
    let wallet = WalletFolder::random(birthday)?;
    let twin = wallet.again(birthday)?;
    let here = open(wallet.path(), backend, node, &[])?;
    let there = open(twin.path(), backend, node, &[])?;
    let mut scripts = Vec::new();
    for _ in 0..2 {
        scripts.push(here.generate_address(AddressType::P2wpkh)?.script_pubkey);
    }
    pay(chain, &scripts)?;
    let theirs = there.create_transaction(vec![(stranger(), 100_000)], 2)?;
    there.broadcast_transaction(&theirs)?;
    let ours = here.create_transaction(vec![(stranger(), 500_000)], 2)?;
    let spent: Vec<_> = ours.inputs.iter().map(|it| it.previous_output).collect();
    assert!(!spent.contains(&theirs.inputs[0].previous_output));
    assert!(
        spent.iter().any(|coin| coin.txid == theirs.txid),
        "its change"
    );
    here.broadcast_transaction(&ours)?;
    assert_eq!(here.get_balance()?, there.get_balance()?);
    Ok(())
}
