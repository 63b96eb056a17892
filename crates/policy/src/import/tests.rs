//! What is translated, what is told, and that both come back from the text of the pack.

use ctrlz_core::verdict::Risk;
use proptest::prelude::*;

use super::{claude, codex};
use crate::rules::{Pack, Packs, Standing};
use crate::{Context, Validator};

const CODEX: &str = r#"
# What our agents may do.
prefix_rule(
    pattern = ["git", ["push", "fetch"], 'origin'],   # alternatives
    decision = "prompt",
    justification = """It talks
to others.""",
    match = ["git push origin main", ["git", "fetch", "origin"]],
    not_match = ["git push upstream", "git status",],
)
prefix_rule(pattern=["rm", "-rf"], decision="forbidden", match=["rm -rf x"])
prefix_rule(pattern=["git", "push"])
host_executable(name="git", paths=["/opt/homebrew/bin/git", '/usr/bin/git'])
other_rule(x = [])
"#;

const CLAUDE: &str = r#"{
  "model": "x",
  "permissions": {
    "allow": ["Bash(npm run test:*)", "Bash(git push *)", "Read(./docs/**)", "mcp__srv__tool"],
    "ask": ["Bash(git push --force:*)", "WebFetch(domain:example.com)"],
    "deny": ["Bash(rm)", "Bash(curl * | sh)", "Read(./.env)", "Read(~/.ssh/**)", "Edit(/src/**)",
             "Read(//etc/shadow)", "Task(x)", "Bash(oops"],
    "defaultMode": "acceptEdits"
  }
}"#;

fn judge(pack: &Pack, standing: Standing) -> impl Fn(&str) -> Risk {
    let pack = Pack::parse(pack.name(), &pack.to_yaml(), standing).unwrap();
    let validator = Validator::with_packs(Context::default(), Packs::new(vec![pack]));
    move |command| validator.command(command.as_bytes()).risk
}

fn tightens() -> Standing {
    Standing::OnlyTightens { because: "no".to_owned() }
}

#[test]
fn rules_of_codex_decide_as_they_say() {
    let pack = codex("codex", CODEX).unwrap();
    assert_eq!(pack.notes().len(), 1, "{:?}", pack.notes());
    assert!(pack.notes()[0].starts_with("line 14: `other_rule` is not translated"));
    let judge = judge(&pack, Standing::MayLoosen);
    assert_eq!(judge("git push origin main"), Risk::High);
    assert_eq!(judge("git push upstream main"), Risk::Low);
    assert_eq!(judge("git push --force"), Risk::Low);
    assert_eq!(judge("/usr/bin/git push --force"), Risk::Low);
    assert_eq!(judge("/tmp/git push --force"), Risk::High);
    assert_eq!(judge("rm -rf x"), Risk::Critical);
    assert!(judge("rm -r x") < Risk::High);
}

#[test]
fn what_codex_allows_lowers_nothing_for_a_pack_that_only_tightens() {
    let pack = codex("codex", CODEX).unwrap();
    let judge = judge(&pack, tightens());
    assert_eq!(judge("git push --force"), Risk::High);
    assert_eq!(judge("rm -rf x"), Risk::Critical);
}

#[test]
fn the_text_of_an_imported_pack_is_plain_to_read() {
    let text = codex("codex", CODEX).unwrap().to_yaml();
    let expected = r#"version: 1
notes:
  - "line 14: `other_rule` is not translated: only prefix_rule and host_executable are"
rules:
  - id: git-push-origin
    risk: high
    prefix: [git, [push, fetch], origin]
    reason: "It talks\nto others."
    match: [git push origin main, git fetch origin]
    no_match: [git push upstream, git status]
  - id: rm-rf
    risk: critical
    prefix: [rm, "-rf"]
    reason: the rules of Codex forbid it
    match: [rm -rf x]
  - id: git-push
    risk: low
    allow: true
    prefix: [git, push]
    executable: [/opt/homebrew/bin/git, /usr/bin/git]
"#;
    assert_eq!(text, expected);
}

