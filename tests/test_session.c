/* Whole runs with heads in memory and files in memory: what is written, under which names, and what a failure leaves. */
#include "scene.h"

/* A file system in memory. */
enum { MOST_FILES = 300 };
typedef struct disk_file { char path[300]; unsigned char *data; size_t size; bool folder, open; } disk_file;
typedef struct disk { disk_file files[MOST_FILES]; int count, fail_after; } disk; /* fail_after: writes until one fails, -1 never */
typedef struct disk_handle { disk *d; int index; } disk_handle;

static int disk_find(const disk *d, const char *path) {
  for (int i = 0; i < d->count; i++)
    if (strcmp(d->files[i].path, path) == 0 && !d->files[i].open) return i;
  return -1;
}
static disk_file *disk_add(disk *d, const char *path) {
  disk_file *f = &d->files[d->count++];
  if (d->count > MOST_FILES) exit(1);
  memset(f, 0, sizeof *f);
  snprintf(f->path, sizeof f->path, "%s", path);
  return f;
}
static bool disk_write(void *user, const void *data, size_t size) {
  disk_handle *h = (disk_handle *)user;
  disk_file *f = &h->d->files[h->index];
  if (h->d->fail_after >= 0 && h->d->fail_after-- == 0) return false;
  f->data = (unsigned char *)realloc(f->data, f->size + size + 1);
  memcpy(f->data + f->size, data, size);
  f->size += size;
  f->data[f->size] = 0;
  return true;
}
static bool disk_open_write(void *user, const char *path, fm_sink *out) {
  disk *d = (disk *)user;
  disk_handle *h = (disk_handle *)malloc(sizeof *h);
  disk_add(d, path)->open = true;
  h->d = d;
  h->index = d->count - 1;
  out->user = h;
  out->write = disk_write;
  return true;
}
static bool disk_close_write(void *user, fm_sink *sink, bool keep) {
  disk_handle *h = (disk_handle *)sink->user;
  disk_file *f = &((disk *)user)->files[h->index];
  f->open = false;
  if (!keep) f->path[0] = 0;
  free(h);
  return true;
}
static int disk_make_folder(void *user, const char *path) {
  disk *d = (disk *)user;
  if (disk_find(d, path) >= 0) return 0;
  disk_add(d, path)->folder = true;
  return 1;
}
static void disk_clear(disk *d) {
  for (int i = 0; i < d->count; i++) free(d->files[i].data);
  memset(d, 0, sizeof *d);
  d->fail_after = -1;
}
static bool disk_has(const disk *d, const char *path) { return disk_find(d, path) >= 0; }
static const char *disk_text(const disk *d, const char *path) {
  int i = disk_find(d, path);
  return i >= 0 && d->files[i].data ? (const char *)d->files[i].data : "";
}

/* Two small heads and a session that writes to the disk in memory. */
static scene_mesh head_a, head_b;
static const fm_mesh *heads[2];
static disk store;
static fm_common common;
static fm_files files;
static char name_a[32], name_b[32];

static fm_session_desc small_session(void) {
  static uint8_t texel_a[3] = {180, 120, 90}, texel_b[3] = {90, 60, 40};
  fm_session_desc desc;
  memset(&desc, 0, sizeof desc);
  memset(&common, 0, sizeof common);
  memset(&files, 0, sizeof files);
  disk_clear(&store);
  files.user = &store;
  files.open_write = disk_open_write;
  files.close_write = disk_close_write;
  files.make_folder = disk_make_folder;
  common.files = &files;
  common.threads = 2;
  scene_clear(&head_a);
  scene_clear(&head_b);
  scene_texture(&head_a, texel_a, 1, 1, 3);
  scene_texture(&head_b, texel_b, 1, 1, 3);
  scene_rectangle(&head_a, 4, 4, 20, 28, 0, 0);
  scene_rectangle(&head_b, 6, 4, 24, 26, 2, 0);
  strcpy(name_a, "anna");
  strcpy(name_b, "bert");
  head_a.mesh.name = name_a;
  head_b.mesh.name = name_b;
  heads[0] = &head_a.mesh;
  heads[1] = &head_b.mesh;
  desc.common = &common;
  desc.heads = heads;
  desc.head_count = 2;
  desc.out_dir = "out/deep";
  desc.run_name = "r";
  desc.width = desc.height = 24;
  return desc;
}

