//! The modules of a crate, parsed.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use quote::ToTokens as _;
use syn::{Attribute, Item, Visibility};

/// A module, without what is there for tests only.
#[derive(Default)]
pub(super) struct Module {
    pub(super) items: Vec<Item>,
    pub(super) modules: BTreeMap<String, (Visibility, Self)>,
}

impl Module {
    /// The crate or module whose file this is.
    pub(super) fn load(file: &Path) -> Self {
        let text = fs::read_to_string(file).unwrap();
        let parsed = syn::parse_file(&text).unwrap();
        let stem = file.file_stem().unwrap();
        let folder = match stem.to_str() {
            Some("lib") => file.parent().unwrap().to_path_buf(),
            _ => file.with_file_name(stem),
        };
        Self::of(parsed.items, Some(&folder))
    }

    /// A crate in one file.
    pub(super) fn parse(text: &str) -> Self {
        Self::of(syn::parse_file(text).unwrap().items, None)
    }

    fn of(items: Vec<Item>, folder: Option<&Path>) -> Self {
        let mut module = Self::default();
        for item in items {
            match item {
                Item::Mod(inner) if !is_for_tests(&inner.attrs) => {
                    let name = inner.ident.to_string();
                    let folder = folder.map(|folder| folder.join(&name));
                    let parsed = match inner.content {
                        Some((_, items)) => Self::of(items, folder.as_deref()),
                        None => Self::load(&folder.unwrap().with_extension("rs")),
                    };
                    module.modules.insert(name, (inner.vis, parsed));
                }
                Item::Macro(inner) if inner.mac.path.is_ident("pin_project") => {
                    let items = syn::parse2::<syn::File>(inner.mac.tokens).unwrap().items;
                    module.items.extend(items);
                }
                Item::Mod(_) => {}
                item => module.items.push(item),
            }
        }
        module
    }

    /// The module at `path` below this one.
    pub(super) fn at(&self, path: &[String]) -> Option<&Self> {
        let Some((first, rest)) = path.split_first() else {
            return Some(self);
        };
        self.modules.get(first)?.1.at(rest)
    }

    /// All implementations, of this module and those below it.
    pub(super) fn implementations(&self) -> Vec<&syn::ItemImpl> {
        let own = self.items.iter().filter_map(|item| match item {
            Item::Impl(found) if !is_for_tests(&found.attrs) => Some(found),
            _ => None,
        });
        let below = self.modules.values();
        own.chain(below.flat_map(|(_, module)| module.implementations()))
            .collect()
    }
}

/// Whether there is a `#[cfg(test)]`, or one for documentation.
fn is_for_tests(attributes: &[Attribute]) -> bool {
    let texts = attributes
        .iter()
        .map(|attribute| attribute.to_token_stream().to_string().replace(' ', ""));
    texts
        .into_iter()
        .any(|text| ["#[cfg(test)]", "#[cfg(doctest)]", "#[cfg(doc)]"].contains(&text.as_str()))
}
