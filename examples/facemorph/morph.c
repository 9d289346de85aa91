/* facemorph morph A B: two heads in, the frames of the morph between them out. */
#include "cli.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct options {
  const char *out_dir, *run_name, *only, *exclude, *fit;
  int frames, samples, cull, alpha, simd, threads; /* samples, cull, alpha, simd: which choice */
  int size[2];
  cli_numbers weights, shape_weights, texture_weights;
  cli_number distance, fov, yaw, pitch, scale_b;
  struct { bool set, none; uint8_t rgb[3]; } background;
  bool reverse, unlit, no_fit, help, version;
  bool cpu, minimal, no_amp, blender;        /* of the system that facemorph replaces */
  fm_log_level level;
} options;

/* ---- flags that only this command has ---- */

static bool read_run_name(const cli_flag *flag, const char *value) {
  return cli_read_text(flag, value) && !strpbrk(value, "/\\") && strcmp(value, ".") != 0 && strcmp(value, "..") != 0;
}

static bool read_side(const char *text, size_t length, int *side) {
  double value;
  if (length == 0 || length > 5 || strspn(text, "0123456789") < length) return false;
  fm_parse_double(text, text + length, &value);
  *side = (int)value;
  return value >= 1.0 && value <= 16384.0;
}

static bool read_size(const cli_flag *flag, const char *value) {
  int *size = (int *)flag->target;
  size_t length = strcspn(value, "xX");
  if (!value[length]) return read_side(value, length, &size[0]) && read_side(value, length, &size[1]);
  return read_side(value, length, &size[0]) && read_side(value + length + 1, strlen(value + length + 1), &size[1]);
}

static bool read_distance(const cli_flag *flag, const char *value) {
  cli_number *number = (cli_number *)flag->target;
  if (strcmp(value, "inf") != 0) return cli_read_number(flag, value);
  number->given = true;
  number->value = (double)INFINITY;
  return true;
}

static bool read_background(const cli_flag *flag, const char *value) {
  options *o = (options *)flag->target;
  o->background.none = strcmp(value, "none") == 0;
  if (o->background.none) return true;
  if (*value == '#') value++;
  if (strlen(value) != 6 || value[strspn(value, "0123456789abcdefABCDEF")]) return false;
  unsigned long rgb = strtoul(value, NULL, 16);
  for (int c = 0; c < 3; c++) o->background.rgb[c] = (uint8_t)(rgb >> (16 - 8 * c) & 255);
  o->background.set = true;
  return true;
}

