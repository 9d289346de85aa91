/* facemorph info FILE: what is in a mesh or an image file. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

static const char *format_name(fm_format format, bool for_people) {
  switch (format) {
    case FM_FORMAT_FBX: return for_people ? "FBX" : "fbx";
    case FM_FORMAT_FBX_ASCII: return for_people ? "FBX (text)" : "fbx";
    case FM_FORMAT_OBJ: return for_people ? "OBJ" : "obj";
    case FM_FORMAT_PNG: return for_people ? "PNG" : "png";
    case FM_FORMAT_JPEG: return for_people ? "JPEG" : "jpeg";
    case FM_FORMAT_TGA: return for_people ? "TGA" : "tga";
    case FM_FORMAT_BMP: return for_people ? "BMP" : "bmp";
    case FM_FORMAT_UNKNOWN: break;
  }
  return for_people ? "of unknown format" : "unknown";
}

/* By content; a file too damaged to tell is left to the reader that its extension names, for a better message. */
static fm_format identify(const char *path) {
  static const struct { const char *extension; fm_format format; } extensions[] = {
    {".png", FM_FORMAT_PNG}, {".jpg", FM_FORMAT_JPEG}, {".jpeg", FM_FORMAT_JPEG}, {".tga", FM_FORMAT_TGA},
    {".bmp", FM_FORMAT_BMP}};
  unsigned char start[4096];
  fm_format format = FM_FORMAT_UNKNOWN;
  FILE *file = fopen(path, "rb");
  if (file) {
    format = fm_identify(start, fread(start, 1, sizeof start, file));
    fclose(file);
  }
  for (size_t i = 0; i < CLI_COUNT(extensions) && format == FM_FORMAT_UNKNOWN; i++) {
    size_t length = strlen(path), size = strlen(extensions[i].extension), same = 0;
    if (length < size) continue;
    while (same < size && (path[length - size + same] | 32) == (extensions[i].extension[same] | 32)) same++;
    if (same == size) format = extensions[i].format;
  }
  return format;
}

static bool is_image(fm_format format) {
  return format == FM_FORMAT_PNG || format == FM_FORMAT_JPEG || format == FM_FORMAT_TGA || format == FM_FORMAT_BMP;
}

/* ---- images ---- */

static void sum_colours(const fm_image *image, double sum[3]) {
  size_t count = (size_t)image->width * (size_t)image->height, step = (size_t)image->channels;
  uint64_t sums[3] = {0, 0, 0};
  for (size_t i = 0; i < count; i++)
    for (size_t c = 0; c < 3; c++) sums[c] += image->pixels[i * step + (step < 3 ? 0 : c)];
  for (size_t c = 0; c < 3; c++) sum[c] = (double)sums[c];
}

static int image_info(const char *path, fm_format format, bool json) {
  static const char *const kinds[] = {"", "grey", "grey and alpha", "RGB", "RGBA"};
  fm_image image;
  fm_error error;
  double sum[3];
  if (!fm_load_image_file(&image, path, NULL, &error)) return cli_fail(CLI_FAILED, "%s", error.message);
  sum_colours(&image, sum);
  if (json) {
    cli_json_writer writer = {stdout, 0, {0}, {false}};
    cli_json_open(&writer, NULL, '{');
    cli_json_text(&writer, "format", format_name(format, false));
    cli_json_number(&writer, "width", image.width);
    cli_json_number(&writer, "height", image.height);
    cli_json_number(&writer, "channels", image.channels);
    cli_json_numbers(&writer, "rgb_sum", sum, 3);
    cli_json_close(&writer);
  } else {
    double count = (double)image.width * (double)image.height;
    cli_put(stdout, path);
    printf(": %s, %d x %d pixels, %s, mean colour", format_name(format, true), image.width, image.height,
           kinds[image.channels]);
    for (int c = 0; c < 3; c++) printf(" %d", (int)(sum[c] / count + 0.5));
    printf("\n");
  }
  fm_free_image(&image);
  return CLI_OK;
}

/* ---- meshes ---- */

typedef struct extent { double low[3], high[3], sum[3]; } extent;

