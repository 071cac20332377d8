//! Ports for programs that cannot choose one and tell it.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};
use std::{env, process};

/// Free ports of the loopback interface, which no other test looks at meanwhile.
///
/// Not of the ports that the system gives to who asks for any: between this look and the program's
/// bind another would get one.
///
/// # Panics
/// If there are none.
pub fn free_ports<const N: usize>() -> [u16; N] {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // nextest numbers the tests that run at once. Ids of processes may be as far apart.
    let slot = env::var("NEXTEST_TEST_GLOBAL_SLOT").ok();
    let slot = slot.and_then(|slot| slot.parse().ok());
    let slot: u32 = slot.unwrap_or_else(process::id) % SLOTS;
    let first = slot as u16 * EACH;
    [(); N].map(|()| {
        let ports = (0..ALL).map(|_| {
            let next = NEXT.fetch_add(1, Ordering::Relaxed) % ALL;
            FIRST + (first + next) % ALL
        });
        let mut free = ports.filter(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok());
        free.next().expect("a free port")
    })
}

/// A free port of the loopback interface.
pub fn free_address() -> SocketAddr {
    let [port] = free_ports();
    (Ipv4Addr::LOCALHOST, port).into()
}

/// Below the ports that Linux gives to who asks for any.
const FIRST: u16 = 20_000;
/// As many as one test wants, and tests at once.
const EACH: u16 = 24;
const SLOTS: u32 = 500;
const ALL: u16 = EACH * SLOTS as u16;

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::{EACH, free_ports};

    #[test]
    fn no_port_is_given_twice_soon_or_while_it_is_taken() {
        let [first, second] = free_ports();
        assert_ne!(first, second);
        let _taken = TcpListener::bind(("127.0.0.1", first)).unwrap();
        for _ in 0..EACH {
            assert_ne!(free_ports(), [first]);
        }
    }
}
