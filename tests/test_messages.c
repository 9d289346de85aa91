/* Every message of the library: a row for each, with what provokes it and its exact words. `--table` prints the table as Markdown
   (tests/messages.md), `--list` the messages alone, for tests/test_messages.sh, which proves that none is missing. */
#include "scene.h"
#include "fbx_builder.h"
#include <errno.h>

/* ---- what a row is, and what came of it ---- */

typedef struct row row;
struct row {
  fm_status status;                /* FM_OK: a warning */
  const char *when;                /* NULL: `message` is a heading */
  void (*provoke)(const row *r);
  const char *input;               /* what `provoke` works on */
  const char *message;             /* each '#' stands for a number that depends on the machine or the version */
};

static fm_error error;             /* of the row under way */
static char warnings[8][1024];
static int warning_count;

static void keep_warning(void *user, fm_log_level level, const char *line) {
  (void)user;
  if (level == FM_LOG_WARNING && warning_count < 8) snprintf(warnings[warning_count++], sizeof warnings[0], "%s", line);
}

/* ---- the world around the library: files in memory, an allocator that fails, small limits ---- */

typedef struct known_file { const char *path, *content; size_t size; } known_file;
#define FILE_OF(path, content) {path, content, sizeof content - 1}
static const known_file known_files[] = {
  FILE_OF("a.obj", "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n"),
  FILE_OF("skin.mtl", "newmtl skin\nmap_Kd skin.png\n"),
  FILE_OF("moved.mtl", "newmtl skin\nmap_Kd -o 1 dot.tga\n"),
  FILE_OF("note.mtl", "newmtl skin\nmap_Kd note.txt\n"),
  FILE_OF("dot.mtl", "newmtl skin\nmap_Kd dot.tga\n"),
  FILE_OF("note.txt", "not a picture"),
  FILE_OF("dot.tga", "\0\0\2\0\0\0\0\0\0\0\0\0\1\0\1\0\30\0abc"),
  FILE_OF("unreadable.obj", "")};
static const char *failing = "";   /* which call of the files fails: "open", "write", "close", "folder" */
static size_t read_position;

static int64_t read_known(void *user, void *buffer, size_t size) {
  const known_file *file = (const known_file *)user;
  size_t n = file->size - read_position < size ? file->size - read_position : size;
  if (strcmp(file->path, "unreadable.obj") == 0) { errno = 0; return -1; }
  memcpy(buffer, file->content + read_position, n);
  read_position += n;
  return (int64_t)n;
}
static bool open_known(void *user, const char *path, fm_stream *out) {
  (void)user;
  for (size_t i = 0; i < FMI_COUNT(known_files); i++)
    if (strcmp(known_files[i].path, path) == 0) {
      read_position = 0;
      out->user = (void *)(uintptr_t)&known_files[i];
      out->read = read_known;
      return true;
    }
  errno = ENOENT;
  return false;
}
static bool write_nowhere(void *user, const void *data, size_t size) {
  (void)user, (void)data, (void)size;
  errno = 0;
  return strcmp(failing, "write") != 0;
}
static bool open_nowhere(void *user, const char *path, fm_sink *out) {
  (void)user, (void)path;
  out->write = write_nowhere;
  errno = 0;
  return strcmp(failing, "open") != 0;
}
static bool close_nowhere(void *user, fm_sink *sink, bool keep) {
  (void)user, (void)sink, (void)keep;
  errno = 0;
  return strcmp(failing, "close") != 0;
}
static int make_nowhere(void *user, const char *path) {
  (void)user;
  errno = 0;
  if (strcmp(failing, "folder") == 0) return -1;
  return strstr(path, "taken") ? 0 : 1; /* is there already */
}
static void *resize_never(void *user, void *memory, size_t old_size, size_t new_size) {
  (void)user, (void)memory, (void)old_size, (void)new_size;
  return NULL;
}
static bool cancel(void *user, const fm_progress *progress) {
  (void)user;
  return progress->done < 1;
}

static fm_limits limits;
static fm_files files;
static fm_allocator allocator;
static fm_common common;

static void reset_world(void) {
  memset(&limits, 0, sizeof limits);
  memset(&files, 0, sizeof files);
  memset(&allocator, 0, sizeof allocator);
  memset(&common, 0, sizeof common);
  memset(&error, 0, sizeof error);
  warning_count = 0;
  failing = "";
  files.open_read = open_known;
  files.open_write = open_nowhere;
  files.close_write = close_nowhere;
  files.make_folder = make_nowhere;
  common.limits = &limits;
  common.files = &files;
  common.log = keep_warning;
  common.threads = 1;
}

/* ---- bytes ---- */

static unsigned char bytes[1 << 16];
static size_t byte_count;

static void add_bytes(const void *data, size_t size) {
  if (size > sizeof bytes - byte_count) { printf("test_messages: the file under way is too large\n"); exit(1); }
  memcpy(bytes + byte_count, data, size);
  byte_count += size;
}
/* Adds bytes from hexadecimal digits up to the end or a '|'; "xx*N" is that byte N times; blanks mean nothing. */
static const char *add_hex(const char *hex) {
  while (*hex && *hex != '|') {
    unsigned value = 0;
    int used = 0, times = 1;
    unsigned char byte;
    if (*hex == ' ') { hex++; continue; }
    if (sscanf(hex, "%2x%n", &value, &used) != 1 || used != 2) { printf("test_messages: no hexadecimal digits: %s\n", hex); exit(1); }
    hex += used;
    if (*hex == '*') times = (int)strtol(hex + 1, (char **)(uintptr_t)&hex, 10);
    byte = (unsigned char)value;
    while (times-- > 0) add_bytes(&byte, 1);
  }
  return hex;
}
static void set_hex(const char *hex) {
  byte_count = 0;
  add_hex(hex);
}

/* ---- pictures ---- */

static void load_picture(const char *name) {
  fm_image image;
  fm_image_desc desc;
  unsigned char *exact = (unsigned char *)malloc(byte_count + (byte_count == 0)); /* a sanitizer sees what is read past it */
  memset(&desc, 0, sizeof desc);
  desc.common = &common;
  desc.name = name;
  if (byte_count) memcpy(exact, bytes, byte_count);
  if (fm_load_image(&image, exact, byte_count, &desc, &error)) fm_free_image(&image);
  free(exact);
}
static void jpeg(const row *r) { set_hex(r->input); load_picture("skin.jpg"); }
static void tga(const row *r) { set_hex(r->input); load_picture("skin.tga"); }
static void bmp(const row *r) { set_hex(r->input); load_picture("skin.bmp"); }
static void picture(const row *r) {
  byte_count = 0;
  add_bytes(r->input, strlen(r->input));
  load_picture("skin");
}

/* "NAME:hex" for each chunk, "NAME!hex" with a wrong checksum, "-hex" as it is, with '|' between them. */
static void png(const row *r) {
  const char *p = r->input;
  byte_count = 0;
  add_bytes("\x89PNG\r\n\x1A\n", 8);
  while (*p) {
    size_t start = byte_count;
    if (*p == '-') p = add_hex(p + 1);
    else {
      unsigned char number[4] = {0, 0, 0, 0};
      bool wrong = p[4] == '!';
      add_bytes(number, 4);
      add_bytes(p, 4);
      p = add_hex(p + 5);
      fmi_put_be32(bytes + start, (uint32_t)(byte_count - start - 8));
      fmi_put_be32(number, fmi_crc32(0, bytes + start + 4, byte_count - start - 4) ^ wrong);
      add_bytes(number, 4);
    }
    if (*p) p++;
  }
  load_picture("skin.png");
}
#define PNG_1X1 "IHDR:00000001 00000001 08 02 000000"
#define PNG_DATA "IDAT:7801 01 0400 fbff 00000000 00040001"

#define JPEG_TABLES "ffdb0043 00 01*64 ffc40014 00 01 00*15 00 ffc40014 10 01 00*15 00 "
#define JPEG_1X1 "ffc0000b 08 0001 0001 01 01 11 00 "
#define JPEG_PROGRESSIVE "ffc2000b 08 0001 0001 01 01 11 00 "
#define JPEG_SCAN "ffda0008 01 01 00 00 3f 00 "

/* All bits of the coefficients one after the other, each in a scan of its own. */
static void jpeg_many_scans(const row *r) {
  set_hex(r->input);
  for (int k = 0; k < 64; k++)
    for (int low = 8; low >= 0; low--) {
      char scan[80];
      int high = low == 8 ? 0 : low + 1;
      snprintf(scan, sizeof scan, "ffda0008 01 01 00 %02x %02x %x%x 7f", k, k, (unsigned)high, (unsigned)low);
      add_hex(scan);
    }
  load_picture("skin.jpg");
}

/* Decoders by themselves: what fm_load_image would not give to them. */
static void decoder(const row *r) {
  fmi_env env;
  fm_image image;
  const uint8_t *data = (const uint8_t *)r->input;
  size_t size = strlen(r->input);
  fmi_begin(&env, &common, &error, strcmp(r->input, "OBJ left out") == 0 ? "head" : "skin");
  if (strcmp(r->input, "no TGA") == 0) fmi_tga_decode(&env, &env.keep, data, size, &image);
  if (strcmp(r->input, "no BMP") == 0) fmi_bmp_decode(&env, &env.keep, data, size, &image);
  if (strcmp(r->input, "no JPEG") == 0) fmi_jpeg_decode(&env, &env.keep, data, size, &image);
  if (strcmp(r->input, "no PNG") == 0) fmi_png_decode(&env, &env.keep, data, size, &image);
  if (strcmp(r->input, "PNG left out") == 0) fmi_refuse_image(&env, data, size, FM_FORMAT_PNG);
  if (strcmp(r->input, "OBJ left out") == 0) fmi_refuse_mesh(&env, data, size, FM_FORMAT_OBJ);
  fmi_end(&env);
}
static void picture_call(const row *r) {
  fm_image image;
  fm_image_desc desc;
  fm_stream stream;
  memset(&desc, 0, sizeof desc);
  memset(&stream, 0, sizeof stream);
  desc.common = &common;
  desc.channels = strcmp(r->input, "channels") == 0 ? 9 : 0;
  if (strcmp(r->input, "out") == 0) fm_load_image(NULL, "", 0, &desc, &error);
  else if (strcmp(r->input, "data") == 0) fm_load_image(&image, NULL, 5, &desc, &error);
  else if (strcmp(r->input, "stream") == 0) fm_load_image_stream(&image, &stream, &desc, &error);
  else if (strcmp(r->input, "path") == 0) fm_load_image_file(&image, NULL, &desc, &error);
  else fm_load_image(&image, "", 0, &desc, &error);
}

/* ---- meshes ---- */

