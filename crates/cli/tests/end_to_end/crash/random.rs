//! SIGKILL at random times: to ctrlz alone, and to all of its process group.

use std::collections::BTreeSet;
use std::os::unix::process::CommandExt;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::support::Scene;

/// How long to go on when `CTRLZ_SOAK_SECONDS` does not say.
const SECONDS: u64 = 40;

/// A small generator of numbers (xorshift64), so that a failure can be repeated from its seed.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// Writes generation `number` of a tree, of which every entry says its generation.
fn write(number: u64) -> String {
    format!(
        "for i in 0 1 2 3 4 5 6 7; do echo {number} > f$i; done; rm -rf g* d*; echo {number} > g{number}; \
         mkdir -p d{0}/e; for i in 1 2 3 4; do echo {number} > d{0}/e/$i; done; rm -f h1 h2; \
         echo {number} > h1; ln h1 h2; ln -sfn g{number} link",
        number % 3
    )
}

/// Prints the generation of a tree, or what is wrong with it.
const READ: &str = r#"
n=$(cat f0) || exit 1
for f in f[0-7] g$n d$((n % 3))/e/[1-4] h1 h2; do
    test "$(cat $f)" = $n || { echo "$f is not of $n: $(cat $f)"; ls -lR; exit 1; }
done
test h1 -ef h2 || { echo "h1 and h2 are two files"; exit 1; }
test "$(readlink link)" = g$n || { echo "the link leads to $(readlink link)"; exit 1; }
test "$(ls -A | wc -l)" = 13 || { echo "too much or too little of $n:"; ls -lA; exit 1; }
echo $n
"#;

/// A scene with one sandbox whose tree changes by generations.
struct Soak {
    scene: Scene,
    /// The generation that was written last.
    newest: u64,
    snapshots: BTreeSet<String>,
}

impl Soak {
    fn new() -> Self {
        let scene = Scene::new();
        scene.host(&write(0));
        scene.inside("true");
        Self { scene, newest: 0, snapshots: BTreeSet::new() }
    }

    #[track_caller]
    fn live(&self) -> u64 {
        let text = self.scene.host(&format!("({READ}) || true"));
        text.trim().parse().unwrap_or_else(|_| panic!("the folder: {text}"))
    }

    /// What the sandbox holds, looked at in a copy of it, so that its own log stays as it is.
    #[track_caller]
    fn inside(&self) -> u64 {
        self.scene.run(&["rm", "--force", "probe"]);
        self.scene.ok(&["fork", "project", "probe"]);
        let script = format!("({READ}) || true");
        let text = self.scene.ok(&["exec", "probe", "--", "sh", "-c", &script]);
        text.trim().parse().unwrap_or_else(|_| panic!("the sandbox: {text}"))
    }

    /// One operation and where it may lead: the generations in the folder and in the sandbox.
    fn next(&mut self, numbers: &mut Numbers, live: u64, inside: u64) -> (Vec<String>, Goal) {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        match numbers.below(12) {
            0..=3 => {
                self.newest += 1;
                let script = write(self.newest);
                (words(&["run", "--", "sh", "-ec", &script]), Goal::Known(live, self.newest))
            }
            4 | 5 => (words(&["commit"]), Goal::Known(inside, inside)),
            6 => (words(&["discard"]), Goal::Known(live, live)),
            7 => (words(&["snapshot"]), Goal::Known(live, inside)),
            8 => match self.snapshots.iter().nth(numbers.below(8) as usize) {
                Some(snapshot) => (words(&["rollback", snapshot]), Goal::SomeInside(live)),
                None => (words(&["undo"]), Goal::Some),
            },
            9 | 10 => (words(&["undo"]), Goal::Some),
            _ => (words(&["redo"]), Goal::Some),
        }
    }
}

/// Where an operation leads when it is not cut short.
enum Goal {
    /// To these generations in the folder and in the sandbox.
    Known(u64, u64),
    /// The folder stays; the sandbox goes to an earlier generation.
    SomeInside(u64),
    /// To earlier generations.
    Some,
}

/// Its exit code; none when it was killed before it ended.
fn kill_at_random(numbers: &mut Numbers, child: &mut Child) -> Option<i32> {
    let pid = Pid::from_child(child);
    thread::sleep(Duration::from_micros(numbers.below(45_000)));
    if numbers.below(2) == 0 {
        let _ = kill_process(pid, Signal::KILL);
    } else {
        let _ = kill_process_group(pid, Signal::KILL);
    }
    let status = child.wait().expect("wait for ctrlz");
    status.code()
}

