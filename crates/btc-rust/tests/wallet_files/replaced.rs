//! What waits to be replaced by a payment that no node has yet: nothing is built on it, and nothing
//! that was is lost by itself.

use bitcoin::Txid;
use btc_iface::{
    BitcoinTransaction, ErrorKind, FeeRate, PaymentState, Recipient, TransactionRequest,
    WalletInterface,
};
use btc_regtest::sim::{Fate, Moment, coins};
use btc_rust::wallet::RustWallet;
use btc_rust::wallet::reservations::{Reservations, now_ms};

use crate::simulated::{Simulated, payee, whole};
use crate::support::refused;

fn build(wallet: &RustWallet, value_sat: u64) -> BitcoinTransaction {
    let built = wallet.create_transaction(vec![(payee(), value_sat)], 2);
    built.expect("enough coins")
}

fn pay(wallet: &RustWallet, value_sat: u64) -> BitcoinTransaction {
    let built = build(wallet, value_sat);
    wallet.broadcast_transaction(&built).expect("taken");
    built
}

fn bumped(wallet: &RustWallet, txid: Txid) -> BitcoinTransaction {
    let raised = wallet.bump_fee(txid, FeeRate::from_sat_per_vb(20), &[]);
    let mut raised = raised.expect("raised");
    wallet.finalize_psbt(&mut raised).expect("final");
    wallet.extract_psbt(&raised, true).expect("whole")
}

/// Hands a transaction over, which does not reach the node.
fn lose(scene: &Simulated, wallet: &RustWallet, transaction: &BitcoinTransaction) {
    scene.node.set_tap(Some(Box::new(|call, moment| {
        let is_it = call.name == "sendrawtransaction" && moment == Moment::Before;
        if is_it { Fate::Drop } else { Fate::Proceed }
    })));
    let lost = wallet.broadcast_transaction(transaction);
    scene.node.set_tap(None);
    assert!(lost.is_err(), "the answer does not come");
    wallet.sync().expect("followed");
    assert_eq!(state(wallet, transaction.txid), Some(PaymentState::Missing));
}

fn state(wallet: &RustWallet, txid: Txid) -> Option<PaymentState> {
    let history = wallet.history().expect("books");
    let entry = history.into_iter().find(|entry| entry.txid == txid)?;
    Some(entry.state)
}

fn all_due(scene: &Simulated, txids: &[Txid]) {
    let mut shared = Reservations::open(&scene.dir).expect("sound");
    let booking = shared.begin(now_ms()).expect("free");
    for txid in txids {
        booking.set_next_broadcast(*txid, 1).expect("written");
    }
    booking.commit().expect("on disk");
}

/// What the wallet would choose from now, in satoshi.
fn choice(wallet: &RustWallet) -> Vec<u64> {
    let snapshot = wallet.current_snapshot().expect("followed");
    snapshot.coins.iter().map(|coin| coin.value_sat).collect()
}

#[test]
fn nothing_is_built_on_what_an_open_payment_replaces() {
    let (scene, wallet) = Simulated::funded(&[500_000, 300_000]);
    let first = pay(&wallet, 50_000);
    let second = bumped(&wallet, first.txid);
    lose(&scene, &wallet, &second);
    assert!(scene.node.is_waiting(first.txid));
    assert_eq!(choice(&wallet), [300_000]);
    let coins = wallet.unspent().expect("books").into_iter();
    let change: Vec<_> = coins.filter(|it| it.value_sat != 300_000).collect();
    let holder = change[0].reserved_for.as_deref();
    assert_eq!(holder, Some(second.txid.to_string().as_str()));
    let balance = wallet.balance().expect("books");
    assert_eq!(balance.held_by_missing_sat, change[0].value_sat);
    let paid = wallet.create_transaction(vec![(payee(), 400_000)], 2);
    refused(paid, ErrorKind::Rejected, "coins");
    // Opened again, it is so as well, and free when the replacement is given up.
    drop(wallet);
    let wallet = scene.open();
    wallet.sync().expect("followed");
    assert_eq!(choice(&wallet), [300_000]);
    assert_eq!(wallet.abandon(second.txid).expect("missing"), [second.txid]);
    assert_eq!(choice(&wallet).len(), 2);
}

