//! Trees as short text, for tests.

use super::tree::*;

pub(crate) fn dump(list: &List) -> String {
    let items: Vec<String> = list.items.iter().map(item).collect();
    items.join("; ")
}

fn item(item: &Item) -> String {
    let mut text = pipeline(&item.first);
    for (chain, next) in &item.rest {
        text += if *chain == Chain::And { " && " } else { " || " };
        text += &pipeline(next);
    }
    if item.background { text + " &" } else { text }
}

fn pipeline(pipeline: &Pipeline) -> String {
    let commands: Vec<String> = pipeline.commands.iter().map(command).collect();
    format!("{}{}", if pipeline.negated { "! " } else { "" }, commands.join(" | "))
}

fn command(command: &Command) -> String {
    let text = match &command.kind {
        CommandKind::Simple { assignments, words: arguments } => {
            let mut all: Vec<String> = assignments.iter().map(assignment).collect();
            all.extend(arguments.iter().map(word));
            format!("[{}]", all.join(" "))
        }
        CommandKind::Subshell(list) => format!("(sub {})", dump(list)),
        CommandKind::Group(list) => format!("(group {})", dump(list)),
        CommandKind::If { branches, otherwise } => {
            let branches: Vec<String> = branches
                .iter()
                .map(|(condition, branch)| format!("{} => {}", dump(condition), dump(branch)))
                .collect();
            let otherwise =
                otherwise.as_ref().map_or(String::new(), |list| format!(" else {}", dump(list)));
            format!("(if {}{otherwise})", branches.join(" elif "))
        }
        CommandKind::Loop { until, condition, body } => {
            let name = if *until { "until" } else { "while" };
            format!("({name} {} => {})", dump(condition), dump(body))
        }
        CommandKind::For { name, words: list, body, select } => {
            let keyword = if *select { "select" } else { "for" };
            let list = list.as_ref().map_or(String::new(), |list| format!(" in {}", words(list)));
            format!("({keyword} {}{list} => {})", bytes(name), dump(body))
        }
        CommandKind::ArithmeticFor { header, body } => {
            format!("(for (({})) => {})", word(header), dump(body))
        }
        CommandKind::Case { word: subject, arms } => {
            let arms: Vec<String> = arms
                .iter()
                .map(|(patterns, list)| format!(" {{{}}} => {}", words(patterns), dump(list)))
                .collect();
            format!("(case {}{})", word(subject), arms.concat())
        }
        CommandKind::Function { name, body } => {
            format!("(function {} {})", bytes(name), self::command(body))
        }
        CommandKind::Condition(list) => format!("(cond {})", words(list)),
        CommandKind::Arithmetic(expression) => format!("(arith {})", word(expression)),
        CommandKind::Coprocess { command: body, .. } => format!("(coproc {})", self::command(body)),
        CommandKind::Broken(text) => format!("(broken {})", bytes(text)),
    };
    command.redirects.iter().fold(text, |text, redirect| text + " " + &self::redirect(redirect))
}

fn redirect(redirect: &Redirect) -> String {
    let (operator, target) = match &redirect.kind {
        RedirectKind::Input(word) => ("<", word),
        RedirectKind::Output(word) => (">", word),
        RedirectKind::Append(word) => (">>", word),
        RedirectKind::ReadWrite(word) => ("<>", word),
        RedirectKind::Both(word) => ("&>", word),
        RedirectKind::BothAppend(word) => ("&>>", word),
        RedirectKind::Duplicate { output: true, word } => (">&", word),
        RedirectKind::Duplicate { output: false, word } => ("<&", word),
        RedirectKind::HereDocument { body, expands: true } => ("<<", body),
        RedirectKind::HereDocument { body, expands: false } => ("<<'", body),
        RedirectKind::HereString(word) => ("<<<", word),
    };
    let descriptor = redirect.descriptor.map_or(String::new(), |number| number.to_string());
    format!("{descriptor}{operator}{}", word(target))
}

fn assignment(assignment: &Assignment) -> String {
    let index =
        assignment.index.as_ref().map_or(String::new(), |index| format!("[{}]", word(index)));
    let operator = if assignment.append { "+=" } else { "=" };
    let value = match &assignment.value {
        AssignedValue::Scalar(value) => word(value),
        AssignedValue::Array(elements) => {
            let elements: Vec<String> = elements
                .iter()
                .map(|(index, element)| match index {
                    Some(index) => format!("[{}]={}", word(index), word(element)),
                    None => word(element),
                })
                .collect();
            format!("({})", elements.join(" "))
        }
    };
    format!("<{}{index}{operator}{value}>", bytes(&assignment.name))
}

fn words(list: &[Word]) -> String {
    let list: Vec<String> = list.iter().map(word).collect();
    list.join(" ")
}

pub(crate) fn word(word: &Word) -> String {
    parts(&word.parts)
}

fn parts(list: &[Part]) -> String {
    list.iter()
        .map(|part| match part {
            Part::Literal(text) => bytes(text),
            Part::Quoted(text) => format!("'{}'", bytes(text)),
            Part::DoubleQuoted(list) => format!("\"{}\"", parts(list)),
            Part::Parameter(parameter) => self::parameter(parameter),
            Part::CommandSubstitution(list) => format!("$({})", dump(list)),
            Part::ProcessSubstitution { output: true, list } => format!(">({})", dump(list)),
            Part::ProcessSubstitution { output: false, list } => format!("<({})", dump(list)),
            Part::Arithmetic(list) => format!("$(({}))", parts(list)),
            Part::TooDeep => "TOODEEP".to_owned(),
        })
        .collect()
}

fn parameter(parameter: &Parameter) -> String {
    let operator = match &parameter.operator {
        ParameterOperator::None => String::new(),
        ParameterOperator::Default { operator, colon, word: value } => {
            let colon = if *colon { ":" } else { "" };
            format!(" {colon}{} {}", char::from(*operator), word(value))
        }
        ParameterOperator::Substring { offset, length } => {
            let length =
                length.as_ref().map_or(String::new(), |length| format!(" : {}", word(length)));
            format!(" from {}{length}", word(offset))
        }
        ParameterOperator::RemovePrefix { longest, pattern } => {
            format!(" {} {}", if *longest { "##" } else { "#" }, word(pattern))
        }
        ParameterOperator::RemoveSuffix { longest, pattern } => {
            format!(" {} {}", if *longest { "%%" } else { "%" }, word(pattern))
        }
        ParameterOperator::Replace { mode, pattern, replacement } => {
            format!(" {mode:?} {} / {}", word(pattern), word(replacement))
        }
        ParameterOperator::Case { operator, all, pattern } => {
            let all = if *all { "all " } else { "" };
            format!(" {all}{} {}", char::from(*operator), word(pattern))
        }
        ParameterOperator::Transform(letter) => format!(" @{}", char::from(*letter)),
        ParameterOperator::Names => " names".to_owned(),
        ParameterOperator::Unknown => " unknown".to_owned(),
    };
    let index =
        parameter.index.as_ref().map_or(String::new(), |index| format!("[{}]", word(index)));
    format!(
        "${{{}{}{}{index}{operator}}}",
        if parameter.length { "len " } else { "" },
        if parameter.indirect { "!" } else { "" },
        bytes(&parameter.name),
    )
}

fn bytes(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string().replace("\\'", "'").replace("\\\"", "\"")
}
