//! Secrets typed at the terminal, or read from a file or standard input.

use std::io::{self, IsTerminal, Read};
use std::path::Path;

use btc::Secret;

use crate::exit::{Code, Failure};

/// The longest input that is read: 24 words of 8 letters are 216 bytes.
const MAX_INPUT_BYTES: u64 = 4096;

/// Something to ask for.
pub(crate) struct Question {
    /// What it is, as in `passphrase of the wallet`.
    what: &'static str,
    /// What to do where there is nobody to ask.
    elsewhere: &'static str,
}

/// What opens a wallet's secret.
pub(crate) const PASSPHRASE: Question = Question {
    what: "passphrase of the wallet",
    elsewhere: "set WALLET_PASSPHRASE or WALLET_PASSPHRASE_FILE",
};
/// What a new wallet's secret is encrypted with.
pub(crate) const NEW_PASSPHRASE: Question = Question {
    what: "new passphrase for the wallet",
    elsewhere: "set WALLET_PASSPHRASE or WALLET_PASSPHRASE_FILE",
};
/// BIP39's second factor.
pub(crate) const BIP39_PASSPHRASE: Question = Question {
    what: "BIP39 passphrase",
    elsewhere: "give a file with it, --bip39-passphrase-file FILE",
};
/// The words to restore from.
pub(crate) const WORDS: Question = Question {
    what: "words, with a space between them",
    elsewhere: "give them with --words FILE, or --words - for standard input",
};

/// Asks without showing what is typed. Without a terminal there is nobody to ask.
pub(crate) fn ask(question: &Question) -> Result<Secret, Failure> {
    ask_for(question, question.what)
}

/// Asks for a new secret twice.
pub(crate) fn ask_twice(question: &Question) -> Result<Secret, Failure> {
    let what = question.what;
    let first = ask(question)?;
    if first.expose().is_empty() {
        return Err(usage(format!(
            "an empty {what} protects nothing; nothing was written"
        )));
    }
    if ask_for(question, &format!("{what}, again"))?.expose() != first.expose() {
        return Err(usage(format!(
            "the two differ ({what}); nothing was written"
        )));
    }
    Ok(first)
}

/// Reads from a file, or standard input for `-`, without the end of the line.
pub(crate) fn read(path: &Path, what: &str) -> Result<Secret, Failure> {
    let mut text = String::new();
    let result = if path.as_os_str() == "-" {
        io::stdin().take(MAX_INPUT_BYTES).read_to_string(&mut text)
    } else {
        std::fs::File::open(path)
            .and_then(|file| file.take(MAX_INPUT_BYTES).read_to_string(&mut text))
    };
    result.map_err(|cause| {
        let path = path.display();
        usage(format!("the {what} cannot be read from `{path}`: {cause}"))
    })?;
    let kept = text.trim_end_matches(['\r', '\n']).len();
    text.truncate(kept);
    Ok(Secret::new(text))
}

fn ask_for(question: &Question, prompt: &str) -> Result<Secret, Failure> {
    // What is piped in may be something else; the terminal is asked all the same.
    if !io::stdin().is_terminal() && !io::stderr().is_terminal() {
        let message = format!(
            "asking for the {} takes a terminal, and there is none; {}",
            question.what, question.elsewhere
        );
        return Err(Failure::Other(Code::Configuration, message));
    }
    rpassword::prompt_password(format!("{prompt}: "))
        .map(Secret::new)
        .map_err(|cause| {
            let message = format!(
                "the {} cannot be read from the terminal: {cause}; {}",
                question.what, question.elsewhere
            );
            Failure::Other(Code::Configuration, message)
        })
}

fn usage(message: String) -> Failure {
    Failure::Other(Code::Usage, message)
}
