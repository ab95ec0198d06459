//! A service that lets its interface go on SIGTERM, so that shadow mode closes its books in time.
//!
//! ```bash
//! SHADOW_MODE=true PRIMARY_IMPL=python cargo run -p btc-migration --features full --example shutdown
//! ```

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

const CALLERS: usize = 4;
const PAUSE: Duration = Duration::from_millis(1);

fn main() -> Result<(), Box<dyn Error>> {
    let is_over = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT] {
        // In this order: the first signal finds no flag yet and sets it, the second one ends the
        // process at once.
        flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&is_over))?;
        flag::register(signal, Arc::clone(&is_over))?;
    }
    let bitcoin = btc::connect(&btc::Config::load()?)?;
    let answered = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..CALLERS {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    match bitcoin.get_block_height() {
                        Ok(_) => drop(answered.fetch_add(1, Ordering::Relaxed)),
                        Err(error) => eprintln!("{error}"),
                    }
                    thread::sleep(PAUSE);
                }
            });
        }
        while !is_over.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(50));
            println!("{} calls so far", answered.load(Ordering::Relaxed));
        }
    });
    // The last one lets it go: comparisons get up to five seconds, and the log its last line.
    drop(bitcoin);
    println!("{} calls in all", answered.into_inner());
    Ok(())
}
