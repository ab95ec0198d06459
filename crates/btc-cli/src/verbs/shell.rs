//! `btc completions` and `btc man`: what a shell and `man` read.

use std::path::Path;
use std::{fs, io};

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

/// Prints the page of a verb, or of the program without one.
pub(super) fn man(verb: &[String], all: Option<&Path>) -> Done {
    let mut command = Flags::command();
    // Gives every verb its full name and the options of all.
    command.build();
    if let Some(folder) = all {
        fs::create_dir_all(folder)
            .and_then(|()| clap_mangen::generate_to(command, folder))
            .map_err(cannot)?;
        return Ok(Code::Ok);
    }
    let mut page = &command;
    for name in verb {
        page = page.find_subcommand(name).ok_or_else(|| {
            let message = format!("there is no verb `btc {}`; see btc --help", verb.join(" "));
            Failure::Other(Code::Usage, message)
        })?;
    }
    let mut text = Vec::new();
    let title = page.get_display_name().unwrap_or("btc").to_owned();
    clap_mangen::Man::new(page.clone())
        .title(title)
        .render(&mut text)
        .map_err(cannot)?;
    output::print(&text)?;
    Ok(Code::Ok)
}

#[expect(clippy::needless_pass_by_value, reason = "as `map_err` hands it over")]
fn cannot(cause: io::Error) -> Failure {
    Failure::Other(Code::Failed, format!("the page cannot be made: {cause}"))
}
