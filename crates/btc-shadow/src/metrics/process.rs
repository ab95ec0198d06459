//! The memory of this process, as the system says it.

use std::fs;

use super::text::{Kind, Text};

pub(super) const MEMORY: &str = "process_resident_memory_bytes";
pub(super) const PEAK: &str = "btc_shadow_peak_resident_memory_bytes";

/// Writes both; neither where the system does not say.
pub(super) fn write(text: &mut Text) {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    if let Some(bytes) = bytes(&status, "VmRSS:") {
        text.family(MEMORY, Kind::Gauge, "Resident memory of this process.");
        text.sample(MEMORY, &[], bytes);
    }
    if let Some(bytes) = bytes(&status, "VmHWM:") {
        text.family(PEAK, Kind::Gauge, "The most resident memory there was.");
        text.sample(PEAK, &[], bytes);
    }
}

fn bytes(status: &str, name: &str) -> Option<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = value.trim().strip_suffix(" kB")?.parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn the_system_counts_in_kib() {
        let status = "Name:\tbtc\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n";
        assert_eq!(bytes(status, "VmRSS:"), Some(1 << 20));
        assert_eq!(bytes(status, "VmHWM:"), Some(2 << 20));
        for odd in ["", "VmRSS:", "VmRSS:\t1 MB\n", "VmRSS:\tx kB\n"] {
            assert_eq!(bytes(odd, "VmRSS:"), None);
        }
    }
}
