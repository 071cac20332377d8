//! A few kilobytes that decompress to a gigabyte cost no more than the limit.

use breaker_sidecar::ingest::{Reason, Signal};
use bytes::Bytes;

use crate::client::{grpc, grpc_path, http};
use crate::harness::{Running, compress, frame};

const GIGABYTE: usize = 1 << 30;
/// The limit of 64 MiB once per request, some of which may be freed late, and the test itself: far
/// from a gigabyte.
const MOST: usize = 400 << 20;

/// 64 KiB of zeros, over and over: a file of gzip may have many members.
fn gzip_bomb() -> Bytes {
    let member = compress("gzip", &[0; 64 * 1024]);
    member.repeat(GIGABYTE / (64 * 1024)).into()
}

/// One frame of blocks of 128 KiB that are each one byte, repeated (RFC 8878, 3.1.1.2.3).
fn zstd_bomb() -> Bytes {
    let blocks = GIGABYTE / (128 * 1024);
    // Magic number; no checksum, no content size; a window of 128 KiB.
    let mut bomb = vec![0x28, 0xB5, 0x2F, 0xFD, 0, 7 << 3];
    for n in 1..=blocks {
        let header = (128 * 1024) << 3 | 1 << 1 | u32::from(n == blocks);
        bomb.extend(&header.to_le_bytes()[..3]);
        bomb.push(0);
    }
    bomb.into()
}

async fn is_defused(coding: &str, bomb: Bytes) {
    let receiver = Running::plain();
    let fields = [
        ("content-type", "application/x-protobuf"),
        ("content-encoding", coding),
    ];
    let answer = http(receiver.address, "/v1/traces", &fields, bomb.clone()).await;
    assert_eq!(answer.status, 413);
    let fields = [("grpc-encoding", coding)];
    let answer = grpc(
        receiver.address,
        grpc_path(Signal::Traces),
        &fields,
        frame(true, &bomb),
    )
    .await;
    assert_eq!(answer.code(), 8);
    assert_eq!(receiver.stats().refused(Reason::TooLarge), 2);
    assert!(receiver.kept.take().is_empty());
    let peak = peak_memory();
    assert!(peak < MOST, "{} MiB", peak >> 20);
}

/// The most memory that this process ever had.
#[cfg(target_os = "linux")]
fn peak_memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    let kilobytes: usize = line.trim().trim_end_matches(" kB").parse().unwrap();
    kilobytes * 1024
}

#[cfg(not(target_os = "linux"))]
fn peak_memory() -> usize {
    0
}

#[tokio::test]
async fn a_gzip_bomb_of_a_gigabyte_is_refused_within_bounded_memory() {
    is_defused("gzip", gzip_bomb()).await;
}

#[tokio::test]
async fn a_zstd_bomb_of_a_gigabyte_is_refused_within_bounded_memory() {
    let bomb = zstd_bomb();
    assert!(bomb.len() < 40_000);
    is_defused("zstd", bomb).await;
}

#[tokio::test]
async fn a_zstd_window_beyond_eight_megabytes_is_refused() {
    let receiver = Running::plain();
    // A window of 16 MiB, then one last empty block.
    let frame = vec![0x28, 0xB5, 0x2F, 0xFD, 0, 14 << 3, 1, 0, 0];
    let fields = [
        ("content-type", "application/json"),
        ("content-encoding", "zstd"),
    ];
    let answer = http(receiver.address, "/v1/traces", &fields, frame).await;
    assert_eq!(answer.status, 400);
    let message = answer.json()["message"].to_string();
    assert!(message.contains("memory"), "{message}");
}
