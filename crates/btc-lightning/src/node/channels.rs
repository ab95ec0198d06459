//! Peers and channels: connected, opened, resized, closed.

use std::time::Duration;

use btc_iface::lightning::{
    Channel, ChannelFees, ChannelHandle, ChannelSize, CloseMode, LightningErrorKind as Kind,
    LightningResult, Msat, NodeId, OpenChannel, Peer,
};
use ldk_node::config::ChannelConfig;
use ldk_node::{ChannelDetails, Node, NodeError};
use rusqlite::params;

use super::coins::Busy;
use super::{Shared, socket_address, tasks};
use crate::check;
use crate::convert;
use crate::error::{error, ldk, storage};

/// What the fee of a funding transaction may take at first, when all is put into a channel, and by how
/// much the try is lowered then.
const FEE_STEP_SAT: u64 = 500;
/// How many times it is lowered.
const FEE_STEPS: u64 = 40;
/// The smallest channel that LDK accepts.
const MIN_CHANNEL_SAT: u64 = 1_000;

/// How many times a peer is called before it is said to be away, and the time between two calls.
const CALLS: u32 = 4;
const PAUSE: Duration = Duration::from_millis(400);

impl Shared {
    pub(super) fn connect(&self, peer: NodeId, address: String) -> LightningResult<()> {
        let node = self.node()?;
        if peer.key() == node.node_id() {
            return Err(error(Kind::Own, "the node does not connect to itself"));
        }
        let socket = socket_address(&address)?;
        let is_connected = || {
            let peers = node.list_peers();
            let found = peers.iter().find(|known| known.node_id == peer.key());
            found.is_some_and(|known| known.is_connected)
        };
        for attempt in 1..=CALLS {
            match node.connect(peer.key(), socket.clone(), false) {
                Ok(()) => break,
                // Two sides that call each other at once may both lose their connection.
                Err(NodeError::ConnectionFailed) if is_connected() => break,
                Err(NodeError::ConnectionFailed) if attempt < CALLS => std::thread::sleep(PAUSE),
                Err(cause) => {
                    let what = format!("no connection to {peer} at {address}");
                    return Err(ldk(&what, cause));
                }
            }
        }
        self.remember(peer, address)
    }

    /// Our own list: LDK forgets a peer on a force close, when it is needed most.
    fn remember(&self, peer: NodeId, address: String) -> LightningResult<()> {
        let change = self.store.write(move |connection| {
            let sql = "INSERT OR REPLACE INTO peers (node_id, address) VALUES (?1, ?2)";
            connection.execute(sql, params![peer.to_string(), address])
        });
        change.map(drop).map_err(storage)
    }

    pub(super) fn disconnect(&self, peer: NodeId) -> LightningResult<()> {
        let node = self.node()?;
        let is_known = self.peers()?.iter().any(|known| known.node_id == peer);
        if !is_known {
            let message = format!("{peer} is no peer of this node");
            return Err(error(Kind::NotFound, message));
        }
        let change = self.store.write(move |connection| {
            connection.execute("DELETE FROM peers WHERE node_id = ?1", [peer.to_string()])
        });
        change.map_err(storage)?;
        node.disconnect(peer.key())
            .map_err(|cause| ldk("not disconnected", cause))
    }

    pub(super) fn peers(&self) -> LightningResult<Vec<Peer>> {
        let node = self.node()?;
        let remembered = self.store.read(tasks::remembered).map_err(storage)?;
        let mut peers: Vec<_> = node.list_peers().iter().map(convert::peer).collect();
        for (node_id, address) in remembered {
            let Ok(node_id) = node_id.parse() else {
                continue;
            };
            match peers.iter_mut().find(|peer| peer.node_id == node_id) {
                Some(peer) => peer.is_remembered = true,
                None => peers.push(Peer {
                    node_id,
                    address,
                    is_connected: false,
                    is_remembered: true,
                }),
            }
        }
        peers.sort_by_key(|peer| peer.node_id);
        Ok(peers)
    }

