//! TLS, and SOCKS5 proxies, before a real Electrum server.

mod certificates;
pub(crate) mod front;
mod limits;
pub(crate) mod proxy;
mod socks;
