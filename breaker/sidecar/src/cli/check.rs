//! `breaker check`: is a configuration or a policy good, and what does it say?

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use breaker_sidecar::config::{self, Config, ConfigError};
use breaker_tower::Policy;
use breaker_tower::breaker_core::policy::yaml::{self, Document};
use clap::Args;
use serde_json::{Value, json};

use super::output::{BAD, GOOD};
use super::{BAD_INPUT, explain, output};

/// Arguments of `breaker check`.
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// The file: a configuration or a policy
    file: PathBuf,
    /// Prints JSON, for programs
    #[arg(long)]
    json: bool,
}

/// A file that is good.
enum Checked {
    Configuration(Box<Config>),
    Policy(Box<Policy>),
}

impl Check {
    pub(super) fn run(self) -> ExitCode {
        let file = self.file.display();
        match check(&self.file) {
            Ok(checked) if self.json => {
                let mut report = checked.in_json();
                report["file"] = json!(file.to_string());
                report["valid"] = json!(true);
                output::print(&format!("{report:#}\n"))
            }
            Ok(checked) => {
                let kind = checked.kind();
                let words = checked.in_words();
                output::print(&format!("{GOOD}{file}: a good {kind}{GOOD:#}\n\n{words}"))
            }
            Err(error) => {
                if self.json {
                    let errors = in_json(&error);
                    let report =
                        json!({ "file": file.to_string(), "valid": false, "errors": errors });
                    output::print(&format!("{report:#}\n"));
                } else {
                    output::complain(&format!("{BAD}{file} can't be used{BAD:#}\n{error}\n"));
                }
                ExitCode::from(BAD_INPUT)
            }
        }
    }
}

fn check(path: &Path) -> Result<Checked, ConfigError> {
    let text = config::read(path)?;
    let file = path.display().to_string();
    let document = config::document(&text, Some(&file))?;
    if is_policy(&document) {
        let policy = yaml::read(&document, Policy::builtin)?;
        Ok(Checked::Policy(Box::new(policy)))
    } else {
        Config::load(path).map(|config| Checked::Configuration(Box::new(config)))
    }
}

/// Tells the two kinds of file apart by the fields that only one of them has.
fn is_policy(document: &Document<'_>) -> bool {
    let has = |fields: &[&str]| fields.iter().any(|field| document.has(field));
    has(&["trip", "base", "window", "open", "half_open", "ramp"]) && !has(&["routes", "upstreams"])
}

fn in_json(error: &ConfigError) -> Vec<Value> {
    match error {
        ConfigError::Invalid(errors) => errors.iter().map(of_rule).collect(),
        error => vec![json!({ "rule": error.to_string() })],
    }
}

fn of_rule(error: &yaml::Error) -> Value {
    json!({
        "file": error.file,
        "line": error.line,
        "column": error.column,
        "field": error.field,
        "rule": error.rule,
    })
}

impl Checked {
    const fn kind(&self) -> &'static str {
        match self {
            Self::Configuration(_) => "configuration",
            Self::Policy(_) => "policy",
        }
    }

    fn in_words(&self) -> String {
        match self {
            Self::Configuration(config) => explain::configuration(config),
            Self::Policy(policy) => explain::policy(policy),
        }
    }

    fn in_json(&self) -> Value {
        let mut report = match self {
            Self::Configuration(config) => explain::json::configuration(config),
            Self::Policy(policy) => json!({ "policy": explain::json::policy(policy) }),
        };
        report["kind"] = json!(self.kind());
        report
    }
}
