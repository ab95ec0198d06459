//! Blocks that every copy of this program knows to be in its network's chain.
//!
//! They spare a wallet without blocks of its own the headers from the genesis block on, and no
//! chain without them counts, however long it is. The hashes are those that Bitcoin Core 31 ships
//! (`chainparams.cpp`: the BIP34 block and the snapshots of `m_assumeutxo_data`) and that
//! rust-bitcoin (BIP65, BIP66) and bip157 (the blocks below segwit and taproot) name.

use bitcoin::constants::genesis_block;
use btc_iface::{BlockRef, Network};

const MAINNET: &[(u32, &str)] = &[
    (
        227_931,
        "000000000000024b89b42a942fe0d9fea3bb44ab7bd1b19115dd6a759c0808b8",
    ),
    (
        363_725,
        "00000000000000000379eaa19dce8c9b722d46ae6a57c2f1a988119488b50931",
    ),
    (
        388_381,
        "000000000000000004c2b624ed5d7756c508d90fd0da2c7c679febfa6c4735f0",
    ),
    (
        481_823,
        "000000000000000000cbeff0b533f8e1189cf09dfbebf57a8ebe349362811b80",
    ),
    (
        709_631,
        "000000000000000000013712fc242ee6dd28476d0e9c931c75f83e6974c6bccc",
    ),
    (
        840_000,
        "0000000000000000000320283a032748cef8227873ff4872689bf23f1cda83a5",
    ),
    (
        880_000,
        "000000000000000000010b17283c3c400507969a9c2afd1dcf2082ec5cca2880",
    ),
    (
        910_000,
        "0000000000000000000108970acb9522ffd516eae17acddcb1bd16469194a821",
    ),
    (
        935_000,
        "0000000000000000000147034958af1652b2b91bba607beacc5e72a56f0fb5ee",
    ),
];
const TESTNET3: &[(u32, &str)] = &[
    (
        2_500_000,
        "0000000000000093bcb68c03a9a168ae252572d348a2eaeba2cdf9231d73206f",
    ),
    (
        4_840_000,
        "00000000000000f4971a7fb37fbdff89315b69a2e1920c467654a382f0d64786",
    ),
];
const TESTNET4: &[(u32, &str)] = &[
    (
        90_000,
        "0000000002ebe8bcda020e0dd6ccfbdfac531d2f6a81457191b99fc2df2dbe3b",
    ),
    (
        120_000,
        "000000000bd2317e51b3c5794981c35ba894ce27d3e772d5c39ecd9cbce01dc8",
    ),
];
const SIGNET: &[(u32, &str)] = &[
    (
        160_000,
        "0000003ca3c99aff040f2563c2ad8f8ec88bd0fd6b8f0895cfaf1ef90353a62c",
    ),
    (
        290_000,
        "0000000577f2741bb30cd9d39d6d71b023afbeb9764f6260786a97969d5c9ac0",
    ),
];

/// The fixed blocks of a network, the genesis block first.
pub(super) fn blocks(network: Network) -> impl DoubleEndedIterator<Item = BlockRef> {
    let above = match network {
        Network::Bitcoin => MAINNET,
        Network::Testnet => TESTNET3,
        Network::Testnet4 => TESTNET4,
        Network::Signet => SIGNET,
        Network::Regtest => &[],
    };
    let above = above.iter().map(|(height, hash)| BlockRef {
        height: *height,
        hash: hash
            .parse()
            .expect("a hash in hexadecimal, as a test checks"),
    });
    std::iter::once(genesis(network)).chain(above)
}

/// The highest fixed block that is not above this height.
pub(super) fn newest(network: Network, height: u32) -> BlockRef {
    let not_above = |block: &BlockRef| block.height <= height;
    let newest = blocks(network).rev().find(not_above);
    newest.unwrap_or_else(|| genesis(network))
}

fn genesis(network: Network) -> BlockRef {
    BlockRef {
        height: 0,
        hash: genesis_block(network).block_hash(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fixed_block_has_work_and_their_heights_ascend() {
        for network in [
            Network::Bitcoin,
            Network::Testnet,
            Network::Testnet4,
            Network::Signet,
            Network::Regtest,
        ] {
            let limit = network.params().max_attainable_target;
            let all: Vec<_> = blocks(network).collect();
            for pair in all.windows(2) {
                assert!(pair[0].height < pair[1].height, "{pair:?}");
                assert!(limit.is_met_by(pair[1].hash), "{pair:?}");
            }
            assert_eq!(newest(network, u32::MAX), all[all.len() - 1]);
            assert_eq!(newest(network, 0), all[0]);
        }
        assert_eq!(newest(Network::Bitcoin, 839_999).height, 709_631);
        assert_eq!(newest(Network::Bitcoin, 840_000).height, 840_000);
    }
}
