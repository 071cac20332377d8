//! Fields that had another name before. This version reads the old names too, and says so.

use super::{Document, Error};

/// A field that has a new name.
struct Renamed {
    /// The name before, which is still read.
    old: &'static str,
    /// The name now.
    new: &'static str,
    /// What else has changed: empty, or words that follow the new name.
    values: &'static str,
}

/// Those of policies, and of configuration files that have policies in them.
const RENAMED: [Renamed; 2] = [
    Renamed {
        old: "budget",
        new: "false_alarm_budget",
        values: " (30d for conservative, 3d for sensitive)",
    },
    Renamed {
        old: "quiet",
        new: "silence_timeout",
        values: "",
    },
];

/// Warnings about the fields of a policy or a feed that have their old names. `section` is the path
/// of the policy or the feed, and empty for a policy file.
pub fn renamed(document: &Document<'_>, section: &str) -> Vec<Error> {
    let dot = if section.is_empty() { "" } else { "." };
    let warning = |renamed: &Renamed| {
        let Renamed { old, new, values } = renamed;
        let field = format!("{section}{dot}{old}");
        let text = || document.error(&field, format!("is called {new} now{values}"));
        document.has(&field).then(text)
    };
    RENAMED.iter().filter_map(warning).collect()
}

/// These names of fields without old ones.
pub(super) fn without_old_names<'a>(names: &[&'a str]) -> Vec<&'a str> {
    let is_old = |name: &str| {
        let mut renamed = RENAMED.iter();
        renamed.any(|renamed| renamed.old == name && names.contains(&renamed.new))
    };
    let names = names.iter().copied();
    names.filter(|name| !is_old(name)).collect()
}
