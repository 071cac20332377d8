//! Whatever happens: bounds that always hold, and that afterwards all is as it was.

use proptest::prelude::*;

use super::*;

/// Something that happens.
#[derive(Clone, Debug)]
enum Happens {
    /// So many requests, every few ms, of which those that a mask names fail, hang or are lost.
    Requests {
        count: u16,
        gap: u16,
        failing: u16,
        hanging: u16,
        lost: bool,
    },
    /// Nothing, for so many ms.
    Silence(u32),
    /// The set is those of the mask.
    Replace(u16),
    Eject(u8, u32),
    Admit(u8),
    Checked(u8, bool),
    Most(u8),
    Policy(u8),
    SetBack(u16),
}

fn happens() -> impl Strategy<Value = Happens> {
    let requests = (
        1..400_u16,
        1..200_u16,
        any::<u16>(),
        any::<u16>(),
        any::<bool>(),
    );
    let requests = requests.prop_map(|(count, gap, failing, hanging, lost)| Happens::Requests {
        count,
        gap,
        failing: failing & failing.rotate_left(5),
        hanging: hanging & hanging.rotate_left(3) & hanging.rotate_left(7),
        lost,
    });
    prop_oneof![
        8 => requests,
        2 => (0..400_000_u32).prop_map(Happens::Silence),
        2 => any::<u16>().prop_map(Happens::Replace),
        1 => (0..16_u8, 0..100_000_u32).prop_map(|(id, millis)| Happens::Eject(id, millis)),
        1 => (0..16_u8).prop_map(Happens::Admit),
        6 => (0..16_u8, prop::bool::weighted(0.3)).prop_map(|(id, good)| Happens::Checked(id, good)),
        1 => (0..101_u8).prop_map(Happens::Most),
        1 => (0..4_u8).prop_map(Happens::Policy),
        1 => (0..5000_u16).prop_map(Happens::SetBack),
    ]
}

fn set(mask: u16) -> impl Iterator<Item = (EndpointId, u32)> {
    let ids = (0..16_u64).filter(move |id| mask >> id & 1 == 1);
    ids.map(|id| (EndpointId(id), 1 + (id % 3) as u32))
}

struct Play {
    endpoints: Endpoints,
    now: u64,
    /// Hung attempts and when they end.
    hung: Vec<(u64, Attempt)>,
    /// How many were lost, by id, since the set had it last.
    lost: Vec<(EndpointId, u32)>,
    operator: std::collections::BTreeSet<EndpointId>,
}

impl Play {
    fn new() -> Self {
        Self {
            endpoints: with(EndpointSettings::default(), 5),
            now: 0,
            hung: Vec::new(),
            lost: Vec::new(),
            operator: std::collections::BTreeSet::new(),
        }
    }

    fn check(&mut self) -> Result<(), TestCaseError> {
        let now = at(self.now);
        let snapshot = self.endpoints.snapshot(now);
        let counted = |one: &&EndpointSnapshot| {
            !matches!(one.reason, Some(EjectReason::Operator)) && one.state != EndpointState::In
        };
        let out = snapshot.endpoints.iter().filter(counted).count();
        prop_assert!(out <= snapshot.most_out, "{snapshot:?}");
        let longest = self.endpoints.settings().open.max.mul_f64(1.2);
        for one in &snapshot.endpoints {
            if let Some(until) = one.out_until
                && !matches!(one.reason, Some(EjectReason::Operator))
            {
                prop_assert!(until.saturating_since(now) <= longest);
            }
        }
        let pick = self.endpoints.pick(now, self.now, |_| Candidate::Fresh);
        prop_assert_eq!(pick.is_none(), self.endpoints.is_empty());
        prop_assert_eq!(self.endpoints.ids().len(), snapshot.endpoints.len());
        Ok(())
    }

    fn end_hung(&mut self) {
        let now = self.now;
        let due = self.hung.extract_if(.., |(until, _)| *until <= now);
        for (_, attempt) in due.collect::<Vec<_>>() {
            self.endpoints
                .end(attempt, Outcome::failure(ms(3000)), at(now));
        }
    }

