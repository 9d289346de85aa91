/* Every operation of [FM:lanes], at every level that this machine has, against plain C on one lane. facemorph.h includes this
   file again for each level, as it does for its own blocks of kernels: the first part is compiled then, the rest is the program. */
#ifdef FMI_SUFFIX

/* Words a, b, c (x, y: a and b as floats) through one operation. */
#define RUN(name, lanes, plain, inputs, nan) \
  static void FMI_AT_LEVEL(run_##name)(const words *in, int32_t *out, int n) { \
    for (size_t i = 0; i < WORDS; i += FMI_LANES) { \
      const fmi_vi a = fmi_loadi(in->a + i), b = fmi_loadi(in->b + i), c = fmi_loadi(in->c + i); \
      const fmi_vf x = fmi_asf(a), y = fmi_asf(b); \
      (void)b; (void)c; (void)x; (void)y; (void)n; \
      fmi_storei(out + i, lanes); \
    } \
  }

/* Bits as a word for each lane; bits that belong to no lane show in the first. */
#define fmi_from_bits FMI_AT_LEVEL(fmi_from_bits)
FMI_INLINE fmi_vi fmi_from_bits(uint32_t bits) {
  int32_t word[FMI_LANES];
  for (int l = 0; l < FMI_LANES; l++) word[l] = (int32_t)(bits >> l & 1);
  if (bits >> (FMI_LANES - 1) > 1) word[0] = -1;
  return fmi_loadi(word);
}
#define fmi_from_mask FMI_AT_LEVEL(fmi_from_mask)
FMI_INLINE fmi_vi fmi_from_mask(fmi_vm m) { return fmi_picki(m, fmi_seti(1), fmi_seti(0)); }

OPERATIONS(RUN)
#undef RUN
#undef fmi_from_bits
#undef fmi_from_mask

static void FMI_AT_LEVEL(run_facts)(facts *out) {
  out->lanes = FMI_LANES;
  out->level = FMI_LEVEL;
  fmi_storei(out->iota, fmi_iota());
  fmi_storei(out->whole, fmi_seti(-123456789));
  fmi_storef(out->real, fmi_setf(-0.1f));
}
static void FMI_AT_LEVEL(run_copies)(const float *from, int32_t *whole, float *real, int32_t *as_whole, float *as_real) {
  int32_t word[FMI_LANES];
  memcpy(word, from, sizeof word);
  fmi_storef(real, fmi_loadf(from));
  fmi_storei(as_whole, fmi_asi(fmi_loadf(from)));
  fmi_storei(whole, fmi_loadi(word));
  fmi_storef(as_real, fmi_asf(fmi_loadi(word)));
}
static void FMI_AT_LEVEL(run_gatheri)(const int32_t *base, const int32_t *index, int32_t *out) {
  fmi_storei(out, fmi_gatheri(base, fmi_loadi(index)));
}
static void FMI_AT_LEVEL(run_gatherf)(const float *base, const int32_t *index, float *out) {
  fmi_storef(out, fmi_gatherf(base, fmi_loadi(index)));
}
static void FMI_AT_LEVEL(run_gatherb)(const uint8_t *base, const int32_t *index, int32_t *out) {
  fmi_storei(out, fmi_gatherb(base, fmi_loadi(index)));
}
static void FMI_AT_LEVEL(run_gather4)(const int32_t *base, size_t stride, const uint32_t *index, int32_t *out) {
  fmi_vi value[4];
  fmi_gather4(value, base, stride, index);
  for (int k = 0; k < 4; k++) fmi_storei(out + k * FMI_LANES, value[k]);
}
static void FMI_AT_LEVEL(run_gather8)(const int32_t *base, size_t stride, const uint32_t *index, int32_t *out) {
  fmi_vi value[8];
  fmi_gather8(value, base, stride, index);
  for (int k = 0; k < 8; k++) fmi_storei(out + k * FMI_LANES, value[k]);
}
static void FMI_AT_LEVEL(run_store8)(const int32_t *from, int32_t *to) {
  fmi_vi value[8];
  for (int k = 0; k < 8; k++) value[k] = fmi_loadi(from + k * FMI_LANES);
  fmi_store8(to, value);
}
static void FMI_AT_LEVEL(run_max_words)(int64_t *first, int64_t *second, const int32_t *key, const int32_t *low, const int32_t *mask) {
  fmi_max_words(first, second, fmi_loadi(key), fmi_loadi(low), fmi_gti(fmi_loadi(mask), fmi_seti(0)));
}

#else

#include "test.h"

enum { WORDS = 12288, MOST_LANES = 16, LEVELS = 6 };

typedef struct words { int32_t a[WORDS], b[WORDS], c[WORDS]; } words;
typedef enum inputs { ANY, SHIFT, WITHIN_32_BITS, POSITIVE_NORMAL, BELOW_126, INPUTS } inputs;

/* X(name, by lanes, by plain C, what a, b, c and the count n are, whether the result is a float whose NaN has no certain bits).
   Sums, products, quotients and roots of floats are exact or rounded innocuously in double, so rounding that to float is the
   correct result. */