static void test_default_run(void) {
  fm_session_desc desc = small_session();
  fm_report report;
  fm_error error;
  CHECK(fm_run(&desc, &report, &error));
  CHECK_TEXT(error.message, "");
  CHECK_TEXT(report.folder, "out/deep/r/anna_bert");
  CHECK_INT(report.frame_count, 41);
  CHECK(disk_has(&store, "out/deep/r/anna_bert/png/anna-0000_bert-1000.png"));
  CHECK(disk_has(&store, "out/deep/r/anna_bert/png/anna-0025_bert-0975.png"));
  CHECK(disk_has(&store, "out/deep/r/anna_bert/png/anna-0500_bert-0500.png"));
  CHECK(disk_has(&store, "out/deep/r/anna_bert/png/anna-1000_bert-0000.png"));
  CHECK(strstr(disk_text(&store, "out/deep/r/anna_bert/session.log"), "6 vertices, 2 polygons, 2 triangles") != NULL);
  const char *record = disk_text(&store, "out/deep/r/anna_bert/record.json");
  CHECK(strstr(record, "\"camera\": {\"center\": [") != NULL);
  CHECK(strstr(record, "{\"file\": \"anna-0025_bert-0975.png\", \"shape_weights\": [0.025, 0.975], \"texture_weights\": [0.025, 0.975]}") != NULL);
  CHECK(strcmp(store.files[store.count - 1].path, "out/deep/r/anna_bert/record.json") == 0); /* the last one */
  disk_clear(&store);
}

/* The frames' pixels: the two ends are the heads' own colours, and the text chunk names the version. */
static void test_frame_contents(void) {
  fm_session_desc desc = small_session();
  fm_image image;
  desc.frames = 2;
  CHECK(fm_run(&desc, NULL, NULL));
  int i = disk_find(&store, "out/deep/r/anna_bert/png/anna-1000_bert-0000.png");
  CHECK(i >= 0);
  if (i >= 0) {
    CHECK(fm_load_image(&image, store.files[i].data, store.files[i].size, NULL, NULL));
    CHECK_INT(image.width, 24);
    CHECK_INT(image.channels, 3);
    CHECK_INT(image.pixels[(12 * 24 + 12) * 3], 180);
    CHECK_INT(image.pixels[0], 255);
    fm_free_image(&image);
    bool text = false;
    for (size_t k = 0; k + 20 < store.files[i].size; k++) text = text || memcmp(store.files[i].data + k, "facemorph.h " FM_VERSION, 12) == 0;
    CHECK(text);
  }
  disk_clear(&store);
}

static void test_weights_and_names(void) {
  const double weights[4] = {-0.25, 0, 1.25, 0.0005}, one[1] = {0.5};
  fm_session_desc desc = small_session();
  desc.weights = weights;
  desc.weight_count = 4;
  desc.texture_weights = one;
  desc.texture_weight_count = 1;
  CHECK(fm_run(&desc, NULL, NULL));
  CHECK(disk_has(&store, "out/deep/r/anna_bert/png/0000_anna-m0250_bert-1250.png"));
  CHECK(disk_has(&store, "out/deep/r/anna_bert/png/0001_anna-0000_bert-1000.png"));
  CHECK(disk_has(&store, "out/deep/r/anna_bert/png/0002_anna-1250_bert-m0250.png"));
  CHECK(disk_has(&store, "out/deep/r/anna_bert/png/0003_anna-0001_bert-0999.png")); /* half up */
  CHECK(strstr(disk_text(&store, "out/deep/r/anna_bert/record.json"), "\"texture_weights\": [0.5, 0.5]") != NULL);
  disk_clear(&store);
}

