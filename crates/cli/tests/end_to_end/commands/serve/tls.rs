//! The service with TLS.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustix::process::Signal;
use serde_json::{Value, json};

use super::Service;
use crate::support::{Outcome, Scene};

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
        self.issue_with(folder, |_| {});
    }

    fn issue_with(&self, folder: &Path, change: impl FnOnce(&mut CertificateParams)) {
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("an address");
        params.not_after = rcgen::date_time_ymd(2100, 1, 1);
        change(&mut params);
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
    let fine = json!({ "healthy": true, "expires": "2100-01-01T00:00:00Z" });
    assert_eq!(certificate(&first), fine);
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
    assert_eq!(certificate(&second), fine);
    service.stop();
}

#[test]
fn a_certificate_is_told_to_end_before_it_does() {
    let scene = Scene::new();
    let folder = scene.root.join("tls");
    std::fs::create_dir(&folder).expect("a folder");
    let authority = Authority::new("authority");
    let days = |days: u64| SystemTime::now() + Duration::from_secs(days * 86_400 + 3600);
    authority.issue_with(&folder, |params| params.not_after = days(10).into());
    let mut begin = scene.ctrlz(["serve", "--listen", "127.0.0.1:0", "--json"]);
    begin.current_dir(&folder).args(["--tls-cert", "cert.pem", "--tls-key", "key.pem"]);
    let service = Service::begin(begin);
    let ready = authority.get(&service, "/health/ready", "").expect("an answer");
    let told = &ready["checks"]["certificate"];
    assert_eq!((&ready["status"], &told["healthy"]), (&json!("ready"), &json!(true)), "{ready}");
    let warning = told["warning"].as_str().expect("a warning");
    assert!(warning.contains("expires at 20") && warning.ends_with("in 10 days"), "{warning}");
    let url = format!("unix://{}", scene.store.join("service.sock").display());
    let health = |code: i32| {
        let mut command = scene.ctrlz(["--server", &url, "--json", "health"]);
        let told = Outcome::of(command.env("CTRLZ_TOKEN", &service.admin)).code(code).json();
        let findings = told["findings"].as_array().expect("findings").clone();
        findings.into_iter().find(|one| one["check"] == "certificate").expect("it")
    };
    let found = health(1);
    assert_eq!((&found["severity"], &found["evidence"]), (&json!("warning"), &told["warning"]));
    // One that has expired.
    authority.issue_with(&folder, |params| {
        params.not_before = rcgen::date_time_ymd(2001, 1, 1);
        params.not_after = rcgen::date_time_ymd(2002, 1, 1);
    });
    service.signal(Signal::HUP);
    while authority.get(&service, "/health/live", "").is_ok() {}
    let ready = at_socket(&scene.store.join("service.sock"), "/health/ready");
    assert!(ready.starts_with("HTTP/1.1 503"), "{ready}");
    assert!(ready.contains("the certificate expired at 2002-01-01T00:00:00Z"), "{ready}");
    assert_eq!(health(2)["severity"], "critical");
    // The next one is enough.
    authority.issue_with(&folder, |params| params.not_after = days(20).into());
    service.signal(Signal::HUP);
    while authority.get(&service, "/health/live", "").is_err() {}
    let ready = authority.get(&service, "/health/ready", "").expect("an answer");
    assert_eq!(ready["checks"]["certificate"]["warning"], Value::Null, "{ready}");
    let metrics = authority.get(&service, "/metrics", &service.admin).expect("text");
    let line = metrics.as_str().and_then(|text| {
        text.lines()
            .find(|line| line.starts_with("ctrlz_tls_certificates_expire_timestamp_seconds "))
    });
    assert!(line.is_some_and(|line| !line.ends_with(" 0")), "{metrics}");
    service.stop();
}

/// What is answered at a Unix socket.
fn at_socket(socket: &Path, path: &str) -> String {
    let mut stream = UnixStream::connect(socket).expect("a connection");
    write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").expect("sent");
    let mut told = String::new();
    stream.read_to_string(&mut told).expect("an answer");
    told
}
