//! The code that is checked in is what the `.proto` files say.

use std::fs;
use std::path::Path;

use prost::Message as _;
use prost_types::FileDescriptorSet;

const FILES: [(&str, &[&str]); 2] = [
    (
        "breaker/v1/control.proto",
        &["breaker.v1.rs", "descriptors.bin"],
    ),
    ("breaker/fleet/v1/fleet.proto", &["breaker.fleet.v1.rs"]),
];

/// `BREAKER_GENERATE=1 cargo test -p breaker-proto` writes it anew.
#[test]
fn the_generated_code_is_that_of_the_proto_files() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (proto, files) in FILES {
        let descriptors: FileDescriptorSet = protox::compile([proto], [root]).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let encoded = descriptors.encode_to_vec();
        tonic_prost_build::configure()
            .out_dir(directory.path())
            .compile_fds(descriptors)
            .unwrap();
        fs::write(directory.path().join("descriptors.bin"), encoded).unwrap();

        let checked_in = root.join("src/generated");
        for file in files {
            let made = fs::read(directory.path().join(file)).unwrap();
            if std::env::var_os("BREAKER_GENERATE").is_some() {
                fs::write(checked_in.join(file), made).unwrap();
                continue;
            }
            let same = fs::read(checked_in.join(file)).is_ok_and(|is| is == made);
            assert!(
                same,
                "{file} is not what {proto} says: run BREAKER_GENERATE=1 cargo test -p breaker-proto"
            );
        }
    }
}
