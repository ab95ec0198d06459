//! `Story`: a chain of blocks with their filters, as one peer tells it, true or not.

use std::collections::HashMap;

use bitcoin::absolute::LockTime;
use bitcoin::bip158::BlockFilterWriter;
use bitcoin::block::{Header, Version};
use bitcoin::consensus::encode::deserialize_hex;
use bitcoin::hashes::Hash;
use bitcoin::transaction::Version as TxVersion;
use bitcoin::{
    Amount, Block, BlockHash, FilterHash, FilterHeader, OutPoint, Script, ScriptBuf, Sequence,
    Transaction, TxIn, TxMerkleNode, TxOut, Witness, WitnessCommitment,
};
use btc_regtest::Node;
use serde_json::json;

/// What the coinbases of forged blocks pay to: anybody.
const ANYBODY: [u8; 1] = [0x51];
/// The last bytes before the commitment to the witnesses (BIP141).
const WITNESS_MAGIC: [u8; 6] = [0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed];

#[derive(Clone)]
pub(crate) struct Story {
    /// From the genesis block on.
    pub(crate) blocks: Vec<Block>,
    /// The filter of each.
    pub(crate) filters: Vec<Vec<u8>>,
    /// What the peer's mempool has.
    pub(crate) mempool: Vec<Transaction>,
}

impl Story {
    /// The truth, as this node has it.
    pub(crate) fn of(node: &Node) -> Self {
        let height: u32 = node.call("getblockcount", &[]).expect("it answers");
        let blocks = (0..=height).map(|height| {
            let hash: String = node
                .call("getblockhash", &[json!(height)])
                .expect("it answers");
            let hex: String = node
                .call("getblock", &[json!(hash), json!(0)])
                .expect("it answers");
            deserialize_hex(&hex).expect("a block")
        });
        Self::from_blocks(blocks.collect())
    }

    /// These blocks with their true filters.
    pub(crate) fn from_blocks(blocks: Vec<Block>) -> Self {
        let mut story = Self {
            blocks: Vec::new(),
            filters: Vec::new(),
            mempool: Vec::new(),
        };
        let mut paid = HashMap::new();
        for block in blocks {
            story.filters.push(filter(&block, &mut paid, None));
            story.blocks.push(block);
        }
        story
    }

    /// The beginning of the story, up to this height.
    pub(crate) fn to(&self, height: usize) -> Self {
        Self::from_blocks(self.blocks[..=height].to_vec())
    }

    /// With filters that say nothing about this script.
    pub(crate) fn without(mut self, script: &Script) -> Self {
        let mut paid = HashMap::new();
        for (block, slot) in self.blocks.iter().zip(&mut self.filters) {
            *slot = filter(block, &mut paid, Some(script));
        }
        self
    }

    /// With empty blocks on top, each with the work that it needs.
    pub(crate) fn mine(mut self, blocks: usize) -> Self {
        for _ in 0..blocks {
            let mut block = self.template(Vec::new());
            work(&mut block.header);
            self.blocks.push(block);
        }
        Self {
            mempool: self.mempool,
            ..Self::from_blocks(self.blocks)
        }
    }

    /// The genesis block, with so many empty ones on top.
    pub(crate) fn empty(blocks: usize) -> Self {
        let genesis = bitcoin::constants::genesis_block(bitcoin::Network::Regtest);
        Self::from_blocks(vec![genesis]).mine(blocks)
    }

    /// With a block on top that pays these scripts 100,000 sat each, out of nothing.
    pub(crate) fn pay(self, scripts: &[ScriptBuf]) -> Self {
        let outputs = scripts.iter().map(|script| TxOut {
            value: Amount::from_sat(100_000),
            script_pubkey: script.clone(),
        });
        let mut payment = coinbase(self.blocks.len());
        payment.input[0].previous_output = OutPoint {
            txid: payment.compute_txid(),
            vout: 0,
        };
        payment.output = outputs.collect();
        self.mine_with(vec![payment])
    }

    /// With a block on top that holds these transactions, which no one has checked.
    pub(crate) fn mine_with(self, transactions: Vec<Transaction>) -> Self {
        let mut block = self.template(transactions);
        work(&mut block.header);
        let mut blocks = self.blocks;
        blocks.push(block);
        Self {
            mempool: self.mempool,
            ..Self::from_blocks(blocks)
        }
    }