#[test]
fn nothing_is_built_on_what_descends_from_what_an_open_payment_replaces() {
    let (scene, wallet) = Simulated::funded(&[500_000]);
    let first = pay(&wallet, 50_000);
    let child = pay(&wallet, 60_000);
    let raised = wallet.bump_fee(first.txid, FeeRate::from_sat_per_vb(40), &[child.txid]);
    let mut raised = raised.expect("raised");
    wallet.finalize_psbt(&mut raised).expect("final");
    let second = wallet.extract_psbt(&raised, true).expect("whole");
    lose(&scene, &wallet, &second);
    assert!(scene.node.is_waiting(child.txid));
    assert_eq!(choice(&wallet), [0; 0]);
}

#[test]
fn what_the_other_side_hands_over_to_replace_a_payment_is_known_without_a_look_at_the_chain() {
    let (scene, wallet) = Simulated::funded(&[500_000, 300_000]);
    let first = pay(&wallet, 50_000);
    wallet.sync().expect("followed");
    let second = bumped(&wallet, first.txid);
    // As the other side does.
    let mut shared = Reservations::open(&scene.dir).expect("sound");
    let booking = shared.begin(now_ms()).expect("free");
    let added = booking.add_payment(&whole(&second), now_ms() + 1_234_567);
    added.expect("written");
    booking.commit().expect("on disk");
    let request = TransactionRequest {
        recipients: vec![Recipient {
            address: payee(),
            value_sat: 400_000,
        }],
        fee_rate: FeeRate::from_sat_per_vb(2),
        ..TransactionRequest::default()
    };
    refused(wallet.create_psbt(&request), ErrorKind::Rejected, "coins");
    refused(wallet.preview(&request), ErrorKind::Rejected, "coins");
}

#[test]
fn a_replacement_is_not_sent_by_itself_over_a_payment_that_it_does_not_name() {
    let (scene, wallet) = Simulated::funded(&[500_000]);
    let first = pay(&wallet, 50_000);
    // Built before the replacement, on the change of what is replaced, and handed over after it.
    let child = build(&wallet, 60_000);
    let second = bumped(&wallet, first.txid);
    lose(&scene, &wallet, &second);
    wallet.broadcast_transaction(&child).expect("taken");
    all_due(&scene, &[second.txid]);
    wallet.sync().expect("followed");
    wallet.sync().expect("followed");
    assert_eq!(state(&wallet, second.txid), Some(PaymentState::Missing));
    for payment in [&first, &child] {
        assert!(scene.node.is_waiting(payment.txid), "{}", payment.txid);
    }
    // It is said why.
    let named = ("descendants".to_owned(), child.txid.to_string());
    let error = wallet.rebroadcast(Some(second.txid)).expect_err("in vain");
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    assert!(error.context().contains(&named), "{error}");
    let all = wallet.rebroadcast(None).expect("it is told");
    let told: Vec<_> = all
        .iter()
        .map(|(txid, error)| {
            let context = error.as_ref().map(|error| error.context().to_vec());
            (*txid, context.unwrap_or_default().contains(&named))
        })
        .collect();
    assert_eq!(told, [(second.txid, true)]);
    // Handed over again, it may be sent later: the caller must not take it for refused.
    let again = wallet.broadcast_transaction(&second).expect_err("in vain");
    assert_eq!(again.kind(), ErrorKind::Unavailable, "{again}");
    assert!(again.context().contains(&named), "{again}");
    assert!(scene.node.is_waiting(child.txid));
}

#[test]
fn what_a_replacement_that_is_not_sent_would_replace_is_sent_again_itself() {
    let (scene, wallet) = Simulated::funded(&[500_000]);
    let first = pay(&wallet, 50_000);
    let child = build(&wallet, 60_000);
    let second = bumped(&wallet, first.txid);
    lose(&scene, &wallet, &second);
    wallet.broadcast_transaction(&child).expect("taken");
    scene.node.restart(false).expect("it starts again");
    let all = [first.txid, child.txid, second.txid];
    all_due(&scene, &all);
    wallet.sync().expect("followed");
    assert_eq!(
        all.map(|txid| scene.node.is_waiting(txid)),
        [true, true, false]
    );
    scene.node.mine(coins::script(3)).expect("a block");
    wallet.sync().expect("followed");
    assert_eq!(state(&wallet, child.txid), Some(PaymentState::Confirmed));
}
