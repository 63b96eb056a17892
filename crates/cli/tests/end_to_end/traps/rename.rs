//! Renaming a folder of the base. Overlayfs without root answers `EXDEV` to it, which mv hides by
//! copying and others do not expect.

use crate::support::{Scene, has, interpreter, python_with};

/// A folder with everything that a careless copy loses.
const RICH: &str = "mkdir -p dir/sub/empty; echo one > dir/a; ln dir/a dir/hard; ln -s a dir/link; \
    mkfifo dir/pipe; echo x > dir/sub/x; truncate -s 3M dir/sparse; \
    /usr/bin/python3 -c 'import os; os.setxattr(\"dir/sub/x\", \"user.note\", b\"kept\"); \
    os.setxattr(\"dir/sub\", \"user.note\", b\"on a folder\")'; \
    chmod 4750 dir/sub/x; chmod 2775 dir/sub; chmod 711 dir; \
    touch -d '2001-02-03 04:05:06.123456789' dir/a dir/sub/x dir/pipe dir/sparse; \
    touch -h -d '2002-02-03 04:05:06.5' dir/link; \
    touch -d '2003-02-03 04:05:06.25' dir/sub/empty dir/sub dir";

/// What is below a folder, one line an entry.
const LOOK: &str = r#"
import os, stat, sys
def look(path, name):
    s = os.lstat(path)
    line = [name, oct(s.st_mode), s.st_uid, s.st_gid, s.st_mtime_ns, s.st_nlink if not stat.S_ISDIR(s.st_mode) else '']
    if stat.S_ISREG(s.st_mode): line += [s.st_size, open(path).read(3), s.st_blocks < 100]
    if stat.S_ISLNK(s.st_mode): line += [os.readlink(path)]
    else: line += [(x, os.getxattr(path, x)) for x in sorted(os.listxattr(path)) if x.startswith('user.')]
    print(*line)
    if stat.S_ISDIR(s.st_mode):
        for entry in sorted(os.listdir(path)): look(path + '/' + entry, name + '/' + entry)
look(sys.argv[1], '.')
print(os.path.samefile(sys.argv[1] + '/a', sys.argv[1] + '/hard'))
"#;

#[track_caller]
fn look(scene: &Scene, inside: bool, folder: &str) -> String {
    if inside {
        scene.ok(&["run", "--", interpreter(), "-c", LOOK, folder])
    } else {
        python_with(scene, LOOK, &[folder]).ok().out()
    }
}

#[test]
fn by_the_rename_call_itself() {
    let scene = Scene::with(RICH);
    let before = look(&scene, false, "dir");
    let program = "import os; os.rename('dir', 'moved'); assert not os.path.lexists('dir')";
    scene.ok(&["run", "--", interpreter(), "-c", program]);
    assert_eq!(look(&scene, true, "moved"), before);
    scene.ok(&["commit"]);
    assert!(!scene.exists("dir"));
    assert_eq!(look(&scene, false, "moved"), before);
    scene.ok(&["undo"]);
    assert_eq!(look(&scene, false, "dir"), before);
    assert!(!scene.exists("moved"));
}

#[test]
fn by_mv() {
    let scene = Scene::with(RICH);
    let before = look(&scene, false, "dir");
    scene.ok(&["run", "--", "mv", "dir", "moved"]);
    assert_eq!(look(&scene, true, "moved"), before);
    // And once more: now it lies in a layer.
    scene.ok(&["run", "--", "mv", "moved", "again"]);
    assert_eq!(look(&scene, true, "again"), before);
    scene.ok(&["commit"]);
    assert_eq!(look(&scene, false, "again"), before);
    assert_eq!(scene.host("ls"), "again\n");
}

#[test]
fn by_node_as_npm_does() {
    if !has("node") {
        return;
    }
    let scene = Scene::with(
        "mkdir -p node_modules/left-pad/lib; echo '{}' > node_modules/left-pad/package.json; \
         echo x > node_modules/left-pad/lib/index.js",
    );
    let program = "const fs = require('fs'); \
        fs.renameSync('node_modules/left-pad', 'node_modules/.left-pad-Xy12'); \
        fs.mkdirSync('node_modules/left-pad'); \
        fs.writeFileSync('node_modules/left-pad/new.js', 'new'); \
        fs.rmSync('node_modules/.left-pad-Xy12', {recursive: true}); \
        fs.renameSync('node_modules', 'modules')";
    scene.ok(&["run", "--", "node", "-e", program]);
    scene.ok(&["commit"]);
    assert_eq!(scene.host("find . -type f"), "./modules/left-pad/new.js\n");
}

