//! `btc analyze`: what comparison logs say, and whether it is enough to switch.

use std::fs;
use std::path::{Path, PathBuf};

use btc::shadow::analysis::{
    Analysis, Assessment, Conclusion, Decision, Format, Gate, Report, render_html,
};

use super::Done;
use crate::exit::{Code, Failure};
use crate::flags::Analyze;
use crate::output::{Output, note, print};
use crate::progress;
use crate::wrap::for_terminal;

pub(super) fn run(output: Output, options: &Analyze) -> Done {
    let gate = options
        .gate
        .as_deref()
        .map_or(Ok(Gate::default()), limits)?;
    let files = files(&options.logs)?;
    let assessment = gate.judge(read(&files)?);
    if let Some(path) = &options.html {
        write_page(path, &assessment)?;
    }
    let format = if output.is_json {
        Format::Json
    } else {
        options.format.0
    };
    let mut text = format!("{}\n", format.render(&assessment).trim_end());
    if format == Format::Table {
        text = for_terminal(text);
    }
    print(text.as_bytes())?;
    Ok(decided(&assessment))
}

/// Whether the two agreed, as far as they were compared: for a comparison that was just made. Only
/// one that proves agreement is a success.
pub(super) fn code(report: &Report) -> Code {
    match report.conclusion {
        Conclusion::Agree => Code::Ok,
        Conclusion::Differ | Conclusion::NoEvidence => Code::Failed,
    }
}

fn decided(assessment: &Assessment) -> Code {
    let report = &assessment.report;
    if report.lines == 0 && report.unusable_lines > 0 {
        return Code::Configuration;
    }
    match assessment.judgement.decision {
        Decision::Go => Code::Ok,
        Decision::No => Code::Failed,
        Decision::Hold => Code::HOLD,
    }
}

fn read(files: &[PathBuf]) -> Result<Report, Failure> {
    let sizes = files.iter().filter_map(|file| file.metadata().ok());
    let bar = progress::bytes(sizes.map(|m| m.len()).sum(), "reading logs");
    let mut analysis = Analysis::default();
    let mut before = 0;
    for file in files {
        let mut read = 0;
        let outcome = analysis.read_file(file, &mut |bytes| {
            read = bytes;
            bar.set_position(before + bytes);
        });
        outcome.map_err(|error| {
            bar.finish_and_clear();
            bad_input(chain(&error))
        })?;
        before += read;
    }
    bar.finish_and_clear();
    Ok(analysis.finish())
}

/// The error with its causes: the code is this verb's own, so it does not go through as it is.
fn chain(error: &btc::BitcoinError) -> String {
    let mut message = error.to_string();
    for cause in error.causes() {
        message.push_str(": ");
        message.push_str(&cause.to_string());
    }
    message
}

/// The files themselves, and for a pattern that no shell expanded those that it matches, each once.
fn files(logs: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut files: Vec<PathBuf> = Vec::new();
    for log in logs {
        let found = if log.exists() {
            vec![log.clone()]
        } else {
            matches(log)?
        };
        for file in found {
            if !files.contains(&file) {
                files.push(file);
            }
        }
    }
    Ok(files)
}

fn matches(pattern: &Path) -> Result<Vec<PathBuf>, Failure> {
    let shown = pattern.display();
    let text = pattern.to_str().unwrap_or_default();
    if !text.contains(['*', '?', '[']) {
        return Err(bad_input(format!("there is no file {shown}")));
    }
    let paths = glob::glob(text)
        .map_err(|cause| bad_input(format!("the pattern {shown} cannot be read: {cause}")))?;
    let mut found = Vec::new();
    for path in paths {
        let path = path.map_err(|cause| bad_input(format!("the pattern {shown}: {cause}")))?;
        if path.is_file() {
            found.push(path);
        }
    }
    if found.is_empty() {
        return Err(bad_input(format!("no file matches {shown}")));
    }
    Ok(found)
}

fn limits(path: &Path) -> Result<Gate, Failure> {
    let shown = path.display();
    let text = fs::read_to_string(path)
        .map_err(|cause| bad_input(format!("the limits in {shown} cannot be read: {cause}")))?;
    Gate::from_toml(&text)
        .map_err(|cause| bad_input(format!("the limits in {shown} are wrong: {cause}")))
}

fn write_page(path: &Path, assessment: &Assessment) -> Result<(), Failure> {
    let shown = path.display();
    fs::write(path, render_html(assessment))
        .map_err(|cause| bad_input(format!("the page {shown} cannot be written: {cause}")))?;
    note(format!("page written to {shown}"));
    Ok(())
}

fn bad_input(message: String) -> Failure {
    Failure::Other(Code::Configuration, message)
}
