//! `btc completions` and `btc man`: what a shell and `man` read.

use std::io;

use clap::CommandFactory;

use super::Done;
use crate::exit::{Code, Failure};
use crate::flags::Flags;

pub(super) fn completions(shell: clap_complete::Shell) -> Code {
    clap_complete::generate(shell, &mut Flags::command(), "btc", &mut io::stdout());
    Code::Ok
}

pub(super) fn man() -> Done {
    clap_mangen::Man::new(Flags::command())
        .render(&mut io::stdout())
        .map_err(|cause| {
            Failure::Other(Code::Failed, format!("the page cannot be written: {cause}"))
        })?;
    Ok(Code::Ok)
}
