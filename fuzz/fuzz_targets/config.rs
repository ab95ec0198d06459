//! Fuzzes the reading of the configuration: any variables, any text of a `btc.toml`.
//!
//! Whatever comes out, the password of the environment is not in it. What is refused is a failure
//! of configuration that says something; what is accepted can be used.

#![no_main]

use std::collections::BTreeMap;

use arbitrary::Arbitrary;
use btc::config::VARIABLES;
use btc::{Config, Credentials, ErrorKind};
use libfuzzer_sys::fuzz_target;

/// No mutation finds it by chance, so that it is nowhere else in the input.
const PASSWORD: &str = "correct-horse-battery-staple";

#[derive(Arbitrary, Debug)]
struct Input {
    variables: Vec<(u8, String)>,
    has_password: bool,
    file: Option<String>,
    /// What follows a password that stands in the file, where it must not.
    after_password: Option<String>,
}

fuzz_target!(|input: Input| {
    let mut variables: BTreeMap<&str, &str> = input
        .variables
        .iter()
        .map(|(index, value)| {
            // One more than there are variables: HOME is asked for too.
            let index = usize::from(*index) % (VARIABLES.len() + 1);
            (
                VARIABLES
                    .get(index)
                    .map_or("HOME", |variable| variable.name),
                value.as_str(),
            )
        })
        .collect();
    if input.has_password {
        variables.insert("BITCOIN_RPC_PASSWORD", PASSWORD);
    }
    let environment = |name: &str| variables.get(name).map(|value| (*value).to_owned());
    let mut file = input.file;
    if let Some(after) = &input.after_password {
        let text = file.get_or_insert_default();
        *text += &format!("\nbitcoin_rpc_password = '{PASSWORD}{after}");
    }
    match Config::from_sources(environment, file.as_deref()) {
        Ok(config) => {
            assert!(!format!("{config:?}").contains(PASSWORD));
            let Some(node) = config.node else { return };
            node.authority()
                .expect("an address that was accepted can be used");
            if input.has_password {
                let Credentials::UserPassword { password, .. } = node.credentials else {
                    unreachable!("a password is used or refused");
                };
                assert_eq!(password.expose(), PASSWORD);
            }
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Configuration);
            assert!(!error.message().is_empty());
            let mut printed = format!("{error} {error:?}");
            for cause in error.causes() {
                printed += &cause.to_string();
            }
            assert!(!printed.contains(PASSWORD), "{printed}");
        }
    }
});
