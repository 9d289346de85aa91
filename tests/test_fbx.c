/* FBX: small files are made here, record by record, with answers that follow from the format's definition by hand. */
#include "fbx_builder.h"

static fm_error error;
static fm_mesh *load(void) {
  unsigned char *exact = (unsigned char *)malloc(m.size + (m.size == 0)); /* an address sanitizer sees what is read past it */
  if (!exact) return NULL;
  memcpy(exact, m.bytes, m.size);
  fm_mesh *mesh = fm_load_mesh_memory(exact, m.size, NULL, &error);
  free(exact);
  return mesh;
}
/* Loads what must load; the test ends where it does not. */
#define LOAD(mesh) fm_mesh *mesh = load(); if (!mesh) { test_fail(__FILE__, __LINE__, error.message); return; }
#define CHECK_POINT(mesh, v, x, y, z) do { \
    CHECK_NEAR((mesh)->positions[3 * (v)], x, 1e-6); CHECK_NEAR((mesh)->positions[3 * (v) + 1], y, 1e-6); \
    CHECK_NEAR((mesh)->positions[3 * (v) + 2], z, 1e-6); \
  } while (0)
static bool has_warning(const fm_mesh *mesh, const char *words) {
  for (size_t i = 0; i < mesh->warning_count; i++)
    if (strstr(mesh->warnings[i], words)) return true;
  return false;
}
/* A file that must be refused with these words. */
static void check_refused(fm_status status, const char *words, const char *file, int line) {
  char what[1400];
  fm_mesh *mesh = load();
  if (mesh || error.status != status || !strstr(error.message, words)) {
    snprintf(what, sizeof what, "status %d, message \"%s\", should hold \"%s\"", mesh ? 0 : (int)error.status, mesh ? "" : error.message, words);
    test_fail(file, line, what);
  }
  fm_free_mesh(mesh);
}
#define CHECK_REFUSED(status, words) check_refused(status, words, __FILE__, __LINE__)

/* One mesh, one object without a transform. */
static void simple(int version, int encoding) {
  start(version, encoding);
  metres();
  begin("Objects"); geometry(1, "shape"); model(2, "object"); end();
  begin("Connections"); connect(1, 2); connect(2, 0); end();
  finish();
}

/* ---- records, arrays ---- */

static void check_simple(const fm_mesh *mesh) {
  static const uint32_t corners[7] = {0, 1, 2, 3, 1, 4, 2};
  CHECK_INT(mesh->vertex_count, 5);
  CHECK_INT(mesh->polygon_count, 2);
  CHECK_INT(mesh->corner_count, 7);
  CHECK_INT(mesh->triangle_count, 3);
  if (mesh->vertex_count != 5 || mesh->corner_count != 7 || mesh->polygon_count != 2) return;
  CHECK_POINT(mesh, 4, 2, 3, 5);
  CHECK_INT(mesh->polygon_starts[1], 4);
  CHECK_INT(mesh->polygon_starts[2], 7);
  for (size_t i = 0; i < 7; i++) CHECK_INT(mesh->corners[i], corners[i]);
  CHECK_INT(mesh->part_count, 1);
  CHECK_TEXT(mesh->parts[0].name, "shape");
  CHECK_INT(mesh->parts[0].stored_triangles, 3);
  CHECK_NEAR(mesh->parts[0].stored_sum[2], 5, 0);
  CHECK(!mesh->parts[0].has_uvs);
  CHECK(!mesh->uvs && !mesh->corner_uvs);
  CHECK_INT(mesh->format, FM_FORMAT_FBX);
  CHECK_NEAR(mesh->metres_per_unit, 1, 0);
}
static void test_headers(void) {
  static const int versions[5] = {7000, 7100, 7400, 7500, 7700};
  for (size_t i = 0; i < 10; i++) {
    simple(versions[i / 2], (int)(i % 2));
    LOAD(mesh);
    check_simple(mesh);
    CHECK_INT(mesh->version, versions[i / 2]);
    CHECK_INT(mesh->warning_count, 0);
    fm_free_mesh(mesh);
  }
}
static void test_array_types(void) {
  for (int encoding = 0; encoding < 2; encoding++)
    for (int v = 0; v < 5; v++)
      for (int c = 0; c < 3; c++) {
        start(7400, encoding);
        metres();
        begin("Objects");
        object("Geometry", 1, "shape", "Mesh");
        record_array("Vertices", "dfliy"[v], five, 15);
        record_array("PolygonVertexIndex", "ily"[c], seven, 7);
        end();
        model(2, "object");
        end();
        begin("Connections"); connect(1, 2); end();
        finish();
        LOAD(mesh);
        check_simple(mesh);
        fm_free_mesh(mesh);
      }
}
static void test_missing_ends(void) {
  simple(7400, 0);
  m.size -= 13; /* no terminator behind the last record: complete all the same */
  LOAD(open);
  check_simple(open);
  fm_free_mesh(open);

  start(7400, 0); /* end offset 0, but a name: the record ends behind its values */
  record_text("Creator", "x");
  set_number(27, 0, 4);
  metres();
  begin("Objects"); geometry(1, "shape"); model(2, "object"); end();
  begin("Connections"); connect(1, 2); end();
  finish();
  LOAD(zero);
  check_simple(zero);
  fm_free_mesh(zero);

  simple(7400, 0);
  put("junk behind the end", 19);
  LOAD(junk);
  check_simple(junk);
  fm_free_mesh(junk);
}
static void test_unknown_values(void) { /* every scalar type in records that nobody reads, and between those that are */
  double bytes[2] = {1, 0};
  start(7400, 0);
  metres();
  begin("Audio");
  type('Z'); put_number(1, 1);
  type('C'); put_number(1, 1);
  type('B'); put_number(1, 1);
  type('Y'); put_number(7, 2);
  type('F'); put_number(0, 4);
  array('b', bytes, 2);
  array('c', bytes, 2);
  end();
  begin("Objects");
  object("Geometry", 1, "shape", "Mesh");
  begin("Odd"); type('Z'); put_number(1, 1); type('R'); put_number(0, 4); end();
  record_array("Vertices", 'd', five, 15);
  record_array("PolygonVertexIndex", 'i', seven, 7);
  end();
  object("Geometry", 5, "shape key", "Shape"); end(); /* not a mesh */
  object("Geometry", 6, "curve", "NurbsCurve"); end();
  model(2, "object");
  end();
  begin("Connections"); connect(1, 2); end();
  finish();
  LOAD(mesh);
  check_simple(mesh);
  fm_free_mesh(mesh);
}

/* ---- layers ---- */

