//! Machine code from the launcher, who keeps it, and to it.
//!
//! The launcher gets the module before this process looks into it, and by that settles what is asked for and
//! what may be kept. The socket is closed when the program is returned: nothing that runs from it can say a
//! word there.

use std::fs::File;
use std::io::{self, Write as _};

use ctrlz_core::wasm::{Found, Told};
use ctrlz_sys::compiled::{Keeper, Kept};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::process::{Resource, getrlimit};

use crate::engine::Engine;
use crate::error::WasmError;
use crate::program::{Program, Use, is_wasm};

/// Compiles, or takes what was compiled before. Also answers why what is kept cannot be used, when that is so.
pub(crate) fn load(
    engine: &Engine,
    bytes: &[u8],
    kind: Use,
    keeper: Option<Keeper>,
) -> Result<(Program, Option<String>), WasmError> {
    let Some(keeper) = keeper.filter(|_| is_wasm(bytes)) else {
        return Ok((Program::compiled(engine, bytes, kind)?, None));
    };
    let told = Told::Module { fingerprint: engine.fingerprint(), for_calls: kind == Use::Calls };
    let refusal = match ask(&keeper, told, bytes) {
        Ok((Found::Code, Some(kept))) => match Program::of_kept(engine, bytes, kind, kept) {
            Ok(program) => return Ok((program, None)),
            Err(error) => Some(error.to_string()),
        },
        Ok((Found::Refused(why), _)) => Some(why),
        // Whoever keeps nothing has closed the socket.
        _ => None,
    };
    let program = Program::compiled(engine, bytes, kind)?;
    // What is not kept is compiled again, next time.
    let _ = give(&keeper, &program);
    Ok((program, refusal))
}

fn ask(keeper: &Keeper, told: Told, module: &[u8]) -> io::Result<(Found, Option<Kept>)> {
    keeper.tell(&told.to_bytes(), &settled(module)?)?;
    let (message, kept) = keeper.hear(Found::MOST)?;
    let found = Found::from_bytes(&message).ok_or(io::ErrorKind::InvalidData)?;
    Ok((found, kept))
}

fn give(keeper: &Keeper, program: &Program) -> io::Result<()> {
    let code = program.machine_code().map_err(io::Error::other)?;
    keeper.tell(&Told::Code.to_bytes(), &settled(&code)?)
}

/// A file in memory with these bytes, which nobody can change.
fn settled(bytes: &[u8]) -> io::Result<File> {
    // Beyond it, a write does not fail but ends the process (getrlimit(2)).
    if getrlimit(Resource::Fsize).current.is_some_and(|most| bytes.len() as u64 > most) {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let memory = memfd_create("code", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    let mut memory = File::from(memory);
    memory.write_all(bytes)?;
    let all = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
    fcntl_add_seals(&memory, all)?;
    Ok(memory)
}
