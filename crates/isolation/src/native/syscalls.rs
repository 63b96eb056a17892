//! Which system calls a sandboxed program may make.
//!
//! The list holds what ordinary programs, compilers, package managers, databases and debuggers
//! use. A call that is known and refused fails with `EPERM`; one that is not in the list at all
//! with `ENOSYS`, so that a C library falls back to an older one.

use ctrlz_sys::rename::MARK;
use ctrlz_sys::seccomp::{Action, ArgumentTest, Rule};

/// The answer to every system call that is not listed.
pub(crate) const UNKNOWN: Action = Action::Errno(libc::ENOSYS as u16);

const REFUSED: Action = Action::Errno(libc::EPERM as u16);

/// A system call's number, and its name with `SYS_` before it.
type Call = (libc::c_long, &'static str);

macro_rules! calls {
    ($($name:ident)*) => { &[$((libc::$name, stringify!($name))),*] };
}

/// Allowed everywhere.
const ALLOWED: &[Call] = calls![
    SYS_accept SYS_accept4 SYS_bind SYS_brk SYS_capget SYS_capset SYS_chdir
    SYS_chroot SYS_clock_getres SYS_clock_gettime SYS_clock_nanosleep SYS_close SYS_close_range
    SYS_connect SYS_copy_file_range SYS_dup SYS_dup3 SYS_epoll_create1 SYS_epoll_ctl
    SYS_epoll_pwait SYS_epoll_pwait2 SYS_eventfd2 SYS_execve SYS_execveat SYS_exit SYS_exit_group
    SYS_faccessat SYS_faccessat2 SYS_fadvise64 SYS_fallocate SYS_fchdir SYS_fchmod SYS_fchmodat
    SYS_fchmodat2 SYS_fchown SYS_fchownat SYS_fcntl SYS_fdatasync SYS_fgetxattr SYS_flistxattr
    SYS_flock SYS_fremovexattr SYS_fsetxattr SYS_fstat SYS_fstatfs SYS_fsync SYS_ftruncate
    SYS_futex SYS_futex_waitv SYS_get_mempolicy
    SYS_get_robust_list SYS_getcpu SYS_getcwd SYS_getdents64 SYS_getegid SYS_geteuid SYS_getgid
    SYS_getgroups SYS_getitimer SYS_getpeername SYS_getpgid SYS_getpid SYS_getppid SYS_getpriority
    SYS_getrandom SYS_getresgid SYS_getresuid SYS_getrlimit SYS_getrusage SYS_getsid
    SYS_getsockname SYS_getsockopt SYS_gettid SYS_gettimeofday SYS_getuid SYS_getxattr
    SYS_inotify_add_watch SYS_inotify_init1 SYS_inotify_rm_watch SYS_io_cancel SYS_io_destroy
    SYS_io_getevents SYS_io_setup SYS_io_submit SYS_ioprio_get SYS_ioprio_set
    SYS_kill SYS_landlock_add_rule SYS_landlock_create_ruleset SYS_landlock_restrict_self
    SYS_lgetxattr SYS_linkat SYS_listen SYS_listxattr SYS_llistxattr SYS_lremovexattr
    SYS_lseek SYS_lsetxattr SYS_madvise SYS_mbind SYS_membarrier SYS_memfd_create
    SYS_memfd_secret SYS_mincore SYS_mkdirat SYS_mknodat SYS_mlock SYS_mlock2 SYS_mlockall SYS_mmap
    SYS_mprotect SYS_mq_getsetattr SYS_mq_notify SYS_mq_open SYS_mq_timedreceive
    SYS_mq_timedsend SYS_mq_unlink SYS_mremap SYS_mseal SYS_msgctl SYS_msgget SYS_msgrcv
    SYS_msgsnd SYS_msync SYS_munlock SYS_munlockall SYS_munmap SYS_name_to_handle_at
    SYS_nanosleep SYS_newfstatat SYS_openat SYS_openat2 SYS_pidfd_getfd SYS_pidfd_open
    SYS_pidfd_send_signal SYS_pipe2 SYS_pkey_alloc SYS_pkey_free SYS_pkey_mprotect SYS_ppoll
    SYS_prctl SYS_pread64 SYS_preadv SYS_preadv2 SYS_prlimit64 SYS_process_madvise
    SYS_process_mrelease SYS_process_vm_readv SYS_process_vm_writev SYS_pselect6 SYS_ptrace
    SYS_pwrite64 SYS_pwritev SYS_pwritev2 SYS_read SYS_readahead SYS_readlinkat SYS_readv
    SYS_recvfrom SYS_recvmmsg SYS_recvmsg SYS_remap_file_pages SYS_removexattr
    SYS_restart_syscall SYS_rseq SYS_rt_sigaction SYS_rt_sigpending SYS_rt_sigprocmask
    SYS_rt_sigqueueinfo SYS_rt_sigreturn SYS_rt_sigsuspend SYS_rt_sigtimedwait
    SYS_rt_tgsigqueueinfo SYS_sched_get_priority_max SYS_sched_get_priority_min
    SYS_sched_getaffinity SYS_sched_getattr SYS_sched_getparam SYS_sched_getscheduler
    SYS_sched_rr_get_interval SYS_sched_setaffinity SYS_sched_setattr SYS_sched_setparam
    SYS_sched_setscheduler SYS_sched_yield SYS_seccomp SYS_semctl SYS_semget SYS_semop
    SYS_semtimedop SYS_sendfile SYS_sendmmsg SYS_sendmsg SYS_sendto SYS_set_mempolicy
    SYS_set_mempolicy_home_node SYS_set_robust_list SYS_set_tid_address SYS_setfsgid SYS_setfsuid
    SYS_setgid SYS_setgroups SYS_setitimer SYS_setpgid SYS_setpriority SYS_setregid SYS_setresgid
    SYS_setresuid SYS_setreuid SYS_setrlimit SYS_setsid SYS_setsockopt SYS_setuid SYS_setxattr
    SYS_shmat SYS_shmctl SYS_shmdt SYS_shmget SYS_shutdown SYS_sigaltstack SYS_signalfd4
    SYS_socketpair SYS_splice SYS_statfs SYS_statx SYS_symlinkat SYS_sync SYS_sync_file_range
    SYS_syncfs SYS_sysinfo SYS_tee SYS_tgkill SYS_timer_create SYS_timer_delete
    SYS_timer_getoverrun SYS_timer_gettime SYS_timer_settime SYS_timerfd_create
    SYS_timerfd_gettime SYS_timerfd_settime SYS_times SYS_tkill SYS_truncate SYS_umask SYS_uname
    SYS_unlinkat SYS_utimensat SYS_vmsplice SYS_wait4 SYS_waitid SYS_write SYS_writev
];

/// Allowed, but newer than the `libc` crate's list. Their numbers are the same on all architectures
/// (from 403 up).
const ALLOWED_NEWER: &[Call] = &[
    (451, "SYS_cachestat"),
    (454, "SYS_futex_wake"),
    (455, "SYS_futex_wait"),
    (456, "SYS_futex_requeue"),
];

/// Calls that are allowed under conditions, or asked about.
const CONDITIONAL: &[Call] = calls![
    SYS_ioctl SYS_clone SYS_clone3 SYS_socket SYS_personality SYS_shmget SYS_sched_setaffinity
    SYS_renameat SYS_renameat2
];
#[cfg(target_arch = "x86_64")]
const CONDITIONAL_HERE: &[Call] = calls![SYS_rename];
#[cfg(not(target_arch = "x86_64"))]
const CONDITIONAL_HERE: &[Call] = &[];

/// The older calls of x86-64, which newer architectures never had.
#[cfg(target_arch = "x86_64")]
const ALLOWED_HERE: &[Call] = calls![
    SYS_access SYS_alarm SYS_arch_prctl SYS_chmod SYS_chown SYS_creat SYS_dup2 SYS_epoll_create
    SYS_epoll_ctl_old SYS_epoll_wait SYS_epoll_wait_old SYS_eventfd SYS_fork SYS_futimesat
    SYS_getdents SYS_getpgrp SYS_inotify_init SYS_lchown SYS_link SYS_lstat SYS_mkdir SYS_mknod
    SYS_open SYS_pause SYS_pipe SYS_poll SYS_readlink SYS_rmdir SYS_select SYS_signalfd SYS_stat
    SYS_symlink SYS_time SYS_unlink SYS_utime SYS_utimes SYS_vfork
];
#[cfg(not(target_arch = "x86_64"))]
const ALLOWED_HERE: &[Call] = &[];

/// Known, and refused: they change the host, or make privileges, or are a large attack surface.
const FORBIDDEN: &[Call] = calls![
    SYS_acct SYS_add_key SYS_adjtimex SYS_bpf SYS_clock_adjtime SYS_clock_settime
    SYS_delete_module SYS_fanotify_init SYS_fanotify_mark SYS_finit_module SYS_fsconfig SYS_fsmount
    SYS_fsopen SYS_fspick SYS_init_module SYS_io_uring_enter SYS_io_uring_register
    SYS_io_uring_setup SYS_kcmp SYS_kexec_load SYS_keyctl SYS_lookup_dcookie SYS_migrate_pages
    SYS_mount SYS_mount_setattr SYS_move_mount SYS_move_pages SYS_nfsservctl
    SYS_open_by_handle_at SYS_open_tree SYS_perf_event_open SYS_pivot_root SYS_quotactl
    SYS_quotactl_fd SYS_reboot SYS_request_key SYS_setdomainname SYS_sethostname SYS_setns
    SYS_settimeofday SYS_swapoff SYS_swapon SYS_syslog SYS_umount2 SYS_unshare SYS_userfaultfd
    SYS_vhangup
];
#[cfg(target_arch = "x86_64")]
const FORBIDDEN_HERE: &[Call] = calls![
    SYS__sysctl SYS_ioperm SYS_iopl SYS_kexec_file_load
    SYS_modify_ldt SYS_sysfs SYS_uselib SYS_ustat
];
#[cfg(not(target_arch = "x86_64"))]
const FORBIDDEN_HERE: &[Call] = &[];

/// The `CLONE_NEW*` bits, any of which makes clone(2) fail. `CLONE_NEWTIME` shares its bit with the
/// exit signal there, and is no flag of clone.
const NEW_NAMESPACE: u32 = (libc::CLONE_NEWUSER
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWCGROUP) as u32;

/// ioctls that type into a terminal, or look into the console.
const TERMINAL_INJECTION: &[u32] = &[libc::TIOCSTI as u32, libc::TIOCLINUX as u32];

/// Socket families for ordinary programs; the rest (packet, vsock, bluetooth, ...) are the
/// kernel's less travelled ways.
const FAMILIES: &[u32] =
    &[libc::AF_UNIX as u32, libc::AF_INET as u32, libc::AF_INET6 as u32, libc::AF_NETLINK as u32];

/// Execution domains that change nothing of importance (personality(2)): Linux, 32-bit names,
/// without address randomization (debuggers), and the query.
const DOMAINS: &[u32] = &[0x0, 0x8, 0x2_0000, 0x2_0008, 0x4_0000, 0xffff_ffff];

/// What some of the rules depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Circumstances {
    /// Process 1 is asked about renames.
    pub(crate) emulates_rename: bool,
    /// Memory is measured, not held by a cgroup. Then there is no System V shared memory, since
    /// a segment that no process has attached is seen by nobody who measures.
    pub(crate) measures_memory: bool,
    /// Processors are limited by affinity, which must not change.
    pub(crate) fixed_processors: bool,
}

