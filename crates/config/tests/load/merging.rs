//! Which source wins, and what is said of it.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use crate::scene::{Scene, below_home};
use ctrlz_config::{EmergencyStart, KeyPattern, KeySource, Limit, Profile, ValidationLevel};
use ctrlz_core::isolation::Network;
use ctrlz_core::limits::Limits;
use ctrlz_core::size::ByteSize;
use ctrlz_core::span::Span;

#[test]
fn without_files_the_defaults_hold() {
    let scene = Scene::new();
    let config = scene.load();
    assert_eq!(config.profile, Profile::Development);
    assert_eq!(config.limits, Limits::default());
    assert_eq!(config.network, Network::None);
    assert!(config.snapshot && !config.commit);
    assert!(config.hidden.contains(&below_home(&scene, ".ssh")));
    assert!(config.env.is_empty() && config.cap_add.is_empty() && config.files.is_empty());
    assert_eq!(config.security_config.validation_level, ValidationLevel::Relaxed);
    assert_eq!(scene.entry("profile"), "development (built-in default)");
    assert_eq!(scene.entry("run.network"), "none (built-in default)");
    assert_eq!(scene.entry("run.memory"), "none (profile development)");
}

#[test]
fn patterns_of_sensitive_keys_add_up_and_the_key_is_hidden() {
    let scene = Scene::new()
        .etc("state: {sensitive: ['*token*'], key: {env: STATE_KEY}}")
        .user("state: {key: {file: ~/state.key}}")
        .project("state: {sensitive: [mine, '*token*']}");
    let config = scene.load();
    let patterns: Vec<&str> = config.sensitive.iter().map(KeyPattern::as_str).collect();
    assert_eq!(patterns, ["*token*", "mine"]);
    assert_eq!(config.state_key, Some(KeySource::File(below_home(&scene, "state.key"))));
    assert!(config.hidden.contains(&below_home(&scene, "state.key")));
    assert!(!config.env_passes(OsStr::new("STATE_KEY")));
    assert_eq!(
        scene.entry("state.key"),
        "file:TOP/home/state.key (TOP/home/.config/ctrlz/ctrlz.yaml:1)"
    );
    for text in ["state: {key: {file: a, env: B}}", "state: {key: {env: A, env: B}}"] {
        assert!(Scene::new().user(text).error().contains("key"), "{text}");
    }
}

#[test]
fn a_later_source_wins_key_by_key() {
    let mut scene = Scene::new().etc("run:\n  memory: 8G\n  pids: 400\n  cpus: 4\n");
    assert_eq!(scene.entry("run.memory"), "8G (TOP/etc/ctrlz.yaml:2)");
    scene = scene.user("run: {memory: 4G, pids: 300}");
    assert_eq!(scene.entry("run.memory"), "4G (TOP/home/.config/ctrlz/ctrlz.yaml:1)");
    scene = scene.project("\nrun: {memory: 2G}");
    assert_eq!(scene.entry("run.memory"), "2G (TOP/home/project/ctrlz.yaml:2)");
    scene = scene.flags(|flags| flags.memory = Some(Limit::At(ByteSize(16 << 30))));
    assert_eq!(scene.entry("run.memory"), "16G (flag --memory)");
    assert_eq!(scene.entry("run.pids"), "300 (TOP/home/.config/ctrlz/ctrlz.yaml:1)");
    assert_eq!(scene.entry("run.cpus"), "4 (TOP/etc/ctrlz.yaml:4)");
    let limits = scene.load().limits;
    assert_eq!(limits.memory, Some(ByteSize(16 << 30)));
    assert_eq!((limits.pids, limits.cpus), (Some(300), Some(4.0)));
    let files = [scene.places.etc.clone(), below_home(&scene, ".config/ctrlz/ctrlz.yaml")];
    assert_eq!(scene.load().files, [&files[..], &[scene.project_file()]].concat());
}

#[test]
fn none_lifts_a_limit() {
    let scene = Scene::new().etc("run: {memory: 8G, timeout: 1h}").user("run: {memory: none}");
    assert_eq!(scene.load().limits.memory, None);
    let scene = scene.flags(|flags| flags.timeout = Some(Limit::Lifted));
    assert_eq!(scene.load().limits.timeout, None);
}

