//! Unconfirmed transactions: they count while the node's mempool has them, and no longer.

use std::sync::LazyLock;

use bitcoin::Transaction;
use btc_iface::Network;
use btc_regtest::{Chain, Node};
use btc_rust::wallet::keys::{Keyring, Signer};
use btc_rust::wallet::ledger::Unspent;
use serde_json::{Value, json};

use crate::wallet::{RECEIVE, WORDS, Wallet, pay, receive, stranger};

/// Somebody who pays the wallet and changes his mind.
static PAYER: LazyLock<(Signer, Keyring)> = LazyLock::new(|| {
    let signer = Signer::from_words(Network::Regtest, WORDS, "payer").expect("right words");
    let keyring = Keyring::new(Network::Regtest, &signer.accounts()).expect("own output");
    (signer, keyring)
});

/// A confirmed coin of the payer's.
fn payers_coin(chain: &mut Chain<'_>, sat: u64) -> Unspent {
    let script_pubkey = PAYER.1.script(RECEIVE, 0).expect("a small index");
    let txid = pay(chain, script_pubkey.clone(), sat);
    chain.mine(1).expect("a block");
    let found: Value = chain
        .node()
        .call("getrawtransaction", &[json!(txid), json!(1)])
        .expect("a transaction");
    let outputs = found["vout"].as_array().expect("outputs");
    let hex = script_pubkey.to_hex_string();
    let vout = outputs
        .iter()
        .position(|output| output["scriptPubKey"]["hex"] == hex)
        .expect("the payment");
    Unspent {
        outpoint: bitcoin::OutPoint::new(txid, vout.try_into().expect("a small number")),
        value_sat: sat,
        script_pubkey,
        keychain: RECEIVE,
        index: 0,
        state: btc_iface::CoinState::Confirmed,
        block: None,
    }
}

fn payment(coin: &Unspent, script: bitcoin::ScriptBuf, fee_sat: u64) -> Transaction {
    let outputs = [(script, coin.value_sat - fee_sat)];
    Wallet::spend_as(&PAYER.0, std::slice::from_ref(coin), &outputs)
}

fn setup(node: &Node) -> (Chain<'_>, Wallet) {
    let mut chain = Chain::new(node, 1).expect("regtest");
    chain.mine(110).expect("blocks");
    let mut wallet = Wallet::new(node, 0);
    wallet.sync();
    (chain, wallet)
}

#[test]
fn a_payment_that_is_replaced_no_longer_counts() {
    let node = Node::builder().start().expect("a node");
    let (mut chain, mut wallet) = setup(&node);
    let coin = payers_coin(&mut chain, 500_000);
    let first = payment(&coin, receive(0), 1_000);
    wallet.send(&first);
    assert_eq!(
        wallet.sync_right(&node).balance.untrusted_pending_sat,
        499_000
    );
    // Spent on by the wallet: untrusted still, and gone with its parent.
    let pending = wallet.sync().coins;
    let child = Wallet::spend(&pending, &[(stranger(), 100_000)], 0, 0);
    wallet.send(&child);
    assert_eq!(
        wallet.sync_right(&node).balance.untrusted_pending_sat,
        397_000
    );

    wallet.send(&payment(&coin, stranger(), 50_000));
    let view = wallet.sync_right(&node);
    assert_eq!(view.coins, []);
    let known = wallet.ledger.transaction(first.compute_txid());
    assert!(known.is_some_and(|known| !known.is_counted));
    assert!(wallet.ledger.history().is_empty());
    assert_eq!(
        wallet.ledger.highest_used(RECEIVE),
        Some(0),
        "used for ever"
    );
    chain.mine(1).expect("a block");
    assert_eq!(wallet.sync_right(&node).coins, []);
}

#[test]
fn a_payment_of_ours_that_is_replaced_frees_and_spends_what_it_should() {
    let node = Node::builder().start().expect("a node");
    let (mut chain, mut wallet) = setup(&node);
    for index in 0..3 {
        pay(&mut chain, receive(index), 200_000);
    }
    chain.mine(1).expect("a block");
    let coins = wallet.sync_right(&node).coins;
    let low = Wallet::spend(&coins[..2], &[(stranger(), 50_000)], 0, 0);
    wallet.send(&low);
    let now = 1_900_000_000;
    wallet
        .ledger
        .insert_unconfirmed(low.clone(), now)
        .expect("a file");
    wallet.sync_right(&node);
    assert_eq!(wallet.ledger.first_seen(low.compute_txid()), Some(now));
    // Replaced in the same second, by our own word first; of two seen at once, the order of the
    // txids must not decide.
    let high = (0..100)
        .map(|index| Wallet::spend(&coins[..1], &[(stranger(), 50_000)], 1, 9_000 + index))
        .find(|high| high.compute_txid() < low.compute_txid())
        .expect("one of a hundred");
    wallet.send(&high);
    wallet
        .ledger
        .insert_unconfirmed(high.clone(), now)
        .expect("a file");
    let told = wallet.ledger.view();
    assert_eq!(told.balance.confirmed_sat, 400_000);
    let pending_sat = told.balance.trusted_pending_sat;
    assert!((138_900..=139_000).contains(&pending_sat), "{pending_sat}");
    let view = wallet.sync_right(&node);
    assert_eq!(view.balance, told.balance);
    chain.mine(1).expect("a block");
    assert_eq!(
        wallet.sync_right(&node).balance.confirmed_sat,
        400_000 + pending_sat
    );
    let known = wallet
        .ledger
        .transaction(high.compute_txid())
        .expect("ours");
    assert_eq!(known.block.map(|block| block.height), Some(112));
}