static void test_many_heads(void) {
  static scene_mesh third;
  const float rows[6] = {0.5f, 0.25f, 0.25f, 0, 0, 1};
  const fm_mesh *three[3];
  fm_session_desc desc = small_session();
  static char name[] = "cleo";
  third = head_b;
  third.mesh.positions = third.positions;
  third.mesh.corners = third.corners;
  third.mesh.uvs = third.uvs;
  third.mesh.polygon_materials = third.polygon_materials;
  third.mesh.name = name;
  three[0] = heads[0];
  three[1] = heads[1];
  three[2] = &third.mesh;
  desc.heads = three;
  desc.head_count = 3;
  CHECK(!fm_run(&desc, NULL, NULL)); /* steps are for two */
  desc = small_session();
  desc.heads = three;
  desc.head_count = 3;
  desc.weight_rows = rows;
  desc.weight_row_count = 2;
  CHECK(fm_run(&desc, NULL, NULL));
  CHECK(disk_has(&store, "out/deep/r/anna_bert_cleo/png/0000_anna-0500_bert-0250_cleo-0250.png"));
  CHECK(disk_has(&store, "out/deep/r/anna_bert_cleo/png/0001_anna-0000_bert-0000_cleo-1000.png"));
  disk_clear(&store);
}

static void test_equal_names(void) {
  fm_session_desc desc = small_session();
  fm_report report;
  head_b.mesh.name = name_a;
  CHECK(fm_run(&desc, &report, NULL));
  const char *folder = strrchr(report.folder, '/');
  CHECK(folder && strlen(folder) == strlen("/anna~123456_anna~123456") && strncmp(folder, "/anna~", 6) == 0);
  disk_clear(&store);
  desc = small_session();
  strcpy(name_a, "a/b:c");
  CHECK(fm_run(&desc, &report, NULL));
  CHECK_TEXT(report.folder, "out/deep/r/a_b_c_bert");
  disk_clear(&store);
}

static void test_existing_run(void) {
  fm_session_desc desc = small_session();
  fm_error error;
  fm_report report;
  desc.frames = 2;
  CHECK(fm_run(&desc, NULL, &error));
  CHECK(!fm_run(&desc, NULL, &error));
  CHECK_INT(error.status, FM_ERROR_EXISTS);
  CHECK(strstr(error.message, "out/deep/r: there is already a run of that name") != NULL);
  desc.join_run = true;
  CHECK(fm_run(&desc, &report, &error)); /* the same pair again in one run: told apart by a hash */
  CHECK(strncmp(report.folder, "out/deep/r/anna~", 16) == 0);
  desc.run_name = "../up";
  CHECK(!fm_run(&desc, NULL, &error));
  CHECK_INT(error.status, FM_ERROR_ARGUMENT);
  desc.run_name = NULL; /* the time; twice within a second */
  desc.join_run = false;
  char first[1024];
  CHECK(fm_run(&desc, &report, &error));
  strcpy(first, report.folder);
  CHECK(fm_run(&desc, &report, &error));
  CHECK(strcmp(first, report.folder) != 0);
  disk_clear(&store);
}

/* What cannot be morphed is refused before any folder is made. */
static void test_refusals(void) {
  fm_session_desc desc = small_session();
  fm_error error;
  head_b.corners[4] = 3;
  CHECK(!fm_run(&desc, NULL, &error));
  CHECK_INT(error.status, FM_ERROR_TOPOLOGY);
  CHECK(strstr(error.message, "the first polygon that differs is number 1 (counted from 0): vertices 3, 4, 5 in A, 3, 3, 5 in B") != NULL);
  CHECK_INT(store.count, 0);
  desc = small_session();
  desc.frames = 1;
  CHECK(!fm_run(&desc, NULL, &error));
  CHECK_INT(error.status, FM_ERROR_ARGUMENT);
  desc = small_session();
  desc.samples = 3;
  CHECK(!fm_run(&desc, NULL, &error));
  desc = small_session();
  desc.width = 20000;
  CHECK(!fm_run(&desc, NULL, &error));
  CHECK(strstr(error.message, "not 20000 x 24") != NULL);
  desc = small_session();
  desc.heads = NULL;
  desc.path_a = "nowhere.fbx";
  CHECK(!fm_run(&desc, NULL, &error));
  CHECK_INT(store.count, 0);
  CHECK(!fm_run(NULL, NULL, &error));
  CHECK_INT(error.status, FM_ERROR_ARGUMENT);
  disk_clear(&store);
}

