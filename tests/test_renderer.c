/* The hook: what fm_render asks of a renderer, in which order and on which thread; and what the built-in renderer refuses. */
#include "scene.h"

/* ---- a renderer that writes down its calls and paints each picture in its frame's background colour ---- */

enum { MOST_CALLS = 400 };
typedef enum call_kind { BEGIN, SUBMIT, COLLECT, END } call_kind;
typedef struct call { call_kind kind; int lane; const fm_frame *frame; } call;

typedef struct recorder {
  int lanes;                      /* what begin answers */
  call calls[MOST_CALLS];
  int count, in_flight, most_in_flight, wrong;
  const fm_frame *held[8];        /* of each lane */
  call_kind fail;                 /* the call of this kind... */
  int fail_at;                    /* ...with this number (from 1) fails... */
  bool mute;                      /* ...without a word */
  int of_kind[4];
  int wanted_lanes;
  test_thread thread;
} recorder;

static bool note(recorder *r, call_kind kind, int lane, const fm_frame *frame, fm_error *error) {
  if (!test_in_thread(r->thread)) r->wrong++;
  if (r->count < MOST_CALLS) {
    r->calls[r->count].kind = kind;
    r->calls[r->count].lane = lane;
    r->calls[r->count++].frame = frame;
  } else r->wrong++;
  if (++r->of_kind[kind] != r->fail_at || kind != r->fail) return true;
  if (!r->mute) fm_set_error(error, FM_ERROR_RENDERER, "the device caught fire");
  return false;
}
static int record_begin(void *user, const fm_scene *scene, fm_error *error) {
  recorder *r = (recorder *)user;
  r->wanted_lanes = scene->lanes;
  return note(r, BEGIN, -1, NULL, error) ? r->lanes : 0;
}
static bool record_submit(void *user, int lane, const fm_frame *frame, fm_error *error) {
  recorder *r = (recorder *)user;
  if (lane < 0 || lane >= r->lanes || r->held[lane]) { r->wrong++; return false; }
  if (!note(r, SUBMIT, lane, frame, error)) return false;
  r->held[lane] = frame;
  r->most_in_flight = fmi_max_int(r->most_in_flight, ++r->in_flight);
  return true;
}
static bool record_collect(void *user, int lane, fm_image *image, fm_error *error) {
  recorder *r = (recorder *)user;
  if (lane < 0 || lane >= r->lanes || !r->held[lane]) { r->wrong++; return false; }
  const fm_frame *frame = r->held[lane];
  r->held[lane] = NULL;
  r->in_flight--;
  if (image->width != frame->width || image->height != frame->height || image->channels != 3) r->wrong++;
  if (!note(r, COLLECT, lane, frame, error)) return false;
  for (int i = 0; i < image->width * image->height; i++) memcpy(image->pixels + 3 * i, frame->background, 3);
  return true;
}
static void record_end(void *user) { note((recorder *)user, END, -1, NULL, NULL); }

static fm_renderer recording(recorder *r, int lanes) {
  fm_renderer renderer;
  memset(r, 0, sizeof *r);
  memset(&renderer, 0, sizeof renderer);
  r->lanes = lanes;
  r->thread = test_this_thread();
  renderer.user = r;
  renderer.name = "recorder";
  renderer.begin = record_begin;
  renderer.submit = record_submit;
  renderer.collect = record_collect;
  renderer.end = record_end;
  return renderer;
}

/* ---- a sink that checks the order ---- */

typedef struct receiver {
  size_t delivered, slots, prepared[64], stop_at; /* stop_at: from 1 */
  bool stop_with_words, wrong;
  int workers;
  const fm_frame *frames;
  size_t reports, last_done, cancel_at;            /* progress; cancel_at: from 1 */
  bool prepare_only;                               /* deliver must get no picture */
  test_thread thread;
  test_lock lock;
} receiver;

