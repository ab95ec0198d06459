//! The set of transactions with its ancestors that pays the most for its weight, found exactly.

use std::collections::VecDeque;

/// Fee and weight.
pub(super) type Rate = (u64, u64);

/// Beyond every sum of fees times weights.
const ENDLESS: i128 = i128::MAX / 4;

/// The best set that contains the parents of each of its members, or none when no set pays more
/// than `at_least`. `parents` are numbers of the same list.
///
/// By Dinkelbach: for a rate, the set that is worth the most above it is a maximum closure, which
/// a minimum cut finds; as long as there is one worth anything, its own rate is a higher one.
pub(super) fn best_above(
    values: &[Rate],
    parents: &[Vec<usize>],
    at_least: Rate,
) -> Option<Vec<usize>> {
    let mut rate = at_least;
    let mut best = None;
    loop {
        let set = maximum_closure(values, parents, rate);
        if set.is_empty() {
            return best;
        }
        rate = set.iter().fold((0, 0), |(fee, weight), at| {
            (fee + values[*at].0, weight + values[*at].1)
        });
        best = Some(set);
    }
}

/// The closed set that is worth the most above a rate; empty when none is worth anything.
fn maximum_closure(values: &[Rate], parents: &[Vec<usize>], rate: Rate) -> Vec<usize> {
    let count = values.len();
    let (source, sink) = (count, count + 1);
    let mut flow = Flow::new(count + 2);
    for (at, (fee, weight)) in values.iter().enumerate() {
        let worth =
            i128::from(*fee) * i128::from(rate.1) - i128::from(rate.0) * i128::from(*weight);
        if worth > 0 {
            flow.connect(source, at, worth);
        } else {
            flow.connect(at, sink, -worth);
        }
        for parent in &parents[at] {
            flow.connect(at, *parent, ENDLESS);
        }
    }
    while flow.augment(source, sink) {}
    let reached = flow.reached(source);
    (0..count).filter(|at| reached[*at]).collect()
}

/// A network with what may still flow on each edge.
struct Flow {
    edges: Vec<(usize, i128)>,
    from: Vec<Vec<usize>>,
}

impl Flow {
    fn new(count: usize) -> Self {
        Self {
            edges: Vec::new(),
            from: vec![Vec::new(); count],
        }
    }

    /// The edge back has the next number.
    fn connect(&mut self, from: usize, to: usize, capacity: i128) {
        self.from[from].push(self.edges.len());
        self.edges.push((to, capacity));
        self.from[to].push(self.edges.len());
        self.edges.push((from, 0));
    }

    /// Sends as much as goes along a shortest way; false when there is none.
    fn augment(&mut self, source: usize, sink: usize) -> bool {
        let mut by: Vec<Option<usize>> = vec![None; self.from.len()];
        let mut waiting = VecDeque::from([source]);
        while let Some(at) = waiting.pop_front() {
            for edge in &self.from[at] {
                let (to, left) = self.edges[*edge];
                if left > 0 && by[to].is_none() && to != source {
                    by[to] = Some(*edge);
                    waiting.push_back(to);
                }
            }
        }
        let mut way = Vec::new();
        let mut at = sink;
        while at != source {
            let Some(edge) = by[at] else {
                return false;
            };
            way.push(edge);
            at = self.edges[edge ^ 1].0;
        }
        let least = way.iter().map(|edge| self.edges[*edge].1).min();
        let least = least.unwrap_or(0);
        for edge in way {
            self.edges[edge].1 -= least;
            self.edges[edge ^ 1].1 += least;
        }
        true
    }

    fn reached(&self, source: usize) -> Vec<bool> {
        let mut reached = vec![false; self.from.len()];
        reached[source] = true;
        let mut waiting = vec![source];
        while let Some(at) = waiting.pop() {
            for edge in &self.from[at] {
                let (to, left) = self.edges[*edge];
                if left > 0 && !reached[to] {
                    reached[to] = true;
                    waiting.push(to);
                }
            }
        }
        reached
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_children_together_carry_what_neither_carries_alone() {
        // A dear parent, two children that pay for it together, and one that does not.
        let values = [(0, 1_000), (900, 100), (900, 100), (10, 100)];
        let parents = [vec![], vec![0], vec![0], vec![0]];
        let best = best_above(&values, &parents, (900, 1_100));
        assert_eq!(best, Some(vec![0, 1, 2]));
        assert_eq!(best_above(&values, &parents, (1_800, 1_200)), None);
    }

    #[test]
    fn a_child_of_two_parents_brings_both() {
        let values = [(10, 100), (500, 100), (5_000, 100)];
        let parents = [vec![], vec![], vec![0, 1]];
        assert_eq!(
            best_above(&values, &parents, (500, 100)),
            Some(vec![0, 1, 2])
        );
    }
}
