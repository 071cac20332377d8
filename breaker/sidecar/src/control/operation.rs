//! An operation of the API: what answers it, and what the OpenAPI document says of it. Router and
//! document are made of one list, so that neither has what the other doesn't.

use axum::Router;
use axum::routing::MethodRouter;
use http::Method;
use schemars::{JsonSchema, Schema, SchemaGenerator};

/// One method of one path.
pub(super) struct Operation<S> {
    pub(super) method: Method,
    pub(super) path: &'static str,
    pub(super) id: &'static str,
    pub(super) summary: &'static str,
    pub(super) content: Vec<Content>,
    pub(super) queries: &'static [Parameter],
    pub(super) answer: Content,
    pub(super) handler: MethodRouter<S>,
}

/// A parameter in the query, which may be left out.
pub(super) struct Parameter {
    pub(super) name: &'static str,
    /// Its type in JSON Schema.
    pub(super) kind: &'static str,
    pub(super) description: &'static str,
}

/// A body: its media type, and its schema where it is a document of ours.
pub(super) struct Content {
    pub(super) media_type: &'static str,
    pub(super) schema: Option<fn(&mut SchemaGenerator) -> Schema>,
}

impl Content {
    /// A JSON document.
    pub(super) fn json<T: JsonSchema>() -> Self {
        Self {
            media_type: "application/json",
            schema: Some(|generator| generator.subschema_for::<T>()),
        }
    }

    /// A text of another kind.
    pub(super) const fn text(media_type: &'static str) -> Self {
        Self {
            media_type,
            schema: None,
        }
    }
}

impl<S: Clone + Send + Sync + 'static> Operation<S> {
    pub(super) fn new(
        method: Method,
        path: &'static str,
        id: &'static str,
        summary: &'static str,
        answer: Content,
        handler: MethodRouter<S>,
    ) -> Self {
        Self {
            method,
            path,
            id,
            summary,
            content: Vec::new(),
            queries: &[],
            answer,
            handler,
        }
    }

    /// The operation with parameters in its query.
    pub(super) const fn asked(mut self, queries: &'static [Parameter]) -> Self {
        self.queries = queries;
        self
    }

    /// The operation with a body that may be one of these.
    pub(super) fn taking(mut self, content: impl Into<Vec<Content>>) -> Self {
        self.content = content.into();
        self
    }
}

/// What answers them.
pub(super) fn router<S: Clone + Send + Sync + 'static>(
    operations: impl IntoIterator<Item = Operation<S>>,
) -> Router<S> {
    operations
        .into_iter()
        .fold(Router::new(), |router, operation| {
            router.route(operation.path, operation.handler)
        })
}
