//! Lines of a log that are read a second, mostly matches.

use std::hint::black_box;
use std::io::Write;

use btc_iface::{BitcoinImplementationType, Operation};
use btc_shadow::analysis::{Analysis, Gate};
use btc_shadow::compare::{RULES, Verdict};
use btc_shadow::record::{Build, Comparison, Digest, Event, Line, RunId, Side, Start, VERSION};
use criterion::{Criterion, Throughput};

const LINES: u64 = 1_000_000;

fn build(implementation: BitcoinImplementationType) -> Build {
    Build {
        implementation,
        build: "0.1.0".to_owned(),
    }
}

/// The lines of a run, as shadow mode writes them. One call in a hundred thousand could not be
/// compared.
fn event(number: u64) -> Event {
    if number == 0 {
        return Event::Start(Start {
            time_ms: 1_700_000_000_000,
            primary: build(BitcoinImplementationType::Python),
            secondary: build(BitcoinImplementationType::Rust),
            log_all: true,
            rules: RULES,
            part: 1,
        });
    }
    let spread = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let side = |implementation, duration_ns| Side {
        implementation,
        duration_ns,
        error: None,
        tips: Some([850_000, 850_000]),
    };
    let is_match = !number.is_multiple_of(100_000);
    Event::Comparison(Comparison {
        sequence: number,
        time_ms: 1_700_000_000_000 + number / 8,
        operation: Operation::CALLS[usize::try_from(number % 8).unwrap_or_default()],
        verdict: if is_match {
            Verdict::Match
        } else {
            Verdict::Inconclusive
        },
        input: Digest(spread),
        primary: side(BitcoinImplementationType::Python, 200_000 + (spread >> 46)),
        secondary: Some(side(
            BitcoinImplementationType::Rust,
            90_000 + (spread >> 47),
        )),
        rechecks: 0,
        differences: Vec::new(),
        reason: (!is_match).then(|| "no answer from the secondary: timeout".into()),
    })
}

fn main() {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    let mut content = Vec::new();
    for number in 0..LINES {
        let line = Line {
            version: VERSION,
            run: RunId(7),
            event: event(number),
        };
        serde_json::to_writer(&mut content, &line).expect("a line is plain data");
        content.push(b'\n');
    }
    file.write_all(&content).expect("a disk with room");
    println!("{} bytes a line", content.len() as u64 / LINES);
    drop(content);

    let mut criterion = Criterion::default().configure_from_args().sample_size(10);
    let mut group = criterion.benchmark_group("analysis");
    group.throughput(Throughput::Elements(LINES));
    group.bench_function("read_file", |bencher| {
        bencher.iter(|| {
            let mut analysis = Analysis::default();
            analysis
                .read_file(file.path(), &mut |_| {})
                .expect("it is there");
            black_box(analysis.finish())
        });
    });
    group.finish();
    let mut analysis = Analysis::default();
    analysis
        .read_file(file.path(), &mut |_| {})
        .expect("it is there");
    let report = analysis.finish();
    assert_eq!((report.lines, report.problem_count), (LINES, 1));
    criterion.bench_function("analysis/judge", |bencher| {
        bencher.iter(|| Gate::default().judge(black_box(report.clone())));
    });
    criterion.final_summary();
}