#[test]
fn what_is_evicted_counts_again_when_it_comes_back_even_within_a_second() {
    let node = Node::builder()
        .arg("-persistmempool=0")
        .start()
        .expect("a node");
    let (mut chain, mut wallet) = setup(&node);
    pay(&mut chain, receive(0), 300_000);
    chain.mine(1).expect("a block");
    let coins = wallet.sync_right(&node).coins;
    let spend = Wallet::spend(&coins, &[(stranger(), 100_000)], 0, 0);
    for _ in 0..4 {
        wallet.send(&spend);
        let view = wallet.sync_right(&node);
        assert_eq!(view.balance.trusted_pending_sat, 198_000);
        // The mempool is lost; the cookie changes with it.
        node.restart().expect("it starts again");
        let view = wallet.sync_right(&node);
        assert_eq!(view.balance.confirmed_sat, 300_000);
        assert_eq!(view.balance.trusted_pending_sat, 0);
    }
    wallet.send(&spend);
    chain.mine(1).expect("a block");
    assert_eq!(wallet.sync_right(&node).balance.confirmed_sat, 198_000);
}

#[test]
fn a_long_chain_of_own_payments_is_trusted_and_one_foreign_input_is_not() {
    let node = Node::builder().start().expect("a node");
    let (mut chain, mut wallet) = setup(&node);
    pay(&mut chain, receive(0), 1_000_000);
    chain.mine(1).expect("a block");
    for i in 0..30 {
        let coins = wallet.sync().coins;
        wallet.send(&Wallet::spend(&coins, &[], i % 10, 0));
    }
    let view = wallet.sync_right(&node);
    assert_eq!(view.balance.trusted_pending_sat, 940_000);
    let coin = payers_coin(&mut chain, 100_000);
    wallet.send(&payment(&coin, receive(1), 1_000));
    let coins = wallet.sync_right(&node).coins;
    assert_eq!(coins.len(), 2);
    wallet.send(&Wallet::spend(&coins, &[], 3, 0));
    let view = wallet.sync_right(&node);
    assert_eq!(view.balance.trusted_pending_sat, 0);
    assert_eq!(view.balance.untrusted_pending_sat, 1_037_000);
}

#[test]
fn whoever_reads_while_blocks_come_loses_nothing_and_counts_nothing_twice() {
    const PAYMENTS: u64 = 25;
    let node = Node::builder().start().expect("a node");
    let (mut chain, mut wallet) = setup(&node);
    let txids: Vec<_> = (0..PAYMENTS)
        .map(|i| {
            pay(
                &mut chain,
                receive(u32::try_from(i % 10).expect("small")),
                10_000,
            )
        })
        .collect();
    wallet.sync();
    let miner = std::thread::scope(|scope| {
        let miner = scope.spawn(|| {
            for txid in &txids {
                let address = bitcoin::Address::from_script(&stranger(), Network::Regtest)
                    .expect("it has an address")
                    .to_string();
                let raw: String = node
                    .call("getrawtransaction", &[json!(txid)])
                    .expect("a transaction");
                let params = [json!(address), json!([raw])];
                let _: Value = node.call("generateblock", &params).expect("a block");
                std::thread::sleep(std::time::Duration::from_millis(15));
            }
        });
        let mut syncs = 0;
        loop {
            let is_last = miner.is_finished();
            let balance = wallet.sync().balance;
            assert_eq!(
                balance.confirmed_sat + balance.untrusted_pending_sat,
                PAYMENTS * 10_000,
                "after {syncs} syncs"
            );
            syncs += 1;
            if is_last {
                break;
            }
        }
        assert!(syncs > 2, "{syncs}");
        miner.join()
    });
    miner.expect("it mined");
    let view = wallet.sync_right(&node);
    assert_eq!(view.balance.confirmed_sat, PAYMENTS * 10_000);
}
