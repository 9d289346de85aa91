/* The picture against what can be worked out by hand: coverage, texels, depth, perspective, light, seams, clipping, cut-outs. */
#include "scene.h"

static double no_uv[3][2] = {{0, 0}, {0, 0}, {0, 0}};

static int covered_pixels(const scene_picture *p) {
  int n = 0;
  for (int i = 0; i < SCENE_SIDE * SCENE_SIDE; i++) n += p->pixels[4 * i + 3] != 0;
  return n;
}

/* Pixel centres (i + .5, j + .5) inside (0,0) (8,0) (0,8): i + j < 7, since those on the right edge belong to its neighbour. */
static void test_triangle_coverage(void) {
  static scene_mesh s;
  static scene_picture p;
  fm_camera camera = scene_camera();
  double lower[3][3] = {{0, 0, 0}, {0, 8, 0}, {8, 0, 0}}, upper[3][3] = {{8, 0, 0}, {0, 8, 0}, {8, 8, 0}};
  scene_clear(&s);
  scene_triangle(&s, lower, no_uv, 0);
  CHECK(scene_draw_one(&p, &s, &camera, 1, true, true));
  CHECK_INT(covered_pixels(&p), 28);
  for (int y = 0; y < 8; y++)
    for (int x = 0; x < 8; x++) CHECK_INT(scene_pixel(&p, x, y)[3], x + y < 7 ? 255 : 0);
  scene_clear(&s);
  scene_triangle(&s, upper, no_uv, 0);
  CHECK(scene_draw_one(&p, &s, &camera, 1, true, true));
  CHECK_INT(covered_pixels(&p), 36);
}

/* Samples at (.375,.125) (.875,.375) (.125,.625) (.625,.875): a rectangle from x = .5 covers two of the first column's four. */
static void test_sample_positions(void) {
  static scene_mesh s;
  static scene_picture p;
  fm_camera camera = scene_camera();
  scene_clear(&s);
  scene_rectangle(&s, 0.5, 0.25, 4, 4, 0, 0);
  CHECK(scene_draw_one(&p, &s, &camera, 4, true, true));
  CHECK_INT(scene_pixel(&p, 0, 1)[3], 128); /* 2 of 4: 127.5 up */
  CHECK_INT(scene_pixel(&p, 1, 0)[3], 191); /* 3 of 4: 191.25 */
  CHECK_INT(scene_pixel(&p, 0, 0)[3], 128); /* .875,.375 and .625,.875 */
  CHECK_INT(scene_pixel(&p, 3, 3)[3], 255);
  CHECK_INT(scene_pixel(&p, 4, 3)[3], 0);
  for (int opaque = 0; opaque < 2; opaque++) { /* the same, counted, whatever the background */
    CHECK(scene_draw_one(&p, &s, &camera, 4, true, opaque == 0));
    CHECK_INT(p.coverage[1 * SCENE_SIDE], 2);
    CHECK_INT(p.coverage[1], 3);
    CHECK_INT(p.coverage[3 * SCENE_SIDE + 3], 4);
    CHECK_INT(p.coverage[3 * SCENE_SIDE + 4], 0);
  }
}

/* Every sample of a square belongs to exactly one triangle of a fan around a point in it, wherever that point is. */
static void test_shared_edges(void) {
  static scene_mesh s;
  static scene_picture p;
  fm_camera camera = scene_camera();
  uint32_t random = 12345;
  for (int round = 0; round < 12; round++) {
    static int sum[SCENE_SIDE * SCENE_SIDE];
    double centre[2], ring[8][2] = {{2, 2}, {2, 0}, {2, 30}, {0, 30}, {30, 30}, {30, 0}, {30, 2}, {0, 2}};
    memset(sum, 0, sizeof sum);
    for (int k = 0; k < 2; k++) {
      random = random * 1664525u + 1013904223u;
      centre[k] = 3 + (random >> 8 & 0xFFFF) / 65536.0 * 26;
    }
    for (int i = 1; i < 8; i += 2) {
      random = random * 1664525u + 1013904223u;
      ring[i][i % 4 == 1 ? 1 : 0] = 2 + (random >> 8 & 0xFFFF) / 65536.0 * 28;
    }
    for (int i = 0; i < 8; i++) {
      double t[3][3] = {{centre[0], centre[1], 0}, {ring[i][0], ring[i][1], 0}, {ring[(i + 1) % 8][0], ring[(i + 1) % 8][1], 0}};
      scene_clear(&s);
      scene_triangle(&s, t, no_uv, 0);
      CHECK(scene_draw_one(&p, &s, &camera, round % 2 ? 4 : 1, true, true));
      for (int k = 0; k < SCENE_SIDE * SCENE_SIDE; k++) sum[k] += (p.pixels[4 * k + 3] + 32) / 64; /* in quarters */
    }
    int wrong = 0;
    for (int y = 0; y < SCENE_SIDE; y++)
      for (int x = 0; x < SCENE_SIDE; x++) wrong += sum[y * SCENE_SIDE + x] != (x >= 2 && x < 30 && y >= 2 && y < 30 ? 4 : 0);
    CHECK_INT(wrong, 0);
  }
}

/* A texture of the size of its rectangle in pixels comes out texel for texel, its top row on top. */
static void test_exact_texels(void) {
  static scene_mesh s;
  static scene_picture p;
  static uint8_t texels[16 * 16 * 3];
  fm_camera camera = scene_camera();
  for (size_t i = 0; i < sizeof texels; i++) texels[i] = (uint8_t)(i * 89 + (i >> 3) * 7);
  for (int samples = 1; samples <= 4; samples += 3)
    for (int unlit = 0; unlit < 2; unlit++) { /* facing the camera, light changes nothing */
      scene_clear(&s);
      scene_texture(&s, texels, 16, 16, 3);
      scene_rectangle(&s, 4, 6, 20, 22, 0, 0);
      CHECK(scene_draw_one(&p, &s, &camera, samples, unlit != 0, false));
      for (int y = 0; y < 16; y++)
        for (int x = 0; x < 16; x++) {
          if (samples == 4 && x == y) continue; /* two triangles share these pixels, each shaded at its own samples */
          for (int c = 0; c < 3; c++) CHECK_INT(scene_pixel(&p, x + 4, y + 6)[c], texels[(y * 16 + x) * 3 + c]);
        }
      CHECK_INT(scene_pixel(&p, 3, 6)[0], 255);
      CHECK_INT(scene_pixel(&p, 20, 6)[0], 255);
    }
}

