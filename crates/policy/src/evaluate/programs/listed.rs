//! Deletions of whatever a program lists: `docker volume rm $(docker volume ls -q)`.
//!
//! What is listed nobody knows here, so that no path and no name tells how much is lost. That the
//! list was not narrowed does.

use crate::effect::{EffectKind, Qualities, Target};
use crate::evaluate::Evaluator;
use crate::evaluate::call::Call;
use crate::evaluate::matches_pattern;
use crate::evaluate::value::{Taint, Value};

/// How many calls back a list may stand.
const MOST_STEPS: usize = 8;

/// Programs that keep things, with the words that delete and the words that list.
struct Store {
    names: &'static [&'static str],
    deletes: &'static [&'static str],
    lists: &'static [&'static str],
    /// What is listed without these is everything.
    narrows: &'static [&'static str],
}

const STORES: &[Store] = &[
    Store {
        names: &["docker", "podman", "nerdctl"],
        deletes: &["rm", "remove"],
        lists: &["ps", "ls", "list"],
        narrows: &["--filter*", "-*f*"],
    },
    Store {
        names: &["kubectl", "oc", "k"],
        deletes: &["delete"],
        lists: &["get"],
        narrows: &["-l*", "--selector*", "--field-selector*"],
    },
    Store {
        names: &["aws"],
        deletes: &["terminate-*", "delete-*", "rb", "deregister-*"],
        lists: &["describe-*", "list-*", "ls"],
        narrows: &["--filter*", "*[?]*", "--*-name*", "--prefix*"],
    },
    Store {
        names: &["gcloud", "az", "doctl", "hcloud", "heroku", "flyctl", "fly", "linode-cli", "gh"],
        deletes: &["delete", "destroy", "rm"],
        lists: &["list", "ls"],
        narrows: &["--filter*", "*[?]*", "--tag*", "-g", "--resource-group*", "--label*"],
    },
    Store {
        names: &["brew", "flatpak", "snap"],
        deletes: &["uninstall", "remove", "rm"],
        lists: &["list", "ls", "leaves"],
        narrows: &[],
    },
    Store {
        names: &["zfs", "zpool", "virsh", "lxc", "incus", "vagrant", "multipass", "lvremove"],
        deletes: &["destroy", "undefine", "delete", "vol-delete"],
        lists: &["list", "ls"],
        narrows: &["-t", "--state*", "--inactive"],
    },
    Store {
        names: &["helm", "helm3"],
        deletes: &["uninstall", "delete", "del", "un"],
        lists: &["list", "ls"],
        narrows: &["--filter*", "--selector*"],
    },
    Store {
        names: &["redis-cli"],
        deletes: &["del", "DEL", "unlink", "UNLINK"],
        lists: &["keys", "KEYS", "--scan"],
        narrows: &["--pattern"],
    },
];

/// Programs that only bring a list into another form.
const FORMS: &[&str] =
    &["awk", "gawk", "cut", "tr", "sort", "uniq", "jq", "sed", "tail", "xargs", "cat", "column"];

impl Evaluator<'_> {
    /// A call that deletes what an earlier one listed.
    pub(super) fn deletes_what_is_listed(&mut self, call: &Call) {
        let is_list = |field: &&crate::evaluate::expand::Field| {
            field.value.is_wholly_unknown() && field.value.taint.has(Taint::OUTPUT)
        };
        let Some(list) = call.arguments.iter().find(is_list) else { return };
        let range = list.range;
        if call.name == "rm" {
            let trees = call.options("", &[]).has("r|R|recursive");
            if trees && self.newest_list().is_some_and(lists_root) {
                let root = Value::known("/*");
                self.touch_path(EffectKind::Delete, &root, Qualities::RECURSIVE, range);
            }
            return;
        }
        if call.name == "kill" {
            // Of a user, or of all; not those of one parent or one session.
            let many = |earlier: &Call| {
                let options = earlier.options("ouUpst", &["user", "ppid", "pid", "sid"]);
                earlier.name == "ps"
                    && !options.has("p|s|t|ppid|pid|sid")
                    && (options.has("u|U|user|e|A")
                        || options.operands.iter().any(|field| field.text().starts_with(b"a")))
            };
            if self.newest_list().is_some_and(many) {
                let target = Target::Name("every process that ps lists".into());
                self.emit(EffectKind::Kill, target, Qualities::NONE, range);
            }
            return;
        }
        let Some(store) = STORES.iter().find(|store| store.names.contains(&call.name.as_str()))
        else {
            return;
        };
        if !has(call, store.deletes) || asks_for_stopped(call) || has(call, &["--dry-run*"]) {
            return;
        }
        let all = self.newest_list().is_some_and(|earlier| {
            earlier.name == call.name && has(earlier, store.lists) && !has(earlier, store.narrows)
        });
        if all {
            let target = Target::Name(format!("all that {} lists", call.name));
            self.emit(EffectKind::Remote, target, Qualities::NONE, range);
        }
    }

    /// The newest call that is more than a change of form.
    fn newest_list(&self) -> Option<&Call> {
        let calls = self.found.calls.iter().rev().take(MOST_STEPS);
        calls.into_iter().find(|call| !FORMS.contains(&call.name.as_str()) || selects(call))
    }
}

/// Whether a program that forms a list leaves out lines: `awk '/old/ {print $1}'`.
fn selects(call: &Call) -> bool {
    // `s|^|/|` changes every line, and leaves out none.
    let changes = |text: &[u8]| {
        call.name == "sed"
            && matches!(text, [b's', mark, ..] if mark.is_ascii_punctuation())
            && !call.arguments.iter().any(|field| field.text().starts_with(b"-n"))
    };
    call.arguments.iter().any(|field| {
        let text = field.text();
        let has = |part: &[u8]| text.windows(part.len()).any(|window| window == part);
        call.name != "xargs"
            && !changes(text)
            && (has(b"/") || has(b"==") || has(b"select(") || has(b"~"))
    })
}

fn has(call: &Call, patterns: &[&str]) -> bool {
    call.arguments.iter().any(|field| {
        patterns.iter().any(|pattern| {
            let long = field.text().starts_with(b"--") && !pattern.starts_with("--");
            !long && matches_pattern(pattern.as_bytes(), field.text())
        })
    })
}

/// Without force, only containers that have ended go.
fn asks_for_stopped(call: &Call) -> bool {
    let word = |word: &[u8]| call.arguments.iter().any(|field| field.text() == word);
    let containers = matches!(call.name.as_str(), "docker" | "podman" | "nerdctl");
    containers && !word(b"volume") && !call.options("", &[]).has("f|force")
}

/// `ls /`
fn lists_root(call: &Call) -> bool {
    call.name == "ls" && call.options("", &[]).operands.iter().any(|field| field.text() == b"/")
}
