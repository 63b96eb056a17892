//! Functions of Perl, Ruby, PHP, Lua and awk that only compute, by their names.

use crate::effect::UNKNOWN;

use super::value::{Kind, Origin, Value};
use super::{constant, decode, secret_names};

/// What such a function gives.
pub(super) fn computed(name: &str, given: &[Value]) -> Option<Value> {
    let first = given.first().cloned().unwrap_or_default();
    let second = given.get(1).cloned().unwrap_or_default();
    let origin = given.iter().fold(Origin::NONE, |all, one| all.with(one.origin));
    let hidden = Origin::HIDDEN.with(Origin::DECODED);
    let known =
        |value: &Value| value.as_text().filter(|it| !it.contains(&UNKNOWN)).map(<[u8]>::to_vec);
    let decoded = |bytes: Option<Vec<u8>>| match bytes {
        Some(bytes) => Value::text_from(bytes, origin.with(hidden)),
        None => Value::unknown(origin.with(hidden)),
    };
    Some(match name {
        "base64_decode"
        | "decode_base64"
        | "MIME::Base64::decode_base64"
        | "MIME::Base64::decode"
        | "Base64.decode64"
        | "Base64.strict_decode64"
        | "Base64.urlsafe_decode64"
        | "Base64::decode64" => decoded(known(&first).and_then(|text| decode::base64(&text))),
        "hex2bin" => decoded(known(&first).and_then(|text| decode::hexadecimal(&text))),
        "str_rot13" => decoded(known(&first).map(|text| decode::rot13(&text))),
        "urldecode" | "rawurldecode" | "uri_unescape" => {
            decoded(known(&first).map(|text| decode::percent(&text)))
        }
        "gzinflate" | "gzuncompress" | "gzdecode" | "Zlib::Inflate.inflate"
            if first.origin.has(Origin::DECODED) && matches!(first.kind, Kind::Text(_)) =>
        {
            let bytes = match &first.kind {
                Kind::Text(bytes) => decode::inflated(bytes),
                _ => None,
            };
            decoded(bytes)
        }
        "gzinflate"
        | "gzuncompress"
        | "gzdecode"
        | "Zlib::Inflate.inflate"
        | "uncompress"
        | "convert_uudecode"
        | "Marshal.load" => Value::unknown(origin.with(hidden)),
        "strrev" | "reverse" | ".reverse" | "string.reverse" => {
            // In Perl, `reverse` of one text in a list stays as it is; who hides uses `scalar`.
            decoded(known(&first).map(|text| text.iter().rev().copied().collect()))
        }
        "chr" | "string.char" | "utf8.char" | ".chr" => {
            let bytes: Vec<u8> = given
                .iter()
                .flat_map(|one| constant::character(one).unwrap_or_else(|| vec![UNKNOWN]))
                .collect();
            Value::text_from(bytes, origin.with(Origin::HIDDEN))
        }
        "pack" => pack(&known(&first)?, given.get(1..)?, origin),
        ".pack" => {
            let items = constant::items(&first).unwrap_or_default();
            pack(&known(&second)?, &items, origin)
        }
        ".unpack1" | ".unpack" | "unpack" => {
            let (text, format) = if name == "unpack" { (second, first) } else { (first, second) };
            match (known(&text), known(&format)) {
                (Some(text), Some(format)) if format.starts_with(b"m") => {
                    decoded(decode::base64(&text))
                }
                _ => decoded(None),
            }
        }
        "join" | "implode" => {
            let list: Vec<Value> = given
                .iter()
                .skip(1)
                .flat_map(|one| {
                    constant::items(one)
                        .filter(|_| one.as_text().is_none())
                        .unwrap_or_else(|| vec![one.clone()])
                })
                .collect();
            constant::method(&Value::list(list), "join", &[Value::text(first.to_text())])?
        }
        "table.concat" => {
            let separator = if second.as_text().is_some() { second } else { Value::text("") };
            constant::method(&first, "join", &[separator])?
        }
        "str_replace" => constant::method(&given.get(2)?.clone(), "replace", &[first, second])?,
        "sprintf" | "string.format" | "format" => {
            constant::binary(b"%", &first, &Value::list(given.get(1..)?.to_vec()))
        }
        "trim" | "lc" | "strtolower" | "string.lower" | ".strip" | ".chomp" | ".to_s"
        | ".freeze" | "escapeshellarg" | "escapeshellcmd" | "String" | "File.expand_path" => first,
        // The pattern stands for what it matches.
        "glob" | "bsd_glob" | "File::Glob::bsd_glob" | "Dir.glob" | "Dir" => {
            let secret = secret_names::is_secret(&first.to_text());
            first.from(if secret { Origin::SECRET } else { Origin::NONE })
        }
        // Names in a folder stand for all that is in it.
        "Dir.children"
        | "Dir.entries"
        | "Dir.each_child"
        | "RecursiveDirectoryIterator"
        | "DirectoryIterator"
        | "FilesystemIterator" => {
            let folder = constant::join_path(&first.to_text(), &[UNKNOWN]);
            Value::text_from(folder, origin.with(Origin::WALK))
        }
        "RecursiveIteratorIterator" | "IteratorIterator" | "iterator_to_array" => first,
        "scandir" | "readdir" => Value::text_from([UNKNOWN], origin.with(Origin::WALK)),
        // A file that is written to.
        "fopen" | "File.open" | "File.new" | "io.open" if writes(&second.to_text()) => {
            Value { kind: Kind::File(first.to_text()), origin: first.origin }
        }
        "File.join" => {
            let parts: Vec<Vec<u8>> = given.iter().map(Value::to_text).collect();
            Value::text_from(parts.join(&b'/'), origin)
        }
        "file_get_contents" | "File.read" | "IO.read" | "File.binread" | "file" => {
            let path = first.to_text();
            let address = path.windows(3).any(|window| window == b"://");
            let local = path.starts_with(b"php") && path != b"php://input";
            if address && !local {
                Value::unknown(Origin::NETWORK)
            } else if secret_names::is_secret(&path) {
                Value::unknown(Origin::FILE.with(Origin::SECRET))
            } else {
                Value::unknown(Origin::FILE)
            }
        }
        "get"
        | "LWP::Simple::get"
        | "curl_exec"
        | "Net::HTTP.get"
        | "URI.open"
        | "fgets"
        | "fread"
        | "open"
        | "http.request"
        | "recv"
        | "socket_read"
        | "stream_get_contents"
        | "URI.parse" => {
            let network = matches!(
                name,
                "get"
                    | "LWP::Simple::get"
                    | "curl_exec"
                    | "Net::HTTP.get"
                    | "URI.open"
                    | "http.request"
                    | "recv"
                    | "socket_read"
            ) || first.to_text().starts_with(b"http");
            Value::unknown(if network { Origin::NETWORK } else { origin })
        }
        _ => return None,
    })
}

/// Whether a file that is opened so may be changed.
pub(super) fn writes(mode: &[u8]) -> bool {
    mode.iter().any(|byte| b"wa>+".contains(byte))
}

/// `pack("H*", "726d")`, `[114, 109].pack("c*")`
fn pack(format: &[u8], given: &[Value], origin: Origin) -> Value {
    let hidden = origin.with(Origin::HIDDEN).with(Origin::DECODED);
    let text = given.first().and_then(|one| one.as_text());
    let bytes = match (format.first(), text) {
        (Some(b'H'), Some(text)) => decode::hexadecimal(text),
        (Some(b'c' | b'C' | b'U' | b'W'), _) => {
            given.iter().map(|one| one.as_number().and_then(|one| u8::try_from(one).ok())).collect()
        }
        (Some(b'A' | b'a'), Some(text)) => Some(text.to_vec()),
        _ => None,
    };
    bytes.map_or(Value::unknown(hidden), |bytes| Value::text_from(bytes, hidden))
}
