/* Pools over an allocator that counts, checks the old sizes it is told, always moves what it resizes, and can fail at a chosen
   call. */
#include "scene.h"

enum { HEAD = 32 }; /* the size stands before each block, which stays aligned */
typedef struct counter { size_t blocks, bytes, calls, fail_at; bool wrong; } counter;

static void *count_resize(void *user, void *memory, size_t old_size, size_t new_size) {
  counter *c = (counter *)user;
  unsigned char *old = memory ? (unsigned char *)memory - HEAD : NULL, *fresh = NULL;
  size_t stored = 0;
  if (old) memcpy(&stored, old, sizeof stored);
  if (stored != old_size) c->wrong = true;
  if (new_size) {
    if (++c->calls == c->fail_at || new_size > SIZE_MAX / 2) return NULL;
    fresh = (unsigned char *)malloc(HEAD + new_size);
    if (!fresh) return NULL;
    memcpy(fresh, &new_size, sizeof new_size);
    memset(fresh + HEAD, 0xA5, new_size);
    if (old) memcpy(fresh + HEAD, memory, old_size < new_size ? old_size : new_size);
    c->blocks++;
    c->bytes += new_size;
  }
  if (old) {
    memset(old, 0xDD, HEAD + old_size);
    free(old);
    c->blocks--;
    c->bytes -= old_size;
  }
  return fresh ? fresh + HEAD : NULL;
}

typedef struct world { counter count; fm_allocator allocator; fm_limits limits; fm_common common; fm_error error; fmi_env env; } world;

static void begin(world *w) {
  memset(w, 0, sizeof *w);
  w->allocator.user = &w->count;
  w->allocator.resize = count_resize;
  w->common.allocator = &w->allocator;
  w->common.limits = &w->limits;
  fmi_begin(&w->env, &w->common, &w->error, NULL);
}
static void check_all_free(const world *w) {
  CHECK_INT(w->count.blocks, 0);
  CHECK_INT(w->count.bytes, 0);
  CHECK(!w->count.wrong);
}

static void test_pools(void) {
  static world w;
  begin(&w);
  for (size_t i = 0; i < 20; i++) {
    void *p = fmi_alloc(&w.env, i % 2 ? &w.env.temp : &w.env.keep, i, 7);
    CHECK(p && (uintptr_t)p % 16 == 0);
    if (p) memset(p, 0x11, 7 * i);
  }
  uint8_t *zero = (uint8_t *)fmi_alloc_zero(&w.env, &w.env.temp, 100, 3);
  for (size_t i = 0; zero && i < 300; i++) CHECK_INT(zero[i], 0);
  CHECK_INT(w.count.blocks, 21);
  CHECK_INT(w.env.blocks, 21);
  CHECK_INT(w.env.used, w.count.bytes);
  CHECK(fmi_end(&w.env));
  CHECK_INT(w.count.blocks, 10); /* what is kept */
  fmi_free_pool(&w.env, &w.env.allocator, &w.env.keep);
  CHECK_INT(w.env.used, 0);
  CHECK_INT(w.env.blocks, 0);
  check_all_free(&w);
  begin(&w); /* a call that failed keeps nothing */
  fmi_alloc(&w.env, &w.env.keep, 5, 5);
  fmi_alloc(&w.env, &w.env.temp, 5, 5);
  fmi_fail(&w.env, FM_ERROR_FORMAT, "on purpose");
  CHECK(!fmi_end(&w.env));
  check_all_free(&w);
}

/* Every block of a pool is reachable and holds its own byte. */
static void check_pool(const fmi_pool *pool, size_t count) {
  size_t n = 0;
  fmi_block *const *link = &pool->first;
  for (const fmi_block *b = pool->first; b; link = &b->next, b = b->next, n++) {
    CHECK(b->link == link);
    const uint8_t *p = (const uint8_t *)(b + 1);
    bool unchanged = true;
    for (size_t i = 1; i + sizeof *b < b->size; i++) unchanged = unchanged && p[i] == p[0];
    CHECK(unchanged);
  }
  CHECK_INT(n, count);
}

