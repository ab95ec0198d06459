//! What a soak runs on: a node, a chain, a wallet, and both implementations connected to them.

use std::path::Path;
use std::sync::Arc;

use btc::bitcoin::hashes::Hash;
use btc::bitcoin::{Address, Amount, ScriptBuf, WPubkeyHash};
use btc::config::{WalletSettings, WalletSource};
use btc::rust::wallet::folder::{self, NewWallet, Origin};
use btc::rust::wallet::keys::words_from_entropy;
use btc::rust::wallet::secret::Protection;
use btc::shadow::parity::Random;
use btc::{
    AddressType, BitcoinImplementationType, BitcoinInterface, CoinSelection, Config, Network,
    ObservedWallet, Operation, Secret,
};
use btc_regtest::{Chain, Plan};

use super::demo;
use crate::exit::{Code, Failure};
use crate::flags::Soak;
use crate::load::{Inputs, Mix, World};

/// Coins that the wallet begins with, and the value of each: enough for thousands of payments. What
/// was created and cannot be sent after all keeps its coins reserved for ten minutes.
const FUNDS: usize = 200;
const FUND: Amount = Amount::from_sat(5_000_000);
/// Blocks on top of them: what the moves will spend, and no reorganisation reaches.
const ROOM: u32 = 40;
/// The operations that need a wallet.
const WALLET: [Operation; 4] = [
    Operation::GenerateAddress,
    Operation::CreateTransaction,
    Operation::BroadcastTransaction,
    Operation::GetBalance,
];

/// Both implementations, over one node and one wallet. A wallet's folder is opened once, so that
/// both directions share what is connected.
pub(super) struct Sides {
    python: Arc<dyn ObservedWallet>,
    rust: Arc<dyn ObservedWallet>,
    pub(super) has_wallet: bool,
}

impl Sides {
    pub(super) fn connect(config: &Config) -> Result<Self, Failure> {
        use BitcoinImplementationType::{Python, Rust};
        Ok(Self {
            python: btc::connect_observed(config, Python)?,
            rust: btc::connect_observed(config, Rust)?,
            has_wallet: config.wallet.is_some(),
        })
    }

    /// The primary and the other one.
    pub(super) fn in_order(
        &self,
        primary: BitcoinImplementationType,
    ) -> [&Arc<dyn ObservedWallet>; 2] {
        match primary {
            BitcoinImplementationType::Python => [&self.python, &self.rust],
            _ => [&self.rust, &self.python],
        }
    }
}

/// What is called: what was asked for, or the usual mix as far as it is possible here.
pub(super) fn mix(options: &Soak, has_wallet: bool, network: Network) -> Result<Mix, Failure> {
    let mut impossible = Vec::new();
    if !has_wallet {
        impossible.extend(WALLET);
    }
    if network == Network::Bitcoin {
        impossible.push(Operation::BroadcastTransaction);
    }
    let Some(mix) = options.mix else {
        return Ok(Mix::default().without(&impossible));
    };
    match impossible.into_iter().find(|operation| mix.has(*operation)) {
        None => Ok(mix),
        Some(Operation::BroadcastTransaction) if has_wallet => Err(usage(
            "nothing is sent on mainnet; leave broadcast_transaction out of --mix",
        )),
        Some(operation) => Err(usage(&format!(
            "{operation} needs a wallet; set WALLET_DIR and give --wallet, or leave it out of --mix"
        ))),
    }
}

fn usage(message: &str) -> Failure {
    Failure::Other(Code::Usage, message.to_owned())
}

/// The configured node as it may be used: without its wallet, unless that was asked for.
pub(super) fn configured(config: &mut Config, options: &Soak) -> Result<(), Failure> {
    if options.moving {
        return Err(usage(
            "the chain of a configured node is not touched; leave --moving out, or configure no \
             node for a private one",
        ));
    }
    if !options.wallet {
        config.wallet = None;
        return Ok(());
    }
    let Some(wallet) = &mut config.wallet else {
        return Err(Failure::Other(
            Code::Configuration,
            "--wallet needs a wallet; set WALLET_DIR".to_owned(),
        ));
    };
    // Both sides have to choose the same coins.
    wallet.selection = Some(CoinSelection::LargestFirst);
    Ok(())
}

/// Fills a private node's chain, and makes a wallet in this folder.
pub(super) fn build(
    config: &mut Config,
    chain: &mut Chain<'_>,
    home: &Path,
    seed: u64,
) -> Result<World, Failure> {
    let summary = demo::build(chain, &Plan::small())?;
    let mut txids: Vec<_> = summary.kinds.values().flatten().collect();
    txids.extend(&summary.replaced);
    let inputs = Inputs {
        txids: txids.into_iter().map(ToString::to_string).collect(),
        blocks: summary
            .blocks
            .iter()
            .map(|(_, hash)| hash.to_string())
            .collect(),
    };
    config.wallet = Some(make_wallet(home, chain.height(), seed)?);
    Ok(World::new(inputs))
}

fn make_wallet(home: &Path, birthday: u32, seed: u64) -> Result<WalletSettings, Failure> {
    let mut random = Random::new(seed);
    let entropy: [u8; 16] = random.bytes();
    let dir = home.join("wallet");
    let new = NewWallet {
        network: Network::Regtest,
        birthday,
        gap_limit: 20,
        change_type: random.pick(&AddressType::ALL),
        origin: Origin::Words {
            words: words_from_entropy(&entropy)?,
            bip39_passphrase: Secret::new(String::new()),
            protection: Protection::PlainRegtestOnly,
        },
    };
    folder::create(&dir, &new)?;
    Ok(WalletSettings {
        dir,
        passphrase: None,
        selection: Some(CoinSelection::LargestFirst),
        max_fee_rate: None,
        source: WalletSource::Core,
    })
}

/// Pays the wallet, in coins of every type.
pub(super) fn fund(chain: &mut Chain<'_>, sides: &Sides, world: &World) -> Result<(), Failure> {
    let mut outputs = Vec::new();
    for address_type in AddressType::ALL.into_iter().cycle().take(FUNDS) {
        let address = sides.rust.generate_address(address_type)?;
        world.learn_address(address.address);
        outputs.push((address.script_pubkey, FUND));
    }
    world.learn_transaction(chain.pay(&outputs, 3)?.to_string());
    for hash in chain.mine(ROOM)? {
        world.learn_block(hash.to_string());
    }
    Ok(())
}

/// Someone on regtest whom the wallet pays.
pub(super) fn stranger() -> Option<String> {
    let script = ScriptBuf::new_p2wpkh(&WPubkeyHash::from_byte_array([7; 20]));
    let address = Address::from_script(&script, Network::Regtest).ok()?;
    Some(address.to_string())
}
