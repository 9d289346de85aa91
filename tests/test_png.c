/* PNG reading: files of all kinds by libpng, damage, and the pictures of the shared data. */
#include "test.h"
#include "png_samples.h"

typedef struct loaded { fmi_env env; fm_error error; fm_image image; } loaded;

/* Decodes from a block of its own size, so that a sanitizer sees every byte too far. */
static fm_simd load_simd;
static bool load(loaded *l, const unsigned char *data, size_t size, const fm_limits *limits) {
  static const fm_common none;
  fm_common common = none;
  common.simd = load_simd;
  unsigned char *copy = (unsigned char *)malloc(size + 1);
  common.limits = limits;
  if (size) memcpy(copy + 1, data, size);
  memset(&l->image, 0, sizeof l->image);
  fmi_begin(&l->env, &common, &l->error, "a.png");
  bool ok = fmi_png_decode(&l->env, &l->env.keep, copy + 1, size, &l->image);
  CHECK(ok == (l->error.status == FM_OK));
  CHECK(l->env.temp.first == NULL);
  if (!ok) CHECK(l->env.keep.first == NULL && l->image.pixels == NULL);
  free(copy);
  return ok;
}
static void unload(loaded *l) {
  fmi_free_pool(&l->env, &l->env.allocator, &l->env.keep);
  CHECK_INT(l->env.used, 0);
  fmi_end(&l->env);
}

/* ---- all kinds ---- */

static int sample_stored(int x, int y, int s, int type, int depth) {
  int v = x * 29 + y * 53 + s * 71 + x * y;
  if (depth == 16) return (v & 255) * 257 + x > 65535 ? (v & 255) * 257 + x - 65536 : (v & 255) * 257 + x;
  if (type == 3 && depth == 8) return (v & 255) % 200;
  return v & ((1 << depth) - 1);
}

static void check_all_kinds(void) {
  static const int samples[7] = {1, 0, 3, 1, 2, 0, 4};
  for (size_t k = 0; k < sizeof png_samples / sizeof png_samples[0]; k++) {
    int type = png_samples[k].type, depth = png_samples[k].depth, n = samples[type], wrong = 0;
    bool transparent = png_samples[k].transparent;
    int channels = type == 3 ? (transparent ? 4 : 3) : n + (transparent ? 1 : 0);
    loaded l;
    CHECK(load(&l, png_samples[k].data, png_samples[k].size, NULL));
    CHECK_TEXT(l.error.message, "");
    CHECK_INT(l.image.width, 9);
    CHECK_INT(l.image.height, 10);
    CHECK_INT(l.image.channels, channels);
    for (int y = 0; y < 10 && l.image.channels == channels; y++)
      for (int x = 0; x < 9; x++) {
        const unsigned char *got = l.image.pixels + (y * 9 + x) * channels;
        int want[5] = {0}, most = (1 << depth) - 1, same = 0;
        for (int s = 0; s < n; s++) {
          int v = sample_stored(x, y, s, type, depth);
          same += v == sample_stored(2, 3, s, type, depth);
          want[s] = depth == 8 ? v : (int)(((long long)v * 255 + most / 2) / most);
          if (type == 3) {
            want[0] = v * 5 & 255;
            want[1] = (255 - v) & 255;
            want[2] = (v * 3 + 7) & 255;
            want[3] = v < 4 ? v * 31 & 255 : 255;
          } else if (transparent) want[n] = same == n ? 0 : 255;
        }
        for (int c = 0; c < channels; c++) wrong += got[c] != want[c];
      }
    if (wrong) printf("%s: %d samples are wrong\n", png_samples[k].name, wrong);
    CHECK_INT(wrong, 0);
    unload(&l);
  }
}

static void test_all_kinds(void) {
  for (int simd = FM_SIMD_BEST; simd <= FM_SIMD_NEON; simd++) {
    load_simd = (fm_simd)simd;
    if (simd == FM_SIMD_BEST || fmi_has_simd(load_simd)) check_all_kinds();
  }
  load_simd = FM_SIMD_BEST;
}

/* The guess as the standard words it (third edition, 9.4): the nearest to a + b - c; of equally near ones a before b before c. */
static int paeth_by_definition(int a, int b, int c) {
  int p = a + b - c, pa = abs(p - a), pb = abs(p - b), pc = abs(p - c);
  return pa <= pb && pa <= pc ? a : pb <= pc ? b : c;
}

