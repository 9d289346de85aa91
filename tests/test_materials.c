/* Mesh assembly: triangles, the choice of parts, textures and where they are looked for, meshes of the caller's own. */
#include "test.h"

/* ---- an allocator that counts, and fails on demand ---- */

typedef struct heap { size_t blocks, bytes, calls, fail_at; } heap;
static void *heap_resize(void *user, void *memory, size_t old_size, size_t new_size) {
  heap *h = (heap *)user;
  if (!new_size) {
    h->blocks--;
    h->bytes -= old_size;
    free(memory);
    return NULL;
  }
  if (h->fail_at && ++h->calls == h->fail_at) return NULL;
  void *grown = realloc(memory, new_size);
  if (grown) h->blocks += memory == NULL, h->bytes += new_size - old_size;
  return grown;
}

/* ---- files in memory ---- */

typedef struct memory_file { const char *path; const void *data; size_t size; } memory_file;
typedef struct memory_files { const memory_file *files; size_t count; char opened[4000]; test_stream stream; } memory_files;
static bool memory_open(void *user, const char *path, fm_stream *out) {
  memory_files *all = (memory_files *)user;
  size_t used = strlen(all->opened);
  snprintf(all->opened + used, sizeof all->opened - used, "%s\n", path);
  for (size_t i = 0; i < all->count; i++) {
    if (strcmp(all->files[i].path, path) != 0) continue;
    all->stream.data = (const uint8_t *)all->files[i].data;
    all->stream.size = all->files[i].size;
    all->stream.position = 0;
    out->user = &all->stream;
    out->read = test_stream_read;
    return true;
  }
  return false;
}

/* A TGA of one pixel: B 10, G 20, R 30. */
static const uint8_t pixel_tga[] = {0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 24, 0x20, 10, 20, 30};

/* ---- one mesh under way ---- */

typedef struct bench {
  heap memory;
  fm_allocator allocator;
  memory_files disk;
  fm_files files;
  fm_limits limits;
  fm_common common;
  fm_load_desc desc;
  fm_error error;
  fmi_env env;
  fm_mesh *mesh;
  fmi_assembly assembly;
} bench;

static void bench_setup(bench *b, const char *name) {
  memset(b, 0, sizeof *b);
  b->allocator.user = &b->memory;
  b->allocator.resize = heap_resize;
  b->files.user = &b->disk;
  b->files.open_read = memory_open;
  b->common.allocator = &b->allocator;
  b->common.files = &b->files;
  b->common.limits = &b->limits;
  b->desc.common = &b->common;
  b->desc.name = name;
}
static bool bench_begin(bench *b) {
  fmi_begin(&b->env, &b->common, &b->error, b->desc.name);
  b->mesh = fmi_new_mesh(&b->env, &b->desc);
  if (b->mesh) fmi_begin_mesh(&b->assembly, &b->env, &b->desc, b->mesh);
  return b->mesh != NULL;
}
static void bench_end(bench *b) {
  fmi_end(&b->env);
  fmi_free_pool(NULL, &b->allocator, &b->env.keep);
  CHECK_INT(b->memory.blocks, 0);
  CHECK_INT(b->memory.bytes, 0);
}
static const char *bench_warning(const bench *b, size_t i) { return i < b->env.warning_count ? b->env.warnings[i] : ""; }

static void *keep_copy(bench *b, const void *data, size_t size) {
  void *copy = fmi_alloc(&b->env, &b->env.keep, size, 1);
  if (copy) memcpy(copy, data, size);
  return copy;
}

/* ---- triangles ---- */

static double cross2(const float *a, const float *b, const float *c) {
  return ((double)b[0] - a[0]) * ((double)c[1] - a[1]) - ((double)b[1] - a[1]) * ((double)c[0] - a[0]);
}

/* Triangulates one polygon (x, y per corner) in the plane of two axes. All its triangles must look the polygon's way, and their areas
   must add up to the polygon's (shoelace formula): then they cover it without overlap. */
