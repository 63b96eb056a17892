//! What is refused, and how it is told.

use crate::scene::{Scene, below_home};

/// The error for a user's file, without its path.
#[track_caller]
fn error(text: &str) -> String {
    let error = Scene::new().user(text).error();
    error.strip_prefix("TOP/home/.config/ctrlz/ctrlz.yaml").unwrap_or(&error).to_owned()
}

#[test]
fn unknown_keys_come_with_a_suggestion() {
    for (text, message) in [
        ("run:\n  netwrok: host\n", ":2:3: run.netwrok: unknown key; did you mean `network`?"),
        ("state: {sensitiv: []}", ":1:9: state.sensitiv: unknown key; did you mean `sensitive`?"),
        (
            "state: {key: {vault: x}}",
            ":1:15: state.key.vault: unknown key; known here: file, env, command, keyring",
        ),
        ("runn: {}", ":1:1: runn: unknown key; did you mean `run`?"),
        ("memory: 1G", ":1:1: memory: unknown key; did you mean `run.memory`?"),
        (
            "resource_limits: {}",
            ":1:1: resource_limits: unknown key; it belongs to a profile, such as \
             `production.resource_limits`",
        ),
        ("profiles: {prod: {}}", ":1:12: profiles.prod: unknown key; did you mean `production`?"),
        (
            "production:\n  resource_limits:\n    memory-mb: 1\n",
            ":3:5: production.resource_limits.memory-mb: unknown key; did you mean `memory_mb`?",
        ),
        (
            "production: {security_config: {zzz: 1}}",
            ":1:32: production.security_config.zzz: unknown key; known here: validation_level, \
             require_confirmation, audit_logging",
        ),
        (
            "testing: {monitoring_config: {critical_thresholds: {cpu: 1}}}",
            ":1:53: testing.monitoring_config.critical_thresholds.cpu: unknown key; did you mean \
             `cpu_percent`?",
        ),
        (
            "run: {'a\\e': 1, \"\\e[2J\": 1}",
            ":1:7: run.a\\e: unknown key; known here: network, isolation, \
          workspace, timeout, memory, cpus, pids, disk, open_files, max_output, hidden, shown, env, env_pass, \
          env_deny, cap_add, snapshot, commit",
        ),
    ] {
        assert_eq!(error(text), message, "{text}");
    }
    assert!(error("\"\\e[2J\": 1").starts_with(":1:1: \\u{1b}[2J: unknown key"));
}

#[test]
fn wrong_types_name_the_key() {
    for (text, message) in [
        ("- run", ":1:1: the document: expected a mapping, found a list"),
        ("run: fast", ":1:6: run: expected a mapping, found a word or number"),
        (
            "run:\n  memory: [1]\n",
            ":2:11: run.memory: expected a size such as 512M, or none, found a list",
        ),
        ("run: {network: {}}", ":1:16: run.network: expected none or host, found a mapping"),
        ("state: [x]", ":1:8: state: expected a mapping, found a list"),
        (
            "state: {sensitive: x}",
            ":1:20: state.sensitive: expected a list, found a word or number",
        ),
        ("state: {key: x}", ":1:14: state.key: expected a mapping, found a word or number"),
        (
            "state: {key: {command: [x]}}",
            ":1:24: state.key.command: expected a command of the shell, found a list",
        ),
        ("run: {hidden: ~/.x}", ":1:15: run.hidden: expected a list, found a word or number"),
        ("run: {hidden: [[]]}", ":1:16: run.hidden[0]: expected a path, found a list"),
        ("run: {commit: yes}", ":1:15: run.commit: expected true or false, found a word or number"),
        ("run: {commit: 'true'}", ":1:15: run.commit: expected true or false, found a quoted text"),
        (
            "run: {env: {A: ~}}",
            ":1:16: run.env.A: expected a text ('' for the empty one), found nothing",
        ),
        ("run: {env: [A=1]}", ":1:12: run.env: expected a mapping, found a list"),
        ("profile:\n", ":1:8: profile: expected a profile, found nothing"),
    ] {
        assert_eq!(error(text), message, "{text}");
    }
}

