//! `breaker schema`: the JSON Schema of a file, for editors and other programs.

use std::process::ExitCode;

use breaker_tower::breaker_core::policy::yaml;
use clap::{Args, ValueEnum};

use super::output;
use breaker_sidecar::config;

/// Arguments of `breaker schema`.
#[derive(Debug, Args)]
pub(crate) struct Schema {
    /// Of what
    #[arg(default_value = "config")]
    of: Kind,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    /// The configuration file
    Config,
    /// A policy file
    Policy,
}

impl Schema {
    pub(super) fn run(self) -> ExitCode {
        let schema = match self.of {
            Kind::Config => config::schema(),
            Kind::Policy => yaml::schema(),
        };
        output::print(&format!("{:#}\n", schema.to_value()))
    }
}
