//! A small image: a static busybox.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use sha2::{Digest, Sha256};

/// Its name, as both engines tell it.
pub(crate) const IMAGE: &str = "localhost/ctrlz-test:1";

/// The names under which busybox is called.
const PROGRAMS: &[&str] = &[
    "sh", "cat", "echo", "id", "ls", "mkdir", "mount", "mv", "rm", "sleep", "stty", "tail",
    "touch", "true", "tty", "wc", "head", "dd", "chmod", "ln", "env", "sort", "readlink", "grep",
    "seq", "ps",
];

/// Writes it as `docker save` does.
pub(crate) fn archive(path: &Path) {
    let layer = layer();
    let digest: String = Sha256::digest(&layer).iter().map(|byte| format!("{byte:02x}")).collect();
    let config = serde_json::json!({
        "architecture": match std::env::consts::ARCH { "aarch64" => "arm64", _ => "amd64" },
        "os": "linux",
        "config": { "Env": ["FROM_IMAGE=yes"], "Volumes": null },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{digest}")] },
        "history": [],
    });
    let manifest = serde_json::json!([
        { "Config": "config.json", "RepoTags": [IMAGE], "Layers": ["layer.tar"] }
    ]);
    let mut archive = tar::Builder::new(File::create(path).expect("make an archive"));
    put(&mut archive, "layer.tar", &layer, 0o644);
    put(&mut archive, "config.json", config.to_string().as_bytes(), 0o644);
    put(&mut archive, "manifest.json", manifest.to_string().as_bytes(), 0o644);
    archive.into_inner().expect("finish").flush().expect("finish");
}

fn layer() -> Vec<u8> {
    let mut layer = tar::Builder::new(Vec::new());
    for (name, mode) in [
        ("bin", 0o755),
        ("etc", 0o755),
        ("tmp", 0o1777),
        ("run", 0o755),
        ("var", 0o755),
        ("var/tmp", 0o1777),
    ] {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::Directory);
        header.set_mode(mode);
        header.set_size(0);
        layer.append_data(&mut header, format!("{name}/"), std::io::empty()).expect("append");
    }
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].into_iter().find_map(|p| fs::read(p).ok());
    put(&mut layer, "bin/busybox", &busybox.expect("busybox"), 0o755);
    // Whoever runs it is root, but for no_new_privs.
    put(&mut layer, "etc/passwd", b"root:x:0:0::/:/bin/sh\n", 0o644);
    for name in PROGRAMS {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_mode(0o777);
        header.set_size(0);
        layer.append_link(&mut header, format!("bin/{name}"), "busybox").expect("append");
    }
    layer.into_inner().expect("finish")
}

fn put<W: Write>(archive: &mut tar::Builder<W>, name: &str, bytes: &[u8], mode: u32) {
    let mut header = tar::Header::new_ustar();
    header.set_mode(mode);
    header.set_size(bytes.len() as u64);
    archive.append_data(&mut header, name, bytes).expect("append");
}
