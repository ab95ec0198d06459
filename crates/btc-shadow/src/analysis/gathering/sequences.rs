//! `Sequences`: which of a run's lines were seen, as few ranges of their numbers.

/// Numbers that were seen. Lines stand nearly in order, so they make few ranges.
#[derive(Debug, Default)]
pub(in crate::analysis) struct Sequences {
    /// First and last number of each range, ascending, with room between them.
    ranges: Vec<(u64, u64)>,
    /// Whether there was no room for a further range, so that repeats go unnoticed.
    is_full: bool,
}

impl Sequences {
    /// Notes a number; false if it was seen before. `room` is how many more ranges may be made,
    /// for all runs together.
    pub(in crate::analysis) fn insert(&mut self, number: u64, room: &mut usize) -> bool {
        let after = match self.ranges.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(number) => {
                *last = number;
                return true;
            }
            Some((first, _)) if *first <= number => self.ranges.len(),
            _ => self.ranges.partition_point(|(first, _)| *first <= number),
        };
        let before = after.checked_sub(1).map(|index| self.ranges[index]);
        if before.is_some_and(|(_, last)| number <= last) {
            return false;
        }
        let extends = before.is_some_and(|(_, last)| last + 1 == number);
        let follows = number.checked_add(1);
        let next = self.ranges.get(after);
        let precedes = next.is_some_and(|(first, _)| Some(*first) == follows);
        match (extends, precedes) {
            (true, true) => {
                self.ranges[after - 1].1 = self.ranges[after].1;
                self.ranges.remove(after);
                *room += 1;
            }
            (true, false) => self.ranges[after - 1].1 = number,
            (false, true) => self.ranges[after].0 = number,
            (false, false) if *room > 0 => {
                *room -= 1;
                self.ranges.insert(after, (number, number));
            }
            (false, false) => self.is_full = true,
        }
        true
    }

    /// How many numbers from 1 to the last are missing; none if not all were noted.
    pub(in crate::analysis) fn missing(&self) -> Option<u64> {
        if self.is_full {
            return None;
        }
        let last = self.ranges.last().map_or(0, |(_, last)| *last);
        let seen = |(first, last): &(u64, u64)| (last - first).saturating_add(1);
        // A number 0 is none of shadow mode's.
        let seen = self.ranges.iter().map(seen).fold(0, u64::saturating_add);
        Some(last.saturating_sub(seen))
    }

    /// Whether repeats may have gone unnoticed.
    pub(in crate::analysis) fn is_full(&self) -> bool {
        self.is_full
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn each_number_is_new_once(numbers in proptest::collection::vec(1..40_u64, 0..80)) {
            let mut sequences = Sequences::default();
            let mut room = 100;
            let mut known = BTreeSet::new();
            for number in numbers {
                prop_assert_eq!(sequences.insert(number, &mut room), known.insert(number));
            }
            let last = known.last().copied().unwrap_or(0);
            prop_assert_eq!(sequences.missing(), Some(last - known.len() as u64));
            prop_assert_eq!(room + sequences.ranges.len(), 100);
            let apart = sequences.ranges.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0);
            prop_assert!(apart, "{:?}", sequences.ranges);
        }
    }

    #[test]
    fn without_room_a_number_counts_as_new_and_it_is_said() {
        let mut sequences = Sequences::default();
        let mut room = 1;
        assert!(sequences.insert(5, &mut room));
        assert!(sequences.insert(u64::MAX, &mut room));
        assert!(sequences.is_full());
        assert_eq!(sequences.missing(), None);
        assert!(!sequences.insert(5, &mut room));
        assert!(sequences.insert(u64::MAX, &mut room));
    }
}
