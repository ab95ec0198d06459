//! Fuzzes the analysis of comparison logs, line by line.
//!
//! Every line with text in it is either counted or complained about. The conclusion follows from
//! the counts, a share never reads as whole beside a mismatch, and the table holds no control
//! characters. A line that is valid means the same when it is written and read again.

#![no_main]

use arbitrary::Arbitrary;
use btc::shadow::Counts;
use btc::shadow::analysis::{Analysis, Conclusion, Report, render_table};
use btc::shadow::compare::{Difference, Verdict};
use btc::shadow::record::{
    Build, Comparison, Digest, Event, Line, OLDEST_VERSION, RunId, Side, Start, Totals, VERSION,
};
use btc::{BitcoinImplementationType, ErrorKind, Operation};
use libfuzzer_sys::fuzz_target;

const MILLION: u64 = 1_000_000;

#[derive(Arbitrary, Debug)]
enum Piece {
    /// Any bytes.
    Raw(Vec<u8>),
    /// A line that is valid, but for what follows it.
    Line { run: u32, event: Said, end: End },
}

#[derive(Arbitrary, Debug)]
enum End {
    Whole,
    Cut(u16),
    Changed(u16, u8),
}

#[derive(Arbitrary, Debug)]
enum Said {
    Start(bool),
    Comparison(u64, (u8, u8), u64, [Spoken; 2], Vec<[String; 3]>),
    Totals(Vec<(u8, u64)>, Vec<(u8, u8, u64)>, u64),
}

#[derive(Arbitrary, Debug)]
struct Spoken {
    is_rust: bool,
    duration_ns: u64,
    error: Option<u8>,
}

fuzz_target!(|pieces: Vec<Piece>| {
    let bytes: Vec<u8> = pieces.into_iter().flat_map(Piece::bytes).collect();
    let mut analysis = Analysis::default();
    let mut again = Analysis::default();
    let (mut with_text, mut valid) = (0, 0);
    for (number, text) in (1..).zip(bytes.split_inclusive(|byte| *byte == b'\n')) {
        analysis.add_text("log", number, text);
        with_text += u64::from(!text.trim_ascii().is_empty());
        match serde_json::from_slice::<Line>(text.trim_ascii()) {
            Ok(line) if (OLDEST_VERSION..=VERSION).contains(&line.version) => {
                valid += 1;
                let written = serde_json::to_vec(&line).expect("a line is plain data");
                let read: Line = serde_json::from_slice(&written).expect("its own output");
                assert_eq!(read, line);
                again.add(read);
            }
            _ => {}
        }
    }
    let report = analysis.finish();
    assert_eq!(report.lines, valid);
    assert!(report.problem_count >= with_text - valid);
    check(&report);
    let again = again.finish();
    assert_eq!(as_json(&again.operations), as_json(&report.operations));
});

fn check(report: &Report) {
    let conclusion = match (report.compared, report.mismatches) {
        (0, _) => Conclusion::NoEvidence,
        (_, 0) => Conclusion::Agree,
        _ => Conclusion::Differ,
    };
    assert_eq!(report.conclusion, conclusion);
    assert_eq!(report.compatibility_ppm.is_none(), report.compared == 0);
    if report.mismatches > 0 {
        assert_ne!(report.compatibility_ppm, Some(MILLION));
    }
    for operation in &report.operations {
        if operation.mismatches > 0 {
            assert_ne!(operation.compatibility_ppm, Some(MILLION));
        }
        for error in &operation.errors {
            assert!(error.rate_ppm <= MILLION);
        }
    }
    let table = render_table(report);
    let is_plain = |c: char| c == '\n' || !c.is_control();
    assert!(table.chars().all(is_plain), "{table:?}");
}

fn as_json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("a report is plain data")
}

impl Piece {
    fn bytes(self) -> Vec<u8> {
        let (run, event, end) = match self {
            Self::Raw(bytes) => return bytes,
            Self::Line { run, event, end } => (run, event.event(), end),
        };
        let line = Line {
            version: VERSION,
            run: RunId(run),
            event,
        };
        let mut text = serde_json::to_vec(&line).expect("a line is plain data");
        text.push(b'\n');
        match end {
            End::Whole => {}
            End::Cut(length) => text.truncate(usize::from(length)),
            End::Changed(position, byte) => {
                let position = usize::from(position) % text.len();
                text[position] = byte;
            }
        }
        text
    }
}

impl Said {
    fn event(self) -> Event {
        match self {
            Self::Start(log_all) => Event::Start(Start {
                time_ms: 0,
                primary: build(BitcoinImplementationType::Python),
                secondary: build(BitcoinImplementationType::Rust),
                log_all,
                rules: 1,
                part: 1,
            }),
            Self::Comparison(sequence, (called, verdict), input, [primary, secondary], fields) => {
                Event::Comparison(Comparison {
                    sequence,
                    time_ms: 0,
                    operation: operation(called),
                    verdict: self::verdict(verdict),
                    input: Digest(input),
                    primary: primary.side(),
                    secondary: Some(secondary.side()),
                    rechecks: 0,
                    differences: fields.into_iter().map(difference).collect(),
                    reason: None,
                })
            }
            Self::Totals(offered, verdicts, lost_lines) => {
                let mut counts = Counts {
                    lost_lines,
                    ..Counts::default()
                };
                for (called, count) in offered {
                    counts.offered.insert(operation(called), count);
                }
                for (called, judged, count) in verdicts {
                    let verdicts = counts.verdicts.entry(operation(called)).or_default();
                    verdicts.insert(verdict(judged), count);
                }
                Event::Totals(Totals {
                    time_ms: 0,
                    is_final: lost_lines % 2 == 0,
                    counts,
                })
            }
        }
    }
}

impl Spoken {
    fn side(self) -> Side {
        Side {
            implementation: if self.is_rust {
                BitcoinImplementationType::Rust
            } else {
                BitcoinImplementationType::Python
            },
            duration_ns: self.duration_ns,
            error: self.error.map(|kind| pick(&ErrorKind::ALL, kind)),
            tips: None,
        }
    }
}

fn build(implementation: BitcoinImplementationType) -> Build {
    Build {
        implementation,
        build: "0.1.0".to_owned(),
    }
}

fn difference([path, primary, secondary]: [String; 3]) -> Difference {
    Difference {
        path,
        primary,
        secondary,
        tip: false,
    }
}

fn operation(index: u8) -> Operation {
    pick(&Operation::CALLS, index)
}

fn verdict(index: u8) -> Verdict {
    pick(&Verdict::ALL, index)
}

fn pick<T: Copy>(all: &[T], index: u8) -> T {
    all[usize::from(index) % all.len()]
}
