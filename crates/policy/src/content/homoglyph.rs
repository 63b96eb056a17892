//! Letters of other scripts that look like ASCII.
//!
//! A table of our own and not Unicode's list of confusable characters: that one maps everything
//! to prototypes of its own (`m` to `rn`, `0` to `O`), has no small Cyrillic `м` for `m`, and would
//! cost some hundred kilobytes for characters that no font makes pass for a command.

use super::{ContentKind, FINDINGS_OF_A_KIND, Hit};

/// The longest word that can imitate a name, in characters.
const WORD_MAX: usize = 64;

/// Which kind of letter looks like an ASCII one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// Cyrillic, Greek, Armenian, Cherokee, …: a letter with a life of its own.
    Script,
    /// Full width, mathematical, circled: the same letter in another dress.
    Dress,
}

/// The ASCII character that `letter` looks like.
fn look_alike(letter: char) -> Option<(char, Origin)> {
    if letter.is_ascii() {
        return None;
    }
    dressed(letter)
        .map(|plain| (plain, Origin::Dress))
        .or_else(|| of_a_script(letter).map(|plain| (plain, Origin::Script)))
}

/// Forms of the ASCII characters themselves, which normalisation form KC would undo.
fn dressed(letter: char) -> Option<char> {
    let code = u32::from(letter);
    let from = |base: char, distance: u32| char::from_u32(u32::from(base) + distance);
    match letter {
        '\u{ff01}'..='\u{ff5e}' => from('!', code - 0xff01),
        // Mathematical alphabets: 13 of 52 letters, upper case first, then five of digits.
        '\u{1d400}'..='\u{1d6a3}' => match (code - 0x1d400) % 52 {
            upper @ 0..=25 => from('A', upper),
            lower => from('a', lower - 26),
        },
        '\u{1d6a4}' => Some('i'),
        '\u{1d6a5}' => Some('j'),
        '\u{1d7ce}'..='\u{1d7ff}' => from('0', (code - 0x1d7ce) % 10),
        '\u{24b6}'..='\u{24cf}' => from('A', code - 0x24b6),
        '\u{24d0}'..='\u{24e9}' => from('a', code - 0x24d0),
        '\u{1f130}'..='\u{1f149}' => from('A', code - 0x1f130),
        '\u{1f150}'..='\u{1f169}' => from('A', code - 0x1f150),
        '\u{1f170}'..='\u{1f189}' => from('A', code - 0x1f170),
        'ª' | 'ᵃ' | 'ₐ' => Some('a'),
        'º' | 'ᵒ' | 'ℴ' | 'ₒ' => Some('o'),
        'ᵇ' => Some('b'),
        'ᶜ' => Some('c'),
        'ᵈ' => Some('d'),
        'ᵉ' | 'ₑ' | 'ℯ' => Some('e'),
        'ᶠ' => Some('f'),
        'ᵍ' | 'ℊ' => Some('g'),
        'ʰ' | 'ₕ' | 'ℎ' => Some('h'),
        'ⁱ' | 'ᵢ' | 'ⅰ' | 'ℹ' => Some('i'),
        'ʲ' | 'ⱼ' => Some('j'),
        'ᵏ' | 'ₖ' => Some('k'),
        'ˡ' | 'ₗ' | 'ⅼ' | 'ℓ' => Some('l'),
        'ᵐ' | 'ₘ' | 'ⅿ' => Some('m'),
        'ⁿ' | 'ₙ' => Some('n'),
        'ᵖ' | 'ₚ' => Some('p'),
        'ʳ' | 'ᵣ' => Some('r'),
        'ˢ' | 'ₛ' | 'ſ' => Some('s'),
        'ᵗ' | 'ₜ' => Some('t'),
        'ᵘ' | 'ᵤ' => Some('u'),
        'ᵛ' | 'ᵥ' | 'ⅴ' => Some('v'),
        'ʷ' => Some('w'),
        'ˣ' | 'ₓ' | 'ⅹ' => Some('x'),
        'ʸ' => Some('y'),
        'ᶻ' => Some('z'),
        'ⅽ' => Some('c'),
        'ⅾ' => Some('d'),
        'ℂ' | 'ℭ' | 'Ⅽ' => Some('C'),
        'ℋ' | 'ℌ' | 'ℍ' => Some('H'),
        'ℐ' | 'ℑ' | 'Ⅰ' => Some('I'),
        'ℒ' | 'Ⅼ' => Some('L'),
        'ℳ' | 'Ⅿ' => Some('M'),
        'ℕ' => Some('N'),
        'ℙ' => Some('P'),
        'ℚ' => Some('Q'),
        'ℛ' | 'ℜ' | 'ℝ' => Some('R'),
        'ℤ' | 'ℨ' => Some('Z'),
        _ => None,
    }
}

