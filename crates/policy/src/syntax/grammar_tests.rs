//! The grammar, text by text.

use super::dump::{dump, word};
use super::{parse, parse_document};

#[track_caller]
fn check(table: &[(&str, &str)]) {
    let mut wrong = String::new();
    for (text, expected) in table {
        let found = dump(&parse(text.as_bytes()));
        if found != *expected {
            wrong += &format!("\n{text:?}\n  expected {expected}\n  found    {found}");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn simple_commands_and_assignments() {
    check(&[
        ("", ""),
        ("rm -rf /tmp/x", "[rm -rf /tmp/x]"),
        ("A=1 B= c d=e", "[<A=1> <B=> c d=e]"),
        ("a[1]=x a+=y a[$i]+=z", "[<a[1]=x> <a+=y> <a[${i}]+=z>]"),
        ("a=(x 'y z' [k]=v\n# no\n w)", "[<a=(x 'y z' [k]=v w)>]"),
        ("declare -a x=(1 2) y", "[<x=(1 2)> declare -a y]"),
        ("export P=/x:$P", "[export P=/x:${P}]"),
        ("a[b c]=d e", "[<a[b c]=d> e]"),
        ("a[b c", "[a[b c]"),
        ("1a=b x", "[1a=b x]"),
        ("echo a#b #c\nd", "[echo a#b]; [d]"),
        ("echo =(x) a=b=c", "[echo <([x]) a=b=c]"),
    ]);
}

#[test]
fn sequences_and_pipelines() {
    check(&[
        ("a;b&c\nd", "[a]; [b] &; [c]; [d]"),
        ("a&&b||c;d", "[a] && [b] || [c]; [d]"),
        ("a &&\n b", "[a] && [b]"),
        ("a|b |\nc", "[a] | [b] | [c]"),
        ("a|&b", "[a] 2>&1 | [b]"),
        ("! a | b", "! [a] | [b]"),
        ("!(a;b)", "! (sub [a]; [b])"),
        ("time -p a | b; time; time -v c", "[a] | [b]; []; [time -v c]"),
        ("a;;b", "[a]; [b]"),
        ("a && && rm x", "[a]; (broken &&); [rm x]"),
    ]);
}

#[test]
fn compound_commands() {
    check(&[
        ("(a; b) >x", "(sub [a]; [b]) >x"),
        ("{ a; b; } 2>&1", "(group [a]; [b]) 2>&1"),
        ("echo { } }", "[echo { } }]"),
        ("if a; then b; elif c; then d; else e; fi", "(if [a] => [b] elif [c] => [d] else [e])"),
        ("while a; do b; done <x", "(while [a] => [b]) <x"),
        ("until a\ndo\nb\ndone", "(until [a] => [b])"),
        ("for x in a $b; do c; done", "(for x in a ${b} => [c])"),
        ("for x\ndo c; done", "(for x => [c])"),
        ("for x in; do c; done", "(for x in  => [c])"),
        ("for x; do c; done; d", "(for x => [c]); [d]"),
        ("select x in a; do c; done", "(select x in a => [c])"),
        ("for ((i=0; i<$n; i++)); do a; done", "(for ((i=0; i<${n}; i++)) => [a])"),
        ("for ((;;)) { a; }", "(for (()) => [a])".replace("(())", "((;;))").as_str()),
        (
            "case $x in a|b) c;; (d) e;& *) f;;& g) ;; esac",
            "(case ${x} {a b} => [c] {d} => [e] {*} => [f] {g} => )",
        ),
        ("case a in b) c;esac; d", "(case a {b} => [c]); [d]"),
        ("f() { a; }; f", "(function f (group [a])); [f]"),
        (":(){ :|:& };:", "(function : (group [:] | [:] &)); [:]"),
        ("function a-b.c { a; } >x", "(function a-b.c (group [a]) >x)"),
        ("function f() (a)", "(function f (sub [a]))"),
        ("f ( )\n\n{ a; }", "(function f (group [a]))"),
        ("coproc N { a; }; coproc b c", "(coproc (group [a])); (coproc [b c])"),
        ("if a; then while b; do c; done; fi | d", "(if [a] => (while [b] => [c])) | [d]"),
    ]);
}

#[test]
fn reserved_words_count_only_where_a_command_begins() {
    check(&[
        ("echo if then fi", "[echo if then fi]"),
        ("'if' a", "['if' a]"),
        ("\\if a", "['i'f a]"),
        ("A=1 if a", "[<A=1> if a]"),
        ("ifx; i\\\nf a; then b; fi", "[ifx]; (if [a] => [b])"),
        ("in x", "[in x]"),
        ("for in in in; do in; done", "(for in in in => [in])"),
    ]);
}

#[test]
fn conditions_and_arithmetic() {
    check(&[
        ("[[ -f $a && ! x == y* ]] && b", "(cond -f ${a} && ! x == y*) && [b]"),
        ("[[ $a =~ ^(b|c d)+$ || (x < y) ]]", "(cond ${a} =~ ^(b|c d)+$ || ( x < y ))"),
        ("[[ a == @(b|c) && d != !(e) ]]", "(cond a == @(b|c) && d != !(e))"),
        ("[[ a &&\n b\n]]; c", "(cond a && b); [c]"),
        ("[[ a; rm x", "(cond a); [rm x]"),
        ("(( a + $b )) && c", "(arith  a + ${b} ) && [c]"),
        ("((a); (b))", "(sub (sub [a]); (sub [b]))"),
        ("( (a) )", "(sub (sub [a]))"),
        ("echo $((1+(2))) $( (a) ) $((a); b)", "[echo $((1+(2))) $((sub [a])) $((sub [a]); [b])]"),
        ("echo $[1+a[2]] x", "[echo $((1+a[2])) x]"),
        ("echo $((\"$(a ')')\"))", "[echo $((\"$([a ')'])\"))]"),
    ]);
}

#[test]
fn redirections() {
    check(&[
        ("a >b <c >>d <>e >|f", "[a] >b <c >>d <>e >f"),
        ("a 2>b 2>&1 >&- <&3 >&4-", "[a] 2>b 2>&1 >&- <&3 >&4-"),
        ("a &>b &>>c >&d >&$e", "[a] &>b &>>c &>d >&${e}"),
        ("a {fd}>b a2>c", "[a a2] 10>b >c"),
        (">x", "[] >x"),
        (">x a 2 >b", "[a 2] >x >b"),
        ("a <<<b <(c) >(d) e<(f)", "[a <([c]) >([d]) e<([f])] <<<b"),
        ("a >", "[a] >"),
        ("a >; b", "[a] >; [b]"),
    ]);
}

#[test]
fn here_documents() {
    check(&[
        ("cat <<E\na $b\nE\nc", "[cat] <<a ${b}\\n; [c]"),
        ("cat <<'E'\na $b\nE\nc", "[cat] <<''a $b\\n'; [c]"),
        ("cat <<-E\n\ta\n\t\tb\n\tE\nc", "[cat] <<a\\nb\\n; [c]"),
        ("a <<A <<B; b\n1\nA\n2\nB\nc", "[a] <<1\\n <<2\\n; [b]; [c]"),
        ("a <<A | while b; do\n1\nA\nc; done", "[a] <<1\\n | (while [b] => [c])"),
        ("x=$(cat <<E\nq $(r <<F\ns\nF\n)\nE\n); b", "[<x=$([cat] <<q $([r] <<s\\n)\\n)>]; [b]"),
        ("x=$(cat <<E\na\nE); b", "[<x=$([cat] <<a\\n)>]; [b]"),
        ("cat <<E\na", "[cat] <<a"),
        ("cat <<E", "[cat] <<"),
        ("cat <<\"E F\"\na\nE F\nb", "[cat] <<''a\\n'; [b]"),
        ("cat <<E\na\\\nE\nrm x\nE\nb", "[cat] <<aE\\nrm x\\n; [b]"),
        ("cat <<E\r\na\r\nE\r\nb\r\n", "[cat] <<a\\n; [b]"),
        ("`cat <<E\na \\$b\nE\n`; c", "[$([cat] <<a ${b}\\n)]; [c]"),
    ]);
}

#[test]
fn quotations() {
    check(&[
        ("a'b'\"c d\"\\e f\\ g", "[a'b'\"c d\"'e' f' 'g]"),
        ("'' \"\"", "['' \"\"]"),
        ("\"a\\$b\\\"\\c\\\nd $e\"", "[\"a$b\"\\\\cd ${e}\"]"),
        ("$'\\x72m\\t\\'\\101\\u00e9\\cA\\e' a", "['rm\\t'A\\xc3\\xa9\\x01\\x1b' a]"),
        ("$\"a $b\"", "[\"a ${b}\"]"),
        ("\"$'a'\"", "[\"$'a'\"]"),
        ("r\\\nm -r\\\n f", "[rm -r f]"),
        ("a &\\\n& b", "[a] && [b]"),
        ("a\r\nb \\\r\n c\r", "[a]; [b c]"),
        ("'a\nb", "['a\\nb']"),
        ("\"a $(b", "[\"a $([b])\"]"),
        ("a\\", "[a\\\\]"),
    ]);
}

#[test]
fn parameters() {
    check(&[
        ("$a $1 $10 $@ $$ $ a$", "[${a} ${1} ${1}0 ${@} ${$} $ a$]"),
        ("${a} ${10} ${@} ${#} ${?}", "[${a} ${10} ${@} ${#} ${?}]"),
        ("${#a} ${#a[@]} ${##} ${#@} ${##x}", "[${len a} ${len a[@]} ${len #} ${len @} ${# # x}]"),
        ("${!a} ${!a*} ${!a@} ${!a[@]} ${!}", "[${!a} ${!a names} ${!a names} ${!a[@]} ${!}]"),
        ("${a:-b c} ${a-} ${a:=$(b)} ${a?x}", "[${a :- b c} ${a - } ${a := $([b])} ${a ? x}]"),
        (
            "${a:1} ${a: -1:2} ${a:(b?c:d):e}",
            "[${a from 1} ${a from  -1 : 2} ${a from (b?c:d) : e}]",
        ),
        ("${a#b} ${a##*/} ${a%.*} ${a%%'}'}", "[${a # b} ${a ## */} ${a % .*} ${a %% '}'}]"),
        (
            "${a/b/c} ${a//\\/\\//} ${a/#b} ${a/%b/$c}",
            "[${a First b / c} ${a All '//' / } ${a Start b / } ${a End b / ${c}}]",
        ),
        ("${a^} ${a^^} ${a,b} ${a,,} ${a~}", "[${a ^ } ${a all ^ } ${a , b} ${a all , } ${a ~ }]"),
        ("${a@Q} ${a[b+1]} ${a['x y']}", "[${a @Q} ${a[b+1]} ${a['x y']}]"),
        (
            "\"${a:-'b'}\" \"${a#'b'}\" \"${a:-\"b c\"}\"",
            "[\"${a :- 'b'}\" \"${a # ''b''}\" \"${a :- \"b c\"}\"]"
                .replace("''b''", "'b'")
                .as_str(),
        ),
        ("${a:-${b:-${c}}} x", "[${a :- ${b :- ${c}}} x]"),
        (
            "${a!b} ${} ${(f)a} ${$(b)}",
            "[${a unknown} ${ unknown} ${a unknown} ${ :- $([b])}]"
                .replace("${ unknown}", "${}")
                .as_str(),
        ),
        ("${ a; b; } ${|c;}", "[$([a]; [b]) $([c])]"),
        ("${a", "[${a}]"),
    ]);
}

#[test]
fn substitutions() {
    check(&[
        ("$(a;b) x$(c)y", "[$([a]; [b]) x$([c])y]"),
        ("`a b` \"`c \\\"d\\\"`\"", "[$([a b]) \"$([c \"d\"])\"]"),
        ("`a \\`b \\$c\\``", "[$([a $([b ${c}])])]"),
        ("$(case x in x) a;; esac) b", "[$((case x {x} => [a])) b]"),
        ("$(a # )\n) b", "[$([a]) b]"),
        ("$(a) $(", "[$([a]) $()]"),
        ("\"$(a \"b\")\"", "[\"$([a \"b\"])\"]"),
    ]);
}

#[test]
fn patterns_with_parentheses_stay_in_their_word() {
    check(&[
        ("ls !(a|b c).x @(d) *(e)f", "[ls !(a|b c).x @(d) *(e)f]"),
        ("ls {a,b}/* ~/c", "[ls {a,b}/* ~/c]"),
        ("ls *(; rm x", "[ls *(]; [rm x]"),
        ("ls *(\nrm x", "[ls *(]; [rm x]"),
    ]);
}

#[test]
fn a_command_behind_rubbish_is_still_seen() {
    check(&[
        (") rm x", "(broken )); [rm x]"),
        ("fi; rm x", "(broken fi); [rm x]"),
        ("done done rm x", "(broken done); (broken done); [rm x]"),
        ("a (b) c", "[a]; (sub [b]); [c]"),
        ("if a; rm x", "(if [a]; [rm x] => )"),
        ("{ if a; then b; }; rm x", "(group (if [a] => [b])); [rm x]"),
        ("(while a; do b); rm x", "(sub (while [a] => [b])); [rm x]"),
        ("case x in\nrm -rf /", "(case x {rm} => [-rf /])"),
        ("for x in a b\nrm x", "(for x in a b => ); [rm x]"),
        ("| | rm x", "(broken |); (broken |); [rm x]"),
        ("a=( b; rm x", "[<a=(b)>]; [rm x]"),
    ]);
}

#[test]
fn a_document_knows_only_expansions() {
    let found = |text: &str| word(&parse_document(text.as_bytes()));
    assert_eq!(found("a 'b' \"c\" $d `e` \\$f \\\"g\n"), "a 'b' \"c\" ${d} $([e]) $f \\\\\"g\\n");
}
