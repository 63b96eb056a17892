//! Texts that are made to take long: each family is one idea of how.

mod nested;
mod programs;
mod repeated;
mod shell;

/// A text, the language to judge it in (the shell's if it is empty), and what it tries.
pub(crate) struct Hostile {
    pub(crate) name: String,
    pub(crate) language: &'static str,
    pub(crate) text: Vec<u8>,
}

impl Hostile {
    fn new(name: impl Into<String>, language: &'static str, text: impl Into<Vec<u8>>) -> Self {
        Self { name: name.into(), language, text: text.into() }
    }

    fn shell(name: impl Into<String>, text: impl Into<Vec<u8>>) -> Self {
        Self::new(name, "", text)
    }
}

/// What is judged to its end, and the longest text that is promised to be judged in time.
const LENGTHS: [usize; 3] = [16 << 10, 128 << 10, 1 << 20];

/// Every hostile text.
pub(crate) fn all() -> Vec<Hostile> {
    let mut texts = repeated::texts();
    texts.extend(nested::texts());
    texts.extend(shell::texts());
    texts.extend(programs::texts());
    texts
}