#[test]
fn the_profile_is_the_flags_then_the_strongest_files() {
    let scene = Scene::new().etc("profile: testing");
    assert_eq!(scene.load().profile, Profile::Testing);
    let scene = scene.user("profile: production");
    assert_eq!(scene.entry("profile"), "production (TOP/home/.config/ctrlz/ctrlz.yaml:1)");
    assert_eq!(scene.entry("run.memory"), "2G (profile production)");
    let scene = scene.project("profile: high-security");
    assert_eq!(scene.load().profile, Profile::HighSecurity);
    assert_eq!(scene.entry("run.timeout"), "10m (profile high-security)");
    let scene = scene.flags(|flags| flags.profile = Some(Profile::Development));
    assert_eq!(scene.entry("profile"), "development (flag --profile)");
    assert_eq!(scene.load().limits, Limits::default());
}

/// The example of the architecture document, and every optional key.
const PRODUCTION: &str = "\
production:
  safety_constraints:
    max_snapshots: 21
    compress_snapshots: false
    encrypt_snapshots: false
    auto_cleanup_hours: none

  resource_limits:
    memory_mb: 2049
    cpu_percent: 150
    disk_mb: 4097
    pids: 99
    open_files: 98
    max_output_mb: 3
    timeout_seconds: 1.5

  monitoring_config:
    collection_interval: 16
    health_check_interval: 2m
    critical_thresholds:
      cpu_percent: 91
      memory_percent: 92

  security_config:
    validation_level: standard
    require_confirmation: false
    audit_logging: disabled
";

#[test]
fn a_profile_can_be_overridden_in_both_places() {
    let indented: String = PRODUCTION.lines().map(|line| format!("  {line}\n")).collect();
    for text in [PRODUCTION.to_owned(), format!("profiles:\n{indented}")] {
        let scene = Scene::new().user(&format!("{text}\nprofile: production"));
        let config = scene.load();
        let json = serde_json::to_value(&config).unwrap();
        assert_eq!(
            json["safety_constraints"],
            serde_json::json!({
                "max_snapshots": 21, "compress_snapshots": false, "encrypt_snapshots": false,
                "auto_cleanup_hours": null
            })
        );
        assert_eq!(
            config.limits,
            Limits {
                memory: Some(ByteSize(2049 << 20)),
                cpus: Some(1.5),
                disk: Some(ByteSize(4097 << 20)),
                pids: Some(99),
                open_files: Some(98),
                max_output: Some(ByteSize(3 << 20)),
                timeout: Some(Span(Duration::from_millis(1500))),
            }
        );
        assert_eq!(
            json["monitoring_config"],
            serde_json::json!({
                "collection_interval": 16.0, "health_check_interval": 120.0,
                "critical_thresholds": {
                    "cpu_percent": 91, "memory_percent": 92,
                    "disk_percent": 98, "inodes_percent": 98, "open_files_percent": 98,
                    "tasks_percent": 98
                }
            })
        );
        assert_eq!(
            json["security_config"],
            serde_json::json!({
                "validation_level": "standard", "require_confirmation": false,
                "audit_logging": "disabled"
            })
        );
        // Another profile is not touched by it.
        let other = scene.flags(|flags| flags.profile = Some(Profile::HighSecurity)).load();
        assert_eq!(other.limits.memory, Some(ByteSize(1 << 30)));
    }
}

#[test]
fn within_a_file_run_is_stronger_than_the_profile() {
    let scene = Scene::new().user(
        "run: {memory: 1G}\nprofile: testing\ntesting: {resource_limits: {memory_mb: 512, pids: 7}}",
    );
    assert_eq!(scene.load().limits.memory, Some(ByteSize(1 << 30)));
    assert_eq!(scene.load().limits.pids, Some(7));
}

#[test]
fn run_keys_take_units_and_plain_numbers() {
    let scene = Scene::new().user(
        "run:\n  network: host\n  timeout: 90\n  memory: 512M\n  cpus: 1.5\n  pids: 64\n  \
         disk: 1073741824\n  open_files: 256\n  max_output: 10MB\n  snapshot: false\n  commit: true\n",
    );
    let config = scene.load();
    assert_eq!(
        config.limits,
        Limits {
            memory: Some(ByteSize(512 << 20)),
            cpus: Some(1.5),
            pids: Some(64),
            disk: Some(ByteSize(1 << 30)),
            open_files: Some(256),
            max_output: Some(ByteSize(10_000_000)),
            timeout: Some(Span(Duration::from_secs(90))),
        }
    );
    assert_eq!(config.network, Network::Host);
    assert!(config.commit && !config.snapshot);
    assert_eq!(scene.entry("run.timeout"), "90s (TOP/home/.config/ctrlz/ctrlz.yaml:3)");
    assert_eq!(scene.entry("run.max_output"), "10000000 (TOP/home/.config/ctrlz/ctrlz.yaml:9)");
}

