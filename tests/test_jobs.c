/* Every job exactly once, each worker in one job at a time, the caller's own jobs used, and the floating-point state of jobs. */
#include "test.h"

#include <fenv.h>

enum { MOST_JOBS = 1000, MOST_WORKERS = 8 };

typedef struct board {
  test_lock lock;
  test_thread caller;
  int done[MOST_JOBS], busy[MOST_WORKERS], workers, wrong, elsewhere, wrong_mode;
  /* of a series */
  size_t window, handed, stop_at; /* stop_at: this hand-over, from 1, says no */
} board;

static void begin_board(board *b, int workers) {
  memset(b, 0, sizeof *b);
  b->workers = workers;
  b->caller = test_this_thread();
  test_lock_begin(&b->lock);
}
static void end_board(board *b) { test_lock_end(&b->lock); }

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
  test_lock_take(&b->lock);
  bool inside = worker >= 0 && worker < b->workers && i < MOST_JOBS;
  if (!inside || b->busy[worker]++) b->wrong++;
  if (inside) b->done[i]++;
  if (!test_in_thread(b->caller)) b->elsewhere++;
  if (b->window && i >= b->handed + b->window) b->wrong++; /* too many in flight */
#if defined(FMI_X86) || defined(__aarch64__)
  if (rounding_mode() != 0) b->wrong_mode++;
#endif
  test_lock_give(&b->lock);
  for (unsigned k = 0; k < i % 7 * 50; k++) work = work + k;
  test_lock_take(&b->lock);
  if (inside) b->busy[worker]--;
  test_lock_give(&b->lock);
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

/* Done before it is handed over, in order, on the caller's thread. */
static bool hand_over(void *data, size_t i) {
  board *b = (board *)data;
  test_lock_take(&b->lock);
  if (i != b->handed || b->done[i] != 1 || !test_in_thread(b->caller)) b->wrong++;
  b->handed++;
  bool go_on = b->handed != b->stop_at;
  test_lock_give(&b->lock);
  return go_on;
}

/* A series over threads of the library's, or over a caller's jobs. Returns how many were begun. */
static size_t run_series(board *b, const fm_common *with, size_t count, size_t window, size_t stop_at) {
  fm_common common = *with;
  fmi_series series;
  fmi_env env;
  size_t begun = 0;
  begin_board(b, fm_worker_count(&common));
  b->window = window;
  b->stop_at = stop_at;
  memset(&series, 0, sizeof series);
  series.work = job;
  series.hand_over = hand_over;
  series.data = b;
  series.count = count;
  series.window = window;
  fmi_begin(&env, &common, NULL, NULL);
  fmi_run_series(&env, &series);
  CHECK(fmi_end(&env));
  for (size_t i = 0; i < MOST_JOBS; i++) {
    CHECK(b->done[i] <= (i < count));
    begun += (size_t)b->done[i];
  }
  CHECK_INT(b->wrong, 0);
  CHECK_INT(b->wrong_mode, 0);
  end_board(b);
  return begun;
}

