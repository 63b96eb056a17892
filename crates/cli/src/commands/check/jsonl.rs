//! `ctrlz check --jsonl`: many questions to one process, answered in their order.

use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::os::fd::AsFd;

use ctrlz_policy::Verdict;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::{Map, Value, json};

use super::question::Question;
use crate::Answer;
use crate::arguments::LanguageWord;
use crate::failure::{Failure, OWN_FAILURE};
use crate::show::{rules, to_json, verdict_fields};

/// The longest line that is read. A longer one is answered with an error.
const LONGEST_LINE: usize = 16 << 20;

/// Judges a text in a language; answers the object for it, or why it cannot be judged.
type Judge<'a> = dyn Fn(&str, &[u8]) -> Result<Result<Value, String>, Failure> + 'a;

/// Answers every line of standard input. `language` is that of lines that name none.
pub(crate) fn answer(judge: &Judge<'_>, language: Option<LanguageWord>) -> Answer {
    let stdin = std::io::stdin();
    let mut lines = Lines { input: BufReader::with_capacity(64 << 10, stdin.lock()) };
    let mut output = BufWriter::with_capacity(64 << 10, std::io::stdout().lock());
    let (mut number, mut misunderstood) = (0_u64, 0_u64);
    let mut line = Vec::new();
    loop {
        let complete = match lines.next(&mut line, &mut output) {
            Ok(Some(complete)) => complete,
            Ok(None) => break,
            Err(error) => return written(output, &Failure::caused(OWN_FAILURE, "input", &error)),
        };
        number += 1;
        if line.trim_ascii().is_empty() && complete {
            continue;
        }
        let question = if complete {
            Question::read(&line)
        } else {
            Err(format!("it has more than {} MiB", LONGEST_LINE >> 20))
        };
        let judged = match &question {
            Ok(question) => {
                let language =
                    question.language().or(language.map(LanguageWord::name)).unwrap_or("shell");
                match judge(language, question.text()) {
                    Ok(judged) => judged,
                    Err(failure) => return written(output, &failure),
                }
            }
            Err(error) => Err(error.clone()),
        };
        let object = match judged {
            Ok(object) => object,
            Err(error) => {
                misunderstood += 1;
                json!({ "error": format!("line {number}: {error}") })
            }
        };
        if writeln!(output, "{object}").is_err() {
            // Whoever closed the pipe wants no more.
            return Ok(OWN_FAILURE);
        }
    }
    if output.flush().is_err() {
        return Ok(OWN_FAILURE);
    }
    if misunderstood == 0 {
        return Ok(0);
    }
    let lines = if misunderstood == 1 { "line" } else { "lines" };
    let message = format!("{misunderstood} {lines} of {number} could not be judged");
    let hint = "each is answered in its place with an `error` that tells why";
    Failure::new(OWN_FAILURE, "input", message).hint(hint).print(false);
    Ok(OWN_FAILURE)
}

/// What was answered stays answered when reading fails.
fn written(mut output: impl Write, failure: &Failure) -> Answer {
    let _ = output.flush();
    failure.print(false);
    Ok(failure.code)
}

pub(super) fn of_verdict(verdict: &Verdict, whole: bool) -> Result<Value, Failure> {
    if !whole {
        return Ok(json!({
            "risk": verdict.risk,
            "decision": verdict.decision,
            "score": verdict.score,
            "rules": to_json(&rules(verdict))?,
        }));
    }
    let fields = verdict_fields(verdict)?.into_iter().map(|(name, value)| (name.to_owned(), value));
    Ok(Value::Object(fields.collect::<Map<_, _>>()))
}

/// The lines of a stream.
struct Lines<R> {
    input: BufReader<R>,
}

impl<R: Read + AsFd> Lines<R> {
    /// Reads the next line into `line`; `false` when it is too long to be kept. Writes out what is
    /// answered before it waits.
    fn next(
        &mut self,
        line: &mut Vec<u8>,
        output: &mut impl Write,
    ) -> std::io::Result<Option<bool>> {
        line.clear();
        let (mut complete, mut any) = (true, false);
        loop {
            if self.input.buffer().is_empty() && !is_waiting(self.input.get_ref()) {
                // That nobody reads the answers is seen when the next one is written.
                let _ = output.flush();
            }
            let held = match self.input.fill_buf() {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                held => held?,
            };
            if held.is_empty() {
                return Ok(any.then_some(complete));
            }
            any = true;
            let end = held.iter().position(|byte| *byte == b'\n');
            let part = held.get(..end.unwrap_or(held.len())).unwrap_or_default();
            complete &= line.len() + part.len() <= LONGEST_LINE;
            if complete {
                line.extend_from_slice(part);
            }
            let taken = end.map_or(held.len(), |at| at + 1);
            self.input.consume(taken);
            if end.is_some() {
                return Ok(Some(complete));
            }
        }
    }
}

/// Whether reading would answer at once.
fn is_waiting(stream: &impl AsFd) -> bool {
    let mut fds = [PollFd::new(stream, PollFlags::IN)];
    poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|ready| ready > 0)
}