static void check_polygon(const float *xy, size_t n, int x_axis, int y_axis) {
  fm_mesh mesh;
  fm_error error;
  float *positions = (float *)calloc(n, 3 * sizeof(float));
  uint32_t *corners = (uint32_t *)malloc(n * sizeof *corners), starts[2] = {0, 0};
  double area = 0.0, sum = 0.0, least = 0.0;
  for (size_t i = 0; i < n; i++) {
    const float *p = xy + 2 * i, *q = xy + 2 * ((i + 1) % n);
    positions[3 * i + (size_t)x_axis] = p[0];
    positions[3 * i + (size_t)y_axis] = p[1];
    corners[i] = (uint32_t)i;
    area += ((double)p[0] * q[1] - (double)q[0] * p[1]) / 2.0;
  }
  starts[1] = (uint32_t)n;
  memset(&mesh, 0, sizeof mesh);
  mesh.vertex_count = mesh.corner_count = n;
  mesh.positions = positions;
  mesh.corners = corners;
  mesh.polygon_count = 1;
  mesh.polygon_starts = starts;
  CHECK(fm_prepare_mesh(&mesh, NULL, &error));
  CHECK_INT(mesh.triangle_count, n - 2);
  for (size_t t = 0; t < mesh.triangle_count; t++) {
    const uint32_t *c = mesh.triangles + 3 * t;
    double one = cross2(xy + 2 * c[0], xy + 2 * c[1], xy + 2 * c[2]) / 2.0 * (area < 0 ? -1.0 : 1.0);
    sum += one;
    if (one < least) least = one;
    CHECK_INT(mesh.triangle_polygons[t], 0);
  }
  CHECK(least >= 0.0);
  CHECK_NEAR(sum, fabs(area), 1e-9 * (1.0 + fabs(area)));
  fm_release_mesh(&mesh);
  CHECK(!mesh.triangles && !mesh.triangle_count);
  free(positions);
  free(corners);
}

/* The same from every first corner, in both directions, in three planes. */
static void check_all_ways(const float *xy, size_t n) {
  float turned[2 * 64];
  for (size_t first = 0; first < n; first++)
    for (int way = 0; way < 2; way++) {
      for (size_t i = 0; i < n; i++) memcpy(turned + 2 * i, xy + 2 * ((first + (way ? n - i : i)) % n), 2 * sizeof(float));
      check_polygon(turned, n, 0, 1);
      check_polygon(turned, n, 1, 2);
      check_polygon(turned, n, 0, 2);
    }
}

static void test_simple_polygons(void) {
  static const float arrow[] = {0, 0, 4, 2, 0, 4, 1, 2}, l_shape[] = {0, 0, 3, 0, 3, 1, 1, 1, 1, 3, 0, 3};
  static const float star[] = {0, 3, 0.7f, 1, 2.9f, 0.9f, 1.1f, -0.4f, 1.8f, -2.4f, 0, -1.2f, -1.8f, -2.4f, -1.1f, -0.4f, -2.9f, 0.9f, -0.7f, 1};
  static const float dent[] = {0, 0, 2, 0, 2, 2, 1, 0.5f, 0, 2}, straight[] = {0, 0, 1, 0, 2, 0, 3, 0, 3, 2, 2, 1, 1, 2, 0, 1};
  static const float u_shape[] = {0, 0, 5, 0, 5, 4, 4, 4, 4, 1, 1, 1, 1, 4, 0, 4}, touching[] = {0, 0, 4, 0, 4, 4, 2, 0, 0, 4};
  check_all_ways(arrow, 4);
  check_all_ways(l_shape, 6);
  check_all_ways(star, 10);
  check_all_ways(dent, 5);
  check_all_ways(straight, 8);
  check_all_ways(u_shape, 8);
  check_all_ways(touching, 5); /* a corner lies on another side */
}

static void test_random_polygons(void) {
  uint32_t random = 1;
  float xy[2 * 60];
  for (int round = 0; round < 300; round++) {
    size_t n = 4 + (size_t)round % 57;
    for (size_t i = 0; i < n; i++) { /* angles rise, radii do not: simple, and usually concave */
      random = random * 1664525u + 1013904223u;
      double radius = 0.2 + (random >> 8) / 16777216.0, angle = 6.283185307179586 * (double)i / (double)n;
      xy[2 * i] = (float)(radius * cos(angle));
      xy[2 * i + 1] = (float)(radius * sin(angle));
    }
    check_polygon(xy, n, round % 3, (round + 1) % 3);
  }
}

/* A comb and a spiral: many corners that are no ears. */
static void test_long_polygons(void) {
  static float xy[2 * 3000];
  size_t n = 0;
  for (int i = 0; i < 500; i++, n += 2) {
    xy[2 * n] = (float)(2 * i), xy[2 * n + 1] = 0;
    xy[2 * n + 2] = (float)(2 * i + 1), xy[2 * n + 3] = 50;
  }
  xy[2 * n] = 1000, xy[2 * n + 1] = -1, n++;
  xy[2 * n] = 0, xy[2 * n + 1] = -1, n++;
  check_polygon(xy, n, 0, 1);
  n = 0;
  for (int i = 0; i < 600; i++, n++) xy[2 * n] = (float)((1 + i * 0.05) * cos(i * 0.1)), xy[2 * n + 1] = (float)((1 + i * 0.05) * sin(i * 0.1));
  for (int i = 599; i >= 0; i--, n++) xy[2 * n] = (float)((1.5 + i * 0.05) * cos(i * 0.1)), xy[2 * n + 1] = (float)((1.5 + i * 0.05) * sin(i * 0.1));
  check_polygon(xy, n, 0, 1);
}

