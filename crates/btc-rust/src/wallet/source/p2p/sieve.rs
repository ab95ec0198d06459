//! `Sieve`: the filter of a block (BIP158), and what the block says against it.

use std::collections::HashSet;

use bitcoin::bip158::BlockFilter;
use bitcoin::hashes::Hash;
use bitcoin::{Block, FilterHash, OutPoint, Script, ScriptBuf};
use btc_iface::BlockRef;

/// The filter of a block, as a peer tells it.
pub(super) struct Sieve {
    pub(super) block: BlockRef,
    filter: BlockFilter,
}

impl Sieve {
    pub(super) fn new(block: BlockRef, content: Vec<u8>) -> Self {
        let filter = BlockFilter { content };
        Self { block, filter }
    }

    pub(super) fn hash(&self) -> FilterHash {
        FilterHash::hash(&self.filter.content)
    }

    /// Whether the block may spend or pay one of the scripts. A filter that cannot be read lets
    /// the block through, which then speaks for itself, and so does one that claims that the block
    /// pays to nothing: few do, and those are small.
    pub(super) fn lets_through<S: AsRef<[u8]>>(&self, scripts: &[S]) -> bool {
        self.count().is_none_or(|count| count == 0)
            || self
                .filter
                .match_any(&self.block.hash, scripts.iter().map(AsRef::as_ref))
                .unwrap_or(true)
    }

    /// Whether the filter hides something that is in its block: a script that the block pays to,
    /// or that it spends one of these outputs, which are locked by one of these scripts. What else
    /// it spends is not in the block, so that it cannot be held against the filter.
    pub(super) fn hides(
        &self,
        block: &Block,
        owned: &HashSet<OutPoint>,
        watched: &[ScriptBuf],
    ) -> bool {
        let outputs = block.txdata.iter().flat_map(|it| &it.output);
        let scripts: Vec<&[u8]> = outputs
            .map(|output| output.script_pubkey.as_script())
            .filter(|script| !script.is_empty() && !script.is_op_return())
            .map(Script::as_bytes)
            .collect();
        let is_empty = self.count().is_none_or(|count| count == 0);
        let hides_outputs = !scripts.is_empty()
            && (is_empty
                || !self
                    .filter
                    .match_all(&self.block.hash, scripts.into_iter())
                    .unwrap_or(false));
        let mut inputs = block.txdata.iter().flat_map(|it| &it.input);
        let spends_own = inputs.any(|input| owned.contains(&input.previous_output));
        hides_outputs || (spends_own && (is_empty || !self.lets_through(watched)))
    }

    /// The number of elements. `None`: it claims more than its bytes can hold, at 20 bits or more
    /// each, which would overflow the library's arithmetic.
    fn count(&self) -> Option<u64> {
        const MIN_BITS: u64 = 20;
        let content = self.filter.content.as_slice();
        let bits = 8 * content.len() as u64;
        let count = bitcoin::consensus::deserialize_partial::<bitcoin::VarInt>(content);
        let (count, _) = count.ok()?;
        (count.0 <= bits / MIN_BITS).then_some(count.0)
    }
}

#[cfg(test)]
mod tests {
    use bitcoin::BlockHash;
    use bitcoin::bip158::BlockFilterWriter;
    use bitcoin::constants::genesis_block;
    use btc_iface::Network;
    use proptest::prelude::*;

    use super::*;

    fn sieve(content: &[u8]) -> Sieve {
        let block = BlockRef {
            height: 1,
            hash: BlockHash::all_zeros(),
        };
        Sieve::new(block, content.to_vec())
    }

    #[test]
    fn a_filter_that_claims_too_much_or_nothing_lets_the_block_through() {
        let scripts = [vec![1_u8; 22]];
        // 2^64 - 1 elements in no bytes, one in too few, no count at all, and nothing.
        for content in [[0xff; 9].as_slice(), &[1, 0xff], &[], &[0]] {
            assert!(sieve(content).lets_through(&scripts), "{content:?}");
        }
        assert!(!sieve(&[1, 1, 1, 1]).lets_through(&scripts));
    }

    #[test]
    fn a_filter_that_hides_an_output_of_its_block_is_seen_through() {
        let mut block = genesis_block(Network::Regtest);
        let paid: Vec<_> = (0..50).map(|n| ScriptBuf::from(vec![0x51, n])).collect();
        let mut outputs: Vec<_> = paid
            .iter()
            .map(|script| bitcoin::TxOut {
                value: bitcoin::Amount::ZERO,
                script_pubkey: script.clone(),
            })
            .collect();
        outputs.push(bitcoin::TxOut {
            value: bitcoin::Amount::ZERO,
            script_pubkey: ScriptBuf::from(vec![0x6a, 1, 2]),
        });
        block.txdata[0].output = outputs;
        let spent = block.txdata[0].input[0].previous_output;
        let own = ScriptBuf::from(vec![0x52; 30]);
        let (owned, watched) = (HashSet::from([spent]), [own.clone()]);
        let of = |scripts: &mut dyn Iterator<Item = &ScriptBuf>| {
            let mut content = Vec::new();
            let mut writer = BlockFilterWriter::new(&mut content, &block);
            scripts.for_each(|script| writer.add_element(script.as_bytes()));
            writer.finish().expect("memory takes it");
            let hash = block.block_hash();
            Sieve::new(BlockRef { height: 0, hash }, content)
        };
        let nothing = HashSet::new();
        let whole = of(&mut paid.iter().chain([&own]));
        assert!(!whole.hides(&block, &owned, &watched) && !whole.hides(&block, &nothing, &[]));
        // What others spend is not in the block.
        let without_own = of(&mut paid.iter());
        assert!(without_own.hides(&block, &owned, &watched));
        assert!(!without_own.hides(&block, &nothing, &watched));
        for missing in 0..paid.len() {
            let hiding = of(&mut paid.iter().filter(|it| **it != paid[missing]));
            assert!(hiding.hides(&block, &nothing, &[]), "{missing}");
        }
        assert!(of(&mut std::iter::empty()).hides(&block, &nothing, &[]));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_filter(content: Vec<u8>) {
            let sieve = sieve(&content);
            let _ = sieve.lets_through(&[vec![1_u8; 22], vec![2; 34]]);
            let _ = sieve.hides(&genesis_block(Network::Regtest), &HashSet::new(), &[]);
        }
    }
}