#define OPERATIONS(X) \
  X(addf, fmi_asi(fmi_addf(x, y)), word_of((double)x + (double)y), ANY, true) \
  X(subf, fmi_asi(fmi_subf(x, y)), word_of((double)x - (double)y), ANY, true) \
  X(mulf, fmi_asi(fmi_mulf(x, y)), word_of((double)x * (double)y), ANY, true) \
  X(divf, fmi_asi(fmi_divf(x, y)), word_of((double)x / (double)y), ANY, true) \
  X(rootf, fmi_asi(fmi_rootf(x)), word_of(sqrt((double)x)), ANY, true) \
  X(absf, fmi_asi(fmi_absf(x)), a & 0x7FFFFFFF, ANY, false) \
  X(floorf, fmi_asi(fmi_floorf(x)), word_of(floor((double)x) + 0.0), WITHIN_32_BITS, false) \
  X(log2_lanes, fmi_asi(fmi_log2_lanes(x)), word_of((double)log2_of(x)), POSITIVE_NORMAL, false) \
  X(exp2_lanes, fmi_asi(fmi_exp2_lanes(x)), word_of((double)exp2_of(x)), BELOW_126, false) \
  X(addi, fmi_addi(a, b), low_word((int64_t)a + b), ANY, false) \
  X(subi, fmi_subi(a, b), low_word((int64_t)a - b), ANY, false) \
  X(muli, fmi_muli(a, b), low_word((int64_t)a * b), ANY, false) \
  X(pairsi, fmi_pairsi(a, b), low_word(signed_half(a) * signed_half(b) + floor_quotient(a, 65536) * floor_quotient(b, 65536)), ANY, false) \
  X(andi, fmi_andi(a, b), a & b, ANY, false) \
  X(ori, fmi_ori(a, b), a | b, ANY, false) \
  X(xori, fmi_xori(a, b), a ^ b, ANY, false) \
  X(lefti, fmi_lefti(a, n), low_word((int64_t)a * ((int64_t)1 << n)), SHIFT, false) \
  X(righti, fmi_righti(a, n), low_word((int64_t)(uint32_t)a / ((int64_t)1 << n)), SHIFT, false) \
  X(downi, fmi_downi(a, n), low_word(floor_quotient(a, (int64_t)1 << n)), SHIFT, false) \
  X(mini, fmi_mini(a, b), a < b ? a : b, ANY, false) \
  X(maxi, fmi_maxi(a, b), a < b ? b : a, ANY, false) \
  X(tof, fmi_asi(fmi_tof(a)), word_of((double)a), ANY, false) \
  X(toi, fmi_toi(x), (int32_t)trunc((double)x), WITHIN_32_BITS, false) \
  X(ltf, fmi_from_mask(fmi_ltf(x, y)), (double)x < (double)y, ANY, false) \
  X(lef, fmi_from_mask(fmi_lef(x, y)), (double)x <= (double)y, ANY, false) \
  X(gti, fmi_from_mask(fmi_gti(a, b)), a > b, ANY, false) \
  X(eqi, fmi_from_mask(fmi_eqi(a, b)), a == b, ANY, false) \
  X(andm, fmi_from_mask(fmi_andm(fmi_gti(a, c), fmi_lef(x, y))), a > c && x <= y, ANY, false) \
  X(orm, fmi_from_mask(fmi_orm(fmi_gti(a, c), fmi_lef(x, y))), a > c || x <= y, ANY, false) \
  X(pickf, fmi_asi(fmi_pickf(fmi_ltf(x, y), fmi_asf(c), x)), x < y ? c : a, ANY, false) \
  X(picki, fmi_picki(fmi_gti(a, b), c, b), a > b ? c : b, ANY, false) \
  X(bitsm_of_f, fmi_from_bits(fmi_bitsm(fmi_lef(x, y))), x <= y, ANY, false) \
  X(bitsm_of_i, fmi_from_bits(fmi_bitsm(fmi_eqi(a, b))), a == b, ANY, false) \
  X(signsi, fmi_from_bits(fmi_signsi(a)), a < 0, ANY, false)

/* Of what a level says about itself. */
typedef struct facts { int lanes, level; int32_t iota[MOST_LANES], whole[MOST_LANES]; float real[MOST_LANES]; } facts;

/* The first part of this file at every level. It lies behind the implementation, so it says itself what holds in there: no fused
   multiply-add. */
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#endif
#undef FACEMORPH_FILENAME
#define FACEMORPH_FILENAME "tests/test_lanes.c"
#define FMI_BLOCK 0 /* none of the header's own */
#include "facemorph.h"
#undef FMI_BLOCK
#if defined(__clang__)
#pragma STDC FP_CONTRACT DEFAULT
#elif defined(__GNUC__)
#pragma GCC pop_options
#endif

/* ---- plain C */