/* Half the size: level 1, each texel the mean of four, rounded half up. */
static void test_minified(void) {
  static scene_mesh s;
  static scene_picture p;
  static uint8_t texels[16 * 16 * 3];
  fm_camera camera = scene_camera();
  for (size_t i = 0; i < sizeof texels; i++) texels[i] = (uint8_t)(i * 151 + (i >> 4) * 31);
  scene_clear(&s);
  scene_texture(&s, texels, 16, 16, 3);
  scene_rectangle(&s, 4, 4, 12, 12, 0, 0);
  CHECK(scene_draw_one(&p, &s, &camera, 1, true, false));
  for (int y = 0; y < 8; y++)
    for (int x = 0; x < 8; x++)
      for (int c = 0; c < 3; c++) {
        int sum = 2;
        for (int k = 0; k < 4; k++) sum += texels[((2 * y + k / 2) * 16 + 2 * x + k % 2) * 3 + c];
        CHECK_INT(scene_pixel(&p, 4 + x, 4 + y)[c], sum / 4);
      }
}

/* Nearer wins whatever the order; at equal depth the lower triangle number. */
static void test_depth_order(void) {
  static scene_mesh s;
  static scene_picture p;
  static uint8_t red[3] = {200, 0, 0}, green[3] = {0, 200, 0};
  fm_camera camera = scene_camera();
  for (int order = 0; order < 3; order++) {
    scene_clear(&s);
    scene_texture(&s, red, 1, 1, 3);
    scene_texture(&s, green, 1, 1, 3);
    scene_rectangle(&s, 4, 4, 16, 16, order == 0 ? 1 : 0, 0);
    scene_rectangle(&s, 8, 8, 20, 20, order == 1 ? 1 : 0, 1);
    CHECK(scene_draw_one(&p, &s, &camera, 4, true, false));
    CHECK_INT(scene_pixel(&p, 10, 12)[0], order == 1 ? 0 : 200);
    CHECK_INT(scene_pixel(&p, 10, 12)[1], order == 1 ? 200 : 0);
    CHECK_INT(scene_pixel(&p, 5, 6)[0], 200);
    CHECK_INT(scene_pixel(&p, 18, 17)[1], 200);
  }
}

/* A ramp on a rectangle that leans back: u at a pixel by projective geometry. The eye is at z = 40, a pixel one unit at z = 0. */
static void test_perspective(void) {
  static scene_mesh s;
  static scene_picture p;
  static uint8_t ramp[256 * 3];
  fm_camera camera = scene_camera();
  camera.distance = 40;
  for (int i = 0; i < 256; i++) ramp[3 * i] = ramp[3 * i + 1] = ramp[3 * i + 2] = (uint8_t)i;
  scene_clear(&s);
  scene_texture(&s, ramp, 256, 1, 3);
  /* from x = -10, z = 0 to x = 10, z = -30 */
  double a[3][3] = {{6, 6, 0}, {6, 26, 0}, {26, 26, -30}}, ua[3][2] = {{0, 1}, {0, 0}, {1, 0}};
  double b[3][3] = {{6, 6, 0}, {26, 26, -30}, {26, 6, -30}}, ub[3][2] = {{0, 1}, {1, 0}, {1, 1}};
  scene_triangle(&s, a, ua, 0);
  scene_triangle(&s, b, ub, 0);
  CHECK(scene_draw_one(&p, &s, &camera, 1, true, false));
  for (int x = 7; x < 21; x++) { /* the far end is at x = 16 + 10 * 40/70 = 21.7 */
    double sx = x + 0.5 - 16; /* 40 X / (40 - Z) = sx with X = -10 + 20u, Z = -30u */
    double u = (sx + 10) / (20 - 30 * sx / 40);
    double want = u * 256 - 0.5;
    if (want > 3 && want < 250) CHECK_NEAR(scene_pixel(&p, x, 16)[0], want, 1.6); /* the ramp's steps and levels round */
  }
}

/* n.z = 0.5: s = 0.75, 179 x 0.75^(1/2.2) = 157.06; from behind the same. */
static void test_light(void) {
  static scene_mesh s;
  static scene_picture p;
  fm_camera camera = scene_camera();
  double deep = 8 * sqrt(3.0);
  for (int back = 0; back < 2; back++) {
    double front[3][3] = {{4, 4, 0}, {4, 28, 0}, {12, 28, -deep}}, behind[3][3] = {{4, 4, 0}, {12, 28, -deep}, {4, 28, 0}};
    scene_clear(&s);
    scene_triangle(&s, back ? behind : front, no_uv, 0);
    CHECK(scene_draw_one(&p, &s, &camera, 4, false, false));
    CHECK_INT(scene_pixel(&p, 5, 20)[0], 157);
    CHECK_INT(scene_pixel(&p, 5, 20)[2], 157);
    CHECK(scene_draw_one(&p, &s, &camera, 4, true, false));
    CHECK_INT(scene_pixel(&p, 5, 20)[1], 179);
  }
}

