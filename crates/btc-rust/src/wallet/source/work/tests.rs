//! Branches against a plain rendering of the rule that sees every header, and against the main
//! chain's own numbers.

use bitcoin::block::Version;
use bitcoin::constants::genesis_block;
use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, TxMerkleNode};
use proptest::prelude::*;

use super::*;

const ALL: [Network; 5] = [
    Network::Bitcoin,
    Network::Testnet,
    Network::Testnet4,
    Network::Signet,
    Network::Regtest,
];

fn header(prev_blockhash: BlockHash, time: u32, bits: CompactTarget) -> Header {
    Header {
        version: Version::TWO,
        prev_blockhash,
        merkle_root: TxMerkleNode::all_zeros(),
        time,
        bits,
        nonce: 0,
    }
}

fn block(height: u32, header: &Header) -> BlockRef {
    BlockRef {
        height,
        hash: header.block_hash(),
    }
}

fn easiest(network: Network) -> CompactTarget {
    network.params().max_attainable_target.to_compact_lossy()
}

/// The `bits` of the block above these, the first of which is the genesis block: Bitcoin Core's
/// `GetNextWorkRequired`, line by line.
fn required(network: Network, chain: &[Header], time: u32) -> CompactTarget {
    let last = chain.len() - 1;
    let params = network.params();
    if !chain.len().is_multiple_of(PERIOD as usize) {
        if params.allow_min_difficulty_blocks {
            if time > chain[last].time + 1_200 {
                return easiest(network);
            }
            let mut at = last;
            while !at.is_multiple_of(PERIOD as usize) && chain[at].bits == easiest(network) {
                at -= 1;
            }
            return chain[at].bits;
        }
        return chain[last].bits;
    }
    if params.no_pow_retargeting {
        return chain[last].bits;
    }
    let first = &chain[chain.len() - PERIOD as usize];
    let span = i64::from(chain[last].time) - i64::from(first.time);
    let old = if network == Network::Testnet4 {
        first.bits
    } else {
        chain[last].bits
    };
    let span = u64::try_from(span.max(0)).expect("not negative");
    CompactTarget::from_next_work_required(old, span, params)
}

/// A right chain from the genesis block on; each block comes so many seconds after the one
/// before. No header has proof of work.
fn chain(network: Network, gaps: impl IntoIterator<Item = i64>) -> Vec<Header> {
    let mut chain = vec![genesis_block(network).header];
    let mut hash = chain[0].block_hash();
    for gap in gaps {
        let time = i64::from(chain[chain.len() - 1].time) + gap;
        let time = u32::try_from(time).expect("a time");
        let next = header(hash, time, required(network, &chain, time));
        hash = next.block_hash();
        chain.push(next);
    }
    chain
}

fn branch_above(network: Network, chain: &[Header], height: usize) -> Branch {
    let below = block(u32::try_from(height).expect("few"), &chain[height]);
    Branch::above(network, below, &chain[height]).expect("its own header")
}

