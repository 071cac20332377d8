//! An HDR histogram over the slices of a window: one live slice, the rest packed, and their sum.

use hdrhistogram::Histogram;

use super::SLICES;
use super::packed::Packed;

/// Values of the last [`SLICES`] slices, to 2 significant digits.
#[derive(Clone, Debug)]
pub(super) struct SlicedHistogram {
    live: Histogram<u32>,
    sealed: [Packed; SLICES - 1],
    /// The sum of `sealed`, so that reading a quantile unpacks nothing.
    sealed_sum: Histogram<u32>,
    /// Where in `sealed` the live slice goes next.
    next: usize,
    /// The sealed slice that was written to last, unpacked: telemetry comes late, and in the order of its times.
    reopened: Option<(usize, Histogram<u32>)>,
}

impl SlicedHistogram {
    pub(super) fn new() -> Self {
        Self {
            live: empty(),
            sealed: Default::default(),
            sealed_sum: empty(),
            next: 0,
            reopened: None,
        }
    }

    /// Records `count` times `value`, `slices_ago` slices before the live one: less than [`SLICES`].
    pub(super) fn record(&mut self, value: u64, count: u32, slices_ago: usize) {
        if slices_ago == 0 {
            self.live.record_n(value, count).expect(GROWS);
            return;
        }
        let slices = self.sealed.len();
        let index = (self.next + slices - slices_ago.min(slices)) % slices;
        self.sealed_sum.record_n(value, count).expect(GROWS);
        self.reopen(index).record_n(value, count).expect(GROWS);
    }

    fn reopen(&mut self, index: usize) -> &mut Histogram<u32> {
        if self
            .reopened
            .as_ref()
            .is_some_and(|(open, _)| *open != index)
        {
            self.seal();
        }
        let sealed = &self.sealed[index];
        let (_, histogram) = self.reopened.get_or_insert_with(|| {
            let mut histogram = empty();
            sealed.add_to(&mut histogram);
            (index, histogram)
        });
        histogram
    }

    /// Packs the slice that was reopened.
    fn seal(&mut self) {
        if let Some((index, histogram)) = self.reopened.take() {
            self.sealed[index] = Packed::of(&histogram);
        }
    }

    /// Seals the live slice, and forgets the slices that are `slices` or more steps too old. `slices` is less than [`SLICES`].
    pub(super) fn advance(&mut self, slices: usize) {
        self.seal();
        for step in 0..slices {
            self.sealed[self.next] = if step == 0 {
                Packed::of(&self.live)
            } else {
                Packed::default()
            };
            self.next = (self.next + 1) % self.sealed.len();
        }
        self.live.reset();
        self.sealed_sum.reset();
        for packed in &self.sealed {
            packed.add_to(&mut self.sealed_sum);
        }
    }

    /// All that the window holds.
    pub(super) fn sum(&self) -> Histogram<u32> {
        let mut sum = self.sealed_sum.clone();
        sum.add(&self.live).expect(GROWS);
        sum
    }

    /// Heap memory, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let packed: usize = self.sealed.iter().map(Packed::bytes).sum();
        let reopened = self.reopened.iter().map(|(_, histogram)| histogram);
        let unpacked: usize = reopened
            .chain([&self.live, &self.sealed_sum])
            .map(Histogram::distinct_values)
            .sum();
        packed + unpacked * size_of::<u32>()
    }
}

pub(super) const GROWS: &str = "a histogram that resizes itself takes any value";

/// A histogram that starts small and grows with the values it sees.
fn empty() -> Histogram<u32> {
    Histogram::new(2).expect("2 is a number of significant digits that histograms have")
}
