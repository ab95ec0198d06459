//! `btc completions` and `btc man`: what a shell and `man` read.

use clap::CommandFactory;

use super::Done;
use crate::exit::{Code, Failure};
use crate::flags::Flags;
use crate::output;

pub(super) fn completions(shell: clap_complete::Shell) -> Done {
    let mut script = Vec::new();
    // The generator panics when it cannot write, which memory always takes.
    clap_complete::generate(shell, &mut Flags::command(), "btc", &mut script);
    output::print(&script)?;
    Ok(Code::Ok)
}

pub(super) fn man() -> Done {
    let mut page = Vec::new();
    clap_mangen::Man::new(Flags::command())
        .render(&mut page)
        .map_err(|cause| {
            Failure::Other(Code::Failed, format!("the page cannot be made: {cause}"))
        })?;
    output::print(&page)?;
    Ok(Code::Ok)
}
