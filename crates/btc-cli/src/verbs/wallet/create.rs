//! `btc wallet create` and `restore`: makes the wallet's folder.

use std::path::Path;

use btc::rust::wallet::folder::{self, Folder, NewWallet, Origin};
use btc::rust::wallet::keys;
use btc::rust::wallet::secret::{Protection, generate_words};
use btc::types::network;
use btc::{Config, Network, Secret};
use serde_json::json;

use super::{birthday, remark, settings};
use crate::exit::{Code, Failure};
use crate::flags::{Create, Restore, Setup};
use crate::output::Output;
use crate::secret;
use crate::verbs::Done;

pub(super) fn create(output: Output, options: &Create) -> Done {
    let place = Place::find(&options.setup)?;
    if !options.watch.is_empty() {
        let accounts = options
            .watch
            .iter()
            .map(|text| keys::watch_account(place.network, text))
            .collect::<Result<_, _>>()?;
        let origin = Origin::WatchOnly {
            accounts,
            fingerprint: None,
        };
        let birthday = options.setup.birthday.unwrap_or(0);
        return place.make(output, &options.setup, origin, birthday, None);
    }
    let words = generate_words(options.word_count)?;
    let birthday = match options.setup.birthday {
        Some(birthday) => birthday,
        None => birthday::of_new_words(output, &place.config)?,
    };
    let origin = place.origin(words.clone(), &options.setup)?;
    place.make(output, &options.setup, origin, birthday, Some(&words))
}

pub(super) fn restore(output: Output, options: &Restore) -> Done {
    let place = Place::find(&options.setup)?;
    let words = match &options.words {
        Some(path) => secret::read(path, "words")?,
        None => secret::ask(&secret::WORDS)?,
    };
    keys::parse_words(words.expose())?;
    let origin = place.origin(words, &options.setup)?;
    let birthday = options.setup.birthday.unwrap_or(0);
    place.make(output, &options.setup, origin, birthday, None)
}

/// Where a wallet is to be made.
struct Place {
    config: Config,
    network: Network,
}

impl Place {
    /// Checks what can be checked before anything is asked.
    fn find(setup: &Setup) -> Result<Self, Failure> {
        let config = settings()?;
        let node = config.node.as_ref().ok_or_else(|| {
            let message = "which network is the wallet for? Set BITCOIN_NETWORK";
            Failure::Other(Code::Configuration, message.to_owned())
        })?;
        let network = node.network;
        if setup.plain && network != Network::Regtest {
            return Err(usage(format!(
                "--plain is for regtest only, and this is {}; leave it out, and the wallet gets a \
                 passphrase",
                network::name(network)
            )));
        }
        let place = Self { config, network };
        if place.dir().exists() {
            return Err(usage(format!(
                "`{}` exists already; set WALLET_DIR to a folder that does not",
                place.dir().display()
            )));
        }
        Ok(place)
    }

    fn dir(&self) -> &Path {
        &self
            .config
            .wallet
            .as_ref()
            .expect("checked when loaded")
            .dir
    }

    /// The words with what protects them: nothing, the configured passphrase, or one that is
    /// asked for.
    fn origin(&self, words: Secret, setup: &Setup) -> Result<Origin, Failure> {
        let bip39_passphrase = match &setup.bip39_passphrase_file {
            Some(path) => secret::read(path, "BIP39 passphrase")?,
            None if setup.bip39_passphrase => secret::ask_twice(&secret::BIP39_PASSPHRASE)?,
            None => Secret::new(String::new()),
        };
        let settings = self.config.wallet.as_ref().expect("checked when loaded");
        let protection = match (&settings.passphrase, setup.plain) {
            (_, true) => Protection::PlainRegtestOnly,
            (Some(passphrase), false) => Protection::passphrase(passphrase.clone()),
            (None, false) => Protection::passphrase(secret::ask_twice(&secret::NEW_PASSPHRASE)?),
        };
        Ok(Origin::Words {
            words,
            bip39_passphrase,
            protection,
        })
    }

    fn make(
        &self,
        output: Output,
        setup: &Setup,
        origin: Origin,
        birthday: u32,
        new_words: Option<&Secret>,
    ) -> Done {
        let dir = self.dir();
        let new = NewWallet {
            network: self.network,
            birthday,
            gap_limit: setup.gap_limit,
            change_type: setup.change_type,
            origin,
        };
        folder::create(dir, &new)?;
        let (wallet, _) = Folder::peek(dir)?;
        let mut value = json!({
            "dir": dir,
            "network": network::name(self.network),
            "fingerprint": wallet.fingerprint.map(|fingerprint| fingerprint.to_string()),
            "birthday": birthday,
            "warnings": [],
            "gap_limit": setup.gap_limit,
        });
        if setup.birthday.is_some()
            && let Some(warning) = birthday::warning(&self.config, birthday)
        {
            remark(output, &format!("warning: {warning}"));
            value["warnings"] = json!([warning]);
        }
        let made = format!(
            "a {} wallet in {}",
            network::name(self.network),
            dir.display()
        );
        if let Some(words) = new_words {
            value["words"] = json!(words.expose());
            remark(output, &made);
            remark(
                output,
                "write these words down, on paper, now: they are not shown again. With them, and \
                 the BIP39 passphrase if you gave one, the wallet can be restored, by anybody",
            );
        }
        output.show(&value, || match new_words {
            Some(words) => words.expose().to_owned(),
            None => made,
        })?;
        Ok(Code::Ok)
    }
}

fn usage(message: String) -> Failure {
    Failure::Other(Code::Usage, message)
}
