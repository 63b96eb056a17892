//! Programs that write disks and make file systems.

use crate::effect::{EffectKind, Qualities, Target};
use crate::evaluate::Evaluator;
use crate::evaluate::call::Call;
use crate::path_class::PathClass;

/// Whether the program of that name writes disks.
pub(super) fn is_formatter(name: &str) -> bool {
    name.starts_with("mkfs")
        || name.starts_with("mke2fs")
        || matches!(
            name,
            "wipefs"
                | "blkdiscard"
                | "fdisk"
                | "sfdisk"
                | "cfdisk"
                | "gdisk"
                | "sgdisk"
                | "parted"
                | "mkswap"
                | "hdparm"
                | "cryptsetup"
                | "badblocks"
                | "sg_format"
                | "nvme"
                | "mkntfs"
                | "mkdosfs"
                | "mkexfatfs"
                | "newfs"
                | "format"
                | "pvcreate"
                | "pvremove"
                | "vgremove"
                | "lvremove"
                | "mdadm"
                | "zpool"
                | "zfs"
                | "btrfs"
                | "e2label"
                | "tune2fs"
                | "debugfs"
                | "swapoff"
        )
}

/// How the options of sgdisk begin that only read a partition table, or copy it to a file.
const SGDISK_READS: [&[u8]; 14] = [
    b"-p",
    b"--print",
    b"-i",
    b"--info",
    b"-v",
    b"--verify",
    b"-b",
    b"--backup",
    b"-O",
    b"-L",
    b"--list-types",
    b"-f",
    b"-E",
    b"-V",
];

/// Whether a word is this option, alone or with a number or a value behind `=`; `-vZ` is not `-v`.
fn is_option(word: &[u8], option: &[u8]) -> bool {
    let number = |rest: &[u8]| rest.iter().all(u8::is_ascii_digit);
    word.strip_prefix(option).is_some_and(|rest| number(rest) || rest.starts_with(b"="))
}

/// Commands of parted that change the table, whatever else it prints.
const PARTED_CHANGES: [&[u8]; 10] = [
    b"mklabel",
    b"mktable",
    b"mkpart",
    b"rm",
    b"resizepart",
    b"rescue",
    b"set",
    b"toggle",
    b"name",
    b"disk_set",
];

impl Evaluator<'_> {
    pub(super) fn format_disk(&mut self, call: &Call) {
        let words: Vec<&[u8]> = call.arguments.iter().map(|field| field.text()).collect();
        let has = |word: &[u8]| words.contains(&word);
        let harmless = match call.name.as_str() {
            "wipefs" => {
                !(has(b"-a")
                    || has(b"--all")
                    || has(b"-af")
                    || has(b"-fa")
                    || has(b"-o")
                    || has(b"--offset"))
                    || has(b"-n")
            }
            "fdisk" | "sfdisk" | "cfdisk" | "gdisk" => {
                has(b"-l") || has(b"--list") || has(b"-d") || has(b"--dump")
            }
            "sgdisk" => {
                let mut options = words.iter().filter(|word| word.starts_with(b"-"));
                options.all(|word| SGDISK_READS.iter().any(|read| is_option(word, read)))
                    || has(b"-P")
                    || has(b"--pretend")
            }
            "parted" => {
                (has(b"print") || has(b"-l") || has(b"--list"))
                    && !PARTED_CHANGES.iter().any(|change| has(change))
            }
            "hdparm" => !words.iter().any(|word| {
                word.starts_with(b"--security-erase")
                    || word.starts_with(b"--write")
                    || word.starts_with(b"--trim")
                    || word.starts_with(b"--make-bad")
            }),
            "cryptsetup" => {
                !(has(b"luksFormat")
                    || has(b"luksErase")
                    || has(b"erase")
                    || has(b"luksKillSlot")
                    || has(b"reencrypt"))
            }
            "badblocks" => {
                !(has(b"-w")
                    || words.iter().any(|word| word.starts_with(b"-") && word.contains(&b'w')))
            }
            "nvme" => !(has(b"format") || has(b"sanitize") || has(b"write-zeroes")),
            "mdadm" => !(has(b"--zero-superblock") || has(b"--create") || has(b"--stop")),
            "zpool" => !(has(b"destroy") || has(b"create") || has(b"labelclear")),
            "zfs" => !(has(b"destroy") || has(b"rollback")),
            "btrfs" => !(has(b"delete") && has(b"subvolume")),
            "e2label" | "tune2fs" | "swapoff" => true,
            "debugfs" => !has(b"-w"),
            _ => has(b"-n") || has(b"-N") || has(b"--test"),
        };
        if harmless {
            return;
        }
        let named = matches!(
            call.name.as_str(),
            "zpool" | "zfs" | "btrfs" | "vgremove" | "lvremove" | "mdadm" | "pvremove" | "pvcreate"
        );
        // With nobody's input and no command, it waits for somebody to type.
        let operands =
            call.arguments.iter().filter(|field| !field.text().starts_with(b"-")).count();
        let waits = matches!(call.name.as_str(), "fdisk" | "gdisk" | "cfdisk" | "parted")
            && operands == 1
            && self.stdin.is_none()
            && !has(b"-s");
        let qualities = Qualities::NONE.with_if(waits, Qualities::ASKS);
        let mut found = false;
        for field in &call.arguments {
            if field.text().starts_with(b"-")
                || !field.text().contains(&b'/') && !field.value.is_wholly_unknown()
            {
                continue;
            }
            let resolved = self.resolve(&field.value);
            let class = self.class_of(&resolved, EffectKind::Wipe);
            if matches!(class, PathClass::Device | PathClass::Unknown) || named {
                found = true;
                self.touch_path(EffectKind::Wipe, &field.value, qualities, field.range);
            } else {
                // A file with an image in it.
                found = true;
                self.touch_path(EffectKind::Overwrite, &field.value, Qualities::NONE, field.range);
            }
        }
        let has_operand = call.arguments.iter().any(|field| !field.text().starts_with(b"-"));
        if !found && has_operand && named {
            self.emit(
                EffectKind::Wipe,
                Target::Name(call.name.clone()),
                Qualities::NONE,
                call.range,
            );
        }
    }
}
