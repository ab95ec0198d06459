//! Builds a chain on a private node and says what is in it: `build_chain [small|full] [seed]`.

use std::env;
use std::error::Error;
use std::time::Instant;

use btc_regtest::{Chain, Node, Plan, exe};
use serde_json::{Value, json};

fn main() -> Result<(), Box<dyn Error>> {
    let plan = match env::args().nth(1).as_deref() {
        None | Some("small") => Plan::small(),
        Some("full") => Plan::full(),
        Some(other) => return Err(format!("unknown plan {other}: small or full").into()),
    };
    let seed = env::args().nth(2).map_or(Ok(1), |seed| seed.parse())?;
    let explicit = env::var_os("BITCOIND_EXE");

    let begun = Instant::now();
    let node = Node::builder()
        .exe(exe::find(explicit.as_deref().map(AsRef::as_ref))?)
        .start()?;
    println!("node ready after {:?}", begun.elapsed());

    let mut chain = Chain::new(&node, seed)?;
    let begun = Instant::now();
    let mut step = "";
    let summary = chain.build(&plan, &mut |at| {
        if at.step != step {
            step = at.step;
            println!("{:>8.2?} {step}", begun.elapsed());
        }
    })?;
    println!("{:>8.2?} done", begun.elapsed());
    for (kind, txids) in &summary.kinds {
        println!("{kind:>20} {}", txids.len());
    }
    for target in [2, 6] {
        let answer: Value = node.call("estimatesmartfee", &[json!(target)])?;
        println!("fee for {target} blocks: {answer}");
    }
    println!(
        "{} transactions in {} blocks, {} in the mempool",
        summary.transactions(),
        summary.blocks.len(),
        summary.mempool.len()
    );
    Ok(())
}
