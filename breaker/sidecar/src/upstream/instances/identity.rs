//! Which endpoint is which, and which of many are ours.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::OnceLock;

use breaker_tower::breaker_core::EndpointId;

use super::Instance;

/// The id of what is written as `text`: equal at each time it is found.
pub(super) fn id_of(text: &str, salt: u64) -> EndpointId {
    let mut hasher = DefaultHasher::new();
    (text, salt).hash(&mut hasher);
    EndpointId(hasher.finish())
}

/// Keeps `size` of them, by rendezvous hashing (Thaler, Ravishankar 1998): each process chooses its
/// own, all endpoints are chosen evenly, by weight, and a change of one changes no other choice.
pub(super) fn own_share(instances: &mut Vec<Instance>, size: usize) {
    share_of(own_salt(), instances, size);
}

fn share_of(salt: u64, instances: &mut Vec<Instance>, size: usize) {
    if instances.len() <= size {
        return;
    }
    let score = |instance: &Instance| {
        let hash = id_of("", salt ^ instance.id.0).0;
        // Uniform in 0..1 and never 0; the exponential of a weight keeps its share (Wang, 2005).
        let uniform = ((hash >> 11) + 1) as f64 / ((1_u64 << 53) + 1) as f64;
        -uniform.ln() / f64::from(instance.weight.max(1))
    };
    instances.sort_by(|one, other| score(one).total_cmp(&score(other)));
    instances.truncate(size);
}

/// Differs from process to process.
fn own_salt() -> u64 {
    static SALT: OnceLock<u64> = OnceLock::new();
    *SALT.get_or_init(|| {
        use std::hash::{BuildHasher, RandomState};
        RandomState::new().hash_one(std::process::id())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::Endpoint;

    fn instances(number: u16) -> Vec<Instance> {
        (1..=number)
            .map(|port| {
                let endpoint = Endpoint::Name("a".to_owned(), port);
                Instance {
                    id: id_of(&endpoint.to_string(), 0),
                    endpoint,
                    weight: if port == 1 { 3 } else { 1 },
                    position: 0,
                }
            })
            .collect()
    }

    fn ports(mut instances: Vec<Instance>, salt: u64, size: usize) -> Vec<u16> {
        share_of(salt, &mut instances, size);
        let mut ports: Vec<_> = instances
            .iter()
            .filter_map(|it| it.endpoint.port())
            .collect();
        ports.sort_unstable();
        ports
    }

    #[test]
    fn few_endpoints_are_all_used() {
        assert_eq!(ports(instances(16), 7, 16).len(), 16);
        assert_eq!(ports(instances(3), 7, 16), [1, 2, 3]);
    }

    #[test]
    fn each_process_chooses_evenly_and_by_weight() {
        let mut chosen = [0_u32; 101];
        for salt in 0..10_000 {
            for port in ports(instances(100), salt, 16) {
                chosen[usize::from(port)] += 1;
            }
        }
        let others = &chosen[2..];
        let (least, most) = (others.iter().min().unwrap(), others.iter().max().unwrap());
        assert!(*least > 1350 && *most < 1750, "{least} to {most}");
        assert!(
            chosen[1] > 2 * most,
            "{} with three times the weight",
            chosen[1]
        );
    }

    #[test]
    fn an_endpoint_that_goes_replaces_only_itself() {
        for salt in 0..100 {
            let before = ports(instances(100), salt, 16);
            let mut fewer = instances(100);
            let gone = before[3];
            fewer.retain(|it| it.endpoint.port() != Some(gone));
            let after = ports(fewer, salt, 16);
            let kept = before.iter().filter(|port| after.contains(port)).count();
            assert_eq!((kept, after.len()), (15, 16));
        }
    }
}
