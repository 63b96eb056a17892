//! Puts a head in place as a sandbox would see it, without an isolation driver.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use ctrlz_core::workspace::{Head, WorkspaceMount};
use tempfile::TempDir;

/// A head in place. Dropping it takes it out of place again.
pub(super) struct Mounted {
    root: PathBuf,
    // Before the directory that it is mounted in: removing that would detach the mount.
    namespace: Option<Namespace>,
    scripts: TempDir,
}

/// A shell that keeps a private mount namespace alive and runs scripts in it, one path a line.
struct Namespace {
    shell: Child,
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

/// The layers are named by short links, so that neither a `:` or `,` in a path nor the page that
/// mount(2) allows for options matters.
const CONTROL: &str = r#"
if [ "$2" ]; then
    # The base holds the layers: overlayfs takes them only when the base is another file system.
    mkdir base-wrap && mount -t tmpfs none base-wrap && mkdir base-wrap/empty base-wrap/base &&
    mount -t overlay overlay -o "ro,userxattr,lowerdir=$2:base-wrap/empty" base-wrap/base || exit 1
    rm "$2" && ln -s base-wrap/base "$2" || exit 1
fi
mount -t overlay overlay -o "userxattr,volatile,lowerdir=$1,upperdir=upper,workdir=work" view || exit 1
echo ready
while read -r script; do
    (cd view && exec sh -eu "$script") >"$script.out" 2>&1
    echo "status $?"
done
# A program that another test starts has what this process holds open until it is executed.
for try in $(seq 600); do
    umount view 2>/dev/null && exit
    sleep 0.1
done
umount view
"#;

impl Mounted {
    /// Puts `head` in place; the reason when this host cannot.
    pub(super) fn open(head: &Head) -> Result<Self, String> {
        let scripts = TempDir::new().map_err(|error| format!("no temporary directory: {error}"))?;
        match &head.mount {
            WorkspaceMount::Bind { source } => {
                Ok(Self { root: source.clone(), scripts, namespace: None })
            }
            WorkspaceMount::Overlay { lower_dirs, upper_dir, work_dir } => {
                let at = scripts.path();
                for (name, target) in [("upper", upper_dir), ("work", work_dir)] {
                    symlink(target, at.join(name)).map_err(|error| error.to_string())?;
                }
                let mut names = Vec::new();
                for (index, lower) in lower_dirs.iter().enumerate() {
                    symlink(lower, at.join(index.to_string())).map_err(|e| e.to_string())?;
                    names.push(index.to_string());
                }
                fs::create_dir(at.join("view")).map_err(|error| error.to_string())?;
                let namespace = Namespace::open(at, &names.join(":"), &overlapping(lower_dirs))?;
                let pid = namespace.shell.id();
                let seen = at.strip_prefix("/").unwrap_or(at).join("view");
                let root = PathBuf::from(format!("/proc/{pid}/root")).join(seen);
                Ok(Self { root, scripts, namespace: Some(namespace) })
            }
        }
    }

    /// The workspace's root, as this process reaches it.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Runs a shell script (`sh -eu`) at the root and answers what it printed.
    #[track_caller]
    pub(super) fn run(&mut self, script: &str) -> String {
        let file = self.scripts.path().join("script");
        fs::write(&file, script).expect("write the script");
        let (ok, output) = match &mut self.namespace {
            Some(namespace) => {
                let status = namespace.run(&file);
                let mut name = OsString::from(&file);
                name.push(".out");
                (status == "status 0", fs::read(name).expect("the script's output"))
            }
            None => {
                let output = Command::new("sh")
                    .args(["-eu".as_ref(), file.as_os_str()])
                    .current_dir(&self.root)
                    .output()
                    .expect("run sh");
                let text = [output.stdout, output.stderr].concat();
                (output.status.success(), text)
            }
        };
        let output = String::from_utf8_lossy(&output).into_owned();
        assert!(ok, "a script failed in the workspace:\n{script}\n--- it printed:\n{output}");
        output
    }
}

fn overlapping(lower_dirs: &[PathBuf]) -> String {
    match lower_dirs.split_last() {
        Some((base, above)) if above.iter().any(|dir| dir.starts_with(base)) => {
            above.len().to_string()
        }
        _ => String::new(),
    }
}

impl Namespace {
    fn open(at: &Path, lower_dirs: &str, wrap: &str) -> Result<Self, String> {
        let flags: &[&str] = if rustix::process::geteuid().is_root() {
            &["--mount"]
        } else {
            &["--user", "--map-root-user", "--mount"]
        };
        let mut shell = Command::new("unshare")
            .args(flags)
            .args(["sh", "-c", CONTROL, "sh", lower_dirs, wrap])
            .current_dir(at)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot run unshare: {error}"))?;
        let commands = shell.stdin.take();
        let stdout = shell.stdout.take().ok_or("no pipe")?;
        let mut answers = BufReader::new(stdout);
        let mut line = String::new();
        answers.read_line(&mut line).map_err(|error| error.to_string())?;
        if line.trim() == "ready" {
            return Ok(Self { shell, commands, answers });
        }
        drop(commands);
        let output = shell.wait_with_output().map_err(|error| error.to_string())?;
        let reason = String::from_utf8_lossy(&output.stderr).replace('\n', " ");
        Err(format!("no overlay mount in a private namespace: {}", reason.trim()))
    }

    fn run(&mut self, script: &Path) -> String {
        let commands = self.commands.as_mut().expect("the namespace is open");
        writeln!(commands, "{}", script.display()).expect("send the script");
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("the script's status");
        line.trim().to_owned()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // The end of its input tells the shell to unmount; once it is reaped nothing holds the
        // head any more.
        self.commands = None;
        let left = self.shell.wait();
        if !std::thread::panicking() {
            assert!(
                left.is_ok_and(|status| status.success()),
                "the workspace could not be unmounted"
            );
        }
    }
}
