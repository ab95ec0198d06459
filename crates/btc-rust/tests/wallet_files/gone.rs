//! Payments whose row was deleted because they were refused, over a source that sees no mempool.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bitcoin::Transaction;
use btc_iface::{BitcoinTransaction, ErrorKind, PaymentState, WalletInterface};
use btc_rust::wallet::reservations::{Reservations, now_ms, token};

use crate::one_block::{Scene, refusal};
use crate::simulated::whole;
use crate::support::refused;

/// A wallet over a source that sees no mempool, with a payment that is built.
fn scene() -> (Scene, BitcoinTransaction) {
    let scene = Scene::of(&[100_000]);
    scene.network.is_blind.store(true, Ordering::SeqCst);
    let built = scene.build(20_000);
    (scene, built)
}

/// That the payment is nowhere, and its coin free.
#[track_caller]
fn assert_gone(scene: &Scene, built: &BitcoinTransaction) {
    assert_eq!(scene.state(built.txid), None);
    let coins = scene.wallet.unspent().expect("books");
    let coins: Vec<_> = coins.into_iter().map(|it| it.value_sat).collect();
    assert_eq!(coins, [100_000]);
    let again = scene.build(30_000);
    assert_eq!(
        again.inputs[0].previous_output,
        built.inputs[0].previous_output
    );
    let released = scene.wallet.release(&whole(&again));
    assert_eq!(released.expect("written"), 1);
}

/// The other side's program writes a payment down, and deletes it when its node refuses it.
struct Other {
    shared: Reservations,
    transaction: Transaction,
    next_broadcast_ms: u64,
}

impl Other {
    fn hands_over(scene: &Scene, built: &BitcoinTransaction) -> Self {
        let mut other = Self {
            shared: Reservations::open(&scene.dir).expect("sound"),
            transaction: whole(built),
            next_broadcast_ms: now_ms() + 1_234_567,
        };
        let booking = other.shared.begin(now_ms()).expect("free");
        let added = booking.add_payment(&other.transaction, other.next_broadcast_ms);
        added.expect("written");
        booking.commit().expect("on disk");
        other
    }

    fn is_refused(&mut self) {
        let txid = self.transaction.compute_txid();
        let booking = self.shared.begin(now_ms()).expect("free");
        let deleted =
            booking.delete_payment(txid, token(&self.transaction), self.next_broadcast_ms);
        assert!(deleted.expect("written"));
        booking.commit().expect("on disk");
    }
}

#[test]
fn a_payment_that_is_followed_while_it_is_refused_is_gone() {
    let (scene, built) = scene();
    let wallet = Arc::downgrade(&scene.wallet);
    scene.answers(move |_, before| {
        if before > 0 {
            return Ok(());
        }
        let wallet = wallet.upgrade().expect("it hands the payment over");
        wallet.sync().expect("followed");
        let counts = wallet.history().expect("books").into_iter();
        let counts = counts.filter(|it| it.state == PaymentState::InMempool);
        assert_eq!(counts.count(), 1, "nothing says that it is not there");
        Err(refusal("dust"))
    });
    let sent = scene.wallet.broadcast_transaction(&built);
    refused(sent, ErrorKind::Rejected, "dust");
    assert_gone(&scene, &built);
    scene.wallet.sync().expect("followed");
    assert_gone(&scene.reopened(), &built);
}

#[test]
fn a_payment_that_the_other_sides_node_has_refused_is_gone() {
    let (scene, built) = scene();
    let mut other = Other::hands_over(&scene, &built);
    scene.wallet.sync().expect("followed");
    assert_eq!(scene.state(built.txid), Some(PaymentState::InMempool));
    other.is_refused();
    scene.wallet.sync().expect("followed");
    assert_gone(&scene, &built);
}

#[test]
fn a_payment_that_was_refused_while_the_wallet_was_closed_is_gone() {
    let (scene, built) = scene();
    let mut other = Other::hands_over(&scene, &built);
    scene.wallet.sync().expect("followed");
    let scene = scene.reopened();
    assert_eq!(scene.state(built.txid), Some(PaymentState::InMempool));
    other.is_refused();
    let scene = scene.reopened();
    assert_gone(&scene, &built);
    scene.wallet.sync().expect("followed");
    assert_gone(&scene.reopened(), &built);
}
