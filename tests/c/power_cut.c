/* Power cuts for a program that knows nothing of them. Preloaded into it (LD_PRELOAD), this library counts what the
 * program does to files below one directory, and remembers what of it was not synced: the earlier contents of each
 * 512-byte sector, earlier lengths, and entries of directories. At the operation with a given number the power fails:
 * every sector that was not synced falls back to any of its versions since the last sync or keeps its latest, the last
 * write may tear inside a sector, lengths likewise, the last of each directory's changes that were not synced are
 * undone, and the process ends with 137. What fsync or fdatasync has returned for stays.
 *
 * POWER_CUT_ROOT   directory that is watched, without symbolic links
 * POWER_CUT_STASH  directory on the same file system, outside, for removed files that may have to come back
 * POWER_CUT_AT     number of the operation; 0 never cuts
 * POWER_CUT_SEED   of the choices
 * POWER_CUT_COUNT  file that is told the number of operations when the program ends by itself
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define SECTOR 512
#define DESCRIPTORS 65536

/* One sector as it was before a write, or with `length` set, a length as it was. */
struct version {
    int file;
    int length;
    off_t at;
    unsigned char old[SECTOR];
};
enum kind { CREATED, RENAMED, UNLINKED, MADE_DIRECTORY, REMOVED_DIRECTORY };
struct entry {
    enum kind kind;
    char *directory, *path, *from, *stash;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const char *root, *stash, *count_file;
static long cut_at, operations, stashed;
static uint64_t state;
/* Files that were written: an own descriptor each, so that names do not matter. */
static int *files;
static int file_count;
static struct version *versions;
static size_t version_count, version_room, last_write;
static struct entry *entries;
static size_t entry_count, entry_room;
static char watched[DESCRIPTORS];

static void fail(const char *what) {
    dprintf(2, "power_cut: %s: %s\n", what, strerror(errno));
    syscall(SYS_exit_group, 99);
}

static uint64_t draw(uint64_t below) {
    /* splitmix64 */
    uint64_t z = (state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (z ^ (z >> 31)) % below;
}

__attribute__((constructor)) static void begin(void) {
    const char *at = getenv("POWER_CUT_AT"), *seed = getenv("POWER_CUT_SEED");
    root = getenv("POWER_CUT_ROOT");
    stash = getenv("POWER_CUT_STASH");
    count_file = getenv("POWER_CUT_COUNT");
    cut_at = at ? atol(at) : 0;
    state = seed ? strtoull(seed, NULL, 10) : 1;
    if (root && !stash) fail("POWER_CUT_STASH");
}

__attribute__((destructor)) static void end(void) {
    if (!root || !count_file) return;
    int fd = (int)syscall(SYS_openat, AT_FDCWD, count_file, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd >= 0) dprintf(fd, "%ld\n", operations);
}

static int below_root(const char *path) {
    size_t length = strlen(root);
    return strncmp(path, root, length) == 0 && (path[length] == '/' || path[length] == 0);
}

static void name_of(int fd, char *out) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, out, PATH_MAX - 1);
    out[length < 0 ? 0 : length] = 0;
}

/* The whole path of what a call names; whether it is watched. */
static int resolve(int directory, const char *path, char *out) {
    if (!root || !path) return 0;
    if (path[0] == '/') {
        snprintf(out, PATH_MAX, "%s", path);
    } else {
        char base[PATH_MAX];
        if (directory == AT_FDCWD) {
            if (!getcwd(base, sizeof base)) return 0;
        } else {
            name_of(directory, base);
        }
        if (snprintf(out, PATH_MAX, "%s/%s", base, path) >= PATH_MAX) fail("a path is too long");
    }
    return below_root(out);
}

static char *copy(const char *text) {
    char *out = strdup(text);
    if (!out) fail("memory");
    return out;
}

static char *parent(const char *path) {
    char *out = copy(path);
    *strrchr(out, '/') = 0;
    return out;
}

static void add_entry(enum kind kind, const char *path, const char *from, char *kept) {
    if (entry_count == entry_room) {
        entry_room = entry_room * 2 + 16;
        if (!(entries = realloc(entries, entry_room * sizeof *entries))) fail("memory");
    }
    entries[entry_count++] = (struct entry){kind, parent(path), copy(path), from ? copy(from) : NULL, kept};
}

/* A second name for a file that is about to lose its own; NULL if there is no such file. */
static char *keep(const char *path) {
    char name[PATH_MAX];
    snprintf(name, sizeof name, "%s/%d-%ld", stash, getpid(), stashed++);
    if (syscall(SYS_linkat, AT_FDCWD, path, AT_FDCWD, name, 0) == 0) return copy(name);
    if (errno != ENOENT && errno != ENOTDIR && errno != EPERM) fail("stash");
    return NULL;
}

