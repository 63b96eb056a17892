//! Programs whose output depends on nothing but their arguments and their input: they are
//! imitated, so that what they print can be judged.

mod encoding;
mod expression;
mod fields;
mod searches;
pub(crate) mod text;

pub(super) use encoding::base64;

use super::call::Call;
use super::expand::Field;
use super::value::{Taint, Value};
use super::{Evaluator, Qualities};
use crate::effect::EffectKind;

/// The longest input that a filter works on.
const LONGEST: usize = 64 << 10;

impl Evaluator<'_> {
    /// Runs the filter of that name; false if there is none.
    pub(super) fn filter(&mut self, call: &Call) -> bool {
        let output = match call.name.as_str() {
            "echo" => {
                self.judge_shown(call);
                text::echo(&call.arguments)
            }
            "printf" => {
                self.judge_shown(call);
                self.printf(call)
            }
            "cat" | "tac" | "nl" | "zcat" | "gunzip" | "gzip" | "bzcat" | "xzcat" | "zstdcat"
            | "bat" | "batcat" => self.concatenated(call),
            "rev" => self.by_input(call, "", text::reverse_lines),
            "tr" => self.translated(call),
            "cut" => self.cut(call),
            "sed" => return self.sed(call),
            "head" | "tail" => self.ends(call),
            "paste" => self.pasted(call),
            "ls" | "dir" | "exa" | "eza" | "lsd" => self.listed(call),
            "dig" | "nslookup" | "host" | "drill" | "whois" | "finger" | "rlogin" | "gopher"
            | "tftp" | "atftp" | "ftpget" | "kdig" | "doggo" => {
                self.judge_sent(call);
                self.brought(call);
                Value::unknown(Taint::NETWORK.with(Taint::STRANGER))
            }
            "sort" | "uniq" | "fold" | "fmt" | "expand" | "column" | "strings" | "shuf" => {
                self.by_input(call, "ktSTodfcswn", <[u8]>::to_vec)
            }
            "grep" | "egrep" | "fgrep" | "rg" => self.filtered(call),
            "base64" | "base32" | "base16" | "basenc" => self.based(call),
            "xxd" | "hexdump" | "od" | "hd" => self.hexed(call),
            "openssl" => return self.openssl(call),
            "uudecode" | "ascii2uni" | "recode" | "iconv" | "gpg" | "gpg2" | "lz4" | "unxz"
            | "unzstd" | "bunzip2" | "xz" | "bzip2" | "zstd" | "lzma" | "unlzma" | "brotli" => {
                let input = self.input(call, "ofrtcd");
                Value::unknown(input.taint.with(Taint::DECODED))
            }
            "seq" => text::sequence(&call.arguments),
            "yes" => self.yes(call),
            "basename" => self.part_of_path(call, true),
            "dirname" => self.part_of_path(call, false),
            "pwd" => {
                let mut directory = self.environment.directory.clone();
                directory.push(b"\n");
                directory
            }
            "realpath" | "readlink" => self.real_path(call),
            "mktemp" => Value::known(if call.options("tp", &[]).has("d|directory") {
                "/tmp/tmp.d\n"
            } else {
                "/tmp/tmp.f\n"
            }),
            "which" | "where" => self.which(call),
            "stat" | "du" | "df" => Value::unknown(Taint::ENVIRONMENT),
            "tty" => Value::known("/dev/tty\n"),
            "pidof" | "pgrep" => self.processes(call),
            "date" => text::dated(&call.arguments),
            "whoami" | "id" | "hostname" | "uname" | "nproc" | "arch" | "logname" => {
                Value::unknown(Taint::ENVIRONMENT)
            }
            "wc" | "md5sum" | "sha1sum" | "sha256sum" | "sha512sum" | "cksum" | "expr" | "bc" => {
                self.input(call, "");
                Value::unknown(Taint::ENVIRONMENT)
            }
            _ => return false,
        };
        self.write(&output);
        true
    }

    /// What a filter reads: the files that its operands name, or its input.
    pub(super) fn input(&mut self, call: &Call, letters: &str) -> Value {
        let options = call.options(letters, &[]);
        let files: Vec<Field> = options.operands.into_iter().cloned().collect();
        self.contents(&files, call)
    }

    pub(super) fn contents(&mut self, files: &[Field], call: &Call) -> Value {
        if files.is_empty() {
            return self.take_stdin();
        }
        let mut joined = Value::default();
        for file in files {
            let content = match file.text() {
                b"-" => self.take_stdin(),
                _ => self.read_file(&file.value, call.range),
            };
            joined.push_value(&content);
        }
        self.copied(joined.text.len());
        self.judge_endless(joined.taint, call);
        joined
    }

    fn by_input(
        &mut self,
        call: &Call,
        letters: &str,
        function: impl FnOnce(&[u8]) -> Vec<u8>,
    ) -> Value {
        let input = self.input(call, letters);
        limited(&input, function)
    }

    fn concatenated(&mut self, call: &Call) -> Value {
        let options = call.options("", &[]);
        let operands: Vec<Field> = options.operands.iter().map(|field| (*field).clone()).collect();
        let compressed = !matches!(call.name.as_str(), "cat" | "tac" | "nl" | "bat" | "batcat");
        if compressed
            && call.name != "zcat"
            && !options.has("d|decompress|c|stdout|dc|cd")
            && call.name == "gzip"
        {
            let taint = self.stdin.as_ref().map_or(Taint::NONE, |input| input.taint);
            let endless = operands.is_empty() && taint.has(Taint::ENDLESS);
            let taint = if endless { Taint::ENDLESS } else { Taint::NONE };
            return Value::unknown(Taint::OUTPUT.with(taint));
        }
        let input = self.contents(&operands, call);
        if compressed {
            return encoding::decompressed(&input);
        }
        if call.name == "tac" {
            return limited(&input, text::reverse_order);
        }
        input
    }

    fn yes(&mut self, call: &Call) -> Value {
        let line = text::echo(&call.arguments);
        let mut text = if line.text == b"\n" { Value::known("y\n") } else { line };
        text = text.tainted(Taint::ENDLESS);
        self.judge_endless(text.taint, call);
        text
    }

    /// Secrets that are printed.
    fn judge_shown(&mut self, call: &Call) {
        if call.arguments.iter().any(|field| field.value.taint.has(Taint::NAMED_SECRET)) {
            let target = crate::effect::Target::Name("a variable".into());
            self.emit(EffectKind::Secret, target, Qualities::NONE, call.range);
        }
    }

    /// Input that never ends, read by a program that goes on as long.
    fn judge_endless(&mut self, taint: Taint, call: &Call) {
        if taint.has(Taint::ENDLESS)
            && self.piped == 0
            && !matches!(call.name.as_str(), "head" | "dd" | "tr" | "fold")
        {
            let target = crate::effect::Target::Name("output".into());
            self.emit(EffectKind::Exhaust, target, Qualities::ENDLESS, call.range);
        }
    }

    /// Processes, by the name that they were asked for.
    fn processes(&mut self, call: &Call) -> Value {
        let options = call.options("uUgGtPs", &[]);
        let mut found = Value::new(Vec::new(), Taint::OUTPUT);
        match options.operands.first() {
            Some(name) => found.push_value(&name.value),
            None => found.push(&[crate::effect::UNKNOWN]),
        }
        found.push(b"\n");
        found
    }

    fn pasted(&mut self, call: &Call) -> Value {
        let options = call.options("d", &["delimiters"]);
        let delimiter = options
            .value("d|delimiters")
            .and_then(|field| field.text().first().copied())
            .unwrap_or(b'\t');
        let serial = options.has("s|serial");
        let files: Vec<Field> = options.operands.iter().map(|field| (*field).clone()).collect();
        let input = self.contents(&files, call);
        limited(&input, |text| {
            if !serial {
                return text.to_vec();
            }
            let text = text.strip_suffix(b"\n").unwrap_or(text);
            let mut joined: Vec<u8> =
                text.iter().map(|byte| if *byte == b'\n' { delimiter } else { *byte }).collect();
            joined.push(b'\n');
            joined
        })
    }

    /// Names of files: those that are named, and unknown ones of the folders.
    fn listed(&mut self, call: &Call) -> Value {
        let options = call.options("I", &[]);
        let mut names = Value::new(Vec::new(), Taint::OUTPUT);
        for operand in &options.operands {
            if operand.globs {
                names.push_value(&operand.value);
            } else {
                names.push(b"./\0");
            }
            names.push(b"\n");
        }
        if options.operands.is_empty() {
            names.push(b"./\0");
        }
        names
    }

    fn which(&mut self, call: &Call) -> Value {
        let options = call.options("", &[]);
        let mut found = Value::default();
        for operand in options.operands {
            if !operand.text().starts_with(b"/") {
                found.push(b"/usr/bin/");
            }
            found.push_value(&operand.value);
            found.push(b"\n");
        }
        found
    }
}

/// `function` of `input`, if that is known and not too long.
pub(super) fn limited(input: &Value, function: impl FnOnce(&[u8]) -> Vec<u8>) -> Value {
    if input.text.len() > LONGEST {
        return Value::unknown(input.taint.with(Taint::OUTPUT));
    }
    input.map(function)
}
