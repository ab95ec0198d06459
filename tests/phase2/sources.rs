//! A wallet restored from its words alone finds the same coins through every chain source.

use std::collections::BTreeSet;

use btc::bitcoin::{Amount, OutPoint, Txid};
use btc::rust::wallet::RustWallet;
use btc::{AddressType, Chain, NodeConfig, PaymentState, WalletBalance, WalletInterface};
use btc_regtest::{Chain as Factory, ElectrumServer, EsploraServer, Node};
use btc_tests::{Backend, Outcome, Suite, WalletFolder, builder, node_config};

/// What a wallet found: its coins with their place, its balance, its history.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    coins: BTreeSet<(OutPoint, u64, AddressType, Chain, u32)>,
    balance: WalletBalance,
    history: BTreeSet<(Txid, u64, u64, Option<u32>)>,
}

pub(crate) fn add(suite: &mut Suite) {
    suite.add(
        "sources::restored_from_words_all_find_the_same",
        same_everywhere,
    );
    suite.add(
        "sources::all_follow_a_reorganisation",
        all_follow_a_reorganisation,
    );
}

fn same_everywhere() -> Outcome {
    let lab = Lab::start()?;
    let mut chain = Factory::new(&lab.node, 3)?;
    chain.mine(130)?;
    let wallet = WalletFolder::random(0)?;
    live_a_little(&mut chain, &wallet, &lab.config)?;
    let original = lab.open(&wallet, &[])?;
    original.sync()?;
    let expected = found(&original)?;
    assert!(expected.coins.len() > 12, "{}", expected.coins.len());
    assert_eq!(
        expected.balance.confirmed_sat,
        expected.balance.spendable_sat()
    );
    lab.compare_restored(&wallet, &expected)
}

fn all_follow_a_reorganisation() -> Outcome {
    let lab = Lab::start()?;
    let mut chain = Factory::new(&lab.node, 4)?;
    chain.mine(130)?;
    let wallet = WalletFolder::random(0)?;
    live_a_little(&mut chain, &wallet, &lab.config)?;
    // Each has followed the chain that goes.
    let folders = lab
        .sources()
        .into_iter()
        .map(|(name, variables)| Ok((name, wallet.again(0)?, variables)))
        .collect::<btc::BitcoinResult<Vec<_>>>()?;
    let server_variables = |variables: &[(&str, String)]| -> Vec<(String, String)> {
        variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect()
    };
    lab.server.wait_for_tip(&lab.node)?;
    let mut open = Vec::new();
    for (name, folder, variables) in &folders {
        let wallet = lab.open(folder, &server_variables(variables))?;
        wallet.sync().map_err(|error| format!("{name}: {error}"))?;
        open.push((*name, wallet));
    }
    let original = lab.open(&wallet, &[])?;
    for depth in [1, 3, 8] {
        chain.reorg(depth)?;
        lab.server.wait_for_tip(&lab.node)?;
        original.sync()?;
        let expected = found(&original)?;
        for (name, wallet) in &open {
            wallet.sync().map_err(|error| format!("{name}: {error}"))?;
            assert_eq!(found(wallet)?, expected, "{name} after {depth} blocks");
        }
    }
    Ok(())
}

/// A node that serves everybody, and an Electrum and an Esplora server over it.
struct Lab {
    server: ElectrumServer,
    esplora: EsploraServer,
    config: NodeConfig,
    node: Node,
}

