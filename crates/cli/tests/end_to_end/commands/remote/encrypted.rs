//! A service with TLS.

use super::super::serve::Service;
use super::super::serve::tls::Authority;
use super::There;
use crate::support::{Outcome, Scene};

#[test]
fn by_tls_a_service_and_a_client_know_each_other() {
    let scene = Scene::new();
    let folder = |name: &str| {
        let folder = scene.root.join(name);
        std::fs::create_dir(&folder).expect("a folder");
        folder
    };
    let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
    let (there, here) = (folder("there"), folder("here"));
    servers.issue(&there);
    clients.issue(&here);
    std::fs::write(scene.root.join("servers.pem"), servers.pem()).expect("written");
    std::fs::write(scene.root.join("clients.pem"), clients.pem()).expect("written");
    let mut begin = scene.ctrlz(["serve", "--listen", "127.0.0.1:0", "--json"]);
    begin
        .env("CTRLZ_TLS_CERT", there.join("cert.pem"))
        .env("CTRLZ_TLS_KEY", there.join("key.pem"))
        .env("CTRLZ_TLS_CLIENT_CA", scene.root.join("clients.pem"));
    let service = Service::begin(begin);
    let token = service.admin.clone();
    let there = There { service, scene, token };
    let (root, ca) = (&there.scene.root, there.scene.root.join("servers.pem"));
    let list = |ca: Option<&std::path::Path>, own: &[&str]| {
        let mut command = there.ctrlz(&["--json", "ls"]);
        command.envs(ca.map(|ca| ("CTRLZ_SERVER_CA", ca)));
        for (name, file) in [("CTRLZ_SERVER_CERT", "cert.pem"), ("CTRLZ_SERVER_KEY", "key.pem")] {
            if own.contains(&name) {
                command.env(name, here.join(file));
            }
        }
        Outcome::of(&mut command)
    };
    let both = ["CTRLZ_SERVER_CERT", "CTRLZ_SERVER_KEY"];
    assert_eq!(list(Some(&ca), &both).ok().json()["sandboxes"], serde_json::json!([]));
    let kind = |outcome: Outcome| outcome.code(125).json()["error"]["kind"].clone();
    assert_eq!(kind(list(Some(&root.join("clients.pem")), &both)), "tls");
    assert_eq!(kind(list(Some(&root.join("nothing.pem")), &both)), "tls");
    assert_eq!(kind(list(Some(&ca), &both[..1])), "tls");
    // What a service without a certificate of ours says ends the connection, or what follows.
    let without = kind(list(Some(&ca), &[]));
    assert!(without == "tls" || without == "connection-lost", "{without}");
}