static fm_load_desc load_desc(const char *name) {
  fm_load_desc desc;
  memset(&desc, 0, sizeof desc);
  desc.common = &common;
  desc.name = name;
  return desc;
}
/* Keeps the warnings of a mesh that loaded. */
static void take_mesh(fm_mesh *mesh) {
  for (size_t i = 0; mesh && i < mesh->warning_count; i++) keep_warning(NULL, FM_LOG_WARNING, mesh->warnings[i]);
  fm_free_mesh(mesh);
}
static void load_mesh(const void *data, size_t size, const fm_load_desc *desc) {
  unsigned char *exact = (unsigned char *)malloc(size + (size == 0));
  if (size) memcpy(exact, data, size);
  take_mesh(fm_load_mesh_memory(exact, size, desc, &error));
  free(exact);
}
static void obj(const row *r) {
  fm_load_desc desc = load_desc("head.obj");
  load_mesh(r->input, strlen(r->input), &desc);
}
static void model_file(const row *r) {
  fm_load_desc desc = load_desc("head");
  load_mesh(r->input, strlen(r->input), &desc);
}
static bool decode_badly(void *user, const void *data, size_t size, fm_image *out, void (**release)(void *, fm_image *)) {
  (void)user, (void)data, (void)size, (void)release;
  out->width = -3;
  out->height = 2;
  out->channels = 3;
  return true;
}
/* A triangle that is loaded with a wish, "WISH=value". */
static void wish(const row *r) {
  static const char triangle[] = "o nose\nv 0 0 0\nv 1 0 0\nv 0 1 0\nusemtl skin\nf 1 2 3\n";
  static const char textured[] = "mtllib dot.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nusemtl skin\nf 1 2 3\n";
  fm_load_desc desc = load_desc("head.obj");
  const char *value = strchr(r->input, '=') + 1;
  if (strncmp(r->input, "only", 4) == 0) desc.only = value;
  if (strncmp(r->input, "exclude", 7) == 0) desc.exclude = value;
  if (strncmp(r->input, "scale", 5) == 0) desc.scale = INFINITY;
  if (strncmp(r->input, "vertices", 8) == 0) limits.vertices = (size_t)atoi(value);
  if (strncmp(r->input, "memory", 6) == 0) limits.memory = (size_t)atoi(value);
  if (strncmp(r->input, "allocator", 9) == 0) allocator.resize = resize_never, common.allocator = &allocator;
  if (strncmp(r->input, "decode", 6) == 0) desc.decode = decode_badly;
  if (desc.decode) load_mesh(textured, sizeof textured - 1, &desc);
  else load_mesh(triangle, sizeof triangle - 1, &desc);
}
static void from_path(const row *r) {
  fm_load_desc desc = load_desc(NULL);
  take_mesh(fm_load_mesh(*r->input ? r->input : NULL, &desc, &error));
}
static int64_t read_always(void *user, void *buffer, size_t size) {
  (void)user;
  memset(buffer, '#', size);
  return (int64_t)size;
}
static void mesh_call(const row *r) {
  fm_load_desc desc = load_desc("head.obj");
  fm_stream stream;
  memset(&stream, 0, sizeof stream);
  if (strcmp(r->input, "stream") == 0) take_mesh(fm_load_mesh_stream(NULL, &desc, &error));
  if (strcmp(r->input, "read") == 0) take_mesh(fm_load_mesh_stream(&stream, &desc, &error));
  if (strcmp(r->input, "simd") == 0) common.simd = (fm_simd)6;
  if (strcmp(r->input, "data") == 0 || strcmp(r->input, "simd") == 0) take_mesh(fm_load_mesh_memory(NULL, 5, &desc, &error));
  if (strcmp(r->input, "endless") == 0) {
    stream.read = read_always;
    limits.memory = 1000;
    take_mesh(fm_load_mesh_stream(&stream, &desc, &error));
  }
}
/* A star whose every second corner is an inner one: too many to look for ears among. */
static void star(const row *r) {
  enum { CORNERS = 16000 };
  const double step = 2.0 * 3.14159265358979323846 / (double)CORNERS;
  size_t room = CORNERS * 60, used = 0;
  char *lines = (char *)malloc(room);
  fm_load_desc desc = load_desc("head.obj");
  (void)r;
  for (int i = 0; i < CORNERS; i++) {
    double radius = i % 2 ? 1.0 : 2.0;
    used += (size_t)snprintf(lines + used, room - used, "v %.9f %.9f 0\n", radius * cos(i * step), radius * sin(i * step));
  }
  used += (size_t)snprintf(lines + used, room - used, "f");
  for (int i = 0; i < CORNERS; i++) used += (size_t)snprintf(lines + used, room - used, " %d", i + 1);
  load_mesh(lines, used, &desc);
  free(lines);
}

/* A mesh of the caller's own with one mistake. */
static void own_mesh(const row *r) {
  static float positions[9] = {0, 0, 0, 1, 0, 0, 0, 1, 0}, uvs[6] = {0, 0, 1, 0, 0, 1}, nan_positions[9];
  static uint32_t corners[3] = {0, 1, 2}, far[3] = {0, 1, 7}, starts[2] = {0, 3}, late[3] = {0, 5, 3}, wrong[2] = {0, 2}, of_polygon[1] = {4};
  static char name[] = "own";
  fm_mesh mesh;
  fm_material material;
  fm_texture texture;
  memset(&mesh, 0, sizeof mesh);
  memset(&material, 0, sizeof material);
  memset(&texture, 0, sizeof texture);
  material.texture = material.opacity = FM_NONE;
  mesh.name = name;
  mesh.vertex_count = mesh.corner_count = 3;
  mesh.polygon_count = 1;
  mesh.positions = positions;
  mesh.corners = corners;
  mesh.materials = &material;
  mesh.textures = &texture;
  for (int i = 0; i < 9; i++) nan_positions[i] = NAN;
  if (strcmp(r->input, "NULL") == 0) { fm_prepare_mesh(NULL, &common, &error); return; }
  if (strcmp(r->input, "positions") == 0) mesh.positions = NULL;
  if (strcmp(r->input, "uvs") == 0) mesh.corner_uvs = corners;
  if (strcmp(r->input, "image") == 0) mesh.texture_count = 1, texture.image.width = texture.image.height = 2, texture.image.channels = 7;
  if (strcmp(r->input, "huge") == 0) mesh.vertex_count = 0x7FFFFFFF;
  if (strcmp(r->input, "corners") == 0) mesh.polygon_count = 2;
  if (strcmp(r->input, "ends") == 0) mesh.polygon_starts = wrong;
  if (strcmp(r->input, "order") == 0) mesh.polygon_starts = late, mesh.polygon_count = 2;
  if (strcmp(r->input, "vertex") == 0) mesh.corners = far;
  if (strcmp(r->input, "uv") == 0) mesh.uvs = uvs, mesh.uv_count = 3, mesh.corner_uvs = far;
  if (strcmp(r->input, "few uvs") == 0) mesh.uvs = uvs, mesh.uv_count = 2;
  if (strcmp(r->input, "material") == 0) mesh.polygon_materials = of_polygon, mesh.material_count = 1;
  if (strcmp(r->input, "texture") == 0) mesh.material_count = 1, material.texture = 3;
  if (strcmp(r->input, "nan") == 0) mesh.positions = nan_positions;
  if (strcmp(r->input, "twice") == 0) mesh.polygon_starts = starts, fm_prepare_mesh(&mesh, &common, &error);
  fm_prepare_mesh(&mesh, &common, &error);
  fm_release_mesh(&mesh);
}

/* ---- FBX ---- */

static void load_fbx(void) {
  fm_load_desc desc = load_desc("head.fbx");
  load_mesh(m.bytes, m.size, &desc);
}
/* One mesh and its object; `extra` adds records to the mesh, more objects or more connections. */
static void fbx_file(void (*in_mesh)(void), void (*in_objects)(void), void (*in_connections)(void)) {
  start(7400, 0);
  metres();
  begin("Objects");
  geometry_begin(1, "face");
  if (in_mesh) in_mesh();
  end();
  model(2, "head");
  if (in_objects) in_objects();
  end();
  begin("Connections");
  connect(1, 2);
  if (in_connections) in_connections();
  end();
  finish();
  load_fbx();
}
/* The bytes of a good file, changed by hand: "OFFSET=hex", or "<SIZE" to cut it off. */
static void fbx_bytes(const row *r) {
  size_t at = 0, saved;
  start(7400, 0);
  metres();
  begin("Objects"); geometry(1, "face"); model(2, "head"); end();
  begin("Connections"); connect(1, 2); end();
  finish();
  saved = m.size;
  if (r->input[0] == '<') m.size = (size_t)atoi(r->input + 1);
  else {
    at = (size_t)strtol(r->input, NULL, 10);
    set_hex(strchr(r->input, '=') + 1);
    if (at + byte_count <= saved) memcpy(m.bytes + at, bytes, byte_count);
  }
  load_fbx();
}
/* Other arrays: "vertices", "corners"... */
static void fbx_arrays(const row *r) {
  static const double far[3] = {0, 1, -8}, open[3] = {0, 1, 2};
  start(7400, 0);
  metres();
  begin("Objects");
  object("Geometry", 1, "face", "Mesh");
  if (strcmp(r->input, "scalar") == 0) { begin("Vertices"); small(3); end(); }
  else if (strcmp(r->input, "packed") == 0) { m.encoding = 7; record_array("Vertices", 'd', five, 15); m.encoding = 0; }
  else if (strcmp(r->input, "count") == 0) { begin("Vertices"); type('d'); put_number(5, 4); put_number(0, 4); put_number(8, 4); put_number(0, 8); end(); }
  else if (strcmp(r->input, "type") == 0) { begin("Vertices"); type('Q'); end(); }
  else if (strcmp(r->input, "long") == 0) { begin("Vertices"); type('S'); put_number(99999, 4); end(); }
  else record_array("Vertices", 'd', five, strcmp(r->input, "part") == 0 ? 14 : 15);
  if (strcmp(r->input, "far") == 0) record_array("PolygonVertexIndex", 'i', far, 3);
  else if (strcmp(r->input, "open") == 0) record_array("PolygonVertexIndex", 'i', open, 3);
  else if (strcmp(r->input, "fractions") == 0) record_array("PolygonVertexIndex", 'd', seven, 7);
  else if (strcmp(r->input, "bare") != 0) record_array("PolygonVertexIndex", 'i', seven, 7);
  end();
  model(2, "head");
  end();
  begin("Connections"); connect(1, 2); end();
  finish();
  load_fbx();
}
/* A compressed array of three numbers, 24 bytes, from hexadecimal digits. */
static void fbx_zlib(const row *r) {
  set_hex(r->input);
  start(7400, 0);
  begin("Objects");
  object("Geometry", 1, "face", "Mesh");
  begin("Vertices"); type('d'); put_number(3, 4); put_number(1, 4); put_number(byte_count, 4); put(bytes, byte_count); end();
  end();
  end();
  begin("Connections"); end();
  finish();
  load_fbx();
}
static void uv_by_edge(void) {
  static const double uvs[2] = {0, 1};
  begin("LayerElementUV"); small(0);
  record_text("MappingInformationType", "ByEdge"); record_text("ReferenceInformationType", "Direct");
  record_array("UV", 'd', uvs, 2);
  end();
}
static void too_few_uvs(void) {
  static const double uvs[2] = {0, 1};
  begin("LayerElementUV"); small(0);
  record_text("MappingInformationType", "ByPolygonVertex"); record_text("ReferenceInformationType", "Direct");
  record_array("UV", 'd', uvs, 2);
  end();
}
static void material_layer(const char *mapping, double slot) {
  begin("LayerElementMaterial"); small(0);
  record_text("MappingInformationType", mapping); record_text("ReferenceInformationType", "IndexToDirect");
  record_array("Materials", 'i', &slot, 1);
  end();
}
static void materials_by_edge(void) { material_layer("ByEdge", 0); }
static void material_unknown(void) { material_layer("AllSame", 5); }
static void subdivided(void) { record_small("Smoothness", 2); record_small("PreviewDivisionLevels", 2); }
static void no_id(void) { begin("Model"); real(1.5); text("lost"); text("Mesh"); end(); }
static void same_id(void) { model(2, "twin"); }
static void add_unused(void) { geometry(9, "spare"); }
static void add_weight(void) {
  object("Deformer", 5, "smile", "BlendShapeChannel");
  begin("Properties70"); property("DeformPercent", "Number"); real(40); end(); end();
  end();
}
static void add_skin(void) { object("Deformer", 6, "rig", "Skin"); end(); }
static void add_animation(void) {
  object("AnimationStack", 7, "take 1", ""); end();
  object("AnimationCurve", 8, "", ""); end();
}
static void add_material(void) { object("Material", 3, "skin", ""); end(); }
static void material_with_texture(const char *record) {
  add_material();
  object(record, 4, "noise", ""); end();
  object("Texture", 10, "freckles", ""); record_text("RelativeFilename", "dot.tga"); end();
  object("Texture", 11, "blush", ""); end();
}
static void add_texture(void) { material_with_texture("Texture"); }
static void add_layers(void) { material_with_texture("LayeredTexture"); }
static void connect_material(void) { connect(3, 2); }
static void connect_texture(void) { connect(3, 2); connect_to(4, 3, "DiffuseColor"); }
static void connect_layers(void) { connect(3, 2); connect_to(4, 3, "DiffuseColor"); connect(10, 4); connect(11, 4); }
static void add_child(void) { model(12, "hat"); }
static void connect_circle(void) { connect(2, 12); connect(12, 2); }
/* Good files with one thing that is left out or put right. */
static void fbx(const row *r) {
  static const struct { const char *what; void (*in_mesh)(void), (*in_objects)(void), (*in_connections)(void); } kinds[] = {
    {"no id", NULL, no_id, NULL}, {"same id", NULL, same_id, NULL}, {"weight", NULL, add_weight, NULL}, {"skin", NULL, add_skin, NULL},
    {"animation", NULL, add_animation, NULL}, {"subdivided", subdivided, NULL, NULL}, {"unused", NULL, add_unused, NULL},
    {"UVs by edge", uv_by_edge, NULL, NULL}, {"few UVs", too_few_uvs, NULL, NULL}, {"materials by edge", materials_by_edge, NULL, NULL},
    {"unknown material", material_unknown, add_material, connect_material}, {"layers", NULL, add_layers, connect_layers},
    {"no picture", NULL, add_texture, connect_texture}, {"circle", NULL, add_child, connect_circle}};
  for (size_t i = 0; i < FMI_COUNT(kinds); i++)
    if (strcmp(kinds[i].what, r->input) == 0) fbx_file(kinds[i].in_mesh, kinds[i].in_objects, kinds[i].in_connections);
}
static void fbx_scene(const row *r) {
  start(7400, 0);
  if (strcmp(r->input, "unit") == 0) scene(1, 1, 2, 1, 0, 1, 0.0);
  else if (strcmp(r->input, "axes") == 0) scene(9, 1, 2, 1, 0, 1, 100.0);
  else metres();
  begin("Objects"); geometry(1, "face"); model(2, "head"); end();
  if (strcmp(r->input, "cut") != 0) { begin("Connections"); if (strcmp(r->input, "connections") != 0) connect(1, 2); end(); }
  if (strcmp(r->input, "cut") != 0) finish();
  if (strcmp(r->input, "vertices") == 0) limits.vertices = 4;
  if (strcmp(r->input, "depth") == 0) limits.node_depth = 2;
  load_fbx();
}