static int parse(int argc, char **argv, options *o, const char *files[2]) {
  static const char head[] =
    "usage: facemorph morph A B [flags]\n\n"
    "Reads two heads of the same topology (FBX or OBJ, with their textures) and draws the frames of the morph\n"
    "between them into DIR/RUN/<a>_<b>/png.\n";
  const cli_flag flags[] = {
    {.help = "results"},
    {.name = "--out", .letter = 'o', .value = "DIR", .help = "folder for results (results)",
     .read = cli_read_text, .target = &o->out_dir, .allowed = "a folder"},
    {.name = "--run", .value = "NAME", .help = "name of this run's folder (date and time, UTC)",
     .read = read_run_name, .target = &o->run_name, .allowed = "a folder's name, without a path"},
    {.name = "--threads", .letter = 'j', .value = "N", .help = "threads (0: one for each processor)",
     .read = cli_read_integer, .target = &o->threads, .least = 0, .most = 256, .allowed = "a whole number from 0 to 256"},
    {.name = "--simd", .value = "LEVEL", .help = "instruction set: scalar, sse2, avx2, avx512, neon (the best there is)",
     .read = cli_read_choice, .target = &o->simd, .allowed = "best|scalar|sse2|avx2|avx512|neon"}, /* in fm_simd's order */
    {.name = "--quiet", .letter = 'q', .help = "errors only",
     .read = cli_read_level, .target = &o->level, .least = FM_LOG_ERROR},
    {.name = "--verbose", .letter = 'v', .help = "more details",
     .read = cli_read_level, .target = &o->level, .least = FM_LOG_DETAIL},

    {.help = "frames"},
    {.name = "--frames", .value = "N", .help = "number of frames, from B to A in equal steps (41)",
     .read = cli_read_integer, .target = &o->frames, .least = 2, .most = 1001, .allowed = "a whole number from 2 to 1001"},
    {.name = "--weights", .value = "W,W,...", .help = "weights of A, one a frame; B has the rest to 1; may leave 0 to 1",
     .read = cli_read_numbers, .target = &o->weights, .allowed = "numbers with commas between"},
    {.name = "--shape-weights", .value = "W,W,...", .help = "other weights for the shape; one value: constant",
     .read = cli_read_numbers, .target = &o->shape_weights, .allowed = "numbers with commas between"},
    {.name = "--texture-weights", .value = "W,W,...", .help = "other weights for the texture; one value: constant",
     .read = cli_read_numbers, .target = &o->texture_weights, .allowed = "numbers with commas between"},
    {.name = "--reverse", .help = "video and pages play from A to B", .read = cli_read_switch, .target = &o->reverse},

    {.help = "picture"},
    {.name = "--size", .value = "N|WxH", .help = "pixels (512)",
     .read = read_size, .target = o->size, .allowed = "one side or WIDTHxHEIGHT, from 1 to 16384 pixels"},
    {.name = "--samples", .value = "1|4", .help = "samples a pixel (4)",
     .read = cli_read_choice, .target = &o->samples, .allowed = "1|4"},
    {.name = "--unlit", .help = "textures as they are, without light", .read = cli_read_switch, .target = &o->unlit},
    {.name = "--background", .value = "RRGGBB|none", .help = "colour (ffffff), or transparent",
     .read = read_background, .target = o, .allowed = "six hexadecimal digits, or none"},
    {.name = "--cull", .value = "none|back", .help = "leave out polygons seen from behind (none)",
     .read = cli_read_choice, .target = &o->cull, .allowed = "none|back"},
    {.name = "--alpha", .value = "cutout|ignore", .help = "what the alpha of a texture does (cutout)",
     .read = cli_read_choice, .target = &o->alpha, .allowed = "cutout|ignore"},

    {.help = "camera"},
    {.name = "--fit", .value = "pair|none|FILE",
     .help = "fit the camera to both heads (pair), to nothing, or take it\nfrom another run: its folder or record.json",
     .read = cli_read_text, .target = &o->fit, .allowed = "pair, none, or another run's folder or record.json"},
    {.name = "--no-fit", .help = "the same as --fit none", .read = cli_read_switch, .target = &o->no_fit},
    {.name = "--distance", .value = "D|inf", .help = "of the eye, in half-heights; inf: orthographic",
     .read = read_distance, .target = &o->distance, .least = 0.01, .most = 1e6,
     .allowed = "a number from 0.01 to 1000000, or inf"},
    {.name = "--fov", .value = "D", .help = "vertical field of view in degrees (60)",
     .read = cli_read_number, .target = &o->fov, .least = 0.1, .most = 179, .allowed = "degrees from 0.1 to 179"},
    {.name = "--yaw", .value = "D", .help = "turn the heads, in degrees; above 0: the face towards +X",
     .read = cli_read_number, .target = &o->yaw, .least = -1e6, .most = 1e6, .allowed = "degrees"},
    {.name = "--pitch", .value = "D", .help = "then nod them, in degrees; above 0: the face up",
     .read = cli_read_number, .target = &o->pitch, .least = -1e6, .most = 1e6, .allowed = "degrees"},

    {.help = "heads"},
    {.name = "--only", .value = "NAME,...", .help = "load these parts or materials alone (* and ? match)",
     .read = cli_read_text, .target = &o->only, .allowed = "names with commas between"},
    {.name = "--exclude", .value = "NAME,...", .help = "leave these parts or materials out",
     .read = cli_read_text, .target = &o->exclude, .allowed = "names with commas between"},
    {.name = "--scale-b", .value = "S", .help = "multiply B's positions, for heads in different units",
     .read = cli_read_number, .target = &o->scale_b, .least = 1e-9, .most = 1e9, .allowed = "a number from 1e-9 to 1e9"},

    {.help = "accepted for old scripts"},
    {.name = "--cpu", .help = "everything runs on the processor", .read = cli_read_ignored, .target = &o->cpu},
    {.name = "--minimal", .help = "this is the default", .read = cli_read_ignored, .target = &o->minimal},
    {.name = "--no-amp", .help = "there is no mixed precision to switch off", .read = cli_read_ignored, .target = &o->no_amp},
    {.name = "--blender", .value = "PATH", .help = "files are read without Blender", .read = cli_read_ignored,
     .target = &o->blender, .allowed = "a path"},

    {.help = "other"},
    {.name = "--help", .letter = 'h', .help = "this text", .read = cli_read_switch, .target = &o->help},
    {.name = "--version", .help = "the version", .read = cli_read_switch, .target = &o->version},
  };
  size_t count;
  int code = cli_parse("morph", flags, CLI_COUNT(flags), argc, argv, files, 2, &count);
  if (code != CLI_OK) return code;
  if (o->help) return cli_help(head, flags, CLI_COUNT(flags)), CLI_OK;
  if (o->version) return printf("facemorph %s\n", fm_version()), CLI_OK;
  if (count != 2)
    return cli_fail(CLI_USAGE, "morph takes two files, A and B, not %zu (facemorph morph --help says more)", count);
  if (o->level > FM_LOG_ERROR) cli_tell_ignored(flags, CLI_COUNT(flags));
  return CLI_OK;
}

