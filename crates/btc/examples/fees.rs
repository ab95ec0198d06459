//! Fee rates of the configured node with their source, through whichever implementation is configured.
//!
//! `BITCOIN_NETWORK=regtest cargo run -p btc-migration --example fees`

use btc::Config;

fn main() -> btc::BitcoinResult<()> {
    let fees = btc::connect_fees(&Config::load()?)?;
    for target_blocks in [2, 6, 144] {
        let fee = fees.explain_fee(target_blocks)?;
        println!(
            "{target_blocks} blocks: {} sat/vB ({}); the node takes {} and more",
            fee.sat_per_vb, fee.source, fee.floor_sat_per_vb
        );
    }
    Ok(())
}