/* The series of log2 and exp2, written down on one float. */
static float log2_of(float x) {
  uint32_t bits = fmi_float_bits(x);
  int32_t shifted = (int32_t)(bits - 0x3F3504F3u);
  int32_t exponent = shifted >= 0 ? shifted >> 23 : -((-shifted + 0x7FFFFF) >> 23);
  float m = fmi_bits_float(bits - ((uint32_t)exponent << 23));
  float z = (m - 1.0f) / (m + 1.0f), z2 = z * z;
  return (float)exponent +
         z * (2.8853900818f + z2 * (0.9617966939f + z2 * (0.5770780164f + z2 * (0.4121985831f + z2 * 0.3205988980f))));
}
static float exp2_of(float x) {
  float whole = floorf(x + 0.5f), r = x - whole;
  float sum =
      1.0f +
      r * (0.6931471806f +
           r * (0.2402265070f + r * (0.0555041087f + r * (0.0096181291f + r * (0.0013333558f + r * 0.0001540353f)))));
  return sum * fmi_bits_float((uint32_t)((int32_t)whole + 127) << 23);
}

static int32_t low_word(int64_t v) { return (int32_t)(uint32_t)(uint64_t)v; }
static int64_t signed_half(int32_t word) { return ((int64_t)(word & 0xFFFF) ^ 0x8000) - 0x8000; }
static int32_t word_of(double value) { /* rounded to float */
  float f = (float)value;
  int32_t word;
  memcpy(&word, &f, sizeof word);
  return word;
}
static float float_of(int32_t word) {
  float f;
  memcpy(&f, &word, sizeof f);
  return f;
}
static bool is_nan(int32_t word) { return (word & 0x7FFFFFFF) > 0x7F800000; }
static int64_t floor_quotient(int64_t a, int64_t b) { return a / b - (a % b < 0); }

#define PLAIN(name, lanes, plain, inputs, nan) \
  static int32_t plain_##name(int32_t a, int32_t b, int32_t c, int n) { \
    const float x = float_of(a), y = float_of(b); \
    (void)b; (void)c; (void)x; (void)y; (void)n; \
    return plain; \
  }
OPERATIONS(PLAIN)

/* ---- the levels */

typedef struct operation {
  const char *name;
  void (*run[LEVELS])(const words *in, int32_t *out, int n);
  int32_t (*plain)(int32_t a, int32_t b, int32_t c, int n);
  inputs kind;
  bool any_nan;
} operation;
#define ROW(name, lanes, plain, inputs, nan) {#name, FMI_ALL_LEVELS(run_##name), plain_##name, inputs, nan},
static const operation operations[] = {OPERATIONS(ROW)};

static void (*const run_facts[LEVELS])(facts *) = FMI_ALL_LEVELS(run_facts);
static void (*const run_copies[LEVELS])(const float *, int32_t *, float *, int32_t *, float *) = FMI_ALL_LEVELS(run_copies);
static void (*const run_gatheri[LEVELS])(const int32_t *, const int32_t *, int32_t *) = FMI_ALL_LEVELS(run_gatheri);
static void (*const run_gatherf[LEVELS])(const float *, const int32_t *, float *) = FMI_ALL_LEVELS(run_gatherf);
static void (*const run_gatherb[LEVELS])(const uint8_t *, const int32_t *, int32_t *) = FMI_ALL_LEVELS(run_gatherb);
static void (*const run_gather4[LEVELS])(const int32_t *, size_t, const uint32_t *, int32_t *) = FMI_ALL_LEVELS(run_gather4);
static void (*const run_gather8[LEVELS])(const int32_t *, size_t, const uint32_t *, int32_t *) = FMI_ALL_LEVELS(run_gather8);
static void (*const run_store8[LEVELS])(const int32_t *, int32_t *) = FMI_ALL_LEVELS(run_store8);
static void (*const run_max_words[LEVELS])(int64_t *, int64_t *, const int32_t *, const int32_t *, const int32_t *) =
    FMI_ALL_LEVELS(run_max_words);

/* The next level from `level` on that this machine has; LEVELS after the last. */
static int next_level(int level) {
  while (level < LEVELS && !fmi_has_simd((fm_simd)level)) level++;
  return level;
}
#define EACH_LEVEL(level) int level = next_level(1); level < LEVELS; level = next_level(level + 1)

static int lanes_at(int level) {
  facts f;
  run_facts[level](&f);
  return f.lanes;
}
#define CHECK_AT(level, condition) do { \
    if (!(condition)) { \
      char text_[300]; \
      snprintf(text_, sizeof text_, "at %s: %s", fm_simd_name((fm_simd)(level)), #condition); \
      test_fail(__FILE__, __LINE__, text_); \
    } \
  } while (0)

/* ---- inputs */

static uint32_t random_state;
static uint32_t random_bits(void) { /* xorshift32, Marsaglia 2003, and a product for its low bits */
  random_state ^= random_state << 13;
  random_state ^= random_state >> 17;
  random_state ^= random_state << 5;
  return random_state * 0x9E3779B1u;
}