static int file_of(int fd) {
    struct stat mine, other;
    if (fstat(fd, &mine)) fail("fstat");
    for (int at = 0; at < file_count; at++)
        if (!fstat(files[at], &other) && other.st_ino == mine.st_ino && other.st_dev == mine.st_dev) return at;
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    int own = (int)syscall(SYS_openat, AT_FDCWD, link, O_RDWR | O_CLOEXEC, 0);
    if (own < 0) fail("reopen");
    if (!(files = realloc(files, (file_count + 1) * sizeof *files))) fail("memory");
    files[file_count] = own;
    return file_count++;
}

static off_t length_of(int file) {
    struct stat found;
    if (fstat(files[file], &found)) fail("fstat");
    return found.st_size;
}

static struct version *add_version(int file, int length, off_t at) {
    if (version_count == version_room) {
        version_room = version_room * 2 + 64;
        if (!(versions = realloc(versions, version_room * sizeof *versions))) fail("memory");
    }
    struct version *added = &versions[version_count++];
    *added = (struct version){.file = file, .length = length, .at = at};
    return added;
}

static void remember(int file, off_t from, off_t to) {
    for (off_t at = from / SECTOR * SECTOR; at < to; at += SECTOR) {
        struct version *version = add_version(file, 0, at);
        if (syscall(SYS_pread64, files[file], version->old, (size_t)SECTOR, at) < 0) fail("pread");
    }
}

static void before_write(int fd, off_t at, off_t bytes) {
    int file = file_of(fd);
    off_t length = length_of(file);
    last_write = version_count;
    remember(file, at, at + bytes);
    if (at + bytes > length) add_version(file, 1, length);
}

static void before_truncate(int fd, off_t to) {
    int file = file_of(fd);
    off_t length = length_of(file);
    if (to < length) remember(file, to, length);
    add_version(file, 1, length);
}

static int remove_one(const char *path, const struct stat *found, int flag, struct FTW *where) {
    (void)found, (void)where;
    return (int)syscall(SYS_unlinkat, AT_FDCWD, path, flag == FTW_DP ? AT_REMOVEDIR : 0);
}

