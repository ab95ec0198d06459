//! The sources of settings, uppermost first: the environment, then the file.

use std::collections::BTreeMap;
use std::path::Path;
use std::{env, fs, io};

use btc_iface::{BitcoinError, BitcoinResult, ErrorKind, Operation};

use super::variables::VARIABLES;

/// The layers of settings.
pub(super) struct Layers {
    environment: Layer,
    file: Layer,
    pub(super) home: Option<String>,
}

/// One source of settings.
pub(super) struct Layer {
    source: &'static str,
    values: BTreeMap<&'static str, String>,
}

impl Layers {
    pub(super) fn load() -> BitcoinResult<Self> {
        for variable in VARIABLES {
            if let Err(env::VarError::NotUnicode(_)) = env::var(variable.name) {
                return Err(configuration(format!(
                    "{} is not valid UTF-8",
                    variable.name
                )));
            }
        }
        let environment = |name: &str| env::var(name).ok();
        let named = environment("BTC_CONFIG").filter(|path| !path.is_empty());
        let path = named.as_deref().unwrap_or("btc.toml");
        let text = match fs::read_to_string(Path::new(path)) {
            Ok(text) => Some(text),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound && named.is_none() => None,
            Err(cause) => {
                let message = format!("the configuration file `{path}` cannot be read");
                return Err(configuration(message).with_source(cause));
            }
        };
        Self::new(environment, text.as_deref())
    }

    pub(super) fn new(
        environment: impl Fn(&str) -> Option<String>,
        file: Option<&str>,
    ) -> BitcoinResult<Self> {
        let values = VARIABLES
            .iter()
            .filter_map(|variable| Some((variable.name, environment(variable.name)?)))
            // An empty variable is how a shell unsets one for a single command.
            .filter(|(_, value)| !value.is_empty())
            .collect();
        Ok(Self {
            environment: Layer {
                source: "the environment",
                values,
            },
            file: Layer {
                source: "btc.toml",
                values: read_file(file.unwrap_or_default())?,
            },
            home: environment("HOME"),
        })
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Layer> {
        [&self.environment, &self.file].into_iter()
    }

    /// The value of the uppermost layer that has one.
    pub(super) fn get<T>(
        &self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> BitcoinResult<Option<T>> {
        for layer in self.iter() {
            if let Some(value) = layer.get(name, &parse)? {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }
}

impl Layer {
    pub(super) fn get<T>(
        &self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> BitcoinResult<Option<T>> {
        debug_assert!(
            VARIABLES.iter().any(|variable| variable.name == name),
            "{name} has no row"
        );
        let Some(text) = self.values.get(name) else {
            return Ok(None);
        };
        parse(text).map(Some).map_err(|expected| {
            // A password that slipped into the wrong variable must not be shown in full.
            let shown: String = text.chars().take(40).collect();
            configuration(format!(
                "{name}={shown} in {} is not allowed: {expected}",
                self.source
            ))
        })
    }
}

fn read_file(text: &str) -> BitcoinResult<BTreeMap<&'static str, String>> {
    let table: toml::Table = text.parse().map_err(|cause| not_toml(text, &cause))?;
    let mut values = BTreeMap::new();
    for (key, value) in table {
        let known = VARIABLES
            .iter()
            .find(|variable| variable.in_file && variable.name.to_ascii_lowercase() == key);
        let Some(variable) = known else {
            return Err(unknown_key(&key));
        };
        let text = match value {
            toml::Value::String(text) => text,
            toml::Value::Boolean(value) => value.to_string(),
            toml::Value::Integer(value) => value.to_string(),
            _ => {
                let message = format!("`{key}` in btc.toml must be a text, a number or a boolean");
                return Err(configuration(message));
            }
        };
        values.insert(variable.name, text);
    }
    Ok(values)
}

/// Where and why, without the line itself: it may hold a password.
fn not_toml(text: &str, cause: &toml::de::Error) -> BitcoinError {
    let before = cause.span().and_then(|span| text.get(..span.start));
    let line = before.map_or(1, |before| before.matches('\n').count() + 1);
    configuration("btc.toml is not valid TOML")
        .with_source(format!("line {line}: {}", cause.message()))
}

fn unknown_key(key: &str) -> BitcoinError {
    if key == "bitcoin_rpc_password" {
        return configuration(
            "btc.toml must not hold the password; set BITCOIN_RPC_PASSWORD in the environment, or \
             use bitcoin_rpc_cookie_file",
        );
    }
    if key == "wallet_passphrase" {
        return configuration(
            "btc.toml must not hold the wallet's passphrase; set WALLET_PASSPHRASE in the \
             environment, or use wallet_passphrase_file",
        );
    }
    let keys: Vec<_> = VARIABLES
        .iter()
        .filter(|variable| variable.in_file)
        .map(|variable| variable.name.to_ascii_lowercase())
        .collect();
    configuration(format!(
        "`{key}` in btc.toml is not a setting; there are {}",
        keys.join(", ")
    ))
}

pub(super) fn configuration(message: impl Into<String>) -> BitcoinError {
    BitcoinError::new(ErrorKind::Configuration, Operation::Configure, message)
}
