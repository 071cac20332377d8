//! Where a configuration comes from: what a reload reads again, compares and watches.

use std::collections::BTreeSet;
use std::fs;
use std::hash::Hasher;
use std::io;
use std::path::{Path, PathBuf};

use breaker_tower::breaker_core::InvalidValue;
use siphasher::sip128::{Hasher128, SipHasher13};

use super::policies::files;
use super::token::Token;
use crate::sandbox::Mode;
use crate::sockets::ListenAddress;

/// The texts that a configuration was made of, and what was set beside them.
#[derive(Clone, Debug, Default)]
pub(super) struct ConfigSource {
    pub(super) file: Option<PathBuf>,
    pub(super) listen: Option<ListenAddress>,
    pub(super) admin: Option<ListenAddress>,
    pub(super) state: Option<PathBuf>,
    pub(super) sandbox: Option<Mode>,
    pub(super) token: Option<Token>,
    /// A file beside the configuration that the token is read from again.
    pub(super) token_file: Option<PathBuf>,
    /// The file that has the token in force, wherever it is named.
    pub(super) secret: Option<PathBuf>,
    pub(super) hash: String,
    /// Files and directories of policies, in the order in which they were read.
    policies: Vec<PathBuf>,
    texts: Texts,
}

/// A hash of texts. It tells them apart, and is no proof against somebody who wants two to be
/// alike.
#[derive(Clone, Debug, Default)]
struct Texts(SipHasher13);

// === impl ConfigSource ===

impl ConfigSource {
    /// Of a configuration with this text.
    pub(super) fn of(text: &str) -> Self {
        let mut origin = Self::default();
        origin.texts.add(text.as_bytes());
        origin
    }

    /// Notes a file or directory that policies are read from.
    pub(super) fn watch(&mut self, path: &Path) {
        self.policies.push(path.to_owned());
    }

    /// Notes the text of a policy's file.
    pub(super) fn read(&mut self, file: &Path, text: &str) {
        self.texts.add_file(file, text.as_bytes());
    }

    /// The same, when all is read.
    pub(super) fn finished(mut self) -> Self {
        self.hash = self.texts.hash();
        self
    }

    /// Tells apart what is read now from what was read before: the texts, and the token's file. It
    /// is of a secret, so nobody is shown it.
    pub(super) fn mark_now(&self) -> String {
        let token = self.secret.as_deref().map(Token::read);
        mark(self.hash_now(), token.as_ref())
    }

    /// The same of what was read, when that was `token`.
    pub(super) fn mark(&self, token: Option<&Token>) -> String {
        let token = self.secret.as_ref().and(token).cloned().map(Ok);
        mark(self.hash.clone(), token.as_ref())
    }

    /// The hash of the texts as they are now.
    pub(super) fn hash_now(&self) -> String {
        let mut texts = Texts::default();
        if let Some(file) = &self.file {
            match fs::read(file) {
                Ok(text) => texts.add(&text),
                Err(error) => texts.add_error(&error),
            }
        }
        for path in &self.policies {
            match files(path) {
                Ok(files) => {
                    for file in files {
                        match fs::read(&file) {
                            Ok(text) => texts.add_file(&file, &text),
                            Err(error) => texts.add_error(&error),
                        }
                    }
                }
                Err(error) => texts.add_error(&error),
            }
        }
        texts.hash()
    }

    /// The files and directories that are read again.
    pub(super) fn files(&self) -> impl Iterator<Item = PathBuf> {
        let files = self.file.iter().chain(&self.secret).chain(&self.policies);
        files.cloned()
    }

    /// The directories that the files are in, and the `others`, those of policies, and those of
    /// links on the way to them.
    pub(super) fn folders(&self, others: impl Iterator<Item = PathBuf>) -> BTreeSet<PathBuf> {
        let mut folders = BTreeSet::new();
        for path in self.files().chain(others) {
            add_folders(&path, LINKS, &mut folders);
            if path.is_dir() {
                folders.insert(path);
            }
        }
        folders
    }
}

/// A mark of texts with this hash, and of what a token's file has in it.
fn mark(hash: String, token: Option<&Result<Token, InvalidValue>>) -> String {
    let mut texts = Texts::default();
    match token {
        None => {}
        Some(Ok(token)) => texts.add(token.as_bytes()),
        Some(Err(InvalidValue(rule))) => texts.add(rule.as_bytes()),
    }
    hash + &texts.hash()
}

/// Adds the directory of `path`, and those of the links that it goes by, of at most so many one
/// after the other.
fn add_folders(path: &Path, links: u32, folders: &mut BTreeSet<PathBuf>) {
    folders.insert(parent(path).to_owned());
    for ancestor in path.ancestors() {
        let Ok(target) = fs::read_link(ancestor) else {
            continue;
        };
        folders.insert(parent(ancestor).to_owned());
        if let (Some(links), Ok(rest)) = (links.checked_sub(1), path.strip_prefix(ancestor)) {
            let target = parent(ancestor).join(target);
            // Joined with nothing, a path would end with a slash.
            let target = if rest.as_os_str().is_empty() {
                target
            } else {
                target.join(rest)
            };
            add_folders(&target, links, folders);
        }
    }
}

/// The directory of a path; a name alone lies in the current one.
fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) => Path::new("."),
        None => path,
    }
}

// === impl Texts ===

impl Texts {
    /// With its length, so that the end of one text is not taken for the beginning of the next.
    fn add(&mut self, bytes: &[u8]) {
        self.0.write_usize(bytes.len());
        self.0.write(bytes);
    }

    fn add_file(&mut self, file: &Path, text: &[u8]) {
        self.add(file.as_os_str().as_encoded_bytes());
        self.add(text);
    }

    fn add_error(&mut self, error: &io::Error) {
        self.add(error.to_string().as_bytes());
    }

    fn hash(&self) -> String {
        format!("{:032x}", u128::from(self.0.finish128()))
    }
}

/// Links that lead to links: more than anybody makes, and few enough for links that lead in
/// circles.
const LINKS: u32 = 8;
