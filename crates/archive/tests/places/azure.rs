//! Azure's blob service as a place: Microsoft's own emulator, Azurite.

use std::path::Path;
use std::process::Command;

use ctrlz_archive::place::Object;

use crate::fixture::{has, run};
use crate::remote::{Server, collection, contract, free_port, serve};

/// The account and its key that every Azurite has.
const ACCOUNT: &str = "devstoreaccount1";
const KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// Makes a container, which [`Object`] never does: the request is signed as Azure wants it.
const MAKE_CONTAINER: &str = r#"
import base64, email.utils, hashlib, hmac, sys, urllib.request
port, account, key = sys.argv[1:]
date = email.utils.formatdate(usegmt=True)
text = f'PUT\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:{date}\nx-ms-version:2021-08-06\n/{account}/{account}/container\nrestype:container'
signed = base64.b64encode(hmac.new(base64.b64decode(key), text.encode(), hashlib.sha256).digest()).decode()
request = urllib.request.Request(f'http://127.0.0.1:{port}/{account}/container?restype=container', method='PUT')
for name, value in {'x-ms-date': date, 'x-ms-version': '2021-08-06', 'Authorization': f'SharedKey {account}:{signed}'}.items():
    request.add_header(name, value)
urllib.request.urlopen(request)
"#;

/// Azurite, from `$CTRLZ_AZURITE` or the path, with its files in `directory`.
fn azurite(directory: &Path) -> Option<Server> {
    let program = match std::env::var_os("CTRLZ_AZURITE") {
        Some(program) => program,
        None if has("azurite-blob") => "azurite-blob".into(),
        None => return None,
    };
    let port = free_port();
    let mut command = Command::new(program);
    command.args(["--blobHost", "127.0.0.1", "--blobPort", &port.to_string()]);
    command.args(["--silent", "--disableTelemetry", "--skipApiVersionCheck", "--location"]);
    command.arg(directory);
    let server = serve(command, port);
    run("/usr/bin/python3", &["-c", MAKE_CONTAINER, &port.to_string(), ACCOUNT, KEY]);
    Some(server)
}

fn open(port: u16, prefix: &str) -> Object {
    let options = [
        ("AZURE_STORAGE_ACCOUNT_NAME", ACCOUNT.to_owned()),
        ("AZURE_STORAGE_ACCOUNT_KEY", KEY.to_owned()),
        ("AZURE_STORAGE_ENDPOINT", format!("http://127.0.0.1:{port}/{ACCOUNT}")),
        ("AZURE_ALLOW_HTTP", "true".to_owned()),
        ("AWS_ENDPOINT", "http://something.else".to_owned()),
    ];
    let options = options.map(|(name, value)| (name.to_owned(), value));
    Object::open(&format!("az://container/{prefix}"), options, None).expect("an address")
}

#[test]
fn azure_keeps_the_contract() {
    let directory = tempfile::tempdir().expect("a directory");
    let Some(server) = azurite(directory.path()) else { return };
    contract(&open(server.port, "some/prefix"));
    assert_eq!(ctrlz_archive::place::Place::names(&open(server.port, "other")).expect("names"), []);
}

#[test]
fn azure_is_collected_without_a_lock() {
    let directory = tempfile::tempdir().expect("a directory");
    let Some(server) = azurite(directory.path()) else { return };
    collection(&open(server.port, "collected"));
}
