//! A short conversation with one peer: the handshake, and the few questions that the wallet asks
//! itself (BIP14, BIP31, BIP144, BIP339).
//!
//! The node of the library follows the chain; this asks what it cannot tell: who the peer is, where
//! its chain parts from ours, and whether its mempool has a transaction.

use std::hash::{BuildHasher, RandomState};
use std::io::{ErrorKind as IoKind, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bitcoin::block::Header;
use bitcoin::consensus::{deserialize, serialize};
use bitcoin::hashes::Hash;
use bitcoin::p2p::message::{NetworkMessage, RawNetworkMessage};
use bitcoin::p2p::message_blockdata::{GetHeadersMessage, Inventory};
use bitcoin::p2p::message_filter::GetCFHeaders;
use bitcoin::p2p::message_network::VersionMessage;
use bitcoin::p2p::{Address, Magic, ServiceFlags};
use bitcoin::{BlockHash, Transaction, Txid};
use btc_iface::{BlockRef, Network};

use super::failure::{Failure, NETWORKS, name};

/// The version of the protocol that we speak: `wtxidrelay` (BIP339).
const PROTOCOL: u32 = 70016;
/// The longest message that is read. What we ask for is far shorter, except a transaction.
const MAX_MESSAGE: usize = 4_500_000;
/// How many messages may pass that we did not ask for.
const MAX_UNASKED: usize = 2_000;
/// Transactions asked for at once.
const BATCH: usize = 50;
/// The hashes of a locator that Bitcoin Core accepts.
const MAX_LOCATOR: usize = 101;
/// The longest user agent that is kept (BIP14).
const MAX_USER_AGENT: usize = 256;
const HEADER: usize = 24;

/// What a peer said about itself.
#[derive(Debug, Clone)]
pub(super) struct Hello {
    pub(super) version: u32,
    pub(super) services: ServiceFlags,
    pub(super) user_agent: String,
    pub(super) start_height: i32,
    /// Whether it wants to hear of transactions, that is, has a mempool for us.
    pub(super) relays: bool,
}

/// An open connection after the handshake.
pub(super) struct Conversation {
    stream: TcpStream,
    magic: Magic,
    deadline: Instant,
    pub(super) address: SocketAddr,
    pub(super) hello: Hello,
}

impl Conversation {
    /// Connects and shakes hands. Everything that follows must end within the timeout, too.
    pub(super) fn open(
        address: &str,
        network: Network,
        timeout: Duration,
    ) -> Result<Self, Failure> {
        match Self::open_as(address, network, timeout) {
            // A peer that sees the magic of another network hangs up without a word.
            Err(Failure::Closed) => {
                let is_on = |other: &&Network| {
                    **other != network && Self::open_as(address, **other, timeout).is_ok()
                };
                Err(NETWORKS
                    .iter()
                    .find(is_on)
                    .map_or(Failure::Closed, |other| Failure::OtherNetwork(name(*other))))
            }
            other => other,
        }
    }

    fn open_as(address: &str, network: Network, timeout: Duration) -> Result<Self, Failure> {
        let deadline = Instant::now() + timeout;
        let stream = connect(address, deadline)?;
        // Small messages that wait for their answers.
        stream.set_nodelay(true)?;
        let address = stream.peer_addr()?;
        let nothing = Hello {
            version: 0,
            services: ServiceFlags::NONE,
            user_agent: String::new(),
            start_height: 0,
            relays: false,
        };
        let mut conversation = Self {
            stream,
            magic: network.magic(),
            deadline,
            address,
            hello: nothing,
        };
        conversation.send(NetworkMessage::Version(our_version(address)))?;
        conversation.hello = conversation.until(|message| match message {
            NetworkMessage::Version(version) => Some(hello(&version)),
            _ => None,
        })?;
        if conversation.hello.version >= PROTOCOL {
            conversation.send(NetworkMessage::WtxidRelay)?;
        }
        conversation.send(NetworkMessage::Verack)?;
        conversation.until(|message| matches!(message, NetworkMessage::Verack).then_some(()))?;
        Ok(conversation)
    }

    /// The headers above the first hash of the locator that is in the peer's chain, at most
    /// 2,000.
    pub(super) fn headers_after(&mut self, locator: &[BlockHash]) -> Result<Vec<Header>, Failure> {
        let newest = locator.iter().take(MAX_LOCATOR - 1);
        let oldest = locator.get(MAX_LOCATOR - 1..).and_then(<[_]>::last);
        self.send(NetworkMessage::GetHeaders(GetHeadersMessage {
            version: PROTOCOL,
            locator_hashes: newest.chain(oldest).copied().collect(),
            stop_hash: BlockHash::all_zeros(),
        }))?;
        let headers = self.until(|message| match message {
            NetworkMessage::Headers(headers) => Some(headers),
            _ => None,
        })?;
        let is_chain = headers
            .windows(2)
            .all(|pair| pair[1].prev_blockhash == pair[0].block_hash());
        if is_chain {
            Ok(headers)
        } else {
            Err(Failure::Nonsense("headers without connection".to_owned()))
        }
    }

    /// Whether the peer has built the filter of this block. Bitcoin Core builds them some time
    /// after it has connected the block, and is silent when it is asked too early.
    pub(super) fn has_filter(&mut self, block: BlockRef) -> Result<bool, Failure> {
        self.send(NetworkMessage::GetCFHeaders(GetCFHeaders {
            filter_type: 0,
            start_height: block.height,
            stop_hash: block.hash,
        }))?;
        let nonce = random();
        self.send(NetworkMessage::Ping(nonce))?;
        let mut is_there = false;
        self.until(|message| match message {
            NetworkMessage::CFHeaders(headers) => {
                is_there |= headers.stop_hash == block.hash && headers.filter_hashes.len() == 1;
                None
            }
            NetworkMessage::Pong(answer) if answer == nonce => Some(()),
            _ => None,
        })?;
        Ok(is_there)
    }

    /// Those of the transactions that the peer would not hand out: they are neither in its
    /// mempool nor in its newest block. To be asked soon after [`open`](Self::open): Bitcoin Core
    /// hands out what it had when it last announced, which it does at once to a new peer.
    pub(super) fn lacking(&mut self, txids: &[Txid]) -> Result<Vec<Txid>, Failure> {
        // When the answer is here, the peer has also announced.
        self.fence()?;
        let mut lacking = Vec::new();
        for batch in txids.chunks(BATCH) {
            let asked = batch
                .iter()
                .map(|txid| Inventory::WitnessTransaction(*txid))
                .collect();
            self.send(NetworkMessage::GetData(asked))?;
            let mut waiting = batch.to_vec();
            while !waiting.is_empty() {
                self.until(|message| match message {
                    NetworkMessage::Tx(transaction) => {
                        let txid = transaction.compute_txid();
                        waiting.retain(|other| *other != txid);
                        Some(())
                    }
                    NetworkMessage::NotFound(items) => {
                        for item in items {
                            if let Inventory::WitnessTransaction(txid)
                            | Inventory::Transaction(txid) = item
                                && waiting.contains(&txid)
                            {
                                waiting.retain(|other| *other != txid);
                                lacking.push(txid);
                            }
                        }
                        Some(())
                    }
                    _ => None,
                })?;
            }
        }
        Ok(lacking)
    }

    /// Hands a transaction over and waits until the peer has looked at it.
    pub(super) fn hand_over(&mut self, transaction: &Transaction) -> Result<(), Failure> {
        self.send(NetworkMessage::Tx(transaction.clone()))?;
        self.fence()
    }

    /// Returns when the peer has worked off everything that was sent before.
    fn fence(&mut self) -> Result<(), Failure> {
        let nonce = random();
        self.send(NetworkMessage::Ping(nonce))?;
        self.until(|message| match message {
            NetworkMessage::Pong(answer) if answer == nonce => Some(()),
            _ => None,
        })
    }

    fn send(&mut self, message: NetworkMessage) -> Result<(), Failure> {
        self.stream.set_write_timeout(Some(self.time_left()?))?;
        let bytes = serialize(&RawNetworkMessage::new(self.magic, message));
        self.stream.write_all(&bytes).map_err(Failure::from)
    }

    /// Reads on until the message that is looked for; answers pings on the way.
    fn until<T>(
        &mut self,
        mut pick: impl FnMut(NetworkMessage) -> Option<T>,
    ) -> Result<T, Failure> {
        for _ in 0..MAX_UNASKED {
            match self.receive()? {
                Some(NetworkMessage::Ping(nonce)) => self.send(NetworkMessage::Pong(nonce))?,
                Some(message) => {
                    if let Some(found) = pick(message) {
                        return Ok(found);
                    }
                }
                None => {}
            }
        }
        Err(Failure::Nonsense(
            "too many messages without an answer".to_owned(),
        ))
    }

    /// The next message; `None` for one of a kind that we never need.
    fn receive(&mut self) -> Result<Option<NetworkMessage>, Failure> {
        let mut bytes = vec![0; HEADER];
        self.fill(&mut bytes)?;
        let magic = Magic::from_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        if magic != self.magic {
            let other = NETWORKS.iter().find(|other| other.magic() == magic);
            return Err(other.map_or_else(
                || Failure::Nonsense(format!("a message begins with {magic}")),
                |other| Failure::OtherNetwork(name(*other)),
            ));
        }
        let length = u32::from_le_bytes([bytes[16], bytes[17], bytes[18], bytes[19]]) as usize;
        if length > MAX_MESSAGE {
            let text = format!("a message of {length} bytes");
            return Err(Failure::Nonsense(text));
        }
        bytes.resize(HEADER + length, 0);
        self.fill(&mut bytes[HEADER..])?;
        let command = bytes[4..16].split(|byte| *byte == 0).next();
        let is_needed = matches!(
            command.unwrap_or_default(),
            b"version"
                | b"verack"
                | b"ping"
                | b"pong"
                | b"headers"
                | b"cfheaders"
                | b"tx"
                | b"notfound"
        );
        if !is_needed {
            return Ok(None);
        }
        deserialize::<RawNetworkMessage>(&bytes)
            .map(|message| Some(message.into_payload()))
            .map_err(|cause| Failure::Nonsense(cause.to_string()))
    }

    /// Reads exactly so many bytes before the deadline, however slowly they drip.
    fn fill(&mut self, mut into: &mut [u8]) -> Result<(), Failure> {
        while !into.is_empty() {
            self.stream.set_read_timeout(Some(self.time_left()?))?;
            match self.stream.read(into) {
                Ok(0) => return Err(Failure::Closed),
                Ok(count) => into = &mut into[count..],
                Err(cause) if cause.kind() == IoKind::Interrupted => {}
                Err(cause) => return Err(cause.into()),
            }
        }
        Ok(())
    }

    fn time_left(&self) -> Result<Duration, Failure> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            Err(Failure::Silent)
        } else {
            Ok(left)
        }
    }
}

