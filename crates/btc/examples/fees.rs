//! Height and fee rates of the configured node, through whichever implementation is configured.
//!
//! `BITCOIN_NETWORK=regtest cargo run -p btc --example fees`

use btc::{Config, ErrorKind};

fn main() -> btc::BitcoinResult<()> {
    let bitcoin = btc::connect(&Config::load()?)?;
    println!("{} answers", bitcoin.implementation_type());
    println!("height {}", bitcoin.get_block_height()?);
    for target_blocks in [2, 6, 144] {
        match bitcoin.estimate_fee(target_blocks) {
            Ok(rate) => println!("{target_blocks} blocks: {rate} sat/vB"),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                println!("{target_blocks} blocks: no estimate yet");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
