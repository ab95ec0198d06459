//! Short ways to a configuration from variables and a file's text.

use btc::{BitcoinError, BitcoinResult, Config};

/// Reads variables and the text of a `btc.toml`.
pub(crate) fn read(variables: &[(&str, &str)], file: Option<&str>) -> BitcoinResult<Config> {
    let environment = |name: &str| {
        let found = variables.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    Config::from_sources(environment, file)
}

/// Reads variables alone, which must be allowed.
pub(crate) fn environment(variables: &[(&str, &str)]) -> Config {
    read(variables, None).expect("allowed")
}

/// Reads a file alone, which must be allowed.
pub(crate) fn file(text: &str) -> Config {
    read(&[], Some(text)).expect("allowed")
}

/// Reads variables that must be refused.
pub(crate) fn refused(variables: &[(&str, &str)]) -> BitcoinError {
    read(variables, None).expect_err("not allowed")
}

/// Everything that a person or a log may see of an error.
pub(crate) fn printed(error: &BitcoinError) -> String {
    let causes: Vec<_> = error.causes().map(ToString::to_string).collect();
    let json = serde_json::to_string(error).expect("an error is plain data");
    format!("{error} {error:?} {} {json}", causes.join(" "))
}
