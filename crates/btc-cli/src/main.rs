//! `btc`: ask Bitcoin through Rust, through Python, or through both in shadow mode.

mod amount;
mod confirm;
mod exit;
mod flags;
mod load;
mod node;
mod output;
mod progress;
mod secret;
mod stop;
mod suite;
mod tame;
mod verbs;
mod wrap;

use std::process::ExitCode;

use clap::Parser;
use tracing::Level;

use crate::flags::Flags;
use crate::output::Output;

fn main() -> ExitCode {
    let flags = Flags::parse();
    let output = Output {
        is_json: flags.json,
        is_verbose: flags.verbose,
    };
    tracing_subscriber::fmt()
        .with_max_level(if flags.verbose {
            Level::DEBUG
        } else {
            Level::WARN
        })
        .with_target(flags.verbose)
        .without_time()
        // Colours are not compiled in, and asking for them is an error.
        .with_ansi(false)
        .with_writer(std::io::stderr)
        .init();
    node::ask_private(flags.private);
    match verbs::run(flags.verb, output) {
        Ok(code) => code.into(),
        Err(failure) => {
            output.failure(&failure);
            failure.code().into()
        }
    }
}
