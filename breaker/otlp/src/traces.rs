//! Spans, skimmed off an `ExportTraceServiceRequest` in place.

use super::attributes::{Attributes, Extent};
use super::envelope::{self, Signal, text};
use super::wire::{Fields, Malformed};

/// Receives the contents of a request while it is read: a resource, its scopes, and after each
/// scope its spans.
pub trait TraceVisitor {
    /// Whether spans of this resource are wanted.
    fn resource(&mut self, resource: Attributes<'_>) -> bool;
    /// Whether spans of this scope are wanted; it belongs to the resource before it.
    fn scope(&mut self, name: &str, version: &str) -> bool;
    /// A span in the last resource and scope.
    fn span(&mut self, span: &Span<'_>);
    /// A span that is left out because its trace or span id is missing, all zero or of the wrong
    /// length: the specification calls it invalid. Does nothing by default.
    fn invalid_span(&mut self) {}
}

/// What a breaker needs of a span.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Span<'a> {
    /// Never zero; in big-endian order.
    pub trace_id: u128,
    /// Never zero.
    pub span_id: u64,
    /// The kind of the span.
    pub kind: SpanKind,
    /// The name of the span; empty if it is not UTF-8.
    pub name: &'a str,
    /// When it began, in nanoseconds since 1970.
    pub start: u64,
    /// When it ended, in nanoseconds since 1970. A sender may send a time before `start`.
    pub end: u64,
    /// The status that its instrumentation set.
    pub status: StatusCode,
    /// The other attributes.
    pub attributes: Attributes<'a>,
}

/// The kind of a span.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the specification is closed here")]
pub enum SpanKind {
    /// Not specified, or an unknown kind.
    #[default]
    Unspecified,
    /// Work inside an application.
    Internal,
    /// The handling of a request.
    Server,
    /// A request to another service.
    Client,
    /// The sending of a message.
    Producer,
    /// The handling of a message.
    Consumer,
}

/// The status of a span.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the specification is closed here")]
pub enum StatusCode {
    /// Not set: neither a success nor a failure by itself.
    #[default]
    Unset,
    /// Explicitly set to success.
    Ok,
    /// A failure.
    Error,
}

/// Reads an encoded `ExportTraceServiceRequest` and passes its spans to `visitor`.
///
/// Fields may come in any order. If a resource or a scope is repeated, the last one counts. For
/// unwanted parts, only the length is checked. The same holds for the contents of single
/// attributes, events and links.
///
/// # Errors
///
/// [`Malformed`] if the bytes are not such a message. The visitor has received everything before
/// that point.
pub fn read_traces(message: &[u8], visitor: &mut impl TraceVisitor) -> Result<(), Malformed> {
    envelope::read(message, &mut Spans(visitor))
}

struct Spans<'v, V>(&'v mut V);

impl<V: TraceVisitor> Signal for Spans<'_, V> {
    fn resource(&mut self, resource: Attributes<'_>) -> bool {
        self.0.resource(resource)
    }

    fn scope(&mut self, name: &str, version: &str) -> bool {
        self.0.scope(name, version)
    }

    fn item(&mut self, message: &[u8]) -> Result<(), Malformed> {
        match Span::read(message)? {
            Some(span) => self.0.span(&span),
            None => self.0.invalid_span(),
        }
        Ok(())
    }
}

impl<'a> Span<'a> {
    fn read(message: &'a [u8]) -> Result<Option<Self>, Malformed> {
        let (mut trace_id, mut span_id, mut name) = (&[][..], &[][..], &[][..]);
        let (mut kind, mut start, mut end, mut status) = (0, 0, 0, 0);
        let mut attributes = Extent::default();
        let mut fields = Fields::new(message);
        let mut before = 0;
        while let Some(field) = fields.next() {
            let after = message.len() - fields.left();
            match field? {
                (1, payload) => trace_id = payload.bytes()?,
                (2, payload) => span_id = payload.bytes()?,
                (5, payload) => name = payload.bytes()?,
                (6, payload) => kind = payload.int32()?,
                (7, payload) => start = payload.fixed64()?,
                (8, payload) => end = payload.fixed64()?,
                (9, payload) => {
                    payload.bytes()?;
                    attributes.add(before, after);
                }
                (15, payload) => status = read_status(payload.bytes()?, status)?,
                // Texts and messages that are not looked into: state, parent, events, links.
                (3 | 4 | 11 | 13, payload) => drop(payload.bytes()?),
                _ => {}
            }
            before = after;
        }
        let (Some(trace_id), Some(span_id)) = (id128(trace_id), id64(span_id)) else {
            return Ok(None);
        };
        Ok(Some(Self {
            trace_id,
            span_id,
            kind: SpanKind::from_number(kind),
            name: text(name),
            start,
            end,
            status: StatusCode::from_number(status),
            attributes: Attributes::new(attributes.of(message), 9),
        }))
    }
}

/// Reads a `Status` over what an earlier one has said.
fn read_status(message: &[u8], mut code: i32) -> Result<i32, Malformed> {
    for field in Fields::new(message) {
        match field? {
            (2, payload) => drop(payload.bytes()?),
            (3, payload) => code = payload.int32()?,
            _ => {}
        }
    }
    Ok(code)
}

fn id128(bytes: &[u8]) -> Option<u128> {
    let id = u128::from_be_bytes(bytes.try_into().ok()?);
    (id != 0).then_some(id)
}

fn id64(bytes: &[u8]) -> Option<u64> {
    let id = u64::from_be_bytes(bytes.try_into().ok()?);
    (id != 0).then_some(id)
}

impl SpanKind {
    const fn from_number(number: i32) -> Self {
        match number {
            1 => Self::Internal,
            2 => Self::Server,
            3 => Self::Client,
            4 => Self::Producer,
            5 => Self::Consumer,
            _ => Self::Unspecified,
        }
    }
}

impl StatusCode {
    const fn from_number(number: i32) -> Self {
        match number {
            1 => Self::Ok,
            2 => Self::Error,
            _ => Self::Unset,
        }
    }
}

#[cfg(test)]
mod tests;