    pub(super) fn open_channel(&self, request: &OpenChannel) -> LightningResult<ChannelHandle> {
        let node = self.node()?;
        let socket = socket_address(&request.address)?;
        if request.is_announced && self.config.alias.is_none() {
            let message = "an announced channel needs an alias and an address to listen on";
            return Err(error(Kind::Configuration, message));
        }
        if let ChannelSize::Sat(size) = request.size
            && !(MIN_CHANNEL_SAT..=Msat::MAX_MONEY.whole_sat()).contains(&size)
        {
            let message = format!("a channel takes at least {MIN_CHANNEL_SAT} sat");
            return Err(error(Kind::WrongAmount, message));
        }
        self.connect(request.peer, request.address.clone())?;
        let mut busy = self.coins(&node)?;
        let open = |size: u64| {
            let push = (request.push_msat > Msat::ZERO).then_some(request.push_msat.get());
            let fees = request
                .fees
                .map(|fees| convert::with_fees(ChannelConfig::default(), fees));
            let peer = request.peer.key();
            if request.is_announced {
                node.open_announced_channel(peer, socket.clone(), size, push, fees)
            } else {
                node.open_channel(peer, socket.clone(), size, push, fees)
            }
        };
        match request.size {
            ChannelSize::Sat(size) => {
                if Msat::from_sat(size).is_none_or(|whole| request.push_msat >= whole) {
                    let message = "more is pushed to the other side than the channel holds";
                    return Err(error(Kind::WrongAmount, message));
                }
                self.funds(&node, size)?;
                let opened = open(size).map_err(|cause| ldk("no channel was opened", cause))?;
                let handle = convert::handle(opened);
                busy.push(Busy::opening(handle));
                Ok(handle)
            }
            ChannelSize::All => {
                let free = self.free_sat(&node);
                let mut last = NodeError::InsufficientFunds;
                // The fee depends on the coins, which LDK chooses: from the highest amount downwards.
                for step in 1..=FEE_STEPS {
                    let Some(size) = free.checked_sub(step * FEE_STEP_SAT) else {
                        break;
                    };
                    if size < MIN_CHANNEL_SAT {
                        break;
                    }
                    match open(size) {
                        Ok(opened) => {
                            let handle = convert::handle(opened);
                            busy.push(Busy::opening(handle));
                            return Ok(handle);
                        }
                        Err(cause @ NodeError::InsufficientFunds) => last = cause,
                        Err(cause) => return Err(ldk("no channel was opened", cause)),
                    }
                }
                Err(ldk("no channel was opened", last))
            }
        }
    }

    /// What can be put into one more channel.
    fn free_sat(&self, node: &Node) -> u64 {
        let spendable = node.list_balances().spendable_onchain_balance_sats;
        spendable.saturating_sub(self.config.reserve_per_channel_sat)
    }

    fn funds(&self, node: &Node, size: u64) -> LightningResult<()> {
        let free = self.free_sat(node);
        if free >= size {
            return Ok(());
        }
        let msat = |sat| Msat::from_sat(sat).unwrap_or(Msat::MAX_MONEY);
        let message = format!(
            "not enough on the chain: {free} sat are free beside the reserve of {} sat a channel, \
             the channel takes {size} sat and the fee; pay some to a new address",
            self.config.reserve_per_channel_sat
        );
        let kind = Kind::NotEnough {
            available: msat(free),
            needed: msat(size),
        };
        Err(error(kind, message))
    }

    pub(super) fn channels(&self) -> LightningResult<Vec<Channel>> {
        Ok(self
            .node()?
            .list_channels()
            .iter()
            .map(convert::channel)
            .collect())
    }

    /// LDK says yes to closing a channel that it does not know, so it is looked up first.
    fn channel(node: &Node, handle: ChannelHandle) -> LightningResult<ChannelDetails> {
        let wanted = convert::user_channel(handle);
        node.list_channels()
            .into_iter()
            .find(|channel| channel.user_channel_id == wanted)
            .ok_or_else(|| {
                let message = format!("no open channel {handle}; see the list of channels");
                error(Kind::NotFound, message)
            })
    }

    pub(super) fn set_channel_fees(
        &self,
        handle: ChannelHandle,
        fees: ChannelFees,
    ) -> LightningResult<()> {
        let node = self.node()?;
        let channel = Self::channel(&node, handle)?;
        let config = convert::with_fees(channel.config, fees);
        node.update_channel_config(
            &channel.user_channel_id,
            channel.counterparty_node_id,
            config,
        )
        .map_err(|cause| ldk("the fees stay as they were", cause))
    }

    pub(super) fn close_channel(
        &self,
        handle: ChannelHandle,
        mode: CloseMode,
    ) -> LightningResult<()> {
        let node = self.node()?;
        let channel = Self::channel(&node, handle)?;
        let (id, peer) = (channel.user_channel_id, channel.counterparty_node_id);
        let closed = match mode {
            CloseMode::Cooperative => {
                let is_connected = node
                    .list_peers()
                    .iter()
                    .any(|known| known.node_id == peer && known.is_connected);
                if !is_connected {
                    let message = "the peer is not connected; connect it, or close with force and wait longer";
                    return Err(error(Kind::PeerUnreachable, message));
                }
                node.close_channel(&id, peer)
            }
            CloseMode::Force => {
                node.force_close_channel(&id, peer, Some("closed by its owner".to_owned()))
            }
        };
        closed.map_err(|cause| ldk("the channel stays open", cause))
    }

    pub(super) fn splice_in(&self, handle: ChannelHandle, amount_sat: u64) -> LightningResult<()> {
        let node = self.node()?;
        let channel = Self::channel(&node, handle)?;
        let _one_at_a_time = self.coins(&node)?;
        node.splice_in(
            &channel.user_channel_id,
            channel.counterparty_node_id,
            amount_sat,
        )
        .map_err(|cause| ldk("the channel stays as it is", cause))
    }

    pub(super) fn splice_out(
        &self,
        handle: ChannelHandle,
        address: &str,
        amount_sat: u64,
    ) -> LightningResult<()> {
        let node = self.node()?;
        let address = check::address(self.config.network(), address)?;
        let channel = Self::channel(&node, handle)?;
        let peer = channel.counterparty_node_id;
        node.splice_out(&channel.user_channel_id, peer, &address, amount_sat)
            .map_err(|cause| ldk("the channel stays as it is", cause))
    }
}