static void prepare(void *user, size_t frame, size_t slot, int worker, const fm_image *image) {
  receiver *r = (receiver *)user;
  test_lock_take(&r->lock);
  bool inside = frame < 64 && slot < r->slots && worker >= 0 && worker < r->workers;
  if (!inside || image->pixels[0] != r->frames[frame].background[0]) r->wrong = true;
  else r->prepared[frame]++;
  test_lock_give(&r->lock);
}
static bool deliver(void *user, size_t frame, size_t slot, const fm_image *image, fm_error *error) {
  receiver *r = (receiver *)user;
  if (frame != r->delivered++ || slot >= r->slots || r->prepared[frame] != 1) r->wrong = true;
  if (r->prepare_only ? image != NULL
                      : image->width != r->frames[frame].width || memcmp(image->pixels, r->frames[frame].background, 3) != 0)
    r->wrong = true;
  if (!test_in_thread(r->thread)) r->wrong = true;
  if (r->delivered != r->stop_at) return true;
  if (r->stop_with_words) fm_set_error(error, FM_ERROR_WRITE, "the drawer is full");
  return false;
}
static bool progress(void *user, const fm_progress *p) {
  receiver *r = (receiver *)user;
  if (strcmp(p->stage, "render") != 0 || p->done != r->delivered || (r->reports && p->done != r->last_done + 1)) r->wrong = true;
  if (!test_in_thread(r->thread)) r->wrong = true;
  r->last_done = p->done;
  return ++r->reports != r->cancel_at;
}

/* Renders `count` frames of 2 x 2 or 3 x 2 pixels into the receiver, which must be set up but for its thread and frames. */
static bool render(fm_renderer *renderer, receiver *to, size_t count, size_t sink_slots, int threads, fm_error *error) {
  static fm_frame frames[64];
  static scene_mesh s;
  const fm_mesh *head = &s.mesh;
  const float one = 1.0f;
  fm_common common;
  fm_scene scene;
  fm_image_sink sink;
  scene_clear(&s);
  memset(frames, 0, sizeof frames);
  memset(&common, 0, sizeof common);
  memset(&scene, 0, sizeof scene);
  memset(&sink, 0, sizeof sink);
  for (size_t i = 0; i < count; i++) {
    frames[i].shape_weights = &one;
    frames[i].width = 2 + (int)(i % 2);
    frames[i].height = 2;
    frames[i].background[0] = (uint8_t)(3 * i + 1);
  }
  common.threads = threads;
  common.progress = progress;
  common.progress_user = to;
  scene.common = &common;
  scene.heads = &head;
  scene.head_count = 1;
  sink.user = to;
  sink.slots = sink_slots;
  sink.prepare = prepare;
  sink.deliver = deliver;
  sink.prepare_only = to->prepare_only;
  to->frames = frames;
  to->workers = fm_worker_count(&common);
  to->slots = sink_slots ? sink_slots : SIZE_MAX;
  to->thread = test_this_thread();
  test_lock_begin(&to->lock);
  bool ok = fm_render(renderer, &scene, frames, count, &sink, error);
  test_lock_end(&to->lock);
  return ok;
}

static void check_calls(const recorder *r, size_t frames) {
  CHECK_INT(r->wrong, 0);
  CHECK_INT(r->of_kind[BEGIN], 1);
  CHECK_INT(r->of_kind[END], 1);
  CHECK_INT(r->in_flight, 0);
  CHECK(r->most_in_flight <= r->lanes);
  CHECK(r->count >= 2 && r->calls[0].kind == BEGIN && r->calls[r->count - 1].kind == END);
  CHECK_INT(r->of_kind[SUBMIT], frames);
  CHECK_INT(r->of_kind[COLLECT], frames);
}

