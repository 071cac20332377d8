//! How many failures there were in a row, where answers that have begun may fail later.

use std::collections::VecDeque;

/// Failures without a success among them. An answer that has begun ends the row; if it fails later,
/// it never did.
///
/// Silence changes nothing: without requests no row is longer or shorter.
#[derive(Clone, Debug, Default)]
pub(crate) struct Row {
    /// All failures so far.
    failures: u32,
    /// How many of them there were before the latest success that can't fail any more.
    broken_at: u32,
    /// Answers that have begun after that, if there are any: an idle breaker is to be small.
    standing: Option<Box<Places>>,
}

/// After how many failures how many answers that have begun stand: ascending, one at least.
type Places = VecDeque<(u32, u32)>;

impl Row {
    /// How many failures there were since the latest success.
    pub(crate) fn len(&self) -> u32 {
        let standing = self.standing.as_ref();
        let latest = standing.and_then(|places| places.back());
        self.failures - latest.map_or(self.broken_at, |(at, _)| *at)
    }

    pub(crate) const fn failed(&mut self, count: u32) {
        self.failures = self.failures.saturating_add(count);
    }

    pub(crate) fn succeeded(&mut self) {
        self.broken_at = self.failures;
        if self.standing.is_some() {
            self.standing = None;
        }
    }

    /// An answer has begun. Returns its place in the row.
    pub(crate) fn begun(&mut self) -> u32 {
        let place = self.failures;
        if place == self.broken_at {
            // The row is empty as it is.
            return place;
        }
        let places = self.standing.get_or_insert_default();
        match places.back_mut() {
            Some((at, count)) if *at == place => *count = count.saturating_add(1),
            _ => {
                if places.len() == MOST_PLACES {
                    merge_oldest(places);
                }
                places.push_back((place, 1));
            }
        }
        place
    }

    /// The answer that began at `place` has ended well.
    pub(crate) fn stood(&mut self, place: u32) {
        self.broken_at = self.broken_at.max(place);
        let Some(places) = &mut self.standing else {
            return;
        };
        while places.front().is_some_and(|(at, _)| *at <= self.broken_at) {
            places.pop_front();
        }
        if places.is_empty() {
            self.standing = None;
        }
    }

    /// The answer that began at `place` has failed: it has not ended the row.
    pub(crate) fn fell(&mut self, place: u32) {
        if place > self.broken_at
            && let Some(places) = &mut self.standing
        {
            let index = places.partition_point(|(at, _)| *at < place);
            if let Some((_, count)) = places.get_mut(index) {
                *count -= 1;
                if *count == 0 {
                    places.remove(index);
                }
            }
        }
        self.failed(1);
    }
}

/// The oldest is then taken for as young as the next: the row is understated at most.
fn merge_oldest(places: &mut Places) {
    if let Some((_, oldest)) = places.pop_front()
        && let Some((_, next)) = places.front_mut()
    {
        *next = next.saturating_add(oldest);
    }
}

/// At more places in one row than these, answers that have begun are told apart no more.
const MOST_PLACES: usize = 64;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What became of a request, in the order of the classifications.
    #[derive(Clone, Copy, PartialEq)]
    enum Entry {
        Failed,
        Succeeded,
        Begun(usize),
    }

    #[test]
    fn answers_that_all_begin_well_and_fail_are_failures_in_a_row() {
        let mut row = Row::default();
        let mut places: VecDeque<_> = (0..3).map(|_| row.begun()).collect();
        for _ in 0..10 {
            places.push_back(row.begun());
            row.fell(places.pop_front().unwrap());
        }
        assert_eq!(row.len(), 1, "the youngest stands before the last failure");
        for place in places {
            row.fell(place);
        }
        assert_eq!(row.len(), 13);
    }

    proptest! {
        #[test]
        fn the_row_is_that_of_the_verdicts_as_they_are_now(
            acts in prop::collection::vec((0..5_u8, any::<prop::sample::Index>()), 0..200),
        ) {
            let mut row = Row::default();
            let mut entries = Vec::new();
            let mut open: Vec<(usize, u32)> = Vec::new();
            for (number, (act, which)) in acts.into_iter().enumerate() {
                match act {
                    0 => { row.failed(1); entries.push(Entry::Failed); }
                    1 => { row.succeeded(); entries.push(Entry::Succeeded); }
                    2 => { open.push((number, row.begun())); entries.push(Entry::Begun(number)); }
                    _ if open.is_empty() => {}
                    _ => {
                        let (number, place) = open.swap_remove(which.index(open.len()));
                        let at = entries.iter().position(|entry| *entry == Entry::Begun(number)).unwrap();
                        if act == 3 {
                            row.stood(place);
                            entries[at] = Entry::Succeeded;
                        } else {
                            row.fell(place);
                            entries.remove(at);
                            entries.push(Entry::Failed);
                        }
                    }
                }
                let expected = entries.iter().rev().take_while(|entry| **entry == Entry::Failed).count();
                prop_assert_eq!(row.len() as usize, expected);
            }
        }
    }
}