static extent mesh_extent(const fm_mesh *mesh) {
  extent e = {{0, 0, 0}, {0, 0, 0}, {0, 0, 0}};
  for (size_t i = 0; i < mesh->vertex_count; i++)
    for (int k = 0; k < 3; k++) {
      double x = (double)mesh->positions[3 * i + (size_t)k];
      if (i == 0 || x < e.low[k]) e.low[k] = x;
      if (i == 0 || x > e.high[k]) e.high[k] = x;
      e.sum[k] += x;
    }
  return e;
}

static const fm_texture *texture_of(const fm_mesh *mesh, uint32_t index) {
  return index == FM_NONE || index >= mesh->texture_count ? NULL : &mesh->textures[index];
}

static void mesh_json(const fm_mesh *mesh) {
  cli_json_writer json = {stdout, 0, {0}, {false}};
  extent e = mesh_extent(mesh);
  cli_json_open(&json, NULL, '{');
  cli_json_text(&json, "format", format_name(mesh->format, false));
  if (mesh->format == FM_FORMAT_FBX) cli_json_number(&json, "version", mesh->version);
  cli_json_open(&json, "mesh", '{');
  cli_json_number(&json, "vertices", (double)mesh->vertex_count);
  cli_json_number(&json, "polygons", (double)mesh->polygon_count);
  cli_json_number(&json, "corners", (double)mesh->corner_count);
  cli_json_number(&json, "triangles", (double)mesh->triangle_count);
  cli_json_numbers(&json, "bounds_min", e.low, 3);
  cli_json_numbers(&json, "bounds_max", e.high, 3);
  cli_json_numbers(&json, "position_sum", e.sum, 3);
  cli_json_close(&json);
  cli_json_open(&json, "parts", '[');
  for (size_t i = 0; i < mesh->part_count; i++) {
    const fm_part *part = &mesh->parts[i];
    cli_json_open(&json, NULL, '{');
    cli_json_text(&json, "name", part->name ? part->name : "");
    cli_json_number(&json, "vertices", (double)part->stored_vertices);
    cli_json_number(&json, "polygons", (double)part->stored_polygons);
    cli_json_number(&json, "corners", (double)part->stored_corners);
    cli_json_number(&json, "triangles", (double)part->stored_triangles);
    cli_json_numbers(&json, "local_sum", part->stored_sum, 3);
    if (part->has_uvs) cli_json_numbers(&json, "uv_sum", part->uv_sum, 2);
    else cli_json_text(&json, "uv_sum", NULL);
    cli_json_number(&json, "instances", (double)part->instance_count);
    cli_json_close(&json);
  }
  cli_json_close(&json);
  cli_json_open(&json, "materials", '[');
  for (size_t i = 0; i < mesh->material_count; i++) {
    const fm_texture *texture = texture_of(mesh, mesh->materials[i].texture);
    cli_json_open(&json, NULL, '{');
    cli_json_text(&json, "name", mesh->materials[i].name ? mesh->materials[i].name : "");
    cli_json_text(&json, "texture", texture ? texture->name : NULL);
    cli_json_bool(&json, "embedded", texture && texture->embedded);
    cli_json_number(&json, "width", texture ? texture->image.width : 0);
    cli_json_number(&json, "height", texture ? texture->image.height : 0);
    cli_json_close(&json);
  }
  cli_json_close(&json);
  cli_json_open(&json, "blend_shapes", '[');
  for (size_t i = 0; i < mesh->blend_shape_count; i++) cli_json_text(&json, NULL, mesh->blend_shapes[i]);
  cli_json_close(&json);
  cli_json_open(&json, "warnings", '[');
  for (size_t i = 0; i < mesh->warning_count; i++) cli_json_text(&json, NULL, mesh->warnings[i]);
  cli_json_close(&json);
  cli_json_close(&json);
}

/* A length with three digits behind the point (a tenth of a percent of a head), which is enough to look at. */
static void put_length(double value) {
  char text[32];
  if (value > -1e12 && value < 1e12) value = (double)(int64_t)(value * 1000.0 + (value < 0.0 ? -0.5 : 0.5)) / 1000.0;
  fputs(cli_double(text, value), stdout);
}

static void put_row(const char *label) { printf("  %-13s ", label); }

