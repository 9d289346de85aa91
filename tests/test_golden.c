/* Golden hashes of pictures and PNG files, tests/golden/pictures.txt: the same on every instruction set that this machine has, for 1,
   2, 3 and 8 threads. After a change that is meant to change pixels: build/tests/test_golden --write > tests/golden/pictures.txt,
   look at what changed, and raise FM_PICTURE_VERSION. */
#include "test.h"

enum { HEADS = 5, ROWS = 40, COLUMNS = 56, FRAMES = 5, MOST_CASES = 64 };

/* ---- heads that need nothing but arithmetic that is the same everywhere ---- */

typedef struct golden_head {
  fm_mesh mesh;
  float positions[3 * (ROWS + 1) * COLUMNS], uvs[2 * (ROWS + 1) * (COLUMNS + 1)];
  uint32_t starts[ROWS * COLUMNS + 1], corners[4 * ROWS * COLUMNS], corner_uvs[4 * ROWS * COLUMNS], polygon_materials[ROWS * COLUMNS];
  fm_material materials[3];
  fm_texture textures[2];
  uint8_t skin[3 * 160 * 130], hair[4 * 64 * 32];
} golden_head;

static golden_head heads[HEADS];

static uint32_t scramble(uint32_t x) {
  x ^= x >> 16;
  x *= 0x7FEB352Du;
  x ^= x >> 15;
  x *= 0x846CA68Bu;
  return x ^ x >> 16;
}

/* A sphere pulled into a head, `h` making it another one; its texture 4 is of another size. */
static void make_head(golden_head *g, uint32_t h) {
  fm_mesh *m = &g->mesh;
  memset(g, 0, sizeof *g);
  for (int r = 0; r <= ROWS; r++)
    for (int c = 0; c < COLUMNS; c++) {
      double up = 180.0 * r / ROWS, round = 360.0 * c / COLUMNS, ring = fmi_sin_degrees(up);
      double nose = fmi_cos_degrees(round) > 0.93 && r > 16 && r < 24 ? 0.12 + 0.04 * h : 0.0;
      double wave = 0.03 * h * fmi_sin_degrees(3.0 * round) * ring + 0.02 * fmi_cos_degrees(5.0 * up + 40.0 * h);
      float *p = g->positions + 3 * (r * COLUMNS + c);
      p[0] = (float)((0.8 + wave) * ring * fmi_sin_degrees(round));
      p[1] = (float)((1.1 + 0.02 * h) * fmi_cos_degrees(up));
      p[2] = (float)((0.9 + wave + nose) * ring * fmi_cos_degrees(round));
    }
  for (int r = 0; r <= ROWS; r++)
    for (int c = 0; c <= COLUMNS; c++) { /* more than once around */
      g->uvs[2 * (r * (COLUMNS + 1) + c)] = 1.4f * (float)c / COLUMNS - 0.2f;
      g->uvs[2 * (r * (COLUMNS + 1) + c) + 1] = 1.0f - (float)r / ROWS;
    }
  for (int r = 0, i = 0; r < ROWS; r++)
    for (int c = 0; c < COLUMNS; c++, i++) {
      uint32_t *v = g->corners + 4 * i, *t = g->corner_uvs + 4 * i;
      for (int k = 0; k < 4; k++) {
        int row = r + (k == 1 || k == 2), column = c + (k >= 2);
        v[k] = (uint32_t)(row * COLUMNS + column % COLUMNS);
        t[k] = (uint32_t)(row * (COLUMNS + 1) + column);
      }
      g->starts[i] = 4 * (uint32_t)i;
      g->polygon_materials[i] = r < 12 ? 1 : r > 34 ? 2 : 0;
    }
  g->starts[ROWS * COLUMNS] = 4 * ROWS * COLUMNS;
  int width = h == 4 ? 130 : 160, height = h == 4 ? 160 : 130;
  for (int y = 0; y < height; y++)
    for (int x = 0; x < width; x++)
      for (int c = 0; c < 3; c++)
        g->skin[3 * (y * width + x) + c] = (uint8_t)(60 + 50 * c + (x * 7 + y * 3 + (int)(40 * h)) % 50 + (int)(scramble((uint32_t)(3 * (y * width + x) + c) + h) % 30));
  for (int i = 0; i < 64 * 32; i++) {
    for (int c = 0; c < 3; c++) g->hair[4 * i + c] = (uint8_t)(30 + 12 * h + scramble((uint32_t)i) % 40);
    g->hair[4 * i + 3] = (uint8_t)((i % 64) / 4 % 3 == 0 ? 20 : 255); /* strands, cut out */
  }
  m->vertex_count = (ROWS + 1) * COLUMNS;
  m->positions = g->positions;
  m->polygon_count = ROWS * COLUMNS;
  m->polygon_starts = g->starts;
  m->corner_count = 4 * ROWS * COLUMNS;
  m->corners = g->corners;
  m->uv_count = (ROWS + 1) * (COLUMNS + 1);
  m->uvs = g->uvs;
  m->corner_uvs = g->corner_uvs;
  m->polygon_materials = g->polygon_materials;
  m->materials = g->materials;
  m->material_count = 3;
  m->textures = g->textures;
  m->texture_count = 2;
  for (uint32_t i = 0; i < 3; i++) {
    g->materials[i].texture = i < 2 ? i : FM_NONE;
    g->materials[i].opacity = FM_NONE;
  }
  g->textures[0].image.width = width;
  g->textures[0].image.height = height;
  g->textures[0].image.channels = 3;
  g->textures[0].image.pixels = g->skin;
  g->textures[1].image.width = 64;
  g->textures[1].image.height = 32;
  g->textures[1].image.channels = 4;
  g->textures[1].image.pixels = g->hair;
}

