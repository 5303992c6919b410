// A disk that is slow or fails, for one process: loaded before the C library (LD_PRELOAD), it delays or refuses the calls that
// make writes durable, as the file named by DISK_FAULT says at that moment: "slow MILLISECONDS" or "fail".

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

// 0, or -1 with errno as a failing disk gives.
static int suffer(void) {
    const char *path = getenv("DISK_FAULT");
    if (!path) return 0;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return 0;
    char said[64] = {0};
    ssize_t length = read(file, said, sizeof said - 1);
    close(file);
    if (length <= 0) return 0;
    long slow_ms = 0;
    if (strncmp(said, "fail", 4) == 0) {
        errno = EIO;
        return -1;
    }
    if (sscanf(said, "slow %ld", &slow_ms) == 1) {
        struct timespec pause = {slow_ms / 1000, (slow_ms % 1000) * 1000000L};
        nanosleep(&pause, NULL);
    }
    return 0;
}

int fsync(int file) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    return suffer() ? -1 : real(file);
}

int fdatasync(int file) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    return suffer() ? -1 : real(file);
}