/* Floats and integers at their edges. */
static const uint32_t special[] = {
  0x00000000u, 0x00000001u, 0x00000002u, 0x0000FFFFu, 0x00010000u, 0x007FFFFFu, 0x00800000u, 0x00800001u, /* denormals */
  0x3DCCCCCDu, 0x3EFFFFFFu, 0x3F000000u, 0x3F000001u, 0x3F3504F2u, 0x3F3504F3u, 0x3F7FFFFFu, 0x3F800000u, /* 1/2, sqrt(1/2), 1 */
  0x3F800001u, 0x3FC00000u, 0x40200000u, 0x40490FDBu, 0x42FBFFFFu, 0x4AFFFFFFu, 0x4B000001u, 0x4B7FFFFFu, /* 2^23 */
  0x4B800000u, 0x4E800000u, 0x4EFFFFFFu, 0x4F000000u, 0x7F7FFFFFu, 0x7F800000u, 0x7F800001u, 0x7FC00000u, /* 2^31, infinity, NaN */
  0x7FFFFFFFu
};
enum { SPECIALS = 2 * (int)FMI_COUNT(special) };
static int32_t special_word(int i) {
  uint32_t word = special[i / 2];
  return low_word((int64_t)(i & 1 ? word ^ 0x80000000u : word));
}

static int32_t fit(int32_t word, inputs kind) { /* what is outside becomes something inside */
  float x = float_of(word);
  if (kind == WITHIN_32_BITS && !(x >= -2147483648.0f && x < 2147483648.0f)) return word_of((double)word / 3.0);
  if (kind == BELOW_126 && !(x > -126.0f && x < 126.0f)) return word_of((double)word * 5.86e-8);
  if (kind == POSITIVE_NORMAL) {
    word &= 0x7FFFFFFF;
    if (word < 0x00800000 || word >= 0x7F800000) word = (word & 0x007FFFFF) | 0x3F000000;
  }
  return word;
}

/* All pairs of special words; then random words, floats of near sizes, and words whose b is a or next to it. */
static void fill(words *w, inputs kind) {
  random_state = 1;
  for (int i = 0; i < WORDS; i++) {
    uint32_t a = random_bits(), b = random_bits(), c = random_bits();
    w->a[i] = low_word((int64_t)a);
    w->b[i] = low_word((int64_t)b);
    w->c[i] = i % 2 ? low_word((int64_t)c) : special_word((int)(c % SPECIALS));
    if (i < SPECIALS * SPECIALS) {
      w->a[i] = special_word(i / SPECIALS);
      w->b[i] = special_word(i % SPECIALS);
    } else if (i % 3 == 0) {
      w->a[i] = low_word((int64_t)((a & 0x807FFFFFu) | (119u + (c >> 28)) << 23));
      w->b[i] = low_word((int64_t)((b & 0x807FFFFFu) | (119u + (c >> 24 & 15)) << 23));
    } else if (i % 3 == 1) {
      w->b[i] = low_word((int64_t)w->a[i] + (int32_t)(c % 3) - 1);
    }
    w->a[i] = fit(w->a[i], kind);
    w->b[i] = fit(w->b[i], kind);
  }
}

/* ---- tests */

static words in;
static int32_t out[WORDS];

static void check_operation(const operation *op, int level, int n) {
  int wrong = 0;
  char text[300];
  memset(out, 0x55, sizeof out);
  op->run[level](&in, out, n);
  for (int i = 0; i < WORDS; i++) {
    int32_t want = op->plain(in.a[i], in.b[i], in.c[i], n);
    if (out[i] == want || (op->any_nan && is_nan(out[i]) && is_nan(want))) continue;
    if (wrong++) continue;
    snprintf(text, sizeof text, "%s at %s of %08x, %08x, %08x, count %d is %08x, should be %08x", op->name,
             fm_simd_name((fm_simd)level), (unsigned)in.a[i], (unsigned)in.b[i], (unsigned)in.c[i], n, (unsigned)out[i],
             (unsigned)want);
  }
  if (!wrong) return;
  test_fail(__FILE__, __LINE__, text);
  printf("  and %d more\n", wrong - 1);
}

static void test_operations(void) {
  CHECK(SPECIALS * SPECIALS < WORDS / 2);
  CHECK_INT(WORDS % MOST_LANES, 0);
  for (int kind = 0; kind < INPUTS; kind++) {
    fill(&in, (inputs)kind);
    for (size_t i = 0; i < FMI_COUNT(operations); i++)
      if (operations[i].kind == (inputs)kind)
        for (EACH_LEVEL(level))
          for (int n = 0; n < (kind == SHIFT ? 32 : 1); n++) check_operation(&operations[i], level, n);
  }
}

