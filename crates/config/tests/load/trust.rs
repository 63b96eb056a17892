//! A project's file tightens and never loosens.

use crate::scene::{Scene, below_home};
use ctrlz_config::{Limit, Profile};
use ctrlz_core::isolation::Network;
use ctrlz_core::size::ByteSize;

/// A host with limits, under the strict profile.
fn strict() -> Scene {
    Scene::new().user(
        "profile: production\nrun: {timeout: 10m, pids: 100, open_files: 64, max_output: 1M}\n",
    )
}

#[test]
fn every_loosening_is_an_error_at_its_line() {
    for (text, message) in [
        (
            "run:\n  network: host\n",
            "2:12: run.network: a project's file may not loosen `none` (built-in default) to \
             `host`; to allow it, set it in TOP/home/.config/ctrlz/ctrlz.yaml or pass --network \
             host",
        ),
        (
            "run: {timeout: 1h}",
            "1:16: run.timeout: a project's file may not loosen `10m` \
             (TOP/home/.config/ctrlz/ctrlz.yaml:2) to `1h`; to allow it, set it in \
             TOP/home/.config/ctrlz/ctrlz.yaml or pass --timeout",
        ),
        (
            "run: {memory: none}",
            "1:15: run.memory: a project's file may not loosen `2G` (profile production) to \
             `none`; to allow it, set it in TOP/home/.config/ctrlz/ctrlz.yaml or pass --memory",
        ),
        (
            "profile: development",
            "1:10: profile: a project's file may not choose `development`, which is laxer than \
             `production` (TOP/home/.config/ctrlz/ctrlz.yaml:1); to allow it, set it in \
             TOP/home/.config/ctrlz/ctrlz.yaml or pass --profile",
        ),
        (
            "run: {shown: [~/.ssh/]}",
            "1:15: run.shown: a project's file may not show `TOP/home/.ssh`, which is hidden \
             (built-in default); to allow it, set it in TOP/home/.config/ctrlz/ctrlz.yaml or pass \
             --show",
        ),
        (
            "run:\n  cap_add:\n  - NET_ADMIN\n",
            "3:5: run.cap_add: a project's file may not add the capability `NET_ADMIN`; to allow \
             it, set it in TOP/home/.config/ctrlz/ctrlz.yaml or pass --cap-add",
        ),
        (
            "run: {env_pass: [GH_TOKEN]}",
            "1:18: run.env_pass: a project's file may not pass `GH_TOKEN` from the environment; \
             to allow it, set it in TOP/home/.config/ctrlz/ctrlz.yaml or pass --env-pass",
        ),
        (
            "state:\n  key: {command: ./steal}\n",
            "2:18: state.key: a project's file may not say where the key of encrypted state comes \
             from; to allow it, set it in TOP/home/.config/ctrlz/ctrlz.yaml or pass --with-key",
        ),
        (
            "run: {env: {PATH: ./bin}}",
            "1:19: run.env.PATH: a project's file may not set `PATH`, which decides what programs \
             run; to allow it, set it in TOP/home/.config/ctrlz/ctrlz.yaml or pass --env",
        ),
        (
            "production:\n  security_config:\n    require_confirmation: false\n",
            "3:27: security_config.require_confirmation: a project's file may not loosen `true` \
             (profile production) to `false`; to allow it, set it in \
             TOP/home/.config/ctrlz/ctrlz.yaml",
        ),
    ] {
        let scene = strict().project(text);
        let error = scene.error();
        assert_eq!(error, format!("TOP/home/project/ctrlz.yaml:{message}"), "{text}");
    }
}

