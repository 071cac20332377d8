//! What traces and metrics are wrapped in: a request holds resources, a resource scopes, and a
//! scope items.

use super::attributes::Attributes;
use super::wire::{Fields, Malformed};

/// What one signal makes of its requests.
pub(super) trait Signal {
    fn resource(&mut self, resource: Attributes<'_>) -> bool;
    fn scope(&mut self, name: &str, version: &str) -> bool;
    /// One span, or one metric.
    fn item(&mut self, message: &[u8]) -> Result<(), Malformed>;
}

/// Reads an export request of any signal: they share their numbers of fields.
pub(super) fn read(request: &[u8], signal: &mut impl Signal) -> Result<(), Malformed> {
    for message in embedded(request, 1) {
        read_resource(message?, signal)?;
    }
    Ok(())
}

// A resource may be sent after its scopes, and a scope after its items; so each level is read
// twice, first for its owner. The first reading steps from length to length and is nearly free.

fn read_resource(message: &[u8], signal: &mut impl Signal) -> Result<(), Malformed> {
    let resource = Attributes::new(owner(message)?, 1).checked()?;
    if signal.resource(resource) {
        for scope in embedded(message, 2) {
            read_scope(scope?, signal)?;
        }
    }
    Ok(())
}

fn read_scope(message: &[u8], signal: &mut impl Signal) -> Result<(), Malformed> {
    let (mut name, mut version) = ("", "");
    for field in Fields::new(owner(message)?) {
        match field? {
            (1, payload) => name = text(payload.bytes()?),
            (2, payload) => version = text(payload.bytes()?),
            (3, payload) => drop(payload.bytes()?),
            _ => {}
        }
    }
    if signal.scope(name, version) {
        for item in embedded(message, 2) {
            signal.item(item?)?;
        }
    }
    Ok(())
}

/// The last embedded message of field 1, empty if there is none. Checks the whole message on its
/// way.
fn owner(message: &[u8]) -> Result<&[u8], Malformed> {
    let mut owner = &[][..];
    for field in Fields::new(message) {
        match field? {
            (1, payload) => owner = payload.bytes()?,
            (2, payload) => drop(payload.bytes()?),
            _ => {}
        }
    }
    Ok(owner)
}

/// The embedded messages of one field.
pub(super) fn embedded(
    message: &[u8],
    wanted: u32,
) -> impl Iterator<Item = Result<&[u8], Malformed>> {
    Fields::new(message).filter_map(move |field| match field {
        Ok((number, payload)) => (number == wanted).then(|| payload.bytes()),
        Err(malformed) => Some(Err(malformed)),
    })
}

/// A text, empty where it is no UTF-8: no name in a configuration is, so none matches.
pub(super) fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).unwrap_or_default()
}
