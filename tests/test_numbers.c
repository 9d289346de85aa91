/* Decimal numbers: reading and writing. The expected values come from the literature on the subject (Clinger 1990; Gay 1990; Loitsch 2010; the
   bug reports on 2.2250738585072011e-308 of 2011) and, for random numbers, from the C library. */
#include "test.h"

#include <locale.h>

static double parse(const char *text) {
  double value = -1.0;
  const char *end = text + strlen(text);
  CHECK(fm_parse_double(text, end, &value) == end);
  return value;
}
static float parse_float(const char *text) {
  float value = -1.0f;
  const char *end = text + strlen(text);
  CHECK(fmi_parse_float(text, end, &value) == end);
  return value;
}
static uint64_t bits_of(const char *text) { return fmi_double_bits(parse(text)); }
static uint32_t float_bits_of(const char *text) { return fmi_float_bits(parse_float(text)); }
static const char *print_float(float value) {
  static char text[24];
  CHECK_INT(fm_print_float(text, value), strlen(text));
  return text;
}
static const char *print_double(double value) {
  static char text[32];
  CHECK_INT(fm_print_double(text, value), strlen(text));
  return text;
}

/* xorshift64 (Marsaglia 2003) */
static uint64_t next_random(uint64_t *state) {
  *state ^= *state << 13;
  *state ^= *state >> 7;
  *state ^= *state << 17;
  return *state;
}

static void test_forms(void) {
  CHECK(parse("0") == 0.0);
  CHECK(parse("+1.5") == 1.5);
  CHECK(parse("-.5") == -0.5);
  CHECK(parse("5.") == 5.0);
  CHECK(parse("1.e0") == 1.0);
  CHECK(parse("1E+2") == 100.0);
  CHECK(parse("00012.50e-1") == 1.25);
  CHECK(bits_of("-0.0") == 0x8000000000000000u);
  CHECK(isinf(parse("inf")) && isinf(parse("-Infinity")) && parse("-Infinity") < 0 && isnan(parse("NaN")));
}

static void test_where_numbers_end(void) {
  static const struct { const char *text; int length; double value; } cases[] = {
    {"1e", 1, 1}, {"1e+", 1, 1}, {"2.5.5", 3, 2.5}, {"1,5", 1, 1}, {"3 4", 1, 3}, {"0x10", 1, 0}, {"7/8/9", 1, 7}, {"1e5x", 3, 1e5}};
  static const char *const none[] = {"", "+", "-", ".", "-.", "e5", "abc", "--1", " 1", "i", "na"};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    double value;
    const char *end = fm_parse_double(cases[i].text, cases[i].text + strlen(cases[i].text), &value);
    CHECK_INT(end - cases[i].text, cases[i].length);
    CHECK(value == cases[i].value);
  }
  for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
    double value = 7.0;
    CHECK(fm_parse_double(none[i], none[i] + strlen(none[i]), &value) == NULL);
    CHECK(value == 0.0);
  }
  {
    double value; /* the text's end counts, not a 0 byte */
    const char *text = "12345";
    CHECK(fm_parse_double(text, text + 3, &value) == text + 3 && value == 123.0);
  }
}

static void test_hard_doubles(void) {
  CHECK(bits_of("9007199254740993") == 0x4340000000000000u);                    /* 2^53 + 1: a tie, to even */
  CHECK(bits_of("9007199254740993.00000000000000000000000000000000000001") == 0x4340000000000001u);
  CHECK(bits_of("9007199254740995") == 0x4340000000000002u);
  CHECK(bits_of("2.2250738585072011e-308") == 0x000FFFFFFFFFFFFFu);             /* hung PHP and Java */
  CHECK(bits_of("2.2250738585072012e-308") == 0x0010000000000000u);
  CHECK(bits_of("2.2250738585072014e-308") == 0x0010000000000000u);
  CHECK(bits_of("5e-324") == 1u);
  CHECK(bits_of("4.9406564584124654e-324") == 1u);
  CHECK(bits_of("2.4703282292062327e-324") == 0u);                              /* just below half of the smallest */
  CHECK(bits_of("2.4703282292062328e-324") == 1u);                              /* just above */
  CHECK(bits_of("1.7976931348623157e308") == 0x7FEFFFFFFFFFFFFFu);
  CHECK(bits_of("1.7976931348623158e308") == 0x7FEFFFFFFFFFFFFFu);
  CHECK(bits_of("1.7976931348623159e308") == 0x7FF0000000000000u);
  CHECK(bits_of("1e309") == 0x7FF0000000000000u);
  CHECK(bits_of("1e-400") == 0u);
  CHECK(bits_of("1e999999999999999999999") == 0x7FF0000000000000u);
  CHECK(bits_of("-1e-999999999999999999999") == 0x8000000000000000u);
  CHECK(bits_of("1e23") == 0x44B52D02C7E14AF6u);
  CHECK(bits_of("8.442911973260991817129021e-309") == fmi_double_bits(strtod("8.442911973260991817129021e-309", NULL)));
  CHECK(parse("6929495644600919.5") == 6929495644600920.0); /* ties, to even */
  CHECK(bits_of("3.518437208883201171875e13") == 0x42C0000000000002u);
  CHECK(bits_of("62.5364939768271845828") == fmi_double_bits(62.5364939768271845828));
}

