//! Files that a program runs, or takes its settings from, by itself, where the commands wrote them
//! first: `echo '{"scripts": …}' > package.json; npm install`.
//!
//! What a project or a home folder holds already nobody knows here; that is work. A file that is
//! written only to be read by the next word is a command in other words. What is written to
//! settings in the home folder is looked at at once: it stays.

use super::settings::Form;
use crate::evaluate::Evaluator;
use crate::evaluate::call::Call;
use crate::evaluate::expand::Field;
use crate::evaluate::value::Value;
use crate::script::Language;
use crate::source_range::SourceRange;

/// How many folders are looked at.
const MOST_FOLDERS: usize = 12;

/// Programs, and a file that they read: below the folder that they stand in or are given, or,
/// with `~`, below the home folder.
struct Read {
    programs: &'static [&'static str],
    file: &'static str,
    form: Form,
}

const fn read(programs: &'static [&'static str], file: &'static str, form: Form) -> Read {
    Read { programs, file, form }
}

const PYTHON: Form = Form::Script(Language::Python);
const RUBY: Form = Form::Script(Language::Ruby);
const JAVASCRIPT: Form = Form::Script(Language::JavaScript);
const JSON: Form = Form::Scripts("\"scripts\"");
const NPM: &[&str] = &["npm", "yarn", "pnpm", "bun", "npx"];
const PIP: &[&str] = &["pip", "pip2", "pip3", "pipx", "uv"];
const SSH: &[&str] = &["ssh", "scp", "sftp", "rsync"];
const SSH_KEYS: Form = Form::Keys(&["proxycommand", "localcommand", "knownhostscommand"]);
const NPM_KEYS: Form =
    Form::Settings { commands: &["script-shell", "shell", "git"], options: &["registry"] };
const PIP_KEYS: Form =
    Form::Settings { commands: &[], options: &["index-url", "extra-index-url", "trusted-host"] };
const CARGO_KEYS: Form = Form::Keys(&[
    "rustc-wrapper",
    "rustc-workspace-wrapper",
    "rustc",
    "runner",
    "linker",
    "credential-provider",
]);
const VIM: &[&str] = &["vim", "vi", "nvim", "ex", "view", "gvim"];
const COMPOSE: &[&str] = &["docker", "docker-compose", "podman", "podman-compose", "nerdctl"];
const TASK_KEYS: Form = Form::Keys(&["cmds", "cmd", "sh"]);
const PLAY_KEYS: Form = Form::Keys(&[
    "shell",
    "command",
    "raw",
    "cmd",
    "ansible.builtin.shell",
    "ansible.builtin.command",
]);

