//! How much memory this process takes, as the system says it.

use std::fs;

/// The resident memory of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resident {
    /// Now, in bytes.
    pub rss_bytes: u64,
    /// The most there was, in bytes.
    pub peak_rss_bytes: u64,
}

/// The memory of this process; none where the system has no `/proc`.
///
/// Source: `/proc/self/status`, `VmRSS` and `VmHWM`.
pub fn of_this_process() -> Option<Resident> {
    parse(&fs::read_to_string("/proc/self/status").ok()?)
}

/// The memory of another process of the same user; none if it is gone.
///
/// Source: as [`of_this_process`].
pub fn of_process(pid: u32) -> Option<Resident> {
    parse(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?)
}

fn parse(status: &str) -> Option<Resident> {
    let kib = |name: &str| -> Option<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        let number = line.trim().strip_suffix("kB")?.trim();
        number.parse::<u64>().ok()?.checked_mul(1024)
    };
    Some(Resident {
        rss_bytes: kib("VmRSS:")?,
        peak_rss_bytes: kib("VmHWM:")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_the_system_are_read() {
        let status = "Name:\tbtc\nVmHWM:\t   2048 kB\nVmRSS:\t    1024 kB\n";
        let memory = parse(status).expect("both lines");
        assert_eq!(
            (memory.rss_bytes, memory.peak_rss_bytes),
            (1 << 20, 2 << 20)
        );
        assert_eq!(parse("VmRSS:\t 1 kB\n"), None);
        assert_eq!(parse("VmRSS: x kB\nVmHWM: 1 kB"), None);
    }
}