#[test]
fn no_protection_can_be_loosened() {
    for (key, laxer) in [
        ("run.cpus", "run: {cpus: 64}"),
        ("run.cpus", "production: {resource_limits: {cpu_percent: 76}}"),
        ("run.memory", "profiles: {production: {resource_limits: {memory_mb: 2049}}}"),
        ("run.pids", "run: {pids: 101}"),
        ("run.pids", "run: {pids: none}"),
        ("run.disk", "run: {disk: 5G}"),
        ("run.open_files", "run: {open_files: 65}"),
        ("run.max_output", "run: {max_output: 2M}"),
        ("run.snapshot", "run: {snapshot: false}"),
        ("run.commit", "run: {commit: true}"),
        ("run.env_pass", "run: {env_pass: ['*']}"),
        ("run.env_pass", "run: {env_pass: ['CC*']}"),
        ("run.env.LD_PRELOAD", "run: {env: {LD_PRELOAD: ./x.so}}"),
        ("run.env.BASH_ENV", "run: {env: {BASH_ENV: ./x}}"),
        (
            "safety_constraints.max_snapshots",
            "production: {safety_constraints: {max_snapshots: 19}}",
        ),
        (
            "safety_constraints.auto_cleanup_hours",
            "production: {safety_constraints: {auto_cleanup_hours: 1}}",
        ),
        (
            "safety_constraints.encrypt_snapshots",
            "production: {safety_constraints: {encrypt_snapshots: false}}",
        ),
        ("monitoring.anomaly", "monitoring: {anomaly: off}"),
        ("monitoring.remedies", "monitoring: {remedies: false}"),
        ("monitoring.history.hours", "monitoring: {history: {hours: 1d}}"),
        ("monitoring.stuck_after", "monitoring: {stuck_after: 2m}"),
        ("monitoring.read_only_below", "monitoring: {read_only_below: none}"),
        ("recovery.watched", "recovery: {watched: 9}"),
        (
            "monitoring_config.collection_interval",
            "production: {monitoring_config: {collection_interval: 16}}",
        ),
        (
            "monitoring_config.health_check_interval",
            "production: {monitoring_config: {health_check_interval: 1h}}",
        ),
        (
            "monitoring_config.critical_thresholds.cpu_percent",
            "production: {monitoring_config: {critical_thresholds: {cpu_percent: 91}}}",
        ),
        (
            "monitoring_config.critical_thresholds.memory_percent",
            "production: {monitoring_config: {critical_thresholds: {memory_percent: 91}}}",
        ),
        (
            "security_config.validation_level",
            "production: {security_config: {validation_level: standard}}",
        ),
        (
            "security_config.audit_logging",
            "production: {security_config: {audit_logging: disabled}}",
        ),
    ] {
        let error = strict().project(laxer).error();
        let expected = format!(": {key}: a project's file may not ");
        assert!(error.contains(&expected), "{laxer}: {error}");
        // The user may write the very same.
        let profile = "profile: production\n";
        assert!(Scene::new().user(&format!("{profile}{laxer}")).try_load().is_ok(), "{laxer}");
        assert!(Scene::new().etc(&format!("{profile}{laxer}")).try_load().is_ok(), "{laxer}");
    }
}

#[test]
fn a_project_may_tighten() {
    for tighter in [
        "profile: high-security",
        "run: {network: none, snapshot: true, commit: false}",
        "run: {memory: 1G, cpus: 0.5, pids: 100, timeout: 1m, disk: 1G, open_files: 3}",
        "run: {hidden: [~/other, .env], env_deny: ['*'], cap_add: []}",
        "run: {env: {CC: clang}}",
        "production: {safety_constraints: {max_snapshots: none, compress_snapshots: false}}",
        "production: {monitoring_config: {collection_interval: 1, health_check_interval: 1}}",
        "production: {security_config: {validation_level: strict, audit_logging: enabled}}",
        "monitoring: {anomaly: rollback, read_only_below: 1G, stuck_after: 1s}",
        "recovery: {emergency: auto, watched: 20}",
        // The values of another profile are not in force.
        "testing: {resource_limits: {memory_mb: none}}",
    ] {
        let scene = strict().project(tighter);
        assert!(scene.try_load().is_ok(), "{tighter}: {}", scene.error());
    }
}

#[test]
fn where_nothing_is_limited_any_limit_tightens() {
    let scene = Scene::new().project("run: {memory: 900G, cpus: 64}");
    assert_eq!(scene.load().limits.memory, Some(ByteSize(900 << 30)));
}

