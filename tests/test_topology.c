/* What fm_check_topology says of equal meshes and of each way to differ. */
#include "test.h"

/* A mesh with everything it points to: three quads in a row over 8 vertices, with UVs per corner. */
typedef struct strip { fm_mesh mesh; float positions[3 * 24], uvs[2 * 48]; uint32_t starts[9], corners[48], corner_uvs[48]; } strip;

static void make_strip(strip *s) {
  memset(s, 0, sizeof *s);
  fm_mesh *m = &s->mesh;
  m->vertex_count = 8;
  m->positions = s->positions;
  m->polygon_count = 3;
  m->polygon_starts = s->starts;
  m->corners = s->corners;
  m->uvs = s->uvs;
  for (uint32_t q = 0; q < 3; q++) {
    uint32_t quad[4] = {2 * q, 2 * q + 1, 2 * q + 3, 2 * q + 2};
    memcpy(s->corners + 4 * q, quad, sizeof quad);
    s->starts[q + 1] = 4 * q + 4;
  }
  m->corner_count = m->uv_count = 12;
  for (uint32_t c = 0; c < 12; c++) {
    s->uvs[2 * c] = (float)s->corners[c] / 8;
    s->uvs[2 * c + 1] = (float)(s->corners[c] & 1);
  }
}
static strip a, b;
static fm_topology_report report;
static void make_pair(void) {
  make_strip(&a);
  make_strip(&b);
  memset(&report, 0x77, sizeof report);
}
static bool check(void) { return fm_check_topology(&a.mesh, &b.mesh, &report); }
static bool says(const char *words) { return strstr(report.message, words) != NULL; }

static void test_equal(void) {
  make_pair();
  for (int i = 0; i < 24; i++) b.positions[i] = (float)i; /* positions are not topology */
  CHECK(check());
  CHECK(report.same && report.uvs_same);
  CHECK(report.first_polygon == SIZE_MAX && report.first_uv_corner == SIZE_MAX);
  CHECK_INT(report.uv_corners, 0);
  CHECK_TEXT(report.message, "");
  CHECK(fm_check_topology(&a.mesh, &b.mesh, NULL));
  CHECK(fm_check_topology(&a.mesh, &a.mesh, &report));
  a.mesh.uvs = b.mesh.uvs = NULL; /* no UVs on either side are the same UVs */
  CHECK(check() && report.uvs_same);
  fm_mesh empty;
  memset(&empty, 0, sizeof empty);
  CHECK(fm_check_topology(&empty, &empty, &report) && report.same && report.uvs_same);
}

static void test_vertex_counts(void) {
  make_pair();
  b.mesh.vertex_count = 11; /* more vertices, the same polygons */
  CHECK(!check());
  CHECK(!report.same && report.first_polygon == SIZE_MAX);
  CHECK(says("A has 8 vertices and 3 polygons") && says("B has 11 and 3"));
  CHECK(!fm_check_topology(&a.mesh, &b.mesh, NULL));
}

static void test_polygon_counts(void) {
  make_pair();
  b.mesh.polygon_count = 2;
  b.mesh.corner_count = b.mesh.uv_count = 8;
  CHECK(!check());
  CHECK(!report.same && report.first_polygon == SIZE_MAX);
  CHECK(says("A has 8 vertices and 3 polygons") && says("B has 8 and 2") && says("first 2 polygons are equal"));
  b.corners[5] = 7; /* and one of those two differs: (2, 3, 5, 4) in A */
  CHECK(!check());
  CHECK(says("3 polygons") && says("8 and 2") && says("number 1") && says("2, 3, 5, 4 in A") && says("2, 7, 5, 4 in B"));
  CHECK_INT(report.first_polygon, 1);
}

static void test_other_polygons(void) {
  make_pair();
  b.corners[8] = 5; /* the same corners, but another first one */
  b.corners[9] = 7;
  b.corners[10] = 6;
  b.corners[11] = 4;
  CHECK(!check());
  CHECK_INT(report.first_polygon, 2);
  CHECK(says("number 2") && says("4, 5, 7, 6 in A") && says("5, 7, 6, 4 in B"));
  CHECK(!report.same);
  make_pair(); /* two polygons changed places */
  for (int k = 0; k < 4; k++) {
    uint32_t first = b.corners[k];
    b.corners[k] = b.corners[4 + k];
    b.corners[4 + k] = first;
  }
  CHECK(!check());
  CHECK_INT(report.first_polygon, 0);
  CHECK(says("0, 1, 3, 2 in A") && says("2, 3, 5, 4 in B"));
}

