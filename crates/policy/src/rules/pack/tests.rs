//! What packs refuse, find, tighten and loosen.

use ctrlz_core::verdict::Risk;
use proptest::prelude::*;

use super::{Pack, Packs, Standing};
use crate::{Context, Validator, Verdict};

fn tightens() -> Standing {
    Standing::OnlyTightens { because: "the profile `production` does not allow that".to_owned() }
}

fn error(text: &str) -> String {
    Pack::parse("team", text, tightens()).expect_err(text).to_string()
}

fn judge(pack: &str, standing: Standing, command: &str) -> Verdict {
    let pack = Pack::parse("team", pack, standing).unwrap_or_else(|error| panic!("{error}"));
    let packs = Packs::new(vec![pack]);
    Validator::with_packs(Context::default(), packs).command(command.as_bytes())
}

fn risk(pack: &str, standing: Standing, command: &str) -> Risk {
    judge(pack, standing, command).risk
}

#[test]
fn errors_name_line_rule_and_key_and_what_was_meant() {
    let rule = "- id: a\n  risk: high\n  reason: r\n  program: x\n";
    let cases: &[(String, &str)] = &[
        ("3".into(), "team:1: a pack is a list of rules, or a mapping with `rules:`"),
        ("a: [".into(), "team:1: unclosed bracket '['"),
        ("versoin: 1".into(), "team:1: there is no key `versoin`; did you mean `version`?"),
        ("version: 2".into(), "team:1: version: this ctrlz reads version 1"),
        ("rules: 1".into(), "team:1: rules: expected a list"),
        ("- 1".into(), "team:1: expected a mapping of keys"),
        (
            format!("{rule}  progam: y\n"),
            "team:5: rule `a`: progam: there is no such key; did you mean `program`?",
        ),
        (format!("{rule}  risk: low\n"), "team:5: rule `a`: risk: it stands there twice"),
        (
            format!("{rule}{rule}"),
            "team:5: rule `a`: id: there is a rule of that name in line 1 already",
        ),
        (
            "- id: a\n  risk: hihg\n  reason: r\n  program: x".into(),
            "team:2: rule `a`: risk: `hihg` is none of low, medium, high, critical; did you mean `high`?",
        ),
        (
            "- id: a\n  reason: r\n  program: x".into(),
            "team:1: rule `a`: risk: it must say how much is risked",
        ),
        ("- id: a\n  risk: low\n  program: x".into(), "team:1: rule `a`: reason: it must say why"),
        (
            "- id: a\n  risk: low\n  reason: ' '\n  program: x".into(),
            "team:3: rule `a`: reason: it must say why",
        ),
        ("- risk: low\n  reason: r\n  program: x".into(), "team:1: id: it needs a name"),
        (
            "- id: a/b\n  risk: low\n  reason: r\n  program: x".into(),
            "team:1: rule `a/b`: id: `a/b` is no name: letters, digits, `-`, `_` and `.`",
        ),
        (
            "- id: a\n  risk: low\n  reason: r\n".into(),
            "team:1: rule `a`: it asks nothing: it needs `effect`, `program`, `prefix`, `command` or `remark`",
        ),
        (
            "- id: a\n  risk: low\n  reason: r\n  target: root\n".into(),
            "team:1: rule `a`: it asks nothing: it needs `effect`, `program`, `prefix`, `command` or `remark`",
        ),
        (
            "- id: a\n  risk: low\n  reason: r\n  effect: [read,\n    delte]\n".into(),
            "team:4: rule `a`: effect: `delte` is no effect; did you mean `delete`?",
        ),
        (
            "- id: a\n  risk: low\n  reason: r\n  effect: read\n  target: rot\n".into(),
            "team:5: rule `a`: target: `rot` is no kind of place; did you mean `root`?",
        ),
        (
            "- id: a\n  risk: low\n  reason: r\n  effect: read\n  with: forcd\n".into(),
            "team:5: rule `a`: with: `forcd` is no quality; did you mean `forced`?",
        ),
        (
            "- id: a\n  risk: low\n  reason: r\n  remark: codedname\n".into(),
            "team:4: rule `a`: remark: `codedname` is no remark; did you mean `coded-name`?",
        ),
        (
            "- id: a\n  risk: low\n  reason: r\n  effect: read\n  word: x\n".into(),
            "team:5: rule `a`: word: the rule is about effects, of which this asks nothing",
        ),
        (
            format!("{rule}  word: []\n"),
            "team:5: rule `a`: word: an empty list matches nothing; leave it out",
        ),
        (
            format!("{rule}  word: {{a: b}}\n"),
            "team:5: rule `a`: word: expected a text or a list of texts",
        ),
        (
            format!("{rule}  allow: true\n"),
            "team:5: rule `a`: allow: what is allowed cannot be of high risk",
        ),
        (
            format!("{rule}  executable: /x\n"),
            "team:5: rule `a`: executable: it has a meaning only beside `allow: true`",
        ),
        (format!("{rule}  match: y\n"), "team:1: rule `a`: match: it does not match `y`"),
        (format!("{rule}  no_match: x 1\n"), "team:1: rule `a`: no_match: it matches `x 1`"),
        (
            "overrides:\n- rule: push-fosrce\n  risk: high".into(),
            "team:2: rule `push-fosrce`: rule: there is no built-in rule of that name; did you mean `push-force`?",
        ),
        (
            "overrides:\n- rule: push-force\n  risk: low".into(),
            "team:3: rule `push-force`: risk: it would loosen high to low; the profile `production` does not allow that",
        ),
        (
            "overrides:\n- rule: push-force\n  allow: true\n  any_word: x".into(),
            "team:3: rule `push-force`: allow: it would loosen high to low; the profile `production` does not allow that",
        ),
        (
            "overrides:\n- rule: push-force\n  allow: true".into(),
            "team:3: rule `push-force`: allow: it needs a condition that narrows it",
        ),
        (
            "overrides:\n- rule: push-force".into(),
            "team:2: rule `push-force`: it needs `risk` or `allow`",
        ),
        (
            "overrides:\n- rule: push-force\n  risk: critical\n  path: /x".into(),
            "team:4: rule `push-force`: path: the rule is about calls of programs, which this cannot narrow",
        ),
        (
            "overrides:\n- rule: push-force\n  risk: critical\n  match: git push".into(),
            "team:2: rule `push-force`: match: it does not match `git push`",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(error(text), *expected, "{text}");
    }
}

#[test]
fn a_rule_of_a_pack_is_found_under_the_name_of_its_pack() {
    let pack = "- {id: deploy, risk: high, reason: r, hint: h, prefix: [deploy, [production, staging]], \
                match: [deploy staging now], no_match: [deploy preview, deploy]}";
    let verdict = judge(pack, tightens(), "cd x && deploy production");
    assert_eq!(verdict.risk, Risk::High);
    assert_eq!(verdict.findings[0].rule, "team/deploy");
    assert_eq!(risk(pack, tightens(), "deploy preview"), Risk::Low);
}

#[test]
fn effects_and_spellings_and_whole_commands_can_be_asked_about() {
    let effect =
        "- {id: a, risk: critical, reason: r, effect: [write, overwrite], path: ./locked/*}";
    assert_eq!(risk(effect, tightens(), "echo x > locked/a"), Risk::Critical);
    assert_eq!(risk(effect, tightens(), "echo x > open/a"), Risk::Low);
    let remark = "- {id: a, risk: critical, reason: r, remark: separators}";
    assert_eq!(risk(remark, tightens(), "ls${IFS}-l"), Risk::Critical);
    let command = "- {id: a, risk: high, reason: r, command: npm run *}";
    assert_eq!(risk(command, tightens(), "npm run"), Risk::High);
    assert_eq!(risk(command, tightens(), "npm run x y"), Risk::High);
    assert_eq!(risk(command, tightens(), "npm runx"), Risk::Low);
}

#[test]
fn every_pack_can_tighten_a_built_in_rule() {
    let all =
        "overrides: [{rule: push-force, risk: critical, reason: never here, match: [git push -f]}]";
    let verdict = judge(all, tightens(), "git push --force");
    assert_eq!(verdict.risk, Risk::Critical);
    assert_eq!(verdict.findings[0].reason, "never here");
    let one = "overrides: [{rule: push-force, risk: critical, any_word: main}]";
    assert_eq!(risk(one, tightens(), "git push --force origin main"), Risk::Critical);
    assert_eq!(risk(one, tightens(), "git push --force origin mine"), Risk::High);
}

#[test]
fn a_pack_that_may_can_loosen_a_built_in_rule_where_its_conditions_hold() {
    let pack = "overrides: [{rule: push-force, allow: true, any_word: mine, not_word: main}]";
    let loose = |command| risk(pack, Standing::MayLoosen, command);
    assert!(loose("git push --force origin mine") < Risk::High);
    assert_eq!(loose("git push --force origin mine main"), Risk::High);
    assert_eq!(loose("git push --force origin mine \"$other\""), Risk::High);
}

#[test]
fn the_strictest_of_several_packs_wins() {
    let parse = |name, text| Pack::parse(name, text, Standing::MayLoosen).unwrap();
    let loose = parse("a", "overrides: [{rule: push-force, risk: low}]");
    let strict = parse("b", "overrides: [{rule: push-force, risk: critical}]");
    for packs in [vec![loose.clone(), strict.clone()], vec![strict, loose.clone()]] {
        let validator = Validator::with_packs(Context::default(), Packs::new(packs));
        assert_eq!(validator.command(b"git push --force").risk, Risk::Critical);
    }
    let ask = parse("b", "- {id: ask, risk: high, reason: r, prefix: [git, push]}");
    let allow = parse("c", "- {id: allow, allow: true, prefix: [git, push]}");
    let packs = Packs::new(vec![loose, ask, allow]);
    let validator = Validator::with_packs(Context::default(), packs);
    assert_eq!(validator.command(b"git push --force").risk, Risk::High);
}

#[test]
fn what_a_pack_allows_is_allowed_only_where_it_may_loosen() {
    let pack =
        "- {id: a, allow: true, prefix: [git, push], match: [git push -f], no_match: [git pull]}";
    assert_eq!(risk(pack, Standing::MayLoosen, "git push --force"), Risk::Low);
    assert_eq!(risk(pack, tightens(), "git push --force"), Risk::High);
    let packs = Packs::new(vec![Pack::parse("mine", pack, Standing::MayLoosen).unwrap()]);
    let verdict = Validator::with_packs(Context::default(), packs).command(b"git push --force");
    let told: Vec<&str> = verdict.findings.iter().map(|finding| &*finding.reason).collect();
    assert_eq!(told, ["it replaces what others have pushed; `mine/a` allows it"]);
}

#[test]
fn to_allow_a_program_allows_nothing_that_hides_in_its_words() {
    let pack = "- {id: a, allow: true, program: [echo, git, bash, kill, reboot], executable: /usr/bin/git}";
    let plain = |command: &str| Validator::new(Context::default()).command(command.as_bytes()).risk;
    for command in [
        "echo $(git push --force; rm -rf /home/user/other)",
        "echo > /etc/passwd x",
        "echo x | bash",
        "bash -c 'rm -rf /home/user/other'",
        "sudo git push --force",
        "/tmp/git push --force",
        "git push --force \"$x\"",
        "git(){ rm -rf /home/user/other; }; git push",
        "kill -9 -1",
        "reboot -f",
    ] {
        assert_eq!(risk(pack, Standing::MayLoosen, command), plain(command), "{command}");
        assert!(plain(command) >= Risk::High || command.starts_with("echo x"), "{command}");
    }
    assert_eq!(risk(pack, Standing::MayLoosen, "git push --force"), Risk::Low);
    assert_eq!(risk(pack, Standing::MayLoosen, "/usr/bin/git push --force"), Risk::Low);
}

#[test]
fn the_built_in_rules_are_a_pack_in_the_same_form() {
    for (family, text) in super::BUILT_IN_TEXTS {
        if let Err(error) = Pack::parse_unchecked(family, text, tightens()) {
            panic!("{error}");
        }
    }
    let shown = super::built_in();
    let rule = shown.iter().find(|shown| shown.rule == "push-force").unwrap();
    assert!(rule.yaml.contains("word: [push]"), "{}", rule.yaml);
}

#[test]
fn no_packs_are_no_cost() {
    let validator = Validator::with_packs(Context::default(), Packs::new(Vec::new()));
    assert_eq!(format!("{validator:?}"), format!("{:?}", Validator::new(Context::default())));
}

#[cfg(not(feature = "cel"))]
#[test]
fn a_condition_that_cannot_be_asked_is_refused() {
    let told = error("- {id: a, risk: low, reason: r, program: x, when: network}");
    assert!(told.ends_with("when: this ctrlz was built without conditions (the feature `cel`)"));
}

#[cfg(feature = "cel")]
mod conditions {
    use super::*;

    fn rule(when: &str) -> String {
        format!("- id: a\n  risk: high\n  reason: r\n  program: [x, y]\n  when: '{when}'\n")
    }

    #[test]
    fn ask_about_the_call_the_effect_and_the_place() {
        for (when, command, expected) in [
            ("program == \"x\"", "x", true),
            ("program == \"x\"", "y", false),
            ("arguments.exists(a, a.startsWith(\"--for\"))", "x --force", true),
            ("arguments.exists(a, a.startsWith(\"--for\"))", "x --fo", false),
            ("size(arguments) > 2", "x 1 2", false),
            ("\"privileged\" in qualities", "sudo x", true),
            ("\"privileged\" in qualities", "x", false),
            ("workspace == \"/home/user/project\" && home == \"/home/user\"", "x", true),
            ("directory != workspace || network || profile != \"development\"", "x", false),
        ] {
            let found = judge(&rule(when), tightens(), command);
            let found = found.findings.iter().any(|finding| finding.rule == "team/a");
            assert_eq!(found, expected, "{when}: {command}");
        }
        let effect = "- {id: a, risk: high, reason: r, effect: [delete], \
                      when: 'target.endsWith(\".db\") && class == \"workspace\" && program == \"rm\"'}";
        assert_eq!(risk(effect, tightens(), "rm a.db"), Risk::High);
        assert_eq!(risk(effect, tightens(), "rm a.txt"), Risk::Low);
    }

    #[test]
    fn ask_about_network_and_profile() {
        let text = "- {id: a, risk: high, reason: r, program: x, when: 'network && profile == \"testing\"', match: [x]}";
        let pack = Pack::parse("team", text, tightens()).unwrap();
        let packs = Packs::new(vec![pack]);
        let judge =
            |packs: Packs| Validator::with_packs(Context::default(), packs).command(b"x").risk;
        assert_eq!(judge(packs.clone()), Risk::Low);
        assert_eq!(judge(packs.with_network(true).with_profile("testing")), Risk::High);
    }

    #[test]
    fn that_are_no_expression_or_unbounded_are_errors_of_the_pack() {
        for (when, expected) in [
            ("program ==".to_owned(), "rule `a`: when: column"),
            (
                "progam == \"x\"".to_owned(),
                "when: there is no variable `progam`; did you mean `program`?",
            ),
            ("program.matches(\"x\")".to_owned(), "when: there is no function `matches`"),
            (
                "arguments.exists(a, arguments.exists(b, a == b))".to_owned(),
                "when: it goes through a list for each item of a list",
            ),
            (
                "arguments.map(a, a + a).exists(b, b == \"x\")".to_owned(),
                "when: it goes through a list that it makes from a list",
            ),
            (format!("{}network{}", "(".repeat(60), ")".repeat(60)), "when: it nests too deeply"),
            (format!("network{}", " || network".repeat(300)), "when: it is longer than 1000 bytes"),
        ] {
            let told = error(&rule(&when).replace("program: [x, y]", "program: x"));
            assert!(told.contains(expected), "{told}");
        }
    }

    #[test]
    fn that_cannot_be_evaluated_count_against_the_command() {
        let found = judge(&rule("arguments[7] == \"x\""), tightens(), "x");
        assert_eq!(found.risk, Risk::High);
        assert!(
            found.findings[0].reason.starts_with("r (its condition cannot be evaluated: "),
            "{found:?}"
        );
        assert_eq!(risk(&rule("size(arguments)"), tightens(), "x"), Risk::High);
        let many = format!("x {}", "1 ".repeat(300));
        assert_eq!(risk(&rule("false"), tightens(), &many), Risk::High);
        let loosens = "overrides: [{rule: push-force, allow: true, when: 'arguments[9] == \"x\"'}]";
        assert_eq!(risk(loosens, Standing::MayLoosen, "git push --force"), Risk::High);
        let allows = "- {id: a, allow: true, program: git, when: 'arguments[9] == \"x\"'}";
        assert_eq!(risk(allows, Standing::MayLoosen, "git push --force"), Risk::High);
    }

    proptest! {
        #[test]
        fn any_condition_compiles_or_not_without_a_panic(text in "[a-z.()\\[\\]{}?:!=&|<>+*/%\"0-9 -]{0,60}") {
            let _ = super::super::Condition::compile(&text);
        }
    }
}

proptest! {
    #[test]
    fn any_text_is_a_pack_or_an_error(text in "[-a-z: \\n\\t\\[\\]{}&*!|>'\"%#?,~0-9]{0,120}") {
        let _ = Pack::parse("team", &text, tightens());
    }

    #[test]
    fn what_is_written_is_read_again(
        id in "[a-z][a-z0-9-]{0,8}",
        reason in "\\PC{0,20}[a-z]",
        words in prop::collection::vec(".{1,12}", 1..4),
        allow: bool,
    ) {
        let entry = super::Entry {
            form: crate::rules::form::RuleForm {
                id,
                risk: if allow { "low" } else { "high" }.to_owned(),
                reason,
                hint: words.join("\n"),
                ..Default::default()
            },
            prefix: words.iter().map(|word| vec![word.clone(), "b".to_owned()]).collect(),
            command: words.clone(),
            allow,
            ..Default::default()
        };
        let pack = Pack::of_entries("team", vec![entry.clone()], words).unwrap();
        prop_assert_eq!(&pack.rules[0].entry, &entry);
        let again = Pack::parse_unchecked("team", &pack.to_yaml(), Standing::MayLoosen).unwrap();
        prop_assert_eq!(&again.rules[0].entry, &entry);
        prop_assert_eq!(again.notes, pack.notes);
    }
}
