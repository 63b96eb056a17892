//! Programs that fetch and send by address: curl, wget and their like.

use super::network::{Place, place};
use crate::effect::{EffectKind, Qualities, Target};
use crate::evaluate::Evaluator;
use crate::evaluate::call::{Call, Options};
use crate::evaluate::expand::Field;
use crate::evaluate::value::{Taint, Value};
use crate::source_range::SourceRange;

impl Evaluator<'_> {
    /// curl, wget and their like.
    pub(super) fn transfer(&mut self, call: &Call) {
        const LETTERS: &str = "oOdFHuXATebcCDEKmQrtUwxyYzPa";
        let wget = call.name.starts_with("wget") || call.name == "aria2c";
        let saves = wget || call.name == "axel";
        let letters = if wget { "OPUoaeiTtwQlDARBX" } else { LETTERS };
        let letters: String = letters
            .chars()
            .filter(|letter| wget || *letter != 'O' && *letter != 'a')
            .filter(|letter| !wget || *letter != 'R')
            .collect();
        let words = &[
            "output",
            "data",
            "data-binary",
            "data-raw",
            "data-urlencode",
            "form",
            "header",
            "user",
            "request",
            "user-agent",
            "upload-file",
            "referer",
            "cookie",
            "cookie-jar",
            "config",
            "max-time",
            "connect-timeout",
            "retry",
            "proxy",
            "cacert",
            "cert",
            "key",
            "url",
            "output-document",
            "post-file",
            "post-data",
            "body-file",
            "body-data",
            "directory-prefix",
            "write-out",
            "range",
            "resolve",
            "json",
            "output-dir",
            "dir",
            "out",
            "use-askpass",
            "method",
            "interface",
            "unix-socket",
            "retry-delay",
            "retry-max-time",
        ];
        // Of the browsers, `-source` is a word.
        let browser = matches!(call.name.as_str(), "lynx" | "w3m" | "links" | "elinks");
        let letters = if browser { String::new() } else { letters };
        let options = call.options(&letters, words);
        if wget && let Some(program) = options.value("use-askpass").cloned() {
            self.emit(
                EffectKind::ShellEscape,
                Target::Name(program.value.lossy()),
                Qualities::NONE,
                program.range,
            );
        }
        let addresses: Vec<Field> = options
            .values("url")
            .cloned()
            .chain(
                options
                    .operands
                    .iter()
                    .filter(|field| !is_method(field.text()))
                    .map(|field| (*field).clone()),
            )
            .collect();
        let insecure = options.has("k|insecure|no-check-certificate");
        let mut taint = Taint::NETWORK;
        let mut places = Vec::new();
        for address in &addresses {
            if let Some(path) = address.text().strip_prefix(b"file://") {
                let content = self.read_file(&Value::known(path), address.range);
                taint = taint.with(content.taint);
                if content.taint.has(Taint::SECRET) {
                    self.write(&content);
                }
                continue;
            }
            let place = place(address.text());
            // An address that holds an output of commands: data leaves in it.
            let carries = address.value.taint.has(Taint::SECRET);
            if !place.local
                && (place.bare || !place.encrypted && !place.known || insecure)
                && !address.value.is_wholly_unknown()
            {
                taint = taint.with(Taint::STRANGER);
            }
            if carries && !place.local {
                self.emit(
                    EffectKind::Send,
                    Target::Host(place.host.clone()),
                    Qualities::WITH_SECRETS,
                    address.range,
                );
            }
            if !place.known && !place.local {
                taint = taint.with(Taint::ENVIRONMENT);
            }
            places.push((place, address.range));
        }
        self.sent(call, &options, &places);
        for (place, range) in &places {
            if !place.local {
                let quality = Qualities::NONE
                    .with_if(place.bare, Qualities::BARE_ADDRESS)
                    .with_if(insecure, Qualities::INSECURE);
                self.emit(EffectKind::Fetch, Target::Host(place.host.clone()), quality, *range);
            }
        }
        if places.iter().all(|(place, _)| place.local) && !places.is_empty() {
            taint = Taint::OUTPUT;
        }
        let content = Value::unknown(taint);
        let to = if wget {
            options.value("O|output-document").cloned()
        } else {
            options.value("o|output|out").cloned()
        };
        let to_stdout = to.as_ref().is_some_and(|field| field.text() == b"-");
        match to {
            Some(file) if !to_stdout => self.write_file(&file.value, &content, false, file.range),
            _ if saves && !to_stdout || !wget && options.has("O|remote-name|remote-name-all|J") => {
                for address in &addresses {
                    let text = address
                        .text()
                        .split(|byte| matches!(byte, b'?' | b'#'))
                        .next()
                        .unwrap_or_default();
                    let name = text.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
                    let mut path = match options.value("P|directory-prefix|output-dir|d|dir") {
                        Some(folder) => folder.value.clone(),
                        None => Value::known("."),
                    };
                    path.push(b"/");
                    path.push(if name.is_empty() { b"index.html" } else { name });
                    self.write_file(&path, &content, false, address.range);
                }
            }
            _ => self.write(&content),
        }
    }

    /// The file that tftp or ftpget brings: small systems have nothing else.
    pub(in crate::evaluate) fn brought(&mut self, call: &Call) {
        let content = Value::unknown(Taint::NETWORK.with(Taint::STRANGER));
        let (local, remote) = match call.name.as_str() {
            "ftpget" => {
                let options = call.options("upP", &["username", "password", "port"]);
                let mut operands = options.operands.iter().skip(1);
                (operands.next().map(|field| (*field).clone()), None)
            }
            "tftp" | "atftp" => {
                let options = call.options("lrbm", &["local-file", "remote-file", "option"]);
                let mut words = options.operands.iter().map(|field| (*field).clone());
                let asked = words.any(|field| field.text() == b"get");
                let named = (words.next(), words.next());
                let local = options.value("l|local-file").cloned().or(named.1);
                let remote = options.value("r|remote-file").cloned().or(named.0);
                if !asked && !options.has("g|get") {
                    return;
                }
                (local, remote)
            }
            _ => return,
        };
        if let Some(field) = local {
            self.write_file(&field.value, &content, false, field.range);
        } else if let Some(field) = remote {
            let name = field.text().rsplit(|byte| *byte == b'/').next().unwrap_or_default();
            self.write_file(&Value::known(name), &content, false, field.range);
        }
    }

    /// What a transfer takes along.
    fn sent(&mut self, call: &Call, options: &Options<'_>, places: &[(Place, SourceRange)]) {
        let mut sends = false;
        let mut file = false;
        let mut taint = Taint::NONE;
        let data: Vec<Field> = options.values("d|data|data-binary|data-urlencode|json|F|form|post-data|body-data|H|header|A|user-agent|b|cookie|data-raw|e|referer|u|user").cloned().collect();
        for field in &data {
            taint = taint.with(field.value.taint);
            let text = field.text();
            let name = text.iter().position(|byte| matches!(byte, b'@' | b'<'));
            let is_form = text.first() == Some(&b'@')
                || name.is_some_and(|at| at > 0 && text.get(at - 1) == Some(&b'='));
            if let (Some(at), true) = (name, is_form) {
                let path = text.get(at + 1..).unwrap_or_default();
                let path = path.split(|byte| *byte == b';').next().unwrap_or_default();
                let content = if path == b"-" {
                    self.take_stdin()
                } else {
                    self.read_file(&Value::known(path), field.range)
                };
                taint = taint.with(content.taint);
                file = true;
            }
        }
        sends |= options.has("d|data|data-binary|data-urlencode|json|F|form|post-data|body-data|data-raw|post-file|body-file|T|upload-file");
        for field in
            options.values("T|upload-file|post-file|body-file").cloned().collect::<Vec<_>>()
        {
            let content = if matches!(field.text(), b"-" | b".") {
                self.take_stdin()
            } else {
                self.read_file(&field.value, field.range)
            };
            taint = taint.with(content.taint);
            file = true;
        }
        let named = taint.has(Taint::NAMED_SECRET);
        if !sends && !named && !taint.has(Taint::SECRET) {
            return;
        }
        for (place, range) in places {
            // A token goes to its own service; to a stranger it goes astray.
            let secrets = taint.has(Taint::SECRET) || named && (place.bare || !place.encrypted);
            if !sends && !secrets {
                continue;
            }
            if place.local {
                continue;
            }
            let quality = Qualities::NONE
                .with_if(secrets, Qualities::WITH_SECRETS)
                .with_if(file, Qualities::UNUSUAL)
                .with_if(place.bare, Qualities::BARE_ADDRESS)
                .with_if(!place.encrypted, Qualities::INSECURE);
            self.emit(
                EffectKind::Send,
                Target::Host(place.host.clone()),
                quality,
                call.range.join(*range),
            );
        }
    }
}

fn is_method(text: &[u8]) -> bool {
    matches!(text, b"GET" | b"POST" | b"PUT" | b"DELETE" | b"PATCH" | b"HEAD")
}