#[test]
fn bad_values_name_the_key() {
    for (text, message) in [
        (
            "profiles:\n  production:\n    resource_limits:\n      memory_mb: 2GB\n",
            ":4:18: profiles.production.resource_limits.memory_mb: `2GB` is not a whole number, \
             or none",
        ),
        (
            "profile: prod",
            ":1:10: profile: `prod` is none of development, testing, production, high-security; \
             did you mean `production`?",
        ),
        ("run: {network: bridge}", ":1:16: run.network: `bridge` is none of none, host"),
        (
            "run: {memory: lots}",
            ":1:15: run.memory: `lots` is not a size: write a number of bytes, or one with K, M, \
             G or T, such as 512M, or none",
        ),
        ("run: {pids: 0}", ":1:13: run.pids: a limit must be above 0; write none for no limit"),
        ("run: {pids: -1}", ":1:13: run.pids: `-1` is not a whole number, or none"),
        ("run: {cpus: .inf}", ":1:13: run.cpus: `.inf` is not a number, or none"),
        (
            "run: {timeout: 1w}",
            ":1:16: run.timeout: `1w` is not a length of time: write seconds, or a number with \
             ms, s, m, h or d, or none",
        ),
        (
            "run: {cap_add: [KILL, ROOT]}",
            ":1:23: run.cap_add[1]: `ROOT` is not a capability: write one of capabilities(7), \
             such as NET_BIND_SERVICE",
        ),
        (
            "run: {hidden: [x]}",
            ":1:16: run.hidden[0]: `x` is relative; only a project's file may hold such, write \
             `/…` or `~/…` here",
        ),
        (
            "run: {env: {A=B: 1}}",
            ":1:18: run.env.A=B: the name of a variable may neither be empty nor hold `=` or NUL",
        ),
        ("run: {env: {A: \"\\0\"}}", ":1:16: run.env.A: the value of a variable may not hold NUL"),
        (
            "run: {env_deny: [A*B]}",
            ":1:18: run.env_deny[0]: `A*B` is not the name of a variable: `*` may stand only at \
             its start or its end, and it may hold neither `=` nor NUL",
        ),
        (
            "testing: {monitoring_config: {collection_interval: 0}}",
            ":1:52: testing.monitoring_config.collection_interval: `0` is less than a second",
        ),
        (
            "testing: {monitoring_config: {critical_thresholds: {cpu_percent: 101}}}",
            ":1:66: testing.monitoring_config.critical_thresholds.cpu_percent: `101` is not a \
             whole number from 1 to 100",
        ),
        (
            "testing: {security_config: {validation_level: stritc}}",
            ":1:47: testing.security_config.validation_level: `stritc` is none of relaxed, \
             standard, strict; did you mean `strict`?",
        ),
        (
            "testing: {security_config: {audit_logging: true}}",
            ":1:44: testing.security_config.audit_logging: `true` is none of disabled, enabled",
        ),
    ] {
        assert_eq!(error(text), message, "{text}");
    }
}

#[test]
fn a_key_stands_once() {
    for (text, message) in [
        ("run: {}\n\nrun: {}\n", ":3:1: run: already set in line 1"),
        ("run:\n  pids: 1\n  pids: 2\n", ":3:3: run.pids: already set in line 2"),
        ("run: {env: {A: 1, A: 2}}", ":1:19: run.env.A: already set in line 1"),
        (
            "production: {resource_limits: {pids: 1}}\n\
             profiles: {production: {resource_limits: {pids: 2}}}\n",
            ":2:43: profiles.production.resource_limits.pids: already set in line 1",
        ),
    ] {
        assert_eq!(error(text), message, "{text}");
    }
}

#[test]
fn syntax_errors_name_line_and_column() {
    assert_eq!(error("run:\n  env: {A: 1\n"), ":2:8: unclosed bracket '{'");
    assert_eq!(error("run:\n\tpids: 1\n").split(": ").next(), Some(":2:2"));
    assert!(error("a: b: c").starts_with(":1:5: mapping values are not allowed"));
    assert_eq!(error("x: &a [1]\ny: *a\n"), ":1:7: an anchor; there are no aliases to use it");
    assert_eq!(error("run: {}\n---\nrun: {}\n"), ":2:1: a second document; a configuration is one");
}