static void layer(const char *name, int number, const char *mapping, const char *reference) {
  begin(name);
  small(number);
  record_text("MappingInformationType", mapping);
  record_text("ReferenceInformationType", reference);
}
/* Values 0.00 0.01, 0.02 0.03, ...: the number of a UV can be read from it. */
static void uv_layer(int number, const char *mapping, const char *reference, size_t count, const double *index, size_t index_count) {
  double uvs[40];
  for (size_t i = 0; i < 2 * count; i++) uvs[i] = (double)i / 100.0;
  layer("LayerElementUV", number, mapping, reference);
  record_array("UV", 'd', uvs, 2 * count);
  if (index) record_array("UVIndex", 'i', index, index_count);
  end();
}
static void check_uvs(const char *mapping, const char *reference, size_t count, const double *index, size_t index_count, const int *want, const char *warning) {
  start(7400, 0);
  metres();
  begin("Objects"); geometry_begin(1, "shape"); uv_layer(0, mapping, reference, count, index, index_count); end(); model(2, "object"); end();
  begin("Connections"); connect(1, 2); end();
  finish();
  LOAD(mesh);
  CHECK(warning ? has_warning(mesh, warning) : mesh->warning_count == 0);
  CHECK(mesh->parts[0].has_uvs == (want != NULL));
  double sum = 0;
  for (size_t i = 0; i < 7 && want; i++) {
    uint32_t uv = mesh->corner_uvs[i];
    if (uv >= mesh->uv_count) test_fail(__FILE__, __LINE__, mapping);
    else CHECK_NEAR(mesh->uvs[2 * uv], want[i] * 0.02, 1e-7);
    sum += want[i] * 0.02;
  }
  if (want) CHECK_NEAR(mesh->parts[0].uv_sum[0], sum, 1e-6);
  fm_free_mesh(mesh);
}
static void test_uv_mappings(void) {
  static const double by_corner[7] = {6, 5, 4, 3, 2, 1, 0}, by_vertex[5] = {4, 3, 2, 1, 0}, by_polygon[2] = {1, 0}, same[1] = {3};
  static const double damaged[7] = {0, -1, 99, 3, 4, 5, 6};
  static const int forward[7] = {0, 1, 2, 3, 4, 5, 6}, backward[7] = {6, 5, 4, 3, 2, 1, 0};
  static const int vertex[7] = {0, 1, 2, 3, 1, 4, 2}, vertex_back[7] = {4, 3, 2, 1, 3, 0, 2};
  static const int polygon[7] = {0, 0, 0, 0, 1, 1, 1}, polygon_back[7] = {1, 1, 1, 1, 0, 0, 0};
  static const int all0[7] = {0, 0, 0, 0, 0, 0, 0}, all3[7] = {3, 3, 3, 3, 3, 3, 3}, replaced[7] = {0, 6, 6, 3, 4, 5, 6}, cut[7] = {6, 5, 4, 6, 6, 6, 6};
  check_uvs("ByPolygonVertex", "Direct", 7, NULL, 0, forward, NULL);
  check_uvs("ByPolygonVertex", "Direct", 7, by_corner, 7, forward, NULL);
  check_uvs("ByPolygonVertex", "IndexToDirect", 7, by_corner, 7, backward, NULL);
  check_uvs("ByPolygonVertex", "Index", 7, by_corner, 7, backward, NULL);
  check_uvs("ByPolygonVertex", "IndexToDirect", 7, NULL, 0, forward, NULL);
  check_uvs("ByVertex", "Direct", 5, NULL, 0, vertex, NULL);
  check_uvs("ByVertice", "Direct", 5, NULL, 0, vertex, NULL);
  check_uvs("ByVertice", "IndexToDirect", 5, by_vertex, 5, vertex_back, NULL);
  check_uvs("ByPolygon", "Direct", 2, NULL, 0, polygon, NULL);
  check_uvs("ByPolygon", "IndexToDirect", 2, by_polygon, 2, polygon_back, NULL);
  check_uvs("AllSame", "Direct", 1, NULL, 0, all0, NULL);
  check_uvs("AllSame", "IndexToDirect", 4, same, 1, all3, NULL);
  check_uvs("ByPolygonVertex", "IndexToDirect", 7, damaged, 7, replaced, "corners without a valid UV");
  check_uvs("ByPolygonVertex", "IndexToDirect", 7, by_corner, 3, cut, "corners without a valid UV");
  check_uvs("ByEdge", "Direct", 7, NULL, 0, NULL, "UVs stored in a way");
  check_uvs("ByPolygonVertex", "Direct", 20, NULL, 0, forward, NULL); /* more UVs than vertices and corners */
}
static void test_first_uv_set(void) {
  static const double other[7] = {6, 6, 6, 6, 6, 6, 6};
  start(7400, 0);
  metres();
  begin("Objects");
  geometry_begin(1, "shape");
  uv_layer(1, "ByPolygonVertex", "IndexToDirect", 7, other, 7);
  uv_layer(0, "ByPolygonVertex", "Direct", 7, NULL, 0);
  layer("LayerElementUV", -1, "ByPolygonVertex", "Direct"); end(); /* holds nothing: does not count */
  end();
  model(2, "object");
  end();
  begin("Connections"); connect(1, 2); end();
  finish();
  LOAD(mesh);
  CHECK_INT(mesh->uv_count, 7);
  CHECK_NEAR(mesh->parts[0].uv_sum[0], 0.42, 1e-6);
  fm_free_mesh(mesh);
}

static void test_materials(void) {
  static const double slots[2] = {1, 0}, far[2] = {0, 9}, one[1] = {1};
  for (int kind = 0; kind < 4; kind++) {
    start(7400, 0);
    metres();
    begin("Objects");
    geometry_begin(1, "shape");
    if (kind < 3) {
      layer("LayerElementMaterial", 0, kind == 1 ? "AllSame" : "ByPolygon", "IndexToDirect");
      record_array("Materials", 'i', kind == 0 ? slots : kind == 1 ? one : far, kind == 1 ? 1 : 2);
      end();
    }
    end();
    model(2, "object");
    model(3, "twin");
    object("Material", 10, "ten", ""); end();
    object("Material", 11, "eleven", ""); end();
    end();
    begin("Connections"); /* the order of the connections counts, not that of ids or records; the twin has its own */
    connect(11, 2); connect(10, 2); connect(1, 2); connect(1, 3); connect(10, 3); connect(11, 3);
    end();
    finish();
    LOAD(mesh);
    CHECK_INT(mesh->material_count, 2);
    CHECK_INT(mesh->polygon_count, 4);
    if (mesh->material_count == 2 && mesh->polygon_count == 4) {
      static const uint32_t want[4][4] = {{1, 0, 0, 1}, {1, 1, 0, 0}, {0, FM_NONE, 1, FM_NONE}, {0, 0, 1, 1}};
      CHECK_TEXT(mesh->materials[0].name, "eleven");
      CHECK_TEXT(mesh->materials[1].name, "ten");
      for (size_t p = 0; p < 4; p++) CHECK_INT(mesh->polygon_materials[p], want[kind][p]);
    }
    CHECK(has_warning(mesh, "polygons whose material") == (kind == 2));
    fm_free_mesh(mesh);
  }
}

/* ---- transforms ---- */

/* A file whose only object has what was put between this and transformed_end. */
static void transformed_begin(void) { start(7400, 0); metres(); begin("Objects"); geometry(1, "shape"); model_begin(2, "object"); }
static void transformed_end(void) { model_end(); end(); begin("Connections"); connect(1, 2); end(); finish(); }

