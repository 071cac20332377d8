//! The filter of system calls. What is not in its list fails with EPERM; what is deadly ends the
//! process.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, Error, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch, apply_filter_all_threads,
};

use super::Applied;
use super::calls::{ALLOWED, ALLOWED_OLD, DEADLY};

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Filters the calls of all threads, and says how many there may be.
pub(super) fn filter() -> (Applied, usize) {
    let release = rustix::system::uname();
    let release = release.release().to_string_lossy();
    match try_filter() {
        Ok(calls) if slows_down(&release) => (Applied::Noted(SLOWS_DOWN.to_owned()), calls),
        Ok(calls) => (Applied::On, calls),
        Err(error) => (Applied::Missing(error.to_string()), 0),
    }
}

fn try_filter() -> Result<usize, Error> {
    let allowed = allowed()?;
    let calls = allowed.len();
    let unconditionally = |calls: &[libc::c_long]| {
        let rules = calls.iter().map(|call| (*call, Vec::new()));
        rules.collect::<Rules>()
    };
    let (allow, deny) = (SeccompAction::Allow, SeccompAction::Errno(EPERM));
    // The strictest of them counts. The list that allows comes last: nothing is installed after it.
    let programs = [
        program(
            unconditionally(DEADLY),
            allow.clone(),
            SeccompAction::KillProcess,
        )?,
        // Its arguments are in memory, where no filter sees them. The C library then takes clone.
        program(
            unconditionally(&[libc::SYS_clone3]),
            allow.clone(),
            SeccompAction::Errno(ENOSYS),
        )?,
        program(allowed, deny, allow)?,
    ];
    programs
        .iter()
        .try_for_each(|program| apply_filter_all_threads(program))?;
    Ok(calls)
}

fn program(
    rules: Rules,
    otherwise: SeccompAction,
    matching: SeccompAction,
) -> Result<BpfProgram, Error> {
    let architecture = TargetArch::try_from(std::env::consts::ARCH)?;
    let filter = SeccompFilter::new(rules, otherwise, matching, architecture)?;
    Ok(filter.try_into()?)
}

/// The calls that are made. The rules of one call are alternatives.
fn allowed() -> Result<Rules, Error> {
    let whole = ALLOWED.iter().chain(ALLOWED_OLD).chain(&[libc::SYS_clone3]);
    let mut rules: Rules = whole.map(|call| (*call, Vec::new())).collect();
    let thread = number(libc::CLONE_THREAD);
    let executable = u64::from(libc::PROT_EXEC.cast_unsigned());
    let filtered = [
        // Threads, no processes and no namespaces.
        (libc::SYS_clone, vec![rule(&[bits(0, thread, thread)?])?]),
        // No new code.
        (libc::SYS_mmap, vec![rule(&[bits(2, executable, 0)?])?]),
        (libc::SYS_mprotect, vec![rule(&[bits(2, executable, 0)?])?]),
        (libc::SYS_socket, sockets()?),
        (libc::SYS_ioctl, one_of(1, &[libc::FIONBIO, libc::FIOCLEX])?),
        (
            libc::SYS_prctl,
            one_of(0, &[number(libc::PR_SET_NAME), number(libc::PR_SET_VMA)])?,
        ),
        // Limits of this process.
        (libc::SYS_prlimit64, vec![rule(&[equal(0, 0)?])?]),
    ];
    rules.extend(filtered);
    Ok(rules)
}

/// TCP, UDP and Unix sockets. Landlock's rules on ports are those of TCP, and not of what else
/// connects as it does (MPTCP, SMC).
fn sockets() -> Result<Vec<SeccompRule>, Error> {
    let mut rules = vec![rule(&[equal(0, number(libc::AF_UNIX))?])?];
    for family in [libc::AF_INET, libc::AF_INET6] {
        for protocol in [libc::IPPROTO_IP, libc::IPPROTO_TCP, libc::IPPROTO_UDP] {
            let conditions = [equal(0, number(family))?, equal(2, number(protocol))?];
            rules.push(rule(&conditions)?);
        }
    }
    Ok(rules)
}

fn one_of(argument: u8, values: &[u64]) -> Result<Vec<SeccompRule>, Error> {
    let rules = values.iter().map(|value| rule(&[equal(argument, *value)?]));
    rules.collect()
}

fn rule(conditions: &[SeccompCondition]) -> Result<SeccompRule, Error> {
    Ok(SeccompRule::new(conditions.to_vec())?)
}

fn equal(argument: u8, value: u64) -> Result<SeccompCondition, Error> {
    condition(argument, SeccompCmpOp::Eq, value)
}

/// Of the bits of `mask`, those of `value` are set, and no others.
fn bits(argument: u8, mask: u64, value: u64) -> Result<SeccompCondition, Error> {
    condition(argument, SeccompCmpOp::MaskedEq(mask), value)
}

/// The arguments compared here have 32 bits: the kernel ignores the others, or there are none.
fn condition(argument: u8, compare: SeccompCmpOp, value: u64) -> Result<SeccompCondition, Error> {
    let length = SeccompCmpArgLen::Dword;
    Ok(SeccompCondition::new(argument, length, compare, value)?)
}

fn number(value: libc::c_int) -> u64 {
    u64::from(value.cast_unsigned())
}

/// Whether a filter also has the kernel guard against speculative store bypass (Spectre 4): before
/// 5.16 it did.
fn slows_down(release: &str) -> bool {
    let mut parts = release.split(|c: char| !c.is_ascii_digit());
    let mut next = || parts.next()?.parse::<u32>().ok();
    match (next(), next()) {
        (Some(major), Some(minor)) => (major, minor) < (5, 16),
        _ => false,
    }
}

const EPERM: u32 = libc::EPERM.cast_unsigned();
const ENOSYS: u32 = libc::ENOSYS.cast_unsigned();
const SLOWS_DOWN: &str = "below Linux 5.16, it also switches the mitigation of speculative store \
                          bypass on for this process, which takes CPU time on old processors";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_allowed_or_deadly_and_listed_once() {
        let allowed = allowed().unwrap();
        let deadly: std::collections::BTreeSet<_> = DEADLY.iter().collect();
        assert_eq!(deadly.len(), DEADLY.len());
        assert!(DEADLY.iter().all(|call| !allowed.contains_key(call)));
        let alike = ALLOWED.len() + ALLOWED_OLD.len();
        assert_eq!(allowed.len(), alike + 8, "each is listed once");
    }

    #[test]
    fn the_programs_fit_into_the_kernel() {
        // The kernel takes 4,096 instructions.
        let whole = program(
            allowed().unwrap(),
            SeccompAction::Errno(EPERM),
            SeccompAction::Allow,
        );
        assert!(whole.unwrap().len() < 4096);
    }

    #[test]
    fn kernels_before_5_16_slow_a_filtered_process_down() {
        for (release, expected) in [
            ("5.15.0-91-generic", true),
            ("5.4", true),
            ("4.19.3", true),
            ("5.16.0", false),
            ("6.18.44-fc", false),
            ("10.1", false),
            ("unknown", false),
        ] {
            assert_eq!(slows_down(release), expected, "{release}");
        }
    }
}