static void test_paeth(void) {
  int wrong = 0;
  for (int a = 0; a < 256; a += 3)
    for (int b = 0; b < 256; b++)
      for (int c = 0; c < 256; c++) {
        int want = paeth_by_definition(a, b, c);
        wrong += fmi_paeth(a, b, c) != want;
        wrong += fmi_png_paeth_lanes_scalar((uint8_t)a, (uint8_t)b, (uint8_t)c) != want;
      }
#if defined(FMI_SSE2)
  for (int a = 0; a < 256; a++)
    for (int b = 0; b < 256; b += 3)
      for (int c = 0; c < 256; c += 16) {
        uint8_t in[16], out[16];
        for (int i = 0; i < 16; i++) in[i] = (uint8_t)(c + i);
        fmi_storeb_sse2(out, fmi_png_paeth_lanes_sse2(fmi_setb_sse2(a), fmi_setb_sse2(b), fmi_loadb_sse2(in)));
        for (int i = 0; i < 16; i++) wrong += out[i] != paeth_by_definition(a, b, c + i);
      }
#endif
  CHECK_INT(wrong, 0);
}

/* Rows one by one and eight at once, at every level: each mixture of filters, narrow and wide, with exactly the memory they need. */
static void test_filters(void) {
  uint32_t random = 11;
  for (int round = 0; round < 1200; round++) {
    size_t step = 3 + (size_t)round % 2, pixels = 1 + (size_t)round / 2 % 60, line = pixels * step;
    uint8_t *from = (uint8_t *)malloc(8 * (line + 1)), *above = (uint8_t *)malloc(line), *want = (uint8_t *)malloc(8 * line),
            *got = (uint8_t *)malloc(8 * line);
    for (size_t i = 0; i < 8 * (line + 1); i++) {
      random = random * 1664525u + 1013904223u;
      from[i] = (uint8_t)(round % 3 ? random >> 24 : random >> 30);
    }
    for (size_t i = 0; i < line; i++) above[i] = (uint8_t)(i * 37 + (size_t)round);
    for (size_t r = 0; r < 8; r++) {
      const uint8_t *in = from + r * (line + 1) + 1, *up = r ? want + (r - 1) * line : above;
      uint8_t *row = want + r * line;
      int filter = from[r * (line + 1)] = (uint8_t)(round % 7 < 5 ? from[r * (line + 1)] % 5 : round % 7 - 2);
      for (size_t i = 0; i < line; i++) {
        int a = i < step ? 0 : row[i - step], b = up[i], c = i < step ? 0 : up[i - step];
        int guess[5] = {0, a, b, (a + b) / 2, paeth_by_definition(a, b, c)};
        row[i] = (uint8_t)(in[i] + guess[filter]);
      }
    }
    for (int simd = FM_SIMD_SCALAR; simd <= FM_SIMD_NEON; simd++) {
      if (!fmi_has_simd((fm_simd)simd)) continue;
      memset(got, 0, 8 * line);
      for (size_t r = 0; r < 8; r++) {
        const uint8_t *in = from + r * (line + 1);
        CHECK(fmi_png_unfilter((fm_simd)simd, got + r * line, r ? got + (r - 1) * line : above, in + 1, in[0], line, step));
      }
      CHECK(memcmp(got, want, 8 * line) == 0);
      CHECK(!fmi_png_unfilter((fm_simd)simd, got, above, from + 1, 5, line, step));
      if (!fmi_png_unfilters[simd]) continue;
      memset(got, 0, 8 * line);
      fmi_png_unfilters[simd](got, line, above, from, line + 1, step);
      CHECK(memcmp(got, want, 8 * line) == 0);
    }
    free(got);
    free(want);
    free(above);
    free(from);
  }
}

/* ---- damage ---- */

/* Finds a chunk; returns the offset of its length field. */
static size_t find_chunk(const unsigned char *data, size_t size, const char *name) {
  size_t offset = 8;
  while (offset + 12 <= size && memcmp(data + offset + 4, name, 4) != 0) offset += 12 + fmi_be32(data + offset);
  return offset;
}
static void repair(unsigned char *data, size_t offset) {
  uint32_t size = fmi_be32(data + offset);
  fmi_put_be32(data + offset + 8 + size, fmi_crc32(0, data + offset + 4, size + 4));
}

static void check_refused(const unsigned char *data, size_t size, const char *words) {
  loaded l;
  CHECK(!load(&l, data, size, NULL));
  if (!strstr(l.error.message, words)) {
    printf("\"%s\" should say \"%s\"\n", l.error.message, words);
    CHECK(!"the message");
  }
  unload(&l);
}

static void test_truncated(void) {
  for (size_t n = 0; n < sizeof png_palette_4_alpha; n++) check_refused(png_palette_4_alpha, n, "a.png: byte ");
  for (size_t n = 0; n < sizeof png_rgb_8_interlaced; n++) check_refused(png_rgb_8_interlaced, n, "a.png: byte ");
}

