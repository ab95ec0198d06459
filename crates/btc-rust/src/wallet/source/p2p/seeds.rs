//! `Seeds`: where peers come from that the user did not name.

use std::collections::HashSet;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use btc_iface::Network;

use super::place::port;

/// What the seeds are asked for: peers with the whole chain, witnesses and compact filters.
const SERVICES: &str = "x49";
/// The DNS seeds of Bitcoin Core that know services, by network.
const MAIN: &[&str] = &[
    "dnsseed.bluematt.me",
    "dnsseed.emzy.de",
    "seed.bitcoin.jonasschnelli.ch",
    "seed.bitcoin.sprovoost.nl",
    "seed.bitcoin.wiz.biz",
    "seed.btc.petertodd.net",
    "seed.mainnet.achownodes.xyz",
];
const TEST3: &[&str] = &[
    "seed.tbtc.petertodd.net",
    "seed.testnet.achownodes.xyz",
    "testnet-seed.bitcoin.jonasschnelli.ch",
    "testnet-seed.bluematt.me",
];
const TEST4: &[&str] = &[
    "seed.testnet4.bitcoin.sprovoost.nl",
    "seed.testnet4.wiz.biz",
];
const SIGNET: &[&str] = &[
    "seed.signet.achownodes.xyz",
    "seed.signet.bitcoin.sprovoost.nl",
];

type LookUp = dyn Fn(Network) -> Vec<SocketAddr> + Send + Sync;

/// Where peers come from that the user did not name: the DNS seeds of the network, or a function.
#[derive(Clone, Default)]
pub struct Seeds(Option<Arc<LookUp>>);

impl Seeds {
    /// The DNS seeds of the network. Regtest has none.
    pub const fn dns() -> Self {
        Self(None)
    }

    /// A function that is asked instead, again when those of before do not serve.
    pub fn from_fn(look_up: impl Fn(Network) -> Vec<SocketAddr> + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(look_up)))
    }

    /// Whether there can be an answer.
    pub(super) fn know(&self, network: Network) -> bool {
        self.0.is_some() || !names(network).is_empty()
    }

    /// Addresses of peers, shuffled. Names that do not answer in time are left behind.
    pub(super) fn look_up(&self, network: Network, timeout: Duration) -> Vec<SocketAddr> {
        let mut found = match &self.0 {
            Some(look_up) => look_up(network),
            None => ask_dns(network, timeout),
        };
        let mut seen = HashSet::new();
        found.retain(|address| seen.insert(*address));
        let random = RandomState::new();
        found.sort_by_key(|address| random.hash_one(address));
        found
    }
}

impl fmt::Debug for Seeds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() {
            "Seeds(a function)"
        } else {
            "Seeds(DNS)"
        })
    }
}

/// The part of an address that one owner may have for all its peers: /16 of IPv4, /32 of IPv6.
/// `None` for this machine's own, and for what is no address.
pub(super) fn group(address: &str) -> Option<[u8; 4]> {
    let ip = address.parse::<SocketAddr>().ok()?.ip().to_canonical();
    match ip {
        _ if ip.is_loopback() => None,
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            Some([a, b, 0, 0])
        }
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.octets();
            Some([a, b, c, d])
        }
    }
}

fn ask_dns(network: Network, timeout: Duration) -> Vec<SocketAddr> {
    let (answer, answers) = mpsc::channel();
    for name in names(network) {
        let (name, answer) = (format!("{SERVICES}.{name}"), answer.clone());
        thread::spawn(move || {
            let found = (name.as_str(), port(network)).to_socket_addrs();
            // The receiver may have given up.
            let _ = answer.send(found.into_iter().flatten().collect::<Vec<_>>());
        });
    }
    drop(answer);
    let deadline = Instant::now() + timeout;
    let mut all = Vec::new();
    while let Ok(found) = answers.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
        all.extend(found);
    }
    all
}

const fn names(network: Network) -> &'static [&'static str] {
    match network {
        Network::Bitcoin => MAIN,
        Network::Testnet => TEST3,
        Network::Testnet4 => TEST4,
        Network::Signet => SIGNET,
        Network::Regtest => &[],
    }
}