#[test]
fn killed_at_random_times() {
    let seconds = std::env::var("CTRLZ_SOAK_SECONDS").ok().and_then(|text| text.parse().ok());
    let end = Instant::now() + Duration::from_secs(seconds.unwrap_or(SECONDS));
    let seed = u64::from(std::process::id()) << 20 | 0x5eed;
    println!("seed {seed}");
    let mut numbers = Numbers(seed);
    let mut soak = Soak::new();
    let (mut live, mut inside) = (0, 0);
    let (mut operations, mut killed) = (0, 0);
    // A slow machine needs longer for as many as say something.
    while Instant::now() < end || operations <= 10 || killed <= 3 {
        let (words, goal) = soak.next(&mut numbers, live, inside);
        let mut command = soak.scene.ctrlz(&words);
        command.process_group(0).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().expect("start ctrlz");
        operations += 1;
        let code = kill_at_random(&mut numbers, &mut child);
        let was_killed = code.is_none();
        killed += u32::from(was_killed);
        println!(
            "{operations}: {live}, {inside}: {words:?}{}",
            if was_killed { " killed" } else { "" }
        );
        // Nobody else writes to the folder, so that there is never a conflict.
        let refused = words == ["commit"] && live != inside && code.is_some_and(|code| code != 0);
        assert!(!refused, "seed {seed}: {code:?}");
        if numbers.below(2) == 0 {
            soak.scene.ok(&["recover"]);
        }
        // The first command after it takes the sandbox's lock, and recovers it before it looks.
        let now_inside = soak.inside();
        let now_live = soak.live();
        let now = (now_live, now_inside);
        let known = match goal {
            Goal::Known(goal_live, goal_inside) => now == (goal_live, goal_inside),
            Goal::SomeInside(goal_live) => now_live == goal_live && now_inside <= soak.newest,
            Goal::Some => now_live <= soak.newest && now_inside <= soak.newest,
        };
        assert!(
            known || now == (live, inside),
            "seed {seed}, operation {operations} {words:?}: from {:?} to {now:?}",
            (live, inside)
        );
        (live, inside) = now;
        let listed = soak.scene.json(&["snapshots"]);
        let ids = listed["snapshots"].as_array().expect("an array").iter();
        soak.snapshots = ids.filter_map(|s| s["id"].as_str().map(str::to_owned)).collect();
    }
    println!("{operations} operations, {killed} killed");
    // It is as good as new: everything can be committed, and nothing is left over.
    if live != inside {
        soak.scene.ok(&["commit"]);
        assert_eq!((soak.live(), soak.inside()), (inside, inside));
    }
    soak.scene.ok(&["rm", "--force", "probe"]);
    soak.scene.ok(&["rm", "--force", "project"]);
    soak.scene.ok(&["recover"]);
    let left = soak.scene.host("cd \"$CTRLZ_HOME\"; find . -name 'f0' | wc -l");
    assert_eq!(left, "0\n", "files of removed sandboxes are left");
}

/// The process for whose end the next user of the sandbox will wait.
fn noted_process(scene: &Scene) -> u32 {
    let text = scene.host("cat \"$CTRLZ_HOME\"/locks/*");
    let line = text.lines().nth(1).and_then(|line| line.split_whitespace().next());
    line.and_then(|pid| pid.parse().ok()).unwrap_or_else(|| panic!("no process in {text}"))
}

fn parent(pid: u32) -> u32 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it lives");
    let line = status.lines().find_map(|line| line.strip_prefix("PPid:"));
    line.and_then(|pid| pid.trim().parse().ok()).expect("a parent")
}

#[test]
fn a_command_dies_with_a_killed_ctrlz_and_the_sandbox_is_free() {
    let scene = Scene::with("echo base > a");
    let mark = format!("7{}", std::process::id());
    for group in [false, true] {
        let script = format!("echo changed > a; echo new > b; sleep {mark}");
        let mut command = scene.ctrlz(["run", "--", "sh", "-ec", &script]);
        let mut child = command.process_group(0).spawn().expect("start ctrlz");
        let sleeps = || {
            let line = format!("sleep\0{mark}\0");
            std::fs::read_dir("/proc").expect("/proc").flatten().any(|entry| {
                std::fs::read(entry.path().join("cmdline")).is_ok_and(|it| it == line.as_bytes())
            })
        };
        while !sleeps() {
            thread::sleep(Duration::from_millis(5));
        }
        let pid = Pid::from_child(&child);
        assert_eq!(parent(noted_process(&scene)), child.id(), "not process 1");
        let kill = if group { kill_process_group } else { kill_process };
        kill(pid, Signal::KILL).expect("kill");
        child.wait().expect("wait");
        let recovered = scene.ok(&["recover"]);
        assert!(recovered.contains("op-"), "{recovered}");
        assert!(!sleeps(), "the command lives on");
        assert_eq!(scene.counts(), [0; 4]);
        let log = scene.log();
        assert_eq!(log[0]["status"], "recovered", "{}", log[0]);
        assert_eq!(scene.inside("cat a; ls"), "base\na\n");
    }
    assert!(!scene.exists("b"));
}
