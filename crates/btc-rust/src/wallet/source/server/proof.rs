//! `Proof`: that a transaction is in the block with this header.

use bitcoin::consensus::encode::deserialize;
use bitcoin::hashes::{Hash, sha256d};
use bitcoin::{Transaction, TxMerkleNode, Txid};

/// More levels than the tree of any block has.
const MAX_DEPTH: usize = 32;

/// A Merkle branch, as Electrum and Esplora tell it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::wallet::source) struct Proof {
    /// The transaction's number in its block.
    pub(in crate::wallet::source) position: u64,
    /// The hashes beside the way to the root, the lowest first.
    pub(in crate::wallet::source) siblings: Vec<TxMerkleNode>,
}

impl Proof {
    /// Whether the branch leads from the transaction to this root.
    ///
    /// A node of the tree that could be read as a transaction of 64 bytes is refused: with one of
    /// those in a block, a branch that is one level longer would prove a transaction that was
    /// never mined.
    pub(super) fn holds(&self, txid: Txid, root: TxMerkleNode) -> bool {
        let depth = self.siblings.len();
        if depth > MAX_DEPTH || self.position >> depth != 0 {
            return false;
        }
        let mut node = txid.to_raw_hash();
        for (level, sibling) in self.siblings.iter().enumerate() {
            let (left, right) = if self.position >> level & 1 == 0 {
                (node, sibling.to_raw_hash())
            } else {
                (sibling.to_raw_hash(), node)
            };
            let pair = [left.to_byte_array(), right.to_byte_array()].concat();
            if deserialize::<Transaction>(&pair).is_ok() {
                return false;
            }
            node = sha256d::Hash::hash(&pair);
        }
        node == root.to_raw_hash()
    }
}

#[cfg(test)]
mod tests {
    use bitcoin::consensus::encode::serialize;
    use bitcoin::{
        Amount, OutPoint, ScriptBuf, Sequence, TxIn, TxOut, Witness, absolute, transaction,
    };
    use proptest::prelude::*;

    use super::*;

    fn txid(n: u64) -> Txid {
        Txid::hash(&n.to_le_bytes())
    }

    /// The tree over these leaves from the bottom up, each level of an odd length with its last
    /// node twice.
    fn tree(leaves: Vec<sha256d::Hash>) -> Vec<Vec<sha256d::Hash>> {
        let mut levels = vec![leaves];
        while let Some(level) = levels.last_mut().filter(|level| level.len() > 1) {
            if level.len() % 2 == 1 {
                level.extend(level.last().copied());
            }
            let pairs = level.chunks(2);
            let above = pairs.map(|pair| {
                let pair = [pair[0].to_byte_array(), pair[1].to_byte_array()].concat();
                sha256d::Hash::hash(&pair)
            });
            let above: Vec<_> = above.collect();
            levels.push(above);
        }
        levels
    }

    fn proof(levels: &[Vec<sha256d::Hash>], position: usize) -> (Proof, TxMerkleNode) {
        let (root, below) = levels.split_last().expect("a tree");
        let siblings = below.iter().enumerate();
        let siblings = siblings
            .map(|(level, nodes)| TxMerkleNode::from_raw_hash(nodes[position >> level ^ 1]));
        let proof = Proof {
            position: position as u64,
            siblings: siblings.collect(),
        };
        (proof, TxMerkleNode::from_raw_hash(root[0]))
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..<_>::default() })]

        #[test]
        fn every_transaction_of_a_block_is_proven_and_no_other(
            count in 1_usize..70,
            at: prop::sample::Index,
            changed: prop::sample::Index,
            bit in 0_usize..256,
        ) {
            let leaves = (0..count as u64).map(|n| txid(n).to_raw_hash()).collect();
            let levels = tree(leaves);
            let position = at.index(count);
            let (proof, root) = proof(&levels, position);
            let mine = txid(position as u64);
            prop_assert!(proof.holds(mine, root));
            prop_assert!(!proof.holds(txid(count as u64), root));
            prop_assert!(!proof.holds(mine, TxMerkleNode::all_zeros()));
            let far = Proof { position: proof.position | 1 << proof.siblings.len(), ..proof.clone() };
            prop_assert!(!far.holds(mine, root));
            if !proof.siblings.is_empty() {
                let mut forged = proof.clone();
                let at = changed.index(forged.siblings.len());
                let mut bytes = forged.siblings[at].to_byte_array();
                bytes[bit / 8] ^= 1 << (bit % 8);
                forged.siblings[at] = TxMerkleNode::from_byte_array(bytes);
                prop_assert!(!forged.holds(mine, root));
            }
        }
    }

    #[test]
    fn a_node_that_is_a_transaction_of_64_bytes_proves_nothing() {
        let forged = txid(7);
        // The right half of the small transaction is the txid that is to be proven: bytes of the
        // outpoint's number, of the sequence, of the output.
        let small = |right: [u8; 32]| {
            let mut bytes = serialize(&Transaction {
                version: transaction::Version::TWO,
                lock_time: absolute::LockTime::ZERO,
                input: vec![TxIn {
                    previous_output: OutPoint::new(txid(1), 0),
                    script_sig: ScriptBuf::new(),
                    sequence: Sequence::MAX,
                    witness: Witness::new(),
                }],
                output: vec![TxOut {
                    value: Amount::from_sat(1),
                    script_pubkey: ScriptBuf::from_bytes(vec![0x51; 4]),
                }],
            });
            assert_eq!(bytes.len(), 64);
            for (at, byte) in right.iter().enumerate() {
                // The places of lengths and counts stay as they are.
                if !matches!(32 + at, 41 | 46 | 55) {
                    bytes[32 + at] = *byte;
                }
            }
            bytes
        };
        let pair = small(forged.to_byte_array());
        let (left, right) = pair.split_at(32);
        let claimed = Txid::from_slice(right).expect("32 bytes");
        let sibling = TxMerkleNode::from_slice(left).expect("32 bytes");
        let longer = Proof {
            position: 1,
            siblings: vec![sibling],
        };
        let root = TxMerkleNode::from_raw_hash(sha256d::Hash::hash(&pair));
        assert!(!longer.holds(claimed, root));
        // The small transaction itself is in its block.
        let whole = Proof {
            position: 0,
            siblings: Vec::new(),
        };
        assert!(whole.holds(Txid::from_raw_hash(root.to_raw_hash()), root));
    }
}
