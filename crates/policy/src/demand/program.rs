//! What single programs ask for with their arguments.

use ctrlz_core::limits::LimitKind;

use super::Demand;
use super::amount::{self, Amount};
use crate::effect::EffectKind;
use crate::evaluate::{Call, Evaluation};

/// What a call asks for.
pub(super) fn demands(call: &Call, evaluation: &Evaluation) -> Vec<Demand> {
    let mut found = Demands { call, found: Vec::new() };
    match call.name.as_str() {
        "stress" | "stress-ng" => found.stress(),
        "memtester" => found.memtester(),
        "fallocate" => found.fallocate(),
        "dd" | "dcfldd" | "gdd" => found.dd(),
        "head" => found.head(evaluation),
        "mkfile" => {
            let size = call.options("", &[]).operands.first().map(|field| field.text().to_vec());
            found.bytes(LimitKind::Disk, size.and_then(|size| amount::bytes(&size, 1)));
        }
        "sleep" => found.sleep(),
        "timeout" | "gtimeout" => found.timeout(),
        "ulimit" => found.ulimit(),
        "prlimit" => found.prlimit(),
        "xargs" => found.workers("P|max-procs", "IPnLsdaE"),
        "parallel" | "ninja" => found.workers("j|jobs", "jCkltN"),
        "make" | "gmake" => found.make(),
        "java" => found.java(),
        "node" | "nodejs" => found.node(),
        "sort" => {
            let options = call.options("kStTo", &["buffer-size"]);
            let size = options.value("S|buffer-size").map(|field| field.text().to_vec());
            found.bytes(LimitKind::Memory, size.and_then(|size| amount::bytes(&size, 1024)));
        }
        name if name.starts_with("qemu-system") => {
            let options = call.options("", &["m", "smp", "drive", "hda", "cdrom"]);
            let size = options.value("m").map(|field| field.text().to_vec());
            found.bytes(LimitKind::Memory, size.and_then(|size| amount::bytes(&size, 1 << 20)));
        }
        _ => {}
    }
    found.found
}

/// Whether a call wants a network, for programs whose effects do not say so.
pub(super) fn wants_network(call: &Call) -> bool {
    let word = || call.arguments.iter().map(|a| a.text()).find(|text| !text.starts_with(b"-"));
    let one_of = |words: &[&[u8]]| word().is_some_and(|word| words.contains(&word));
    match call.name.as_str() {
        "ping" | "ping6" | "traceroute" | "tracepath" | "mtr" | "dig" | "nslookup" | "whois"
        | "host" | "ntpdate" | "npx" | "bunx" | "uvx" => true,
        "git" => one_of(&[b"clone", b"pull", b"fetch", b"push", b"ls-remote"]),
        "npm" | "pnpm" | "yarn" | "bun" => {
            one_of(&[b"install", b"i", b"ci", b"add", b"update", b"upgrade", b"publish", b"audit"])
        }
        "pip" | "pip3" | "pipx" | "uv" | "gem" | "conda" | "mamba" | "brew" | "poetry" => {
            one_of(&[b"install", b"add", b"download", b"sync", b"update", b"upgrade", b"search"])
        }
        "apt" | "apt-get" | "dnf" | "yum" | "zypper" | "apk" => {
            one_of(&[b"install", b"add", b"update", b"upgrade", b"dist-upgrade", b"full-upgrade"])
        }
        "cargo" => one_of(&[b"install", b"add", b"fetch", b"publish", b"update", b"search"]),
        "go" => one_of(&[b"get", b"install"]),
        "docker" | "podman" => one_of(&[b"pull", b"push", b"login"]),
        _ => false,
    }
}

struct Demands<'c> {
    call: &'c Call,
    found: Vec<Demand>,
}