/* log2 and exp2 over all exponents and many fractions; they are exact at whole numbers. */
static void test_log2_exp2(void) {
  for (size_t i = 0; i < FMI_COUNT(operations); i++) {
    bool is_log2 = operations[i].kind == POSITIVE_NORMAL;
    if (!is_log2 && operations[i].kind != BELOW_126) continue;
    for (int round = 0; round < 20; round++) {
      for (int k = 0; k < WORDS; k++) {
        int all = round * WORDS + k, step = (0x7F800000 - 0x00800000) / (20 * WORDS);
        in.a[k] = is_log2 ? 0x00800000 + all * step : word_of((all - 10 * WORDS) * (125.999 / (10 * WORDS)));
      }
      for (EACH_LEVEL(level)) check_operation(&operations[i], level, 0);
    }
    for (int k = 0; k < WORDS; k++) in.a[k] = word_of(is_log2 ? ldexp(1.0, k % 254 - 126) : k % 251 - 125);
    for (EACH_LEVEL(level)) {
      int wrong = 0;
      operations[i].run[level](&in, out, 0);
      for (int k = 0; k < WORDS; k++) wrong += out[k] != word_of(is_log2 ? k % 254 - 126 : ldexp(1.0, k % 251 - 125));
      CHECK_AT(level, wrong == 0);
    }
  }
}

static void test_facts(void) {
  static const int want[LEVELS] = {0, 1, 4, 8, 16, 4};
  for (EACH_LEVEL(level)) {
    facts f;
    memset(&f, 0x55, sizeof f);
    run_facts[level](&f);
    CHECK_AT(level, f.level == level && f.lanes == want[level]);
    for (int l = 0; l < MOST_LANES; l++) {
      int32_t real;
      memcpy(&real, &f.real[l], 4);
      CHECK_AT(level, f.iota[l] == (l < f.lanes ? l : 0x55555555));
      CHECK_AT(level, f.whole[l] == (l < f.lanes ? -123456789 : 0x55555555));
      CHECK_AT(level, real == (l < f.lanes ? low_word(0xBDCCCCCD) : 0x55555555));
    }
  }
}

/* Loads and stores at any alignment keep all bits and touch nothing beside the lanes. */
static void test_copies(void) {
  fill(&in, ANY);
  for (EACH_LEVEL(level)) {
    size_t lanes = (size_t)lanes_at(level), wrong = 0;
    for (size_t at = 0; at + lanes <= WORDS; at++) {
      float from[MOST_LANES], real[2][3 * MOST_LANES];
      int32_t whole[2][3 * MOST_LANES], got[4][3 * MOST_LANES];
      size_t off = 1 + at % MOST_LANES;
      memcpy(from, in.a + at, lanes * 4);
      memset(real, 0x55, sizeof real);
      memset(whole, 0x55, sizeof whole);
      run_copies[level](from, whole[0] + off, real[0] + off, whole[1] + off, real[1] + off);
      memcpy(got[0], whole, sizeof whole);
      memcpy(got[2], real, sizeof real);
      for (size_t i = 0; i < 4 * 3 * MOST_LANES; i++) {
        size_t l = i % (3 * MOST_LANES) - off;
        wrong += got[i / (3 * MOST_LANES)][i % (3 * MOST_LANES)] != (l < lanes ? in.a[at + l] : 0x55555555);
      }
    }
    CHECK_AT(level, wrong == 0);
    wrong = 0;
    for (size_t off = 0; off < MOST_LANES; off++) { /* loads from where no register begins */
      int32_t whole[MOST_LANES], as_whole[MOST_LANES];
      float from[2 * MOST_LANES], real[MOST_LANES], as_real[MOST_LANES];
      memcpy(from, in.a, sizeof from);
      run_copies[level](from + off, whole, real, as_whole, as_real);
      wrong += memcmp(real, in.a + off, lanes * 4) != 0;
    }
    CHECK_AT(level, wrong == 0);
  }
}

/* A block of exactly this size, so that a sanitizer sees what lies behind it. */
static void *exact(size_t size) {
  uint8_t *data = (uint8_t *)malloc(size);
  random_state = 7;
  for (size_t i = 0; data && i < size; i++) data[i] = (uint8_t)(random_bits() >> 24);
  return data;
}

static void test_gathers(void) {
  enum { COUNT = 1 << 20 };
  int32_t *whole = (int32_t *)exact(4 * COUNT);
  float *real = (float *)exact(4 * COUNT);
  uint8_t *bytes = (uint8_t *)exact(4 * COUNT + 3);
  CHECK(whole && real && bytes);
  for (EACH_LEVEL(level)) {
    int lanes = lanes_at(level), wrong = 0;
    for (int round = 0; whole && real && bytes && round < 4000; round++) {
      int32_t index[MOST_LANES], got[MOST_LANES], got_bytes[MOST_LANES];
      float got_real[MOST_LANES];
      const uint8_t *base = bytes + round % 4;
      for (int l = 0; l < lanes; l++) {
        uint32_t r = random_bits();
        index[l] = r % 9 == 0 ? 0 : r % 9 == 1 ? COUNT - 1 : (int32_t)(random_bits() >> 12);
      }
      run_gatheri[level](whole, index, got);
      run_gatherf[level](real, index, got_real);
      run_gatherb[level](base, index, got_bytes);
      for (int l = 0; l < lanes; l++) {
        const uint8_t *p = base + 4 * (size_t)index[l];
        wrong += got[l] != whole[index[l]] || memcmp(&got_real[l], &real[index[l]], 4) != 0;
        wrong += got_bytes[l] != low_word(p[0] + 256 * (p[1] + 256 * (p[2] + (int64_t)256 * p[3])));
      }
    }
    CHECK_AT(level, wrong == 0);
  }
  free(whole);
  free(real);
  free(bytes);
}