/// Letters of other scripts, and Latin ones beyond ASCII without an accent that is seen.
const fn of_a_script(letter: char) -> Option<char> {
    Some(match letter {
        'а' | 'α' | 'ɑ' | 'ᴀ' | 'ꭺ' | '⍺' => 'a',
        'Ь' | 'ь' | 'Ƅ' | 'ᑲ' | 'ʙ' => 'b',
        'с' | 'ϲ' | 'ᴄ' | 'ꮯ' | 'ⲥ' => 'c',
        'ԁ' | 'ɗ' | 'Ꮷ' | 'ᴅ' | 'ժ' | 'ꓒ' => 'd',
        'е' | 'ҽ' | '℮' | 'ᴇ' | 'є' | 'ε' => 'e',
        'ꜰ' | 'ẝ' | 'ք' => 'f',
        'ɡ' | 'ց' | 'ɢ' | 'ᶃ' => 'g',
        'һ' | 'հ' | 'Ꮒ' | 'ʜ' => 'h',
        'і' | 'ı' | 'ι' | 'ɩ' | 'ɪ' | 'Ꭵ' => 'i',
        'ј' | 'ϳ' | 'ᴊ' => 'j',
        'к' | 'κ' | 'ᴋ' => 'k',
        'ӏ' | 'ǀ' | 'ʟ' | '׀' => 'l',
        'м' | 'ᴍ' => 'm',
        'п' | 'ո' | 'ɴ' | 'η' => 'n',
        'о' | 'ο' | 'օ' | 'ᴏ' | 'ⲟ' | 'σ' | '०' => 'o',
        'р' | 'ρ' | 'ᴘ' | 'ⲣ' => 'p',
        'ԛ' | 'գ' | 'զ' => 'q',
        'г' | 'ʀ' | 'ᴦ' | 'ꭇ' | 'ⲅ' => 'r',
        'ѕ' | 'ꜱ' | 'ƽ' => 's',
        'т' | 'τ' | 'ᴛ' => 't',
        'υ' | 'ս' | 'ᴜ' | 'ʋ' => 'u',
        'ν' | 'ѵ' | 'ᴠ' => 'v',
        'ԝ' | 'ѡ' | 'ᴡ' | 'ա' | 'ω' => 'w',
        'х' | 'χ' | 'ⅹ' => 'x',
        'у' | 'γ' | 'ү' | 'ʏ' => 'y',
        'ᴢ' => 'z',
        'А' | 'Α' | 'Ꭺ' => 'A',
        'В' | 'Β' | 'Ᏼ' => 'B',
        'С' | 'Ϲ' | 'Ꮯ' => 'C',
        'Е' | 'Ε' | 'Ꭼ' => 'E',
        'Ԍ' | 'Ꮐ' => 'G',
        'Н' | 'Η' | 'Ꮋ' => 'H',
        'І' | 'Ι' | 'Ӏ' => 'I',
        'Ј' | 'Ꭻ' => 'J',
        'К' | 'Κ' | 'Ꮶ' => 'K',
        'Ꮮ' => 'L',
        'М' | 'Μ' | 'Ꮇ' => 'M',
        'Ν' => 'N',
        'О' | 'Ο' | 'Օ' => 'O',
        'Р' | 'Ρ' | 'Ꮲ' => 'P',
        'Ѕ' | 'Ꮪ' => 'S',
        'Т' | 'Τ' | 'Ꭲ' => 'T',
        'Ս' => 'U',
        'Ꮩ' => 'V',
        'Ԝ' | 'Ꮃ' => 'W',
        'Х' | 'Χ' => 'X',
        'У' | 'Υ' => 'Y',
        'Ζ' | 'Ꮓ' => 'Z',
        'З' | 'Ʒ' => '3',
        '‐' | '‑' | '‒' | '–' | '—' | '−' | '﹣' | '﹘' => '-',
        '⁄' | '∕' | '⧸' | '╱' => '/',
        '․' | '。' | '｡' => '.',
        _ => return None,
    })
}

