/* fmi_format against the C library's snprintf, the shape of messages, and that the first failure stands. */
#include "test.h"

/* The same format and arguments through snprintf and through fmi_format; they must agree. */
static void same(const char *format, ...) {
  char got[200], want[200];
  va_list list;
  va_start(list, format);
  int length = vsnprintf(want, sizeof want, format, list);
  va_end(list);
  va_start(list, format);
  size_t n = fmi_format_list(got, sizeof got, format, list);
  va_end(list);
  CHECK_TEXT(got, want);
  CHECK_INT(n, length);
}

static void test_conversions(void) {
  same("%s", "text");
  same("%s", "");
  same("%s and %s", "one", "two");
  same("%c%c", 'x', '%');
  same("100%%");
  same("%%%d%%", 5);
  same("%d %d %d %d", 0, -1, INT_MAX, INT_MIN);
  same("%u %u", 0u, UINT_MAX);
  same("%x %x %x", 0u, 0xDEADBEEFu, UINT_MAX);
  same("%zu %zu", (size_t)0, (size_t)SIZE_MAX);
  same("%llu %llu", 0ull, (unsigned long long)UINT64_MAX);
  same("%d,%s,%zu,%c,%llu,%x!", -42, "mid", (size_t)7, 'c', 1234567890123456789ull, 255u);
  same("");
  char text[20];
  const char *volatile none = NULL;
  CHECK_INT(fmi_format(text, sizeof text, "%s", none), 6);
  CHECK_TEXT(text, "(none)");
}

static void test_widths(void) {
  same("%5d|%1d|%2d", 42, 42, 42);
  same("%05d|%01d|%020d", 42, 42, 42);
  same("%05d|%03d|%011d", -42, -42, INT_MIN);
  same("%8u|%08u", 123u, 123u);
  same("%08x|%8x|%02x|%02x", 0xBEEFu, 0xBEEFu, 5u, 0x123u);
  same("%04zu|%20zu", (size_t)17, (size_t)SIZE_MAX);
  same("%020llu|%22llu", 99ull, (unsigned long long)UINT64_MAX);
  same("%5d|%3d|%12d", -42, -42, INT_MIN); /* blanks stand before the sign */
}

/* Tiny buffers: as snprintf, which also counts what there is no room for, and always ended by 0. */
static void test_cuts(void) {
  char got[8], want[8];
  for (size_t room = 0; room <= 6; room++) {
    memset(got, '#', sizeof got);
    memset(want, '#', sizeof want);
    size_t n = fmi_format(got, room, "%s%d", "ab", 123);
    CHECK_INT(n, snprintf(want, room, "%s%d", "ab", 123));
    CHECK(memcmp(got, want, sizeof got) == 0); /* nothing behind the room is touched */
  }
  CHECK_INT(fmi_format(NULL, 0, "%s", "counted"), 7);
}

/* What is left must be the longest beginning of whole characters that fits. */
static void test_cuts_keep_characters(void) {
  /* 1, 2, 3 and 4 bytes: a, U+00E9, U+6F22, U+1F600 */
  static const char text[] = "a\xC3\xA9\xE6\xBC\xA2\xF0\x9F\x98\x80z\xC3\xA9";
  static const size_t starts[] = {0, 1, 3, 6, 10, 11, 13};
  for (size_t room = 1; room <= sizeof text; room++) {
    char got[sizeof text], want[sizeof text];
    size_t whole = 0;
    for (size_t i = 0; i < FMI_COUNT(starts); i++)
      if (starts[i] < room) whole = starts[i];
    memcpy(want, text, whole);
    want[whole] = 0;
    CHECK_INT(fmi_format(got, room, "%s", text), sizeof text - 1);
    CHECK_TEXT(got, want);
  }
}

static void test_message_shapes(void) {
  fmi_env env;
  fm_error error;
  fmi_begin(&env, NULL, &error, "dir/head.obj");
  CHECK_INT(error.status, FM_OK);
  CHECK_TEXT(error.message, "");
  CHECK(!fmi_fail(&env, FM_ERROR_FORMAT, "has %d things too many", 3));
  CHECK_INT(error.status, FM_ERROR_FORMAT);
  CHECK_TEXT(error.message, "dir/head.obj: has 3 things too many");
  CHECK_TEXT(error.file, "dir/head.obj");
  CHECK_INT(error.line, 0);
  CHECK(error.offset == FM_NO_OFFSET);
  CHECK(!fmi_end(&env));

  fmi_begin(&env, NULL, &error, "head.obj");
  CHECK(!fmi_fail_line(&env, FM_ERROR_FORMAT, 17, "needs 3 numbers, not %u", 2u));
  CHECK_TEXT(error.message, "head.obj: line 17: needs 3 numbers, not 2");
  CHECK_INT(error.line, 17);
  CHECK(error.offset == FM_NO_OFFSET);
  CHECK(!fmi_end(&env));

  fmi_begin(&env, NULL, &error, "head.fbx");
  CHECK(!fmi_fail_byte(&env, FM_ERROR_UNSUPPORTED, 0, "is of version %d", 9));
  CHECK_TEXT(error.message, "head.fbx: byte 0: is of version 9");
  CHECK(error.offset == 0);
  CHECK_INT(error.line, 0);
  CHECK(!fmi_end(&env));

  fmi_begin(&env, NULL, &error, NULL);
  CHECK(!fmi_fail_byte(&env, FM_ERROR_LIMIT, UINT64_MAX - 1, "is too large"));
  CHECK_TEXT(error.message, "is too large");
  CHECK_TEXT(error.file, "");
  CHECK(error.offset == UINT64_MAX - 1);
  CHECK(!fmi_end(&env));
}

