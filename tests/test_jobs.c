/* Every job exactly once, each worker in one job at a time, the caller's own jobs used, and the floating-point state of jobs. */
#include "test.h"

#include <fenv.h>

enum { MOST_JOBS = 1000, MOST_WORKERS = 8 };

typedef struct board {
#ifdef FMI_PTHREADS
  pthread_mutex_t lock;
  pthread_t caller;
#endif
  int done[MOST_JOBS], busy[MOST_WORKERS], workers, wrong, elsewhere, wrong_mode;
} board;

static void lock(board *b) {
#ifdef FMI_PTHREADS
  pthread_mutex_lock(&b->lock);
#else
  (void)b;
#endif
}
static void unlock(board *b) {
#ifdef FMI_PTHREADS
  pthread_mutex_unlock(&b->lock);
#else
  (void)b;
#endif
}
static void begin_board(board *b, int workers) {
  memset(b, 0, sizeof *b);
  b->workers = workers;
#ifdef FMI_PTHREADS
  pthread_mutex_init(&b->lock, NULL);
  b->caller = pthread_self();
#endif
}
static void end_board(board *b) {
#ifdef FMI_PTHREADS
  pthread_mutex_destroy(&b->lock);
#else
  (void)b;
#endif
}

static int rounding_mode(void) {
#ifdef FMI_X86
  return (int)(_mm_getcsr() & 0x6000u); /* glibc's fegetround looks at the x87 unit alone */
#else
  return fegetround();
#endif
}

static void job(void *data, size_t i, int worker) {
  board *b = (board *)data;
  volatile unsigned work = 0;
  lock(b);
  bool inside = worker >= 0 && worker < b->workers && i < MOST_JOBS;
  if (!inside || b->busy[worker]++) b->wrong++;
  if (inside) b->done[i]++;
#ifdef FMI_PTHREADS
  if (!pthread_equal(pthread_self(), b->caller)) b->elsewhere++;
#endif
#if defined(FMI_X86) || defined(__aarch64__)
  if (rounding_mode() != 0) b->wrong_mode++;
#endif
  unlock(b);
  for (unsigned k = 0; k < i % 7 * 50; k++) work = work + k;
  lock(b);
  if (inside) b->busy[worker]--;
  unlock(b);
}
static void check_board(const board *b, size_t count) {
  int missed = 0;
  for (size_t i = 0; i < MOST_JOBS; i++) missed += b->done[i] != (i < count);
  CHECK_INT(missed, 0);
  CHECK_INT(b->wrong, 0);
  CHECK_INT(b->wrong_mode, 0);
}

static void test_each_job_once(void) {
  static const size_t counts[] = {0, 1, 2, 3, 7, 8, 9, 100, MOST_JOBS};
  static board b;
  for (int workers = 1; workers <= MOST_WORKERS; workers++)
    for (size_t c = 0; c < FMI_COUNT(counts); c++) {
      fm_common common;
      fmi_env env;
      memset(&common, 0, sizeof common);
      common.threads = workers;
      begin_board(&b, fm_worker_count(&common));
      fmi_begin(&env, &common, NULL, NULL);
      fmi_run_jobs(&env, job, &b, counts[c]);
      CHECK(fmi_end(&env));
      check_board(&b, counts[c]);
      if (workers == 1) CHECK_INT(b.elsewhere, 0); /* no thread at all */
      end_board(&b);
    }
}

/* More threads than the library ever starts: 256 at most. */
static void test_worker_count(void) {
  fm_common common;
  fm_jobs jobs;
  memset(&common, 0, sizeof common);
  memset(&jobs, 0, sizeof jobs);
  CHECK(fm_worker_count(NULL) >= 1 && fm_worker_count(NULL) <= 256);
  CHECK_INT(fm_worker_count(&common), fm_worker_count(NULL));
  common.threads = 1;
  CHECK_INT(fm_worker_count(&common), 1);
#ifdef FMI_PTHREADS
  common.threads = 3;
  CHECK_INT(fm_worker_count(&common), 3);
  common.threads = INT_MAX;
  CHECK_INT(fm_worker_count(&common), 256);
#endif
  common.threads = 0;
  common.jobs = &jobs; /* jobs without a function are none */
  CHECK_INT(fm_worker_count(&common), fm_worker_count(NULL));
}