impl Demands<'_> {
    fn add(&mut self, kind: LimitKind, amount: Option<Amount>) {
        if let Some(amount) = amount {
            self.found.push(Demand::new(kind, amount, self.call));
        }
    }

    fn bytes(&mut self, kind: LimitKind, bytes: Option<u64>) {
        self.add(kind, bytes.map(Amount::Bytes));
    }

    fn stress(&mut self) {
        let options = self.call.options(
            "cimdt",
            &["cpu", "io", "vm", "hdd", "fork", "timeout", "vm-bytes", "hdd-bytes", "vm-hang"],
        );
        let number = |names: &str| {
            let field = options.value(names)?;
            std::str::from_utf8(field.text()).ok()?.parse::<u64>().ok()
        };
        let size = |names: &str| amount::bytes(options.value(names)?.text(), 1);
        // stress-ng shares one size among its workers.
        let each = |workers: Option<u64>| match self.call.name.as_str() {
            "stress" => workers.unwrap_or(1).max(1),
            _ => 1,
        };
        let (vm, hdd) = (number("m|vm"), number("d|hdd"));
        let memory = size("vm-bytes").map(|bytes| bytes.saturating_mul(each(vm)));
        let disk = size("hdd-bytes").map(|bytes| bytes.saturating_mul(each(hdd)));
        let workers = [number("c|cpu"), number("i|io"), vm, hdd, number("fork")];
        let workers = workers.into_iter().flatten().fold(0, u64::saturating_add);
        let time = options.value("t|timeout").and_then(|field| amount::time(field.text()));
        self.bytes(LimitKind::Memory, memory);
        self.bytes(LimitKind::Disk, disk);
        self.add(LimitKind::Pids, (workers > 0).then_some(Amount::Count(workers)));
        self.add(LimitKind::Timeout, time);
    }

    fn memtester(&mut self) {
        let options = self.call.options("pd", &[]);
        let size = options.operands.first();
        let size = size.and_then(|field| amount::bytes(field.text(), 1 << 20));
        self.bytes(LimitKind::Memory, size);
    }

    fn fallocate(&mut self) {
        let options = self.call.options("lo", &["length", "offset"]);
        // These give space back.
        if options.has("p|punch-hole|d|dig-holes|c|collapse-range") {
            return;
        }
        let size = options.value("l|length").and_then(|field| amount::bytes(field.text(), 1));
        self.bytes(LimitKind::Disk, size);
    }

    /// Blocks of `bs` lie in memory; `count` of them from a source without end go to the disk.
    fn dd(&mut self) {
        let value = |name: &[u8]| {
            let texts = self.call.arguments.iter().rev().map(|field| field.text());
            texts.filter_map(|text| text.strip_prefix(name)).next()
        };
        let block = value(b"bs=").and_then(|text| amount::bytes(text, 1));
        let endless = value(b"if=").is_none_or(is_endless);
        let target = value(b"of=").filter(|path| !path.starts_with(b"/dev/"));
        let count = value(b"count=").and_then(|text| amount::bytes(text, 1));
        let total = count.map(|count| count.saturating_mul(block.unwrap_or(512)));
        let kind = match target {
            Some(_) => LimitKind::Disk,
            None => LimitKind::MaxOutput,
        };
        let writes = target.is_some() || value(b"of=").is_none();
        self.bytes(LimitKind::Memory, block);
        self.bytes(kind, total.filter(|_| endless && writes));
    }

    /// `head -c 100G /dev/zero`, `yes | head -c 100G`: as much as is asked, since the source has it.
    fn head(&mut self, evaluation: &Evaluation) {
        let options = self.call.options("nc", &["bytes", "lines"]);
        let Some(size) = options.value("c|bytes").and_then(|f| amount::bytes(f.text(), 1)) else {
            return;
        };
        let gives = |call: &Call| {
            call.name == "yes" || call.arguments.iter().any(|field| is_endless(field.text()))
        };
        let endless = match options.operands.is_empty() {
            false => options.operands.iter().any(|field| is_endless(field.text())),
            // What it reads is known only as far as somebody without end stands in the same text.
            true => evaluation.calls.len() == 1 || evaluation.calls.iter().any(gives),
        };
        let to_file = evaluation
            .effects
            .iter()
            .any(|effect| matches!(effect.kind, EffectKind::Write | EffectKind::Overwrite));
        let kind = if to_file { LimitKind::Disk } else { LimitKind::MaxOutput };
        self.bytes(kind, Some(size).filter(|_| endless));
    }

    fn sleep(&mut self) {
        let mut total = Amount::Seconds(0);
        for field in self.call.options("", &[]).operands {
            total = match (total, amount::time(field.text())) {
                (Amount::Seconds(one), Some(Amount::Seconds(other))) => {
                    Amount::Seconds(one.saturating_add(other))
                }
                (_, Some(Amount::Unlimited)) => Amount::Unlimited,
                (total, _) => total,
            };
        }
        self.add(LimitKind::Timeout, Some(total));
    }

    fn timeout(&mut self) {
        let options = self.call.options_before_operands("ks", &["kill-after", "signal"]);
        let time = options.operands.first().and_then(|field| amount::time(field.text()));
        // Zero means never.
        let time = time.map(|time| match time {
            Amount::Seconds(0) => Amount::Unlimited,
            time => time,
        });
        self.add(LimitKind::Timeout, time);
    }

    fn ulimit(&mut self) {
        let texts: Vec<&[u8]> = self.call.arguments.iter().map(|field| field.text()).collect();
        for pair in texts.windows(2) {
            let [option, value] = pair else { continue };
            let Some(letters) = option.strip_prefix(b"-") else { continue };
            for letter in letters {
                self.resource(*letter, value);
            }
        }
    }

    /// One resource of ulimit, by its letter.
    fn resource(&mut self, letter: u8, value: &[u8]) {
        let unlimited = (value == b"unlimited").then_some(Amount::Unlimited);
        let blocks = || unlimited.or_else(|| amount::bytes(value, 1024).map(Amount::Bytes));
        match letter {
            b'u' => self.add(LimitKind::Pids, amount::count(value)),
            b'n' => self.add(LimitKind::OpenFiles, amount::count(value)),
            b'v' | b'm' | b'd' => self.add(LimitKind::Memory, blocks()),
            b'f' => self.add(LimitKind::Disk, blocks()),
            _ => {}
        }
    }

    fn prlimit(&mut self) {
        let names: [(&[u8], u8); 4] =
            [(b"--nproc=", b'u'), (b"--nofile=", b'n'), (b"--as=", b'v'), (b"--fsize=", b'f')];
        for field in &self.call.arguments {
            for (name, letter) in names {
                let Some(value) = field.text().strip_prefix(name) else { continue };
                let soft = value.split(|byte| *byte == b':').next().unwrap_or_default();
                match (letter, soft) {
                    (b'v' | b'f', size) if size != b"unlimited" => {
                        let kind = match letter {
                            b'v' => LimitKind::Memory,
                            _ => LimitKind::Disk,
                        };
                        self.bytes(kind, amount::bytes(size, 1));
                    }
                    (letter, soft) => self.resource(letter, soft),
                }
            }
        }
    }

    /// Programs that start several at once, 0 of them meaning as many as there are.
    fn workers(&mut self, names: &str, letters: &str) {
        let options = self.call.options_before_operands(letters, &["max-procs", "jobs"]);
        let count = options.value(names).and_then(|field| amount::count(field.text()));
        let count = count.map(|count| match count {
            Amount::Count(0) => Amount::Unlimited,
            count => count,
        });
        self.add(LimitKind::Pids, count);
    }

    /// `make -j` without a number starts all that it can.
    fn make(&mut self) {
        let mut texts = self.call.arguments.iter().map(|field| field.text()).peekable();
        while let Some(text) = texts.next() {
            let value = match text {
                b"-j" | b"--jobs" => match texts.peek().and_then(|next| amount::count(next)) {
                    Some(count) => Some(count),
                    None => Some(Amount::Unlimited),
                },
                text => text
                    .strip_prefix(b"-j")
                    .or_else(|| text.strip_prefix(b"--jobs="))
                    .and_then(amount::count),
            };
            self.add(LimitKind::Pids, value);
        }
    }

    fn java(&mut self) {
        for name in [b"-Xmx", b"-Xms"] {
            let texts = self.call.arguments.iter().map(|field| field.text());
            let size = texts.filter_map(|text| text.strip_prefix(name)).next_back();
            self.bytes(LimitKind::Memory, size.and_then(|size| amount::bytes(size, 1)));
        }
    }

    fn node(&mut self) {
        let texts = self.call.arguments.iter().map(|field| field.text());
        let size = texts
            .filter_map(|text| {
                text.strip_prefix(b"--max-old-space-size=")
                    .or_else(|| text.strip_prefix(b"--max_old_space_size="))
            })
            .next_back();
        self.bytes(LimitKind::Memory, size.and_then(|size| amount::bytes(size, 1 << 20)));
    }
}

/// Devices that give as much as anybody reads.
fn is_endless(path: &[u8]) -> bool {
    matches!(path, b"/dev/zero" | b"/dev/urandom" | b"/dev/random" | b"/dev/full")
}
