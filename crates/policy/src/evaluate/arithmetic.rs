//! Arithmetic of the shell on whole numbers.

use super::Evaluator;

/// The longest expression that is computed.
const LONGEST: usize = 1024;
/// How deeply parentheses and names are followed.
const DEEPEST: u32 = 16;

/// The value of `expression`, in which parameters are expanded already. None if a part is unknown
/// or makes no sense. Assignments take effect.
pub(super) fn evaluate(
    evaluator: &mut Evaluator<'_>,
    expression: &[u8],
    depth: u32,
) -> Option<i64> {
    if expression.len() > LONGEST || depth > DEEPEST {
        return None;
    }
    let mut parser = Parser { evaluator, rest: expression, depth };
    let mut value = parser.assignment()?;
    while parser.take(b",") {
        value = parser.assignment()?;
    }
    parser.space();
    parser.rest.is_empty().then_some(value)
}

struct Parser<'e, 'c, 't> {
    evaluator: &'e mut Evaluator<'c>,
    rest: &'t [u8],
    depth: u32,
}

/// The operators of two operands by rank, the loosest first; a longer one before its start.
const LEVELS: [&[&[u8]]; 10] = [
    &[b"||"],
    &[b"&&"],
    &[b"|"],
    &[b"^"],
    &[b"&"],
    &[b"==", b"!="],
    &[b"<=", b">=", b"<", b">"],
    &[b"<<", b">>"],
    &[b"+", b"-"],
    &[b"*", b"/", b"%"],
];

impl<'t> Parser<'_, '_, 't> {
    fn space(&mut self) {
        self.rest = self.rest.trim_ascii_start();
    }

    fn take(&mut self, token: &[u8]) -> bool {
        self.space();
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn assignment(&mut self) -> Option<i64> {
        self.space();
        let before = self.rest;
        if let Some(name) = self.name() {
            self.space();
            for operator in [&b"="[..], b"+=", b"-=", b"*=", b"/=", b"%=", b"^=", b"|=", b"&="] {
                if !self.rest.starts_with(operator) || self.rest.starts_with(b"==") {
                    continue;
                }
                self.rest = self.rest.get(operator.len()..)?;
                let right = self.assignment()?;
                let left = if operator.len() == 1 { 0 } else { self.variable(name)? };
                let value = apply(operator.get(..1)?, left, right).unwrap_or(right);
                let value = if operator.len() == 1 { right } else { value };
                self.evaluator.set_scalar(name, value.to_string().into_bytes());
                return Some(value);
            }
            for (operator, step) in [(&b"++"[..], 1), (b"--", -1)] {
                if self.rest.starts_with(operator) {
                    self.rest = self.rest.get(2..)?;
                    let value = self.variable(name)?;
                    let next = value.wrapping_add(step).to_string().into_bytes();
                    self.evaluator.set_scalar(name, next);
                    return self.binary_from(value, 0);
                }
            }
        }
        self.rest = before;
        self.ternary()
    }

    fn ternary(&mut self) -> Option<i64> {
        let condition = self.binary(0)?;
        if !self.take(b"?") {
            return Some(condition);
        }
        self.enter()?;
        let yes = self.assignment()?;
        if !self.take(b":") {
            return None;
        }
        let no = self.assignment()?;
        self.depth -= 1;
        Some(if condition != 0 { yes } else { no })
    }

    fn enter(&mut self) -> Option<()> {
        self.depth += 1;
        (self.depth <= DEEPEST).then_some(())
    }

    fn binary(&mut self, level: usize) -> Option<i64> {
        let Some(_) = LEVELS.get(level) else { return self.power() };
        let left = self.binary(level + 1)?;
        self.operators(left, level)
    }

    /// Goes on behind an operand that was read already.
    fn binary_from(&mut self, left: i64, level: usize) -> Option<i64> {
        let mut value = left;
        for level in (level..LEVELS.len()).rev() {
            value = self.operators(value, level)?;
        }
        Some(value)
    }

    fn operators(&mut self, mut left: i64, level: usize) -> Option<i64> {
        let operators = LEVELS.get(level)?;
        'next: loop {
            self.space();
            for operator in operators.iter() {
                let doubled = operator.len() == 1
                    && self.rest.get(1) == operator.first()
                    && matches!(operator.first(), Some(b'|' | b'&' | b'<' | b'>' | b'*'));
                if doubled || !self.rest.starts_with(operator) {
                    continue;
                }
                self.rest = self.rest.get(operator.len()..)?;
                let right = self.binary(level + 1)?;
                left = apply(operator, left, right)?;
                continue 'next;
            }
            return Some(left);
        }
    }

