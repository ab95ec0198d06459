//! `btc node`: a private regtest node with a chain, for other commands to ask, until it is told to end.

use std::fmt::Write as _;
use std::thread;
use std::time::Duration;

use btc::Credentials;
use btc::types::network;
use btc_regtest::{Chain, Plan};
use serde_json::json;

use super::{Done, demo};
use crate::exit::{Code, Failure};
use crate::node::Session;
use crate::output::{Output, note};
use crate::stop::Stop;

const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Prints the variables that lead to the node once its chain is there, and ends with SIGINT,
/// SIGTERM or the node.
pub(super) fn run(output: Output) -> Done {
    let stop = Stop::on_signals()?;
    let session = Session::private(&[])?;
    let (Some(node), Some(config)) = (&session.private, &session.config.node) else {
        return Err(gone("the private node is gone"));
    };
    let mut chain = Chain::new(node, 1)?;
    demo::build(&mut chain, &Plan::small())?;
    let mut variables = vec![
        ("BITCOIN_NETWORK", network::name(config.network).to_owned()),
        ("BITCOIN_RPC_URL", config.url.clone()),
    ];
    if let Credentials::CookieFile(path) = &config.credentials {
        variables.push(("BITCOIN_RPC_COOKIE_FILE", path.display().to_string()));
    }
    let value = json!({
        "variables": variables.iter().cloned().collect::<std::collections::BTreeMap<_, _>>(),
        "height": chain.height(),
    });
    output.show(&value, || {
        // Those of another node would contradict these.
        let mut lines = "unset BITCOIN_RPC_USER BITCOIN_RPC_PASSWORD\n".to_owned();
        for (name, value) in &variables {
            let _ = writeln!(lines, "export {name}='{}'", value.replace('\'', r"'\''"));
        }
        lines
    })?;
    note("the node runs until this command ends");
    while !stop.is_asked() {
        if !node.is_running() {
            return Err(gone("the private node has ended by itself"));
        }
        thread::sleep(LOOK_EVERY);
    }
    Ok(Code::Ok)
}

fn gone(message: &str) -> Failure {
    Failure::Other(Code::Unreachable, message.to_owned())
}
