//! What a process may do beyond others of its user.

use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use rustix::thread::{
    CapabilitySet, CapabilitySets, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_no_new_privs,
};

use super::Applied;

pub(super) fn no_new_privs() -> Applied {
    set_no_new_privs(true).into()
}

/// Drops all capabilities of this thread.
pub(super) fn drop_capabilities() -> Applied {
    for bit in 0..u64::BITS {
        let capability = CapabilitySet::from_bits_retain(1 << bit);
        match remove_capability_from_bounding_set(capability) {
            Ok(()) => {}
            // That takes a capability itself. Without one, and without new privileges, the set is
            // without effect. A number beyond the last one is invalid.
            Err(Errno::PERM | Errno::INVAL) => break,
            Err(error) => return Err(error).into(),
        }
    }
    let none = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    let dropped = clear_ambient_capability_set().and_then(|()| set_capabilities(None, none));
    dropped.into()
}

/// Keys and tokens are in memory: it is written to no file, and other programs of the same user
/// may not read it.
pub(super) fn no_core_dumps() -> Applied {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    let limited = setrlimit(Resource::Core, none);
    let limited = limited.and_then(|()| set_dumpable_behavior(DumpableBehavior::NotDumpable));
    limited.into()
}