static void test_order_of_calls(void) {
  for (int lanes = 1; lanes <= 3; lanes += 2)
    for (int threads = 1; threads <= 4; threads++)
      for (size_t count = 0; count <= 13; count++) {
        recorder r;
        receiver to;
        fm_error error;
        fm_renderer renderer = recording(&r, lanes);
        memset(&to, 0, sizeof to);
        to.prepare_only = count % 2 != 0;
        CHECK(render(&renderer, &to, count, 0, threads, &error));
        CHECK_TEXT(error.message, "");
        check_calls(&r, count);
        CHECK_INT(to.delivered, count);
        CHECK_INT(to.reports, count + 1); /* 0 of n, then each frame */
        CHECK(!to.wrong);
        CHECK_INT(r.wanted_lanes, fmi_clamp_int((int)count, 1, to.workers)); /* never more than frames */
        CHECK_INT(r.most_in_flight, fmi_min_int(lanes, (int)count)); /* several lanes are a batch */
        for (int i = 1, next = 0; i < r.count; i++) /* frames are begun in order */
          if (r.calls[i].kind == SUBMIT) CHECK(r.calls[i].frame == to.frames + next++);
      }
}

/* ---- a renderer whose lanes may be used from any thread; what it counts is each lane's own ---- */

typedef struct lane_book { const fm_frame *held; int frames, wrong; } lane_book;
typedef struct free_lanes { int lanes; lane_book lane[8]; } free_lanes;

static int free_begin(void *user, const fm_scene *scene, fm_error *error) {
  (void)scene;
  (void)error;
  return ((free_lanes *)user)->lanes;
}
static bool free_submit(void *user, int lane, const fm_frame *frame, fm_error *error) {
  lane_book *book = &((free_lanes *)user)->lane[lane];
  (void)error;
  book->wrong += book->held != NULL;
  book->held = frame;
  return true;
}
static bool free_collect(void *user, int lane, fm_image *image, fm_error *error) {
  lane_book *book = &((free_lanes *)user)->lane[lane];
  (void)error;
  book->wrong += book->held == NULL;
  for (int i = 0; book->held && i < image->width * image->height; i++) memcpy(image->pixels + 3 * i, book->held->background, 3);
  book->held = NULL;
  book->frames++;
  return true;
}
static void free_end(void *user) { (void)user; }

static void test_lanes_of_any_thread(void) {
  for (int lanes = 1; lanes <= 8; lanes++)
    for (int variant = 0; variant < 20; variant++) {
      int threads = 1 + variant % 5;
      size_t slots = variant < 10 ? 0 : 3;
      free_lanes f;
      receiver to;
      fm_error error;
      fm_renderer renderer;
      int frames = 0;
      memset(&f, 0, sizeof f);
      memset(&to, 0, sizeof to);
      memset(&renderer, 0, sizeof renderer);
      f.lanes = lanes;
      to.prepare_only = variant / 5 % 2 != 0;
      renderer.user = &f;
      renderer.lanes_thread_safe = true;
      renderer.begin = free_begin;
      renderer.submit = free_submit;
      renderer.collect = free_collect;
      renderer.end = free_end;
      CHECK(render(&renderer, &to, 23, slots, threads, &error));
      CHECK_INT(to.delivered, 23);
      CHECK(!to.wrong);
      for (int i = 0; i < 8; i++) {
        CHECK_INT(f.lane[i].wrong, 0);
        CHECK(i < lanes || f.lane[i].frames == 0);
        frames += f.lane[i].frames;
      }
      CHECK_INT(frames, 23);
    }
}

/* Frames that fail in several threads at once: the first in order is told, what comes before it was delivered. */
typedef struct free_failing { free_lanes lanes; int from; } free_failing; /* lanes first: free_submit is told where they are */
static bool failing_collect(void *user, int lane, fm_image *image, fm_error *error) {
  free_failing *f = (free_failing *)user;
  int frame = (f->lanes.lane[lane].held->background[0] - 1) / 3;
  char text[40];
  if (!free_collect(&f->lanes, lane, image, error) || frame < f->from) return true;
  snprintf(text, sizeof text, "frame %d is lost", frame);
  return fm_set_error(error, FM_ERROR_RENDERER, text);
}
static void test_first_failure(void) {
  for (int from = 1; from < 12; from++)
    for (int threads = 1; threads <= 4; threads++) {
      free_failing f;
      receiver to;
      fm_error error;
      fm_renderer renderer;
      char want[40];
      memset(&f, 0, sizeof f);
      memset(&to, 0, sizeof to);
      memset(&renderer, 0, sizeof renderer);
      f.lanes.lanes = 8;
      f.from = from;
      renderer.user = &f;
      renderer.lanes_thread_safe = true;
      renderer.begin = free_begin;
      renderer.submit = free_submit;
      renderer.collect = failing_collect;
      renderer.end = free_end;
      CHECK(!render(&renderer, &to, 12, 0, threads, &error));
      snprintf(want, sizeof want, "frame %d is lost", from);
      CHECK_TEXT(error.message, want);
      CHECK_INT(to.delivered, from);
      CHECK(!to.wrong);
    }
}

