use std::convert::Infallible;
use std::io::Write;

use bytes::Bytes;
use http::HeaderValue;
use http::header::CONTENT_ENCODING;
use http_body_util::Full;

use super::*;
use crate::ingest::overload::Overload;

fn place(memory: usize) -> BatchSlot {
    let limits = Limits {
        memory,
        ..Limits::default()
    };
    Overload::new(&limits).admit(0).unwrap()
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn zlib(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

/// As some send `deflate`: without zlib's head.
fn raw(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn zstd(plain: &[u8]) -> Vec<u8> {
    zstd::encode_all(plain, 0).unwrap()
}

#[test]
fn the_limit_is_the_last_size_that_is_taken() {
    for limit in [
        1,
        1000,
        FIRST_ROOM,
        FIRST_ROOM + 1,
        3 * FIRST_ROOM,
        1_000_000,
    ] {
        for (coding, compress) in [
            (Coding::Gzip, gzip as fn(&[u8]) -> _),
            (Coding::Deflate, zlib),
            (Coding::Deflate, raw),
            (Coding::Zstd, zstd),
        ] {
            for size in [0, limit / 2, limit - 1, limit, limit + 1, 4 * limit] {
                let plain: Vec<u8> = (0..size).map(|n| n as u8).collect();
                let decoded = decompress(coding, &compress(&plain), limit, &mut place(1 << 30));
                match decoded {
                    Ok(decoded) => assert!(decoded == plain && size <= limit, "{size} {limit}"),
                    Err(Refusal::TooLarge { .. }) => assert!(size > limit, "{size} {limit}"),
                    Err(other) => panic!("{other}"),
                }
            }
        }
    }
}

#[test]
fn what_was_compressed_in_parts_is_joined() {
    for (coding, compress) in [(Coding::Gzip, gzip as fn(&[u8]) -> _), (Coding::Zstd, zstd)] {
        let parts = [compress(b"one "), compress(b"two")].concat();
        let decoded = decompress(coding, &parts, 100, &mut place(1 << 30)).unwrap();
        assert_eq!(decoded, b"one two");
    }
}

#[test]
fn no_more_is_allocated_than_there_is_room_for_all() {
    let bomb = zstd(&vec![0; 10 << 20]);
    let decoded = decompress(Coding::Zstd, &bomb, 64 << 20, &mut place(1 << 20));
    assert!(matches!(decoded, Err(Refusal::Overloaded { .. })));
}

#[tokio::test]
async fn a_body_is_read_to_its_limit() {
    let limits = Limits {
        batch: 10,
        ..Limits::default()
    };
    let bounds = Bounds::new(&limits, 2);
    for (size, is_taken) in [(0, true), (10, true), (11, false)] {
        let body = Full::<Bytes>::from(vec![7; size]);
        let read = collect(body, vec![0; 2], &bounds, &mut place(100), |_| Ok(())).await;
        match read {
            Ok(read) => assert!(is_taken && read.len() == size + 2),
            Err(Refusal::TooLarge { limit }) => assert!(!is_taken && limit == 10),
            Err(other) => panic!("{other}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stalls_is_given_up() {
    struct Stalled;

    impl Body for Stalled {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
            std::task::Poll::Pending
        }
    }

    let start = Instant::now();
    let bounds = Bounds::new(&Limits::default(), 0);
    let read = collect(Stalled, Vec::new(), &bounds, &mut place(100), |_| Ok(())).await;
    assert!(matches!(read, Err(Refusal::Slow)));
    assert_eq!(start.elapsed().as_secs(), 10);
}

#[test]
fn compressions_are_known_by_their_names() {
    for (value, known) in [
        (None, Some(None)),
        (Some("identity"), Some(None)),
        (Some(""), Some(None)),
        (Some("gzip"), Some(Some(Coding::Gzip))),
        (Some("GZIP"), Some(Some(Coding::Gzip))),
        (Some("x-gzip"), Some(Some(Coding::Gzip))),
        (Some("zstd"), Some(Some(Coding::Zstd))),
        (Some("deflate"), Some(Some(Coding::Deflate))),
        (Some("gzip, zstd"), None),
        (Some("Deflate"), Some(Some(Coding::Deflate))),
    ] {
        let headers = value.map(|value| (CONTENT_ENCODING, HeaderValue::from_static(value)));
        let headers = headers.into_iter().collect();
        assert_eq!(
            Coding::of(&headers, &CONTENT_ENCODING).ok(),
            known,
            "{value:?}"
        );
    }
}