impl Lab {
    fn start() -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let node = builder()
            .block_filters(true)
            .listen(true)
            .spender_index(true)
            .start()?;
        Ok(Self {
            server: ElectrumServer::start(&node)?,
            esplora: EsploraServer::start(&node)?,
            config: node_config(&node),
            node,
        })
    }

    /// Every chain source with the variables that choose it.
    fn sources(&self) -> Vec<(&'static str, Vec<(&'static str, String)>)> {
        let peer = self
            .node
            .p2p_address()
            .expect("the node listens")
            .to_string();
        vec![
            ("core", vec![("WALLET_SOURCE", "core".to_owned())]),
            (
                "p2p",
                vec![("WALLET_SOURCE", "p2p".to_owned()), ("P2P_PEERS", peer)],
            ),
            (
                "electrum",
                vec![
                    ("WALLET_SOURCE", "electrum".to_owned()),
                    ("ELECTRUM_URL", self.server.url()),
                ],
            ),
            (
                "esplora",
                vec![
                    ("WALLET_SOURCE", "esplora".to_owned()),
                    ("ESPLORA_URL", self.esplora.url()),
                ],
            ),
        ]
    }

    fn open(
        &self,
        wallet: &WalletFolder,
        variables: &[(String, String)],
    ) -> btc::BitcoinResult<std::sync::Arc<RustWallet>> {
        let variables: Vec<_> = variables
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        btc::connect_wallet(&wallet.config(&self.config, &variables))
    }

    /// Restores from the words, through each source and in Python.
    fn compare_restored(&self, wallet: &WalletFolder, expected: &Found) -> Outcome {
        self.server.wait_for_tip(&self.node)?;
        for (name, variables) in self.sources() {
            let restored = WalletFolder::from_words(
                &wallet.words,
                &wallet.passphrase,
                0,
                AddressType::P2wpkh,
            )?;
            let variables: Vec<_> = variables
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect();
            let opened = self.open(&restored, &variables)?;
            opened.sync().map_err(|error| format!("{name}: {error}"))?;
            assert_eq!(&found(&opened)?, expected, "restored through {name}");
            // Nothing of what was given out before is given out again.
            for address_type in AddressType::ALL {
                let index = opened.generate_address(address_type)?.index;
                assert!(index > Some(0), "{name}: {address_type} index {index:?}");
            }
        }
        let restored = wallet.again(0)?;
        let python = restored.connect(Backend::PythonEmbedded, &self.config)?;
        assert_eq!(
            python.bitcoin.get_balance()?,
            expected.balance.spendable_sat()
        );
        Ok(())
    }
}

/// Payments of every type, spends with change, and addresses left unused in between.
fn live_a_little(chain: &mut Factory<'_>, wallet: &WalletFolder, node: &NodeConfig) -> Outcome {
    let bitcoin = wallet.connect(Backend::Rust, node)?.bitcoin;
    for round in 0..5_u64 {
        for address_type in AddressType::ALL {
            // Every other address stays unused.
            bitcoin.generate_address(address_type)?;
            let script = bitcoin.generate_address(address_type)?.script_pubkey;
            let value = Amount::from_sat(40_000 + 1_000 * round);
            chain.pay(&[(script, value)], 2)?;
        }
        chain.mine(2)?;
        let to = bitcoin.generate_address(AddressType::P2tr)?.address;
        let transaction = bitcoin.create_transaction(vec![(to, 70_000)], 3)?;
        bitcoin.broadcast_transaction(&transaction)?;
        chain.mine(1)?;
    }
    chain.mine(3)?;
    Ok(())
}

fn found(wallet: &RustWallet) -> btc::BitcoinResult<Found> {
    let coins = wallet.unspent()?;
    let history = wallet.history()?;
    Ok(Found {
        coins: coins
            .iter()
            .map(|coin| {
                (
                    coin.outpoint,
                    coin.value_sat,
                    coin.address_type,
                    coin.chain,
                    coin.index,
                )
            })
            .collect(),
        balance: WalletBalance {
            // What only the wallet that handed it over knows.
            held_by_missing_sat: 0,
            ..wallet.balance()?
        },
        history: history
            .iter()
            .filter(|entry| entry.state != PaymentState::Missing)
            .map(|entry| {
                (
                    entry.txid,
                    entry.sent_sat,
                    entry.received_sat,
                    entry.block.map(|block| block.height),
                )
            })
            .collect(),
    })
}
