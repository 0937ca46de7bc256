/* Notes how long a file was when it was last flushed to disk: all that a power cut would leave.

   The length is read before the flush begins, so what is written meanwhile does not count. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static void note(int file, long long length) {
    char link[64], path[4096], line[4200];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t size = readlink(link, path, sizeof path - 1);
    const char *log = getenv("FSYNC_LOG");
    if (size < 0 || !log) return;
    path[size] = 0;
    int out = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (out < 0) return;
    int wrote = snprintf(line, sizeof line, "%lld %s\n", length, path);
    if (write(out, line, wrote) < 0) abort();
    close(out);
}

static int flush(const char *name, int file) {
    struct stat before;
    int known = fstat(file, &before);
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    int answer = real(file);
    if (answer == 0 && known == 0 && S_ISREG(before.st_mode)) note(file, before.st_size);
    return answer;
}

int fsync(int file) { return flush("fsync", file); }
int fdatasync(int file) { return flush("fdatasync", file); }
