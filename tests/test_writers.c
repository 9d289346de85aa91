/* PNG writing: what is written reads back, holds its texts, and is no larger than libpng's. */
#include "test.h"

typedef struct memory { unsigned char *data; size_t size; bool refuse; } memory;

static bool take(void *user, const void *data, size_t size) {
  memory *m = (memory *)user;
  if (m->refuse) return false;
  m->data = (unsigned char *)realloc(m->data, m->size + size);
  memcpy(m->data + m->size, data, size);
  m->size += size;
  return true;
}
static fm_sink sink_of(memory *m) {
  fm_sink sink;
  memset(m, 0, sizeof *m);
  sink.user = m;
  sink.write = take;
  return sink;
}

static fm_image make_image(int width, int height, int channels, uint32_t seed, int kind) {
  fm_image image;
  memset(&image, 0, sizeof image);
  image.width = width;
  image.height = height;
  image.channels = channels;
  image.pixels = (uint8_t *)malloc((size_t)width * (size_t)height * (size_t)channels);
  for (int y = 0, i = 0; y < height; y++)
    for (int x = 0; x < width; x++)
      for (int c = 0; c < channels; c++, i++) {
        seed = seed * 1664525u + 1013904223u;
        int noise = (int)(seed >> 24);
        image.pixels[i] = (uint8_t)(kind == 0 ? noise : kind == 1 ? 200 : kind == 2 ? x * 3 + y * 2 + c * 50 + noise % 3 : (x / 5 + y / 7) % 2 * 255);
      }
  return image;
}

/* Decodes and compares every pixel; false where the library was built without its PNG reader. */
static void check_pixels(const unsigned char *data, size_t size, const fm_image *want) {
  fmi_env env;
  fm_error error;
  fm_image got;
  memset(&got, 0, sizeof got);
  fmi_begin(&env, NULL, &error, "written.png");
  CHECK(fmi_png_decode(&env, &env.temp, data, size, &got));
  CHECK_TEXT(error.message, "");
  CHECK_INT(env.warning_count, 0);
  CHECK(got.pixels && got.width == want->width && got.height == want->height && got.channels == want->channels);
  if (got.pixels) CHECK(memcmp(got.pixels, want->pixels, (size_t)want->width * (size_t)want->height * (size_t)want->channels) == 0);
  fmi_end(&env);
}

static void test_round_trips(void) {
  static const int sides[] = {1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 31, 64, 100, 301};
  for (int channels = 1; channels <= 4; channels++)
    for (int kind = 0; kind < 4; kind++)
      for (size_t a = 0; a < sizeof sides / sizeof sides[0]; a++)
        for (size_t b = 0; b < sizeof sides / sizeof sides[0]; b += 1 + (a + (size_t)kind) % 3) {
          fm_image image = make_image(sides[a], sides[b], channels, (uint32_t)(a * 100 + b), kind);
          memory m;
          fm_sink sink = sink_of(&m);
          fm_error error;
          CHECK(fm_write_png(&sink, &image, NULL, &error));
          CHECK(m.size <= fmi_png_bound(sides[a], sides[b], channels, NULL));
          check_pixels(m.data, m.size, &image);
          free(m.data);
          free(image.pixels);
        }
}

/* The core in memory of exactly the promised size and of any contents; the same bytes each time. */
static void test_core(void) {
  fm_image image = make_image(61, 47, 3, 5, 0); /* noise: the longest file */
  static const char *const texts[] = {"Title", "x", "Author", "J\xC3\xB6rg", NULL};
  size_t bound = fmi_png_bound(61, 47, 3, texts), need = fmi_png_scratch(61, 47, 3), size[2];
  unsigned char *out[2];
  for (int i = 0; i < 2; i++) {
    void *scratch = malloc(need);
    memset(scratch, i * 255, need);
    out[i] = (unsigned char *)malloc(bound);
    size[i] = fmi_png_encode(out[i], scratch, &image, texts, true);
    CHECK(size[i] <= bound);
    free(scratch);
  }
  CHECK(size[0] == size[1] && memcmp(out[0], out[1], size[0]) == 0);
  check_pixels(out[0], size[0], &image);
  free(out[0]);
  free(out[1]);
  free(image.pixels);
}

static const unsigned char *find(const memory *m, const char *name, uint32_t *size) {
  for (size_t at = 8; at + 12 <= m->size; at += 12 + fmi_be32(m->data + at))
    if (memcmp(m->data + at + 4, name, 4) == 0) {
      *size = fmi_be32(m->data + at);
      return m->data + at + 8;
    }
  return NULL;
}

