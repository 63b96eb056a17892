use super::*;

/// Bytes that look random and are the same every time.
pub(super) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed | 1;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 24) as u8
        })
        .collect()
}

const MAIN: [Language; 2] = [Language::Python, Language::JavaScript];

#[test]
pub(super) fn noise_is_survived() {
    for language in MAIN {
        for seed in 1..60 {
            acts(language, &noise(seed * 7919, 40 * seed as usize));
        }
    }
}

#[test]
pub(super) fn noise_of_syntax_is_survived() {
    let words: &[&str] = &[
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        "'",
        "\"",
        "`",
        "${",
        "\n",
        "  ",
        "def f(",
        "x",
        "=",
        "lambda:",
        "for x in ",
        "while True:",
        "import os\n",
        "os.system",
        "+",
        "*",
        ".",
        ",",
        ":",
        "function(){",
        "=>",
        "f'{",
        "\\",
        "#",
        "//",
    ];
    for language in MAIN {
        for seed in 1..80 {
            let text: String = noise(seed * 104_729, 300)
                .into_iter()
                .map(|byte| words[usize::from(byte) % words.len()])
                .collect();
            acts(language, text.as_bytes());
        }
    }
}

#[test]
fn every_prefix_of_a_program_is_survived() {
    let python = b"import os\nfor r, d, f in os.walk('/'):\n  [os.remove(x) for x in f]\nos.system(f'{a!r:>{3}} ' + 'x' % (1,))";
    let javascript = b"const {exec: e} = require('child_process'); e(`rm ${'-rf'} /`, (a, ...b) => { b.map(x => x[0]) })";
    for end in 0..python.len() {
        acts(Language::Python, &python[..end]);
    }
    for end in 0..javascript.len() {
        acts(Language::JavaScript, &javascript[..end]);
    }
}

#[test]
fn deep_nesting_is_survived_and_what_lies_deep_is_seen() {
    for (open, close) in [
        ("(", ")"),
        ("[", "]"),
        ("f(", ")"),
        ("{1:", "}"),
        ("lambda: ", ""),
        ("not ", ""),
        ("-", ""),
    ] {
        let text =
            format!("{}__import__('os').system('id'){}", open.repeat(500), close.repeat(500));
        let found = words(Language::Python, &text);
        assert!(found.iter().any(|word| word == "shell id"), "{open}: {found:?}");
        acts(
            Language::Python,
            format!("{}x{}", open.repeat(4_000), close.repeat(4_000)).as_bytes(),
        );
        acts(Language::Python, open.repeat(20_000).as_bytes());
    }
    for (open, close) in [
        ("(", ")"),
        ("[", "]"),
        ("f(", ")"),
        ("{", "}"),
        ("()=>", ""),
        ("!", ""),
        ("`${", "}`"),
        ("if(x){", "}"),
    ] {
        let text =
            format!("{}require('child_process').exec('id'){}", open.repeat(200), close.repeat(200));
        let found = words(Language::JavaScript, &text);
        assert!(found.iter().any(|word| word == "shell id"), "{open}: {found:?}");
        acts(
            Language::JavaScript,
            format!("{}x{}", open.repeat(4_000), close.repeat(4_000)).as_bytes(),
        );
        acts(Language::JavaScript, open.repeat(20_000).as_bytes());
    }
}

#[test]
fn what_grows_without_bounds_is_given_up() {
    let doubling = format!("a = 'x' * 1000\n{}print(a)", "a = a + a\n".repeat(200));
    acts(Language::Python, doubling.as_bytes());
    let lists = format!("a = [0] * 100\n{}", "a = [a, a, a, a, a, a, a, a]\n".repeat(100));
    acts(Language::Python, lists.as_bytes());
    let formats =
        format!("a = 'x' * 10000\n{}", "a = '{0}{0}{0}{0}{0}{0}{0}{0}'.format(a)\n".repeat(100));
    acts(Language::Python, formats.as_bytes());
    let loops = "for a in range(4000):\n for b in range(4000):\n  for c in range(4000):\n   x = a * b * c\n";
    acts(Language::Python, loops.as_bytes());
    let calls = "def f(a):\n  g(a + 'x'); g(a + 'y'); g(a)\ndef g(a):\n  h(a); h(a + 'z')\ndef h(a):\n  i(a); i(a); i(a)\ndef i(a):\n  pass\n"
        .to_owned() + &"f('a')\n".repeat(2000);
    acts(Language::Python, calls.as_bytes());
}

#[test]
fn the_rest_of_a_very_long_program_is_reported() {
    let text = "x = 1\n".repeat(200_000);
    let found = words(Language::Python, &text);
    assert_eq!(found, ["ComputedCode text that was not read"]);
}

#[test]
fn what_stands_after_a_loop_that_uses_up_the_budget_is_still_seen() {
    let text = "for a in range(4000):\n for b in range(4000):\n  x = a\nimport os\nos.system('id')\ndef f():\n  os.system('ls')\n";
    let found = words(Language::Python, text);
    assert!(
        found.contains(&"shell id".to_owned()) && found.contains(&"shell ls".to_owned()),
        "{found:?}"
    );
}

#[test]
fn calls_that_are_read_again_and_again_are_given_up_and_told() {
    let text = "unlink $x ".repeat(3000);
    let work = &mut Work::new(700_000);
    let found = super::super::acts(Language::Perl, text.as_bytes(), work);
    let told = |act: &Act| matches!(act, Act::Effect(effect) if effect.target.to_string().contains("not read"));
    assert!(found.iter().any(told), "{found:?}");
}