/* ---- pictures ---- */

typedef struct golden_case {
  const char *name;
  int first, count;             /* heads */
  int width, height, samples;
  double yaw, pitch, distance;  /* of the camera; distance as in fm_camera_desc */
  bool untextured, transparent, unlit, cull, masked, no_alpha;
} golden_case;

static const golden_case cases[] = {
  {"pair_1x", 0, 2, 96, 96, 1, 0, 0, 0, false, false, false, false, false, false},
  {"pair_4x", 0, 2, 96, 96, 4, 0, 0, 0, false, false, false, false, false, false},
  {"pair_turned", 0, 2, 130, 77, 4, 50, -20, 0, false, false, false, false, false, false},
  {"pair_large", 0, 2, 700, 500, 1, 10, 0, 0, false, false, false, false, false, false},
  {"pair_small", 0, 2, 13, 17, 4, 0, 0, 0, false, false, false, false, false, false},
  {"single", 2, 1, 64, 64, 4, 200, 5, 0, false, false, false, false, false, false},
  {"three", 0, 3, 96, 64, 4, 30, 0, 0, false, false, false, false, false, false},
  {"five_two_sizes", 0, 5, 96, 96, 4, -30, 10, 0, false, false, false, false, false, false},
  {"clay", 0, 2, 96, 96, 4, 20, 0, 0, true, false, false, false, false, false},
  {"transparent", 0, 2, 96, 96, 4, 0, 0, 0, false, true, false, false, false, false},
  {"unlit", 0, 2, 96, 96, 1, 0, 0, 0, false, false, true, false, false, false},
  {"culled", 0, 2, 96, 96, 4, 120, 30, 0, false, false, false, true, false, false},
  {"masked", 0, 3, 96, 96, 4, 15, 0, 0, false, false, false, false, true, false},
  {"opaque", 0, 2, 96, 96, 4, 0, 60, 0, false, false, false, false, false, true},
  {"orthographic", 0, 2, 96, 96, 4, 40, 0, INFINITY, false, false, false, false, false, false},
  {"within", 0, 2, 160, 120, 4, 10, 0, 0.6, false, false, false, false, false, false}};

