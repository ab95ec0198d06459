//! `btc peers`: who the node, or the wallet's own connection, is connected to.

use super::Done;
use crate::exit::Code;
use crate::node::Session;
use crate::output::Output;
use crate::tame;

pub(super) fn run(output: Output) -> Done {
    let session = Session::open_with_wallet()?;
    let peers = btc::connect_source(&session.config)?.peers()?;
    output.show(&peers, || {
        if peers.is_empty() {
            return "no peers".to_owned();
        }
        peers
            .iter()
            .map(|peer| {
                let way = match peer.is_inbound {
                    Some(true) => "in",
                    Some(false) => "out",
                    None => "",
                };
                let height = peer
                    .start_height
                    .map_or(String::new(), |height| format!("height {height}"));
                format!(
                    "{:<28} {way:<3} services {}  {height}  {}\n",
                    peer.address,
                    peer.services,
                    tame::inline(peer.user_agent.as_deref().unwrap_or_default())
                )
            })
            .collect()
    })?;
    Ok(Code::Ok)
}
