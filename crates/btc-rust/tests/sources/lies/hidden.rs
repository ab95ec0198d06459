//! Servers that hide a payment of the wallet's own, or keep it to themselves.

use std::collections::HashSet;
use std::sync::Arc;

use bitcoin::Txid;
use btc_iface::{BitcoinTransaction, ErrorKind, PaymentState, WalletInterface as _};
use btc_rust::wallet::RustWallet;

use super::forge::{Lies, Swallow};
use super::scene::{Kind, Scene, node};
use crate::own_payments::{Home, bcrt, pay, state};
use crate::setup::wait_until;

/// The sum that a payment of these tests has.
const PAID_SAT: u64 = 70_000;

lies! {
    an_own_payment_that_is_hidden_is_missing_and_sent_again_and_not_lost,
    an_own_payment_among_more_than_fifty_is_not_lost,
    a_payment_that_a_server_keeps_to_itself_is_missing_and_sent_again,
}

fn follow_until(wallet: &RustWallet, txid: Txid, wanted: PaymentState) {
    wait_until("the payment is told", || {
        wallet.sync().expect("it follows");
        state(wallet, txid) == Some(wanted)
    });
}

/// No coin that the payment spends is taken for another.
fn assert_spent(wallet: &RustWallet, payment: &BitcoinTransaction) {
    let spent: HashSet<_> = payment.inputs.iter().map(|it| it.previous_output).collect();
    match wallet.create_transaction(vec![(bcrt(), PAID_SAT)], 2) {
        Ok(other) => {
            let mut inputs = other.inputs.iter();
            assert!(inputs.all(|it| !spent.contains(&it.previous_output)));
        }
        // Those that are left are reserved.
        Err(error) => assert_eq!(error.kind(), ErrorKind::Rejected, "{error}"),
    }
}

fn mempool(scene: &Scene<'_>) -> Vec<Txid> {
    scene.node.call("getrawmempool", &[]).expect("it answers")
}

fn an_own_payment_that_is_hidden_is_missing_and_sent_again_and_not_lost(kind: Kind) {
    let node = node();
    let mut scene = Scene::new(kind, &node, 41);
    let home = Home::empty();
    let wallet = home.over(Arc::from(scene.source()));
    wallet.sync().expect("it follows");
    let payment = pay(&wallet, 2);
    follow_until(&wallet, payment.txid, PaymentState::InMempool);
    scene.lie(Lies {
        hidden: [payment.txid].into(),
        ..Lies::default()
    });
    for _ in 0..2 {
        wallet.sync().expect("it follows");
        assert_eq!(state(&wallet, payment.txid), Some(PaymentState::Missing));
        assert_spent(&wallet, &payment);
        let sent = wallet.rebroadcast(None).expect("it is known");
        let sent: Vec<_> = sent
            .into_iter()
            .map(|(txid, error)| (txid, error.is_none()))
            .collect();
        assert_eq!(sent, [(payment.txid, true)]);
    }
    assert_eq!(mempool(&scene), [payment.txid]);
    drop(wallet);
    // Another source, then one that is honest again.
    let wallet = home.over_core(&node);
    wallet.sync().expect("it follows");
    assert_eq!(state(&wallet, payment.txid), Some(PaymentState::InMempool));
    assert_spent(&wallet, &payment);
    drop(wallet);
    scene.lie(Lies::default());
    let wallet = home.over(Arc::from(scene.source()));
    follow_until(&wallet, payment.txid, PaymentState::InMempool);
    scene.mine(1);
    scene.settle();
    follow_until(&wallet, payment.txid, PaymentState::Confirmed);
}

/// Esplora tells fifty unconfirmed transactions of a script.
fn an_own_payment_among_more_than_fifty_is_not_lost(kind: Kind) {
    let node = node();
    let mut scene = Scene::new(kind, &node, 42);
    let home = Home::empty();
    let wallet = home.over(Arc::from(scene.source()));
    wallet.sync().expect("it follows");
    // Each of the sixty payments takes a coinbase of its own.
    for _ in 0..4 {
        scene.mine(15);
        scene.settle();
        wallet.sync().expect("it follows");
    }
    let payment = pay(&wallet, 2);
    follow_until(&wallet, payment.txid, PaymentState::InMempool);
    let before = wallet.balance().expect("a balance");
    let mut hidden: HashSet<Txid> = (0..60).map(|_| scene.pay(0)).collect();
    let told: Vec<Txid> = hidden.iter().copied().take(50).collect();
    hidden.retain(|txid| !told.contains(txid));
    hidden.insert(payment.txid);
    scene.lie(Lies {
        hidden,
        ..Lies::default()
    });
    let pending = before.untrusted_pending_sat + 50 * 100_000;
    wait_until("fifty are told", || {
        wallet.sync().expect("it follows");
        wallet.balance().expect("a balance").untrusted_pending_sat == pending
    });
    assert_eq!(state(&wallet, payment.txid), Some(PaymentState::Missing));
    assert_spent(&wallet, &payment);
    scene.mine(1);
    scene.settle();
    follow_until(&wallet, payment.txid, PaymentState::Confirmed);
    let coins = wallet.unspent().expect("coins");
    let paid = coins
        .iter()
        .filter(|it| it.script_pubkey == scene.script(0));
    assert!(paid.count() >= 60);
}

fn a_payment_that_a_server_keeps_to_itself_is_missing_and_sent_again(kind: Kind) {
    let node = node();
    let mut scene = Scene::new(kind, &node, 43);
    let home = Home::empty();
    let wallet = home.over(Arc::from(scene.source()));
    for swallow in [Swallow::AsSent, Swallow::AsKnown] {
        wallet.sync().expect("it follows");
        scene.lie(Lies {
            swallows: Some(swallow),
            ..Lies::default()
        });
        let payment = pay(&wallet, 2);
        wallet.sync().expect("it follows");
        assert_eq!(state(&wallet, payment.txid), Some(PaymentState::Missing));
        assert!(mempool(&scene).is_empty(), "{swallow:?}");
        scene.lie(Lies::default());
        let sent = wallet.rebroadcast(None).expect("it is sent");
        assert!(sent.iter().all(|(_, error)| error.is_none()), "{sent:?}");
        assert_eq!(mempool(&scene), [payment.txid]);
        scene.mine(1);
        scene.settle();
        follow_until(&wallet, payment.txid, PaymentState::Confirmed);
    }
}
