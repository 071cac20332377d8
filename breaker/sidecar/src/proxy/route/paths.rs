//! Which routes have a path: patterns, and their forms with and without a slash at the end.
//!
//! A slash at the end makes no difference, unless both forms are patterns: `/users` takes `/users/`
//! too, and `/users/{*rest}` takes `/users` and `/users/`. Who names a form exactly has it.

use std::collections::{BTreeSet, HashMap};

use matchit::{InsertError, Router};

/// Patterns of `matchit`, each with the index of its route.
#[derive(Debug, Default)]
pub(super) struct Paths {
    /// The routes of each pattern, in the order of the configuration.
    best: Router<Vec<usize>>,
    /// Patterns without parameters.
    literals: HashMap<String, Vec<usize>>,
    /// The others, by what stands before their first parameter.
    prefixes: HashMap<String, Vec<(usize, Rest)>>,
    /// How long the prefixes are, each length once.
    lengths: BTreeSet<usize>,
}

/// What follows the literal beginning of a pattern.
#[derive(Debug)]
enum Rest {
    /// Nothing: this is the parent of a catch-all.
    Nothing,
    /// Anything.
    Anything,
    /// What the pattern says, alone in its router.
    Pattern(Box<Router<()>>),
}

impl Paths {
    /// Takes in the patterns, with the indices of their routes ascending. On an error tells which
    /// pattern it is about.
    pub(super) fn new<'a>(
        patterns: impl Iterator<Item = (usize, &'a str)>,
    ) -> Result<Self, (usize, &'a str, InsertError)> {
        let mut paths = Self::default();
        let mut routes_of: HashMap<&str, Vec<usize>> = HashMap::new();
        let mut order = Vec::new();
        for (index, pattern) in patterns {
            let routes = routes_of.entry(pattern).or_default();
            if routes.is_empty() {
                order.push(pattern);
            }
            routes.push(index);
            let rank = paths.rank(index, pattern);
            rank.map_err(|error| (index, pattern, error))?;
        }
        for pattern in &order {
            let routes = &routes_of[pattern];
            let inserted = paths.best.insert(*pattern, routes.clone());
            inserted.map_err(|error| (routes[0], *pattern, error))?;
        }
        // In this order, so that who is nearest has a form that nobody names: the catch-all has its
        // parent with a slash before `/users` has it.
        for form in [below, toggled, parent] {
            for pattern in &order {
                if let Some(form) = form(pattern) {
                    // A conflict means that it is taken.
                    let _ = paths.best.insert(form, routes_of[pattern].clone());
                }
            }
        }
        Ok(paths)
    }

    fn rank(&mut self, index: usize, pattern: &str) -> Result<(), InsertError> {
        let (literal, params) = split(pattern);
        if params.is_empty() {
            self.literals.entry(literal).or_default().push(index);
            return Ok(());
        }
        let rest = if params.starts_with("{*") {
            if let Some(parent) = literal
                .strip_suffix('/')
                .filter(|parent| !parent.is_empty())
            {
                self.add(parent.to_owned(), index, Rest::Nothing);
            }
            Rest::Anything
        } else {
            let mut alone = Router::new();
            alone.insert(pattern, ())?;
            for form in [below, toggled, parent]
                .into_iter()
                .filter_map(|form| form(pattern))
            {
                let _ = alone.insert(form, ());
            }
            Rest::Pattern(Box::new(alone))
        };
        self.add(literal, index, rest);
        Ok(())
    }

    fn add(&mut self, prefix: String, index: usize, rest: Rest) {
        self.lengths.insert(prefix.len());
        self.prefixes.entry(prefix).or_default().push((index, rest));
    }

    /// The routes of the most specific pattern that has this path.
    pub(super) fn best(&self, path: &str) -> &[usize] {
        self.best.at(path).map_or(&[], |found| found.value)
    }

    /// All routes that have this path, the most specific first: by what stands before the first
    /// parameter, then by the order of the configuration.
    pub(super) fn all(&self, path: &str) -> impl Iterator<Item = usize> {
        let other = other_form(path).and_then(|other| self.literals.get(&other));
        let literals = [self.literals.get(path), other];
        let lengths = self.lengths.range(..=path.len()).rev();
        let prefixes = lengths.filter_map(|length| path.get(..*length));
        let found = prefixes.filter_map(|prefix| Some((prefix, self.prefixes.get(prefix)?)));
        let patterns = found.flat_map(move |(prefix, routes)| {
            let fits = move |rest: &Rest| match rest {
                Rest::Nothing => path.len() == prefix.len(),
                Rest::Anything => true,
                Rest::Pattern(alone) => alone.at(path).is_ok(),
            };
            let routes = routes.iter().filter(move |(_, rest)| fits(rest));
            routes.map(|(index, _)| *index)
        });
        literals
            .into_iter()
            .flatten()
            .flatten()
            .copied()
            .chain(patterns)
    }
}

/// The literal beginning of a pattern, and the rest. Doubled braces stand for themselves.
fn split(pattern: &str) -> (String, &str) {
    let mut literal = String::with_capacity(pattern.len());
    let mut rest = pattern;
    while let Some(at) = rest.find(['{', '}']) {
        literal.push_str(&rest[..at]);
        rest = &rest[at..];
        if !(rest.starts_with("{{") || rest.starts_with("}}")) {
            return (literal, rest);
        }
        literal.push_str(&rest[..1]);
        rest = &rest[2..];
    }
    literal.push_str(rest);
    (literal, "")
}

/// The folder of a catch-all, with its slash.
fn below(pattern: &str) -> Option<String> {
    catch_all(pattern).map(|at| pattern[..at].to_owned())
}

/// The folder of a catch-all, without its slash.
fn parent(pattern: &str) -> Option<String> {
    let parent = pattern[..catch_all(pattern)?].strip_suffix('/')?;
    (!parent.is_empty()).then(|| parent.to_owned())
}

/// The other form of a pattern that is no catch-all.
fn toggled(pattern: &str) -> Option<String> {
    match catch_all(pattern) {
        Some(_) => None,
        None => other_form(pattern),
    }
}

/// The path with a slash at its end, or without. Several slashes, where they are not merged, are no
/// such end.
fn other_form(path: &str) -> Option<String> {
    match path.strip_suffix('/') {
        None => Some(format!("{path}/")),
        Some(bare) if bare.is_empty() || bare.ends_with('/') => None,
        Some(bare) => Some(bare.to_owned()),
    }
}

/// Where a catch-all begins.
fn catch_all(pattern: &str) -> Option<usize> {
    let at = pattern.rfind("/{*")? + 1;
    pattern.ends_with('}').then_some(at)
}
