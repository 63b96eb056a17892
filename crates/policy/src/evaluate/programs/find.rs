//! find, xargs and parallel: commands made of what others found.

use crate::effect::{EffectKind, Qualities, Target, UNKNOWN};
use crate::evaluate::Evaluator;
use crate::evaluate::call::{Call, Options};
use crate::evaluate::expand::Field;
use crate::evaluate::filters::text::unescape;
use crate::evaluate::value::{Taint, Value};

/// Whether a search picks files by one mode, or by an owner who is not root.
fn picks_by_rights(tests: &[&[u8]]) -> bool {
    tests.windows(2).any(|two| match two {
        [b"-perm", mode] => mode.len() >= 3 && mode.iter().all(|byte| (b'0'..=b'7').contains(byte)),
        [b"-user" | b"-group" | b"-uid" | b"-gid", who] => {
            !matches!(*who, b"root" | b"0" | b"wheel") && !who.contains(&UNKNOWN)
        }
        _ => false,
    }) || tests.iter().any(|test| matches!(*test, b"-nouser" | b"-nogroup"))
}

/// How many commands xargs makes at most.
const MOST_COMMANDS: usize = 16;

impl Evaluator<'_> {
    pub(super) fn find(&mut self, call: &Call) {
        let arguments = &call.arguments;
        let is_test = |field: &Field| {
            let text = field.text();
            text.starts_with(b"-")
                && text.len() > 1
                && !matches!(text, b"-H" | b"-L" | b"-P" | b"-O3" | b"-D")
                || matches!(text, b"(" | b"!" | b")" | b",")
        };
        let end = arguments.iter().position(is_test).unwrap_or(arguments.len());
        let mut places: Vec<Field> = arguments
            .get(..end)
            .unwrap_or_default()
            .iter()
            .filter(|f| !f.text().starts_with(b"-"))
            .cloned()
            .collect();
        let fd = call.name.starts_with("fd");
        if fd {
            // `fd PATTERN PLACE…`
            places = places.into_iter().skip(1).collect();
        }
        if places.is_empty() {
            places = vec![Field {
                value: Value::known("."),
                range: call.name_range,
                ..Field::default()
            }];
        }
        let tests = arguments.get(end..).unwrap_or_default();
        let mut texts: Vec<&[u8]> = tests.iter().map(Field::text).collect();
        // What is left out narrows nothing.
        for at in 1..texts.len() {
            if matches!(texts.get(at - 1), Some(&(b"!" | b"-not")))
                && let Some(test) = texts.get_mut(at)
                && !matches!(*test, b"-exec" | b"(")
            {
                *test = b"-true";
            }
        }
        // Names of what is looked for, as far as they narrow it.
        let narrowed = texts.windows(2).any(|two| {
            matches!(two, [b"-name" | b"-iname" | b"-path" | b"-wholename" | b"-regex" | b"-ipath" | b"-newer" | b"-mtime" | b"-ctime" | b"-mmin" | b"-atime" | b"-size" | b"-inum" | b"-user" | b"-empty" | b"-perm", pattern] if *pattern != b"*")
        }) || texts.contains(&b"-empty".as_slice());
        let name = texts.windows(2).find_map(|two| match two {
            [b"-name" | b"-iname", pattern] => Some(pattern.to_vec()),
            _ => None,
        });
        let selects = name.as_deref().is_some_and(selects);
        if texts.windows(2).any(|two| matches!(two, [b"-perm", mode] if mode.ends_with(b"4000") || mode.ends_with(b"6000") || mode.ends_with(b"u=s") || mode.ends_with(b"2000") || mode.ends_with(b"u+s"))) {
            self.emit(EffectKind::Scan, Target::Name("set-user-id programs".into()), Qualities::NONE, call.range);
        }
        let found = |place: &Field| {
            let mut value = place.value.clone();
            // find takes no empty place, and none at all is the folder that it stands in.
            if value.is_wholly_unknown() && value.text.len() == 1 {
                return value;
            }
            let suffix = match &name {
                Some(pattern) => [b"/".as_slice(), pattern].concat(),
                // All of it, the place itself included.
                None if !narrowed => Vec::new(),
                None => vec![b'/', UNKNOWN],
            };
            value.push(&suffix);
            value
        };
        let mut index = 0;
        while let Some(test) = texts.get(index) {
            match *test {
                b"-delete" => {
                    for place in &places {
                        let quality = Qualities::RECURSIVE
                            .with(Qualities::FORCED)
                            .with_if(selects, Qualities::SELECTED);
                        self.touch_path(
                            EffectKind::Delete,
                            &found(place),
                            quality,
                            tests.get(index).map_or(call.range, |f| f.range),
                        );
                    }
                }
                b"-fprint" | b"-fprintf" | b"-fls" | b"-fprint0" => {
                    if let Some(path) = tests.get(index + 1) {
                        let (path, range) = (path.value.clone(), path.range);
                        self.write_file(&path, &Value::unknown(Taint::OUTPUT), false, range);
                    }
                }
                b"-exec" | b"-execdir" | b"-ok" | b"-okdir" | b"-x" | b"--exec" | b"-X"
                | b"--exec-batch" => {
                    let rest = tests.get(index + 1..).unwrap_or_default();
                    let length = rest
                        .iter()
                        .position(|field| matches!(field.text(), b";" | b"+"))
                        .unwrap_or(rest.len());
                    let command = rest.get(..length).unwrap_or_default();
                    // `find / -perm 0777 -exec chmod 755 {} +` changes what was wrong.
                    let mends = command
                        .first()
                        .is_some_and(|name| matches!(name.text(), b"chmod" | b"chown" | b"chgrp"))
                        && picks_by_rights(&texts);
                    let quality =
                        Qualities::RECURSIVE.with_if(selects || mends, Qualities::SELECTED);
                    self.found_command(call, command, &places, quality, &found);
                    index += length + 1;
                }
                _ => {}
            }
            index += 1;
        }
        let only_files = texts.windows(2).any(|two| two == [&b"-type"[..], b"f"]);
        // A name without a pattern is about single files.
        let whole = name.as_ref().map_or(!narrowed, |name| name.contains(&b'*'));
        let listed = if whole { Taint::LISTED } else { Taint::NONE };
        let mut output = Value::new(Vec::new(), Taint::OUTPUT.with(Taint::FILE).with(listed));
        for place in &places {
            output.push_value(&found(place));
            if only_files && name.is_none() && !narrowed {
                // Every file below it.
                output.push(b"/*");
            }
            output.push(b"\n");
        }
        // Names of files: which ones, nobody knows.
        self.write(&output);
    }

    fn found_command(
        &mut self,
        call: &Call,
        command: &[Field],
        places: &[Field],
        quality: Qualities,
        found: &impl Fn(&Field) -> Value,
    ) {
        let Some(first) = command.first() else { return };
        let name = first.text().rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        if first.text() == b"{}" {
            // What was found is run, whatever it is.
            self.remark(crate::evaluate::RemarkKind::ComputedName, first.range);
        }
        let is_shell = matches!(name, b"sh" | b"bash" | b"dash" | b"zsh" | b"ksh" | b"ash");
        let has_code = command
            .iter()
            .any(|field| field.text().starts_with(b"-") && field.text().contains(&b'c'));
        if is_shell
            && !has_code
            && !command.iter().skip(1).any(|field| !field.text().starts_with(b"-"))
        {
            self.emit(
                EffectKind::ShellEscape,
                Target::Name(call.name.clone()),
                Qualities::NONE,
                call.range,
            );
            return;
        }
        let braces = |field: &Field| field.text().windows(2).any(|two| two == b"{}");
        let qualities = self.qualities;
        self.qualities = qualities.with(quality);
        for place in places {
            let value = found(place);
            let mut fields: Vec<Field> = command
                .iter()
                .map(
                    |field| {
                        if braces(field) { filled(field, b"{}", &value) } else { field.clone() }
                    },
                )
                .collect();
            if call.name.starts_with("fd") && !command.iter().any(braces) {
                fields.push(Field { value, range: place.range, ..Field::default() });
            }
            self.dispatch(fields);
        }
        self.qualities = qualities;
    }

    pub(super) fn xargs(&mut self, call: &Call) {
        let options = call.options_before_operands(
            "aEILnPsd",
            &[
                "arg-file",
                "delimiter",
                "replace",
                "max-lines",
                "max-args",
                "max-procs",
                "max-chars",
                "eof",
            ],
        );
        let replaced = options
            .value("I|replace")
            .map(|field| field.text().to_vec())
            .or_else(|| replaced_by_letter(&call.arguments, &options));
        let command: Vec<Field> = options.operands.iter().map(|field| (*field).clone()).collect();
        let zero = options.has("0|null");
        let delimiter =
            options.value("d|delimiter").and_then(|field| unescape(field.text()).first().copied());
        let per_call = options
            .value("n|max-args|L|max-lines")
            .and_then(|field| std::str::from_utf8(field.text()).ok()?.parse::<usize>().ok());
        let input = match options.value("a|arg-file").cloned() {
            Some(file) => self.read_file(&file.value, file.range),
            None => self.take_stdin(),
        };
        let items: Vec<Value> = if zero && !input.is_wholly_unknown() {
            // Where a program writes a zero, the text has the end of a line.
            let texts = input.text.split(|byte| *byte == b'\n').filter(|text| !text.is_empty());
            texts.take(256).map(|text| Value::new(text.to_vec(), input.taint)).collect()
        } else if input.is_wholly_unknown() {
            vec![input.clone().without_last_newlines()]
        } else {
            let separator = |byte: &u8| match (delimiter, &replaced) {
                (Some(delimiter), _) => *byte == delimiter,
                (None, Some(_)) => *byte == b'\n',
                (None, None) => byte.is_ascii_whitespace(),
            };
            let texts =
                input.text.split(separator).map(<[u8]>::trim_ascii).filter(|text| !text.is_empty());
            texts.take(256).map(|text| Value::new(unquoted(text), input.taint)).collect()
        };
        let command = if command.is_empty() {
            vec![Field { value: Value::known("echo"), range: call.name_range, ..Field::default() }]
        } else {
            command
        };
        let field = |value: &Value| Field {
            value: value.clone(),
            range: call.name_range,
            ..Field::default()
        };
        let bare_shell = command
            .iter()
            .skip(1)
            .all(|field| field.text().starts_with(b"-") && !field.text().contains(&b'c'))
            && command.first().is_some_and(|field| {
                matches!(field.text(), b"sh" | b"bash" | b"/bin/sh" | b"/bin/bash")
            })
            && options.has("a|arg-file|o|open-tty");
        if bare_shell {
            self.emit(
                EffectKind::ShellEscape,
                Target::Name("xargs".into()),
                Qualities::NONE,
                call.range,
            );
        }
        let before = self.stdin.take();
        match replaced {
            Some(mark) => {
                for item in items.iter().take(MOST_COMMANDS) {
                    let fields = command.iter().map(|part| filled(part, &mark, item)).collect();
                    self.dispatch(fields);
                }
            }
            None => {
                for chunk in items.chunks(per_call.unwrap_or(usize::MAX).max(1)).take(MOST_COMMANDS)
                {
                    let fields = command.iter().cloned().chain(chunk.iter().map(field)).collect();
                    self.dispatch(fields);
                }
            }
        }
        self.stdin = before;
    }

    pub(super) fn parallel(&mut self, call: &Call) {
        let options = call.options_before_operands(
            "jNnLPSC",
            &["jobs", "colsep", "delay", "timeout", "joblog", "results", "retries"],
        );
        let words: Vec<Field> = options.operands.iter().map(|field| (*field).clone()).collect();
        let split = words.iter().position(|field| matches!(field.text(), b":::" | b"::::"));
        let (command, items) = match split {
            Some(at) => (
                words.get(..at).unwrap_or_default().to_vec(),
                words.get(at + 1..).unwrap_or_default().to_vec(),
            ),
            None => {
                let input = self.take_stdin();
                let lines = input
                    .text
                    .split(|byte| *byte == b'\n')
                    .filter(|line| !line.is_empty())
                    .take(MOST_COMMANDS);
                let items = lines.map(|line| Field {
                    value: Value::new(line.to_vec(), input.taint),
                    range: call.range,
                    ..Field::default()
                });
                (words.clone(), items.collect())
            }
        };
        if items.is_empty() && !command.is_empty() {
            self.behind_options(call);
        }
        for item in items.iter().take(MOST_COMMANDS) {
            let has_mark = command.iter().any(|part| part.text().contains(&b'{'));
            let mut parts: Vec<Field> =
                command.iter().map(|part| filled(part, b"{}", &item.value)).collect();
            if !has_mark {
                parts.push(item.clone());
            }
            // What is left goes through a shell.
            let code = crate::evaluate::builtin::joined(&parts);
            self.run_code(&code, call.range);
        }
    }
}

