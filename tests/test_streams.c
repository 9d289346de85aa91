/* Streams that dribble, lie and fail; files that are written whole or not at all. */
#if !defined(_POSIX_C_SOURCE) && !defined(_WIN32)
#define _POSIX_C_SOURCE 200809L /* symlink */
#endif
#include "test.h"

typedef struct source { const uint8_t *data; size_t size, position, chunk, calls, fail_at, too_much_at, closed; } source;

static int64_t read_source(void *user, void *buffer, size_t size) {
  source *s = (source *)user;
  if (++s->calls == s->fail_at) return -1;
  if (s->calls == s->too_much_at) return size > (size_t)INT64_MAX - 1 ? INT64_MAX : (int64_t)size + 1;
  CHECK(size > 0); /* or 0 bytes would look like the end */
  size_t n = fmi_min_size(size, fmi_min_size(s->chunk, s->size - s->position));
  memcpy(buffer, s->data + s->position, n);
  s->position += n;
  return (int64_t)n;
}
static void close_source(void *user) { ((source *)user)->closed++; }
static fm_stream stream_of(source *s, const uint8_t *data, size_t size, size_t chunk, uint64_t hint) {
  fm_stream stream;
  memset(s, 0, sizeof *s);
  s->data = data;
  s->size = size;
  s->chunk = chunk;
  memset(&stream, 0, sizeof stream);
  stream.user = s;
  stream.read = read_source;
  stream.close = close_source;
  stream.size_hint = hint;
  return stream;
}
static uint8_t *pattern(size_t size) {
  uint8_t *data = (uint8_t *)malloc(size + 1);
  for (size_t i = 0; i < size; i++) data[i] = (uint8_t)(i * 31 + (i >> 8) * 7);
  return data;
}

static void test_hints_and_chunks(void) {
  static const size_t sizes[] = {0, 1, 10, 65535, 65536, 65537, 200000}, chunks[] = {1, 7, 4096, SIZE_MAX};
  uint8_t *want = pattern(200000);
  for (size_t i = 0; i < FMI_COUNT(sizes); i++)
    for (size_t c = 0; c < FMI_COUNT(chunks); c++) {
      uint64_t size = sizes[i];
      uint64_t hints[] = {0, 1, size, size + 1, size / 2, size * 2 + 5, (uint64_t)1 << 20, (uint64_t)1 << 40, UINT64_MAX};
      for (size_t h = 0; h < FMI_COUNT(hints); h++) {
        fmi_env env;
        fm_error error;
        source s;
        uint8_t *data = NULL;
        size_t got = 77;
        fm_stream stream = stream_of(&s, want, sizes[i], chunks[c], hints[h]);
        if (chunks[c] == 1 && h > 3 && sizes[i] > 10) continue; /* slow, and nothing new */
        fmi_begin(&env, NULL, &error, "stream");
        CHECK(fmi_read_all(&env, &env.temp, &stream, &data, &got));
        CHECK_INT(got, sizes[i]);
        CHECK(data && memcmp(data, want, sizes[i]) == 0 && data[sizes[i]] == 0);
        CHECK_INT(s.closed, 0); /* whoever opened it closes it */
        CHECK(fmi_end(&env));
      }
    }
  free(want);
}

/* A hint is only a hint: one beside the limit must not refuse ten bytes. */
static void test_hint_near_the_limit(void) {
  static const uint64_t below[] = {1, 34, 100000};
  for (size_t i = 0; i < FMI_COUNT(below); i++) {
    fmi_env env;
    fm_error error;
    source s;
    uint8_t *data = NULL;
    size_t got = 0;
    fm_stream stream = stream_of(&s, (const uint8_t *)"0123456789", 10, SIZE_MAX, 200000 - below[i]);
    fmi_begin(&env, NULL, &error, "stream");
    env.limits.memory = 200000;
    CHECK(fmi_read_all(&env, &env.temp, &stream, &data, &got) && got == 10);
    fmi_end(&env);
  }
}