static void test_hard_floats(void) {
  CHECK(float_bits_of("16777217") == 0x4B800000u); /* 2^24 + 1: a tie, to even */
  CHECK(float_bits_of("16777219") == 0x4B800002u);
  CHECK(float_bits_of("16777217.000000000000000000001") == 0x4B800001u); /* its double is the tie */
  CHECK(float_bits_of("16777216.999999999999999999999") == 0x4B800000u);
  CHECK(float_bits_of("1.00000005960464477539062500") == 0x3F800000u);
  CHECK(float_bits_of("1.00000005960464477539062501") == 0x3F800001u);
  CHECK(float_bits_of("1.00000017881393432617187499") == 0x3F800001u); /* the double after it is a tie that goes up */
  CHECK(float_bits_of("1.401298464324817e-45") == 1u);
  CHECK(float_bits_of("7.006492321624085e-46") == 0u);
  CHECK(float_bits_of("7.006492321624086e-46") == 1u);
  CHECK(float_bits_of("1.1754943508222875e-38") == 0x00800000u);
  CHECK(float_bits_of("3.4028235e38") == 0x7F7FFFFFu);
  CHECK(float_bits_of("340282356779733661637539395458142568448") == 0x7F800000u); /* 2^128 - 2^103: half a unit above the largest */
  CHECK(float_bits_of("340282356779733661637539395458142568447") == 0x7F7FFFFFu);
  CHECK(float_bits_of("-1e60") == 0xFF800000u);
  CHECK(float_bits_of("0.000000") == 0u && float_bits_of("-0.000000") == 0x80000000u);
}

/* Text of any length is read exactly: a tie, with a digit far behind it. */
static void test_long_numbers(void) {
  static char text[200100];
  size_t n = 0;
  text[n++] = '0';
  text[n++] = '.';
  memset(text + n, '3', 100000);
  CHECK(parse((text[n + 100000] = 0, text)) == 1.0 / 3.0);
  CHECK(parse_float(text) == 1.0f / 3.0f);

  n = (size_t)snprintf(text, sizeof text, "9007199254740993.");
  memset(text + n, '0', 150000);
  text[n + 150000] = 0;
  CHECK(bits_of(text) == 0x4340000000000000u);
  text[n + 149999] = '1';
  CHECK(bits_of(text) == 0x4340000000000001u);

  text[0] = '0'; /* 100,000 zeros behind the point against an exponent */
  text[1] = '.';
  memset(text + 2, '0', 100000);
  memcpy(text + 100002, "25e100001", 10);
  CHECK(parse(text) == 2.5);
  text[0] = '1';
  memset(text + 1, '0', 100000);
  memcpy(text + 100001, "e-100000", 9);
  CHECK(parse(text) == 1.0);

  /* the longest exact tie: half of the smallest double has 751 digits; with and without a digit behind it */
  n = (size_t)snprintf(text, sizeof text, "%.1080f", 5e-324);
  (void)n;
  CHECK(bits_of(text) == 1u);
}

