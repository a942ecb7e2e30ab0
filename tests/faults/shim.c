/* Makes writes or syncs of files beneath OPGATE_FAULT_DIR fail, as the file OPGATE_FAULT says:
 * "full": writes and allocations fail with ENOSPC; "fsync": syncs fail with EIO.
 * Anything else, or no such file: nothing fails. Loaded with LD_PRELOAD by tests/suite/faults.rs. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static int faulty(int fd, const char *kind) {
    const char *trigger = getenv("OPGATE_FAULT"), *dir = getenv("OPGATE_FAULT_DIR");
    char said[8] = {0}, link[32], path[4096];
    int kept = errno, file;
    ssize_t length;
    if (!trigger || !dir || (file = open(trigger, O_RDONLY | O_CLOEXEC)) < 0) {
        errno = kept;
        return 0;
    }
    length = read(file, said, sizeof said - 1);
    close(file);
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    length = length > 0 && !strcmp(said, kind) ? readlink(link, path, sizeof path - 1) : -1;
    errno = kept;
    return length >= (ssize_t)strlen(dir) && !strncmp(path, dir, strlen(dir));
}

#define FAULTY(name, kind, error, result, parameters, ...)                                         \
    result name parameters {                                                                       \
        static result(*real) parameters;                                                           \
        if (faulty(fd, kind)) {                                                                    \
            errno = error;                                                                         \
            return -1;                                                                             \
        }                                                                                          \
        if (!real) real = (result(*) parameters)dlsym(RTLD_NEXT, #name);                           \
        return real(__VA_ARGS__);                                                                  \
    }

#define FULL(name, parameters, ...) FAULTY(name, "full", ENOSPC, ssize_t, parameters, __VA_ARGS__)
FULL(write, (int fd, const void *bytes, size_t count), fd, bytes, count)
FULL(writev, (int fd, const struct iovec *bytes, int count), fd, bytes, count)
FULL(pwrite, (int fd, const void *bytes, size_t count, off_t at), fd, bytes, count, at)
FULL(pwrite64, (int fd, const void *bytes, size_t count, off64_t at), fd, bytes, count, at)
FAULTY(fallocate, "full", ENOSPC, int, (int fd, int mode, off_t at, off_t length), fd, mode, at, length)
FAULTY(fsync, "fsync", EIO, int, (int fd), fd)
FAULTY(fdatasync, "fsync", EIO, int, (int fd), fd)

/* Unlike the others it returns its error. */
int posix_fallocate(int fd, off_t at, off_t length) {
    static int (*real)(int, off_t, off_t);
    if (faulty(fd, "full")) return ENOSPC;
    if (!real) real = (int (*)(int, off_t, off_t))dlsym(RTLD_NEXT, "posix_fallocate");
    return real(fd, at, length);
}
