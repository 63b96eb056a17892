//! Programs that delete, move, copy, link and write files.

use crate::effect::{EffectKind, Qualities, Target};
use crate::evaluate::Evaluator;
use crate::evaluate::call::Call;
use crate::evaluate::expand::Field;
use crate::evaluate::value::{Taint, Value};
use crate::path_class::PathClass;
use crate::source_range::SourceRange;

/// How many names that a program reads are looked at.
const MOST_NAMES: usize = 32;

impl Evaluator<'_> {
    pub(super) fn remove(&mut self, call: &Call) {
        let options = call.options("", &[]);
        let quality = Qualities::NONE
            .with_if(options.has("r|R|recursive") || call.name == "rimraf", Qualities::RECURSIVE)
            .with_if(options.has("f|force"), Qualities::FORCED)
            .with_if(options.has("i|I|interactive"), Qualities::ASKS)
            .with_if(options.has("no-preserve-root"), Qualities::ALL_OF_THEM);
        let kind = EffectKind::Delete;
        for operand in options.operands {
            if call.name.starts_with("trash") {
                self.touch_path(kind, &operand.value, quality.with(Qualities::ASKS), operand.range);
                continue;
            }
            self.touch_path(kind, &operand.value, quality, operand.range);
        }
    }

    pub(super) fn shred(&mut self, call: &Call) {
        let options = call.options("nsQD", &["iterations", "size", "random-source"]);
        for operand in options.operands {
            let resolved = self.resolve(&operand.value);
            let class = self.class_of(&resolved, EffectKind::Delete);
            let kind =
                if class == PathClass::Device { EffectKind::Wipe } else { EffectKind::Delete };
            self.touch_path(
                kind,
                &operand.value,
                Qualities::FORCED.with(Qualities::ALL_OF_THEM),
                operand.range,
            );
        }
    }

    pub(super) fn copy(&mut self, call: &Call) {
        let options =
            call.options("tSgmo", &["target-directory", "suffix", "mode", "owner", "group"]);
        let recursive =
            Qualities::NONE.with_if(options.has("r|R|a|recursive|archive"), Qualities::RECURSIVE);
        let mut operands: Vec<Field> =
            options.operands.iter().map(|field| (*field).clone()).collect();
        let target = match options.value("t|target-directory").cloned() {
            Some(target) => Some(target),
            None if operands.len() > 1 => operands.pop(),
            None => None,
        };
        if call.name == "install" && options.has("d|directory") {
            operands.extend(target);
            for folder in &operands {
                self.touch_path(EffectKind::Write, &folder.value, Qualities::NONE, folder.range);
            }
            return;
        }
        if options.value("m|mode").is_some_and(|mode| super::permissions::is_setuid(mode.text())) {
            let path = target.as_ref().map(|field| field.value.lossy()).unwrap_or_default();
            self.emit(EffectKind::Permission, Target::Name(path), Qualities::SETUID, call.range);
        }
        let Some(target) = target else { return };
        for source in &operands {
            let content = self.read_file(&source.value, source.range);
            let from = self.resolve(&source.value);
            if call.name == "mv" {
                // Where it was, it is no more.
                self.touch_path(
                    EffectKind::Delete,
                    &source.value,
                    Qualities::RECURSIVE.with(Qualities::UNUSUAL),
                    source.range,
                );
                if target.text() == b"/dev/null" {
                    self.touch_path(
                        EffectKind::Delete,
                        &source.value,
                        Qualities::RECURSIVE.with(Qualities::FORCED),
                        source.range,
                    );
                    continue;
                }
            }
            let mut path = target.value.clone();
            let into_folder = path.text.ends_with(b"/")
                || operands.len() > 1
                || matches!(path.text.as_slice(), b"." | b"..")
                || self.is_known_folder(&path);
            if into_folder {
                let name = from.text.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
                path.push(b"/");
                path.push(name);
            }
            let resolved = self.resolve(&path);
            if self.class_of(&resolved, EffectKind::Overwrite) == PathClass::Device {
                self.touch_path(EffectKind::Wipe, &path, Qualities::NONE, target.range);
                continue;
            }
            let quality = recursive
                .with_if(content.taint.has(Taint::SECRET), Qualities::WITH_SECRETS)
                .with_if(content.taint.has(Taint::NETWORK), Qualities::FROM_NETWORK);
            self.write_file(&path, &content, false, target.range);
            if quality.has(Qualities::RECURSIVE) {
                self.touch_path(EffectKind::Write, &path, quality, target.range);
            }
            self.shell_under_other_name(&from.text, &resolved.text, target.range);
            if self.is_program(&from) {
                self.files.copy_program(&from.text, &resolved.text);
                self.files.forget(&resolved.text);
            }
            self.files.copy(&from.text, &resolved.text);
        }
    }

    /// Folders that are there on every machine.
    fn is_known_folder(&self, path: &Value) -> bool {
        let resolved = self.resolve(path);
        let class = self.class_of(&resolved, EffectKind::Write);
        matches!(
            class,
            PathClass::System | PathClass::Root | PathClass::Home | PathClass::WorkspaceRoot
        ) || matches!(
            resolved.text.as_slice(),
            b"/tmp"
                | b"/usr/local/bin"
                | b"/var/tmp"
                | b"/usr/local/lib"
                | b"/opt"
                | b"/mnt"
                | b"/etc/cron.d"
                | b"/etc/profile.d"
                | b"/etc/systemd/system"
                | b"/etc/init.d"
                | b"/usr/local/sbin"
        )
    }

    pub(super) fn link(&mut self, call: &Call) {
        let options = call.options("tS", &["target-directory", "suffix"]);
        let [source, target] = options.operands.as_slice() else { return };
        let (from, to) = (self.resolve(&source.value), self.resolve(&target.value));
        let mut link = to.text.clone();
        if self.is_known_folder(&target.value) {
            let name = from.text.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
            link = [link.as_slice(), b"/", name].concat();
        }
        self.shell_under_other_name(&from.text, &link, target.range);
        self.touch_path(
            EffectKind::Overwrite,
            &Value::known(link.clone()),
            Qualities::NONE,
            target.range,
        );
        self.files.link(&link, &from.text);
    }

    /// A shell that is no longer called one: another program is to start it unawares.
    fn shell_under_other_name(&mut self, from: &[u8], to: &[u8], range: SourceRange) {
        let last = |path: &[u8]| {
            let step = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
            String::from_utf8_lossy(step).into_owned()
        };
        let of_system = [&b"/bin/"[..], b"/usr/bin/"].iter().any(|folder| from.starts_with(folder));
        let is_shell = of_system && super::is_shell(&last(from));
        let name = last(to);
        if is_shell && !name.is_empty() && !name.ends_with("sh") && !name.contains('\0') {
            self.shell_started(&name, range);
        }
    }

    pub(super) fn touch(&mut self, call: &Call) {
        let options = call.options("rdtmZ", &["reference", "date", "time", "mode"]);
        for operand in &options.operands {
            let path = operand.value.clone();
            self.touch_path(EffectKind::Write, &path, Qualities::ASKS, operand.range);
        }
        self.unseen_traces(call);
    }

    pub(super) fn truncate(&mut self, call: &Call) {
        let options = call.options("srlo", &["size", "reference", "length", "offset"]);
        let size =
            options.value("s|size|l|length").map(|field| field.text().to_vec()).unwrap_or_default();
        let huge = bytes(&size).is_some_and(|bytes| bytes >= 50 << 30);
        for operand in &options.operands {
            let resolved = self.resolve(&operand.value);
            let kind = if self.class_of(&resolved, EffectKind::Overwrite) == PathClass::Device {
                EffectKind::Wipe
            } else {
                EffectKind::Overwrite
            };
            let empties = Qualities::NONE.with_if(size == b"0", Qualities::FORCED);
            self.touch_path(kind, &operand.value, empties, operand.range);
            if huge {
                self.emit(
                    EffectKind::Exhaust,
                    Target::Name("disk".into()),
                    Qualities::NONE,
                    operand.range,
                );
            }
        }
    }

    pub(super) fn tee(&mut self, call: &Call) {
        let options = call.options("", &["output-error"]);
        let content = self.take_stdin();
        let append = options.has("a|append");
        for operand in &options.operands {
            self.write_file(&operand.value, &content, append, operand.range);
        }
        self.write(&content);
    }

    pub(super) fn dd(&mut self, call: &Call) {
        let value = |name: &[u8]| {
            let field = call.arguments.iter().rev().find(|field| field.text().starts_with(name))?;
            Some(crate::evaluate::call::cut(field, name.len()))
        };
        if call.name == "ddrescue" {
            let operands: Vec<Field> =
                call.options("", &[]).operands.into_iter().cloned().collect();
            if let [source, target, ..] = operands.as_slice() {
                let content = self.read_file(&source.value, source.range);
                self.write_file(&target.value, &content, false, target.range);
            }
            return;
        }
        let (source, target, count, size) =
            (value(b"if="), value(b"of="), value(b"count="), value(b"bs="));
        let mut content = match source {
            Some(source) => self.read_file(&source.value, source.range),
            None if call.name == "pv" => self.input(call, "LsNwHBD"),
            None => self.take_stdin(),
        };
        if let Some(count) = count {
            let total = bytes(count.text())
                .unwrap_or(0)
                .saturating_mul(size.map_or(512, |size| bytes(size.text()).unwrap_or(512)));
            if content.taint.has(Taint::ENDLESS) {
                content.taint = Taint::OUTPUT;
            }
            if total >= 50 << 30 {
                self.emit(
                    EffectKind::Exhaust,
                    Target::Name("disk".into()),
                    Qualities::NONE,
                    call.range,
                );
            }
        }
        match target {
            Some(target) => self.write_file(&target.value, &content, false, target.range),
            None => self.write(&content),
        }
    }

    pub(super) fn tar(&mut self, call: &Call) {
        let words: Vec<&Field> = call.arguments.iter().collect();
        let options = call.options(
            "fCTXbHIgKLNV",
            &[
                "file",
                "directory",
                "use-compress-program",
                "to-command",
                "checkpoint-action",
                "info-script",
                "new-volume-script",
                "rsh-command",
                "exclude",
                "files-from",
            ],
        );
        for option in [
            "checkpoint-action",
            "to-command",
            "I",
            "use-compress-program",
            "info-script",
            "new-volume-script",
            "rsh-command",
        ] {
            for field in options.values(option).cloned().collect::<Vec<_>>() {
                let text = field.text();
                let code = text.strip_prefix(b"exec=").unwrap_or(text).to_vec();
                let names_program = option == "I" || option == "use-compress-program";
                let first = code.split(|byte| *byte == b' ').next().unwrap_or_default();
                let known = [
                    &b"gzip"[..],
                    b"pigz",
                    b"zstd",
                    b"xz",
                    b"bzip2",
                    b"pbzip2",
                    b"lz4",
                    b"zstdmt",
                    b"pixz",
                    b"lbzip2",
                    b"lzop",
                    b"brotli",
                ];
                if option == "checkpoint-action" && !text.starts_with(b"exec=")
                    || names_program && known.contains(&first)
                {
                    continue;
                }
                self.escape_to_shell(&Value::known(code), field.range);
            }
        }
        // `tar czf …`: the letters may stand without a dash.
        let letters = words.first().map(|field| field.text()).unwrap_or_default();
        let letters = letters.strip_prefix(b"-").unwrap_or(letters);
        let creates =
            !letters.starts_with(b"-") && letters.contains(&b'c') || options.has("c|create");
        let extracts =
            !letters.starts_with(b"-") && letters.contains(&b'x') || options.has("x|extract|get");
        let place = options.value("C|directory").cloned();
        if extracts {
            let folder = place.map_or_else(|| Value::known("."), |field| field.value);
            let resolved = self.resolve(&folder);
            let class = self.class_of(&resolved, EffectKind::Write);
            let whole = matches!(class, PathClass::Root | PathClass::System);
            let quality = Qualities::RECURSIVE.with_if(!whole, Qualities::ASKS);
            self.touch_path(EffectKind::Write, &folder, quality, call.range);
            return;
        }
        if creates {
            self.packed(
                call,
                &options.operands.iter().map(|f| (*f).clone()).collect::<Vec<_>>(),
                options.has("remove-files"),
            );
        }
    }

    pub(super) fn pack(&mut self, call: &Call) {
        let options = call.options("xiPon", &["unzip-command"]);
        if let Some(code) = options.value("TT|unzip-command").cloned() {
            self.escape_to_shell(&code.value, code.range);
        }
        let words: Vec<&[u8]> = call.arguments.iter().map(Field::text).collect();
        if words.contains(&b"-TT".as_slice()) {
            let code =
                call.arguments.iter().skip_while(|field| field.text() != b"-TT").nth(1).cloned();
            if let Some(code) = code {
                self.escape_to_shell(&code.value, code.range);
            }
        }
        let operands: Vec<Field> =
            options.operands.iter().skip(1).map(|field| (*field).clone()).collect();
        let removes = options.has("m|move") || words.contains(&b"-sdel".as_slice());
        self.packed(call, &operands, removes);
        if call.name == "cpio" {
            // What it packs, its input names.
            let names = self.take_stdin();
            let lines = names.text.split(|byte| *byte == b'\n').filter(|name| !name.is_empty());
            for name in lines.take(MOST_NAMES) {
                let name = Value::new(name.to_vec(), names.taint);
                if name.is_known() {
                    self.touch_path(EffectKind::Read, &name, Qualities::NONE, call.range);
                }
            }
        }
    }

    /// What is packed is read; where it goes, its secrets go along.
    fn packed(&mut self, call: &Call, operands: &[Field], removes: bool) {
        let mut taint = Taint::FILE;
        for operand in operands {
            let text = operand.text();
            if text == b"-"
                || text.ends_with(b".gz")
                || text.ends_with(b".tar")
                || text.ends_with(b".tgz")
            {
                continue;
            }
            let content = self.read_file(&operand.value, operand.range);
            taint = taint.with(content.taint);
            if removes {
                self.touch_path(
                    EffectKind::Delete,
                    &operand.value,
                    Qualities::RECURSIVE,
                    operand.range,
                );
            }
        }
        let output = Value::unknown(taint);
        let archive = call.arguments.iter().find(|field| {
            [&b".gz"[..], b".tgz", b".tar", b".zip", b".xz", b".bz2", b".7z", b".zst"]
                .iter()
                .any(|end| field.text().ends_with(end))
        });
        if let Some(archive) = archive.cloned() {
            self.write_file(&archive.value, &output, false, archive.range);
        }
        self.write(&output);
    }
}

/// A size as dd, truncate and fallocate read it.
pub(crate) fn bytes(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?.trim_start_matches(['+', '-']);
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let shift = match unit.bytes().next().map(|byte| byte.to_ascii_uppercase()) {
        None => 0,
        Some(b'K') => 10,
        Some(b'M') => 20,
        Some(b'G') => 30,
        Some(b'T') => 40,
        Some(b'P') => 50,
        Some(_) => 0,
    };
    number.parse::<u64>().ok()?.checked_shl(shift)
}