/// A fast period, after which no block is easy by itself, one by this pattern, and a slow one.
fn gaps(pattern: &[i64], slow: i64) -> impl Iterator<Item = i64> {
    let period = PERIOD as usize;
    let fast = std::iter::repeat_n(60, period);
    // The last second at which no exception is allowed, and the first at which one is.
    let edges = pattern.iter().copied().chain([1_200, 1_201, 1_201]);
    // The last of the period is an exception, too.
    let edges: Vec<_> = edges.cycle().take(period - 2).chain([1_201]).collect();
    let slow = std::iter::repeat_n(slow, period + 10);
    fast.chain(edges).chain(slow)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..<_>::default() })]

    #[test]
    fn every_right_chain_is_taken_from_every_place(
        pattern in proptest::collection::vec(-300_i64..2_000, 1..40),
        slow in 100_i64..3_000,
        starts in proptest::collection::vec(0_usize..3 * PERIOD as usize, 6),
        knows_period: bool,
    ) {
        for network in ALL {
            let chain = chain(network, gaps(&pattern, slow));
            for start in &starts {
                let mut branch = branch_above(network, &chain, *start);
                if knows_period {
                    branch = branch.with_period(&chain[start - start % PERIOD as usize]);
                }
                for header in &chain[start + 1..] {
                    prop_assert_eq!(branch.append(header), Ok(()));
                }
                prop_assert_eq!(branch.work(), total_work(&chain[start + 1..]));
                prop_assert_eq!(branch.last(), &chain[chain.len() - 1]);
                let below = branch_above(network, &chain, *start);
                for end in [start + 1, start + 500, chain.len()].map(|end| end.min(chain.len() - 1)) {
                    let blocks = u32::try_from(end - start).expect("few");
                    let most = below.most_work(blocks);
                    let work = total_work(&chain[start + 1..=end]);
                    prop_assert!(most.is_none_or(|most| work <= most));
                    let is_exact = network == Network::Regtest
                        || (network == Network::Bitcoin && start / 2016 == end / 2016);
                    prop_assert!(!is_exact || most == Some(work));
                }
            }
        }
    }

    #[test]
    fn one_wrong_header_is_refused_where_it_is(
        network in proptest::sample::select(ALL.to_vec()),
        pattern in proptest::collection::vec(-300_i64..2_000, 1..40),
        at in 1_usize..3 * PERIOD as usize,
        bits: u32,
        near in -3_i32..=3,
    ) {
        let chain = chain(network, gaps(&pattern, 600));
        let mut branch = branch_above(network, &chain, 0);
        for header in &chain[1..at] {
            prop_assert_eq!(branch.append(header), Ok(()));
        }
        let before = branch.work();
        let right = chain[at];
        let height = u32::try_from(at).expect("few");
        let close = right.bits.to_consensus().saturating_add_signed(near);
        let alias = (bits & 0xff_ffff) | 0xff00_0000;
        for bits in [bits, close, easiest(network).to_consensus(), alias, 0, u32::MAX] {
            let wrong = Header { bits: CompactTarget::from_consensus(bits), ..right };
            let expected = if wrong == right { Ok(()) } else {
                Err(Flaw::WrongBits { height, bits })
            };
            prop_assert_eq!(branch.clone().append(&wrong), expected);
        }
        let elsewhere = Header { prev_blockhash: BlockHash::all_zeros(), ..right };
        prop_assert_eq!(branch.append(&elsewhere), Err(Flaw::Unconnected(height)));
        prop_assert_eq!(branch.work(), before);
        prop_assert_eq!(branch.append(&right), Ok(()));
    }

    #[test]
    fn without_the_period_a_retarget_is_within_the_factor_4(
        mantissa in 0x8000_u32..=0x7f_ffff,
        exponent in 5_u32..=0x1c,
        bits: u32,
        factor in 1_u32..=16,
    ) {
        let network = Network::Bitcoin;
        let old = CompactTarget::from_consensus(exponent << 24 | mantissa);
        let base = header(BlockHash::all_zeros(), 1_700_000_000, old);
        let below = BlockRef { height: 10 * PERIOD - 1, hash: base.block_hash() };
        let branch = Branch::above(network, below, &base).expect("its own header");
        let with = |bits| branch.clone().append(&header(below.hash, 1_700_000_600, bits));
        // Any at all, and some that are near by.
        let next = |span| CompactTarget::from_next_work_required(old, span, network.params());
        let spans = u64::from(factor) * network.params().pow_target_timespan / 4;
        prop_assert_eq!(with(next(spans)), Ok(()));
        let new = CompactTarget::from_consensus(bits);
        if with(new).is_ok() {
            prop_assert!(Target::from(new) <= Target::from(next(u64::MAX)));
            prop_assert!(Target::from(new) >= Target::from(next(0)));
        }
        prop_assert!(with(easiest(network)).is_err() || next(u64::MAX) == easiest(network));
    }

    #[test]
    fn no_header_makes_it_panic(
        network in proptest::sample::select(ALL.to_vec()),
        headers: Vec<[u8; 80]>,
        bits: u32,
    ) {
        let genesis = genesis_block(network).header;
        let mut branch = branch_above(network, &[genesis], 0);
        for bytes in headers {
            let any: Header = bitcoin::consensus::deserialize(&bytes).expect("80 bytes");
            let any = Header { prev_blockhash: branch.tip().hash, ..any };
            let _ = branch.push(&any);
            let _ = branch.push(&Header { bits: CompactTarget::from_consensus(bits), ..any });
            let _ = total_work(&[any, any]);
            let _ = Branch::above(network, block(u32::MAX, &any), &any);
        }
    }
}

