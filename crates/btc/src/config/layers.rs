//! The sources of settings, uppermost first: the environment, then the files.

use std::collections::BTreeMap;
use std::env;
use std::path::Path;

use btc_iface::{BitcoinError, BitcoinResult, ErrorKind, Operation};

use super::files::{self, Found};
use super::variables::VARIABLES;

/// The layers of settings.
pub(super) struct Layers {
    /// The uppermost first.
    all: Vec<Layer>,
    pub(super) home: Option<String>,
    /// What is to be said about the files.
    pub(super) remark: Option<String>,
}

/// One source of settings.
pub(super) struct Layer {
    source: String,
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
        let (files, remark) = files::find(&environment, Path::new("."))?;
        Ok(Self {
            remark,
            ..Self::over(environment, &files)?
        })
    }

    pub(super) fn new(
        environment: impl Fn(&str) -> Option<String>,
        file: Option<&str>,
    ) -> BitcoinResult<Self> {
        let file = file.map(|text| Found {
            source: "btc.toml".to_owned(),
            text: text.to_owned(),
            is_folders: false,
        });
        Self::over(environment, file.as_slice())
    }

    fn over(environment: impl Fn(&str) -> Option<String>, files: &[Found]) -> BitcoinResult<Self> {
        let values = VARIABLES
            .iter()
            .filter_map(|variable| Some((variable.name, environment(variable.name)?)))
            .collect();
        let mut layers = vec![Layer {
            source: "the environment".to_owned(),
            values,
        }];
        for file in files {
            layers.push(Layer {
                values: read_file(file)?,
                source: file.source.clone(),
            });
        }
        unset(&mut layers);
        Ok(Self {
            all: layers,
            home: environment("HOME"),
            remark: None,
        })
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Layer> {
        self.all.iter()
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

/// An empty value unsets what the layers below say, as a shell does for a single command.
fn unset(layers: &mut [Layer]) {
    let mut emptied: Vec<&'static str> = Vec::new();
    for layer in layers {
        for name in &emptied {
            layer.values.remove(name);
        }
        let empty = layer.values.iter().filter(|(_, value)| value.is_empty());
        let empty: Vec<_> = empty.map(|(name, _)| *name).collect();
        layer.values.retain(|_, value| !value.is_empty());
        emptied.extend(empty);
    }
}

impl Layer {
    pub(super) fn get<T>(
        &self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> BitcoinResult<Option<T>> {
        let variable = VARIABLES.iter().find(|variable| variable.name == name);
        debug_assert!(variable.is_some(), "{name} has no row");
        let Some(text) = self.values.get(name) else {
            return Ok(None);
        };
        parse(text).map(Some).map_err(|expected| {
            // What may hold a password is not shown, and what slipped into the wrong variable is
            // not shown in full.
            let shown = if variable.is_some_and(|variable| !variable.is_secret) {
                text.chars().take(40).collect()
            } else {
                "…".to_owned()
            };
            configuration(format!(
                "{name}={shown} in {} is not allowed: {expected}",
                self.source
            ))
        })
    }
}

fn read_file(file: &Found) -> BitcoinResult<BTreeMap<&'static str, String>> {
    let Found { source, text, .. } = file;
    let table: toml::Table = text
        .parse()
        .map_err(|cause| not_toml(source, text, &cause))?;
    let mut values = BTreeMap::new();
    for (key, value) in table {
        let known = VARIABLES
            .iter()
            .find(|variable| variable.in_file && variable.name.to_ascii_lowercase() == key);
        let Some(variable) = known else {
            return Err(unknown_key(source, &key));
        };
        if file.is_folders && !variable.in_folder {
            return Err(configuration(format!(
                "`{key}` is not taken from {source}, where it could come from others and lead to \
                 their programs, hosts or files; put it into btc/btc.toml of your folder for \
                 configuration (~/.config), or name this file in BTC_CONFIG"
            )));
        }
        let text = match value {
            toml::Value::String(text) => text,
            toml::Value::Boolean(value) => value.to_string(),
            toml::Value::Integer(value) => value.to_string(),
            _ => {
                let message = format!("`{key}` in {source} must be a text, a number or a boolean");
                return Err(configuration(message));
            }
        };
        values.insert(variable.name, text);
    }
    Ok(values)
}

/// Where and why, without the line itself: it may hold a password.
fn not_toml(source: &str, text: &str, cause: &toml::de::Error) -> BitcoinError {
    let before = cause.span().and_then(|span| text.get(..span.start));
    let line = before.map_or(1, |before| before.matches('\n').count() + 1);
    configuration(format!("{source} is not valid TOML"))
        .with_source(format!("line {line}: {}", cause.message()))
}

fn unknown_key(source: &str, key: &str) -> BitcoinError {
    if key == "bitcoin_rpc_password" {
        return configuration(format!(
            "{source} must not hold the password; set BITCOIN_RPC_PASSWORD in the environment, or \
             use bitcoin_rpc_cookie_file"
        ));
    }
    if key == "wallet_passphrase" {
        return configuration(format!(
            "{source} must not hold the wallet's passphrase; set WALLET_PASSPHRASE in the \
             environment, or use wallet_passphrase_file"
        ));
    }
    let keys: Vec<_> = VARIABLES
        .iter()
        .filter(|variable| variable.in_file)
        .map(|variable| variable.name.to_ascii_lowercase())
        .collect();
    configuration(format!(
        "`{key}` in {source} is not a setting; there are {}",
        keys.join(", ")
    ))
}

pub(super) fn configuration(message: impl Into<String>) -> BitcoinError {
    BitcoinError::new(ErrorKind::Configuration, Operation::Configure, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folders(text: &str) -> BitcoinResult<Layers> {
        let found = Found {
            source: "btc.toml of the current folder".to_owned(),
            text: text.to_owned(),
            is_folders: true,
        };
        Layers::over(|_| None, &[found])
    }

    #[test]
    fn the_current_folders_file_sets_what_is_harmless_and_nothing_that_leads_elsewhere() {
        for variable in VARIABLES.iter().filter(|variable| variable.in_file) {
            let key = variable.name.to_ascii_lowercase();
            let read = folders(&format!("{key} = 'x'")).map(drop);
            if variable.in_folder {
                read.expect(variable.name);
                continue;
            }
            let error = read.expect_err(variable.name);
            for word in [key.as_str(), "current folder", "BTC_CONFIG", "~/.config"] {
                assert!(error.message().contains(word), "{word} in {error}");
            }
        }
        // Those that run a program, name a host or a file, or bound money or evidence.
        for name in [
            "BITCOIND_EXE",
            "PYTHON_VENV",
            "PYTHON_BACKEND",
            "BITCOIN_NETWORK",
            "BITCOIN_RPC_URL",
            "BITCOIN_RPC_USER",
            "BITCOIN_RPC_COOKIE_FILE",
            "METRICS_ADDR",
            "P2P_PEERS",
            "WALLET_SOURCE",
            "WALLET_DIR",
            "WALLET_PASSPHRASE_FILE",
            "MAX_FEE_RATE",
            "ELECTRUM_URL",
            "ELECTRUM_CERT_FILE",
            "ELECTRUM_PROXY",
            "ESPLORA_URL",
            "ESPLORA_CERT_FILE",
            "ESPLORA_PROXY",
            "LOG_FILE",
            "LOG_MAX_MB",
            "LOG_MAX_FILES",
            "CALL_LOG",
            "ROLLOUT_FILE",
            "ROLLOUT_MAX_FAILURES",
        ] {
            let found = VARIABLES.iter().find(|variable| variable.name == name);
            assert!(found.is_some_and(|it| !it.in_folder), "{name}");
        }
    }
}
