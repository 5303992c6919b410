//! `GET /openapi.json`: OpenAPI 3.1 of the REST doors, made from the operations' declarations.
//!
//! Nothing is described by hand that a declaration says: a new operation is in the description as
//! soon as it is in the registry.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use axum::body::Bytes;
use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::health::Health;
use super::problem::{self, Details};
use super::rest::{self, Door};
use crate::domain::error::{self, ErrorCode};
use crate::domain::registry;

/// The document; it is the same as long as the server runs.
static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| {
    // Made of maps, texts and numbers only: it always encodes.
    serde_json::to_vec(&document()).unwrap_or_default().into()
});

pub(super) async fn serve() -> Response {
    let kind = HeaderValue::from_static("application/json");
    ([(CONTENT_TYPE, kind)], DOCUMENT.clone()).into_response()
}

/// Errors that every door may give beside those an operation declares.
fn common(door: &Door) -> Vec<&'static ErrorCode> {
    let mut rows: Vec<&ErrorCode> = vec![
        &error::INVALID_INPUT,
        &error::NOT_SIGNED_IN,
        &problem::TOKEN_REFUSED,
        &error::NOT_ALLOWED,
        &error::PROFILE_NOT_YOURS,
        &error::STEP_UP_REQUIRED,
        &error::NOT_FOUND,
        &problem::METHOD_NOT_ALLOWED,
        &problem::NOT_ACCEPTABLE,
        &problem::BODY_TOO_LARGE,
        &error::BUSY,
        &error::UNAVAILABLE,
        &error::DAMAGED,
    ];
    if door.is_command() {
        rows.extend([
            &problem::BAD_HEADER,
            &error::IDEMPOTENCY_CONFLICT,
            &error::TOO_LARGE,
            &error::OUTCOME_UNKNOWN,
        ]);
    }
    if door.has_body() {
        rows.push(&problem::UNSUPPORTED_MEDIA_TYPE);
    }
    rows
}

/// The document.
#[must_use]
pub fn document() -> Value {
    let mut generator = generator();
    let mut paths = Map::new();
    for (path, doors) in rest::doors() {
        let mut item = Map::new();
        for door in doors {
            let method = door.method_name().to_lowercase();
            item.insert(method, operation(&door, &mut generator));
        }
        paths.insert(path.to_owned(), Value::Object(item));
    }
    paths.insert("/health".to_owned(), health(&mut generator));
    let problem = generator.subschema_for::<Details>();
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Klokke",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "The REST doors of Klokke's operations.",
            "description": "Everything here can also be called over a socket, as RPC with the \
                operation's name as its method. Problems carry a stable code and key, and texts in \
                Danish and English.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "security": [{ "bearer": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "bearer": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT" },
            },
            "responses": { "Problem": problem_response("Something went wrong.", &problem.to_value()) },
        },
    });
    let schemas = generator.take_definitions(true);
    document["components"]["schemas"] = Value::Object(schemas);
    document
}

/// Schemas by reference into the document's components.
fn generator() -> SchemaGenerator {
    let mut settings = SchemaSettings::draft2020_12();
    settings.definitions_path = "/components/schemas".into();
    settings.meta_schema = None;
    SchemaGenerator::new(settings)
}

fn operation(door: &Door, generator: &mut SchemaGenerator) -> Value {
    let declared = registry::find(door.declaration.name);
    let schemas =
        declared.map(|declared| ((declared.input)(generator), (declared.output)(generator)));
    let (input, output) = schemas
        .map(|(input, output)| (input.to_value(), output.to_value()))
        .unwrap_or_default();
    let input = resolved(&input, generator);
    let (area, _) = door.declaration.name.split_once('.').unwrap_or_default();
    let mut operation = json!({
        "operationId": door.declaration.name,
        "summary": door.declaration.summary,
        "tags": [area],
        "parameters": parameters(door, &input),
        "responses": responses(door, &output),
    });
    if door.checks_version() {
        // Described in words: as a parameter, every value not of this moment would be refused.
        operation["description"] = json!(
            "Takes `If-Match` with the ETag or version that was read, in quotes, and refuses with \
             412 when it changed meanwhile."
        );
    }
    if !door.declaration.rights.is_empty() {
        let rights: Vec<String> = door
            .declaration
            .rights
            .iter()
            .map(|action| format!("{action:?}"))
            .collect();
        operation["x-rights"] = json!(rights);
    }
    if door.has_body() {
        operation["requestBody"] = json!({
            "required": !door.body_optional,
            "content": { "application/json": { "schema": without_path(door, input) } },
        });
    }
    operation
}

/// A schema that is only a reference, followed into the definitions.
fn resolved(schema: &Value, generator: &SchemaGenerator) -> Value {
    let name = schema
        .get("$ref")
        .and_then(Value::as_str)
        .and_then(|target| target.rsplit('/').next());
    match name.and_then(|name| generator.definitions().get(name)) {
        Some(definition) => definition.clone(),
        None => schema.clone(),
    }
}

