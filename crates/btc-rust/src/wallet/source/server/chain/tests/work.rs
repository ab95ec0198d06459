//! What a branch must outweigh.

use super::*;

/// Headers that connect, without work: only their number and `bits` count here.
fn claimed(from: u32, bits: &[(usize, u32)]) -> Run {
    let header = |previous, bits| Header {
        version: Version::TWO,
        prev_blockhash: previous,
        merkle_root: TxMerkleNode::all_zeros(),
        time: 1_700_000_000,
        bits: CompactTarget::from_consensus(bits),
        nonce: 0,
    };
    let mut all = bits
        .iter()
        .flat_map(|(count, bits)| std::iter::repeat_n(*bits, *count));
    let first = all.next().expect("one at least");
    let mut run = Run::new(from, header(BlockHash::all_zeros(), first));
    for bits in all {
        run.push(header(run.tip().hash, bits));
    }
    run
}

#[test]
fn a_longer_chain_with_less_work_replaces_nothing() {
    let (usual, quarter) = (0x1703_255b, 0x170c_956c);
    let asked = Server {
        network: Network::Bitcoin,
        ..server(&[])
    };
    let from = 450 * PERIOD - 2;
    // Two blocks to the retarget, which makes it four times easier, then as many as it takes.
    let branch = |easy: usize| claimed(from, &[(2, usual), (easy, quarter)]);
    let base = BlockRef {
        height: from,
        hash: branch(1).header(from).expect("the first").block_hash(),
    };
    let old = claimed(from, &[(8, usual)]);
    let unknown = Run::new(from, *branch(1).header(from).expect("the first"));
    let replaces = |before: &Run, easy: usize| {
        let found = outweighs(&asked, before, &mut branch(easy), base, old.tip());
        found.is_ok()
    };
    // The old branch, of seven blocks, was known: six of them above the retarget.
    assert!(!replaces(&old, 7) && !replaces(&old, 23));
    assert!(replaces(&old, 26));
    // It was not: then each may have had four times the work of the last period's.
    assert!(!replaces(&unknown, 26) && !replaces(&unknown, 90));
    assert!(replaces(&unknown, 100));
}
