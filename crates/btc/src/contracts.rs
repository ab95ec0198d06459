//! Puts discreet log contracts together: the configured node, the configured wallet, a folder.

use std::path::Path;
use std::sync::Arc;

use btc_dlc::{Dlc, DlcConfig, Oracle, Parts, Seed, WalletFunding};
use btc_iface::{BitcoinError, BitcoinResult, ErrorKind, Network, Operation, WalletInterface as _};
use btc_rust::RustBitcoin;

use crate::config::Config;
use crate::{connect, wallet};

/// Opens the contracts in this folder over the configured Rust wallet and its node; the wallet
/// follows the chain first.
///
/// # Errors
/// Those of the wallet, the node and the store. `Unsupported` on mainnet: docs/dlc.md says what is
/// open.
///
/// # Effects
/// The folder and its files are made where they are missing.
pub fn connect_dlc(config: &Config, folder: &Path, terms: DlcConfig) -> BitcoinResult<Dlc> {
    let node = connect::node(config)?;
    check_network(node.network)?;
    let wallet = wallet::connect_wallet(config)?;
    wallet.sync()?;
    let with_wallet = RustBitcoin::connect(node)?.with_wallet(Arc::clone(&wallet));
    let bare = Arc::new(RustBitcoin::connect(node)?);
    make(folder)?;
    let seed = seed(folder)?;
    let parts = Parts {
        network: node.network,
        index: Arc::clone(&bare) as _,
        node: bare,
        funding: Arc::new(WalletFunding::new(wallet, Arc::new(with_wallet))),
    };
    Dlc::open(folder, seed, parts, terms)
}

/// The seed of the contracts in this folder: made only where there are none, which another one could
/// not settle.
fn seed(folder: &Path) -> BitcoinResult<Seed> {
    let path = folder.join("seed");
    if folder.join("contracts.sqlite").exists() {
        return Seed::open(&path);
    }
    Seed::open_or_create(&path)
}

/// Opens the oracle in this folder.
///
/// # Errors
/// Those of the store.
///
/// # Effects
/// The folder and its files are made where they are missing.
pub fn open_oracle(folder: &Path) -> BitcoinResult<Oracle> {
    make(folder)?;
    let seed = Seed::open_or_create(&folder.join("oracle.seed"))?;
    Oracle::open(&folder.join("oracle.sqlite"), &seed)
}

/// Money that cannot be printed waits until every finding of the last review is mended.
fn check_network(network: Network) -> BitcoinResult<()> {
    if network == Network::Bitcoin {
        let message = "contracts are not for mainnet yet; use signet, testnet4 or regtest";
        let operation = Operation::Contract;
        return Err(BitcoinError::new(
            ErrorKind::Unsupported,
            operation,
            message,
        ));
    }
    Ok(())
}

fn make(folder: &Path) -> BitcoinResult<()> {
    std::fs::create_dir_all(folder).map_err(|cause| {
        let message = "the folder of the contracts cannot be made";
        BitcoinError::new(ErrorKind::Configuration, Operation::Contract, message)
            .with_context("folder", folder.display())
            .with_source(cause)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_that_is_missing_beside_contracts_is_not_made_anew() {
        let folder = tempfile::tempdir().expect("a folder");
        seed(folder.path()).expect("a new one");
        std::fs::write(folder.path().join("contracts.sqlite"), "").expect("written");
        seed(folder.path()).expect("the same");
        std::fs::remove_file(folder.path().join("seed")).expect("there");
        let missing = seed(folder.path()).expect_err("no seed");
        assert_eq!(missing.kind(), ErrorKind::Configuration);
        assert!(!folder.path().join("seed").exists());
    }

    #[test]
    fn mainnet_is_refused_and_no_other_network() {
        let refused = check_network(Network::Bitcoin).expect_err("a refusal");
        assert_eq!(refused.kind(), ErrorKind::Unsupported);
        for network in [Network::Signet, Network::Testnet4, Network::Regtest] {
            check_network(network).expect("no real money");
        }
    }
}
