//! Findings of a reviewer: red today.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bitcoin::secp256k1 as _;
use bitcoin::{Amount, OutPoint, Sequence, Transaction, TxIn, TxOut, Witness, absolute, transaction};
use btc_iface::{
    AddressType, Chain, CoinSelection, Credentials, Label, LabelKind, Network, NodeConfig, Secret,
    WalletInterface,
};
use btc_regtest::sim::{Fate, Moment, SimNode, coins};
use btc_rust::wallet::RustWallet;
use btc_rust::wallet::folder::{self, NewWallet, Origin};
use btc_rust::wallet::keys::{Keyring, Signer};
use btc_rust::wallet::ledger::Ledger;
use btc_rust::wallet::secret::Protection;
use btc_rust::wallet::source::core::CoreSource;
use btc_rust::wallet::source::{ChainSource, Follower};

const WORDS: &str = "abandon abandon abandon abandon abandon abandon abandon abandon \
                     abandon abandon abandon about";

fn config(node: &SimNode) -> NodeConfig {
    NodeConfig {
        url: node.rpc_url(),
        credentials: Credentials::CookieFile(node.cookie_file()),
        ..NodeConfig::new(Network::Regtest)
    }
}

fn to(script_pubkey: bitcoin::ScriptBuf, value_sat: u64) -> TxOut {
    TxOut {
        value: Amount::from_sat(value_sat),
        script_pubkey,
    }
}

#[test]
fn a_coin_that_waits_to_be_spent_is_not_free_when_its_block_came_during_the_look() {
    let node = Arc::new(SimNode::builder().start().expect("a node"));
    let signer = Signer::from_words(Network::Regtest, WORDS, "").expect("words");
    let keyring = Keyring::new(Network::Regtest, &signer.accounts()).expect("own");
    let script = keyring
        .script((AddressType::P2wpkh, Chain::Receive), 0)
        .expect("a script");
    let coin = node.open_coins()[0];
    let rest = coin.value.to_sat() - 1_000 - 500_000;
    let paying = coins::spend(
        &[coin],
        vec![to(script, 500_000), coins::output(1, rest)],
        2,
    );
    let paid = OutPoint::new(paying.compute_txid(), 0);
    // Another user of the same words sends it on, without change.
    let spending = Transaction {
        version: transaction::Version::TWO,
        lock_time: absolute::LockTime::ZERO,
        input: vec![TxIn {
            previous_output: paid,
            sequence: Sequence::ENABLE_RBF_NO_LOCKTIME,
            witness: Witness::from_slice(&[vec![1_u8; 71], vec![2_u8; 33]]),
            ..TxIn::default()
        }],
        output: vec![coins::output(2, 498_000)],
    };
    node.submit(&paying).expect("valid");
    node.submit(&spending).expect("valid");

    let folder = tempfile::tempdir().expect("a folder");
    let mut ledger =
        Ledger::open(&folder.path().join("rust.sqlite"), &keyring, 0, 10).expect("books");
    let source = CoreSource::connect(&config(&node)).expect("connected");
    let is_mined = AtomicBool::new(false);
    let miner = Arc::clone(&node);
    node.set_tap(Some(Box::new(move |call, moment| {
        let is_it = call.name == "getrawmempool" && moment == Moment::Before;
        if is_it && !is_mined.swap(true, Ordering::SeqCst) {
            miner
                .mine_these(vec![paying.clone()], coins::script(3))
                .expect("a block");
        }
        Fate::Proceed
    })));
    source.follow(&mut ledger).expect("followed");
    node.set_tap(None);
    // And again, with nothing in the way.
    source.follow(&mut ledger).expect("followed");
    assert!(node.is_waiting(spending.compute_txid()), "it waits");
    let view = ledger.view();
    assert_eq!(ledger.scanned().map(|it| it.hash), Some(node.tip().1));
    let free: Vec<_> = view.coins.iter().map(|it| (it.outpoint, it.state)).collect();
    assert_eq!(free, [], "the mempool spends it");
}

#[test]
fn a_coin_of_a_missing_payment_is_not_locked() {
    let node = SimNode::builder().start().expect("a node");
    let parent = tempfile::tempdir().expect("a folder");
    let dir = parent.path().join("wallet");
    folder::create(
        &dir,
        &NewWallet {
            network: Network::Regtest,
            birthday: 0,
            gap_limit: 10,
            change_type: AddressType::P2wpkh,
            origin: Origin::Words {
                words: Secret::new(WORDS.to_owned()),
                bip39_passphrase: Secret::new(String::new()),
                protection: Protection::PlainRegtestOnly,
            },
        },
    )
    .expect("made");
    let open = || {
        let source = Arc::new(CoreSource::connect(&config(&node)).expect("connected"));
        RustWallet::open(&dir, None, CoinSelection::LargestFirst, source).expect("sound")
    };
    let wallet = open();
    let address = wallet.generate_address(AddressType::P2wpkh).expect("one");
    let coin = node.open_coins()[0];
    let rest = coin.value.to_sat() - 1_000 - 500_000;
    let paying = coins::spend(
        &[coin],
        vec![to(address.script_pubkey, 500_000), coins::output(1, rest)],
        2,
    );
    node.submit(&paying).expect("valid");
    node.mine(coins::script(3)).expect("a block");
    let payment = wallet
        .create_transaction(vec![(coins::address(2).to_string(), 100_000)], 2)
        .expect("enough");
    wallet.broadcast_transaction(&payment).expect("taken");
    node.restart(false).expect("restarted");
    drop(wallet);
    let wallet = open();
    wallet.sync().expect("followed");
    let held = payment.inputs[0].previous_output;
    assert!(wallet.lock(held).is_err(), "known to be held, after a sync");
    let imported = wallet.import_labels(&[Label {
        kind: LabelKind::Output,
        reference: held.to_string(),
        label: None,
        origin: None,
        spendable: Some(false),
    }]);
    let by_import = imported.is_ok();
    let _ = wallet.unlock(held);
    drop(wallet);
    // As `btc utxo lock` does: opened, and not followed.
    let wallet = open();
    let by_verb = wallet.lock(held).is_ok();
    assert_eq!((by_import, by_verb), (false, false), "locked by (import, verb)");
}