static void test_resize_and_release(void) {
  static world w;
  uint8_t *p[5];
  begin(&w);
  for (size_t i = 0; i < 5; i++) {
    p[i] = (uint8_t *)fmi_resize(&w.env, &w.env.temp, NULL, 10, 1);
    CHECK(p[i]);
    if (!p[i]) return;
    memset(p[i], (int)i + 1, 10);
  }
  for (size_t i = 0; i < 5; i++) { /* the last, the middle ones and the first of the list, each larger and smaller */
    p[i] = (uint8_t *)fmi_resize(&w.env, &w.env.temp, p[i], 50, 20);
    CHECK(p[i] && p[i][0] == i + 1 && p[i][9] == i + 1);
    memset(p[i], (int)i + 1, 1000);
    check_pool(&w.env.temp, 5);
    p[i] = (uint8_t *)fmi_resize(&w.env, &w.env.temp, p[i], 4, 1);
    check_pool(&w.env.temp, 5);
  }
  CHECK_INT(w.env.used, w.count.bytes);
  CHECK(w.env.peak >= w.env.used + 996);
  static const size_t order[] = {2, 4, 0, 3, 1}; /* from the middle, the front, the back */
  for (size_t i = 0; i < 5; i++) {
    fmi_release(&w.env, p[order[i]]);
    check_pool(&w.env.temp, 4 - i);
    CHECK_INT(w.env.used, w.count.bytes);
  }
  fmi_release(&w.env, NULL);
  check_all_free(&w);
  p[0] = (uint8_t *)fmi_alloc(&w.env, &w.env.temp, 3, 1);
  w.count.fail_at = w.count.calls + 1;
  memset(p[0], 9, 3);
  CHECK(!fmi_resize(&w.env, &w.env.temp, p[0], 300, 1)); /* the old block lives on */
  CHECK(p[0][0] == 9 && p[0][2] == 9);
  CHECK_INT(w.error.status, FM_ERROR_MEMORY);
  CHECK(!fmi_end(&w.env));
  check_all_free(&w);
}

static void test_limits(void) {
  static world w;
  begin(&w);
  w.env.limits.memory = 1000;
  void *p = fmi_alloc(&w.env, &w.env.temp, 1000 - sizeof(fmi_block), 1); /* to the last byte */
  CHECK(p);
  size_t calls = w.count.calls;
  CHECK(!fmi_alloc(&w.env, &w.env.temp, 0, 0));
  CHECK_INT(w.error.status, FM_ERROR_LIMIT);
  CHECK_INT(w.count.calls, calls); /* the allocator is not even asked */
  CHECK(strstr(w.error.message, "fm_limits.memory"));
  CHECK(!fmi_end(&w.env));
  check_all_free(&w);

  begin(&w);
  w.env.limits.memory = 1000;
  p = fmi_alloc(&w.env, &w.env.temp, 500, 1);
  CHECK(fmi_resize(&w.env, &w.env.temp, p, 2000, 1) == NULL);
  CHECK_INT(w.error.status, FM_ERROR_LIMIT);
  CHECK(!fmi_end(&w.env));
  check_all_free(&w);

  begin(&w);
  w.env.limits.allocations = 3;
  for (int i = 0; i < 3; i++) CHECK((p = fmi_alloc(&w.env, &w.env.temp, 1, 1)) != NULL);
  fmi_release(&w.env, p); /* alive at one time, not in all */
  CHECK(fmi_alloc(&w.env, &w.env.temp, 1, 1));
  CHECK(!fmi_alloc(&w.env, &w.env.temp, 1, 1));
  CHECK_INT(w.error.status, FM_ERROR_LIMIT);
  CHECK(!fmi_end(&w.env));
  check_all_free(&w);
}

