//! `SimNode`: a Bitcoin Core node in memory, with its chain, mempool and clock in the test's hand.
//!
//! It speaks the RPC and the REST that the wallets use, over real connections, and judges
//! transactions as Bitcoin Core 31 does but for their scripts: signatures are not checked. A start
//! takes well under a millisecond. That it answers as Bitcoin Core does is a test of this crate.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use btc_regtest::sim::{SimNode, coins};
//!
//! let node = SimNode::builder().start()?;
//! let coin = node.open_coins()[0];
//! let payment = coins::spend(&[coin], vec![coins::output(7, 40_000)], 2);
//! node.submit(&payment)?;
//! node.mine(coins::script(1))?;
//! assert!(node.mempool().is_empty());
//! # Ok(())
//! # }
//! ```

mod assemble;
mod chain;
pub mod coins;
mod control;
mod journal;
mod json;
mod options;
mod pool;
mod rest;
mod rpc;
mod server;
mod tap;
mod view;
mod world;

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bitcoin::base64::Engine as _;
use bitcoin::base64::engine::general_purpose::STANDARD as BASE64;
use tempfile::TempDir;

pub use self::coins::OpenCoin;
pub use self::journal::Deed;
pub use self::options::SimBuilder;
use self::server::Shared;
pub use self::tap::{Call, Fate, Moment, Tap};
pub use self::view::{Placed, Waiting};
use self::world::World;

/// Why a simulated node refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SimError {
    /// The machine refused a port or a folder.
    #[error("the simulated node cannot start")]
    Io(#[from] io::Error),
    /// A block that the chain does not allow.
    #[error("the block is not valid: {0}")]
    Block(&'static str),
    /// A transaction that the mempool does not take.
    #[error("the transaction is refused: {message}")]
    Refused {
        /// Core's error code.
        code: i32,
        /// Core's words.
        message: String,
    },
}

/// A node in memory. All methods take `&self`; clients and the test may use it at once.
pub struct SimNode {
    shared: Arc<Shared>,
    address: SocketAddr,
    home: TempDir,
}

impl SimNode {
    /// The options, with their defaults.
    pub fn builder() -> SimBuilder {
        SimBuilder::default()
    }

    fn start(options: SimBuilder) -> Result<Self, SimError> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let home = tempfile::Builder::new().prefix("btc-sim-").tempdir()?;
        let shared = Arc::new(Shared::new(World::new(options), String::new()));
        let node = Self {
            shared,
            address,
            home,
        };
        node.renew_cookie()?;
        node.shared.listen(listener);
        Ok(node)
    }

    /// The address of the JSON-RPC and REST server.
    pub fn rpc_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The cookie file. Its content changes at each restart.
    pub fn cookie_file(&self) -> PathBuf {
        self.home.path().join(".cookie")
    }

    /// Writes a new cookie; the one before lets in no more.
    fn renew_cookie(&self) -> Result<(), SimError> {
        static NUMBER: AtomicU64 = AtomicU64::new(1);
        // It guards a node of a test on the loopback interface.
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let pair = format!("__cookie__:{:x}-{number:x}", std::process::id());
        fs::write(self.cookie_file(), &pair)?;
        let login = format!("Basic {}", BASE64.encode(pair));
        *self
            .shared
            .login
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = login;
        Ok(())
    }
}

impl Drop for SimNode {
    fn drop(&mut self) {
        self.shared.end();
        // Wakes the listener, which then sees that it is over.
        let _ = TcpStream::connect(self.address);
    }
}

impl std::fmt::Debug for SimNode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SimNode")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}
