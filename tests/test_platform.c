/* Byte readers, checked sizes, the floating-point probe, and that a caller's rounding mode neither reaches results nor is lost. */
#include "test.h"

#include <fenv.h>

static void test_byte_readers(void) {
  static const uint8_t bytes[] = {0xEE, 0x01, 0x23, 0x45, 0x67, 0x89, 0xAB, 0xCD, 0xEF}; /* read from an odd address */
  static const uint8_t ones[8] = {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF};
  uint8_t out[6] = {1, 2, 3, 4, 5, 6};
  CHECK_INT(fmi_le16(bytes + 1), 0x2301);
  CHECK_INT(fmi_le32(bytes + 1), 0x67452301);
  CHECK(fmi_le64(bytes + 1) == 0xEFCDAB8967452301ull);
  CHECK_INT(fmi_be16(bytes + 1), 0x0123);
  CHECK_INT(fmi_be32(bytes + 1), 0x01234567);
  CHECK_INT(fmi_be32(bytes + 5), 0x89ABCDEFll);
  CHECK_INT(fmi_le16(ones), 0xFFFF);
  CHECK_INT(fmi_be32(ones), 0xFFFFFFFFll);
  CHECK(fmi_le64(ones) == UINT64_MAX);
  fmi_put_be32(out + 1, 0x89ABCDEFu);
  CHECK(memcmp(out, "\x01\x89\xAB\xCD\xEF\x06", 6) == 0);
}

static void test_sizes(void) {
  const size_t half = (size_t)1 << (sizeof(size_t) * CHAR_BIT / 2);
  CHECK(fmi_mul_size(0, SIZE_MAX) == 0);
  CHECK(fmi_mul_size(SIZE_MAX, 0) == 0);
  CHECK(fmi_mul_size(SIZE_MAX, 1) == SIZE_MAX);
  CHECK(fmi_mul_size(1, SIZE_MAX) == SIZE_MAX);
  CHECK(fmi_mul_size(SIZE_MAX / 2, 2) == SIZE_MAX - 1);
  CHECK(fmi_mul_size(SIZE_MAX / 2 + 1, 2) == SIZE_MAX); /* the product would be 0 */
  CHECK(fmi_mul_size(half, half) == SIZE_MAX);
  CHECK(fmi_mul_size(half - 1, half + 1) == SIZE_MAX); /* fits exactly: (2^n - 1)(2^n + 1) = 2^2n - 1 */
  CHECK(fmi_mul_size(half - 1, half) == SIZE_MAX - (half - 1));
  CHECK(fmi_mul_size(SIZE_MAX, SIZE_MAX) == SIZE_MAX);
  CHECK(fmi_mul_size(123, 457) == 56211);
  CHECK(fmi_add_size(SIZE_MAX, 0) == SIZE_MAX);
  CHECK(fmi_add_size(SIZE_MAX - 1, 1) == SIZE_MAX);
  CHECK(fmi_add_size(SIZE_MAX, 1) == SIZE_MAX);
  CHECK(fmi_add_size(SIZE_MAX / 2 + 1, SIZE_MAX / 2 + 1) == SIZE_MAX);
  CHECK(fmi_add_size(40, 2) == 42);
}

/* Bit patterns of IEEE 754-2008, section 3.4. */
static void test_float_bits(void) {
  CHECK_INT(fmi_float_bits(1.0f), 0x3F800000);
  CHECK_INT(fmi_float_bits(-0.0f), 0x80000000ll);
  CHECK_INT(fmi_float_bits(-2.5f), 0xC0200000ll);
  CHECK_INT(fmi_float_bits(fmi_bits_float(1)), 1); /* the least denormal */
  CHECK(fmi_bits_float(0x7F7FFFFFu) == FLT_MAX);
  CHECK(fmi_double_bits(1.0) == 0x3FF0000000000000ull);
  CHECK(fmi_double_bits(-0.0) == 0x8000000000000000ull);
  CHECK(fmi_bits_double(0x7FEFFFFFFFFFFFFFull) == DBL_MAX);
  CHECK(fmi_is_finite(0.0) && fmi_is_finite(DBL_MAX) && fmi_is_finite(-DBL_MAX) && fmi_is_finite(fmi_bits_double(1)));
  CHECK(!fmi_is_finite(INFINITY) && !fmi_is_finite(-INFINITY) && !fmi_is_finite(NAN));
}

static void test_probe(void) {
  CHECK(fmi_float_ok());
  CHECK(fmi_float_probe(1.000244140625f, 1.000244140625f, -1.00048828125f, 1e-38f));
  CHECK(!fmi_float_probe(1.000244140625f, 1.000244140625f, -1.0004882f, 1e-38f)); /* a last term that a fused sum would keep */
  CHECK(!fmi_float_probe(1.000244140625f, 1.000244140625f, -1.00048828125f, 0.0f)); /* what a flushed denormal looks like */
}

#if defined(FMI_X86)
/* MXCSR bits: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1, section 10.2.3. */
enum { FLUSH_TO_ZERO = 0x8000, DENORMALS_ARE_ZERO = 0x0040, ROUNDING = 0x6000 };

