//! Lives in which the coins of a payment are taken, or gone.

use std::collections::BTreeSet;

use btc::bitcoin::Txid;
use btc::{AddressType, BitcoinError, ErrorKind, FeeRate};
use btc_regtest::sim::{Moment, coins};
use btc_tests::to_plain;

use crate::Failure;
use crate::check::AGAIN_MS;
use crate::house::Language;
use crate::payments::{Payment, Phase, Standing};
use crate::play::{Purpose, Way, least_rate, take_psbt};
use crate::stage::Stage;

/// A payment is missing, and a wallet of the same words elsewhere has spent its coin: to replace the
/// payment would take that one's place, so that one is named; with leave, it is paid for.
pub(super) fn coins_taken_by_the_same_words(stage: &mut Stage) -> Result<(), Failure> {
    stage.open_all()?;
    stage.funded(AddressType::P2wpkh, &[400_000])?;
    let txid = stage.paid(Language::Rust, 50_000, 2)?;
    stage.node.evict(&[txid]);
    let colleague = stage.open(1, Language::Rust)?;
    let rival = colleague
        .operations
        .create_transaction(vec![(coins::address(5).to_string(), 60_000)], 30)?;
    colleague.operations.broadcast_transaction(&rival)?;
    stage.check()?;
    let side = stage.open(0, Language::Rust)?;
    let wallet = side.verbs()?;
    let Err(error) = wallet.bump_fee(txid, FeeRate::from_sat_per_vb(5), &[]) else {
        return Err(format!("{} would be lost, and is not named", rival.txid).into());
    };
    if !format!("{error:?}").contains(&rival.txid.to_string()) {
        return Err(format!("{} is not named: {error:?}", rival.txid).into());
    }
    let drops = [rival.txid];
    let psbt = match wallet.bump_fee(txid, FeeRate::from_sat_per_vb(5), &drops) {
        Ok(_) => return Err("5 sat/vB do not pay for 30".into()),
        Err(error) => {
            let least = least_rate(&error);
            let least = least.ok_or_else(|| format!("no rate is named: {error:?}"))?;
            wallet.bump_fee(txid, FeeRate::from_sat_per_kvb(least), &drops)?
        }
    };
    let transaction = take_psbt(&side, psbt)?;
    stage.node.would_take(&transaction)?;
    Ok(())
}

/// A replacement is handed over and does not reach the node, which has the first payment still: it
/// is replaced in its turn, and nobody has to say that the first may go.
pub(super) fn lost_replacement_is_replaced(stage: &mut Stage) -> Result<(), Failure> {
    stage.open_all()?;
    stage.funded(AddressType::P2wpkh, &[400_000])?;
    let first = stage.paid(Language::Rust, 50_000, 2)?;
    let second = stage.replaced(first, 10, &[], Way::Disturbed)?;
    if stage.stands(second)? != Standing::Missing {
        return Err(format!("it is {:?}", stage.stands(second)?).into());
    }
    let third = stage.replaced(second, 20, &[], Way::Clear)?;
    if stage.stands(third)? != Standing::InMempool {
        return Err(format!("it is {:?}", stage.stands(third)?).into());
    }
    if stage.node.is_waiting(first) {
        return Err("the first payment is there still".into());
    }
    stage.node.mine(coins::script(1))?;
    stage.check()
}

/// A pays, B pays from A's change, and B is replaced by C. To replace A, C may be lost, and B may be
/// named with it: it descends from A as well. Both are given up then.
pub(super) fn dropped_with_what_it_replaced(stage: &mut Stage) -> Result<(), Failure> {
    stage.open_all()?;
    stage.funded(AddressType::P2wpkh, &[400_000])?;
    let first = stage.paid(Language::Rust, 50_000, 2)?;
    let second = stage.paid(Language::Rust, 60_000, 2)?;
    let third = stage.replaced(second, 10, &[], Way::Clear)?;
    let side = stage.open(0, Language::Rust)?;
    let wallet = side.verbs()?;
    let rate = FeeRate::from_sat_per_vb(60);
    for drops in [vec![], vec![second], vec![first, third]] {
        if wallet.bump_fee(first, rate, &drops).is_ok() {
            return Err(format!("{first} was replaced when {drops:?} could be lost").into());
        }
    }
    stage.replaced(first, 60, &[second, third], Way::Clear)?;
    for txid in [second, third] {
        if stage.stands(txid)? != Standing::Abandoned {
            return Err(format!("{txid} is {:?}", stage.stands(txid)?).into());
        }
    }
    stage.node.mine(coins::script(1))?;
    stage.check()
}

/// What a payment was built on is undone, and its sender takes it back: the refusal to replace the
/// payment does not say that the user should send that again, and the payment can be given up.
pub(super) fn funding_is_taken_back(stage: &mut Stage) -> Result<(), Failure> {
    stage.open_all()?;
    stage.funded(AddressType::P2wpkh, &[400_000])?;
    let txid = stage.paid(Language::Rust, 50_000, 2)?;
    let funding = stage.funding_of(txid)?;
    stage.undo_last_block()?;
    stage.check()?;
    stage.node.evict(&[funding]);
    stage.check()?;
    let side = stage.open(0, Language::Rust)?;
    let wallet = side.verbs()?;
    let Err(error) = wallet.bump_fee(txid, FeeRate::from_sat_per_vb(20), &[]) else {
        return Err(format!("{txid} was replaced, and its coin is nowhere").into());
    };
    refused_for_parent(&error, funding)?;
    if error.to_string().contains("rebroadcast") {
        return Err(format!("only its sender can send {funding} again: {error}").into());
    }
    if wallet.abandon(txid)? != [txid] {
        return Err(format!("{txid} cannot be given up").into());
    }
    Ok(())
}