/* ---- topology, rendering, writing ---- */

static scene_mesh head_a, head_b;
static const fm_mesh *heads[2];

static void make_heads(void) {
  static char anna[] = "anna", bert[] = "bert";
  static uint8_t texel[3] = {180, 120, 90};
  scene_clear(&head_a);
  scene_clear(&head_b);
  scene_texture(&head_a, texel, 1, 1, 3);
  scene_texture(&head_b, texel, 1, 1, 3);
  scene_rectangle(&head_a, 4, 4, 20, 28, 0, 0);
  scene_rectangle(&head_b, 6, 4, 24, 26, 2, 0);
  head_a.mesh.name = anna;
  head_b.mesh.name = bert;
  heads[0] = &head_a.mesh;
  heads[1] = &head_b.mesh;
}
/* Makes the second head another one. */
static void change_heads(const char *how) {
  static uint32_t starts[3] = {0, 3, 6};
  if (strcmp(how, "polygon") == 0) head_b.corners[1] = 5;
  if (strcmp(how, "fewer polygons") == 0) head_b.mesh.polygon_count = 1, head_b.mesh.corner_count = 3;
  if (strcmp(how, "UVs") == 0) head_b.uvs[2] = 0.5f;
  if (strcmp(how, "tall") == 0)
    for (size_t v = 0; v < head_b.mesh.vertex_count; v++) head_b.positions[3 * v + 1] *= 100.0f;
  if (strcmp(how, "one texture") == 0) head_b.textures[0].image.width = 0;
  if (strcmp(how, "unprepared") == 0) head_a.mesh.polygon_starts = starts;
  if (strcmp(how, "out of range") == 0) head_a.corners[0] = 99;
  if (strcmp(how, "empty") == 0) head_a.mesh.polygon_count = head_a.mesh.corner_count = 0;
}
static void topology(const row *r) {
  fm_topology_report report;
  (void)r;
  if (!fm_check_topology(NULL, NULL, &report)) fm_set_error(&error, FM_ERROR_TOPOLOGY, report.message);
}

static int begin_badly(void *user, const fm_scene *scene_, fm_error *e) { (void)user, (void)scene_, (void)e; return 0; }
static int begin_one(void *user, const fm_scene *scene_, fm_error *e) { (void)user, (void)scene_, (void)e; return 1; }
static bool submit_badly(void *user, int lane, const fm_frame *frame, fm_error *e) { (void)user, (void)lane, (void)frame, (void)e; return false; }
static void end_nothing(void *user) { (void)user; }
static bool deliver_badly(void *user, size_t frame, size_t slot, const fm_image *image, fm_error *e) {
  (void)user, (void)frame, (void)slot, (void)image, (void)e;
  return false;
}

/* A frame of one head through fm_render, or through the built-in renderer's own functions. */
static void render(const row *r) {
  static scene_picture pictures[2];
  static float weights[2] = {1, 0}, bad_weights[2] = {NAN, 0};
  static uint8_t pixel[4];
  const char *what = r->input;
  fm_renderer renderer, used;
  fm_scene scene_of;
  fm_frame frame;
  fm_camera camera;
  fm_image_sink sink;
  fm_image image;
  make_heads();
  change_heads(what);
  memset(&scene_of, 0, sizeof scene_of);
  memset(&frame, 0, sizeof frame);
  memset(&sink, 0, sizeof sink);
  memset(&image, 0, sizeof image);
  camera = scene_camera();
  scene_of.common = &common;
  scene_of.heads = heads;
  scene_of.head_count = strcmp(what, "no head") == 0 ? 0 : strcmp(what, "polygon") == 0 ? 2 : 1;
  frame.shape_weights = strcmp(what, "weights") == 0 ? bad_weights : strcmp(what, "no weights") == 0 ? NULL : weights;
  frame.camera = &camera;
  frame.width = strcmp(what, "width") == 0 || strcmp(what, "frame width") == 0 ? 20000 : SCENE_SIDE;
  frame.height = SCENE_SIDE;
  frame.samples = strcmp(what, "samples") == 0 ? 3 : 4;
  frame.ambient = strcmp(what, "ambient") == 0 ? 2.0f : 0.0f;
  if (strcmp(what, "camera") == 0) camera.scale = 0.0;
  sink.user = pictures;
  sink.deliver = strcmp(what, "sink") == 0 ? deliver_badly : scene_deliver;
  if (strcmp(what, "progress") == 0) common.progress = cancel;
  if (!fm_software_renderer(strcmp(what, "no place") == 0 ? NULL : &renderer, &common, &error)) return;
  used = renderer;
  used.lanes_thread_safe = strcmp(what, "fails in lanes") != 0 && renderer.lanes_thread_safe;
  if (strcmp(what, "begin") == 0) used.begin = begin_badly, used.name = "mine";
  if (strncmp(what, "fails", 5) == 0) used.begin = begin_one, used.submit = submit_badly, used.end = end_nothing;
  if (strncmp(what, "submit", 6) == 0 || strncmp(what, "collect", 7) == 0 || strcmp(what, "width") == 0) {
    int lanes = renderer.begin(renderer.user, &scene_of, &error);
    if (strcmp(what, "collect without") != 0) renderer.submit(renderer.user, strcmp(what, "submit lane") == 0 ? lanes : 0, &frame, &error);
    if (strcmp(what, "submit twice") == 0) renderer.submit(renderer.user, 0, &frame, &error);
    image.width = image.height = image.channels = 1;
    image.pixels = pixel;
    if (strncmp(what, "collect", 7) == 0) renderer.collect(renderer.user, 0, &image, &error);
    renderer.end(renderer.user);
  } else fm_render(strcmp(what, "NULL") == 0 ? NULL : &used, &scene_of, &frame, 1, &sink, &error);
  fm_destroy_renderer(&renderer);
}

static void write_png(const row *r) {
  static const char *const long_keyword[] = {"", "text", NULL}, *const no_text[] = {"Title", NULL};
  static uint8_t pixel[4];
  fm_image image;
  fm_png_desc desc;
  fm_sink sink;
  memset(&image, 0, sizeof image);
  memset(&desc, 0, sizeof desc);
  memset(&sink, 0, sizeof sink);
  image.width = image.height = 1;
  image.channels = strcmp(r->input, "image") == 0 ? 5 : 3;
  image.pixels = pixel;
  desc.common = &common;
  desc.texts = strcmp(r->input, "keyword") == 0 ? long_keyword : strcmp(r->input, "text") == 0 ? no_text : NULL;
  sink.write = strcmp(r->input, "no write") == 0 ? NULL : write_nowhere;
  failing = r->input;
  if (strcmp(r->input, "path") == 0) fm_write_png_file(NULL, &image, &desc, &error);
  else if (strcmp(r->input, "sink") == 0) { failing = "write"; fm_write_png(&sink, &image, &desc, &error); }
  else if (strcmp(r->input, "no write") == 0) fm_write_png(&sink, &image, &desc, &error);
  else fm_write_png_file("face.png", &image, &desc, &error);
}

/* ---- a run ---- */

static void session(const row *r) {
  static const double two[2] = {0, 1}, three[3] = {0, 0.5, 1}, huge[2] = {0, 1e9};
  static const float rows[2] = {1, 0};
  const char *what = r->input;
  fm_camera no_camera;
  fm_session_desc desc;
  memset(&no_camera, 0, sizeof no_camera);
  make_heads();
  change_heads(what);
  memset(&desc, 0, sizeof desc);
  desc.common = &common;
  desc.heads = heads;
  desc.head_count = 2;
  desc.width = desc.height = 8;
  desc.frames = 2;
  desc.run_name = "test";
  if (strcmp(what, "NULL") == 0) { fm_run(NULL, NULL, &error); return; }
  if (strcmp(what, "no paths") == 0) desc.heads = NULL;
  if (strcmp(what, "no heads") == 0) desc.head_count = 0;
  if (strcmp(what, "one head") == 0) desc.head_count = 1;
  if (strcmp(what, "NULL head") == 0) heads[1] = NULL;
  if (strcmp(what, "gone") == 0) desc.heads = NULL, desc.path_a = "gone.obj", desc.path_b = "a.obj";
  if (strcmp(what, "frames") == 0) desc.frames = 1;
  if (strcmp(what, "rows and lists") == 0) desc.weight_rows = rows, desc.weight_row_count = 1, desc.weights = two, desc.weight_count = 2;
  if (strcmp(what, "no rows") == 0) desc.weight_rows = rows;
  if (strcmp(what, "frames and weights") == 0) desc.frames = 5, desc.weights = two, desc.weight_count = 2;
  if (strcmp(what, "two lists") == 0) {
    desc.frames = 0;
    desc.shape_weights = two;
    desc.shape_weight_count = 2;
    desc.texture_weights = three;
    desc.texture_weight_count = 3;
  }
  if (strcmp(what, "weight") == 0) desc.frames = 0, desc.weights = huge, desc.weight_count = 2;
  if (strcmp(what, "distance") == 0) desc.distance = -1;
  if (strcmp(what, "fov") == 0) desc.fov = 180;
  if (strcmp(what, "yaw") == 0) desc.yaw = INFINITY;
  if (strcmp(what, "camera") == 0) desc.camera = &no_camera;
  if (strcmp(what, "samples") == 0) desc.samples = 3;
  if (strcmp(what, "size") == 0) desc.width = 20000;
  if (strcmp(what, "name") == 0) desc.run_name = "a/b";
  if (strcmp(what, "exists") == 0) desc.run_name = "taken";
  if (strcmp(what, "joined") == 0) desc.run_name = "taken", desc.join_run = true;
  if (strcmp(what, "progress") == 0) common.progress = cancel;
  failing = what;
  fm_run(&desc, NULL, &error);
}

/* ---- the table ---- */

#define HEADING(words) {FM_OK, NULL, NULL, NULL, words}

