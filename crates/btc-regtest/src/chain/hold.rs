//! Holding cheap transactions back for some blocks, so that fee estimates have something to tell:
//! where every transaction is mined at once, the answer is the smallest rate for every target.

use bitcoin::Txid;
use serde_json::json;

use super::Chain;
use super::draft::Built;
use crate::NodeError;

/// Transactions at this rate and below wait, in sat/vB.
pub(crate) const PATIENT_FEE_RATE: u64 = 10;
/// For how many blocks they wait: too long for an estimate for 2 blocks, and short enough that most
/// are in after the 3 blocks that an estimate for 6 looks at first.
pub(crate) const PATIENCE_BLOCKS: u32 = 2;

/// Cheap transactions that no block takes for the time being.
#[derive(Debug, Default)]
pub(crate) struct Held {
    /// The round in which each may be mined, with its fee in satoshi.
    waiting: Vec<(u32, Txid, u64)>,
}

impl Chain<'_> {
    /// Tells the node to mine the cheap ones as if they paid nothing.
    pub(crate) fn hold(
        &self,
        held: &mut Held,
        round: u32,
        sent: &[Built],
    ) -> Result<(), NodeError> {
        let cheap = sent
            .iter()
            .filter(|built| built.fee_rate <= PATIENT_FEE_RATE);
        let cheap: Vec<_> = cheap.map(|b| (b.txid, b.fee.to_sat())).collect();
        let calls: Vec<_> = cheap
            .iter()
            .map(|(txid, fee)| {
                (
                    "prioritisetransaction",
                    vec![json!(txid), json!(0), json!(-fee.cast_signed())],
                )
            })
            .collect();
        self.node.batch::<bool>(&calls)?;
        let due = round + PATIENCE_BLOCKS;
        held.waiting
            .extend(cheap.into_iter().map(|(txid, fee)| (due, txid, fee)));
        Ok(())
    }

    /// Lets go of those whose round has come.
    pub(crate) fn release(&self, held: &mut Held, round: u32) -> Result<(), NodeError> {
        let due = held.waiting.extract_if(.., |(due, ..)| *due <= round);
        let calls: Vec<_> = due
            .map(|(_, txid, fee)| {
                (
                    "prioritisetransaction",
                    vec![json!(txid), json!(0), json!(fee)],
                )
            })
            .collect();
        self.node.batch::<bool>(&calls).map(drop)
    }
}
