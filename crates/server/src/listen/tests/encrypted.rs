//! TLS, with certificates that are right, wrong, missing, expired and changed.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use super::super::tls::{Tls, TlsError, TlsFiles};
use super::{Limits, PATIENCE, Stage, rest};

/// An authority.
struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, as PEM.
struct Issued {
    certificate: rcgen::Certificate,
    key: KeyPair,
}

impl Authority {
    fn new() -> Self {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let mut params = CertificateParams::new(Vec::<String>::new()).expect("no names");
        let name = format!("authority {}", MADE.fetch_add(1, Ordering::Relaxed));
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("an authority"))
    }

    fn issue(&self, change: impl FnOnce(&mut CertificateParams)) -> Issued {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        Issued { certificate: params.signed_by(&key, &self.0).expect("signed"), key }
    }
}

fn expired(params: &mut CertificateParams) {
    params.not_before = rcgen::date_time_ymd(2001, 1, 1);
    params.not_after = rcgen::date_time_ymd(2002, 1, 1);
}

/// A folder with the files.
struct Files(tempfile::TempDir);

impl Files {
    fn new(authority: &Authority) -> Self {
        let files = Self(tempfile::tempdir().expect("a folder"));
        files.write("clients.pem", &authority.0.pem(), 0o644);
        files.put(&authority.issue(|_| {}));
        files
    }

    fn write(&self, name: &str, text: &str, mode: u32) {
        let path = self.0.path().join(name);
        let new = self.0.path().join("new");
        std::fs::write(&new, text).expect("written");
        std::fs::set_permissions(&new, std::fs::Permissions::from_mode(mode)).expect("set");
        std::fs::rename(&new, &path).expect("renamed");
    }

    fn put(&self, issued: &Issued) {
        self.write("cert.pem", &issued.certificate.pem(), 0o644);
        self.write("key.pem", &issued.key.serialize_pem(), 0o600);
    }

    fn paths(&self, with_clients: bool) -> TlsFiles {
        let path = |name: &str| self.0.path().join(name);
        TlsFiles {
            certificate: path("cert.pem"),
            key: path("key.pem"),
            client_authorities: with_clients.then(|| path("clients.pem")),
        }
    }

    fn tls(&self, with_clients: bool) -> Arc<Tls> {
        Tls::new(self.paths(with_clients)).expect("files that fit")
    }
}

fn client(authority: &Authority, own: Option<&Issued>) -> Arc<ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(authority.0.der().clone()).expect("a root");
    let builder =
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots);
    Arc::new(match own {
        None => builder.with_no_client_auth(),
        Some(own) => {
            let key = PrivateKeyDer::try_from(own.key.serialize_der()).expect("a key");
            let chain = vec![own.certificate.der().clone()];
            builder.with_client_auth_cert(chain, key).expect("fits")
        }
    })
}

type Encrypted = StreamOwned<ClientConnection, TcpStream>;

fn connect(stage: &Stage, config: &Arc<ClientConfig>) -> Encrypted {
    let name = ServerName::try_from("localhost").expect("a name");
    let connection = ClientConnection::new(Arc::clone(config), name).expect("a client");
    StreamOwned::new(connection, stage.connect())
}

/// What a client of that kind is answered; `Err` when it does not come so far.
fn ask(stage: &Stage, config: &Arc<ClientConfig>) -> Result<String, String> {
    let mut stream = connect(stage, config);
    let sent = stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    let mut heard = String::new();
    sent.and_then(|()| stream.read_to_string(&mut heard)).map_err(|error| error.to_string())?;
    Ok(heard)
}

#[track_caller]
fn is_served(stage: &Stage, config: &Arc<ClientConfig>) {
    let heard = ask(stage, config).expect("an answer");
    assert!(heard.starts_with("HTTP/1.1 200") && heard.ends_with("well"), "{heard}");
    assert!(heard.contains("strict-transport-security: max-age="), "{heard}");
}

#[test]
fn who_trusts_the_authority_is_served_and_nobody_else_hears_a_thing() {
    let (authority, other) = (Authority::new(), Authority::new());
    let files = Files::new(&authority);
    let stage = Stage::with(Limits::default(), Some(files.tls(false)));
    is_served(&stage, &client(&authority, None));
    let wrong = ask(&stage, &client(&other, None)).expect_err("nobody it trusts");
    assert!(wrong.contains("UnknownIssuer"), "{wrong}");
    let plain = stage.until_the_end(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n");
    assert!(plain.starts_with("HTTP/1.1 400") && plain.contains("use https://"), "{plain}");
    let (head, body) = plain.split_once("\r\n\r\n").expect("a body");
    assert!(head.ends_with(&format!("content-length: {}", body.len())), "{head}");
    serde_json::from_str::<serde_json::Value>(body).expect("an object");
    is_served(&stage, &client(&authority, None));
}

#[test]
fn curl_speaks_to_it_by_http_2_and_by_http_1() {
    let authority = Authority::new();
    let files = Files::new(&authority);
    let stage = Stage::with(Limits::default(), Some(files.tls(false)));
    for (flag, version) in [("--http2", "2"), ("--http1.1", "1.1")] {
        let address = format!("localhost:{}:{}", stage.address.port(), stage.address.ip());
        let asked = std::process::Command::new("curl")
            .args(["--silent", "--show-error", flag, "--cacert"])
            .arg(files.0.path().join("clients.pem"))
            .args(["--resolve", &address, "--write-out", " %{http_version}"])
            .arg(format!("https://localhost:{}/", stage.address.port()))
            .output();
        let Ok(asked) = asked else {
            // libtest captures what print writes; a skip must be seen.
            let _ = writeln!(std::io::stdout(), "SKIPPED(curl is not installed)");
            return;
        };
        let heard = String::from_utf8_lossy(&asked.stdout);
        let told = String::from_utf8_lossy(&asked.stderr);
        assert_eq!(heard, format!("well {version}"), "{told}");
    }
}

#[test]
fn with_client_authorities_only_their_clients_are_served() {
    let (authority, other) = (Authority::new(), Authority::new());
    let files = Files::new(&authority);
    let stage = Stage::with(Limits::default(), Some(files.tls(true)));
    let good = authority.issue(|_| {});
    is_served(&stage, &client(&authority, Some(&good)));
    for (own, why) in [
        (None, "CertificateRequired"),
        (Some(other.issue(|_| {})), "UnknownCA"),
        (Some(authority.issue(expired)), "CertificateExpired"),
    ] {
        let refused = ask(&stage, &client(&authority, own.as_ref())).expect_err(why);
        assert!(refused.contains(why), "{refused}");
    }
    is_served(&stage, &client(&authority, Some(&good)));
}

#[test]
fn a_certificate_that_has_expired_is_refused_by_clients() {
    let authority = Authority::new();
    let files = Files::new(&authority);
    files.put(&authority.issue(expired));
    let stage = Stage::with(Limits::default(), Some(files.tls(false)));
    let refused = ask(&stage, &client(&authority, None)).expect_err("expired");
    assert!(refused.contains("xpired"), "{refused}");
}

/// Ends what goes on until that is set, whatever comes of the test.
struct EndOf<'a>(&'a AtomicBool);

