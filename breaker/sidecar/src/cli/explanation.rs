//! `breaker explain`: what a breaker of a running sidecar believes, and what would change its
//! state.

use std::process::ExitCode;

use breaker_sidecar::control::explain::Explanation;
use clap::Args;

use super::client::{Connect, breaker_path};
use super::status::{Around, print};

/// Arguments of `breaker explain`.
#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// The route
    route: String,
    #[command(flatten)]
    connect: Connect,
    /// Prints JSON, for programs
    #[arg(long)]
    json: bool,
}

impl Explain {
    pub(super) fn run(self) -> ExitCode {
        let (route, json) = (self.route, self.json);
        self.connect.run(async |client| {
            let path = breaker_path(&route, "/explanation");
            let explanation: Explanation = client.get(&path).await?;
            let around = Around::of(client).await;
            Ok(print(&explanation, json, |explanation| {
                around.with(&explanation.text)
            }))
        })
    }
}
