//! `Server`: metrics over HTTP, on a thread of its own.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use btc_iface::{BitcoinError, BitcoinResult, ErrorKind, Operation};

use super::{Metrics, request};

/// How many are answered at once; others are sent away.
const MAX_CONNECTIONS: usize = 4;
/// How long it rests when the system has no connection to give.
const REST: Duration = Duration::from_millis(100);
/// How long the end may take to wake the listener.
const WAKE_WITHIN: Duration = Duration::from_secs(1);

/// Answers `GET /metrics` in Prometheus' text format and `GET /healthz` until it is dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    is_over: Arc<AtomicBool>,
    listener: Option<JoinHandle<()>>,
}

/// Offers the metrics at this address of this machine; port 0 takes a free one.
///
/// Without a password and in the clear, hence for this machine only. A request has 8 KiB and two
/// seconds, and four are answered at once; what is more is refused, and costs shadow mode
/// nothing.
///
/// # Errors
/// `Configuration`: the address is not of this machine (loopback), or not to be had.
pub fn serve(address: SocketAddr, metrics: Arc<Metrics>) -> BitcoinResult<Server> {
    if !address.ip().is_loopback() {
        let message = "metrics are for this machine only; give an address such as 127.0.0.1:9464";
        let error = BitcoinError::new(ErrorKind::Configuration, Operation::Configure, message);
        return Err(error.with_context("address", address));
    }
    serve_beyond_this_machine(address, metrics)
}

/// As [`serve`], at any address: whoever reaches it can read the metrics.
///
/// # Errors
/// `Configuration`: the address is not to be had.
pub fn serve_beyond_this_machine(
    address: SocketAddr,
    metrics: Arc<Metrics>,
) -> BitcoinResult<Server> {
    let start = || -> io::Result<Server> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        let is_over = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&is_over);
        let thread = thread::Builder::new().name("shadow metrics".to_owned());
        let listener = thread.spawn(move || listen(&listener, &metrics, &flag))?;
        Ok(Server {
            address,
            is_over,
            listener: Some(listener),
        })
    };
    start().map_err(|cause| {
        let message = "metrics cannot be offered; give an address and a port that are free";
        BitcoinError::new(ErrorKind::Configuration, Operation::Configure, message)
            .with_context("address", address)
            .with_source(cause)
    })
}

impl Server {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Release);
        let mut address = self.address;
        if address.ip().is_unspecified() {
            address.set_ip(match address.ip() {
                IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            });
        }
        // It waits for a connection; a last one wakes it.
        let is_awake = TcpStream::connect_timeout(&address, WAKE_WITHIN).is_ok();
        if let Some(listener) = self.listener.take().filter(|_| is_awake) {
            // It has nothing to say any more.
            let _ = listener.join();
        }
    }
}

fn listen(listener: &TcpListener, metrics: &Arc<Metrics>, is_over: &AtomicBool) {
    let open = Arc::new(AtomicUsize::new(0));
    while !is_over.load(Ordering::Acquire) {
        let Ok((mut connection, _)) = listener.accept() else {
            // Out of files, as a rule: to ask again at once would only take time from others.
            thread::sleep(REST);
            continue;
        };
        if is_over.load(Ordering::Acquire) {
            return;
        }
        let Some(place) = Place::take(&open) else {
            request::refuse(&mut connection);
            continue;
        };
        let metrics = Arc::clone(metrics);
        let thread = thread::Builder::new().name("shadow metrics".to_owned());
        // Without a thread to be had, the connection is closed, and the place is free again.
        let _ = thread.spawn(move || {
            request::answer(&mut connection, &metrics);
            drop(place);
        });
    }
}

/// One of the few connections, as long as this lives.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(open: &Arc<AtomicUsize>) -> Option<Self> {
        // One thread takes them.
        if open.load(Ordering::Acquire) >= MAX_CONNECTIONS {
            return None;
        }
        open.fetch_add(1, Ordering::AcqRel);
        Some(Self(Arc::clone(open)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
