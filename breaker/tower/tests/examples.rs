//! The examples, run: each ends by itself and asserts what it shows.

#[path = "../examples/axum.rs"]
mod axum_application;
#[path = "../examples/balance.rs"]
mod balance;
#[path = "../examples/client.rs"]
mod client;
#[path = "../examples/tonic.rs"]
mod tonic_client;

#[test]
fn an_axum_application_answers_503_while_open() {
    axum_application::main();
}

#[test]
fn a_client_with_a_breaker_for_each_host_stops_trying() {
    client::main();
}

#[test]
fn a_tonic_client_tells_a_rejection_from_a_failure() {
    tonic_client::main();
}

#[test]
fn a_tonic_client_with_five_channels_ejects_the_dead_one() {
    balance::main();
}
