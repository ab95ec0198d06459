//! A small SOCKS5 proxy (RFC 1928), without authentication, that knows one name.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

/// The name that the proxy knows, and nobody else: no resolver has it.
pub(crate) const NAME: &str = "electrum.test";

/// A running proxy.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    /// Leads connections to [`NAME`] to this address.
    pub(crate) fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = listener.local_addr().expect("bound");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let log = Arc::clone(&log);
                std::thread::spawn(move || serve(client, target, &log));
            }
        });
        Self { address, asked }
    }

    /// What clients asked to be led to, as they said it.
    pub(crate) fn asked(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.clone()
    }
}

fn serve(mut client: TcpStream, target: SocketAddr, log: &Mutex<Vec<String>>) -> Option<()> {
    let mut head = [0; 2];
    client.read_exact(&mut head).ok()?;
    let mut methods = vec![0; usize::from(head[1])];
    client.read_exact(&mut methods).ok()?;
    assert_eq!((head[0], methods), (5, vec![0]));
    client.write_all(&[5, 0]).ok()?;
    let mut request = [0; 4];
    client.read_exact(&mut request).ok()?;
    assert_eq!(request[..3], [5, 1, 0], "a connection");
    let host = match request[3] {
        1 => {
            let mut ip = [0; 4];
            client.read_exact(&mut ip).ok()?;
            Ipv4Addr::from(ip).to_string()
        }
        3 => {
            let mut length = [0];
            client.read_exact(&mut length).ok()?;
            let mut name = vec![0; usize::from(length[0])];
            client.read_exact(&mut name).ok()?;
            String::from_utf8(name).ok()?
        }
        _ => return None,
    };
    let mut port = [0; 2];
    client.read_exact(&mut port).ok()?;
    let port = u16::from_be_bytes(port);
    let mut asked = log.lock().unwrap_or_else(PoisonError::into_inner);
    asked.push(format!("{host}:{port}"));
    drop(asked);
    let server = (host == NAME).then(|| TcpStream::connect(target).ok());
    let Some(Some(mut server)) = server else {
        // Host unreachable.
        return client.write_all(&[5, 4, 0, 1, 0, 0, 0, 0, 0, 0]).ok();
    };
    client.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).ok()?;
    let (mut back, mut forth) = (server.try_clone().ok()?, client.try_clone().ok()?);
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut back, &mut forth);
        let _ = forth.shutdown(std::net::Shutdown::Both);
    });
    let _ = std::io::copy(&mut client, &mut server);
    server.shutdown(std::net::Shutdown::Both).ok()
}
