//! Programs that run code in another language than the shell's.

use crate::effect::{EffectKind, Qualities, Target};
use crate::evaluate::Evaluator;
use crate::evaluate::call::Call;
use crate::evaluate::expand::Field;
use crate::evaluate::value::{Taint, Value};
use crate::script::{self, Act, Language};
use crate::source_range::SourceRange;

/// How deeply code within code is followed.
const DEEPEST: u32 = 6;

/// An interpreter: its language, the options whose value is code, and other options with values.
struct Interpreter {
    language: Language,
    code: &'static str,
    letters: &'static str,
    words: &'static [&'static str],
}

fn of(name: &str) -> Option<Interpreter> {
    let base = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.' || c == '-');
    let interpreter =
        |language, code, letters, words| Some(Interpreter { language, code, letters, words });
    match base {
        "python" | "pypy" | "ipython" | "jython" | "micropython" | "python-dbg" => {
            interpreter(Language::Python, "c", "cmWXQ", &[])
        }
        "node" | "nodejs" | "deno" | "bun" | "tsx" | "ts-node" | "js" | "qjs" | "rhino" | "d" => {
            if base == "d" {
                return None;
            }
            interpreter(
                Language::JavaScript,
                "e|p|eval|print|pe",
                "epr",
                &["eval", "print", "require", "input-type", "import"],
            )
        }
        "perl" => interpreter(Language::Perl, "e|E", "eEIMmFD", &[]),
        "ruby" | "jruby" => interpreter(Language::Ruby, "e", "erICEKF", &[]),
        "php" | "php-cgi" => interpreter(Language::Php, "r|B|R|E", "rBREdczf", &["run"]),
        "lua" | "luajit" | "luau" | "texlua" => interpreter(Language::Lua, "e", "el", &[]),
        "awk" | "gawk" | "mawk" | "nawk" | "original-awk" => interpreter(
            Language::Awk,
            "e|source",
            "vFfiel",
            &["assign", "field-separator", "file", "source"],
        ),
        _ => None,
    }
}

pub(crate) fn is_interpreter(name: &str) -> bool {
    of(name).is_some()
}

/// The language that the first line of a script names, unless it is the shell's.
pub(crate) fn language_of_script(text: &[u8]) -> Option<Language> {
    let line = text.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let line = String::from_utf8_lossy(line).into_owned();
    line.split(|c: char| c.is_whitespace() || c == '/')
        .find_map(|word| of(word).map(|interpreter| interpreter.language))
}

/// The one text that a program prints, if it does nothing else.
fn shown(code: &[u8]) -> Option<Vec<u8>> {
    let text = String::from_utf8_lossy(code);
    let prints = ["print(", "print \"", "print '", "puts ", "console.log(", "echo "]
        .iter()
        .any(|word| text.contains(word));
    let texts = super::foreign::texts_in_quotes(code);
    match texts.as_slice() {
        [one] if prints => Some([one.as_slice(), b"\n"].concat()),
        _ => None,
    }
}

/// Whether statements of a program reach a database that is more than a file or a try.
fn leaves_this_machine(language: Language, code: &[u8], target: &Target) -> bool {
    let text = String::from_utf8_lossy(code).to_ascii_lowercase();
    let name = target.to_string().to_ascii_lowercase();
    if text.contains("sqlite") || text.contains(":memory:") || name.contains("if exists") {
        return false;
    }
    let databases = [
        "query",
        "client",
        "connection",
        "pool",
        "knex",
        "sequelize",
        "prisma",
        "db.",
        "cursor",
        "conn",
        "session",
        "engine",
    ];
    language != Language::JavaScript || databases.iter().any(|word| text.contains(word))
}

