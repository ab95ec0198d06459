//! `Conversation`: an open connection to one peer (BIP14, BIP31, BIP144, BIP339).
//!
//! The node of the library follows the headers and fetches filters; it does not say who sent what.
//! What must be known of one peer, to hold it against the others, is asked here.

mod questions;

pub(super) use self::questions::MAX_HEADERS;

use std::hash::{BuildHasher, RandomState};
use std::io::{ErrorKind as IoKind, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bitcoin::consensus::{deserialize, serialize};
use bitcoin::p2p::message::{NetworkMessage, RawNetworkMessage};
use bitcoin::p2p::message_network::VersionMessage;
use bitcoin::p2p::{Address, Magic, ServiceFlags};
use btc_iface::Network;

use super::failure::{Failure, NETWORKS, name};

/// The version of the protocol that we speak: `wtxidrelay` (BIP339).
const PROTOCOL: u32 = 70016;
/// The longest message that is read: a block has 4,000,000 bytes at most.
const MAX_MESSAGE: usize = 4_500_000;
/// How many messages may pass that we did not ask for, and their bytes.
const MAX_UNASKED: usize = 2_000;
const MAX_UNASKED_BYTES: usize = 2 * MAX_MESSAGE;
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
    network: Network,
    timeout: Duration,
    deadline: Instant,
    pub(super) address: SocketAddr,
    pub(super) hello: Hello,
}

impl Conversation {
    /// Connects and shakes hands. Everything that follows must end within the timeout, too, until
    /// it is [renewed](Self::renew).
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
            network,
            timeout,
            deadline,
            address,
            hello: nothing,
        };
        conversation.send(NetworkMessage::Version(our_version(address)))?;
        conversation.hello = conversation.until(&["version"], |message| match message {
            NetworkMessage::Version(version) => Some(hello(&version)),
            _ => None,
        })?;
        if conversation.hello.version >= PROTOCOL {
            conversation.send(NetworkMessage::WtxidRelay)?;
        }
        conversation.send(NetworkMessage::Verack)?;
        conversation.until(&["verack"], |message| {
            matches!(message, NetworkMessage::Verack).then_some(())
        })?;
        Ok(conversation)
    }

    /// The next exchange has the whole timeout again.
    pub(super) fn renew(&mut self) {
        self.deadline = Instant::now() + self.timeout;
    }

    /// Returns when the peer has worked off everything that was sent before.
    fn fence(&mut self) -> Result<(), Failure> {
        let nonce = random();
        self.send(NetworkMessage::Ping(nonce))?;
        self.until(&["pong"], |message| match message {
            NetworkMessage::Pong(answer) if answer == nonce => Some(()),
            _ => None,
        })
    }

    fn send(&mut self, message: NetworkMessage) -> Result<(), Failure> {
        self.stream.set_write_timeout(Some(self.time_left()?))?;
        let bytes = serialize(&RawNetworkMessage::new(self.network.magic(), message));
        self.stream.write_all(&bytes).map_err(Failure::from)
    }

    /// Reads on until the message that is looked for, which has one of these commands; answers
    /// pings on the way.
    fn until<T>(
        &mut self,
        commands: &[&str],
        mut pick: impl FnMut(NetworkMessage) -> Option<T>,
    ) -> Result<T, Failure> {
        let mut unasked_bytes = 0;
        for _ in 0..MAX_UNASKED {
            let (bytes, message) = self.receive(commands)?;
            match message {
                Some(NetworkMessage::Ping(nonce)) => self.send(NetworkMessage::Pong(nonce))?,
                Some(message) => {
                    if let Some(found) = pick(message) {
                        return Ok(found);
                    }
                }
                None => unasked_bytes += bytes,
            }
            if unasked_bytes > MAX_UNASKED_BYTES {
                break;
            }
        }
        Err(Failure::Nonsense(
            "too many messages without an answer".to_owned(),
        ))
    }

    /// The size of the next message, and it; `None` for one of another kind.
    fn receive(&mut self, commands: &[&str]) -> Result<(usize, Option<NetworkMessage>), Failure> {
        let mut bytes = vec![0; HEADER];
        self.fill(&mut bytes)?;
        let magic = Magic::from_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        if magic != self.network.magic() {
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
        self.fill_more(&mut bytes, length)?;
        let command = bytes[4..16].split(|byte| *byte == 0).next();
        let command = command.unwrap_or_default();
        let mut commands = commands.iter().chain(&["ping"]);
        if !commands.any(|other| other.as_bytes() == command) {
            return Ok((length, None));
        }
        deserialize::<RawNetworkMessage>(&bytes)
            .map(|message| (length, Some(message.into_payload())))
            .map_err(|cause| Failure::Nonsense(cause.to_string()))
    }

    /// Reads so many bytes more, and has room for no more than have come: a length is only a word.
    fn fill_more(&mut self, bytes: &mut Vec<u8>, length: usize) -> Result<(), Failure> {
        const STEP: usize = 1 << 16;
        let end = bytes.len() + length;
        while bytes.len() < end {
            let at = bytes.len();
            bytes.resize(end.min(at + STEP), 0);
            self.fill(&mut bytes[at..])?;
        }
        Ok(())
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