static void test_probe_flush(void) {
  static const unsigned modes[] = {FLUSH_TO_ZERO, DENORMALS_ARE_ZERO, FLUSH_TO_ZERO | DENORMALS_ARE_ZERO};
  unsigned before = _mm_getcsr();
  for (size_t i = 0; i < FMI_COUNT(modes); i++) {
    _mm_setcsr(before | modes[i]);
    bool flushed = fmi_float_ok();
    uint64_t state = fmi_enter_float();
    bool entered = fmi_float_ok();
    fmi_leave_float(state);
    unsigned after = _mm_getcsr();
    _mm_setcsr(before);
    CHECK(!flushed);
    CHECK(entered);
    CHECK((after & 0xFFC0u) == ((before | modes[i]) & 0xFFC0u));
  }
  CHECK(fmi_float_ok());
}
/* glibc's fegetround looks at the x87 unit alone. */
static int rounding_mode(void) { return (int)(_mm_getcsr() & ROUNDING); }
#else
static void test_probe_flush(void) { SKIP("only on x86"); }
static int rounding_mode(void) { return fegetround(); }
#endif

enum { SIDE = 9, VERTICES = SIDE * SIDE, TRIANGLES = 2 * (SIDE - 1) * (SIDE - 1) };
typedef struct results { float blended[3 * VERTICES], normals[3 * VERTICES]; fm_camera camera; } results;

static float position[2][3 * VERTICES];
static uint32_t corners[3 * TRIANGLES];
static fm_mesh meshes[2];

/* Two wavy sheets, made under the default mode. */
static void make_sheets(void) {
  uint32_t *c = corners;
  for (uint32_t y = 0; y + 1 < SIDE; y++)
    for (uint32_t x = 0; x + 1 < SIDE; x++) {
      uint32_t v = y * SIDE + x, quad[6] = {v, v + 1, v + SIDE, v + 1, v + SIDE + 1, v + SIDE};
      memcpy(c, quad, sizeof quad);
      c += 6;
    }
  memset(meshes, 0, sizeof meshes);
  for (int h = 0; h < 2; h++) {
    for (int v = 0; v < VERTICES; v++) {
      position[h][3 * v] = (float)(v % SIDE) * 0.1f;
      position[h][3 * v + 1] = (float)(v / SIDE) * 0.1f;
      position[h][3 * v + 2] = (float)((v * 37 + 11 * h) % 17) * 0.013f;
    }
    position[h][2] = h ? 0.0f : fmi_bits_float(12345); /* a denormal: a flush would show */
    meshes[h].vertex_count = VERTICES;
    meshes[h].positions = position[h];
    meshes[h].polygon_count = TRIANGLES;
    meshes[h].corner_count = 3 * TRIANGLES;
    meshes[h].corners = corners;
  }
}
static void compute(results *out) {
  const fm_mesh *heads[2] = {&meshes[0], &meshes[1]};
  const float weights[2] = {0.3f, 0.7f};
  memset(out, 0, sizeof *out);
  CHECK(fm_blend(out->blended, heads, weights, NULL, 2));
  CHECK(fm_normals(out->normals, &meshes[0], out->blended));
  out->camera = fm_fit_camera(heads, 2, NULL);
}

static void test_rounding_modes(void) {
#if defined(FMI_X86) || defined(__aarch64__)
  static const int modes[] = {FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
  static results want, got;
  volatile float a = 0.3f, b = 0.1f, nearest = a * b, other;
  make_sheets();
  compute(&want);
  CHECK(fmi_float_bits(want.blended[2]) == 3704); /* 0.3 x 12345 denormal steps, rounded */
  int differs = 0;
  for (size_t i = 0; i < FMI_COUNT(modes); i++) {
    CHECK_INT(fesetround(modes[i]), 0);
    int before = rounding_mode();
    other = a * b;
    differs += other != nearest;
    compute(&got);
    int after = rounding_mode(), after_c = fegetround();
    fesetround(FE_TONEAREST);
    CHECK_INT(after, before);
    CHECK_INT(after_c, modes[i]);
    CHECK(memcmp(&got, &want, sizeof got) == 0);
  }
  CHECK(differs > 0); /* or the modes above did nothing */
#else
  SKIP("this machine's rounding mode is left alone");
#endif
}

static void test_flush_does_not_reach_results(void) {
#if defined(FMI_X86)
  static results want, got;
  unsigned before = _mm_getcsr();
  make_sheets();
  compute(&want);
  _mm_setcsr(before | FLUSH_TO_ZERO | DENORMALS_ARE_ZERO);
  compute(&got);
  unsigned after = _mm_getcsr();
  _mm_setcsr(before);
  CHECK((after & (FLUSH_TO_ZERO | DENORMALS_ARE_ZERO)) == (FLUSH_TO_ZERO | DENORMALS_ARE_ZERO));
  CHECK(memcmp(&got, &want, sizeof got) == 0);
#else
  SKIP("only on x86");
#endif
}

/* A whole call: fmi_begin takes the state over, fmi_end gives it back, on failure too. */
static void test_calls_restore_the_mode(void) {
#if defined(FMI_X86) || defined(__aarch64__)
  fmi_env env;
  fm_error error;
  fesetround(FE_UPWARD);
  int before = rounding_mode();
  fmi_begin(&env, NULL, &error, NULL);
  int inside = rounding_mode();
  fmi_fail(&env, FM_ERROR_FORMAT, "on purpose");
  bool ok = fmi_end(&env);
  int after = rounding_mode();
  fesetround(FE_TONEAREST);
  CHECK(!ok);
  CHECK_INT(inside, rounding_mode());
  CHECK_INT(after, before);
#else
  SKIP("this machine's rounding mode is left alone");
#endif
}

TEST_MAIN({"byte readers", test_byte_readers}, {"sizes", test_sizes}, {"float bits", test_float_bits}, {"probe", test_probe},
          {"probe under flush to zero", test_probe_flush}, {"rounding modes", test_rounding_modes},
          {"flush to zero stays out", test_flush_does_not_reach_results}, {"calls restore the mode", test_calls_restore_the_mode})
