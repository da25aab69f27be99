/* A folder as it would be on a slow server: each file takes a while to open.
 *
 *     slow_folder FOLDER MICROSECONDS -f -o OPTIONS MOUNTPOINT
 */
#define FUSE_USE_VERSION 312
#include <errno.h>
#include <fcntl.h>
#include <fuse3/fuse.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static int folder;
static long microseconds;

static int get_attributes(const char *path, struct stat *status, struct fuse_file_info *file) {
    (void)file;
    const char *name = path[1] ? path + 1 : ".";
    return fstatat(folder, name, status, AT_SYMLINK_NOFOLLOW) ? -errno : 0;
}

static int open_file(const char *path, struct fuse_file_info *file) {
    struct timespec time = {microseconds / 1000000, microseconds % 1000000 * 1000};
    nanosleep(&time, NULL);
    int opened = openat(folder, path + 1, O_RDONLY);
    if (opened < 0) return -errno;
    file->fh = (uint64_t)opened;
    file->keep_cache = 1;
    return 0;
}

static int read_file(const char *path, char *data, size_t size, off_t offset,
                     struct fuse_file_info *file) {
    (void)path;
    ssize_t count = pread((int)file->fh, data, size, offset);
    return count < 0 ? -errno : (int)count;
}

static int close_file(const char *path, struct fuse_file_info *file) {
    (void)path;
    close((int)file->fh);
    return 0;
}

static void *set_up(struct fuse_conn_info *connection, struct fuse_config *config) {
    (void)connection;
    config->kernel_cache = 1;
    config->entry_timeout = config->attr_timeout = 3600;
    return NULL;
}

int main(int count, char **arguments) {
    static const struct fuse_operations operations = {
        .getattr = get_attributes,
        .open = open_file,
        .read = read_file,
        .release = close_file,
        .init = set_up,
    };
    if (count < 3 || (folder = open(arguments[1], O_RDONLY | O_DIRECTORY)) < 0) {
        perror("slow_folder FOLDER MICROSECONDS ...");
        return 2;
    }
    microseconds = atol(arguments[2]);
    arguments[2] = arguments[0];
    return fuse_main(count - 2, arguments + 2, &operations, NULL);
}