static void test_rotation_orders(void) {
  for (int order = 0; order < 7; order++) {
    static const char axes[7][4] = {"xyz", "xzy", "yzx", "yxz", "zxy", "zyx", "xyz"};
    double p[3] = {2, 3, 5}; /* 90 degrees about X: (x, -z, y), about Y: (z, y, -x), about Z: (-y, x, z) */
    for (const char *a = axes[order]; *a; a++) {
      double x = p[0], y = p[1], z = p[2];
      p[0] = *a == 'x' ? x : *a == 'y' ? z : -y;
      p[1] = *a == 'x' ? -z : *a == 'y' ? y : x;
      p[2] = *a == 'x' ? y : *a == 'y' ? -x : z;
    }
    transformed_begin();
    property3("Lcl Rotation", 90, 90, 90); property1("RotationOrder", order); property1("RotationActive", 1);
    transformed_end();
    LOAD(mesh);
    CHECK_POINT(mesh, 4, p[0], p[1], p[2]);
    fm_free_mesh(mesh);
  }
}
static void test_pre_and_post(void) {
  transformed_begin();
  property3("PreRotation", 0, 0, 90); property1("RotationActive", 1);
  transformed_end();
  LOAD(pre);
  CHECK_POINT(pre, 4, -3, 2, 5);
  fm_free_mesh(pre);
  transformed_begin();
  property3("PostRotation", 0, 0, 90); property1("RotationActive", 1); /* acts inverted */
  transformed_end();
  LOAD(post);
  CHECK_POINT(post, 4, 3, -2, 5);
  fm_free_mesh(post);
  transformed_begin(); /* first post, inverted: (x, z, -y); then the own; then pre */
  property3("PreRotation", 0, 90, 0); property3("PostRotation", 90, 0, 0); property3("Lcl Rotation", 0, 0, 90); property1("RotationActive", 1);
  transformed_end();
  LOAD(all);
  CHECK_POINT(all, 4, -3, 2, 5); /* (2,3,5) -> (2,5,-3) -> (-5,2,-3) -> (-3,2,5) */
  fm_free_mesh(all);
  for (int limits_only = 0; limits_only < 2; limits_only++) { /* asleep: order, pre and post do not count */
    transformed_begin();
    property1("RotationActive", limits_only); property1("RotationSpaceForLimitOnly", limits_only);
    property3("PreRotation", 0, 90, 0); property3("PostRotation", 90, 0, 0); property1("RotationOrder", 5); property3("Lcl Rotation", 90, 90, 0);
    transformed_end();
    LOAD(asleep);
    CHECK_POINT(asleep, 4, 3, -5, -2); /* X: (2,-5,3), Y: (3,-5,-2) */
    fm_free_mesh(asleep);
  }
  transformed_begin(); /* an exporter that knows neither switch nor templates means what it writes */
  property3("PreRotation", 0, 0, 90);
  transformed_end();
  LOAD(silent);
  CHECK_POINT(silent, 4, -3, 2, 5);
  fm_free_mesh(silent);
}
static void test_pivots(void) {
  transformed_begin();
  property3("RotationPivot", 1, 0, 0); property3("Lcl Rotation", 0, 0, 90);
  transformed_end();
  LOAD(rotation);
  CHECK_POINT(rotation, 4, -2, 1, 5); /* (1,3,5) from the pivot, turned (-3,1,5) */
  fm_free_mesh(rotation);
  transformed_begin();
  property3("ScalingPivot", 1, 0, 0); property3("Lcl Scaling", 2, 2, 2);
  transformed_end();
  LOAD(scaling);
  CHECK_POINT(scaling, 4, 3, 6, 10);
  fm_free_mesh(scaling);
  transformed_begin(); /* T Roff Rp R Rp^-1 Soff Sp S Sp^-1 */
  property3("Lcl Translation", 100, 0, 0); property3("RotationOffset", 0, 10, 0); property3("ScalingOffset", 0, 0, 7);
  property3("RotationPivot", 1, 0, 0); property3("ScalingPivot", 0, 1, 0); property3("Lcl Rotation", 0, 0, 90); property3("Lcl Scaling", 2, 2, 2);
  transformed_end();
  LOAD(all);
  CHECK_POINT(all, 4, 96, 13, 17); /* scaled about (0,1,0): (4,5,10); +Soff (4,5,17); turned about (1,0,0): (-4,3,17); +T +Roff */
  fm_free_mesh(all);
}
static void test_inheritance(void) {
  /* parent: scale (2, 1, 1); child: at (1, 0, 0), turned by 90 degrees about Z; vertex 1 is (1, 0, 0), vertex 3 (0, 1, 0) */
  static const double want[4][2][2] = {{{2, 2}, {1, 0}}, {{2, 1}, {0, 0}}, {{2, 1}, {1, 0}}, {{2, 1}, {0, 0}}};
  for (int inherit = 0; inherit < 4; inherit++) { /* 3: the file says nothing, and means parent x own */
    start(7400, 0);
    metres();
    begin("Objects");
    geometry(1, "shape");
    model_begin(2, "child"); property3("Lcl Translation", 1, 0, 0); property3("Lcl Rotation", 0, 0, 90);
    if (inherit < 3) property1("InheritType", inherit);
    model_end();
    model_begin(3, "parent"); property3("Lcl Scaling", 2, 1, 1); property1("InheritType", 1); model_end();
    end();
    begin("Connections"); connect(1, 2); connect(2, 3); connect(3, 0); end();
    finish();
    LOAD(mesh);
    CHECK_POINT(mesh, 1, want[inherit][0][0], want[inherit][0][1], 0);
    CHECK_POINT(mesh, 3, want[inherit][1][0], want[inherit][1][1], 0);
    fm_free_mesh(mesh);
  }
}
static void test_geometric(void) {
  start(7400, 0);
  metres();
  begin("Objects");
  geometry(1, "a"); geometry(2, "b");
  model_begin(3, "parent");
  property3("GeometricTranslation", 10, 0, 0); property3("GeometricRotation", 0, 0, 90); property3("GeometricScaling", 2, 1, 1);
  property3("Lcl Scaling", 1, 1, 3); property1("InheritType", 1);
  model_end();
  model_begin(4, "child"); property1("InheritType", 1); model_end();
  end();
  begin("Connections"); connect(1, 3); connect(2, 4); connect(4, 3); end();
  finish();
  LOAD(mesh);
  CHECK_POINT(mesh, 4, 7, 4, 15);     /* (4,3,5) -> (-3,4,5) -> (7,4,5) -> z x 3 */
  CHECK_POINT(mesh, 5 + 4, 2, 3, 15); /* the child takes the scale alone */
  fm_free_mesh(mesh);
}
static void test_templates(void) {
  start(7400, 0);
  metres();
  begin("Definitions");
  begin("ObjectType"); text("Material");
  begin("PropertyTemplate"); text("FbxNode"); begin("Properties70"); property3("Lcl Scaling", 9, 9, 9); end(); end();
  end();
  begin("ObjectType"); text("Model");
  begin("PropertyTemplate"); text("FbxNode"); begin("Properties70"); property3("Lcl Scaling", 2, 2, 2); property3("Lcl Translation", 1, 1, 1); end(); end();
  end();
  end();
  begin("Objects"); geometry(1, "shape"); model_begin(2, "object"); property3("Lcl Translation", 5, 0, 0); model_end(); end();
  begin("Connections"); connect(1, 2); end();
  finish();
  LOAD(mesh);
  CHECK_POINT(mesh, 4, 9, 6, 10);
  fm_free_mesh(mesh);
}
static void test_axes_and_units(void) {
  static const struct { int up, up_sign, front, front_sign, right, right_sign; double unit, want[3]; } cases[] = {
    {1, 1, 2, 1, 0, 1, 100, {2, 3, 5}},
    {1, 1, 2, 1, 0, 1, 1, {0.02, 0.03, 0.05}},
    {1, 1, 2, 1, 0, 1, 2.54, {0.0508, 0.0762, 0.127}},
    {2, 1, 1, -1, 0, 1, 100, {2, 5, -3}},  /* Z up, the front is -Y */
    {2, 1, 1, 1, 0, -1, 100, {-2, 5, 3}},
    {0, 1, 1, -1, 2, -1, 100, {-5, 2, -3}} /* X up */
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    start(7400, 0);
    scene(cases[i].up, cases[i].up_sign, cases[i].front, cases[i].front_sign, cases[i].right, cases[i].right_sign, cases[i].unit);
    begin("Objects"); geometry(1, "shape"); model(2, "object"); end();
    begin("Connections"); connect(1, 2); end();
    finish();
    LOAD(mesh);
    CHECK_POINT(mesh, 4, cases[i].want[0], cases[i].want[1], cases[i].want[2]);
    CHECK_INT(mesh->corners[1], 1); /* right-handed: nothing turns round */
    CHECK_NEAR(mesh->metres_per_unit, cases[i].unit / 100, 1e-15);
    fm_free_mesh(mesh);
  }
  start(7400, 0);
  scene(9, 1, 2, 1, 0, 1, 0);
  begin("Objects"); geometry(1, "shape"); model(2, "object"); end();
  begin("Connections"); connect(1, 2); end();
  finish();
  LOAD(odd);
  CHECK_POINT(odd, 4, 0.02, 0.03, 0.05);
  CHECK(has_warning(odd, "unit makes no sense") && has_warning(odd, "axes make no sense"));
  fm_free_mesh(odd);
}
static void test_mirrored(void) {
  static const uint32_t corners[7] = {0, 3, 2, 1, 1, 2, 4};
  start(7400, 0);
  metres();
  begin("Objects");
  geometry_begin(1, "shape"); uv_layer(0, "ByPolygonVertex", "Direct", 7, NULL, 0); end();
  model_begin(2, "object"); property3("Lcl Scaling", -1, 1, 1); model_end();
  end();
  begin("Connections"); connect(1, 2); end();
  finish();
  LOAD(mesh);
  CHECK_POINT(mesh, 4, -2, 3, 5);
  for (size_t i = 0; i < 7; i++) CHECK_INT(mesh->corners[i], corners[i]);
  CHECK_NEAR(mesh->uvs[2 * mesh->corner_uvs[1]], 0.06, 1e-7); /* the UVs go with their corners */
  fm_free_mesh(mesh);
}
static void test_instances(void) {
  start(7400, 0);
  metres();
  begin("Objects");
  geometry(1, "b"); geometry(2, "a"); geometry(9, "unused"); geometry(8, "");
  model_begin(3, "first"); property3("Lcl Translation", 10, 0, 0); model_end();
  model_begin(4, "second"); property3("Lcl Translation", 20, 0, 0); model_end();
  end();
  begin("Connections"); connect(2, 4); connect(1, 4); connect(1, 4); connect(8, 4); connect(1, 3); end(); /* connected twice: there once */
  finish();
  LOAD(mesh);
  CHECK_INT(mesh->part_count, 4);
  CHECK_INT(mesh->vertex_count, 20);
  CHECK_INT(mesh->polygon_count, 8);
  if (mesh->part_count == 4 && mesh->vertex_count == 20) {
    CHECK_TEXT(mesh->parts[0].name, "b");
    CHECK_TEXT(mesh->parts[3].name, "second"); /* unnamed: as its object */
    CHECK_INT(mesh->parts[0].instance_count, 2);
    CHECK_INT(mesh->parts[0].vertex_count, 10);
    CHECK_INT(mesh->parts[0].stored_vertices, 5);
    CHECK_INT(mesh->parts[1].first_vertex, 10);
    CHECK_INT(mesh->parts[1].first_polygon, 4);
    CHECK_INT(mesh->parts[1].first_corner, 14);
    CHECK_INT(mesh->parts[2].instance_count, 0);
    CHECK_INT(mesh->parts[2].vertex_count, 0);
    CHECK_INT(mesh->parts[2].stored_corners, 7);
    CHECK_POINT(mesh, 4, 12, 3, 5); /* in the order of the models' records */
    CHECK_POINT(mesh, 9, 22, 3, 5);
    CHECK_POINT(mesh, 14, 22, 3, 5);
    CHECK_INT(mesh->corners[7], 5);
    CHECK(has_warning(mesh, "mesh unused is used by no object"));
  }
  fm_free_mesh(mesh);
}
static void test_no_connections(void) {
  start(7400, 0);
  begin("Objects"); geometry(1, "shape"); model(2, "object"); end();
  finish();
  LOAD(mesh);
  CHECK_POINT(mesh, 4, 0.02, 0.03, 0.05);
  CHECK(has_warning(mesh, "no object of the file uses any"));
  fm_free_mesh(mesh);
}
static void test_no_mesh(void) {
  start(7400, 0);
  begin("Objects"); model(2, "object"); end();
  finish();
  LOAD(mesh);
  CHECK_INT(mesh->vertex_count + mesh->part_count + mesh->polygon_count, 0);
  fm_free_mesh(mesh);
}

