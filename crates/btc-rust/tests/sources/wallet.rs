//! A wallet in memory that follows a source, and says what the node should say, too.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

use bdk_chain::indexed_tx_graph::IndexedTxGraph;
use bdk_chain::indexer::keychain_txout::KeychainTxOutIndex;
use bdk_chain::local_chain::LocalChain;
use bdk_chain::{BlockId, CanonicalizationParams, ChainPosition, ConfirmationBlockTime, Indexer};
use bitcoin::absolute::LockTime;
use bitcoin::constants::genesis_block;
use bitcoin::sighash::SighashCache;
use bitcoin::transaction::Version;
use bitcoin::{
    Amount, EcdsaSighashType, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Txid,
    Witness, ecdsa,
};
use btc_iface::{AddressType, BitcoinResult, BlockRef, Chain, Network};
use btc_regtest::Node;
use btc_rust::wallet::keys::{Keychain, Keyring, Signer};
use btc_rust::wallet::source::{ChainSource, Follower, Piece};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

const WORDS: &str = "abandon abandon abandon abandon abandon abandon abandon abandon abandon \
                     abandon abandon about";
/// The gap limit.
pub(crate) const GAP: u32 = 20;

/// What may be done in the middle of a scan.
type Hook<'a> = Box<dyn FnMut(&Piece) + 'a>;

/// A wallet of all four types.
pub(crate) struct Pocket<'a> {
    pub(crate) signer: Signer,
    pub(crate) keyring: Keyring,
    pub(crate) birthday: u32,
    pub(crate) scanned: Option<BlockRef>,
    /// One letter a piece: disconnect, block, scanned, mempool, update.
    pub(crate) log: String,
    pub(crate) on_piece: Hook<'a>,
    /// The watched scripts when the first scan began, while it lasts.
    first_scan: Option<usize>,
    passes: u32,
    chain: LocalChain,
    graph: IndexedTxGraph<ConfirmationBlockTime, KeychainTxOutIndex<Keychain>>,
    watched: Vec<ScriptBuf>,
    watched_of: HashMap<Keychain, u32>,
    now: u64,
}