static void test_warnings(void) {
  fm_session_desc desc = small_session();
  fm_report report;
  desc.frames = 2;
  head_b.mesh.material_count = 0;
  for (int v = 0; v < 6; v++) head_b.positions[3 * v + 1] *= 20;
  CHECK(fm_run(&desc, &report, NULL));
  const char *log = disk_text(&store, "out/deep/r/anna_bert/session.log");
  CHECK(strstr(log, "warning: only 1 of 2 heads have a texture") != NULL);
  CHECK(strstr(log, "--scale-b") != NULL);
  CHECK_INT(report.warning_count, 2);
  disk_clear(&store);
}

/* Every write failing in turn: an error, and no file that is not whole. */
static void test_failing_writes(void) {
  int ended = 0;
  for (int n = 0; n < 40 && !ended; n++) {
    fm_session_desc desc = small_session();
    fm_error error;
    desc.frames = 5;
    store.fail_after = n;
    bool ok = fm_run(&desc, NULL, &error);
    bool failed = store.fail_after < 0 && !ok;
    if (ok) ended = 1;
    else {
      CHECK(failed);
      CHECK_INT(error.status, FM_ERROR_WRITE);
      if (n < 6) CHECK(strstr(disk_text(&store, "out/deep/r/anna_bert/session.log"), "error: out/deep/r/anna_bert/") != NULL);
      CHECK(!disk_has(&store, "out/deep/r/anna_bert/record.json"));
    }
    for (int i = 0; i < store.count; i++) CHECK(!store.files[i].open);
    disk_clear(&store);
  }
  CHECK(ended);
}

static bool cancel_at(void *user, const fm_progress *progress) {
  (void)progress;
  return (*(int *)user)-- > 0;
}

/* Cancelling at every progress call: the right status, whole files only. */
static void test_cancelling(void) {
  int ended = 0;
  for (int n = 0; n < 40 && !ended; n++) {
    fm_session_desc desc = small_session();
    fm_error error;
    fm_report report;
    int left = n;
    desc.frames = 5;
    common.progress = cancel_at;
    common.progress_user = &left;
    if (fm_run(&desc, &report, &error)) ended = 1;
    else {
      CHECK_INT(error.status, FM_ERROR_CANCELLED);
      CHECK(!disk_has(&store, "out/deep/r/anna_bert/record.json"));
      if (report.folder[0]) CHECK(strstr(disk_text(&store, "out/deep/r/anna_bert/session.log"), "error: cancelled at ") != NULL);
    }
    for (int i = 0; i < store.count; i++) CHECK(!store.files[i].open);
    disk_clear(&store);
  }
  CHECK(ended);
}

/* An allocator whose n-th call fails. */
typedef struct failing { int left; long blocks; } failing;
static void *failing_resize(void *user, void *memory, size_t old_size, size_t new_size) {
  failing *f = (failing *)user;
  (void)old_size;
  if (new_size == 0) {
    free(memory);
    f->blocks--;
    return NULL;
  }
  if (f->left-- == 0) return NULL;
  if (!memory) f->blocks++;
  return realloc(memory, new_size);
}
static void test_failing_memory(void) {
  int ended = 0, wrong = 0;
  for (int n = 0; n < 1000 && !ended; n++) {
    fm_session_desc desc = small_session();
    fm_allocator allocator;
    failing f;
    fm_error error;
    desc.frames = 3;
    f.left = n;
    f.blocks = 0;
    memset(&allocator, 0, sizeof allocator);
    allocator.user = &f;
    allocator.resize = failing_resize;
    common.allocator = &allocator;
    if (fm_run(&desc, NULL, &error)) ended = f.left >= 0 ? 1 : ++wrong; /* success although an allocation failed */
    else wrong += error.status != FM_ERROR_MEMORY;
    CHECK_INT(f.blocks, 0);
    disk_clear(&store);
  }
  CHECK(ended);
  CHECK_INT(wrong, 0);
}