/// The rules of a sandbox.
pub(crate) fn allowed(circumstances: Circumstances) -> Vec<Rule> {
    let mut rules: Vec<Rule> = Vec::with_capacity(420);
    rules.extend(
        ALLOWED
            .iter()
            .chain(ALLOWED_NEWER)
            .chain(ALLOWED_HERE)
            .map(|(number, _)| Rule::always(*number, Action::Allow)),
    );
    let forbidden = FORBIDDEN.iter().chain(FORBIDDEN_HERE);
    rules.extend(forbidden.map(|(number, _)| Rule::always(*number, REFUSED)));
    rules.push(Rule::when(
        libc::SYS_ioctl,
        ArgumentTest { argument: 1, mask: u32::MAX, values: TERMINAL_INJECTION },
        REFUSED,
        Action::Allow,
    ));
    rules.push(Rule::when(
        libc::SYS_clone,
        ArgumentTest { argument: 0, mask: NEW_NAMESPACE, values: &[0] },
        Action::Allow,
        REFUSED,
    ));
    rules.push(Rule::when(
        libc::SYS_socket,
        ArgumentTest { argument: 0, mask: u32::MAX, values: FAMILIES },
        Action::Allow,
        Action::Errno(libc::EAFNOSUPPORT as u16),
    ));
    rules.push(Rule::when(
        libc::SYS_personality,
        ArgumentTest { argument: 0, mask: u32::MAX, values: DOMAINS },
        Action::Allow,
        REFUSED,
    ));
    // clone3 hides its flags behind a pointer. C libraries fall back to clone on ENOSYS.
    rules.push(Rule::always(libc::SYS_clone3, UNKNOWN));
    if circumstances.measures_memory {
        rules.push(Rule::always(libc::SYS_shmget, Action::Errno(libc::ENOMEM as u16)));
    }
    if circumstances.fixed_processors {
        rules.push(Rule::always(libc::SYS_sched_setaffinity, REFUSED));
    }
    rules.extend(rename_rules(circumstances.emulates_rename));
    rules
}

