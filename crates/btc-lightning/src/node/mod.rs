//! `LightningNode`: a running node, from the look at Bitcoin Core to the clean stop.

mod channels;
mod coins;
mod interface;
mod money;
mod pay;
mod resume;
mod tasks;
mod withdrawals;

use std::collections::HashSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use btc_iface::lightning::{LightningErrorKind as Kind, LightningResult, NodeId};
use ldk_node::Builder;
use ldk_node::config::{AnchorChannelsConfig, Config};
use ldk_node::logger::{LogLevel, LogRecord, LogWriter};
use lightning::ln::msgs::SocketAddress;
use rusqlite::OptionalExtension as _;
use tokio::runtime::{self, Runtime};

use self::coins::Busy;
use crate::check::Payer;
use crate::config::LightningConfig;
use crate::error::{build, error, ldk, storage};
use crate::folder::Folder;
use crate::intents;
use crate::journal;
use crate::keys::NodeSeed;
use crate::preflight::{self, Seen};
use crate::store::Store;
use crate::watch::Watch;

/// Distinguishes the threads of the nodes of one process.
static NODES: AtomicU32 = AtomicU32::new(0);
/// Threads for LDK's tasks. Writes wait for the disk on them, so there are more than cores.
const WORKERS: usize = 4;

/// A running Lightning node. Dropping it stops it, as [`stop`](btc_iface::lightning::LightningInterface::stop) does.
pub struct LightningNode {
    shared: Arc<Shared>,
    runtime: Option<Runtime>,
}

/// What the operations and the background tasks share.
pub(crate) struct Shared {
    pub(crate) config: LightningConfig,
    pub(crate) seed: NodeSeed,
    pub(crate) store: Store,
    pub(crate) watch: Arc<Watch>,
    /// Bumped with each event that was recorded.
    pub(crate) recorded: tokio::sync::watch::Sender<u64>,
    /// Intents that an earlier process left open, and of which nothing is known yet.
    doubtful: Mutex<HashSet<String>>,
    /// Held while coins are chosen, with what has chosen some that the wallet does not know yet.
    coins: Mutex<Vec<Busy>>,
    /// Held while an offer's payment is handed over, until its name is on disk; while an event is
    /// recorded; and while a doubtful intent is looked into or given up.
    settling: Mutex<()>,
    /// The chain's height at the start.
    started_at: u32,
    node: Mutex<Option<Arc<ldk_node::Node>>>,
    folder: Mutex<Option<Folder>>,
    /// Held from the first step of the end to the last.
    ending: Mutex<()>,
}

impl LightningNode {
    /// Starts a node: takes its directory, looks at Bitcoin Core, and returns once it is running.
    /// Blocks for some seconds; from async code, call it on a thread for blocking work.
    ///
    /// # Errors
    /// `Configuration`, `Locked`, `Storage`: of the directory and what is said of it.
    /// `ChainUnavailable`, `ChainAuth`, `WrongChain`: of Bitcoin Core, within 10 seconds a question.
    pub fn start(config: LightningConfig, seed: NodeSeed) -> LightningResult<Self> {
        config.check()?;
        let folder = Folder::take(&config.directory)?;
        let number = NODES.fetch_add(1, Ordering::Relaxed);
        let thread_name = format!("lightning-{number}");
        let watch = Watch::new(thread_name.clone(), config.stale_after);
        let told = Arc::clone(&watch);
        let store = Store::open(folder.path(), move |cause| told.fail(cause)).map_err(storage)?;
        claim(&store, &config, &seed)?;
        let (login, height) = preflight::check(&config.chain, seen(&store)?)?;
        let is_first = store.is_empty().map_err(storage)?;
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(WORKERS)
            .thread_name(thread_name)
            .enable_all()
            .build()
            .map_err(storage)?;
        let builder = builder(&config, &seed, &login, &runtime)?;
        let node = builder
            .build_with_store(Arc::new(store.clone()))
            .map(Arc::new)
            .map_err(build)?;
        if is_first && node.status().current_best_block.height < height {
            // LDK could not ask for the tip, and began at the first block of all.
            drop(node);
            store.clear().map_err(storage)?;
            let message =
                "Bitcoin Core went away during the first start; nothing was begun, start again";
            return Err(error(Kind::ChainUnavailable, message));
        }
        let shared = Arc::new(Shared {
            config,
            seed,
            store,
            watch,
            recorded: tokio::sync::watch::channel(0).0,
            doubtful: Mutex::new(HashSet::new()),
            coins: Mutex::new(Vec::new()),
            settling: Mutex::new(()),
            started_at: height,
            node: Mutex::new(Some(Arc::clone(&node))),
            folder: Mutex::new(Some(folder)),
            ending: Mutex::new(()),
        });
        let this = Self {
            shared,
            runtime: Some(runtime),
        };
        this.begin(&node)?;
        Ok(this)
    }