/* Paths of any length are used whole. */
static void test_long_path(void) {
  static char folder[250];
  fm_session_desc desc = small_session();
  fm_report report;
  memset(folder, 'x', sizeof folder - 1);
  for (size_t i = 50; i < sizeof folder - 1; i += 50) folder[i] = '/';
  desc.out_dir = folder;
  desc.frames = 2;
  CHECK(fm_run(&desc, &report, NULL));
  CHECK(strstr(report.folder, "/r/anna_bert") != NULL);
  fmi_env env;
  fmi_text text;
  memset(&text, 0, sizeof text);
  fmi_begin(&env, NULL, NULL, NULL);
  text.env = &env;
  text.pool = &env.temp;
  for (int i = 0; i < 40; i++) CHECK(fmi_text_add(&text, "%s", folder));
  size_t once = text.size;
  CHECK(fmi_text_add(&text, "%s|%s", text.data ? folder : "", "end"));
  CHECK_INT(text.size, once + sizeof folder - 1 + 4);
  CHECK(strcmp(text.data + text.size - 4, "|end") == 0);
  char *longer = fmi_copy_text(&env, &env.temp, text.data, text.size);
  CHECK(fmi_text_add(&text, "%s.", longer)); /* far beyond any buffer on the stack */
  CHECK(text.data[text.size - 1] == '.');
  fmi_end(&env);
  disk_clear(&store);
}

/* A camera that cannot be is refused before any folder is made. */
static void test_bad_camera(void) {
  fm_session_desc desc = small_session();
  fm_camera camera;
  fm_error error;
  memset(&camera, 0, sizeof camera);
  desc.camera = &camera;
  CHECK(!fm_run(&desc, NULL, &error));
  CHECK_INT(error.status, FM_ERROR_ARGUMENT);
  CHECK_INT(store.count, 0);
  desc.camera = NULL;
  heads[1] = NULL;
  CHECK(!fm_run(&desc, NULL, &error));
  CHECK_INT(error.status, FM_ERROR_ARGUMENT);
  disk_clear(&store);
}

/* Details go to the caller alone. */
static int details;
static void count_details(void *user, fm_log_level level, const char *line) {
  (void)user;
  (void)line;
  details += level == FM_LOG_DETAIL;
}
static void test_details(void) {
  fm_session_desc desc = small_session();
  desc.frames = 5;
  details = 0;
  common.log = count_details;
  CHECK(fm_run(&desc, NULL, NULL));
  CHECK_INT(details, 5);
  CHECK(strstr(disk_text(&store, "out/deep/r/anna_bert/session.log"), "png/anna") == NULL);
  CHECK(strstr(disk_text(&store, "out/deep/r/anna_bert/session.log"), "prepare textures and normals: ") != NULL);
  disk_clear(&store);
}

/* The same run gives the same bytes for any number of threads. */
static void test_same_files(void) {
  static disk first;
  static const int thread_counts[] = {1, 2, 3, 8};
  for (size_t t = 0; t < FMI_COUNT(thread_counts); t++) {
    int threads = thread_counts[t];
    fm_session_desc desc = small_session();
    desc.frames = 9;
    common.threads = threads;
    CHECK(fm_run(&desc, NULL, NULL));
    if (threads == 1) { first = store; memset(&store, 0, sizeof store); continue; }
    CHECK_INT(store.count, first.count);
    for (int i = 0; i < store.count; i++) {
      if (strstr(store.files[i].path, "session.log")) continue;
      int k = disk_find(&first, store.files[i].path);
      CHECK(k >= 0 && first.files[k].size == store.files[i].size &&
            (store.files[i].size == 0 || memcmp(first.files[k].data, store.files[i].data, store.files[i].size) == 0));
    }
  }
  disk_clear(&first);
  disk_clear(&store);
}

