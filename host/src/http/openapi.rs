//! The OpenAPI 3.1 document: the paths come from the table of routes, the schemas from
//! `schemas.json` beside this file.

use std::collections::BTreeMap;

use axum::Json;
use serde_json::{Map, Value, json};

use super::parameters::{Parameter, ParameterSchema};
use super::problem;
use super::routes::{Route, routes};
use crate::access::Scope;

/// What the document calls the way to show who one is.
const TOKEN: &str = "token";

/// What the document says of one method of one path, besides both.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operation {
    pub id: &'static str,
    pub summary: &'static str,
    pub query: &'static [Parameter],
    /// Said of the names of columns as query parameters, where they are taken.
    pub takes_columns: Option<&'static str>,
    pub headers: &'static [Parameter],
    pub body: &'static [Request],
    pub answer_type: &'static str,
    /// Status, and the schema of the body.
    pub answers: &'static [(u16, &'static str)],
    pub problems: &'static [u16],
}

/// One way to write a request's body.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request {
    pub media_type: &'static str,
    pub schema: &'static str,
}

impl Operation {
    pub const fn new(id: &'static str, summary: &'static str, answers: &'static [(u16, &'static str)]) -> Self {
        Self {
            id,
            summary,
            query: &[],
            takes_columns: None,
            headers: &[],
            body: &[],
            answer_type: "application/json",
            answers,
            problems: &[],
        }
    }

    fn to_json(self, path: &str, scope: Option<Scope>) -> Value {
        let mut parameters: Vec<Value> = path_parameters(path).map(path_parameter).collect();
        parameters.extend(self.query.iter().map(|parameter| described(parameter, "query")));
        parameters.extend(self.headers.iter().map(|parameter| described(parameter, "header")));
        if let Some(description) = self.takes_columns {
            let any_column = json!({"type": "object", "additionalProperties": {"type": "string"}});
            parameters.push(json!({
                "name": "column", "in": "query", "style": "form", "explode": true,
                "schema": any_column, "description": description,
            }));
        }
        let mut operation = json!({
            "operationId": self.id,
            "summary": self.summary,
            "parameters": parameters,
            "responses": self.responses(scope),
            "security": scope.iter().map(|scope| json!({TOKEN: [scope.as_str()]})).collect::<Vec<_>>(),
        });
        if !self.body.is_empty() {
            let ways =
                self.body.iter().map(|body| (body.media_type.to_owned(), json!({"schema": reference(body.schema)})));
            operation["requestBody"] = json!({"content": ways.collect::<Map<_, _>>()});
        }
        operation
    }

    fn responses(self, scope: Option<Scope>) -> Value {
        let answers = self.answers.iter().map(|(status, schema)| {
            let content = json!({self.answer_type: {"schema": reference(schema)}});
            (status.to_string(), json!({"description": "Done", "content": content}))
        });
        // Every route can meet a foreign host name, an unknown parameter or a fault of the machine.
        let of_tokens = scope.map_or(&[][..], |_| &[401, 403]);
        let problems = self.problems.iter().chain(of_tokens).map(u16::to_string);
        let problems = problems.chain(["default".to_owned()]).map(|status| {
            let content = json!({problem::MEDIA_TYPE: {"schema": reference("Problem")}});
            (status, json!({"description": "A problem; its code says which", "content": content}))
        });
        Value::Object(answers.chain(problems).collect())
    }
}

fn path_parameters(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'))
}

fn path_parameter(name: &str) -> Value {
    let schema = if name == "position" { "integer" } else { "string" };
    json!({"name": name, "in": "path", "required": true, "schema": {"type": schema}})
}

fn described(parameter: &Parameter, place: &str) -> Value {
    let schema = match parameter.schema {
        ParameterSchema::Integer => json!({"type": "integer", "minimum": 0}),
        ParameterSchema::Text => json!({"type": "string"}),
        ParameterSchema::TextList => json!({"type": "array", "items": {"type": "string"}}),
    };
    json!({"name": parameter.name, "in": place, "schema": schema, "description": parameter.about})
}

fn reference(schema: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{schema}")})
}

pub(super) const SHOW: Operation = Operation::new("openapi", "Show this document", &[(200, "Document")]);

pub(super) async fn show() -> Json<Value> {
    Json(document())
}

fn document() -> Value {
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for Route { method, path, scope, operation, .. } in routes() {
        paths.entry(path).or_default().insert(method.as_str().to_lowercase(), operation.to_json(path, scope));
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Lantern",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "An event store, projections in WebAssembly, and their read models.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas(),
            "securitySchemes": {TOKEN: {
                "type": "http",
                "scheme": "bearer",
                "description": "A token that `lantern token create` made. The scopes are read, append and admin, which includes both. \
                    A daemon on a loopback address without a tokens file asks for none.",
            }},
        },
    })
}

fn schemas() -> Value {
    // The file is part of the program, and a test reads it.
    serde_json::from_str(include_str!("schemas.json")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(object) => object.iter().for_each(|(name, value)| match value {
                Value::String(target) if name == "$ref" => {
                    found.insert(target.replace("#/components/schemas/", ""));
                }
                value => references(value, found),
            }),
            Value::Array(values) => values.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }

    #[test]
    fn every_schema_is_used_and_every_used_schema_is_there() {
        let mut used = BTreeSet::new();
        references(&document(), &mut used);
        let schemas = schemas();
        let there: BTreeSet<_> = schemas.as_object().expect("an object").keys().cloned().collect();
        assert_eq!(used, there);
    }

    #[test]
    fn operations_are_named_once_and_describe_their_path() {
        let mut ids = BTreeSet::new();
        for Route { method, path, operation, .. } in routes() {
            assert!(ids.insert(operation.id), "{} is used twice", operation.id);
            let described = &document()["paths"][path][method.as_str().to_lowercase()];
            assert_eq!(described["operationId"], operation.id);
            let names: Vec<_> =
                described["parameters"].as_array().expect("a list").iter().map(|p| &p["name"]).collect();
            assert!(path_parameters(path).all(|name| names.contains(&&json!(name))), "{path}: {names:?}");
        }
    }
}
