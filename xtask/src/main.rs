//! `cargo xtask`: one entry point for everything that a person or CI does to this repository.

mod bench;
mod bitcoind;
mod ci;
mod demo;
mod downstream;
mod error;
mod flags;
mod fuzz;
mod lints;
mod matrix;
mod mutants;
mod packages;
mod page;
mod phase;
mod process;
mod session;
mod setup;
mod simulate;
mod suite;
mod terminal;
mod test;
mod tidy;
mod workspace;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use crate::error::Result;
use crate::flags::{Command, Flags};
use crate::workspace::Workspace;

fn main() -> ExitCode {
    let Some(command) = Flags::parse().command else {
        // Nothing asked for: say what there is.
        let shown = Flags::command().print_help();
        return if shown.is_ok() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        };
    };
    match Workspace::locate().and_then(|workspace| run(&workspace, command)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            terminal::complain(&format!("{} {error}", terminal::red("error:")));
            ExitCode::FAILURE
        }
    }
}

fn run(workspace: &Workspace, command: Command) -> Result<()> {
    match command {
        Command::Setup(flags) => setup::run(workspace, &flags),
        Command::Bitcoind => bitcoind::run(workspace),
        Command::Demo(flags) => demo::run(workspace, &flags),
        Command::Test(flags) => test::run(workspace, &flags),
        Command::Phase(flags) => phase::run(workspace, &flags),
        Command::Mutants(flags) => mutants::run(workspace, &flags),
        Command::Simulate(flags) => simulate::run(workspace, &flags),
        Command::Page(flags) => page::run(workspace, &flags),
        Command::Matrix(flags) => matrix::run(workspace, &flags),
        Command::Bench(flags) => bench::run(workspace, &flags),
        Command::Fuzz(flags) => fuzz::run(workspace, &flags),
        Command::Tidy => tidy::run(workspace),
        Command::Ci => ci::run(workspace),
    }
}
