//! One operation as a REST door: which parts of its input stand in the path, in the query and in
//! the body, by the input's schema.

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

use crate::domain::error::VERSION_CHANGED;
use crate::domain::{Declaration, Declared, Kind, Method};

/// An operation with a REST door.
pub(crate) struct Door {
    /// The operation's declaration.
    pub(crate) declaration: &'static Declaration,
    /// The method.
    pub(crate) method: Method,
    /// The path, parameters in braces.
    pub(crate) path: &'static str,
    /// Names in the path, in order.
    pub(crate) path_fields: Vec<&'static str>,
    /// Names in the query with the type of each; empty for methods with a body.
    pub(crate) query_fields: Vec<(String, QueryType)>,
    /// Where in the output the version of what it shows stands, as a JSON pointer.
    pub(crate) version_at: Option<String>,
    /// Whether the output is a page with a cursor.
    pub(crate) paged: bool,
    /// Whether the input may be left out altogether (nothing required beside the path).
    pub(crate) body_optional: bool,
}

/// How a query parameter's text becomes JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum QueryType {
    Text,
    Integer,
    Boolean,
    /// Repeated parameters make a list of texts.
    List,
}

impl Door {
    /// The door of an operation, if it has one.
    pub(crate) fn of(declared: &'static Declared) -> Option<Self> {
        let declaration = &declared.declaration;
        let rest = declaration.rest?;
        let mut generator = inline_generator();
        let input = (declared.input)(&mut generator).to_value();
        let output = (declared.output)(&mut generator).to_value();
        let path_fields = path_fields(rest.path);
        let beside = |name: &&String| !path_fields.contains(&name.as_str());
        let query_fields = if has_body(rest.method) {
            Vec::new()
        } else {
            let fields = properties(&input);
            let fields = fields.iter().filter(|(name, _)| beside(name));
            fields
                .map(|(name, schema)| (name.clone(), query_type(schema)))
                .collect()
        };
        let body_optional = required(&input)
            .iter()
            .all(|name| path_fields.contains(name));
        Some(Self {
            declaration,
            method: rest.method,
            path: rest.path,
            query_fields,
            version_at: version_at(&output),
            paged: properties(&output).contains_key("cursor"),
            body_optional,
            path_fields,
        })
    }

    /// Whether it changes something.
    pub(crate) fn is_command(&self) -> bool {
        self.declaration.kind == Kind::Command
    }

    /// Whether it refuses when what it changes is no longer the version that `If-Match` names.
    pub(crate) fn checks_version(&self) -> bool {
        self.declaration.errors.contains(&&VERSION_CHANGED)
    }

    /// Whether its input has a body.
    pub(crate) fn has_body(&self) -> bool {
        has_body(self.method)
    }

    /// The method as HTTP writes it.
    pub(crate) fn method_name(&self) -> &'static str {
        match self.method {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
        }
    }
}

fn has_body(method: Method) -> bool {
    matches!(method, Method::Post | Method::Put | Method::Patch)
}

/// A generator that writes every schema out in place, so that types can be looked at.
fn inline_generator() -> SchemaGenerator {
    let mut settings = SchemaSettings::draft2020_12();
    settings.inline_subschemas = true;
    SchemaGenerator::new(settings)
}

/// The names in braces.
pub(crate) fn path_fields(path: &'static str) -> Vec<&'static str> {
    path.split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
        .collect()
}

fn properties(schema: &Value) -> Map<String, Value> {
    let found = schema.get("properties").and_then(Value::as_object);
    found.cloned().unwrap_or_default()
}

/// The version stands at the top of an output, or in the one thing it shows. Of a list no item's
/// version is the list's.
fn version_at(output: &Value) -> Option<String> {
    let shown = properties(output);
    if shown.contains_key("version") {
        return Some("/version".to_owned());
    }
    let mut inner = shown
        .iter()
        .filter(|(_, schema)| properties(schema).contains_key("version"));
    match (inner.next(), inner.next()) {
        (Some((name, _)), None) => Some(format!("/{name}/version")),
        _ => None,
    }
}

fn required(schema: &Value) -> Vec<&str> {
    let found = schema.get("required").and_then(Value::as_array);
    found
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

/// The type of a parameter; `anyOf` with null, as optional fields have, is looked through.
fn query_type(schema: &Value) -> QueryType {
    let named = |schema: &Value, name: &str| match schema.get("type") {
        Some(Value::String(kind)) => kind == name,
        Some(Value::Array(kinds)) => kinds.iter().any(|kind| kind == name),
        _ => false,
    };
    let branches = schema.get("anyOf").and_then(Value::as_array);
    let any = |name: &str| {
        named(schema, name) || branches.is_some_and(|all| all.iter().any(|one| named(one, name)))
    };
    if any("array") {
        QueryType::List
    } else if any("integer") {
        QueryType::Integer
    } else if any("boolean") {
        QueryType::Boolean
    } else {
        QueryType::Text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::registry;

    #[test]
    fn every_path_parameter_is_a_field_of_the_input() {
        for declared in registry::all() {
            let Some(door) = Door::of(declared) else {
                continue;
            };
            let input = (declared.input)(&mut inline_generator()).to_value();
            for field in &door.path_fields {
                let known = properties(&input);
                assert!(known.contains_key(*field), "{}: {field}", door.path);
            }
            assert!(door.path.starts_with("/v1/"), "{}", door.path);
            let changes = door.method != Method::Get;
            assert_eq!(
                door.is_command(),
                changes,
                "{}: GET is for queries",
                door.path
            );
        }
    }

    #[test]
    fn the_version_is_that_of_the_one_thing_shown() {
        let with = |inner: Value| serde_json::json!({ "properties": inner });
        let versioned = with(serde_json::json!({ "version": {} }));
        assert_eq!(version_at(&versioned).as_deref(), Some("/version"));
        let inside = with(serde_json::json!({ "thread": versioned, "count": {} }));
        assert_eq!(version_at(&inside).as_deref(), Some("/thread/version"));
        let two = with(serde_json::json!({ "one": versioned, "other": versioned }));
        assert_eq!(version_at(&two), None);
    }

    #[test]
    fn types_of_parameters_are_read_from_schemas() {
        let check = |schema: Value| query_type(&schema);
        assert_eq!(
            check(serde_json::json!({"type": "integer"})),
            QueryType::Integer
        );
        let optional = serde_json::json!({"anyOf": [{"type": "integer"}, {"type": "null"}]});
        assert_eq!(check(optional), QueryType::Integer);
        let nullable = serde_json::json!({"type": ["boolean", "null"]});
        assert_eq!(check(nullable), QueryType::Boolean);
        assert_eq!(
            check(serde_json::json!({"type": "string"})),
            QueryType::Text
        );
        assert_eq!(check(serde_json::json!({"type": "array"})), QueryType::List);
    }
}
