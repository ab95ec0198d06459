//! Raising the fee of what is not confirmed.

use super::{Desk, VALUE_SAT, foreign, pay};
use bitcoin::{Amount, Txid};
use btc::{ErrorKind, FeeRate, WalletInterface};
use btc_tests::{Outcome, failure};

pub(super) fn a_replacement(desk: &mut Desk<'_, '_>) -> Outcome {
    let psbt = desk.wallet.create_psbt(&pay(&[(foreign(7), 200_000)], 2))?;
    let first_fee_sat = psbt.fee()?.to_sat();
    let first = desk.complete(psbt)?;
    failure(
        desk.wallet
            .bump_fee(first, FeeRate::from_sat_per_vb(2), &[]),
        ErrorKind::InvalidInput,
        "the same rate",
    );
    let bumped = desk
        .wallet
        .bump_fee(first, FeeRate::from_sat_per_vb(9), &[])?;
    let fee_sat = bumped.fee()?.to_sat();
    assert!(
        fee_sat > 3 * first_fee_sat,
        "{fee_sat} after {first_fee_sat}"
    );
    let pays = |output: &bitcoin::TxOut| output.script_pubkey == foreign(7);
    assert_eq!(
        bumped
            .unsigned_tx
            .output
            .iter()
            .filter(|it| pays(it))
            .count(),
        1
    );
    let second = desk.complete(bumped)?;
    assert!(
        desk.entry(first).is_err(),
        "the first is gone from the mempool"
    );
    desk.entry(second)?;
    desk.wallet.sync()?;
    let left_sat = 4 * VALUE_SAT - 200_000 - fee_sat;
    assert_eq!(desk.wallet.balance()?.spendable_sat(), left_sat);
    desk.chain.mine(1)?;
    desk.wallet.sync()?;
    assert_eq!(desk.wallet.balance()?.confirmed_sat, left_sat);
    failure(
        desk.wallet
            .bump_fee(second, FeeRate::from_sat_per_vb(20), &[]),
        ErrorKind::InvalidInput,
        "confirmed",
    );
    failure(
        desk.wallet
            .bump_fee(first, FeeRate::from_sat_per_vb(20), &[]),
        ErrorKind::InvalidInput,
        "replaced",
    );
    let nobody: Txid = "00".repeat(32).parse()?;
    failure(
        desk.wallet
            .bump_fee(nobody, FeeRate::from_sat_per_vb(20), &[]),
        ErrorKind::NotFound,
        "unknown",
    );
    Ok(())
}

pub(super) fn a_child(desk: &mut Desk<'_, '_>) -> Outcome {
    // Our own payment with change.
    let psbt = desk.wallet.create_psbt(&pay(&[(foreign(8), 200_000)], 1))?;
    let parent = desk.complete(psbt)?;
    let child = desk
        .wallet
        .accelerate(parent, FeeRate::from_sat_per_vb(12))?;
    let child = desk.complete(child)?;
    let entry = desk.entry(child)?;
    let size_vb = entry["ancestorsize"].as_u64().ok_or("no ancestorsize")?;
    let fees = entry["fees"]["ancestor"]
        .as_f64()
        .ok_or("no ancestor fees")?;
    let fees_sat = Amount::from_str_in(&format!("{fees:.8}"), bitcoin::Denomination::Bitcoin)?;
    assert!(
        (12 * size_vb..13 * size_vb).contains(&fees_sat.to_sat()),
        "{entry}"
    );
    desk.chain.mine(1)?;
    desk.wallet.sync()?;
    failure(
        desk.wallet.accelerate(parent, FeeRate::from_sat_per_vb(50)),
        ErrorKind::InvalidInput,
        "confirmed",
    );
    Ok(())
}