static void test_shortest_floats(void) {
  static const struct { float value; const char *text; } cases[] = {
    {0.0f, "0"}, {-0.0f, "0"}, {1.0f, "1"}, {-1.0f, "-1"}, {0.1f, "0.1"}, {0.3f, "0.3"}, {1.0f / 3.0f, "0.33333334"}, {123.456f, "123.456"},
    {100.0f, "100"}, {1e6f, "1000000"}, {9999999.0f, "9999999"}, {1e7f, "1e+07"}, {12345678.0f, "1.2345678e+07"}, {16777216.0f, "1.6777216e+07"},
    {33554432.0f, "3.3554432e+07"}, {1e-5f, "0.00001"}, {1.5e-5f, "0.000015"}, {9.9999e-6f, "9.9999e-06"}, {1e-6f, "1e-06"}, {-2.5e-7f, "-2.5e-07"},
    {3.4028235e38f, "3.4028235e+38"}, {1.17549435e-38f, "1.1754944e-38"}, {1.4e-45f, "1e-45"}, {2.8e-45f, "3e-45"}, {1e10f, "1e+10"}, {8589934592.0f, "8.589935e+09"},
    {0.5f, "0.5"}, {2.0f, "2"}, {1.1920929e-7f, "1.1920929e-07"}, {67108864.0f, "6.7108864e+07"}, {5.0f, "5"}, {0.00390625f, "0.00390625"}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) CHECK_TEXT(print_float(cases[i].value), cases[i].text);
  CHECK_TEXT(print_float((float)INFINITY), "inf");
  CHECK_TEXT(print_float(-(float)INFINITY), "-inf");
  CHECK_TEXT(print_float((float)NAN), "nan");
}

static void test_shortest_doubles(void) {
  static const struct { double value; const char *text; } cases[] = {
    {0.0, "0"}, {-0.0, "0"}, {1.0, "1"}, {0.1, "0.1"}, {0.1 + 0.2, "0.30000000000000004"}, {1.0 / 3.0, "0.3333333333333333"}, {5e-324, "5e-324"},
    {2.2250738585072014e-308, "2.2250738585072014e-308"}, {1.7976931348623157e308, "1.7976931348623157e+308"}, {9007199254740992.0, "9.007199254740992e+15"},
    {1e23, "1e+23"}, {9.5367431640625e-7, "9.5367431640625e-07"}, {5.684341886080802e-14, "5.684341886080802e-14"}, {1e7, "1e+07"}, {9999999.5, "9999999.5"},
    {1e-5, "0.00001"}, {9.99e-6, "9.99e-06"}, {-123.25, "-123.25"}, {2251799813685248.5, "2.2517998136852485e+15"}, {1e100, "1e+100"}, {2.98023223876953125e-8, "2.9802322387695312e-08"}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) CHECK_TEXT(print_double(cases[i].value), cases[i].text);
  CHECK_TEXT(print_double(-(double)INFINITY), "-inf");
  CHECK_TEXT(print_double((double)NAN), "nan");
}

/* How many significant digits a printed number has. */
static int significant(const char *text) {
  int digits = 0, zeros = 0;
  for (; *text && *text != 'e'; text++) {
    if (*text < '0' || *text > '9') continue;
    if (*text == '0' && digits == 0) continue;
    if (*text == '0') zeros++;
    else digits += zeros + 1, zeros = 0;
  }
  return digits;
}

static void test_random_floats(void) {
  uint64_t state = 20240229;
  int wrong = 0;
  for (int i = 0; i < 200000 && wrong < 5; i++) {
    float value = fmi_bits_float((uint32_t)next_random(&state)), back = 0.0f;
    char text[64];
    const char *printed;
    if (!(value - value == 0.0f)) continue;
    printed = print_float(value);
    if (strtof(printed, NULL) != value) wrong++, printf("%.9g printed as %s\n", (double)value, printed);
    for (int digits = 1; digits < significant(printed); digits++) { /* none that snprintf rounds well is shorter */
      snprintf(text, sizeof text, "%.*e", digits - 1, (double)value);
      if (strtof(text, NULL) == value) wrong++, printf("%s printed as %s\n", text, printed);
    }
    snprintf(text, sizeof text, "%.*e", (int)(next_random(&state) % 25), (double)value * (1.0 + (double)(next_random(&state) % 100) * 1e-9));
    fmi_parse_float(text, text + strlen(text), &back);
    if (memcmp((value = strtof(text, NULL), &value), &back, 4) != 0) wrong++, printf("%s read as %.9g\n", text, (double)back);
  }
  CHECK_INT(wrong, 0);
}

