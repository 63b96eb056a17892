//! Building a filter. The kernel runs it once for each system call number when it is installed,
//! to learn which are always allowed, so it must be short: ranges of numbers with the same answer
//! are leaves of a balanced tree.

/// What happens to a system call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It is executed.
    Allow,
    /// It fails with this errno.
    Errno(u16),
    /// The listener is asked (`SECCOMP_RET_USER_NOTIF`).
    Notify,
}

impl Action {
    fn value(self) -> u32 {
        match self {
            Self::Allow => libc::SECCOMP_RET_ALLOW,
            Self::Errno(errno) => libc::SECCOMP_RET_ERRNO | u32::from(errno),
            Self::Notify => libc::SECCOMP_RET_USER_NOTIF,
        }
    }
}

/// A test on the low 32 bits of one argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArgumentTest {
    /// Which argument, 0 to 5.
    pub argument: u8,
    /// Only these bits count.
    pub mask: u32,
    /// The test holds when the masked bits equal one of these, at most 64.
    pub values: &'static [u32],
}

/// What the filter does with one system call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// The system call's number.
    pub number: u32,
    /// When given and it holds, `action` is taken, else `otherwise`.
    pub test: Option<ArgumentTest>,
    /// What happens.
    pub action: Action,
    /// What happens when the test does not hold.
    pub otherwise: Action,
}

impl Rule {
    /// Always `action`.
    #[must_use]
    pub const fn always(number: libc::c_long, action: Action) -> Self {
        Self { number: number as u32, test: None, action, otherwise: action }
    }

    /// `action` when `test` holds, else `otherwise`.
    #[must_use]
    pub const fn when(
        number: libc::c_long,
        test: ArgumentTest,
        action: Action,
        otherwise: Action,
    ) -> Self {
        Self { number: number as u32, test: Some(test), action, otherwise }
    }
}

/// A filter for the machine that this program was compiled for.
#[derive(Debug, Clone)]
pub struct Program {
    pub(super) instructions: Vec<libc::sock_filter>,
}

#[cfg(target_arch = "x86_64")]
const AUDIT_ARCH: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const AUDIT_ARCH: u32 = 0xc000_00b7;

/// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;

const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const AND: u16 = (libc::BPF_ALU | libc::BPF_AND | libc::BPF_K) as u16;
const EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const AT_LEAST: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
const GO: u16 = (libc::BPF_JMP | libc::BPF_JA) as u16;
const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

fn instruction(code: u16, k: u32, jt: u8, jf: u8) -> libc::sock_filter {
    libc::sock_filter { code, jt, jf, k }
}

/// All numbers from `from` up to the next span's `from` get the same answer.
#[derive(Debug, Clone, Copy)]
struct Span {
    from: u32,
    rule: Rule,
}

fn same_answer(a: &Rule, b: &Rule) -> bool {
    a.test.is_none() && b.test.is_none() && a.action == b.action
}

impl Program {
    /// A filter that answers by `rules`, and with `unknown` for every other number. Calls of
    /// another architecture (32-bit programs) get `ENOSYS`. Of two rules for one number the
    /// later counts.
    #[must_use]
    pub fn new(rules: &[Rule], unknown: Action) -> Self {
        let mut instructions = vec![
            instruction(LOAD, ARCHITECTURE, 0, 0),
            instruction(EQUAL, AUDIT_ARCH, 1, 0),
            instruction(RETURN, Action::Errno(libc::ENOSYS as u16).value(), 0, 0),
            instruction(LOAD, NUMBER, 0, 0),
        ];
        let spans = spans(rules, unknown);
        emit_tree(&spans, &mut instructions);
        Self { instructions }
    }
}

fn spans(rules: &[Rule], unknown: Action) -> Vec<Span> {
    // System calls are numbered without large gaps, so a table is the cheapest map.
    let end = rules.iter().map(|rule| rule.number as usize + 1).max().unwrap_or(0);
    let mut table: Vec<Option<&Rule>> = vec![None; end + 1];
    for rule in rules {
        if let Some(slot) = table.get_mut(rule.number as usize) {
            *slot = Some(rule);
        }
    }
    let mut spans: Vec<Span> = Vec::with_capacity(256);
    for (from, rule) in (0_u32..).zip(table) {
        let rule = rule.copied().unwrap_or(Rule::always(libc::c_long::from(from), unknown));
        if spans.last().is_none_or(|last| !same_answer(&last.rule, &rule)) {
            spans.push(Span { from, rule });
        }
    }
    spans
}

