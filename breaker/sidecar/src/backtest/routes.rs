//! Numbers for the names of routes.

use std::collections::HashMap;
use std::sync::Arc;

/// The routes of a trace, in the order of their first requests.
#[derive(Debug)]
pub(super) struct Routes {
    most: usize,
    indices: HashMap<Arc<str>, u32>,
    names: Vec<Arc<str>>,
}

impl Routes {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            indices: HashMap::new(),
            names: Vec::new(),
        }
    }

    /// The number of the route called `name`. If there are too many routes, all further ones share
    /// one, called [`OTHER`].
    pub(super) fn index(&mut self, name: &str) -> u32 {
        if let Some(index) = self.indices.get(name) {
            return *index;
        }
        if self.names.len() < self.most {
            return self.add(name);
        }
        match self.indices.get(OTHER) {
            Some(other) => *other,
            None => self.add(OTHER),
        }
    }

    pub(super) fn name(&self, index: u32) -> &Arc<str> {
        &self.names[index as usize]
    }

    pub(super) const fn len(&self) -> usize {
        self.names.len()
    }

    fn add(&mut self, name: &str) -> u32 {
        let name = Arc::<str>::from(name);
        let index = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        self.indices.insert(name.clone(), index);
        self.names.push(name);
        index
    }
}

/// The route for all further routes.
pub(super) const OTHER: &str = "other";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_beyond_the_most_are_one() {
        let mut routes = Routes::new(2);
        let indices = ["a", "b", "c", "a", "d"].map(|name| routes.index(name));
        assert_eq!(indices, [0, 1, 2, 0, 2]);
        assert_eq!(&**routes.name(2), OTHER);
        assert_eq!(routes.len(), 3);
    }
}
