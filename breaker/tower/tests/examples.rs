//! The examples, run: each ends by itself and asserts what it shows.

#[path = "../examples/axum.rs"]
mod axum_application;
#[path = "../examples/balance.rs"]
mod balance;
#[path = "../examples/client.rs"]
mod client;
#[path = "../examples/database.rs"]
mod database;
#[cfg(feature = "yaml")]
#[path = "../examples/policy.rs"]
mod policy;
#[cfg(feature = "reqwest")]
#[path = "../examples/reqwest.rs"]
mod reqwest_client;
#[cfg(feature = "tonic")]
#[path = "../examples/tonic.rs"]
mod tonic_calls;

#[test]
fn a_route_of_an_axum_application_answers_503_while_open() {
    axum_application::main();
}

#[test]
fn a_client_with_a_breaker_for_each_host_stops_trying() {
    client::main();
}

#[cfg(feature = "tonic")]
#[test]
fn a_tonic_client_and_a_server_say_unavailable() {
    tonic_calls::main();
}

#[test]
fn a_database_that_is_gone_is_not_asked() {
    database::main();
}

#[cfg(feature = "reqwest")]
#[test]
fn a_reqwest_client_stops_trying() {
    reqwest_client::main();
}

#[cfg(feature = "yaml")]
#[test]
fn a_policy_is_replaced_in_use() {
    policy::main();
}

#[test]
fn a_tonic_client_with_five_channels_ejects_the_dead_one() {
    balance::main();
}
