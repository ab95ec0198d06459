//! A peer that tells a [`Story`], and lies about it where it is told to.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bitcoin::consensus::{deserialize, serialize};
use bitcoin::p2p::message::{NetworkMessage, RawNetworkMessage};
use bitcoin::p2p::message_blockdata::{GetHeadersMessage, Inventory};
use bitcoin::p2p::message_filter::{CFHeaders, CFilter, GetCFHeaders, GetCFilters};
use bitcoin::p2p::message_network::VersionMessage;
use bitcoin::p2p::{Address, ServiceFlags};
use bitcoin::{Network, Transaction};

use crate::story::Story;

/// What a peer does next.
pub(crate) enum Act {
    Say(NetworkMessage),
    Bytes(Vec<u8>),
    Wait(Duration),
    HangUp,
}

/// A running peer. It serves until the test ends.
#[derive(Clone)]
pub(crate) struct Scripted {
    pub(crate) address: SocketAddr,
    story: Arc<Mutex<Story>>,
    /// What it tells to the library, if that is something else.
    other: Arc<Mutex<Option<Story>>>,
    /// The commands that it was sent, over all connections.
    heard: Arc<Mutex<Vec<String>>>,
}

impl Scripted {
    /// A peer that says what an honest one would, as far as its story goes.
    pub(crate) fn honest(story: Story) -> Self {
        Self::start(story, |_, answers| say(answers))
    }

    /// A peer whose manner turns the request and the honest answers into what it does.
    pub(crate) fn start(
        story: Story,
        manner: impl Fn(&NetworkMessage, Vec<NetworkMessage>) -> Vec<Act> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let peer = Self {
            address: listener.local_addr().expect("bound"),
            story: Arc::new(Mutex::new(story)),
            other: Arc::default(),
            heard: Arc::default(),
        };
        let (manner, server) = (Arc::new(manner), peer.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (manner, server) = (Arc::clone(&manner), server.clone());
                std::thread::spawn(move || server.converse(stream, &*manner));
            }
        });
        peer
    }

    pub(crate) fn host(&self) -> String {
        self.address.to_string()
    }

    /// Goes on with another story.
    pub(crate) fn tell(&self, story: Story) {
        *self.story.lock().unwrap_or_else(PoisonError::into_inner) = story;
    }

    /// Tells something else to the library than to the source itself.
    pub(crate) fn tell_the_library(&self, story: Story) {
        *self.other.lock().unwrap_or_else(PoisonError::into_inner) = Some(story);
    }

    /// How often it was sent this command.
    pub(crate) fn heard(&self, command: &str) -> usize {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.iter().filter(|other| *other == command).count()
    }

    fn converse(
        &self,
        mut stream: TcpStream,
        manner: &dyn Fn(&NetworkMessage, Vec<NetworkMessage>) -> Vec<Act>,
    ) {
        let _ = stream.set_nodelay(true);
        let mut is_library = false;
        while let Some(request) = read(&mut stream) {
            let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
            heard.push(request.cmd().to_owned());
            drop(heard);
            if let NetworkMessage::Version(version) = &request {
                is_library = !version.user_agent.contains("btc:");
            }
            let answers = self.answers(&request, is_library);
            for act in manner(&request, answers) {
                let bytes = match act {
                    Act::Say(answer) => message(answer),
                    Act::Bytes(bytes) => bytes,
                    Act::Wait(time) => {
                        std::thread::sleep(time);
                        continue;
                    }
                    Act::HangUp => return,
                };
                if stream.write_all(&bytes).is_err() {
                    return;
                }
            }
        }
    }

    fn answers(&self, request: &NetworkMessage, is_library: bool) -> Vec<NetworkMessage> {
        let other = self.other.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(other), true) = (&*other, is_library) {
            return answers(other, request);
        }
        drop(other);
        let story = self.story.lock().unwrap_or_else(PoisonError::into_inner);
        answers(&story, request)
    }
}

/// A peer that announces these as soon as it may, and hands them out.
pub(crate) fn announce(story: Story, transactions: Vec<Transaction>) -> Scripted {
    let items: Vec<_> = transactions
        .iter()
        .map(|it| Inventory::WTx(it.compute_wtxid()))
        .collect();
    let story = Story {
        mempool: transactions,
        ..story
    };
    Scripted::start(story, move |request, mut answers| {
        if matches!(request, NetworkMessage::Verack) {
            answers.push(NetworkMessage::Inv(items.clone()));
        }
        say(answers)
    })
}

/// Does something else instead of one kind of answer.
pub(crate) fn instead(
    command: &'static str,
    act: impl Fn(NetworkMessage) -> Vec<Act> + Send + Sync + 'static,
) -> impl Fn(&NetworkMessage, Vec<NetworkMessage>) -> Vec<Act> + Send + Sync + 'static {
    move |_, answers| {
        let acts = answers.into_iter().map(|answer| {
            if answer.cmd() == command {
                act(answer)
            } else {
                vec![Act::Say(answer)]
            }
        });
        acts.flatten().collect()
    }
}