const FILES: &[Read] = &[
    read(NPM, "package.json", JSON),
    read(NPM, ".npmrc", NPM_KEYS),
    read(NPM, "~/.npmrc", NPM_KEYS),
    read(&["composer"], "composer.json", JSON),
    read(PIP, "setup.py", PYTHON),
    read(&["easy_install"], "setup.py", PYTHON),
    read(PIP, "~/.pip/pip.conf", PIP_KEYS),
    read(PIP, "~/.config/pip/pip.conf", PIP_KEYS),
    read(PIP, "/etc/pip.conf", PIP_KEYS),
    read(&["invoke", "inv"], "tasks.py", PYTHON),
    read(&["fab"], "fabfile.py", PYTHON),
    read(&["nox"], "noxfile.py", PYTHON),
    read(&["scons"], "SConstruct", PYTHON),
    read(&["pytest", "py.test"], "conftest.py", PYTHON),
    read(&["pytest", "py.test"], "pytest.ini", Form::Plugins),
    read(&["pytest", "py.test"], "tox.ini", Form::Plugins),
    read(&["pytest", "py.test"], "setup.cfg", Form::Plugins),
    read(&["pytest", "py.test"], "pyproject.toml", Form::Plugins),
    read(&["tox"], "tox.ini", Form::Keys(&["commands", "commands_pre", "commands_post"])),
    read(&["gunicorn"], "gunicorn.conf.py", PYTHON),
    read(&["rake"], "Rakefile", RUBY),
    read(&["bundle", "bundler"], "Gemfile", RUBY),
    read(&["vagrant"], "Vagrantfile", RUBY),
    read(&["pod"], "Podfile", RUBY),
    read(&["brew"], "Brewfile", RUBY),
    read(&["rackup", "puma"], "config.ru", RUBY),
    read(&["guard"], "Guardfile", RUBY),
    read(&["irb"], "~/.irbrc", RUBY),
    read(&["pry"], "~/.pryrc", RUBY),
    read(&["gulp"], "gulpfile.js", JAVASCRIPT),
    read(&["grunt"], "Gruntfile.js", JAVASCRIPT),
    read(&["webpack"], "webpack.config.js", JAVASCRIPT),
    read(&["vite", "vitest"], "vite.config.js", JAVASCRIPT),
    read(&["vite", "vitest"], "vite.config.ts", JAVASCRIPT),
    read(&["rollup"], "rollup.config.js", JAVASCRIPT),
    read(&["jest"], "jest.config.js", JAVASCRIPT),
    read(&["mocha"], ".mocharc.js", JAVASCRIPT),
    read(&["eslint"], ".eslintrc.js", JAVASCRIPT),
    read(&["eslint"], "eslint.config.js", JAVASCRIPT),
    read(&["prettier"], "prettier.config.js", JAVASCRIPT),
    read(&["babel"], "babel.config.js", JAVASCRIPT),
    read(&["next"], "next.config.js", JAVASCRIPT),
    read(&["cargo"], ".cargo/config.toml", CARGO_KEYS),
    read(&["cargo"], ".cargo/config", CARGO_KEYS),
    read(&["cargo"], "~/.cargo/config.toml", CARGO_KEYS),
    read(&["cargo"], "build.rs", Form::Foreign),
    read(&["gradle", "gradlew"], "build.gradle", Form::Foreign),
    read(&["gradle", "gradlew"], "build.gradle.kts", Form::Foreign),
    read(&["gradle", "gradlew"], "settings.gradle", Form::Foreign),
    read(&["gradle", "gradlew"], "~/.gradle/init.gradle", Form::Foreign),
    read(&["sbt"], "build.sbt", Form::Foreign),
    read(&["mix", "iex"], "mix.exs", Form::Foreign),
    read(&["R", "Rscript"], ".Rprofile", Form::Foreign),
    read(&["R", "Rscript"], "~/.Rprofile", Form::Foreign),
    read(&["cmake"], "CMakeLists.txt", Form::Behind("COMMAND ")),
    read(&["terraform", "tofu"], "main.tf", Form::Keys(&["command"])),
    read(&["just"], "justfile", Form::Recipes),
    read(&["just"], "Justfile", Form::Recipes),
    read(&["just"], ".justfile", Form::Recipes),
    read(&["task", "go-task"], "Taskfile.yml", TASK_KEYS),
    read(&["task", "go-task"], "Taskfile.yaml", TASK_KEYS),
    read(&["foreman", "honcho", "overmind", "hivemind"], "Procfile", Form::Named),
    read(&["pre-commit"], ".pre-commit-config.yaml", Form::Keys(&["entry"])),
    read(&["direnv"], ".envrc", Form::Shell),
    read(&["ansible-playbook"], "", PLAY_KEYS),
    read(COMPOSE, "docker-compose.yml", Form::Compose),
    read(COMPOSE, "docker-compose.yaml", Form::Compose),
    read(COMPOSE, "compose.yml", Form::Compose),
    read(COMPOSE, "compose.yaml", Form::Compose),
    read(&["git"], ".git/config", Form::Git),
    read(&["git"], "~/.gitconfig", Form::Git),
    read(&["git"], "~/.config/git/config", Form::Git),
    read(&["git"], "/etc/gitconfig", Form::Git),
    read(SSH, "~/.ssh/config", SSH_KEYS),
    read(SSH, "/etc/ssh/ssh_config", SSH_KEYS),
    read(SSH, "", SSH_KEYS),
    read(VIM, ".exrc", Form::Editor),
    read(VIM, ".vimrc", Form::Editor),
    read(VIM, "~/.vimrc", Form::Editor),
    read(VIM, "~/.exrc", Form::Editor),
    read(VIM, "~/.config/nvim/init.vim", Form::Editor),
    read(&["gdb"], ".gdbinit", Form::Debugger),
    read(&["gdb"], "~/.gdbinit", Form::Debugger),
    read(&["gdb"], "", Form::Debugger),
    read(&["tmux"], "~/.tmux.conf", Form::Keys(&["run-shell", "run", "default-command"])),
    read(&["psql"], "~/.psqlrc", Form::Keys(&["\\!"])),
    read(&["sqlite3", "sqlite"], "~/.sqliterc", Form::Keys(&[".shell", ".system"])),
];

impl Evaluator<'_> {
    /// The files that `call` reads by itself, as far as the commands before wrote them.
    pub(super) fn project_files(&mut self, call: &Call) {
        if self.files.is_empty() && self.named.is_none() || self.follows_settings {
            return;
        }
        let found = FILES.iter().filter(|read| read.programs.contains(&call.name.as_str()));
        for read in found {
            let folders = call.arguments.iter().map(|field| {
                let text = field.text();
                let at = text.iter().position(|byte| *byte == b'=').map_or(0, |at| at + 1);
                text.get(at..).unwrap_or_default().to_vec()
            });
            let below_home = read.file.starts_with(['~', '/']);
            let folders: Vec<Vec<u8>> = [b".".to_vec()]
                .into_iter()
                .chain(folders)
                .take(if below_home { 1 } else { MOST_FOLDERS })
                .collect();
            self.copied(folders.len() * (16 + self.files.links()));
            for folder in folders {
                let path = match (read.file, below_home) {
                    ("", _) => folder,
                    (file, true) => self.below_home(file),
                    (file, false) => [&folder, &b"/"[..], file.as_bytes()].concat(),
                };
                self.note_file(&Value::known(path.as_slice()));
                let path = self.resolve(&Value::known(path));
                let Some(content) = self.files.read(&path.text).cloned() else { continue };
                self.in_settings(&read.form, &content, call);
                break;
            }
        }
    }

    /// What is written to settings in the home folder, which programs read from now on.
    pub(in crate::evaluate) fn settings_written(
        &mut self,
        path: &[u8],
        content: &Value,
        range: SourceRange,
    ) {
        if self.follows_settings || content.is_empty() || !path.starts_with(&self.context.home) {
            return;
        }
        let home = FILES.iter().filter(|read| read.file.starts_with('~'));
        for read in home {
            if self.below_home(read.file) != path {
                continue;
            }
            let name = read.programs.first().copied().unwrap_or_default().to_owned();
            let call = Call {
                name,
                arguments: Vec::<Field>::new(),
                qualities: self.qualities,
                range,
                name_range: range,
            };
            self.in_settings(&read.form, content, &call);
            return;
        }
    }

    fn below_home(&self, file: &str) -> Vec<u8> {
        match file.strip_prefix('~') {
            Some(rest) => [self.context.home.as_slice(), rest.as_bytes()].concat(),
            None => file.as_bytes().to_vec(),
        }
    }
}
