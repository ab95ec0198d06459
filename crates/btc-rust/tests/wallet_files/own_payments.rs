//! Own payments that are given up, and that replace each other.

use bitcoin::absolute::LockTime;
use bitcoin::transaction::Version;
use bitcoin::{Amount, Transaction, TxIn, TxOut};
use btc_iface::{
    AddressType, BitcoinError, BitcoinTransaction, ErrorKind, FeeRate, PaymentState,
    WalletInterface,
};
use btc_regtest::sim::{Fate, Moment, coins};
use btc_rust::wallet::RustWallet;
use btc_rust::wallet::reservations::{Reservations, now_ms};

use crate::simulated::{Simulated, payee, whole};

fn pay(wallet: &RustWallet, value_sat: u64) -> BitcoinTransaction {
    let built = wallet.create_transaction(vec![(payee(), value_sat)], 2);
    let built = built.expect("enough coins");
    wallet.broadcast_transaction(&built).expect("taken");
    built
}

/// The node starts anew without its mempool, and the wallet sees that.
fn forget_mempool(scene: &Simulated, wallet: &RustWallet) {
    scene.node.restart(false).expect("it starts again");
    wallet.sync().expect("followed");
}

#[test]
fn what_is_available_can_be_paid_after_a_child_of_an_abandoned_payment_is_refused() {
    let (scene, wallet) = Simulated::funded(&[500_000, 300_000]);
    let first = pay(&wallet, 50_000);
    let second = pay(&wallet, 600_000);
    forget_mempool(&scene, &wallet);
    assert_eq!(wallet.abandon(first.txid).expect("missing").len(), 2);
    let again = wallet.broadcast_transaction(&second);
    wallet.sync().expect("followed");
    let coins = wallet.unspent().expect("books").into_iter();
    let available = coins.filter(|it| it.reserved_for.is_none());
    let available_sat: u64 = available.map(|it| it.value_sat).sum();
    let paid = wallet.create_transaction(vec![(payee(), 700_000)], 2);
    assert_eq!(
        (available_sat, paid.is_ok()),
        (800_000, true),
        "{again:?}, {paid:?}"
    );
}

#[test]
fn two_payments_that_each_replace_the_other_can_be_given_up() {
    let (scene, wallet) = Simulated::funded(&[500_000]);
    let first = pay(&wallet, 50_000);
    wallet.sync().expect("followed");
    let rate = FeeRate::from_sat_per_vb(9);
    let mut raised = wallet.bump_fee(first.txid, rate, &[]).expect("raised");
    wallet.finalize_psbt(&mut raised).expect("final");
    let second = wallet.extract_psbt(&raised, true).expect("whole");
    wallet.broadcast_transaction(&second).expect("taken");
    forget_mempool(&scene, &wallet);
    wallet.abandon(second.txid).expect("missing");
    // The second after all, then the first, as the refusal advises.
    wallet.broadcast_transaction(&second).expect("taken");
    forget_mempool(&scene, &wallet);
    let advice = wallet.broadcast_transaction(&first);
    let advice = advice.expect_err("another has its coin");
    assert!(advice.message().contains("replaces"), "{advice}");
    let allowed = wallet.allow_replacement(&whole(&first), &[second.txid]);
    allowed.expect("known");
    wallet.broadcast_transaction(&first).expect("taken");
    forget_mempool(&scene, &wallet);
    let listed = wallet.history().expect("books");
    assert!(
        listed.len() > 1,
        "a payment that may be mined is listed: {listed:?}"
    );
}