/* A small green island in a magenta texture, drawn at a quarter of its size: no magenta anywhere, edges included. */
static void test_no_bleeding(void) {
  static scene_mesh s;
  static scene_picture p;
  static uint8_t texels[64 * 64 * 3];
  fm_camera camera = scene_camera();
  for (int y = 0; y < 64; y++)
    for (int x = 0; x < 64; x++) {
      bool island = x >= 13 && x < 47 && y >= 19 && y < 51;
      uint8_t *t = texels + (y * 64 + x) * 3;
      t[0] = t[2] = island ? 0 : 255;
      t[1] = island ? 200 : 0;
    }
  const double u0 = 13 / 64.0, u1 = 47 / 64.0, v0 = 1 - 51 / 64.0, v1 = 1 - 19 / 64.0;
  for (int size = 3; size <= 25; size += 2)
    for (int samples = 1; samples <= 4; samples += 3) {
      double e = 3.3 + size;
      double a[3][3] = {{3.3, 3.3, 0}, {3.3, e, 0}, {e, e, 0}}, ua[3][2] = {{u0, v1}, {u0, v0}, {u1, v0}};
      double b[3][3] = {{3.3, 3.3, 0}, {e, e, 0}, {e, 3.3, 0}}, ub[3][2] = {{u0, v1}, {u1, v0}, {u1, v1}};
      scene_clear(&s);
      scene_texture(&s, texels, 64, 64, 3);
      scene_triangle(&s, a, ua, 0);
      scene_triangle(&s, b, ub, 0);
      CHECK(scene_draw_one(&p, &s, &camera, samples, true, true));
      int wrong = 0;
      for (int i = 0; i < SCENE_SIDE * SCENE_SIDE; i++)
        if (p.pixels[4 * i + 3]) wrong += p.pixels[4 * i] != 0 || p.pixels[4 * i + 1] != 200 || p.pixels[4 * i + 2] != 0;
      CHECK_INT(wrong, 0);
      CHECK(covered_pixels(&p) >= size * size);
    }
}

/* A floor that runs under the eye and behind it: everything below the horizon, nothing above, and the right place of the texture. */
static void test_near_plane(void) {
  static scene_mesh s;
  static scene_picture p;
  static uint8_t ramp[256 * 3];
  fm_camera camera = scene_camera();
  camera.distance = 16; /* field of view 90 degrees */
  for (int i = 0; i < 256; i++) ramp[3 * i] = ramp[3 * i + 1] = ramp[3 * i + 2] = (uint8_t)i;
  scene_clear(&s);
  scene_texture(&s, ramp, 256, 1, 3);
  /* y = -4 (20 pixels down), x from -5000 to 5000, z from 100 to -10000 */
  double a[3][3] = {{-4984, 20, 100}, {5016, 20, 100}, {5016, 20, -10000}}, ua[3][2] = {{0, 0}, {1, 0}, {1, 1}};
  double b[3][3] = {{-4984, 20, 100}, {5016, 20, -10000}, {-4984, 20, -10000}}, ub[3][2] = {{0, 0}, {1, 1}, {0, 1}};
  scene_triangle(&s, a, ua, 0);
  scene_triangle(&s, b, ub, 0);
  for (int samples = 1; samples <= 4; samples += 3) {
    CHECK(scene_draw_one(&p, &s, &camera, samples, true, true));
    for (int y = 0; y < SCENE_SIDE; y++)
      for (int x = 0; x < SCENE_SIDE; x++) CHECK_INT(scene_pixel(&p, x, y)[3], y >= 16 ? 255 : 0);
  }
  for (int x = 0; x < SCENE_SIDE; x++) CHECK_NEAR(scene_pixel(&p, x, 31)[0], 127.5, 1.0); /* just before the eye: the texture's middle */
}

/* The eye inside a box sees it everywhere. */
static void test_inside_a_box(void) {
  static scene_mesh s;
  static scene_picture p;
  static const double v[8][3] = {{-4, -4, -9}, {36, -4, -9}, {-4, 36, -9}, {36, 36, -9}, {-4, -4, 60}, {36, -4, 60}, {-4, 36, 60}, {36, 36, 60}};
  static const int side[6][4] = {{0, 1, 3, 2}, {4, 5, 7, 6}, {0, 1, 5, 4}, {2, 3, 7, 6}, {0, 2, 6, 4}, {1, 3, 7, 5}};
  fm_camera camera = scene_camera();
  camera.distance = 20;
  scene_clear(&s);
  for (int i = 0; i < 6; i++)
    for (int half = 0; half < 2; half++) {
      double t[3][3];
      for (int k = 0; k < 3; k++) memcpy(t[k], v[side[i][k == 0 ? 0 : k + half]], sizeof t[k]);
      scene_triangle(&s, t, no_uv, 0);
    }
  CHECK(scene_draw_one(&p, &s, &camera, 4, false, true));
  CHECK_INT(covered_pixels(&p), SCENE_SIDE * SCENE_SIDE);
  int partly = 0;
  for (int i = 0; i < SCENE_SIDE * SCENE_SIDE; i++) partly += p.pixels[4 * i + 3] != 255;
  CHECK_INT(partly, 0);
}

static uint32_t next_random(uint32_t *state) {
  *state = *state * 1664525u + 1013904223u;
  return *state >> 8;
}

/* A plane of squares whose outer corners lie far beyond the grid, so that clipped triangles meet whole ones all over the picture:
   no sample is left out between them. Inner corners lie between two places of the grid, where float and double round to different ones. */
static void test_clipped_neighbours(void) {
  enum { CELLS = 5 };
  static scene_mesh s;
  static scene_picture p;
  fm_camera camera = scene_camera();
  camera.distance = 40;
  uint32_t random = 7;
  int holes = 0;
  for (int round = 0; round < 100; round++) {
    double v[CELLS + 1][CELLS + 1][3];
    for (int y = 0; y <= CELLS; y++)
      for (int x = 0; x <= CELLS; x++) {
        bool inside = x > 0 && x < CELLS && y > 0 && y < CELLS;
        double reach = inside ? 4.0 : 30000.0 + next_random(&random) % 90000;
        double jx = inside ? (next_random(&random) % 400 + 0.5) / 256 - 1 / 2097152.0 : 0.0, jy = inside ? (next_random(&random) % 400 + 0.5) / 256 - 1 / 2097152.0 : 0.0;
        v[y][x][0] = 16 + (x - CELLS / 2.0) * reach + jx;
        v[y][x][1] = 16 + (y - CELLS / 2.0) * reach + jy;
        v[y][x][2] = 0;
      }
    scene_clear(&s);
    for (int y = 0; y < CELLS; y++)
      for (int x = 0; x < CELLS; x++)
        for (int half = 0; half < 2; half++) {
          double t[3][3];
          memcpy(t[0], v[y + half][x + half], sizeof t[0]);
          memcpy(t[1], v[y + 1][x], sizeof t[1]);
          memcpy(t[2], v[y][x + 1], sizeof t[2]);
          scene_triangle(&s, t, no_uv, 0);
        }
    CHECK(scene_draw_one(&p, &s, &camera, 4, true, true));
    for (int i = 0; i < SCENE_SIDE * SCENE_SIDE; i++) holes += p.pixels[4 * i + 3] != 255;
  }
  CHECK_INT(holes, 0);
}

