/* A disk that forgets what was not synced. Preloaded into a process, it copies a file into $POWERCUT_SHADOW whenever that file is fsynced; after
 * kill -9 the test puts the copies back, and everything else is gone: the state a power cut may leave. Deliberately pessimistic: no page that was
 * not synced survives. rename() carries the copy along, as a journalling file system does. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int shadow_path(const char *path, char *out, size_t size) {
    const char *shadow = getenv("POWERCUT_SHADOW"), *root = getenv("POWERCUT_ROOT");
    if (!shadow || !root || strncmp(path, root, strlen(root)) != 0) return 0;
    const char *name = strrchr(path, '/');
    return name && snprintf(out, size, "%s%s", shadow, name) < (int)size;
}

static void keep(int fd) {
    char link[64], path[PATH_MAX], copy[PATH_MAX], part[PATH_MAX], buffer[65536];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0) return;
    path[length] = 0;
    if (!shadow_path(path, copy, sizeof copy - 8)) return;
    snprintf(part, sizeof part, "%s.part", copy);
    int in = open(path, O_RDONLY), out = open(part, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (in < 0 || out < 0) abort(); /* a shim that cannot copy must not let the test pass */
    for (ssize_t n; (n = read(in, buffer, sizeof buffer)) > 0;)
        if (write(out, buffer, n) != n) abort();
    close(in);
    close(out);
    static int (*real_rename)(const char *, const char *);
    if (!real_rename) real_rename = dlsym(RTLD_NEXT, "rename");
    if (real_rename(part, copy) != 0) abort();
}

int fsync(int fd) {
    static int (*real)(int);
    if (!real) real = dlsym(RTLD_NEXT, "fsync");
    int result = real(fd);
    if (result == 0) keep(fd);
    return result;
}

int fdatasync(int fd) {
    static int (*real)(int);
    if (!real) real = dlsym(RTLD_NEXT, "fdatasync");
    int result = real(fd);
    if (result == 0) keep(fd);
    return result;
}

int rename(const char *from, const char *to) {
    static int (*real)(const char *, const char *);
    char a[PATH_MAX], b[PATH_MAX];
    if (!real) real = dlsym(RTLD_NEXT, "rename");
    int result = real(from, to);
    if (result == 0 && shadow_path(from, a, sizeof a) && shadow_path(to, b, sizeof b)) real(a, b);
    return result;
}

int unlink(const char *path) {
    static int (*real)(const char *);
    char copy[PATH_MAX];
    if (!real) real = dlsym(RTLD_NEXT, "unlink");
    int result = real(path);
    if (result == 0 && shadow_path(path, copy, sizeof copy)) real(copy);
    return result;
}
