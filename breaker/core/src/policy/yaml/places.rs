//! Where each field of a YAML text stands.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned};

use super::expand::Reference;

/// The places of all fields, by path.
#[derive(Debug, Default)]
pub(super) struct Places {
    places: BTreeMap<String, Recorded>,
    references: Vec<Reference>,
}

#[derive(Debug)]
struct Recorded {
    key: Option<Position>,
    value: Position,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Null,
    Scalar,
    Container,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) line: usize,
    pub(super) column: usize,
}

/// A value of any shape, of which only the shape is kept.
pub(super) enum Node {
    Null,
    Scalar,
    /// A value that names a variable.
    Reference(String),
    List(Vec<Spanned<Self>>),
    Mapping(Vec<(Spanned<String>, Spanned<Self>)>),
}

// === impl Places ===

impl Places {
    pub(super) fn of(root: &Spanned<Node>) -> Self {
        let mut places = Self::default();
        places.add(String::new(), None, root);
        places
    }

    fn add(&mut self, path: String, key: Option<Position>, node: &Spanned<Node>) {
        let kind = match &node.value {
            Node::Null => Kind::Null,
            Node::Scalar => Kind::Scalar,
            Node::Reference(value) => {
                self.refer(&path, value, node.defined);
                Kind::Scalar
            }
            Node::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.add(format!("{path}[{index}]"), None, item);
                }
                Kind::Container
            }
            Node::Mapping(entries) => {
                for (key, value) in entries {
                    let at = Position::from(key.referenced);
                    self.add(join(&path, &key.value), Some(at), value);
                }
                Kind::Container
            }
        };
        let value = Position::from(node.referenced);
        self.places.insert(path, Recorded { key, value, kind });
    }

    fn refer(&mut self, path: &str, value: &str, at: Location) {
        let byte = |n: Option<u64>| n.and_then(|n| usize::try_from(n).ok());
        let span = at.span();
        if let (Some(start), Some(len)) = (byte(span.byte_offset()), byte(span.byte_len())) {
            self.references.push(Reference {
                path: path.to_owned(),
                value: value.to_owned(),
                bytes: start..start + len,
            });
        }
    }

    /// The values that name variables.
    pub(super) fn references(&self) -> &[Reference] {
        &self.references
    }

    pub(super) fn has(&self, path: &str) -> bool {
        self.places.contains_key(path)
    }

    /// The position of the field at `path`, or of the nearest field around it.
    pub(super) fn find(&self, path: &str) -> Position {
        let mut path = path;
        loop {
            match self.places.get(path) {
                // The value of a block mapping begins at its first field, which is not what the
                // error is about.
                Some(place) if place.kind == Kind::Container => {
                    return place.key.unwrap_or(place.value);
                }
                Some(place) => return place.value,
                None if path.is_empty() => return Position { line: 1, column: 1 },
                None => path = parent(path),
            }
        }
    }

    /// Where the value of the field at `path` begins.
    pub(super) fn value(&self, path: &str) -> Option<Position> {
        self.places.get(path).map(|place| place.value)
    }

    /// The path of the value that begins at `position`.
    pub(super) fn at_value(&self, position: Position) -> Option<&str> {
        let mut places = self.places.iter();
        let found = places.find(|(_, place)| place.value == position);
        found.map(|(path, _)| path.as_str())
    }

    /// The path of the field whose name stands at `position`.
    pub(super) fn at_key(&self, position: Position) -> Option<&str> {
        let mut places = self.places.iter();
        let found = places.find(|(_, place)| place.key == Some(position));
        found.map(|(path, _)| path.as_str())
    }

    /// The path of the first field that has no value.
    pub(super) fn null(&self) -> Option<&str> {
        let nulls = self
            .places
            .iter()
            .filter(|(_, place)| place.kind == Kind::Null);
        let first = nulls.min_by_key(|(_, place)| (place.value.line, place.value.column));
        first.map(|(path, _)| path.as_str())
    }
}

/// The path of the field `name` in the mapping at `path`.
pub(super) fn join(path: &str, name: &str) -> String {
    let dot = if path.is_empty() { "" } else { "." };
    format!("{path}{dot}{name}")
}

/// The path of what is around the field at `path`.
pub(super) fn parent(path: &str) -> &str {
    path.rfind(['.', '[']).map_or("", |end| &path[..end])
}

// === impl Position ===

impl Position {
    /// What follows a text.
    pub(super) fn after(text: &str) -> Self {
        let line = text.rsplit('\n').next().unwrap_or_default();
        Self {
            line: text.matches('\n').count() + 1,
            column: line.chars().count() + 1,
        }
    }
}

impl From<Location> for Position {
    fn from(location: Location) -> Self {
        let number = |n: u64| usize::try_from(n).unwrap_or(usize::MAX).max(1);
        Self {
            line: number(location.line()),
            column: number(location.column()),
        }
    }
}

// === impl Node ===

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyNode)
    }
}

struct AnyNode;

impl<'de> Visitor<'de> for AnyNode {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_i128<E: Error>(self, _: i128) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_u128<E: Error>(self, _: u128) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Node, E> {
        if text.contains("${") {
            return Ok(Node::Reference(text.to_owned()));
        }
        Ok(Node::Scalar)
    }

    fn visit_bytes<E: Error>(self, _: &[u8]) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_unit<E: Error>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Node::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut mapping: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = mapping.next_entry()? {
            entries.push(entry);
        }
        Ok(Node::Mapping(entries))
    }
}