static void test_fans(void) {
  static const float positions[] = {0, 0, 0, 1, 0, 0, 1, 1, 0, 0, 1, 0, -1, 0.5f, 0};
  static const uint32_t starts[] = {0, 3, 7, 12}, corners[] = {0, 1, 2, 0, 1, 2, 3, 0, 1, 2, 3, 4};
  static const uint32_t fans[] = {0, 1, 2, 3, 4, 5, 3, 5, 6, 7, 8, 9, 7, 9, 10, 7, 10, 11}, owners[] = {0, 1, 1, 2, 2, 2};
  fm_mesh mesh;
  memset(&mesh, 0, sizeof mesh);
  mesh.vertex_count = 5;
  mesh.positions = (float *)positions;
  mesh.polygon_count = 3;
  mesh.polygon_starts = (uint32_t *)starts;
  mesh.corner_count = 12;
  mesh.corners = (uint32_t *)corners;
  CHECK(fm_prepare_mesh(&mesh, NULL, NULL));
  CHECK_INT(mesh.triangle_count, 6);
  CHECK(memcmp(mesh.triangles, fans, sizeof fans) == 0);
  CHECK(memcmp(mesh.triangle_polygons, owners, sizeof owners) == 0);
  fm_release_mesh(&mesh);
}

/* Polygons without area, repeated corners, and one that crosses itself thousands of times: any triangles, but n - 2 of them, soon. */
static void test_degenerate_polygons(void) {
  static float positions[3 * 6000];
  static uint32_t corners[6000];
  static const uint32_t starts[] = {0, 0, 1, 3, 7, 12, 6000};
  fm_mesh mesh;
  uint32_t random = 9;
  for (size_t i = 0; i < 6000; i++) {
    random = random * 1664525u + 1013904223u;
    positions[3 * i] = (float)(random >> 8);
    random = random * 1664525u + 1013904223u;
    positions[3 * i + 1] = (float)(random >> 8);
    corners[i] = i < 7 ? 0 : i < 12 ? (uint32_t)i % 2 : (uint32_t)i;
  }
  memset(&mesh, 0, sizeof mesh);
  mesh.vertex_count = 6000;
  mesh.positions = positions;
  mesh.polygon_count = 6;
  mesh.polygon_starts = (uint32_t *)starts;
  mesh.corner_count = 6000;
  mesh.corners = corners;
  CHECK(fm_prepare_mesh(&mesh, NULL, NULL));
  CHECK_INT(mesh.triangle_count, 2 + 3 + 5986);
  for (size_t i = 0; i < 3 * mesh.triangle_count; i++) CHECK(mesh.triangles[i] >= starts[mesh.triangle_polygons[i / 3]] && mesh.triangles[i] < starts[mesh.triangle_polygons[i / 3] + 1]);
  fm_release_mesh(&mesh);
}

/* ---- meshes of the caller's own ---- */

typedef struct own { float positions[9], uvs[6]; uint32_t corners[3], starts[2], corner_uvs[3], materials[1]; fm_material material; fm_texture texture; fm_mesh mesh; } own;
static void own_setup(own *o) {
  static const float positions[9] = {0, 0, 0, 1, 0, 0, 0, 1, 0};
  memset(o, 0, sizeof *o);
  memcpy(o->positions, positions, sizeof positions);
  o->corners[1] = o->corner_uvs[1] = 1;
  o->corners[2] = o->corner_uvs[2] = 2;
  o->starts[1] = 3;
  o->material.opacity = FM_NONE;
  o->mesh.vertex_count = o->mesh.corner_count = o->mesh.uv_count = 3;
  o->mesh.polygon_count = o->mesh.material_count = o->mesh.texture_count = 1;
  o->mesh.positions = o->positions;
  o->mesh.corners = o->corners;
  o->mesh.polygon_starts = o->starts;
  o->mesh.uvs = o->uvs;
  o->mesh.corner_uvs = o->corner_uvs;
  o->mesh.polygon_materials = o->materials;
  o->mesh.materials = &o->material;
  o->mesh.textures = &o->texture;
}
static void refuse_own(own *o, const char *words) {
  fm_error error;
  CHECK(!fm_prepare_mesh(&o->mesh, NULL, &error));
  CHECK_INT(error.status, FM_ERROR_ARGUMENT);
  if (!strstr(error.message, words)) CHECK_TEXT(error.message, words);
  CHECK(!o->mesh.triangles);
  own_setup(o);
}
static void test_own_meshes(void) {
  own o;
  fm_error error;
  own_setup(&o);
  CHECK(fm_prepare_mesh(&o.mesh, NULL, &error));
  CHECK_INT(o.mesh.triangle_count, 1);
  CHECK(!fm_prepare_mesh(&o.mesh, NULL, &error) && strstr(error.message, "fm_release_mesh"));
  fm_free_mesh(&o.mesh); /* not ours: nothing happens */
  fm_release_mesh(&o.mesh);
  fm_release_mesh(&o.mesh);
  fm_release_mesh(NULL);
  fm_free_mesh(NULL);
  own_setup(&o);
  o.mesh.polygon_starts = NULL; /* triangles throughout */
  CHECK(fm_prepare_mesh(&o.mesh, NULL, &error));
  CHECK(o.mesh.triangle_count == 1 && o.mesh.triangles[2] == 2 && o.mesh.triangle_polygons == NULL);
  fm_release_mesh(&o.mesh);
  own_setup(&o);
  CHECK(!fm_prepare_mesh(NULL, NULL, &error) && error.status == FM_ERROR_ARGUMENT);
  o.corners[1] = 3; refuse_own(&o, "corner 1 uses vertex 3, but there are only 3");
  o.corners[1] = FM_NONE; refuse_own(&o, "corner 1");
  o.positions[5] = (float)NAN; refuse_own(&o, "position 1");
  o.uvs[4] = (float)INFINITY; refuse_own(&o, "UV 2");
  o.corner_uvs[0] = 3; refuse_own(&o, "corner 0 uses UV 3");
  o.materials[0] = 1; refuse_own(&o, "polygon 0 uses material 1");
  o.material.texture = 1; refuse_own(&o, "material 0 uses texture 1");
  o.texture.image.width = 2; refuse_own(&o, "texture 0");
  o.starts[1] = 2; refuse_own(&o, "polygon_starts");
  o.starts[0] = 1; refuse_own(&o, "polygon_starts");
  o.mesh.positions = NULL; refuse_own(&o, "positions is NULL");
  o.mesh.corner_count = 4; o.mesh.polygon_starts = NULL; refuse_own(&o, "1 triangles need 3 corners, not 4");
  o.mesh.corner_uvs = NULL; o.mesh.uv_count = 2; refuse_own(&o, "3 corners need a UV each");
  o.corner_uvs[0] = FM_NONE;
  o.materials[0] = FM_NONE;
  CHECK(fm_prepare_mesh(&o.mesh, NULL, &error)); /* none is allowed */
  fm_release_mesh(&o.mesh);
}

/* ---- the choice of parts ---- */

static void test_globs(void) {
  static const struct { const char *pattern, *text; bool match; } cases[] = {
    {"", "", true}, {"*", "", true}, {"?", "", false}, {"a", "a", true}, {"a", "A", false}, {"a", "ab", false}, {"a*", "ab", true}, {"*b", "ab", true}, {"*b", "ba", false},
    {"a?c", "abc", true}, {"a?c", "ac", false}, {"*eye*", "LeftEye.eyeball", true}, {"**", "x", true}, {"*a*b*c*", "xxaxxbxxcxx", true}, {"*a*b*c", "xxaxxbxxcxx", false},
    {"a*a", "a", false}, {"*aab", "aaaaaab", true}, {"?*?", "ab", true}, {"?*?", "a", false}};
  char text[5001], pattern[201];
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    bool match = fmi_match_glob(cases[i].pattern, strlen(cases[i].pattern), cases[i].text);
    if (match != cases[i].match) CHECK_TEXT(cases[i].pattern, cases[i].text);
  }
  memset(text, 'a', 5000);
  text[5000] = 0;
  for (int i = 0; i < 100; i++) memcpy(pattern + 2 * i, "*a", 2);
  pattern[199] = 'b';
  CHECK(!fmi_match_glob(pattern, 200, text)); /* soon */
}

/* Three parts of one quad each and a lone vertex in the second; materials skin, hair, skin. Part 2 also uses vertex 3 of part 0. */
static bool make_parts(bench *b) {
  static const uint32_t starts[] = {0, 4, 8, 12}, corners[] = {0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 3}, materials[] = {0, 1, 0};
  static const char *const part_names[] = {"head", "wig", "eyes"}, *const material_names[] = {"skin", "hair"};
  fm_mesh *mesh = b->mesh;
  mesh->vertex_count = 12;
  mesh->positions = (float *)fmi_alloc_zero(&b->env, &b->env.keep, 12, 3 * sizeof(float));
  mesh->polygon_count = 3;
  mesh->polygon_starts = (uint32_t *)keep_copy(b, starts, sizeof starts);
  mesh->corner_count = 12;
  mesh->corners = (uint32_t *)keep_copy(b, corners, sizeof corners);
  mesh->polygon_materials = (uint32_t *)keep_copy(b, materials, sizeof materials);
  mesh->parts = (fm_part *)fmi_alloc_zero(&b->env, &b->env.keep, 3, sizeof(fm_part));
  mesh->materials = (fm_material *)fmi_alloc_zero(&b->env, &b->env.keep, 2, sizeof(fm_material));
  if (b->error.status != FM_OK) return false;
  mesh->part_count = 3;
  mesh->material_count = 2;
  for (size_t i = 0; i < 12; i++) mesh->positions[3 * i] = (float)i;
  for (size_t i = 0; i < 3; i++) {
    fm_part *part = &mesh->parts[i];
    part->name = (char *)keep_copy(b, part_names[i], strlen(part_names[i]) + 1);
    part->first_vertex = i == 0 ? 0 : i == 1 ? 4 : 9;
    part->vertex_count = i == 0 ? 4 : i == 1 ? 5 : 3;
    part->first_polygon = i;
    part->polygon_count = 1;
    part->first_corner = 4 * i;
    part->corner_count = 4;
    part->instance_count = 1;
  }
  for (size_t i = 0; i < 2; i++) {
    fmi_texture_source source;
    memset(&source, 0, sizeof source);
    source.path = material_names[i];
    source.path_size = 4;
    mesh->materials[i].name = (char *)keep_copy(b, material_names[i], 5);
    mesh->materials[i].opacity = FM_NONE;
    mesh->materials[i].texture = fmi_add_texture(&b->assembly, &source);
  }
  return b->error.status == FM_OK;
}
static bool choose(bench *b, const char *only, const char *exclude) {
  bench_setup(b, "dir/a.fbx");
  b->desc.only = only;
  b->desc.exclude = exclude;
  b->desc.no_textures = true;
  return bench_begin(b) && make_parts(b) && fmi_finish_mesh(&b->assembly);
}

static void test_choice(void) {
  bench b;
  CHECK(choose(&b, NULL, ""));
  CHECK(b.mesh->polygon_count == 3 && b.mesh->part_count == 3 && b.mesh->vertex_count == 12);
  CHECK_TEXT(b.mesh->name, "a");
  bench_end(&b);

  CHECK(choose(&b, "head,eyes", NULL));
  CHECK(b.mesh->polygon_count == 2 && b.mesh->part_count == 2 && b.mesh->material_count == 1 && b.mesh->texture_count == 1);
  CHECK_INT(b.mesh->vertex_count, 7); /* the wig's four and its lone one are gone */
  CHECK_INT(b.mesh->positions[3 * 4], 9);
  CHECK(b.mesh->corners[4] == 4 && b.mesh->corners[7] == 3);
  CHECK(b.mesh->parts[1].first_vertex == 4 && b.mesh->parts[1].vertex_count == 3 && b.mesh->parts[1].first_polygon == 1 && b.mesh->parts[1].first_corner == 4);
  CHECK_INT(b.mesh->triangle_count, 4);
  bench_end(&b);

  CHECK(choose(&b, "ey*", NULL)); /* keeps a vertex of the head, because it uses it */
  CHECK_INT(b.mesh->vertex_count, 4);
  CHECK_INT(b.mesh->positions[0], 3);
  CHECK_INT(b.mesh->corners[3], 0);
  bench_end(&b);

  CHECK(choose(&b, NULL, "hair")); /* by material */
  CHECK(b.mesh->polygon_count == 2 && b.mesh->vertex_count == 7 && b.mesh->material_count == 1);
  CHECK_TEXT(b.mesh->textures[0].name, "skin");
  bench_end(&b);

  CHECK(choose(&b, "hair", NULL));
  CHECK(b.mesh->polygon_count == 1 && b.mesh->vertex_count == 5 && b.mesh->polygon_materials[0] == 0 && b.mesh->materials[0].texture == 0);
  CHECK_TEXT(b.mesh->materials[0].name, "hair");
  CHECK_TEXT(b.mesh->textures[0].name, "hair");
  bench_end(&b);

  CHECK(choose(&b, "*", "wig"));
  CHECK_INT(b.mesh->polygon_count, 2);
  bench_end(&b);

  CHECK(!choose(&b, "head,nose*", NULL));
  CHECK_INT(b.error.status, FM_ERROR_ARGUMENT);
  CHECK_TEXT(b.error.message, "dir/a.fbx: \"nose*\" of only matches no part and no material; there are: head, wig, eyes, skin, hair");
  bench_end(&b);

  CHECK(!choose(&b, NULL, "Head"));
  CHECK(strstr(b.error.message, "\"Head\" of exclude"));
  bench_end(&b);

  CHECK(!choose(&b, "head", "skin"));
  CHECK(strstr(b.error.message, "leave no polygon"));
  bench_end(&b);
}

/* ---- textures ---- */

static uint32_t add_path(bench *b, const char *path, const char *other) {
  fmi_texture_source source;
  memset(&source, 0, sizeof source);
  source.path = path;
  source.path_size = strlen(path);
  source.other_path = other;
  source.other_size = other ? strlen(other) : 0;
  return fmi_add_texture(&b->assembly, &source);
}
static uint32_t add_content(bench *b, const char *path, const void *content, size_t size) {
  fmi_texture_source source;
  memset(&source, 0, sizeof source);
  source.path = path;
  source.path_size = strlen(path);
  source.content = (const uint8_t *)content;
  source.content_size = size;
  return fmi_add_texture(&b->assembly, &source);
}

/* Which of the files that are there is taken for a path of the mesh dir/head.fbx? "" for none. */
static void check_search(const char *path, const char *other, const char *there, const char *taken) {
  bench b;
  memory_file file = {there, pixel_tga, sizeof pixel_tga};
  bench_setup(&b, "dir/head.fbx");
  b.disk.files = &file;
  b.disk.count = 1;
  CHECK(bench_begin(&b) && add_path(&b, path, other) == 0 && fmi_finish_mesh(&b.assembly));
  CHECK_TEXT(b.mesh->textures[0].path ? b.mesh->textures[0].path : "", taken);
  CHECK_INT(b.mesh->textures[0].image.width, *taken ? 1 : 0);
  CHECK_INT(b.env.warning_count, *taken ? 0 : 1);
  bench_end(&b);
}
static void test_search(void) {
  static const char *const places[] = {"dir/Skin.tga", "dir/head.fbm/Skin.tga", "dir/textures/Skin.tga", "dir/Textures/Skin.tga", "dir/tex/Skin.tga", "dir/skin.tga",
                                       "dir/textures/skin.tga"};
  static const char *const paths[] = {"Skin.tga", "gone/Skin.tga", "..\\gone\\Skin.tga", "C:\\Users\\me\\Skin.tga", "/home/me/Skin.tga"};
  for (size_t i = 0; i < sizeof places / sizeof places[0]; i++)
    for (size_t k = 0; k < sizeof paths / sizeof paths[0]; k++) check_search(paths[k], NULL, places[i], places[i]);
  check_search("maps/Skin.tga", NULL, "dir/maps/Skin.tga", "dir/maps/Skin.tga");
  check_search("maps\\Skin.tga", NULL, "dir/maps/Skin.tga", "dir/maps/Skin.tga");
  check_search("../maps/Skin.tga", NULL, "dir/../maps/Skin.tga", "dir/../maps/Skin.tga");
  check_search("/home/me/Skin.tga", NULL, "/home/me/Skin.tga", "/home/me/Skin.tga");
  check_search("C:\\me\\Skin.tga", NULL, "C:/me/Skin.tga", "C:/me/Skin.tga");
  check_search("gone.tga", "/other/place/Skin.tga", "dir/Skin.tga", "dir/Skin.tga");
  check_search("", "/other/place/Skin.tga", "dir/Skin.tga", "dir/Skin.tga");
  check_search("Skin.tga", NULL, "Skin.tga", "");
  check_search("folder/", NULL, "dir/Skin.tga", "");
  check_search("", NULL, "dir/Skin.tga", "");
}

static void test_missing_texture(void) {
  bench b;
  bench_setup(&b, "dir/head.fbx");
  CHECK(bench_begin(&b) && add_path(&b, "C:\\x\\Skin.PNG", NULL) == 0 && fmi_finish_mesh(&b.assembly));
  CHECK_TEXT(b.mesh->textures[0].name, "Skin.PNG");
  CHECK_TEXT(bench_warning(&b, 0), "Skin.PNG: the texture was not found; tried: C:/x/Skin.PNG, dir/Skin.PNG, dir/head.fbm/Skin.PNG, dir/textures/Skin.PNG, dir/Textures/Skin.PNG, "
                                   "dir/tex/Skin.PNG, dir/skin.png, dir/head.fbm/skin.png, dir/textures/skin.png, dir/Textures/skin.png, dir/tex/skin.png; put it beside the mesh");
  bench_end(&b);

  bench_setup(&b, "dir/head.fbx");
  b.desc.no_textures = true;
  CHECK(bench_begin(&b) && add_path(&b, "a.png", NULL) == 0 && fmi_finish_mesh(&b.assembly));
  CHECK(b.env.warning_count == 0 && !b.disk.opened[0] && b.mesh->texture_count == 1);
  bench_end(&b);
}

static void test_sharing(void) {
  bench b;
  uint8_t copy[sizeof pixel_tga];
  memcpy(copy, pixel_tga, sizeof copy);
  bench_setup(&b, "head.fbx");
  CHECK(bench_begin(&b));
  CHECK_INT(add_content(&b, "a.tga", pixel_tga, sizeof pixel_tga), 0);
  CHECK_INT(add_path(&b, "b.tga", NULL), 1);
  CHECK_INT(add_content(&b, "a.tga", pixel_tga, sizeof pixel_tga), 0);
  CHECK_INT(add_content(&b, "a.tga", copy, sizeof copy), 2);
  CHECK_INT(add_path(&b, "b.tga", NULL), 1);
  for (uint32_t i = 0; i < 300; i++) {
    char *name = (char *)fmi_alloc(&b.env, &b.env.temp, 20, 1);
    snprintf(name, 20, "t%u.png", i);
    CHECK_INT(add_path(&b, name, NULL), 3 + i);
  }
  CHECK_INT(add_path(&b, "t77.png", NULL), 80);
  b.desc.no_textures = true;
  CHECK(fmi_finish_mesh(&b.assembly));
  bench_end(&b);
}

static void test_embedded(void) {
  bench b;
  bench_setup(&b, "head.fbx");
  CHECK(bench_begin(&b) && add_content(&b, "x\\a.tga", pixel_tga, sizeof pixel_tga) == 0 && fmi_finish_mesh(&b.assembly));
  CHECK(b.mesh->textures[0].embedded && !b.mesh->textures[0].path && !b.disk.opened[0]);
  CHECK_TEXT(b.mesh->textures[0].name, "a.tga");
  CHECK(b.mesh->textures[0].image.width == 1 && b.mesh->textures[0].image.height == 1 && b.mesh->textures[0].image.channels == 3);
  CHECK(b.mesh->textures[0].image.pixels[0] == 30 && b.mesh->textures[0].image.pixels[2] == 10);
  CHECK(!b.env.temp.first || b.env.error->status == FM_OK);
  bench_end(&b);
}

/* A damaged picture costs its pixels only; what the decoder took is given back. */
static void test_damaged(void) {
  static const char *const damaged[] = {"", "\x89PNG\r\n\x1A\n", "\xFF\xD8\xFF\xE0", "GIF89a, a picture of a kind that is not read", "no picture at all"};
  for (size_t i = 0; i < sizeof damaged / sizeof damaged[0]; i++) {
    bench b;
    bench_setup(&b, "head.fbx");
    CHECK(bench_begin(&b) && add_content(&b, "a.png", damaged[i], strlen(damaged[i])) == 0);
    size_t before = b.memory.blocks, bytes = b.memory.bytes;
    CHECK(fmi_load_texture(&b.assembly, &b.mesh->textures[0], &b.assembly.sources[0]));
    CHECK_INT(b.memory.blocks, before + 2); /* the warning and the list of warnings */
    CHECK(b.memory.bytes < bytes + 1500);
    CHECK(b.error.status == FM_OK && b.error.message[0] == 0 && b.env.file && strcmp(b.env.file, "head.fbx") == 0);
    CHECK(b.env.warning_count == 1 && strncmp(bench_warning(&b, 0), "a.png: ", 7) == 0);
    CHECK(b.mesh->textures[0].image.width == 0 && !b.mesh->textures[0].image.pixels);
    bench_end(&b);
  }
}

static void test_texture_over_memory_limit(void) {
  uint8_t header[18] = {0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 16, 24, 0x20}; /* 4096 x 4096 */
  uint8_t *tga = (uint8_t *)calloc(1, sizeof header + 3 * 4096 * 4096);
  bench b;
  memcpy(tga, header, sizeof header);
  bench_setup(&b, "head.fbx");
  b.limits.memory = 1 << 20;
  CHECK(bench_begin(&b) && add_content(&b, "a.tga", tga, sizeof header + 3 * 4096 * 4096) == 0);
  CHECK(fmi_finish_mesh(&b.assembly)); /* the head can do without it, and the limit holds */
  CHECK(b.env.warning_count == 1 && strstr(bench_warning(&b, 0), "over the limit") != NULL);
  CHECK_INT(b.mesh->textures[0].image.width, 0);
  bench_end(&b);
  free(tga);
}