static void test_stream_failures(void) {
  uint8_t *want = pattern(200000);
  fmi_env env;
  fm_error error;
  source s;
  uint8_t *data;
  size_t got;
  for (size_t fail = 1; fail <= 20; fail++)
    for (int kind = 0; kind < 2; kind++) {
      fm_stream stream = stream_of(&s, want, 200000, 10000, 0);
      char place[40];
      if (kind) s.too_much_at = fail;
      else s.fail_at = fail;
      fmi_begin(&env, NULL, &error, "stream");
      CHECK(!fmi_read_all(&env, &env.temp, &stream, &data, &got));
      CHECK_INT(error.status, FM_ERROR_READ);
      CHECK(fail < 3 ? s.position == 10000 * (fail - 1) : s.position > 10000);
      CHECK_INT(error.offset, s.position); /* as far as it came */
      snprintf(place, sizeof place, "stream: byte %zu: ", s.position);
      CHECK(strncmp(error.message, place, strlen(place)) == 0);
      CHECK(!env.temp.first); /* what was read is not kept */
      CHECK(!fmi_end(&env));
    }
  fm_stream stream = stream_of(&s, want, 200000, 10000, 0); /* more than the caller allows */
  fmi_begin(&env, NULL, &error, "stream");
  env.limits.memory = 150000;
  CHECK(!fmi_read_all(&env, &env.temp, &stream, &data, &got));
  CHECK_INT(error.status, FM_ERROR_LIMIT);
  CHECK(!fmi_end(&env));
  free(want);
}

static bool exists(const char *path) {
  FILE *file = fopen(path, "rb");
  if (file) fclose(file);
  return file != NULL;
}
/* A path in the scratch folder, which is made if the test runs alone. Good until the third next call. */
static const char *scratch(const char *name) {
  static char paths[4][400];
  static int next;
  char *path = paths[next++ % 4];
  fmi_stdio_make_folder(NULL, "build");
  fmi_stdio_make_folder(NULL, test_temp());
  snprintf(path, sizeof paths[0], "%s/%s", test_temp(), name);
  return path;
}
static bool write_path(const char *path, const void *data, size_t size, const fm_common *common, fm_error *error) {
  fmi_env env;
  fmi_begin(&env, common, error, NULL);
  fmi_write_file(&env, path, data, size);
  return fmi_end(&env);
}
static void check_file(const char *path, const void *want, size_t size) {
  size_t got = 0;
  unsigned char *data = test_read(path, &got);
  CHECK(data != NULL);
  CHECK_INT(got, size);
  if (data && got == size) CHECK(memcmp(data, want, size) == 0);
  free(data);
}

static void test_reading_files(void) {
  const char *path = scratch("streams_read.bin"), *empty = scratch("streams_empty.bin");
  uint8_t *want = pattern(100000), *data = NULL;
  size_t size = 77;
  bool found = true;
  fm_error error;
  fmi_env env;
  CHECK(write_path(path, want, 100000, NULL, &error));
  CHECK(write_path(empty, want, 0, NULL, &error));
  fmi_begin(&env, NULL, &error, path);
  CHECK(fmi_read_file(&env, &env.temp, path, true, NULL, &data, &size));
  CHECK_INT(size, 100000);
  CHECK(data && memcmp(data, want, 100000) == 0 && data[100000] == 0);
  CHECK(fmi_read_file(&env, &env.temp, empty, true, &found, &data, &size));
  CHECK_INT(size, 0);
  CHECK(found && data && data[0] == 0);
  CHECK(fmi_read_file(&env, &env.temp, scratch("no/such.file"), false, &found, &data, &size)); /* allowed to be missing */
  CHECK(!found);
  CHECK(fmi_end(&env));
  free(want);

  path = scratch("no_such.file");
  fmi_begin(&env, NULL, &error, path);
  CHECK(!fmi_read_file(&env, &env.temp, path, true, &found, &data, &size));
  CHECK(!found);
  CHECK_INT(error.status, FM_ERROR_READ);
  CHECK(strncmp(error.message, path, strlen(path)) == 0 && strstr(error.message, "cannot be opened: "));
  CHECK(!fmi_end(&env));
  path = test_temp();
  fmi_begin(&env, NULL, &error, path);
  CHECK(!fmi_read_file(&env, &env.temp, path, true, &found, &data, &size)); /* a folder */
  CHECK_INT(error.status, FM_ERROR_READ);
  CHECK(!fmi_end(&env));
}

