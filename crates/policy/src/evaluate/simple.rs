//! Simple commands: assignments, and the program that a name stands for.

use super::Evaluator;
use super::call::Call;
use super::environment::Content;
use super::expand::Field;
use super::programs::{Shell, is_interpreter, shell_in};
use super::remark::RemarkKind;
use super::value::{Taint, Value};
use crate::content;
use crate::effect::{EffectKind, Qualities, Target, UNKNOWN};
use crate::path_class::PathClass;
use crate::source_range::SourceRange;
use crate::syntax::tree::{Assignment, Part, Word};

/// In how many ways a command is looked at whose variables may hold several values.
const MOST_WAYS: usize = 3;
/// How many programs a pattern in place of a name may stand for.
const MOST_MATCHES: usize = 6;

impl Evaluator<'_> {
    pub(super) fn simple(
        &mut self,
        assignments: &[Assignment],
        words: &[Word],
        range: SourceRange,
    ) {
        if words.is_empty() {
            for assignment in assignments {
                self.assign(assignment);
                self.judge_variable(assignment);
            }
            self.status = Some(true);
            return;
        }
        if let Some(first) = words.first() {
            self.look_at_name(first);
            if self.aliased(first, words, range) {
                return;
            }
        }
        let outer = std::mem::take(&mut self.alternatives);
        self.once(assignments, words);
        for way in 1..=self.alternatives.min(MOST_WAYS) {
            self.choice = way;
            self.once(assignments, words);
        }
        (self.choice, self.alternatives) = (0, outer);
    }

    fn once(&mut self, assignments: &[Assignment], words: &[Word]) {
        let declares = words.first().is_some_and(|word| {
            [&b"declare"[..], b"typeset", b"local", b"export", b"readonly"]
                .iter()
                .any(|name| word.is_literal(name))
        });
        let mut restored = Vec::new();
        for assignment in assignments {
            if self.work.left() == 0 {
                break;
            }
            if !declares {
                let before = self.environment.get(&assignment.name, 0).cloned();
                restored.push((assignment.name.clone(), before));
            }
            self.assign(assignment);
            self.judge_variable(assignment);
        }
        let mut fields = Vec::new();
        for word in words {
            fields.extend(self.fields(word));
        }
        if let Some(last) = fields.last() {
            self.last_argument = last.value.clone();
        }
        self.dispatch(fields);
        for (name, before) in restored {
            match before {
                Some(content) => self.environment.set(&name, content, false),
                None => self.environment.unset(&name),
            }
        }
    }

    pub(super) fn captured_code(&mut self, code: &Value, range: SourceRange) {
        if self.depth < 12 {
            self.captured(|evaluator| evaluator.run_code(code, range));
        }
    }

    /// What the spelling of a command's name tells.
    fn look_at_name(&mut self, word: &Word) {
        let range = self.place(word.range);
        let mut letters_outside = false;
        let mut letters_quoted = false;
        let mut assembled = 0;
        for part in &word.parts {
            match part {
                Part::Literal(text) => letters_outside |= text.iter().any(u8::is_ascii_alphabetic),
                Part::Quoted(text) => {
                    letters_quoted |= !text.contains(&b'/') && !text.contains(&b' ');
                }
                Part::DoubleQuoted(parts) => {
                    letters_quoted |= matches!(parts.as_slice(), [] | [Part::Literal(_)])
                        && !matches!(parts.as_slice(), [Part::Literal(text)] if text.contains(&b'/') || text.contains(&b' '));
                }
                Part::Parameter(parameter) => {
                    use crate::syntax::tree::ParameterOperator as Operator;
                    assembled += usize::from(matches!(
                        parameter.operator,
                        Operator::Substring { .. }
                            | Operator::Case { .. }
                            | Operator::Replace { .. }
                    ));
                }
                Part::CommandSubstitution(_)
                | Part::ProcessSubstitution { .. }
                | Part::Arithmetic(_)
                | Part::TooDeep => {}
            }
        }
        // `\rm` and `'rm'` only keep aliases out.
        let only_escaped_start =
            matches!(word.parts.as_slice(), [Part::Quoted(_), Part::Literal(_)]);
        if letters_outside
            && letters_quoted
            && !only_escaped_start
            && word.parts.len() > 1
            && !super::remark::is_windows_path(word)
        {
            let has_path = word.parts.iter().any(|part| matches!(part, Part::Parameter(_)));
            if !has_path {
                self.remark(RemarkKind::PiecedName, range);
            }
        }
        if word.coded {
            self.remark(RemarkKind::CodedName, range);
        }
        if assembled > 0 {
            self.remark(RemarkKind::AssembledName, range);
        }
    }

    fn aliased(&mut self, first: &Word, words: &[Word], range: SourceRange) -> bool {
        let [Part::Literal(name)] = first.parts.as_slice() else { return false };
        let Some(mut text) = self.environment.aliases.get(name).cloned() else { return false };
        // The rest of the command is put behind the alias' text, each argument in quotes.
        for word in words.iter().skip(1) {
            for field in self.fields(word) {
                text.push(b' ');
                if field.globs {
                    text.extend_from_slice(field.text());
                } else {
                    text.extend_from_slice(&quoted(field.text()));
                }
            }
        }
        let before = self.environment.aliases.remove(name);
        let place = self.place(range);
        self.run_code(&Value::known(text), place);
        if let Some(before) = before {
            self.environment.aliases.insert(name.clone(), before);
        }
        true
    }

    /// Runs the program, function or builtin that the first field names.
    pub(crate) fn dispatch(&mut self, fields: Vec<Field>) {
        let mut fields = fields.into_iter();
        let Some(name) = fields.next() else { return };
        let mut arguments: Vec<Field> = fields.collect();
        if arguments.len() > super::MOST_ARGUMENTS {
            arguments.truncate(super::MOST_ARGUMENTS);
            self.remark_once(RemarkKind::TooLong, name.range);
        }
        self.status = None;
        // `$(which python || which python3)` is one program by several paths.
        let same = |field: &Field| {
            field.range == name.range && is_found_interpreter(field) && is_found_interpreter(&name)
        };
        let others = arguments.iter().take_while(|field| same(field)).count();
        arguments.drain(..others);
        let bytes: usize = arguments.iter().map(|field| field.text().len() + 64).sum();
        self.copied(bytes + self.files.links());
        if !self.step(name.range) {
            return;
        }
        if self.depth >= super::DEEPEST {
            self.note_too_deep(name.range);
            return;
        }
        self.note_named(&name, &arguments);
        self.depth += 1;
        self.run(name, arguments);
        self.depth -= 1;
    }

    fn run(&mut self, name: Field, arguments: Vec<Field>) {
        if let Some(parted) = super::guess::with_plain_spaces(name.text()) {
            // No shell parts words there; who reads it, and many a program, does.
            let code = arguments.iter().fold(parted, |mut code, argument| {
                code.push(b' ');
                code.extend_from_slice(argument.text());
                code
            });
            self.guess_text(code, name.range);
        }
        if name.value.text.contains(&UNKNOWN) && !self.name_is_known_enough(&name) {
            self.computed(&name, &arguments);
            return;
        }
        if name.value.taint.has(Taint::DECODED) {
            self.emit(EffectKind::DecodedCode, Target::None, Qualities::NONE, name.range);
        }
        let decoded = name.value.taint.has(Taint::DECODED);
        let qualities = self.qualities;
        self.qualities = qualities.with_if(decoded, Qualities::HIDDEN);
        if name.globs {
            self.pattern_name(&name, &arguments);
        } else {
            self.named(&name, name.text(), arguments);
        }
        self.qualities = qualities;
    }

    /// Whether the last step of a path is known: `$(brew --prefix)/bin/tool`.
    fn name_is_known_enough(&self, name: &Field) -> bool {
        let text = name.text();
        let last = text.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        text.contains(&b'/') && !last.is_empty() && !last.contains(&UNKNOWN)
    }

    /// A command whose name cannot be known.
    fn computed(&mut self, name: &Field, arguments: &[Field]) {
        let taint = name.value.taint;
        if taint.has(Taint::NETWORK) || taint.has(Taint::DECODED) {
            self.judge_code_origin(&name.value, name.range);
        } else if taint.has(Taint::OUTPUT) || taint.has(Taint::ASSEMBLED) || taint.has(Taint::FILE)
        {
            self.remark(RemarkKind::ComputedName, name.range);
        } else if taint.has(Taint::TYPED) {
            self.emit(EffectKind::ComputedCode, Target::None, Qualities::NONE, name.range);
        } else {
            self.remark(RemarkKind::VariableName, name.range);
        }
        // `$SUDO rm -rf /`: the variable may hold nothing, or a program that starts others.
        if !taint.has(Taint::NETWORK) && name.value.is_wholly_unknown() && !arguments.is_empty() {
            let looks_like_command = arguments.first().is_some_and(|argument| {
                !argument.text().is_empty()
                    && !argument.text().starts_with(b"-")
                    && !argument.globs
                    && argument.text().iter().all(|b| {
                        b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'/')
                    })
            });
            if looks_like_command {
                self.dispatch(arguments.to_vec());
                return;
            }
        }
        let output = Value::unknown(Taint::OUTPUT);
        self.write(&output);
    }

    fn pattern_name(&mut self, name: &Field, arguments: &[Field]) {
        self.remark(RemarkKind::PatternName, name.range);
        let text = name.text();
        let last = text.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        let found: Vec<&str> = super::programs::KNOWN
            .iter()
            .copied()
            .filter(|program| super::pattern::matches(last, program.as_bytes()))
            .take(MOST_MATCHES)
            .collect();
        for program in found {
            self.named(name, program.as_bytes(), arguments.to_vec());
        }
    }

    fn named(&mut self, name: &Field, path: &[u8], arguments: Vec<Field>) {
        // `!/bin/sh` is typed into a pager, an editor or a client that stands before it.
        if let Some(typed) = path.strip_prefix(b"!")
            && (matches!(shell_in(typed), Some(Shell::Bare)) || is_shell_path(typed))
        {
            self.shell_started("a program", name.range);
        }
        // zsh's `=rm` is the path of rm.
        let path = match path.strip_prefix(b"=") {
            Some(rest) if rest.iter().all(u8::is_ascii_alphanumeric) => rest,
            _ => path,
        };
        if !path.contains(&b'/') {
            if let Some(body) = self.environment.functions.get(path).cloned() {
                self.call_function(path, &body, arguments, name.range);
                return;
            }
            if self.builtin(path, &arguments, name.range) {
                return;
            }
        }
        let mut path = path.to_vec();
        for candidate in self.places_of(&path) {
            let resolved = self.resolve(&candidate);
            if let Some(program) = self.files.program(&resolved.text) {
                path = program.to_vec();
                break;
            }
            if let Some(content) = self.files.read(&resolved.text).cloned() {
                // A file that these commands wrote themselves.
                self.run_file(&content, arguments, name.range);
                return;
            }
            if candidate.text != resolved.text && self.is_program(&resolved) {
                path = resolved.text;
                break;
            }
        }
        let path = path.as_slice();
        if let Some(service) = script_of_service(path) {
            let words = [b"service".as_slice(), service];
            let words = words.map(|text| Field { value: Value::known(text), ..name.clone() });
            self.dispatch(words.into_iter().chain(arguments).collect());
            return;
        }
        self.started_from_public_folder(path, name.range);
        let last = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        let mut program = String::from_utf8_lossy(last).into_owned();
        if !program.is_ascii()
            && let Some(meant) = content::skeleton(&program)
        {
            self.remark(RemarkKind::ImitatedName, name.range);
            program = meant;
        }
        let range = arguments.iter().fold(name.range, |range, field| range.join(field.range));
        let call = Call {
            name: program,
            arguments,
            qualities: self.qualities,
            range,
            name_range: name.range,
        };
        self.program(call);
    }

    /// `sudo /tmp/tool`, `php -r 'exec("/tmp/tool")'`: of a file there nobody knows who wrote it.
    fn started_from_public_folder(&mut self, path: &[u8], range: SourceRange) {
        if !super::assignment::in_public_folder(path) {
            return;
        }
        let resolved = self.resolve(&Value::known(path));
        if self.class_of(&resolved, EffectKind::Read) != PathClass::Temporary {
            return;
        }
        if self.qualities.has(Qualities::PRIVILEGED) {
            self.public_file_started(EffectKind::Privilege, range);
        } else if self.script_depth > 0 {
            self.public_file_started(EffectKind::ShellEscape, range);
        }
    }

    /// Where a program of that name may lie, as far as the commands say so themselves.
    fn places_of(&mut self, path: &[u8]) -> Vec<Value> {
        if path.contains(&b'/') {
            return vec![Value::known(path)];
        }
        match self.content(b"PATH") {
            Some(Content::Scalar(folders)) => folders
                .text
                .split(|byte| *byte == b':')
                .take(8)
                .map(|folder| Value::known([folder, b"/", path].concat()))
                .collect(),
            _ => Vec::new(),
        }
    }

    /// Whether a path is that of a program of the system.
    pub(crate) fn is_program(&self, path: &Value) -> bool {
        [&b"/bin/"[..], b"/usr/bin/", b"/sbin/", b"/usr/sbin/", b"/usr/local/bin/"].iter().any(
            |folder| {
                path.text
                    .strip_prefix(*folder)
                    .is_some_and(|name| !name.is_empty() && !name.contains(&b'/'))
            },
        )
    }

    /// Runs a file that the commands made: a script, judged by its first line.
    pub(crate) fn run_file(&mut self, content: &Value, arguments: Vec<Field>, range: SourceRange) {
        if let Some(language) = super::programs::language_of_script(&content.text) {
            self.script_arguments = arguments.into_iter().map(|field| field.value).collect();
            self.run_script(language, content, range, false);
            return;
        }
        let before = self.environment.positional.clone();
        let unknown = std::mem::replace(&mut self.environment.positional_unknown, false);
        self.environment.positional = arguments.into_iter().map(|field| field.value).collect();
        self.run_code(content, range);
        (self.environment.positional, self.environment.positional_unknown) = (before, unknown);
    }

    fn call_function(
        &mut self,
        name: &[u8],
        body: &std::rc::Rc<crate::syntax::tree::Command>,
        arguments: Vec<Field>,
        range: SourceRange,
    ) {
        self.called.insert(name.to_vec());
        if let Some((_, parallel)) = self.callers.iter().find(|(caller, _)| caller == name) {
            // It starts itself. When it does so besides going on, it is a fork bomb.
            if self.parallel > *parallel {
                let target = Target::Name("processes".to_owned());
                let quality = Qualities::ENDLESS.with(Qualities::ALL_OF_THEM);
                self.emit(EffectKind::Exhaust, target, quality, range);
            }
            return;
        }
        let before = std::mem::take(&mut self.environment.positional);
        let unknown = std::mem::replace(&mut self.environment.positional_unknown, false);
        self.environment.positional = arguments.into_iter().map(|field| field.value).collect();
        self.callers.push((name.to_vec(), self.parallel));
        self.command(body);
        self.callers.pop();
        (self.environment.positional, self.environment.positional_unknown) = (before, unknown);
    }
}

