//! `/openapi.json`, from the table of routes.
use super::route::{DEATHS, ROUTES};
use serde_json::{Map, Value, json};

pub(super) fn document() -> Value {
    let paths: Map<String, Value> = ROUTES.iter().map(|route| (route.path.to_owned(), item(route.path))).collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "memtrace agent",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What is known of the memory of Go processes. Absent knowledge is null; sizes are bytes, times ns \
                            on CLOCK_MONOTONIC.",
        },
        "paths": paths,
        "components": {"securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}}},
    })
}

fn item(path: &str) -> Value {
    let row = ROUTES.iter().find(|route| route.path == path);
    let (summary, content_type) = row.map_or(("", ""), |route| (route.summary, route.content_type));
    let parameters: Vec<Value> = path.split('/').filter_map(parameter).collect();
    let mut responses = json!({"200": {"description": summary, "content": {content_type: {}}}});
    let mut refused = |status: &str, why: &str| responses[status] = json!({"description": why});
    // Where no dossiers are saved there is no list of them either.
    if !parameters.is_empty() || path == DEATHS {
        refused("404", "there is none");
    }
    refused("503", "memtrace has no time to answer: try again");
    json!({"get": {"summary": summary, "parameters": parameters, "responses": responses}})
}

fn parameter(part: &str) -> Option<Value> {
    let name = part.strip_prefix('{')?.strip_suffix('}')?;
    let schema = if name == "pid" { json!({"type": "integer", "minimum": 1}) } else { json!({"type": "string"}) };
    Some(json!({"name": name, "in": "path", "required": true, "schema": schema}))
}