static void test_random_doubles(void) {
  uint64_t state = 19851001;
  int wrong = 0;
  for (int i = 0; i < 100000 && wrong < 5; i++) {
    double value = fmi_bits_double(next_random(&state)), back, want;
    char text[400];
    if (!fmi_is_finite(value)) continue;
    if (strtod(print_double(value), NULL) != value) wrong++, printf("%.17g printed as %s\n", value, print_double(value));
    switch (i % 4) {
      case 0: snprintf(text, sizeof text, "%.17g", value); break;
      case 1: snprintf(text, sizeof text, "%.*e", (int)(next_random(&state) % 40), value); break;
      case 2: snprintf(text, sizeof text, "%llue%d", (unsigned long long)(next_random(&state) >> (next_random(&state) % 64)), (int)(next_random(&state) % 700) - 350); break;
      default: snprintf(text, sizeof text, "%.*f", (int)(next_random(&state) % 20), (double)(int64_t)next_random(&state) * 1e-12); break;
    }
    fm_parse_double(text, text + strlen(text), &back);
    want = strtod(text, NULL);
    if (memcmp(&want, &back, 8) != 0) wrong++, printf("%s read as %.17g, should be %.17g\n", text, back, want);
  }
  CHECK_INT(wrong, 0);
}

/* The middles between two floats, where everything is decided by the last digit. */
static void test_middles(void) {
  uint64_t state = 7;
  int wrong = 0;
  for (int i = 0; i < 20000 && wrong < 5; i++) {
    uint32_t bits = (uint32_t)next_random(&state) % 0x7F7FFFFF;
    double middle = ((double)fmi_bits_float(bits) + (double)fmi_bits_float(bits + 1)) / 2.0;
    char text[300];
    float back, want;
    size_t n = (size_t)snprintf(text, sizeof text, "%.120e", middle); /* exact: a middle of floats has 113 digits at most */
    fmi_parse_float(text, text + n, &back);
    want = fmi_bits_float(bits + (bits & 1));
    if (back != want) wrong++, printf("%s read as %.9g\n", text, (double)back);
    text[strchr(text, 'e') - text - 1] = '1'; /* a little more */
    fmi_parse_float(text, text + n, &back);
    if (back != fmi_bits_float(bits + 1)) wrong++, printf("%s read as %.9g\n", text, (double)back);
  }
  CHECK_INT(wrong, 0);
}

static void test_locale(void) {
  static const char *const locales[] = {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "fr_FR.utf8", "German_Germany.1252", "ru_RU.UTF-8"};
  bool found = false;
  for (size_t i = 0; i < sizeof locales / sizeof locales[0] && !found; i++) found = setlocale(LC_ALL, locales[i]) && *localeconv()->decimal_point == ',';
  if (found) {
    CHECK(parse("1.5") == 1.5);
    CHECK_TEXT(print_double(0.25), "0.25");
    CHECK_TEXT(print_float(0.25f), "0.25");
  }
  setlocale(LC_ALL, "C");
  if (!found) SKIP("no locale with a decimal comma is installed");
}

static void test_text_number(void) {
  fm_error error;
  fmi_env env;
  fmi_text text;
  memset(&text, 0, sizeof text);
  fmi_begin(&env, NULL, &error, NULL);
  text.env = &env;
  text.pool = &env.temp;
  CHECK(fmi_text_number(&text, 0.5) && fmi_text_add(&text, ",") && fmi_text_number(&text, -1e-9));
  CHECK_TEXT(text.data, "0.5,-1e-09");
  CHECK(fmi_end(&env));
}

/* The short way for what exporters write against the C library, which is right for every decimal. Whoever takes it must not be wrong; whoever
   leaves it must have a reason. */
static void check_plain(const char *number, fmi_width *width, int *taken) {
  char text[120];
  float value = 7.0f, general = 7.0f, want = strtof(number, NULL);
  size_t length = strlen(number);
  const char *end;
  memset(text, '7', sizeof text); /* digits far behind the end: nobody may take them */
  snprintf(text, sizeof text, "%s ", number);
  text[length + 1] = '7';
  end = fmi_plain_float(text, width, &value);
  if (end) ++*taken;
  if (end && (end != text + length || fmi_float_bits(value) != fmi_float_bits(want))) test_fail(__FILE__, __LINE__, number);
  end = fmi_parse_float(text, text + length, &general);
  if (end != text + length || fmi_float_bits(general) != fmi_float_bits(want)) test_fail(__FILE__, __LINE__, number);
}