fn emit_tree(spans: &[Span], out: &mut Vec<libc::sock_filter>) {
    let middle = spans.len() / 2;
    let (low, high) = spans.split_at(middle);
    match (low, high) {
        ([], [leaf]) => emit_leaf(&leaf.rule, out),
        (_, [first, ..]) => {
            let mut low_code = Vec::new();
            emit_tree(low, &mut low_code);
            // Conditional jumps reach 255 instructions; a jump over the low half goes through
            // an unconditional one, which reaches any distance.
            out.push(instruction(AT_LEAST, first.from, 0, 1));
            out.push(instruction(GO, low_code.len() as u32, 0, 0));
            out.append(&mut low_code);
            emit_tree(high, out);
        }
        (_, []) => {}
    }
}

fn emit_leaf(rule: &Rule, out: &mut Vec<libc::sock_filter>) {
    if let Some(test) = rule.test {
        out.push(instruction(LOAD, ARGUMENTS + 8 * u32::from(test.argument), 0, 0));
        out.push(instruction(AND, test.mask, 0, 0));
        let count = test.values.len() as u8;
        for (index, value) in test.values.iter().enumerate() {
            // On a match jump behind the remaining comparisons and the `otherwise`.
            out.push(instruction(EQUAL, *value, count - index as u8, 0));
        }
        out.push(instruction(RETURN, rule.otherwise.value(), 0, 0));
    }
    out.push(instruction(RETURN, rule.action.value(), 0, 0));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tiny interpreter of the classic BPF that we emit.
    fn evaluate(program: &Program, number: u32, arguments: [u32; 6], arch: u32) -> u32 {
        let (mut at, mut a) = (0usize, 0u32);
        loop {
            let i = &program.instructions[at];
            at += 1;
            match i.code {
                LOAD if i.k == NUMBER => a = number,
                LOAD if i.k == ARCHITECTURE => a = arch,
                LOAD => a = arguments[((i.k - ARGUMENTS) / 8) as usize],
                AND => a &= i.k,
                EQUAL => at += usize::from(if a == i.k { i.jt } else { i.jf }),
                AT_LEAST => at += usize::from(if a >= i.k { i.jt } else { i.jf }),
                GO => at += i.k as usize,
                RETURN => return i.k,
                other => panic!("unexpected instruction {other}"),
            }
        }
    }

    #[test]
    fn answers_every_number_as_its_rule_says() {
        let odd = ArgumentTest { argument: 1, mask: 0xff, values: &[3, 5, 7] };
        let mut rules: Vec<Rule> =
            (0..400).filter(|n| n % 7 != 3).map(|n| Rule::always(n, Action::Allow)).collect();
        rules.push(Rule::when(16, odd, Action::Errno(1), Action::Allow));
        rules.push(Rule::when(20, odd, Action::Allow, Action::Notify));
        let program = Program::new(&rules, Action::Errno(38));
        for number in 0..500u32 {
            for value in [0, 3, 7, 0x1_03] {
                let got = evaluate(&program, number, [9, value, 9, 9, 9, 9], AUDIT_ARCH);
                let holds = [3, 5, 7].contains(&(value & 0xff));
                let want = match number {
                    16 if holds => Action::Errno(1),
                    20 if !holds => Action::Notify,
                    n if n < 400 && n % 7 != 3 => Action::Allow,
                    16 | 20 => Action::Allow,
                    _ => Action::Errno(38),
                };
                assert_eq!(got, want.value(), "{number} {value}");
            }
        }
        let foreign = evaluate(&program, 0, [0; 6], 0x4000_0003);
        assert_eq!(foreign, Action::Errno(38).value());
    }

    #[test]
    fn stays_short_for_contiguous_numbers() {
        let rules: Vec<Rule> = (0..300).map(|n| Rule::always(n, Action::Allow)).collect();
        assert!(Program::new(&rules, Action::Errno(38)).instructions.len() < 12);
    }
}
