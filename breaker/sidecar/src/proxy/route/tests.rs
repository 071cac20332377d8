use super::*;
use crate::upstream::Endpoint;

fn breaker(name: &str) -> BreakerHandle {
    BreakerHandle::new(name, breaker_tower::Policy::builtin("sensitive").unwrap())
}

fn table(matches: Vec<(&str, Match)>) -> RouteTable {
    let upstream = Arc::new(Upstream::new("app", vec![Endpoint::new("127.0.0.1", 1)]));
    let routes = matches
        .into_iter()
        .map(|(name, matches)| Route {
            matches,
            ..Route::new(breaker(name), upstream.clone())
        })
        .collect();
    RouteTable::new(routes).unwrap()
}

fn path(pattern: &str) -> Match {
    Match {
        path: Some(pattern.to_owned()),
        ..Match::default()
    }
}

fn find<'a>(
    table: &'a RouteTable,
    method: &Method,
    host: &str,
    path: &str,
) -> Result<&'a str, Unrouted> {
    let mut headers = HeaderMap::new();
    headers.insert("host", host.parse().unwrap());
    let target = Target {
        method,
        path,
        headers: &headers,
        is_grpc: false,
    };
    table
        .find(target)
        .map(|index| &**table.routes()[index].name())
}

#[test]
fn the_most_specific_path_wins() {
    let table = table(vec![
        ("all", Match::default()),
        ("pay", path("/pay/{*rest}")),
        ("one", path("/pay/one")),
    ]);
    for (path, name) in [
        ("/", "all"),
        ("/pay", "all"),
        ("/pay/", "pay"),
        ("/pay/two", "pay"),
        ("/pay/one", "one"),
    ] {
        assert_eq!(find(&table, &Method::GET, "a", path), Ok(name), "{path}");
    }
}

#[test]
fn a_catch_all_matches_the_root() {
    let table = table(vec![("all", path("/{*rest}"))]);
    assert_eq!(find(&table, &Method::GET, "a", "/"), Ok("all"));
    assert_eq!(find(&table, &Method::GET, "a", "/x/y"), Ok("all"));
}

#[test]
fn a_path_of_another_method_goes_to_the_next_best_route() {
    let post = Match {
        methods: vec![Method::POST],
        ..path("/pay/{*rest}")
    };
    let table = table(vec![("post", post), ("all", path("/{*rest}"))]);
    assert_eq!(find(&table, &Method::POST, "a", "/pay/x"), Ok("post"));
    assert_eq!(find(&table, &Method::GET, "a", "/pay/x"), Ok("all"));
}

#[test]
fn routes_share_a_path_by_method_and_host() {
    let with = |methods: Vec<Method>, host: Option<&str>| Match {
        methods,
        host: host.map(str::to_owned),
        ..path("/x")
    };
    let table = table(vec![
        ("get", with(vec![Method::GET], None)),
        ("put", with(vec![Method::PUT], None)),
        ("shop", with(vec![Method::POST], Some("*.shop.example"))),
    ]);
    assert_eq!(find(&table, &Method::PUT, "a", "/x"), Ok("put"));
    assert_eq!(
        find(&table, &Method::POST, "EU.shop.example:80", "/x"),
        Ok("shop")
    );
    assert_eq!(
        find(&table, &Method::POST, "a", "/x"),
        Err(Unrouted::Method(vec![Method::GET, Method::PUT]))
    );
    assert_eq!(
        find(&table, &Method::GET, "a", "/y"),
        Err(Unrouted::NotFound)
    );
}

#[test]
fn colliding_patterns_and_names_are_errors() {
    let upstream = Arc::new(Upstream::new("app", vec![]));
    let route = |name: &str, pattern: &str| Route {
        matches: path(pattern),
        ..Route::new(breaker(name), upstream.clone())
    };
    let malformed = RouteTable::new(vec![route("a", "/{x")]);
    assert!(matches!(malformed, Err(RouteError::Pattern { .. })));
    let colliding = RouteTable::new(vec![route("a", "/{x}"), route("b", "/{y}")]);
    assert!(matches!(colliding, Err(RouteError::Pattern { .. })));
    let twice = RouteTable::new(vec![route("a", "/x"), route("a", "/y")]);
    assert!(matches!(twice, Err(RouteError::Duplicate(_))));
}
