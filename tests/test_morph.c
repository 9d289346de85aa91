/* Blends bit for bit and by closed forms; normals of solids; the quadratic form against normals of the blended positions. */
#include "test.h"

static uint32_t seed = 12345;
static float random_float(void) { /* in [-1, 1) */
  seed = seed * 1664525u + 1013904223u;
  return (float)(seed >> 8) / 8388608.0f - 1.0f;
}

/* ---- blend ---- */

enum { SPOTS = 40 };
static float spots[3][3 * SPOTS];
static fm_mesh clouds[3];
static const fm_mesh *const cloud_heads[3] = {&clouds[0], &clouds[1], &clouds[2]};

static void make_clouds(void) {
  /* what a sum with 0 would lose: both zeros, denormals, the extremes */
  static const uint32_t strange[] = {0x80000000u, 0x00000000u, 0x00000001u, 0x80000001u, 0x007FFFFFu,
                                     0x807FFFFFu, 0x7F7FFFFFu, 0xFF7FFFFFu, 0x00800000u};
  for (int h = 0; h < 3; h++) {
    for (int i = 0; i < 3 * SPOTS; i++) spots[h][i] = random_float();
    for (size_t i = 0; i < FMI_COUNT(strange); i++) spots[h][(size_t)h * 11 + i] = fmi_bits_float(strange[i]);
    memset(&clouds[h], 0, sizeof clouds[h]);
    clouds[h].vertex_count = SPOTS;
    clouds[h].positions = spots[h];
  }
}

static void test_pure_weights(void) {
  float out[3 * SPOTS];
  make_clouds();
  for (size_t count = 1; count <= 3; count++)
    for (size_t pure = 0; pure < count; pure++) {
      float weights[3] = {0.0f, 0.0f, 0.0f};
      weights[pure] = 1.0f;
      memset(out, 0x55, sizeof out);
      CHECK(fm_blend(out, cloud_heads, weights, NULL, count));
      CHECK(memcmp(out, spots[pure], sizeof out) == 0);
      weights[(pure + 1) % count] = count > 1 ? -0.0f : 1.0f; /* the other zero */
      CHECK(fm_blend(out, cloud_heads, weights, NULL, count));
      CHECK(memcmp(out, spots[pure], sizeof out) == 0);
    }
}

static void test_sums(void) {
  static const float weights[][3] = {{0.25f, 0.75f, 0.0f}, {0.2f, 0.3f, 0.5f},   {1.5f, -0.5f, 0.0f},
                                     {2.0f, -3.0f, 2.0f},  {0.0f, 0.0f, 0.0f}, {0.3f, 0.0f, 0.3f}};
  float out[3 * SPOTS];
  make_clouds();
  for (int h = 0; h < 3; h++)
    for (int i = 0; i < 3 * SPOTS; i++)
      if (!(fabsf(spots[h][i]) <= 1.0f)) spots[h][i] = 0.5f; /* no overflow here */
  for (size_t w = 0; w < FMI_COUNT(weights); w++) {
    CHECK(fm_blend(out, cloud_heads, weights[w], NULL, 3));
    double worst = 0.0;
    for (int i = 0; i < 3 * SPOTS; i++) {
      double want = 0.0;
      for (int h = 0; h < 3; h++) want += (double)weights[w][h] * (double)spots[h][i];
      worst = fmax(worst, fabs((double)out[i] - want));
    }
    CHECK_NEAR(worst, 0.0, 1e-6);
  }
}