/* What a sample must show: the nearest of all triangles that cover it, among equals the first; FM_NONE: none. Positions on the grid
   are the renderer's own; the rest is worked out in 64 bits. */
static uint32_t nearest_triangle(const fmi_software *s, const fmi_lane *lane, bool cull_back, int64_t x, int64_t y) {
  uint32_t nearest = FM_NONE;
  float least = 0.0f;
  for (uint32_t t = 0; t < s->triangle_count; t++) {
    int64_t px[3], py[3], e[3], area;
    float nearness[3];
    bool covered = true;
    for (int k = 0; k < 3; k++) {
      const int32_t *placed = fmi_placed(lane, (uint32_t)s->triangles[t * FMI_TRIANGLE_WORDS + (uint32_t)k]);
      px[k] = placed[0];
      py[k] = placed[1];
      nearness[k] = fmi_word_float(placed[2]);
    }
    area = (px[1] - px[0]) * (py[2] - py[0]) - (px[2] - px[0]) * (py[1] - py[0]);
    if (area == 0 || (cull_back && area > 0)) continue;
    for (int k = 0; k < 3; k++) {
      int a = (k + 1) % 3, b = (k + 2) % 3, sign = area < 0 ? -1 : 1;
      int64_t ex = (px[b] - px[a]) * sign, ey = (py[b] - py[a]) * sign;
      e[k] = ex * (y - py[a]) - ey * (x - px[a]);
      covered = covered && (e[k] > 0 || (e[k] == 0 && (ey < 0 || (ey == 0 && ex > 0))));
    }
    if (!covered) continue;
    float scale = 1.0f / (float)(area < 0 ? -area : area);
    float here = nearness[0] + ((float)e[1] * ((nearness[1] - nearness[0]) * scale) + (float)e[2] * ((nearness[2] - nearness[0]) * scale));
    if (nearest == FM_NONE || here > least) {
      nearest = t;
      least = here;
    }
  }
  return nearest;
}

/* Heaps of triangles from specks to sheets, over each other and over the picture's borders: every sample of the last band, at every
   level, whatever way lanes lie on it. */
static void test_visibility(void) {
  static const int sizes[][2] = {{40, 31}, {1, 1}, {2, 57}, {67, 3}, {128, 128}, {9, 6200}};
  static const double spans[] = {1.5, 4.0, 9.0, 30.0, 62.0, 300.0};
  static const fm_simd levels[] = {FM_SIMD_SCALAR, FM_SIMD_SSE2, FM_SIMD_AVX2, FM_SIMD_AVX512, FM_SIMD_NEON};
  static scene_mesh s;
  static uint8_t pixels[9 * 6200 * 3];
  static uint32_t want[FMI_BAND_WORDS];
  const float one = 1.0f;
  const fm_mesh *head = &s.mesh;
  uint32_t random = 11;
  for (size_t at = 0; at < FMI_COUNT(sizes) * FMI_COUNT(spans) * 4; at++) {
    const int width = sizes[at % FMI_COUNT(sizes)][0], height = sizes[at % FMI_COUNT(sizes)][1], samples = at & 64 ? 1 : 4;
    double span = spans[at / FMI_COUNT(sizes) % FMI_COUNT(spans)];
    fm_camera camera = scene_camera();
    fm_frame frame;
    memset(&frame, 0, sizeof frame);
    camera.half_extent = height / 2.0;
    frame.shape_weights = &one;
    frame.camera = &camera;
    frame.width = width;
    frame.height = height;
    frame.samples = samples;
    frame.cull = at & 32 ? FM_CULL_BACK : FM_CULL_NONE;
    scene_clear(&s);
    for (int t = 0; t < SCENE_MOST / 3; t++) {
      double p[3][3], middle[2], size = t % 3 ? span : span / 3;
      for (int c = 0; c < 2; c++) { /* around the picture's middle, which is scene_triangle's; in tall pictures most at its end */
        double side = c == 0 ? width : height, reach = next_random(&random) % 1000 / 1000.0;
        middle[c] = SCENE_SIDE / 2.0 - side / 2 + side * (side > 1000 && t % 4 ? 1 - reach / 100 : reach);
      }
      for (int k = 0; k < 3; k++) {
        for (int c = 0; c < 2; c++) p[k][c] = middle[c] + (next_random(&random) % 1001 / 1000.0 - 0.5) * size;
        p[k][2] = t % 5 ? (int)(next_random(&random) % 7) - 3.0 : 0.0; /* some lie in one plane */
        if (t % 7 == 0)
          for (int c = 0; c < 2; c++) p[k][c] = floor(p[k][c] * 2) / 2; /* some through samples */
        if (height > 1000 && t % 4 == 0) { /* slivers at the first row, and where a band ends and fills the buffer */
          static const double ends[4] = {0, 2521, 5042, 5244};
          p[k][0] = SCENE_SIDE / 2.0 + k % 2 * 0.5;
          p[k][1] = SCENE_SIDE / 2.0 - height / 2.0 + ends[t / 4 % 4] + t / 16 + (k - 1) * 30;
        }
      }
      scene_triangle(&s, p, no_uv, 0);
    }
    bool known = false; /* once for all levels: positions on the grid are the same */
    for (size_t l = 0; l < FMI_COUNT(levels); l++) {
      fm_common common;
      fm_scene scene;
      fm_renderer renderer;
      fm_image image;
      fm_error error;
      if (!fmi_has_simd(levels[l])) continue;
      memset(&common, 0, sizeof common);
      memset(&scene, 0, sizeof scene);
      memset(&image, 0, sizeof image);
      common.simd = levels[l];
      scene.common = &common;
      scene.heads = &head;
      scene.head_count = scene.lanes = 1;
      image.width = width;
      image.height = height;
      image.channels = 3;
      image.pixels = pixels;
      CHECK(fm_software_renderer(&renderer, &common, &error));
      CHECK(renderer.begin(renderer.user, &scene, &error));
      CHECK(renderer.submit(renderer.user, 0, &frame, &error) && renderer.collect(renderer.user, 0, &image, &error));
      const fmi_software *software = (const fmi_software *)renderer.user;
      const fmi_lane *lane = &software->lanes[0];
      int box[4] = {INT32_MAX, INT32_MAX, INT32_MIN, INT32_MIN}, wrong = 0, seen = 0;
      for (uint32_t v = 0; v < s.mesh.vertex_count; v++)
        for (int c = 0; c < 2; c++) {
          int pixel = fmi_floor_pixel(fmi_placed(lane, v)[c]);
          box[c] = fmi_min_int(box[c], fmi_clamp_int(pixel, 0, c ? height : width));
          box[2 + c] = fmi_max_int(box[2 + c], fmi_clamp_int(pixel + 1, 0, c ? height : width));
        }
      int stride = (box[2] - box[0]) * samples + FMI_MOST_LANES, rows = FMI_BAND_WORDS / stride;
      int row0 = box[1] + (box[3] - box[1] - 1) / rows * rows;
      for (int y = row0; y < box[3]; y++)
        for (int x = box[0]; x < box[2]; x++)
          for (int i = 0; i < samples; i++) {
            const int32_t *place = samples == 1 ? fmi_sample_1[i] : fmi_sample_4[i];
            int at_word = (y - row0) * stride + (x - box[0]) * samples + i;
            int64_t word = lane->words[at_word];
            if (!known) want[at_word] = nearest_triangle(software, lane, frame.cull == FM_CULL_BACK, x * 256 + place[0], y * 256 + place[1]);
            wrong += want[at_word] == FM_NONE ? word != fmi_no_word : word == fmi_no_word || fmi_word_triangle(word) != want[at_word];
            seen += want[at_word] != FM_NONE;
          }
      known = true;
      CHECK_INT(wrong, 0);
      CHECK(seen > 0 || width * height < 200);
      fm_destroy_renderer(&renderer);
    }
  }
}

