//! Prints the height of a node's best block.

use btc::{BitcoinInterface, BitcoinResult, Config, Network, NodeConfig};

fn main() -> BitcoinResult<()> {
    let mut node = NodeConfig::new(Network::Regtest);
    if let Some(url) = std::env::args().nth(1) {
        node.url = url;
    }
    let config = Config::builder().node(node).build()?;
    println!("{}", btc::connect(&config)?.get_block_height()?);
    Ok(())
}