/* ---- flags that do not go together ---- */

static bool fit_is_file(const options *o) { return strcmp(o->fit, "pair") != 0 && strcmp(o->fit, "none") != 0; }

static int check(const options *o) {
  const struct { const char *name; const cli_numbers *list; } lists[] = {
    {"--weights", &o->weights}, {"--shape-weights", &o->shape_weights}, {"--texture-weights", &o->texture_weights}};
  const char *first = o->frames ? "--frames" : NULL;
  size_t frames = (size_t)o->frames;
  for (size_t i = 0; i < CLI_COUNT(lists); i++) {
    size_t count = lists[i].list->count;
    if (count == 0 || (count == 1 && i > 0)) continue;
    if (first && frames != count)
      return cli_fail(CLI_USAGE, "%s gives %zu frames, but %s gives %zu; leave one out or make them equal",
                      lists[i].name, count, first, frames);
    first = lists[i].name;
    frames = count;
  }
  if (o->no_fit && fit_is_file(o))
    return cli_fail(CLI_USAGE, "--no-fit and --fit %s contradict each other", o->fit);
  if (fit_is_file(o) && (o->distance.given || o->fov.given))
    return cli_fail(CLI_USAGE, "%s has no effect with --fit %s, which takes the whole view from there; leave one out",
                    o->distance.given ? "--distance" : "--fov", o->fit);
  return CLI_OK;
}

/* ---- another run's camera ---- */

static bool get_number(const cli_json *object, const char *key, double *value) {
  const cli_json *member = cli_json_member(object, key);
  if (!member || member->kind != CLI_JSON_NUMBER) return false;
  *value = member->number;
  return *value - *value == 0.0;
}

static bool get_camera(const cli_json *from, fm_camera *camera) {
  const cli_json *center = cli_json_member(from, "center"), *distance = cli_json_member(from, "distance");
  const cli_json *item = center ? center->first : NULL;
  for (int k = 0; k < 3; k++, item = item->next) {
    if (!item || item->kind != CLI_JSON_NUMBER) return false;
    camera->center[k] = item->number;
  }
  if (distance && distance->kind == CLI_JSON_TEXT && strcmp(distance->text, "inf") == 0) camera->distance = (double)INFINITY;
  else if (!get_number(from, "distance", &camera->distance)) return false;
  return get_number(from, "scale", &camera->scale) && get_number(from, "yaw", &camera->yaw) &&
         get_number(from, "pitch", &camera->pitch) && get_number(from, "half_extent", &camera->half_extent) &&
         camera->scale > 0.0 && camera->distance > 0.0 && camera->half_extent > 0.0;
}

static bool readable(const char *path) {
  FILE *file = fopen(path, "rb");
  if (!file) return false;
  bool ok = fgetc(file) != EOF || !ferror(file); /* a folder can be opened on some systems, but not read */
  fclose(file);
  return ok;
}

/* path: a record, or the folder it lies in. */
static int load_camera(const char *path, fm_camera *camera) {
  static const char name[] = "/record.json";
  char *inside = (char *)malloc(strlen(path) + sizeof name);
  if (!inside) return cli_fail(CLI_FAILED, "no memory");
  strcpy(inside, path);
  strcat(inside, name);
  const char *record = readable(inside) ? inside : path;
  cli_json_file file = {NULL, NULL};
  int code = CLI_FAILED;
  memset(camera, 0, sizeof *camera);
  if (!readable(record)) {
    cli_fail(code, "--fit %s: neither pair nor none, and no record.json can be read there", path);
  } else if (cli_json_read(&file, record)) {
    if (get_camera(cli_json_member(file.root, "camera"), camera)) code = CLI_OK;
    else cli_fail(code, "%s: holds no camera; --fit takes the record.json of a finished run", record);
  }
  cli_json_free(&file);
  free(inside);
  return code;
}