/* Numbers that no head has: drawn or refused, never undefined (the sanitizers of make verify look at it). */
static void test_vast_numbers(void) {
  static scene_mesh s;
  static scene_picture p;
  static const double sizes[] = {1e-40, 1e-20, 1e8, 1e15, 1e20, 1e25, 1e30, 3e38};
  static uint8_t texel[3] = {9, 99, 199};
  uint32_t random = 3;
  for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
    for (int round = 0; round < 8; round++) {
      fm_camera camera = scene_camera();
      if (round % 2) camera.distance = round % 4 == 1 ? 3.0 : 1e6;
      camera.yaw = 17.0 * round;
      scene_clear(&s);
      scene_texture(&s, texel, 1, 1, 3);
      for (int k = 0; k < 6; k++) {
        double t[3][3], uv[3][2];
        for (int c = 0; c < 9; c++) t[c / 3][c % 3] = ((int)(next_random(&random) % 2001) - 1000) / 1000.0 * (next_random(&random) % 3 ? sizes[i] : 8.0);
        for (int c = 0; c < 6; c++) uv[c / 2][c % 2] = ((int)(next_random(&random) % 2001) - 1000) * (round < 4 ? 1.0 : sizes[i] / 1000.0);
        scene_triangle(&s, t, uv, 0);
      }
      CHECK(scene_draw_one(&p, &s, &camera, round < 4 ? 1 : 4, false, false));
    }
}

/* Alpha below one half cuts out, unless ignored. */
static void test_cutout(void) {
  static scene_mesh s;
  static scene_picture p;
  static uint8_t texels[8 * 8 * 4];
  const float one = 1.0f;
  fm_camera camera = scene_camera();
  for (int y = 0; y < 8; y++)
    for (int x = 0; x < 8; x++) {
      const uint8_t hidden[4] = {0, 0, 0, 0}, shown[4] = {90, 120, 150, 255};
      memcpy(texels + (y * 8 + x) * 4, x < 4 ? hidden : shown, 4);
    }
  for (int ignore = 0; ignore < 2; ignore++) {
    fm_frame frame;
    const fm_mesh *head = &s.mesh;
    memset(&frame, 0, sizeof frame);
    frame.shape_weights = &one;
    frame.camera = &camera;
    frame.transparent = frame.unlit = true;
    scene_clear(&s);
    scene_texture(&s, texels, 8, 8, 4);
    scene_rectangle(&s, 8, 8, 16, 16, 0, 0);
    CHECK(scene_draw(&p, &head, 1, &frame, 1, 1, ignore != 0));
    CHECK_INT(scene_pixel(&p, 9, 12)[3], ignore ? 255 : 0);
    CHECK_INT(scene_pixel(&p, 10, 12)[3], ignore ? 255 : 0);
    CHECK_INT(scene_pixel(&p, 14, 12)[3], 255);
    CHECK_INT(scene_pixel(&p, 14, 12)[2], 150);
  }
}

