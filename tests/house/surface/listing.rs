//! What of a crate is public, as text: declarations without bodies, private fields and comments.

use std::collections::BTreeMap;

use quote::ToTokens as _;
use syn::{
    Attribute, Fields, ImplItem, Item, ItemImpl, TraitItem, Type, UseTree, Visibility, parse_quote,
};

use super::modules::Module;

/// A crate's public items by their paths, sorted.
pub(super) fn listing(name: &str, root: &Module) -> String {
    let mut listing = Listing {
        root,
        implementations: root.implementations(),
        found: BTreeMap::new(),
    };
    listing.walk(root, &[], name);
    let found = listing.found.into_iter();
    let texts = found.map(|(path, text)| format!("// {path}\n{text}"));
    texts.collect::<Vec<_>>().join("\n")
}

struct Listing<'a> {
    root: &'a Module,
    implementations: Vec<&'a ItemImpl>,
    found: BTreeMap<String, String>,
}

impl Listing<'_> {
    /// Lists what `module` makes public, whose own path is `at`, under the name of `public`.
    fn walk(&mut self, module: &Module, at: &[String], public: &str) {
        for item in &module.items {
            if let Item::Use(found) = item {
                if is_public(&found.vis) {
                    self.follow(&found.tree, at, Vec::new(), public);
                }
            } else if let Some(name) = public_name(item) {
                self.list(item, &format!("{public}::{name}"));
            }
        }
        for (name, (visibility, inner)) in &module.modules {
            if is_public(visibility) {
                let at = [at, std::slice::from_ref(name)].concat();
                self.walk(inner, &at, &format!("{public}::{name}"));
            }
        }
    }

    /// Lists what a `pub use` names, in the module at `at`.
    fn follow(&mut self, tree: &UseTree, at: &[String], mut path: Vec<String>, public: &str) {
        let (name, renamed) = match tree {
            UseTree::Path(part) => {
                path.push(part.ident.to_string());
                return self.follow(&part.tree, at, path, public);
            }
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.follow(tree, at, path.clone(), public);
                }
                return;
            }
            UseTree::Name(name) => (name.ident.to_string(), name.ident.to_string()),
            UseTree::Rename(rename) => (rename.ident.to_string(), rename.rename.to_string()),
            UseTree::Glob(_) => ("*".to_owned(), "*".to_owned()),
        };
        let public = format!("{public}::{renamed}");
        match self.find(at, &path, &name) {
            Some(item) => self.list(&item, &public),
            None => {
                let path = [path.as_slice(), &[name]].concat().join("::");
                self.found.insert(public, format!("pub use {path};\n"));
            }
        }
    }

    /// The item that `path::name` is in the module at `at`; `None` if it is another crate's.
    fn find(&self, at: &[String], path: &[String], name: &str) -> Option<Item> {
        let mut from = at.to_vec();
        let mut path = path.iter().peekable();
        while let Some(part) = path.next_if(|part| ["crate", "self", "super"].contains(&&***part)) {
            match part.as_str() {
                "crate" => from.clear(),
                "super" => drop(from.pop()),
                _ => {}
            }
        }
        let at = [from, path.cloned().collect()].concat();
        let module = self.root.at(&at)?;
        let own = module
            .items
            .iter()
            .find(|item| name_of(item).is_some_and(|known| known == name));
        if let Some(item) = own {
            return Some(item.clone());
        }
        // It may be passed on from further in.
        let uses = module.items.iter().filter_map(|item| match item {
            Item::Use(found) => Some(&found.tree),
            _ => None,
        });
        uses.flat_map(|tree| leaves(tree, Vec::new()))
            // A crate that is passed on by its own name is no item of this one.
            .filter(|(path, _, renamed)| renamed == name && !path.is_empty())
            .find_map(|(path, name, _)| self.find(&at, &path, &name))
    }

    fn list(&mut self, item: &Item, public: &str) {
        let mut items = vec![declaration(item)];
        let name = name_of(item).unwrap_or_default();
        let is_about = |found: &&&ItemImpl| match item {
            Item::Trait(_) => {
                let of = found
                    .trait_
                    .as_ref()
                    .and_then(|(_, path, _)| path.segments.last());
                of.is_some_and(|segment| segment.ident == name)
            }
            _ => self_type(found).is_some_and(|of| of == name),
        };
        let about = self.implementations.iter().filter(is_about);
        let mut about: Vec<_> = about.filter_map(|found| implementation(found)).collect();
        about.sort_by_key(|found| found.to_token_stream().to_string());
        items.extend(about.into_iter().map(Item::Impl));
        let text = prettyplease::unparse(&syn::File {
            shebang: None,
            attrs: Vec::new(),
            items,
        });
        self.found.insert(public.to_owned(), text);
    }
}

/// The names at the ends of a `use`: the path before it, the name, and what it is called.
fn leaves(tree: &UseTree, mut path: Vec<String>) -> Vec<(Vec<String>, String, String)> {
    match tree {
        UseTree::Path(part) => {
            path.push(part.ident.to_string());
            leaves(&part.tree, path)
        }
        UseTree::Group(group) => {
            let trees = group.items.iter();
            trees.flat_map(|tree| leaves(tree, path.clone())).collect()
        }
        UseTree::Name(name) => vec![(path, name.ident.to_string(), name.ident.to_string())],
        UseTree::Rename(name) => vec![(path, name.ident.to_string(), name.rename.to_string())],
        UseTree::Glob(_) => Vec::new(),
    }
}

const fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

/// The last name of the type that an implementation is of.
fn self_type(found: &ItemImpl) -> Option<String> {
    let Type::Path(of) = &*found.self_ty else {
        return None;
    };
    Some(of.path.segments.last()?.ident.to_string())
}

fn name_of(item: &Item) -> Option<String> {
    let ident = match item {
        Item::Const(found) => &found.ident,
        Item::Enum(found) => &found.ident,
        Item::Fn(found) => &found.sig.ident,
        Item::Static(found) => &found.ident,
        Item::Struct(found) => &found.ident,
        Item::Trait(found) => &found.ident,
        Item::Type(found) => &found.ident,
        _ => return None,
    };
    Some(ident.to_string())
}

fn public_name(item: &Item) -> Option<String> {
    let visibility = match item {
        Item::Const(found) => &found.vis,
        Item::Enum(found) => &found.vis,
        Item::Fn(found) => &found.vis,
        Item::Static(found) => &found.vis,
        Item::Struct(found) => &found.vis,
        Item::Trait(found) => &found.vis,
        Item::Type(found) => &found.vis,
        _ => return None,
    };
    name_of(item).filter(|_| is_public(visibility))
}

/// What is said of an item before its body.
fn declaration(item: &Item) -> Item {
    let mut item = item.clone();
    match &mut item {
        Item::Const(found) => {
            keep_what_matters(&mut found.attrs);
            found.expr = parse_quote!(_);
        }
        Item::Enum(found) => {
            keep_what_matters(&mut found.attrs);
            for variant in &mut found.variants {
                keep_what_matters(&mut variant.attrs);
                for field in &mut variant.fields {
                    keep_what_matters(&mut field.attrs);
                }
            }
        }
        Item::Fn(found) => {
            keep_what_matters(&mut found.attrs);
            found.block = parse_quote!({});
        }
        Item::Static(found) => {
            keep_what_matters(&mut found.attrs);
            found.expr = parse_quote!(_);
        }
        Item::Struct(found) => {
            keep_what_matters(&mut found.attrs);
            hide_private(&mut found.fields);
        }
        Item::Trait(found) => {
            keep_what_matters(&mut found.attrs);
            for inner in &mut found.items {
                match inner {
                    TraitItem::Fn(inner) => {
                        keep_what_matters(&mut inner.attrs);
                        inner.default = inner.default.as_ref().map(|_| parse_quote!({}));
                    }
                    TraitItem::Const(inner) => keep_what_matters(&mut inner.attrs),
                    TraitItem::Type(inner) => keep_what_matters(&mut inner.attrs),
                    _ => {}
                }
            }
        }
        Item::Type(found) => keep_what_matters(&mut found.attrs),
        _ => {}
    }
    item
}

fn hide_private(fields: &mut Fields) {
    match fields {
        Fields::Named(fields) => {
            let all = fields.named.len();
            let public = std::mem::take(&mut fields.named).into_iter();
            fields.named = public.filter(|field| is_public(&field.vis)).collect();
            if fields.named.len() < all {
                let hidden: syn::FieldsNamed = parse_quote!({ _private: _ });
                fields.named.extend(hidden.named);
            }
        }
        Fields::Unnamed(fields) => {
            for field in &mut fields.unnamed {
                if !is_public(&field.vis) {
                    field.ty = parse_quote!(_);
                    field.vis = Visibility::Inherited;
                }
            }
        }
        Fields::Unit => {}
    }
    for field in fields {
        keep_what_matters(&mut field.attrs);
    }
}

/// What an implementation adds to the surface; `None` if nothing.
fn implementation(found: &ItemImpl) -> Option<ItemImpl> {
    let mut found = found.clone();
    keep_what_matters(&mut found.attrs);
    let of_trait = found.trait_.is_some();
    found.items.retain(|item| match item {
        ImplItem::Type(_) => true,
        ImplItem::Const(inner) => is_public(&inner.vis),
        ImplItem::Fn(inner) => is_public(&inner.vis),
        _ => false,
    });
    for item in &mut found.items {
        match item {
            ImplItem::Type(inner) => keep_what_matters(&mut inner.attrs),
            ImplItem::Const(inner) => {
                keep_what_matters(&mut inner.attrs);
                inner.expr = parse_quote!(_);
            }
            ImplItem::Fn(inner) => {
                keep_what_matters(&mut inner.attrs);
                inner.block = parse_quote!({});
            }
            _ => {}
        }
    }
    (of_trait || !found.items.is_empty()).then_some(found)
}

/// Keeps the attributes by which a user's program may break.
fn keep_what_matters(attributes: &mut Vec<Attribute>) {
    attributes.retain(|attribute| {
        let names = ["cfg", "derive", "must_use", "non_exhaustive"];
        names.iter().any(|name| attribute.path().is_ident(name))
    });
}