static void test_plain_floats(void) {
  static const char *const easy[] = {"0", "1", "-1", "0.0", "-0.000000", "1.5", "0.001666", "-0.020693", "12345678.25", "0.12345678", "3.123456789012345",
                                     "1234.00000001", "5.", "00012.5", "0.000000000000001", "18446.74407369", "9.007199254740992"};
  static const char *const none[] = {"", "-", "+1", ".5", "-.5", "x", "123456789", "1.1234567890123456", "18446.74407370", "9.007199254740993", "--1", "inf"};
  uint64_t state = 424242;
  fmi_width width;
  int taken = 0, total = 0;
  fmi_set_width(&width, 6);
  for (size_t i = 0; i < sizeof easy / sizeof easy[0]; i++) {
    int before = taken;
    check_plain(easy[i], &width, &taken);
    CHECK_INT(taken, before + 1);
  }
  for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
    char text[64] = "";
    float value;
    snprintf(text, sizeof text, "%s ", none[i]);
    CHECK(!fmi_plain_float(text, &width, &value));
  }
  for (taken = 0; total < 150000 && !test_failures; total++) { /* every number of digits, before and behind the point, often and seldom the same */
    char text[64];
    int whole = 1 + (int)(next_random(&state) % 8), behind = (int)(next_random(&state) % 16), n = 0;
    if (total % 1000 < 700) whole = 1, behind = total / 1000 % 16;
    if (next_random(&state) % 2) text[n++] = '-';
    for (int i = 0; i < whole; i++) text[n++] = (char)('0' + next_random(&state) % 10);
    if (behind) text[n++] = '.';
    for (int i = 0; i < behind; i++) text[n++] = (char)('0' + next_random(&state) % 10);
    text[n] = 0;
    check_plain(text, &width, &taken);
  }
  CHECK(taken > total / 2);
  for (total = taken = 0; total < 100000 && !test_failures; total++) { /* middles of two floats, cut to a length, and their neighbours in it */
    char text[64];
    uint32_t bits = 0x30000000u + (uint32_t)(next_random(&state) % 0x1C000000u); /* 5e-10 to 1e8 */
    double middle = (double)fmi_bits_float(bits) + ((double)fmi_bits_float(bits + 1) - (double)fmi_bits_float(bits)) / 2;
    int n = snprintf(text, sizeof text, "%.*f", (int)(next_random(&state) % 16), middle);
    int change = (int)(next_random(&state) % 3) - 1;
    if (text[n - 1] + change >= '0' && text[n - 1] + change <= '9') text[n - 1] = (char)(text[n - 1] + change);
    check_plain(text, &width, &taken);
  }
  CHECK(taken > total / 2);
  for (int i = 0; i < 200 && !test_failures; i++) { /* middles themselves are left to those who can */
    char text[64];
    float value;
    snprintf(text, sizeof text, "%d.5 ", 8388608 + i);
    CHECK(!fmi_plain_float(text, &width, &value));
    check_plain((text[strlen(text) - 1] = 0, text), &width, &taken);
  }
}

static void test_plain_naturals(void) {
  uint64_t state = 99;
  fmi_width width;
  fmi_set_width(&width, 4);
  for (int i = 0; i < 100000 && !test_failures; i++) {
    char text[40];
    uint32_t value = 0, number = (uint32_t)(next_random(&state) % 10000000u) >> next_random(&state) % 24;
    const char *ends = "/ \n\r.-:\x80\xFF";
    int n = snprintf(text, sizeof text, "%u%c%016llx", number, ends[next_random(&state) % 9], (unsigned long long)next_random(&state));
    (void)n;
    const char *end = fmi_plain_natural(text, &width, &value);
    CHECK(end && value == number && !fmi_is_digit(*end) && (end == text + 1 || fmi_is_digit(end[-1])));
  }
  for (int before = 1; before < 8; before++) {
    uint32_t value;
    fmi_set_width(&width, (size_t)before);
    CHECK(!fmi_plain_natural("12345678", &width, &value) && !fmi_plain_natural("/1234567", &width, &value) &&
          !fmi_plain_natural("\xB1zzzzzzz", &width, &value));
    CHECK(fmi_plain_natural("0000012/", &width, &value) && value == 12);
  }
}

TEST_MAIN({"forms", test_forms}, {"where numbers end", test_where_numbers_end}, {"hard doubles", test_hard_doubles}, {"hard floats", test_hard_floats},
          {"long numbers", test_long_numbers}, {"shortest floats", test_shortest_floats}, {"shortest doubles", test_shortest_doubles},
          {"random floats", test_random_floats}, {"random doubles", test_random_doubles}, {"middles", test_middles}, {"locale", test_locale},
          {"text_number", test_text_number}, {"plain floats", test_plain_floats}, {"plain naturals", test_plain_naturals})