static void test_masks(void) {
  float out[3 * SPOTS], mask_0[SPOTS], mask_2[SPOTS];
  const float weights[3] = {0.5f, 0.25f, -2.0f};
  const float *masks[3] = {mask_0, NULL, mask_2}, *none[3] = {NULL, NULL, NULL};
  float plain[3 * SPOTS];
  make_clouds();
  for (int v = 0; v < SPOTS; v++) {
    mask_0[v] = (float)(v % 5) * 0.25f;
    mask_2[v] = v < SPOTS / 2 ? 0.0f : 1.0f;
    for (int h = 0; h < 3; h++)
      for (int k = 0; k < 3; k++) spots[h][3 * v + k] = random_float();
  }
  CHECK(fm_blend(out, cloud_heads, weights, masks, 3));
  double worst = 0.0;
  for (int v = 0; v < SPOTS; v++)
    for (int k = 0; k < 3; k++) {
      int i = 3 * v + k;
      double a = (double)mask_0[v] * (double)spots[0][i], b = (double)spots[1][i], c = (double)mask_2[v] * (double)spots[2][i];
      double want = 0.5 * a + 0.25 * b - 2.0 * c;
      worst = fmax(worst, fabs((double)out[i] - want));
    }
  CHECK_NEAR(worst, 0.0, 1e-6);
  CHECK(fm_blend(out, cloud_heads, weights, none, 3));
  CHECK(fm_blend(plain, cloud_heads, weights, NULL, 3));
  CHECK(memcmp(out, plain, sizeof out) == 0);
}

static void test_refused_blends(void) {
  float out[3 * SPOTS], weights[3] = {1.0f, 0.0f, 0.0f};
  make_clouds();
  CHECK(!fm_blend(out, cloud_heads, weights, NULL, 0));
  CHECK(!fm_blend(NULL, cloud_heads, weights, NULL, 1));
  CHECK(!fm_blend(out, NULL, weights, NULL, 1));
  CHECK(!fm_blend(out, cloud_heads, NULL, NULL, 1));
  clouds[2].vertex_count = SPOTS - 1;
  memset(out, 0x55, sizeof out);
  CHECK(!fm_blend(out, cloud_heads, weights, NULL, 3));
  CHECK(fmi_float_bits(out[0]) == 0x55555555u); /* nothing written */
  CHECK(fm_blend(out, cloud_heads, weights, NULL, 2));
}

/* ---- normals ---- */

static fm_mesh triangles_of(float *positions, size_t vertices, uint32_t *corners, size_t triangles) {
  fm_mesh mesh;
  memset(&mesh, 0, sizeof mesh);
  mesh.vertex_count = vertices;
  mesh.positions = positions;
  mesh.polygon_count = triangles;
  mesh.corner_count = 3 * triangles;
  mesh.corners = corners;
  return mesh;
}
static double distance_of(const float *n, double x, double y, double z) {
  return fmax(fabs((double)n[0] - x), fmax(fabs((double)n[1] - y), fabs((double)n[2] - z)));
}

/* An octahedron's normals point away from its middle, whatever its size. */
static void test_sizes_of_meshes(void) {
  static const float unit[18] = {1, 0, 0, -1, 0, 0, 0, 1, 0, 0, -1, 0, 0, 0, 1, 0, 0, -1};
  static const float sizes[] = {1.0f, 1e-20f, 1e-12f, 1e-6f, 1e4f, 1e9f, 1e15f};
  uint32_t corners[24] = {0, 2, 4, 2, 1, 4, 1, 3, 4, 3, 0, 4, 2, 0, 5, 1, 2, 5, 3, 1, 5, 0, 3, 5};
  float positions[18], normals[18];
  fm_mesh mesh = triangles_of(positions, 6, corners, 8);
  for (size_t s = 0; s < FMI_COUNT(sizes); s++) {
    for (int i = 0; i < 18; i++) positions[i] = unit[i] * sizes[s];
    CHECK(fm_normals(normals, &mesh, NULL));
    for (int v = 0; v < 6; v++) CHECK_NEAR(distance_of(normals + 3 * v, unit[3 * v], unit[3 * v + 1], unit[3 * v + 2]), 0.0, 2e-7);
  }
}

/* A cube of quads, cut along the diagonals between the four vertices with an even number of positive coordinates: those have two
   triangles on each side, the others one, so that every normal is its vertex's diagonal. Fans by hand. */
