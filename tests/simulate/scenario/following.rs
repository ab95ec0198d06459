//! Lives in which a wallet must see what it owns, and choose well among it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use btc::bitcoin::{
    OutPoint, ScriptBuf, Sequence, Transaction, TxIn, Witness, absolute, transaction,
};
use btc::{AddressType, Chain};
use btc_regtest::sim::{Fate, Moment, coins};

use crate::Failure;
use crate::house::House;
use crate::identity::{Place, Shape};
use crate::stage::{BASE_BLOCKS, Stage};

/// Thirty addresses are given out and the thirtieth is paid: a wallet restored from its words
/// with the gap limit that new wallets have finds it.
pub(super) fn thirtieth_address(stage: &mut Stage) -> Result<(), Failure> {
    const NEW_GAP_LIMIT: u32 = 1_000;
    const ADDRESSES: u32 = 30;
    stage.open_all()?;
    let language = stage.setup.languages[0];
    let side = stage.open(0, language)?;
    let mut last = None;
    for _ in 0..ADDRESSES {
        let address = side.operations.generate_address(AddressType::P2wpkh)?;
        last = Some(address.script_pubkey.clone());
        stage.note_given(0, language, address)?;
    }
    stage.pay_in_block(last.ok_or("thirty were given out")?, 70_000)?;
    stage.check()?;
    let mut restored = House::new(Shape {
        gap_limit: NEW_GAP_LIMIT,
        birthday: BASE_BLOCKS + 1,
        ..stage.houses[0].shape
    })?;
    for language in stage.setup.languages.clone() {
        let side = restored.side(language, &stage.node)?;
        let found = side.operations.get_balance()?;
        if found != 70_000 {
            let name = language.name();
            return Err(format!("restored in {name}, it has {found} sat").into());
        }
    }
    Ok(())
}

/// Indices of one chain are paid in an order in which each is beyond what was looked at before: a
/// wallet that was there all the time owns what a restored one owns.
pub(super) fn addresses_beyond_the_gap(stage: &mut Stage) -> Result<(), Failure> {
    stage.open_all()?;
    for index in [45, 25, 15, 60, 35, 5, 70] {
        let place = Place {
            keychain: (AddressType::P2wpkh, Chain::Receive),
            index,
        };
        let script = stage.identity.script(place).cloned();
        stage.pay_in_block(script.ok_or("an index that is known")?, 10_000_000)?;
        stage.say(format!("index {index} is paid"));
        stage.check()?;
    }
    Ok(())
}

/// One large coin and three smaller ones, and seventy payments without a block: no payment fails
/// while a confirmed coin is left, and none is refused for a chain that is too long.
pub(super) fn seventy_payments_without_a_block(stage: &mut Stage) -> Result<(), Failure> {
    stage.open_all()?;
    let values = [20_000_000, 5_000_000, 5_000_000, 5_000_000];
    stage.funded(AddressType::P2wpkh, &values)?;
    for number in 0..70 {
        let languages = stage.setup.languages.clone();
        let language = languages[number % languages.len()];
        stage.paid(language, 10_000, 1)?;
    }
    Ok(())
}

/// An index beyond the window is paid and confirmed; then a payment that waits moves the window:
/// what was read before is read again at once.
pub(super) fn window_moved_by_the_mempool(stage: &mut Stage) -> Result<(), Failure> {
    stage.open_all()?;
    let far = receiving(stage, 12)?;
    stage.pay_in_block(far, 50_000)?;
    stage.check()?;
    let near = receiving(stage, 8)?;
    let payment = stage
        .foreign(vec![(near, 30_000)], 2, 2)
        .ok_or("others have coins")?;
    stage.node.submit(&payment)?;
    stage.check()
}

/// An index beyond the window is paid and confirmed, and what waits spends it; then a payment that
/// waits moves the window: the coin is found, and is spent.
pub(super) fn found_late_and_spent(stage: &mut Stage) -> Result<(), Failure> {
    stage.open_all()?;
    let far = receiving(stage, 12)?;
    let payment = stage
        .foreign(vec![(far, 50_000)], 2, 2)
        .ok_or("others have coins")?;
    stage.pinned.insert(payment.compute_txid());
    stage.node.advance(600);
    let mined = vec![payment.clone()];
    stage.node.mine_these(mined, coins::script(1))?;
    stage.node.submit(&sent_on(&payment)?)?;
    stage.check()?;
    let near = receiving(stage, 8)?;
    let payment = stage
        .foreign(vec![(near, 30_000)], 2, 2)
        .ok_or("others have coins")?;
    stage.node.submit(&payment)?;
    stage.check()
}

/// A payment and what spends it wait, and a block takes the payment while the mempool is looked at:
/// its coin is spent.
pub(super) fn block_during_the_look(stage: &mut Stage) -> Result<(), Failure> {
    stage.open_all()?;
    for (index, language) in (0..).zip(stage.setup.languages.clone()) {
        let side = stage.open(0, language)?;
        let script = receiving(stage, index)?;
        let payment = stage
            .foreign(vec![(script, 50_000)], 2, 2)
            .ok_or("others have coins")?;
        stage.pinned.insert(payment.compute_txid());
        stage.node.submit(&payment)?;
        stage.node.submit(&sent_on(&payment)?)?;
        stage.node.advance(600);
        let is_mined = AtomicBool::new(false);
        let miner = Arc::clone(&stage.node);
        stage.node.set_tap(Some(Box::new(move |call, moment| {
            let is_look = call.name == "getrawmempool" && moment == Moment::Before;
            if is_look && !is_mined.swap(true, Ordering::SeqCst) {
                miner
                    .mine_these(vec![payment.clone()], coins::script(1))
                    .expect("what waits is valid");
            }
            Fate::Proceed
        })));
        let looked = side.operations.get_balance();
        stage.node.set_tap(None);
        looked?;
        stage.check()?;
    }
    Ok(())
}

fn receiving(stage: &Stage, index: u32) -> Result<ScriptBuf, Failure> {
    let place = Place {
        keychain: (AddressType::P2wpkh, Chain::Receive),
        index,
    };
    let script = stage.identity.script(place).cloned();
    Ok(script.ok_or("an index that is known")?)
}

/// A wallet of the same words elsewhere sends on what the payment pays to this one.
fn sent_on(payment: &Transaction) -> Result<Transaction, Failure> {
    const FEE_SAT: u64 = 1_000;
    let paid = payment.output.first().ok_or("it pays the wallet")?;
    Ok(Transaction {
        version: transaction::Version::TWO,
        lock_time: absolute::LockTime::ZERO,
        input: vec![TxIn {
            previous_output: OutPoint::new(payment.compute_txid(), 0),
            sequence: Sequence::ENABLE_RBF_NO_LOCKTIME,
            // As large as a signature and its key; the node checks none.
            witness: Witness::from_slice(&[vec![1_u8; 71], vec![2_u8; 33]]),
            ..TxIn::default()
        }],
        output: vec![coins::output(5, paid.value.to_sat() - FEE_SAT)],
    })
}
