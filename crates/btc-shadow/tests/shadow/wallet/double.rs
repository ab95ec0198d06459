//! Both sides of a small wallet: honest by default, with each answer replaceable.

use std::sync::atomic::{AtomicU64, Ordering};

use btc_iface::{
    AddressType, BitcoinAddress, BitcoinImplementationType, BitcoinInterface, BitcoinResult,
    BitcoinTransaction, BroadcastCheck, BroadcastVerdict, ErrorKind, Network, Operation,
    PlannedTransaction, SnapshotWallet, WalletSnapshot, WalletState, WalletTwin,
};

use super::honest::{address, check, plan, seal, snapshot, state};
use crate::double::failure;

type Outputs = [(String, u64)];

type Reserve = Box<dyn Fn(AddressType) -> BitcoinResult<BitcoinAddress> + Send + Sync>;
type Built = (BitcoinTransaction, WalletSnapshot);
type Create = Box<dyn Fn(&Outputs, u64) -> BitcoinResult<Built> + Send + Sync>;
type Broadcast = Box<dyn Fn(&BitcoinTransaction) -> BitcoinResult<String> + Send + Sync>;
type Derive = Box<dyn Fn(AddressType, u32) -> BitcoinResult<BitcoinAddress> + Send + Sync>;
type Planned = BitcoinResult<PlannedTransaction>;
type Plan = Box<dyn Fn(&Outputs, u64, &WalletSnapshot, u64) -> Planned + Send + Sync>;
type Check = Box<dyn Fn(&[u8], u64) -> BitcoinResult<BroadcastCheck> + Send + Sync>;
type Ask<T> = Box<dyn Fn() -> BitcoinResult<T> + Send + Sync>;

/// The primary: each field answers one operation.
pub(super) struct Primary {
    pub(super) reserve: Reserve,
    pub(super) create: Create,
    /// Answers `create_transaction`, where that is not the same.
    pub(super) create_alone: Option<Create>,
    pub(super) send: Broadcast,
    pub(super) balance_sat: u64,
    pub(super) height: Box<dyn Fn() -> u32 + Send + Sync>,
    /// How often it acted.
    pub(super) acted: AtomicU64,
}

impl Primary {
    pub(super) fn honest() -> Self {
        Self {
            reserve: Box::new(|address_type| Ok(address(Network::Regtest, address_type, 7))),
            create: Box::new(|outputs, fee_rate| {
                let planned = plan(outputs, fee_rate, &snapshot())?;
                Ok((planned.transaction, snapshot()))
            }),
            create_alone: None,
            send: Box::new(|transaction| Ok(transaction.txid.to_string())),
            height: Box::new(|| snapshot().tip.height),
            balance_sat: state().balance.spendable_sat(),
            acted: AtomicU64::new(0),
        }
    }

    fn act(&self) {
        self.acted.fetch_add(1, Ordering::Relaxed);
    }
}

impl SnapshotWallet for Primary {
    fn create_transaction_with_snapshot(
        &self,
        outputs: Vec<(String, u64)>,
        fee_rate: u64,
    ) -> BitcoinResult<(BitcoinTransaction, WalletSnapshot)> {
        self.act();
        (self.create)(&outputs, fee_rate)
    }
}

impl BitcoinInterface for Primary {
    fn get_transaction(&self, _txid: &str) -> BitcoinResult<BitcoinTransaction> {
        Err(failure(Operation::GetTransaction, ErrorKind::NotFound))
    }
    fn get_block(&self, _hash: &str) -> BitcoinResult<Vec<BitcoinTransaction>> {
        Err(failure(Operation::GetBlock, ErrorKind::NotFound))
    }
    fn get_block_height(&self) -> BitcoinResult<u32> {
        Ok((self.height)())
    }
    fn generate_address(&self, address_type: AddressType) -> BitcoinResult<BitcoinAddress> {
        self.act();
        (self.reserve)(address_type)
    }
    fn create_transaction(
        &self,
        outputs: Vec<(String, u64)>,
        fee_rate: u64,
    ) -> BitcoinResult<BitcoinTransaction> {
        self.act();
        let planned = match &self.create_alone {
            Some(create) => create(&outputs, fee_rate),
            None => (self.create)(&outputs, fee_rate),
        };
        planned.map(|(transaction, _)| transaction)
    }
    fn broadcast_transaction(&self, transaction: &BitcoinTransaction) -> BitcoinResult<String> {
        self.act();
        (self.send)(transaction)
    }
    fn get_balance(&self) -> BitcoinResult<u64> {
        Ok(self.balance_sat)
    }
    fn estimate_fee(&self, _target_blocks: u8) -> BitcoinResult<u64> {
        Ok(1)
    }
    fn implementation_type(&self) -> BitcoinImplementationType {
        BitcoinImplementationType::Python
    }
}

/// The secondary's own interface: it breaks, and remembers, when it is asked to act.
#[derive(Default)]
pub(super) struct Untouchable(AtomicU64);