static void test_slots(void) {
  for (size_t slots = 1; slots <= 5; slots++)
    for (int lanes = 1; lanes <= 3; lanes += 2) {
      recorder r;
      receiver to;
      fm_error error;
      fm_renderer renderer = recording(&r, lanes);
      memset(&to, 0, sizeof to);
      CHECK(render(&renderer, &to, 11, slots, 3, &error));
      check_calls(&r, 11);
      CHECK(!to.wrong);
      CHECK(r.most_in_flight <= (int)slots);
      CHECK_INT(to.delivered, 11);
    }
}

static void test_failing_renderers(void) {
  static const call_kind kinds[] = {BEGIN, SUBMIT, COLLECT};
  for (size_t k = 0; k < FMI_COUNT(kinds); k++)
    for (int at = 1; at <= (kinds[k] == BEGIN ? 1 : 9); at++)
      for (int mute = 0; mute < 2; mute++)
        for (int lanes = 1; lanes <= 3; lanes += 2) {
          recorder r;
          receiver to;
          fm_error error;
          fm_renderer renderer = recording(&r, lanes);
          memset(&to, 0, sizeof to);
          r.fail = kinds[k];
          r.fail_at = at;
          r.mute = mute != 0;
          CHECK(!render(&renderer, &to, 9, 0, 2, &error));
          CHECK_INT(error.status, FM_ERROR_RENDERER);
          if (mute) CHECK(strstr(error.message, kinds[k] == BEGIN ? "\"recorder\"" : "without a word"));
          else CHECK_TEXT(error.message, "the device caught fire");
          CHECK_INT(to.delivered, kinds[k] == BEGIN ? 0 : at - 1); /* all before it, none after */
          CHECK(!to.wrong);
          CHECK_INT(r.wrong, 0);
          CHECK_INT(r.of_kind[END], kinds[k] != BEGIN); /* whatever began ends */
          CHECK_INT(r.in_flight, 0);
        }
}

static void test_stopping(void) {
  for (size_t at = 1; at <= 7; at++)
    for (int kind = 0; kind < 3; kind++) { /* the sink with words, the sink without, progress */
      recorder r;
      receiver to;
      fm_error error;
      fm_renderer renderer = recording(&r, 1);
      memset(&to, 0, sizeof to);
      if (kind < 2) to.stop_at = at;
      else to.cancel_at = at + 1;
      to.stop_with_words = kind == 0;
      CHECK(!render(&renderer, &to, 9, 0, 2, &error));
      CHECK_INT(error.status, kind == 0 ? FM_ERROR_WRITE : FM_ERROR_CANCELLED);
      if (kind == 0) CHECK_TEXT(error.message, "the drawer is full");
      CHECK_INT(to.delivered, at);
      CHECK(!to.wrong && r.wrong == 0);
      CHECK_INT(r.of_kind[END], 1);
      CHECK_INT(r.in_flight, 0);
    }
  recorder r; /* before anything began */
  receiver to;
  fm_error error;
  fm_renderer renderer = recording(&r, 1);
  memset(&to, 0, sizeof to);
  to.cancel_at = 1;
  CHECK(!render(&renderer, &to, 9, 0, 1, &error));
  CHECK_INT(error.status, FM_ERROR_CANCELLED);
  CHECK_INT(r.of_kind[BEGIN], r.of_kind[END]);
}

