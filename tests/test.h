/* The tests' few words. Each test file is a program of its own that holds the library's implementation, so that private functions
   can be tested too. Output: a line per failure, then "NAME: N passed, N failed, N skipped". */
#ifndef TEST_H
#define TEST_H

#define FACEMORPH_IMPLEMENTATION
#include "facemorph.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct test_case { const char *name; void (*run)(void); } test_case;

static int test_failures;             /* of the running test */
static const char *test_skip_reason;  /* of the running test */
static const char *test_running;

static void test_fail(const char *file, int line, const char *what) {
  test_failures++;
  printf("FAIL %s: %s:%d: %s\n", test_running, file, line, what);
}

#define CHECK(condition) do { if (!(condition)) test_fail(__FILE__, __LINE__, #condition); } while (0)
#define CHECK_INT(got, want) do { \
    long long got_ = (long long)(got), want_ = (long long)(want); char text_[400]; \
    if (got_ != want_) { snprintf(text_, sizeof text_, "%s is %lld, should be %lld", #got, got_, want_); test_fail(__FILE__, __LINE__, text_); } \
  } while (0)
#define CHECK_NEAR(got, want, tolerance) do { \
    double got_ = (double)(got), want_ = (double)(want); char text_[400]; \
    if (!(fabs(got_ - want_) <= (tolerance))) { \
      snprintf(text_, sizeof text_, "%s is %.17g, should be %.17g", #got, got_, want_); test_fail(__FILE__, __LINE__, text_); } \
  } while (0)
#define CHECK_TEXT(got, want) do { \
    const char *got_ = (got), *want_ = (want); char text_[2400]; \
    if (!got_ || strcmp(got_, want_) != 0) { \
      snprintf(text_, sizeof text_, "%s is \"%.900s\", should be \"%.900s\"", #got, got_ ? got_ : "(NULL)", want_); \
      test_fail(__FILE__, __LINE__, text_); } \
  } while (0)
#define SKIP(reason) do { test_skip_reason = (reason); return; } while (0)

/* Path of a file of the shared test data, which lies beside a developer's checkout and is no part of the project; NULL where it is
   not there. Good until the next call. */
static inline const char *test_shared(const char *file) {
  static char path[600];
  FILE *there;
  snprintf(path, sizeof path, "../shared/%s", file);
  there = fopen(path, "rb");
  if (!there) return NULL;
  fclose(there);
  return path;
}

/* A folder for scratch files, made by the Makefile. */
static inline const char *test_temp(void) { return "build/test_output"; }

/* A whole file in malloc'ed memory with a 0 byte after it, or NULL. */
static inline unsigned char *test_read(const char *path, size_t *size) {
  FILE *file = path ? fopen(path, "rb") : NULL;
  unsigned char *data = NULL;
  long length;
  if (!file) return NULL;
  if (fseek(file, 0, SEEK_END) == 0 && (length = ftell(file)) >= 0) {
    rewind(file);
    data = (unsigned char *)malloc((size_t)length + 1);
    if (data && fread(data, 1, (size_t)length, file) == (size_t)length) {
      data[length] = 0;
      *size = (size_t)length;
    } else {
      free(data);
      data = NULL;
    }
  }
  fclose(file);
  return data;
}

/* A stream over bytes in memory: test_stream_read is its read, the struct its user. */
typedef struct test_stream { const uint8_t *data; size_t size, position; } test_stream;
static inline int64_t test_stream_read(void *user, void *buffer, size_t size) {
  test_stream *s = (test_stream *)user;
  size_t n = size < s->size - s->position ? size : s->size - s->position;
  memcpy(buffer, s->data + s->position, n);
  s->position += n;
  return (int64_t)n;
}

/* Threads as the library has them: who is running, and a lock. */
#if defined(FMI_PTHREADS)
typedef pthread_t test_thread;
static inline test_thread test_this_thread(void) { return pthread_self(); }
static inline bool test_in_thread(test_thread thread) { return pthread_equal(thread, pthread_self()) != 0; }
#elif defined(FMI_WINDOWS_THREADS)
typedef DWORD test_thread;
static inline test_thread test_this_thread(void) { return GetCurrentThreadId(); }
static inline bool test_in_thread(test_thread thread) { return thread == GetCurrentThreadId(); }
#else
typedef int test_thread;
static inline test_thread test_this_thread(void) { return 0; }
static inline bool test_in_thread(test_thread thread) { return thread == 0; }
#endif
#ifdef FMI_THREADS
typedef fmi_monitor test_lock;
static inline void test_lock_begin(test_lock *lock) {
  if (!fmi_begin_monitor(lock)) exit(1);
}
static inline void test_lock_end(test_lock *lock) { fmi_end_monitor(lock); }
static inline void test_lock_take(test_lock *lock) { fmi_lock(lock); }
static inline void test_lock_give(test_lock *lock) { fmi_unlock(lock); }
#else
typedef int test_lock;
static inline void test_lock_begin(test_lock *lock) { *lock = 0; }
static inline void test_lock_end(test_lock *lock) { (void)lock; }
static inline void test_lock_take(test_lock *lock) { (void)lock; }
static inline void test_lock_give(test_lock *lock) { (void)lock; }
#endif

static int test_run_all(const char *file, const test_case *cases, size_t count) {
  int passed = 0, failed = 0, skipped = 0;
  for (size_t i = 0; i < count; i++) {
    test_running = cases[i].name;
    test_failures = 0;
    test_skip_reason = NULL;
    cases[i].run();
    if (test_failures) failed++;
    else if (test_skip_reason) { skipped++; printf("skip %s: %s\n", cases[i].name, test_skip_reason); }
    else passed++;
  }
  printf("%s: %d passed, %d failed, %d skipped\n", file, passed, failed, skipped);
  return failed != 0;
}

#define TEST_MAIN(...) \
  int main(void) { \
    static const test_case cases[] = {__VA_ARGS__}; \
    return test_run_all(__FILE__, cases, sizeof cases / sizeof cases[0]); \
  }

#endif