/* ---- textures ---- */

/* Two pixels, red and blue, written by Python's zlib. */
static const unsigned char png[70] = {
  137, 80, 78, 71, 13, 10, 26, 10, 0, 0, 0, 13, 73, 72, 68, 82, 0, 0, 0, 2, 0, 0, 0, 1, 8, 2, 0, 0, 0, 123, 64, 232, 221, 0, 0, 0, 13, 73, 68,
  65, 84, 120, 218, 99, 248, 207, 0, 4, 255, 1, 7, 0, 1, 255, 61, 125, 140, 73, 0, 0, 0, 0, 73, 69, 78, 68, 174, 66, 96, 130};

static void video(long long id, const char *path, bool content) {
  object("Video", id, "clip", "Clip");
  record_text("RelativeFilename", path);
  begin("Content");
  if (content) blob('R', png, sizeof png);
  end();
  end();
}
static void texture(long long id, const char *path) { object("Texture", id, "texture", ""); record_text("RelativeFilename", path); end(); }

static void check_texture(const char *name, const char *file) {
  start(7400, 0);
  metres();
  begin("Objects");
  geometry(1, "shape");
  model(2, "object");
  object("Material", 3, "skin", ""); end();
  texture(4, "C:\\there\\bump.png");
  object("Texture", 12, "colour correction", ""); end();
  texture(5, "..\\maps\\face.png");
  video(6, "..\\maps\\face.png", true);
  video(7, "C:\\there\\bump.png", true);
  end();
  begin("Connections");
  connect(1, 2); connect(3, 2);
  connect_to(4, 3, "3dsMax|Parameters|bump_map"); connect_to(12, 3, name);
  connect_to(5, 12, "3dsMax|parameters|sourceMap");
  connect(7, 4); connect(6, 5);
  end();
  finish();
  LOAD(mesh);
  CHECK_INT(mesh->material_count, 1);
  if (mesh->material_count == 1) {
    uint32_t t = mesh->materials[0].texture;
    CHECK(file ? t < mesh->texture_count : t == FM_NONE);
    if (t < mesh->texture_count) {
      CHECK_TEXT(mesh->textures[t].name, file);
      CHECK(mesh->textures[t].embedded);
      CHECK_INT(mesh->textures[t].image.width, 2);
      CHECK_INT(mesh->textures[t].image.height, 1);
      if (mesh->textures[t].image.width == 2) CHECK_INT(mesh->textures[t].image.pixels[0], 255);
    }
  }
  fm_free_mesh(mesh);
}
static void test_texture_properties(void) {
  static const char *const names[] = {"DiffuseColor", "Maya|baseColor", "Maya|DiffuseColor", "3dsMax|Parameters|base_color_map", "3dsMax|main|baseColor",
                                      "base_color_map", "baseColor", "Maya|TEX_color_map"};
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) check_texture(names[i], "face.png");
  check_texture("NormalMap", NULL);
  check_texture("DiffuseFactor", NULL);
}
static void test_layered_and_opacity(void) {
  start(7400, 0);
  metres();
  begin("Objects");
  geometry(1, "shape");
  model(2, "object");
  object("Material", 3, "skin", ""); end();
  object("LayeredTexture", 4, "stack", ""); end();
  texture(5, "lower.png");
  texture(6, "upper.png");
  video(7, "lower.png", true);
  video(8, "alpha.png", true);
  texture(9, "alpha.png"); /* its video holds no bytes, another one of that name does */
  video(10, "alpha.png", false);
  object("Material", 11, "marble", ""); end();
  object("Texture", 12, "noise", ""); end();
  end();
  begin("Connections");
  connect(11, 2); connect_to(12, 11, "DiffuseColor");
  connect(1, 2); connect(3, 2); connect_to(4, 3, "DiffuseColor"); connect(5, 4); connect(6, 4); connect(7, 5);
  connect_to(9, 3, "TransparencyFactor"); connect(10, 9);
  end();
  finish();
  LOAD(mesh);
  CHECK_INT(mesh->texture_count, 2);
  if (mesh->texture_count == 2) {
    CHECK_INT(mesh->materials[0].texture, FM_NONE);
    CHECK(has_warning(mesh, "texture noise names no picture file"));
    CHECK_TEXT(mesh->textures[mesh->materials[1].texture].name, "lower.png");
    CHECK_TEXT(mesh->textures[mesh->materials[1].opacity].name, "alpha.png");
    CHECK(mesh->textures[mesh->materials[1].opacity].embedded);
    CHECK(has_warning(mesh, "several layers"));
  }
  fm_free_mesh(mesh);
}