impl Drop for EndOf<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_new_certificate_is_used_without_a_request_that_fails() {
    let (first, second) = (Authority::new(), Authority::new());
    let files = Files::new(&first);
    let old = first.issue(|_| {});
    files.put(&old);
    let tls = files.tls(false);
    let stage = Stage::with(Limits::default(), Some(Arc::clone(&tls)));
    stage.runtime.spawn(Arc::clone(&tls).follow());
    let both = {
        let mut roots = rustls::RootCertStore::empty();
        for one in [&first, &second] {
            roots.add(one.0.der().clone()).expect("a root");
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider);
        let builder = builder.with_safe_default_protocol_versions().expect("versions");
        Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
    };
    let (over, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let _end = EndOf(&over);
        for _ in 0..4 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    is_served(&stage, &both);
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        // A connection from before goes on with what it was made with.
        let mut kept = connect(&stage, &both);
        let again = |kept: &mut Encrypted| {
            kept.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").expect("sent");
            let mut heard = Vec::new();
            while !heard.ends_with(b"well") {
                let mut piece = [0; 4096];
                let read = kept.read(&mut piece).expect("an answer");
                assert_ne!(read, 0);
                heard.extend_from_slice(&piece[..read]);
            }
        };
        again(&mut kept);
        // Broken in every way first: each time what was there stays.
        let broken = [("cert.pem", "nonsense", 0o644), ("key.pem", "nonsense", 0o600)];
        for (name, text, mode) in broken {
            files.write(name, text, mode);
            tls.reload().expect_err("broken");
            assert!(tls.trouble().is_some_and(|told| told.contains(name)), "{:?}", tls.trouble());
            files.put(&old);
        }
        let new = second.issue(|_| {});
        files.write("cert.pem", &new.certificate.pem(), 0o644);
        files.write("key.pem", &first.issue(|_| {}).key.serialize_pem(), 0o600);
        let mixed = tls.reload().expect_err("they do not fit");
        assert!(matches!(mixed, TlsError::Unusable { .. }), "{mixed}");
        let only_first = client(&first, None);
        is_served(&stage, &only_first);
        // It is found without being told.
        files.put(&new);
        let begun = std::time::Instant::now();
        while ask(&stage, &client(&second, None)).is_err() {
            assert!(begun.elapsed() < PATIENCE, "{:?}", tls.trouble());
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(tls.trouble(), None);
        ask(&stage, &only_first).expect_err("the old one is not used any more");
        again(&mut kept);
        let before = asked.load(Ordering::Relaxed);
        while asked.load(Ordering::Relaxed) < before + 8 {
            std::thread::yield_now();
        }
    });
}

#[test]
fn a_key_that_everybody_may_read_is_refused() {
    let authority = Authority::new();
    let files = Files::new(&authority);
    for (mode, is_taken) in [(0o604, false), (0o620, false), (0o640, true), (0o400, true)] {
        files.write("key.pem", &authority.issue(|_| {}).key.serialize_pem(), mode);
        let refused = Tls::new(files.paths(false)).expect_err("another key");
        let is_exposed = matches!(refused, TlsError::Exposed { .. });
        assert_eq!(is_exposed, !is_taken, "{mode:o}: {refused}");
    }
    let gone = TlsFiles { key: Path::new("/nowhere/key.pem").to_owned(), ..files.paths(false) };
    let refused = Tls::new(gone).expect_err("no key");
    assert!(refused.to_string().contains("/nowhere/key.pem"), "{refused}");
}

#[test]
fn handshakes_that_stall_are_dropped() {
    let authority = Authority::new();
    let files = Files::new(&authority);
    let limits = Limits { handshake: Duration::from_secs(2), ..Limits::default() };
    let stage = Stage::with(limits, Some(files.tls(false)));
    for begun in [&b""[..], &[22], &[22, 3, 1, 2, 0, 1], &[22, 3, 3, 255, 255, 1, 1, 1]] {
        let mut stream = stage.connect();
        stream.write_all(begun).expect("sent");
        rest(&mut stream);
        stage.has_open(0);
        is_served(&stage, &client(&authority, None));
    }
    assert!(stage.counted.unagreed.get() >= 4);
}
