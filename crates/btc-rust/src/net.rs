//! Sockets for the HTTP client: one system call to send a request, none to look up an address.
//!
//! The client's own transport sends head and body apart, probes each kept connection twice a
//! request, and looks addresses up on a thread of its own. Next to a node that answers in 50 µs
//! that doubles the time.

use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport,
};
use ureq::{Error, Timeout};

/// A socket's timeout is set anew when it is off by more than this.
const TIMEOUT_SLACK: Duration = Duration::from_millis(500);

/// Looks names up as usual and takes IP addresses as they are.
#[derive(Debug, Default)]
pub(crate) struct NodeResolver(DefaultResolver);

impl Resolver for NodeResolver {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        let Ok(address) = authority.parse::<SocketAddr>() else {
            return self.0.resolve(uri, config, timeout);
        };
        let mut addresses = self.empty();
        addresses.push(address);
        Ok(addresses)
    }
}

/// Opens plain TCP connections.
#[derive(Debug)]
pub(crate) struct NodeConnector;

impl Connector for NodeConnector {
    type Out = NodeTransport;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        _chained: Option<()>,
    ) -> Result<Option<NodeTransport>, Error> {
        let limit = limit(details.timeout)?;
        let mut last = Error::ConnectionFailed;
        for address in &details.addrs {
            match TcpStream::connect_timeout(address, limit) {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    let config = details.config;
                    return Ok(Some(NodeTransport {
                        stream,
                        buffers: LazyBuffers::new(
                            config.input_buffer_size(),
                            config.output_buffer_size(),
                        ),
                        unsent: Vec::new(),
                        write_limit: Duration::ZERO,
                        read_limit: Duration::ZERO,
                    }));
                }
                Err(cause) if cause.kind() == ErrorKind::TimedOut => {
                    last = Error::Timeout(Timeout::Connect);
                }
                Err(cause) => last = cause.into(),
            }
        }
        Err(last)
    }
}

/// A connection that sends when it is about to wait for the answer.
pub(crate) struct NodeTransport {
    stream: TcpStream,
    buffers: LazyBuffers,
    unsent: Vec<u8>,
    write_limit: Duration,
    read_limit: Duration,
}

impl fmt::Debug for NodeTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What is unsent holds credentials.
        f.debug_struct("NodeTransport").finish_non_exhaustive()
    }
}

impl NodeTransport {
    fn send(&mut self, timeout: NextTimeout) -> Result<(), Error> {
        let limit = limit(timeout)?;
        if limit.abs_diff(self.write_limit) > TIMEOUT_SLACK {
            self.stream.set_write_timeout(Some(limit))?;
            self.write_limit = limit;
        }
        let sent = self.stream.write_all(&self.unsent);
        self.unsent.clear();
        sent.map_err(|cause| classify(cause, timeout))
    }
}

impl Transport for NodeTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, _timeout: NextTimeout) -> Result<(), Error> {
        self.unsent
            .extend_from_slice(&self.buffers.output()[..amount]);
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        if !self.unsent.is_empty() {
            self.send(timeout)?;
        }
        let limit = limit(timeout)?;
        if limit.abs_diff(self.read_limit) > TIMEOUT_SLACK {
            self.stream.set_read_timeout(Some(limit))?;
            self.read_limit = limit;
        }
        let read = loop {
            match self.stream.read(self.buffers.input_append_buf()) {
                Err(cause) if cause.kind() == ErrorKind::Interrupted => {}
                read => break read.map_err(|cause| classify(cause, timeout))?,
            }
        };
        self.buffers.input_appended(read);
        Ok(read > 0)
    }

    /// Always: a connection that the node has closed shows at its next use, where a read is tried
    /// again on a new one, and a write uses no kept connection at all.
    fn is_open(&mut self) -> bool {
        true
    }
}

/// The time that is left, or the timeout's error when there is none.
fn limit(timeout: NextTimeout) -> Result<Duration, Error> {
    if timeout.after.is_zero() {
        return Err(Error::Timeout(timeout.reason));
    }
    Ok(*timeout.after)
}

fn classify(cause: std::io::Error, timeout: NextTimeout) -> Error {
    match cause.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => Error::Timeout(timeout.reason),
        _ => cause.into(),
    }
}
