/* sin, cos, log2, exp2 and pow against the C library's, in long double where that is wider. */
#include "test.h"

static const double pi_180 = 0.017453292519943295769;

/* The same angle, reduced exactly, in the widest type there is. */
static double want_sin(double degrees) {
  long double pi = 3.14159265358979323846264338327950288L;
  return (double)sinl((long double)fmod(degrees, 360.0) * pi / 180.0L);
}
static double want_cos(double degrees) {
  long double pi = 3.14159265358979323846264338327950288L;
  return (double)cosl((long double)fmod(degrees, 360.0) * pi / 180.0L);
}

static void test_right_angles(void) {
  static const int sines[4] = {0, 1, 0, -1};
  for (int i = -4000; i <= 4000; i++) {
    CHECK(fmi_sin_degrees(90.0 * i) == sines[(i & 3)]);
    CHECK(fmi_cos_degrees(90.0 * i) == sines[(i + 1) & 3]);
  }
  CHECK(fmi_sin_degrees(360.0 * 4503599627370496.0) == 0.0);
  CHECK(fmi_tan_degrees(0.0) == 0.0);
  CHECK_NEAR(fmi_tan_degrees(45.0), 1.0, 4e-16);
  CHECK_NEAR(fmi_tan_degrees(30.0), 0.57735026918962576451, 4e-16);
}

typedef struct extremes { double sin_error, cos_error, sin_at, cos_at; } extremes;
static void measure(extremes *w, double degrees) {
  double e = fabs(fmi_sin_degrees(degrees) - want_sin(degrees)), f = fabs(fmi_cos_degrees(degrees) - want_cos(degrees));
  if (e > w->sin_error) { w->sin_error = e; w->sin_at = degrees; }
  if (f > w->cos_error) { w->cos_error = f; w->cos_at = degrees; }
}

/* The largest errors over many angles: fine steps, and the whole range of doubles. */
static void test_angles(void) {
  extremes w = {0.0, 0.0, 0.0, 0.0};
  for (int i = -80000; i <= 80000; i++) {
    measure(&w, i * 0.0091);
    measure(&w, i * 1234567.891);
    measure(&w, i * 1234567.891 * 1e7);
  }
  for (int e = -1000; e <= 1000; e++) {
    measure(&w, ldexp(1.2345, e));
    measure(&w, -ldexp(1.2345, e));
  }
  CHECK_NEAR(w.sin_error, 0.0, 4e-16);
  CHECK_NEAR(w.cos_error, 0.0, 4e-16);
  if (w.sin_error > 4e-16 || w.cos_error > 4e-16) printf("  worst at %.17g (sin) and %.17g (cos) degrees\n", w.sin_at, w.cos_at);
}

/* A head turned left is the mirror image of one turned right; tiny angles keep their digits. */
static void test_symmetry(void) {
  int odd = 0, even = 0;
  for (int i = 1; i < 4000; i++) {
    double x = i * 0.0917;
    odd += fmi_sin_degrees(-x) != -fmi_sin_degrees(x);
    even += fmi_cos_degrees(-x) != fmi_cos_degrees(x);
  }
  CHECK_INT(odd, 0);
  CHECK_INT(even, 0);
  double error = 0.0;
  for (double x = 1e-300; x < 1e-3; x *= 10)
    error = fmax(error, fmax(fabs(fmi_sin_degrees(x) / (x * pi_180) - 1.0), fabs(fmi_sin_degrees(-x) / (-x * pi_180) - 1.0)));
  CHECK_NEAR(error, 0.0, 1e-9);
}

static void test_strange_angles(void) {
  static const double angles[] = {INFINITY, -INFINITY, NAN, DBL_MAX, -DBL_MAX, DBL_MIN, -DBL_MIN, -0.0};
  for (size_t i = 0; i < FMI_COUNT(angles); i++) {
    CHECK(fabs(fmi_sin_degrees(angles[i])) <= 1.0);
    CHECK(fabs(fmi_cos_degrees(angles[i])) <= 1.0);
  }
}

static double relative(double got, double want) { return want != 0.0 ? fabs(got - want) / fabs(want) : fabs(got); }

static void test_float_log2(void) {
  double worst = 0.0;
  for (int e = -126; e <= 127; e++) CHECK(fmi_log2_lanes_scalar(ldexpf(1.0f, e)) == (float)e);
  for (uint32_t bits = 0x00800000u; bits < 0x7F800000u; bits += 9973) { /* all exponents */
    float x = fmi_bits_float(bits);
    double want = log2((double)x), error = fabs((double)fmi_log2_lanes_scalar(x) - want);
    worst = fmax(worst, error / fmax(1.0, fabs(want)));
  }
  CHECK_NEAR(worst, 0.0, 3e-7);
  worst = 0.0;
  for (int i = 1; i <= 100000; i++) { /* the light's range */
    float x = (float)i / 100000.0f;
    worst = fmax(worst, fabs((double)fmi_log2_lanes_scalar(x) - log2((double)x)) / fmax(1.0, fabs(log2((double)x))));
  }
  CHECK_NEAR(worst, 0.0, 3e-7);
}

static void test_float_exp2(void) {
  double worst = 0.0;
  for (int e = -125; e <= 125; e++) CHECK(fmi_exp2_lanes_scalar((float)e) == ldexpf(1.0f, e));
  for (int i = -1259000; i <= 1259000; i++) {
    float x = (float)i * 1e-4f;
    worst = fmax(worst, relative((double)fmi_exp2_lanes_scalar(x), exp2((double)x)));
  }
  CHECK_NEAR(worst, 0.0, 3e-7);
}

TEST_MAIN({"right angles", test_right_angles}, {"angles", test_angles}, {"symmetry", test_symmetry},
          {"strange angles", test_strange_angles}, {"log2 in float", test_float_log2}, {"exp2 in float", test_float_exp2})