static void mesh_summary(const char *path, const fm_mesh *mesh) {
  extent e = mesh_extent(mesh);
  bool metric = mesh->metres_per_unit > 0.0;
  cli_put(stdout, path);
  printf(": %s", format_name(mesh->format, true));
  if (mesh->format == FM_FORMAT_FBX) printf(" %d.%d", mesh->version / 1000, mesh->version / 100 % 10);
  printf("\n");
  put_row("vertices");
  printf("%zu\n", mesh->vertex_count);
  put_row("polygons");
  printf("%zu (%zu corners, %zu triangles)\n", mesh->polygon_count, mesh->corner_count, mesh->triangle_count);
  put_row("size");
  for (int k = 0; k < 3; k++) {
    if (k) fputs(" x ", stdout);
    put_length(e.high[k] - e.low[k]);
  }
  fputs(metric ? " m\n" : " (the file has no unit)\n", stdout);
  put_row("bounds");
  for (int k = 0; k < 3; k++) {
    printf("%s%c ", k ? ", " : "", "xyz"[k]);
    put_length(e.low[k]);
    fputs(" to ", stdout);
    put_length(e.high[k]);
  }
  printf("\n");
  for (size_t i = 0; i < mesh->part_count; i++) {
    const fm_part *part = &mesh->parts[i];
    put_row(i ? "" : mesh->part_count > 1 ? "parts" : "part");
    cli_put(stdout, part->name && *part->name ? part->name : "(no name)");
    printf(": %zu vertices, %zu polygons%s", part->stored_vertices, part->stored_polygons, part->has_uvs ? "" : ", no UVs");
    if (part->instance_count != 1) printf(", %zu instances", part->instance_count);
    printf("\n");
  }
  for (size_t i = 0; i < mesh->material_count; i++) {
    const fm_texture *texture = texture_of(mesh, mesh->materials[i].texture);
    put_row(i ? "" : mesh->material_count > 1 ? "materials" : "material");
    cli_put(stdout, mesh->materials[i].name && *mesh->materials[i].name ? mesh->materials[i].name : "(no name)");
    if (texture) {
      fputs(": ", stdout);
      cli_put(stdout, texture->name ? texture->name : "(no name)");
      if (texture->image.width) printf(", %d x %d", texture->image.width, texture->image.height);
      else fputs(", not available", stdout);
      if (texture->embedded) fputs(", embedded", stdout);
    } else {
      fputs(": no texture", stdout);
    }
    printf("\n");
  }
  for (size_t i = 0; i < mesh->blend_shape_count; i++) {
    put_row(i ? "" : "blend shapes");
    cli_put(stdout, mesh->blend_shapes[i]);
    printf("\n");
  }
  for (size_t i = 0; i < mesh->warning_count; i++) {
    put_row(i ? "" : mesh->warning_count > 1 ? "warnings" : "warning");
    cli_put(stdout, mesh->warnings[i]);
    printf("\n");
  }
}

static int mesh_info(const char *path, bool json) {
  fm_error error;
  fm_mesh *mesh = fm_load_mesh(path, NULL, &error);
  if (!mesh) return cli_fail(CLI_FAILED, "%s", error.message);
  if (json) mesh_json(mesh);
  else mesh_summary(path, mesh);
  fm_free_mesh(mesh);
  return CLI_OK;
}

int cli_info(int argc, char **argv) {
  static const char head[] =
    "usage: facemorph info FILE [--json]\n\n"
    "Says what is in a mesh (FBX, OBJ) or an image (PNG, JPEG, TGA, BMP).\n\n";
  bool json = false, help = false, version = false;
  const cli_flag flags[] = {
    {.name = "--json", .help = "one JSON object with all counts, bounds, parts, materials and warnings",
     .read = cli_read_switch, .target = &json},
    {.name = "--help", .letter = 'h', .help = "this text", .read = cli_read_switch, .target = &help},
    {.name = "--version", .help = "the version", .read = cli_read_switch, .target = &version},
  };
  const char *path = NULL;
  size_t count;
  int code = cli_parse("info", flags, CLI_COUNT(flags), argc, argv, &path, 1, &count);
  if (code != CLI_OK) return code;
  if (help) return cli_help(head, flags, CLI_COUNT(flags)), CLI_OK;
  if (version) return printf("facemorph %s\n", fm_version()), CLI_OK;
  if (count != 1) return cli_fail(CLI_USAGE, "info takes one file, not %zu (facemorph info --help says more)", count);
  fm_format format = identify(path);
  return is_image(format) ? image_info(path, format, json) : mesh_info(path, json);
}
