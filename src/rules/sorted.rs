//! A sorted list of numbers that many can be put into and taken out of: chunks, each sorted, none long.
//!
//! Finding a place takes a binary search over the chunks and one within a chunk; what is moved is a chunk at most. The value at
//! a rank is found by passing over the chunks' lengths.

/// Most values of a chunk; one that grows beyond is cut in two.
const MOST: usize = 512;
/// Two neighbours that have no more than this together become one.
const FEW: usize = MOST / 4;

/// See the module's documentation. No value is NaN.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sorted {
    /// None is empty.
    chunks: Vec<Vec<f64>>,
    len: usize,
}

impl Sorted {
    /// How many values there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Puts a value in.
    pub(crate) fn insert(&mut self, value: f64) {
        self.len += 1;
        // Beyond all: at the end of the last chunk.
        let n = self.chunk_of(value).min(self.chunks.len().saturating_sub(1));
        let Some(chunk) = self.chunks.get_mut(n) else {
            self.chunks.push(vec![value]);
            return;
        };
        let at = chunk.partition_point(|v| *v < value);
        chunk.insert(at, value);
        if chunk.len() > MOST {
            let upper = chunk.split_off(MOST / 2);
            self.chunks.insert(n + 1, upper);
        }
    }

    /// Takes one value of this size out, if there is one.
    pub(crate) fn remove(&mut self, value: f64) {
        let n = self.chunk_of(value);
        let Some(chunk) = self.chunks.get_mut(n) else { return };
        let at = chunk.partition_point(|v| *v < value);
        if chunk.get(at).is_none_or(|v| *v != value) {
            return;
        }
        chunk.remove(at);
        self.len -= 1;
        if chunk.is_empty() {
            self.chunks.remove(n);
        } else if chunk.len() <= FEW
            && let Some(next) = self.chunks.get(n + 1)
            && self.chunks[n].len() + next.len() <= FEW
        {
            let next = self.chunks.remove(n + 1);
            self.chunks[n].extend(next);
        }
    }

    /// The value of this rank, counted from 0.
    ///
    /// # Panics
    /// If there are fewer values.
    pub(crate) fn at(&self, rank: usize) -> f64 {
        let mut rest = rank;
        for chunk in &self.chunks {
            match chunk.get(rest) {
                Some(value) => return *value,
                None => rest -= chunk.len(),
            }
        }
        panic!("rank {rank} of {} values", self.len)
    }

    /// The first chunk that ends with this value or a greater one.
    fn chunk_of(&self, value: f64) -> usize {
        self.chunks.partition_point(|chunk| chunk.last().is_some_and(|last| *last < value))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn as_a_plain_list(
            phases in prop::collection::vec((0_u32..3000, 0_u32..3000, 1_u64..1000), 1..4),
        ) {
            let (mut sorted, mut kept) = (Sorted::default(), Vec::new());
            for (added, removed, spread) in phases {
                for n in 0..u64::from(added) {
                    let value = (n * 7919 % spread) as f64 - 50.0;
                    sorted.insert(value);
                    kept.push(value);
                }
                for n in 0..removed as usize {
                    if !kept.is_empty() {
                        sorted.remove(kept.swap_remove(n * 31 % kept.len()));
                    }
                }
                let mut plain = kept.clone();
                plain.sort_by(f64::total_cmp);
                prop_assert_eq!(sorted.len(), plain.len());
                let all: Vec<f64> = (0..plain.len()).map(|rank| sorted.at(rank)).collect();
                prop_assert_eq!(&all, &plain);
                prop_assert!(sorted.chunks.iter().all(|c| !c.is_empty() && c.len() <= MOST));
            }
        }
    }

    #[test]
    fn what_is_not_there_is_not_taken_out() {
        let mut sorted = Sorted::default();
        sorted.remove(1.0);
        sorted.insert(f64::INFINITY);
        sorted.insert(2.0);
        sorted.remove(1.0);
        sorted.remove(f64::NEG_INFINITY);
        assert_eq!((sorted.len(), sorted.at(0), sorted.at(1)), (2, 2.0, f64::INFINITY));
    }

    #[test]
    fn a_list_that_shrinks_gives_chunks_back() {
        let mut sorted = Sorted::default();
        (0..100_000).for_each(|n| sorted.insert(f64::from(n)));
        (0..99_990).for_each(|n| sorted.remove(f64::from(n)));
        assert_eq!((sorted.len(), sorted.chunks.len(), sorted.at(0)), (10, 1, 99_990.0));
    }
}
