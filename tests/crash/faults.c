/* Preloaded into a test's process: kills it at a system call that was chosen, and plays file systems that lack something.
 *
 * faults_arm(kind, k, torn): SIGKILL at the k-th call of a kind from now on (1: write, 2: fsync, 4: rename and the like),
 * before it is made; torn: half of what a write was to write is written first. faults_count(kind): calls since then.
 * FAULTS in the environment, words with commas: noflock, nolocks, nosymlink, nohardlink, nofsyncdir, noshm.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WRITE = 1, FSYNC = 2, RENAME = 4 };
static long counts[8];
static int armed_kind, armed_torn;
static long armed_at;

void faults_arm(int kind, long at, int torn) {
  memset(counts, 0, sizeof counts);
  armed_kind = kind;
  armed_at = at;
  armed_torn = torn;
}
long faults_count(int kind) { return counts[kind]; }

static int is_last(int kind) { return ++counts[kind] == armed_at && armed_kind == kind; }
static void die(void) { kill(getpid(), SIGKILL); }
static int lacks(const char *what) {
  const char *faults = getenv("FAULTS");
  return faults && strstr(faults, what);
}
#define REAL(name) (__typeof__(&name)) dlsym(RTLD_NEXT, #name)

ssize_t write(int fd, const void *data, size_t size) {
  if (fd > 2 && is_last(WRITE)) {
    if (armed_torn) (REAL(write))(fd, data, size / 2);
    die();
  }
  return (REAL(write))(fd, data, size);
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
  if (is_last(WRITE)) {
    if (armed_torn) (REAL(pwrite))(fd, data, size / 2, at);
    die();
  }
  return (REAL(pwrite))(fd, data, size, at);
}
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
  if (is_last(WRITE)) {
    if (armed_torn) (REAL(pwrite64))(fd, data, size / 2, at);
    die();
  }
  return (REAL(pwrite64))(fd, data, size, at);
}
int fsync(int fd) {
  struct stat info;
  if (is_last(FSYNC)) die();
  if (lacks("nofsyncdir") && !fstat(fd, &info) && S_ISDIR(info.st_mode)) {
    errno = EINVAL;
    return -1;
  }
  return (REAL(fsync))(fd);
}
int fdatasync(int fd) {
  if (is_last(FSYNC)) die();
  return (REAL(fdatasync))(fd);
}
int rename(const char *from, const char *to) {
  if (is_last(RENAME)) die();
  return (REAL(rename))(from, to);
}
int unlink(const char *path) {
  if (is_last(RENAME)) die();
  return (REAL(unlink))(path);
}
int symlink(const char *target, const char *path) {
  if (is_last(RENAME)) die();
  if (lacks("nosymlink")) {
    errno = EPERM;
    return -1;
  }
  return (REAL(symlink))(target, path);
}
int link(const char *from, const char *to) {
  if (is_last(RENAME)) die();
  if (lacks("nohardlink")) {
    errno = EPERM;
    return -1;
  }
  return (REAL(link))(from, to);
}
int linkat(int from_folder, const char *from, int to_folder, const char *to, int flags) {
  if (is_last(RENAME)) die();
  if (lacks("nohardlink")) {
    errno = EPERM;
    return -1;
  }
  return (REAL(linkat))(from_folder, from, to_folder, to, flags);
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
