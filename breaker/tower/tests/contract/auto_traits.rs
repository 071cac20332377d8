//! Compile-time checks: what the breaker adds is `Send`, `Sync` and `Unpin` where the inner service
//! is, and `!Send` is served too.

use std::convert::Infallible;
use std::rc::Rc;

use breaker_tower::{
    BreakerBody, BreakerHandle, BreakerLayer, BreakerService, BreakerSet, Events, InFlight, PerKey,
    Upload,
};
use http::{Request, Response};
use tower::{Layer, Service, ServiceExt, service_fn};

use crate::harness::*;

const fn shared<T: Send + Sync + Unpin>() {}
const fn served<S: Service<Request<Body>, Future: Send> + Clone + Send + Sync + 'static>(_: &S) {}

#[test]
fn everything_is_send_and_sync_where_the_inner_service_is() {
    shared::<BreakerHandle>();
    shared::<BreakerSet<String>>();
    shared::<BreakerLayer>();
    shared::<BreakerLayer<PerKey<String, fn(&Request<Body>) -> String>>>();
    shared::<BreakerService<()>>();
    shared::<BreakerBody<Body>>();
    shared::<InFlight>();
    shared::<Upload>();
    shared::<Events>();
    type Future = <BreakerService<Inner> as Service<Request<Body>>>::Future;
    const fn send<T: Send>() {}
    send::<Future>();

    let inner = service_fn(async |_: Request<Body>| Ok::<_, Infallible>(Response::new(empty())));
    let breaker = BreakerHandle::new("test", touchy());
    served(&BreakerLayer::new(breaker.clone()).layer(inner));
    served(&BreakerLayer::new(breaker).unready_while_open().layer(inner));
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_not_send_is_served() {
    let local = Rc::new(());
    let inner = service_fn(move |_: Request<Body>| {
        let local = local.clone();
        async move {
            drop(local);
            Ok::<_, Infallible>(Response::new(empty()))
        }
    });
    let service = BreakerLayer::new(BreakerHandle::new("test", touchy())).layer(inner);
    assert_eq!(service.oneshot(request()).await.unwrap().status(), 200);
}