/// Whether a word is a shell's name, or the path of one of the system's.
pub(super) fn is_shell_path(word: &[u8]) -> bool {
    let name = [&b"/bin/"[..], b"/usr/bin/"]
        .iter()
        .find_map(|folder| word.strip_prefix(*folder))
        .unwrap_or(word);
    matches!(name, b"sh" | b"bash" | b"dash" | b"zsh" | b"ksh" | b"ash" | b"fish" | b"csh")
}

/// A text in single quotes, as the shell reads it back.
pub(crate) fn quoted(text: &[u8]) -> Vec<u8> {
    let mut result = vec![b'\''];
    for byte in text {
        match byte {
            b'\'' => result.extend_from_slice(b"'\\''"),
            byte => result.push(*byte),
        }
    }
    result.push(b'\'');
    result
}

/// The service that a script starts and stops: `/etc/init.d/auditd`.
fn script_of_service(path: &[u8]) -> Option<&[u8]> {
    let folders: [&[u8]; 3] = [b"/etc/init.d/", b"/etc/rc.d/init.d/", b"/etc/rc.d/"];
    let name = folders.iter().find_map(|folder| path.strip_prefix(*folder))?;
    (!name.is_empty() && !name.contains(&b'/')).then_some(name)
}

/// An interpreter's path as which(1) tells it.
fn is_found_interpreter(field: &Field) -> bool {
    let name =
        field.text().strip_prefix(b"/usr/bin/").and_then(|name| std::str::from_utf8(name).ok());
    name.is_some_and(is_interpreter)
}