/// The body's part of an input: what does not stand in the path.
fn without_path(door: &Door, mut input: Value) -> Value {
    let in_path = |name: &str| door.path_fields.contains(&name);
    if let Some(properties) = input.get_mut("properties").and_then(Value::as_object_mut) {
        properties.retain(|name, _| !in_path(name));
    }
    if let Some(required) = input.get_mut("required").and_then(Value::as_array_mut) {
        required.retain(|name| !name.as_str().is_some_and(in_path));
        if required.is_empty()
            && let Some(input) = input.as_object_mut()
        {
            input.remove("required");
        }
    }
    input
}

fn parameters(door: &Door, input: &Value) -> Vec<Value> {
    let property = |name: &str| input["properties"][name].clone();
    let required = |name: &str| {
        let names = input["required"].as_array();
        names.is_some_and(|names| names.iter().any(|one| one == name))
    };
    let mut parameters = Vec::new();
    for name in &door.path_fields {
        parameters.push(parameter(name, "path", true, property(name)));
    }
    for (name, _) in &door.query_fields {
        let schema = without_null(property(name));
        parameters.push(parameter(name, "query", required(name), schema));
    }
    if door.is_command() {
        let limit = crate::domain::RETRY_KEY_LENGTH_MAX;
        let key = json!({
            "type": "string",
            "pattern": format!("^(\"[!-~]{{1,{limit}}}\"|[!#-~][!-~]{{0,{}}})$", limit - 1),
            "description": "The same key never does it twice. In quotes or not, it is the same.",
        });
        parameters.push(parameter("Idempotency-Key", "header", false, key));
    }
    parameters
}

/// A parameter that is left out is not null: a query cannot say null.
fn without_null(mut schema: Value) -> Value {
    if let Some(kinds) = schema.get_mut("type").and_then(Value::as_array_mut) {
        kinds.retain(|kind| kind != "null");
        if let [only] = kinds.as_slice() {
            schema["type"] = only.clone();
        }
    }
    if let Some(branches) = schema.get_mut("anyOf").and_then(Value::as_array_mut) {
        branches.retain(|branch| branch["type"] != "null");
        if let [only] = branches.as_slice() {
            let only = only.clone();
            let description = schema.get("description").cloned();
            schema = only;
            if let (Some(description), Some(schema)) = (description, schema.as_object_mut()) {
                schema.entry("description").or_insert(description);
            }
        }
    }
    if let Some(schema) = schema.as_object_mut()
        && schema.get("default") == Some(&Value::Null)
    {
        schema.remove("default");
    }
    schema
}

fn parameter(name: &str, place: &str, required: bool, mut schema: Value) -> Value {
    let description = schema
        .as_object_mut()
        .and_then(|schema| schema.remove("description"));
    let mut parameter =
        json!({ "name": name, "in": place, "required": required, "schema": schema });
    if let Some(description) = description {
        parameter["description"] = description;
    }
    parameter
}

fn responses(door: &Door, output: &Value) -> Value {
    let mut headers = Map::new();
    let text =
        |description: &str| json!({ "description": description, "schema": { "type": "string" } });
    if !door.is_command() || door.version_at.is_some() {
        let tag = text("For If-None-Match and, where there is a version, for If-Match.");
        headers.insert("ETag".to_owned(), tag);
    }
    if door.paged {
        let link = text("rel=\"next\": where the list goes on; absent at its end.");
        headers.insert("Link".to_owned(), link);
    }
    if door.is_command() {
        let replayed = text("\"true\" when it had been done before under the same key.");
        headers.insert("Idempotency-Replayed".to_owned(), replayed);
    }
    let mut responses = Map::new();
    responses.insert(
        "200".to_owned(),
        json!({
            "description": "Done.",
            "headers": headers,
            "content": { "application/json": { "schema": output } },
        }),
    );
    if !door.is_command() {
        let held = json!({ "description": "The caller holds this version already." });
        responses.insert("304".to_owned(), held);
    }
    let mut rows = common(door);
    rows.extend(door.declaration.all_errors());
    let statuses: BTreeSet<u16> = rows.iter().map(|row| row.status).collect();
    for status in statuses {
        let keys: BTreeSet<&str> = rows
            .iter()
            .filter(|row| row.status == status)
            .map(|row| row.key)
            .collect();
        let keys: Vec<&str> = keys.into_iter().collect();
        let schema = json!({ "$ref": "#/components/schemas/Problem" });
        let description = format!("Problem: {}.", keys.join(", "));
        responses.insert(status.to_string(), problem_response(&description, &schema));
    }
    Value::Object(responses)
}

fn problem_response(description: &str, schema: &Value) -> Value {
    json!({
        "description": description,
        "content": { problem::MEDIA_TYPE: { "schema": schema } },
    })
}

fn health(generator: &mut SchemaGenerator) -> Value {
    let schema = generator.subschema_for::<Health>().to_value();
    let answer = |description: &str| {
        json!({
            "description": description,
            "content": { "application/json": { "schema": schema } },
        })
    };
    json!({
        "get": {
            "operationId": "health",
            "summary": "Tell whether all is well.",
            "tags": ["node"],
            "security": [],
            "responses": {
                "200": answer("People are served, though something may be missing."),
                "503": answer("People cannot be served."),
            },
        },
    })
}