/* ---- what is named, not applied ---- */

static void test_warnings(void) {
  start(7400, 0);
  metres();
  begin("Objects");
  geometry_begin(1, "shape"); record_small("Smoothness", 2); record_small("PreviewDivisionLevels", 1); end();
  model(2, "object");
  object("Deformer", 20, "Smile", "BlendShapeChannel"); begin("Properties70"); property("DeformPercent", "Number"); real(50); end(); end(); end();
  object("Deformer", 21, "Blink", "BlendShapeChannel"); end();
  object("Deformer", 22, "Rig", "Skin"); end();
  object("AnimationStack", 23, "Take 001", ""); end();
  object("AnimationCurve", 24, "", ""); end();
  end();
  begin("Connections"); connect(1, 2); end();
  finish();
  LOAD(mesh);
  CHECK_INT(mesh->blend_shape_count, 2);
  if (mesh->blend_shape_count == 2) CHECK_TEXT(mesh->blend_shapes[1], "Blink");
  CHECK_INT(mesh->warning_count, 4);
  CHECK(has_warning(mesh, "blend shape Smile is stored with a weight other than 0"));
  CHECK(has_warning(mesh, "skin Rig is not applied"));
  CHECK(has_warning(mesh, "animation Take 001 is not applied"));
  CHECK(has_warning(mesh, "mesh shape is meant to be subdivided"));
  fm_free_mesh(mesh);
}
/* Up to 7.1 blend shapes lie in the mesh, and their weights are its properties. */
static void test_old_blend_shapes(void) {
  start(7100, 0);
  metres();
  begin("Objects");
  object("Geometry", 1, "shape", "Mesh");
  begin("Properties70");
  property("Color", "ColorRGB"); real(1); real(1); real(1); end();
  property("Smile", "Number"); real(0); end();
  property("Blink", "Number"); real(100); end();
  end();
  record_array("Vertices", 'd', five, 15);
  record_array("PolygonVertexIndex", 'i', seven, 7);
  record_text("Shape", "Smile");
  record_text("Shape", "Blink");
  end();
  model(2, "object");
  end();
  begin("Connections"); connect(1, 2); end();
  finish();
  LOAD(mesh);
  CHECK_INT(mesh->blend_shape_count, 2);
  if (mesh->blend_shape_count == 2) {
    CHECK_TEXT(mesh->blend_shapes[0], "Smile");
    CHECK_TEXT(mesh->blend_shapes[1], "Blink");
  }
  CHECK_INT(mesh->warning_count, 1);
  CHECK(has_warning(mesh, "blend shape Blink is stored with a weight other than 0"));
  fm_free_mesh(mesh);
}
static void test_names(void) {
  start(7400, 0);
  metres();
  begin("Objects"); geometry(1, "K\xC3\xB6pf \xE9\x9D\xA2"); geometry(3, "a\xFF" "b\xC3"); model(2, "object"); end();
  begin("Connections"); connect(1, 2); connect(3, 2); end();
  finish();
  LOAD(mesh);
  CHECK_INT(mesh->part_count, 2);
  if (mesh->part_count == 2) {
    CHECK_TEXT(mesh->parts[0].name, "K\xC3\xB6pf \xE9\x9D\xA2");
    CHECK_TEXT(mesh->parts[1].name, "a?b?");
  }
  fm_free_mesh(mesh);
}

/* ---- damage ---- */

