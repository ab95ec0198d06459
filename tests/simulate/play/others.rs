//! What others do: pay the wallet, spend what it paid them, take back what they paid it.

use btc::bitcoin::{Amount, TxOut};
use btc_regtest::sim::coins;

use super::chain::is_open;
use crate::Failure;
use crate::identity::{Place, RANGE};
use crate::stage::Stage;
use crate::step::Step;

impl Stage {
    /// Others pay one to three addresses that were given out, in the mempool or in a block at once.
    pub(super) fn receive(&mut self, step: &Step) -> Result<(), Failure> {
        let payable = self.payable();
        if payable.is_empty() {
            return self.give(step);
        }
        let count = 1 + step.pick(0, 3);
        let mut outputs = Vec::new();
        for number in 0..count {
            let at = step.pick(1, payable.len()) + number * 7;
            let given = &payable[at % payable.len()];
            let value = 2_000 + (step.pick(2, 400) as u64 + 1) * 5_000 * (number as u64 + 1);
            outputs.push((given.address.script_pubkey.clone(), value));
        }
        let version = if step.once_in(3, 8) { 3 } else { 2 };
        let rate = 1 + step.high(3) as u64 % 20;
        let Some(payment) = self.foreign(outputs, rate, version) else {
            return self.idle("others have no coin left");
        };
        let txid = payment.compute_txid();
        if step.once_in(4, 3) {
            self.say(format!("others pay {count} addresses in a block: {txid}"));
            self.node.advance(600);
            self.node.mine_these(vec![payment], coins::script(1))?;
            return Ok(());
        }
        match self.node.submit(&payment) {
            Ok(_) => self.say(format!("others pay {count} addresses: {txid}")),
            Err(error) => return self.idle(&format!("the node refuses others' payment: {error}")),
        }
        Ok(())
    }

    /// Others pay an index of any chain that was never given out, confirmed at once and for good.
    pub(super) fn receive_ahead(&mut self, step: &Step) -> Result<(), Failure> {
        let reach = (4 * self.setup.gap_limit).min(RANGE / 2);
        let keychains = crate::keychains();
        let keychain = keychains[step.pick(0, keychains.len())];
        let index = u32::try_from(step.pick(1, reach as usize))?;
        let place = Place { keychain, index };
        let Some(script) = self.identity.script(place).cloned() else {
            return self.idle("no such script");
        };
        let value = 3_000 + step.pick(2, 900) as u64 * 100;
        let Some(payment) = self.foreign(vec![(script, value)], 2, 2) else {
            return self.idle("others have no coin left");
        };
        self.say(format!("others pay {place:?}, which was never given out"));
        self.pinned.insert(payment.compute_txid());
        self.node.advance(600);
        self.node.mine_these(vec![payment], coins::script(1))?;
        Ok(())
    }

    /// Whoever was paid spends it, mostly at a high rate.
    pub(super) fn descend(&mut self, step: &Step) -> Result<(), Failure> {
        const SIZE_VB: u64 = 100;
        let truth = self.truth();
        let found = self.spendable_by_others(&truth);
        let Some(coin) = step.one_of(0, &found).copied() else {
            return self.idle("others were not paid");
        };
        let rate = match step.pick(1, 3) {
            0 => 60,
            1 => 5,
            _ => 1,
        };
        let Some(rest) = coin.value.checked_sub(Amount::from_sat(SIZE_VB * rate)) else {
            return self.idle("it was paid too little to spend");
        };
        if rest < Amount::from_sat(1_000) {
            return self.idle("it was paid too little to spend");
        }
        let number = self.new_recipient();
        let mut outputs = vec![coins::output(number, rest.to_sat())];
        // Sometimes it pays the wallet back with it.
        let back = self.payable();
        if step.once_in(2, 4)
            && let Some(given) = step.one_of(3, &back)
            && rest > Amount::from_sat(20_000)
        {
            outputs[0].value -= Amount::from_sat(10_000);
            outputs.push(TxOut {
                value: Amount::from_sat(9_000),
                script_pubkey: given.address.script_pubkey.clone(),
            });
        }
        let version = truth
            .all()
            .find(|(txid, _)| *txid == coin.outpoint.txid && truth.is_waiting(*txid))
            .map_or(2, |(_, parent)| parent.version.0);
        let spending = coins::spend(&[coin], outputs, version);
        match self.node.submit(&spending) {
            Ok(txid) => self.say(format!(
                "{} is spent by {txid} at {rate} sat/vB",
                coin.outpoint
            )),
            Err(error) => return self.idle(&format!("the node refuses: {error}")),
        }
        Ok(())
    }

    /// Others spend elsewhere what they had paid the wallet with, while it is not confirmed.
    pub(super) fn rival(&mut self, step: &Step) -> Result<(), Failure> {
        let truth = self.truth();
        let foreign: Vec<_> = truth
            .waiting
            .iter()
            .filter(|(_, it)| {
                let pays_wallet = it
                    .output
                    .iter()
                    .any(|output| self.identity.place(&output.script_pubkey).is_some());
                let is_theirs = it.input.iter().all(is_open);
                pays_wallet && is_theirs
            })
            .collect();
        let Some((txid, transaction)) = step.one_of(0, &foreign) else {
            return self.idle("no payment of others waits");
        };
        let rival = self.rival_of(transaction);
        let Some(rival) = rival else {
            return self.idle("it is too small for a rival");
        };
        let text = format!("others take {txid} back");
        if step.once_in(1, 2) {
            self.node.advance(600);
            if self.node.mine_these(vec![rival], coins::script(1)).is_err() {
                return self.idle("its parents are not confirmed");
            }
            self.say(text + " in a block");
            return Ok(());
        }
        match self.node.submit(&rival) {
            Ok(_) => self.say(text),
            Err(error) => return self.idle(&format!("the node refuses the rival: {error}")),
        }
        Ok(())
    }
}
