//! Lives in which a payment is stuck, missing or refused.

use btc::{AddressType, ErrorKind, FeeRate};
use btc_regtest::sim::coins;

use crate::Failure;
use crate::house::Language;
use crate::payments::Standing;
use crate::play::{Way, take_psbt};
use crate::stage::Stage;

/// Pay A, pay B from the change, raise A's fee: B would be lost, and is named.
pub(super) fn bump_over_a_child(stage: &mut Stage) -> Result<(), Failure> {
    stage.open_all()?;
    stage.funded(AddressType::P2wpkh, &[1_000_000])?;
    let first = stage.paid(Language::Rust, 100_000, 2)?;
    let second = stage.paid(Language::Rust, 200_000, 2)?;
    let side = stage.open(0, Language::Rust)?;
    let rate = FeeRate::from_sat_per_vb(20);
    let Err(error) = side.verbs()?.bump_fee(first, rate, &[]) else {
        return Err(format!("{first} was replaced, and {second} is lost").into());
    };
    if !format!("{error:?}").contains(&second.to_string()) {
        return Err(format!("{second} is not named: {error}").into());
    }
    stage.check()
}

/// A payment, and the node starts anew without its mempool: the payment is missing, its coins are
/// held, and it is sent again once the node has loaded what it had.
pub(super) fn node_forgets_its_mempool(stage: &mut Stage) -> Result<(), Failure> {
    const HOUR_MS: i64 = 3_600_000;
    stage.open_all()?;
    stage.funded(AddressType::P2tr, &[500_000, 300_000])?;
    for language in stage.setup.languages.clone() {
        let txid = stage.paid(language, 50_000, 2)?;
        stage.node.restart(false)?;
        stage.check()?;
        if stage.stands(txid)? != Standing::Missing {
            return Err(format!("{txid} is {:?}", stage.stands(txid)?).into());
        }
        stage.houses[0].pass_time(HOUR_MS)?;
        stage.now_ms += HOUR_MS;
        stage.check()?;
        let side = stage.open(0, language)?;
        // What the node has not read from disk yet may spend the same coins.
        stage.node.restart_loading()?;
        side.operations.get_balance()?;
        if stage.node.is_waiting(txid) {
            let name = language.name();
            return Err(format!("{txid} is sent to an unloaded mempool in {name}").into());
        }
        stage.node.finish_loading();
        side.operations.get_balance()?;
        stage.after_sync(0)?;
        if stage.stands(txid)? != Standing::InMempool {
            return Err(format!("{txid} was not sent again in {}", language.name()).into());
        }
        stage.check()?;
        stage.node.mine(coins::script(1))?;
        stage.check()?;
    }
    Ok(())
}

/// The node refuses a payment for its fee: its coin is free again at once.
pub(super) fn refused_for_its_fee(stage: &mut Stage) -> Result<(), Failure> {
    stage.open_all()?;
    stage.funded(AddressType::P2wpkh, &[100_000])?;
    for language in stage.setup.languages.clone() {
        let txid = stage.built(language, 20_000, 1)?;
        let side = stage.open(0, language)?;
        stage.hand_over(0, language, &side, txid, Way::Clear)?;
        if stage.stands(txid)? != Standing::LetGo {
            return Err(format!("{txid} is {:?}", stage.stands(txid)?).into());
        }
        stage.check()?;
        stage.paid(language, 20_000, 11)?;
        stage.node.mine(coins::script(1))?;
        stage.check()?;
    }
    Ok(())
}

/// The recipient spends a payment at a high rate: a replacement pays for that, or is refused with
/// the rate that does.
pub(super) fn recipient_spends_at_once(stage: &mut Stage) -> Result<(), Failure> {
    const FEE_SAT: u64 = 6_000;
    stage.open_all()?;
    stage.funded(AddressType::P2wpkh, &[1_000_000, 500_000])?;
    let txid = stage.paid(Language::Rust, 300_000, 2)?;
    let truth = stage.truth();
    let coin = stage
        .spendable_by_others(&truth)
        .into_iter()
        .find(|coin| coin.outpoint.txid == txid)
        .ok_or("the recipient was paid")?;
    let rest = coin.value.to_sat() - FEE_SAT;
    let spending = coins::spend(&[coin], vec![coins::output(9, rest)], 2);
    stage.node.submit(&spending)?;
    stage.check()?;
    let side = stage.open(0, Language::Rust)?;
    let wallet = side.verbs()?;
    let Err(error) = wallet.bump_fee(txid, FeeRate::from_sat_per_vb(5), &[]) else {
        return Err("5 sat/vB do not pay for what the recipient pays".into());
    };
    if error.kind() != ErrorKind::InvalidInput {
        return Err(format!("it should say which rate would do: {error}").into());
    }
    let context = error.context();
    let least = context
        .iter()
        .find(|(name, _)| name == "min_fee_rate_sat_per_kvb")
        .ok_or_else(|| format!("no rate is named: {error:?}"))?;
    let least: u64 = least.1.parse()?;
    let psbt = wallet.bump_fee(txid, FeeRate::from_sat_per_kvb(least), &[])?;
    let transaction = take_psbt(&side, psbt)?;
    stage
        .node
        .would_take(&transaction)
        .map_err(|error| format!("{least} sat/kvB was named: {error}"))?;
    Ok(())
}