static void test_checksums(void) {
  unsigned char copy[sizeof png_palette_4_alpha];
  static const char *const names[] = {"IHDR", "PLTE", "IDAT", "IEND"};
  for (size_t i = 0; i < 4; i++) {
    memcpy(copy, png_palette_4_alpha, sizeof copy);
    size_t at = find_chunk(copy, sizeof copy, names[i]);
    copy[at + 8 + fmi_be32(copy + at)] ^= 1;
    check_refused(copy, sizeof copy, "wrong checksum (CRC-32)");
  }
  memcpy(copy, png_palette_4_alpha, sizeof copy); /* damaged tRNS: left out */
  copy[find_chunk(copy, sizeof copy, "tRNS") + 8] ^= 1;
  loaded l;
  CHECK(load(&l, copy, sizeof copy, NULL));
  CHECK_INT(l.image.channels, 3);
  unload(&l);
}

static void test_header(void) {
  static const struct { int at, value; const char *words; } cases[] = {
    {16, 0x80, "over 2,147,483,647"}, {16, 1, "over the limit of 16384"}, {20, 0xFF, "over 2,147,483,647"}, {19, 0, "0 pixels wide or high"},
    {23, 0, "0 pixels wide or high"}, {24, 3, "bit depth"}, {24, 4, "bit depth"}, {24, 0, "bit depth"}, {25, 1, "colour type"}, {25, 5, "colour type"},
    {25, 7, "colour type"}, {25, 255, "colour type"}, {26, 1, "does not exist"}, {27, 1, "does not exist"}, {28, 2, "does not exist"},
    {22, 0x3F, "cannot hold so many"}, {0, 0x88, "signature"}, {15, 'r', "does not begin with an IHDR chunk"}, {12, '?', "not four letters"}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    unsigned char copy[sizeof png_rgb_8];
    memcpy(copy, png_rgb_8, sizeof copy);
    copy[cases[i].at] = (unsigned char)cases[i].value;
    repair(copy, 8);
    check_refused(copy, sizeof copy, cases[i].words);
  }
}

/* Puts a chunk of `size` bytes before the first chunk of that name; returns the new file's size. */
static size_t insert_chunk(unsigned char *out, const unsigned char *data, size_t size, const char *before, const char *name,
                           const void *body, uint32_t body_size) {
  size_t at = find_chunk(data, size, before);
  memcpy(out, data, at);
  fmi_put_be32(out + at, body_size);
  memcpy(out + at + 4, name, 4);
  if (body_size) memcpy(out + at + 8, body, body_size);
  repair(out, at);
  memcpy(out + at + 12 + body_size, data + at, size - at);
  return size + 12 + body_size;
}

static void test_chunks(void) {
  unsigned char out[4000], idat[3000];
  size_t n = insert_chunk(out, png_rgb_8, sizeof png_rgb_8, "IDAT", "ABCD", "x", 1);
  check_refused(out, n, "\"ABCD\"");
  n = insert_chunk(out, png_rgb_8, sizeof png_rgb_8, "IHDR", "CgBI", "abcd", 4);
  check_refused(out, n, "Apple");
  n = insert_chunk(out, png_rgb_8, sizeof png_rgb_8, "IDAT", "IHDR", png_rgb_8 + 16, 13);
  check_refused(out, n, "second IHDR");
  n = insert_chunk(out, png_palette_2, sizeof png_palette_2, "IDAT", "PLTE", "abc", 3);
  check_refused(out, n, "two palettes");
  n = insert_chunk(out, png_rgb_8, sizeof png_rgb_8, "IDAT", "PLTE", "abcd", 4);
  check_refused(out, n, "palette whose length");

  memcpy(out, png_palette_2, sizeof png_palette_2); /* without its palette */
  memcpy(out + find_chunk(out, sizeof png_palette_2, "PLTE") + 4, "npLT", 4);
  check_refused(out, sizeof png_palette_2, "no palette");
  size_t at = find_chunk(png_palette_2, sizeof png_palette_2, "PLTE"); /* with a shorter one */
  memcpy(out, png_palette_2, at);
  fmi_put_be32(out + at, 9);
  memcpy(out + at + 4, png_palette_2 + at + 4, 13);
  repair(out, at);
  memcpy(out + at + 21, png_palette_2 + at + 24, sizeof png_palette_2 - at - 24);
  check_refused(out, sizeof png_palette_2 - 3, "beyond the end of the palette");

  at = find_chunk(png_rgb_8, sizeof png_rgb_8, "IDAT"); /* image data in chunks of one byte, and empty ones */
  uint32_t size = fmi_be32(png_rgb_8 + at);
  memcpy(idat, png_rgb_8 + at + 8, size);
  unsigned char *many = (unsigned char *)malloc(20000), *p = many + at;
  memcpy(many, png_rgb_8, at);
  for (uint32_t i = 0; i < 2 * size; i++) {
    fmi_put_be32(p, i % 2);
    memcpy(p + 4, "IDAT", 4);
    p[8] = idat[i / 2];
    repair(p, 0);
    p += 12 + i % 2;
  }
  memcpy(p, png_rgb_8 + sizeof png_rgb_8 - 12, 12);
  loaded l, whole;
  CHECK(load(&l, many, (size_t)(p - many) + 12, NULL));
  CHECK(load(&whole, png_rgb_8, sizeof png_rgb_8, NULL));
  CHECK(memcmp(l.image.pixels, whole.image.pixels, 270) == 0);
  unload(&l);
  unload(&whole);
  free(many);

  memcpy(out, png_rgb_8, sizeof png_rgb_8); /* none at all */
  memcpy(out + at + 4, "iDAT", 4);
  check_refused(out, sizeof png_rgb_8, "no image data");
}