static const row rows[] = {
  HEADING("Calls"),
  {FM_ERROR_ARGUMENT, "fm_load_image is given no place for the picture", picture_call, "out",
   "out is NULL; it must point to the fm_image to fill"},
  {FM_ERROR_ARGUMENT, "fm_image_desc.channels is not 0 to 4", picture_call, "channels",
   "channels is 9; 0 to 4 are possible"},
  {FM_ERROR_ARGUMENT, "fm_load_image or fm_load_mesh_memory is given no bytes, but a size", picture_call, "data",
   "data is NULL, but size is not 0"},
  {FM_ERROR_ARGUMENT, "fm_load_image_stream is given nothing to read from", picture_call, "stream",
   "the stream cannot be read: it, or its read, is NULL"},
  {FM_ERROR_ARGUMENT, "fm_load_image_file or fm_load_mesh is given no path", picture_call, "path",
   "path is NULL; give the path of a file"},
  {FM_ERROR_ARGUMENT, "fm_common.simd, or --simd, is an instruction set that is not to be had", mesh_call, "simd",
   "head.obj: this build or this processor does not have the instruction set unknown; \"best\" takes what there is"},
  {FM_ERROR_ARGUMENT, "fm_load_mesh_stream is given no stream", mesh_call, "stream",
   "stream is NULL; give a stream to read from"},
  {FM_ERROR_ARGUMENT, "fm_load_mesh_stream is given a stream without its read", mesh_call, "read",
   "head.obj: the stream cannot be read: its read is NULL"},
  HEADING("Files, memory, limits"),
  {FM_ERROR_READ, "a file is not there, or may not be read", from_path, "gone.obj",
   "gone.obj: cannot be opened: No such file or directory; check the path and the permissions"},
  {FM_ERROR_READ, "the disk or the stream fails in the middle", from_path, "unreadable.obj",
   "unreadable.obj: byte 0: reading stopped with an error; check the disk, or copy the file again"},
  {FM_ERROR_WRITE, "a file cannot be made", write_png, "open",
   "face.png: cannot be written; check the folder and its permissions"},
  {FM_ERROR_WRITE, "a file cannot be written to its end: the disk is full, or fails", write_png, "write",
   "face.png: writing failed; check the free space (nothing is left under that name)"},
  {FM_ERROR_MEMORY, "the allocator gives no memory", wish, "allocator=NULL",
   "head.obj: no memory is left for # more bytes; close other programs, or use smaller files"},
  {FM_ERROR_LIMIT, "more memory is needed than the caller allows", wish, "memory=200",
   "head.obj: needs # more bytes, over the limit of 200 bytes in 1048576 blocks; use smaller files, or raise fm_limits.memory or .allocations"},
  {FM_ERROR_LIMIT, "a file or an array grows beyond the memory that the caller allows", mesh_call, "endless",
   "head.obj: needs # bytes in one block, over the limit of 1000 bytes; use smaller files, or raise fm_limits.memory"},
  {FM_ERROR_CANCELLED, "the caller's progress function returns false", session, "progress",
   "cancelled at load 1 of 2"},
  HEADING("Any picture"),
  {FM_ERROR_FORMAT, "the file has no bytes", picture, "",
   "skin: is empty; copy or export it again"},
  {FM_ERROR_UNSUPPORTED, "a model is given where a picture belongs", picture, "v 0 0 0\n",
   "skin: is a 3D model (OBJ) and not a picture; give a PNG, JPEG, TGA or BMP"},
  {FM_ERROR_UNSUPPORTED, "a build with FACEMORPH_NO_PNG or FACEMORPH_NO_JPEG", decoder, "PNG left out",
   "skin: is a PNG picture, and this build was made without them (FACEMORPH_NO_PNG); convert it to TGA or BMP"},
  {FM_ERROR_UNSUPPORTED, "a picture of a kind that is known, but not read", picture, "GIF89a",
   "skin: is a GIF picture, which is not read; convert it to PNG or JPEG"},
  {FM_ERROR_UNSUPPORTED, "the bytes are those of no kind of picture", picture, "not a picture",
   "skin: is no picture of a kind that is read (PNG, JPEG, TGA, BMP), or its beginning is damaged; convert it to PNG or JPEG"},
  HEADING("PNG"),
  {FM_ERROR_FORMAT, "the first 8 bytes are not a PNG's", decoder, "no PNG",
   "skin: byte 0: the PNG does not begin with a PNG's signature; the file is damaged: copy or export it again"},
  {FM_ERROR_FORMAT, "the file is cut off between two of its chunks", png, PNG_1X1 "|" PNG_DATA,
   "skin.png: byte 60: the PNG ends before its IEND chunk; the file is damaged: copy or export it again"},
  {FM_ERROR_FORMAT, "a chunk's name is damaged", png, PNG_1X1 "|I?AT:00|IEND:",
   "skin.png: byte 37: the PNG has a chunk whose name is not four letters; the file is damaged: copy or export it again"},
  {FM_ERROR_FORMAT, "a chunk's length is damaged", png, PNG_1X1 "|-ffffffff 49444154 00*8",
   "skin.png: byte 33: the PNG has a chunk whose length is more than 2,147,483,647; the file is damaged: copy or export it again"},
  {FM_ERROR_FORMAT, "the file is cut off inside a chunk", png, PNG_1X1 "|-00001000 49444154 00*8",
   "skin.png: byte 33: the PNG has a chunk that goes beyond the file's end; the file is damaged: copy or export it again"},
  {FM_ERROR_FORMAT, "the header is too short or too long", png, "IHDR:00000001|IEND:",
   "skin.png: byte 8: the PNG has an IHDR chunk whose length is not 13; the file is damaged: copy or export it again"},
  {FM_ERROR_FORMAT, "the picture has no pixels", png, "IHDR:00000000 00000001 08 02 000000|IEND:",
   "skin.png: byte 16: the PNG says that it is 0 pixels wide or high; the file is damaged: copy or export it again"},
  {FM_ERROR_FORMAT, "the size is beyond what PNG allows", png, "IHDR:80000001 00000001 08 02 000000|IEND:",
   "skin.png: byte 16: the PNG says that it is over 2,147,483,647 pixels wide or high; the file is damaged: copy or export it again"},
  {FM_ERROR_LIMIT, "the picture is larger than the caller allows", png, "IHDR:00005000 00005000 08 02 000000|IEND:",
   "skin.png: byte 16: the PNG says that it is 20480 x 20480 pixels, over the limit of 16384 a side; make it smaller, or raise fm_limits.image_side"},
  {FM_ERROR_FORMAT, "the colour type is damaged", png, "IHDR:00000001 00000001 08 05 000000|IEND:",
   "skin.png: byte 25: the PNG has a colour type that does not exist; the file is damaged: copy or export it again"},
  {FM_ERROR_FORMAT, "the number of bits is damaged", png, "IHDR:00000001 00000001 04 02 000000|IEND:",
   "skin.png: byte 24: the PNG has a bit depth that its colour type does not allow; the file is damaged: copy or export it again"},
  {FM_ERROR_FORMAT, "the compression, filter or interlace method is damaged", png, "IHDR:00000001 00000001 08 02 000007|IEND:",
   "skin.png: byte 26: the PNG uses a compression, filter or interlace method that does not exist; the file is damaged: copy or export it again"},
  {FM_ERROR_FORMAT, "the palette is too long, no whole number of colours, or there twice", png, PNG_1X1 "|PLTE:00*4|" PNG_DATA "|IEND:",
   "skin.png: byte 33: the PNG has a palette whose length is not that of 1 to 256 colours, or two palettes; the file is damaged: copy or export it again"},
  {FM_ERROR_FORMAT, "bytes of a chunk were changed", png, PNG_1X1 "|IDAT!00|IEND:",
   "skin.png: byte 42: the PNG has a chunk with a wrong checksum (CRC-32); the file is damaged: copy or export it again"},
  {FM_ERROR_FORMAT, "the header is there twice", png, PNG_1X1 "|" PNG_1X1 "|IEND:",
   "skin.png: byte 33: the PNG has a second IHDR chunk; the file is damaged: copy or export it again"},
  {FM_ERROR_UNSUPPORTED, "the file needs an extension of PNG", png, PNG_1X1 "|ABCD:00|" PNG_DATA "|IEND:",
   "skin.png: byte 33: the PNG needs its chunk \"ABCD\", which is not known here; export it as a plain PNG"},
  {FM_ERROR_UNSUPPORTED, "Xcode rewrote the file for a device", png, "CgBI:00000000|" PNG_1X1 "|IEND:",
   "skin.png: byte 8: this is Apple's own kind of PNG (CgBI), not a PNG that others read; export it as a plain PNG"},
  {FM_ERROR_FORMAT, "something else stands before the header", png, "IEND:",
   "skin.png: byte 8: the PNG does not begin with an IHDR chunk; the file is damaged: copy or export it again"},
  {FM_ERROR_FORMAT, "bytes of the header were changed", png, "IHDR!00000001 00000001 08 02 000000|IEND:",
   "skin.png: byte 29: the PNG has an IHDR chunk with a wrong checksum (CRC-32); the file is damaged: copy or export it again"},
  {FM_ERROR_FORMAT, "the file has no pixels at all", png, PNG_1X1 "|IEND:",
   "skin.png: byte 33: the PNG has no image data (no IDAT chunk); the file is damaged: copy or export it again"},
  {FM_ERROR_FORMAT, "the palette is missing", png, "IHDR:00000001 00000001 08 03 000000|" PNG_DATA "|IEND:",
   "skin.png: byte 33: the PNG has no palette (no PLTE chunk), but needs one; the file is damaged: copy or export it again"},
  {FM_OK, "the picture's colours are of another space", png, PNG_1X1 "|gAMA:000186a0|" PNG_DATA "|IEND:",
   "skin.png: the PNG's colours are not sRGB, says its gAMA chunk; they are taken as if they were: convert it to sRGB"},
  {FM_ERROR_FORMAT, "the size is larger than the data can be", png, "IHDR:00002000 00002000 08 02 000000|IDAT:7801 01 0400|IEND:",
   "skin.png: byte 33: the PNG says that it is 8192 x 8192 pixels, but 5 bytes of image data cannot hold so many; it is damaged: copy or export it again"},
  {FM_ERROR_FORMAT, "a row's filter is damaged", png, "IHDR:00000001 00000001 08 02 000000|IDAT:7801 01 0400 fbff 09000000 00280001|IEND:",
   "skin.png: byte 33: the PNG's image data is damaged: row 0 has a filter that does not exist; copy or export it again"},
  {FM_ERROR_FORMAT, "a pixel's colour is not in the palette", png, "IHDR:00000001 00000001 08 03 000000|PLTE:010203|IDAT:7801 01 0200 fdff 0007|IEND:",
   "skin.png: byte 48: the PNG's image data is damaged: row 0 uses a colour beyond the end of the palette; copy or export it again"},
  {FM_ERROR_FORMAT, "the picture's last rows are missing", png, PNG_1X1 "|IDAT:7801 01 0200 fdff 0000|IEND:",
   "skin.png: byte 50: the PNG's image data is damaged: it holds fewer rows than the picture has; copy or export it again"},
  {FM_OK, "there is more than the picture needs", png, PNG_1X1 "|IDAT:7801 01 0500 faff 0000000000 00050001|IEND:",
   "skin.png: the PNG holds more image data than its size needs; the rest is left out"},
  HEADING("Compressed data, in PNG and FBX"),
  {FM_ERROR_FORMAT, "the data is cut off", png, PNG_1X1 "|IDAT:78|IEND:",
   "skin.png: byte 41: the PNG's image data is damaged: the compressed data ends in the middle; copy or export it again"},
  {FM_ERROR_FORMAT, "the data's first two bytes are damaged", png, PNG_1X1 "|IDAT:0102|IEND:",
   "skin.png: byte 41: the PNG's image data is damaged: the compressed data does not begin as a zlib stream does; copy or export it again"},
  {FM_ERROR_FORMAT, "the data was packed with a dictionary", png, PNG_1X1 "|IDAT:7820|IEND:",
   "skin.png: byte 41: the PNG's image data is damaged: the compressed data needs a dictionary that is not part of it; copy or export it again"},
  {FM_ERROR_FORMAT, "a block's first bits are damaged", png, PNG_1X1 "|IDAT:780107|IEND:",
   "skin.png: byte 44: the PNG's image data is damaged: a compressed block is of a kind that does not exist; copy or export it again"},
  {FM_ERROR_FORMAT, "a block's length is damaged", png, PNG_1X1 "|IDAT:78010101000000|IEND:",
   "skin.png: byte 48: the PNG's image data is damaged: a stored block's two lengths contradict each other; copy or export it again"},
  {FM_ERROR_FORMAT, "a block's code of code lengths is no code", png, PNG_1X1 "|IDAT:780105e09324499224499200|IEND:",
   "skin.png: byte 53: the PNG's image data is damaged: a compressed block's code lengths contradict each other; copy or export it again"},
  {FM_ERROR_FORMAT, "a block's code lengths cannot be read", png, PNG_1X1 "|IDAT:780105e00104000000000004|IEND:",
   "skin.png: byte 53: the PNG's image data is damaged: a compressed block's code lengths use a code without meaning; copy or export it again"},
  {FM_ERROR_FORMAT, "a block's code lengths begin with a repetition", png, PNG_1X1 "|IDAT:780105e00304000000000004|IEND:",
   "skin.png: byte 53: the PNG's image data is damaged: a compressed block repeats a code length before the first one; copy or export it again"},
  {FM_ERROR_FORMAT, "a block's code lengths go on too long", png, PNG_1X1 "|IDAT:780105e081040000000000fcff03|IEND:",
   "skin.png: byte 55: the PNG's image data is damaged: a compressed block has more code lengths than it announced; copy or export it again"},
  {FM_ERROR_FORMAT, "a block could never end", png, PNG_1X1 "|IDAT:780105e081000000000010f05f0d|IEND:",
   "skin.png: byte 55: the PNG's image data is damaged: a compressed block has no end code; copy or export it again"},
  {FM_ERROR_FORMAT, "a block's code of literals is no code", png, PNG_1X1 "|IDAT:780105e081000000000010f03f0d|IEND:",
   "skin.png: byte 55: the PNG's image data is damaged: a compressed block's literal codes contradict each other; copy or export it again"},
  {FM_ERROR_FORMAT, "a block's code of distances is no code", png, PNG_1X1 "|IDAT:780105e281000000000010f8af06|IEND:",
   "skin.png: byte 55: the PNG's image data is damaged: a compressed block's distance codes contradict each other; copy or export it again"},
  {FM_ERROR_FORMAT, "a code stands for nothing", png, PNG_1X1 "|IDAT:78011b030000|IEND:",
   "skin.png: byte 45: the PNG's image data is damaged: the compressed data uses a code without meaning; copy or export it again"},
  {FM_ERROR_FORMAT, "a code of a distance stands for nothing", png, PNG_1X1 "|IDAT:780163003e0000|IEND:",
   "skin.png: byte 46: the PNG's image data is damaged: the compressed data uses a distance code without meaning; copy or export it again"},
  {FM_ERROR_FORMAT, "the data repeats what was never there", png, PNG_1X1 "|IDAT:78010302000000|IEND:",
   "skin.png: byte 45: the PNG's image data is damaged: the compressed data refers back to before its beginning; copy or export it again"},
  {FM_ERROR_FORMAT, "the data was changed in a way that only its checksum shows", png, PNG_1X1 "|IDAT:7801 01 0400 fbff 00000000 00000000|IEND:",
   "skin.png: byte 56: the PNG's image data is damaged: the checksum (Adler-32) of the decompressed data is wrong; copy or export it again"},
  {FM_ERROR_FORMAT, "an array of an FBX holds more than it announced", fbx_zlib, "7801 01 1900 e6ff 00*25 00190001",
   "head.fbx: byte 163: there is more compressed data than belongs here; the file is damaged: copy or export it again"},
  {FM_ERROR_FORMAT, "an array of an FBX holds less than it announced", fbx_zlib, "7801 01 0700 f8ff 00*7 00070001",
   "head.fbx: byte 146: there is less compressed data than belongs here; the file is damaged: copy or export it again"},
  HEADING("JPEG"),
  {FM_ERROR_FORMAT, "the first bytes are not a JPEG's", decoder, "no JPEG",
   "skin: byte 0: does not begin as a JPEG does; copy or export it again"},
  {FM_ERROR_FORMAT, "the header is damaged: colour components", jpeg, "ffd8 ffc00011 08 0001 0001 03 01 11 00 01 11 00 03 11 00",
   "skin.jpg: byte 4: the JPEG is damaged: two components are named 1; copy or export it again"},
  {FM_ERROR_FORMAT, "the header is damaged: sampling", jpeg, "ffd8 ffc0000b 08 0001 0001 01 01 51 00",
   "skin.jpg: byte 4: the JPEG is damaged: sampling factors of 5 x 1; only 1 to 4 are possible; copy or export it again"},
  {FM_ERROR_FORMAT, "the header is damaged: tables", jpeg, "ffd8 ffc0000b 08 0001 0001 01 01 11 04",
   "skin.jpg: byte 4: the JPEG is damaged: quantisation table 4; only 0 to 3 are possible; copy or export it again"},
  {FM_ERROR_FORMAT, "the header is there twice", jpeg, "ffd8" JPEG_1X1 JPEG_1X1,
   "skin.jpg: byte 17: the JPEG is damaged: a second frame header; copy or export it again"},
  {FM_ERROR_FORMAT, "the header is too short or too long", jpeg, "ffd8 ffc0000c 08 0001 0001 01 01 11 00 00",
   "skin.jpg: byte 4: the JPEG is damaged: the frame header has the wrong length; copy or export it again"},
  {FM_ERROR_UNSUPPORTED, "samples of 12 bits", jpeg, "ffd8 ffc0000b 0c 0001 0001 01 01 11 00",
   "skin.jpg: byte 4: a JPEG of 12 bits a sample; save it with 8 bits, or as PNG"},
  {FM_ERROR_UNSUPPORTED, "the height stands behind the picture", jpeg, "ffd8 ffc0000b 08 0000 0001 01 01 11 00",
   "skin.jpg: byte 4: a JPEG that gives its height after the picture (DNL); save it again with any editor"},
  {FM_ERROR_FORMAT, "the picture has no pixels", jpeg, "ffd8 ffc0000b 08 0001 0000 01 01 11 00",
   "skin.jpg: byte 4: the JPEG is damaged: the picture is 0 pixels wide; copy or export it again"},
  {FM_ERROR_LIMIT, "the picture is larger than the caller allows", jpeg, "ffd8 ffc0000b 08 5000 5000 01 01 11 00",
   "skin.jpg: byte 4: 20480 x 20480 pixels, over the limit of 16384 a side; make it smaller, or raise fm_limits.image_side"},
  {FM_ERROR_UNSUPPORTED, "a number of components that no usual JPEG has", jpeg, "ffd8 ffc0000e 08 0001 0001 02 01 11 00 02 11 00",
   "skin.jpg: byte 4: a JPEG of 2 components, not 1 (grey), 3 (colour) or 4 (CMYK); export it as one of these"},
  {FM_ERROR_FORMAT, "the size is larger than the data can be", jpeg, "ffd8 ffc0000b 08 1000 1000 01 01 11 00",
   "skin.jpg: byte 4: the JPEG is damaged: 4096 x 4096 pixels cannot be in the 11 bytes that follow; copy or export it again"},
  {FM_ERROR_FORMAT, "the file is cut off inside the picture", jpeg, "ffd8" JPEG_TABLES JPEG_1X1 JPEG_SCAN,
   "skin.jpg: byte 138: the JPEG is damaged: the file ends before the picture does, in scan 1; copy or export it again"},
  {FM_ERROR_FORMAT, "the pixels' data is damaged", jpeg, "ffd8" JPEG_TABLES "ffdd0004 0001 ffc0000b 08 0001 0010 01 01 11 00" JPEG_SCAN "3f ffd9 00*8",
   "skin.jpg: byte 145: the JPEG is damaged: the picture's data makes no sense, in scan 1; copy or export it again"},
  {FM_ERROR_FORMAT, "a scan's header is damaged: coefficients", jpeg, "ffd8" JPEG_TABLES JPEG_PROGRESSIVE "ffda0008 01 01 00 05 03 00",
   "skin.jpg: byte 130: the JPEG is damaged: scan 1 says that it has coefficients 5 to 3 and bits 0 to 0, which cannot be; copy or export it again"},
  {FM_ERROR_FORMAT, "scans are there twice, or in a wrong order", jpeg, "ffd8" JPEG_TABLES JPEG_PROGRESSIVE "ffda0008 01 01 00 00 00 00 7f ffda0008 01 01 00 00 00 00 7f",
   "skin.jpg: byte 141: the JPEG is damaged: scan 2 repeats an earlier one, or comes before one that it refines; copy or export it again"},
  {FM_ERROR_FORMAT, "tables are missing", jpeg, "ffd8" JPEG_1X1 JPEG_SCAN,
   "skin.jpg: byte 17: the JPEG is damaged: scan 1 uses a Huffman table that the file does not define (frames of Motion JPEG leave them out); copy or export it again"},
  {FM_ERROR_FORMAT, "quantisation tables are missing", jpeg, "ffd8 ffc40014 00 01 00*15 00 ffc40014 10 01 00*15 00" JPEG_1X1 JPEG_SCAN,
   "skin.jpg: byte 61: the JPEG is damaged: quantisation table 0 is used, but not defined; copy or export it again"},
  {FM_ERROR_FORMAT, "the header is missing", jpeg, "ffd8" JPEG_SCAN,
   "skin.jpg: byte 4: the JPEG is damaged: a scan comes before the frame header; copy or export it again"},
  {FM_ERROR_FORMAT, "a scan's header is damaged: number of components", jpeg, "ffd8" JPEG_TABLES JPEG_1X1 "ffda0008 02 01 00 00 3f 00",
   "skin.jpg: byte 130: the JPEG is damaged: the header of scan 1 names 2 of 1 components, or has the wrong length; copy or export it again"},
  {FM_ERROR_FORMAT, "a scan's header is damaged: names of components", jpeg, "ffd8" JPEG_TABLES JPEG_1X1 "ffda0008 01 07 00 00 3f 00",
   "skin.jpg: byte 130: the JPEG is damaged: scan 1 names component 7, which the picture does not have; copy or export it again"},
  {FM_ERROR_FORMAT, "a scan holds more than is possible", jpeg, "ffd8" JPEG_TABLES "ffc00011 08 0001 0001 03 01 22 00 02 22 00 03 22 00 ffda000c 03 01 00 02 00 03 00 00 3f 00",
   "skin.jpg: byte 136: the JPEG is damaged: scan 1 has 12 blocks in a unit; at most 10 are possible; copy or export it again"},
  {FM_ERROR_FORMAT, "a quantisation table is cut off", jpeg, "ffd8 ffdb0004 0000",
   "skin.jpg: byte 4: the JPEG is damaged: a quantisation table is damaged; copy or export it again"},
  {FM_ERROR_FORMAT, "a Huffman table is cut off", jpeg, "ffd8 ffc40004 0000",
   "skin.jpg: byte 4: the JPEG is damaged: a Huffman table is damaged; copy or export it again"},
  {FM_ERROR_FORMAT, "a Huffman table's counts are damaged", jpeg, "ffd8 ffc40014 00 ff 00*15 00",
   "skin.jpg: byte 4: the JPEG is damaged: a Huffman table has 255 codes, more than there can be; copy or export it again"},
  {FM_ERROR_FORMAT, "a Huffman table's values are damaged", jpeg, "ffd8 ffc40014 00 01 00*15 1f",
   "skin.jpg: byte 4: the JPEG is damaged: a Huffman table has a DC size of 31 bits; copy or export it again"},
  {FM_ERROR_FORMAT, "a Huffman table is no code", jpeg, "ffd8 ffc40016 00 03 00*15 00 01 02",
   "skin.jpg: byte 4: the JPEG is damaged: a Huffman table has more codes than their lengths allow; copy or export it again"},
  {FM_ERROR_FORMAT, "a segment's length is damaged", jpeg, "ffd8 ffdd0003 01",
   "skin.jpg: byte 4: the JPEG is damaged: the restart interval has the wrong length; copy or export it again"},
  {FM_ERROR_FORMAT, "a segment is cut off, or its length damaged", jpeg, "ffd8 ffe00001",
   "skin.jpg: byte 4: the JPEG is damaged: segment e0 has 1 bytes, which is not possible here; copy or export it again"},
  {FM_ERROR_FORMAT, "nothing but a beginning is left of the file", jpeg, "ffd8 ffd9",
   "skin.jpg: byte 2: the JPEG is damaged: the file ends before its picture begins; copy or export it again"},
  {FM_ERROR_FORMAT, "a progressive picture is cut off between its scans", jpeg, "ffd8" JPEG_TABLES JPEG_PROGRESSIVE "ffda0008 01 01 00 00 00 00 7f",
   "skin.jpg: byte 139: the JPEG is damaged: the file ends after scan 1, before the picture is complete; copy or export it again"},
  {FM_ERROR_LIMIT, "a file made to keep readers busy", jpeg_many_scans, "ffd8" JPEG_TABLES JPEG_PROGRESSIVE,
   "skin.jpg: byte 5630: a progressive JPEG with 501 scans or more, which no program writes; save it again as baseline JPEG or PNG"},
  {FM_ERROR_UNSUPPORTED, "a rare kind of JPEG", jpeg, "ffd8 ffc9000b 08 0001 0001 01 01 11 00",
   "skin.jpg: byte 4: a JPEG with arithmetic coding, which hardly any program reads; save it as baseline JPEG or PNG"},
  {FM_OK, "the picture's colours are of another space", jpeg, "ffd8 ffe20014 4943435f50524f46494c4500 01 01 00*4" JPEG_TABLES JPEG_1X1 JPEG_SCAN "3f ffd9",
   "skin.jpg: the JPEG's colour profile is not sRGB; its colours are taken as if they were: convert it to sRGB"},
  HEADING("TGA"),
  {FM_ERROR_FORMAT, "the header is not a TGA's", decoder, "no TGA",
   "skin: byte 0: does not begin as a TGA picture does; copy or export it again"},
  {FM_ERROR_LIMIT, "the picture is larger than the caller allows (TGA and BMP)", tga, "00 00 02 00*5 00000000 0050 0050 18 00",
   "skin.tga: byte 12: 20480 x 20480 pixels, over the limit of 16384 a side; make it smaller, or raise fm_limits.image_side"},
  {FM_ERROR_FORMAT, "the size is larger than the file can hold (TGA and BMP)", tga, "00 00 02 00*5 00000000 6400 6400 18 00",
   "skin.tga: byte 12: 100 x 100 pixels cannot be in the 18 bytes of the file; it is cut off or damaged: copy or export it again"},
  {FM_ERROR_FORMAT, "the file is cut off inside its colours", tga, "00 01 01 0000 ff00 18 00000000 0100 0100 08 00",
   "skin.tga: byte 18: the file ends within its colour map; it was cut off, copy or export it again"},
  {FM_ERROR_FORMAT, "the file is cut off inside its pixels", tga, "00 00 02 00*5 00000000 0200 0200 18 00 010203",
   "skin.tga: byte 21: the file ends 4 pixels before the picture does; it was cut off, copy or export it again"},
  {FM_ERROR_FORMAT, "a pixel's colour is not in the table", tga, "00 01 01 0000 0100 18 00000000 0100 0100 08 00 010203 05",
   "skin.tga: byte 21: a pixel has a colour that is not among the colour map's 1; export the picture again"},
  HEADING("BMP"),
  {FM_ERROR_FORMAT, "the header is not a BMP's", decoder, "no BMP",
   "skin: byte 0: does not begin as a BMP picture does; copy or export it again"},
  {FM_ERROR_FORMAT, "the file is cut off", bmp, "424d 00*8 36000000 28000000",
   "skin.bmp: byte 18: the file ends before its picture does; it was cut off, copy or export it again"},
  {FM_ERROR_FORMAT, "the picture has no pixels", bmp, "424d 00*8 36000000 28000000 00000000 01000000 0100 1800 00000000 00*20",
   "skin.bmp: byte 18: the picture has no pixels: its width or height is not above 0; export it again"},
  {FM_ERROR_FORMAT, "the places of red, green and blue are damaged", bmp, "424d 00*8 42000000 28000000 01000000 01000000 0100 1000 03000000 00*20 05000000 e0070000 1f000000 00*4",
   "skin.bmp: byte 54: a bit field of a colour has gaps; export the picture again"},
  {FM_ERROR_UNSUPPORTED, "a JPEG or PNG inside a BMP", bmp, "424d 00*8 36000000 28000000 01000000 01000000 0100 1800 04000000 00*20",
   "skin.bmp: byte 30: a BMP of compression 4, which is not read; save it without compression, or as PNG"},
  {FM_ERROR_FORMAT, "the number of bits is damaged", bmp, "424d 00*8 36000000 28000000 01000000 01000000 0100 0700 00000000 00*20",
   "skin.bmp: byte 28: 7 bits a pixel, but BMP has 1, 2, 4, 8, 16, 24 or 32; export the picture again"},
  {FM_ERROR_FORMAT, "bits and compression contradict each other", bmp, "424d 00*8 36000000 28000000 01000000 01000000 0100 1800 01000000 00*20",
   "skin.bmp: byte 28: 24 bits a pixel do not go with compression 1; export the picture again"},
  {FM_ERROR_FORMAT, "the header points to a place inside itself or beyond the file", bmp, "424d 00*8 05000000 28000000 01000000 01000000 0100 1800 00000000 00*20",
   "skin.bmp: byte 10: the pixels should begin at byte 5, which cannot be; the file is damaged or cut off: copy or export it again"},
  {FM_ERROR_FORMAT, "a pixel's colour is not in the table", bmp, "424d 00*8 3e000000 28000000 01000000 01000000 0100 0800 00000000 00*20 00*8 05000000",
   "skin.bmp: byte 62: a pixel has colour 5 of a table of 2 (the first is 0); export the picture again"},
  {FM_ERROR_FORMAT, "the runs of pixels are damaged: a step", bmp, "424d 00*8 3e000000 28000000 01000000 01000000 0100 0800 01000000 00*20 00*8 0002 ff00",
   "skin.bmp: byte 66: a step leads out of the picture; export the picture again"},
  {FM_ERROR_FORMAT, "the runs of pixels are damaged: a length", bmp, "424d 00*8 3e000000 28000000 01000000 01000000 0100 0800 01000000 00*20 00*8 0500",
   "skin.bmp: byte 64: a run of pixels leaves its row; export the picture again"},
  HEADING("Any model"),
  {FM_ERROR_FORMAT, "the file has no bytes", model_file, "",
   "head: is empty; copy or export it again"},
  {FM_ERROR_UNSUPPORTED, "a build with FACEMORPH_NO_OBJ or FACEMORPH_NO_FBX", decoder, "OBJ left out",
   "head: is an OBJ, and this build was made without them (FACEMORPH_NO_OBJ); export it as the other of FBX and OBJ"},
  {FM_ERROR_UNSUPPORTED, "FBX as text", model_file, "; FBX project file",
   "head: is an ASCII FBX, which is not read; export it as FBX binary (7.4, \"FBX 2014\", or newer) or as OBJ"},
  {FM_ERROR_UNSUPPORTED, "FBX as text that gives its version", model_file, "; FBX 7.4.0 project file\nFBXHeaderExtension: {\n FBXVersion: 7400\n",
   "head: is an ASCII FBX (version 7400), which is not read; export it as FBX binary (7.4, \"FBX 2014\", or newer) or as OBJ"},
  {FM_ERROR_UNSUPPORTED, "a model of a kind that is known, but not read", model_file, "ply\nformat ascii 1.0\n",
   "head: is a PLY file, which is not read; export it as FBX binary (7.4, \"FBX 2014\", or newer) or as OBJ"},
  {FM_ERROR_UNSUPPORTED, "a text file of two bytes a character", model_file, "\xFF\xFEv",
   "head: is UTF-16 text, which is not read; save it as UTF-8 or plain ASCII"},
  {FM_ERROR_UNSUPPORTED, "a picture is given where a model belongs", model_file, "\x89PNG\r\n\x1A\n",
   "head: is a PNG picture and not a 3D model; give the head's FBX or OBJ file"},
  {FM_ERROR_UNSUPPORTED, "the bytes are those of no kind of model", model_file, "What is this?",
   "head: is neither FBX nor OBJ, or its beginning is damaged; export it as FBX binary (7.4, \"FBX 2014\", or newer) or as OBJ"},
  {FM_OK, "numbers that no position or UV can be", obj, "v 0 0 1e99\nv 1 0 0\nv 0 1 0\nf 1 2 3\n",
   "positions that are infinite, not a number, or beyond the range of float were set to 0 (first in position 0, counted from 0; 1 numbers in all)"},
  {FM_OK, "polygons of one or two corners", obj, "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\nf 1 2\n",
   "polygons of fewer than three corners cannot be seen (1 in all)"},
  {FM_OK, "polygons of thousands of corners that are not convex", star, "",
   "polygons that are concave and too complex to be cut into triangles well overlap themselves (1 in all)"},
  {FM_ERROR_ARGUMENT, "a name in `only` or `exclude` that the file does not have", wish, "only=ear*",
   "head.obj: \"ear*\" of only matches no part and no material; there are: nose, skin"},
  {FM_ERROR_ARGUMENT, "`only` and `exclude` take everything away", wish, "exclude=*",
   "head.obj: only and exclude together leave no polygon of the mesh; leave fewer parts out"},
  {FM_ERROR_ARGUMENT, "fm_load_desc.scale, or --scale-b, is no number", wish, "scale=INFINITY",
   "head.obj: scale is infinite or not a number; give a factor, such as 0.01"},
  {FM_OK, "a texture's file is not there", obj, "mtllib skin.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nusemtl skin\nf 1 2 3\n",
   "skin.png: the texture was not found; tried: skin.png, head.fbm/skin.png, textures/skin.png, Textures/skin.png, tex/skin.png; put it beside the mesh"},
  {FM_OK, "a texture is refused; its words are those of the pictures above", obj, "mtllib note.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nusemtl skin\nf 1 2 3\n",
   "note.txt: is no picture of a kind that is read (PNG, JPEG, TGA, BMP), or its beginning is damaged; convert it to PNG or JPEG"},
  {FM_OK, "fm_load_desc.decode gives back an image that cannot be", wish, "decode=badly",
   "dot.tga: the caller's decoder gave an image of -3 x 2 pixels and 3 channels; 1 to 16384 pixels and 1 to 4 channels are possible"},
  HEADING("OBJ and MTL"),
  {FM_ERROR_FORMAT, "a line is cut off", obj, "v 0 0 0\nv 1 0\n",
   "head.obj: line 2: \"v\" has too few numbers; the file is damaged: export or copy it again"},
  {FM_ERROR_FORMAT, "a number is damaged", obj, "v 0 0 O\n",
   "head.obj: line 1: \"O\" is not a number; the file is damaged: export or copy it again"},
  {FM_ERROR_FORMAT, "the exporter wrote decimal commas", obj, "v 0,5 0 0\n",
   "head.obj: line 1: \"0,5\" is not a number; numbers need a decimal point, not a comma: export it again with English number formats"},
  {FM_ERROR_LIMIT, "the mesh is larger than the caller allows", wish, "vertices=2",
   "head.obj: line 4: more than 2 vertices, or 8 times as many corners or UVs; make the mesh smaller, or raise fm_limits.vertices"},
  {FM_ERROR_FORMAT, "a corner of a polygon is damaged", obj, "v 0 0 0\nf a b c\n",
   "head.obj: line 2: \"a\" is not an index of a polygon's corner; the file is damaged: export or copy it again"},
  {FM_ERROR_FORMAT, "indices that count from 0", obj, "v 0 0 0\nf 0 1 2\n",
   "head.obj: line 2: a polygon uses vertex 0, but OBJ counts from 1; the file is damaged: export or copy it again"},
  {FM_ERROR_FORMAT, "a negative index that goes back too far", obj, "v 0 0 0\nf -1 -2 -3\n",
   "head.obj: line 2: a polygon uses vertex -2, but there are only 1 before it; the file is damaged: export or copy it again"},
  {FM_ERROR_FORMAT, "an index beyond all possible ones", obj, "v 0 0 0\nf 1 1 99999999999\n",
   "head.obj: line 2: a polygon uses vertex 99999999999, more than there can be; the file is damaged: export or copy it again"},
  {FM_ERROR_FORMAT, "a corner of a polygon has a form that OBJ does not have", obj, "v 0 0 0\nf 1/2/3/4 1 1\n",
   "head.obj: line 2: \"1/2/3/4\" is no corner of a polygon; those look like 1, 1/2, 1//3 or 1/2/3; the file is damaged: export or copy it again"},
  {FM_ERROR_FORMAT, "a polygon is cut off", obj, "v 0 0 0\nf\n",
   "head.obj: line 2: a polygon without corners; the file is damaged: export or copy it again"},
  {FM_ERROR_FORMAT, "a polygon uses a vertex that never comes", obj, "v 0 0 0\nv 1 0 0\nf 1 2 3\n",
   "head.obj: line 3: a polygon uses vertex 3, but the file has only 2; the file is damaged: export or copy it again"},
  {FM_ERROR_FORMAT, "a polygon uses a UV that never comes", obj, "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1/1 2/2 3/3\n",
   "head.obj: line 4: a polygon uses UV 3, but the file has only 0; the file is damaged: export or copy it again"},
  {FM_ERROR_FORMAT, "there is nothing in the file", obj, "# only a comment\n",
   "head.obj: has no vertices (lines that begin with \"v\"): it is no OBJ file, or it is damaged: export or copy it again"},
  {FM_OK, "a material file is not there", obj, "mtllib gone.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n",
   "material files that are not there or cannot be read: gone.mtl (1 in all); put them beside the OBJ to have the textures"},
  {FM_OK, "vertices have colours", obj, "v 0 0 0 1 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n",
   "vertex colours are left out (first on line 1, 1 in all)"},
  {FM_OK, "there are lines, points, curves or surfaces", obj, "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\nl 1 2\n",
   "points, lines, curves and surfaces are left out (first on line 5, 1 in all)"},
  {FM_OK, "a line begins with an unknown word", obj, "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\nsmile 1\n",
   "lines that begin with a word that OBJ does not have are left out (first on line 5, 1 in all)"},
  {FM_OK, "a material moves or scales its texture", obj, "mtllib moved.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nusemtl skin\nf 1 2 3\n",
   "the material file moves or scales textures (-o, -s, -t), which is not applied; bake it into the UVs or the pictures"},
  HEADING("FBX"),
  {FM_ERROR_FORMAT, "the file is cut off inside its first bytes", fbx_bytes, "<25",
   "head.fbx: byte 25: the header is incomplete: the file is damaged or cut off; export or copy it again"},
  {FM_ERROR_FORMAT, "a program took the file for text", fbx_bytes, "20=20",
   "head.fbx: byte 20: the header is not that of an FBX file any more, as after copying it as text: the file is damaged or cut off; export or copy it again"},
  {FM_ERROR_UNSUPPORTED, "FBX in the byte order of old machines", fbx_bytes, "22=01 00001ce8",
   "head.fbx: is FBX version 7400 in big-endian byte order, which is not read; export it as FBX 7.4 binary (\"FBX 2014\") or newer, or as OBJ"},
  {FM_ERROR_UNSUPPORTED, "an FBX of before 2011", fbx_bytes, "23=d4170000",
   "head.fbx: is FBX version 6100, but 7000 to 7700 are read: it is too old; export it as FBX 7.4 binary (\"FBX 2014\") or newer"},
  {FM_ERROR_FORMAT, "the file is cut off between two records", fbx_scene, "cut",
   "head.fbx: byte 897: objects or connections are missing: the file is damaged or cut off; export or copy it again"},
  {FM_ERROR_FORMAT, "the file is cut off inside a record's header", fbx_bytes, "<35",
   "head.fbx: byte 27: a record's header is incomplete: the file is damaged or cut off; export or copy it again"},
  {FM_ERROR_FORMAT, "a record's length is damaged", fbx_bytes, "35=ffff0000",
   "head.fbx: byte 27: a record says that it is longer than what holds it: the file is damaged or cut off; export or copy it again"},
  {FM_ERROR_FORMAT, "a record's end is damaged", fbx_bytes, "27=00ffff00",
   "head.fbx: byte 27: record GlobalSettings says that it ends at byte 16776960, which cannot be: the file is damaged or cut off; export or copy it again"},
  {FM_ERROR_LIMIT, "records inside records, deeper than the caller allows", fbx_scene, "depth",
   "head.fbx: byte 79: records are nested deeper than 2; export the file again, or raise fm_limits.node_depth"},
  {FM_ERROR_FORMAT, "a value's type is damaged", fbx_arrays, "type",
   "head.fbx: byte 580: a value is of type 81, which FBX does not have: the file is damaged or cut off; export or copy it again"},
  {FM_ERROR_FORMAT, "a value's length is damaged", fbx_arrays, "long",
   "head.fbx: byte 580: a value is longer than the record that holds it: the file is damaged or cut off; export or copy it again"},
  {FM_ERROR_FORMAT, "an array is missing", fbx_arrays, "scalar",
   "head.fbx: byte 559: Vertices holds no array: the file is damaged or cut off; export or copy it again"},
  {FM_ERROR_FORMAT, "an array's encoding is damaged", fbx_arrays, "packed",
   "head.fbx: byte 580: Vertices is packed in way 7, which FBX does not have: the file is damaged or cut off; export or copy it again"},
  {FM_ERROR_FORMAT, "an array's length is damaged", fbx_arrays, "count",
   "head.fbx: byte 580: Vertices should have 5 values, but 8 bytes cannot hold them: the file is damaged or cut off; export or copy it again"},
  {FM_ERROR_FORMAT, "objects are connected in a circle", fbx, "circle",
   "head.fbx: byte 798: object head is its own ancestor: the file is damaged or cut off; export or copy it again"},
  {FM_ERROR_FORMAT, "coordinates are missing", fbx_arrays, "part",
   "head.fbx: byte 580: mesh face has 14 coordinates, which are not whole vertices: the file is damaged or cut off; export or copy it again"},
  {FM_ERROR_FORMAT, "indices are no whole numbers", fbx_arrays, "fractions",
   "head.fbx: byte 744: the polygons of mesh face are no whole numbers: the file is damaged or cut off; export or copy it again"},
  {FM_ERROR_FORMAT, "a polygon uses a vertex that is not there", fbx_arrays, "far",
   "head.fbx: byte 744: polygon 0 of mesh face uses vertex 7, but there are only 5: the file is damaged or cut off; export or copy it again"},
  {FM_ERROR_LIMIT, "the meshes are larger than the caller allows", fbx_scene, "vertices",
   "head.fbx: has more than 4 vertices, or 8 times as many corners or UVs; make the mesh smaller, or raise fm_limits.vertices"},
  {FM_OK, "the unit is 0, negative or no number", fbx_scene, "unit",
   "the file's unit makes no sense (UnitScaleFactor); centimetres are assumed"},
  {FM_OK, "the axes are damaged", fbx_scene, "axes",
   "the file's axes make no sense (UpAxis, FrontAxis, CoordAxis); Y up and Z to the front are assumed"},
  {FM_OK, "nothing connects the meshes with objects", fbx_scene, "connections",
   "no object of the file uses any of its meshes (are the connections missing?); they are placed where they were made, without materials"},
  {FM_OK, "an object without a number of its own", fbx, "no id",
   "object lost has no id and is left out"},
  {FM_OK, "two objects of one number", fbx, "same id",
   "object twin has the id of an earlier one; connections are taken to mean that one"},
  {FM_OK, "blend shapes are stored as they were last set", fbx, "weight",
   "blend shape smile is stored with a weight other than 0, which is not applied; bake it into the mesh to have it"},
  {FM_OK, "the head is rigged", fbx, "skin",
   "skin rig is not applied: the head is loaded in its base shape; bake its pose into the mesh to have it"},
  {FM_OK, "the file is animated", fbx, "animation",
   "animation take 1 is not applied: the head is loaded as its objects stand; bake a frame of it to have that"},
  {FM_OK, "the mesh is the cage of a smooth surface", fbx, "subdivided",
   "mesh face is meant to be subdivided; it is loaded as it is: subdivide it before the export to have it smooth"},
  {FM_OK, "a mesh is stored, but not part of the scene", fbx, "unused",
   "mesh spare is used by no object and adds nothing to the head"},
  {FM_OK, "a mesh of points alone", fbx_arrays, "bare",
   "mesh face has no polygons"},
  {FM_OK, "the last polygon's end is not marked", fbx_arrays, "open",
   "mesh face ends with a polygon that is not closed; it is closed there"},
  {FM_OK, "UVs by edge, or in a way that is not known", fbx, "UVs by edge",
   "mesh face has UVs stored in a way that is not read; it is loaded without: export it with UVs by polygon vertex"},
  {FM_OK, "UVs are missing", fbx, "few UVs",
   "mesh face has corners without a valid UV; they get its last one"},
  {FM_OK, "materials by edge, or in a way that is not known", fbx, "materials by edge",
   "mesh face has materials stored in a way that is not read; all its polygons get the object's first"},
  {FM_OK, "polygons name a material that is not connected", fbx, "unknown material",
   "mesh face has polygons whose material its object does not have"},
  {FM_OK, "several textures on top of each other", fbx, "layers",
   "material skin has a texture of several layers; the first is used"},
  {FM_OK, "a texture that the modelling program computes", fbx, "no picture",
   "texture noise names no picture file and is left out; bake it into one"},
  HEADING("Meshes of the caller's own"),
  {FM_ERROR_ARGUMENT, "fm_prepare_mesh is given no mesh", own_mesh, "NULL",
   "mesh is NULL; give the fm_mesh to prepare"},
  {FM_ERROR_ARGUMENT, "fm_prepare_mesh is called again, or for a loaded mesh", own_mesh, "twice",
   "own: the mesh has triangles already; call fm_release_mesh before"},
  {FM_ERROR_ARGUMENT, "an array is NULL", own_mesh, "positions",
   "own: positions is NULL, but its count is not 0"},
  {FM_ERROR_ARGUMENT, "UVs are missing", own_mesh, "uvs",
   "own: there are corner_uvs, but no uvs"},
  {FM_ERROR_ARGUMENT, "a texture's image is none", own_mesh, "image",
   "own: texture 0 is 2 x 2 pixels of 7 channels: no image is like that, or its pixels are NULL"},
  {FM_ERROR_LIMIT, "the mesh is larger than indices can count", own_mesh, "huge",
   "own: the mesh has more than 1431655760 vertices, corners, polygons or UVs; make it smaller"},
  {FM_ERROR_ARGUMENT, "the numbers of triangles and corners contradict each other", own_mesh, "corners",
   "own: 2 triangles need 6 corners, not 3 (polygon_starts is NULL)"},
  {FM_ERROR_ARGUMENT, "polygon_starts has wrong ends", own_mesh, "ends",
   "own: polygon_starts must begin with 0 and end with the number of corners, 3"},
  {FM_ERROR_ARGUMENT, "polygon_starts falls", own_mesh, "order",
   "own: polygon 1 ends before it starts"},
  {FM_ERROR_ARGUMENT, "an index is out of range: corners", own_mesh, "vertex",
   "own: corner 2 uses vertex 7, but there are only 3 (the first is 0)"},
  {FM_ERROR_ARGUMENT, "an index is out of range: corner_uvs", own_mesh, "uv",
   "own: corner 2 uses UV 7, but there are only 3 (the first is 0)"},
  {FM_ERROR_ARGUMENT, "UVs by corner, but fewer than corners", own_mesh, "few uvs",
   "own: 3 corners need a UV each, but there are only 2 (corner_uvs is NULL)"},
  {FM_ERROR_ARGUMENT, "an index is out of range: polygon_materials", own_mesh, "material",
   "own: polygon 0 uses material 4, but there are only 1 (the first is 0)"},
  {FM_ERROR_ARGUMENT, "an index is out of range: a material's texture", own_mesh, "texture",
   "own: material 0 uses texture 3, but there are only 0 (the first is 0, none is FM_NONE)"},
  {FM_ERROR_ARGUMENT, "positions or UVs that are no numbers", own_mesh, "nan",
   "own: position 0 is infinite or not a number"},
  HEADING("Rendering"),
  {FM_ERROR_ARGUMENT, "fm_software_renderer is given no place for the renderer", render, "no place",
   "fm_software_renderer needs somewhere to put the renderer"},
  {FM_ERROR_ARGUMENT, "fm_render is given too little", render, "NULL",
   "fm_render needs a renderer, a scene, frames and a sink with deliver"},
  {FM_ERROR_ARGUMENT, "fm_scene has no heads", render, "no head",
   "a scene needs at least one head"},
  {FM_ERROR_ARGUMENT, "a head was not prepared", render, "unprepared",
   "head 0 has no triangles yet; call fm_prepare_mesh first"},
  {FM_ERROR_TOPOLOGY, "heads of different topology", render, "polygon",
   "head 1 (B) does not fit head 0 (A): A has 6 vertices and 2 polygons, B has 6 and 2; the first polygon that differs is number 0 (counted from 0): vertices 0, 1, 2 in A, 0, 5, 2 in B; both must come from one mesh, exported with the same settings"},
  {FM_ERROR_ARGUMENT, "a head of the caller's own points to what it does not have", render, "out of range",
   "head 0 has an index or an image that is out of range; fm_prepare_mesh says which one"},
  {FM_ERROR_ARGUMENT, "a frame's size makes no sense", render, "frame width",
   "frame 0: a picture is 1 to 16384 pixels wide and high, not 20000 x 32"},
  {FM_ERROR_ARGUMENT, "a renderer's user gives a wrong lane", render, "submit lane",
   "submit: there is no lane of that number; begin returned how many there are"},
  {FM_ERROR_ARGUMENT, "a renderer's user does not collect", render, "submit twice",
   "submit: the lane still holds a frame; collect it first"},
  {FM_ERROR_ARGUMENT, "fm_frame.shape_weights is NULL", render, "no weights",
   "submit: the frame has no shape_weights"},
  {FM_ERROR_ARGUMENT, "a frame's size makes no sense, given to the renderer itself", render, "width",
   "a picture is 1 to 16384 pixels wide and high"},
  {FM_ERROR_ARGUMENT, "fm_frame.samples makes no sense", render, "samples",
   "samples must be 1 or 4"},
  {FM_ERROR_ARGUMENT, "fm_frame.ambient makes no sense", render, "ambient",
   "ambient must be between 0 and 1"},
  {FM_ERROR_ARGUMENT, "weights that are no numbers", render, "weights",
   "weights must be finite numbers"},
  {FM_ERROR_ARGUMENT, "fm_frame.camera makes no sense", render, "camera",
   "a camera's scale, distance and half_extent must lie between 1e-18 and 1e18, its center below 1e18, its angles be finite"},
  {FM_ERROR_ARGUMENT, "a renderer's user collects what was not submitted", render, "collect without",
   "collect: this lane holds no frame"},
  {FM_ERROR_ARGUMENT, "a renderer's user gives another image", render, "collect",
   "collect: the image does not have the frame's size and channels"},
  {FM_ERROR_RENDERER, "the caller's renderer fails in begin and gives no reason", render, "begin",
   "the renderer \"mine\" could not begin; its begin must say why through fm_set_error"},
  {FM_ERROR_RENDERER, "the caller's renderer fails in a frame and gives no reason", render, "fails",
   "the renderer failed without a word; its submit and collect must say why through fm_set_error"},
  {FM_ERROR_CANCELLED, "the caller's sink returns false", render, "sink",
   "stopped by the sink"},
  {FM_ERROR_TOPOLOGY, "fm_check_topology is given NULL (in its report)", topology, "",
   "there are not two meshes"},
  HEADING("Writing"),
  {FM_ERROR_ARGUMENT, "fm_png_desc.texts has a keyword that PNG does not allow", write_png, "keyword",
   "a PNG text's keyword must be 1 to 79 printable Latin-1 characters"},
  {FM_ERROR_ARGUMENT, "fm_png_desc.texts ends behind a keyword", write_png, "text",
   "the PNG text \"Title\" has a keyword, but no text behind it"},
  {FM_ERROR_ARGUMENT, "the image is none", write_png, "image",
   "a PNG needs an image of at least 1 x 1 pixels with 1 to 4 channels"},
  {FM_ERROR_ARGUMENT, "fm_write_png is given nowhere to write to", write_png, "no write",
   "a PNG needs a sink with a write function"},
  {FM_ERROR_WRITE, "the caller's sink returns false", write_png, "sink",
   "the sink did not take the PNG: its write returned false"},
  {FM_ERROR_ARGUMENT, "fm_write_png_file is given no path", write_png, "path",
   "a PNG file needs a path"},
  HEADING("A run"),
  {FM_ERROR_ARGUMENT, "fm_run is given nothing", session, "NULL",
   "fm_run needs a description of the run"},
  {FM_ERROR_ARGUMENT, "there are no heads", session, "no paths",
   "a run needs path_a and path_b, or heads"},
  {FM_ERROR_ARGUMENT, "one of fm_session_desc.heads is NULL", session, "NULL head",
   "head 2 is NULL"},
  {FM_ERROR_ARGUMENT, "head_count is 0", session, "no heads",
   "a run needs at least one head"},
  {FM_ERROR_ARGUMENT, "a head of the caller's own was not prepared", session, "unprepared",
   "head 1 has no triangles yet; call fm_prepare_mesh first"},
  {FM_ERROR_FORMAT, "a file of points alone", session, "empty",
   "anna: holds no polygon to draw; export the head's mesh with its polygons"},
  {FM_ERROR_TOPOLOGY, "the heads come from different meshes", session, "polygon",
   "anna and bert cannot be morphed: A has 6 vertices and 2 polygons, B has 6 and 2; the first polygon that differs is number 0 (counted from 0): vertices 0, 1, 2 in A, 0, 5, 2 in B. Both heads must come from one mesh, exported with the same settings"},
  {FM_ERROR_TOPOLOGY, "parts of one head are missing", session, "fewer polygons",
   "anna and bert cannot be morphed: A has 6 vertices and 2 polygons, B has 6 and 1; their first 1 polygons are equal. Both heads must come from one mesh, exported with the same settings"},
  {FM_OK, "the heads' UVs differ", session, "UVs",
   "anna and bert: UVs differ at 1 of 6 corners, first at corner 1 (vertex 1); each texture is sampled with its own head's UVs"},
  {FM_OK, "one head is in metres, the other in centimetres", session, "tall",
   "heights differ more than 5 times: anna is 24 units of its file high, bert is 2200 units of its file; --scale-b (scale_b) multiplies B's positions"},
  {FM_OK, "a head's texture is missing", session, "one texture",
   "only 1 of 2 heads have a texture: the morph shows shape alone, in grey; give each head its texture to see these as well"},
  {FM_ERROR_ARGUMENT, "--frames makes no sense", session, "frames",
   "frames must be 2 to 1001, not 1"},
  {FM_ERROR_ARGUMENT, "both kinds of weights are given", session, "rows and lists",
   "weight_rows and lists of weights exclude each other; give one of them"},
  {FM_ERROR_ARGUMENT, "weight_row_count is missing", session, "no rows",
   "weight_rows is given, but weight_row_count is 0"},
  {FM_ERROR_ARGUMENT, "three heads or one, without weight_rows", session, "one head",
   "a run of 1 heads needs weight_rows; steps and lists of weights are for two"},
  {FM_ERROR_ARGUMENT, "--frames and --weights contradict each other", session, "frames and weights",
   "5 frames were asked for, but 2 weights given; leave --frames out"},
  {FM_ERROR_ARGUMENT, "--shape-weights and --texture-weights are not equally long", session, "two lists",
   "the lists of weights have 2 and 3 values; they must be equally long, or one value"},
  {FM_ERROR_ARGUMENT, "a weight makes no sense", session, "weight",
   "frame 1: a weight must be a number between -1000000 and 1000000"},
  {FM_ERROR_ARGUMENT, "--distance makes no sense", session, "distance",
   "the camera's distance must be above 0"},
  {FM_ERROR_ARGUMENT, "--fov makes no sense", session, "fov",
   "the field of view must be above 0 and below 179 degrees"},
  {FM_ERROR_ARGUMENT, "--yaw or --pitch makes no sense", session, "yaw",
   "yaw and pitch must be finite angles"},
  {FM_ERROR_ARGUMENT, "fm_session_desc.camera makes no sense, or the heads are far too large or small", session, "camera",
   "the camera's scale, distance and half_extent must lie between 1e-18 and 1e18, its center below 1e18; are the heads' positions sensible?"},
  {FM_ERROR_ARGUMENT, "--samples makes no sense", session, "samples",
   "samples must be 1 or 4, not 3"},
  {FM_ERROR_ARGUMENT, "--size makes no sense", session, "size",
   "a picture is 1 to 16384 pixels wide and high, not 20000 x 8"},
  {FM_ERROR_ARGUMENT, "--run is no folder's name", session, "name",
   "the run's name \"a/b\" must be a plain folder name without slashes"},
  {FM_ERROR_WRITE, "a folder cannot be made", session, "folder",
   "results: the folder cannot be made; check the path and the permissions"},
  {FM_ERROR_EXISTS, "a run of this name is there already", session, "exists",
   "results/taken: there is already a run of that name; choose another name or remove the folder"},
  {FM_ERROR_EXISTS, "a joined run has these heads already", session, "joined",
   "results/taken/anna~#_bert~#: this run already holds a result for these heads; give the run another name"}};

