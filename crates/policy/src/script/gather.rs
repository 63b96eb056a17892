//! Gathers what a program asks for, and concludes from several things together what no single
//! one tells: a connection and a shell are a shell for somebody else.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::effect::{Effect, EffectKind, Qualities, Target, UNKNOWN};
use crate::path_class::PathClass;
use crate::source_range::SourceRange;

use super::form::FunctionId;
use super::value::{Kind, Origin, Value};
use super::{Act, Language};

/// The most acts of one program.
const MOST_ACTS: usize = 2000;

/// The longest text whose being written is looked at.
const LONGEST_CONTENT: usize = 16 << 10;

/// What was seen, and where.
#[derive(Debug, Default)]
struct Facts {
    connected: Option<(String, SourceRange)>,
    listening: Option<(String, SourceRange)>,
    duplicated: bool,
    shell: Option<SourceRange>,
    network_command: Option<SourceRange>,
    encrypted: bool,
    walked: Option<Vec<u8>>,
    rewritten: Option<SourceRange>,
    downloads: Vec<Vec<u8>>,
    forked: Vec<FunctionId>,
    recursive: Vec<FunctionId>,
    active: Vec<FunctionId>,
    shellcode: u8,
}

pub(super) struct Gather {
    language: Language,
    acts: Vec<Act>,
    seen: HashSet<u64>,
    facts: Facts,
}

impl Gather {
    pub(super) fn new(language: Language) -> Self {
        Self { language, acts: Vec::new(), seen: HashSet::new(), facts: Facts::default() }
    }

    fn push(&mut self, act: Act) {
        let mut hasher = DefaultHasher::new();
        match &act {
            Act::Shell { text, range } => (0, text, range).hash(&mut hasher),
            Act::Program { arguments, range } => (1, arguments, range).hash(&mut hasher),
            Act::Code { text, range, .. } => (2, text, range).hash(&mut hasher),
            Act::Write { path, content, range, .. } => (4, path, content, range).hash(&mut hasher),
            Act::Enter { path, range } => (5, path, range).hash(&mut hasher),
            Act::Effect(effect) => {
                let target = effect.target.to_string();
                (3, effect.kind, effect.qualities, target, effect.range).hash(&mut hasher);
            }
        }
        if self.acts.len() < MOST_ACTS && self.seen.insert(hasher.finish()) {
            self.acts.push(act);
        }
    }

    pub(super) fn effect(
        &mut self,
        kind: EffectKind,
        target: Target,
        qualities: Qualities,
        range: SourceRange,
    ) {
        self.push(Act::Effect(Effect { kind, target, qualities, range, calls: 0 }));
    }

    pub(super) fn named(&mut self, kind: EffectKind, name: &str, range: SourceRange) {
        self.effect(kind, Target::Name(name.to_owned()), Qualities::NONE, range);
    }

    /// Something is done to a file.
    pub(super) fn path(
        &mut self,
        kind: EffectKind,
        path: &Value,
        mut qualities: Qualities,
        range: SourceRange,
    ) {
        let mut text = path.to_text();
        // What calls itself for what it finds goes through a whole tree.
        let again = self.facts.active.iter().any(|id| self.facts.recursive.contains(id));
        qualities = qualities.with_if(again && kind == EffectKind::Delete, Qualities::RECURSIVE);
        if path.origin.has(Origin::WALK) {
            // Of all files of a folder, the folder is what tells.
            let known = text.iter().position(|byte| *byte == UNKNOWN).unwrap_or(text.len());
            let all = text.iter().skip(known).all(|byte| matches!(byte, b'/' | &UNKNOWN));
            qualities = qualities.with_if(all, Qualities::RECURSIVE);
            if all && known > 0 && !text.starts_with(b".") {
                text.truncate(known.max(1));
            }
            if matches!(kind, EffectKind::Overwrite | EffectKind::Delete) {
                self.facts.rewritten = Some(range);
            }
        } else if path.is_blank() {
            let quiet = matches!(kind, EffectKind::Read | EffectKind::Write)
                || kind == EffectKind::Overwrite
                || kind == EffectKind::Delete && !qualities.has(Qualities::RECURSIVE)
                || kind == EffectKind::Permission;
            // A function that writes whatever file it is given tells nothing.
            if quiet {
                return;
            }
        }
        let path = String::from_utf8_lossy(&text).into_owned();
        let target = Target::Path { path, class: PathClass::Unknown };
        self.effect(kind, target, qualities, range);
    }

