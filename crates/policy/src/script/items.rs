//! What stands for each of several: variables of loops, blocks, and files that are gone through.

use crate::effect::{EffectKind, Qualities};

use super::Language;
use super::phrase::goes_through;
use super::scan::Scan;
use super::tokens::TokenKind;
use super::value::{Kind, Value};

impl Scan {
    /// `foreach my $x (…)`, `foreach ($list as $x)`, `list.each { |x| … }`: the variable stands
    /// for each of the items, and what is done with it is done with all of them.
    pub(super) fn items(&mut self, at: usize, name: &str) {
        let (list, variable) = match (self.phrases.language, name) {
            (Language::Perl, "foreach" | "for") if self.phrases.is_mark(at + 1, b'(') => {
                let value = self.phrases.value(at + 1, 0).0;
                return self.one_of(b"_".to_vec(), value);
            }
            (Language::Perl, "foreach" | "for") => {
                let declared = usize::from(self.phrases.name_at(at + 1) == Some(b"my"));
                (at + 2 + declared, at + 1 + declared)
            }
            (Language::Php, "foreach") => {
                let Some(end) = (at..at + 100).find(|it| self.phrases.name_at(*it) == Some(b"as"))
                else {
                    return;
                };
                let keyed = self.phrases.is_mark(end + 2, b'=');
                (at + 2, end + 1 + if keyed { 3 } else { 0 })
            }
            (Language::Ruby, "for") if self.phrases.name_at(at + 2) == Some(b"in") => {
                (at + 3, at + 1)
            }
            (Language::Ruby, _) => return self.each(at, name),
            _ => return,
        };
        let Some(TokenKind::Variable(variable) | TokenKind::Name(variable)) =
            self.phrases.kind(variable).cloned()
        else {
            return;
        };
        let value = match self.phrases.is_mark(list, b'[') {
            true => self.texts_in_list(list),
            false => self.phrases.value(list, 0).0,
        };
        self.one_of(variable, value);
    }

    /// The texts between two brackets.
    fn texts_in_list(&mut self, open: usize) -> Value {
        let texts: Vec<(Vec<u8>, bool)> = (open + 1..open + 100)
            .take_while(|it| !self.phrases.is_mark(*it, b']'))
            .filter_map(|it| match self.phrases.kind(it) {
                Some(TokenKind::Text(text, replaced)) => Some((text.clone(), *replaced)),
                _ => None,
            })
            .collect();
        let values = texts.into_iter().map(|(text, replaced)| match replaced {
            true => self.phrases.replace(&text),
            false => Value::text(text),
        });
        Value::list(values.collect())
    }

    /// `[…].each { |x| … }`, `list.each do |x|`, `Dir.glob("…").map { |x| … }`
    fn each(&mut self, at: usize, name: &str) {
        let (list, method) = name.rsplit_once('.').unwrap_or(("", name));
        // What a function of the program hands to its block, and a thread to its own.
        if let Some(value) = self.yielded(method.as_bytes()) {
            if let (true, Some(variable)) =
                (self.phrases.is_mark(at + 2, b'|'), self.phrases.name_at(at + 3))
            {
                self.one_of(variable.to_vec(), value);
            }
            return;
        }
        if name == "Thread.new" && self.phrases.is_mark(at + 1, b'(') {
            let given = self.phrases.arguments(at + 1, 0);
            let bar = self.phrases.is_mark(given.end + 1, b'|');
            if let (true, Some(variable)) = (bar, self.phrases.name_at(given.end + 2)) {
                self.one_of(variable.to_vec(), given.value(0));
            }
            return;
        }
        if !goes_through(method) || !self.phrases.is_mark(at + 2, b'|') {
            return;
        }
        let Some(variable) = self.phrases.name_at(at + 3).map(<[u8]>::to_vec) else { return };
        let value = match list {
            "" => match self.receiver(at) {
                Some(start) => self.phrases.value(start, 0).0,
                None => return,
            },
            _ => self.phrases.value(at, 0).0,
        };
        self.one_of(variable, value);
    }

    /// Where the list or the call begins whose method the name at `at` is.
    fn receiver(&self, at: usize) -> Option<usize> {
        let last = at.checked_sub(2)?;
        let (open, close) = match self.phrases.kind(last)? {
            TokenKind::Mark(b']') => (b'[', b']'),
            TokenKind::Mark(b')') => (b'(', b')'),
            _ => return Some(last),
        };
        let mut depth = 0_usize;
        let start = (at.saturating_sub(100)..at - 1).rev().find(|it| {
            depth += usize::from(self.phrases.is_mark(*it, close));
            depth = depth.saturating_sub(usize::from(self.phrases.is_mark(*it, open)));
            depth == 0
        })?;
        let named = close == b')'
            && start.checked_sub(1).is_some_and(|it| self.phrases.name_at(it).is_some());
        Some(start - usize::from(named))
    }

    /// `delete($_) for @list`: what stands behind it says what `$_` is.
    pub(super) fn modified(&mut self, at: usize) {
        let ends = |kind: Option<&TokenKind>| {
            matches!(kind, None | Some(TokenKind::Mark(b';' | b'{' | b'}')))
        };
        let end = (at..at + 60).find(|it| ends(self.phrases.kind(*it))).unwrap_or(at + 60);
        let modifier =
            (at + 1..end).find(|it| matches!(self.phrases.name_at(*it), Some(b"for" | b"foreach")));
        if let Some(modifier) = modifier {
            let value = self.phrases.value(modifier + 1, 0).0;
            self.one_of(b"_".to_vec(), value);
        }
    }

    fn one_of(&mut self, variable: Vec<u8>, value: Value) {
        if matches!(value.kind, Kind::List(_) | Kind::Text(_)) && value.weight() < 100 {
            self.phrases.variables.insert(variable, value);
        }
    }

    /// `finddepth(sub { unlink … }, '/home')`
    pub(super) fn found_files(&mut self, at: usize, name: &str) {
        let finds = matches!(name, "find" | "finddepth" | "File::Find::find");
        if !finds || self.phrases.language != Language::Perl || !self.phrases.is_mark(at + 1, b'(')
        {
            return;
        }
        let end = (at..at + 60)
            .find(|it| self.phrases.is_mark(*it, b';') || self.phrases.kind(*it).is_none())
            .unwrap_or(at + 60);
        let deletes = (at..end).any(|it| {
            let name = self.phrases.name_at(it).unwrap_or_default();
            matches!(name, b"unlink" | b"rmdir") || self.own_deletes(name)
        });
        if !deletes {
            return;
        }
        let range = self.phrases.range(at, end);
        for it in at..end {
            if let Some(TokenKind::Text(..) | TokenKind::Variable(_)) = self.phrases.kind(it) {
                let place = self.phrases.value(it, 0).0;
                if place.as_text().is_some_and(|text| text.starts_with(b"/") || text == b"~") {
                    self.gather.path(EffectKind::Delete, &place, Qualities::RECURSIVE, range);
                }
            }
        }
    }
}