impl Untouchable {
    pub(super) fn touched(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn break_down(&self) -> ! {
        self.0.fetch_add(1, Ordering::Relaxed);
        unreachable!("the secondary was asked to act")
    }
}

impl BitcoinInterface for Untouchable {
    fn get_transaction(&self, _txid: &str) -> BitcoinResult<BitcoinTransaction> {
        Err(failure(Operation::GetTransaction, ErrorKind::NotFound))
    }
    fn get_block(&self, _hash: &str) -> BitcoinResult<Vec<BitcoinTransaction>> {
        Err(failure(Operation::GetBlock, ErrorKind::NotFound))
    }
    fn get_block_height(&self) -> BitcoinResult<u32> {
        Ok(snapshot().tip.height)
    }
    fn generate_address(&self, _address_type: AddressType) -> BitcoinResult<BitcoinAddress> {
        self.break_down()
    }
    fn create_transaction(
        &self,
        _outputs: Vec<(String, u64)>,
        _fee_rate: u64,
    ) -> BitcoinResult<BitcoinTransaction> {
        self.break_down()
    }
    fn broadcast_transaction(&self, _transaction: &BitcoinTransaction) -> BitcoinResult<String> {
        self.break_down()
    }
    fn get_balance(&self) -> BitcoinResult<u64> {
        Ok(state().balance.spendable_sat())
    }
    fn estimate_fee(&self, _target_blocks: u8) -> BitcoinResult<u64> {
        Ok(1)
    }
    fn implementation_type(&self) -> BitcoinImplementationType {
        BitcoinImplementationType::Rust
    }
}

/// A wallet's twin: each field answers one operation; the last argument is the number of the
/// call, from 1.
pub(super) struct Twin {
    pub(super) derive: Derive,
    pub(super) plan: Plan,
    pub(super) check: Check,
    pub(super) state: Ask<WalletState>,
    pub(super) snapshot: Ask<WalletSnapshot>,
    pub(super) plans: AtomicU64,
    pub(super) checks: AtomicU64,
}

impl Twin {
    pub(super) fn honest() -> Self {
        Self {
            derive: Box::new(|address_type, index| {
                Ok(address(Network::Regtest, address_type, index))
            }),
            plan: Box::new(|outputs, fee_rate, snapshot, _| plan(outputs, fee_rate, snapshot)),
            check: Box::new(|bytes, _| check(bytes, BroadcastVerdict::Known, None)),
            state: Box::new(|| Ok(state())),
            snapshot: Box::new(|| {
                Err(failure(
                    Operation::CreateTransaction,
                    ErrorKind::Unsupported,
                ))
            }),
            plans: AtomicU64::new(0),
            checks: AtomicU64::new(0),
        }
    }

    /// Honest, and tells the coins it would build on.
    pub(super) fn telling() -> Self {
        Self {
            snapshot: Box::new(|| Ok(snapshot())),
            ..Self::honest()
        }
    }

    /// Honest but for what it does to the transaction it planned.
    pub(super) fn spoiling(
        spoil: impl Fn(&mut BitcoinTransaction) + Send + Sync + 'static,
    ) -> Self {
        let plan = move |outputs: &Outputs, fee_rate, snapshot: &WalletSnapshot, _| {
            let mut planned = plan(outputs, fee_rate, snapshot)?;
            spoil(&mut planned.transaction);
            seal(&mut planned.transaction);
            Ok(planned)
        };
        Self {
            plan: Box::new(plan),
            ..Self::honest()
        }
    }

    /// Honest but for the node's word, which it hears at the `n`th check.
    pub(super) fn hearing(
        hear: impl Fn(u64) -> (BroadcastVerdict, Option<&'static str>) + Send + Sync + 'static,
    ) -> Self {
        let check = move |bytes: &[u8], call| {
            let (verdict, reason) = hear(call);
            check(bytes, verdict, reason)
        };
        Self {
            check: Box::new(check),
            ..Self::honest()
        }
    }
}

impl WalletTwin for Twin {
    fn derive_address(
        &self,
        address_type: AddressType,
        index: u32,
    ) -> BitcoinResult<BitcoinAddress> {
        (self.derive)(address_type, index)
    }
    fn plan_transaction(
        &self,
        outputs: &Outputs,
        fee_rate: u64,
        snapshot: &WalletSnapshot,
    ) -> BitcoinResult<PlannedTransaction> {
        let call = self.plans.fetch_add(1, Ordering::Relaxed) + 1;
        (self.plan)(outputs, fee_rate, snapshot, call)
    }
    fn check_broadcast(&self, bytes: &[u8]) -> BitcoinResult<BroadcastCheck> {
        let call = self.checks.fetch_add(1, Ordering::Relaxed) + 1;
        (self.check)(bytes, call)
    }
    fn wallet_state(&self) -> BitcoinResult<WalletState> {
        (self.state)()
    }
    /// What the honest state amounts to, whatever this one tells of its coins.
    fn balance_sat(&self) -> BitcoinResult<u64> {
        Ok(120_000)
    }
    fn snapshot(&self) -> BitcoinResult<WalletSnapshot> {
        (self.snapshot)()
    }
}
