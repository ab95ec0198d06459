//! What the node does by itself: forget, evict, start anew, warm up.

use btc::bitcoin::Txid;
use btc_regtest::sim::coins;

use super::handover::Way;
use super::order::create;
use crate::Failure;
use crate::house::Language;
use crate::stage::Stage;
use crate::step::Step;

impl Stage {
    pub(super) fn evict(&mut self, step: &Step) -> Result<(), Failure> {
        let truth = self.truth();
        let waiting: Vec<Txid> = truth.waiting.iter().map(|(txid, _)| *txid).collect();
        let Some(txid) = step.one_of(0, &waiting) else {
            return self.idle("the mempool is empty");
        };
        let gone = self.node.evict(&[*txid]);
        self.say(format!("{txid} leaves the mempool, {gone} in all"));
        Ok(())
    }

    pub(super) fn change_minimum(&mut self, step: &Step) {
        if step.once_in(0, 2) {
            self.node.lower_minimum();
            self.say("the node's minimum falls");
            return;
        }
        let rate = [1_500, 4_000, 9_000, 30_000][step.pick(1, 4)];
        let gone = self.node.raise_minimum(rate);
        self.say(format!(
            "the node's minimum is {rate} sat/kvB; {} go",
            gone.len()
        ));
    }

    pub(super) fn restart(&mut self, step: &Step) -> Result<(), Failure> {
        let keeps = step.once_in(0, 3);
        self.node.restart(keeps)?;
        self.say(format!(
            "the node starts anew; its mempool is kept: {keeps}"
        ));
        Ok(())
    }

    /// The node starts anew and says for a while that its mempool is not loaded: what counted
    /// before counts still.
    pub(super) fn load_later(&mut self, step: &Step) -> Result<(), Failure> {
        let mut before = Vec::new();
        for house in 0..self.houses.len() {
            for language in Language::ALL {
                if self.houses[house].is_open(language) {
                    before.push((house, language, self.expected(house, language)));
                }
            }
        }
        self.node.restart_loading()?;
        self.say("the node starts anew and has not loaded its mempool");
        for (house, language, expected) in &before {
            let side = self.houses[*house].side(*language, &self.node)?;
            let name = format!("{}, the mempool not loaded", language.name());
            expected.check_state(&name, &side.operations.wallet_state()?)?;
            expected.check_spendable(&name, &side.operations.snapshot()?)?;
        }
        if step.once_in(0, 2)
            && let Some((house, language, expected)) = before.first()
        {
            // A payment is built in the meantime.
            let side = self.houses[*house].side(*language, &self.node)?;
            let order = self.order(step, expected);
            let built = create(&side, &order);
            self.node.finish_loading();
            self.after_sync_if_sent(*house)?;
            let expected = self.expected(*house, *language);
            self.note_built(*house, *language, &order, &expected, built, Way::Disturbed)?;
        }
        if step.once_in(1, 3) {
            // Nothing of it was on disk.
            self.node.finish_loading();
            self.node.restart(false)?;
            self.say("its mempool is gone");
            return Ok(());
        }
        self.node.finish_loading();
        Ok(())
    }

    /// The node warms up in the middle of something.
    pub(super) fn warm_up(&mut self, step: &Step) -> Result<(), Failure> {
        let calls = 1 + u32::try_from(step.pick(0, 8))?;
        let (house, language, side) = self.side(step)?;
        self.say(format!("the node warms up for {calls} calls"));
        self.node.warm_up(calls);
        let ended = match step.pick(1, 3) {
            0 => match side.operations.get_balance() {
                Err(error) if !error.kind().is_transport() => Err(error.into()),
                _ => Ok(()),
            },
            1 => self.build(step, Way::Disturbed).map(drop),
            _ => match self.build(step, Way::Disturbed) {
                Ok(Some(txid)) => {
                    self.node.warm_up(calls);
                    self.hand_over(house, language, &side, txid, Way::Disturbed)
                }
                other => other.map(drop),
            },
        };
        self.node.warm_up(0);
        ended?;
        self.after_sync_if_sent(house)
    }

    /// Days go by for the node: what has waited for more than 14 leaves its mempool when something
    /// comes.
    pub(super) fn age(&mut self, step: &Step) {
        const DAY_SECS: u64 = 86_400;
        let days = [1, 7, 13, 15][step.pick(0, 4)];
        self.node.advance(days * DAY_SECS);
        let number = self.new_recipient();
        if let Some(payment) = self.foreign(vec![(coins::script(number), 10_000)], 30, 2) {
            // It may be refused, which changes nothing.
            let _ = self.node.submit(&payment);
        }
        self.say(format!("{days} days go by for the node"));
    }
}