typedef struct golden_hash { fmi_sha256 pixels, files; const fm_common *common; bool ok; } golden_hash;

static bool hash_file(void *user, const void *data, size_t size) {
  fmi_sha256_add((fmi_sha256 *)user, data, size);
  return true;
}
static bool hash_picture(void *user, size_t frame, size_t slot, const fm_image *image, fm_error *error) {
  golden_hash *hash = (golden_hash *)user;
  size_t count = (size_t)image->width * (size_t)image->height;
  fm_png_desc desc;
  fm_sink sink;
  (void)frame;
  (void)slot;
  memset(&desc, 0, sizeof desc);
  memset(&sink, 0, sizeof sink);
  desc.common = hash->common;
  sink.user = &hash->files;
  sink.write = hash_file;
  fmi_sha256_add(&hash->pixels, image->pixels, count * (size_t)image->channels);
  fmi_sha256_add(&hash->pixels, image->coverage, count);
  return fm_write_png(&sink, image, &desc, error);
}

/* The first 64 bits of a SHA-256 as text. */
static void print_hash(char text[17], fmi_sha256 *sha) {
  uint8_t digest[32];
  fmi_sha256_end(sha, digest);
  for (int i = 0; i < 8; i++) snprintf(text + 2 * i, 3, "%02x", digest[i]);
}

/* "NAME PIXELS FILES" of a case at a level and number of threads. */
static bool draw_case(char line[100], const golden_case *c, fm_simd simd, int threads) {
  static float masks[2][(ROWS + 1) * COLUMNS];
  const fm_mesh *scene_heads[HEADS];
  const float *mask_of[HEADS] = {masks[0], NULL, masks[1], NULL, NULL};
  float weights[FRAMES][HEADS];
  fm_frame frames[FRAMES];
  fm_mesh clay[HEADS];
  fm_camera_desc camera_desc;
  fm_renderer renderer;
  fm_common common;
  fm_scene scene;
  fm_image_sink sink;
  fm_error error;
  golden_hash hash;
  char pixels[17], files[17];
  memset(&camera_desc, 0, sizeof camera_desc);
  memset(&common, 0, sizeof common);
  memset(&scene, 0, sizeof scene);
  memset(&sink, 0, sizeof sink);
  memset(frames, 0, sizeof frames);
  for (int v = 0; v < (ROWS + 1) * COLUMNS; v++) {
    masks[0][v] = (float)(v % 7) / 6.0f;
    masks[1][v] = 1.0f - (float)(v % 5) / 9.0f;
  }
  for (int h = 0; h < c->count; h++) {
    clay[h] = heads[c->first + h].mesh;
    if (c->untextured) clay[h].material_count = 0, clay[h].polygon_materials = NULL;
    scene_heads[h] = &clay[h];
  }
  camera_desc.yaw = c->yaw;
  camera_desc.pitch = c->pitch;
  camera_desc.distance = c->distance;
  fm_camera camera = fm_fit_camera(scene_heads, (size_t)c->count, &camera_desc);
  for (int f = 0; f < FRAMES; f++) { /* from the last head to the first, and beyond it */
    float t = 0.3125f * (float)f;
    for (int h = 0; h < c->count; h++) weights[f][h] = h == 0 ? t : (1.0f - t) / (float)(c->count - 1);
    if (c->count == 1) weights[f][0] = 1.0f;
    frames[f].shape_weights = weights[f];
    frames[f].camera = &camera;
    frames[f].width = c->width;
    frames[f].height = c->height;
    frames[f].samples = c->samples;
    frames[f].transparent = c->transparent;
    frames[f].unlit = c->unlit;
    frames[f].cull = c->cull ? FM_CULL_BACK : FM_CULL_NONE;
    if (c->masked) frames[f].shape_masks = frames[f].texture_masks = mask_of;
    frames[f].background_set = f == 1;
    frames[f].background[0] = 10, frames[f].background[1] = 200, frames[f].background[2] = 90;
  }
  common.simd = simd;
  common.threads = threads;
  scene.common = &common;
  scene.heads = scene_heads;
  scene.head_count = (size_t)c->count;
  scene.ignore_alpha = c->no_alpha;
  hash.common = &common;
  fmi_sha256_begin(&hash.pixels);
  fmi_sha256_begin(&hash.files);
  sink.user = &hash;
  sink.deliver = hash_picture;
  if (!fm_software_renderer(&renderer, &common, &error) || !fm_render(&renderer, &scene, frames, FRAMES, &sink, &error)) {
    printf("%s: %s\n", c->name, error.message);
    fm_destroy_renderer(&renderer);
    return false;
  }
  fm_destroy_renderer(&renderer);
  print_hash(pixels, &hash.pixels);
  print_hash(files, &hash.files);
  snprintf(line, 100, "%s %s %s", c->name, pixels, files);
  return true;
}