impl Pocket<'_> {
    pub(crate) fn new(passphrase: &str) -> Self {
        let signer = Signer::from_words(Network::Regtest, WORDS, passphrase).expect("right words");
        let keyring = Keyring::new(Network::Regtest, &signer.accounts()).expect("own accounts");
        let mut index = KeychainTxOutIndex::new(GAP, false);
        for (keychain, descriptor) in keyring.keychains() {
            let descriptor = descriptor.clone();
            index
                .insert_descriptor(keychain, descriptor)
                .expect("each is another one");
        }
        let genesis = genesis_block(Network::Regtest).block_hash();
        let mut pocket = Self {
            signer,
            keyring,
            birthday: 0,
            scanned: None,
            log: String::new(),
            on_piece: Box::new(|_| {}),
            first_scan: None,
            passes: 0,
            chain: LocalChain::from_genesis_hash(genesis).0,
            graph: IndexedTxGraph::new(index),
            watched: Vec::new(),
            watched_of: HashMap::new(),
            now: 0,
        };
        pocket.watch();
        pocket.first_scan = Some(pocket.watched.len());
        pocket
    }

    pub(crate) fn follow(&mut self, source: &dyn ChainSource) -> BitcoinResult<()> {
        self.log.clear();
        source.follow(self)
    }

    /// A script of the P2WPKH account.
    pub(crate) fn script(&self, index: u32) -> ScriptBuf {
        let keychain = (AddressType::P2wpkh, Chain::Receive);
        self.keyring.script(keychain, index).expect("a small index")
    }

    /// How often the first scan began.
    pub(crate) fn passes(&self) -> u32 {
        self.passes
    }

    pub(crate) fn tip(&self) -> BlockRef {
        let BlockId { height, hash } = self.chain.tip().block_id();
        BlockRef { height, hash }
    }

    /// Unspent outputs with their value and whether they are confirmed.
    pub(crate) fn coins(&self) -> BTreeMap<OutPoint, (Amount, bool)> {
        let outpoints = self.graph.index.outpoints().iter();
        let outpoints = outpoints.map(|(at, outpoint)| (*at, *outpoint));
        self.graph
            .graph()
            .filter_chain_unspents(
                &self.chain,
                self.chain.tip().block_id(),
                CanonicalizationParams::default(),
                outpoints,
            )
            .map(|(_, coin)| {
                let is_confirmed = matches!(coin.chain_position, ChainPosition::Confirmed { .. });
                (coin.outpoint, (coin.txout.value, is_confirmed))
            })
            .collect()
    }

    /// The value of the confirmed coins.
    pub(crate) fn confirmed(&self) -> Amount {
        let coins = self.coins();
        let confirmed = coins.values().filter(|(_, is_confirmed)| *is_confirmed);
        confirmed.map(|(value, _)| *value).sum()
    }

    /// The same, as the node finds it in the set of unspent outputs.
    pub(crate) fn confirmed_by(&self, node: &Node) -> Amount {
        #[derive(Deserialize)]
        struct Answer {
            total_amount: Box<RawValue>,
        }
        let descriptors: Vec<_> = self
            .keyring
            .keychains()
            .map(|(_, it)| json!({"desc": it.to_string(), "range": 200}))
            .collect();
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let _one = ONE_AT_A_TIME.lock();
        let answer: Answer = node
            .call("scantxoutset", &[json!("start"), json!(descriptors)])
            .expect("the node scans");
        let text = answer.total_amount.get();
        Amount::from_str_in(text, bitcoin::Denomination::Bitcoin).expect("an amount")
    }

    pub(crate) fn assert_agrees(&self, node: &Node) {
        let height: u32 = node.call("getblockcount", &[]).expect("the node answers");
        assert_eq!(
            self.scanned.map(|it| it.height),
            Some(height),
            "{}",
            self.log
        );
        let hash: String = node
            .call("getblockhash", &[json!(height)])
            .expect("the node answers");
        assert_eq!(self.scanned.map(|it| it.hash.to_string()), Some(hash));
        assert_eq!(self.confirmed(), self.confirmed_by(node), "{}", self.log);
    }

    /// Sends all of a coin of the P2WPKH account elsewhere, with this fee in sat.
    pub(crate) fn spend(&self, coin: OutPoint, to: ScriptBuf, fee_sat: u64) -> Transaction {
        let (found, txout) = self.graph.index.txout(coin).expect("an own coin");
        let value = txout.value - Amount::from_sat(fee_sat);
        let mut transaction = Transaction {
            version: Version::TWO,
            lock_time: LockTime::ZERO,
            input: vec![TxIn {
                previous_output: coin,
                script_sig: ScriptBuf::new(),
                sequence: Sequence::ENABLE_RBF_NO_LOCKTIME,
                witness: Witness::new(),
            }],
            output: vec![TxOut {
                value,
                script_pubkey: to,
            }],
        };
        let sighash_type = EcdsaSighashType::All;
        let sighash = SighashCache::new(&transaction)
            .p2wpkh_signature_hash(0, &txout.script_pubkey, txout.value, sighash_type)
            .expect("a P2WPKH coin");
        let (keychain, index) = found;
        let key = self.signer.key(keychain, index).expect("an own key");
        let secp = bitcoin::secp256k1::Secp256k1::new();
        let signature = ecdsa::Signature {
            signature: secp.sign_ecdsa(&sighash.into(), &key),
            sighash_type,
        };
        transaction.input[0].witness = Witness::p2wpkh(&signature, &key.public_key(&secp));
        transaction
    }

    /// As a wallet does with what it has sent itself.
    pub(crate) fn remember(&mut self, transaction: &Transaction) {
        let _ = self.graph.insert_tx(transaction.clone());
        self.see(transaction.compute_txid());
    }

    /// Whether the transaction counts.
    pub(crate) fn counts(&self, txid: Txid) -> bool {
        self.unconfirmed().contains(&txid)
    }

    fn see(&mut self, txid: Txid) {
        let now = self.later();
        let _ = self.graph.insert_seen_at(txid, now);
    }

    /// A second that is later than all before.
    fn later(&mut self) -> u64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        self.now = now.expect("after 1970").as_secs().max(self.now) + 1;
        self.now
    }

    fn watch(&mut self) {
        let keychains: Vec<_> = self.keyring.keychains().map(|(it, _)| it).collect();
        for keychain in keychains {
            let used = self.graph.index.last_used_index(keychain);
            let end = used.map_or(0, |used| used + 1) + GAP;
            let from = self.watched_of.insert(keychain, end).unwrap_or(0);
            for index in from..end {
                let script = self.keyring.script(keychain, index);
                self.watched.push(script.expect("a small index"));
            }
        }
    }

    fn drop_above(&mut self, height: u32) {
        let lowest = self.chain.range(height + 1..).last();
        if let Some(lowest) = lowest {
            self.chain
                .disconnect_from(lowest.block_id())
                .expect("not the genesis block");
        }
    }
}