static void test_refused_calls(void) {
  recorder r;
  fm_renderer renderer = recording(&r, 1);
  fm_error error;
  fm_scene scene;
  fm_frame frame;
  fm_image_sink sink;
  memset(&scene, 0, sizeof scene);
  memset(&frame, 0, sizeof frame);
  memset(&sink, 0, sizeof sink);
  CHECK(!fm_render(&renderer, &scene, &frame, 1, &sink, &error)); /* a sink without deliver */
  CHECK_INT(error.status, FM_ERROR_ARGUMENT);
  sink.deliver = deliver;
  CHECK(!fm_render(NULL, &scene, &frame, 1, &sink, &error) && error.status == FM_ERROR_ARGUMENT);
  CHECK(!fm_render(&renderer, NULL, &frame, 1, &sink, &error) && error.status == FM_ERROR_ARGUMENT);
  CHECK(!fm_render(&renderer, &scene, NULL, 1, &sink, &error) && error.status == FM_ERROR_ARGUMENT);
  CHECK(!fm_render(&renderer, &scene, &frame, 1, NULL, NULL));
  CHECK_INT(r.count, 0);
  fm_destroy_renderer(NULL);
}

/* ---- the built-in renderer ---- */

static scene_mesh square;
static const fm_mesh *square_head = &square.mesh;
static fm_scene square_scene(int lanes) {
  fm_scene scene;
  scene_clear(&square);
  scene_rectangle(&square, 0, 0, 32, 32, 0, 0);
  memset(&scene, 0, sizeof scene);
  scene.heads = &square_head;
  scene.head_count = 1;
  scene.lanes = lanes;
  return scene;
}

static void test_threads(void) {
  static scene_picture want[20], got[20];
  static fm_frame frames[20];
  static float weights[20];
  fm_camera camera = scene_camera();
  square_scene(0);
  for (int threads = 1; threads <= 5; threads++) {
    memset(frames, 0, sizeof frames);
    memset(got, 0, sizeof got);
    for (int i = 0; i < 20; i++) {
      weights[i] = 0.1f * (float)i;
      frames[i].shape_weights = &weights[i];
      frames[i].camera = &camera;
    }
    CHECK(scene_draw(threads == 1 ? want : got, &square_head, 1, frames, 20, threads, false));
    if (threads > 1) CHECK(memcmp(want, got, sizeof got) == 0);
  }
  CHECK(memcmp(want[3].pixels, want[15].pixels, sizeof want[3].pixels) != 0); /* or order could not be seen */
}

static void test_refused_frames(void) {
  fm_renderer renderer;
  fm_error error;
  fm_frame good, bad;
  fm_scene scene = square_scene(2);
  fm_camera camera = scene_camera();
  const float one = 1.0f, not_a_number = NAN, infinite = INFINITY;
  memset(&good, 0, sizeof good);
  good.shape_weights = &one;
  good.width = good.height = 8;
  CHECK(fm_software_renderer(&renderer, NULL, &error));
  CHECK(!renderer.submit(renderer.user, 0, &good, &error) && error.status == FM_ERROR_ARGUMENT); /* before begin */
  CHECK_INT(renderer.begin(renderer.user, &scene, &error), 2);
#define REFUSED(change, words) do { \
    bad = good; \
    change; \
    memset(&error, 0, sizeof error); \
    CHECK(!renderer.submit(renderer.user, 0, &bad, &error)); \
    CHECK_INT(error.status, FM_ERROR_ARGUMENT); \
    CHECK(strstr(error.message, words)); \
  } while (0)
  REFUSED(bad.samples = 3, "samples");
  REFUSED(bad.samples = -1, "samples");
  REFUSED(bad.width = -1, "16384");
  REFUSED(bad.height = -1, "16384");
  REFUSED(bad.width = 16385, "16384");
  REFUSED(bad.height = INT_MAX, "16384");
  REFUSED(bad.shape_weights = NULL, "shape_weights");
  REFUSED(bad.shape_weights = &not_a_number, "weights");
  REFUSED(bad.texture_weights = &infinite, "weights");
  REFUSED(bad.ambient = -0.1f, "ambient");
  REFUSED(bad.ambient = 1.1f, "ambient");
  REFUSED(bad.ambient = NAN, "ambient");
  REFUSED((bad.camera = &camera, camera.scale = 0.0), "scale");
  REFUSED((bad.camera = &camera, camera.scale = 1.0, camera.half_extent = NAN), "half_extent");
  REFUSED((bad.camera = &camera, camera.half_extent = 1.0, camera.distance = -2.8), "distance");