/* ---- inputs from files, one after the other and at the same time ---- */

/* Files to read, and who reads them when. */
typedef struct shelf_file { const char *path, *text; } shelf_file;
typedef struct shelf {
  shelf_file files[4];
  test_lock lock;
  test_thread caller;
  int streams, elsewhere; /* open now; opened in other threads than the caller's */
  time_t patience;        /* 0, or: a stream waits until then for a second one to be open */
  bool met;
} shelf;
typedef struct shelf_stream { test_stream bytes; shelf *from; } shelf_stream;
static shelf inputs;

static int64_t shelf_read(void *user, void *buffer, size_t size) {
  return test_stream_read(&((shelf_stream *)user)->bytes, buffer, fmi_min_size(size, 100));
}
static void shelf_close(void *user) {
  shelf *from = ((shelf_stream *)user)->from;
  test_lock_take(&from->lock);
  from->streams--;
  test_lock_give(&from->lock);
  free(user);
}
static bool shelf_open(void *user, const char *path, fm_stream *out) {
  (void)user; /* the disk that results are written to */
  for (size_t i = 0; i < FMI_COUNT(inputs.files); i++) {
    if (!inputs.files[i].path || strcmp(inputs.files[i].path, path) != 0) continue;
    shelf_stream *stream = (shelf_stream *)calloc(1, sizeof *stream);
    stream->from = &inputs;
    stream->bytes.data = (const uint8_t *)inputs.files[i].text;
    stream->bytes.size = strlen(inputs.files[i].text);
    test_lock_take(&inputs.lock);
    inputs.streams++;
    inputs.elsewhere += !test_in_thread(inputs.caller);
    test_lock_give(&inputs.lock);
    for (bool alone = inputs.patience != 0; alone && time(NULL) < inputs.patience;) {
      test_lock_take(&inputs.lock);
      inputs.met = inputs.met || inputs.streams > 1;
      alone = !inputs.met;
      test_lock_give(&inputs.lock);
    }
    memset(out, 0, sizeof *out);
    out->user = stream;
    out->read = shelf_read;
    out->close = shelf_close;
    return true;
  }
  return false;
}

/* What the caller is told, as one text; everything must come on its thread. */
typedef struct story { char text[4000]; size_t size; int elsewhere; } story;
static story told;
static void tell(const char *line) {
  size_t room = sizeof told.text - told.size;
  if (strlen(line) + 2 < room) told.size += (size_t)snprintf(told.text + told.size, room, "%s\n", line);
  told.elsewhere += !test_in_thread(inputs.caller);
}
static void tell_log(void *user, fm_log_level level, const char *line) {
  (void)user;
  if (level == FM_LOG_WARNING || strncmp(line, "head ", 5) == 0) tell(line); /* without times and threads */
}
static bool tell_progress(void *user, const fm_progress *p) {
  char line[80];
  snprintf(line, sizeof line, "%s %d of %d", p->stage, (int)p->done, (int)p->total);
  tell(line);
  return (*(int *)user)-- != 0;
}

/* Where small_session has heads in memory, files. Each asks for a texture that is not there, and for a material that is not: two
   warnings. */
static fm_session_desc session_of_files(int threads, bool thread_safe, int *cancel) {
  static const char head[] = "mtllib some.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 0 1\n"
                             "usemtl m\nf 1/1 2/2 3/3\nusemtl none\nf 1/1 3/3 2/2\n";
  fm_session_desc desc = small_session();
  memset(&inputs.files, 0, sizeof inputs.files);
  inputs.files[0].path = "in/anna.obj";
  inputs.files[1].path = "in/bert.obj";
  inputs.files[2].path = "in/some.mtl";
  inputs.files[0].text = inputs.files[1].text = head;
  inputs.files[2].text = "newmtl m\nmap_Kd gone.png\n";
  inputs.caller = test_this_thread();
  inputs.elsewhere = 0;
  files.open_read = shelf_open;
  files.thread_safe = thread_safe;
  common.threads = threads;
  common.log = tell_log;
  common.progress = tell_progress;
  common.progress_user = cancel;
  memset(&told, 0, sizeof told);
  *cancel = -1;
  desc.heads = NULL;
  desc.head_count = 0;
  desc.path_a = "in/anna.obj";
  desc.path_b = "in/bert.obj";
  desc.frames = 3;
  return desc;
}