#[test]
fn onto_an_empty_folder_and_not_onto_a_full_one() {
    let scene = Scene::with("mkdir dir empty full; echo x > dir/f; echo y > full/y; echo z > file");
    let program = r#"
import errno, os
def fails(old, new, *wanted):
    try: os.rename(old, new)
    except OSError as e: assert e.errno in wanted, (old, new, e)
    else: raise SystemExit('%s -> %s went through' % (old, new))
fails('dir', 'full', errno.ENOTEMPTY, errno.EEXIST)
fails('dir', 'file', errno.ENOTDIR)
fails('dir', 'dir/inside', errno.EINVAL)
fails('missing', 'x', errno.ENOENT)
fails('dir', 'no/such', errno.ENOENT)
fails('dir', '/tmp/elsewhere', errno.EXDEV)
assert sorted(os.listdir('.')) == ['dir', 'empty', 'file', 'full'], os.listdir('.')
os.rename('dir', 'empty')
assert sorted(os.listdir('.')) == ['empty', 'file', 'full']
assert open('empty/f').read() == 'x\n'
"#;
    scene.ok(&["run", "--", interpreter(), "-c", program]);
    assert_eq!(scene.host("ls"), "dir\nempty\nfile\nfull\n");
}

#[test]
fn by_every_kind_of_call() {
    let scene =
        Scene::with("mkdir a b c d; echo 1 > a/f; echo 2 > b/f; echo 3 > c/f; echo 4 > d/f");
    let program = r#"
import ctypes, errno, os
libc = ctypes.CDLL(None, use_errno=True)
here = os.open('.', os.O_RDONLY | os.O_DIRECTORY)
os.rename('a', 'a2', src_dir_fd=here, dst_dir_fd=here)
os.rename(os.path.abspath('b'), os.path.abspath('b2'))
def rename2(old, new, flags):
    if libc.renameat2(-100, old, -100, new, flags) == -1: return ctypes.get_errno()
    return 0
assert rename2(b'c', b'd', 1) == errno.EEXIST
assert rename2(b'c', b'c2', 1) == 0
exchanged = rename2(b'c2', b'd', 2)
assert exchanged in (0, errno.EXDEV, errno.EINVAL), exchanged
os.chdir('a2'); os.rename('../b2', '../b3')
print(sorted(os.listdir('..')))
"#;
    let out = scene.ok(&["run", "--", interpreter(), "-c", program]);
    assert_eq!(out, "['a2', 'b3', 'c2', 'd']\n");
}

#[test]
fn with_files_that_are_open_meanwhile() {
    let scene = Scene::with("mkdir dir; echo one > dir/f");
    let program = r#"
import os
f = open('dir/f', 'r+')
os.rename('dir', 'moved')
assert f.read() == 'one\n'
f.close()
with open('moved/f', 'a') as g: g.write('two\n')
assert open('moved/f').read() == 'one\ntwo\n'
"#;
    scene.ok(&["run", "--", interpreter(), "-c", program]);
    scene.ok(&["commit"]);
    assert_eq!(scene.read("moved/f"), "one\ntwo\n");
}

#[test]
fn a_folder_made_inside_is_renamed_cheaply_and_rightly() {
    let scene = Scene::new();
    scene.inside("mkdir new; echo x > new/f; mv new newer; mkdir -p t/u; mv t/u newer/u; rmdir t");
    assert_eq!(scene.changes(), ["added newer", "added newer/f", "added newer/u"]);
}

#[test]
fn with_a_closed_entry_it_is_told_and_nothing_is_lost() {
    if crate::support::is_root() {
        return crate::support::skipped("root reads every file");
    }
    let scene =
        Scene::with("mkdir dir; echo x > dir/closed; chmod 0 dir/closed; echo y > dir/open");
    let program = r#"
import os
try: os.rename('dir', 'moved')
except OSError as e: print('refused', e.errno)
print(sorted(os.listdir('.')), sorted(os.listdir('moved' if os.path.exists('moved') else 'dir')))
"#;
    let out = scene.ok(&["run", "--", interpreter(), "-c", program]);
    assert!(out.contains("['closed', 'open']"), "{out}");
    assert!(!out.contains("ctrlz-rename"), "{out}");
}