static void test_impossible_sizes(void) {
  static const size_t sizes[][2] = {{SIZE_MAX, 1}, {1, SIZE_MAX}, {SIZE_MAX, SIZE_MAX}, {SIZE_MAX / 2 + 1, 2}, {SIZE_MAX / 16 + 2, 16},
                                    {SIZE_MAX - 31, 1}};
  for (size_t i = 0; i < FMI_COUNT(sizes); i++)
    for (int unlimited = 0; unlimited < 2; unlimited++)
      for (int kind = 0; kind < 3; kind++) {
        static world w;
        begin(&w);
        if (unlimited) w.env.limits.memory = SIZE_MAX;
        void *old = kind == 2 ? fmi_alloc(&w.env, &w.env.temp, 1, 1) : NULL;
        void *p = kind == 0 ? fmi_alloc(&w.env, &w.env.temp, sizes[i][0], sizes[i][1])
                  : kind == 1 ? fmi_alloc_zero(&w.env, &w.env.keep, sizes[i][0], sizes[i][1])
                              : fmi_resize(&w.env, &w.env.temp, old, sizes[i][0], sizes[i][1]);
        CHECK(!p);
        CHECK(w.error.status == FM_ERROR_LIMIT || (unlimited && w.error.status == FM_ERROR_MEMORY));
        CHECK(!fmi_end(&w.env));
        check_all_free(&w);
      }
}

static void test_owner(void) {
  static world w;
  begin(&w);
  for (int i = 0; i < 4; i++) fmi_alloc(&w.env, &w.env.keep, 100, 1);
  fmi_owner *owner = fmi_make_owner(&w.env);
  CHECK(owner);
  CHECK(!w.env.keep.first);
  CHECK(fmi_end(&w.env));
  CHECK_INT(w.count.blocks, 5);
  memset(&w.env, 0xEE, sizeof w.env); /* the owner needs nothing of the call */
  memset(&w.common, 0xEE, sizeof w.common);
  fmi_free_owner(owner);
  check_all_free(&w);
  fmi_free_owner(NULL);
  begin(&w);
  fmi_alloc(&w.env, &w.env.keep, 100, 1);
  w.count.fail_at = w.count.calls + 1;
  CHECK(!fmi_make_owner(&w.env));
  CHECK(!fmi_end(&w.env));
  check_all_free(&w);
}

static void test_text_and_warnings(void) {
  static world w;
  fmi_text text;
  begin(&w);
  memset(&text, 0, sizeof text);
  text.env = &w.env;
  text.pool = &w.env.temp;
  for (int i = 0; i < 1000; i++) CHECK(fmi_text_add(&text, "%03d,", i));
  CHECK(fmi_text_bytes(&text, "\0x", 2));
  CHECK_INT(text.size, 4002);
  for (int i = 0; text.data && i < 1000; i++) {
    char want[16];
    snprintf(want, sizeof want, "%03d,", i);
    CHECK(memcmp(text.data + 4 * i, want, 4) == 0);
  }
  CHECK(text.data && memcmp(text.data + 4000, "\0x\0", 3) == 0);
  CHECK(w.count.calls < 30); /* it grows in steps */
  for (int i = 0; i < 50; i++) CHECK(fmi_warn(&w.env, "warning %d of %s", i, "a test"));
  CHECK_INT(w.env.warning_count, 50);
  CHECK_TEXT(w.env.warnings[0], "warning 0 of a test");
  CHECK_TEXT(w.env.warnings[49], "warning 49 of a test");
  CHECK(fmi_end(&w.env));
  fmi_free_pool(NULL, &w.env.allocator, &w.env.keep);
  check_all_free(&w);
  for (size_t fail = 1; fail <= 4; fail++) {
    begin(&w);
    w.count.fail_at = fail;
    bool one = fmi_warn(&w.env, "one"), two = fmi_warn(&w.env, "two");
    CHECK(one != two);
    CHECK_INT(w.env.warning_count, 1); /* the count tells the truth */
    CHECK_INT(w.error.status, FM_ERROR_MEMORY);
    CHECK(!fmi_end(&w.env));
    check_all_free(&w);
  }
}

