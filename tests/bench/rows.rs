//! The rows: what is measured against what, and what to reach.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use bitcoincore_rpc::RpcApi;
use btc::bitcoin::consensus::Decodable;
use btc::bitcoin::{Block, BlockHash};
use btc::rust::RustBitcoin;
use btc::{BitcoinImplementationType, BitcoinInterface, Config, NodeConfig};
use btc_regtest::{Node, Summary};

use crate::Outcome;
use crate::measure::{Effort, pair};
use crate::raw::RawHttp;
use crate::report::{Figure, Reach, Results, Row};

/// The node, its chain, and both implementations connected to it.
pub(crate) struct Subject {
    pub(crate) transactions: usize,
    pub(crate) block_bytes: usize,
    pub(crate) node_version: String,
    url: String,
    cookie: String,
    full_block: BlockHash,
    all_blocks: Vec<BlockHash>,
    txid: String,
    direct: Arc<RustBitcoin>,
    facade: Arc<dyn BitcoinInterface>,
    python: Arc<dyn BitcoinInterface>,
}

impl Subject {
    pub(crate) fn new(node: &Node, config: NodeConfig, summary: &Summary) -> Outcome<Self> {
        #[derive(serde::Deserialize)]
        struct NetworkInfo {
            subversion: String,
        }
        let full_block = summary.full_block.ok_or("the chain has no full block")?;
        let cookie = std::fs::read_to_string(node.cookie_file().ok_or("the node has no cookie")?)?;
        let direct = Arc::new(RustBitcoin::connect(&config)?);
        let facade_config = Config::builder()
            .implementation(BitcoinImplementationType::Rust)
            .node(config)
            .build()?;
        let facade = btc::connect(&facade_config)?;
        let python = btc::connect_to(&facade_config, BitcoinImplementationType::Python)?;
        let transactions = direct.get_block(&full_block.to_string())?;
        // From the mempool: the node reads confirmed ones from its disk, which is not our business.
        let mut waiting = Vec::new();
        for txid in &summary.mempool {
            let transaction = direct.get_transaction(&txid.to_string())?;
            waiting.push((transaction.size, txid.to_string()));
        }
        let (_, txid) = waiting.into_iter().min().ok_or("the mempool is empty")?;
        let mut raw = RawHttp::connect(&node.rpc_url(), &cookie)?;
        let request = raw.get_request(&format!("/rest/block/{full_block}.bin"));
        Ok(Self {
            transactions: transactions.len(),
            block_bytes: raw.round_trip(&request)?.len(),
            node_version: node.call::<NetworkInfo>("getnetworkinfo", &[])?.subversion,
            url: node.rpc_url(),
            cookie,
            full_block,
            all_blocks: summary.blocks.iter().map(|(_, hash)| *hash).collect(),
            txid,
            direct,
            facade,
            python,
        })
    }

    fn old_client(&self) -> Outcome<bitcoincore_rpc::Client> {
        let (user, password) = self
            .cookie
            .trim()
            .split_once(':')
            .ok_or("a broken cookie")?;
        let auth = bitcoincore_rpc::Auth::UserPass(user.to_owned(), password.to_owned());
        Ok(bitcoincore_rpc::Client::new(&self.url, auth)?)
    }
}

/// Measures every row.
pub(crate) fn all(subject: &Subject, effort: Effort, results: &mut Results) -> Outcome<()> {
    for row in [
        block_against_limit,
        block_against_python,
        transaction,
        height,
        facade,
    ] {
        results.add(row(subject, effort)?);
    }
    results.tell(shadow_off(subject));
    for (threads, reach) in [(1, 3), (8, 8)] {
        results.add(block_reads(
            subject,
            effort,
            threads,
            Reach::FasterBy(reach),
        )?);
    }
    Ok(())
}

fn block_against_limit(subject: &Subject, effort: Effort) -> Outcome<Row> {
    let hash = subject.full_block.to_string();
    let mut raw = RawHttp::connect(&subject.url, &subject.cookie)?;
    let request = raw.get_request(&format!("/rest/block/{hash}.bin"));
    let measured = pair(
        effort,
        || {
            black_box(subject.direct.get_block(&hash)?);
            Ok(())
        },
        || {
            let mut bytes = raw.round_trip(&request)?;
            let block = Block::consensus_decode_from_finite_reader(&mut bytes)?;
            for transaction in &block.txdata {
                black_box((transaction.compute_txid(), transaction.compute_wtxid()));
            }
            black_box(block);
            Ok(())
        },
    )?;
    Ok(Row {
        work: format!("get_block, {} transactions", subject.transactions),
        against: "raw REST fetch, rust-bitcoin decode, txids, wtxids",
        reach: Reach::AtMostMilli(1150),
        pair: measured,
    })
}

