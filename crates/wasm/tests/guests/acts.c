/* A guest that does one thing, named by its first argument, and writes what came of it to ./told. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static FILE *told;

static void tell(const char *what, int worked) {
    fprintf(told, "%s: %s\n", what, worked ? "done" : strerror(errno));
}

static void try_to_read(const char *path) {
    errno = 0;
    int file = open(path, O_RDONLY);
    tell(path, file >= 0);
    if (file >= 0) close(file);
}

int main(int count, char **words) {
    const char *act = count > 1 ? words[1] : "";
    told = fopen("told", "w");
    if (!told) return 100;
    if (!strcmp(act, "hello")) {
        fprintf(told, "%s %s\n", words[2], getenv("GREETED"));
        return 7;
    } else if (!strcmp(act, "read")) {
        for (int at = 2; at < count; at++) try_to_read(words[at]);
    } else if (!strcmp(act, "escape")) {
        /* Through a link that the guest makes itself, and by renaming. */
        tell("link", symlink("../../../../etc", "out") == 0);
        try_to_read("out/passwd");
        tell("absolute link", symlink("/etc/passwd", "absolute") == 0);
        try_to_read("absolute");
        tell("hard link", link("../outside", "hard") == 0);
        tell("rename", rename("told", "../told") == 0);
        tell("folder", mkdir("../folder", 0700) == 0);
        tell("remove", unlink("../outside") == 0);
        tell("list", opendir("..") != NULL);
    } else if (!strcmp(act, "write")) {
        FILE *file = fopen(words[2], "w");
        tell("write", file != NULL);
    } else {
        return 101;
    }
    return fclose(told) ? 102 : 0;
}
