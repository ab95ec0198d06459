//! What the tests of the log on disk share: lines to write, and what stands in the files.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use btc_shadow::compare::Verdict;
use btc_shadow::record::{Event, Line, RunId};
use btc_shadow::sink::{FileSink, Sink};
use flate2::read::MultiGzDecoder;

use crate::samples::{comparison, line, start};

/// Longer than anything here takes: whoever waits so long waits for nothing.
pub(crate) const LONG: Duration = Duration::from_mins(1);

/// Waits for something that another thread or process does.
pub(crate) fn until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + LONG;
    while !is_so() {
        assert!(Instant::now() < deadline, "never: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Begins the run `run`.
pub(crate) fn begin(sink: &FileSink, run: &str) {
    sink.write(&line(run, start(true))).expect("room");
}

/// A match of the run.
pub(crate) fn matched(run: &str, sequence: u64) -> Line {
    line(run, comparison(sequence, Verdict::Match))
}

/// A mismatch of about two KiB.
pub(crate) fn long(run: &str, sequence: u64) -> Line {
    let Event::Comparison(mut found) = comparison(sequence, Verdict::Mismatch) else {
        unreachable!("it is one");
    };
    let difference = found.differences[0].clone();
    found.differences = vec![difference; 6];
    for difference in &mut found.differences {
        difference.primary = "1".repeat(120);
        difference.secondary = "2".repeat(120);
    }
    line(run, Event::Comparison(found))
}

/// The files of a log, oldest first.
pub(crate) fn files(path: &Path) -> Vec<PathBuf> {
    let folder = path.parent().expect("a folder");
    let name = path
        .file_name()
        .expect("a name")
        .to_string_lossy()
        .into_owned();
    let entries = fs::read_dir(folder).expect("a folder").flatten();
    let number = |path: &Path| -> Option<u32> {
        let other = path.file_name()?.to_str()?.strip_prefix(&name)?;
        let other = other.strip_prefix('.').unwrap_or("0");
        other.strip_suffix(".gz").unwrap_or(other).parse().ok()
    };
    let mut files: Vec<_> = entries
        .filter_map(|entry| Some((number(&entry.path())?, entry.path())))
        .collect();
    files.sort_by(|a, b| b.cmp(a));
    files.into_iter().map(|(_, path)| path).collect()
}

/// What a file says, compressed or not.
pub(crate) fn content(path: &Path) -> String {
    let mut text = String::new();
    let mut file = File::open(path).expect("there");
    if path.extension().is_some_and(|it| it == "gz") {
        MultiGzDecoder::new(file)
            .read_to_string(&mut text)
            .expect("a whole gzip file");
    } else {
        file.read_to_string(&mut text).expect("text");
    }
    text
}

/// The lines of a file, each of which must be whole.
pub(crate) fn lines(path: &Path) -> Vec<Line> {
    let content = content(path);
    assert!(content.is_empty() || content.ends_with('\n'), "a torn end");
    let lines = content.lines().filter(|text| !text.is_empty());
    lines
        .map(|text| serde_json::from_str(text).unwrap_or_else(|_| unreachable!("torn: {text}")))
        .collect()
}

/// The numbers of the comparisons, by run, in the order of the lines.
pub(crate) fn sequences<'l>(
    lines: impl IntoIterator<Item = &'l Line>,
) -> BTreeMap<RunId, Vec<u64>> {
    let mut found = BTreeMap::<_, Vec<_>>::new();
    for line in lines {
        if let Event::Comparison(comparison) = &line.event {
            found.entry(line.run).or_default().push(comparison.sequence);
        }
    }
    found
}

/// The lines that gaps say were lost, and what the first of them says.
pub(crate) fn gaps(lines: &[Line]) -> (u64, Option<String>) {
    let gaps = lines.iter().filter_map(|line| match &line.event {
        Event::Gap(gap) => Some(gap),
        _ => None,
    });
    let reason = gaps.clone().next().map(|gap| gap.reason.to_string());
    (gaps.map(|gap| gap.lost_lines).sum(), reason)
}

/// The numbers of the files in which a run says that it begins or goes on.
pub(crate) fn parts(lines: &[Line]) -> Vec<u32> {
    let starts = lines.iter().filter_map(|line| match &line.event {
        Event::Start(start) => Some(start.part),
        _ => None,
    });
    starts.collect()
}