static void test_first_stands(void) {
  fmi_env env;
  fm_error error;
  memset(&error, 0x55, sizeof error);
  fmi_begin(&env, NULL, &error, "a");
  fmi_fail_line(&env, FM_ERROR_FORMAT, 4, "the cause");
  CHECK(!fmi_fail(&env, FM_ERROR_MEMORY, "a consequence"));
  CHECK(!fmi_fail_byte(&env, FM_ERROR_LIMIT, 8, "another"));
  CHECK_INT(error.status, FM_ERROR_FORMAT);
  CHECK_TEXT(error.message, "a: line 4: the cause");
  CHECK_INT(error.line, 4);
  CHECK(error.offset == FM_NO_OFFSET);
  CHECK(!fmi_end(&env));
  fmi_begin(&env, NULL, &error, "b"); /* the next call begins clean */
  CHECK_INT(error.status, FM_OK);
  CHECK_TEXT(error.message, "");
  CHECK_TEXT(error.file, "");
  CHECK(fmi_end(&env));
  fmi_begin(&env, NULL, NULL, "c"); /* nobody asks: the call fails all the same */
  CHECK(!fmi_fail(&env, FM_ERROR_FORMAT, "unseen"));
  CHECK(!fmi_end(&env));
}

static void test_long_names(void) {
  static char name[3001];
  fm_error error;
  static const size_t lengths[] = {258, 259, 260, 500, 3000};
  for (size_t i = 0; i < FMI_COUNT(lengths); i++) {
    fmi_env env;
    memset(name, 'd', sizeof name);
    memcpy(name + lengths[i] - 9, "/head.obj", 10);
    fmi_begin(&env, NULL, &error, name);
    fmi_fail_line(&env, FM_ERROR_FORMAT, 3, "a number is missing");
    fmi_end(&env);
    size_t kept = lengths[i] < 259 ? lengths[i] : 259;
    CHECK_INT(strlen(error.file), kept);
    CHECK(strcmp(error.file, name + lengths[i] - kept) == 0);
    CHECK(strstr(error.message, "head.obj: line 3: a number is missing")); /* the words must survive any name */
  }
  /* the name's end begins with a whole character: 300 of 2 bytes each, cut to at most 259 bytes */
  fmi_env env;
  for (size_t i = 0; i < 300; i++) memcpy(name + 2 * i, "\xC3\xA9", 3);
  fmi_begin(&env, NULL, &error, name);
  fmi_fail(&env, FM_ERROR_FORMAT, "is damaged");
  fmi_end(&env);
  CHECK((error.file[0] & 0xC0) != 0x80);
}

static void test_set_error(void) {
  fm_error error;
  char text[3000];
  CHECK(!fm_set_error(NULL, FM_ERROR_READ, "nobody listens"));
  memset(&error, 0x55, sizeof error);
  CHECK(!fm_set_error(&error, FM_ERROR_RENDERER, "the device is gone"));
  CHECK_INT(error.status, FM_ERROR_RENDERER);
  CHECK_TEXT(error.message, "the device is gone");
  CHECK_TEXT(error.file, "");
  CHECK_INT(error.line, 0);
  CHECK(error.offset == FM_NO_OFFSET);
  memset(text, 'x', sizeof text);
  text[sizeof text - 1] = 0;
  fm_set_error(&error, FM_ERROR_READ, text);
  CHECK_INT(strlen(error.message), sizeof error.message - 1);
  fm_set_error(&error, FM_ERROR_READ, "100 %s %n"); /* a message is not a format */
  CHECK_TEXT(error.message, "100 %s %n");
}

static void test_words(void) {
  for (int i = 0; i < FM_STATUS_COUNT; i++) {
    const char *words = fm_status_words((fm_status)i);
    CHECK(words && strlen(words) >= 2);
    for (int k = 0; k < i; k++) CHECK(strcmp(words, fm_status_words((fm_status)k)) != 0);
  }
  CHECK_TEXT(fm_status_words(FM_OK), "ok");
  CHECK_TEXT(fm_status_words(FM_ERROR_FORMAT), "the data is damaged");
  CHECK_TEXT(fm_status_words(FM_STATUS_COUNT), "unknown status");
  char version[40];
  snprintf(version, sizeof version, "%d.%d.%d", FM_VERSION_MAJOR, FM_VERSION_MINOR, FM_VERSION_PATCH);
  CHECK_TEXT(fm_version(), version);
}

TEST_MAIN({"conversions", test_conversions}, {"widths", test_widths}, {"cuts", test_cuts},
          {"cuts keep characters", test_cuts_keep_characters}, {"message shapes", test_message_shapes},
          {"the first failure stands", test_first_stands}, {"long file names", test_long_names}, {"fm_set_error", test_set_error},
          {"status words", test_words})