#[test]
fn bits_that_are_written_in_another_way_are_refused() {
    // The same target twice; the node writes the first.
    let (usual, other) = (0x1c7f_0000, 0x1d00_7f00);
    let bits = CompactTarget::from_consensus(usual);
    let base = header(BlockHash::all_zeros(), 1_700_000_000, bits);
    let height = 10 * PERIOD;
    let branch =
        Branch::above(Network::Bitcoin, block(height - 1, &base), &base).expect("its own header");
    let with = |bits| {
        let bits = CompactTarget::from_consensus(bits);
        branch
            .clone()
            .append(&header(base.block_hash(), 1_700_000_600, bits))
    };
    assert_eq!(with(usual), Ok(()));
    let bits = other;
    assert_eq!(with(other), Err(Flaw::WrongBits { height, bits }));
}

#[test]
fn retargets_of_the_main_chain_are_those_that_happened() {
    let at = |height: u32, time, bits: u32, start: u32, next: u32| {
        let base = header(
            BlockHash::all_zeros(),
            time,
            CompactTarget::from_consensus(bits),
        );
        let first = header(BlockHash::all_zeros(), start, base.bits);
        let branch = Branch::above(Network::Bitcoin, block(height, &base), &base)
            .expect("its own header")
            .with_period(&first);
        let with = |bits: u32| {
            let bits = CompactTarget::from_consensus(bits);
            branch
                .clone()
                .append(&header(base.block_hash(), time + 600, bits))
        };
        assert_eq!(with(next), Ok(()), "block {}", height + 1);
        let height = height + 1;
        for bits in [bits, next + 1, next - 1] {
            assert_eq!(with(bits), Err(Flaw::WrongBits { height, bits }));
        }
    };
    // The first retarget, one that is held to the limit upwards, one downwards.
    at(
        32_255,
        1_262_152_739,
        0x1d00_ffff,
        1_261_130_161,
        0x1d00_d86a,
    );
    at(
        68_543,
        1_279_297_671,
        0x1c05_a3f4,
        1_279_008_237,
        0x1c01_68fd,
    );
    at(
        46_367,
        1_269_211_443,
        0x1c38_7f6f,
        1_263_163_443,
        0x1d00_e1fd,
    );
}

#[test]
fn a_header_without_work_is_refused_and_one_with_it_counts_for_it() {
    let network = Network::Regtest;
    let genesis = genesis_block(network).header;
    let mut branch = branch_above(network, &[genesis], 0);
    let mut next = header(genesis.block_hash(), genesis.time + 1, genesis.bits);
    while next.target().is_met_by(next.block_hash()) {
        next.nonce += 1;
    }
    assert_eq!(branch.push(&next), Err(Flaw::NoWork(1)));
    while !next.target().is_met_by(next.block_hash()) {
        next.nonce += 1;
    }
    assert_eq!(branch.push(&next), Ok(()));
    assert_eq!(branch.tip(), block(1, &next));
    // 2^256 divided by a target of about 2^255.
    let two = Work::from_be_bytes(std::array::from_fn(|at| if at == 31 { 2 } else { 0 }));
    assert_eq!(branch.work(), two);
    let checked = check_bits(network, block(0, &genesis), &genesis, &[next]);
    assert_eq!(checked, Ok(two));
    // The main chain's first block, whose target is the hardest that no one has to be told.
    let main = genesis_block(Network::Bitcoin).header;
    let other = Branch::above(network, block(0, &main), &genesis);
    assert_eq!(other.err(), Some(Flaw::OtherHeader(0)));
}
