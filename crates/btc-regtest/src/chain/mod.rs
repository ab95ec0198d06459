//! `Chain`: a factory of blocks and transactions on a regtest node, the same for the same seed.

use std::collections::{BTreeMap, HashMap, VecDeque};

use bitcoin::{Amount, Block, BlockHash, Network, OutPoint, Txid};
use serde_json::{Value, json};

use crate::{Node, NodeError};
use draft::{Built, Draft, Out};
use keys::Keys;
use lock::{Coin, Lock};

mod build;
mod draft;
mod full_block;
mod hold;
mod keys;
mod kind;
mod lock;
mod mine;
mod odd;
mod plan;
mod recipe;
mod reorg;
mod sign;
mod spend;

pub use full_block::FullBlock;
pub use kind::Kind;
pub use plan::{OnProgress, Plan, Progress, Summary};
pub use reorg::Reorg;

/// Blocks until a coinbase may be spent.
const MATURITY: u32 = 100;

/// A factory of blocks and transactions on one regtest node.
///
/// # Behavior
///
/// - The same seed and the same calls on a new node give the same transactions, to the byte.
///   Block hashes differ: they hold the time.
/// - It knows the coins that it made itself, and nothing else that is on the node.
/// - Its keys follow from the seed, so they are no secrets: for regtest only.
#[derive(Debug)]
pub struct Chain<'n> {
    node: &'n Node,
    keys: Keys,
    next_key: u32,
    height: u32,
    clock: Option<mine::Clock>,
    /// Confirmed coins, the oldest first.
    coins: BTreeMap<Lock, VecDeque<Coin>>,
    /// Outputs of transactions that wait for the next block.
    pending: Vec<Coin>,
    /// Coinbases not yet spent, the lowest first.
    coinbases: VecDeque<Coinbase>,
    /// What [`Chain::spend_one`] has handed out, for a double spend.
    issued: HashMap<OutPoint, Coin>,
}

/// A block's reward, which is looked up when it is needed.
#[derive(Debug, Clone, Copy)]
struct Coinbase {
    height: u32,
    block: BlockHash,
    lock: Lock,
    key: u32,
}

impl<'n> Chain<'n> {
    /// A factory for a node. Nothing is mined yet: call [`Chain::build`] or [`Chain::mine`].
    ///
    /// # Errors
    ///
    /// [`NodeError::WrongNetwork`] when the node is not on regtest; otherwise the calls' errors.
    pub fn new(node: &'n Node, seed: u64) -> Result<Self, NodeError> {
        if node.network() != Network::Regtest {
            return Err(NodeError::WrongNetwork {
                network: node.network(),
            });
        }
        Ok(Self {
            node,
            keys: Keys::new(seed),
            next_key: 0,
            height: node.call("getblockcount", &[])?,
            clock: None,
            coins: BTreeMap::new(),
            pending: Vec::new(),
            coinbases: VecDeque::new(),
            issued: HashMap::new(),
        })
    }

    /// The node.
    pub fn node(&self) -> &'n Node {
        self.node
    }

    /// The height of the last block that the factory mined, or found when it began.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// A number that was not used for a key before.
    fn new_key(&mut self) -> u32 {
        let key = self.next_key;
        self.next_key += 1;
        key
    }

    /// An output to a new key of ours.
    fn out(&mut self, lock: Lock, value: Amount) -> Out {
        let key = self.new_key();
        Out {
            script: self.keys.script(lock, key),
            value,
            own: Some((lock, key)),
        }
    }

    /// A transaction with change to a new key of ours.
    fn draft(&mut self, inputs: Vec<Coin>, outputs: Vec<Out>, fee_rate: u64) -> Draft {
        let change = self.out(Lock::P2wpkh, Amount::ZERO);
        Draft::new(inputs, outputs, change, fee_rate)
    }

    /// The oldest confirmed coin of a lock.
    fn take(&mut self, lock: Lock) -> Result<Coin, NodeError> {
        let coin = self.coins.get_mut(&lock).and_then(VecDeque::pop_front);
        coin.ok_or_else(|| NodeError::NoCoin {
            what: format!("{lock:?} coin"),
        })
    }

    fn keep(&mut self, coin: Coin) {
        self.coins.entry(coin.lock).or_default().push_back(coin);
    }

    /// The lowest coinbase that may be spent in the next block.
    fn take_coinbase(&mut self) -> Result<Coin, NodeError> {
        let mature = |coinbase: &Coinbase| coinbase.height + MATURITY <= self.height + 1;
        if !self.coinbases.front().is_some_and(mature) {
            return Err(NodeError::NoCoin {
                what: "coinbase".into(),
            });
        }
        let coinbase = self
            .coinbases
            .pop_front()
            .expect("the front was just looked at");
        let block = self.block(coinbase.block)?;
        let reward = block
            .txdata
            .first()
            .and_then(|tx| Some((tx, tx.output.first()?)));
        let (tx, output) = reward.ok_or_else(|| {
            NodeError::build(
                "spend of a coinbase",
                format!("{} has none", coinbase.block),
            )
        })?;
        Ok(Coin {
            outpoint: OutPoint {
                txid: tx.compute_txid(),
                vout: 0,
            },
            value: output.value,
            lock: coinbase.lock,
            key: coinbase.key,
        })
    }

    fn block(&self, hash: BlockHash) -> Result<Block, NodeError> {
        let hex: String = self.node.call("getblock", &[json!(hash), json!(0)])?;
        bitcoin::consensus::encode::deserialize_hex(&hex)
            .map_err(|e| NodeError::build("block", format!("the node sent a broken one: {e}")))
    }

    /// Sends transactions, parents first, and remembers their outputs for the next block.
    fn send(&mut self, batch: &[&Built]) -> Result<(), NodeError> {
        let calls: Vec<_> = batch
            .iter()
            // No upper limit on the fee: the factory's own arithmetic is checked.
            .map(|built| ("sendrawtransaction", vec![json!(built.hex()), json!(0)]))
            .collect();
        self.node.batch::<Txid>(&calls)?;
        self.pending
            .extend(batch.iter().flat_map(|built| &built.coins));
        Ok(())
    }

    /// A call whose answer does not matter.
    fn run(&self, method: &str, params: &[Value]) -> Result<(), NodeError> {
        self.node.call::<Value>(method, params).map(drop)
    }
}
