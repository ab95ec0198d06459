//! Asks a class of its own in a worker process and closes it without keeping the executor: `service
//! URL VENV MODULE:CLASS`.

use std::path::PathBuf;

use btc::config::PythonSettings;
use btc::{
    AsyncAdapter, AsyncBitcoinInterface, BitcoinImplementationType, BitcoinResult, Config, Network,
    NodeConfig,
};

fn main() -> BitcoinResult<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, venv, class] = arguments.as_slice() else {
        println!("usage: service URL VENV MODULE:CLASS");
        return Ok(());
    };
    let mut node = NodeConfig::new(Network::Regtest);
    node.url.clone_from(url);
    let config = Config::builder()
        .node(node)
        .implementation(BitcoinImplementationType::Python)
        .python(PythonSettings {
            backend: Some(class.clone()),
            is_worker: true,
            venv: Some(PathBuf::from(venv)),
            ..PythonSettings::default()
        })
        .build()?;
    let bitcoin = AsyncAdapter::new(btc::connect(&config)?);
    futures_lite::future::block_on(async {
        println!("{}", bitcoin.get_block_height().await?);
        // The executor goes on meanwhile.
        futures_lite::future::zip(bitcoin.close(), async { println!("meanwhile") }).await;
        println!("closed");
        Ok(())
    })
}