/* ---- the run ---- */

static void describe(const options *o, const char *const files[2], fm_session_desc *desc) {
  desc->path_a = files[0];
  desc->path_b = files[1];
  desc->out_dir = o->out_dir;
  desc->run_name = o->run_name;
  desc->frames = o->frames;
  desc->weights = o->weights.values;
  desc->weight_count = o->weights.count;
  desc->shape_weights = o->shape_weights.values;
  desc->shape_weight_count = o->shape_weights.count;
  desc->texture_weights = o->texture_weights.values;
  desc->texture_weight_count = o->texture_weights.count;
  desc->reverse = o->reverse;
  desc->width = o->size[0];
  desc->height = o->size[1];
  desc->samples = o->samples ? 4 : 1;
  desc->no_fit = o->no_fit || strcmp(o->fit, "none") == 0;
  desc->distance = o->distance.value;
  desc->fov = o->fov.value;
  desc->yaw = o->yaw.value;
  desc->pitch = o->pitch.value;
  desc->unlit = o->unlit;
  desc->cull = o->cull ? FM_CULL_BACK : FM_CULL_NONE;
  desc->ignore_alpha = o->alpha == 1;
  desc->transparent = o->background.none;
  desc->background_set = o->background.set;
  memcpy(desc->background, o->background.rgb, 3);
  desc->only = o->only;
  desc->exclude = o->exclude;
  desc->scale_b = o->scale_b.value;
}

static int run(const options *o, const char *const files[2]) {
  fm_session_desc desc;
  fm_common common;
  fm_camera camera;
  fm_report report;
  fm_error error;
  cli_output output;
  fm_limits limits;
  memset(&limits, 0, sizeof limits);
  memset(&desc, 0, sizeof desc);
  memset(&common, 0, sizeof common);
  memset(&report, 0, sizeof report);
  memset(&output, 0, sizeof output);
  describe(o, files, &desc);
  if (fit_is_file(o)) {
    if (load_camera(o->fit, &camera) != CLI_OK) return CLI_FAILED;
    if (o->yaw.given) camera.yaw = o->yaw.value;
    if (o->pitch.given) camera.pitch = o->pitch.value;
    desc.camera = &camera;
  }
  output.level = o->level;
  /* the default limit is for what files ask for; the pictures' size is the user's own wish: room for a few of them */
  limits.memory = (size_t)900 << 20;
  size_t wanted = (size_t)desc.width * (size_t)desc.height;
  limits.memory += wanted < SIZE_MAX / 64 ? 16 * wanted : 0;
  common.limits = &limits;
  common.threads = o->threads;
  common.simd = (fm_simd)o->simd;
  common.progress = cli_show_progress;
  common.progress_user = &output;
  common.log = cli_show_log;
  common.log_user = &output;
  desc.common = &common;
  cli_catch_interrupt();
  bool done = fm_run(&desc, &report, &error);
  cli_clear_bar(&output);
  if (!done && error.status == FM_ERROR_CANCELLED && cli_interrupted()) {
    if (!report.folder[0]) return cli_fail(CLI_INTERRUPTED, "interrupted, nothing was written");
    return cli_fail(CLI_INTERRUPTED, "interrupted, %zu complete frames are in %s", report.frame_count, report.folder);
  }
  if (!done) return cli_fail(CLI_FAILED, "%s", error.message);
  if (o->level > FM_LOG_ERROR) {
    int hundredths = (int)(report.seconds * 100.0 + 0.5);
    printf("%zu frames in %d.%02d s: ", report.frame_count, hundredths / 100, hundredths % 100);
    cli_put(stdout, report.folder);
    printf("/png\n");
  }
  return CLI_OK;
}

int cli_morph(int argc, char **argv) {
  options o;
  const char *files[2] = {NULL, NULL};
  memset(&o, 0, sizeof o);
  o.fit = "pair";
  o.samples = 1; /* the second choice: 4 */
  o.level = FM_LOG_INFO;
  int code = parse(argc, argv, &o, files);
  if (code == CLI_OK && files[1] && !o.help && !o.version) {
    code = check(&o);
    if (code == CLI_OK) code = run(&o, files);
  }
  free(o.weights.values);
  free(o.shape_weights.values);
  free(o.texture_weights.values);
  return code;
}
