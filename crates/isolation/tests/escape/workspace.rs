//! Attacks on what the sandbox's changes are taken from: the overlay's own marks.

use std::fs;

use ctrlz_isolation::native::Protection::NoCapabilities;

use crate::attack::{Failure, Test};
use crate::place::Place;
use crate::trial::Trial;

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("forge_a_deletion_by_whiteout_device", |place| {
            must_not_mark(
                place,
                "os.mknod('forged', 0o020644, os.makedev(0, 0)); through()",
                "a whiteout",
                |trial| trial.python_in_bound_workspace(),
            )
        }),
        Test::new("forge_overlay_marks_by_xattr", forge_marks),
        Test::new("redirect_a_lower_directory_by_xattr", redirect),
        Test::new("change_the_host_from_a_root_of_its_own", own_root),
    ]
}

impl<'p> Trial<'p> {
    /// Without an overlay: the workspace is the directory itself.
    fn python_in_bound_workspace(mut self) -> Self {
        self.spec.head = None;
        self
    }
}

/// Without the overlay, any user may make such a device.
fn must_not_mark<'p>(
    place: &'p Place,
    script: &str,
    what: &str,
    without: impl Fn(Trial<'p>) -> Trial<'p>,
) -> Result<(), Failure> {
    let run = place.python(script).run()?;
    run.must_be_refused()?;
    let run = place.python(script).without(&[NoCapabilities]).run()?;
    run.must_be_refused()?;
    without(place.python(script)).run()?.must_get_through().map_err(|failure| match failure {
        Failure::Failed(text) => Failure::Failed(format!("making {what} in a plain tree: {text}")),
        skipped @ Failure::Skipped(_) => skipped,
    })
}

/// What a program writes as `user.overlay.*` must not be read back as the overlay's own mark: it
/// would show, and commit, deletions that nobody made.
fn forge_marks(place: &Place) -> Result<(), Failure> {
    let script = "
os.mkdir('directory')
open('whiteout', 'w').close()
done = []
for path, name in [('directory', 'opaque'), ('directory', 'redirect'), ('whiteout', 'whiteout'),
                   ('whiteout', 'metacopy'), ('directory', 'origin')]:
    try:
        os.setxattr(path, 'user.overlay.' + name, b'y')
        done.append(name)
    except OSError:
        pass
refused(done)
";
    let trial = place.python(script);
    let upper = trial.upper();
    trial.run()?.must_be_refused()?;
    let marks = |directory: &std::path::Path| -> Result<Vec<String>, Failure> {
        let mut names = Vec::new();
        for entry in ["directory", "whiteout"] {
            let mut buffer = vec![0; 4096];
            let length = rustix::fs::llistxattr(directory.join(entry), &mut buffer)
                .map_err(std::io::Error::from)?;
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            names.extend(text.split('\0').map(str::to_owned));
        }
        // The overlay itself marks where an entry comes from, and that it may hold marks.
        names.retain(|name| {
            name.starts_with("user.overlay.")
                && !name.starts_with("user.overlay.overlay.")
                && !["user.overlay.impure", "user.overlay.uuid"].contains(&name.as_str())
        });
        Ok(names)
    };
    let forged = marks(&upper)?;
    // A new directory is made opaque by the overlay itself, since it covers nothing.
    let forged: Vec<_> = forged
        .into_iter()
        .filter(|name| name != "user.overlay.opaque" || has_value(&upper, name, b"y").is_none())
        .collect();
    if !forged.is_empty() {
        return Err(Failure::Failed(format!("HOLE: forged {}", forged.join(", "))));
    }
    // In a tree that is no overlay, the marks are written as they stand.
    let trial = place.python(script).python_in_bound_workspace();
    trial.run()?.must_be_refused()?;
    match marks(&place.workspace)?.is_empty() {
        true => Err(Failure::Failed("the marks cannot be written at all".to_owned())),
        false => Ok(()),
    }
}

fn has_value(upper: &std::path::Path, name: &str, value: &[u8]) -> Option<()> {
    let mut buffer = [0; 16];
    let length = rustix::fs::lgetxattr(upper.join("directory"), name, &mut buffer).ok()?;
    (buffer.get(..length) == Some(value)).then_some(())
}

/// A project tree may come with `user.overlay.*` of its own. It must not show other directories.
fn redirect(place: &Place) -> Result<(), Failure> {
    let door = place.workspace.join("door");
    fs::create_dir(&door)?;
    for target in ["/../outside", "/outside", "../outside"] {
        let flags = rustix::fs::XattrFlags::empty();
        let set = rustix::fs::lsetxattr(&door, "user.overlay.redirect", target.as_bytes(), flags);
        if set.is_err() {
            return Err(Failure::Skipped("this file system has no user xattrs".to_owned()));
        }
        let script = "
try:
    names = os.listdir('door')
except OSError:
    names = []
through(names) if 'file' in names else refused('nothing to see')
";
        place.python(script).run()?.must_be_refused()?;
    }
    // The same directory without a trick, so that the test is seen to look in the right place.
    fs::write(door.join("file"), "")?;
    let script = "through() if 'file' in os.listdir('door') else refused('')";
    place.python(script).run()?.must_get_through().or_else(|_| {
        // With the mark the kernel may refuse to show the directory at all.
        rustix::fs::lremovexattr(&door, "user.overlay.redirect").map_err(std::io::Error::from)?;
        place.python(script).run()?.must_get_through()
    })
}

/// With the whole host as workspace everything may be written, to the layer only.
fn own_root(place: &Place) -> Result<(), Failure> {
    if !crate::attack::is_root() {
        let reason = "only root can overlay a root that holds other mounts";
        return Err(Failure::Skipped(reason.to_owned()));
    }
    let script = "
write(OUTSIDE + '/file')
os.mkdir(OUTSIDE + '/directory')
try:
    if b'private' in read(KEY): through('the hidden key')
except OSError:
    pass
for path in ['/proc/sys/kernel/core_pattern', '/sys/kernel/mm/ksm/run', '/dev/kmsg']:
    try:
        os.open(path, os.O_WRONLY)
        through(path)
    except OSError:
        pass
refused('in its own layer') if read(OUTSIDE + '/file') == b'attacked' else through('odd')
";
    let own = |head: bool| {
        let mut trial = place.python(script);
        trial.spec.base = "/".into();
        trial.spec.own_root = true;
        if !head {
            trial.spec.head = None;
        }
        trial
    };
    let before = place.look();
    own(true).run()?.must_be_refused()?;
    before.check(&place.look())?;
    // Bound instead of overlaid, the same writes reach the host.
    own(false).run()?.must_be_refused()?;
    match before.check(&place.look()) {
        Err(_) => Ok(()),
        Ok(()) => Err(Failure::Failed("the attack does not write where it should".to_owned())),
    }
}
