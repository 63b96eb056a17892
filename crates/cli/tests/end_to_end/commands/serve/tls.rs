//! The service with TLS.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustix::process::Signal;
use serde_json::{Value, json};

use super::Service;
use crate::support::Scene;

/// An authority whose certificates are put into a folder.
pub(in crate::commands) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(in crate::commands) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("an authority"))
    }

    pub(in crate::commands) fn issue(&self, folder: &Path) {
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("an address");
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("signed");
        std::fs::write(folder.join("cert.pem"), certificate.pem()).expect("written");
        std::fs::write(folder.join("key.pem"), key.serialize_pem()).expect("written");
        expose(folder, 0o600);
    }

    /// Its own certificate.
    pub(in crate::commands) fn pem(&self) -> String {
        self.0.pem()
    }

    /// A client that trusts it.
    fn get(&self, service: &Service, path: &str, token: &str) -> Result<Value, ureq::Error> {
        let root = ureq::tls::Certificate::from_der(self.0.der()).to_owned();
        let tls = ureq::tls::TlsConfig::builder()
            .root_certs(ureq::tls::RootCerts::Specific(std::sync::Arc::new(vec![root])))
            .build();
        let agent: ureq::Agent = ureq::Agent::config_builder().tls_config(tls).build().into();
        let asked = agent.get(format!("{}{path}", service.address));
        let mut answer = asked.header("authorization", format!("Bearer {token}")).call()?;
        assert!(answer.headers().contains_key("strict-transport-security"));
        let text = answer.body_mut().read_to_string()?;
        Ok(serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }
}

fn expose(folder: &Path, mode: u32) {
    let mode = std::fs::Permissions::from_mode(mode);
    std::fs::set_permissions(folder.join("key.pem"), mode).expect("set");
}

#[test]
fn with_a_certificate_it_is_offered_to_other_machines_and_told_of_a_new_one() {
    let scene = Scene::new();
    let folder = scene.root.join("tls");
    std::fs::create_dir(&folder).expect("a folder");
    let (first, second) = (Authority::new("first"), Authority::new("second"));
    first.issue(&folder);
    expose(&folder, 0o644);
    let mut begin = scene.ctrlz(["serve", "--listen", "0.0.0.0:0", "--json"]);
    begin.current_dir(&folder).env("CTRLZ_TLS_CERT", "cert.pem");
    let told = |begin: &mut std::process::Command| {
        String::from_utf8(begin.output().expect("it ran").stdout).expect("text")
    };
    let alone = told(&mut begin);
    assert!(alone.contains("a certificate and its key"), "{alone}");
    begin.env("CTRLZ_TLS_KEY", "key.pem");
    let exposed = told(&mut begin);
    assert!(exposed.contains("chmod 0640"), "{exposed}");
    expose(&folder, 0o640);
    let mut service = Service::begin(begin);
    let port = service.address.strip_prefix("https://0.0.0.0:").expect("TLS").to_owned();
    service.address = format!("https://127.0.0.1:{port}");
    let admin = service.admin.clone();
    let listed = first.get(&service, "/v1/sandboxes", &admin).expect("an answer");
    assert_eq!(listed["items"], json!([]));
    first.get(&service, "/v1/sandboxes", "").expect_err("TLS lets nobody in who has no token");
    second.get(&service, "/health/live", "").expect_err("another authority");
    let certificate = |authority: &Authority| {
        let ready = authority.get(&service, "/health/ready", "").expect("an answer");
        assert_eq!(ready["status"], "ready");
        ready["checks"]["certificate"].clone()
    };
    assert_eq!(certificate(&first), json!({ "healthy": true }));
    // What cannot be used is told, and what was there stays in use.
    std::fs::write(folder.join("cert.pem"), "nonsense").expect("written");
    service.signal(Signal::HUP);
    while certificate(&first)["stale"] != true {}
    let told = certificate(&first);
    assert!(told["reason"].as_str().is_some_and(|why| why.contains("cert.pem")), "{told}");
    let metrics = first.get(&service, "/metrics", &admin).expect("text");
    let stale = "ctrlz_tls_certificates_stale 1";
    assert!(metrics.as_str().is_some_and(|text| text.contains(stale)), "{metrics}");
    second.issue(&folder);
    service.signal(Signal::HUP);
    while second.get(&service, "/health/live", "").is_err() {}
    assert_eq!(certificate(&second), json!({ "healthy": true }));
    service.stop();
}
