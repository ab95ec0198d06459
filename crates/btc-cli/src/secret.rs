//! Secrets typed at the terminal, or read from standard input.

use std::io::{self, IsTerminal, Read};
use std::path::Path;

use btc::Secret;

use crate::exit::{Code, Failure};

/// The longest input that is read: 24 words of 8 letters are 216 bytes.
const MAX_INPUT_BYTES: u64 = 4096;

/// Asks without showing what is typed. Without a terminal there is nobody to ask.
pub(crate) fn ask(what: &str) -> Result<Secret, Failure> {
    if !io::stdin().is_terminal() {
        let message = format!(
            "the {what} is needed and there is no terminal to ask at; set WALLET_PASSPHRASE or \
             WALLET_PASSPHRASE_FILE"
        );
        return Err(Failure::Other(Code::Configuration, message));
    }
    rpassword::prompt_password(format!("{what}: "))
        .map(Secret::new)
        .map_err(|cause| unreadable(what, &cause))
}

/// Asks for a new secret twice.
pub(crate) fn ask_twice(what: &str) -> Result<Secret, Failure> {
    let first = ask(what)?;
    if first.expose().is_empty() {
        return Err(Failure::Other(
            Code::Usage,
            format!("an empty {what} protects nothing; nothing was written"),
        ));
    }
    if ask(&format!("{what}, again"))?.expose() != first.expose() {
        return Err(Failure::Other(
            Code::Usage,
            format!("the two differ; nothing was written ({what})"),
        ));
    }
    Ok(first)
}

/// Reads from a file, or standard input for `-`.
pub(crate) fn read(path: &Path, what: &str) -> Result<Secret, Failure> {
    let mut text = String::new();
    let result = if path.as_os_str() == "-" {
        io::stdin().take(MAX_INPUT_BYTES).read_to_string(&mut text)
    } else {
        std::fs::File::open(path)
            .and_then(|file| file.take(MAX_INPUT_BYTES).read_to_string(&mut text))
    };
    result.map_err(|cause| unreadable(what, &cause))?;
    Ok(Secret::new(text))
}

fn unreadable(what: &str, cause: &io::Error) -> Failure {
    Failure::Other(Code::Usage, format!("the {what} cannot be read: {cause}"))
}
