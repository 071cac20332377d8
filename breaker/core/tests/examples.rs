//! The examples, run: each ends by itself and asserts what it shows.

#[path = "../examples/replay.rs"]
mod replay;

#[test]
fn a_recording_is_replayed_through_each_policy() {
    replay::main();
}
