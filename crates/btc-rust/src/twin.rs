//! The effect-free twins over this backend, and the wallet that names its snapshot.

use bitcoin::hex::DisplayHex;
use btc_iface::{
    AddressType, BitcoinAddress, BitcoinError, BitcoinResult, BitcoinTransaction, BlockRef,
    BroadcastCheck, BroadcastVerdict, ErrorKind, Operation, PlannedTransaction, SnapshotWallet,
    WalletSnapshot, WalletState, WalletTwin,
};
use serde::Deserialize;
use serde_json::json;

use crate::backend::RustBitcoin;
use crate::convert;

/// What `testmempoolaccept` says of one transaction.
#[derive(Deserialize)]
struct Acceptance {
    allowed: bool,
    #[serde(rename = "reject-reason")]
    reject_reason: Option<String>,
}

impl WalletTwin for RustBitcoin {
    fn derive_address(
        &self,
        address_type: AddressType,
        index: u32,
    ) -> BitcoinResult<BitcoinAddress> {
        self.wallet(Operation::GenerateAddress)?
            .derive_address(address_type, index)
    }

    fn plan_transaction(
        &self,
        outputs: &[(String, u64)],
        fee_rate: u64,
        snapshot: &WalletSnapshot,
    ) -> BitcoinResult<PlannedTransaction> {
        self.wallet(Operation::CreateTransaction)?
            .plan_transaction(outputs, fee_rate, snapshot)
    }

    fn check_broadcast(&self, bytes: &[u8]) -> BitcoinResult<BroadcastCheck> {
        let operation = Operation::BroadcastTransaction;
        let transaction = convert::decode_transaction(bytes).map_err(|cause| {
            let message = format!("the bytes are no transaction: {cause}");
            BitcoinError::new(ErrorKind::InvalidInput, operation, message).with_source(cause)
        })?;
        if let Some(wallet) = self.configured_wallet()
            && let Some(refusal) = wallet.refusal_of(bytes)?
        {
            return Ok(BroadcastCheck {
                txid: transaction.txid,
                wtxid: transaction.wtxid,
                verdict: BroadcastVerdict::Refused,
                reason: Some(refusal),
            });
        }
        let params = [json!([bytes.to_lower_hex_string()])];
        let answers: Vec<Acceptance> = self.core().call(operation, "testmempoolaccept", &params)?;
        let [answer] = answers.as_slice() else {
            let message = "the node judged another number of transactions than it was given";
            return Err(BitcoinError::new(
                ErrorKind::InvalidResponse,
                operation,
                message,
            ));
        };
        // Core also refuses what is in the chain with its outputs spent again.
        let verdict = if answer.allowed {
            BroadcastVerdict::Acceptable
        } else if self.core().knows(&transaction.txid)? {
            BroadcastVerdict::Known
        } else {
            BroadcastVerdict::Refused
        };
        Ok(BroadcastCheck {
            txid: transaction.txid,
            wtxid: transaction.wtxid,
            verdict,
            reason: answer
                .reject_reason
                .clone()
                .filter(|_| verdict == BroadcastVerdict::Refused),
        })
    }

    fn wallet_state(&self) -> BitcoinResult<WalletState> {
        self.wallet(Operation::GetBalance)?.state()
    }

    fn tip(&self) -> BitcoinResult<BlockRef> {
        self.core().tip()
    }

    fn balance_sat(&self) -> BitcoinResult<u64> {
        self.wallet(Operation::GetBalance)?.balance_now()
    }

    fn snapshot(&self) -> BitcoinResult<WalletSnapshot> {
        self.wallet(Operation::CreateTransaction)?
            .current_snapshot()
    }
}

impl SnapshotWallet for RustBitcoin {
    fn create_transaction_with_snapshot(
        &self,
        outputs: Vec<(String, u64)>,
        fee_rate: u64,
    ) -> BitcoinResult<(BitcoinTransaction, WalletSnapshot)> {
        self.wallet(Operation::CreateTransaction)?
            .create_with_snapshot(&outputs, fee_rate)
    }
}