#undef REFUSED
  CHECK(!renderer.submit(renderer.user, -1, &good, &error) && strstr(error.message, "lane"));
  CHECK(!renderer.submit(renderer.user, 2, &good, &error) && strstr(error.message, "lane"));
  uint8_t pixels[8 * 8 * 4];
  fm_image image = {8, 8, 3, pixels, NULL, NULL}, small = {7, 8, 3, pixels, NULL, NULL}, rgba = {8, 8, 4, pixels, NULL, NULL};
  CHECK(!renderer.collect(renderer.user, 0, &image, &error) && error.status == FM_ERROR_ARGUMENT); /* nothing is in it */
  CHECK(!renderer.collect(renderer.user, 7, &image, &error) && error.status == FM_ERROR_ARGUMENT);
  CHECK(renderer.submit(renderer.user, 0, &good, &error));
  CHECK(!renderer.submit(renderer.user, 0, &good, &error) && strstr(error.message, "collect it first")); /* busy */
  CHECK(renderer.submit(renderer.user, 1, &good, &error)); /* the other lane is free */
  CHECK(renderer.collect(renderer.user, 0, &image, &error));
  CHECK(!renderer.collect(renderer.user, 1, &small, &error) && error.status == FM_ERROR_ARGUMENT);
  CHECK(renderer.submit(renderer.user, 0, &good, &error));
  CHECK(!renderer.collect(renderer.user, 0, &rgba, &error) && error.status == FM_ERROR_ARGUMENT);
  renderer.end(renderer.user);
  fm_destroy_renderer(&renderer);
  CHECK(!renderer.user && !renderer.begin);
}

static void test_refused_scenes(void) {
  static scene_mesh other;
  fm_renderer renderer;
  fm_error error;
  fm_scene scene = square_scene(1);
  uint32_t starts[3] = {0, 3, 6};
  const fm_mesh *heads[2] = {&square.mesh, &other.mesh};
  CHECK(fm_software_renderer(&renderer, NULL, &error));
  scene.head_count = 0;
  CHECK(renderer.begin(renderer.user, &scene, &error) == 0 && error.status == FM_ERROR_ARGUMENT && strstr(error.message, "head"));
  scene.heads = heads;
  scene.head_count = 2;
  scene_clear(&other);
  CHECK(renderer.begin(renderer.user, &scene, &error) == 0 && error.status == FM_ERROR_TOPOLOGY);
  CHECK(strstr(error.message, "6 vertices") && strstr(error.message, "head 1"));
  other = square;
  other.mesh.positions = other.positions;
  other.mesh.polygon_starts = starts; /* polygons that nobody cut into triangles yet */
  CHECK(renderer.begin(renderer.user, &scene, &error) == 0 && error.status == FM_ERROR_ARGUMENT);
  CHECK(strstr(error.message, "fm_prepare_mesh"));
  scene.head_count = 1; /* after failures it still works */
  CHECK_INT(renderer.begin(renderer.user, &scene, &error), 1);
  CHECK_INT(error.status, FM_OK);
  fm_destroy_renderer(&renderer); /* without end */
}

/* ---- life and memory of the built-in ---- */

typedef struct tally { int blocks; } tally;
static void *count_blocks(void *user, void *memory, size_t old_size, size_t new_size) {
  tally *t = (tally *)user;
  (void)old_size;
  if (!memory && new_size) t->blocks++;
  if (memory && !new_size) t->blocks--;
  if (new_size) return realloc(memory, new_size);
  free(memory);
  return NULL;
}

