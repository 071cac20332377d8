//! Random numbers that depend on nothing but who asks for what: a counter-based generator.
//!
//! Each attempt of each request has a stream of its own, keyed by seed, request and attempt. What a
//! system decides can therefore never shift the luck of a later request. Generators that are
//! advanced, as those of `rand` are, would need one object a request for that.

/// A stream of random numbers.
#[derive(Clone, Debug)]
pub(crate) struct RequestRng {
    key: u64,
    drawn: u64,
}

impl RequestRng {
    /// The stream of one attempt of one request.
    pub(crate) const fn of(seed: u64, request: u64, attempt: u8) -> Self {
        let request = mix(request.wrapping_mul(256).wrapping_add(attempt as u64));
        Self {
            key: mix(seed.wrapping_mul(GOLDEN)) ^ request,
            drawn: 0,
        }
    }

    /// A stream for another purpose than a request's, such as where a scenario's incident begins.
    pub(crate) const fn named(seed: u64, purpose: u64) -> Self {
        Self::of(seed ^ 0xb4ea_4e5b_9d1c_0ffe, purpose, 0)
    }

    /// 64 random bits.
    pub(crate) const fn bits(&mut self) -> u64 {
        self.drawn += 1;
        mix(self.key.wrapping_add(self.drawn.wrapping_mul(GOLDEN)))
    }

    /// Uniform in 0..1.
    pub(crate) const fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
    }

    /// Uniform in `from..to`.
    pub(crate) fn between(&mut self, from: f64, to: f64) -> f64 {
        self.unit().mul_add(to - from, from)
    }

    /// Exponential with mean 1.
    pub(crate) fn exponential(&mut self) -> f64 {
        -(1.0 - self.unit()).ln()
    }

    /// Standard normal (Box and Muller, one of the pair).
    pub(crate) fn normal(&mut self) -> f64 {
        let radius = (2.0 * self.exponential()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// Pareto with minimum 1 and index `alpha`.
    pub(crate) fn pareto(&mut self, alpha: f64) -> f64 {
        (1.0 - self.unit()).powf(-1.0 / alpha)
    }
}

/// The finaliser of SplitMix64 (Steele, Lea, Flood 2014).
const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_depends_on_seed_request_and_attempt_alone() {
        let first = |seed, request, attempt| RequestRng::of(seed, request, attempt).bits();
        assert_eq!(first(1, 2, 0), first(1, 2, 0));
        let others = [first(2, 2, 0), first(1, 3, 0), first(1, 2, 1)];
        assert!(!others.contains(&first(1, 2, 0)));
    }

    #[test]
    fn the_distributions_have_their_means() {
        let mean = |draw: fn(&mut RequestRng) -> f64| {
            (0..200_000)
                .map(|request| draw(&mut RequestRng::of(7, request, 0)))
                .sum::<f64>()
                / 200_000.0
        };
        let near = |value: f64, wanted: f64| (value - wanted).abs() < 0.01;
        assert!(near(mean(RequestRng::unit), 0.5));
        assert!(near(mean(RequestRng::exponential), 1.0));
        assert!(near(mean(RequestRng::normal), 0.0));
        assert!(near(mean(|luck| luck.normal().powi(2)), 1.0));
        // Of a Pareto distribution with index 4 the mean is 4/3.
        assert!(near(mean(|luck| luck.pareto(4.0)), 4.0 / 3.0));
    }
}
