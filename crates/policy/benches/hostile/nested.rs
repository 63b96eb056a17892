//! Structures in structures: what is evaluated once at each level multiplies.

use super::Hostile;

/// What opens a level, what stands in the innermost, what closes a level.
const LEVELS: [(&str, &str, &str); 31] = [
    ("for i in 1 2 3 4 5 6 7 8 9; do ", "x", "; done"),
    ("for i in {1..60}; do ", "x", "; done"),
    ("for i in {1..60}; do a=$a$i; echo \"$a\"; ", "x", "; done"),
    ("for ((i=0;i<99;i++)); do ", "x", "; done"),
    ("while [ $((i++)) -lt 99 ]; do ", "x", "; done"),
    ("while :; do ", "x", "; done"),
    ("until false; do ", "x", "; done"),
    ("if a; then ", "x", "; fi"),
    ("case $a in a) ", "x", ";; *) y;; esac"),
    ("( ", "x", " )"),
    ("{ ", "x", "; }"),
    ("echo $(", "x", ")"),
    ("echo \"$(", "x", ")\""),
    ("a=\"$a$(", "x", ")$a\""),
    ("cat <(", "x", ")"),
    ("f() { ", "x", "; f; }; f"),
    ("eval ", "x", ""),
    ("bash -c \"", "x", "\""),
    ("echo ${a:-", "x", "}"),
    ("echo ${a:-${b:+", "x", "}}"),
    ("echo ${a//x/", "x", "}"),
    ("echo ${a[", "x", "]}"),
    ("echo $((1+", "2", "))"),
    ("(( a = (", "1", ") ))"),
    ("{a,b", "x", "}"),
    ("{1..9}{", "a,b", "}"),
    ("x || ", "x", ""),
    ("x | ", "x", ""),
    ("x | while read a; do ", "x $a", "; done"),
    ("a() { b; }; b() { a; }; for i in 1 2 3 4; do a; ", "x", "; done"),
    ("trap '", "x", "' EXIT"),
];

const DEPTHS: [usize; 6] = [4, 8, 16, 32, 64, 2000];

pub(super) fn texts() -> Vec<Hostile> {
    let mut texts = Vec::new();
    for (open, inside, close) in LEVELS {
        for depth in DEPTHS {
            let text = [open.repeat(depth), inside.to_owned(), close.repeat(depth)].concat();
            texts.push(Hostile::shell(format!("{open:?} {depth} deep"), text.clone()));
            if (8..=64).contains(&depth) {
                // Until what is judged is full.
                let many = format!("{text}\n").repeat((64 << 10) / (text.len() + 1) + 1);
                texts.push(Hostile::shell(format!("{open:?} {depth} deep, many"), many));
            }
        }
    }
    texts
}
