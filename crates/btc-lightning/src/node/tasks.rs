//! The background tasks: events into the journal, the watchdog, and peers that are reconnected.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use tokio::runtime::Handle;

use super::{Shared, remember_seen, resume, socket_address};
use crate::convert_event;
use crate::journal;
use crate::preflight;

/// How often the watchdog looks.
const LOOK: Duration = Duration::from_secs(2);
/// How often peers that were lost are called.
const CALL: Duration = Duration::from_secs(5);
/// How long after the start the first call is made.
const FIRST_CALL: Duration = Duration::from_millis(100);
/// How often doubtful intents are looked into.
const DOUBT: Duration = Duration::from_secs(2);

pub(super) fn spawn(shared: &Arc<Shared>, node: &Arc<ldk_node::Node>, runtime: &Handle) {
    runtime.spawn(events(Arc::clone(shared), Arc::clone(node)));
    runtime.spawn(look(Arc::clone(shared), Arc::clone(node)));
    runtime.spawn(repeat(Arc::clone(shared), FIRST_CALL, CALL, call_peers));
    runtime.spawn(repeat(Arc::clone(shared), DOUBT, DOUBT, resume::look));
}

/// Records each event, then gives it back to LDK. Whatever fails, an event is not given back before
/// it is on disk.
async fn events(shared: Arc<Shared>, node: Arc<ldk_node::Node>) {
    loop {
        let event = tokio::select! {
            event = node.next_event_async() => event,
            () = shared.watch.over() => return,
        };
        shared.watch.hear();
        let digest = journal::digest(&event);
        let (detail, preimage) = convert_event::event(event);
        let place = Arc::clone(&shared);
        let recorded = tokio::task::spawn_blocking(move || {
            // An offer's payment may end before its name is written down.
            let _named = place.settling();
            let doubtful = place.doubtful().clone();
            journal::record(&place.store, digest, detail, preimage, doubtful)
        });
        let number = match recorded.await {
            Ok(Ok(number)) => number,
            Ok(Err(cause)) => {
                return shared
                    .watch
                    .fail(format!("an event cannot be recorded: {cause}"));
            }
            Err(cause) => {
                return shared
                    .watch
                    .fail(format!("an event broke the journal: {cause}"));
            }
        };
        if let Err(cause) = node.event_handled() {
            return shared
                .watch
                .fail(format!("an event cannot be given back: {cause}"));
        }
        journal::handled(&shared.store);
        if let Some(number) = number {
            shared.recorded.send_replace(number);
        }
    }
}

/// Watches how old the view of the chain is, and stops the node when it has failed.
async fn look(shared: Arc<Shared>, node: Arc<ldk_node::Node>) {
    let mut last_height = 0;
    loop {
        let status = node.status();
        shared
            .watch
            .saw_chain(status.latest_lightning_wallet_sync_timestamp);
        if status.current_best_block.height != last_height {
            last_height = status.current_best_block.height;
            remember_seen(&shared.store, &node);
        }
        if let btc_iface::lightning::Health::ChainStale { .. } = shared.watch.health() {
            let place = Arc::clone(&shared);
            let asked =
                tokio::task::spawn_blocking(move || preflight::check(&place.config.chain, None));
            let cause = match asked.await {
                Ok(Err(cause)) => cause.to_string(),
                _ => "Bitcoin Core answers, but the node does not follow it: was the clock set back, or \
                      the cookie renewed? Start the node again"
                    .to_owned(),
            };
            shared.watch.explain_stale(cause);
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = shared.watch.over() => break,
        }
    }
    drop(node);
    if shared.watch.failure().is_some() {
        // Loudly: no peer, no chain, no answer but the reason.
        let _ = tokio::task::spawn_blocking(move || shared.end()).await;
    }
}

async fn repeat(shared: Arc<Shared>, first: Duration, pause: Duration, work: fn(&Shared)) {
    let mut wait = first;
    loop {
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = shared.watch.over() => return,
        }
        let place = Arc::clone(&shared);
        let _ = tokio::task::spawn_blocking(move || work(&place)).await;
        wait = pause;
    }
}

/// The peers to reconnect, from our own list: LDK forgets one on a force close, when it is needed
/// most.
pub(super) fn remembered(connection: &Connection) -> rusqlite::Result<Vec<(String, String)>> {
    let mut query = connection.prepare_cached("SELECT node_id, address FROM peers")?;
    let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.collect()
}

fn call_peers(shared: &Shared) {
    let Ok(node) = shared.node() else { return };
    let Ok(peers) = shared.store.read(remembered) else {
        return;
    };
    let connected: Vec<_> = node
        .list_peers()
        .iter()
        .filter(|peer| peer.is_connected)
        .map(|peer| peer.node_id.to_string())
        .collect();
    for (node_id, address) in peers {
        if shared.watch.is_over() || connected.contains(&node_id) {
            continue;
        }
        if let (Ok(key), Ok(address)) = (node_id.parse(), socket_address(&address)) {
            // One that is away is called again next time.
            let _ = node.connect(key, address, false);
        }
    }
}
