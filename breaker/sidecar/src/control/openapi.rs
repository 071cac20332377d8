//! The OpenAPI document: its schemas are those of the types that are sent.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::operation::{Content, Operation};
use super::problem::Problem;

/// The document of these operations (OpenAPI 3.1, whose schemas are JSON Schema 2020-12).
pub(super) fn document<S>(operations: &[Operation<S>]) -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let mut paths = Map::new();
    for operation in operations {
        let described = describe(operation, &mut generator);
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        path[operation.method.as_str().to_ascii_lowercase()] = described;
    }
    let problem = problem(&mut generator);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Breaker control API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What the breakers of a sidecar know, and what they do. Durations are in seconds, times in seconds since 1970, \
                            shares are 0 to 1. Whatever is not a GET needs the control token, where the sidecar has one.",
        },
        "paths": paths,
        "components": {
            "schemas": generator.take_definitions(true),
            "responses": { "Problem": problem },
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
        },
    })
}

fn describe<S>(operation: &Operation<S>, generator: &mut SchemaGenerator) -> Value {
    let mut described = json!({
        "operationId": operation.id,
        "summary": operation.summary,
        "responses": {
            "200": { "description": "Done.", "content": content(&operation.answer, generator) },
            "default": { "$ref": "#/components/responses/Problem" },
        },
    });
    let mut parameters = Vec::new();
    if operation.path.contains("{name}") {
        parameters.push(json!({
            "name": "name",
            "in": "path",
            "required": true,
            "description": "The route's name.",
            "schema": { "type": "string" },
        }));
    }
    parameters.extend(operation.queries.iter().map(|query| {
        json!({
            "name": query.name,
            "in": "query",
            "required": false,
            "description": query.description,
            "schema": { "type": query.kind },
        })
    }));
    if !parameters.is_empty() {
        described["parameters"] = parameters.into();
    }
    if operation.method != http::Method::GET {
        described["security"] = json!([{ "token": [] }, {}]);
    }
    if !operation.content.is_empty() {
        let mut bodies = Map::new();
        for body in &operation.content {
            bodies.extend(content(body, generator));
        }
        described["requestBody"] = json!({ "required": true, "content": bodies });
    }
    described
}

fn content(content: &Content, generator: &mut SchemaGenerator) -> Map<String, Value> {
    let schema = match content.schema {
        Some(schema) => schema(generator).to_value(),
        None => json!({ "type": "string" }),
    };
    let body = json!({ "schema": schema });
    Map::from_iter([(content.media_type.to_owned(), body)])
}

fn problem(generator: &mut SchemaGenerator) -> Value {
    let schema = generator.subschema_for::<Problem>();
    json!({
        "description": Problem::json_schema(generator).get("description"),
        "content": { "application/problem+json": { "schema": schema } },
    })
}
