use super::super::{inspect, skeleton};
use super::{told, worst};
use ctrlz_core::verdict::Risk;

fn high(text: &str, name: &str) {
    assert!(told(text).contains(&(name, Risk::High)), "{text:?}: {:?}", told(text));
}

#[test]
fn text_that_repaints_the_terminal_is_high() {
    high("echo ok \u{1b}[2K\u{1b}[1A; rm -rf x", "terminal-escape");
    high("echo \u{1b}]0;title\u{7}", "terminal-escape");
    high("echo \u{1b}[8mhidden", "terminal-escape");
    high("echo \u{9b}2J", "terminal-escape");
    high("rm -rf x\recho harmless", "overwriting-character");
    high("rm\u{8}\u{8}ls", "overwriting-character");
    high("ls\0; rm x", "nul-byte");
}

#[test]
fn ordinary_controls_are_no_more_than_low() {
    assert_eq!(told("a\tb\r\nc\n\r\n"), []);
    assert_eq!(told("ls\r"), []);
    assert_eq!(told("echo '\u{1b}[31mred\u{1b}[0m'"), [("terminal-colour", Risk::Low); 2]);
    assert_eq!(told("a\u{c}b"), [("control-character", Risk::Low)]);
}

#[test]
fn text_shown_in_another_order_is_high() {
    high("if (admin\u{202e} \u{2066}// check\u{2069}) x", "bidirectional-control");
    high("echo \u{202e}fr- mr", "bidirectional-control");
    high("ls \u{2066}x", "bidirectional-control");
}

#[test]
fn marks_in_hebrew_and_arabic_are_low() {
    assert_eq!(worst("echo 'שלום\u{200f} world'"), Risk::Low);
    assert_eq!(worst("echo '\u{2067}مرحبا\u{2069} x'"), Risk::Low);
}

#[test]
fn an_invisible_character_in_a_word_is_high() {
    for hidden in [
        '\u{200b}',
        '\u{200d}',
        '\u{ad}',
        '\u{2060}',
        '\u{feff}',
        '\u{e0041}',
        '\u{3164}',
        '\u{200e}',
        '\u{fe0f}',
    ] {
        high(&format!("r{hidden}m -rf x"), "hidden-character");
    }
    high("echo x\u{fe01}\u{fe02}\u{fe03}\u{fe04}", "hidden-character");
    high("echo 😀\u{e0101}\u{e0132}\u{e0110}\u{e0111}", "hidden-character");
    high("hi \u{e0072}\u{e006d}", "hidden-character");
}

#[test]
fn ordinary_text_of_any_language_is_no_more_than_low() {
    for text in [
        "echo \"привет, мир\"",
        "git commit -m 'исправлена ошибка в SSH-ключах'",
        "echo 你好，世界 > 文件.txt",
        "echo 'これはｒｍではない'",
        "echo 👨\u{200d}👩\u{200d}👧 🏳\u{fe0f}\u{200d}🌈 1\u{fe0f}\u{20e3} ❤\u{fe0f}",
        "echo 🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}",
        "cat Müller/naïve-café.txt",
        "echo 'می\u{200c}خواهم'",
        "echo क्\u{200d}ष",
        "# Δt in µs, α = 0.05 — “quoted”… ½ ≤ 3",
        "echo\u{a0}hi",
        "npm install x\u{200b}",
        "cp Işık.txt /tmp",
        "Чтобы удалить, нажмите",
        "echo Ω; λ x",
        "mkdir -p проект/src && cd проект",
        "\u{feff}#!/bin/sh\necho hi",
        "say 'Ｈｅｌｌｏ'",
    ] {
        assert_eq!(worst(text), Risk::Low, "{text}: {:?}", told(text));
    }
    assert_eq!(told("echo \"привет, мир\" 👨\u{200d}👩\u{200d}👧 café 你好"), []);
}

#[test]
fn letters_that_imitate_a_program_are_high() {
    for text in [
        "rм -rf /",
        "сurl http://x | bash",
        "ls; ｒｍ -rf x",
        "sudo ｒｍ x",
        "echo x | bаsh",
        "𝐫𝐦 -rf /",
        "ρython3 -c x",
        "bash -c 'ｒｍ -rf x'",
        "/bin/rм x",
        "r\u{200b}м x",
        "сһмоԁ x",
        "ⓡⓜ x",
        "true && ѕһ x.sh",
        "wɡet x",
    ] {
        high(text, "imitated-program");
    }
    high("curl https://gіthub.com/x", "imitated-host");
    assert_eq!(told("cat dаta.txt"), [("mixed-script", Risk::Low)]);
}

#[test]
fn a_skeleton_is_what_a_word_looks_like() {
    assert_eq!(skeleton("ｒｍ").as_deref(), Some("rm"));
    assert_eq!(skeleton("rм").as_deref(), Some("rm"));
    assert_eq!(skeleton("r\u{200b}m").as_deref(), Some("rm"));
    assert_eq!(skeleton("／еtc／passwd").as_deref(), Some("/etc/passwd"));
    assert_eq!(skeleton("𝒹𝖽𝚍𝟘").as_deref(), Some("ddd0"));
    assert_eq!(skeleton("rm"), None);
    assert_eq!(skeleton("café"), None);
    assert_eq!(skeleton("привет"), None);
    assert_eq!(skeleton("你好"), None);
}

#[test]
fn bytes_that_are_not_utf8_and_size_are_low() {
    let findings = inspect(b"echo \xff\xfe x", 4);
    let names: Vec<_> = findings.iter().map(|f| (f.kind.name(), f.risk)).collect();
    assert!(names.contains(&("not-utf8", Risk::Low)) && names.contains(&("too-large", Risk::Low)));
    assert_eq!(inspect(b"echo", 4), []);
}

#[test]
fn a_flood_of_low_findings_hides_no_high_one() {
    let text = format!("{}{}", "\u{a0}x\u{200b} ".repeat(10_000), "r\u{200b}m");
    let findings = super::found(&text);
    assert!(findings.len() < 200);
    assert!(findings.iter().any(|finding| finding.risk == Risk::High));
}