/* An opacity map cuts out too, with and without a colour texture, and of another size. */
static void test_opacity_map(void) {
  static scene_mesh s;
  static scene_picture p;
  static uint8_t colour[8 * 8 * 3], half[2 * 2] = {0, 255, 0, 255};
  const float one = 1.0f;
  fm_camera camera = scene_camera();
  memset(colour, 77, sizeof colour);
  for (int coloured = 0; coloured < 2; coloured++)
    for (int ignore = 0; ignore < 2; ignore++) {
      fm_frame frame;
      const fm_mesh *head = &s.mesh;
      memset(&frame, 0, sizeof frame);
      frame.shape_weights = &one;
      frame.camera = &camera;
      frame.transparent = frame.unlit = true;
      scene_clear(&s);
      scene_texture(&s, colour, 8, 8, 3);
      scene_texture(&s, half, 2, 2, 1);
      s.materials[0].opacity = 1;
      if (!coloured) s.materials[0].texture = FM_NONE;
      s.mesh.material_count = 1;
      scene_rectangle(&s, 8, 8, 16, 16, 0, 0);
      CHECK(scene_draw(&p, &head, 1, &frame, 1, 1, ignore != 0));
      CHECK_INT(scene_pixel(&p, 9, 12)[3], ignore ? 255 : 0);
      CHECK_INT(scene_pixel(&p, 14, 12)[3], 255);
      CHECK_INT(scene_pixel(&p, 14, 12)[1], coloured ? 77 : 179);
    }
}

static void test_culling(void) {
  static scene_mesh s;
  static scene_picture p;
  const float one = 1.0f;
  fm_camera camera = scene_camera();
  double behind[3][3] = {{4, 4, 0}, {28, 28, 0}, {4, 28, 0}}, front[3][3] = {{4, 4, 0}, {4, 28, 0}, {28, 28, 0}};
  for (int i = 0; i < 4; i++) {
    fm_frame frame;
    const fm_mesh *head = &s.mesh;
    memset(&frame, 0, sizeof frame);
    frame.shape_weights = &one;
    frame.camera = &camera;
    frame.transparent = true;
    frame.cull = i & 1 ? FM_CULL_BACK : FM_CULL_NONE;
    scene_clear(&s);
    scene_triangle(&s, i & 2 ? behind : front, no_uv, 0);
    CHECK(scene_draw(&p, &head, 1, &frame, 1, 1, false));
    CHECK_INT(scene_pixel(&p, 6, 20)[3], i == 3 ? 0 : 255);
  }
}

/* Two heads: blended texels and shapes, weights beyond [0, 1], and masks. */
static void test_blending(void) {
  static scene_mesh a, b;
  static scene_picture p[4];
  static uint8_t texel_a[3] = {100, 200, 40}, texel_b[3] = {200, 100, 80};
  fm_camera camera = scene_camera();
  const float weights[4][2] = {{1, 0}, {0.25f, 0.75f}, {1.5f, -0.5f}, {0, 1}};
  const fm_mesh *heads[2] = {&a.mesh, &b.mesh};
  fm_frame frames[4];
  memset(frames, 0, sizeof frames);
  scene_clear(&a);
  scene_clear(&b);
  scene_texture(&a, texel_a, 1, 1, 3);
  scene_texture(&b, texel_b, 1, 1, 3);
  scene_rectangle(&a, 4, 4, 12, 12, 0, 0);
  scene_rectangle(&b, 8, 8, 16, 16, 0, 0);
  for (int i = 0; i < 4; i++) {
    frames[i].shape_weights = weights[i];
    frames[i].camera = &camera;
    frames[i].samples = 1;
  }
  CHECK(scene_draw(p, heads, 2, frames, 4, 1, false));
  for (int i = 0; i < 4; i++) {
    int corner = i == 0 ? 4 : i == 1 ? 7 : i == 2 ? 2 : 8; /* 4 + 4 w_b */
    CHECK_INT(scene_pixel(&p[i], corner - 1, corner)[0], 255);
    for (int c = 0; c < 3; c++) {
      double want = weights[i][0] * texel_a[c] + weights[i][1] * texel_b[c];
      CHECK_INT(scene_pixel(&p[i], corner, corner + 1)[c], (int)(want + 0.5));
      CHECK_INT(scene_pixel(&p[i], corner + 7, corner + 6)[c], (int)(want + 0.5));
    }
  }
  /* the texture of B on the left, of A on the right; the shape of A throughout */
  float left[6], right[6];
  const float *masks[2] = {right, left};
  const float ones[2] = {1, 1}, only_a[2] = {1, 0};
  for (int v = 0; v < 6; v++) {
    right[v] = a.positions[3 * v] > -8.0f;
    left[v] = 1 - right[v];
  }
  memset(frames, 0, sizeof frames[0]);
  frames[0].shape_weights = only_a;
  frames[0].texture_weights = ones;
  frames[0].texture_masks = masks;
  frames[0].camera = &camera;
  frames[0].samples = 1;
  CHECK(scene_draw(p, heads, 2, frames, 1, 1, false));
  for (int x = 0; x < 8; x++) {
    double t = (x + 0.5) / 8;
    CHECK_NEAR(scene_pixel(&p[0], 4 + x, 9)[0], t * 100 + (1 - t) * 200, 0.51);
  }
}

