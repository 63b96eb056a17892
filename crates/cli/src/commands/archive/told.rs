//! What the commands about archives tell, whoever did it: this process, or a service that was asked.

use ctrlz_archive::{ArchiveError, Losses, verify};
use ctrlz_core::id::SnapshotId;
use ctrlz_core::size::ByteSize;
use ctrlz_core::snapshot::SnapshotScope;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Answer;
use crate::failure::Failure;
use crate::show::{self, plain, print_table};

/// Prints the fields of a report.
pub(crate) fn print(report: &impl Serialize) -> Result<(), Failure> {
    let Value::Object(fields) = show::to_json(report)? else { return Ok(()) };
    let fields: Vec<_> = fields.iter().map(|(name, value)| (&**name, value.clone())).collect();
    show::print_json(&fields);
    Ok(())
}

/// What could not be kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Lost {
    total: u64,
    first: Vec<String>,
}

impl From<&Losses> for Lost {
    fn from(losses: &Losses) -> Self {
        let first = losses.first.iter().map(ToString::to_string).collect();
        Self { total: losses.total, first }
    }
}

impl Lost {
    /// Tells what was lost now.
    pub(crate) fn tell(&self) {
        self.tell_as("not kept");
    }

    /// Tells what was lost when it was archived.
    pub(crate) fn tell_earlier(&self) {
        self.tell_as("not archived");
    }

    fn tell_as(&self, how: &str) {
        for loss in &self.first {
            println!("  {how}: {}", plain(loss));
        }
        let more = self.total.saturating_sub(self.first.len() as u64);
        if more > 0 {
            println!("  {how}: {more} more");
        }
    }
}

/// A copy of a snapshot, or why there is none.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Copied {
    Sent { place: String, sent_blobs: u64, sent_bytes: u64, there_blobs: u64, there_bytes: u64 },
    Failed { place: String, error: String },
}

/// A snapshot that was archived.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Pushed {
    pub(super) snapshot: SnapshotId,
    pub(super) name: String,
    pub(super) reference: String,
    pub(super) place: String,
    pub(super) manifest: String,
    pub(super) scope: SnapshotScope,
    pub(super) was_there: bool,
    pub(super) tree: Option<String>,
    pub(super) written_layers: u64,
    pub(super) written_bytes: u64,
    pub(super) reused_layers: u64,
    pub(super) reused_bytes: u64,
    pub(super) losses: Lost,
    pub(super) copies: Vec<Copied>,
}

impl Pushed {
    /// Whether every copy was made.
    pub(super) fn is_sent(&self) -> bool {
        self.copies.iter().all(|copy| matches!(copy, Copied::Sent { .. }))
    }

    pub(super) fn tell(&self) {
        let (snapshot, name) = (self.snapshot, plain(&self.name));
        if self.was_there {
            println!("{snapshot} is in the archive already, as {name}");
        } else {
            let scope = self.scope.word();
            println!("{snapshot} ({scope}) is archived as {name} in {}", plain(&self.place));
            let there = match self.reused_layers {
                0 => String::new(),
                layers => {
                    let bytes = ByteSize(self.reused_bytes);
                    format!("; {bytes} in {layers} layers were there already")
                }
            };
            let (bytes, layers) = (ByteSize(self.written_bytes), self.written_layers);
            println!("  {bytes} in {layers} layers written{there}");
        }
        self.losses.tell();
        for copy in &self.copies {
            match copy {
                Copied::Sent { place, sent_blobs, sent_bytes, there_blobs, .. } => println!(
                    "  sent to {}: {} in {sent_blobs} blobs; {there_blobs} were there already",
                    plain(place),
                    ByteSize(*sent_bytes),
                ),
                Copied::Failed { place, error } => {
                    println!("  NOT SENT to {}: {}", plain(place), plain(error));
                }
            }
        }
    }
}

/// All snapshots of a push.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Push {
    pub(super) snapshots: Vec<Pushed>,
}

impl Push {
    /// Tells all of them at once.
    pub(crate) fn tell(&self, json: bool) -> Answer {
        match json {
            true => print(self)?,
            false => self.snapshots.iter().for_each(Pushed::tell),
        }
        Ok(u8::from(!self.snapshots.iter().all(Pushed::is_sent)))
    }
}

