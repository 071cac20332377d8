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
        paths: vec![pattern.to_owned()],
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
        peer: None,
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
        ("/pay", "pay"),
        ("/pay/", "pay"),
        ("/payment", "all"),
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

#[test]
fn a_slash_at_the_end_makes_no_difference_unless_both_forms_are_routes() {
    let both = Match {
        paths: vec!["/x".to_owned(), "/y/{id}/z".to_owned()],
        ..Match::default()
    };
    let post = Match {
        methods: vec![Method::POST],
        ..path("/orders")
    };
    let table = table(vec![
        ("users", path("/users")),
        ("shops", path("/shops/")),
        ("one", path("/users/{id}")),
        ("bare", path("/pay")),
        ("slash", path("/pay/")),
        ("below", path("/pay/{*rest}")),
        ("list", path("/items")),
        ("item", path("/items/{*rest}")),
        ("post", post),
        ("orders", path("/orders/{*rest}")),
        ("several", both),
        ("braces", path("/{{a}}/{b}")),
    ]);
    for (path, expected) in [
        ("/users", "users"),
        ("/users/", "users"),
        ("/users/7", "one"),
        ("/users/7/", "one"),
        ("/shops", "shops"),
        ("/shops/", "shops"),
        ("/pay", "bare"),
        ("/pay/", "slash"),
        ("/pay/x", "below"),
        ("/pay/x/", "below"),
        ("/items", "list"),
        ("/items/", "item"),
        // Who names it exactly does not want it, so it goes to who has it besides.
        ("/orders", "orders"),
        ("/orders/", "orders"),
        ("/x", "several"),
        ("/x/", "several"),
        ("/y/1/z", "several"),
        ("/y/1/z/", "several"),
        ("/{a}/1", "braces"),
    ] {
        assert_eq!(
            find(&table, &Method::GET, "a", path),
            Ok(expected),
            "{path}"
        );
    }
    assert_eq!(find(&table, &Method::POST, "a", "/orders/"), Ok("orders"));
    assert_eq!(find(&table, &Method::POST, "a", "/orders"), Ok("post"));
    for path in [
        "/user",
        "/users/7/8",
        "/users//",
        "/shops/x",
        "/",
        "/y/1",
        "/a/1",
    ] {
        let found = find(&table, &Method::GET, "a", path);
        assert_eq!(found, Err(Unrouted::NotFound), "{path}");
    }
}

#[test]
fn the_routes_of_a_path_are_those_whose_pattern_fits_it_alone() {
    let patterns = [
        "/",
        "/a",
        "/a/",
        "/b",
        "/a/{x}",
        "/a/{x}/b",
        "/a/{x}/c/{*rest}",
        "/b/{*rest}",
        "/b/c/{*rest}",
        "/b/c/d",
        "/{*rest}",
        "/c-{x}.png",
        "/{{x}}",
    ];
    let named: Vec<_> = patterns
        .iter()
        .map(|pattern| (*pattern, path(pattern)))
        .collect();
    let all = table(named);
    let segments = ["", "a", "b", "c", "d", "c-1.png", "{x}"];
    let count = segments.len();
    for number in 0..count * count * count {
        let parts = [number, number / count, number / count / count];
        let parts = parts.map(|part| segments[part % count]);
        for path in [
            format!("/{}", parts.join("/")),
            format!("/{}", parts[..2].join("/")),
        ] {
            let mut found: Vec<_> = all.paths.all(&path).collect();
            found.sort_unstable();
            found.dedup();
            let fits = |pattern: &str| {
                let alone = table(vec![("alone", self::path(pattern))]);
                !alone.paths.best(&path).is_empty()
            };
            let alone = (0..patterns.len()).filter(|index| fits(patterns[*index]));
            assert_eq!(found, alone.collect::<Vec<_>>(), "{path}");
        }
    }
}

#[test]
fn the_reference_of_the_configuration_says_which_paths_a_pattern_takes() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
    let text = std::fs::read_to_string(file).unwrap();
    let (_, table_of_paths) = text.split_once("\n| `match.path` | matches |\n").unwrap();
    let rows = table_of_paths
        .lines()
        .take_while(|line| line.starts_with('|'))
        .skip(1);
    let mut checked = 0;
    for row in rows {
        let (patterns, takes) = row.trim_matches('|').split_once('|').unwrap();
        let patterns = patterns.trim_matches([' ', '`', '[', ']']).split(", ");
        let matches = Match {
            paths: patterns.map(str::to_owned).collect(),
            ..Match::default()
        };
        let paths = matches.paths.clone();
        let alone = table(vec![("it", matches)]);
        let said = takes.split('`').skip(1).step_by(2).map(str::to_owned);
        // A row that names none says that it takes what is written.
        let said: Vec<_> = said.collect();
        for path in if said.is_empty() { &paths } else { &said } {
            assert_eq!(
                find(&alone, &Method::GET, "a", path),
                Ok("it"),
                "{row}: {path}"
            );
            checked += 1;
        }
    }
    assert!(checked >= 10, "{checked}");
}

#[test]
fn spellings_of_one_path_have_one_route() {
    let table = table(vec![
        ("me", path("/u/@me")),
        ("user", path("/u/{id}")),
        ("cancel", path("/v/x:cancel")),
        ("braces", path("/{{x}}")),
        ("admin", path("/admin")),
    ]);
    for (path, expected) in [
        ("/u/@me", Ok("me")),
        ("/u/%40me", Ok("me")),
        ("/u/%40you", Ok("user")),
        ("/v/x%3Acancel", Ok("cancel")),
        ("/%7Bx%7D", Ok("braces")),
        ("/{x}", Ok("braces")),
        // Parameters of a segment are a part of it.
        ("/admin;x", Err(Unrouted::NotFound)),
        ("/admin%3Bx", Err(Unrouted::NotFound)),
    ] {
        assert_eq!(find(&table, &Method::GET, "a", path), expected, "{path}");
    }
}

#[test]
fn a_host_with_the_dot_of_the_root_is_the_same_host() {
    let of = |host: &str| Match {
        host: Some(host.to_owned()),
        ..Match::default()
    };
    let table = table(vec![
        ("one", of("example.com")),
        ("any", of("*.example.com.")),
    ]);
    for (host, expected) in [
        ("example.com", Ok("one")),
        ("example.com.", Ok("one")),
        ("EXAMPLE.com.:80", Ok("one")),
        ("a.example.com.", Ok("any")),
        ("a.example.com", Ok("any")),
        ("example.com..", Err(Unrouted::NotFound)),
    ] {
        assert_eq!(find(&table, &Method::GET, host, "/"), expected, "{host}");
    }
}