#[test]
fn what_the_user_allows_a_project_may_say() {
    let scene = Scene::new()
        .user("run: {network: host, cap_add: [KILL], commit: true, memory: 8G, shown: [~/.ssh]}")
        .project(
            "run: {network: host, cap_add: [KILL], commit: true, memory: 8G, shown: [~/.ssh]}",
        );
    assert_eq!(scene.load().network, Network::Host);
}

#[test]
fn a_flag_decides_for_the_file() {
    let scene = strict().project(
        "profile: testing\nrun: {network: host, memory: 8G, cap_add: [KILL], shown: [~/.ssh], \
         env_pass: [GH_TOKEN], env: {PATH: /x}}",
    );
    assert!(scene.try_load().is_err());
    let ssh = below_home(&scene, ".ssh");
    let scene = scene.flags(|flags| {
        flags.profile = Some(Profile::Production);
        flags.network = Some(Network::None);
        flags.memory = Some(Limit::At(ByteSize(1 << 20)));
        flags.cap_add = vec!["KILL".parse().unwrap()];
        flags.shown = vec![ssh];
        flags.env_pass = vec!["GH_TOKEN".parse().unwrap()];
        flags.env = vec![("PATH".into(), "/bin".into())];
    });
    let config = scene.load();
    assert_eq!((config.profile, config.network), (Profile::Production, Network::None));
    assert_eq!(config.limits.memory, Some(ByteSize(1 << 20)));
}

#[test]
fn a_stricter_profile_may_not_bring_a_laxer_value() {
    // The user tightened development only; testing would give more memory.
    let scene = Scene::new()
        .user("development: {resource_limits: {memory_mb: 512}}")
        .project("\nprofile: testing");
    assert_eq!(
        scene.error(),
        "TOP/home/project/ctrlz.yaml:2:10: profile: a project's file may not choose `testing`, for \
         it would loosen `512M` (TOP/home/.config/ctrlz/ctrlz.yaml:1) to `4G` (profile testing) in \
         run.memory; to allow it, set it in TOP/home/.config/ctrlz/ctrlz.yaml or pass --profile"
    );
}

#[test]
fn a_project_may_carry_the_architectures_example() {
    let example = "
profile: production
production:
  safety_constraints:
    max_snapshots: 20
    compress_snapshots: true
    encrypt_snapshots: true
    auto_cleanup_hours: 72
  resource_limits:
    memory_mb: 2048
    cpu_percent: 75
    disk_mb: 4096
  monitoring_config:
    collection_interval: 15
    health_check_interval: 30
    critical_thresholds:
      cpu_percent: 90
      memory_percent: 90
  security_config:
    validation_level: strict
    require_confirmation: true
    audit_logging: enabled
";
    let scene = Scene::new().project(example);
    let config = scene.load();
    assert_eq!(config.safety_constraints.auto_cleanup_hours, Some(72));
    let shorter = example.replace("auto_cleanup_hours: 72", "auto_cleanup_hours: 71");
    let error = Scene::new().project(shorter).error();
    assert!(error.contains("loosen `168` (profile development) to `71`"), "{error}");
}

#[test]
fn without_a_users_file_the_hosts_is_named() {
    let mut scene = Scene::new().project("run: {network: host}");
    scene.places.user = None;
    assert!(scene.error().contains("set it in TOP/etc/ctrlz.yaml or"), "{}", scene.error());
}

#[test]
fn a_strangers_file_is_passed_over() {
    let scene = Scene::new().project("run: {pids: 7, env: {X: 1}}");
    let file = scene.project_file();
    let stranger = rustix::process::Uid::from_raw(54321);
    if rustix::fs::chown(&file, Some(stranger), None).is_err() {
        println!("SKIPPED(only root can give files away)");
        return;
    }
    let config = scene.load();
    assert_eq!((config.limits.pids, &config.env.is_empty()), (None, &true));
    assert_eq!(config.passed_over, [file]);
    // In the stranger's own folder it is the project's.
    rustix::fs::chown(&scene.places.workdir, Some(stranger), None).unwrap();
    assert_eq!(scene.load().limits.pids, Some(7));
}
