//! What is left in memory of private keys that were read from files.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use breaker_tests::{Setup, Upstream, eventually};
use memchr::memmem;
use rcgen::KeyPair;

use crate::secure::Authority;

/// Whether something is in the memory of a process that it may write to.
fn is_in_memory(id: u32, sought: &[u8]) -> bool {
    let maps = fs::read_to_string(format!("/proc/{id}/maps")).unwrap();
    let open = |file: &str| File::open(format!("/proc/{id}/{file}")).unwrap();
    let (memory, pages) = (open("mem"), open("pagemap"));
    let writable = maps.lines().filter(|line| line.contains(" rw"));
    let mut ranges = writable.filter_map(|line| {
        let (from, to) = line.split_whitespace().next()?.split_once('-')?;
        let page = |hexadecimal| Some(u64::from_str_radix(hexadecimal, 16).ok()? / PAGE);
        Some((page(from)?, page(to)?))
    });
    ranges.any(|(from, to)| {
        let mut entries = vec![0; (to - from) as usize * 8];
        // Some ranges have nothing to read.
        let known = pages.read_at(&mut entries, from * 8).unwrap_or(0);
        let mut bytes = Vec::new();
        for (page, entry) in (from..).zip(entries[..known].chunks_exact(8)) {
            // Most of what an allocator reserves was never touched.
            if entry[7] & PRESENT != 0 {
                let end = bytes.len();
                bytes.resize(end + PAGE as usize, 0);
                let _ = memory.read_at(&mut bytes[end..], page * PAGE);
            }
        }
        memmem::find(&bytes, sought).is_some()
    })
}

const PAGE: u64 = 4096;
/// Of the last byte of an entry of `pagemap`.
const PRESENT: u8 = 1 << 7;

#[tokio::test]
async fn a_key_that_was_read_is_overwritten() {
    let authority = Authority::new();
    let upstream = Upstream::start().await;
    let more = format!("tls: {{ {} }}\nsandbox: {{ mode: off }}", authority.pair());
    let setup = Setup::of(upstream.address()).more(&more);
    let mut sidecar = setup.start().await;
    let id = sidecar.process().id();
    let applied = [("breaker_tls_result", "applied")];
    for rotations in 1..=3 {
        let key = KeyPair::generate().unwrap();
        let (chain, _) = authority.signed("localhost", &key);
        for (name, text) in [("tls.crt", chain), ("tls.key", key.serialize_pem())] {
            let new = authority.path().join("new");
            fs::write(&new, text).unwrap();
            fs::rename(new, authority.path().join(name)).unwrap();
        }
        let reloads = "breaker_tls_reloads_total";
        eventually!(
            sidecar.metrics().await.sum(reloads, &applied) == Some(f64::from(rotations)),
            "not taken over"
        );
        let request = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        let answer = authority.ask(sidecar.address(), None, request).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");

        // Where P-256 keys in PKCS#8 form have the secret, but for its ends: an allocator writes
        // there.
        let der = key.serialize_der();
        assert!(!is_in_memory(id, &der[44..60]), "{rotations}: DER");
        // With the end of a line in it: the PEM decoder, which is not ours, leaves lines without.
        let pem = key.serialize_pem();
        let (second, third) = (pem.lines().nth(1).unwrap(), pem.lines().nth(2).unwrap());
        let text = format!("{}\n{}", &second[32..], &third[..32]);
        assert!(!is_in_memory(id, text.as_bytes()), "{rotations}: PEM");
        // The search finds what is there.
        assert!(is_in_memory(
            id,
            authority.path().as_os_str().as_encoded_bytes()
        ));
    }
}