#[test]
fn hidden_paths_add_up() {
    let scene = Scene::new()
        .etc("run: {hidden: [/srv/keys, /srv/keys/]}")
        .user("run: {hidden: [~/vault, ~/.ssh]}")
        .project("run: {hidden: [.env]}")
        .flags(|flags| flags.hidden = vec![PathBuf::from("/x")]);
    let hidden = scene.load().hidden;
    let built_in = Scene::new().load().hidden.len();
    assert_eq!(
        hidden[built_in..],
        [
            PathBuf::from("/srv/keys"),
            below_home(&scene, "vault"),
            scene.places.workdir.join(".env"),
            PathBuf::from("/x"),
        ]
    );
    assert!(scene.entry("run.hidden").ends_with(
        "/srv/keys (TOP/etc/ctrlz.yaml:1), TOP/home/vault (TOP/home/.config/ctrlz/ctrlz.yaml:1), \
         TOP/home/project/.env (TOP/home/project/ctrlz.yaml:1), /x (flag --hide)"
    ));
}

#[test]
fn a_user_can_show_what_is_hidden() {
    let scene = Scene::new().user("run: {shown: [~/.ssh]}");
    assert!(!scene.load().hidden.contains(&below_home(&scene, ".ssh")));
    let aws = below_home(&scene, ".aws");
    assert!(scene.load().hidden.contains(&aws));
    let scene = scene.flags(|flags| flags.shown = vec![aws.clone()]);
    assert!(!scene.load().hidden.contains(&aws));
}

#[test]
fn without_a_home_nothing_is_hidden_below_it() {
    let mut scene = Scene::new();
    scene.places.home = None;
    assert!(scene.load().hidden.is_empty());
}

#[test]
fn variables_merge_by_name() {
    let scene = Scene::new()
        .etc("run: {env: {A: etc, B: etc}}")
        .project("run: {env: {B: 1, C: 'true', D: ''}}")
        .flags(|flags| flags.env = vec![("C".into(), "flag".into())]);
    let env = scene.load().env;
    let pair = |name: &str, value: &str| (OsString::from(name), OsString::from(value));
    let expected = [pair("A", "etc"), pair("B", "1"), pair("C", "flag"), pair("D", "")];
    assert_eq!(env.into_iter().collect::<Vec<_>>(), expected);
    assert_eq!(scene.entry("run.env.C"), "flag (flag --env)");
}

#[test]
fn the_last_rule_decides_whether_a_variable_is_passed() {
    let passes = |scene: &Scene, name: &str| scene.load().env_passes(OsStr::new(name));
    let scene = Scene::new();
    assert!(passes(&scene, "GH_TOKEN"));
    let scene = scene.etc("profile: testing");
    assert!(!passes(&scene, "GH_TOKEN") && passes(&scene, "CC"));
    let scene = scene.user("run: {env_pass: [GH_TOKEN], env_deny: ['GH_*']}");
    assert!(passes(&scene, "GH_TOKEN") && !passes(&scene, "GH_HOST"));
    let scene = scene.project("run: {env_deny: ['*'], env_pass: [CC]}");
    assert!(!passes(&scene, "GH_TOKEN") && passes(&scene, "CC") && !passes(&scene, "LD"));
    assert!(scene.entry("run.env_pass").contains("GH_TOKEN (TOP/home/.config"));
}

#[test]
fn a_stronger_file_replaces_the_capabilities_and_a_flag_adds() {
    let names = |scene: &Scene| scene.load().cap_add.iter().map(|c| c.name()).collect::<Vec<_>>();
    let scene = Scene::new().etc("run: {cap_add: [KILL, chown]}");
    assert_eq!(names(&scene), ["KILL", "CHOWN"]);
    let scene = scene.user("run: {cap_add: [CAP_MKNOD]}");
    assert_eq!(names(&scene), ["MKNOD"]);
    let scene = scene.flags(|flags| flags.cap_add = vec!["KILL".parse().unwrap()]);
    assert_eq!(names(&scene), ["MKNOD", "KILL"]);
    let scene = scene.project("run: {cap_add: []}");
    assert_eq!(names(&scene), ["KILL"]);
}