/* ---- checking and printing it ---- */

static bool is_digit(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); }
/* Are they equal, each '#' of `words` being a number, decimal or hexadecimal? */
static bool is_message(const char *words, const char *message) {
  for (; *words; words++) {
    if (*words == '#') {
      if (!is_digit(*message)) return false;
      while (is_digit(*message)) message++;
    } else if (*message++ != *words) return false;
  }
  return *message == 0;
}

/* The number behind a word between colons, as in "head.obj: line 3: ..."; or `none`. */
static uint64_t number_behind(const char *message, const char *word, uint64_t none) {
  const char *p = strstr(message, word);
  char *stop;
  if (!p) return none;
  unsigned long long number = strtoull(p + strlen(word), &stop, 10);
  return stop > p + strlen(word) && *stop == ':' ? (uint64_t)number : none;
}

static void check_row(const row *r) {
  bool found = false;
  reset_world();
  r->provoke(r);
  if ((int)error.status != (int)r->status) printf("%s: %s\n", fm_status_words(error.status), error.message);
  CHECK_INT(error.status, r->status);
  if (r->status == FM_OK) {
    for (int i = 0; i < warning_count && !found; i++) found = is_message(r->message, warnings[i]);
    if (!found) CHECK_TEXT(warning_count ? warnings[0] : "no warning", r->message);
    return;
  }
  if (!is_message(r->message, error.message)) CHECK_TEXT(error.message, r->message);
  CHECK_INT(error.line, number_behind(error.message, ": line ", 0));
  CHECK(error.offset == number_behind(error.message, ": byte ", FM_NO_OFFSET));
  CHECK(strncmp(error.message, error.file, strlen(error.file)) == 0);
  CHECK(!strchr(error.message, '\n') && strlen(error.message) + 1 < sizeof error.message);
}
static void test_messages(void) {
  for (size_t i = 0; i < FMI_COUNT(rows); i++)
    if (rows[i].when) check_row(&rows[i]);
}