/// The name of a call that the rules know.
pub(crate) fn name_of(number: u32) -> Option<&'static str> {
    let tables = [
        ALLOWED,
        ALLOWED_NEWER,
        ALLOWED_HERE,
        FORBIDDEN,
        FORBIDDEN_HERE,
        CONDITIONAL,
        CONDITIONAL_HERE,
    ];
    let found =
        tables.into_iter().flatten().find(|(known, _)| *known == libc::c_long::from(number));
    found.and_then(|(_, name)| name.strip_prefix("SYS_"))
}

/// The rules when the allow-list is switched off.
pub(super) fn rename_only() -> Vec<Rule> {
    rename_rules(true)
}

fn rename_rules(ask: bool) -> Vec<Rule> {
    let action = if ask { Action::Notify } else { Action::Allow };
    let marked = ArgumentTest { argument: 5, mask: u32::MAX, values: &[MARK] };
    vec![
        #[cfg(target_arch = "x86_64")]
        Rule::always(libc::SYS_rename, action),
        Rule::always(libc::SYS_renameat, action),
        Rule::when(libc::SYS_renameat2, marked, Action::Allow, action),
    ]
}

/// How a rename call passes its arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RenameKind {
    /// rename(old, new)
    Plain,
    /// renameat(old directory, old, new directory, new)
    At,
    /// renameat2, with flags
    At2,
}

/// Which rename call a number is.
pub(super) fn rename_kind(number: i32) -> Option<RenameKind> {
    match libc::c_long::from(number) {
        #[cfg(target_arch = "x86_64")]
        libc::SYS_rename => Some(RenameKind::Plain),
        libc::SYS_renameat => Some(RenameKind::At),
        libc::SYS_renameat2 => Some(RenameKind::At2),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_call_is_both_allowed_and_forbidden() {
        let forbidden: Vec<_> = FORBIDDEN.iter().chain(FORBIDDEN_HERE).collect();
        assert!(ALLOWED.iter().chain(ALLOWED_HERE).all(|n| !forbidden.contains(&n)));
    }

    #[test]
    fn every_call_of_the_rules_has_a_name() {
        let circumstances =
            Circumstances { emulates_rename: true, measures_memory: true, fixed_processors: true };
        let nameless =
            allowed(circumstances).into_iter().find(|rule| name_of(rule.number).is_none());
        assert_eq!(nameless, None);
        assert_eq!(name_of(libc::SYS_read as u32), Some("read"));
    }
}