    fn begin(&self, node: &Arc<ldk_node::Node>) -> LightningResult<()> {
        let shared = &self.shared;
        // Before anything new can come: the event at which an earlier process ended.
        if let Some(event) = node.next_event()
            && journal::is_repeated(&shared.store, &journal::digest(&event))?
        {
            node.event_handled().map_err(|cause| ldk("start", cause))?;
            journal::handled(&shared.store);
        }
        let open = shared.store.read(intents::open).map_err(storage)?;
        shared
            .doubtful()
            .extend(open.iter().map(|intent| intent.key.clone()));
        shared.remember_coins(node, &open);
        shared.recorded.send_replace(journal::last(&shared.store)?);
        node.start().map_err(|cause| match cause {
            ldk_node::NodeError::InvalidSocketAddress => error(
                Kind::Configuration,
                format!(
                    "cannot listen on {}: not an address of this machine, or in use",
                    shared.config.listen.join(", ")
                ),
            ),
            other => ldk("the node cannot be started", other),
        })?;
        let runtime = self.runtime.as_ref().expect("there until the end");
        shared.watch.hear();
        tasks::spawn(shared, node, runtime.handle());
        Ok(())
    }

    /// Runs blocking work on the node's own threads, whichever runtime the caller has.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared) -> LightningResult<T> + Send + 'static,
    ) -> LightningResult<T> {
        self.shared.watch.check()?;
        let shared = Arc::clone(&self.shared);
        let runtime = self.runtime.as_ref().expect("there until the end");
        let done = runtime.spawn_blocking(move || work(&shared)).await;
        done.unwrap_or_else(|_| {
            self.shared.watch.check()?;
            Err(error(Kind::Internal, "the operation broke off"))
        })
    }

    /// As [`run`](Self::run), for what may move money: if it broke off, it may have.
    async fn run_payment<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared) -> LightningResult<T> + Send + 'static,
    ) -> LightningResult<T> {
        match self.run(work).await {
            Err(broken) if broken.kind() == Kind::Internal => {
                let message =
                    "the operation broke off, and may have been sent; ask for it by its key";
                Err(error(Kind::Unknown, message))
            }
            other => other,
        }
    }

    /// Why the node has stopped by itself; none while it runs, or when it was asked to.
    pub fn failure(&self) -> Option<String> {
        self.shared.watch.failure().map(str::to_owned)
    }

    /// Whether it has stopped, on request or by itself.
    pub fn is_stopped(&self) -> bool {
        self.shared.watch.is_over()
    }
}

impl Drop for LightningNode {
    fn drop(&mut self) {
        self.shared.watch.stop();
        let shared = Arc::clone(&self.shared);
        let runtime = self.runtime.take();
        // On a thread of its own: the dropping one may belong to a runtime that must not block.
        let ending = std::thread::Builder::new()
            .name("ln-ending".to_owned())
            .spawn(move || {
                shared.end();
                if let Some(runtime) = runtime {
                    runtime.shutdown_timeout(Duration::from_secs(10));
                }
            });
        if let Ok(ending) = ending {
            let _ = ending.join();
        }
    }
}

impl Shared {
    /// LDK's node, until the end.
    pub(crate) fn node(&self) -> LightningResult<Arc<ldk_node::Node>> {
        self.watch.check()?;
        let node = self.node.lock().unwrap_or_else(PoisonError::into_inner);
        node.clone()
            .ok_or_else(|| error(Kind::Stopped, "the node was stopped"))
    }

    pub(crate) fn doubtful(&self) -> MutexGuard<'_, HashSet<String>> {
        self.doubtful.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn settling(&self) -> MutexGuard<'_, ()> {
        self.settling.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn payer(&self, node: &ldk_node::Node) -> Payer {
        Payer {
            node_id: NodeId::from_key(node.node_id()),
            network: self.config.network(),
        }
    }