    /// A text goes to the shell.
    pub(super) fn shell(&mut self, text: &Value, range: SourceRange) {
        let bytes = match &text.kind {
            Kind::Text(bytes) | Kind::Path(bytes) => bytes.clone(),
            Kind::List(_) => return self.program(text, range),
            _ => vec![UNKNOWN],
        };
        self.run(&bytes, text.origin, range);
        let first = bytes.split(u8::is_ascii_whitespace).next().unwrap_or_default();
        if !computed(&bytes) {
            if is_shell(first) && !bytes.windows(2).any(|two| two == b"-c") {
                self.facts.shell = Some(range);
            }
            self.push(Act::Shell { text: bytes, range });
        }
    }

    /// A program is started with arguments.
    pub(super) fn program(&mut self, arguments: &Value, range: SourceRange) {
        let list: Vec<Vec<u8>> = match &arguments.kind {
            Kind::List(items) => items.iter().map(Value::to_text).collect(),
            _ => vec![arguments.to_text()],
        };
        let first = list.first().cloned().unwrap_or_default();
        // What comes from the network as an argument alone is data.
        let command = is_shell(&first) || first.contains(&UNKNOWN);
        let origin = if command { arguments.origin } else { Origin::NONE };
        self.run(&first, origin, range);
        if computed(&first) || first.is_empty() {
            return;
        }
        // `sh -c` and what comes from elsewhere.
        if let Kind::List(items) = &arguments.kind
            && is_shell(&first)
            && let Some([_, code, ..]) =
                list.iter().position(|one| one == b"-c").and_then(|at| items.get(at..))
            && code.is_blank()
        {
            self.run(&code.to_text(), code.origin, range);
        }
        if is_shell(&first) && list.iter().skip(1).all(|one| one.starts_with(b"-") && one != b"-c")
        {
            self.shell_started(range);
        }
        for argument in &list {
            self.started(argument, range);
        }
        self.push(Act::Program { arguments: list, range });
    }

    /// Where the command comes from.
    fn run(&mut self, text: &[u8], origin: Origin, range: SourceRange) {
        self.started(text, range);
        if origin.has(Origin::NETWORK) && text.contains(&UNKNOWN) {
            self.facts.network_command = Some(range);
            let name = Target::Name("command from the network".to_owned());
            self.effect(EffectKind::NetworkCode, name, Qualities::FROM_NETWORK, range);
        } else if computed(text) {
            self.computed(origin, range);
        }
    }

    fn computed(&mut self, origin: Origin, range: SourceRange) {
        let hidden = origin.has_any(Origin::HIDDEN.with(Origin::DECODED));
        let kind = if origin.has(Origin::DECODED) {
            EffectKind::DecodedCode
        } else {
            EffectKind::ComputedCode
        };
        self.effect(kind, Target::None, Qualities::NONE.with_if(hidden, Qualities::HIDDEN), range);
    }

    pub(super) fn started(&mut self, text: &[u8], range: SourceRange) {
        let download = self.facts.downloads.iter().any(|path| {
            text.split(|byte| byte.is_ascii_whitespace() || b";&|'\"".contains(byte))
                .any(|word| word == path || word.strip_prefix(b"./").is_some_and(|it| it == path))
        });
        if download {
            let name = Target::Name("a file that was fetched before".to_owned());
            self.effect(EffectKind::NetworkCode, name, Qualities::FROM_NETWORK, range);
        }
    }

    pub(super) fn shell_started(&mut self, range: SourceRange) {
        self.facts.shell = Some(range);
    }

    /// A text is run as code of this language.
    pub(super) fn code(&mut self, text: &Value, range: SourceRange) {
        match &text.kind {
            Kind::Text(bytes) if !text.is_blank() && !bytes.is_empty() => {
                if text.origin.has(Origin::NETWORK) && bytes.contains(&UNKNOWN) {
                    self.network_code(range);
                }
                let code = Act::Code { language: self.language, text: bytes.clone(), range };
                self.push(code);
            }
            Kind::Number(_) | Kind::Function(_) => {}
            _ if text.origin.has(Origin::NETWORK) => self.network_code(range),
            _ => self.computed(text.origin, range),
        }
    }

    pub(super) fn network_code(&mut self, range: SourceRange) {
        self.facts.network_command = Some(range);
        self.effect(EffectKind::NetworkCode, Target::None, Qualities::FROM_NETWORK, range);
    }

    pub(super) fn connected(&mut self, host: String, range: SourceRange) {
        self.effect(EffectKind::Connect, Target::Host(host.clone()), Qualities::NONE, range);
        self.facts.connected = Some((host, range));
    }

    pub(super) fn listening(&mut self, host: String, range: SourceRange) {
        let public = matches!(host.as_str(), "" | "0.0.0.0" | "::");
        let qualities = Qualities::NONE.with_if(public, Qualities::PUBLIC);
        self.effect(EffectKind::Listen, Target::Host(host.clone()), qualities, range);
        self.facts.listening = Some((host, range));
    }

    pub(super) fn duplicated(&mut self) {
        self.facts.duplicated = true;
    }

