//! TLS, and SOCKS5 proxies, before a real Electrum server.

mod certificates;
mod front;
mod limits;
mod proxy;
mod socks;
