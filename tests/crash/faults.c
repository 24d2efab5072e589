/* Preloaded into a test's process: kills it at a system call that was chosen, lets that call fail, and plays file systems
 * that lack something.
 *
 * Kinds of calls: 1 write and what else changes a file's content, 2 fsync, 3 mkdir, 4 rename and unlink, 5 link and symlink,
 * 6 opening a file to write to it.
 * faults_arm(kind, k, torn): SIGKILL at the k-th call of a kind from now on, before it is made; torn: half of what a write
 * was to write is written first. faults_fail(kind, k, number, lasting, folder): the k-th call of a kind below a folder gives
 * that error; lasting: so does every later one; number -1: SIGKILL there. faults_count(kind): calls since then, of
 * faults_fail those below the folder.
 * FAULTS in the environment, words with commas: noflock, nolocks, nosymlink, nohardlink, nofsyncdir, noshm.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WRITE = 1, FSYNC = 2, MKDIR = 3, RENAME = 4, LINK = 5, OPEN = 6 };
static long counts[8];
static int armed_kind, armed_torn, fails_with, lasts;
static long armed_at;
static char root[PATH_MAX];

void faults_arm(int kind, long at, int torn) {
  memset(counts, 0, sizeof counts);
  armed_kind = kind;
  armed_at = at;
  armed_torn = torn;
  fails_with = 0;
}
void faults_fail(int kind, long at, int number, int lasting, const char *folder) {
  faults_arm(kind, at, 0);
  snprintf(root, sizeof root, "%s", folder);
  lasts = lasting;
  fails_with = number;
}
long faults_count(int kind) { return counts[kind]; }

#define REAL(name) (__typeof__(&name)) dlsym(RTLD_NEXT, #name)
static void die(void) { kill(getpid(), SIGKILL); }
static int lacks(const char *what) {
  const char *faults = getenv("FAULTS");
  return faults && strstr(faults, what);
}
static int below_root(const char *path) { return path && !strncmp(path, root, strlen(root)); }
static int fd_below_root(int fd) {
  char link[64], path[PATH_MAX];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t size = readlink(link, path, sizeof path - 1);
  if (size < 0) return 0;
  path[size] = 0;
  return below_root(path);
}
/* Whether this is the call that was chosen. `here`: it is below the folder, where only such calls count. */
static int is_chosen(int kind, int here) {
  if (fails_with && !here) return 0;
  long count = ++counts[kind];
  return armed_kind == kind && (count == armed_at || (fails_with && lasts && count > armed_at));
}
/* Whether the call must fail; kills where that was chosen instead. */
static int fails(int kind, int here) {
  if (!is_chosen(kind, here)) return 0;
  if (fails_with <= 0) die();
  errno = fails_with;
  return 1;
}
#define HERE_FD(fd) (fails_with && fd_below_root(fd))
#define HERE(path) (fails_with && below_root(path))