static void test_reserve(void) {
  static world w;
  size_t capacity = 0;
  uint32_t *numbers = NULL;
  begin(&w);
  for (uint32_t i = 0; i < 5000; i++) {
    uint32_t *grown = (uint32_t *)fmi_reserve(&w.env, &w.env.temp, numbers, i + 1, &capacity, sizeof *grown);
    CHECK(grown && capacity > i);
    if (!grown) return;
    numbers = grown;
    numbers[i] = i * 2654435761u;
  }
  for (uint32_t i = 0; i < 5000; i++) CHECK(numbers[i] == i * 2654435761u);
  CHECK(w.count.calls < 40);
  CHECK(!fmi_reserve(&w.env, &w.env.temp, numbers, SIZE_MAX, &capacity, sizeof *numbers));
  CHECK(capacity >= 5000 && capacity < SIZE_MAX && numbers[4999] == 4999u * 2654435761u);
  CHECK(!fmi_end(&w.env));
  check_all_free(&w);
}

/* A pair of textured heads, drawn with the built-in renderer. */
static bool draw_pair(counter *count, int threads, scene_picture *pictures, fm_error *error) {
  static scene_mesh a, b;
  static uint8_t texels[2][5 * 7 * 3];
  const fm_mesh *heads[2] = {&a.mesh, &b.mesh};
  const float weights[3][2] = {{1, 0}, {0.5f, 0.5f}, {0, 1}};
  fm_allocator allocator = {count, count_resize, false};
  fm_camera camera = scene_camera();
  fm_common common;
  fm_scene scene;
  fm_frame frames[3];
  fm_image_sink sink;
  fm_renderer renderer;
  memset(texels[0], 90, sizeof texels[0]);
  memset(texels[1], 180, sizeof texels[1]);
  scene_clear(&a);
  scene_clear(&b);
  scene_rectangle(&a, 4, 4, 20, 20, 0, 0);
  scene_rectangle(&b, 8, 6, 28, 30, 0, 0);
  scene_texture(&a, texels[0], 5, 7, 3);
  scene_texture(&b, texels[1], 7, 5, 3); /* another size: a pyramid of its own */
  memset(&common, 0, sizeof common);
  memset(&scene, 0, sizeof scene);
  memset(&sink, 0, sizeof sink);
  memset(frames, 0, sizeof frames);
  common.allocator = &allocator;
  common.threads = threads;
  scene.common = &common;
  scene.heads = heads;
  scene.head_count = 2;
  sink.user = pictures;
  sink.deliver = scene_deliver;
  for (int i = 0; i < 3; i++) {
    frames[i].shape_weights = weights[i];
    frames[i].camera = &camera;
    frames[i].width = frames[i].height = SCENE_SIDE;
  }
  bool ok = fm_software_renderer(&renderer, &common, error) && fm_render(&renderer, &scene, frames, 3, &sink, error);
  fm_destroy_renderer(&renderer);
  return ok;
}

static void test_every_allocation_fails_once(void) {
  static scene_picture want[3], got[3];
  counter count;
  fm_error error;
  memset(&count, 0, sizeof count);
  CHECK(draw_pair(&count, 1, want, &error));
  CHECK_INT(count.blocks, 0);
  CHECK(!count.wrong);
  size_t calls = count.calls;
  CHECK(calls > 20);
  for (size_t n = 1; n <= calls; n++) {
    memset(&count, 0, sizeof count);
    count.fail_at = n;
    CHECK(!draw_pair(&count, 1, got, &error));
    CHECK_INT(error.status, FM_ERROR_MEMORY);
    CHECK(strstr(error.message, "no memory is left"));
    CHECK_INT(count.blocks, 0);
    CHECK_INT(count.bytes, 0);
    CHECK(!count.wrong);
  }
  memset(&count, 0, sizeof count); /* this allocator is not thread-safe, and four threads must not care */
  CHECK(draw_pair(&count, 4, got, &error));
  CHECK_INT(count.blocks, 0);
  CHECK(memcmp(got, want, sizeof got) == 0);
}

TEST_MAIN({"pools", test_pools}, {"resize and release", test_resize_and_release}, {"limits", test_limits},
          {"impossible sizes", test_impossible_sizes}, {"owner", test_owner}, {"text and warnings", test_text_and_warnings},
          {"reserve", test_reserve}, {"every allocation fails once", test_every_allocation_fails_once})