static void test_series(void) {
  static const size_t counts[] = {0, 1, 2, 3, 16, 17, 100};
  static board b;
  fm_common common;
  memset(&common, 0, sizeof common);
  for (common.threads = 1; common.threads <= MOST_WORKERS; common.threads++)
    for (size_t c = 0; c < FMI_COUNT(counts); c++)
      for (size_t window = 1; window <= fmi_most_in_flight(common.threads); window += 1 + window / 3) {
        CHECK_INT(run_series(&b, &common, counts[c], window, 0), counts[c]);
        CHECK_INT(b.handed, counts[c]);
        if (counts[c] < 16) continue;
        size_t stop = 1 + (window * 5 + c) % counts[c], begun = run_series(&b, &common, counts[c], window, stop);
        CHECK_INT(b.handed, stop); /* what was under way ends, and nothing is handed over any more */
        CHECK(begun >= stop && begun <= stop + window);
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
#ifdef FMI_THREADS
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

static void test_series_in_own_jobs(void) {
  static board b;
  own_jobs own = {0, 0, false};
  fm_jobs jobs = {NULL, 2, run_own};
  fm_common common;
  jobs.user = &own;
  memset(&common, 0, sizeof common);
  common.jobs = &jobs;
  CHECK_INT(run_series(&b, &common, 10, 4, 0), 10);
  CHECK_INT(own.calls, 3); /* rounds of 4, 4 and 2 */
  CHECK_INT(own.count, 2);
  CHECK_INT(b.handed, 10);
  CHECK_INT(run_series(&b, &common, 10, 4, 6), 8);
  CHECK_INT(b.handed, 6);
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

/* ---- how many processors ---- */

#if defined(FMI_THREADS) && defined(__linux__) && !defined(FACEMORPH_NO_STDIO)
static void test_affinity_text(void) {
  static const struct { const char *text; int want; } cases[] = {
    {"Name:\tx\nCpus_allowed:\t3\nCpus_allowed_list:\t0-1\n", 2},
    {"Name:\tx\nCpus_allowed:\tff,fffffffe\nMems_allowed:\t1\n", 39},
    {"Name:\tx\nCpus_allowed:\t00000000,00000000,80000000", 1},
    {"Name:\tx\nCpus_allowed:\t0\nCpus_allowed_list:\t\n", INT_MAX},
    {"Cpus_allowed:\t3\n", INT_MAX}, /* a process of that name */
    {"Name:\tx\nCpus_allowed_list:\t0-1\n", INT_MAX},
    {"", INT_MAX}};
  for (size_t i = 0; i < FMI_COUNT(cases); i++) CHECK_INT(fmi_allowed_processors(cases[i].text), cases[i].want);
}

static void test_quota_text(void) {
  static const struct { const char *text; int want; } cases[] = {
    {"max 100000\n", INT_MAX}, {"100000 100000\n", 1}, {"150000 100000\n", 2}, {"200000 100000", 2}, {"200001 100000", 3},
    {"1000 100000\n", 1}, {"-1\n100000\n", INT_MAX}, {"350000\n100000\n", 4}, {"", INT_MAX}, {"5", INT_MAX}, {"5 x", INT_MAX},
    {"5 0", INT_MAX}, {"0 5", INT_MAX}, {"9e15 1", INT_MAX}, {"nan nan", INT_MAX}};
  for (size_t i = 0; i < FMI_COUNT(cases); i++) CHECK_INT(fmi_quota_processors(cases[i].text), cases[i].want);
}

static void test_cgroup_text(void) {
  static const char both[] = "12:cpuset:/set\n4:cpuacct,cpu:/a/b\n3:name=systemd:/s:x\n0::/u v/w\n";
  static const struct { const char *text, *controller, *want; } cases[] = {
    {both, "cpu", "/a/b"}, {both, "cpuset", "/set"}, {both, "cpuacct", "/a/b"}, {both, "", "/u v/w"},
    {both, "name=systemd", "/s:x"},
    {both, "memory", NULL}, {both, "cp", NULL}, {"0::/\n", "", "/"}, {"0::/", "cpu", NULL}, {"1:cpu:/x", "", NULL},
    {"", "", NULL}, {"\n\n", "", NULL}, {"cpu", "cpu", NULL}, {"1:cpu", "cpu", NULL}, {"1:cpu\n:", "cpu", NULL},
    {"1:cpu,", "cpu", NULL}, {"1:cpu:\n", "cpu", NULL}};
  for (size_t i = 0; i < FMI_COUNT(cases); i++) {
    size_t length = 0;
    const char *group = fmi_find_cgroup(cases[i].text, cases[i].controller, &length);
    CHECK((group == NULL) == (cases[i].want == NULL));
    if (group && cases[i].want) CHECK(length == strlen(cases[i].want) && memcmp(group, cases[i].want, length) == 0);
  }
}

static void put_file(const char *path, const char *text) {
  char full[300];
  snprintf(full, sizeof full, "%s/cgroup%s", test_temp(), path);
  for (char *p = full + 1; *p; p++)
    if (*p == '/') {
      *p = 0;
      mkdir(full, 0777);
      *p = '/';
    }
  FILE *file = fopen(full, "wb");
  CHECK(file != NULL);
  if (!file) return;
  fputs(text, file);
  fclose(file);
}

/* A tree of groups as Linux has it: the least quota on the way up counts. */
static void test_cgroup_tree(void) {
  char root[300], deep[1000];
  snprintf(root, sizeof root, "%s/cgroup", test_temp());
  put_file("/box/cpu.max", "500000 100000\n");
  put_file("/box/inner/cpu.max", "max 100000\n");
  put_file("/box/inner/small/cpu.max", "250000 100000\n");
  put_file("/cpu/cpu.cfs_quota_us", "-1\n");
  put_file("/cpu/cpu.cfs_period_us", "100000\n");
  put_file("/cpu/old/cpu.cfs_quota_us", "350000\n");
  put_file("/cpu/old/cpu.cfs_period_us", "50000\n");
  CHECK_INT(fmi_cgroup_processors(root, "0::/box/inner/small\n"), 3);
  CHECK_INT(fmi_cgroup_processors(root, "0::/box/inner\n"), 5);
  CHECK_INT(fmi_cgroup_processors(root, "0::/box/inner/gone/deeper\n"), 5);
  CHECK_INT(fmi_cgroup_processors(root, "0::/\n"), INT_MAX);
  CHECK_INT(fmi_cgroup_processors(root, "3:cpuacct,cpu:/old\n0::/\n"), 7);
  CHECK_INT(fmi_cgroup_processors(root, "3:cpu:/old/x\n0::/box\n"), 5);
  CHECK_INT(fmi_cgroup_processors(root, "3:cpu:/\n"), INT_MAX);
  CHECK_INT(fmi_cgroup_processors(root, ""), INT_MAX);
  memset(deep, 'x', sizeof deep);
  memcpy(deep, "0::/", 4);
  deep[sizeof deep - 1] = 0;
  CHECK_INT(fmi_cgroup_processors(root, deep), INT_MAX); /* a name too long is passed over, its root is not */
  put_file("/cpu.max", "100000 100000\n");
  CHECK_INT(fmi_cgroup_processors(root, deep), 1);
  CHECK_INT(fmi_cgroup_processors(root, "0::/box\n"), 1);
  char top[320];
  snprintf(top, sizeof top, "%s/cpu.max", root);
  remove(top);
}
#else
static void test_affinity_text(void) { SKIP("not on Linux, or without threads or stdio"); }
static void test_quota_text(void) { SKIP("not on Linux, or without threads or stdio"); }
static void test_cgroup_text(void) { SKIP("not on Linux, or without threads or stdio"); }
static void test_cgroup_tree(void) { SKIP("not on Linux, or without threads or stdio"); }
#endif

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

TEST_MAIN({"each job once", test_each_job_once}, {"series", test_series}, {"worker count", test_worker_count},
          {"jobs of one's own", test_own_jobs}, {"series in jobs of one's own", test_series_in_own_jobs},
          {"affinity", test_affinity_text}, {"quotas", test_quota_text}, {"groups", test_cgroup_text},
          {"tree of groups", test_cgroup_tree},
          {"state in jobs of one's own", test_state_in_own_jobs}, {"state in threads", test_state_in_threads}, {"clock", test_clock})
