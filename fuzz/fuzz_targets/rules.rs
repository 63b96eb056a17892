//! Bytes as rules: a pack, and files of other tools; the first byte tells which.
#![no_main]

use ctrlz_policy::{Context, Pack, Packs, Standing, Validator, import};
use libfuzzer_sys::fuzz_target;

/// What the rules are asked about once they are read.
const COMMANDS: [&[u8]; 2] = [b"git push --force origin main; ls -la | grep x", b"rm -rf /"];

fuzz_target!(|bytes: &[u8]| {
    let Some((first, text)) = bytes.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let pack = match first {
        b'x' => import::codex("team", text).ok(),
        b'c' => import::claude("team", text).ok(),
        b't' => {
            let because = "the project is not trusted".to_owned();
            Pack::parse("team", text, Standing::OnlyTightens { because }).ok()
        }
        _ => Pack::parse_unchecked("team", text, Standing::MayLoosen).ok(),
    };
    let Some(pack) = pack else { return };
    let _ = pack.failing_examples();
    let written = pack.to_yaml();
    let again = Pack::parse_unchecked("team", &written, Standing::MayLoosen);
    assert_eq!(again.map(|pack| pack.to_yaml()).as_ref(), Ok(&written), "it reads what it wrote");
    let only_tightens = *first == b't';
    let with = Validator::with_packs(Context::default(), Packs::new(vec![pack]));
    let without = Validator::new(Context::default());
    for command in COMMANDS {
        let judged = with.command(command);
        assert_eq!(judged, with.command(command));
        assert!(!only_tightens || judged.risk >= without.command(command).risk, "it loosened");
    }
});
