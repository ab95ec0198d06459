//! `Rollout`: hands each call to Python or to Rust, by a share that is changed while it runs.
//!
//! docs/rollout.md describes the whole; the parts are:
//!
//! - [`Rollout`]: the decorator over the two routes
//! - [`StateFile`] and [`State`]: the share on disk, its history, and the rules for changing it
//! - [`Control`]: what a running process knows, and the rollback
//! - [`Judge`]: watches both routes' comparisons and calls for the rollback; [`Tripwire`], for
//!   panics
//! - [`Journal`]: the lines in the comparison log

mod control;
mod file;
mod gate;
mod journal;
mod judge;
mod key;
mod made;
mod state;
mod tripwire;
mod window;

use std::sync::Arc;

use btc_iface::{
    AddressType, BitcoinAddress, BitcoinImplementationType, BitcoinInterface, BitcoinResult,
    BitcoinTransaction,
};

pub use self::control::{Control, Status, Trouble};
pub use self::file::StateFile;
use self::gate::Share;
pub use self::journal::Journal;
pub(crate) use self::judge::is_about_money;
pub use self::judge::{Clock, Judge, Limits};
pub use self::key::Salt;
pub(crate) use self::key::named as named_key;
use self::made::Made;
pub use self::state::{Action, Change, Consent, LADDER, State, VERSION};
pub use self::tripwire::Tripwire;

/// The decorator that hands each call to one of two routes.
///
/// # Behavior
/// - A call is handed to one route, once; nothing is repeated on the other.
/// - The same key takes the same route for as long as the share stands, in every process and on
///   every machine that shares the state; raising the share takes no key away from Rust.
/// - The key is, in this order: for sending what this decorator has built, the key it was built
///   under; the one that the program names ([`with_key`](Self::with_key)); the txid, the block's
///   hash or the first output's address; for calls without such an input, the process's own.
/// - Reading the share is one atomic load; no call waits for a lock or a file.
pub struct Rollout {
    control: Arc<Control>,
    python: Arc<dyn BitcoinInterface>,
    rust: Arc<dyn BitcoinInterface>,
    key: String,
    made: Made,
}

/// What a call is sticky by, unless the program has named a key.
#[derive(Clone, Copy)]
enum Key<'a> {
    /// An input.
    Input(&'a str),
    /// The process's own.
    Process,
}

impl Rollout {
    /// Hands calls to `python` and `rust` as `control` says. `key` is the process's own, for calls
    /// that have no other: the host's name, say.
    pub fn new(
        control: Arc<Control>,
        python: Arc<dyn BitcoinInterface>,
        rust: Arc<dyn BitcoinInterface>,
        key: impl Into<String>,
    ) -> Self {
        Self {
            control,
            python,
            rust,
            key: key.into(),
            made: Made::default(),
        }
    }

    /// Names the key of all calls that `run` makes on this thread: a customer's, say, so that all
    /// of their calls are answered by one implementation. Calls that `run` hands to other threads,
    /// as the async adapter does, do not have it.
    pub fn with_key<T>(key: &str, run: impl FnOnce() -> T) -> T {
        key::with_key(key, run)
    }

    /// What is known about the share, and how it is rolled back.
    pub fn control(&self) -> &Arc<Control> {
        &self.control
    }

    fn route(&self, key: Key<'_>) -> &dyn BitcoinInterface {
        self.routed(|salt| self.bucket(salt, key))
    }

    fn routed(&self, bucket: impl FnOnce(Salt) -> u16) -> &dyn BitcoinInterface {
        let is_rust = match self.control.gate().share() {
            Share::None => false,
            Share::All => true,
            Share::Some(salt, buckets) => bucket(salt) < buckets,
        };
        if is_rust { &*self.rust } else { &*self.python }
    }

    fn bucket(&self, salt: Salt, key: Key<'_>) -> u16 {
        let named = key::named(|named| salt.bucket(named));
        named.unwrap_or_else(|| match key {
            Key::Input(input) => salt.bucket_of_input(input),
            Key::Process => salt.bucket(&self.key),
        })
    }
}

impl BitcoinInterface for Rollout {
    fn get_transaction(&self, txid: &str) -> BitcoinResult<BitcoinTransaction> {
        self.route(Key::Input(txid)).get_transaction(txid)
    }

    fn get_block(&self, hash: &str) -> BitcoinResult<Vec<BitcoinTransaction>> {
        self.route(Key::Input(hash)).get_block(hash)
    }

    fn get_block_height(&self) -> BitcoinResult<u32> {
        self.route(Key::Process).get_block_height()
    }

    fn generate_address(&self, address_type: AddressType) -> BitcoinResult<BitcoinAddress> {
        self.route(Key::Process).generate_address(address_type)
    }

    fn create_transaction(
        &self,
        outputs: Vec<(String, u64)>,
        fee_rate: u64,
    ) -> BitcoinResult<BitcoinTransaction> {
        let first = outputs.first().map(|(address, _)| address.as_str());
        let key = first.map_or(Key::Process, Key::Input);
        // Beside keys and signatures, a hash costs nothing.
        let salt = self.control.gate().salt();
        let bucket = self.bucket(salt, key);
        let route = self.routed(|_| bucket);
        let made = route.create_transaction(outputs, fee_rate)?;
        self.made.remember(made.txid, bucket);
        Ok(made)
    }

    fn broadcast_transaction(&self, transaction: &BitcoinTransaction) -> BitcoinResult<String> {
        let route = self.routed(|salt| {
            let made = self.made.bucket(transaction.txid);
            let txid = || self.bucket(salt, Key::Input(&transaction.txid.to_string()));
            made.unwrap_or_else(txid)
        });
        route.broadcast_transaction(transaction)
    }

    fn get_balance(&self) -> BitcoinResult<u64> {
        self.route(Key::Process).get_balance()
    }

    fn estimate_fee(&self, target_blocks: u8) -> BitcoinResult<u64> {
        self.route(Key::Process).estimate_fee(target_blocks)
    }

    /// The one that would answer a call without an input now.
    fn implementation_type(&self) -> BitcoinImplementationType {
        self.route(Key::Process).implementation_type()
    }
}