/// A payment spends what a transaction of version 3 paid; a reorganisation makes that unconfirmed
/// again: nodes take no replacement, so none is built until it is in a block.
pub(super) fn version_3_is_unconfirmed_again(stage: &mut Stage) -> Result<(), Failure> {
    stage.open_all()?;
    let side = stage.open(0, Language::Rust)?;
    let address = side.operations.generate_address(AddressType::P2wpkh)?;
    let script = address.script_pubkey.clone();
    stage.note_given(0, Language::Rust, address)?;
    let funding = stage.foreign(vec![(script, 400_000)], 2, 3);
    let funding = funding.ok_or("others have coins")?;
    stage.node.advance(600);
    stage
        .node
        .mine_these(vec![funding.clone()], coins::script(1))?;
    let funding = funding.compute_txid();
    let txid = stage.paid(Language::Rust, 50_000, 2)?;
    stage.undo_last_block()?;
    stage.check()?;
    if stage.stands(txid)? != Standing::InMempool {
        return Err(format!("{txid} is {:?}", stage.stands(txid)?).into());
    }
    let wallet = side.verbs()?;
    let rate = FeeRate::from_sat_per_vb(20);
    let Err(error) = wallet.bump_fee(txid, rate, &[]) else {
        return Err(format!("{txid} was replaced, and no node takes that").into());
    };
    refused_for_parent(&error, funding)?;
    let all = stage.truth().waiting;
    let funding: Vec<_> = all.into_iter().filter(|(it, _)| *it == funding).collect();
    stage.node.advance(600);
    let funding = funding.into_iter().map(|(_, it)| it).collect();
    stage.node.mine_these(funding, coins::script(1))?;
    stage.check()?;
    let replacement = take_psbt(&side, wallet.bump_fee(txid, rate, &[])?)?;
    stage.node.would_take(&replacement)?;
    Ok(())
}

fn refused_for_parent(error: &BitcoinError, parent: Txid) -> Result<(), Failure> {
    let mut context = error.context().iter();
    let named = context.any(|(name, value)| name == "parent" && *value == parent.to_string());
    if error.kind() == ErrorKind::InvalidInput && named {
        return Ok(());
    }
    Err(format!("{parent} is not named: {error:?}").into())
}

impl Stage {
    /// A payment is replaced by one that is handed over, and gets lost on the way or not.
    fn replaced(
        &mut self,
        original: Txid,
        rate: u64,
        drops: &[Txid],
        way: Way,
    ) -> Result<Txid, Failure> {
        let side = self.open(0, Language::Rust)?;
        let rate = FeeRate::from_sat_per_vb(rate);
        let psbt = side.verbs()?.bump_fee(original, rate, drops)?;
        let replacement = take_psbt(&side, psbt)?;
        let payment = self.houses[0].payments.get(original);
        let payment = payment.ok_or("it was handed over")?.clone();
        let replaces = drops.iter().copied().chain([original]).collect();
        let txid = self.note_replacement(0, &payment, replacement, replaces, Purpose::Bump)?;
        if way == Way::Disturbed {
            self.lose_answers(Moment::Before);
        }
        let sent = self.hand_over(0, Language::Rust, &side, txid, way);
        self.node.set_tap(None);
        sent?;
        self.check()?;
        Ok(txid)
    }

    fn funding_of(&self, txid: Txid) -> Result<Txid, Failure> {
        let payment = self.houses[0].payments.get(txid).ok_or("it is known")?;
        let mut inputs = payment.inputs();
        Ok(inputs.next().ok_or("it spends a coin")?.txid)
    }

    /// The last block is replaced by two empty ones; what it had waits again.
    fn undo_last_block(&mut self) -> Result<(), Failure> {
        self.node.advance(600);
        let contents = vec![Vec::new(), Vec::new()];
        self.node.reorganise(1, contents, &coins::script(2))?;
        Ok(())
    }
}

/// A wallet of the same words elsewhere pays, and this one pays from its change. To replace the
/// first, the second is named: it descends from what is replaced, though that is no payment here.
pub(super) fn drops_what_is_built_on_anothers(stage: &mut Stage) -> Result<(), Failure> {
    stage.open_all()?;
    stage.funded(AddressType::P2wpkh, &[400_000])?;
    let colleague = stage.open(1, Language::Rust)?;
    let first = colleague
        .operations
        .create_transaction(vec![(coins::address(5).to_string(), 60_000)], 2)?;
    colleague.operations.broadcast_transaction(&first)?;
    stage.check()?;
    let second = stage.paid(Language::Rust, 50_000, 2)?;
    let side = stage.open(0, Language::Rust)?;
    let rate = FeeRate::from_sat_per_vb(30);
    let psbt = side.verbs()?.bump_fee(first.txid, rate, &[second])?;
    let transaction = take_psbt(&side, psbt)?;
    let last = *stage.setup.languages.last().ok_or("one at least")?;
    let sent = stage.open(0, last)?;
    sent.operations
        .broadcast_transaction(&to_plain(&transaction, None))?;
    let due_ms = stage.now_ms + AGAIN_MS;
    let payments = &mut stage.houses[0].payments;
    payments.get_mut(second).ok_or("it was paid")?.phase = Phase::Abandoned { due_ms };
    let txid = transaction.compute_txid();
    payments.all.push(Payment {
        txid,
        transaction,
        recipients: Vec::new(),
        phase: Phase::Open { due_ms },
        replaces: BTreeSet::from([first.txid, second]),
        intent: txid,
    });
    stage.check()
}