fn funded(node: &SimNode, dir: &std::path::Path, values_sat: &[u64]) -> RustWallet {
    folder::create(
        dir,
        &NewWallet {
            network: Network::Regtest,
            birthday: 0,
            gap_limit: 10,
            change_type: AddressType::P2wpkh,
            origin: Origin::Words {
                words: Secret::new(WORDS.to_owned()),
                bip39_passphrase: Secret::new(String::new()),
                protection: Protection::PlainRegtestOnly,
            },
        },
    )
    .expect("made");
    let source = Arc::new(CoreSource::connect(&config(node)).expect("connected"));
    let wallet =
        RustWallet::open(dir, None, CoinSelection::LargestFirst, source).expect("sound");
    let coin = node.open_coins()[0];
    let mut outputs: Vec<_> = values_sat
        .iter()
        .map(|value_sat| {
            let address = wallet.generate_address(AddressType::P2wpkh).expect("one");
            to(address.script_pubkey, *value_sat)
        })
        .collect();
    let rest = coin.value.to_sat() - 10_000 - values_sat.iter().sum::<u64>();
    outputs.push(coins::output(1, rest));
    node.submit(&coins::spend(&[coin], outputs, 2)).expect("valid");
    node.mine(coins::script(3)).expect("a block");
    wallet
}

fn payee() -> String {
    coins::address(2).to_string()
}

#[test]
fn what_is_available_can_be_paid_after_a_child_of_an_abandoned_payment_is_refused() {
    let node = SimNode::builder().start().expect("a node");
    let parent = tempfile::tempdir().expect("a folder");
    let wallet = funded(&node, &parent.path().join("wallet"), &[500_000, 300_000]);
    let first = wallet
        .create_transaction(vec![(payee(), 50_000)], 2)
        .expect("enough");
    wallet.broadcast_transaction(&first).expect("taken");
    let second = wallet
        .create_transaction(vec![(payee(), 600_000)], 2)
        .expect("enough");
    wallet.broadcast_transaction(&second).expect("taken");
    node.restart(false).expect("restarted");
    wallet.sync().expect("followed");
    assert_eq!(wallet.abandon(first.txid).expect("missing").len(), 2);
    let again = wallet.broadcast_transaction(&second);
    println!("again: {again:?}");
    wallet.sync().expect("followed");
    let coins = wallet.unspent().expect("read");
    let available: u64 = coins
        .iter()
        .filter(|it| it.reserved_for.is_none())
        .map(|it| it.value_sat)
        .sum();
    println!("available {available}");
    let paid = wallet.create_transaction(vec![(payee(), 700_000)], 2);
    assert_eq!((available, paid.is_ok()), (800_000, true), "{paid:?}");
}

#[test]
fn two_payments_that_each_replace_the_other_can_be_given_up() {
    let node = SimNode::builder().start().expect("a node");
    let parent = tempfile::tempdir().expect("a folder");
    let wallet = funded(&node, &parent.path().join("wallet"), &[500_000]);
    let first = wallet
        .create_transaction(vec![(payee(), 50_000)], 2)
        .expect("enough");
    wallet.broadcast_transaction(&first).expect("taken");
    wallet.sync().expect("followed");
    let raised = wallet
        .bump_fee(first.txid, btc_iface::FeeRate::from_sat_per_vb(9), &[])
        .expect("raised");
    let mut raised = raised;
    wallet.finalize_psbt(&mut raised).expect("final");
    let second = wallet.extract_psbt(&raised, true).expect("whole");
    wallet.broadcast_transaction(&second).expect("taken");
    node.restart(false).expect("restarted");
    wallet.sync().expect("followed");
    let abandoned = wallet.abandon(second.txid).expect("missing");
    println!("abandoned {abandoned:?}");
    // The second after all, then the first, as the refusal advises.
    wallet.broadcast_transaction(&second).expect("taken");
    node.restart(false).expect("restarted");
    wallet.sync().expect("followed");
    let advice = wallet.broadcast_transaction(&first).expect_err("another has its coin");
    println!("{advice}");
    let whole: Transaction = bitcoin::consensus::encode::deserialize(
        &btc_rust::encode_transaction(&first).expect("whole"),
    )
    .expect("bytes");
    wallet
        .allow_replacement(&whole, &[second.txid])
        .expect("known");
    wallet.broadcast_transaction(&first).expect("taken");
    node.restart(false).expect("restarted");
    wallet.sync().expect("followed");
    let listed: Vec<_> = wallet
        .history()
        .expect("read")
        .into_iter()
        .map(|it| (it.txid, it.state))
        .collect();
    println!("history {listed:?}");
    println!("rebroadcast {:?}", wallet.rebroadcast(None));
    let outcomes = [first.txid, second.txid].map(|txid| {
        (
            wallet.rebroadcast(Some(txid)).map_err(|it| it.to_string()),
            wallet.cancel(txid, None, &[]).map(|_| ()).map_err(|it| it.to_string()),
            wallet.abandon(txid).map_err(|it| it.to_string()),
        )
    });
    println!("{outcomes:#?}");
    assert!(listed.len() > 1, "a payment that may be mined is listed");
}