impl Follower for Pocket<'_> {
    fn checkpoints(&self) -> Vec<BlockRef> {
        let all = self.chain.iter_checkpoints();
        all.map(|it| BlockRef {
            height: it.height(),
            hash: it.hash(),
        })
        .collect()
    }

    fn birthday(&self) -> u32 {
        self.birthday
    }

    fn is_first_scan(&self) -> bool {
        self.first_scan.is_some()
    }

    fn scanned(&self) -> Option<BlockRef> {
        self.scanned
    }

    fn at_tip(&mut self) -> BitcoinResult<bool> {
        let Some(before) = self.first_scan else {
            return Ok(false);
        };
        self.passes += 1;
        let has_moved = self.watched.len() > before;
        self.first_scan = has_moved.then_some(self.watched.len());
        if has_moved {
            self.scanned = None;
        }
        Ok(has_moved)
    }

    fn watched(&self) -> &[ScriptBuf] {
        &self.watched
    }

    fn owned(&self) -> Vec<OutPoint> {
        self.graph
            .index
            .outpoints()
            .iter()
            .map(|(_, it)| *it)
            .collect()
    }

    fn concerns(&self, transaction: &Transaction) -> bool {
        self.graph.index.is_tx_relevant(transaction)
    }

    fn unconfirmed(&self) -> Vec<Txid> {
        let tip = self.chain.tip().block_id();
        let all = self.graph.graph();
        all.list_canonical_txs(&self.chain, tip, CanonicalizationParams::default())
            .filter(|it| !it.chain_position.is_confirmed())
            .map(|it| it.tx_node.txid)
            .collect()
    }

    fn unconfirmed_spends(&self) -> Vec<Txid> {
        let spends = |txid: &Txid| {
            let transaction = self.graph.graph().get_tx(*txid).expect("it counts");
            let mut spent = transaction.input.iter().map(|it| it.previous_output);
            spent.any(|outpoint| self.graph.index.txout(outpoint).is_some())
        };
        self.unconfirmed().into_iter().filter(spends).collect()
    }

    fn confirmed(&self) -> Vec<(Txid, BlockRef)> {
        let tip = self.chain.tip().block_id();
        let all = self.graph.graph();
        all.list_canonical_txs(&self.chain, tip, CanonicalizationParams::default())
            .filter_map(|it| match it.chain_position {
                ChainPosition::Confirmed { anchor, .. } => {
                    let BlockId { height, hash } = anchor.block_id;
                    Some((it.tx_node.txid, BlockRef { height, hash }))
                }
                ChainPosition::Unconfirmed { .. } => None,
            })
            .collect()
    }

    fn take(&mut self, piece: Piece) -> BitcoinResult<()> {
        (self.on_piece)(&piece);
        self.log.push(match &piece {
            Piece::Disconnect { .. } => 'd',
            Piece::Block { .. } => 'b',
            Piece::Scanned(_) => 's',
            Piece::Mempool { .. } => 'm',
            Piece::Update(_) => 'u',
        });
        match piece {
            Piece::Disconnect { fork } => {
                self.drop_above(fork.height);
                let scanned = self.scanned.expect("nothing to undo before a scan");
                self.scanned = Some(if scanned.height > fork.height {
                    fork
                } else {
                    scanned
                });
            }
            Piece::Block { height, block } => {
                let hash = block.block_hash();
                if block.txdata.iter().any(|it| self.concerns(it)) {
                    self.chain
                        .insert_block(BlockId { height, hash })
                        .expect("one chain");
                }
                let _ = self.graph.apply_block_relevant(&block, height);
            }
            Piece::Scanned(block) => {
                let BlockRef { height, hash } = block;
                self.chain
                    .insert_block(BlockId { height, hash })
                    .expect("one chain");
                self.scanned = Some(block);
            }
            Piece::Mempool {
                arrived,
                gone,
                kept,
            } => {
                for (transaction, _) in arrived {
                    let _ = self.graph.insert_tx(transaction.clone());
                    self.see(transaction.compute_txid());
                }
                for txid in gone {
                    let now = self.later();
                    let _ = self.graph.insert_evicted_at(txid, now);
                }
                for txid in kept {
                    self.see(txid);
                }
            }
            Piece::Update(update) => {
                let _ = self.graph.apply_update(update.tx_update);
                if let Some(chain) = update.chain_update {
                    self.chain.apply_update(chain).expect("one chain");
                    self.scanned = Some(self.tip());
                    self.first_scan = None;
                }
            }
        }
        self.watch();
        Ok(())
    }

    fn progress(&mut self, done: u32, total: u32) {
        assert!(done <= total, "{done} of {total}");
    }
}