#[test]
fn the_projects_file_is_the_nearest_below_git_or_home() {
    let mut scene = Scene::new();
    let home_file = below_home(&scene, "ctrlz.yaml");
    std::fs::write(&home_file, "run: {pids: 5}").unwrap();
    let deep = scene.places.workdir.join("a/b");
    std::fs::create_dir_all(&deep).unwrap();
    scene.places.workdir.clone_from(&deep);
    // `.git` is in `project`, so home's file is another's.
    assert_eq!(scene.load().limits.pids, None);
    std::fs::write(deep.join("../../ctrlz.yaml"), "run: {pids: 6}").unwrap();
    assert_eq!(scene.load().limits.pids, Some(6));
    std::fs::write(deep.join("../ctrlz.yaml"), "run: {pids: 7}").unwrap();
    assert_eq!(scene.load().limits.pids, Some(7));
    // Without a repository the search ends at home, which counts.
    scene.places.workdir = below_home(&scene, "elsewhere/deep");
    std::fs::create_dir_all(&scene.places.workdir).unwrap();
    assert_eq!(scene.load().files, [home_file]);
    std::fs::write(scene.top().join("ctrlz.yaml"), "run: {pids: 8}").unwrap();
    std::fs::remove_file(below_home(&scene, "ctrlz.yaml")).unwrap();
    assert_eq!(scene.load().limits.pids, None);
}

#[test]
fn the_users_file_is_not_read_again_as_a_projects() {
    let mut scene = Scene::new().user("run: {env: {PATH: /opt/bin}, network: host}");
    scene.places.workdir = below_home(&scene, ".config/ctrlz");
    assert_eq!(scene.load().files.len(), 1);
    assert_eq!(scene.load().network, Network::Host);
}

#[test]
fn empty_files_and_sections_are_fine() {
    for text in ["", "# nothing\n", "run:\n", "profiles:\n  production:\n", "---\n"] {
        let scene = Scene::new().project(text);
        assert_eq!(scene.load().limits, Limits::default(), "{text:?}");
    }
}

#[test]
fn json_names_values_and_sources() {
    let scene = Scene::new().user("run:\n  memory: 1G\n");
    let entries = serde_json::to_value(scene.load().entries()).unwrap();
    let memory =
        entries.as_array().unwrap().iter().find(|entry| entry["key"] == "run.memory").unwrap();
    let path = below_home(&scene, ".config/ctrlz/ctrlz.yaml");
    let source = serde_json::json!({"kind": "file", "path": path, "line": 2, "column": 11});
    assert_eq!(*memory, serde_json::json!({"key": "run.memory", "value": "1G", "source": source}));
    assert_eq!(entries[0]["source"], serde_json::json!({"kind": "default"}));
    let config = serde_json::to_value(scene.load()).unwrap();
    assert_eq!(config["limits"]["memory"], 1 << 30);
    assert_eq!(config["profile"], "development");
}

#[test]
fn names_that_are_not_utf8_survive() {
    use std::os::unix::ffi::OsStringExt;
    let mut scene = Scene::new();
    let folder = scene.top().join(OsString::from_vec(b"\xff".to_vec()));
    std::fs::create_dir(&folder).unwrap();
    scene.places.workdir.clone_from(&folder);
    std::fs::write(folder.join("ctrlz.yaml"), "run: {hidden: [x]}").unwrap();
    let config = scene.load();
    assert_eq!(config.hidden.last(), Some(&folder.join("x")));
    let json = serde_json::to_value(&config).unwrap();
    assert!(json["files"][0]["bytes"].is_array());
}

#[test]
fn the_documented_example_loads() {
    let scene = Scene::new().user(include_str!("../../ctrlz.example.yaml"));
    let config = scene.load();
    assert_eq!(config.profile, Profile::Testing);
    assert_eq!(config.limits.max_output, None);
    assert!(!config.env_passes(OsStr::new("MY_KEY")) && config.env_passes(OsStr::new("MY_EDITOR")));
    let scene = scene.flags(|flags| flags.profile = Some(Profile::Production));
    assert_eq!(scene.load().safety_constraints.auto_cleanup_hours, Some(72));
}

#[test]
fn what_follows_from_what_is_seen_is_read() {
    let scene = Scene::new().user(
        "monitoring:
  {remedies: false, remedy_interval: 2m, stuck_after: 3m, read_only_below: 1M,
   history: {samples: 4m, minutes: 5h, hours: 6d}}
recovery: {emergency: auto, watched: 3}",
    );
    let config = scene.load();
    let monitoring = config.monitoring;
    let seconds = |span: Span| span.0.as_secs();
    assert!(!monitoring.remedies);
    assert_eq!([seconds(monitoring.remedy_interval), seconds(monitoring.stuck_after)], [120, 180]);
    assert_eq!(monitoring.read_only_below, Some(ByteSize(1 << 20)));
    let history = monitoring.history;
    let ages = [history.samples, history.minutes, history.hours].map(seconds);
    assert_eq!(ages, [240, 5 * 3600, 6 * 86400]);
    assert_eq!((config.recovery.emergency, config.recovery.watched), (EmergencyStart::Auto, 3));
}