/// What `{print $3, $2 "x"}` prints of an input; none for every other program.
fn printed(code: &[u8], input: &[u8], separator: Option<u8>) -> Option<Vec<u8>> {
    let code = std::str::from_utf8(code).ok()?.trim();
    let body = code.strip_prefix('{')?.strip_suffix('}')?.trim();
    let body = body.strip_prefix("$1=$1;").map_or(body, str::trim);
    let list = body.strip_prefix("print")?.trim().trim_end_matches(';').trim_matches(['(', ')']);
    let mut result = Vec::new();
    for line in input.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let fields: Vec<&[u8]> = match separator {
            Some(separator) => line.split(|byte| *byte == separator).collect(),
            None => line.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty()).collect(),
        };
        let items: Vec<&str> =
            if list.is_empty() { vec!["$0"] } else { list.split(',').map(str::trim).collect() };
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                result.push(b' ');
            }
            for term in item
                .split_inclusive('"')
                .flat_map(|term| term.split(' '))
                .filter(|term| !term.is_empty())
            {
                match term.strip_prefix('$') {
                    Some("0") => result.extend(fields.join(&b' ')),
                    Some("NF") => result.extend_from_slice(fields.last()?),
                    Some(number) => {
                        let at: usize = number.parse().ok()?;
                        result.extend_from_slice(
                            fields.get(at.checked_sub(1)?).copied().unwrap_or_default(),
                        );
                    }
                    None => result.extend_from_slice(term.trim_matches('"').as_bytes()),
                }
            }
        }
        result.push(b'\n');
    }
    Some(result)
}

fn values_of(fields: &[Field]) -> Vec<Value> {
    fields.iter().map(|field| field.value.clone()).collect()
}

