//! The async twin: any implementation in an async program, on any runtime.
//!
//! `BITCOIN_NETWORK=regtest cargo run -p btc-migration --example asynchronous`

use btc::{AsyncAdapter, AsyncBitcoinInterface, Config};

fn main() -> btc::BitcoinResult<()> {
    let bitcoin = AsyncAdapter::new(btc::connect(&Config::load()?)?);
    // Your runtime goes here; `futures-lite` needs none.
    futures_lite::future::block_on(async {
        let (height, rate) =
            futures_lite::future::zip(bitcoin.get_block_height(), bitcoin.estimate_fee(6)).await;
        println!("height {}", height?);
        if let Ok(rate) = rate {
            println!("6 blocks: {rate} sat/vB");
        }
        Ok(())
    })
}
