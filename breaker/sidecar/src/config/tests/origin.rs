use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;

use super::*;

const TEXT: &str = "policies: [policies]\nupstreams: { app: { endpoints: ['http://a'] } }\nroutes: [{ name: all, upstream: app, policy: mine }]\n";

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("policies")).unwrap();
    fs::write(
        folder.path().join("policies/mine.yaml"),
        "name: mine\nbase: sensitive\n",
    )
    .unwrap();
    fs::write(folder.path().join("breaker.yaml"), TEXT).unwrap();
    folder
}

#[test]
fn the_hash_is_of_all_texts() {
    let folder = folder();
    let config = Config::load(&folder.path().join("breaker.yaml")).unwrap();
    assert_eq!(config.hash().len(), 32);
    assert_eq!(config.hash_now(), config.hash());
    assert_eq!(config.load_again().unwrap().hash(), config.hash());
    let mut hashes = vec![config.hash().to_owned()];
    for (file, text) in [
        ("policies/mine.yaml", "name: mine\nbase: conservative\n"),
        ("policies/other.yaml", "name: other\nbase: conservative\n"),
        ("breaker.yaml", &format!("{TEXT}# more\n")),
    ] {
        fs::write(folder.path().join(file), text).unwrap();
        let hash = config.hash_now();
        assert_eq!(config.load_again().unwrap().hash(), hash, "{file}");
        assert!(!hashes.contains(&hash), "{file}");
        hashes.push(hash);
    }
    fs::remove_file(folder.path().join("breaker.yaml")).unwrap();
    assert!(!hashes.contains(&config.hash_now()));
}

#[test]
fn what_was_set_beside_the_file_stands_when_it_is_loaded_again() {
    let folder = folder();
    let config = Config::load(&folder.path().join("breaker.yaml"))
        .unwrap()
        .with_listen("127.0.0.1:1".parse().unwrap())
        .with_admin("127.0.0.1:2".parse().unwrap())
        .with_state("state".into());
    let again = config.load_again().unwrap();
    assert_eq!(
        (again.listen(), again.admin()),
        (config.listen(), config.admin())
    );
    assert_eq!(again.load_again().unwrap().listen(), config.listen());
    assert_eq!(again.state(), config.state());
    let [upstream, same] = [&config, &again].map(|config| config.routes()[0].upstream().unwrap());
    assert!(Arc::ptr_eq(upstream, same), "its connections stay");
}

#[test]
fn the_folders_are_those_of_the_files_and_of_the_links_to_them() {
    let folder = folder();
    let root = folder.path();
    fs::create_dir(root.join("links")).unwrap();
    symlink("../current/breaker.yaml", root.join("links/breaker.yaml")).unwrap();
    fs::create_dir(root.join("v1")).unwrap();
    symlink("v1", root.join("current")).unwrap();
    fs::rename(root.join("breaker.yaml"), root.join("v1/breaker.yaml")).unwrap();
    fs::rename(root.join("policies"), root.join("links/policies")).unwrap();
    let config = Config::load(&root.join("links/breaker.yaml")).unwrap();
    let folders: BTreeSet<_> = config
        .folders()
        .into_iter()
        .filter_map(|folder| folder.canonicalize().ok())
        .collect();
    for wanted in ["links", "links/policies", "v1", ""] {
        let wanted = root.join(wanted).canonicalize().unwrap();
        assert!(folders.contains(&wanted), "{wanted:?} in {folders:?}");
    }
}

#[test]
fn who_names_a_policy_whose_file_is_broken_is_not_told_that_there_is_none() {
    let folder = folder();
    for text in [
        "name: mine\nbase: sensitive\nnope: 1\n",
        "name: mine\ntrip: []\n",
        "name: [\n",
    ] {
        fs::write(folder.path().join("policies/mine.yaml"), text).unwrap();
        let error = Config::load(&folder.path().join("breaker.yaml")).unwrap_err();
        let [only] = error.errors() else {
            panic!("one error: {error}");
        };
        let file = only.file.as_deref().unwrap_or_default();
        assert!(file.ends_with("mine.yaml"), "{error}");
    }
}