static void test_gathered_records(void) {
  static const size_t strides[] = {1, 4, 5, 8, 9, 16, 1000, 65537, 131072};
  enum { COUNT = 1 << 20 };
  for (int size = 4; size <= 8; size += 4) {
    for (size_t s = 0; s < FMI_COUNT(strides); s++) {
      size_t stride = strides[s], records = (COUNT - (size_t)size) / stride + 1, count = (records - 1) * stride + (size_t)size;
      int32_t *base = (int32_t *)exact(4 * count);
      CHECK(base != NULL);
      for (EACH_LEVEL(level)) {
        int lanes = lanes_at(level), wrong = 0;
        for (int round = 0; base && round < 200; round++) {
          uint32_t index[MOST_LANES];
          int32_t got[8 * MOST_LANES + 1];
          memset(got, 0x55, sizeof got);
          for (int l = 0; l < lanes; l++) {
            uint32_t r = random_bits();
            index[l] = r % 9 == 0 ? 0 : r % 9 == 1 ? (uint32_t)records - 1 : random_bits() % (uint32_t)records;
          }
          if (size == 4) run_gather4[level](base, stride, index, got);
          else run_gather8[level](base, stride, index, got);
          for (int k = 0; k < size; k++)
            for (int l = 0; l < lanes; l++) wrong += got[k * lanes + l] != base[stride * index[l] + (size_t)k];
          wrong += got[size * lanes] != 0x55555555;
        }
        CHECK_AT(level, wrong == 0);
      }
      free(base);
    }
  }
}

static void test_store8(void) {
  fill(&in, ANY);
  for (EACH_LEVEL(level)) {
    int lanes = lanes_at(level), wrong = 0;
    for (int at = 0; at + 8 * lanes <= WORDS; at += 8) {
      int32_t to[8 * MOST_LANES + 2 * MOST_LANES];
      int off = 1 + at / 8 % MOST_LANES;
      memset(to, 0x55, sizeof to);
      run_store8[level](in.a + at, to + off);
      for (int i = 0; i < (int)FMI_COUNT(to); i++) {
        int p = i - off, inside = p >= 0 && p < 8 * lanes;
        wrong += to[i] != (inside ? in.a[at + p % 8 * lanes + p / 8] : 0x55555555);
      }
    }
    CHECK_AT(level, wrong == 0);
  }
}

static int64_t signed_word(uint64_t word) {
  int64_t value;
  memcpy(&value, &word, sizeof value);
  return value;
}

/* Every mask, with words that are larger, smaller, equal, or alike in one half. The halves of lanes lie anywhere; what the mask leaves
   out counts as far away as can be. */
static void test_max_words(void) {
  random_state = 3;
  for (EACH_LEVEL(level)) {
    int lanes = lanes_at(level), wrong = 0, half = (lanes + 1) / 2;
    int rounds = lanes == MOST_LANES ? 1 : 2000 >> lanes;
    for (uint32_t set = 0; set < 1u << lanes; set++) {
      for (int round = 0; round < 1 + rounds; round++) {
        int64_t to[2 * MOST_LANES], want[2 * MOST_LANES];
        int32_t key[MOST_LANES], low[MOST_LANES], mask[MOST_LANES];
        int first = 1 + (int)(set & 1), second = first + half + round % 2 * 3;
        memset(to, 0x55, sizeof to);
        for (int l = 0; l < lanes; l++) {
          uint32_t r = random_bits(), k = r & 16 ? random_bits() : special[random_bits() % FMI_COUNT(special)] ^ (r << 31);
          uint32_t w = r & 32 ? random_bits() : special[random_bits() % FMI_COUNT(special)] ^ (r << 31);
          uint64_t mine = (uint64_t)k << 32 | w, old = (uint64_t)random_bits() << 32 | random_bits();
          key[l] = low_word((int64_t)k);
          low[l] = low_word((int64_t)w);
          mask[l] = set >> l & 1 ? 1 + (int32_t)(r >> 8) : 0 - (int32_t)(r >> 8);
          switch (r >> 6 & 7) {
            case 0: old = mine; break;
            case 1: old = mine + 1; break;
            case 2: old = mine - 1; break;
            case 3: old = mine ^ 0x8000000000000000u; break;
            case 4: old = mine ^ 0x80000000u; break;
            case 5: old = 0x8000000000000000u; break;
            case 6: old = 0x7FFFFFFFFFFFFFFFu; break;
            default: break;
          }
          to[l < half ? first + l : second + l - half] = signed_word(old);
        }
        memcpy(want, to, sizeof to);
        for (int l = 0; l < lanes; l++) {
          uint32_t upper = set >> l & 1 ? (uint32_t)key[l] : 0x80000000u;
          int64_t mine = signed_word((uint64_t)upper << 32 | (uint32_t)low[l]), *word = &want[l < half ? first + l : second + l - half];
          if (mine > *word) *word = mine;
        }
        run_max_words[level](to + first, to + second, key, low, mask);
        wrong += memcmp(to, want, sizeof to) != 0;
      }
    }
    CHECK_AT(level, wrong == 0);
  }
}