static void check_warned(const char *chunk, const void *body, uint32_t size, bool srgb, const char *words) {
  unsigned char out[2000], with[2100];
  loaded l;
  size_t n = insert_chunk(out, png_rgb_8, sizeof png_rgb_8, "IDAT", chunk, body, size);
  n = insert_chunk(with, out, n, "IDAT", srgb ? "sRGB" : "tEXt", "", 1);
  CHECK(load(&l, with, n, NULL));
  CHECK_INT(l.env.warning_count, words ? 1 : 0);
  if (words && l.env.warning_count) CHECK(strstr(l.env.warnings[0], words) != NULL);
  unload(&l);
}

static void test_colour_chunks(void) {
  static const unsigned char right[4] = {0, 0, 0xB1, 0x8F}, linear[4] = {0, 1, 0x86, 0xA0};
  unsigned char primaries[32];
  static const uint32_t srgb[8] = {31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000}; /* third edition, 11.3.2.5 */
  check_warned("gAMA", right, 4, false, NULL);
  check_warned("gAMA", linear, 4, false, "gAMA");
  check_warned("gAMA", linear, 4, true, NULL);
  check_warned("iCCP", "Adobe RGB\0\0", 11, false, "iCCP");
  check_warned("iCCP", "sRGB IEC61966-2.1\0\0", 19, false, NULL);
  check_warned("cICP", "\x01\x0D\0\x01", 4, false, NULL);
  check_warned("cICP", "\x0C\x0D\0\x01", 4, false, "cICP");
  for (size_t i = 0; i < 8; i++) fmi_put_be32(primaries + 4 * i, srgb[i]);
  check_warned("cHRM", primaries, 32, false, NULL);
  fmi_put_be32(primaries + 8, 70800);
  check_warned("cHRM", primaries, 32, false, "cHRM");
}

static void test_limits(void) {
  fm_limits limits;
  loaded l;
  memset(&limits, 0, sizeof limits);
  limits.image_side = 9; /* the picture is 9 x 10 */
  CHECK(!load(&l, png_rgb_8, sizeof png_rgb_8, &limits));
  CHECK_INT(l.error.status, FM_ERROR_LIMIT);
  unload(&l);
  limits.image_side = 10;
  CHECK(load(&l, png_rgb_8, sizeof png_rgb_8, &limits));
  unload(&l);
  for (limits.memory = 1; limits.memory < 300000; limits.memory += 997) { /* too little memory at every step */
    bool ok = load(&l, png_rgb_8_interlaced, sizeof png_rgb_8_interlaced, &limits);
    CHECK(ok || l.error.status == FM_ERROR_LIMIT);
    CHECK(l.env.peak <= limits.memory);
    unload(&l);
  }
}

/* Changes of single bytes, checksums repaired: an error or a picture, never more. */
static void test_mutations(void) {
  uint32_t random = 7;
  for (size_t k = 0; k < sizeof png_samples / sizeof png_samples[0]; k++)
    for (int round = 0; round < 60; round++) {
      unsigned char copy[1200];
      size_t size = png_samples[k].size;
      CHECK(size <= sizeof copy);
      memcpy(copy, png_samples[k].data, size);
      for (int i = 0; i < 1 + round % 3; i++) {
        random = random * 1664525u + 1013904223u;
        copy[(random >> 12) % size] = (unsigned char)(random >> 4);
      }
      for (size_t at = 8; at + 12 <= size && fmi_be32(copy + at) <= size - at - 12; at += 12 + fmi_be32(copy + at)) repair(copy, at);
      loaded l;
      load(&l, copy, size, NULL);
      unload(&l);
    }
}

