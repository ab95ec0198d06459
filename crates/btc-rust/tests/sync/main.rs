//! Tests of the wallet's books over real nodes, against a slow reference of their own.

mod birthday;
mod files;
mod follow;
mod found_late;
mod gap;
mod hostile;
mod kill;
mod mempool;
mod random;
mod reference;
mod reorg;
#[allow(dead_code, reason = "the other target uses the rest")]
#[path = "../node/server.rs"]
mod server;
mod told;
mod update;
mod wallet;