impl Evaluator<'_> {
    pub(super) fn interpreter(&mut self, call: &Call) {
        let Some(interpreter) = of(&call.name) else { return };
        let is_awk = interpreter.language == Language::Awk;
        let options = call.options_before_operands(interpreter.letters, interpreter.words);
        if interpreter.language == Language::Python && self.module(call, &options) {
            return;
        }
        let mut codes: Vec<Field> = options.values(interpreter.code).cloned().collect();
        if interpreter.language == Language::JavaScript {
            for module in options.values("r|require|import|loader").cloned().collect::<Vec<_>>() {
                let path = self.resolve(&module.value);
                if let Some(content) = self.files.read(&path.text).cloned() {
                    self.run_script(interpreter.language, &content, module.range, false);
                }
            }
        }
        let mut operands: Vec<Field> =
            options.operands.iter().map(|field| (*field).clone()).collect();
        if matches!(call.name.as_str(), "deno" | "bun")
            && operands.first().is_some_and(|field| {
                matches!(
                    field.text(),
                    b"eval" | b"run" | b"x" | b"test" | b"install" | b"add" | b"i"
                )
            })
        {
            let verb = operands.remove(0);
            if verb.text() == b"eval" && !operands.is_empty() {
                codes.push(operands.remove(0));
            } else if verb.text() == b"run" {
                // `run -A -`: its options stand behind the verb.
                let is_option =
                    |field: &Field| field.text().len() > 1 && field.text().starts_with(b"-");
                let options = operands.iter().take_while(|field| is_option(field)).count();
                operands.drain(..options);
            } else {
                self.write(&Value::unknown(Taint::OUTPUT));
                return;
            }
        }
        let from_file = is_awk && options.has("f|file");
        if is_awk && codes.is_empty() && !from_file && !operands.is_empty() {
            codes.push(operands.remove(0));
        }
        if is_awk && codes.iter().any(|code| code.text().windows(7).any(|part| part == b"system("))
        {
            // `awk -v c='rm -rf /' 'BEGIN { system(c) }'`
            for variable in options.values("v|assign").cloned().collect::<Vec<_>>() {
                let text = variable.text();
                let at = text.iter().position(|byte| *byte == b'=').map_or(0, |at| at + 1);
                self.guess_text(text.get(at..).unwrap_or_default().to_vec(), variable.range);
            }
        }
        if is_awk && let Some(file) = options.value("f|file").cloned() {
            let content = self.read_file(&file.value, file.range);
            self.run_script(interpreter.language, &content, file.range, false);
        }
        let in_place = matches!(interpreter.language, Language::Perl | Language::Ruby)
            && options.has("i")
            && !codes.is_empty();
        if in_place {
            for file in &operands {
                let quality = Qualities::NONE;
                self.touch_path(EffectKind::Overwrite, &file.value, quality, file.range);
            }
        }
        if !codes.is_empty() {
            for code in &codes {
                if !code.value.is_known() {
                    self.judge_code_origin(&code.value, code.range);
                }
                self.script_arguments = values_of(&operands);
                self.run_script(interpreter.language, &code.value, code.range, false);
            }
            if is_awk {
                self.judge_awk_input(&operands, call);
            } else {
                let shown = codes.first().map(|code| shown(code.text())).unwrap_or_default();
                match shown {
                    Some(text) => self.write(&Value::new(text, Taint::ASSEMBLED)),
                    None => self.write(&Value::unknown(Taint::OUTPUT)),
                }
            }
            return;
        }
        // `php -- x` gives x to what it reads.
        let all_given = interpreter.language == Language::Php
            && self.stdin.is_some()
            && call.arguments.first().is_some_and(|field| field.text() == b"--");
        let from_input = all_given
            || operands.first().is_none_or(|field| matches!(field.text(), b"-" | b"/dev/stdin"));
        if from_input {
            if self.on_network {
                self.emit(EffectKind::ReverseShell, Target::None, Qualities::NONE, call.range);
            }
            if self.stdin.is_none()
                && self.qualities.has(Qualities::PRIVILEGED)
                && operands.is_empty()
            {
                let target = Target::Name("root".into());
                self.emit(EffectKind::Privilege, target, Qualities::UNUSUAL, call.range);
            }
            if let Some(code) = self.stdin.take() {
                self.judge_code_origin(&code, call.range);
                let given = operands.get(usize::from(!all_given)..).unwrap_or_default();
                self.script_arguments = values_of(given);
                self.run_script(interpreter.language, &code, call.range, false);
            }
            self.write(&Value::unknown(Taint::OUTPUT));
            return;
        }
        let file = operands.remove(0);
        let content = self.read_file(&file.value, file.range);
        self.judge_code_origin(&content, file.range);
        if content.is_known() {
            self.script_arguments = values_of(&operands);
            self.run_script(interpreter.language, &content, file.range, false);
        }
        self.write(&Value::unknown(Taint::OUTPUT));
    }

    /// What awk reads, and passes on.
    fn judge_awk_input(&mut self, operands: &[Field], call: &Call) {
        let files: Vec<Field> =
            operands.iter().filter(|field| !field.text().contains(&b'=')).cloned().collect();
        let input = if files.is_empty() {
            let input = self.stdin.take().unwrap_or_default();
            self.note_input(&input);
            input
        } else {
            self.contents(&files, call)
        };
        let code = call
            .arguments
            .iter()
            .find(|field| field.text().contains(&b'{'))
            .map(|field| field.text().to_vec());
        let separator =
            call.options("F", &[]).value("F").and_then(|field| field.text().first().copied());
        let output = match code.and_then(|code| printed(&code, &input.text, separator)) {
            Some(text) if input.is_known() && !input.is_empty() => Value::new(text, input.taint),
            _ => Value::unknown(input.taint.with(Taint::OUTPUT)),
        };
        self.write(&output);
    }

    /// What only several acts together tell, in languages that are read by their words alone.
    fn judge_together(
        &mut self,
        language: Language,
        acts: &[Act],
        code: &Value,
        range: SourceRange,
    ) {
        let text = String::from_utf8_lossy(&code.text);
        if language == Language::JavaScript && text.contains("$`") {
            for part in text.split("$`").skip(1) {
                let command = part.split('`').next().unwrap_or_default().to_owned();
                self.captured(|evaluator| evaluator.run_code(&Value::known(command), range));
            }
        }
        let shows_environment = [
            "print(os.environ",
            "print(dict(os.environ",
            "os.environ.items()",
            "console.log(process.env",
            "process.env)",
            "p ENV",
            "print %ENV",
            "getenv()",
            "ENVIRON",
            "puts ENV",
            "print(os.getenv",
            "pprint(os.environ",
            "pprint(dict(os.environ",
        ];
        let asks_only = code.text.len() < 12 && text.trim() == "process.env";
        if asks_only || shows_environment.iter().any(|word| text.contains(word)) {
            let target = Target::Name("the environment".into());
            self.emit(EffectKind::Secret, target, Qualities::NONE, range);
        }
        self.judge_libraries(&text, range);
        let starts = acts.iter().any(|act| matches!(act, Act::Shell { .. } | Act::Program { .. }));
        let names = [
            "os.system",
            "subprocess.run",
            "subprocess.call",
            ".execSync",
            ".exec",
            "os.popen",
            "pty.spawn",
            "posix.system",
        ];
        let handed_on = names.iter().any(|name| {
            [",", ")", "]", ".__call__", "]("]
                .iter()
                .any(|end| text.contains(&format!("{name}{end}")))
        });
        if !starts && handed_on {
            // It is handed on to be called: the texts that it may be called with are judged.
            for code in super::foreign::texts_in_quotes(&code.text) {
                self.captured(|evaluator| evaluator.run_code(&Value::known(code), range));
            }
        }
        if matches!(language, Language::Python | Language::JavaScript) {
            return;
        }
        let connects = ["ocket", "/inet/tcp/", "fsockopen", "TCPSocket"]
            .iter()
            .any(|word| text.contains(word));
        let runs = acts.iter().any(|act| match act {
            Act::Effect(effect) => effect.kind == EffectKind::ComputedCode,
            Act::Shell { text, .. } => {
                text.contains(&0) || text.ends_with(b"sh") || text.ends_with(b"sh -i")
            }
            Act::Program { arguments, .. } => {
                arguments.first().is_some_and(|name| name.ends_with(b"sh") || name.contains(&0))
            }
            Act::Code { .. } | Act::Write { .. } | Act::Enter { .. } => false,
        });
        if connects && (runs || language == Language::Awk && text.contains("getline")) {
            self.emit(EffectKind::ReverseShell, Target::None, Qualities::NONE, range);
        }
        if language == Language::Lua {
            self.foreign_code(code, range);
        }
    }

    /// Libraries for clouds, clusters and other machines: what their calls delete.
    fn judge_libraries(&mut self, text: &str, range: SourceRange) {
        let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
        let cloud = has(&[
            "boto3",
            "aws-sdk",
            "kubernetes",
            "google.cloud",
            "azure.mgmt",
            "@azure/",
            "@google-cloud",
        ]);
        let deletes = [
            "delete_bucket",
            "terminate_instances",
            "delete_db_",
            "delete_namespace",
            ".delete()",
            "DeleteBucket",
            "TerminateInstances",
            "delete_stack",
            "delete_table",
            "DeleteDB",
            "delete_project",
            "delete_cluster",
            "deleteNamespace",
            "DeleteTable",
            "delete_user",
            "begin_delete",
        ];
        if cloud && has(&deletes) {
            self.emit(
                EffectKind::Remote,
                Target::Name("in the cloud".into()),
                Qualities::ALL_OF_THEM,
                range,
            );
        }
        if has(&["privileged=True", "Privileged: true"]) && has(&["docker", "containers.run"]) {
            self.emit(
                EffectKind::Breakout,
                Target::Name("a privileged container".into()),
                Qualities::NONE,
                range,
            );
        }
        for part in text.split("exec_command(").skip(1) {
            let quote = part.chars().next().unwrap_or(' ');
            let command =
                part.get(1..).and_then(|rest| rest.split(quote).next()).unwrap_or_default();
            if matches!(quote, '"' | '\'') {
                let qualities = self.qualities;
                self.qualities = qualities.with(Qualities::REMOTE);
                self.run_elsewhere(&Value::known(command), range);
                self.qualities = qualities;
            }
        }
    }

    /// `python -m MODULE`.
    fn module(&mut self, call: &Call, options: &crate::evaluate::call::Options<'_>) -> bool {
        let Some(module) = options.value("m") else { return false };
        match module.text() {
            b"http.server" | b"SimpleHTTPServer" | b"pyftpdlib" => {
                self.emit(
                    EffectKind::Listen,
                    Target::Name("files of this folder".into()),
                    Qualities::PUBLIC,
                    call.range,
                );
            }
            b"pty" => self.emit(
                EffectKind::ShellEscape,
                Target::Name("pty".into()),
                Qualities::NONE,
                call.range,
            ),
            name @ (b"pip" | b"pytest" | b"venv" | b"pipx" | b"twine") => {
                let at = call.arguments.iter().position(|field| field.text() == name).unwrap_or(0);
                self.dispatch(call.arguments.get(at..).unwrap_or_default().to_vec());
            }
            _ => {}
        }
        self.write(&Value::unknown(Taint::OUTPUT));
        true
    }

    /// A path as a program has it: `~` stands for the home folder.
    fn path_of_script(&self, mut path: Vec<u8>) -> Value {
        if path.first() == Some(&b'~') && matches!(path.get(1), None | Some(b'/')) {
            path.splice(..1, self.context.home.iter().copied());
        }
        Value::new(path, Taint::NONE)
    }

    /// What a program in another language does. `in_place`: its ranges are those of the judged text.
    pub(crate) fn run_script(
        &mut self,
        language: Language,
        code: &Value,
        range: SourceRange,
        in_place: bool,
    ) {
        let given = std::mem::take(&mut self.script_arguments);
        if self.script_depth >= DEEPEST || code.is_wholly_unknown() {
            return;
        }
        self.script_depth += 1;
        let qualities = self.qualities;
        self.qualities = qualities.with_if(code.taint.has(Taint::DECODED), Qualities::HIDDEN);
        let acts = script::acts(language, &code.text, &mut self.work);
        let followed = acts.iter().any(|act| match act {
            Act::Shell { text, .. } => !text.contains(&0),
            Act::Program { arguments, .. } => !arguments.iter().any(|text| text.contains(&0)),
            Act::Code { .. } | Act::Write { .. } => true,
            Act::Enter { .. } => false,
            Act::Effect(effect) => effect.kind != EffectKind::ComputedCode,
        });
        if !followed && shown(&code.text).is_none() {
            self.guess_from(&code.text, range);
        }
        let computes = |act: &Act| match act {
            Act::Effect(effect) => effect.kind == EffectKind::ComputedCode,
            Act::Shell { text, .. } => text.contains(&0),
            _ => false,
        };
        if acts.iter().any(computes) {
            self.guess_code(range);
        }
        self.judge_together(language, &acts, code, range);
        let acts = super::given::with_arguments(acts, &code.text, &given);
        // Where the program goes, whoever started it does not.
        let directory = self.environment.directory.clone();
        for act in acts {
            let at = |inner: SourceRange| if in_place { inner } else { range };
            match act {
                Act::Shell { text, range } => {
                    let place = at(range);
                    let text = Value::new(text, Taint::NONE);
                    self.captured(|evaluator| evaluator.run_code(&text, place));
                }
                Act::Program { arguments, range } => {
                    let place = at(range);
                    let fields = arguments
                        .into_iter()
                        .map(|text| {
                            let unknown = text.contains(&0);
                            let taint = if unknown { Taint::ENVIRONMENT } else { Taint::NONE };
                            Field {
                                value: Value::new(text, taint),
                                quoted: true,
                                range: place,
                                globs: false,
                            }
                        })
                        .collect();
                    self.captured(|evaluator| evaluator.dispatch(fields));
                }
                Act::Code { language, text, range } => {
                    let place = at(range);
                    self.run_script(language, &Value::known(text), place, false);
                }
                Act::Enter { path, .. } => {
                    let path = self.path_of_script(path);
                    self.environment.directory = self.resolve(&path);
                }
                Act::Write { path, mut content, .. } if path == b"/dev/stdout" => {
                    content.push(b'\n');
                    self.write(&Value::new(content, Taint::DECODED));
                }
                Act::Write { path, content, adds, range } => {
                    let place = at(range);
                    let taint = if content.contains(&0) { Taint::ENVIRONMENT } else { Taint::NONE };
                    let path = self.path_of_script(path);
                    self.write_file(&path, &Value::new(content, taint), adds, place);
                }
                Act::Effect(effect) => {
                    let place = at(effect.range);
                    match effect.target {
                        Target::Path { path, .. } => {
                            let path = self.path_of_script(path.into_bytes());
                            self.touch_path(effect.kind, &path, effect.qualities, place);
                        }
                        Target::Name(name)
                            if effect.kind == EffectKind::ComputedCode
                                && name.contains("not read") =>
                        {
                            self.remark(crate::evaluate::RemarkKind::TooLong, place);
                        }
                        target => {
                            // A program that fetches code and runs it has no installer's excuse.
                            let stranger = effect.kind == EffectKind::NetworkCode;
                            let forks =
                                matches!(&target, Target::Name(name) if name == "processes");
                            let qualities =
                                effect.qualities.with_if(stranger, Qualities::INSECURE).with_if(
                                    forks && effect.kind == EffectKind::Exhaust,
                                    Qualities::ALL_OF_THEM,
                                );
                            if effect.kind == EffectKind::Remote
                                && !leaves_this_machine(language, &code.text, &target)
                            {
                                continue;
                            }
                            self.emit(effect.kind, target, qualities, place);
                        }
                    }
                }
            }
        }
        self.environment.directory = directory;
        self.qualities = qualities;
        self.script_depth -= 1;
    }
}