    fn power(&mut self) -> Option<i64> {
        let base = self.unary()?;
        if !self.take(b"**") {
            return Some(base);
        }
        let exponent = u32::try_from(self.unary()?).ok()?;
        Some(base.wrapping_pow(exponent))
    }

    fn unary(&mut self) -> Option<i64> {
        self.enter()?;
        self.space();
        let value = match self.rest.first()? {
            b'+' => {
                self.rest = self.rest.get(1..)?;
                self.unary()?
            }
            b'-' => {
                self.rest = self.rest.get(1..)?;
                self.unary()?.wrapping_neg()
            }
            b'!' => {
                self.rest = self.rest.get(1..)?;
                i64::from(self.unary()? == 0)
            }
            b'~' => {
                self.rest = self.rest.get(1..)?;
                !self.unary()?
            }
            b'(' => {
                self.rest = self.rest.get(1..)?;
                let value = self.assignment()?;
                if !self.take(b")") {
                    return None;
                }
                value
            }
            b'0'..=b'9' => self.number()?,
            _ => {
                let name = self.name()?;
                self.variable(name)?
            }
        };
        self.depth -= 1;
        Some(value)
    }

    fn name(&mut self) -> Option<&'t [u8]> {
        let length = self
            .rest
            .iter()
            .position(|byte| !byte.is_ascii_alphanumeric() && *byte != b'_')
            .unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at_checked(length)?;
        if name.first().is_none_or(u8::is_ascii_digit) {
            return None;
        }
        self.rest = rest;
        Some(name)
    }

    /// What a variable holds is itself an expression; one that is not set counts as 0.
    fn variable(&mut self, name: &[u8]) -> Option<i64> {
        match self.evaluator.scalar(name) {
            Some(value) if value.is_known() => {
                let text = value.text.trim_ascii().to_vec();
                self.evaluator.subscript(&text);
                if text.is_empty() {
                    Some(0)
                } else {
                    evaluate(self.evaluator, &text, self.depth + 1)
                }
            }
            Some(_) => None,
            None => Some(0),
        }
    }

    fn number(&mut self) -> Option<i64> {
        let length = self
            .rest
            .iter()
            .position(|byte| !byte.is_ascii_alphanumeric() && !matches!(byte, b'#' | b'@' | b'_'))
            .unwrap_or(self.rest.len());
        let (digits, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        let digits = std::str::from_utf8(digits).ok()?;
        if let Some((base, digits)) = digits.split_once('#') {
            return i64::from_str_radix(
                digits,
                base.parse().ok().filter(|b| (2..=36).contains(b))?,
            )
            .ok();
        }
        if let Some(hex) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
            return i64::from_str_radix(hex, 16).ok();
        }
        match digits.strip_prefix('0') {
            Some(octal) if !octal.is_empty() => i64::from_str_radix(octal, 8).ok(),
            _ => digits.parse().ok(),
        }
    }
}

fn apply(operator: &[u8], left: i64, right: i64) -> Option<i64> {
    Some(match operator {
        b"||" => i64::from(left != 0 || right != 0),
        b"&&" => i64::from(left != 0 && right != 0),
        b"|" => left | right,
        b"^" => left ^ right,
        b"&" => left & right,
        b"==" => i64::from(left == right),
        b"!=" => i64::from(left != right),
        b"<=" => i64::from(left <= right),
        b">=" => i64::from(left >= right),
        b"<" => i64::from(left < right),
        b">" => i64::from(left > right),
        b"<<" => left.wrapping_shl(u32::try_from(right).ok()?),
        b">>" => left.wrapping_shr(u32::try_from(right).ok()?),
        b"+" => left.wrapping_add(right),
        b"-" => left.wrapping_sub(right),
        b"*" => left.wrapping_mul(right),
        b"/" => left.checked_div(right)?,
        b"%" => left.checked_rem(right)?,
        _ => return None,
    })
}
