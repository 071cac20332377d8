//! The public surface of the libraries: what a user's program may name.
//!
//! It is listed in files that are checked in, so that a change of it is seen in review.

mod listing;
mod modules;

use std::env;
use std::fs;

use self::listing::listing;
use self::modules::Module;
use super::root;

const CRATES: [(&str, &str); 3] = [
    ("core", "breaker_core"),
    ("otlp", "breaker_otlp"),
    ("tower", "breaker_tower"),
];

/// `UPDATE_DOCS=1 cargo nextest run -p breaker-tests --test house surface` writes it anew.
#[test]
fn the_public_surface_is_the_one_that_is_checked_in() {
    for (folder, name) in CRATES {
        let lib = root().join("breaker").join(folder).join("src/lib.rs");
        let made = listing(name, &Module::load(&lib));
        let file = root().join(format!("tests/house/surface/{folder}.txt"));
        if env::var_os("UPDATE_DOCS").is_some_and(|value| value == "1") {
            fs::write(&file, made).unwrap();
            continue;
        }
        let known = fs::read_to_string(&file).unwrap_or_default();
        let changed: Vec<_> = lines_of_one(&known, &made, '-')
            .chain(lines_of_one(&made, &known, '+'))
            .collect();
        assert!(
            known == made,
            "the surface of {name} is not that of {}; UPDATE_DOCS=1 writes it:\n{}",
            file.display(),
            changed.join("\n")
        );
    }
}

/// The lines of `one` that `other` does not have, marked.
fn lines_of_one<'a>(one: &'a str, other: &'a str, mark: char) -> impl Iterator<Item = String> + 'a {
    let lacks = move |line: &&str| !other.lines().any(|known| known == *line);
    one.lines()
        .filter(lacks)
        .map(move |line| format!("{mark} {line}"))
}

#[test]
fn what_is_private_is_not_listed_and_what_is_named_elsewhere_is() {
    let source = r"
        mod inner {
            pub struct Seen { pub field: u8, hidden: u8 }
            pub struct Unseen;
            impl Seen {
                /// Said elsewhere.
                #[must_use]
                pub const fn get(&self) -> u8 { self.field }
                pub(crate) fn own(&self) {}
            }
            impl Clone for Seen { fn clone(&self) -> Self { todo!() } }
            pin_project! { pub struct Pinned<F> { #[pin] future: F } }
        }
        #[cfg(test)]
        pub mod tests {}
        pub use inner::{Pinned, Seen as Known};
        pub use other::Thing;
    ";
    let listed = listing("lib", &Module::parse(source));
    assert_eq!(
        listed,
        "// lib::Known\n\
         pub struct Seen {\n    pub field: u8,\n    _private: _,\n}\n\
         impl Clone for Seen {}\n\
         impl Seen {\n    #[must_use]\n    pub const fn get(&self) -> u8 {}\n}\n\
         \n\
         // lib::Pinned\n\
         pub struct Pinned<F> {\n    _private: _,\n}\n\
         \n\
         // lib::Thing\n\
         pub use other::Thing;\n"
    );
}
