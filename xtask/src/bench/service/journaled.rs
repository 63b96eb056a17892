//! A file system with a journal of its own, as most machines have below their stores. An ext4 without one
//! keeps the inodes that were deleted in the last minute from being used again, and looks at each of them
//! whenever it makes a file: what makes and removes many pays for that.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::super::scene::Scene;
use crate::account;
use crate::failure::{Answer, Failure};
use crate::{prerequisites, program};

/// How large it may grow. It takes of the disk what is written to it.
const SIZE: u64 = 8 << 30;

/// An ext4 in a file, which only those see that [`Self::command`] starts. It is removed with the scene.
pub(super) struct Journaled {
    image: PathBuf,
    /// Where they see it.
    pub(super) folder: PathBuf,
}

impl Journaled {
    /// Makes one; `None` for who may not mount it.
    pub(super) fn make(scene: &Scene) -> Answer<Option<Self>> {
        if !account::is_root() {
            return Ok(None);
        }
        if program::find("mkfs.ext4").is_none() {
            prerequisites::install(&["e2fsprogs"])?;
        }
        let image = scene.folder().join("journaled.img");
        let file = fs::File::create(&image).map_err(Failure::io("make", &image))?;
        file.set_len(SIZE).map_err(Failure::io("grow", &image))?;
        program::run(program::named("mkfs.ext4").arg("-q").arg(&image))?;
        Ok(Some(Self { image, folder: scene.make("journaled")? }))
    }

    /// Starts a program in a mount namespace in which the file system is there, and goes with it.
    pub(super) fn command(&self, program: PathBuf) -> Command {
        let mut command = program::named("unshare");
        command.args([
            "--mount",
            "sh",
            "-c",
            "mount -o loop \"$1\" \"$2\" && shift 2 && exec \"$@\"",
        ]);
        command.arg("sh").arg(&self.image).arg(&self.folder).arg(program);
        command
    }
}