static void test_versions(void) {
  static const unsigned old[4] = {2000, 5000, 6100, 6900}, other[4] = {0, 1, 99999, 0xFFFFFFFFu};
  for (size_t i = 0; i < 4; i++) {
    simple(7400, 0);
    set_number(23, old[i], 4);
    CHECK_REFUSED(FM_ERROR_UNSUPPORTED, "FBX 7.4 binary");
    simple(7400, 0);
    set_number(23, other[i], 4);
    CHECK_REFUSED(FM_ERROR_UNSUPPORTED, "7000 to 7700");
  }
  m.size = 0;
  put("; FBX 7.5.0 project file\nFBXHeaderExtension:  {\n", 48);
  CHECK_REFUSED(FM_ERROR_UNSUPPORTED, "is an ASCII FBX, which");
  simple(7400, 0);
  set_number(23, 8000, 4);
  CHECK_REFUSED(FM_ERROR_UNSUPPORTED, "FBX version 8000, but 7000 to 7700 are read: it is too new");
  m.size = 0;
  put("; FBX 7.5.0 project file\nFBXHeaderExtension:  {\n", 48);
  put("  FBXHeaderVersion: 1003\n  FBXVersion: 7500\n", 44);
  CHECK_REFUSED(FM_ERROR_UNSUPPORTED, "ASCII FBX (version 7500)");
  simple(7400, 0);
  memcpy(m.bytes + 22, "\1\0\0\x1C\xE8", 5);
  CHECK_REFUSED(FM_ERROR_UNSUPPORTED, "version 7400 in big-endian byte order");
  simple(7400, 0);
  m.bytes[20] = ' '; /* what is left of a 0 in a text editor */
  CHECK_REFUSED(FM_ERROR_FORMAT, "the header is not that of an FBX file any more");
}
/* The file's one mesh with other arrays. */
static void with_arrays(const double *vertices, size_t vertex_count, const double *corners, size_t corner_count) {
  start(7400, 0);
  metres();
  begin("Objects");
  object("Geometry", 1, "shape", "Mesh");
  record_array("Vertices", 'd', vertices, vertex_count);
  record_array("PolygonVertexIndex", 'i', corners, corner_count);
  end();
  model(2, "object");
  end();
  begin("Connections"); connect(1, 2); end();
  finish();
}
static void test_damaged_arrays(void) {
  static const double far[3] = {0, 1, -8}, huge[3] = {0, 2147483647, -2}, open[4] = {0, 1, -3, 3};
  with_arrays(five, 15, far, 3);
  CHECK_REFUSED(FM_ERROR_FORMAT, "polygon 0 of mesh shape uses vertex 7, but there are only 5");
  with_arrays(five, 15, huge, 3);
  CHECK_REFUSED(FM_ERROR_FORMAT, "uses vertex 2147483647");
  with_arrays(five, 0, seven, 7);
  CHECK_REFUSED(FM_ERROR_FORMAT, "there are only 0");
  with_arrays(five, 14, seven, 7);
  CHECK_REFUSED(FM_ERROR_FORMAT, "not whole vertices");
  with_arrays(five, 15, open, 4);
  LOAD(closed);
  CHECK_INT(closed->polygon_count, 2);
  CHECK_INT(closed->corner_count, 4);
  CHECK(has_warning(closed, "not closed"));
  fm_free_mesh(closed);
  with_arrays(five, 15, seven, 0);
  LOAD(bare);
  CHECK_INT(bare->polygon_count, 0);
  CHECK(has_warning(bare, "no polygons"));
  fm_free_mesh(bare);
}
/* Changes the array header of Vertices: its length (0), its encoding (1), its bytes (2). */
static size_t find_bytes(const char *word) {
  for (size_t i = 0; i + strlen(word) <= m.size; i++)
    if (memcmp(m.bytes + i, word, strlen(word)) == 0) return i;
  return 0;
}
static void patch_vertices(int encoding, int field, unsigned long long value) {
  simple(7400, encoding);
  set_number(find_bytes("Vertices") + 9 + 4 * (size_t)field, value, 4);
}
static void test_damaged_headers(void) {
  static const unsigned long long lengths[4] = {0xFFFFFFFFu, 0x7FFFFFFFu, 0x20000001u, 16};
  for (size_t i = 0; i < 4; i++) {
    patch_vertices(0, 0, lengths[i]);
    CHECK_REFUSED(FM_ERROR_FORMAT, "cannot hold them");
    patch_vertices(1, 0, lengths[i]);
    fm_mesh *mesh = load();
    CHECK(!mesh);
    fm_free_mesh(mesh);
  }
  patch_vertices(0, 1, 2);
  CHECK_REFUSED(FM_ERROR_FORMAT, "packed in way 2");
  patch_vertices(1, 1, 0);
  CHECK_REFUSED(FM_ERROR_FORMAT, "cannot hold them");
  patch_vertices(1, 2, 10);
  CHECK_REFUSED(FM_ERROR_FORMAT, "damaged");
  patch_vertices(0, 2, 0xFFFFFFFFu);
  CHECK_REFUSED(FM_ERROR_FORMAT, "longer than the record");
  simple(7400, 0);
  m.bytes[find_bytes("Vertices") + 8] = 'Q';
  CHECK_REFUSED(FM_ERROR_FORMAT, "of type 81");
  simple(7400, 0);
  m.bytes[find_bytes("Vertices") + 8] = 'S';
  CHECK_REFUSED(FM_ERROR_FORMAT, "damaged");
}
static void test_damaged_records(void) {
  size_t at;
  simple(7400, 0);
  at = find_bytes("Geometry") - 13;
  set_number(at, 0xFFFFFFFFu, 4);
  CHECK_REFUSED(FM_ERROR_FORMAT, "Geometry says that it ends at byte 4294967295");
  set_number(at, at, 4);
  CHECK_REFUSED(FM_ERROR_FORMAT, "which cannot be");
  simple(7500, 0);
  set_number(find_bytes("Geometry") - 25, ~0ull, 8);
  CHECK_REFUSED(FM_ERROR_FORMAT, "which cannot be");
  simple(7500, 0);
  set_number(find_bytes("Geometry") - 25 + 16, ~0ull - 40, 8);
  CHECK_REFUSED(FM_ERROR_FORMAT, "longer than what holds it");
  CHECK(error.offset != FM_NO_OFFSET);
}
static void test_cycles(void) {
  for (int length = 1; length < 4; length++) {
    start(7400, 0);
    metres();
    begin("Objects"); geometry(1, "shape"); model(2, "a"); model(3, "b"); model(4, "c"); model(5, "leaf"); end();
    begin("Connections"); connect(1, 5); connect(5, 2);
    for (int i = 0; i < length; i++) connect(2 + i, 2 + (i + 1) % length);
    end();
    finish();
    CHECK_REFUSED(FM_ERROR_FORMAT, "its own ancestor");
  }
}
static void test_same_ids(void) {
  start(7400, 0);
  metres();
  begin("Objects"); geometry(1, "one"); geometry(1, "two"); model(2, "object"); end();
  begin("Connections"); connect(1, 2); end();
  finish();
  LOAD(mesh);
  CHECK_INT(mesh->part_count, 2);
  CHECK_INT(mesh->vertex_count, 5);
  CHECK(has_warning(mesh, "object two has the id of an earlier one"));
  fm_free_mesh(mesh);
}
static void test_truncation(void) {
  for (int version = 7400; version <= 7500; version += 100)
    for (int encoding = 0; encoding < 2; encoding++) {
      simple(version, encoding);
      size_t whole_size = m.size, terminator = version == 7400 ? 13 : 25;
      for (size_t size = 0; size < whole_size; size++) {
        m.size = size;
        fm_mesh *mesh = load();
        CHECK((mesh != NULL) == (size == whole_size - terminator));
        CHECK(mesh || error.status != FM_OK);
        fm_free_mesh(mesh);
        m.size = whole_size;
      }
    }
}
static void test_every_byte(void) { /* each byte changed in turn: refused or loaded, and then sound */
  for (int encoding = 0; encoding < 2; encoding++) {
    simple(7400, encoding);
    for (size_t i = 0; i < m.size; i++)
      for (int bit = 0; bit < 8; bit += 7) {
        m.bytes[i] ^= (unsigned char)(1 << bit);
        fm_mesh *mesh = load();
        for (size_t c = 0; mesh && c < mesh->corner_count; c++) CHECK(mesh->corners[c] < mesh->vertex_count);
        fm_free_mesh(mesh);
        m.bytes[i] ^= (unsigned char)(1 << bit);
      }
  }
}