enum { A_MISSING = 1, B_MISSING = 2, B_DAMAGED = 4 };

static void test_inputs_in_parallel(void) {
  static const int thread_counts[] = {1, 2, 3, 8};
  static const int damages[] = {0, A_MISSING, B_MISSING, A_MISSING | B_MISSING, A_MISSING | B_DAMAGED, B_DAMAGED};
  test_lock_begin(&inputs.lock);
  for (size_t d = 0; d < FMI_COUNT(damages); d++)
    for (int cancel_after = -1; cancel_after < 3; cancel_after++) { /* while loading: at 0, 1, 2 of 2 */
      static story first;
      static fm_error first_error;
      char first_record[4000] = "";
      for (size_t t = 0; t < 2 * FMI_COUNT(thread_counts); t++) {
        bool thread_safe = t % 2 != 0;
        int cancel;
        fm_error error;
        fm_session_desc desc = session_of_files(thread_counts[t / 2], thread_safe, &cancel);
        cancel = cancel_after;
        if (damages[d] & A_MISSING) inputs.files[0].path = NULL;
        if (damages[d] & B_MISSING) inputs.files[1].path = NULL;
        if (damages[d] & B_DAMAGED) inputs.files[1].text = "f 1 2 3\n";
        bool ok = fm_run(&desc, NULL, &error);
        CHECK(ok == (damages[d] == 0 && cancel_after < 0));
        CHECK_INT(told.elsewhere, 0);
        CHECK_INT(inputs.streams, 0);
        if (!thread_safe || thread_counts[t / 2] == 1) CHECK_INT(inputs.elsewhere, 0);
        const char *record = disk_text(&store, "out/deep/r/anna_bert/record.json");
        if (t == 0) {
          first = told;
          first_error = error;
          snprintf(first_record, sizeof first_record, "%s", record);
          CHECK(cancel_after >= 0 || damages[d] || strstr(told.text, "in/anna.obj: ") < strstr(told.text, "in/bert.obj: "));
        }
        CHECK_TEXT(told.text, first.text);
        CHECK_TEXT(error.message, first_error.message);
        CHECK_TEXT(error.file, first_error.file);
        CHECK_INT(error.status, first_error.status);
        CHECK_TEXT(record, first_record);
        disk_clear(&store);
      }
    }
  test_lock_end(&inputs.lock);
}

/* They are really under way at the same time. */
static void test_inputs_meet(void) {
#ifdef FMI_THREADS
  int cancel;
  fm_session_desc desc = session_of_files(2, true, &cancel);
  test_lock_begin(&inputs.lock);
  inputs.met = false;
  inputs.patience = time(NULL) + 30;
  CHECK(fm_run(&desc, NULL, NULL));
  CHECK(inputs.met);
  CHECK(inputs.elsewhere > 0);
  inputs.patience = 0;
  test_lock_end(&inputs.lock);
  disk_clear(&store);
#else
  SKIP("there are no threads");
#endif
}

/* Two heads that fit one after the other, but each not in its half of the limit: loaded again, and the limit is told as ever. */
static void test_limits_of_parallel_inputs(void) {
  size_t least[2] = {0, 0};
  test_lock_begin(&inputs.lock);
  for (int threads = 1; threads <= 2; threads++)
    for (size_t memory = 1000; !least[threads - 1] && memory < 10000000; memory += 1 + memory / 64) {
      int cancel;
      fm_error error;
      fm_limits limits;
      fm_session_desc desc = session_of_files(threads, true, &cancel);
      memset(&limits, 0, sizeof limits);
      limits.memory = memory;
      common.limits = &limits;
      cancel = 3; /* after loading: what comes then needs more with more threads */
      CHECK(!fm_run(&desc, NULL, &error));
      if (error.status == FM_ERROR_CANCELLED) least[threads - 1] = memory;
      else {
        char text[60];
        snprintf(text, sizeof text, "limit of %llu bytes", (unsigned long long)memory);
        CHECK_INT(error.status, FM_ERROR_LIMIT);
        CHECK(strstr(error.message, text) != NULL);
      }
      disk_clear(&store);
    }
  CHECK(least[0] > 1000);
  CHECK_INT(least[1], least[0]);
  test_lock_end(&inputs.lock);
}