/* Heads that do not share UVs or texture sizes go another way: the same picture within 1/255. */
static void test_separate_samplers(void) {
  static scene_mesh a, b;
  static scene_picture shared[1], apart[1];
  static uint8_t texels_a[16 * 16 * 3], texels_b[16 * 16 * 3], flipped_b[16 * 16 * 3];
  fm_camera camera = scene_camera();
  const float half[2] = {0.5f, 0.5f};
  const fm_mesh *heads[2] = {&a.mesh, &b.mesh};
  fm_frame frame;
  for (size_t i = 0; i < sizeof texels_a; i++) {
    texels_a[i] = (uint8_t)(i * 89);
    texels_b[i] = (uint8_t)(i * 57 + 11);
  }
  for (int i = 0; i < 16 * 16; i++) memcpy(flipped_b + 3 * i, texels_b + 3 * (i ^ 15), 3); /* left and right swapped */
  for (int apart_now = 0; apart_now < 2; apart_now++) {
    scene_clear(&a);
    scene_clear(&b);
    scene_texture(&a, texels_a, 16, 16, 3);
    scene_texture(&b, apart_now ? flipped_b : texels_b, 16, 16, 3);
    scene_rectangle(&a, 3.3, 4.1, 25.7, 28.2, 0, 0);
    scene_rectangle(&b, 3.3, 4.1, 25.7, 28.2, 0, 0);
    if (apart_now)
      for (int v = 0; v < 6; v++) b.uvs[2 * v] = 1 - b.uvs[2 * v];
    memset(&frame, 0, sizeof frame);
    frame.shape_weights = half;
    frame.camera = &camera;
    CHECK(scene_draw(apart_now ? apart : shared, heads, 2, &frame, 1, 1, false));
  }
  for (int i = 0; i < SCENE_SIDE * SCENE_SIDE * 3; i++) CHECK_NEAR(apart->pixels[i], shared->pixels[i], 1);
}

/* Level 0 is stored where begin does not know the frames, or where they magnify it often enough. The pictures are the same, also of
   frames that begin was not told of. An island ends inside the texture: filters reach texels that are filled on the spot. */
static void test_unstored_level0(void) {
  static scene_mesh s;
  static uint8_t texels[64 * 64 * 4], pixels[3][40 * 40 * 3];
  static const double half_extents[3] = {200, 16, 4}; /* 12, 1 and 0.3 texels a pixel */
  double p[3][3] = {{2, 2, 0}, {2, 30, 0}, {30, 28, 0}}, uv[3][2] = {{0.11, 0.9}, {0.13, 0.2}, {0.62, 0.24}};
  const float one = 1.0f;
  const fm_mesh *head = &s.mesh;
  for (size_t i = 0; i < sizeof texels; i++) texels[i] = (uint8_t)(i % 4 == 3 && i % 5 ? 255 : i * i * 89 >> 3);
  scene_clear(&s);
  scene_texture(&s, texels, 64, 64, 4);
  scene_triangle(&s, p, uv, 0);
  for (int zoom = 0; zoom < 3; zoom++) {
    fm_camera far_away = scene_camera(), camera = scene_camera();
    fm_frame frames[4];
    far_away.half_extent = half_extents[0];
    camera.half_extent = half_extents[zoom];
    memset(frames, 0, sizeof frames);
    for (int f = 0; f < 4; f++) {
      frames[f].shape_weights = &one;
      frames[f].camera = f ? &far_away : &camera;
      frames[f].width = frames[f].height = 40;
    }
    for (int hint = 0; hint < 3; hint++) { /* none; frames that are small; all frames */
      fm_renderer renderer;
      fm_scene scene;
      fm_image image;
      fm_error error;
      memset(&scene, 0, sizeof scene);
      memset(&image, 0, sizeof image);
      scene.heads = &head;
      scene.head_count = 1;
      scene.lanes = 1;
      scene.frames = hint == 0 ? NULL : hint == 1 ? frames + 1 : frames;
      scene.frame_count = hint == 0 ? 0 : hint == 1 ? 3 : 4;
      image.width = image.height = 40;
      image.channels = 3;
      image.pixels = pixels[hint];
      CHECK(fm_software_renderer(&renderer, NULL, &error));
      CHECK_INT(renderer.begin(renderer.user, &scene, &error), 1);
      const fmi_software *software = (const fmi_software *)renderer.user;
      CHECK_INT(software->pyramids[0].level[0].texels != NULL, hint == 0 || (hint == 2 && zoom > 0));
      CHECK(renderer.submit(renderer.user, 0, &frames[0], &error) && renderer.collect(renderer.user, 0, &image, &error));
      fm_destroy_renderer(&renderer);
      CHECK(memcmp(pixels[hint], pixels[0], sizeof pixels[0]) == 0);
    }
  }
}

/* The fit: half the height becomes 1, the camera stands at max(2.8, half-depth + 1.8). */
static void test_fit(void) {
  float low[6] = {-1, 10, 2, 3, 30, 4}, high[6] = {-1, 10, 2, 3, 30, 54};
  fm_mesh a, b;
  const fm_mesh *heads[2] = {&a, &b};
  fm_camera_desc desc;
  memset(&a, 0, sizeof a);
  memset(&desc, 0, sizeof desc);
  a.vertex_count = 2;
  a.positions = low;
  b = a;
  b.positions = high;
  fm_camera camera = fm_fit_camera(heads, 1, NULL);
  CHECK_NEAR(camera.center[0], 1, 1e-12);
  CHECK_NEAR(camera.center[1], 20, 1e-12);
  CHECK_NEAR(camera.center[2], 3, 1e-12);
  CHECK_NEAR(camera.scale, 0.1, 1e-12);
  CHECK_NEAR(camera.distance, 2.8, 1e-12);
  CHECK_NEAR(camera.half_extent, 2.8 * 0.57735026918962576, 1e-12); /* tan 30 */
  camera = fm_fit_camera(heads, 2, NULL);
  CHECK_NEAR(camera.distance, 2.6 + 1.8, 1e-12);
  desc.distance = 10;
  camera = fm_fit_camera(heads, 1, &desc); /* the head keeps its size at z = 0 */
  CHECK_NEAR(camera.distance, 10, 1e-12);
  CHECK_NEAR(camera.half_extent, 2.8 * 0.57735026918962576, 1e-12);
  desc.distance = 0;
  desc.no_fit = true;
  camera = fm_fit_camera(heads, 2, &desc);
  CHECK_NEAR(camera.center[1], 0, 0);
  CHECK_NEAR(camera.scale, 1, 0);
  CHECK_NEAR(camera.distance, 2.8, 0);
}