ssize_t write(int fd, const void *data, size_t size) {
  if (fd > 2 && is_chosen(WRITE, HERE_FD(fd))) {
    if (armed_torn) (REAL(write))(fd, data, size / 2);
    if (fails_with <= 0) die();
    errno = fails_with;
    return -1;
  }
  return (REAL(write))(fd, data, size);
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
  if (is_chosen(WRITE, HERE_FD(fd))) {
    if (armed_torn) (REAL(pwrite))(fd, data, size / 2, at);
    if (fails_with <= 0) die();
    errno = fails_with;
    return -1;
  }
  return (REAL(pwrite))(fd, data, size, at);
}
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
  if (is_chosen(WRITE, HERE_FD(fd))) {
    if (armed_torn) (REAL(pwrite64))(fd, data, size / 2, at);
    if (fails_with <= 0) die();
    errno = fails_with;
    return -1;
  }
  return (REAL(pwrite64))(fd, data, size, at);
}
ssize_t sendfile(int out, int in, off_t *at, size_t size) {
  return fails(WRITE, HERE_FD(out)) ? -1 : (REAL(sendfile))(out, in, at, size);
}
ssize_t sendfile64(int out, int in, off64_t *at, size_t size) {
  return fails(WRITE, HERE_FD(out)) ? -1 : (REAL(sendfile64))(out, in, at, size);
}
int ftruncate(int fd, off_t size) { return fails(WRITE, HERE_FD(fd)) ? -1 : (REAL(ftruncate))(fd, size); }
int ftruncate64(int fd, off64_t size) { return fails(WRITE, HERE_FD(fd)) ? -1 : (REAL(ftruncate64))(fd, size); }
int fsync(int fd) {
  struct stat info;
  if (fails(FSYNC, HERE_FD(fd))) return -1;
  if (lacks("nofsyncdir") && !fstat(fd, &info) && S_ISDIR(info.st_mode)) {
    errno = EINVAL;
    return -1;
  }
  return (REAL(fsync))(fd);
}
int fdatasync(int fd) { return fails(FSYNC, HERE_FD(fd)) ? -1 : (REAL(fdatasync))(fd); }
int mkdir(const char *path, mode_t mode) { return fails(MKDIR, HERE(path)) ? -1 : (REAL(mkdir))(path, mode); }
int rename(const char *from, const char *to) { return fails(RENAME, HERE(to)) ? -1 : (REAL(rename))(from, to); }
int unlink(const char *path) { return fails(RENAME, HERE(path)) ? -1 : (REAL(unlink))(path); }
static int link_fails(const char *to) {
  if (fails(LINK, HERE(to))) return 1;
  if (!lacks("nohardlink")) return 0;
  errno = EPERM;
  return 1;
}
int link(const char *from, const char *to) { return link_fails(to) ? -1 : (REAL(link))(from, to); }
int linkat(int from_folder, const char *from, int to_folder, const char *to, int flags) {
  return link_fails(to) ? -1 : (REAL(linkat))(from_folder, from, to_folder, to, flags);
}
int symlink(const char *target, const char *path) {
  if (fails(LINK, HERE(path))) return -1;
  if (lacks("nosymlink")) {
    errno = EPERM;
    return -1;
  }
  return (REAL(symlink))(target, path);
}
static int open_fails(const char *path, int flags) {
  return (flags & O_ACCMODE) != O_RDONLY && fails(OPEN, HERE(path));
}
int open(const char *path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  mode_t mode = va_arg(rest, mode_t);
  va_end(rest);
  return open_fails(path, flags) ? -1 : (REAL(open))(path, flags, mode);
}
int open64(const char *path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  mode_t mode = va_arg(rest, mode_t);
  va_end(rest);
  return open_fails(path, flags) ? -1 : (REAL(open64))(path, flags, mode);
}
int flock(int fd, int operation) {
  if (lacks("noflock")) {
    errno = ENOLCK;
    return -1;
  }
  return ((int (*)(int, int))dlsym(RTLD_NEXT, "flock"))(fd, operation);
}
void *mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset) {
  if (lacks("noshm") && fd >= 0 && (flags & MAP_SHARED) && (protection & PROT_WRITE)) {
    errno = ENODEV;
    return MAP_FAILED;
  }
  return (REAL(mmap))(address, length, protection, flags, fd, offset);
}
void *mmap64(void *address, size_t length, int protection, int flags, int fd, off64_t offset) {
  if (lacks("noshm") && fd >= 0 && (flags & MAP_SHARED) && (protection & PROT_WRITE)) {
    errno = ENODEV;
    return MAP_FAILED;
  }
  return (REAL(mmap64))(address, length, protection, flags, fd, offset);
}
static int locks_are_missing(int command) {
  int asks = command == F_SETLK || command == F_SETLKW || command == F_GETLK;
  if (asks && lacks("nolocks")) {
    errno = ENOLCK;
    return 1;
  }
  return 0;
}
int fcntl(int fd, int command, ...) {
  va_list rest;
  va_start(rest, command);
  void *argument = va_arg(rest, void *);
  va_end(rest);
  return locks_are_missing(command) ? -1 : (REAL(fcntl))(fd, command, argument);
}
int fcntl64(int fd, int command, ...) {
  va_list rest;
  va_start(rest, command);
  void *argument = va_arg(rest, void *);
  va_end(rest);
  return locks_are_missing(command) ? -1 : (REAL(fcntl64))(fd, command, argument);
}