static void test_writing_files(void) {
  static const char *const names[] = {"streams.bin", "na\xC3\xAFve \xD0\xB3\xD0\xBE\xD0\xBB\xD0\xBE\xD0\xB2\xD0\xB0 \xE9\xA0\xAD.bin"};
  uint8_t *want = pattern(300000);
  char beside[500];
  fm_error error;
  for (size_t i = 0; i < FMI_COUNT(names); i++) {
    const char *path = scratch(names[i]);
    CHECK(write_path(path, want, 300000, NULL, &error));
    check_file(path, want, 300000);
    CHECK(write_path(path, want + 5, 10, NULL, &error)); /* in the place of what was there */
    check_file(path, want + 5, 10);
    snprintf(beside, sizeof beside, "%s.part", path);
    CHECK(!exists(beside));
  }
  const char *path = scratch("no_such_folder/file.bin");
  CHECK(!write_path(path, want, 10, NULL, &error));
  CHECK_INT(error.status, FM_ERROR_WRITE);
  CHECK(strncmp(error.message, path, strlen(path)) == 0 && strstr(error.message, "cannot be written: "));
  path = scratch("streams_folder"); /* a folder stands where the file should go */
  CHECK(fmi_stdio_make_folder(NULL, path) >= 0);
  CHECK(!write_path(path, want, 10, NULL, &error));
  CHECK_INT(error.status, FM_ERROR_WRITE);
  CHECK(!exists(scratch("streams_folder.part")));
  free(want);
}

/* An earlier failure of the same call: the old file stays and nothing new is left. */
static void test_failed_calls_leave_no_file(void) {
  for (int asked = 0; asked < 2; asked++) {
    const char *path = scratch("streams_failed.bin");
    fmi_env env;
    fm_error error;
    fmi_out out;
    CHECK(write_path(path, "old", 3, NULL, &error));
    fmi_begin(&env, NULL, &error, NULL);
    CHECK(fmi_open_write(&env, &out, path));
    CHECK(fmi_write(&env, &out, "half of it", 10));
    fmi_fail(&env, FM_ERROR_FORMAT, "something else went wrong");
    CHECK(!fmi_close_write(&env, &out, asked != 0));
    CHECK(!fmi_end(&env));
    check_file(path, "old", 3);
    CHECK(!exists(scratch("streams_failed.bin.part")));
  }
}

static void test_full_disk(void) {
#if defined(_POSIX_C_SOURCE) && defined(__linux__)
  static const size_t sizes[] = {10, 1000000}; /* found at closing, and while writing */
  if (!exists("/dev/full")) SKIP("there is no /dev/full");
  for (size_t i = 0; i < FMI_COUNT(sizes); i++) {
    const char *path = scratch("streams_full.bin"), *beside = scratch("streams_full.bin.part");
    uint8_t *data = pattern(sizes[i]);
    fm_error error;
    remove(path);
    remove(beside);
    if (symlink("/dev/full", beside) != 0) { free(data); SKIP("the scratch folder takes no symbolic links"); }
    CHECK(!write_path(path, data, sizes[i], NULL, &error));
    CHECK_INT(error.status, FM_ERROR_WRITE);
    CHECK(strstr(error.message, "writing failed: "));
    CHECK(!exists(path));
    CHECK(!exists(beside));
    free(data);
  }
#else
  SKIP("there is no /dev/full");
#endif
}

/* Files of the caller's, on a disk that is full after `room` bytes. */
typedef struct disk { char data[64]; size_t size, room; int opened, closed, kept; bool refuse_open, refuse_close; } disk;