/* ---- limits, memory, ways in ---- */

typedef struct counting { size_t left, blocks; } counting;
static void *counting_resize(void *user, void *memory, size_t old_size, size_t new_size) {
  counting *c = (counting *)user;
  (void)old_size;
  if (new_size == 0) {
    free(memory);
    c->blocks--;
    return NULL;
  }
  if (c->left == 0) return NULL;
  c->left--;
  if (!memory) c->blocks++;
  return realloc(memory, new_size);
}
static void test_failing_memory(void) {
  counting c;
  fm_allocator allocator = {NULL, counting_resize, false};
  fm_common common;
  fm_load_desc desc;
  memset(&common, 0, sizeof common);
  memset(&desc, 0, sizeof desc);
  allocator.user = &c;
  common.allocator = &allocator;
  desc.common = &common;
  simple(7400, 1);
  for (size_t n = 0; n < 1000; n++) {
    c.left = n;
    c.blocks = 0;
    fm_mesh *mesh = fm_load_mesh_memory(m.bytes, m.size, &desc, &error);
    bool done = mesh != NULL;
    CHECK(done || error.status == FM_ERROR_MEMORY);
    fm_free_mesh(mesh);
    CHECK_INT(c.blocks, 0);
    if (done) return;
  }
  test_fail(__FILE__, __LINE__, "it never loads");
}
static void test_limits(void) {
  fm_limits limits;
  fm_common common;
  fm_load_desc desc;
  memset(&limits, 0, sizeof limits);
  memset(&common, 0, sizeof common);
  memset(&desc, 0, sizeof desc);
  common.limits = &limits;
  desc.common = &common;
  simple(7400, 0);
  limits.vertices = 4;
  CHECK(!fm_load_mesh_memory(m.bytes, m.size, &desc, &error));
  CHECK_INT(error.status, FM_ERROR_LIMIT);
  limits.vertices = 5;
  limits.node_depth = 2;
  CHECK(!fm_load_mesh_memory(m.bytes, m.size, &desc, &error));
  CHECK_INT(error.status, FM_ERROR_LIMIT);
  limits.node_depth = 0;
  limits.memory = 2000;
  CHECK(!fm_load_mesh_memory(m.bytes, m.size, &desc, &error));
  CHECK_INT(error.status, FM_ERROR_LIMIT);
  limits.memory = 0;
  fm_mesh *mesh = fm_load_mesh_memory(m.bytes, m.size, &desc, &error);
  CHECK(mesh != NULL);
  fm_free_mesh(mesh);
}
static void test_scale(void) {
  fm_load_desc desc;
  memset(&desc, 0, sizeof desc);
  desc.scale = 2;
  simple(7400, 0);
  fm_mesh *mesh = fm_load_mesh_memory(m.bytes, m.size, &desc, &error);
  CHECK(mesh != NULL);
  if (mesh) {
    CHECK_POINT(mesh, 4, 4, 6, 10);
    CHECK_NEAR(mesh->parts[0].stored_sum[2], 5, 0); /* as stored */
  }
  fm_free_mesh(mesh);
}
static void test_selection(void) {
  fm_load_desc desc;
  memset(&desc, 0, sizeof desc);
  start(7400, 0);
  metres();
  begin("Objects"); geometry(1, "eye_l"); geometry(2, "eye_r"); geometry(3, "skin"); model(4, "object"); end();
  begin("Connections"); connect(1, 4); connect(2, 4); connect(3, 4); end();
  finish();
  desc.only = "eye*";
  fm_mesh *eyes = fm_load_mesh_memory(m.bytes, m.size, &desc, &error);
  CHECK(eyes && eyes->vertex_count == 10);
  fm_free_mesh(eyes);
  desc.only = "nose";
  CHECK(!fm_load_mesh_memory(m.bytes, m.size, &desc, &error));
  CHECK_INT(error.status, FM_ERROR_ARGUMENT);
}
static int64_t read_few(void *user, void *buffer, size_t size) { /* a stream in small pieces, whose length nobody knows */
  size_t *at = (size_t *)user, n = m.size - *at;
  if (n > 100) n = 100;
  if (n > size) n = size;
  memcpy(buffer, m.bytes + *at, n);
  *at += n;
  return (int64_t)n;
}
static void test_ways_in(void) {
  size_t at = 0;
  fm_stream stream;
  memset(&stream, 0, sizeof stream);
  stream.user = &at;
  stream.read = read_few;
  simple(7400, 0);
  fm_mesh *mesh = fm_load_mesh_stream(&stream, NULL, &error);
  CHECK(mesh != NULL);
  if (mesh) check_simple(mesh);
  fm_free_mesh(mesh);
  fm_free_mesh(NULL);
  CHECK(!fm_load_mesh(NULL, NULL, &error));
  CHECK_INT(error.status, FM_ERROR_ARGUMENT);
  CHECK(!fm_load_mesh_stream(NULL, NULL, &error));
  CHECK_INT(error.status, FM_ERROR_ARGUMENT);
  CHECK(!fm_load_mesh_memory(NULL, 5, NULL, &error));
  CHECK_INT(error.status, FM_ERROR_ARGUMENT);
  CHECK(!fm_load_mesh("there/is/no.fbx", NULL, &error));
  CHECK_INT(error.status, FM_ERROR_READ);
  CHECK(strstr(error.message, "there/is/no.fbx") != NULL);
}
static void test_foreign_files(void) {
  static const struct { const char *bytes; size_t size; const char *words; } files[] = {
    {"glTF\2\0\0\0", 8, "glTF"}, {"{\"asset\": {\"version\": \"2.0\"}}", 30, "glTF"}, {"ply\nformat ascii 1.0\n", 21, "PLY"},
    {"solid cube\nfacet normal", 23, "STL"}, {"BLENDER-v304", 12, "Blender"}, {"<?xml version=\"1.0\"?><COLLADA xmlns=", 36, "Collada"},
    {"PXR-USDC\0\0", 10, "USD"}, {"#usda 1.0", 9, "USD"}, {"MM\x20\0\0\0", 6, "3DS"}, {"GIF89a", 6, "picture"},
    {"\xFF\xD8\xFF\xE0\0\x10JFIF", 10, "JPEG"}, {"\1\2\3\4\5\6\7\10", 8, "neither FBX nor OBJ"}};
  for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
    m.size = 0;
    put(files[i].bytes, files[i].size);
    CHECK_REFUSED(FM_ERROR_UNSUPPORTED, files[i].words);
  }
  m.size = 0;
  put(png, sizeof png);
  CHECK_REFUSED(FM_ERROR_UNSUPPORTED, "PNG picture");
  m.size = 0;
  CHECK_REFUSED(FM_ERROR_FORMAT, "empty");
}

