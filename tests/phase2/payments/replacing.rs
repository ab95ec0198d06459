//! Payments that others replace, or are about to: what may be handed over, and what is said of it.

use btc::{BroadcastVerdict, ErrorKind, FeeRate, WalletInterface};
use btc_tests::{Outcome, failure};

use super::{AddressType, World, complete, context};

/// A reservation for a replacement of the replacement names the original, too.
pub(super) fn twice(world: &mut World<'_, '_>) -> Outcome {
    world.fund(AddressType::P2wpkh, &[500_000])?;
    let first = world.pay(100_000, 3)?;
    world.with_rust(|wallet| {
        wallet.sync()?;
        let second = wallet.bump_fee(first.txid, FeeRate::from_sat_per_vb(20), &[])?;
        wallet.broadcast_transaction(&complete(wallet, second)?)?;
        Ok(())
    })?;
    world.node.restart()?;
    world.with_rust(|wallet| {
        wallet.follow()?;
        let history = wallet.history()?;
        let mut sent = history.iter().filter(|entry| entry.sent_sat > 0);
        let second = sent.next().ok_or("the replacement is not listed")?.txid;
        assert_ne!(second, first.txid);
        wallet.cancel(second, None, &[])?;
        Ok(())
    })?;
    let check = world
        .wallet()?
        .check_broadcast(&btc::rust::encode_transaction(&first)?)?;
    assert_eq!(check.verdict, BroadcastVerdict::Acceptable, "{check:?}");
    Ok(())
}

/// What was given up is handed over again by the rules for what is new: a replacement that has its
/// coins, or will have them, is not put aside.
pub(super) fn given_up(world: &mut World<'_, '_>) -> Outcome {
    world.fund(AddressType::P2tr, &[500_000])?;
    let first = world.pay(100_000, 3)?;
    world.node.restart()?;
    let second = world.with_rust(|wallet| {
        wallet.follow()?;
        let second = wallet.bump_fee(first.txid, FeeRate::from_sat_per_vb(20), &[])?;
        wallet.abandon(first.txid)?;
        complete(wallet, second)
    })?;
    let wallet = world.wallet()?;
    let error = failure(
        wallet.broadcast_transaction(&first),
        ErrorKind::Rejected,
        "its coin is reserved for the replacement",
    );
    let reason = "coin-reserved-for-another-transaction";
    assert!(error.message().contains(reason), "{error}");
    wallet.broadcast_transaction(&second)?;
    let error = failure(
        wallet.broadcast_transaction(&first),
        ErrorKind::Rejected,
        "its coin is the replacement's",
    );
    let reason = "spends-coins-of-another-payment";
    assert!(error.message().contains(reason), "{error}");
    assert_eq!(
        context(&error, "payment"),
        Some(second.txid.to_string()),
        "{error:?}"
    );
    Ok(())
}

/// A child of what is replaced is no reason against the replacement, once that was handed over.
pub(super) fn late_child(world: &mut World<'_, '_>) -> Outcome {
    world.fund(AddressType::P2wpkh, &[500_000])?;
    let first = world.pay(100_000, 3)?;
    let child = world
        .wallet()?
        .create_transaction(vec![(super::stranger(), 20_000)], 3)?;
    let second = world.with_rust(|wallet| {
        wallet.sync()?;
        let second = wallet.bump_fee(first.txid, FeeRate::from_sat_per_vb(20), &[])?;
        let second = complete(wallet, second)?;
        wallet.broadcast_transaction(&second)?;
        Ok(second)
    })?;
    let wallet = world.wallet()?;
    // The node forgets both, so that the child finds its parent.
    world.node.restart()?;
    let hex = btc::rust::encode_transaction(&first)?;
    let raw: btc::bitcoin::Transaction = btc::bitcoin::consensus::encode::deserialize(&hex)?;
    crate::kill::send(world.node, &raw)?;
    wallet.get_balance()?;
    wallet.broadcast_transaction(&child)?;
    let check = wallet.check_broadcast(&btc::rust::encode_transaction(&second)?)?;
    assert_eq!(check.verdict, BroadcastVerdict::Acceptable, "{check:?}");
    Ok(())
}