static void test_names(void) {
  static const char *const names[] = {"best", "scalar", "sse2", "avx2", "avx512", "neon", "unknown", "unknown"};
  for (int i = 0; i < (int)FMI_COUNT(names); i++) CHECK_TEXT(fm_simd_name((fm_simd)i), names[i]);
}

/* The best level is one that is there, and none better is. */
static void test_best(void) {
  fm_simd best = fm_best_simd();
  CHECK(best != FM_SIMD_BEST && fmi_has_simd(best));
  CHECK(fmi_has_simd(FM_SIMD_SCALAR));
  CHECK(!fmi_has_simd(FM_SIMD_BEST) && !fmi_has_simd((fm_simd)LEVELS));
  for (EACH_LEVEL(level)) {
    CHECK_AT(level, lanes_at(level) <= lanes_at((int)best));
    CHECK_AT(level, run_facts[level] != NULL);
  }
#if defined(FACEMORPH_NO_SIMD) || (!defined(__x86_64__) && !defined(__i386__) && !defined(_M_X64) && !defined(__aarch64__))
  CHECK_INT(best, FM_SIMD_SCALAR);
#elif !defined(FACEMORPH_MAX_SIMD)
  CHECK(best != FM_SIMD_SCALAR);
#endif
}

/* A public call with this fm_common. Returns what the call did: whether it succeeded, and whether it left anything behind. */
typedef struct outcome { bool ok, left; } outcome;
static bool count_bytes(void *user, const void *data, size_t size) {
  (void)data;
  *(size_t *)user += size;
  return true;
}
static bool count_picture(void *user, size_t frame, size_t slot, const fm_image *image, fm_error *error) {
  (void)frame; (void)slot; (void)image; (void)error;
  ++*(size_t *)user;
  return true;
}
static fm_mesh triangle(float positions[9], uint32_t corners[3]) {
  fm_mesh mesh;
  memset(&mesh, 0, sizeof mesh);
  for (int i = 0; i < 9; i++) positions[i] = i == 3 || i == 7 ? 1.0f : 0.0f;
  for (uint32_t i = 0; i < 3; i++) corners[i] = i;
  mesh.positions = positions;
  mesh.corners = corners;
  mesh.vertex_count = mesh.corner_count = 3;
  mesh.polygon_count = 1;
  return mesh;
}

