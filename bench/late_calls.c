/* LD_PRELOAD: each stat, open and listing below LATE_FOLDER waits LATE_US microseconds, as on a mount of a file server.
 * Calls by a path are told by the path, calls by a descriptor by where it was opened. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int is_below(const char *path) {
  const char *folder = getenv("LATE_FOLDER");
  return folder != NULL && strncmp(path, folder, strlen(folder)) == 0;
}

static int is_late(int fd, const char *path) {
  char link[64], target[4096];
  if (path != NULL && path[0] == '/') return is_below(path);
  if (fd < 0) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, target, sizeof target - 1);
  if (length < 0) return 0;
  target[length] = 0;
  return is_below(target);
}

static void wait_for_server(int fd, const char *path) {
  if (is_late(fd, path)) usleep((useconds_t)atoi(getenv("LATE_US")));
}

#define NEXT(name) static __typeof__(&name) next; if (next == NULL) next = dlsym(RTLD_NEXT, #name)

int fstatat(int fd, const char *path, struct stat *info, int flags) {
  NEXT(fstatat); wait_for_server(fd, path); return next(fd, path, info, flags);
}
int fstatat64(int fd, const char *path, struct stat64 *info, int flags) {
  NEXT(fstatat64); wait_for_server(fd, path); return next(fd, path, info, flags);
}
int stat(const char *path, struct stat *info) { NEXT(stat); wait_for_server(-1, path); return next(path, info); }
int stat64(const char *path, struct stat64 *info) { NEXT(stat64); wait_for_server(-1, path); return next(path, info); }
int lstat(const char *path, struct stat *info) { NEXT(lstat); wait_for_server(-1, path); return next(path, info); }
int lstat64(const char *path, struct stat64 *info) { NEXT(lstat64); wait_for_server(-1, path); return next(path, info); }
DIR *opendir(const char *path) { NEXT(opendir); wait_for_server(-1, path); return next(path); }
DIR *fdopendir(int fd) { NEXT(fdopendir); wait_for_server(fd, NULL); return next(fd); }

int open64(const char *path, int flags, ...) {
  NEXT(open64);
  va_list rest; va_start(rest, flags); int mode = va_arg(rest, int); va_end(rest);
  wait_for_server(-1, path);
  return next(path, flags, mode);
}
