//! Who may do what: every call of the description, with every role.

use serde_json::{Value, json};

use super::Service;
use crate::support::Scene;

const METHODS: [&str; 4] = ["get", "post", "put", "delete"];

/// The calls of the description: method, path, and the least role that it tells of, and whether that
/// has to be one of the tenant `default`.
fn calls(document: &Value) -> Vec<(String, String, (String, bool))> {
    let mut calls = Vec::new();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for method in METHODS {
            let Some(call) = methods.get(method) else { continue };
            let role = call.pointer("/security/0/token/0").and_then(Value::as_str);
            let role = role.unwrap_or_else(|| panic!("{method} {path} tells no role"));
            let of_owner =
                call.pointer("/security/0/token/1").is_some_and(|word| word == "default");
            calls.push((method.to_uppercase(), path.clone(), (role.to_owned(), of_owner)));
        }
    }
    calls
}

/// A path with names in it that nothing has.
fn filled(path: &str) -> String {
    let parts = path.split('/').map(|part| match part.strip_prefix('{') {
        None => part,
        Some("operation}") => "op-99999",
        Some("snapshot}") => "snap-99999",
        Some(_) => "nothing-has-this-name",
    });
    parts.collect::<Vec<_>>().join("/")
}

fn may(role: &str, needed: &str, of_owner: bool) -> bool {
    match needed {
        "viewer" => true,
        "operator" => role == "operator" || role == "admin",
        "approver" => role == "approver" || role == "admin",
        "admin" => role == "admin",
        "owner" => role == "admin" && of_owner,
        other => panic!("{other} is no role"),
    }
}

#[test]
fn every_call_lets_those_in_that_its_description_tells_of() {
    let scene = Scene::new();
    let service = Service::start(&scene);
    let admin = service.admin();
    admin.put("/v1/tenants/other", &json!({})).is(200);
    let calls = calls(&admin.get("/openapi.json").is(200).json());
    assert!(calls.len() > 35, "{calls:?}");
    for (method, path, (needed, of_owner)) in &calls {
        let path = filled(path);
        let kind = [("content-type", "application/json")];
        for wrong in ["", "ctrlz_0123456789abcdef", &service.admin[..service.admin.len() - 1]] {
            service.with(wrong).send(method, &path, &kind, b"{}").is(401);
        }
        for role in ["viewer", "operator", "approver", "admin"] {
            for tenant in ["default", "other"] {
                let token = admin.token(tenant, role);
                let answer = service.with(&token).send(method, &path, &kind, b"{}");
                let lets =
                    may(role, needed, tenant == "default") && (!of_owner || tenant == "default");
                assert_eq!(
                    answer.status != 403,
                    lets,
                    "{method} {path} for {role} of {tenant}: {} {}",
                    answer.status,
                    answer.text
                );
                assert!(answer.status < 500, "{method} {path}: {}", answer.text);
            }
        }
    }
}

#[test]
fn a_token_that_is_revoked_or_expired_lets_nobody_in() {
    let scene = Scene::new();
    let service = Service::start(&scene);
    let admin = service.admin();
    let made = admin.post("/v1/tokens", &json!({ "role": "viewer" })).is(201).json();
    let (token, id) = (made["token"].as_str().expect("one"), made["id"].as_str().expect("one"));
    service.with(token).get("/v1/sandboxes").is(200);
    admin.delete(&format!("/v1/tokens/{id}")).is(204);
    admin.delete(&format!("/v1/tokens/{id}")).is(404);
    assert!(service.with(token).get("/v1/sandboxes").is(401).text.contains("revoked"));
    let made = admin.post("/v1/tokens", &json!({ "role": "viewer", "expires_in": 1 })).is(201);
    let made = made.json();
    admin.post("/v1/tokens", &json!({ "role": "viewer", "expires_in": 0 })).is(400);
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let expired = service.with(made["token"].as_str().expect("one")).get("/v1/sandboxes").is(401);
    assert!(expired.text.contains("expired"), "{}", expired.text);
    // What is kept of a token does not let anybody in.
    let listed = admin.get("/v1/tokens").is(200).text;
    assert!(!listed.contains(&service.admin) && !listed.contains("secret"), "{listed}");
}

#[test]
fn tokens_are_made_and_revoked_on_the_command_line() {
    let scene = Scene::new();
    let service = Service::start(&scene);
    let token = scene.ok(&["token", "new", "--role", "operator", "-m", "for tests"]);
    service.with(token.trim()).sandbox("web");
    let listed = scene.ok(&["token", "ls"]);
    assert!(listed.contains("for tests") && !listed.contains(token.trim()), "{listed}");
    let id = token.split('_').nth(1).expect("an id");
    scene.ok(&["token", "revoke", id]);
    service.with(token.trim()).get("/v1/sandboxes").is(401);
    scene.run(&["token", "revoke", id]).code(123).says(&["no token"]);
    // The service begins again with the tokens that it has, and tells none.
    service.stop();
    assert_eq!(Service::start(&scene).admin, "");
}