    /// Stops everything and gives the directory back. A second call waits for the first one: the
    /// directory is given back once LDK has stopped, not before.
    pub(crate) fn end(&self) {
        let _one_at_a_time = self.ending.lock().unwrap_or_else(PoisonError::into_inner);
        let node = self
            .node
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(node) = node {
            remember_seen(&self.store, &node);
            // After a broken task, LDK's own stop may break too.
            let stopping = std::panic::AssertUnwindSafe(|| node.stop());
            let _ = std::panic::catch_unwind(stopping);
        }
        self.store.close();
        drop(
            self.folder
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
    }
}

/// Refuses a directory of another seed or network; a new one becomes ours.
fn claim(store: &Store, config: &LightningConfig, seed: &NodeSeed) -> LightningResult<()> {
    let network = btc_iface::types::network::name(config.network()).to_owned();
    let ours = [("network", network), ("seed", seed.fingerprint())];
    for (name, value) in ours {
        let expected = value.clone();
        let found = store.write(move |connection| {
            let sql = "INSERT OR IGNORE INTO meta (name, value) VALUES (?1, ?2)";
            connection.execute(sql, [name, value.as_str()])?;
            let sql = "SELECT value FROM meta WHERE name = ?1";
            connection.query_row(sql, [name], |row| row.get::<_, String>(0))
        });
        if found.map_err(storage)? != expected {
            let message = format!("the directory belongs to a node with another {name}");
            return Err(error(Kind::Configuration, message));
        }
    }
    Ok(())
}

/// The last block that was followed, as far as it was taken note of.
fn seen(store: &Store) -> LightningResult<Option<Seen>> {
    let text: Option<String> = store
        .read(|connection| {
            let sql = "SELECT value FROM meta WHERE name = 'seen'";
            connection.query_row(sql, [], |row| row.get(0)).optional()
        })
        .map_err(storage)?;
    Ok(text.and_then(|text| {
        let (height, hash) = text.split_once(' ')?;
        Some(Seen {
            height: height.parse().ok()?,
            hash: hash.parse().ok()?,
        })
    }))
}

/// Takes note of the block that LDK has followed, without waiting for the disk.
pub(crate) fn remember_seen(store: &Store, node: &ldk_node::Node) {
    let best = node.status().current_best_block;
    let text = format!("{} {}", best.height, best.block_hash);
    store.write_later(move |connection| {
        let sql = "INSERT OR REPLACE INTO meta (name, value) VALUES ('seen', ?1)";
        connection.execute(sql, [text]).map(drop)
    });
}

fn builder(
    config: &LightningConfig,
    seed: &NodeSeed,
    login: &preflight::Login,
    runtime: &Runtime,
) -> LightningResult<Builder> {
    let mut listening = Vec::new();
    for text in &config.listen {
        listening.push(socket_address(text)?);
    }
    let directory = config
        .directory
        .to_str()
        .ok_or_else(|| error(Kind::Configuration, "the directory's name must be UTF-8"))?;
    let ldk_config = Config {
        storage_dir_path: directory.to_owned(),
        network: config.network(),
        listening_addresses: (!listening.is_empty()).then_some(listening),
        anchor_channels_config: Some(AnchorChannelsConfig {
            trusted_peers_no_reserve: Vec::new(),
            per_channel_reserve_sats: config.reserve_per_channel_sat,
        }),
        ..Config::default()
    };
    let mut builder = Builder::from_config(ldk_config);
    if let Some(alias) = &config.alias {
        builder.set_node_alias(alias.clone()).map_err(build)?;
    }
    builder.set_runtime(runtime.handle().clone());
    builder.set_entropy_seed_bytes(*seed.expose());
    // Always: without a chain source LDK would ask a server on the internet.
    builder.set_chain_source_bitcoind_rpc(
        login.host.clone(),
        login.port,
        login.user.clone(),
        login.password.to_string(),
    );
    builder.set_gossip_source_p2p();
    builder.set_custom_logger(Arc::new(Log));
    Ok(builder)
}

/// Reads `host:port`.
pub(crate) fn socket_address(text: &str) -> LightningResult<SocketAddress> {
    text.parse().map_err(|_| {
        error(
            Kind::Malformed,
            format!("`{text}` is no address; write host:port, as in 127.0.0.1:9735"),
        )
    })
}

/// LDK's log, as events of `tracing`.
struct Log;

impl LogWriter for Log {
    fn log(&self, record: LogRecord<'_>) {
        let (module, line, text) = (record.module_path, record.line, record.args);
        match record.level {
            LogLevel::Error => tracing::warn!(target: "ldk", "{module}:{line}: {text}"),
            LogLevel::Warn | LogLevel::Info => {
                tracing::debug!(target: "ldk", "{module}:{line}: {text}");
            }
            LogLevel::Debug | LogLevel::Trace | LogLevel::Gossip => {
                tracing::trace!(target: "ldk", "{module}:{line}: {text}");
            }
        }
    }
}