/* yaw > 0 turns the face towards +X, pitch > 0 up; at 90 degrees exactly. */
static void test_turning(void) {
  static scene_mesh s;
  static scene_picture p;
  fm_camera camera = scene_camera();
  double nose[3][3] = {{15, 15, 10}, {15, 17, 10}, {17, 16, 10}}; /* 10 units before the middle */
  scene_clear(&s);
  scene_triangle(&s, nose, no_uv, 0);
  for (int i = 0; i < 2; i++) {
    camera.yaw = i == 0 ? 60 : 0;
    camera.pitch = i == 1 ? 60 : 0;
    CHECK(scene_draw_one(&p, &s, &camera, 4, true, true));
    double x = 0, y = 0, n = 0;
    for (int k = 0; k < SCENE_SIDE * SCENE_SIDE; k++) {
      double w = p.pixels[4 * k + 3];
      n += w;
      x += w * (k % SCENE_SIDE + 0.5);
      y += w * (k / SCENE_SIDE + 0.5);
    }
    CHECK(n > 0);
    if (n > 0) {
      CHECK_NEAR(x / n, i == 0 ? 16 + 10 * sin(60 * 3.14159265358979 / 180) : 16, 0.6);
      CHECK_NEAR(y / n, i == 1 ? 16 - 10 * sin(60 * 3.14159265358979 / 180) : 16, 0.6);
    }
  }
}

/* Any number of threads gives the same bytes, and pure A does not depend on its partner. */
static void test_same_bytes(void) {
  static scene_mesh a, b, c;
  static scene_picture one[9], other[9];
  static uint8_t texels[3][16 * 16 * 3];
  const fm_mesh *pair[2] = {&a.mesh, &b.mesh}, *second[2] = {&a.mesh, &c.mesh};
  float weights[9][2];
  fm_frame frames[9];
  fm_camera camera = scene_camera();
  camera.distance = 50;
  camera.yaw = 20;
  scene_mesh *all[3] = {&a, &b, &c};
  for (int h = 0; h < 3; h++) {
    for (size_t i = 0; i < sizeof texels[h]; i++) texels[h][i] = (uint8_t)(i * (i + 3 + (size_t)h) * 37);
    scene_clear(all[h]);
    scene_texture(all[h], texels[h], 16, 16, 3);
    for (int i = 0; i < 10; i++) scene_rectangle(all[h], 2 + i + h, 3 + 0.7 * i, 20 + 0.3 * i * h, 22 + 0.5 * i, 0.4 * i - h, 0);
  }
  memset(frames, 0, sizeof frames);
  for (int i = 0; i < 9; i++) {
    weights[i][0] = (float)i / 8;
    weights[i][1] = 1 - weights[i][0];
    frames[i].shape_weights = weights[i];
    frames[i].camera = &camera;
  }
  CHECK(scene_draw(one, pair, 2, frames, 9, 1, false));
  for (int threads = 2; threads <= 5; threads++) {
    memset(other, 0, sizeof other);
    CHECK(scene_draw(other, pair, 2, frames, 9, threads, false));
    CHECK(memcmp(one, other, sizeof one) == 0);
  }
  CHECK(scene_draw(other, second, 2, frames + 8, 1, 1, false));
  CHECK(memcmp(one[8].pixels, other[0].pixels, sizeof one[8].pixels) == 0);
}

/* More than one band: the picture of a large frame equals that of its small sibling where both sample the same places. */
static bool keep_image(void *user, size_t frame, size_t slot, const fm_image *image, fm_error *error) {
  (void)frame; (void)slot; (void)error;
  memcpy(user, image->pixels, (size_t)image->width * (size_t)image->height * 3);
  return true;
}
static void test_bands(void) {
  static scene_mesh s;
  enum { W = 400, H = 700 }; /* 4 samples: 81 rows a band */
  static uint8_t pixels[W * H * 3];
  const float one = 1.0f;
  const fm_mesh *head = &s.mesh;
  fm_camera camera = scene_camera();
  fm_frame frame;
  fm_scene scene;
  fm_renderer renderer;
  fm_image_sink sink;
  fm_error error;
  memset(&frame, 0, sizeof frame);
  memset(&scene, 0, sizeof scene);
  memset(&sink, 0, sizeof sink);
  camera.half_extent = H / 2;
  scene_clear(&s);
  scene_rectangle(&s, 16 - 150, 16 - 300, 16 + 150, 16 + 300, 0, 0);
  frame.shape_weights = &one;
  frame.camera = &camera;
  frame.width = W;
  frame.height = H;
  scene.heads = &head;
  scene.head_count = 1;
  sink.user = pixels;
  sink.deliver = keep_image;
  CHECK(fm_software_renderer(&renderer, NULL, &error));
  CHECK(fm_render(&renderer, &scene, &frame, 1, &sink, &error));
  fm_destroy_renderer(&renderer);
  int wrong = 0;
  for (int y = 0; y < H; y++)
    for (int x = 0; x < W; x++) wrong += pixels[(y * W + x) * 3] != (x >= 50 && x < 350 && y >= 50 && y < 650 ? 179 : 255);
  CHECK_INT(wrong, 0);
}

TEST_MAIN({"coverage of a triangle", test_triangle_coverage}, {"sample positions", test_sample_positions},
          {"shared edges cover each sample once", test_shared_edges}, {"exact texels", test_exact_texels}, {"half the size", test_minified},
          {"depth order", test_depth_order}, {"perspective", test_perspective}, {"light", test_light},
          {"no bleeding at seams", test_no_bleeding}, {"near plane", test_near_plane}, {"inside a box", test_inside_a_box},
          {"clipped neighbours", test_clipped_neighbours}, {"visibility of every sample", test_visibility}, {"vast numbers", test_vast_numbers}, {"cut-outs", test_cutout}, {"opacity maps", test_opacity_map}, {"culling", test_culling}, {"blending and masks", test_blending},
          {"separate samplers agree", test_separate_samplers}, {"level 0 not stored", test_unstored_level0}, {"fit", test_fit}, {"yaw and pitch", test_turning},
          {"same bytes for any thread count", test_same_bytes}, {"bands", test_bands})
