//! The sandbox: what a process gives up at its start, so that somebody who takes it over through a
//! bug gains little. It is part of `breaker run`.
//!
//! [`Rules`] says what the configuration needs, and does nothing. [`apply`] gives the rest up,
//! layer by layer, before there is any thread: Landlock below ABI 8 and capabilities are each
//! thread's own.

mod calls;
mod landlock;
mod privileges;
mod rules;
mod seccomp;

use std::fmt;
use std::io;

use rustix::io::Errno;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(crate) use self::landlock::explained;
pub use self::rules::Rules;

/// What happens where a layer of the sandbox can't be had.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum,
)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "SandboxMode")]
#[clap(rename_all = "snake_case")]
#[expect(clippy::exhaustive_enums, reason = "the configuration makes it")]
pub enum Mode {
    /// The process runs with the layers that the system has, and logs which are missing.
    #[default]
    BestEffort,
    /// The process does not start.
    Required,
    /// There is no sandbox.
    Off,
}

/// A layer of the sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "SandboxLayer")]
#[expect(clippy::exhaustive_enums, reason = "documents have all of them")]
pub enum Layer {
    /// No program that it could start has more privileges.
    NoNewPrivs,
    /// It has no capabilities.
    Capabilities,
    /// Its memory is in no core file, and no other program of its user may look at it.
    CoreDumps,
    /// It reads and writes files in named directories only.
    Filesystem,
    /// It connects to named TCP ports only.
    TcpConnect,
    /// It listens on no other TCP port.
    TcpBind,
    /// It sends no signals to other processes, and uses no abstract Unix sockets of theirs.
    Scopes,
    /// It makes only the system calls that it needs.
    Seccomp,
}

/// Whether a layer is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(clippy::exhaustive_structs, reason = "made by the sandbox")]
pub struct LayerState {
    /// Which one.
    pub layer: Layer,
    /// Whether it is in force.
    pub on: bool,
    /// Why it is not, or what it costs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// The sandbox of a process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(clippy::exhaustive_structs, reason = "made by the sandbox")]
pub struct Sandbox {
    /// What was asked for.
    pub mode: Mode,
    /// The layers in force, in one line.
    pub summary: String,
    /// All layers.
    pub layers: Vec<LayerState>,
}

/// A layer that is required and can't be had.
#[derive(Debug, thiserror::Error)]
#[error("sandbox: required, and {layer} is missing: {why}")]
pub struct Unavailable {
    layer: Layer,
    why: String,
}

/// What came of one layer.
enum Applied {
    On,
    Noted(String),
    /// The configuration needs what it would deny.
    LeftOut(String),
    Missing(String),
}

/// Gives up what `rules` don't need. The process must have only one thread.
///
/// # Errors
/// When the sandbox is required, and a layer can't be had.
pub fn apply(mode: Mode, rules: &Rules) -> Result<Sandbox, Unavailable> {
    if mode == Mode::Off {
        return Ok(Sandbox::off());
    }
    let mut parts = Vec::new();
    let mut layers = vec![
        (Layer::NoNewPrivs, privileges::no_new_privs()),
        (Layer::Capabilities, privileges::drop_capabilities()),
        (Layer::CoreDumps, privileges::no_core_dumps()),
    ];
    let locked = landlock::restrict(rules);
    if let Some(abi) = locked.abi {
        let on = locked.layers.iter().filter(|(_, it)| it.is_on());
        let words: Vec<_> = on.map(|(layer, _)| layer.short()).collect();
        parts.push(format!("landlock ABI {abi} ({})", words.join(", ")));
    }
    layers.extend(locked.layers);
    let (filtered, calls) = seccomp::filter();
    if filtered.is_on() {
        parts.push(format!("seccomp {calls} calls"));
    }
    layers.push((Layer::Seccomp, filtered));
    let others = &layers[..PRIVILEGES];
    let others = others.iter().filter(|(_, applied)| applied.is_on());
    parts.extend(others.map(|(layer, _)| layer.short().to_owned()));
    if mode == Mode::Required {
        let missing = layers.iter().find_map(|(layer, applied)| match applied {
            Applied::Missing(why) => Some((*layer, why.clone())),
            _ => None,
        });
        if let Some((layer, why)) = missing {
            return Err(Unavailable { layer, why });
        }
    }
    for (layer, applied) in &layers {
        if let Applied::Missing(why) = applied {
            tracing::warn!(%layer, "sandbox: a layer is missing: {why}");
        }
    }
    Ok(Sandbox {
        mode,
        summary: match parts.is_empty() {
            true => "none of its layers".to_owned(),
            false => parts.join(", "),
        },
        layers: layers.into_iter().map(LayerState::from).collect(),
    })
}

// === impl Sandbox ===

impl Sandbox {
    /// No sandbox, as it was asked for.
    fn off() -> Self {
        let states = Layer::ALL.map(|layer| LayerState {
            layer,
            on: false,
            detail: None,
        });
        Self {
            mode: Mode::Off,
            summary: "off".to_owned(),
            layers: states.to_vec(),
        }
    }

    /// Whether a layer is in force.
    pub fn has(&self, layer: Layer) -> bool {
        let mut layers = self.layers.iter();
        layers.any(|state| state.layer == layer && state.on)
    }

    /// What is known of single layers: why one is not in force, or what it costs.
    pub fn notes(&self) -> impl Iterator<Item = String> {
        let noted = self.layers.iter();
        noted.filter_map(|state| Some(format!("{}: {}", state.layer, state.detail.as_ref()?)))
    }
}

// === impl Mode ===

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BestEffort => "best_effort",
            Self::Required => "required",
            Self::Off => "off",
        })
    }
}

// === impl Layer ===

impl Layer {
    /// All of them, in the order in which they are applied.
    pub const ALL: [Self; 8] = [
        Self::NoNewPrivs,
        Self::Capabilities,
        Self::CoreDumps,
        Self::Filesystem,
        Self::TcpConnect,
        Self::TcpBind,
        Self::Scopes,
        Self::Seccomp,
    ];

    /// Its name in metrics and documents.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoNewPrivs => "no_new_privs",
            Self::Capabilities => "capabilities",
            Self::CoreDumps => "core_dumps",
            Self::Filesystem => "filesystem",
            Self::TcpConnect => "tcp_connect",
            Self::TcpBind => "tcp_bind",
            Self::Scopes => "scopes",
            Self::Seccomp => "seccomp",
        }
    }

    /// What the summary calls it.
    const fn short(self) -> &'static str {
        match self {
            Self::Filesystem => "fs",
            Self::TcpConnect => "tcp connect",
            Self::TcpBind => "tcp bind",
            Self::Capabilities => "no capabilities",
            Self::CoreDumps => "no core dumps",
            other => other.name(),
        }
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

// === impl Applied ===

impl Applied {
    const fn is_on(&self) -> bool {
        matches!(self, Self::On | Self::Noted(_))
    }
}

impl From<Result<(), Errno>> for Applied {
    fn from(result: Result<(), Errno>) -> Self {
        match result {
            Ok(()) => Self::On,
            Err(error) => Self::Missing(io::Error::from(error).to_string()),
        }
    }
}

impl From<(Layer, Applied)> for LayerState {
    fn from((layer, applied): (Layer, Applied)) -> Self {
        let on = applied.is_on();
        let detail = match applied {
            Applied::On => None,
            Applied::Noted(detail) | Applied::LeftOut(detail) | Applied::Missing(detail) => {
                Some(detail)
            }
        };
        Self { layer, on, detail }
    }
}

/// Layers before those of Landlock.
const PRIVILEGES: usize = 3;