/* ---- the caller's own ---- */

typedef struct own_jobs { int calls; size_t count; bool upward; } own_jobs;

/* Backwards and over two workers, as only a caller's function would. */
static void run_own(void *user, fm_job_fn *fn, void *data, size_t count) {
  own_jobs *own = (own_jobs *)user;
  own->calls++;
  own->count = count;
  if (own->upward) fesetround(FE_UPWARD);
  for (size_t i = count; i-- > 0;) fn(data, i, (int)(i % 2));
  if (own->upward) fesetround(FE_TONEAREST);
}

static void run_with_own(own_jobs *own, board *b, size_t count) {
  fm_jobs jobs = {NULL, 2, run_own};
  fm_common common;
  fmi_env env;
  jobs.user = own;
  memset(&common, 0, sizeof common);
  common.jobs = &jobs;
  common.threads = 5; /* jobs go before threads */
  CHECK_INT(fm_worker_count(&common), 2);
  fmi_begin(&env, &common, NULL, NULL);
  fmi_run_jobs(&env, job, b, count);
  CHECK(fmi_end(&env));
}

static void test_own_jobs(void) {
  static board b;
  own_jobs own = {0, 0, false};
  begin_board(&b, 2);
  run_with_own(&own, &b, 37);
  CHECK_INT(own.calls, 1);
  CHECK_INT(own.count, 37);
  CHECK_INT(b.elsewhere, 0);
  check_board(&b, 37);
  end_board(&b);
  fm_jobs none = {NULL, 0, run_own};
  fm_common common;
  memset(&common, 0, sizeof common);
  common.jobs = &none;
  CHECK_INT(fm_worker_count(&common), 1); /* one worker at least */
}

/* An engine's threads may round otherwise or flush denormals: each job begins with the default state all the same. */
static void test_state_in_own_jobs(void) {
#if defined(FMI_X86) || defined(__aarch64__)
  static board b;
  own_jobs own = {0, 0, true};
  begin_board(&b, 2);
  run_with_own(&own, &b, 20);
  check_board(&b, 20);
  end_board(&b);
#else
  SKIP("this machine's rounding mode is left alone");
#endif
}

/* The library's own threads inherit the caller's mode and must not keep it; the caller finds it again. */
static void test_state_in_threads(void) {
#if defined(FMI_X86) || defined(__aarch64__)
  static board b;
  fm_common common;
  fmi_env env;
  memset(&common, 0, sizeof common);
  common.threads = 4;
  begin_board(&b, 4);
  fesetround(FE_UPWARD);
  int before = rounding_mode();
  fmi_begin(&env, &common, NULL, NULL);
  fmi_run_jobs(&env, job, &b, 200);
  fmi_end(&env);
  int after = rounding_mode();
  fesetround(FE_TONEAREST);
  CHECK_INT(after, before);
  check_board(&b, 200);
  end_board(&b);
#else
  SKIP("this machine's rounding mode is left alone");
#endif
}

static double fixed_clock(void *user) { return *(double *)user; }
static void test_clock(void) {
  double now = 1234.5;
  fm_common common;
  fmi_env env;
  memset(&common, 0, sizeof common);
  fmi_begin(&env, &common, NULL, NULL);
  double first = fmi_clock(&env), second = fmi_clock(&env);
  CHECK(second >= first);
  common.clock = fixed_clock;
  common.clock_user = &now;
  CHECK(fmi_clock(&env) == 1234.5);
  CHECK(fmi_end(&env));
}

TEST_MAIN({"each job once", test_each_job_once}, {"worker count", test_worker_count}, {"jobs of one's own", test_own_jobs},
          {"state in jobs of one's own", test_state_in_own_jobs}, {"state in threads", test_state_in_threads}, {"clock", test_clock})