#[test]
fn a_payment_whose_foreign_input_is_spent_by_what_pays_the_wallet_is_conflicted() {
    let (scene, wallet) = Simulated::funded(&[500_000]);
    wallet.sync().expect("followed");
    let own = wallet.unspent().expect("books")[0].clone();
    let foreign = scene.node.open_coins()[0];
    let spending = |previous_output| TxIn {
        previous_output,
        ..TxIn::default()
    };
    let jointly = Transaction {
        version: Version::TWO,
        lock_time: LockTime::ZERO,
        input: vec![spending(own.outpoint), spending(foreign.outpoint)],
        output: vec![coins::output(2, 600_000)],
    };
    // As the other side does.
    let mut shared = Reservations::open(&scene.dir).expect("sound");
    let booking = shared.begin(now_ms()).expect("free");
    let added = booking.add_payment(&jointly, now_ms() + 1_234_567);
    added.expect("written");
    booking.commit().expect("on disk");
    let state = || {
        wallet.sync().expect("followed");
        let history = wallet.history().expect("books").into_iter();
        let of_it = history.filter(|it| it.txid == jointly.compute_txid());
        let states: Vec<PaymentState> = of_it.map(|it| it.state).collect();
        let held = wallet.unspent().expect("books").into_iter();
        let held = held.filter(|it| it.reserved_for.is_some());
        (states, held.count())
    };
    assert_eq!(state(), (vec![PaymentState::Missing], 1));
    let address = wallet.generate_address(AddressType::P2wpkh);
    let paying = TxOut {
        value: foreign.value - Amount::from_sat(10_000),
        script_pubkey: address.expect("an index").script_pubkey,
    };
    let fallback = coins::spend(&[foreign], vec![paying], 2);
    scene.node.submit(&fallback).expect("valid");
    scene.node.mine(coins::script(3)).expect("a block");
    assert_eq!(state(), (vec![PaymentState::Conflicted], 0));
}

#[test]
fn a_confirmed_payment_is_not_said_to_be_rejected_when_the_chain_cannot_be_read() {
    let (scene, wallet) = Simulated::funded(&[500_000]);
    let first = pay(&wallet, 50_000);
    scene.node.mine(coins::script(3)).expect("a block");
    wallet.sync().expect("followed");
    // As a node without an index of transactions says when all outputs are spent; then it is gone.
    let mut is_refused = false;
    scene
        .node
        .set_tap(Some(Box::new(move |call, moment| match &*call.name {
            _ if moment == Moment::After => Fate::Proceed,
            "sendrawtransaction" => {
                is_refused = true;
                Fate::Refuse(-25, "bad-txns-inputs-missingorspent".to_owned())
            }
            "getrawtransaction" => Fate::Refuse(-5, "No such transaction".to_owned()),
            _ if is_refused => Fate::Drop,
            _ => Fate::Proceed,
        })));
    let again = wallet.broadcast_transaction(&first);
    scene.node.set_tap(None);
    assert_eq!(again.expect("it is in the chain"), first.txid);
}

/// From now on the node gets nothing that is sent.
fn lose_what_is_sent(scene: &Simulated) {
    scene.node.set_tap(Some(Box::new(|call, moment| {
        let is_it = call.name == "sendrawtransaction" && moment == Moment::Before;
        if is_it { Fate::Drop } else { Fate::Proceed }
    })));
}

#[track_caller]
fn listed(error: &BitcoinError, payment: &BitcoinTransaction, why: &str) {
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.message().contains(why), "{error}");
    let named = ("payment".to_owned(), payment.txid.to_string());
    assert!(error.context().contains(&named), "{error}");
}

fn state(wallet: &RustWallet, payment: &BitcoinTransaction) -> Option<PaymentState> {
    let all = wallet.history().expect("books").into_iter();
    let mut found = all.filter(|it| it.txid == payment.txid);
    found.next().map(|it| it.state)
}

#[test]
fn a_payment_that_is_given_up_with_its_parent_alone_is_not_said_to_be_rejected() {
    let (scene, wallet) = Simulated::funded(&[500_000]);
    let parent = pay(&wallet, 50_000);
    let child = wallet.create_transaction(vec![(payee(), 20_000)], 2);
    let child = child.expect("of the change");
    forget_mempool(&scene, &wallet);
    wallet.abandon(parent.txid).expect("missing");
    lose_what_is_sent(&scene);
    let lost = wallet.broadcast_transaction(&child);
    listed(&lost.expect_err("no answer"), &child, "is not known");
    scene.node.set_tap(None);
    wallet.sync().expect("followed");
    assert_eq!(state(&wallet, &child), Some(PaymentState::Abandoned));
    let refused = wallet.broadcast_transaction(&child);
    let refused = refused.expect_err("its coin is not there");
    listed(&refused, &child, "what it descends from was given up");
    // Another payment takes the coin of the parent, which the child would need.
    let other = wallet.create_transaction(vec![(payee(), 30_000)], 2);
    other.expect("the coin is free");
    // As the message says: given up itself, it does not come back with its parent.
    assert_eq!(wallet.abandon(child.txid).expect("listed"), [child.txid]);
    scene.node.submit(&whole(&parent)).expect("taken");
    scene.node.mine(coins::script(3)).expect("a block");
    wallet.sync().expect("followed");
    assert_eq!(state(&wallet, &child), Some(PaymentState::Abandoned));
    let again = wallet.broadcast_transaction(&child);
    again.expect("its coin is there again, and it is handed over by the user");
}

