//! Programs in other languages than the shell's: what they would do.
//!
//! Python and JavaScript are read with a parser (`parse`), their syntax is seen through one small
//! set of forms (`form`, `python`, `javascript`), and one evaluator follows the constants
//! (`evaluate`, `constant`) up to the calls that do something (`python_library`,
//! `node_library`). The other languages are read token by token (`tokens`).

mod awk;
mod calls;
mod computed;
mod constant;
mod decode;
mod evaluate;
mod form;
mod functions;
mod gather;
mod items;
mod javascript;
mod json;
mod library;
mod loops;
mod lua;
mod node_files;
mod node_library;
mod node_network;
mod node_processes;
mod objects;
mod parse;
mod perl;
mod php;
mod phrase;
mod python;
mod python_files;
mod python_library;
mod python_network;
mod python_processes;
mod ruby;
mod scan;
mod secret_names;
mod tokens;
mod value;

#[cfg(test)]
mod tests;

use crate::effect::Effect;
use crate::source_range::SourceRange;
use crate::work::Work;

/// A language that is not the shell's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Language {
    /// Python 3 (and 2, as far as it parses).
    Python,
    /// JavaScript and TypeScript.
    JavaScript,
    /// Perl.
    Perl,
    /// Ruby.
    Ruby,
    /// PHP.
    Php,
    /// Lua.
    Lua,
    /// awk.
    Awk,
}

/// What a program asks for. Texts hold [`crate::effect::UNKNOWN`] where a part cannot be known.
/// Ranges are of the program's own text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Act {
    /// Gives a text to the shell: `os.system("…")`, `child_process.exec("…")`.
    Shell { text: Vec<u8>, range: SourceRange },
    /// Starts a program: `subprocess.run(["rm", "-rf", "/"])`.
    Program { arguments: Vec<Vec<u8>>, range: SourceRange },
    /// Runs code of a language that was in a text: `exec("…")`, `eval("…")`.
    Code { language: Language, text: Vec<u8>, range: SourceRange },
    /// Writes a text to a file, or adds it.
    Write { path: Vec<u8>, content: Vec<u8>, adds: bool, range: SourceRange },
    /// Goes to another folder: what is relative means another place from then on.
    Enter { path: Vec<u8>, range: SourceRange },
    /// Anything that no other program is needed for. Paths in its target are as written: they
    /// may be relative, and their class is `Unknown` until the caller resolves them.
    Effect(Effect),
}

/// What the program `text` would do, in the order in which it says so; nothing when there is not
/// enough work left to look through it.
pub(crate) fn acts(language: Language, text: &[u8], work: &mut Work) -> Vec<Act> {
    if !work.spend(500 + text.len() * 8) {
        return Vec::new();
    }
    match language {
        Language::Python | Language::JavaScript => evaluate::acts(language, text, work),
        Language::Perl | Language::Ruby | Language::Php | Language::Lua | Language::Awk => {
            scan::acts(language, text, work)
        }
    }
}
