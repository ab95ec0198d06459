//! `btc wallet create` and `restore`: makes the wallet's folder.

use std::path::Path;

use btc::rust::wallet::folder::{self, Folder, NewWallet, Origin};
use btc::rust::wallet::keys;
use btc::rust::wallet::secret::{Protection, generate_words};
use btc::types::network;
use btc::{BitcoinImplementationType, Config, Network, Secret};
use serde_json::json;

use super::{configuration, remark};
use crate::exit::{Code, Failure};
use crate::flags::{Create, Restore, Setup};
use crate::output::Output;
use crate::secret;
use crate::verbs::Done;

pub(super) fn create(output: Output, options: &Create) -> Done {
    let config = configuration()?;
    let network = network_of(&config)?;
    if !options.watch.is_empty() {
        let accounts = options
            .watch
            .iter()
            .map(|text| keys::watch_account(network, text))
            .collect::<Result<_, _>>()?;
        let origin = Origin::WatchOnly {
            accounts,
            fingerprint: None,
        };
        let birthday = options.setup.birthday.unwrap_or(0);
        return make(
            output,
            &config,
            network,
            &options.setup,
            origin,
            birthday,
            None,
        );
    }
    let words = generate_words(options.words)?;
    let birthday = match options.setup.birthday {
        Some(birthday) => birthday,
        None => tip(output, &config),
    };
    let origin = Origin::Words {
        words: words.clone(),
        bip39_passphrase: bip39_passphrase(&options.setup)?,
        protection: protection(&config, &options.setup)?,
    };
    make(
        output,
        &config,
        network,
        &options.setup,
        origin,
        birthday,
        Some(&words),
    )
}

pub(super) fn restore(output: Output, options: &Restore) -> Done {
    let config = configuration()?;
    let network = network_of(&config)?;
    let words = match &options.words {
        Some(path) => secret::read(path, "words")?,
        None => secret::ask("words")?,
    };
    keys::parse_words(words.expose())?;
    let origin = Origin::Words {
        words,
        bip39_passphrase: bip39_passphrase(&options.setup)?,
        protection: protection(&config, &options.setup)?,
    };
    let birthday = options.setup.birthday.unwrap_or(0);
    make(
        output,
        &config,
        network,
        &options.setup,
        origin,
        birthday,
        None,
    )
}

fn make(
    output: Output,
    config: &Config,
    network: Network,
    setup: &Setup,
    origin: Origin,
    birthday: u32,
    new_words: Option<&Secret>,
) -> Done {
    let dir = &wallet_settings(config).dir;
    let new = NewWallet {
        network,
        birthday,
        gap_limit: setup.gap_limit,
        change_type: setup.change_type,
        origin,
    };
    folder::create(dir, &new)?;
    let (wallet, _) = Folder::peek(dir)?;
    let mut value = json!({
        "dir": dir,
        "network": network::name(network),
        "fingerprint": wallet.fingerprint.map(|fingerprint| fingerprint.to_string()),
        "birthday": birthday,
    });
    if let Some(words) = new_words {
        value["words"] = json!(words.expose());
        remark(
            output,
            "write these words down, on paper: with them the wallet can be restored, and by \
             anybody",
        );
    }
    output.show(&value, || match new_words {
        Some(words) => words.expose().to_owned(),
        None => format!("the wallet is in {}", dir.display()),
    })?;
    Ok(Code::Ok)
}

/// How the words are kept: in the clear, with the configured passphrase, or one that is asked for.
fn protection(config: &Config, setup: &Setup) -> Result<Protection, Failure> {
    if setup.plain {
        return Ok(Protection::PlainRegtestOnly);
    }
    let settings = wallet_settings(config);
    let passphrase = if let Some(passphrase) = &settings.passphrase {
        passphrase.clone()
    } else {
        refuse_existing(&settings.dir)?;
        secret::ask_twice("new passphrase for the wallet")?
    };
    Ok(Protection::passphrase(passphrase))
}

fn wallet_settings(config: &Config) -> &btc::config::WalletSettings {
    config.wallet.as_ref().expect("checked when loaded")
}

/// Before anything is asked.
fn refuse_existing(dir: &Path) -> Result<(), Failure> {
    if dir.exists() {
        let message = format!(
            "`{}` exists already; set WALLET_DIR to a folder that does not",
            dir.display()
        );
        return Err(Failure::Other(Code::Usage, message));
    }
    Ok(())
}

fn bip39_passphrase(setup: &Setup) -> Result<Secret, Failure> {
    if setup.bip39_passphrase {
        secret::ask_twice("BIP39 passphrase")
    } else {
        Ok(Secret::new(String::new()))
    }
}

fn network_of(config: &Config) -> Result<Network, Failure> {
    let node = config.node.as_ref().ok_or_else(|| {
        let message = "which network is the wallet for? Set BITCOIN_NETWORK";
        Failure::Other(Code::Configuration, message.to_owned())
    })?;
    Ok(node.network)
}

/// The tip of the node, which new words cannot be older than; 0 when nobody can be asked.
fn tip(output: Output, config: &Config) -> u32 {
    let config = Config {
        wallet: None,
        ..config.clone()
    };
    let height = btc::connect_to(&config, BitcoinImplementationType::Rust)
        .and_then(|bitcoin| bitcoin.get_block_height());
    height.unwrap_or_else(|error| {
        remark(
            output,
            &format!(
                "the node cannot be asked for its height, so the wallet will look at the whole \
                 chain; --birthday changes that ({error})"
            ),
        );
        0
    })
}