static outcome call_load_mesh(const fm_common *common, fm_error *error) {
  fm_load_desc desc;
  memset(&desc, 0, sizeof desc);
  desc.common = common;
  fm_mesh *mesh = fm_load_mesh_memory("v 1 2 3\n", 8, &desc, error);
  outcome o = {mesh != NULL, mesh != NULL};
  fm_free_mesh(mesh);
  return o;
}
static outcome call_load_image(const fm_common *common, fm_error *error) {
  static const uint8_t tga[18 + 3] = {0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 24, 0};
  fm_image_desc desc;
  fm_image image;
  memset(&desc, 0, sizeof desc);
  desc.common = common;
  bool ok = fm_load_image(&image, tga, sizeof tga, &desc, error);
  outcome o = {ok, image.pixels != NULL};
  fm_free_image(&image);
  return o;
}
static outcome call_prepare_mesh(const fm_common *common, fm_error *error) {
  float positions[9];
  uint32_t corners[3];
  fm_mesh mesh = triangle(positions, corners);
  bool ok = fm_prepare_mesh(&mesh, common, error);
  outcome o = {ok, mesh.triangles != NULL};
  fm_release_mesh(&mesh);
  return o;
}
static outcome call_software_renderer(const fm_common *common, fm_error *error) {
  fm_renderer renderer;
  bool ok = fm_software_renderer(&renderer, common, error);
  outcome o = {ok, renderer.user != NULL || renderer.begin != NULL};
  fm_destroy_renderer(&renderer);
  return o;
}
/* begin is called by itself as well: fm_render asks for no renderer of ours. */
static outcome call_renderer(const fm_common *common, fm_error *error, bool begin_alone) {
  float positions[9], weights[1] = {1.0f};
  uint32_t corners[3];
  size_t pictures = 0;
  fm_mesh mesh = triangle(positions, corners);
  const fm_mesh *heads[1];
  fm_renderer renderer;
  fm_scene scene;
  fm_frame frame;
  fm_image_sink sink;
  outcome o = {false, false};
  memset(&scene, 0, sizeof scene);
  memset(&frame, 0, sizeof frame);
  memset(&sink, 0, sizeof sink);
  heads[0] = &mesh;
  scene.heads = heads;
  scene.head_count = 1;
  scene.common = common;
  frame.shape_weights = weights;
  frame.width = frame.height = 8;
  sink.user = &pictures;
  sink.deliver = count_picture;
  CHECK(fm_prepare_mesh(&mesh, NULL, NULL));
  CHECK(fm_software_renderer(&renderer, NULL, NULL));
  if (begin_alone) {
    o.ok = o.left = renderer.begin(renderer.user, &scene, error) > 0;
    renderer.end(renderer.user);
  } else {
    o.ok = fm_render(&renderer, &scene, &frame, 1, &sink, error);
    o.left = pictures != 0;
  }
  fm_destroy_renderer(&renderer);
  fm_release_mesh(&mesh);
  return o;
}
static outcome call_begin(const fm_common *common, fm_error *error) {
  return call_renderer(common, error, true);
}
static outcome call_render(const fm_common *common, fm_error *error) {
  return call_renderer(common, error, false);
}
static outcome call_write_png(const fm_common *common, fm_error *error) {
  uint8_t pixel[3] = {1, 2, 3};
  size_t written = 0;
  fm_png_desc desc;
  fm_image image;
  fm_sink sink;
  memset(&desc, 0, sizeof desc);
  memset(&image, 0, sizeof image);
  memset(&sink, 0, sizeof sink);
  desc.common = common;
  image.width = image.height = 1;
  image.channels = 3;
  image.pixels = pixel;
  sink.user = &written;
  sink.write = count_bytes;
  bool ok = fm_write_png(&sink, &image, &desc, error);
  outcome o = {ok, written != 0};
  return o;
}
static outcome call_write_png_file(const fm_common *common, fm_error *error) {
  char path[200];
  uint8_t pixel[3] = {1, 2, 3};
  fm_png_desc desc;
  fm_image image;
  snprintf(path, sizeof path, "%s/lanes.png", test_temp());
  memset(&desc, 0, sizeof desc);
  memset(&image, 0, sizeof image);
  desc.common = common;
  image.width = image.height = 1;
  image.channels = 3;
  image.pixels = pixel;
  remove(path);
  bool ok = fm_write_png_file(path, &image, &desc, error);
  outcome o = {ok, remove(path) == 0};
  return o;
}

/* A level that is not there is refused by name, in every call that is given one, and nothing is made; one that is there works. */
static void test_chosen_level(void) {
  static const struct { const char *name; outcome (*run)(const fm_common *, fm_error *); } calls[] = {
    {"fm_load_mesh_memory", call_load_mesh}, {"fm_load_image", call_load_image}, {"fm_prepare_mesh", call_prepare_mesh},
    {"fm_software_renderer", call_software_renderer}, {"begin", call_begin}, {"fm_render", call_render},
    {"fm_write_png", call_write_png}, {"fm_write_png_file", call_write_png_file}
  };
  for (int level = 0; level <= LEVELS; level++) {
    bool there = level == FM_SIMD_BEST || fmi_has_simd((fm_simd)level);
    char want[200];
    snprintf(want, sizeof want, "this build or this processor does not have the instruction set %s; \"best\" takes what there is",
             fm_simd_name((fm_simd)level));
    for (size_t i = 0; i < FMI_COUNT(calls); i++) {
      fm_common common;
      fm_error error;
      char text[300];
      memset(&common, 0, sizeof common);
      common.simd = (fm_simd)level;
      common.threads = 1;
      outcome o = calls[i].run(&common, &error);
      if (o.ok == there && o.left == there && error.status == (there ? FM_OK : FM_ERROR_ARGUMENT) &&
          strcmp(error.message, there ? "" : want) == 0)
        continue;
      snprintf(text, sizeof text, "%s at %s: returns %d, leaves %d, says \"%.150s\"", calls[i].name,
               fm_simd_name((fm_simd)level), o.ok, o.left, error.message);
      test_fail(__FILE__, __LINE__, text);
    }
  }
}

/* Not a test: says which compiled levels the others could not reach on this machine. */
static void test_all_levels(void) {
  static char reason[100];
  for (int level = 1; level < LEVELS; level++)
    if (run_facts[level] && !fmi_has_simd((fm_simd)level)) {
      snprintf(reason, sizeof reason, "this processor lacks %s, so that level is compiled, not run", fm_simd_name((fm_simd)level));
      SKIP(reason);
    }
}

TEST_MAIN(
  {"operations", test_operations},
  {"log2 and exp2", test_log2_exp2},
  {"lanes and constants", test_facts},
  {"loads and stores", test_copies},
  {"gathers", test_gathers},
  {"gathered records", test_gathered_records},
  {"stored records", test_store8},
  {"larger words", test_max_words},
  {"names", test_names},
  {"best level", test_best},
  {"chosen level", test_chosen_level},
  {"all levels", test_all_levels},
)

#endif
