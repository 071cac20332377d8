//! Endpoints that are restarted one after the other, as a deployment does.

use super::load::{Load, Shape};
use super::nginx::{Nginx, before, five};

#[tokio::test]
#[expect(
    clippy::print_stderr,
    reason = "the rate that was reached belongs to the result"
)]
async fn a_rolling_restart_under_load_loses_no_request() {
    let mut all = five("return 200 ok;").await;
    let addresses: Vec<_> = all.iter().map(Nginx::address).collect();
    // A connection that waits to be accepted when nginx closes its port is reset. Whether what was
    // sent over it was read can't be known from that, so only a retry helps.
    let sidecar = before(addresses, "", ", retry: {}").await;
    let load = Load::start(&sidecar.url("/"), &Shape::gets(40, 2000));
    load.more(1000).await;
    for nginx in &mut all {
        nginx.quit().await;
        load.more(300).await;
        nginx.start_again().await;
        load.more(300).await;
    }
    let tally = load.end().await;
    eprintln!("{} requests, {:.0} a second", tally.all(), tally.a_second());
    assert!(
        tally.bad.is_empty(),
        "{} lost: {:#?}",
        tally.bad.len(),
        tally.bad
    );
}
