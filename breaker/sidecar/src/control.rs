//! The control API: what the breakers are, and how an operator changes what they do.
//!
//! * `registry`: the breakers, each with the policy in force.
//! * `api`: the resources as JSON, under `/api/v1`.
//! * `problem`: what is told instead when something is wrong.

pub(crate) mod api;
mod problem;
mod registry;

pub use self::problem::Problem;
pub use self::registry::{Entry, Origin, Registry, Unknown};
