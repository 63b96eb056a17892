// The floor: what the kernel alone needs to start one isolated command. One clone3 with all the
// namespaces that ctrlz uses, id maps, one overlay mount that writes to memory, Landlock, exec; then
// wait. No root of its own, no /proc, no seccomp, no limits, no journal, no snapshot.
//
// floor LOWER SCRATCH MERGED PROGRAM [ARGUMENT...]     (three folders; SCRATCH and MERGED empty)
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef CLONE_NEWCGROUP
#define CLONE_NEWCGROUP 0x02000000
#endif

static void fail(const char *what) {
    fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
    _exit(125);
}

static void put(const char *path, const char *text) {
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, text, strlen(text)) < 0) fail(path);
    close(fd);
}

// Reading and executing anywhere, writing below one folder.
static void landlock(const char *writable) {
    const uint64_t reading = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE |
                             LANDLOCK_ACCESS_FS_READ_DIR;
    const uint64_t all = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1;
    struct landlock_ruleset_attr attr = {.handled_access_fs = all};
    int rules = syscall(SYS_landlock_create_ruleset, &attr, sizeof attr, 0);
    if (rules < 0) fail("landlock_create_ruleset");
    const char *paths[] = {"/", writable};
    const uint64_t access[] = {reading, all};
    for (int i = 0; i < 2; i++) {
        struct landlock_path_beneath_attr rule = {.allowed_access = access[i]};
        rule.parent_fd = open(paths[i], O_PATH | O_CLOEXEC);
        if (rule.parent_fd < 0) fail(paths[i]);
        if (syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0))
            fail("landlock_add_rule");
        close(rule.parent_fd);
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) fail("no_new_privs");
    if (syscall(SYS_landlock_restrict_self, rules, 0)) fail("landlock_restrict_self");
    close(rules);
}

int main(int argc, char **argv) {
    if (argc < 5) return 2;
    char map[64], options[4096];
    unsigned uid = geteuid(), gid = getegid();
    struct clone_args args = {
        .flags = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC |
                 CLONE_NEWUTS | CLONE_NEWCGROUP,
        .exit_signal = SIGCHLD,
    };
    pid_t pid = syscall(SYS_clone3, &args, sizeof args);
    if (pid < 0) fail("clone3");
    if (pid == 0) {
        put("/proc/self/setgroups", "deny");
        snprintf(map, sizeof map, "%u %u 1", uid, uid);
        put("/proc/self/uid_map", map);
        snprintf(map, sizeof map, "%u %u 1", gid, gid);
        put("/proc/self/gid_map", map);
        if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL)) fail("private mounts");
        if (mount("tmpfs", argv[2], "tmpfs", MS_NOSUID | MS_NODEV, NULL)) fail("tmpfs");
        if (chdir(argv[2])) fail(argv[2]);
        if (mkdir("upper", 0700) || mkdir("work", 0700)) fail("mkdir");
        snprintf(options, sizeof options,
                 "lowerdir=%s,upperdir=upper,workdir=work,userxattr,volatile", argv[1]);
        if (mount("overlay", argv[3], "overlay", MS_NOSUID | MS_NODEV, options)) fail("overlay");
        if (chdir(argv[3])) fail(argv[3]);
        landlock(argv[3]);
        execv(argv[4], argv + 4);
        fail(argv[4]);
    }
    int status;
    if (waitpid(pid, &status, 0) < 0) fail("wait");
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