static void test_texts(void) {
  static const char *const texts[] = {"Software", "facemorph", "Title", "Gr\xC3\xBC\xC3\x9F" "e", "Comment", "", NULL};
  fm_image image = make_image(3, 2, 4, 1, 0);
  fm_png_desc desc = {0};
  memory m;
  fm_sink sink = sink_of(&m);
  uint32_t size;
  desc.texts = texts;
  CHECK(fm_write_png(&sink, &image, &desc, NULL));
  const unsigned char *p = find(&m, "tEXt", &size);
  CHECK(p && size == 18 && memcmp(p, "Software\0facemorph", 18) == 0);
  p = find(&m, "iTXt", &size);
  CHECK(p && size == 5 + 1 + 4 + 7 && memcmp(p, "Title\0\0\0\0\0Gr\xC3\xBC\xC3\x9F" "e", size) == 0);
  p = find(&m, "sRGB", &size);
  CHECK(p && size == 1 && p[0] == 0);
  p = find(&m, "IHDR", &size);
  CHECK(p && size == 13 && memcmp(p, "\0\0\0\3\0\0\0\2\10\6\0\0\0", 13) == 0);
  check_pixels(m.data, m.size, &image);
  free(m.data);
  sink = sink_of(&m);
  desc.texts = NULL;
  desc.no_srgb = true;
  CHECK(fm_write_png(&sink, &image, &desc, NULL));
  CHECK(!find(&m, "sRGB", &size) && !find(&m, "tEXt", &size));
  free(m.data);
  free(image.pixels);
}

static void test_arguments(void) {
  static const char *const no_text[] = {"Title", NULL}, *const no_key[] = {"", "x", NULL}, *const bad_key[] = {"a\nb", "x", NULL},
                    *const long_key[] = {"12345678901234567890123456789012345678901234567890123456789012345678901234567890", "x", NULL};
  const char *const *const wrong[] = {no_text, no_key, bad_key, long_key};
  fm_image image = make_image(2, 2, 3, 1, 0), bad;
  fm_png_desc desc = {0};
  fm_error error;
  memory m;
  fm_sink sink = sink_of(&m);
  for (size_t i = 0; i < 4; i++) {
    desc.texts = wrong[i];
    CHECK(!fm_write_png(&sink, &image, &desc, &error));
    CHECK_INT(error.status, FM_ERROR_ARGUMENT);
  }
  for (int i = 0; i < 5; i++) {
    bad = image;
    if (i == 0) bad.width = 0;
    if (i == 1) bad.height = -1;
    if (i == 2) bad.channels = 5;
    if (i == 3) bad.channels = 0;
    if (i == 4) bad.pixels = NULL;
    CHECK(!fm_write_png(&sink, &bad, NULL, &error));
    CHECK_INT(error.status, FM_ERROR_ARGUMENT);
  }
  bad = image;
  bad.width = bad.height = INT32_MAX; /* told before any pixel is touched */
  CHECK(!fm_write_png(&sink, &bad, NULL, &error));
  CHECK_INT(error.status, FM_ERROR_LIMIT);
  CHECK(!fm_write_png(&sink, NULL, NULL, &error));
  CHECK(!fm_write_png(NULL, &image, NULL, &error));
  CHECK_INT(m.size, 0);
  m.refuse = true;
  CHECK(!fm_write_png(&sink, &image, NULL, &error));
  CHECK_INT(error.status, FM_ERROR_WRITE);
  free(image.pixels);
}

static void test_file(void) {
  char path[600];
  fm_image image = make_image(20, 10, 3, 1, 2);
  fm_error error;
  size_t size = 0;
  snprintf(path, sizeof path, "%s/written.png", test_temp());
  if (!fm_write_png_file(path, &image, NULL, &error)) printf("%s\n", error.message);
  CHECK_INT(error.status, FM_OK);
  unsigned char *data = test_read(path, &size);
  CHECK(data != NULL);
  if (data) check_pixels(data, size, &image);
  free(data);
  snprintf(path, sizeof path, "%s/no such folder/written.png", test_temp());
  CHECK(!fm_write_png_file(path, &image, NULL, &error));
  CHECK_INT(error.status, FM_ERROR_WRITE);
  CHECK(!fm_write_png_file(NULL, &image, NULL, &error));
  CHECK_INT(error.status, FM_ERROR_ARGUMENT);
  free(image.pixels);
}

/* Rendered frames: at most 6 % more than libpng 1.6.39 makes of them (level 6, all filters). */
static void test_size(void) {
  static const struct { const char *file; size_t libpng; } frames[] = {
    {"golden/reference_frames/frame_untextured_A.png", 23449}, {"golden/reference_frames/ict_a-000_ict_b-1000.png", 56575},
    {"golden/reference_frames/ict_a-1000_ict_b-000.png", 67039}, {"golden/reference_frames/ict_a-500_ict_b-500.png", 59069}};
  if (!test_shared(frames[0].file)) SKIP("../shared/golden is not there");
  for (size_t i = 0; i < sizeof frames / sizeof frames[0]; i++) {
    size_t size = 0;
    unsigned char *data = test_read(test_shared(frames[i].file), &size);
    fmi_env env;
    fm_image image;
    memory m;
    fm_sink sink = sink_of(&m);
    memset(&image, 0, sizeof image);
    fmi_begin(&env, NULL, NULL, NULL);
    CHECK(data && fmi_png_decode(&env, &env.temp, data, size, &image));
    CHECK(fm_write_png(&sink, &image, NULL, NULL));
    CHECK(m.size < frames[i].libpng * 106 / 100);
    fmi_end(&env);
    free(data);
    free(m.data);
  }
}

TEST_MAIN({"round trips", test_round_trips}, {"core", test_core}, {"texts", test_texts}, {"arguments", test_arguments}, {"file", test_file},
          {"size", test_size})