static void undo(struct entry *entry) {
    switch (entry->kind) {
    case CREATED:
        syscall(SYS_unlinkat, AT_FDCWD, entry->path, 0);
        break;
    case RENAMED:
        syscall(SYS_renameat2, AT_FDCWD, entry->path, AT_FDCWD, entry->from, 0);
        if (entry->stash) syscall(SYS_renameat2, AT_FDCWD, entry->stash, AT_FDCWD, entry->path, 0);
        break;
    case UNLINKED:
        if (entry->stash) syscall(SYS_renameat2, AT_FDCWD, entry->stash, AT_FDCWD, entry->path, 0);
        break;
    case MADE_DIRECTORY:
        nftw(entry->path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
        break;
    case REMOVED_DIRECTORY:
        syscall(SYS_mkdirat, AT_FDCWD, entry->path, 0700);
        break;
    }
}

/* Of each place the choice is made once: `taken` marks the versions whose place had its turn. */
static void lose_data(int mode) {
    char *taken = calloc(version_count + 1, 1);
    if (!taken) fail("memory");
    for (size_t at = 0; at < version_count; at++) {
        struct version *first = &versions[at];
        if (taken[at] || first->length) continue;
        size_t number = 0, wanted, seen = 0;
        for (size_t next = at; next < version_count; next++)
            if (!versions[next].length && versions[next].file == first->file && versions[next].at == first->at)
                taken[next] = 1, number++;
        wanted = mode == 0 ? 0 : mode == 1 ? number : draw(number + 1);
        for (size_t next = at; next < version_count && wanted < number; next++) {
            struct version *version = &versions[next];
            if (version->length || version->file != first->file || version->at != first->at || seen++ != wanted)
                continue;
            if (syscall(SYS_pwrite64, files[version->file], version->old, (size_t)SECTOR, version->at) < 0)
                fail("pwrite");
        }
    }
    free(taken);
}

/* The new bytes of one sector of the last write up to some place, the old ones from there on. */
static void tear(void) {
    size_t sectors = 0, wanted;
    for (size_t at = last_write; at < version_count; at++) sectors += !versions[at].length;
    if (sectors == 0) return;
    wanted = draw(sectors);
    struct version *version = &versions[last_write + wanted];
    size_t from = 1 + draw(SECTOR - 1);
    if (!version->length)
        syscall(SYS_pwrite64, files[version->file], version->old + from, SECTOR - from, version->at + (off_t)from);
}

static void lose_lengths(int mode, const off_t *current) {
    for (int file = 0; file < file_count; file++) {
        off_t length = current[file];
        uint64_t number = 1;
        for (size_t at = 0; at < version_count; at++) {
            if (!versions[at].length || versions[at].file != file) continue;
            number++;
            if (mode == 0 ? number == 2 : mode == 1 ? 0 : draw(number) == 0) length = versions[at].at;
        }
        syscall(SYS_ftruncate, files[file], length);
    }
}

/* A directory's changes reach the disk in their order: some of the last ones are undone. */
static void lose_entries(int mode) {
    size_t *undone = calloc(entry_count + 1, sizeof *undone);
    if (!undone) fail("memory");
    for (size_t at = 0; at < entry_count; at++) {
        size_t number = 0, place = 0, kept, first = 1;
        for (size_t other = 0; other < entry_count; other++)
            if (!strcmp(entries[other].directory, entries[at].directory)) {
                first = first && other >= at;
                number++;
            }
        if (!first) continue;
        kept = mode == 0 ? 0 : mode == 1 ? number : draw(number + 1);
        for (size_t other = 0; other < entry_count; other++)
            if (!strcmp(entries[other].directory, entries[at].directory)) undone[other] = place++ >= kept;
    }
    for (size_t at = entry_count; at-- > 0;)
        if (undone[at]) undo(&entries[at]);
}

/* Called with the lock held, when an operation was done but nothing of it synced. */
static void step(int is_write) {
    if (++operations != cut_at) return;
    /* Everything lost, everything kept, or a choice for each: the extremes are worth their own runs. */
    int mode = (int)draw(5);
    off_t *current = calloc((size_t)file_count + 1, sizeof *current);
    if (!current) fail("memory");
    for (int file = 0; file < file_count; file++) current[file] = length_of(file);
    if (is_write && draw(2)) {
        lose_data(mode);
        tear();
    } else {
        lose_data(mode);
    }
    lose_lengths(mode, current);
    lose_entries(mode);
    syscall(SYS_exit_group, 137);
}

static void forget_versions(int fd) {
    int file = file_of(fd);
    size_t kept = 0;
    for (size_t at = 0; at < version_count; at++)
        if (versions[at].file != file) versions[kept++] = versions[at];
    version_count = kept;
}

static void forget_entries(int fd) {
    char directory[PATH_MAX];
    size_t kept = 0;
    name_of(fd, directory);
    for (size_t at = 0; at < entry_count; at++) {
        if (strcmp(entries[at].directory, directory)) {
            entries[kept++] = entries[at];
        } else if (entries[at].stash) {
            syscall(SYS_unlinkat, AT_FDCWD, entries[at].stash, 0);
        }
    }
    entry_count = kept;
}

static int is_watched(int fd) { return root && fd >= 0 && fd < DESCRIPTORS && watched[fd]; }

static int open_any(int directory, const char *path, int flags, mode_t mode) {
    char full[PATH_MAX];
    if (!resolve(directory, path, full)) return (int)syscall(SYS_openat, directory, path, flags, mode);
    pthread_mutex_lock(&lock);
    int existed = syscall(SYS_faccessat, AT_FDCWD, full, F_OK) == 0;
    int fd = (int)syscall(SYS_openat, directory, path, flags & ~O_TRUNC, mode), error = errno;
    if (fd >= DESCRIPTORS) fail("too many descriptors");
    if (fd >= 0) {
        watched[fd] = 1;
        if (!existed) {
            add_entry(CREATED, full, NULL, NULL);
            step(0);
        } else if (flags & O_TRUNC) {
            before_truncate(fd, 0);
            if (syscall(SYS_ftruncate, fd, (off_t)0)) fail("ftruncate");
            step(0);
        }
    }
    pthread_mutex_unlock(&lock);
    errno = error;
    return fd;
}

#define OPENS(name, parameters, directory)                         \
    int name parameters {                                          \
        mode_t mode = 0;                                           \
        if (flags & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY))) {      \
            va_list rest;                                          \
            va_start(rest, flags);                                 \
            mode = va_arg(rest, mode_t);                           \
            va_end(rest);                                          \
        }                                                          \
        return open_any(directory, path, flags, mode);             \
    }
OPENS(open, (const char *path, int flags, ...), AT_FDCWD)
OPENS(open64, (const char *path, int flags, ...), AT_FDCWD)
OPENS(openat, (int directory, const char *path, int flags, ...), directory)
OPENS(openat64, (int directory, const char *path, int flags, ...), directory)

int close(int fd) {
    if (is_watched(fd)) watched[fd] = 0;
    return (int)syscall(SYS_close, fd);
}

