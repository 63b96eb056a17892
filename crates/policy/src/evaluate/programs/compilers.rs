//! Compilers of C: what the source that they are given starts when it runs.

use crate::evaluate::Evaluator;
use crate::evaluate::call::Call;
use crate::evaluate::expand::Field;
use crate::evaluate::value::Value;

/// How many commands of one source are followed.
const MOST_COMMANDS: usize = 16;

impl Evaluator<'_> {
    /// `gcc -xc - -o x && ./x`: who compiles a source that was just written will run it.
    pub(super) fn compile(&mut self, call: &Call) {
        let options = call.options("oxIDLlWfmOUT", &["include", "std", "wrapper"]);
        // `-wrapper PROGRAM,ARGUMENT,…` starts each part of the compiler.
        if let Some(wrapper) = options.value("wrapper").cloned() {
            let words = wrapper.text().split(|byte| *byte == b',').map(|word| Field {
                value: Value::new(word.to_vec(), wrapper.value.taint),
                range: wrapper.range,
                ..Field::default()
            });
            let command = words.collect();
            self.captured(|evaluator| evaluator.dispatch(command));
        }
        let sources: Vec<_> = options.operands.iter().map(|field| (*field).clone()).collect();
        for source in sources {
            let text = match source.text() {
                b"-" | b"/dev/stdin" => self.take_stdin(),
                _ => {
                    let resolved = self.resolve(&source.value);
                    let Some(text) = self.files.read(&resolved.text).cloned() else { continue };
                    text
                }
            };
            for command in started(&text.text) {
                self.captured_code(&Value::new(command, text.taint), source.range);
            }
        }
    }
}

/// The texts that are given to `system` and `popen`.
fn started(source: &[u8]) -> Vec<Vec<u8>> {
    let mut commands = Vec::new();
    for start in [&b"system("[..], b"popen("] {
        let mut rest = source;
        while commands.len() < MOST_COMMANDS
            && let Some(at) = rest.windows(start.len()).position(|part| part == start)
        {
            rest = rest.get(at + start.len()..).unwrap_or_default();
            if let Some(text) = rest.trim_ascii_start().strip_prefix(b"\"") {
                commands.push(literal(text));
            }
        }
    }
    commands
}

/// A text of C from behind its opening quote.
fn literal(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => break,
            b'\\' => match bytes.next() {
                Some(b'n') => out.push(b'\n'),
                Some(b't') => out.push(b'\t'),
                Some(other) => out.push(*other),
                None => break,
            },
            _ => out.push(*byte),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::started;

    #[test]
    fn texts_of_system_and_popen_are_commands() {
        let source = br#"int main(){system("rm -rf \"/x\"");popen( "id","r");system(name);}"#;
        assert_eq!(started(source), [br#"rm -rf "/x""#.to_vec(), b"id".to_vec()]);
    }
}