/* ---- files of other programs ---- */

/* Blender 3.4's re-import of each (the truth beside the data): vertices, polygons, triangles, bounds, sum in metres, Y up. */
static const struct { const char *file; size_t vertices, polygons, triangles; double low[3], high[3], sum[3]; } heads[] = {
  {"data/ict/ict_a.fbx", 18133, 18120, 35976, {-0.7790358066558838, -1.0579483383320556, -0.6624446733308589},
   {0.7391266822814941, 1.034362788020604, 0.6659243037474476}, {-29.84294277017034, 2940.4622953864437, 4920.251761619982}},
  {"data/ict/ict_a_ext.fbx", 18133, 18120, 35976, {-0.7790358066558838, -1.0579483383320556, -0.6624446733308589},
   {0.7391266822814941, 1.034362788020604, 0.6659243037474476}, {-29.84294277017034, 2940.4622953864437, 4920.251761619982}},
  {"data/ict/ict_c_zup.fbx", 18133, 18120, 35976, {-0.7311491370201111, -1.0204389095306396, -0.7905745506286621},
   {0.7404739260673523, 0.9957833886146545, 0.6618251204490662}, {4.657621986020899, 2987.2144466571353, 4736.988175382892}},
  {"data/ict/ict_multi_objects_xup.fbx", 27081, 26384, 52220, {-0.7311927766862558, -1.0146273058330486, -0.7644813480694919},
   {0.738652501427266, 0.9964834184488445, 0.6612563244291039}, {2.6349448540473643, 3519.006336580704, 8059.815852628368}},
  {"data/ict/ict_shapekeys.fbx", 18133, 18120, 35976, {-0.7344017624855042, -0.9999999900303995, -0.6601097860908441},
   {0.7344017624855042, 0.9999999950633339, 0.6601098115366327}, {-0.00025309622287750244, 2971.6569194538033, 4885.632238104781}}};

static void test_heads(void) {
  fm_load_desc desc;
  memset(&desc, 0, sizeof desc);
  desc.no_textures = true;
  for (size_t h = 0; h < sizeof heads / sizeof heads[0]; h++) {
    const char *path = test_shared(heads[h].file);
    double low[3] = {1e30, 1e30, 1e30}, high[3] = {-1e30, -1e30, -1e30}, sum[3] = {0, 0, 0};
    if (!path) SKIP("the shared heads are not here");
    fm_mesh *mesh = fm_load_mesh(path, &desc, &error);
    if (!mesh) { test_fail(__FILE__, __LINE__, error.message); return; }
    CHECK_INT(mesh->vertex_count, heads[h].vertices);
    CHECK_INT(mesh->polygon_count, heads[h].polygons);
    CHECK_INT(mesh->triangle_count, heads[h].triangles);
    for (size_t i = 0; i < 3 * mesh->vertex_count; i++) {
      double x = (double)mesh->positions[i];
      sum[i % 3] += x;
      if (x < low[i % 3]) low[i % 3] = x;
      if (x > high[i % 3]) high[i % 3] = x;
    }
    for (size_t k = 0; k < 3; k++) {
      CHECK_NEAR(low[k], heads[h].low[k], 2e-6);
      CHECK_NEAR(high[k], heads[h].high[k], 2e-6);
      CHECK_NEAR(sum[k], heads[h].sum[k], 0.01);
    }
    if (strstr(heads[h].file, "shapekeys")) {
      CHECK_INT(mesh->blend_shape_count, 5);
      if (mesh->blend_shape_count == 5) CHECK_TEXT(mesh->blend_shapes[0], "jawOpen");
    }
    fm_free_mesh(mesh);
  }
}

/* A thousand objects, each the child of the next: deeper than any stack of calls should go. */
static void test_long_chain(void) {
  enum { OBJECTS = 1000 };
  start(7400, 0);
  metres();
  begin("Objects");
  geometry(1, "shape");
  for (int i = 0; i < OBJECTS; i++) { object("Model", 100 + i, "m", "Null"); end(); }
  end();
  begin("Connections");
  connect(1, 100);
  for (int i = 0; i + 1 < OBJECTS; i++) connect(100 + i, 101 + i);
  end();
  finish();
  LOAD(mesh);
  CHECK_INT(mesh->vertex_count, 5);
  CHECK_POINT(mesh, 4, 2, 3, 5);
  fm_free_mesh(mesh);
}

TEST_MAIN(
  {"record headers of both widths", test_headers},
  {"arrays of every type", test_array_types},
  {"records without an end", test_missing_ends},
  {"unknown records and values", test_unknown_values},
  {"UV mappings", test_uv_mappings},
  {"first UV set", test_first_uv_set},
  {"materials", test_materials},
  {"rotation orders", test_rotation_orders},
  {"pre- and post-rotation", test_pre_and_post},
  {"pivots and offsets", test_pivots},
  {"inherited scale", test_inheritance},
  {"geometric transform", test_geometric},
  {"property templates", test_templates},
  {"axes and units", test_axes_and_units},
  {"mirrored objects", test_mirrored},
  {"instances", test_instances},
  {"no connections", test_no_connections},
  {"no mesh", test_no_mesh},
  {"texture properties", test_texture_properties},
  {"layered textures and opacity", test_layered_and_opacity},
  {"what is named and not applied", test_warnings},
  {"blend shapes of old files", test_old_blend_shapes},
  {"names", test_names},
  {"versions", test_versions},
  {"damaged arrays", test_damaged_arrays},
  {"damaged array headers", test_damaged_headers},
  {"damaged records", test_damaged_records},
  {"cycles", test_cycles},
  {"ids used twice", test_same_ids},
  {"every truncation", test_truncation},
  {"every byte changed", test_every_byte},
  {"memory that runs out", test_failing_memory},
  {"limits", test_limits},
  {"scale", test_scale},
  {"only", test_selection},
  {"path, stream, memory", test_ways_in},
  {"files of other kinds", test_foreign_files},
  {"a long chain of objects", test_long_chain},
  {"real heads", test_heads})
