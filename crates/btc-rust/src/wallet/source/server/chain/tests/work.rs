//! What a branch must outweigh.

use super::*;

/// Headers that connect, without work: only their number and `bits` count here.
fn claimed(network: Network, from: u32, bits: &[(usize, u32)]) -> Run {
    let header = |previous, bits| Header {
        version: Version::TWO,
        prev_blockhash: previous,
        merkle_root: TxMerkleNode::all_zeros(),
        time: 1_700_000_000,
        bits: CompactTarget::from_consensus(bits),
        nonce: u32::from(network == Network::Bitcoin),
    };
    let mut run = Run::new(from, header(BlockHash::all_zeros(), bits[0].1));
    let rest = bits
        .iter()
        .flat_map(|(count, bits)| std::iter::repeat_n(*bits, *count));
    for bits in rest.skip(1) {
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
    let branch = |easy: usize| claimed(Network::Bitcoin, from, &[(2, usual), (easy, quarter)]);
    let base = BlockRef {
        height: from,
        hash: branch(1).header(from).expect("the first").block_hash(),
    };
    let old = claimed(Network::Bitcoin, from, &[(8, usual)]);
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

#[test]
fn what_blocks_may_have_cost_is_never_too_little() {
    let work = |bits: u32| Target::from_compact(CompactTarget::from_consensus(bits)).to_work();
    let times = |work: Work, count: usize| {
        let none = Work::from_be_bytes([0; 32]);
        std::iter::repeat_n(work, count).fold(none, |sum, work| sum + work)
    };
    let bits = 0x1703_255b;
    let run = claimed(Network::Bitcoin, 10 * PERIOD, &[(5, bits)]);
    let most = |network, run: &Run, from: u32, to: u32| most_work(network, run, from, to);
    let from = 10 * PERIOD + 4;
    assert_eq!(
        most(Network::Bitcoin, &run, from, from),
        times(work(bits), 0)
    );
    assert_eq!(
        most(Network::Bitcoin, &run, from, from + 9),
        times(work(bits), 9)
    );
    let end = 11 * PERIOD - 1;
    let within = times(work(bits), (end - from) as usize);
    assert_eq!(most(Network::Bitcoin, &run, from, end), within);
    let beyond = most(Network::Bitcoin, &run, from, end + 3);
    assert!(beyond >= within + times(work(bits), 12) && beyond < within + times(work(bits), 13));
    // An exception tells nothing of its period.
    let run = claimed(
        Network::Testnet4,
        10 * PERIOD,
        &[(1, 0x1a01_7fd6), (4, 0x1d00_ffff)],
    );
    let expected = times(work(0x1a01_7fd6), 9);
    assert_eq!(most(Network::Testnet4, &run, from, from + 9), expected);
    let run = claimed(Network::Regtest, 2 * PERIOD - 4, &[(5, 0x207f_ffff)]);
    let expected = times(work(0x207f_ffff), 9);
    let from = 2 * PERIOD - 3;
    assert_eq!(most(Network::Regtest, &run, from, from + 9), expected);
}
