//! Tests of the chain sources against private nodes and servers.

mod books;
mod broadcast;
mod electrum;
mod esplora;
mod failures;
mod gossip;
mod healing;
mod late;
mod ledger;
mod liars;
mod liars_chain;
mod liars_pairs;
mod lies;
mod own_payments;
mod reorganisations;
mod scans;
mod scripted;
mod secure;
mod sending;
mod setup;
mod story;
mod strangers;
mod wallet;