    /// A block for the top, without its work.
    pub(crate) fn template(&self, transactions: Vec<Transaction>) -> Block {
        let last = &self.blocks[self.blocks.len() - 1];
        let mut block = Block {
            header: Header {
                version: Version::from_consensus(0x2000_0000),
                prev_blockhash: last.block_hash(),
                merkle_root: TxMerkleNode::all_zeros(),
                time: last.header.time + 1,
                bits: last.header.bits,
                nonce: 0,
            },
            txdata: vec![coinbase(self.blocks.len())],
        };
        block.txdata.extend(transactions);
        commit(&mut block);
        block
    }

    pub(crate) fn height(&self) -> u32 {
        u32::try_from(self.blocks.len() - 1).expect("few")
    }

    pub(crate) fn height_of(&self, hash: BlockHash) -> Option<usize> {
        let mut all = self.blocks.iter();
        all.position(|block| block.block_hash() == hash)
    }

    pub(crate) fn filter_hash(&self, height: usize) -> FilterHash {
        FilterHash::hash(&self.filters[height])
    }

    /// The filter header of this height (BIP157); of the genesis block's parent it is zero.
    pub(crate) fn filter_header(&self, height: usize) -> FilterHeader {
        (0..=height).fold(FilterHeader::all_zeros(), |previous, height| {
            self.filter_hash(height).filter_header(&previous)
        })
    }
}

/// Commits to the witnesses and to the transactions.
pub(crate) fn commit(block: &mut Block) {
    let reserved = [0; 32];
    let root = block.witness_root().expect("a coinbase");
    let commitment: WitnessCommitment = Block::compute_witness_commitment(&root, &reserved);
    let script = [&WITNESS_MAGIC[..], commitment.as_byte_array()].concat();
    block.txdata[0].output[1].script_pubkey = ScriptBuf::from_bytes(script);
    block.header.merkle_root = block.compute_merkle_root().expect("a coinbase");
}

/// Looks for a nonce.
pub(crate) fn work(header: &mut Header) {
    while header.validate_pow(header.target()).is_err() {
        header.nonce += 1;
    }
}

fn coinbase(height: usize) -> Transaction {
    let script_sig = bitcoin::script::Builder::new()
        .push_int(i64::try_from(height).expect("few"))
        .push_int(1_000_000)
        .into_script();
    let output = |sat, script: &[u8]| TxOut {
        value: Amount::from_sat(sat),
        script_pubkey: ScriptBuf::from_bytes(script.to_vec()),
    };
    Transaction {
        version: TxVersion::TWO,
        lock_time: LockTime::ZERO,
        input: vec![TxIn {
            previous_output: OutPoint::null(),
            script_sig,
            sequence: Sequence::MAX,
            witness: Witness::from_slice(&[[0; 32]]),
        }],
        output: vec![output(5_000_000_000, &ANYBODY), output(0, &WITNESS_MAGIC)],
    }
}

/// The block's filter (BIP158), but for one script. Learns what the block pays.
fn filter(
    block: &Block,
    paid: &mut HashMap<OutPoint, ScriptBuf>,
    without: Option<&Script>,
) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = BlockFilterWriter::new(&mut bytes, block);
    for transaction in &block.txdata {
        let txid = transaction.compute_txid();
        for (vout, output) in (0..).zip(&transaction.output) {
            paid.insert(OutPoint { txid, vout }, output.script_pubkey.clone());
        }
    }
    let outputs = block.txdata.iter().flat_map(|it| &it.output);
    let outputs = outputs.map(|output| &output.script_pubkey);
    let inputs = block.txdata.iter().skip(1).flat_map(|it| &it.input);
    let inputs = inputs.filter_map(|input| paid.get(&input.previous_output));
    for script in outputs.chain(inputs) {
        let is_told = !script.is_op_return() && !script.is_empty();
        if is_told && without != Some(script.as_script()) {
            writer.add_element(script.as_bytes());
        }
    }
    writer.finish().expect("memory takes it");
    bytes
}