/// Says all of it.
pub(crate) fn say(answers: Vec<NetworkMessage>) -> Vec<Act> {
    answers.into_iter().map(Act::Say).collect()
}

pub(crate) fn message(payload: NetworkMessage) -> Vec<u8> {
    serialize(&RawNetworkMessage::new(Network::Regtest.magic(), payload))
}

pub(crate) fn version(user_agent: &str, height: u32) -> NetworkMessage {
    let nowhere = Address::new(&([127, 0, 0, 1], 1).into(), ServiceFlags::NONE);
    let mut version = VersionMessage::new(
        ServiceFlags::NETWORK | ServiceFlags::COMPACT_FILTERS | ServiceFlags::WITNESS,
        0,
        nowhere.clone(),
        nowhere,
        1,
        user_agent.to_owned(),
        i32::try_from(height).expect("few"),
    );
    version.version = 70016;
    version.relay = true;
    NetworkMessage::Version(version)
}

fn read(stream: &mut TcpStream) -> Option<NetworkMessage> {
    let mut bytes = vec![0; 24];
    stream.read_exact(&mut bytes).ok()?;
    let length = u32::from_le_bytes([bytes[16], bytes[17], bytes[18], bytes[19]]);
    bytes.resize(24 + usize::try_from(length).expect("small"), 0);
    stream.read_exact(&mut bytes[24..]).ok()?;
    let message: RawNetworkMessage = deserialize(&bytes).expect("the source speaks well");
    assert_eq!(*message.magic(), Network::Regtest.magic());
    Some(message.into_payload())
}

/// What an honest peer answers.
fn answers(story: &Story, request: &NetworkMessage) -> Vec<NetworkMessage> {
    match request {
        NetworkMessage::Version(_) => {
            let version = version("/scripted/", story.height());
            vec![version, NetworkMessage::Verack]
        }
        NetworkMessage::Ping(nonce) => vec![NetworkMessage::Pong(*nonce)],
        NetworkMessage::GetHeaders(request) => vec![headers(story, request)],
        NetworkMessage::GetCFHeaders(request) => {
            filter_headers(story, request).into_iter().collect()
        }
        NetworkMessage::GetCFilters(request) => filters(story, request),
        NetworkMessage::GetData(items) => items.iter().map(|item| data(story, item)).collect(),
        _ => Vec::new(),
    }
}

fn headers(story: &Story, request: &GetHeadersMessage) -> NetworkMessage {
    if request.locator_hashes.is_empty() {
        let at = story.height_of(request.stop_hash);
        let headers = at.map(|height| story.blocks[height].header);
        return NetworkMessage::Headers(headers.into_iter().collect());
    }
    let mut locator = request.locator_hashes.iter();
    let known = locator.find_map(|hash| story.height_of(*hash)).unwrap_or(0);
    let stop = story.height_of(request.stop_hash);
    let above = story
        .blocks
        .iter()
        .take(stop.map_or(usize::MAX, |it| it + 1));
    let above = above.skip(known + 1).take(2_000);
    NetworkMessage::Headers(above.map(|block| block.header).collect())
}

fn filter_headers(story: &Story, request: &GetCFHeaders) -> Option<NetworkMessage> {
    let stop = story.height_of(request.stop_hash)?;
    let start = usize::try_from(request.start_height).expect("few");
    let before = start.checked_sub(1);
    let previous = before.map(|height| story.filter_header(height));
    Some(NetworkMessage::CFHeaders(CFHeaders {
        filter_type: 0,
        stop_hash: request.stop_hash,
        previous_filter_header: previous.unwrap_or_else(bitcoin::hashes::Hash::all_zeros),
        filter_hashes: (start..=stop).map(|at| story.filter_hash(at)).collect(),
    }))
}

fn filters(story: &Story, request: &GetCFilters) -> Vec<NetworkMessage> {
    let start = usize::try_from(request.start_height).expect("few");
    let Some(stop) = story.height_of(request.stop_hash) else {
        return Vec::new();
    };
    let filter = |height: usize| {
        NetworkMessage::CFilter(CFilter {
            filter_type: 0,
            block_hash: story.blocks[height].block_hash(),
            filter: story.filters[height].clone(),
        })
    };
    (start..=stop).map(filter).collect()
}

fn data(story: &Story, item: &Inventory) -> NetworkMessage {
    let block = |hash| story.height_of(hash).map(|at| story.blocks[at].clone());
    let transaction = |is_it: &dyn Fn(&bitcoin::Transaction) -> bool| {
        story.mempool.iter().find(|it| is_it(it)).cloned()
    };
    let found = match item {
        Inventory::Block(hash) | Inventory::WitnessBlock(hash) => {
            block(*hash).map(NetworkMessage::Block)
        }
        Inventory::Transaction(txid) | Inventory::WitnessTransaction(txid) => {
            transaction(&|it| it.compute_txid() == *txid).map(NetworkMessage::Tx)
        }
        Inventory::WTx(wtxid) => {
            transaction(&|it| it.compute_wtxid() == *wtxid).map(NetworkMessage::Tx)
        }
        _ => None,
    };
    found.unwrap_or_else(|| NetworkMessage::NotFound(vec![*item]))
}
