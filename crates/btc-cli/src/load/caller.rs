//! `Caller`: one thread of a load, which draws its calls and makes them.

use std::collections::VecDeque;

use btc::bitcoin::Txid;
use btc::bitcoin::hashes::Hash;
use btc::shadow::parity::Random;
use btc::{AddressType, BitcoinInterface, BitcoinTransaction, Operation};

use super::{Load, Mix, World};
use crate::suite::MALFORMED;

/// Targets that a user asks for, two at the ends, and one that is refused.
const FEE_TARGETS: [u8; 9] = [1, 2, 3, 6, 12, 25, 144, 255, 0];
/// How many transactions may wait to be sent.
const MAX_UNSENT: usize = 64;

/// A thread's own state: nothing of it is shared, so that its calls repeat.
pub(super) struct Caller<'a> {
    bitcoin: &'a dyn BitcoinInterface,
    world: &'a World,
    mix: Mix,
    stranger: Option<&'a str>,
    /// Which operation comes next. Apart from the inputs, so that the sequence of operations does
    /// not depend on what is known when.
    operations: Random,
    inputs: Random,
    unsent: VecDeque<BitcoinTransaction>,
    sent: Option<BitcoinTransaction>,
}

impl<'a> Caller<'a> {
    pub(super) fn new(
        load: &'a Load,
        thread: u32,
        bitcoin: &'a dyn BitcoinInterface,
        world: &'a World,
    ) -> Self {
        // Far apart in the sequence of one generator, whatever the seeds.
        let mut seeds = Random::new(load.seed ^ u64::from(thread).rotate_right(16));
        Self {
            bitcoin,
            world,
            mix: load.mix,
            stranger: load.stranger.as_deref(),
            operations: Random::new(seeds.word()),
            inputs: Random::new(seeds.word()),
            unsent: VecDeque::new(),
            sent: None,
        }
    }

    /// Makes one call. Its answer, good or bad, is dropped unless later calls need it.
    pub(super) fn call(&mut self) {
        let bitcoin = self.bitcoin;
        match self.mix.draw(&mut self.operations) {
            Operation::GetTransaction => {
                let txid = self.world.transaction(&mut self.inputs);
                let txid = self.spoil(txid);
                drop(bitcoin.get_transaction(&txid));
            }
            Operation::GetBlock => {
                let hash = self.world.block(&mut self.inputs);
                let hash = self.spoil(hash);
                drop(bitcoin.get_block(&hash));
            }
            Operation::EstimateFee => {
                let target = self.inputs.pick(&FEE_TARGETS);
                drop(bitcoin.estimate_fee(target));
            }
            Operation::GetBalance => drop(bitcoin.get_balance()),
            Operation::GenerateAddress => self.generate(),
            Operation::CreateTransaction => self.create(),
            Operation::BroadcastTransaction => self.broadcast(),
            _ => drop(bitcoin.get_block_height()),
        }
    }

    /// A known hash, and at a few percent one that nobody knows, that is no hash, or that is
    /// written otherwise.
    fn spoil(&mut self, known: Option<String>) -> String {
        let random = &mut self.inputs;
        let place = random.between(0, 99);
        let unknown: [u8; 32] = random.bytes();
        match (place, known) {
            (0..3, _) => random.pick(&MALFORMED).to_owned(),
            (3..6, _) | (_, None) => Txid::from_byte_array(unknown).to_string(),
            (6..8, Some(known)) => known.to_uppercase(),
            (_, Some(known)) => known,
        }
    }

    fn generate(&mut self) {
        let address_type = self.inputs.pick(&AddressType::ALL);
        if let Ok(address) = self.bitcoin.generate_address(address_type) {
            self.world.learn_address(address.address);
        }
    }

    /// Mostly a payment that can be made, and now and then one that is refused.
    fn create(&mut self) {
        let own = self.world.address(&mut self.inputs);
        let random = &mut self.inputs;
        let to_stranger = self.stranger.filter(|_| !random.once_in(5));
        let Some(payee) = to_stranger.map(str::to_owned).or(own) else {
            return self.generate();
        };
        let place = random.between(0, 99);
        let usual_sat = random.between(1_000, 60_000);
        let usual_rate = random.between(1, 12);
        let (payee, value_sat, fee_rate) = match place {
            0..2 => (payee, 100, usual_rate),
            2..4 => (payee, 2_000_000_000_000_000, usual_rate),
            4..6 => (payee, usual_sat, 0),
            6..8 => (payee + "x", usual_sat, usual_rate),
            _ => (payee, usual_sat, usual_rate),
        };
        let outputs = vec![(payee, value_sat)];
        if let Ok(transaction) = self.bitcoin.create_transaction(outputs, fee_rate)
            && self.unsent.len() < MAX_UNSENT
        {
            self.unsent.push_back(transaction);
        }
    }

    /// Sends what was created; else something again; else creates. Now and then one whose fields
    /// do not belong together, which nobody may send.
    fn broadcast(&mut self) {
        let is_spoilt = self.inputs.once_in(25);
        let is_again = self.inputs.once_in(6);
        if let Some(sent) = self.sent.as_ref().filter(|_| is_again) {
            drop(self.bitcoin.broadcast_transaction(sent));
            return;
        }
        let Some(mut transaction) = self.unsent.pop_front() else {
            return self.create();
        };
        if is_spoilt {
            self.unsent.push_front(transaction.clone());
            for output in &mut transaction.outputs {
                output.value_sat += 1;
            }
            drop(self.bitcoin.broadcast_transaction(&transaction));
            return;
        }
        if self.bitcoin.broadcast_transaction(&transaction).is_ok() {
            self.world.learn_transaction(transaction.txid.to_string());
            self.sent = Some(transaction);
        }
    }
}