static void test_cube(void) {
  float positions[24], normals[24];
  uint32_t corners[24] = {0, 2, 3, 1, 4, 5, 7, 6, 0, 1, 5, 4, 2, 6, 7, 3, 0, 4, 6, 2, 1, 3, 7, 5}, starts[7], triangles[36], polygons[12];
  uint32_t quads[24];
  for (int v = 0; v < 8; v++)
    for (int k = 0; k < 3; k++) positions[3 * v + k] = v >> k & 1 ? 1.0f : -1.0f;
  for (uint32_t q = 0; q < 6; q++) { /* each quad begins at a corner with an even number of ones */
    uint32_t first = 0;
    while ((0x96u >> corners[4 * q + first] & 1u) != 0) first++; /* bit v: an odd number */
    for (uint32_t k = 0; k < 4; k++) quads[4 * q + k] = corners[4 * q + (first + k) % 4];
    starts[q] = 4 * q;
    uint32_t fan[6] = {4 * q, 4 * q + 1, 4 * q + 2, 4 * q, 4 * q + 2, 4 * q + 3};
    memcpy(triangles + 6 * q, fan, sizeof fan);
    polygons[2 * q] = polygons[2 * q + 1] = q;
  }
  starts[6] = 24;
  fm_mesh mesh = triangles_of(positions, 8, quads, 6);
  mesh.polygon_starts = starts;
  mesh.corner_count = 24;
  CHECK(!fm_normals(normals, &mesh, NULL)); /* not prepared */
  mesh.triangles = triangles;
  mesh.triangle_polygons = polygons;
  mesh.triangle_count = 12;
  CHECK(fm_normals(normals, &mesh, NULL));
  double r = sqrt(1.0 / 3);
  for (int v = 0; v < 8; v++)
    for (int k = 0; k < 3; k++) CHECK_NEAR(normals[3 * v + k], r * (double)positions[3 * v + k], 1e-7);
  CHECK(!fm_normals(NULL, &mesh, NULL));
  CHECK(!fm_normals(normals, NULL, NULL));
}

/* Two triangles at one corner, of area 2 facing +Z and of area 1/2 facing +X: the normal is (1/2, 0, 2) made unit. */
static void test_area_weights(void) {
  float positions[15] = {0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 1, 0, 0, 0, 1}, normals[15], moved[15];
  uint32_t corners[6] = {0, 1, 2, 0, 3, 4};
  fm_mesh mesh = triangles_of(positions, 5, corners, 2);
  double length = sqrt(0.25 + 4.0);
  CHECK(fm_normals(normals, &mesh, NULL));
  CHECK_NEAR(distance_of(normals, 0.5 / length, 0.0, 2.0 / length), 0.0, 1e-7);
  CHECK_NEAR(distance_of(normals + 3, 0.0, 0.0, 1.0), 0.0, 0.0);
  CHECK_NEAR(distance_of(normals + 9, 1.0, 0.0, 0.0), 0.0, 0.0);
  for (int i = 0; i < 15; i++) moved[i] = -positions[i]; /* positions of the caller's instead of the mesh's: turned through the origin */
  CHECK(fm_normals(normals, &mesh, moved));
  CHECK_NEAR(distance_of(normals, 0.5 / length, 0.0, 2.0 / length), 0.0, 1e-7);
}

static void test_degenerate(void) {
  /* vertex 3 is used by a triangle without area, vertex 4 by none, vertex 5 by two that cancel out */
  float positions[24] = {0, 0, 0, 1, 0, 0, 0, 1, 0, 5, 5, 5, 7, 7, 7, 9, 0, 0, 9, 1, 0, 9, 0, 1}, normals[24];
  uint32_t corners[12] = {0, 1, 2, 3, 3, 0, 5, 6, 7, 5, 7, 6};
  fm_mesh mesh = triangles_of(positions, 8, corners, 4);
  memset(normals, 0x55, sizeof normals);
  CHECK(fm_normals(normals, &mesh, NULL));
  CHECK_NEAR(distance_of(normals, 0, 0, 1), 0.0, 0.0);
  for (int v = 3; v < 6; v++) CHECK_NEAR(distance_of(normals + 3 * v, 0, 0, 0), 0.0, 0.0);
}

/* ---- the quadratic form ---- */