/// `field` with `value` in place of `mark`.
fn filled(field: &Field, mark: &[u8], value: &Value) -> Field {
    if mark.is_empty() || !field.text().windows(mark.len()).any(|window| window == mark) {
        return field.clone();
    }
    let mut result = field.clone();
    result.value = Value::new(Vec::new(), field.value.taint);
    let mut rest = field.text();
    while let Some((first, after)) = rest.split_first() {
        match rest.strip_prefix(mark) {
            Some(after) => {
                result.value.push_value(value);
                rest = after;
            }
            None => {
                result.value.push(&[*first]);
                rest = after;
            }
        }
    }
    result
}

/// What `-i`, or `-iMARK`, of xargs has replaced: the mark stands in the same word, or nowhere.
fn replaced_by_letter(arguments: &[Field], options: &Options<'_>) -> Option<Vec<u8>> {
    if !options.has("i") {
        return None;
    }
    let mark = arguments.iter().find_map(|field| {
        let cluster = field.text().strip_prefix(b"-").filter(|rest| !rest.starts_with(b"-"))?;
        let at = cluster.iter().position(|byte| *byte == b'i')?;
        cluster.get(at + 1..)
    });
    Some(mark.filter(|mark| !mark.is_empty()).unwrap_or(b"{}").to_vec())
}

/// Whether a pattern of names is about certain files, and not about nearly all.
pub(in crate::evaluate) fn selects(pattern: &[u8]) -> bool {
    // `*~`: what editors leave behind.
    pattern == b"*~" || pattern.iter().filter(|byte| byte.is_ascii_alphanumeric()).count() >= 2
}

fn unquoted(text: &[u8]) -> Vec<u8> {
    text.iter().copied().filter(|byte| !matches!(byte, b'\'' | b'"' | b'\\')).collect()
}