/* A thread-safe allocator whose n-th call fails: the run may get by, since it loads again; nothing leaks. */
typedef struct shared_failing { failing f; test_lock lock; } shared_failing;
static void *shared_failing_resize(void *user, void *memory, size_t old_size, size_t new_size) {
  shared_failing *s = (shared_failing *)user;
  test_lock_take(&s->lock);
  void *result = failing_resize(&s->f, memory, old_size, new_size);
  test_lock_give(&s->lock);
  return result;
}
static void test_failing_memory_of_parallel_inputs(void) {
  int failures = 0, ended = 0;
  test_lock_begin(&inputs.lock);
  for (int n = 0; n < 1000 && !ended; n++) {
    int cancel;
    fm_error error;
    fm_session_desc desc = session_of_files(2, true, &cancel);
    fm_allocator allocator;
    static shared_failing s;
    s.f.left = n;
    s.f.blocks = 0;
    test_lock_begin(&s.lock);
    memset(&allocator, 0, sizeof allocator);
    allocator.user = &s;
    allocator.resize = shared_failing_resize;
    allocator.thread_safe = true;
    common.allocator = &allocator;
    if (!fm_run(&desc, NULL, &error)) {
      CHECK_INT(error.status, FM_ERROR_MEMORY);
      failures++;
    } else ended = s.f.left >= 0;
    CHECK_INT(s.f.blocks, 0);
    CHECK_INT(inputs.streams, 0);
    test_lock_end(&s.lock);
    disk_clear(&store);
  }
  CHECK(ended && failures > 10);
  test_lock_end(&inputs.lock);
}

/* Days to dates, against a table (GNU date -u). */
static void test_calendar(void) {
  static const struct { int64_t seconds; int want[6]; } cases[] = {
      {0, {1970, 1, 1, 0, 0, 0}},          {951782399, {2000, 2, 28, 23, 59, 59}}, {951782400, {2000, 2, 29, 0, 0, 0}},
      {951868800, {2000, 3, 1, 0, 0, 0}},  {1709251199, {2024, 2, 29, 23, 59, 59}}, {1767225599, {2025, 12, 31, 23, 59, 59}},
      {4107542400, {2100, 3, 1, 0, 0, 0}}, {-1, {1969, 12, 31, 23, 59, 59}},       {1000000000, {2001, 9, 9, 1, 46, 40}}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    int got[6];
    fmi_utc(cases[i].seconds, got);
    for (int k = 0; k < 6; k++) CHECK_INT(got[k], cases[i].want[k]);
  }
}

TEST_MAIN({"default run", test_default_run}, {"contents of frames", test_frame_contents}, {"weights and names", test_weights_and_names},
          {"three heads", test_many_heads}, {"equal and awkward names", test_equal_names}, {"a run that exists", test_existing_run},
          {"refusals leave nothing", test_refusals}, {"warnings", test_warnings}, {"every write failing", test_failing_writes},
          {"cancelling anywhere", test_cancelling}, {"every allocation failing", test_failing_memory}, {"long paths", test_long_path}, {"bad camera, missing head", test_bad_camera},
          {"details", test_details}, {"same files for any thread count", test_same_files},
          {"inputs in parallel", test_inputs_in_parallel}, {"inputs meet", test_inputs_meet},
          {"limits of parallel inputs", test_limits_of_parallel_inputs},
          {"failing memory of parallel inputs", test_failing_memory_of_parallel_inputs}, {"calendar", test_calendar})