#[test]
fn a_file_that_is_not_utf8_is_told_by_position() {
    let scene = Scene::new().project(b"run:\n  # \xc3\xa9\xff\n");
    assert_eq!(scene.error(), "TOP/home/project/ctrlz.yaml:2:6: not UTF-8");
}

#[test]
fn a_huge_file_is_not_read() {
    let fits = vec![b'#'; 1 << 20];
    let too_large = vec![b'#'; (1 << 20) + 1];
    assert!(Scene::new().project(fits).try_load().is_ok());
    assert_eq!(
        Scene::new().project(too_large).error(),
        "TOP/home/project/ctrlz.yaml is larger than 1 MiB, the most that a configuration file may \
         have"
    );
    // A sparse file takes no room and says that it has terabytes.
    let scene = Scene::new().project("");
    let file = std::fs::OpenOptions::new().write(true).open(scene.project_file()).unwrap();
    file.set_len(1 << 40).unwrap();
    assert!(scene.error().contains("larger than 1 MiB"));
}

#[test]
fn what_is_no_file_is_told_without_waiting() {
    let scene = Scene::new();
    std::fs::create_dir(scene.project_file()).unwrap();
    assert_eq!(scene.error(), "TOP/home/project/ctrlz.yaml is a directory, not a regular file");
    let fifo = Scene::new();
    rustix::fs::mkfifoat(rustix::fs::CWD, fifo.project_file(), 0o600.into()).unwrap();
    assert_eq!(fifo.error(), "TOP/home/project/ctrlz.yaml is a FIFO, not a regular file");
    for (target, found) in [("/dev/zero", "a device"), ("/proc", "a directory")] {
        let scene = Scene::new();
        std::os::unix::fs::symlink(target, scene.places.user.as_ref().unwrap()).unwrap();
        assert_eq!(
            scene.error(),
            format!("TOP/home/.config/ctrlz/ctrlz.yaml is {found}, not a regular file")
        );
    }
    let socket = Scene::new();
    let _listener = std::os::unix::net::UnixListener::bind(socket.project_file()).unwrap();
    assert_eq!(socket.error(), "TOP/home/project/ctrlz.yaml is a socket, not a regular file");
}

#[test]
fn links_are_followed_and_must_lead_somewhere() {
    let scene = Scene::new();
    let user = scene.places.user.clone().unwrap();
    let dotfiles = below_home(&scene, "dotfiles.yaml");
    std::os::unix::fs::symlink(&dotfiles, &user).unwrap();
    assert_eq!(
        scene.error(),
        "cannot read TOP/home/.config/ctrlz/ctrlz.yaml: No such file or directory (os error 2)"
    );
    std::fs::write(&dotfiles, "run: {pids: 3}").unwrap();
    assert_eq!(scene.load().limits.pids, Some(3));
    std::fs::remove_file(&user).unwrap();
    std::os::unix::fs::symlink(&user, &user).unwrap();
    assert!(scene.error().contains("Too many levels of symbolic links"));
}

#[test]
fn an_unreadable_file_is_an_error() {
    use std::os::unix::fs::PermissionsExt;
    let scene = Scene::new().project("run: {}");
    let nobody = std::fs::Permissions::from_mode(0o000);
    std::fs::set_permissions(scene.project_file(), nobody).unwrap();
    if std::fs::File::open(scene.project_file()).is_ok() {
        println!("SKIPPED(root reads every file)");
        return;
    }
    assert_eq!(
        scene.error(),
        "cannot read TOP/home/project/ctrlz.yaml: Permission denied (os error 13)"
    );
}

#[test]
fn a_file_in_place_of_a_folder_means_no_configuration() {
    let mut scene = Scene::new();
    std::fs::write(scene.top().join("plain"), "").unwrap();
    scene.places.etc = scene.top().join("plain/ctrlz.yaml");
    assert!(scene.load().files.is_empty());
}

#[test]
fn many_values_and_deep_nesting_end_early() {
    let many = format!("run: {{hidden: [{}]}}", "/x,".repeat(100_000));
    assert!(error(&many).ends_with("more values than a configuration can have"));
    assert!(error(&"[".repeat(1 << 19)).ends_with("recursion limit exceeded"));
}