#[test]
fn a_payment_whose_rival_can_be_undone_is_not_said_to_be_rejected() {
    let (scene, wallet) = Simulated::funded(&[500_000]);
    let first = pay(&wallet, 50_000);
    forget_mempool(&scene, &wallet);
    wallet.abandon(first.txid).expect("missing");
    let rival = wallet.create_transaction(vec![(payee(), 60_000)], 5);
    let rival = whole(&rival.expect("the coin is free"));
    wallet.release(&rival).expect("reserved");
    wallet.broadcast_transaction(&first).expect("taken");
    scene.node.restart(false).expect("it starts again");
    scene.node.submit(&rival).expect("taken");
    scene.node.mine(coins::script(3)).expect("a block");
    wallet.sync().expect("followed");
    assert_eq!(state(&wallet, &first), Some(PaymentState::Conflicted));
    let error = wallet.broadcast_transaction(&first);
    listed(
        &error.expect_err("its coin is spent"),
        &first,
        "can be undone",
    );
    for _ in 0..143 {
        scene.node.mine(coins::script(3)).expect("a block");
    }
    wallet.sync().expect("followed");
    let error = wallet.broadcast_transaction(&first);
    let error = error.expect_err("its coin is spent");
    assert_eq!(error.kind(), ErrorKind::Rejected, "{error}");
}

#[test]
fn a_listed_payment_is_not_said_to_replace_one_that_could_be_mined_beside_it() {
    let (scene, wallet) = Simulated::funded(&[500_000, 300_000]);
    let first = pay(&wallet, 450_000);
    let second = pay(&wallet, 250_000);
    forget_mempool(&scene, &wallet);
    let error = wallet.allow_replacement(&whole(&second), &[first.txid]);
    let error = error.expect_err("they share no coin");
    assert_eq!(error.kind(), ErrorKind::Rejected, "{error}");
    assert!(
        error
            .message()
            .starts_with("replaces-no-coin-of-the-payment")
    );
    wallet.broadcast_transaction(&second).expect("taken");
    wallet.sync().expect("followed");
    assert_eq!(state(&wallet, &first), Some(PaymentState::Missing));
    let coins = wallet.unspent().expect("books");
    assert!(
        coins
            .iter()
            .all(|it| it.value_sat != 500_000 || it.reserved_for.is_some())
    );
    // One that takes its coin may be said to replace it, listed or not.
    let same = wallet.allow_replacement(&whole(&second), &[second.txid]);
    same.expect("of no effect");
}

#[test]
fn what_is_released_of_a_replacement_that_was_handed_over_is_not_what_it_replaces() {
    let (scene, wallet) = Simulated::funded(&[500_000]);
    let first = pay(&wallet, 50_000);
    wallet.sync().expect("followed");
    let rate = FeeRate::from_sat_per_vb(9);
    let mut raised = wallet.bump_fee(first.txid, rate, &[]).expect("raised");
    let unsigned = raised.unsigned_tx.clone();
    wallet.finalize_psbt(&mut raised).expect("final");
    let second = wallet.extract_psbt(&raised, true).expect("whole");
    wallet.broadcast_transaction(&second).expect("taken");
    assert!(wallet.is_handed_over(&unsigned).expect("readable"));
    assert_eq!(wallet.release(&unsigned).expect("nothing is reserved"), 0);
    let taken_back = wallet.disallow_replacement(&unsigned, &[first.txid]);
    taken_back.expect("of no effect");
    forget_mempool(&scene, &wallet);
    assert_eq!(state(&wallet, &first), None, "it is replaced");
    let mut given_up = wallet.abandon(second.txid).expect("missing");
    given_up.sort();
    let mut both = [first.txid, second.txid];
    both.sort();
    assert_eq!(given_up, both);
}
