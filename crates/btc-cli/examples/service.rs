//! A program to follow docs/runbook.md with: it makes the calls of a file over and over, through whatever is configured.
//!
//! `service CALLS [CALLS_A_SECOND]`, where `CALLS` is a file that `btc record` has written. SIGTERM
//! or SIGINT ends it.

use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use btc::shadow::replay::{Call, Entry, Methods};
use btc::{BitcoinInterface, BitcoinResult, Config, ErrorKind};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

const CALLS_A_SECOND: u32 = 500;

fn main() -> ExitCode {
    // What shadow mode and the roll-out warn of goes where the program's own warnings go.
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::WARN)
        .without_time()
        .with_ansi(false)
        .with_writer(std::io::stderr)
        .init();
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let file = arguments.next().ok_or("name a file of calls")?;
    let rate = match arguments.next() {
        Some(rate) => rate.parse()?,
        None => CALLS_A_SECOND,
    };
    let calls = read(&fs::read_to_string(&file)?)?;
    let is_over = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        flag::register(signal, Arc::clone(&is_over))?;
    }

    let bitcoin = btc::connect(&Config::load()?)?;
    println!(
        "{} calls, {rate} a second; {} answers",
        calls.len(),
        bitcoin.implementation_type()
    );
    let pause = Duration::from_secs(1)
        .checked_div(rate)
        .ok_or("the rate must be above 0")?;
    let mut next = Instant::now();
    for round in 1_u64.. {
        let (mut refused, mut failed) = (0_u32, 0_u32);
        for call in &calls {
            if is_over.load(Ordering::Relaxed) {
                // Lets the interface go: what waits is compared, and the log ends with its totals.
                drop(bitcoin);
                println!("ended by a signal, in round {round}");
                return Ok(());
            }
            match make(call, &*bitcoin) {
                Ok(()) => {}
                Err(error)
                    if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InvalidInput) =>
                {
                    refused += 1;
                }
                Err(error) => {
                    failed += 1;
                    eprintln!("{error}");
                }
            }
            next = (next + pause).max(Instant::now());
            thread::sleep(next.saturating_duration_since(Instant::now()));
        }
        println!(
            "round {round}: {} calls, {refused} refused, {failed} failed; {} answers",
            calls.len(),
            bitcoin.implementation_type()
        );
    }
    Ok(())
}

/// The calls of a file, without broadcasts: of those it holds the txid alone.
fn read(text: &str) -> Result<Vec<Call>, Box<dyn Error>> {
    let mut calls = Vec::new();
    for line in text.lines() {
        match Entry::parse(line.as_bytes(), &Methods::default())? {
            Entry::Call(recorded) => calls.push(recorded.call),
            Entry::Lost(_) => {}
        }
    }
    calls.retain(|call| !matches!(call, Call::BroadcastTransaction { .. }));
    if calls.is_empty() {
        return Err("the file holds no call".into());
    }
    Ok(calls)
}

/// One customer's call. A real program does something with the answer.
fn make(call: &Call, bitcoin: &dyn BitcoinInterface) -> BitcoinResult<()> {
    match call {
        Call::GetTransaction { txid } => bitcoin.get_transaction(txid).map(drop),
        Call::GetBlock { hash } => bitcoin.get_block(hash).map(drop),
        Call::GetBlockHeight => bitcoin.get_block_height().map(drop),
        Call::EstimateFee { target_blocks } => bitcoin.estimate_fee(*target_blocks).map(drop),
        Call::GetBalance => bitcoin.get_balance().map(drop),
        Call::GenerateAddress { address_type } => bitcoin.generate_address(*address_type).map(drop),
        Call::CreateTransaction {
            outputs,
            fee_rate_sat_per_vb,
        } => bitcoin
            .create_transaction(outputs.clone(), *fee_rate_sat_per_vb)
            .map(drop),
        Call::BroadcastTransaction { .. } => Ok(()),
    }
}
