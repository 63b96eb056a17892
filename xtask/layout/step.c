/* Runs a program step by step and prints, in hexadecimal and in the order in which they were first
 * reached, the places of its text that were executed, by it or by the processes that it cloned: their
 * distance from where the program is loaded, to 8 bytes. What executes another program is left alone
 * from there on.
 *
 *   step FILE PROGRAM ARGUMENT...      prints into FILE
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#define PLACES (1 << 22)

static unsigned char reached[PLACES];

static void loaded_at(pid_t process, const char *program, unsigned long *from, unsigned long *to) {
    char path[64], line[1024];
    snprintf(path, sizeof path, "/proc/%d/maps", process);
    FILE *maps = fopen(path, "r");
    unsigned long low, high;
    *from = *to = 0;
    while (maps && fgets(line, sizeof line, maps)) {
        if (strstr(line, program) && sscanf(line, "%lx-%lx", &low, &high) == 2) {
            if (!*from)
                *from = low;
            *to = high;
        }
    }
    if (maps)
        fclose(maps);
}

int main(int count, char **words) {
    if (count < 3)
        return 2;
    FILE *out = fopen(words[1], "w");
    pid_t first = fork();
    if (first == 0) {
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        execv(words[2], words + 2);
        _exit(127);
    }
    int status;
    if (!out || waitpid(first, &status, 0) < 0 || !WIFSTOPPED(status))
        return 1;
    ptrace(PTRACE_SETOPTIONS, first, 0,
           PTRACE_O_EXITKILL | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK |
               PTRACE_O_TRACEEXEC);
    unsigned long from, to;
    loaded_at(first, words[2], &from, &to);
    pid_t stopped = first;
    for (;;) {
        int event = status >> 16, number = WSTOPSIG(status);
        if (event == PTRACE_EVENT_EXEC && stopped != first) {
            ptrace(PTRACE_DETACH, stopped, 0, 0);
        } else {
            unsigned long ip =
                ptrace(PTRACE_PEEKUSER, stopped, offsetof(struct user_regs_struct, rip), 0);
            unsigned long place = (ip - from) >> 3;
            if (ip >= from && ip < to && place < PLACES && !reached[place]) {
                reached[place] = 1;
                fprintf(out, "%lx\n", place << 3);
            }
            /* A process that was just cloned is stopped by SIGSTOP once. */
            int pass = number == SIGTRAP || number == SIGSTOP ? 0 : number;
            ptrace(PTRACE_SINGLESTEP, stopped, 0, pass);
        }
        do
            stopped = waitpid(-1, &status, __WALL);
        while (stopped > 0 && !WIFSTOPPED(status));
        if (stopped < 0)
            return errno == ECHILD && fclose(out) == 0 ? 0 : 1;
    }
}
