//! The OpenAPI description: whole, and true of the doors.

use super::*;

/// Calls `visit` with every value of a document.
fn walk(value: &Value, visit: &mut impl FnMut(&Value)) {
    visit(value);
    match value {
        Value::Object(members) => members.values().for_each(|member| walk(member, visit)),
        Value::Array(items) => items.iter().for_each(|item| walk(item, visit)),
        _ => {}
    }
}

#[test]
fn every_reference_of_the_description_leads_somewhere() {
    let document = openapi::document();
    let mut references = 0;
    walk(&document, &mut |value| {
        let Some(reference) = value.get("$ref").and_then(Value::as_str) else {
            return;
        };
        let pointer = reference.strip_prefix('#').expect("references stay inside");
        assert!(document.pointer(pointer).is_some(), "{reference}");
        references += 1;
    });
    assert!(references > 20, "{references}");
}

#[test]
fn every_door_is_described() {
    let document = openapi::document();
    let mut ids = std::collections::HashSet::new();
    for declared in crate::domain::registry::all() {
        let declaration = &declared.declaration;
        let Some(rest) = declaration.rest else {
            continue;
        };
        let method = format!("{:?}", rest.method).to_lowercase();
        let operation = &document["paths"][rest.path][&method];
        assert_eq!(operation["operationId"], declaration.name);
        assert!(ids.insert(declaration.name), "{}", declaration.name);
        let parameters = operation["parameters"].as_array().expect("a list");
        for part in rest
            .path
            .split('/')
            .filter_map(|part| part.strip_prefix('{'))
        {
            let name = part.trim_end_matches('}');
            let described = parameters.iter().find(|it| it["name"] == name);
            let described = described.unwrap_or_else(|| panic!("{}: {name}", rest.path));
            assert_eq!(
                (&described["in"], &described["required"]),
                (&json!("path"), &json!(true))
            );
            assert!(described["schema"].is_object(), "{}: {name}", rest.path);
        }
        for row in declaration.all_errors() {
            let status = row.status.to_string();
            assert!(
                operation["responses"][&status].is_object(),
                "{} {status}",
                declaration.name
            );
        }
    }
    assert!(ids.len() > 10, "{}", ids.len());
    assert_eq!(document["openapi"], "3.1.0");
}