static bool disk_write(void *user, const void *data, size_t size) {
  disk *d = (disk *)user;
  if (size > d->room - d->size) return false;
  memcpy(d->data + d->size, data, size);
  d->size += size;
  return true;
}
static bool disk_open(void *user, const char *path, fm_sink *out) {
  disk *d = (disk *)user;
  (void)path;
  if (d->refuse_open) return false;
  d->opened++;
  out->user = d;
  out->write = disk_write;
  return true;
}
static bool disk_close(void *user, fm_sink *sink, bool keep) {
  disk *d = (disk *)user;
  CHECK(sink->user == user);
  d->closed++;
  if (keep && d->refuse_close) return false;
  d->kept += keep;
  return true;
}

static void test_own_files(void) {
  for (size_t room = 0; room <= 12; room++)
    for (int kind = 0; kind < 3; kind++) {
      disk d;
      fm_files files;
      fm_common common;
      fm_error error;
      memset(&d, 0, sizeof d);
      memset(&files, 0, sizeof files);
      memset(&common, 0, sizeof common);
      d.room = room;
      d.refuse_open = kind == 1;
      d.refuse_close = kind == 2;
      files.user = &d;
      files.open_write = disk_open;
      files.close_write = disk_close;
      common.files = &files;
      bool ok = write_path("some/where", "0123456789", 10, &common, &error);
      CHECK_INT(ok, kind == 0 && room >= 10);
      CHECK_INT(d.opened, kind != 1);
      CHECK_INT(d.closed, d.opened);
      CHECK_INT(d.kept, ok);
      CHECK_INT(error.status, ok ? FM_OK : FM_ERROR_WRITE);
      if (!ok) CHECK(strncmp(error.message, "some/where: ", 12) == 0);
    }
  /* a set of files that can do nothing: refused in words, not called */
  fm_files none;
  fm_common common;
  fm_error error;
  fmi_env env;
  uint8_t *data;
  size_t size;
  memset(&none, 0, sizeof none);
  memset(&common, 0, sizeof common);
  common.files = &none;
  CHECK(!write_path("x", "y", 1, &common, &error));
  fmi_begin(&env, &common, &error, "x");
  CHECK(!fmi_read_file(&env, &env.temp, "x", true, NULL, &data, &size));
  CHECK_INT(error.status, FM_ERROR_READ);
  CHECK(fmi_files_of(&env).make_folder(NULL, "x") == -1);
  CHECK(!fmi_end(&env));
}

static void test_folders(void) {
  const char *path = scratch("streams_made_\xC3\xA9");
  remove(path);
  CHECK_INT(fmi_stdio_make_folder(NULL, path), 1);
  CHECK_INT(fmi_stdio_make_folder(NULL, path), 0);
  CHECK_INT(fmi_stdio_make_folder(NULL, scratch("streams_none/below")), -1);
  fm_error error;
  CHECK(write_path(scratch("streams_file"), "x", 1, NULL, &error));
  CHECK_INT(fmi_stdio_make_folder(NULL, scratch("streams_file")), -1); /* a file is no folder */
  remove(path);
}

static void test_file_names(void) {
  CHECK_TEXT(fmi_file_name("a/b/c.fbx"), "c.fbx");
  CHECK_TEXT(fmi_file_name("c.fbx"), "c.fbx");
  CHECK_TEXT(fmi_file_name("/c.fbx"), "c.fbx");
  CHECK_TEXT(fmi_file_name("C:\\a\\b.png"), "b.png");
  CHECK_TEXT(fmi_file_name("a\\b/c\\d"), "d");
  CHECK_TEXT(fmi_file_name("a/"), "");
  CHECK_TEXT(fmi_file_name(""), "");
}

TEST_MAIN({"hints and chunks", test_hints_and_chunks}, {"hint near the limit", test_hint_near_the_limit},
          {"stream failures", test_stream_failures}, {"reading files", test_reading_files}, {"writing files", test_writing_files},
          {"failed calls leave no file", test_failed_calls_leave_no_file}, {"full disk", test_full_disk},
          {"files of one's own", test_own_files}, {"folders", test_folders}, {"file names", test_file_names})