enum { RINGS = 12, SPOKES = 16, BALL = RINGS * SPOKES, BALL_TRIANGLES = 2 * (RINGS - 1) * SPOKES };
static float balls[4][3 * BALL];
static uint32_t ball_corners[3 * BALL_TRIANGLES];
static fm_mesh ball_meshes[4];
static const fm_mesh *const ball_heads[4] = {&ball_meshes[0], &ball_meshes[1], &ball_meshes[2], &ball_meshes[3]};

/* Balls without poles, each with smooth bumps of its own. */
static void make_balls(void) {
  uint32_t *c = ball_corners;
  for (uint32_t r = 0; r + 1 < RINGS; r++)
    for (uint32_t s = 0; s < SPOKES; s++) {
      uint32_t v = r * SPOKES + s, w = r * SPOKES + (s + 1) % SPOKES, six[6] = {v, w, v + SPOKES, w, w + SPOKES, v + SPOKES};
      memcpy(c, six, sizeof six);
      c += 6;
    }
  for (int h = 0; h < 4; h++) {
    double a = (double)random_float(), b = (double)random_float(), phase = 3.0 * (double)random_float();
    for (int v = 0; v < BALL; v++) {
      double theta = 0.4 + 2.3 * (v / SPOKES) / (RINGS - 1), phi = 6.283185307179586 * (v % SPOKES) / SPOKES;
      double radius = 1.0 + 0.15 * a * sin(2 * phi + phase) * sin(theta) + 0.1 * b * cos(3 * theta);
      balls[h][3 * v] = (float)(radius * sin(theta) * cos(phi));
      balls[h][3 * v + 1] = (float)(radius * cos(theta));
      balls[h][3 * v + 2] = (float)(radius * sin(theta) * sin(phi));
    }
    ball_meshes[h] = triangles_of(balls[h], BALL, ball_corners, BALL_TRIANGLES);
  }
}

static void test_quadratic_form(void) {
  static float terms[10][3 * BALL], blended[3 * BALL], want[3 * BALL], got[3 * BALL];
  for (int round = 0; round < 5; round++) {
    make_balls();
    for (size_t n = 1; n <= 4; n++) {
      CHECK_INT(fmi_normal_term_count(n), n * (n + 1) / 2);
      for (size_t h = 0, i = 0; h < n; h++)
        for (size_t g = h; g < n; g++) fmi_normal_term(terms[i++], ball_heads, h, g);
      for (int kind = 0; kind < 8; kind++) {
        float weights[4] = {0, 0, 0, 0}, sum = 0.0f;
        for (size_t h = 0; h < n; h++) weights[h] = random_float();
        if (kind < 4) memset(weights, 0, sizeof weights), weights[(size_t)kind % n] = 1.0f; /* one head alone */
        else { /* caricature: weights outside [0, 1] that sum to 1 */
          for (size_t h = 1; h < n; h++) sum += weights[h];
          weights[0] = 1.0f - sum;
        }
        CHECK(fm_blend(blended, ball_heads, weights, NULL, n));
        CHECK(fm_normals(want, &ball_meshes[0], blended));
        memset(got, 0, sizeof got);
        for (size_t h = 0, i = 0; h < n; h++)
          for (size_t g = h; g < n; g++, i++)
            for (int k = 0; k < 3 * BALL; k++) got[k] += weights[h] * weights[g] * terms[i][k];
        fmi_make_unit(got, BALL);
        double worst = 0.0;
        for (int i = 0; i < 3 * BALL; i++) worst = fmax(worst, fabs((double)got[i] - (double)want[i]));
        CHECK_NEAR(worst, 0.0, 1e-5);
      }
    }
  }
}

TEST_MAIN({"pure weights", test_pure_weights}, {"sums", test_sums}, {"masks", test_masks},
          {"refused blends", test_refused_blends}, {"sizes of meshes", test_sizes_of_meshes}, {"cube", test_cube},
          {"area weights", test_area_weights}, {"degenerate", test_degenerate}, {"quadratic form", test_quadratic_form})