fn block_against_python(subject: &Subject, effort: Effort) -> Outcome<Row> {
    let hash = subject.full_block.to_string();
    let measured = pair(
        effort,
        || {
            black_box(subject.direct.get_block(&hash)?);
            Ok(())
        },
        || {
            black_box(subject.python.get_block(&hash)?);
            Ok(())
        },
    )?;
    Ok(Row {
        work: format!("get_block, {} transactions", subject.transactions),
        against: "the Python implementation, embedded",
        reach: Reach::FasterBy(25),
        pair: measured,
    })
}

fn transaction(subject: &Subject, effort: Effort) -> Outcome<Row> {
    let body = format!(
        r#"{{"method":"getrawtransaction","params":["{}",1],"id":1,"jsonrpc":"2.0"}}"#,
        subject.txid
    );
    against_round_trip(
        subject,
        effort,
        "get_transaction, in the mempool",
        &body,
        || {
            black_box(subject.direct.get_transaction(&subject.txid)?);
            Ok(())
        },
    )
}

fn height(subject: &Subject, effort: Effort) -> Outcome<Row> {
    let body = r#"{"method":"getblockcount","params":[],"id":1,"jsonrpc":"2.0"}"#;
    against_round_trip(subject, effort, "get_block_height", body, || {
        black_box(subject.direct.get_block_height()?);
        Ok(())
    })
}

/// A call against the same request on a bare socket, its answer left unread.
fn against_round_trip(
    subject: &Subject,
    effort: Effort,
    work: &str,
    body: &str,
    ours: impl FnMut() -> Outcome<()>,
) -> Outcome<Row> {
    let mut raw = RawHttp::connect(&subject.url, &subject.cookie)?;
    let request = raw.post_request(body);
    let measured = pair(effort, ours, || {
        black_box(raw.round_trip(&request)?);
        Ok(())
    })?;
    Ok(Row {
        work: work.to_owned(),
        against: "one raw keep-alive round trip of the same call",
        reach: Reach::AtMostMilli(1150),
        pair: measured,
    })
}

fn facade(subject: &Subject, effort: Effort) -> Outcome<Row> {
    let measured = pair(
        effort,
        || {
            black_box(subject.facade.get_block_height()?);
            Ok(())
        },
        || {
            black_box(subject.direct.get_block_height()?);
            Ok(())
        },
    )?;
    Ok(Row {
        work: "get_block_height through the facade".to_owned(),
        against: "btc-rust called directly",
        reach: Reach::AtMostMilli(1030),
        pair: measured,
    })
}

/// What a call costs more when shadow mode is there and off: on a call that asks no node, as
/// nanoseconds would be lost beside a round trip.
fn shadow_off(subject: &Subject) -> Figure {
    let calls = 100_000_u32;
    let nanoseconds = |bitcoin: &dyn BitcoinInterface| {
        let rounds = (0..31).map(|_| {
            let started = Instant::now();
            for _ in 0..calls {
                black_box(black_box(bitcoin).implementation_type());
            }
            started.elapsed().as_nanos() / u128::from(calls)
        });
        rounds.min().unwrap_or_default()
    };
    let with = nanoseconds(&*subject.facade);
    let without = nanoseconds(&*subject.direct);
    let added = with.saturating_sub(without);
    Figure {
        work: "shadow mode that is off adds to a call".to_owned(),
        measured: format!("{added} ns ({with} ns through the facade, {without} ns without)"),
        reach: "≤ 5 ns",
        is_reached: added <= 5,
    }
}

/// All blocks of the chain, read by so many threads, each block once.
fn block_reads(subject: &Subject, effort: Effort, threads: usize, reach: Reach) -> Outcome<Row> {
    let old = subject.old_client()?;
    let measured = pair(
        effort,
        || {
            share(threads, &subject.all_blocks, |hash| {
                black_box(subject.direct.get_block(&hash.to_string())?);
                Ok(())
            })
        },
        || {
            share(threads, &subject.all_blocks, |hash| {
                black_box(old.get_block(hash)?);
                Ok(())
            })
        },
    )?;
    Ok(Row {
        work: format!(
            "{} blocks read by {threads} {}",
            subject.all_blocks.len(),
            if threads == 1 { "thread" } else { "threads" }
        ),
        against: "bitcoincore-rpc's own client, which computes no txids",
        reach,
        pair: measured,
    })
}

fn share(
    threads: usize,
    hashes: &[BlockHash],
    read: impl Fn(&BlockHash) -> Outcome<()> + Sync,
) -> Outcome<()> {
    let next = AtomicUsize::new(0);
    let work = || -> Outcome<()> {
        while let Some(hash) = hashes.get(next.fetch_add(1, Ordering::Relaxed)) {
            read(hash)?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        handles.into_iter().try_for_each(|handle| {
            handle
                .join()
                .unwrap_or_else(|_| Err("a reading thread panicked".into()))
        })
    })
}
