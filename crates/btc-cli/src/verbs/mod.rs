//! The verbs, one a file.

mod analyze;
mod block;
mod broadcast;
mod demo;
mod fee;
mod height;
mod shell;
mod status;
mod test;
mod tx;
mod variables;

use btc::BitcoinImplementationType;

use crate::exit::{Code, Failure};
use crate::flags::Verb;
use crate::output::Output;

/// How a verb ends.
pub(crate) type Done = Result<Code, Failure>;

/// Runs a verb; none means `status`.
pub(crate) fn run(verb: Option<Verb>, output: Output) -> Done {
    match verb.unwrap_or(Verb::Status) {
        Verb::Status => status::run(output, None),
        Verb::Python => status::run(output, Some(BitcoinImplementationType::Python)),
        Verb::Rust => status::run(output, Some(BitcoinImplementationType::Rust)),
        Verb::Test(options) => test::run(output, &options),
        Verb::Height => height::run(output),
        Verb::Tx { txid } => tx::run(output, &txid),
        Verb::Block { hash } => block::run(output, &hash),
        Verb::Fee { target } => fee::run(output, target),
        Verb::Broadcast(options) => broadcast::run(output, &options),
        Verb::Analyze { logs } => analyze::run(output, &logs),
        Verb::Demo(options) => demo::run(output, &options),
        Verb::Variables => variables::run(output),
        Verb::Completions { shell } => shell::completions(shell),
        Verb::Man => shell::man(),
    }
}
