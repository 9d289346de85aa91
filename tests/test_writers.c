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
  fm_limits limits = {0};
  fm_common common = {0};
  limits.image_side = 1 << 20;
  common.limits = &limits;
  memset(&got, 0, sizeof got);
  fmi_begin(&env, &common, &error, "written.png");
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

/* What each level makes of an image in scratch memory of exactly the promised size and of any contents: always the same bytes,
   never more than promised. Returns them, to be freed. */
static memory encode(const fm_image *image, const char *const *texts) {
  memory first;
  size_t need = fmi_png_scratch(image->width, image->channels);
  memset(&first, 0, sizeof first);
  for (int level = FM_SIMD_SCALAR; level <= FM_SIMD_NEON; level++) {
    if (!fmi_has_simd((fm_simd)level)) continue;
    memory m;
    fm_sink sink = sink_of(&m);
    void *scratch = malloc(need);
    memset(scratch, level * 85, need);
    CHECK(fmi_png_encode(scratch, (fm_simd)level, &sink, image, texts, true));
    CHECK(m.size <= fmi_png_bound(image->width, image->height, image->channels, texts));
    free(scratch);
    if (!first.data) first = m;
    else {
      CHECK(m.size == first.size && memcmp(m.data, first.data, m.size) == 0);
      free(m.data);
    }
  }
  return first;
}
static void check_round_trip(const fm_image *image) {
  memory m = encode(image, NULL);
  check_pixels(m.data, m.size, image);
  free(m.data);
}

static void test_core(void) {
  fm_image image = make_image(61, 47, 3, 5, 0); /* noise: the longest file */
  static const char *const texts[] = {"Title", "x", "Author", "J\xC3\xB6rg", NULL};
  memory m = encode(&image, texts);
  check_pixels(m.data, m.size, &image);
  free(m.data);
  free(image.pixels);
}

/* Pictures that reach the limits of a block: bytes (smooth noise, and noise that is stored), tokens and matches (short runs of
   zeros, grey pixels), runs over 65,535 zeros, bytes that are stored although a quarter of them looks easy. */
static void test_blocks(void) {
  static const int sizes[][3] = {{700, 300, 3}, {30000, 4, 4}, {70000, 2, 1}, {1, 20000, 1}, {64, 1000, 4}, {40000, 3, 2}};
  for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
    for (int kind = 0; kind < 11; kind++) {
      fm_image image = make_image(sizes[i][0], sizes[i][1], sizes[i][2], (uint32_t)i, 1);
      size_t n = (size_t)image.width * (size_t)image.height * (size_t)image.channels;
      uint32_t seed = (uint32_t)(kind + 1);
      for (size_t k = 0; k < n; k++) {
        uint32_t r = (seed = seed * 1664525u + 1013904223u) >> 24;
        uint8_t *p = &image.pixels[k];
        if (kind == 1) *p = (uint8_t)r;
        if (kind == 2) *p = (uint8_t)(100 + (r & 7) + (r & 8) * (r >> 4) / 8);
        if (kind == 3 && k % 37 == 5) *p = (uint8_t)r;                     /* runs of about 12 to 35 zeros */
        if (kind == 4 && k % 61 == 5) *p = (uint8_t)r;
        if (kind == 5 && r == 0) *p = (uint8_t)(seed >> 16);               /* long runs, now and then a change */
        if (kind == 6 && k > n / 2) *p = (uint8_t)r;
        if (kind == 7 && k % 64 >= 16) *p = (uint8_t)r;                    /* a sample in phase with the picture */
        /* grey pixels: noise of all values and of a few; rows of colours between them */
        if (kind >= 8 && k % (size_t)image.channels % 4 != 0) *p = k % (size_t)image.channels == 3 ? 255 : p[-1];
        else if (kind == 8) *p = (uint8_t)r;
        else if (kind >= 9) *p = (uint8_t)(k / 200 + (r & 1) + (r > 250 ? r : 0));
        if (kind == 10 && k / 3000 % 2) *p = (uint8_t)r;
      }
      check_round_trip(&image);
      free(image.pixels);
    }
}

/* Every width and height up to beyond two strips, in flat, smooth and noisy pictures. */
static void test_edges(void) {
  for (int channels = 1; channels <= 4; channels++)
    for (int width = 1; width <= 140; width++)
      for (int kind = 0; kind < 4; kind++) {
        fm_image image = make_image(width, 1 + (width + kind) % 5, channels, (uint32_t)width, kind);
        check_round_trip(&image);
        free(image.pixels);
      }
}

/* The three predictors against the format's own words (third edition, 9.2): all of 0 to 255 in steps, at each level. */
static void test_filters(void) {
  enum { N = 40 };
  static uint8_t row[4 + N * N * N + 64], above[4 + N * N * N + 64], to[N * N * N + 64];
  static uint64_t zeros[N * N * N / 64 + 2];
  static size_t spans[2];
  fmi_png_row r;
  uint32_t seed = 1;
  for (size_t i = 0; i < sizeof row; i++) {
    /* neighbours take all combinations of near and far, equal and not */
    seed = seed * 1664525u + 1013904223u;
    row[i] = (uint8_t)(seed >> 24 & (seed >> 8 & 3 ? 255 : 7));
    above[i] = (uint8_t)(seed >> 12 & 1 ? row[i] + (seed >> 13 & 7) : seed >> 16);
  }
  for (size_t step = 1; step <= 4; step++)
    for (int level = FM_SIMD_SCALAR; level <= FM_SIMD_NEON; level++)
      for (unsigned filter = 1; filter <= 4 && fmi_has_simd((fm_simd)level); filter++) {
        size_t wrong = 0;
        memset(&r, 0, sizeof r);
        r.row = row + 4;
        r.above = above + 4;
        r.size = N * N * N;
        r.step = step;
        r.spans = spans;
        r.span_count = 1;
        spans[0] = 0;
        spans[1] = r.size;
        fmi_png_filterers[level](to, zeros, &r, filter);
        for (size_t i = 0; i < r.size; i++) {
          const uint8_t *x = r.row + i, *y = r.above + i;
          int a = *(x - step), b = *y, c = *(y - step), p = a + b - c;
          int pa = abs(p - a), pb = abs(p - b), pc = abs(p - c);
          int paeth = pa <= pb && pa <= pc ? a : pb <= pc ? b : c;
          int guess = filter == 1 ? a : filter == 2 ? b : filter == 3 ? (a + b) / 2 : paeth;
          uint8_t want = (uint8_t)(*x - guess);
          wrong += to[i] != want || (zeros[i / 64] >> i % 64 & 1) != (want == 0);
        }
        CHECK_INT(wrong, 0);
      }
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

TEST_MAIN({"round trips", test_round_trips}, {"core", test_core}, {"blocks", test_blocks}, {"edges", test_edges},
          {"filters", test_filters}, {"texts", test_texts}, {"arguments", test_arguments}, {"file", test_file},
          {"size", test_size})