static const char *status_name(fm_status status) {
#define STATUS_NAME(name, words) if (status == name) return #name;
  FM_STATUS_LIST(STATUS_NAME)
#undef STATUS_NAME
  return "";
}
/* A cell of a Markdown table: what Markdown would take for its own is escaped. */
static void print_cell(const char *words) {
  for (; *words; words++) {
    if (strchr("|*_<>\\", *words)) putchar('\\');
    putchar(*words);
  }
}
static void print_table(void) {
  printf("# Messages\n\n"
         "Every refusal and every warning of facemorph.h, with an example. The example begins with the file's name and, where there is\n"
         "one, the place in it; # stands for a number that may be another elsewhere. Warnings are those of `fm_mesh.warnings` and of the log.\n\n"
         "Written by `build/tests/test_messages --table > tests/messages.md`; `tests/test_messages.c` provokes each of them.\n");
  for (size_t i = 0; i < FMI_COUNT(rows); i++) {
    const row *r = &rows[i];
    if (!r->when) {
      printf("\n## %s\n\n| Status | Message | When |\n| --- | --- | --- |\n", r->message);
      continue;
    }
    printf("| %s | ", r->status == FM_OK ? "warning" : status_name(r->status));
    print_cell(r->message);
    printf(" | %s |\n", r->when);
  }
}

int main(int argc, char **argv) {
  static const test_case cases[] = {{"every message", test_messages}};
  const char *option = argc > 1 ? argv[1] : "";
  if (strcmp(option, "--table") == 0) { print_table(); return 0; }
  if (strcmp(option, "--list") == 0) {
    for (size_t i = 0; i < FMI_COUNT(rows); i++)
      if (rows[i].when) printf("%s\n", rows[i].message);
    return 0;
  }
  return test_run_all(__FILE__, cases, FMI_COUNT(cases));
}
