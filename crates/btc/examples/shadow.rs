//! Shadow mode around a program's own calls: Python answers, Rust is compared, a log is left.
//!
//! `BITCOIN_NETWORK=regtest cargo run -p btc-migration --features full --example shadow -- TXID…`

use btc::shadow::sink::FileSink;
use btc::{BitcoinImplementationType, BitcoinInterface, Config};

fn main() -> btc::BitcoinResult<()> {
    let log = std::path::Path::new("logs/example.log");
    let primary = BitcoinImplementationType::Python;
    let bitcoin = btc::connect_shadow(
        &Config::load()?,
        primary,
        || Ok(Box::new(FileSink::open(log)?)),
        true,
    )?;
    println!("height {}", bitcoin.get_block_height()?);
    for txid in std::env::args().skip(1) {
        // The primary's answer, whatever the secondary says.
        match bitcoin.get_transaction(&txid) {
            Ok(transaction) => println!("{txid}: {} outputs", transaction.outputs.len()),
            Err(error) => println!("{txid}: {error}"),
        }
    }
    println!("{:?}", bitcoin.books().counts());
    println!("btc analyze {}", log.display());
    Ok(())
}