static ssize_t write_any(int fd, const struct iovec *parts, int number, off_t at) {
    off_t bytes = 0;
    for (int part = 0; part < number; part++) bytes += (off_t)parts[part].iov_len;
    pthread_mutex_lock(&lock);
    off_t from = at;
    if (at < 0) {
        int append = fcntl(fd, F_GETFL) & O_APPEND;
        from = append ? length_of(file_of(fd)) : lseek(fd, 0, SEEK_CUR);
    }
    before_write(fd, from, bytes);
    ssize_t done = at < 0 ? syscall(SYS_writev, fd, parts, number)
                          : syscall(SYS_pwrite64, fd, parts[0].iov_base, parts[0].iov_len, at);
    int error = errno;
    step(1);
    pthread_mutex_unlock(&lock);
    errno = error;
    return done;
}

ssize_t write(int fd, const void *bytes, size_t count) {
    struct iovec part = {(void *)bytes, count};
    return is_watched(fd) ? write_any(fd, &part, 1, -1) : syscall(SYS_write, fd, bytes, count);
}

ssize_t writev(int fd, const struct iovec *parts, int number) {
    return is_watched(fd) ? write_any(fd, parts, number, -1) : syscall(SYS_writev, fd, parts, number);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off_t at) {
    struct iovec part = {(void *)bytes, count};
    return is_watched(fd) ? write_any(fd, &part, 1, at) : syscall(SYS_pwrite64, fd, bytes, count, at);
}
ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) { return pwrite64(fd, bytes, count, at); }

int ftruncate64(int fd, off_t length) {
    if (!is_watched(fd)) return (int)syscall(SYS_ftruncate, fd, length);
    pthread_mutex_lock(&lock);
    before_truncate(fd, length);
    int done = (int)syscall(SYS_ftruncate, fd, length), error = errno;
    step(0);
    pthread_mutex_unlock(&lock);
    errno = error;
    return done;
}
int ftruncate(int fd, off_t length) { return ftruncate64(fd, length); }

static int sync_any(int fd, long call) {
    struct stat found;
    if (!is_watched(fd)) return (int)syscall(call, fd);
    pthread_mutex_lock(&lock);
    step(0);
    int done = (int)syscall(call, fd), error = errno;
    if (fstat(fd, &found)) fail("fstat");
    if (S_ISDIR(found.st_mode)) {
        forget_entries(fd);
    } else {
        forget_versions(fd);
    }
    pthread_mutex_unlock(&lock);
    errno = error;
    return done;
}
int fsync(int fd) { return sync_any(fd, SYS_fsync); }
int fdatasync(int fd) { return sync_any(fd, SYS_fdatasync); }

int renameat(int from_directory, const char *from, int to_directory, const char *to) {
    char whole_from[PATH_MAX], whole_to[PATH_MAX];
    int mine = resolve(from_directory, from, whole_from) | resolve(to_directory, to, whole_to);
    if (!mine) return (int)syscall(SYS_renameat2, from_directory, from, to_directory, to, 0);
    pthread_mutex_lock(&lock);
    char *kept = keep(whole_to);
    int done = (int)syscall(SYS_renameat2, from_directory, from, to_directory, to, 0), error = errno;
    if (done == 0) {
        add_entry(RENAMED, whole_to, whole_from, kept);
        step(0);
    }
    pthread_mutex_unlock(&lock);
    errno = error;
    return done;
}
int rename(const char *from, const char *to) { return renameat(AT_FDCWD, from, AT_FDCWD, to); }

int unlinkat(int directory, const char *path, int flags) {
    char full[PATH_MAX];
    if (!resolve(directory, path, full)) return (int)syscall(SYS_unlinkat, directory, path, flags);
    pthread_mutex_lock(&lock);
    char *kept = flags & AT_REMOVEDIR ? NULL : keep(full);
    int done = (int)syscall(SYS_unlinkat, directory, path, flags), error = errno;
    if (done == 0) {
        add_entry(flags & AT_REMOVEDIR ? REMOVED_DIRECTORY : UNLINKED, full, NULL, kept);
        step(0);
    }
    pthread_mutex_unlock(&lock);
    errno = error;
    return done;
}
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }

int mkdirat(int directory, const char *path, mode_t mode) {
    char full[PATH_MAX];
    if (!resolve(directory, path, full)) return (int)syscall(SYS_mkdirat, directory, path, mode);
    pthread_mutex_lock(&lock);
    int done = (int)syscall(SYS_mkdirat, directory, path, mode), error = errno;
    if (done == 0) {
        add_entry(MADE_DIRECTORY, full, NULL, NULL);
        step(0);
    }
    pthread_mutex_unlock(&lock);
    errno = error;
    return done;
}
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }
