/* OBJ and MTL: each statement, the ways to write them, damage with its line, materials. */
#include "test.h"

#include <locale.h>

/* ---- files in memory, and an allocator that fails on demand ---- */

typedef struct disk_file { const char *path, *text; } disk_file;
typedef struct disk { const disk_file *files; size_t count; test_stream stream; int opened; } disk;
static bool disk_open(void *user, const char *path, fm_stream *out) {
  disk *d = (disk *)user;
  d->opened++;
  for (size_t i = 0; i < d->count; i++) {
    if (strcmp(d->files[i].path, path) != 0) continue;
    d->stream.data = (const uint8_t *)d->files[i].text;
    d->stream.size = strlen(d->files[i].text);
    d->stream.position = 0;
    out->user = &d->stream;
    out->read = test_stream_read;
    return true;
  }
  return false;
}

typedef struct heap { size_t blocks, calls, fail_at; } heap;
static void *heap_resize(void *user, void *memory, size_t old_size, size_t new_size) {
  heap *h = (heap *)user;
  (void)old_size;
  if (!new_size) {
    h->blocks--;
    free(memory);
    return NULL;
  }
  if (h->fail_at && ++h->calls == h->fail_at) return NULL;
  void *grown = realloc(memory, new_size);
  h->blocks += grown && !memory;
  return grown;
}

typedef struct reader {
  heap memory;
  disk disk;
  fm_allocator allocator;
  fm_files files;
  fm_limits limits;
  fm_common common;
  fm_load_desc desc;
  fm_error error;
  fmi_env env;
  fm_mesh *mesh;
} reader;

static void setup(reader *r) {
  memset(r, 0, sizeof *r);
  r->allocator.user = &r->memory;
  r->allocator.resize = heap_resize;
  r->files.user = &r->disk;
  r->files.open_read = disk_open;
  r->common.allocator = &r->allocator;
  r->common.files = &r->files;
  r->common.limits = &r->limits;
  r->desc.common = &r->common;
  r->desc.name = "dir/head.obj";
}
/* The text is read from a block of exactly its size: reading over its end is found. */
static bool read_bytes(reader *r, const void *text, size_t size) {
  uint8_t *copy = (uint8_t *)malloc(size ? size : 1);
  memcpy(copy, text, size);
  fmi_begin(&r->env, &r->common, &r->error, r->desc.name);
  r->mesh = fmi_new_mesh(&r->env, &r->desc);
  uint8_t *none = NULL;
  bool ok = r->mesh && fmi_read_obj(&r->env, copy, size, &none, &r->desc, r->mesh);
  CHECK(ok == (r->error.status == FM_OK));
  free(copy);
  return ok;
}
static bool read_text(reader *r, const char *text) {
  setup(r);
  return read_bytes(r, text, strlen(text));
}
static void done(reader *r) {
  fmi_end(&r->env);
  fmi_free_pool(NULL, &r->allocator, &r->env.keep);
  CHECK_INT(r->memory.blocks, 0);
}
static const char *warning(const reader *r, size_t i) { return i < r->env.warning_count ? r->env.warnings[i] : ""; }

#define SQUARE "v -1 -1 0\nv 1 -1 0\nv 1 1 0\nv -1 1 0\n"

/* The square as one polygon, with its UVs if it has some. */
static void check_square(const char *text, bool uvs) {
  static const float positions[] = {-1, -1, 0, 1, -1, 0, 1, 1, 0, -1, 1, 0}, uv[] = {0, 0, 1, 0, 1, 1, 0, 1};
  static const uint32_t corners[] = {0, 1, 2, 3};
  reader r;
  bool ok = read_text(&r, text);
  if (!ok) CHECK_TEXT(r.error.message, "");
  if (ok && r.mesh->polygon_count != 1) CHECK_TEXT(text, "one polygon");
  if (ok && r.mesh->polygon_count == 1) {
    CHECK_INT(r.mesh->vertex_count, 4);
    CHECK(memcmp(r.mesh->positions, positions, sizeof positions) == 0);
    CHECK_INT(r.mesh->corner_count, 4);
    CHECK(memcmp(r.mesh->corners, corners, sizeof corners) == 0);
    CHECK(r.mesh->polygon_starts[0] == 0 && r.mesh->polygon_starts[1] == 4);
    CHECK_INT(r.mesh->triangle_count, 2);
    CHECK((r.mesh->uvs != NULL) == uvs && (r.mesh->corner_uvs != NULL) == uvs);
    if (uvs) CHECK(r.mesh->uv_count == 4 && memcmp(r.mesh->uvs, uv, sizeof uv) == 0 && memcmp(r.mesh->corner_uvs, corners, sizeof corners) == 0);
    CHECK_INT(r.env.warning_count, 0);
    CHECK(r.mesh->format == FM_FORMAT_OBJ && r.mesh->metres_per_unit == 0.0);
  }
  done(&r);
}

static void test_ways_to_write(void) {
  static const char uvs[] = "vt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\n";
  static const char *const polygons[] = {"f 1 2 3 4\n", "f 1// 2// 3// 4//\n", "f 1//1 2//1 3//1 4//1\n", "f -4 -3 -2 -1", "f +1 +2 +3 +4", "fo 1 2 3 4\n",
                                         "f 1 2 3 4 # end", "f\t1\t2  3\t4 \t", "  f 1 2 3 4\n", "f 1 2 \\\n 3 4\n", "f 1 2\\\r\n3 4\r\n", "f 1 2 3 4 \\", "\\\nf 1 2 3 4", "f 1 2 3 4\n\n\n#\n#x"};
  static const char *const with_uvs[] = {"f 1/1 2/2 3/3 4/4\n", "f 1/1/1 2/2/1 3/3/1 4/4/1\n", "f 1/-4 2/-3 -2/-2/-1 4/4/\n"};
  char text[500];
  for (size_t i = 0; i < sizeof polygons / sizeof polygons[0]; i++) {
    snprintf(text, sizeof text, "%s%s", SQUARE, polygons[i]);
    check_square(text, false);
    snprintf(text, sizeof text, "%svn 0 0 1\n%s%s", SQUARE, uvs, polygons[i]); /* UVs that nothing uses */
    check_square(text, false);
  }
  for (size_t i = 0; i < sizeof with_uvs / sizeof with_uvs[0]; i++) {
    snprintf(text, sizeof text, "%s%svn 0 0 1\n%s", SQUARE, uvs, with_uvs[i]);
    check_square(text, true);
  }
  check_square("\xEF\xBB\xBF" SQUARE "f 1 2 3 4", false);
  check_square("v -1 -1 0\r\nv 1 -1 0\r\nv 1 1 0\r\nv -1 1 0\r\n\r\nf 1 2 3 4\r\n", false);
  check_square("v -1 -1 0\rv 1 -1 0\rv 1 1 0\rv -1 1 0\rf 1 2 3 4\r", false);
  check_square("v -1 -1 0 1\nv +1. -1e0 .0\nv 10e-1 1 0 1.0\nv -1 1 0e9\nf 1 2 3 4", false);
  check_square("f 1 2 3 4\n" SQUARE, false); /* an index may point ahead */
  check_square("v -1 \\\n-1 \\\n0\nv 1 -1 0\nv 1 1 0\nv -1 1 0\ng a\ns 1\ns off\nf 1 2 3 4\n", false);
  check_square("vn 0 0 \\\n1\n# a path C:\\\n" SQUARE "f 1 2 3 4\n", false); /* a comment continues nothing */
  check_square("v -1 -1 0\nv 1 -1 0\nv 1 1 0\nv -1 1 0\nvt 0\nvt 1 0 0\nvt 1 1 0.5\nvt 0 1\nf 1/1 2/2 3/3 4/4", true);
}

static void test_mixed_uvs(void) {
  reader r;
  CHECK(read_text(&r, SQUARE "vt 0 0\nvt 1 0\nf 1/1 2/2 3/1\nf 1 3 4\n"));
  CHECK(r.mesh->corner_uvs && r.mesh->corner_uvs[1] == 1 && r.mesh->corner_uvs[3] == FM_NONE);
  CHECK(r.mesh->parts[0].has_uvs && r.mesh->parts[0].uv_sum[0] == 1.0);
  done(&r);
}

static void test_polygons_of_all_sizes(void) {
  reader r;
  CHECK(read_text(&r, SQUARE "v 0 2 0\nf 1 2 3 5 4\nf 1 2 3\nf 1\nf 1 2\nf 1 2 3 4\n"));
  CHECK(r.mesh->polygon_count == 5 && r.mesh->corner_count == 15 && r.mesh->triangle_count == 3 + 1 + 2);
  CHECK_TEXT(warning(&r, 0), "polygons of fewer than three corners cannot be seen (2 in all)");
  CHECK_INT(r.mesh->triangle_polygons[5], 4);
  done(&r);
  CHECK(read_text(&r, SQUARE));
  CHECK(r.mesh->polygon_count == 0 && r.mesh->triangle_count == 0 && r.mesh->vertex_count == 4 && r.mesh->part_count == 1);
  CHECK_INT(r.mesh->parts[0].vertex_count, 4);
  done(&r);
}

static void test_left_out(void) {
  reader r;
  CHECK(read_text(&r, "v 0 0 0 1 0 0\nv 1 0 0 1 1 0.5 0\nv 0 1 0 1\nl 1 2\np 1\ncurv 0 1 1 2 \\\n3\nnonsense\nf 1 2 3\n"));
  CHECK_INT(r.env.warning_count, 3);
  CHECK_TEXT(warning(&r, 0), "vertex colours are left out (first on line 1, 2 in all)");
  CHECK_TEXT(warning(&r, 1), "points, lines, curves and surfaces are left out (first on line 4, 3 in all)");
  CHECK_TEXT(warning(&r, 2), "lines that begin with a word that OBJ does not have are left out (first on line 8, 1 in all)");
  done(&r);
}

static void test_not_finite(void) {
  reader r;
  CHECK(read_text(&r, "v 0 0 0\nv 1 nan 1e400\nv 0 1 -inf\nf 1 2 3\n"));
  CHECK(r.mesh->positions[4] == 0 && r.mesh->positions[5] == 0 && r.mesh->positions[8] == 0);
  CHECK(r.env.warning_count == 1 && strstr(warning(&r, 0), "position 1") && strstr(warning(&r, 0), "3 numbers"));
  CHECK(r.mesh->parts[0].stored_sum[1] == 1.0);
  done(&r);
}

static void test_scale(void) {
  reader r;
  setup(&r);
  r.desc.scale = 0.01;
  CHECK(read_bytes(&r, SQUARE, strlen(SQUARE)));
  CHECK(r.mesh->positions[0] == (float)-0.01 && r.mesh->parts[0].stored_sum[0] == 0.0);
  done(&r);
}

/* ---- damage ---- */

static void refuse(const char *text, int line, const char *words) {
  reader r;
  CHECK(!read_text(&r, text));
  CHECK_INT(r.error.line, line);
  CHECK(r.error.status == FM_ERROR_FORMAT || r.error.status == FM_ERROR_UNSUPPORTED);
  if (!strstr(r.error.message, words)) CHECK_TEXT(r.error.message, words);
  CHECK(strncmp(r.error.message, "dir/head.obj: ", 14) == 0);
  done(&r);
}
static void test_utf16(void) {
  static const char texts[2][7] = {"\xFF\xFE#\0\n\0", "\xFE\xFF\0#\0\n"};
  for (int k = 0; k < 2; k++) {
    fm_error error;
    CHECK(!fm_load_mesh_memory(texts[k], 6, NULL, &error));
    CHECK_INT(error.status, FM_ERROR_UNSUPPORTED);
    if (!strstr(error.message, "UTF-16")) CHECK_TEXT(error.message, "UTF-16");
  }
}
static void test_damage(void) {
  refuse(SQUARE "f 1 2 5\n", 5, "vertex 5, but the file has only 4");
  refuse(SQUARE "f 1 2 7\nf 1 2 5\n", 5, "vertex 7");
  refuse(SQUARE "f 1 2 5\nf 1 2 7\n", 6, "vertex 7");
  refuse(SQUARE "f 0 1 2\n", 5, "vertex 0, but OBJ counts from 1");
  refuse(SQUARE "f 1 2 -5\n", 5, "vertex -5, but there are only 4");
  refuse(SQUARE "f 1 2 -0\n", 5, "vertex 0");
  refuse(SQUARE "f 1 2 2147483648\n", 5, "vertex 2147483648, more than");
  refuse(SQUARE "f 1 2 4294967297\n", 5, "more than");
  refuse(SQUARE "f 1 2 18446744073709551617\n", 5, "more than");
  refuse(SQUARE "f 1 2 -99999999999999999999999\n", 5, "only 4");
  refuse(SQUARE "f 1 2 1.5\n", 5, "\"1.5\" is no corner");
  refuse(SQUARE "f 1 2 a/b\n", 5, "\"a/b\" is not an index");
  refuse(SQUARE "f 1/1 2/2 3/3\n", 5, "UV 3, but the file has only 0");
  refuse(SQUARE "vt 0 0\nf 1/1 2/0 3/1\n", 6, "UV 0");
  refuse(SQUARE "f 1/1/1/1 2 3\n", 5, "no corner");
  refuse(SQUARE "\n\nf\n", 7, "without corners");
  refuse("v 1 2\n", 1, "too few numbers");
  refuse("v 1 2 # 3\n", 1, "too few numbers");
  refuse("#\r\nv 1 2 3\r\nv 1 b 3\r\n", 3, "\"b\" is not a number");
  refuse("v 0,5 1,5 2,5\n", 1, "decimal point, not a comma");
  refuse("v 1 2 0x10\n", 1, "\"0x10\" is not a number");
  refuse("v 1 2 3\nvt\n", 2, "too few numbers");
  refuse("v 1 2 3\nvt a\n", 2, "not a number");
  refuse("v 1 \\\n2 \\\n\\\nx\n", 4, "\"x\"");
  refuse("f 1 2 3\n", 1, "only 0");
  refuse("", 0, "has no vertices");
  refuse("# only a comment\n", 0, "has no vertices");
}

static void test_limits(void) {
  static const char two[] = SQUARE "f 1 2 3 4 1 2 3 4 1\n";
  reader r;
  setup(&r);
  r.limits.vertices = 3;
  CHECK(!read_bytes(&r, SQUARE, strlen(SQUARE)) && r.error.status == FM_ERROR_LIMIT && r.error.line == 4);
  done(&r);
  setup(&r);
  r.limits.vertices = 4; /* 32 corners */
  CHECK(read_bytes(&r, two, strlen(two)));
  done(&r);
  setup(&r);
  r.limits.memory = 1200;
  CHECK(!read_bytes(&r, two, strlen(two)) && r.error.status == FM_ERROR_LIMIT);
  done(&r);
}

/* ---- parts ---- */

static void check_part(const reader *r, size_t i, const char *name, size_t first_vertex, size_t vertices, size_t first_polygon, size_t polygons) {
  const fm_part *part = &r->mesh->parts[i];
  CHECK(i < r->mesh->part_count);
  if (i >= r->mesh->part_count) return;
  CHECK_TEXT(part->name, name);
  CHECK(part->first_vertex == first_vertex && part->vertex_count == vertices && part->first_polygon == first_polygon && part->polygon_count == polygons);
  CHECK(part->stored_vertices == vertices && part->stored_polygons == polygons && part->instance_count == 1);
  CHECK_INT(part->first_corner, r->mesh->polygon_starts[first_polygon]);
}
static void test_parts(void) {
  reader r;
  CHECK(read_text(&r, SQUARE "f 1 2 3\nf 1 3 4\n"));
  CHECK_INT(r.mesh->part_count, 1);
  check_part(&r, 0, "head", 0, 4, 0, 2); /* no name in the file: the file's */
  done(&r);
  CHECK(read_text(&r, "o left eye\n" SQUARE "f 1 2 3\ng iris\nf 1 3 4\no right\nv 0 0 0\nv 1 0 0\nv 0 1 0\nf 5 6 7\n")); /* objects, as Blender writes them */
  CHECK_INT(r.mesh->part_count, 2);
  check_part(&r, 0, "left eye", 0, 4, 0, 2);
  check_part(&r, 1, "right", 4, 3, 2, 1);
  CHECK(r.mesh->parts[1].stored_triangles == 1 && r.mesh->parts[1].stored_corners == 3 && r.mesh->parts[1].stored_sum[0] == 1.0);
  done(&r);
  CHECK(read_text(&r, "g default\n" SQUARE "g a\nf 1 2 3\ng default\nv 0 0 0\nv 1 0 0\nv 0 1 0\ng b\nf 5 6 7\n")); /* groups, as Maya writes them */
  CHECK_INT(r.mesh->part_count, 2);
  check_part(&r, 0, "a", 0, 4, 0, 1);
  check_part(&r, 1, "b", 4, 3, 1, 1);
  done(&r);
  CHECK(read_text(&r, SQUARE "g a\nf 1 2 3\ng b\nf 1 3 4\ng a\ng b\nf 1 2 4\ng a\nf 2 3 4\nv 9 9 9\n")); /* groups that alternate */
  CHECK_INT(r.mesh->part_count, 3);
  check_part(&r, 0, "a", 0, 4, 0, 1);
  check_part(&r, 1, "b", 4, 0, 1, 2);
  check_part(&r, 2, "a", 4, 1, 3, 1);
  done(&r);
}
static void test_choice(void) {
  static const char text[] = SQUARE "v 5 5 5\ng skin\nusemtl m\nf 1 2 3\ng wig\nusemtl n\nf 3 4 5\n";
  reader r;
  setup(&r);
  r.desc.exclude = "wi*";
  CHECK(read_bytes(&r, text, strlen(text)));
  CHECK(r.mesh->polygon_count == 1 && r.mesh->vertex_count == 3 && r.mesh->part_count == 1 && r.mesh->material_count == 1);
  CHECK(r.mesh->parts[0].vertex_count == 3 && r.mesh->parts[0].stored_vertices == 5);
  CHECK_TEXT(r.mesh->parts[0].name, "skin");
  done(&r);
}

/* ---- materials ---- */

static const char model[] = "mtllib head.mtl\n" SQUARE "usemtl skin b\nf 1 2 3\nusemtl unused\nusemtl eye\nf 1 3 4\nusemtl skin b\nf 2 3 4\nusemtl\nf 1 2 4\n";

static bool read_with(reader *r, const char *text, const disk_file *files, size_t count) {
  setup(r);
  r->desc.no_textures = true;
  r->disk.files = files;
  r->disk.count = count;
  return read_bytes(r, text, strlen(text));
}
static const char *texture_of(const reader *r, size_t material, bool opacity) {
  uint32_t t = opacity ? r->mesh->materials[material].opacity : r->mesh->materials[material].texture;
  return material < r->mesh->material_count && t != FM_NONE ? r->mesh->textures[t].name : "-";
}
static void test_materials(void) {
  static const disk_file files[] = {{"dir/head.mtl", "# made by hand\r\nnewmtl unused\r\nmap_Kd no.png\r\nnewmtl eye\r\nKd 1 1 1\r\nmap_Kd eye.png\r\nmap_d tex/eye_a.png\r\n"
                                                     "newmtl skin b\r\nmap_Bump bump.png\r\nMAP_KD eye.png\r\nmap_Kd second.png\r\n"}};
  reader r;
  CHECK(read_with(&r, model, files, 1));
  CHECK(r.mesh->material_count == 2 && r.mesh->texture_count == 2); /* in the order of their use, the unused not at all; one file is one texture */
  CHECK_TEXT(r.mesh->materials[0].name, "skin b");
  CHECK_TEXT(r.mesh->materials[1].name, "eye");
  CHECK(r.mesh->polygon_materials[0] == 0 && r.mesh->polygon_materials[1] == 1 && r.mesh->polygon_materials[2] == 0 && r.mesh->polygon_materials[3] == FM_NONE);
  CHECK_TEXT(texture_of(&r, 0, false), "eye.png");
  CHECK_TEXT(texture_of(&r, 1, false), "eye.png");
  CHECK_TEXT(texture_of(&r, 1, true), "eye_a.png");
  CHECK_TEXT(texture_of(&r, 0, true), "-");
  CHECK_INT(r.env.warning_count, 0);
  done(&r);
}

/* One map statement, and the texture's name that it gives. */
static void check_map(const char *statement, const char *name, size_t warnings) {
  char text[700];
  disk_file file = {"dir/head.mtl", text};
  reader r;
  snprintf(text, sizeof text, "newmtl eye\n%s\n", statement);
  CHECK(read_with(&r, model, &file, 1));
  CHECK_TEXT(texture_of(&r, 1, false), name);
  CHECK_INT(r.env.warning_count, warnings);
  done(&r);
}
static void test_map_options(void) {
  check_map("map_Kd a.png", "a.png", 0);
  check_map("\tmap_Kd \t a b c.png \t", "a b c.png", 0);
  check_map("map_Kd \"a b.png\"", "a b.png", 0);
  check_map("map_Kd -clamp on a.png", "a.png", 0);
  check_map("map_Kd -s 1 1 1 -o 0 0 0 -clamp on dir with space\\tex ture.png", "tex ture.png", 0);
  check_map("map_Kd -blendu off -blendv off -cc on -boost 2 -mm 0 1 -texres 512 -imfchan r -bm 1 -type sphere -t 0 0 0 a.png", "a.png", 0);
  check_map("map_Kd -s 2 2 a.png", "a.png", 1);
  check_map("map_Kd -o 0.5 1.png", "1.png", 1);
  check_map("map_Kd -S 1 A.PNG", "A.PNG", 0);
  check_map("map_Kd -strange.png", "-strange.png", 0);
  check_map("map_Kd", "-", 0);
  check_map("map_Kd   ", "-", 0);
  check_map("map_Kd -s", "-", 0);
  check_map("map_Kd -clamp on", "-", 0);
}

static void test_libraries(void) {
  static const disk_file files[] = {{"dir/a.mtl", "newmtl skin b\nmap_Kd a.png\nmap_d d.png"}, {"dir/b.mtl", "newmtl eye\nmap_Kd b.png"}, {"dir/two words.mtl", "newmtl eye\nmap_Kd two.png"},
                                    {"dir/sub/c.mtl", "newmtl eye\nmap_Kd maps/c.png"}};
  char text[700];
  reader r;
  snprintf(text, sizeof text, "%s%s", "mtllib a.mtl b.mtl\nmtllib b.mtl\nmtllib b.mtl\n", model + 16);
  CHECK(read_with(&r, text, files, 4));
  CHECK_TEXT(texture_of(&r, 0, false), "a.png");
  CHECK_TEXT(texture_of(&r, 1, false), "b.png");
  CHECK_INT(r.env.warning_count, 0);
  done(&r);

  snprintf(text, sizeof text, "mtllib two words.mtl\n%s", model + 16);
  CHECK(read_with(&r, text, files, 4));
  CHECK_TEXT(texture_of(&r, 1, false), "two.png");
  done(&r);

  snprintf(text, sizeof text, "%smtllib C:\\somewhere\\a.mtl\n", model + 16); /* at the end, and of another machine */
  CHECK(read_with(&r, text, files, 4));
  CHECK_TEXT(texture_of(&r, 0, false), "a.png");
  done(&r);

  snprintf(text, sizeof text, "mtllib gone.mtl a.mtl\nmtllib lost.mtl\nmtllib\n%s", model + 16);
  CHECK(read_with(&r, text, files, 4));
  CHECK_TEXT(texture_of(&r, 0, false), "a.png");
  CHECK_INT(r.env.warning_count, 1);
  CHECK_TEXT(warning(&r, 0), "material files that are not there or cannot be read: gone.mtl, lost.mtl (2 in all); put them beside the OBJ to have the textures");
  done(&r);

  setup(&r); /* textures of an MTL in another folder are beside that MTL, or beside the OBJ */
  r.disk.files = files;
  r.disk.count = 4;
  snprintf(text, sizeof text, "mtllib sub/c.mtl\n%s", model + 16);
  CHECK(read_bytes(&r, text, strlen(text)));
  CHECK(strstr(warning(&r, 0), "tried: dir/sub/maps/c.png, dir/c.png") && strstr(warning(&r, 0), "dir/maps/c.png"));
  done(&r);
}

/* ---- robustness ---- */

static const char everything[] = "# all\nmtllib head.mtl\no first\n" SQUARE "vt 0 0\nvt 1 0\nvt 1 1 0\nvn 0 0 1\ng a b\nusemtl skin\ns 1\nf 1/1/1 2/2/1 3/3/1\nf -4//-1 \\\n-2//-1 4//1\n"
                                 "l 1 2\no second\nv 1.5e0 -2.25 1e-3 0.5 0.5 0.5\nusemtl other\nf 1 2 3 4 5\n";

static void test_truncation(void) {
  static const disk_file files[] = {{"dir/head.mtl", "newmtl skin\nmap_Kd -s 1 1 1 skin.png\n"}};
  char text[sizeof everything];
  int loaded = 0;
  for (size_t n = 0; n < sizeof everything; n++) {
    reader r;
    for (int junk = 0; junk < 3; junk++) {
      memcpy(text, everything, n);
      setup(&r);
      r.desc.no_textures = true;
      r.disk.files = files;
      r.disk.count = 1;
      if (junk) text[n] = junk == 1 ? '\\' : '\0';
      loaded += read_bytes(&r, text, fmi_min_size(n + (junk > 0), sizeof everything));
      if (r.error.status != FM_OK) CHECK(r.error.status == FM_ERROR_FORMAT && r.error.message[0]);
      done(&r);
    }
  }
  CHECK(loaded > 10);
}

static void test_no_memory(void) {
  static const disk_file files[] = {{"dir/head.mtl", "newmtl skin\nmap_Kd skin.png\nmap_d d.png\n"}};
  bool complete = false;
  for (size_t n = 1; n < 2000 && !complete; n++) {
    reader r;
    setup(&r);
    r.disk.files = files;
    r.disk.count = 1;
    r.memory.fail_at = n;
    complete = read_bytes(&r, everything, strlen(everything));
    CHECK_INT(r.error.status, complete ? FM_OK : FM_ERROR_MEMORY);
    done(&r);
  }
  CHECK(complete);
}

static void test_locale(void) {
  static const char *const locales[] = {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "fr_FR.utf8", "German_Germany.1252"};
  bool found = false;
  for (size_t i = 0; i < sizeof locales / sizeof locales[0] && !found; i++) found = setlocale(LC_ALL, locales[i]) && *localeconv()->decimal_point == ',';
  if (found) {
    reader r;
    CHECK(read_text(&r, "v 1.5 2.5 3.5\n") && r.mesh->positions[2] == 3.5f);
    done(&r);
  }
  setlocale(LC_ALL, "C");
  if (!found) SKIP("no locale with a decimal comma is installed");
}

/* ---- plain lines: the short way reads what the long one reads ---- */

static uint64_t next_random(uint64_t *state) { /* xorshift64 (Marsaglia 2003) */
  *state ^= *state << 13;
  *state ^= *state >> 7;
  *state ^= *state << 17;
  return *state;
}

/* A random line, mostly plain. `given`: vertices so far, of which there are as many UVs. */
static size_t put_line(char *out, size_t room, uint64_t *state, int *given) {
  static const char *const numbers[] = {"%.6f", "%.6f", "%.6f", "%.6f", "%.3f", "%.8f", "%.9f", "%.0f", "%g", "%.12f", "%.17g", "%.20f"};
  static const char *const ends[] = {"\n", "\n", "\n", "\n", " \n", "\r\n", " \r\n", "  \n", "\r", " # \n", "\\\n\n"};
  static const char *const odd[] = {"o part", "g group", "usemtl skin", "usemtl bone", "vn 0.1 -0.2 0.3", "vn 0 0 1 \\", "vn", "v 1 2", "f", "v 1 2 3 4",
                                    "v 1 2 3 0.5 0.5 0.5", "vt 0.5", "vt 1 2 3", "f -1 -2 -3", "f 1/-1 2/-2 3/-1", "f +1 2 3", "fo 1 2 3", "l 1 2", "junk",
                                    "v 16777217 1e-3 -.5", "f 1/ 2/ 3/", "f 1/1/ 2/1/ 3/1/", "f 0 1 2", "f 1 2 x", "v 1 2 nan", "f 1000000 2 3", "vnx 1 2 3",
                                    "vt1 2", "v1 2 3", "f1 2 3", "  v 1 2 3", "f 1,2", "f 1 2 3 -"};
  const char *number = numbers[next_random(state) % 12];
  size_t n = 0;
  int kind = (int)(next_random(state) % 100), corners, style = (int)(next_random(state) % 5);
  if (kind < 40 || *given < 8) {
    double scale = next_random(state) % 8 ? 1.0 : 1000.0;
    n += (size_t)snprintf(out + n, room - n, kind % 8 ? "v" : "v ");
    for (int k = 0; k < 3; k++) {
      out[n++] = ' ';
      n += (size_t)snprintf(out + n, room - n, number, scale * ((double)(next_random(state) % 2000001) * 1e-6 - 1.0));
    }
    n += (size_t)snprintf(out + n, room - n, "\nvt %.6f %.6f", (double)(next_random(state) % 1000001) * 1e-6, (double)(next_random(state) % 1001) * 1e-3);
    ++*given;
  } else if (kind < 55) {
    n += (size_t)snprintf(out + n, room - n, "vn %.4f %.4f %.4f", (double)(int)(next_random(state) % 2001) * 1e-3 - 1.0, 0.5, -0.25);
  } else if (kind < 97) {
    corners = next_random(state) % 8 ? 4 : 1 + (int)(next_random(state) % 40);
    out[n++] = 'f';
    for (int k = 0; k < corners; k++) {
      int v = 1 + (int)(next_random(state) % (unsigned)*given), t = 1 + (int)(next_random(state) % (unsigned)*given);
      if (next_random(state) % 400 == 0) v += 3; /* perhaps ahead */
      n += (size_t)snprintf(out + n, room - n, style < 2 ? " %d/%d/%d" : style == 2 ? " %d/%d" : style == 3 ? " %d//%d" : " %d", v, t, t + 5);
    }
  } else n += (size_t)snprintf(out + n, room - n, "%s", odd[next_random(state) % (sizeof odd / sizeof odd[0])]);
  return n + (size_t)snprintf(out + n, room - n, "%s", ends[next_random(state) % (next_random(state) % 8 ? 4 : 11)]);
}

static bool same_bytes(const void *a, const void *b, size_t size) { return (!a && !b) || (a && b && memcmp(a, b, size) == 0); }

/* With a tab in every blank's place no line is plain, and nothing else changes. */
static void test_plain_lines(void) {
  static char blanks[60000], tabs[60000];
  uint64_t state = 20251122;
  int good = 0, wrong = 0;
  for (int round = 0; round < 300 && !test_failures; round++) {
    reader a, b;
    size_t size = 0, most = 200 + (size_t)(next_random(&state) % 50000);
    int given = 0;
    while (size < most) size += put_line(blanks + size, sizeof blanks - size, &state, &given);
    if (round % 3 == 0) size -= next_random(&state) % 300 % size; /* cut off */
    for (size_t i = 0; i < size; i++) tabs[i] = blanks[i] == ' ' ? '\t' : blanks[i];
    setup(&a);
    setup(&b);
    if (round % 10 == 0) a.limits.vertices = b.limits.vertices = 1 + (size_t)(next_random(&state) % 100);
    bool ok = read_bytes(&a, blanks, size);
    CHECK(read_bytes(&b, tabs, size) == ok);
    CHECK_TEXT(a.error.message, b.error.message);
    if (ok && !test_failures) {
      const fm_mesh *x = a.mesh, *y = b.mesh;
      CHECK(x->vertex_count == y->vertex_count && same_bytes(x->positions, y->positions, 12 * x->vertex_count));
      CHECK(x->uv_count == y->uv_count && same_bytes(x->uvs, y->uvs, 8 * x->uv_count));
      CHECK(x->corner_count == y->corner_count && same_bytes(x->corners, y->corners, 4 * x->corner_count));
      CHECK(same_bytes(x->corner_uvs, y->corner_uvs, 4 * x->corner_count));
      CHECK(x->polygon_count == y->polygon_count && same_bytes(x->polygon_starts, y->polygon_starts, 4 * x->polygon_count + 4));
      CHECK(same_bytes(x->polygon_materials, y->polygon_materials, 4 * x->polygon_count));
      CHECK(x->part_count == y->part_count && x->material_count == y->material_count);
      CHECK_INT(a.env.warning_count, b.env.warning_count);
      for (size_t i = 0; i < a.env.warning_count && i < b.env.warning_count; i++) CHECK_TEXT(a.env.warnings[i], b.env.warnings[i]);
    }
    *(ok ? &good : &wrong) += 1;
    done(&a);
    done(&b);
  }
  CHECK(good > 20 && wrong > 20);
}

/* A head of 18,133 vertices: counts, bounds and sum as Blender's importer has them (its axes turned back). */
static void test_real_head(void) {
  static const double low[] = {-0.779035985, -1.05794801, -0.662444987}, high[] = {0.73912698, 1.03436303, 0.665924013}, sum[] = {-29.842927, 2940.46181, 4920.25206};
  size_t size = 0;
  unsigned char *data = test_read(test_shared("data/ict/ict_a.obj"), &size);
  reader r;
  if (!data) SKIP("the shared data is not there");
  setup(&r);
  r.desc.no_textures = true;
  CHECK(read_bytes(&r, data, size));
  CHECK(r.mesh->vertex_count == 18133 && r.mesh->polygon_count == 18120 && r.mesh->corner_count == 72216 && r.mesh->triangle_count == 35976);
  CHECK_INT(r.mesh->part_count, 1);
  for (size_t k = 0; k < 3; k++) {
    double least = 1e9, most = -1e9, all = 0;
    for (size_t i = 0; i < r.mesh->vertex_count; i++) {
      double x = (double)r.mesh->positions[3 * i + k];
      least = x < least ? x : least;
      most = x > most ? x : most;
      all += x;
    }
    CHECK_NEAR(least, low[k], 1e-6);
    CHECK_NEAR(most, high[k], 1e-6);
    CHECK_NEAR(all, sum[k], 1e-2);
  }
  done(&r);
  free(data);
}

TEST_MAIN({"ways to write", test_ways_to_write}, {"plain lines", test_plain_lines}, {"mixed UVs", test_mixed_uvs}, {"polygons of all sizes", test_polygons_of_all_sizes}, {"left out", test_left_out},
          {"not finite", test_not_finite}, {"scale", test_scale}, {"UTF-16", test_utf16}, {"damage", test_damage}, {"limits", test_limits}, {"parts", test_parts}, {"choice of parts", test_choice},
          {"materials", test_materials}, {"map options", test_map_options}, {"libraries", test_libraries}, {"truncation", test_truncation}, {"no memory", test_no_memory},
          {"locale", test_locale}, {"real head", test_real_head})
