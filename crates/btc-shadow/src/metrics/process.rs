//! The memory of this process, as the system says it.

use super::text::{Kind, Text};
use crate::memory;

pub(super) const MEMORY: &str = "process_resident_memory_bytes";
pub(super) const PEAK: &str = "btc_shadow_peak_resident_memory_bytes";

/// Writes both; neither where the system does not say.
pub(super) fn write(text: &mut Text) {
    let Some(resident) = memory::of_this_process() else {
        return;
    };
    text.family(MEMORY, Kind::Gauge, "Resident memory of this process.");
    text.sample(MEMORY, &[], resident.rss_bytes);
    text.family(PEAK, Kind::Gauge, "The most resident memory there was.");
    text.sample(PEAK, &[], resident.peak_rss_bytes);
}