/// A snapshot in an archive.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// `None` when no key at hand opens it.
    pub(super) name: Option<String>,
    pub(super) reference: String,
    pub(super) created: Option<String>,
    pub(super) bytes: u64,
    pub(super) encrypted: bool,
    /// How many things could not be kept when it was archived.
    pub(super) not_archived: Option<u64>,
    /// Why it lies there, when nobody asked for it.
    pub(super) automatic: Option<String>,
    pub(super) manifest: String,
}

impl Entry {
    fn row(&self) -> Vec<String> {
        let name = self.name.clone();
        vec![
            name.unwrap_or_else(|| format!("{} (no key for its name)", self.reference)),
            self.created.clone().unwrap_or_else(|| "-".to_owned()),
            ByteSize(self.bytes).to_string(),
            if self.encrypted { "yes" } else { "no" }.to_owned(),
            self.automatic.clone().unwrap_or_else(|| "-".to_owned()),
        ]
    }
}

/// A name in an archive that cannot be read.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Unread {
    pub(super) name: String,
    pub(super) error: String,
}

/// What an archive has.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Contents {
    pub(super) place: String,
    pub(super) snapshots: Vec<Entry>,
    pub(super) faults: Vec<Unread>,
}

impl Contents {
    pub(crate) fn tell(&self, json: bool) -> Answer {
        if json {
            print(self)?;
        } else {
            let rows: Vec<Vec<String>> = self.snapshots.iter().map(Entry::row).collect();
            let columns = ["NAME", "TAKEN", "SIZE", "ENCRYPTED", "AUTOMATIC"];
            print_table(&columns, &rows, "no snapshots in the archive");
            for entry in &self.snapshots {
                let Some(lost) = entry.not_archived.filter(|lost| *lost > 0) else { continue };
                let name = plain(entry.name.as_deref().unwrap_or(&entry.reference));
                println!("{name}: {lost} could not be archived; `ctrlz verify` tells what");
            }
            for Unread { name, error } in &self.faults {
                println!("{}: {}", plain(name), plain(error));
            }
        }
        Ok(u8::from(!self.faults.is_empty()))
    }
}

/// What was taken out of an archive.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Removed {
    /// The names.
    pub(crate) removed: Vec<String>,
}

impl Removed {
    pub(crate) fn tell(&self, json: bool) -> Answer {
        if json {
            print(self)?;
        } else {
            for name in &self.removed {
                println!("{} is no longer in the archive", plain(name));
            }
            println!("`ctrlz archive gc` gives back the space that nothing needs now");
        }
        show::done()
    }
}

/// Blobs, and their bytes.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Amount {
    blobs: u64,
    bytes: u64,
}

impl From<(u64, u64)> for Amount {
    fn from((blobs, bytes): (u64, u64)) -> Self {
        Self { blobs, bytes }
    }
}

/// What a collection came to.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Collected {
    pub(super) dry_run: bool,
    pub(super) kept: Amount,
    pub(super) young: Amount,
    pub(super) removed: Amount,
    pub(super) unfinished: Amount,
}

impl Collected {
    pub(crate) fn tell(&self, json: bool) -> Answer {
        if json {
            print(self)?;
            return show::done();
        }
        let would = if self.dry_run { "would be " } else { "" };
        let told = |amount: Amount| (amount.blobs, ByteSize(amount.bytes));
        let (blobs, bytes) = told(self.removed);
        println!("{blobs} blobs ({bytes}) {would}removed");
        if self.unfinished.blobs > 0 {
            let (files, bytes) = told(self.unfinished);
            println!("{files} unfinished ones ({bytes}) {would}removed");
        }
        let (blobs, bytes) = told(self.kept);
        println!("{blobs} blobs ({bytes}) are needed");
        if self.young.blobs > 0 {
            let (blobs, bytes) = told(self.young);
            println!("{blobs} blobs ({bytes}) are too young to go; --now takes them");
        }
        show::done()
    }
}

/// Something in an archive that is not as it was archived.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Fault {
    names: Vec<String>,
    blob: Option<String>,
    error: String,
    /// Whether nothing is known of it, for lack of a key.
    #[serde(default)]
    sealed: bool,
}

impl From<&verify::Fault> for Fault {
    fn from(fault: &verify::Fault) -> Self {
        Self {
            names: fault.names.clone(),
            blob: fault.blob.map(|digest| digest.to_string()),
            error: fault.error.to_string(),
            sealed: matches!(fault.error, ArchiveError::Sealed { .. } | ArchiveError::Key { .. }),
        }
    }
}

