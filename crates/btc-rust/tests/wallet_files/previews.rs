//! Previews that are made good on after others have built: a change index is given once.

use bitcoin::Psbt;
use btc_iface::{AddressType, ErrorKind, FeeRate, Recipient, TransactionRequest, WalletInterface};
use btc_rust::wallet::reservations::{End, Reservations, now_ms, token};
use btc_rust::wallet::{Raise, RustWallet};

use crate::simulated::{Simulated, payee};
use crate::support::refused;

/// A payment of the wallet's smallest coin, which the others do not choose.
fn preview(wallet: &RustWallet) -> Psbt {
    wallet.sync().expect("followed");
    let coins = wallet.unspent().expect("books").into_iter();
    let smallest = coins.min_by_key(|coin| coin.value_sat).expect("coins");
    let request = TransactionRequest {
        recipients: vec![Recipient {
            address: payee(),
            value_sat: 20_000,
        }],
        fee_rate: FeeRate::from_sat_per_vb(2),
        coins: vec![smallest.outpoint],
        ..TransactionRequest::default()
    };
    wallet.preview(&request).expect("enough coins")
}

/// Reserves a change index for another transaction.
fn promise(scene: &Simulated, index: u32, by: &Psbt) {
    let mut shared = Reservations::open(&scene.dir).expect("sound");
    let booking = shared.begin(now_ms()).expect("free");
    let end = End::after(now_ms(), 600_000);
    let by = token(&by.unsigned_tx);
    let reserved = booking.reserve_change(AddressType::P2wpkh, index, end, by);
    reserved.expect("written");
    booking.commit().expect("on disk");
}

#[test]
fn a_change_index_that_a_payment_has_used_since_the_preview_is_not_promised_again() {
    let (_scene, wallet) = Simulated::funded(&[500_000, 300_000]);
    let shown = preview(&wallet);
    let paid = wallet.create_transaction(vec![(payee(), 50_000)], 2);
    let paid = paid.expect("enough coins");
    wallet.broadcast_transaction(&paid).expect("taken");
    let change = &shown.unsigned_tx.output[1].script_pubkey;
    assert!(paid.outputs.iter().any(|it| it.script_pubkey == *change));
    let reserved = wallet.reserve(&shown, &[]);
    refused(reserved, ErrorKind::InvalidInput, "change address");
    // Built again, it has another.
    let shown = preview(&wallet);
    wallet.reserve(&shown, &[]).expect("as it was shown");
    // A replacement may keep the change of what it replaces, and another payment may not.
    let raise = Raise {
        fee_rate: Some(FeeRate::from_sat_per_vb(9)),
        ..Raise::default()
    };
    let raised = wallet.preview_bump(paid.txid, &raise).expect("raised");
    let outputs = &raised.psbt.unsigned_tx.output;
    assert!(outputs.iter().any(|it| it.script_pubkey == *change));
    let kept = wallet.reserve(&raised.psbt, &raised.replaces);
    kept.expect("it replaces what has the index");
}

#[test]
fn a_change_index_beyond_the_window_that_was_promised_since_is_not_promised_again() {
    let (scene, wallet) = Simulated::funded(&[500_000, 300_000]);
    let before = preview(&wallet);
    // More change is reserved than the window holds.
    promise(&scene, 44, &before);
    let shown = preview(&wallet);
    promise(&scene, 45, &before);
    let reserved = wallet.reserve(&shown, &[]);
    refused(reserved, ErrorKind::InvalidInput, "change address");
    let shown = preview(&wallet);
    wallet.reserve(&shown, &[]).expect("as it was shown");
}

#[test]
fn change_that_a_restored_wallet_would_not_find_is_not_made() {
    let (scene, wallet) = Simulated::funded(&[500_000, 300_000]);
    let first = wallet.create_transaction(vec![(payee(), 50_000)], 2);
    let first = first.expect("enough coins");
    wallet.broadcast_transaction(&first).expect("taken");
    let shown = preview(&wallet);
    // Index 0 is used: a restored wallet looks 1,000 further.
    promise(&scene, 999, &shown);
    let last = wallet.current_snapshot().expect("followed");
    assert_eq!(last.change_index, 1_000);
    promise(&scene, 1_000, &shown);
    let said = "a wallet restored from its words would not look further";
    refused(wallet.current_snapshot(), ErrorKind::InvalidInput, said);
    let built = wallet.create_transaction(vec![(payee(), 20_000)], 2);
    refused(built, ErrorKind::InvalidInput, said);
    // The same whatever else is wrong, as the other side says it.
    let built = wallet.create_transaction(vec![(payee(), 90_000_000)], 2);
    let error = built.expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    let told = [("highest_used", "0"), ("gap_limit", "1000")];
    let told = told.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert!(
        told.iter().all(|it| error.context().contains(it)),
        "{error}"
    );
    let request = TransactionRequest {
        recipients: vec![Recipient {
            address: payee(),
            value_sat: 20_000,
        }],
        fee_rate: FeeRate::from_sat_per_vb(2),
        ..TransactionRequest::default()
    };
    refused(wallet.preview(&request), ErrorKind::InvalidInput, said);
    refused(wallet.create_psbt(&request), ErrorKind::InvalidInput, said);
    // What makes no change there is built: a replacement that keeps its own, and a drain.
    let rate = FeeRate::from_sat_per_vb(9);
    wallet
        .bump_fee(first.txid, rate, &[])
        .expect("its own change");
    let drain = TransactionRequest {
        recipients: Vec::new(),
        drain_to: Some(payee()),
        ..request
    };
    wallet.preview(&drain).expect("no change");
}