    fn request(&mut self, failing: u16, hanging: u16, lost: bool) {
        let Some(pick) = self
            .endpoints
            .pick(at(self.now), self.now, |_| Candidate::Fresh)
        else {
            return;
        };
        let attempt = self.endpoints.begin(pick, at(self.now));
        let bit = |mask: u16| mask >> (pick.id().0 % 16) & 1 == 1;
        if bit(hanging) && lost && attempt.is_probe() {
            self.lost.push((pick.id(), 1));
            drop(attempt);
        } else if bit(hanging) {
            self.hung.push((self.now + 3000, attempt));
        } else {
            let ends = if !bit(failing) {
                Ends::Well
            } else if self.now.is_multiple_of(3) {
                Ends::Unreachable
            } else {
                Ends::Badly
            };
            finish(&mut self.endpoints, attempt, ends, ms(3), at(self.now));
        }
    }

    fn play(&mut self, happens: &Happens) {
        let id = |id: u8| EndpointId(id.into());
        match *happens {
            Happens::Requests {
                count,
                gap,
                failing,
                hanging,
                lost,
            } => {
                for _ in 0..count {
                    self.now += u64::from(gap);
                    self.end_hung();
                    self.request(failing, hanging, lost);
                }
            }
            Happens::Silence(millis) => self.now += u64::from(millis),
            Happens::Replace(mask) => self.endpoints.replace(set(mask), at(self.now)),
            Happens::Eject(one, millis) => {
                let period = ms(millis.into());
                self.endpoints.eject(id(one), period, at(self.now));
                self.operator.insert(id(one));
            }
            Happens::Admit(one) => {
                self.endpoints.admit(id(one), at(self.now));
            }
            Happens::Checked(one, good) => {
                self.endpoints.checked(id(one), good, at(self.now));
            }
            Happens::Most(percent) => {
                let settings = EndpointSettings {
                    max_ejected: crate::Ratio::of(percent.into(), 100),
                    ..self.endpoints.settings().clone()
                };
                self.endpoints.set_settings(settings, at(self.now)).unwrap();
            }
            Happens::Policy(which) => {
                let settings = EndpointSettings {
                    eject: which > 0,
                    deadline: ms(500 * (1 + u64::from(which))),
                    probes: 1 + u32::from(which),
                    balance: match which {
                        3 => Balance::RoundRobin,
                        _ => Balance::P2c,
                    },
                    ..self.endpoints.settings().clone()
                };
                self.endpoints.set_settings(settings, at(self.now)).unwrap();
            }
            Happens::SetBack(millis) => self.now = self.now.saturating_sub(millis.into()),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_happens_the_guard_holds_and_afterwards_all_are_in(
        history in prop::collection::vec(happens(), 0..40),
    ) {
        let mut play = Play::new();
        for happens in &history {
            play.play(happens);
            play.check()?;
        }
        // All is well from now on: attempts end, checks are good, requests come.
        play.now += 10_000;
        play.end_hung();
        let settings = EndpointSettings {
            eject: true,
            ..play.endpoints.settings().clone()
        };
        play.endpoints.set_settings(settings, at(play.now)).unwrap();
        for id in play.endpoints.ids().to_vec() {
            for _ in 0..2 {
                play.endpoints.checked(id, true, at(play.now));
            }
        }
        for _ in 0..(500_000 / 25) {
            play.now += 25;
            play.request(0, 0, false);
        }
        told(&mut play.endpoints);
        let snapshot = play.endpoints.snapshot(at(play.now));
        for one in &snapshot.endpoints {
            prop_assert_eq!(one.state, EndpointState::In, "{:?}", one);
            prop_assert_eq!(one.grown.get(), 1.0);
            // A probe that was lost is not in flight for ever only as a probe.
            let lost = play.lost.iter().filter(|(id, _)| *id == one.id).count() as u32;
            prop_assert!(one.in_flight <= lost, "{:?}, {} lost", one, lost);
        }
        prop_assert!(!snapshot.panic);
        for _ in 0..4000 {
            play.now += 25;
            play.request(0, 0, false);
        }
        prop_assert_eq!(told(&mut play.endpoints), vec![]);
    }
}
