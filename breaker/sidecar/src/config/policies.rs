//! `policies`: the built-in profiles, and those of files, which replace a built-in of the same
//! name.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use breaker_tower::Policy;
use breaker_tower::breaker_core::InvalidField;
use breaker_tower::breaker_core::policy::yaml::{self, Document, nearest};
use serde::Deserialize;

use super::error::ConfigError;
use super::origin::ConfigSource;
use super::problem::{Findings, unknown};
use super::raw::RawPolicyChoice;
use crate::sandbox::explained;

/// Policies by name: the built-in ones, and those of files.
#[derive(Clone, Debug, Default)]
pub struct Policies {
    loaded: BTreeMap<String, Loaded>,
    /// Names of files that are there and break a rule, which is told of them; not also of who names
    /// them.
    broken: BTreeSet<String>,
    /// Old names of fields in files.
    renamed: Vec<yaml::Error>,
    used: Used,
}

/// Names that a configuration refers to.
#[derive(Clone, Debug, Default)]
struct Used(Arc<Mutex<BTreeSet<String>>>);

#[derive(Clone, Debug)]
struct Loaded {
    policy: Policy,
    file: PathBuf,
}

impl Policies {
    /// Reads the files and directories `paths`, which are relative to `folder`. What is wrong goes
    /// to `findings`; the rest is there.
    pub(super) fn load(
        paths: &[String],
        folder: &Path,
        origin: &mut ConfigSource,
        findings: &mut Findings<'_>,
    ) -> Self {
        let mut policies = Self::default();
        for (index, path) in paths.iter().enumerate() {
            let field = format!("policies[{index}]");
            // As components, so that errors show a/b.yaml and not a/./b.yaml.
            let path: PathBuf = folder.join(path).components().collect();
            origin.watch(&path);
            match files(&path) {
                Ok(files) => {
                    for file in files {
                        policies.read(file, &field, origin, findings);
                    }
                }
                Err(error) => findings.add(&field, unreadable(&explained(&path, error))),
            }
        }
        policies
    }

    fn read(
        &mut self,
        file: PathBuf,
        field: &str,
        origin: &mut ConfigSource,
        findings: &mut Findings<'_>,
    ) {
        let text = match fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) => {
                let rule = unreadable(&explained(&file, error));
                let rule = format!("{} {rule}", file.display());
                return findings.add(field, rule);
            }
        };
        origin.read(&file, &text);
        let shown = file.display().to_string();
        if let Ok(document) = super::document(&text, Some(&shown)) {
            self.renamed.extend(yaml::renamed(&document, ""));
        }
        match self.policy(&text, &shown) {
            Err(error) => {
                self.broken.extend(name_of(&text, &file));
                for error in error.errors() {
                    findings.add_error(error.clone());
                }
            }
            Ok(policy) => match self.loaded.get(policy.name()) {
                Some(other) => {
                    let (name, other) = (policy.name(), other.file.display());
                    let rule = format!("{shown} and {other} have the same name: {name}");
                    findings.add(field, rule);
                }
                None => {
                    let name = policy.name().to_owned();
                    self.loaded.insert(name, Loaded { policy, file });
                }
            },
        }
    }

    fn policy(&self, text: &str, file: &str) -> Result<Policy, ConfigError> {
        let document = super::document(text, Some(file))?;
        Ok(yaml::read(&document, |base| self.find(base))?)
    }

    /// The policy called `name`.
    pub fn get(&self, name: &str) -> Option<Policy> {
        let loaded = self.loaded.get(name).map(|loaded| loaded.policy.clone());
        loaded.or_else(|| Policy::builtin(name))
    }

    /// The same while a configuration is checked: another one stands in for a broken one, with
    /// which nothing runs.
    pub(super) fn find(&self, name: &str) -> Option<Policy> {
        self.used.names().insert(name.to_owned());
        let broken = self.broken.contains(name);
        self.get(name).or_else(|| broken.then(Policy::adaptive))
    }

    /// Warnings about old names of fields in files.
    pub(super) fn renamed(&self) -> &[yaml::Error] {
        &self.renamed
    }

    /// Those of files that nothing refers to, each with its file.
    pub(super) fn unused(&self) -> Vec<(&str, &Path)> {
        let used = self.used.names();
        let loaded = self.loaded.iter();
        let unused = loaded.filter(|(name, _)| !used.contains(*name));
        unused
            .map(|(name, loaded)| (&**name, &*loaded.file))
            .collect()
    }

    /// The policy that a section called `name` chooses.
    pub(super) fn choose(
        &self,
        name: &str,
        choice: RawPolicyChoice,
    ) -> Result<Policy, InvalidField> {
        match choice {
            RawPolicyChoice::Named(policy) => self
                .find(&policy)
                .ok_or_else(|| InvalidField::new("policy", self.unknown(&policy))),
            RawPolicyChoice::Inline(policy) => policy
                .resolve(Some(name), |base| self.find(base))
                .map_err(|broken| {
                    InvalidField::new(format!("policy.{}", broken.field), broken.rule)
                }),
        }
    }

    /// That `name` must be another one.
    pub(crate) fn unknown(&self, name: &str) -> String {
        let names = self.names();
        let rule = unknown(name, &names, "a policy");
        match nearest(name, &names) {
            Some(_) => rule,
            None => format!("{rule}, or one of a file under policies"),
        }
    }

    /// All names, those of files first.
    pub fn names(&self) -> Vec<&str> {
        let loaded = self.loaded.keys().map(String::as_str);
        let builtin = Policy::BUILTIN.into_iter();
        let builtin = builtin.filter(|name| !self.loaded.contains_key(*name));
        loaded.chain(builtin).collect()
    }
}

impl Used {
    fn names(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The name that a policy's text says, or else its file's.
fn name_of(text: &str, file: &Path) -> Option<String> {
    #[derive(Deserialize)]
    struct Named {
        name: String,
    }
    let named = Document::new(text, None).and_then(|document| document.read::<Named>());
    let stem = || Some(file.file_stem()?.to_str()?.to_owned());
    named.map_or_else(|_| stem(), |named| Some(named.name))
}

/// The file itself, or the policy files of a directory in the order of their names.
pub(super) fn files(path: &Path) -> io::Result<Vec<PathBuf>> {
    if !fs::metadata(path)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path)? {
        let file = entry?.path();
        let extension = file.extension().and_then(|extension| extension.to_str());
        if matches!(extension, Some("yaml" | "yml")) {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

/// What keeps a file from being read, as a rule.
pub(super) fn unreadable(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "must exist".to_owned(),
        io::ErrorKind::InvalidData => "must be UTF-8 text".to_owned(),
        _ => format!("can't be read: {error}"),
    }
}