/* ---- shared data ---- */

/* Loads one and compares its size and the sums of its red, green and blue. */
static void check_sums(const char *file, int width, int height, long long r, long long g, long long b) {
  size_t size = 0;
  unsigned char *data = test_read(test_shared(file), &size);
  long long sum[3] = {0, 0, 0};
  loaded l;
  CHECK(data && load(&l, data, size, NULL));
  if (!data) return;
  if (l.image.pixels) {
    int c = l.image.channels;
    CHECK_INT(l.image.width, width);
    CHECK_INT(l.image.height, height);
    for (size_t i = 0; i < (size_t)l.image.width * (size_t)l.image.height; i++)
      for (int k = 0; k < 3; k++) sum[k] += l.image.pixels[i * (size_t)c + (size_t)(c < 3 ? 0 : k)];
    CHECK_INT(sum[0], r);
    CHECK_INT(sum[1], g);
    CHECK_INT(sum[2], b);
  }
  unload(&l);
  free(data);
}

static void test_shared_pictures(void) {
  if (!test_shared("data/ict/ict_a.png")) SKIP("../shared/data is not there");
  check_sums("data/ict/ict_a.png", 2048, 2048, 599398134, 448730044, 385722429); /* sums by Pillow */
  check_sums("data/ict/ict_b.png", 2048, 2048, 689917956, 567389329, 514810167);
}

/* Cuts a line of a CSV or of the README into its fields, in place; returns how many. Quotes around fields go. */
static int cut(char *line, char separator, char **fields, int most) {
  int n = 0;
  while (n < most) {
    while (*line == ' ' || *line == '"') line++;
    fields[n++] = line;
    char *end = line;
    while (*end && *end != separator && *end != '\n') end++;
    char next = *end;
    *end = 0;
    for (char *p = end; p > fields[n - 1] && (p[-1] == ' ' || p[-1] == '"'); p--) p[-1] = 0;
    line = end + 1;
    if (next != separator) break;
  }
  return n;
}

static void test_shared_damage(void) {
  const char *path = test_shared("data/bad/README.txt");
  FILE *file = path ? fopen(path, "r") : NULL;
  char line[2000], *fields[3], name[300];
  int files = 0;
  if (!file) SKIP("../shared/data is not there");
  while (fgets(line, sizeof line, file)) {
    if (cut(line, '|', fields, 3) < 3 || strncmp(fields[0], "png_", 4) != 0 || !strstr(fields[0], ".png")) continue;
    size_t size = 0;
    loaded l;
    snprintf(name, sizeof name, "data/bad/%.200s", fields[0]);
    unsigned char *data = test_read(test_shared(name), &size);
    if (!data) continue;
    bool ok = load(&l, data, size, NULL), must = strcmp(fields[1], "load") == 0, must_not = strcmp(fields[1], "reject") == 0;
    if ((must && !ok) || (must_not && ok)) printf("%s: %s\n", name, ok ? "loaded" : l.error.message);
    CHECK(!(must && !ok) && !(must_not && ok));
    unload(&l);
    free(data);
    files++;
  }
  fclose(file);
  CHECK(files > 60);
}

static void test_shared_sums(void) {
  const char *path = test_shared("data/bad/image_truth.csv");
  FILE *file = path ? fopen(path, "r") : NULL;
  char line[2000], *f[12], name[300];
  int files = 0;
  if (!file) SKIP("../shared/data is not there");
  while (fgets(line, sizeof line, file)) {
    if (cut(line, ',', f, 12) < 12 || strncmp(f[0], "png_ok_", 7) != 0 || strcmp(f[2], "ok") != 0) continue;
    if (strstr(f[0], "16")) continue; /* Pillow takes the high byte */
    snprintf(name, sizeof name, "data/bad/%.200s", f[0]);
    check_sums(name, atoi(f[3]), atoi(f[4]), atoi(f[6]), atoi(f[7]), atoi(f[8]));
    files++;
  }
  fclose(file);
  CHECK(files > 15);
}

TEST_MAIN({"all kinds", test_all_kinds}, {"paeth", test_paeth}, {"filters", test_filters}, {"truncated", test_truncated}, {"checksums", test_checksums}, {"header", test_header},
          {"chunks", test_chunks}, {"colour chunks", test_colour_chunks}, {"limits", test_limits}, {"mutations", test_mutations},
          {"shared pictures", test_shared_pictures}, {"shared damage", test_shared_damage}, {"shared sums", test_shared_sums})