static void test_begin_and_end(void) {
  tally t = {0};
  fm_allocator allocator = {&t, count_blocks, false};
  fm_common common;
  fm_renderer renderer;
  fm_error error;
  fm_frame frame;
  const float one = 1.0f;
  uint8_t first[8 * 8 * 3], again[8 * 8 * 3];
  fm_image image = {8, 8, 3, first, NULL, NULL};
  fm_scene scene = square_scene(2);
  memset(&common, 0, sizeof common);
  memset(&frame, 0, sizeof frame);
  common.allocator = &allocator;
  frame.shape_weights = &one;
  frame.width = frame.height = 8;
  CHECK(fm_software_renderer(&renderer, &common, &error));
  CHECK_TEXT(renderer.name, "software");
  CHECK(renderer.lanes_thread_safe);
  int idle = t.blocks;
  CHECK_INT(renderer.begin(renderer.user, &scene, &error), 2);
  int busy = t.blocks;
  CHECK(busy > idle);
  CHECK_INT(renderer.begin(renderer.user, &scene, &error), 2); /* twice: the first is let go */
  CHECK_INT(t.blocks, busy);
  CHECK(renderer.submit(renderer.user, 1, &frame, &error) && renderer.collect(renderer.user, 1, &image, &error));
  CHECK(renderer.submit(renderer.user, 0, &frame, &error)); /* never collected */
  CHECK_INT(t.blocks, busy); /* drawing allocates nothing */
  renderer.end(renderer.user);
  CHECK_INT(t.blocks, idle);
  renderer.end(renderer.user); /* once more does no harm */
  CHECK(!renderer.submit(renderer.user, 0, &frame, &error));
  CHECK_INT(renderer.begin(renderer.user, &scene, &error), 2);
  image.pixels = again;
  CHECK(renderer.submit(renderer.user, 0, &frame, &error) && renderer.collect(renderer.user, 0, &image, &error));
  CHECK(memcmp(first, again, sizeof first) == 0);
  fm_destroy_renderer(&renderer);
  CHECK_INT(t.blocks, 0);
  fm_destroy_renderer(&renderer); /* it is zero now */
}

/* Frames that fm_render must refuse whatever the renderer: by number and size. */
static void test_frame_sizes(void) {
  static scene_picture picture[2];
  fm_renderer renderer;
  fm_error error;
  fm_scene scene = square_scene(1);
  fm_frame frames[2];
  fm_image_sink sink;
  const float one = 1.0f;
  memset(frames, 0, sizeof frames);
  memset(&sink, 0, sizeof sink);
  sink.user = picture;
  sink.deliver = scene_deliver;
  frames[0].shape_weights = frames[1].shape_weights = &one;
  frames[0].width = frames[0].height = frames[1].width = 4;
  frames[1].height = 20000;
  CHECK(fm_software_renderer(&renderer, NULL, &error));
  CHECK(!fm_render(&renderer, &scene, frames, 2, &sink, &error));
  CHECK_INT(error.status, FM_ERROR_ARGUMENT);
  CHECK(strstr(error.message, "frame 1") && strstr(error.message, "4 x 20000"));
  frames[1].height = 4;
  CHECK(fm_render(&renderer, &scene, frames, 2, &sink, NULL));
  fm_destroy_renderer(&renderer);
}

TEST_MAIN({"order of calls", test_order_of_calls}, {"lanes of any thread", test_lanes_of_any_thread},
          {"the first failure", test_first_failure}, {"slots", test_slots}, {"failing renderers", test_failing_renderers},
          {"stopping", test_stopping}, {"refused calls", test_refused_calls}, {"threads", test_threads},
          {"refused frames", test_refused_frames}, {"refused scenes", test_refused_scenes}, {"begin and end", test_begin_and_end},
          {"frame sizes", test_frame_sizes})