    pub(super) fn encrypted(&mut self) {
        self.facts.encrypted = true;
    }

    pub(super) fn walked(&mut self, folder: Vec<u8>) {
        self.facts.walked = Some(folder);
    }

    pub(super) fn downloaded(&mut self, path: Vec<u8>) {
        if !path.contains(&UNKNOWN) && !path.is_empty() && self.facts.downloads.len() < 100 {
            self.facts.downloads.push(path);
        }
    }

    /// Memory that may be run, or a start in it: two of these make shellcode.
    pub(super) fn shellcode(&mut self, range: SourceRange) {
        self.facts.shellcode = self.facts.shellcode.saturating_add(1);
        if self.facts.shellcode == 2 {
            let name = Target::Name("machine code in memory".to_owned());
            self.effect(EffectKind::DecodedCode, name, Qualities::HIDDEN, range);
        }
    }

    pub(super) fn forked(&mut self, inside: Option<FunctionId>, range: SourceRange) {
        if let Some(id) = inside {
            self.facts.forked.push(id);
            if self.facts.recursive.contains(&id) {
                self.bomb(range);
            }
        }
    }

    /// The program goes to another folder.
    pub(super) fn directory(&mut self, path: &Value, range: SourceRange) {
        let path = path.to_text();
        if path.first().is_some_and(|byte| *byte != UNKNOWN) {
            self.push(Act::Enter { path, range });
        }
    }

    /// A function of the program begins.
    pub(super) fn entered(&mut self, id: FunctionId) {
        self.facts.active.push(id);
    }

    /// The function that began last has ended.
    pub(super) fn left(&mut self) {
        self.facts.active.pop();
    }

    /// A text that is known is written to a file, or added to it.
    pub(super) fn write(&mut self, path: &[u8], content: &Value, adds: bool, range: SourceRange) {
        let Some(content) = content.as_text().filter(|text| text.len() <= LONGEST_CONTENT) else {
            return;
        };
        if path.first().is_some_and(|byte| *byte != UNKNOWN) {
            self.push(Act::Write { path: path.to_vec(), content: content.to_vec(), adds, range });
        }
    }

    pub(super) fn recursion(&mut self, id: FunctionId) {
        self.facts.recursive.push(id);
        if self.facts.forked.contains(&id) {
            self.bomb(SourceRange::default());
        }
    }

    /// Processes without end.
    pub(super) fn bomb(&mut self, range: SourceRange) {
        let name = Target::Name("processes".to_owned());
        self.effect(EffectKind::Exhaust, name, Qualities::ENDLESS, range);
    }

    pub(super) fn finish(mut self) -> Vec<Act> {
        let facts = std::mem::take(&mut self.facts);
        let shell = facts.shell.or(facts.network_command);
        let interactive = facts.shell.is_some() || facts.network_command.is_some();
        if let (Some((host, range)), Some(shell), true) = (facts.connected, shell, interactive) {
            let range = range.join(shell);
            self.effect(EffectKind::ReverseShell, Target::Host(host), Qualities::NONE, range);
        } else if let (Some((host, range)), Some(shell)) = (facts.listening, shell) {
            let range = range.join(shell);
            self.effect(EffectKind::BindShell, Target::Host(host), Qualities::NONE, range);
        } else if let (Some(shell), false) = (facts.shell, facts.duplicated) {
            self.effect(EffectKind::ShellEscape, Target::None, Qualities::NONE, shell);
        }
        if let (true, Some(folder), Some(range)) = (facts.encrypted, facts.walked, facts.rewritten)
        {
            let path = String::from_utf8_lossy(&folder).into_owned();
            let target = Target::Path { path, class: PathClass::Unknown };
            let qualities = Qualities::RECURSIVE.with(Qualities::HIDDEN);
            self.effect(EffectKind::Overwrite, target, qualities, range);
        }
        self.acts
    }
}

/// Whether nobody knows which program this starts.
fn computed(text: &[u8]) -> bool {
    let text = text.trim_ascii_start();
    text.first() == Some(&UNKNOWN) && !text.iter().any(|byte| b";&|\n/".contains(byte))
}

/// Whether a word names a shell.
pub(super) fn is_shell(word: &[u8]) -> bool {
    let name = word.rsplit(|byte| matches!(byte, b'/' | b'\\')).next().unwrap_or_default();
    let name = name.to_ascii_lowercase();
    matches!(
        name.as_slice(),
        b"sh"
            | b"bash"
            | b"dash"
            | b"zsh"
            | b"ksh"
            | b"ash"
            | b"csh"
            | b"tcsh"
            | b"fish"
            | b"cmd"
            | b"cmd.exe"
            | b"powershell"
            | b"powershell.exe"
            | b"pwsh"
    )
}