fn connect(address: &str, deadline: Instant) -> Result<TcpStream, Failure> {
    let mut last = std::io::Error::new(IoKind::NotFound, "the name has no address");
    for address in address.to_socket_addrs().map_err(Failure::Unreachable)? {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        match TcpStream::connect_timeout(&address, left) {
            Ok(stream) => return Ok(stream),
            Err(cause) => last = cause,
        }
    }
    Err(Failure::Unreachable(last))
}

fn our_version(peer: SocketAddr) -> VersionMessage {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |age| age.as_secs());
    let receiver = Address::new(&peer, ServiceFlags::NONE);
    let nowhere = Address::new(&([0, 0, 0, 0], 0).into(), ServiceFlags::NONE);
    VersionMessage {
        version: PROTOCOL,
        services: ServiceFlags::NONE,
        timestamp: i64::try_from(now).unwrap_or(0),
        receiver,
        sender: nowhere,
        nonce: random(),
        user_agent: concat!("/btc:", env!("CARGO_PKG_VERSION"), "/").to_owned(),
        start_height: 0,
        relay: true,
    }
}

/// What of a version message is kept. The user agent is any text that a stranger chose.
fn hello(version: &VersionMessage) -> Hello {
    Hello {
        version: version.version,
        services: version.services,
        user_agent: version
            .user_agent
            .chars()
            .filter(|c| !c.is_control())
            .take(MAX_USER_AGENT)
            .collect(),
        start_height: version.start_height,
        relays: version.relay,
    }
}

/// Not secret, only different each time.
fn random() -> u64 {
    RandomState::new().hash_one(Instant::now())
}
