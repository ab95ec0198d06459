//! `Order`: what a payment is to be, and how a side is asked to build it.

use btc::bitcoin::{ScriptBuf, Transaction};
use btc::{BitcoinResult, BitcoinTransaction, WalletSnapshot};
use btc_regtest::sim::coins;

use crate::check::Expected;
use crate::house::Side;
use crate::identity::RANGE;
use crate::stage::Stage;
use crate::step::Step;

/// What a payment is to be.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub(crate) recipients: Vec<(ScriptBuf, String, u64)>,
    pub(crate) rate: u64,
}

impl Stage {
    /// One to three recipients, small amounts and large ones, and too much now and then.
    pub(crate) fn order(&mut self, step: &Step, expected: &Expected) -> Order {
        let total: u64 = expected.spendable.values().map(|coin| coin.value_sat).sum();
        let count = 1 + step.pick(2, 6) / 4;
        let share = match step.pick(3, 12) {
            0 => 2_000,
            1 => total,
            2 => total.saturating_sub(3_000),
            portion => total * portion as u64 / 20,
        };
        let mut recipients = Vec::new();
        for number in 0..count {
            let value = (share / count as u64).max(1_000);
            let to_itself = step.once_in(4, 8) && number == 0;
            let given = self.given.iter().rfind(|it| it.place.index < RANGE);
            if let Some(given) = given.filter(|_| to_itself) {
                let address = &given.address;
                recipients.push((
                    address.script_pubkey.clone(),
                    address.address.clone(),
                    value,
                ));
                continue;
            }
            let number = self.new_recipient();
            let address = coins::address(number).to_string();
            recipients.push((coins::script(number), address, value));
        }
        Order {
            recipients,
            rate: 1 + step.high(4) as u64 % 25,
        }
    }
}

/// Asks a side to build.
pub(crate) fn create(
    side: &Side,
    order: &Order,
) -> BitcoinResult<(BitcoinTransaction, WalletSnapshot)> {
    side.operations
        .create_transaction_with_snapshot(outputs(order), order.rate)
}

/// The outputs as a caller names them.
pub(super) fn outputs(order: &Order) -> Vec<(String, u64)> {
    let recipients = order.recipients.iter();
    recipients
        .map(|(_, address, value)| (address.clone(), *value))
        .collect()
}

/// The transaction of an answer.
pub(crate) fn to_transaction(plain: &BitcoinTransaction) -> Transaction {
    use btc::bitcoin::{Amount, Sequence, TxIn, TxOut, absolute, transaction};
    Transaction {
        version: transaction::Version(plain.version),
        lock_time: absolute::LockTime::from_consensus(plain.lock_time),
        input: plain
            .inputs
            .iter()
            .map(|input| TxIn {
                previous_output: input.previous_output,
                script_sig: input.script_sig.clone(),
                sequence: Sequence(input.sequence),
                witness: input.witness.clone(),
            })
            .collect(),
        output: plain
            .outputs
            .iter()
            .map(|output| TxOut {
                value: Amount::from_sat(output.value_sat),
                script_pubkey: output.script_pubkey.clone(),
            })
            .collect(),
    }
}