/// What `word` looks like in ASCII, if it is not ASCII and every character of it has an
/// ASCII look-alike or is not seen at all.
pub(crate) fn skeleton(word: &str) -> Option<String> {
    if word.is_ascii() {
        return None;
    }
    let mut plain = String::with_capacity(word.len());
    for letter in word.chars() {
        if letter.is_ascii() {
            plain.push(letter);
        } else if let Some((look_alike, _)) = look_alike(letter) {
            plain.push(look_alike);
        } else if !super::character::is_invisible(letter) {
            return None;
        }
    }
    Some(plain)
}

/// Programs whose name is worth imitating, since they delete, fetch, run or rule; in order.
const PROGRAMS: [&str; 74] = [
    "ash",
    "awk",
    "base64",
    "bash",
    "cat",
    "chattr",
    "chmod",
    "chown",
    "cp",
    "crontab",
    "curl",
    "dash",
    "dd",
    "docker",
    "env",
    "eval",
    "exec",
    "fdisk",
    "find",
    "ftp",
    "gcc",
    "git",
    "halt",
    "insmod",
    "iptables",
    "kill",
    "killall",
    "kubectl",
    "ln",
    "mkfs",
    "mount",
    "mv",
    "nc",
    "ncat",
    "netcat",
    "nft",
    "node",
    "nohup",
    "npm",
    "openssl",
    "parted",
    "passwd",
    "perl",
    "php",
    "pip",
    "pip3",
    "pkill",
    "poweroff",
    "python",
    "python3",
    "reboot",
    "rm",
    "rmdir",
    "rsync",
    "ruby",
    "scp",
    "sed",
    "sh",
    "shred",
    "shutdown",
    "socat",
    "source",
    "ssh",
    "su",
    "sudo",
    "systemctl",
    "tar",
    "tee",
    "truncate",
    "useradd",
    "wget",
    "wipefs",
    "xargs",
    "zsh",
];

/// Words after which a command begins.
const WRAPPERS: [&str; 14] = [
    "sudo", "doas", "exec", "xargs", "then", "do", "else", "nohup", "env", "time", "command",
    "eval", "setsid", "busybox",
];

/// What was read of a word.
#[derive(Debug, Default)]
struct Word {
    start: usize,
    characters: usize,
    ascii_letter: bool,
    script: bool,
    dress: bool,
    /// A character without a look-alike stands in it.
    alien: bool,
    plain: String,
}

/// Adds the words of `text` that imitate others.
pub(super) fn scan(text: &[u8], hits: &mut Vec<Hit>) {
    let mut start = 0;
    let mut place = Place { command: true, host: false };
    let mut kept = Kept::default();
    for chunk in text.utf8_chunks() {
        read(chunk.valid(), start, &mut place, &mut kept, hits);
        start += chunk.valid().len() + chunk.invalid().len();
    }
}

/// How many words of each kind were kept.
#[derive(Debug, Default)]
struct Kept {
    programs: usize,
    hosts: usize,
    mixed: usize,
}

