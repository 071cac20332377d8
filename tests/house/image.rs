//! The build of the image gets all that Cargo reads.

use std::fs;

use super::root;

#[test]
fn each_crate_of_the_workspace_is_in_the_build_of_the_image() {
    let read = |file: &str| fs::read_to_string(root().join(file)).unwrap();
    let manifest = read("Cargo.toml");
    let members = manifest.split_once("\nmembers = [").unwrap().1;
    let members = members.split_once(']').unwrap().0.split('"');
    let members: Vec<_> = members.skip(1).step_by(2).collect();
    assert!(members.len() > 5, "{members:?}");
    let ignored = read(".dockerignore");
    let kept: Vec<_> = ignored
        .lines()
        .filter_map(|line| line.strip_prefix('!'))
        .collect();
    let is_kept = |member: &&&str| {
        let folder = member.split('/').next().unwrap();
        kept.contains(&folder)
    };
    let missing: Vec<_> = members.iter().filter(|member| !is_kept(member)).collect();
    assert!(missing.is_empty(), ".dockerignore hides {missing:?}");
}