/* ---- the caller's decoder ---- */

typedef struct decoder { int calls, releases; fm_image image; bool takes; } decoder;
static void decoder_release(void *user, fm_image *image) {
  ((decoder *)user)->releases += image->pixels != NULL;
}
static bool decoder_decode(void *user, const void *data, size_t size, fm_image *out, void (**release)(void *, fm_image *)) {
  decoder *d = (decoder *)user;
  CHECK(data && size == sizeof pixel_tga);
  d->calls++;
  *out = d->image;
  *release = decoder_release;
  return d->takes;
}
static void test_caller_decodes(void) {
  uint8_t pixels[8] = {1, 2, 3, 4, 5, 6, 7, 8};
  for (int round = 0; round < 3; round++) { /* takes it; leaves it; takes it and gives nonsense */
    decoder d;
    bench b;
    memset(&d, 0, sizeof d);
    d.takes = round != 1;
    d.image.width = 2;
    d.image.height = round == 2 ? 0 : 1;
    d.image.channels = 4;
    d.image.pixels = pixels;
    bench_setup(&b, "head.fbx");
    b.desc.decode = decoder_decode;
    b.desc.decode_user = &d;
    CHECK(bench_begin(&b) && add_content(&b, "a", pixel_tga, sizeof pixel_tga) == 0 && fmi_finish_mesh(&b.assembly));
    CHECK(d.calls == 1 && d.releases == (round != 1));
    const fm_image *image = &b.mesh->textures[0].image;
    if (round == 0) CHECK(image->width == 2 && image->channels == 4 && image->pixels != pixels && image->pixels[7] == 8);
    if (round == 1) CHECK(image->width == 1 && image->channels == 3);
    if (round == 2) CHECK(image->width == 0 && b.env.warning_count == 1 && strstr(bench_warning(&b, 0), "decoder"));
    bench_end(&b);
  }
}

/* ---- numbers that are none; memory that is none ---- */

static void test_clean_floats(void) {
  bench b;
  float values[] = {1, 2, (float)NAN, 4, (float)INFINITY, 6};
  bench_setup(&b, "head.obj");
  CHECK(bench_begin(&b) && fmi_clean_floats(&b.env, values, 2, 3, "position"));
  CHECK(values[2] == 0 && values[4] == 0 && values[3] == 4);
  CHECK(strstr(bench_warning(&b, 0), "first in position 0") && strstr(bench_warning(&b, 0), "2 numbers"));
  bench_end(&b);
}

static void test_scale(void) {
  bench b;
  bench_setup(&b, "a.obj");
  b.desc.scale = 0.5;
  b.desc.no_textures = true;
  CHECK(bench_begin(&b) && make_parts(&b) && fmi_finish_mesh(&b.assembly));
  CHECK(b.mesh->positions[3 * 5] == 2.5f);
  bench_end(&b);
  bench_setup(&b, "a.obj");
  b.desc.scale = NAN;
  CHECK(bench_begin(&b) && make_parts(&b) && !fmi_finish_mesh(&b.assembly) && b.error.status == FM_ERROR_ARGUMENT);
  bench_end(&b);
}

/* Every allocation fails once: an error, and nothing is left. */
static void test_no_memory(void) {
  static const memory_file files[] = {{"dir/skin", pixel_tga, sizeof pixel_tga}, {"dir/hair", "damaged", 7}};
  bool complete = false;
  for (size_t n = 1; n < 2000 && !complete; n++) {
    bench b;
    bench_setup(&b, "dir/a.fbx");
    b.disk.files = files;
    b.disk.count = 2;
    b.desc.only = "*";
    b.memory.fail_at = n;
    complete = bench_begin(&b) && make_parts(&b) && fmi_finish_mesh(&b.assembly);
    CHECK_INT(b.error.status, complete ? FM_OK : FM_ERROR_MEMORY);
    bench_end(&b);
  }
  CHECK(complete);
}

TEST_MAIN({"simple polygons", test_simple_polygons}, {"random polygons", test_random_polygons}, {"long polygons", test_long_polygons}, {"fans", test_fans},
          {"degenerate polygons", test_degenerate_polygons}, {"meshes of the caller's own", test_own_meshes}, {"globs", test_globs}, {"choice of parts", test_choice},
          {"search for textures", test_search}, {"missing texture", test_missing_texture}, {"shared textures", test_sharing}, {"embedded texture", test_embedded},
          {"damaged textures", test_damaged}, {"texture over the memory limit", test_texture_over_memory_limit}, {"the caller's decoder", test_caller_decodes},
          {"clean floats", test_clean_floats}, {"scale", test_scale}, {"no memory", test_no_memory})
