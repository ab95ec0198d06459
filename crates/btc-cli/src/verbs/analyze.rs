//! `btc analyze`: what comparison logs say.

use std::path::PathBuf;

use btc::shadow::analysis::{Analysis, Conclusion, Report, render_table};

use super::Done;
use crate::exit::Code;
use crate::output::Output;
use crate::progress;

pub(super) fn run(output: Output, logs: &[PathBuf]) -> Done {
    let total = logs
        .iter()
        .filter_map(|log| log.metadata().ok())
        .map(|m| m.len())
        .sum();
    let bar = progress::bar(total, "reading logs");
    let mut analysis = Analysis::default();
    let mut before = 0;
    for log in logs {
        let mut read = 0;
        analysis.read_file(log, &mut |bytes| {
            read = bytes;
            bar.set_position(before + bytes);
        })?;
        before += read;
    }
    bar.finish_and_clear();
    let report = analysis.finish();
    output.show(&report, || render_table(&report))?;
    Ok(code(&report))
}

/// Only a log that proves agreement is a success.
pub(super) fn code(report: &Report) -> Code {
    match report.conclusion {
        Conclusion::Agree => Code::Ok,
        Conclusion::Differ | Conclusion::NoEvidence => Code::Failed,
    }
}
