//! `PythonBitcoin`: the interface over a Python class.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use btc_iface::rust_bitcoin::hex::DisplayHex;
use btc_iface::{
    AddressType, BitcoinAddress, BitcoinError, BitcoinImplementationType, BitcoinInterface,
    BitcoinResult, BitcoinTransaction, BlockRef, BroadcastCheck, ErrorKind, FeeEstimate,
    FeeEstimator, Operation, PlannedTransaction, SnapshotWallet, WalletSnapshot, WalletState,
    WalletTwin,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::config::{PythonConfig, PythonMode};
use crate::convert;
use crate::interpreter::Host;
use crate::pools::Pools;
use crate::worker::CLOSE_WITHIN;

/// The Python implementation. May be called from several threads at once.
///
/// On drop the class closes what it holds, and what runs for it ends; both within seconds,
/// whatever Python does.
pub struct PythonBitcoin {
    /// The interpreter in this process, unless workers do it.
    host: Option<Host>,
    /// `None`: on the caller's thread, without a limit of time.
    pools: Option<Pools>,
}

impl PythonBitcoin {
    /// Starts the interpreter or a worker, and in it the class, which connects to the node.
    ///
    /// # Errors
    /// `Configuration`: the environment, the package, the module or the class is missing, or the
    /// class refuses its configuration. Otherwise what the class raised.
    pub fn connect(config: &PythonConfig) -> BitcoinResult<Self> {
        Ok(match config.mode {
            PythonMode::Embedded => {
                let host = start_within_limit(config)?;
                let pools = config.timeout.map(|_| Pools::embedded(&host, config));
                Self {
                    host: Some(host),
                    pools,
                }
            }
            PythonMode::Worker => {
                let this = Self {
                    host: None,
                    pools: Some(Pools::workers(config)),
                };
                if let Some(pools) = &this.pools {
                    pools.start()?;
                }
                this
            }
        })
    }

    fn call<T: DeserializeOwned>(
        &self,
        operation: Operation,
        params: impl Serialize,
    ) -> BitcoinResult<T> {
        self.call_method(operation, operation.as_str(), params)
    }

    /// Calls a method that is not named after its operation.
    fn call_method<T: DeserializeOwned>(
        &self,
        operation: Operation,
        method: &'static str,
        params: impl Serialize,
    ) -> BitcoinResult<T> {
        let request = convert::call_request(operation, method, params)?;
        let response = match (&self.pools, &self.host) {
            (Some(pools), _) => pools.call(operation, method, &request)?,
            (None, Some(host)) => host.handle_whole(operation, &request)?,
            (None, None) => {
                let message = "neither an interpreter nor workers";
                return Err(BitcoinError::new(ErrorKind::Internal, operation, message));
            }
        };
        convert::decode_response(operation, &response)
    }
}

impl Drop for PythonBitcoin {
    fn drop(&mut self) {
        let deadline = Instant::now() + END_WITHIN;
        let mut has_ended = true;
        if let Some(pools) = &self.pools {
            has_ended &= pools.end(deadline);
        }
        if let Some(host) = self.host.take() {
            has_ended &= close_until(host, deadline);
        }
        if !has_ended {
            tracing::warn!(
                "the Python class did not close within {} s; what it holds stays with this \
                 process until that ends",
                END_WITHIN.as_secs()
            );
        }
    }
}

/// Closes the class and lets go of it, on a thread of its own: one that hangs, perhaps with the
/// interpreter's lock, is left behind.
fn close_until(host: Host, deadline: Instant) -> bool {
    let (sender, receiver) = mpsc::sync_channel(1);
    let spawned = thread::Builder::new()
        .name("btc-python-close".to_owned())
        .spawn(move || {
            host.close();
            drop(host);
            // Nobody listens any more when the time is over.
            let _ = sender.send(());
        });
    let left = deadline.saturating_duration_since(Instant::now());
    spawned.is_ok() && receiver.recv_timeout(left).is_ok()
}

impl BitcoinInterface for PythonBitcoin {
    fn get_transaction(&self, txid: &str) -> BitcoinResult<BitcoinTransaction> {
        self.call(Operation::GetTransaction, [txid])
    }

    fn get_block(&self, hash: &str) -> BitcoinResult<Vec<BitcoinTransaction>> {
        self.call(Operation::GetBlock, [hash])
    }

    fn get_block_height(&self) -> BitcoinResult<u32> {
        self.call(Operation::GetBlockHeight, NONE)
    }

    fn generate_address(&self, address_type: AddressType) -> BitcoinResult<BitcoinAddress> {
        self.call(Operation::GenerateAddress, [address_type])
    }

    fn create_transaction(
        &self,
        outputs: Vec<(String, u64)>,
        fee_rate: u64,
    ) -> BitcoinResult<BitcoinTransaction> {
        self.call(Operation::CreateTransaction, (outputs, fee_rate))
    }

    fn broadcast_transaction(&self, transaction: &BitcoinTransaction) -> BitcoinResult<String> {
        self.call(Operation::BroadcastTransaction, [transaction])
    }

    fn get_balance(&self) -> BitcoinResult<u64> {
        self.call(Operation::GetBalance, NONE)
    }

    fn estimate_fee(&self, target_blocks: u8) -> BitcoinResult<u64> {
        self.call(Operation::EstimateFee, [target_blocks])
    }

    fn implementation_type(&self) -> BitcoinImplementationType {
        BitcoinImplementationType::Python
    }
}

impl FeeEstimator for PythonBitcoin {
    fn explain_fee(&self, target_blocks: u8) -> BitcoinResult<FeeEstimate> {
        self.call_method(Operation::EstimateFee, "explain_fee", [target_blocks])
    }
}

impl WalletTwin for PythonBitcoin {
    fn derive_address(
        &self,
        address_type: AddressType,
        index: u32,
    ) -> BitcoinResult<BitcoinAddress> {
        let operation = Operation::GenerateAddress;
        self.call_method(operation, "derive_address", (address_type, index))
    }

    fn plan_transaction(
        &self,
        outputs: &[(String, u64)],
        fee_rate: u64,
        snapshot: &WalletSnapshot,
    ) -> BitcoinResult<PlannedTransaction> {
        let operation = Operation::CreateTransaction;
        self.call_method(operation, "plan_transaction", (outputs, fee_rate, snapshot))
    }

    fn check_broadcast(&self, bytes: &[u8]) -> BitcoinResult<BroadcastCheck> {
        let hex = bytes.to_lower_hex_string();
        self.call_method(Operation::BroadcastTransaction, "check_broadcast", [hex])
    }

    fn wallet_state(&self) -> BitcoinResult<WalletState> {
        self.call_method(Operation::GetBalance, "wallet_state", NONE)
    }

    fn tip(&self) -> BitcoinResult<BlockRef> {
        self.call_method(Operation::GetBlockHeight, "tip", NONE)
    }

    fn snapshot(&self) -> BitcoinResult<WalletSnapshot> {
        self.call_method(Operation::CreateTransaction, "snapshot", NONE)
    }
}

impl SnapshotWallet for PythonBitcoin {
    fn create_transaction_with_snapshot(
        &self,
        outputs: Vec<(String, u64)>,
        fee_rate: u64,
    ) -> BitcoinResult<(BitcoinTransaction, WalletSnapshot)> {
        let operation = Operation::CreateTransaction;
        let method = "create_transaction_with_snapshot";
        self.call_method(operation, method, (outputs, fee_rate))
    }
}

/// No parameters, which JSON writes as `[]`.
const NONE: [(); 0] = [];

/// How long the end may take: a little longer than a worker has to close.
const END_WITHIN: Duration = Duration::from_secs(CLOSE_WITHIN.as_secs() + 2);

/// Starts the class on a thread of its own, so that one that hangs does not hang the caller.
fn start_within_limit(config: &PythonConfig) -> BitcoinResult<Host> {
    let Some(limit) = config.timeout else {
        return Host::start(config);
    };
    let (sender, receiver) = mpsc::sync_channel(1);
    let theirs = config.clone();
    let spawned = thread::Builder::new()
        .name("btc-python-start".to_owned())
        .spawn(move || {
            // Nobody listens any more when the limit is over.
            if let Err(mpsc::SendError(Ok(host))) = sender.send(Host::start(&theirs)) {
                host.close();
            }
        });
    spawned.map_err(|cause| {
        let message = "no thread for the Python side can be started";
        BitcoinError::new(ErrorKind::Internal, Operation::Connect, message).with_source(cause)
    })?;
    receiver.recv_timeout(limit).unwrap_or_else(|_| {
        let message = format!(
            "the Python class did not start within {} s; PYTHON_TIMEOUT_SECS sets the limit",
            limit.as_secs_f32()
        );
        Err(BitcoinError::new(
            ErrorKind::Timeout,
            Operation::Connect,
            message,
        ))
    })
}
