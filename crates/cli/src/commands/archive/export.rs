//! `ctrlz export`: a snapshot as one file, for other programs and other machines.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use ctrlz_archive::archiver::{Archiver, Subject, flatten, pack};
use ctrlz_archive::codec::Compression;
use ctrlz_archive::export::export as write_bundle;
use ctrlz_archive::layer::LayerOptions;
use ctrlz_archive::place::Directory;
use ctrlz_archive::unpack::Devices;
use ctrlz_archive::{Losses, Target};
use ctrlz_core::sandbox::Sandbox;
use ctrlz_core::size::ByteSize;
use ctrlz_core::snapshot::{Snapshot, SnapshotScope};

use super::failure::while_reading;
use super::push::state_at;
use super::scratch::Scratch;
use super::setting::Setting;
use super::told::Lost;
use crate::Answer;
use crate::arguments::{ExportArguments, ExportFormat};
use crate::context::{Context, WhenBusy};
use crate::failure::{Failure, OWN_FAILURE, REFUSED};
use crate::show;

pub(crate) fn export(arguments: &ExportArguments, json: bool) -> Answer {
    let format = match arguments.format {
        Some(format) => format,
        None => of_name(&arguments.output)?,
    };
    let context = Context::open()?;
    let setting = Setting::read(&context)?;
    let snapshot = context.store().snapshot(arguments.snapshot)?;
    let sandbox = context.store().sandbox(snapshot.sandbox)?;
    if format != ExportFormat::OciArchive && snapshot.scope == SnapshotScope::StateOnly {
        let message = format!("{} has a state and no files", snapshot.id);
        return Err(Failure::new(REFUSED, "state-only", message)
            .hint("`ctrlz state export` writes the state"));
    }
    let mut output = Output::create(&arguments.output)?;
    let scratch = Scratch::new(&setting)?;
    let exporting = Exporting {
        context: &context,
        options: setting.options(&sandbox, arguments.skip_unreadable)?,
        scratch: scratch.path(),
    };
    let lost = match format {
        ExportFormat::OciArchive => exporting.image(&sandbox, &snapshot, &mut output)?,
        format => exporting.files(&sandbox, &snapshot, format, &mut output)?,
    };
    drop(scratch);
    let size = output.keep()?;
    // Standard output has the export.
    if arguments.output == Path::new("-") {
        return show::done();
    }
    if json {
        show::print_json(&[
            ("snapshot", show::to_json(&snapshot.id)?),
            ("file", show::path_to_json(&arguments.output)?),
            ("bytes", size.into()),
            ("losses", show::to_json(&Lost::from(&lost))?),
        ]);
    } else {
        println!("{} is in {} ({})", snapshot.id, arguments.output.display(), ByteSize(size));
        Lost::from(&lost).tell();
    }
    show::done()
}

fn of_name(file: &Path) -> Result<ExportFormat, Failure> {
    let name = file.to_string_lossy();
    let ends = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
    if ends(&[".oci", ".oci.tar", "oci-archive", "oci-archive.tar"]) {
        Ok(ExportFormat::OciArchive)
    } else if ends(&[".tar.gz", ".tgz"]) {
        Ok(ExportFormat::TarGzip)
    } else if ends(&[".tar.zst", ".tzst"]) {
        Ok(ExportFormat::TarZstd)
    } else if ends(&[".tar"]) {
        Ok(ExportFormat::Tar)
    } else {
        let message = format!("the name {} does not tell what to write", file.display());
        Err(Failure::new(OWN_FAILURE, "usage", message)
            .hint("end it with .tar, .tar.gz, .tar.zst or .oci, or give --format"))
    }
}

/// One export under way.
struct Exporting<'a> {
    context: &'a Context,
    options: LayerOptions,
    scratch: &'a Path,
}