static bool prepare_heads(void) {
  fm_error error;
  for (uint32_t h = 0; h < HEADS; h++) {
    make_head(&heads[h], h);
    if (!fm_prepare_mesh(&heads[h].mesh, NULL, &error)) {
      printf("%s\n", error.message);
      return false;
    }
  }
  return true;
}

/* ---- tests ---- */

static char golden[MOST_CASES][100];

static bool read_golden(void) {
  size_t size, count = 0;
  char *text = (char *)test_read("tests/golden/pictures.txt", &size), *line = text;
  for (; line && *line && count < MOST_CASES; line += strcspn(line, "\n") + 1, count++)
    snprintf(golden[count], sizeof golden[count], "%.*s", (int)strcspn(line, "\n"), line);
  free(text);
  return count == FMI_COUNT(cases);
}

static void check_level(fm_simd simd) {
  static const int threads[] = {1, 2, 3, 8};
  char line[100];
  CHECK(read_golden());
  for (size_t i = 0; i < FMI_COUNT(cases); i++)
    for (size_t t = 0; t < FMI_COUNT(threads); t++) {
      CHECK(draw_case(line, &cases[i], simd, threads[t]));
      CHECK_TEXT(line, golden[i]);
    }
}
static void test_scalar(void) { check_level(FM_SIMD_SCALAR); }
static void test_sse2(void) { check_level(FM_SIMD_SSE2); }
static void test_avx2(void) { check_level(FM_SIMD_AVX2); }
static void test_avx512(void) { check_level(FM_SIMD_AVX512); }
static void test_neon(void) { check_level(FM_SIMD_NEON); }

int main(int argc, char **argv) {
  static const struct { fm_simd simd; test_case test; } all[] = {
    {FM_SIMD_SCALAR, {"scalar", test_scalar}}, {FM_SIMD_SSE2, {"sse2", test_sse2}}, {FM_SIMD_AVX2, {"avx2", test_avx2}},
    {FM_SIMD_AVX512, {"avx512", test_avx512}}, {FM_SIMD_NEON, {"neon", test_neon}}};
  test_case tests[FMI_COUNT(all)];
  size_t count = 0;
  char line[100];
  if (!prepare_heads()) return 1;
  if (argc > 1 && strcmp(argv[1], "--write") == 0) {
    for (size_t i = 0; i < FMI_COUNT(cases); i++)
      if (draw_case(line, &cases[i], FM_SIMD_SCALAR, 1)) printf("%s\n", line);
      else return 1;
    return 0;
  }
  for (size_t i = 0; i < FMI_COUNT(all); i++)
    if (fmi_has_simd(all[i].simd)) tests[count++] = all[i].test;
  return test_run_all(__FILE__, tests, count);
}