/// A snapshot in which something could not be kept.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Incomplete {
    pub(super) name: String,
    pub(super) losses: Lost,
}

/// What was read of an archive, and how that was.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Verified {
    pub(super) place: String,
    pub(super) names: u64,
    pub(super) read_blobs: u64,
    pub(super) read_bytes: u64,
    pub(super) left_out_blobs: u64,
    pub(super) left_out_bytes: u64,
    pub(super) faults: Vec<Fault>,
    pub(super) not_archived: Vec<Incomplete>,
    pub(super) discarded: u64,
}

impl Verified {
    pub(crate) fn tell(&self, json: bool) -> Answer {
        let code = u8::from(!self.faults.is_empty());
        if json {
            print(self)?;
            return Ok(code);
        }
        for fault in &self.faults {
            let word = if fault.sealed { "NOT OPENED" } else { "DAMAGED" };
            println!("{word}: {}: {}", plain(&fault.names.join(", ")), plain(&fault.error));
        }
        let (blobs, bytes) = (self.read_blobs, ByteSize(self.read_bytes));
        let found = match self.faults.len() {
            0 => "all whole".to_owned(),
            bad => format!("{bad} faults"),
        };
        println!("{} snapshots: {blobs} blobs ({bytes}) read, {found}", self.names);
        for Incomplete { name, losses } in &self.not_archived {
            println!("{}: {} could not be archived", plain(name), losses.total);
            losses.tell_earlier();
        }
        if self.left_out_blobs > 0 {
            let (blobs, bytes) = (self.left_out_blobs, ByteSize(self.left_out_bytes));
            println!("  {blobs} blobs ({bytes}) left for other days");
        }
        if self.discarded > 0 {
            println!("  {} damaged blobs removed; `ctrlz push` brings them again", self.discarded);
        }
        Ok(code)
    }
}

/// What the drill of a snapshot came to.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Drill {
    Restored {
        name: String,
        whole: bool,
        compared: bool,
        paths: Option<u64>,
        bytes: Option<u64>,
        #[serde(default)]
        entries: u64,
        /// At how many places it differs; the first of them are named.
        #[serde(default)]
        differing: u64,
        differences: Vec<String>,
        losses: Lost,
    },
    Failed {
        name: String,
        whole: bool,
        error: String,
    },
}

impl Drill {
    pub(super) fn is_whole(&self) -> bool {
        match self {
            Self::Restored { whole, .. } | Self::Failed { whole, .. } => *whole,
        }
    }

    pub(super) fn tell(&self) {
        match self {
            Self::Failed { name, error, .. } => {
                println!("{}: CANNOT BE RESTORED: {}", plain(name), plain(error));
            }
            Self::Restored {
                name,
                whole,
                compared,
                paths,
                bytes,
                entries,
                differing,
                differences,
                losses,
            } => {
                let name = plain(name);
                let (paths, bytes) = (paths.unwrap_or(0), ByteSize(bytes.unwrap_or(0)));
                match (*compared, *whole) {
                    (true, true) => println!(
                        "{name}: restored and compared: {paths} paths, {bytes}, all as archived"
                    ),
                    (true, false) => {
                        println!("{name}: restored, and DIFFERS at {differing} places");
                        for difference in differences.iter().take(20) {
                            println!("  {}", plain(difference));
                        }
                    }
                    (false, _) => println!(
                        "{name}: restored: {entries} entries; it has no listing to be compared with"
                    ),
                }
                losses.tell();
            }
        }
    }
}

/// All drills that were asked for.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Drills {
    pub(super) place: String,
    pub(super) drills: Vec<Drill>,
}

impl Drills {
    /// Tells all of them at once.
    pub(crate) fn tell(&self, json: bool) -> Answer {
        match json {
            true => print(self)?,
            false if self.drills.is_empty() => println!("no snapshots in the archive"),
            false => self.drills.iter().for_each(Drill::tell),
        }
        Ok(u8::from(!self.drills.iter().all(Drill::is_whole)))
    }
}

/// Tells that an archived snapshot is one of a sandbox now.
pub(crate) fn tell_brought(
    name: &str,
    (sandbox, snapshot): (&str, SnapshotId),
    lost: Option<&Lost>,
) {
    println!(
        "{} is {snapshot} of {sandbox} now; `ctrlz rollback {sandbox} {snapshot}` returns to it",
        plain(name)
    );
    if let Some(lost) = lost {
        lost.tell_earlier();
    }
}
