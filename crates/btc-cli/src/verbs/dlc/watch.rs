//! `btc dlc watch`: follows the chain and a folder of attestations.

use std::path::Path;
use std::time::{Duration, Instant};

use btc::discreet::Dlc;
use btc::dlc::DlcInterface as _;

use super::{digits, open, tell};
use crate::exit::{Code, Failure};
use crate::output::{self, Output};
use crate::stop::Stop;
use crate::verbs::Done;

/// How long a wait is at most that does not look for a signal.
const NAP: Duration = Duration::from_millis(200);

pub(super) fn run(output: Output, attestations: Option<&Path>, every: u64) -> Done {
    let stop = Stop::on_signals()?;
    if let Some(folder) = attestations {
        known(folder)?;
    }
    let mut was_open = false;
    while !stop.is_asked() {
        // The wallet is closed between two rounds, so that other verbs can have it.
        match open() {
            Ok((dlc, _)) => {
                was_open = true;
                round(output, &dlc, attestations)?;
            }
            // What never was open is configured wrongly; what was comes back.
            Err(failure)
                if !was_open && matches!(failure.code(), Code::Configuration | Code::Usage) =>
            {
                return Err(failure);
            }
            Err(failure) => failed(&failure),
        }
        let until = Instant::now() + Duration::from_secs(every);
        while Instant::now() < until && !stop.is_asked() {
            std::thread::sleep(NAP);
        }
    }
    Ok(Code::Ok)
}

fn failed(failure: &Failure) {
    output::note(format!(
        "this round failed, the next one tries again: {failure}"
    ));
}

/// One round: a step that fails is told, and the next one is taken all the same.
fn round(output: Output, dlc: &Dlc, folder: Option<&Path>) -> Result<(), Failure> {
    // What an attestation settles is not refunded: the refund comes last.
    let mut events = dlc.sync_before_settling().unwrap_or_else(|failure| {
        failed(&failure.into());
        Vec::new()
    });
    let settled = folder.map_or(Ok(()), |folder| settle(dlc, folder));
    let rest = match settled {
        Ok(()) => dlc.sync().map_err(Failure::from),
        // What was attested is not known now: nothing is refunded.
        Err(failure) => Err(failure),
    };
    match rest {
        Ok(rest) => {
            let known = events.len();
            for event in rest {
                if event.error.is_none() || !events[..known].contains(&event) {
                    events.push(event);
                }
            }
        }
        Err(failure) => failed(&failure),
    }
    if !events.is_empty() {
        output.show(&events, || tell::events(&events))?;
    }
    Ok(())
}

/// Settles what the folder's attestations decide.
fn settle(dlc: &Dlc, folder: &Path) -> Result<(), Failure> {
    let known = known(folder)?;
    if known.is_empty() {
        return Ok(());
    }
    for (id, settled) in dlc.settle_attested(&known)? {
        match settled {
            Ok(txid) => output::note(format!("{id} is settled by {txid}")),
            Err(failure) => output::note(format!("{id}: {failure}")),
        }
    }
    Ok(())
}

/// The digits of every file in the folder.
fn known(folder: &Path) -> Result<Vec<String>, Failure> {
    let files = std::fs::read_dir(folder).map_err(|cause| {
        let message = format!("`{}` cannot be read: {cause}", folder.display());
        Failure::Other(Code::Configuration, message)
    })?;
    let paths = files.filter_map(|file| Some(file.ok()?.path()));
    Ok(paths
        .filter(|path| path.is_file())
        .filter_map(|path| digits(&path).ok())
        .collect())
}