impl Exporting<'_> {
    /// The snapshot as an image, with all that belongs to it.
    fn image(
        &self,
        sandbox: &Sandbox,
        snapshot: &Snapshot,
        output: &mut Output,
    ) -> Result<Losses, Failure> {
        let layout = self.scratch.join("image");
        let place = Directory::create(&layout)?;
        let memory = self.scratch.join("memory");
        let archiver =
            Archiver { place: &place, memory: &memory, keys: None, options: self.options.clone() };
        let state = state_at(self.context, sandbox, snapshot)?;
        let scope = snapshot.scope;
        let archived = self.context.with_core(WhenBusy::Wait, |core| {
            core.with_strata(sandbox, snapshot, |strata| {
                let state = state.as_deref();
                let setup = core.parts_of_setup(sandbox, strata)?;
                let subject = Subject { sandbox, snapshot, scope, strata, setup, state };
                archiver.archive(&subject, &|_| ()).map_err(while_reading(strata))
            })
        })?;
        write_bundle(&place, &[&archived.snapshot.reference], output, &|_| ())?;
        Ok(archived.losses)
    }

    /// The files as one tar archive.
    fn files(
        &self,
        sandbox: &Sandbox,
        snapshot: &Snapshot,
        format: ExportFormat,
        output: &mut Output,
    ) -> Result<Losses, Failure> {
        let tree = self.scratch.join("tree");
        let devices =
            if rustix::process::geteuid().is_root() { Devices::Make } else { Devices::Skip };
        let target = Target { durable: false, devices, ..Target::new(tree.clone()) };
        let restored = self.context.with_core(WhenBusy::Wait, |core| {
            core.with_strata(sandbox, snapshot, |strata| {
                flatten(strata, &self.options, target).map_err(while_reading(strata))
            })
        })?;
        let compression = match (format, self.options.compression) {
            (ExportFormat::TarGzip, found @ Compression::Gzip { .. }) => found,
            (ExportFormat::TarGzip, _) => Compression::Gzip { level: 6 },
            (ExportFormat::TarZstd, found @ Compression::Zstd { .. }) => found,
            (ExportFormat::TarZstd, _) => Compression::default(),
            _ => Compression::None,
        };
        let options = LayerOptions { compression, digest: false, ..self.options.clone() };
        let packed = pack(&tree, &options, output)?;
        let mut lost = restored.losses;
        lost.append(packed.losses);
        Ok(lost)
    }
}

/// Where the export goes: a file that gets its name at the end, or standard output.
struct Output {
    file: Option<(File, PathBuf, PathBuf)>,
    size: u64,
}

impl Output {
    fn create(path: &Path) -> Result<Self, Failure> {
        if path == Path::new("-") {
            return Ok(Self { file: None, size: 0 });
        }
        let failed = |error: std::io::Error| {
            let message = format!("cannot write the export {}", path.display());
            Failure::new(OWN_FAILURE, "export", message).detail(error.to_string())
        };
        if path.symlink_metadata().is_ok() {
            return Err(failed(std::io::ErrorKind::AlreadyExists.into()));
        }
        let mut partial = path.as_os_str().to_owned();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        let mut options = File::options();
        let file = options.write(true).create_new(true).mode(0o600).open(&partial);
        Ok(Self { file: Some((file.map_err(failed)?, partial, path.to_owned())), size: 0 })
    }

    /// Gives the file its name; how large it is.
    fn keep(mut self) -> Result<u64, Failure> {
        let Some((file, partial, path)) = self.file.take() else {
            return Ok(self.size);
        };
        let failed = |error: std::io::Error| {
            let message = format!("cannot write the export {}", path.display());
            Failure::new(OWN_FAILURE, "export", message).detail(error.to_string())
        };
        let kept = file.sync_all().and_then(|()| {
            let flags = rustix::fs::RenameFlags::NOREPLACE;
            let cwd = rustix::fs::CWD;
            Ok(rustix::fs::renameat_with(cwd, &partial, cwd, &path, flags)?)
        });
        if kept.is_err() {
            let _ = std::fs::remove_file(&partial);
        }
        kept.map_err(failed).map(|()| self.size)
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let length = match &mut self.file {
            Some((file, ..)) => file.write(bytes)?,
            None => std::io::stdout().lock().write(bytes)?,
        };
        self.size = self.size.saturating_add(length as u64);
        Ok(length)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match &mut self.file {
            Some((file, ..)) => file.flush(),
            None => std::io::stdout().lock().flush(),
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if let Some((_, partial, _)) = &self.file {
            let _ = std::fs::remove_file(partial);
        }
    }
}
