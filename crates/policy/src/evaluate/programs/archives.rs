//! Programs that unpack archives. What is in them nobody knows; where it goes, the words say.

use super::super::expand::Field;
use crate::effect::{EffectKind, Qualities};
use crate::evaluate::Evaluator;
use crate::evaluate::call::{Call, cut};
use crate::evaluate::value::{Taint, Value};

/// Whether a call unpacks an archive into files.
pub(super) fn unpacks(call: &Call) -> bool {
    let words = || call.arguments.iter().map(Field::text);
    let letters = |letters: &[u8]| {
        words().any(|word| {
            let cluster = word.strip_prefix(b"-").filter(|rest| !rest.starts_with(b"-"));
            cluster.is_some_and(|rest| rest.iter().any(|letter| letters.contains(letter)))
        })
    };
    let verb = |verbs: &[&[u8]]| words().next().is_some_and(|word| verbs.contains(&word));
    match call.name.as_str() {
        // These only list, test or print.
        "unzip" => !letters(b"lpctvzZ"),
        "unar" => true,
        "7z" | "7za" | "7zr" | "unrar" => verb(&[b"x", b"e"]),
        "cpio" => letters(b"i") && !letters(b"t"),
        _ => false,
    }
}

impl Evaluator<'_> {
    pub(super) fn unpack(&mut self, call: &Call) {
        let joined = |name: &[u8]| {
            let field = call
                .arguments
                .iter()
                .find(|field| field.text().len() > name.len() && field.text().starts_with(name))?;
            Some(cut(field, name.len()))
        };
        let options = match call.name.as_str() {
            "cpio" => call.options("DFEHM", &["directory"]),
            "unar" => call.options("oepk", &["output-directory"]),
            _ => call.options("dxP", &[]),
        };
        let folder = match call.name.as_str() {
            "unzip" => options.value("d").cloned(),
            "cpio" => options.value("D|directory").cloned(),
            "unar" => options.value("o|output-directory").cloned(),
            "unrar" => options
                .operands
                .iter()
                .skip(2)
                .find(|f| f.text().ends_with(b"/"))
                .map(|f| (*f).clone()),
            _ => joined(b"-o"),
        };
        let folder = folder.map_or_else(|| Value::known("."), |field| field.value);
        // As for tar: an archive that is meant for a folder of the system is usual.
        let quality = Qualities::RECURSIVE.with(Qualities::ASKS);
        self.touch_path(EffectKind::Write, &folder, quality, call.range);
        self.write(&Value::unknown(Taint::OUTPUT));
    }
}