/* Four triangles against two quads and two triangles of the same corners: equal counts, other shapes. */
static void test_triangles_and_quads(void) {
  static const uint32_t starts[] = {0, 4, 8, 10, 12};
  make_pair();
  memcpy(b.corners, a.corners, sizeof b.corners);
  a.mesh.polygon_starts = NULL;
  a.mesh.polygon_count = b.mesh.polygon_count = 4;
  memcpy(b.starts, starts, sizeof starts);
  CHECK(!check());
  CHECK_INT(report.first_polygon, 0);
  CHECK(says("0, 1, 3 in A") && says("0, 1, 3, 2 in B"));
  for (uint32_t p = 0; p <= 4; p++) b.starts[p] = 3 * p; /* triangles with a table are triangles */
  CHECK(check() && report.same && report.uvs_same);
}

static void test_many_corners(void) {
  make_pair();
  strip *both[2] = {&a, &b};
  for (int i = 0; i < 2; i++) {
    strip *s = both[i];
    s->mesh.vertex_count = 24;
    s->mesh.polygon_count = 1;
    s->mesh.corner_count = s->mesh.uv_count = s->starts[1] = 17;
    for (uint32_t c = 0; c < 17; c++) s->corners[c] = c;
  }
  CHECK(check());
  b.corners[16] = 20;
  CHECK(!check());
  CHECK_INT(report.first_polygon, 0);
  CHECK(says("0, 1, 2, 3, 4, 5, ... (17 corners) in A"));
  for (uint32_t c = 0; c < 17; c++) a.corners[c] = b.corners[c] = 4294967000u + c; /* the longest words that there can be */
  b.corners[0] = 4294966999u;
  CHECK(!check());
  CHECK(says("(17 corners) in A") && says("(17 corners) in B"));
}

static void test_uvs(void) {
  make_pair();
  b.uvs[2 * 5] += 0.25f;
  b.uvs[2 * 9 + 1] -= 0.5f;
  CHECK(check()); /* the heads may be morphed all the same */
  CHECK(report.same && !report.uvs_same);
  CHECK_INT(report.uv_corners, 2);
  CHECK_INT(report.first_uv_corner, 5);
  CHECK(report.first_polygon == SIZE_MAX);
  CHECK(says("2 of 12 corners") && says("corner 5") && says("vertex 3"));
  make_pair(); /* one side has none at all */
  b.mesh.uvs = NULL;
  b.mesh.uv_count = 0;
  CHECK(check() && report.same && !report.uvs_same);
  CHECK_INT(report.uv_corners, 12);
  CHECK_INT(report.first_uv_corner, 0);
  make_pair(); /* one corner has none */
  for (uint32_t c = 0; c < 12; c++) a.corner_uvs[c] = b.corner_uvs[c] = c;
  a.mesh.corner_uvs = a.corner_uvs;
  b.mesh.corner_uvs = b.corner_uvs;
  b.corner_uvs[7] = FM_NONE;
  CHECK(check() && !report.uvs_same);
  CHECK_INT(report.uv_corners, 1);
  CHECK_INT(report.first_uv_corner, 7);
  a.corner_uvs[7] = FM_NONE; /* neither has one there */
  CHECK(check() && report.uvs_same);
}

/* The same UVs stored in another order, behind another index, are the same. */
static void test_uv_indices(void) {
  make_pair();
  for (uint32_t c = 0; c < 12; c++) {
    b.corner_uvs[c] = 11 - c;
    memcpy(b.uvs + 2 * (11 - c), a.uvs + 2 * c, 2 * sizeof *a.uvs);
  }
  b.mesh.corner_uvs = b.corner_uvs;
  CHECK(check() && report.same && report.uvs_same);
}

static void test_uv_tolerance(void) {
  static const float inside[] = {0.0f, 9e-6f, -9e-6f}, outside[] = {1.2e-5f, -1.2e-5f, 1.0f, NAN};
  for (int k = 0; k < 2; k++) {
    for (size_t i = 0; i < FMI_COUNT(inside); i++) {
      make_pair();
      b.uvs[2 * 3 + k] = a.uvs[2 * 3 + k] + inside[i];
      CHECK(check() && report.uvs_same);
    }
    for (size_t i = 0; i < FMI_COUNT(outside); i++) {
      make_pair();
      b.uvs[2 * 3 + k] = a.uvs[2 * 3 + k] + outside[i];
      CHECK(check() && !report.uvs_same);
      CHECK_INT(report.uv_corners, 1);
    }
  }
}

static void test_null(void) {
  make_pair();
  CHECK(!fm_check_topology(NULL, &a.mesh, &report));
  CHECK(!report.same && report.message[0] && report.first_polygon == SIZE_MAX && report.first_uv_corner == SIZE_MAX);
  CHECK(!fm_check_topology(&a.mesh, NULL, &report));
  CHECK(!fm_check_topology(NULL, NULL, NULL));
}

TEST_MAIN({"equal meshes", test_equal}, {"vertex counts", test_vertex_counts}, {"polygon counts", test_polygon_counts},
          {"other polygons", test_other_polygons}, {"triangles and quads", test_triangles_and_quads}, {"many corners", test_many_corners},
          {"UVs differ", test_uvs}, {"UV indices", test_uv_indices}, {"UV tolerance", test_uv_tolerance}, {"no mesh", test_null})