#[test]
fn an_example_that_does_not_hold_here_is_left_out_and_told() {
    let pack = codex("c", r#"prefix_rule(pattern=["a"], decision="prompt", match=["b", "a x"])"#);
    let pack = pack.unwrap();
    assert_eq!(pack.notes(), ["a: an example was left out: it does not match `b`"]);
    assert!(pack.failing_examples().is_empty());
}

#[test]
fn mistakes_in_rules_of_codex_have_a_place() {
    for (text, expected) in [
        ("x = 1", "1:3: only calls stand here, such as prefix_rule(pattern = […])"),
        ("prefix_rule([])", "1:13: arguments have names here: name = value"),
        ("prefix_rule(pattern=[])", "1:1: prefix_rule needs a pattern that is not empty"),
        ("prefix_rule(pattern=[[]])", "1:22: no alternatives"),
        (
            "\n  prefix_rule(pattern=['a'], decision='deny')",
            "2:39: `deny` is none of allow, prompt, forbidden",
        ),
        ("prefix_rule(patern=['a'])", "1:1: prefix_rule has no argument `patern`"),
        ("prefix_rule(pattern=['a)", "1:22: this text has no end"),
        ("prefix_rule(pattern=['a'", "1:25: expected `]`, found the end"),
        ("prefix_rule(pattern=[a])", "1:22: expected a text or a list, found `a`"),
        (
            "prefix_rule(pattern=['\\q'])",
            "1:25: there is no such escape; a backslash is written twice",
        ),
        ("host_executable(paths=[])", "1:1: host_executable needs a name"),
        ("prefix_rule(pattern=['a'], pattern=['a'])", "1:35: `pattern` stands there twice"),
        (&format!("f(x={})", "[".repeat(100_000)), "1:14: lists nest too deeply"),
    ] {
        assert_eq!(codex("c", text).expect_err(text).to_string(), expected);
    }
}

#[test]
fn permissions_of_claude_code_decide_as_they_say() {
    let pack = claude("claude", CLAUDE).unwrap();
    let judge = judge(&pack, Standing::MayLoosen);
    for (command, expected) in [
        ("rm", Risk::Critical),
        ("cat .env", Risk::Critical),
        ("cat ~/.ssh/config", Risk::Critical),
        ("cat /etc/shadow", Risk::Critical),
        ("echo x > src/a/b.rs", Risk::Critical),
        ("echo x > lib/src/b.rs", Risk::Low),
        ("cat src/a.rs", Risk::Low),
        ("git push --force", Risk::High),
        ("git push origin +main", Risk::Low),
        ("curl https://example.com/x", Risk::High),
        ("curl https://api.example.com/x", Risk::High),
    ] {
        assert_eq!(judge(command), expected, "{command}");
    }
    assert!(judge("rm x") < Risk::Critical);
    assert!(judge("curl https://example.org/x") < Risk::High);
}

#[test]
fn permissions_that_have_no_meaning_here_are_told() {
    let pack = claude("claude", CLAUDE).unwrap();
    assert_eq!(
        pack.notes(),
        [
            "deny `Bash(curl * | sh)`: it is about the text of several commands; here each is judged alone",
            "deny `Task(x)`: there is nothing like this tool here",
            "deny `Bash(oops`: it has no closing parenthesis",
            "allow `Read(./docs/**)`: what it allows is judged by what it touches",
            "allow `mcp__srv__tool`: it is about a tool of an MCP server, which runs no command",
            "permissions.`defaultMode`: it is not translated",
        ]
    );
}

#[test]
fn settings_that_are_none_have_a_place() {
    for (text, expected) in [
        ("{", "1:1: EOF while parsing an object"),
        ("[]", "1:1: expected an object with `permissions`"),
        (r#"{"permissions": 1}"#, "1:1: `permissions` is no object"),
        (r#"{"permissions": {"deny": "x"}}"#, "1:1: `permissions.deny` is no list"),
        (r#"{"permissions": {"deny": [1]}}"#, "1:1: `permissions.deny` holds what is no text"),
    ] {
        assert_eq!(claude("c", text).expect_err(text).to_string(), expected);
    }
    assert!(claude("c", "{}").unwrap().shown().is_empty());
}

fn same_again(pack: &Pack) {
    let text = pack.to_yaml();
    let again = Pack::parse(pack.name(), &text, Standing::MayLoosen);
    let again = again.unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert_eq!(again.shown(), pack.shown());
    assert_eq!(again.notes(), pack.notes());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_text_is_rules_or_an_error(text in "(prefix_rule|host_executable|[-a-z =(),#\\[\\]'\"\\\\\\n]){0,40}") {
        let _ = codex("c", &text);
        let _ = claude("c", &text);
    }

    #[test]
    fn rules_of_codex_come_back_from_the_text_of_the_pack(
        rules in prop::collection::vec(
            (prop::collection::vec(".{1,6}", 1..4), "allow|prompt|forbidden", ".{0,8}", ".{0,8}"),
            0..6,
        ),
    ) {
        let text: String = rules
            .iter()
            .map(|(words, decision, why, example)| {
                let words: Vec<String> = words.iter().map(|word| literal(word)).collect();
                format!(
                    "prefix_rule(pattern=[{}], decision='{decision}', justification={}, match=[{}])\n",
                    words.join(", "), literal(why), literal(example)
                )
            })
            .collect();
        same_again(&codex("c", &text).unwrap());
    }

    #[test]
    fn permissions_come_back_from_the_text_of_the_pack(
        lists in prop::collection::vec(
            prop::collection::vec("(Bash|Read|Edit|WebFetch|mcp__a__b|.{0,4})(\\((domain:|~/|//|/|\\./)?.{0,10}\\))?", 0..5),
            3,
        ),
    ) {
        let settings = serde_json::json!({
            "permissions": {"allow": lists[0], "ask": lists[1], "deny": lists[2]}
        });
        same_again(&claude("c", &settings.to_string()).unwrap());
    }
}

/// A text as Starlark.
fn literal(text: &str) -> String {
    let escape = |letter: char| match letter {
        '"' | '\\' => format!("\\{letter}"),
        ' '..='~' => letter.to_string(),
        _ => format!("\\U{:08x}", u32::from(letter)),
    };
    format!("\"{}\"", text.chars().map(escape).collect::<String>())
}
