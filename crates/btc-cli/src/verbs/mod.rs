//! The verbs, one a file.

mod analyze;
mod block;
mod broadcast;
mod demo;
#[cfg(feature = "dlc")]
mod dlc;
mod fee;
mod height;
mod node;
mod record;
mod replay;
mod rollout;
mod shadow;
mod shell;
mod status;
mod test;
mod tx;
mod variables;
mod wallet;

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
        Verb::Wallet(verb) => wallet::wallet(output, &verb),
        Verb::Address(verb) => wallet::address(output, &verb),
        Verb::Balance => wallet::balance(output),
        Verb::Utxo { verb } => wallet::utxo(output, verb.as_ref()),
        Verb::History => wallet::history(output),
        Verb::Send(options) => wallet::send(output, &options),
        Verb::Bump(options) => wallet::bump(output, &options),
        Verb::Cancel(options) => wallet::cancel(output, &options),
        Verb::Rebroadcast { txid } => wallet::rebroadcast(output, txid),
        Verb::Abandon { txid } => wallet::abandon(output, txid),
        Verb::Rescan { from_height } => wallet::rescan(output, from_height),
        Verb::Psbt(verb) => wallet::psbt(output, &verb),
        Verb::Labels(verb) => wallet::labels(output, &verb),
        Verb::SignMessage(options) => wallet::sign_message(output, &options),
        Verb::Peers => wallet::peers(output),
        Verb::Parity(options) => wallet::parity(output, &options),
        Verb::Record(options) => record::run(output, &options),
        Verb::Replay(options) => replay::run(output, &options),
        Verb::Rollout { verb } => rollout::run(output, verb.as_ref()),
        Verb::Analyze(options) => analyze::run(output, &options),
        Verb::Shadow(verb) => shadow::run(output, &verb),
        #[cfg(feature = "dlc")]
        Verb::Dlc(verb) => dlc::run(output, &verb),
        Verb::Demo(options) => demo::run(output, &options),
        Verb::Node => node::run(output),
        Verb::Variables => variables::run(output),
        Verb::Completions { shell } => shell::completions(shell),
        Verb::Man { verb, all } => shell::man(&verb, all.as_deref()),
    }
}