impl Kept {
    fn allows(&mut self, kind: ContentKind) -> bool {
        let count = match kind {
            ContentKind::ImitatedProgram => &mut self.programs,
            ContentKind::ImitatedHost => &mut self.hosts,
            _ => &mut self.mixed,
        };
        *count += 1;
        *count <= FINDINGS_OF_A_KIND
    }
}

/// Where the next word stands.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// A command begins here.
    command: bool,
    /// An address has begun: `://` stands before.
    host: bool,
}

fn read(text: &str, offset: usize, place: &mut Place, kept: &mut Kept, hits: &mut Vec<Hit>) {
    let mut word = Word::default();
    let mut previous = [' ', ' '];
    let mut letters = text.char_indices();
    loop {
        let next = letters.next();
        let (position, letter) = next.unwrap_or((text.len(), ' '));
        let in_word = if letter.is_ascii() {
            letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-' | '.' | '/')
        } else {
            // Whatever else is no letter makes the word one that imitates nothing.
            !matches!(letter, '\u{2010}'..='\u{2027}' | '\u{3001}'..='\u{3003}')
                && !letter.is_whitespace()
        };
        // A host ends where its path begins, and a path imitates by its parts.
        if in_word && letter != '/' {
            if word.characters == 0 {
                word.start = position;
            }
            word.add(letter);
        } else {
            if word.characters > 0 {
                let end = offset + position;
                // Each is told at most so often, so no more are kept.
                if let Some(kind) = word.judge(*place)
                    && kept.allows(kind)
                {
                    hits.push(Hit::new(kind, offset + word.start, end));
                }
                place.command = match letter {
                    '/' => place.command,
                    _ => WRAPPERS.contains(&word.plain.as_str()),
                };
                place.host = false;
                word.clear();
            }
            match letter {
                ';' | '|' | '&' | '\n' | '(' | '{' | '`' | '!' => place.command = true,
                '/' if previous == [':', '/'] => place.host = true,
                // What a shell is given after `-c` begins with a command.
                '\'' | '"' if previous == ['c', ' '] => place.command = true,
                ' ' | '\t' | '/' | '\'' | '"' | '\\' => {}
                _ => place.command = false,
            }
        }
        previous = [previous[1], letter];
        if next.is_none() {
            break;
        }
    }
}

impl Word {
    fn add(&mut self, letter: char) {
        self.characters += 1;
        if self.characters > WORD_MAX || self.alien {
            return;
        }
        if letter.is_ascii() {
            self.ascii_letter |= letter.is_ascii_alphabetic();
            self.plain.push(letter);
        } else if let Some((plain, origin)) = look_alike(letter) {
            match origin {
                // A long dash is no letter: `–rf` is a typographer's, not a deceiver's.
                Origin::Script if !plain.is_ascii_alphanumeric() => {}
                Origin::Script => self.script = true,
                Origin::Dress => self.dress = true,
            }
            self.plain.push(plain);
        } else if !super::character::is_invisible(letter) {
            self.alien = true;
        }
    }

    fn clear(&mut self) {
        self.plain.clear();
        let plain = std::mem::take(&mut self.plain);
        *self = Self { plain, ..Self::default() };
    }

    fn judge(&self, place: Place) -> Option<ContentKind> {
        let foreign = self.script || self.dress;
        if !foreign || self.alien || self.characters > WORD_MAX {
            return None;
        }
        let mixed = self.ascii_letter && self.script;
        if place.host && mixed && self.plain.contains('.') {
            return Some(ContentKind::ImitatedHost);
        }
        let base = self.plain.split('.').next().unwrap_or_default();
        if (mixed || place.command) && PROGRAMS.binary_search(&base).is_ok() {
            return Some(ContentKind::ImitatedProgram);
        }
        (mixed || (place.command && self.plain.chars().all(|letter| letter.is_ascii_lowercase())))
            .then_some(ContentKind::MixedScript)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_programs_are_in_order() {
        assert!(PROGRAMS.is_sorted());
    }
}
