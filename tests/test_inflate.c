/* Streams made by zlib 1.2 and by hand go in; damage must be told; what we deflate must come back. */
#include "test.h"

/* ---- streams by zlib ---- */

static const unsigned char text_stored[] = {
  120,1,1,30,0,225,255,115,116,111,114,101,100,32,98,108,111,99,107,115,32,107,101,101,112,32,116,104,101,105,114,32,
  98,121,116,101,115,178,119,11,120};
static const unsigned char text_fixed[] = {
  120,1,179,180,84,72,202,47,41,201,73,45,86,200,79,83,72,74,77,45,82,200,207,83,40,201,72,85,40,79,204,201,209,81,
  176,196,144,231,178,180,32,160,197,2,83,139,57,1,45,230,152,90,204,8,104,49,195,212,98,74,64,139,41,166,22,19,2,90,
  76,48,181,24,19,208,98,140,169,197,136,128,22,35,76,45,134,4,180,24,98,106,49,32,160,5,67,158,11,0,227,29,169,247};
static const unsigned char text_dynamic[] = {
  120,218,133,203,59,10,128,48,16,5,192,62,167,216,3,88,152,127,246,56,6,86,44,130,1,13,120,125,15,240,138,87,15,163,
  42,125,174,53,236,149,121,74,55,123,100,222,178,46,147,239,24,99,19,5,119,218,72,105,88,42,41,21,75,33,165,96,201,
  164,100,44,137,148,132,37,146,18,177,4,82,2,22,79,138,199,178,147,2,238,126,227,29,169,247};
static const unsigned char fibonacci[] = {
  120,1,5,193,129,129,219,48,12,4,193,218,146,252,219,18,9,220,237,246,223,76,102,104,84,93,81,12,170,71,26,80,252,
  117,45,17,164,40,219,79,170,81,173,118,237,162,94,31,220,138,18,211,170,91,151,208,53,84,80,177,138,33,234,213,90,
  189,86,76,171,141,158,99,237,136,170,142,218,10,217,102,253,139,202,181,5,234,220,214,76,210,226,173,88,161,174,39,
  233,109,43,82,253,106,173,205,160,117,137,81,6,141,37,54,141,214,240,182,189,106,125,173,42,110,150,9,81,31,44,41,
  106,171,214,157,66,4,173,11,63,162,74,0,90,71,181,81,87,77,67,171,70,21,181,76,45,116,245,200,118,69,215,141,161,30,
  137,137,245,133,168,46,22,24,193,199,21,7,81,182,29,141,58,224,237,138,56,123,73,205,82,189,234,106,245,218,135,180,
  80,117,128,71,233,91,171,77,168,53,20,82,49,138,168,102,213,62,233,54,37,82,45,70,55,184,91,126,167,54,5,42,21,116,
  142,30,238,171,186,22,214,168,70,212,136,162,88,180,201,76,25,104,181,110,22,36,28,39,162,70,52,170,48,226,171,123,
  51,213,59,71,44,41,82,69,241,1,108,212,85,212,173,34,91,77,187,106,197,27,84,52,18,106,140,165,222,12,85,180,138,
  162,80,193,23,47,74,71,203,71,20,180,53,139,37,175,3,72,229,174,84,217,163,99,181,106,55,213,27,21,196,122,139,14,
  43,10,8,154,26,193,174,180,168,173,86,69,68,1,173,89,226,186,110,235,170,26,95,74,221,197,25,129,116,228,122,64,89,
  81,138,245,88,160,180,170,58,217,166,85,27,128,186,90,89,45,94,10,138,164,174,5,175,1,244,15,86,214,112,212,19,120,
  113,201,129,9,114,213,72,75,164,2,180,18,237,196,209,78,39,174,198,226,40,69,12,212,221,106,21,223,251,13,85,75,0,
  87,15,234,136,209,162,138,98,172,115,235,29,68,68,84,99,93,173,86,135,42,201,58,87,200,161,197,122,141,61,27,27,175,
  88,172,216,81,171,109,223,190,95,55,148,173,157,205,9,94,125,65,148,86,173,32,163,4,83,196,98,22,212,162,232,214,
  210,20,247,43,84,91,53,211,59,26,91,21,68,174,88,181,46,177,32,80,164,81,121,227,83,0,83,60,137,21,220,163,156,98,
  244,86,164,196,174,136,153,54,38,218,118,65,213,160,68,21,35,239,138,89,111,72,68,81,167,23,214,33,174,42,109,106,
  173,148,148,169,118,117,176,169,41,90,69,132,80,186,56,11,110,204,26,105,105,108,72,244,78,108,129,209,208,40,13,
  187,161,141,88,224,118,107,169,234,142,138,74,117,239,65,122,63,208,171,6,66,0,217,194,174,42,22,47,215,64,76,83,
  208,30,226,214,136,141,216,203,93,143,81,193,42,240,54,152,166,130,40,170,210,178,18,181,42,167,189,213,232,222,182,
  43,184,109,170,0,212,72,164,139,66,213,170,7,4,107,92,119,48,151,138,53,42,87,27,229,43,56,134,71,253,34,125,4,12,
  209,68,164,213,0,227,101,17,21,5,229,58,89,224,114,84,21,171,209,32,242,94,87,192,75,151,86,37,70,221,104,68,106,69,
  205,58,214,226,0,85,131,152,106,163,50,184,29,102,11,137,221,226,66,191,69,19,133,66,151,45,170,251,82,41,128,24,
  232,86,148,226,202,218,214,48,250,193,61,42,31,139,162,168,209,232,10,116,24,156,244,252,232,98,11,65,242,46,40,85,
  41,152,32,209,214,148,69,215,69,85,102,128,217,154,178,81,164,30,85,155,145,213,177,10,20,69,252,101,52,8,30,189,54,
  45,185,50,93,75,84,79,47,160,140,26,215,154,49,183,147,128,218,45,25,172,182,21,23,1,106,83,111,175,186,104,77,131,
  130,178,98,14,88,75,93,87,216,52,197,64,169,163,210,209,60,172,168,171,172,65,67,137,81,17,54,244,174,170,171,224,
  191,170,82,193,52,41,12,74,80,68,193,69,126,239,66,213,55,213,15,110,40,175,63,172,26,83,188,68,148,209,176,47,181,
  92,81,44,40,104,35,8,90,111,91,92,58,160,42,22,83,161,82,65,84,52,17,251,173,116,20,18,20,187,218,151,44,212,43,2,
  17,21,108,7,155,85,0,105,66,169,118,221,85,132,42,141,168,88,223,167,162,58,136,110,168,66,4,107,140,143,182,216,88,
  155,226,78,90,198,148,48,109,139,110,193,117,169,98,173,186,98,84,32,104,181,134,46,100,85,151,138,74,17,249,151,85,
  182,62,95,213,67,151,173,205,2,114,17,5,157,165,41,12,25,15,142,30,82,213,215,71,104,163,175,35,26,245,171,181,177,
  162,80,69,75,218,40,215,85,14,91,227,17,17,242,138,26,187,2,53,112,170,35,19,171,222,218,234,6,71,214,86,77,52,160,
  171,29,221,108,46,74,73,209,70,16,142,141,85,187,88,165,0,46,221,145,114,196,123,235,178,82,17,9,105,2,223,71,153,
  84,93,32,233,160,234,42,138,10,205,89,39,84,113,223,149,67,43,172,190,181,120,203,28,39,215,226,225,91,189,102,106,
  106,236,74,85,181,177,140,201,117,85,40,238,98,165,38,35,234,106,211,186,82,91,162,215,171,160,126,183,97,168,103,
  231,134,99,170,54,186,168,106,237,18,197,85,194,50,171,194,91,138,2,181,130,80,213,77,172,42,108,17,172,162,163,153,
  198,136,68,110,167,232,71,45,101,7,106,164,115,224,130,91,107,193,45,54,234,4,60,145,150,77,28,171,139,220,114,91,
  212,7,85,81,55,82,81,176,130,90,20,152,50,48,143,70,25,69,42,229,119,234,85,173,222,41,175,70,171,45,86,85,88,170,
  72,21,104,6,158,33,138,107,149,228,86,21,5,106,206,168,10,140,22,42,135,130,10,197,136,56,174,40,107,153,158,134,
  112,162,45,81,68,121,186,169,198,182,186,215,170,5,149,14,58,130,200,144,69,44,186,17,159,72,7,171,6,11,125,97,204,
  162,177,168,93,88,81,202,198,90,165,31,117,171,86,138,8,141,155,196,6,112,192,140,88,121,197,170,237,82,64,52,150,
  160,6,171,174,82,81,37,162,166,58,208,101,92,139,92,138,140,42,209,255,72,179,16,134};

/* The text of text_fixed and text_dynamic. */
static size_t make_bottles(unsigned char *out) {
  size_t n = 0;
  for (int i = 99; i > 89; i--) n += (size_t)sprintf((char *)out + n, "%d bottles of beer on the wall, %d bottles of beer\n", i, i);
  return n;
}

/* Inflates into exactly `room` bytes; returns what is wrong, "" if nothing. Input and output are blocks of their own size, so that a
   sanitizer sees every byte too far. Every instruction set must say the same. */
static const char *inflate(const unsigned char *data, size_t size, unsigned char *out, size_t room, size_t *position) {
  fmi_inflater *z = (fmi_inflater *)malloc(sizeof *z);
  unsigned char *in = (unsigned char *)malloc(size + 1), *exact = (unsigned char *)malloc(room + 1), *first = (unsigned char *)malloc(room + 1);
  const char *words = NULL;
  size_t at = 0;
  memcpy(in + 1, data, size);
  for (int simd = FM_SIMD_SCALAR; simd <= FM_SIMD_NEON; simd++) {
    if (!fmi_has_simd((fm_simd)simd)) continue;
    bool ok = fmi_inflate_with(z, (fm_simd)simd, in + 1, size, exact + 1, room);
    CHECK(ok == !z->error);
    if (!words) {
      words = ok ? "" : z->error;
      at = fmi_inflate_position(z);
      if (ok) memcpy(first + 1, exact + 1, room);
    }
    CHECK_TEXT(ok ? "" : z->error, words);
    CHECK_INT(fmi_inflate_position(z), at);
    if (ok) CHECK(memcmp(first + 1, exact + 1, room) == 0);
  }
  if (out && !words[0]) memcpy(out, first + 1, room);
  if (position) *position = at;
  free(in);
  free(exact);
  free(first);
  free(z);
  return words;
}

static void test_stored(void) {
  unsigned char out[64];
  CHECK_TEXT(inflate(text_stored, sizeof text_stored, out, 30, NULL), "");
  CHECK(memcmp(out, "stored blocks keep their bytes", 30) == 0);
}

static void test_fixed_and_dynamic(void) {
  unsigned char out[600], want[600];
  size_t n = make_bottles(want);
  CHECK_INT(n, 510);
  CHECK_TEXT(inflate(text_fixed, sizeof text_fixed, out, n, NULL), "");
  CHECK(memcmp(out, want, n) == 0);
  memset(out, 0, sizeof out);
  CHECK_TEXT(inflate(text_dynamic, sizeof text_dynamic, out, n, NULL), "");
  CHECK(memcmp(out, want, n) == 0);
}

/* Counts of symbols that are Fibonacci numbers need codes of all lengths up to 15 bits. */
static void test_long_codes(void) {
  static unsigned char out[4180];
  int counts[17] = {0}, a = 1, b = 1;
  CHECK_TEXT(inflate(fibonacci, sizeof fibonacci, out, sizeof out, NULL), ""); /* zlib's checksum is checked there */
  for (size_t i = 0; i < sizeof out; i++)
    if (out[i] >= 65 && out[i] < 82) counts[out[i] - 65]++;
  for (int i = 0; i < 17; i++) {
    CHECK_INT(counts[i], a);
    int next = a + b;
    a = b;
    b = next;
  }
}

/* ---- damage ---- */

static void test_truncated(void) {
  for (size_t n = 0; n < sizeof text_dynamic; n++) CHECK_TEXT(inflate(text_dynamic, n, NULL, 510, NULL), "the compressed data ends in the middle");
  for (size_t n = 0; n < sizeof text_fixed; n++) CHECK_TEXT(inflate(text_fixed, n, NULL, 510, NULL), "the compressed data ends in the middle");
  for (size_t n = 0; n < sizeof text_stored; n++) CHECK_TEXT(inflate(text_stored, n, NULL, 30, NULL), "the compressed data ends in the middle");
  for (size_t n = 0; n < sizeof fibonacci; n++) CHECK_TEXT(inflate(fibonacci, n, NULL, 4180, NULL), "the compressed data ends in the middle");
}

static void test_wrong_size(void) {
  for (size_t room = 0; room < 510; room++) {
    CHECK_TEXT(inflate(text_dynamic, sizeof text_dynamic, NULL, room, NULL), "there is more compressed data than belongs here");
    CHECK_TEXT(inflate(text_fixed, sizeof text_fixed, NULL, room, NULL), "there is more compressed data than belongs here");
  }
  CHECK_TEXT(inflate(text_stored, sizeof text_stored, NULL, 29, NULL), "there is more compressed data than belongs here");
  CHECK_TEXT(inflate(text_stored, sizeof text_stored, NULL, 31, NULL), "there is less compressed data than belongs here");
  CHECK_TEXT(inflate(text_dynamic, sizeof text_dynamic, NULL, 511, NULL), "there is less compressed data than belongs here");
}

static void test_checksum(void) {
  unsigned char copy[sizeof text_dynamic];
  for (size_t i = 1; i <= 4; i++) {
    memcpy(copy, text_dynamic, sizeof copy);
    copy[sizeof copy - i] ^= 1;
    CHECK_TEXT(inflate(copy, sizeof copy, NULL, 510, NULL), "the checksum (Adler-32) of the decompressed data is wrong");
  }
}

static void test_header(void) {
  static const unsigned char kind[] = {0x77, 0x85, 3, 0, 0, 0, 0, 1}, window[] = {0x88, 0x1C, 3, 0, 0, 0, 0, 1}, check[] = {0x78, 0x9D, 3, 0, 0, 0, 0, 1},
                             dictionary[] = {0x78, 0xBB, 0, 0, 0, 0, 3, 0, 0, 0, 0, 1};
  CHECK_TEXT(inflate(kind, sizeof kind, NULL, 0, NULL), "the compressed data does not begin as a zlib stream does");
  CHECK_TEXT(inflate(window, sizeof window, NULL, 0, NULL), "the compressed data does not begin as a zlib stream does");
  CHECK_TEXT(inflate(check, sizeof check, NULL, 0, NULL), "the compressed data does not begin as a zlib stream does");
  CHECK_TEXT(inflate(dictionary, sizeof dictionary, NULL, 0, NULL), "the compressed data needs a dictionary that is not part of it");
}

/* ---- blocks by hand ---- */

typedef struct bits { unsigned char data[4000]; size_t count; } bits;

static void put(bits *b, unsigned value, unsigned count) {
  for (unsigned i = 0; i < count; i++, b->count++) b->data[b->count / 8] |= (unsigned char)((value >> i & 1) << b->count % 8);
}
/* A Huffman code stands with its first bit first. */
static void put_code(bits *b, unsigned code, unsigned count) {
  while (count-- > 0) put(b, code >> count & 1, 1);
}
static void begin(bits *b, unsigned type) {
  memset(b, 0, sizeof *b);
  put(b, 0x9C78, 16);
  put(b, 1, 1);
  put(b, type, 2);
}
/* Ends it with a checksum (and zeros, which let the fast path run in other tests). */
static const char *finish(bits *b, size_t room, unsigned adler, size_t zeros, size_t *position) {
  size_t end = (b->count + 7) / 8;
  fmi_put_be32(b->data + end, adler);
  return inflate(b->data, end + 4 + zeros, NULL, room, position);
}
/* The header of a dynamic block with code length codes of 4 bits for the lengths 0 to 15. */
static void begin_dynamic(bits *b, unsigned literals, unsigned distances) {
  begin(b, 2);
  put(b, literals - 257, 5);
  put(b, distances - 1, 5);
  put(b, 15, 4);
  for (int i = 0; i < 19; i++) put(b, i < 3 ? 0 : 4, 3);
}
static void put_lengths(bits *b, unsigned length, unsigned times) {
  while (times-- > 0) put_code(b, length, 4);
}

static void test_no_such_block(void) {
  bits b;
  begin(&b, 3);
  CHECK_TEXT(finish(&b, 0, 1, 0, NULL), "a compressed block is of a kind that does not exist");
}

static void test_stored_lengths(void) {
  bits b;
  begin(&b, 0);
  put(&b, 0, 5);
  put(&b, 5, 16);
  put(&b, 5, 16);
  CHECK_TEXT(finish(&b, 0, 1, 0, NULL), "a stored block's two lengths contradict each other");
  begin(&b, 0);
  put(&b, 0, 5);
  put(&b, 0, 16);
  put(&b, 0xFFFF, 16);
  CHECK_TEXT(finish(&b, 0, 1, 0, NULL), "");
}

static void test_codes_without_meaning(void) {
  for (size_t zeros = 0; zeros <= 600; zeros += 600) {
    bits b;
    begin(&b, 1);
    put_code(&b, 0xC6, 8); /* 286 */
    CHECK_TEXT(finish(&b, 600, 1, zeros, NULL), "the compressed data uses a code without meaning");
    begin(&b, 1);
    put_code(&b, 0x30 + 'a', 8);
    put_code(&b, 1, 7);  /* length 3 */
    put_code(&b, 30, 5);
    CHECK_TEXT(finish(&b, 600, 1, zeros, NULL), "the compressed data uses a distance code without meaning");
  }
}

static void test_too_far(void) {
  for (size_t zeros = 0; zeros <= 600; zeros += 600) {
    bits b;
    begin(&b, 1);
    put_code(&b, 0x30 + 'a', 8);
    put_code(&b, 1, 7);
    put_code(&b, 1, 5); /* 2 back where only 1 byte is */
    CHECK_TEXT(finish(&b, 600, 1, zeros, NULL), "the compressed data refers back to before its beginning");
  }
  bits b;
  begin(&b, 1);
  put_code(&b, 0x30 + 'a', 8);
  put_code(&b, 1, 7);
  put_code(&b, 0, 5);
  put_code(&b, 0, 7);
  CHECK_TEXT(finish(&b, 4, 0x03CE0185, 0, NULL), ""); /* "aaaa"; its Adler-32 from zlib */
}

static void test_code_lengths(void) {
  bits b;
  size_t position;
  const char *contradict = "a compressed block's literal codes contradict each other";
  begin_dynamic(&b, 257, 1); /* complete: 256 literals of 9 bits, the end of 1 */
  put_lengths(&b, 9, 256);
  put_lengths(&b, 1, 1);
  put_lengths(&b, 0, 1);
  put_code(&b, 0, 1);
  CHECK_TEXT(finish(&b, 0, 1, 0, NULL), "");

  begin_dynamic(&b, 257, 1); /* over-subscribed: 257 codes of 8 bits */
  put_lengths(&b, 8, 257);
  put_lengths(&b, 0, 1);
  CHECK_TEXT(finish(&b, 0, 1, 0, &position), contradict);
  CHECK(position > 100 && position < 160);

  begin_dynamic(&b, 257, 1); /* a gap: the end has 2 bits where 1 would do */
  put_lengths(&b, 9, 256);
  put_lengths(&b, 2, 1);
  put_lengths(&b, 0, 1);
  CHECK_TEXT(finish(&b, 0, 1, 0, NULL), contradict);

  begin_dynamic(&b, 257, 1); /* no end */
  put_lengths(&b, 8, 256);
  put_lengths(&b, 0, 2);
  CHECK_TEXT(finish(&b, 0, 1, 0, NULL), "a compressed block has no end code");

  begin_dynamic(&b, 257, 2); /* distances: one code of 1 bit is allowed, one of 2 bits is not */
  put_lengths(&b, 9, 256);
  put_lengths(&b, 1, 2);
  put_lengths(&b, 0, 1);
  put_code(&b, 0, 1);
  CHECK_TEXT(finish(&b, 0, 1, 0, NULL), "");
  begin_dynamic(&b, 257, 2);
  put_lengths(&b, 9, 256);
  put_lengths(&b, 1, 1);
  put_lengths(&b, 2, 1);
  put_lengths(&b, 0, 1);
  CHECK_TEXT(finish(&b, 0, 1, 0, NULL), "a compressed block's distance codes contradict each other");

  begin_dynamic(&b, 257, 1); /* a match although there are no distances */
  put_lengths(&b, 0, 255);
  put_lengths(&b, 2, 2);
  put_lengths(&b, 0, 1);
  CHECK_TEXT(finish(&b, 0, 1, 0, NULL), contradict);
}

static void test_length_codes(void) {
  bits b;
  begin(&b, 2); /* over-subscribed: all 19 of 1 bit */
  put(&b, 0, 10);
  put(&b, 15, 4);
  for (int i = 0; i < 19; i++) put(&b, 1, 3);
  CHECK_TEXT(finish(&b, 0, 1, 0, NULL), "a compressed block's code lengths contradict each other");
  begin(&b, 2); /* none */
  put(&b, 0, 10);
  put(&b, 0, 4);
  put(&b, 0, 12);
  CHECK_TEXT(finish(&b, 0, 1, 0, NULL), "a compressed block's code lengths contradict each other");
  begin(&b, 2); /* 16 has code 0: it repeats what is not there */
  put(&b, 0, 10);
  put(&b, 0, 4);
  put(&b, 1, 3);
  put(&b, 1, 3);
  put(&b, 0, 6);
  put_code(&b, 0, 1);
  CHECK_TEXT(finish(&b, 0, 1, 4, NULL), "a compressed block repeats a code length before the first one");
  begin(&b, 2); /* 18 twice: 276 lengths instead of 258 */
  put(&b, 0, 10);
  put(&b, 0, 4);
  put(&b, 0, 3);
  put(&b, 1, 3);
  put(&b, 1, 3);
  put(&b, 0, 3);
  for (int i = 0; i < 2; i++) {
    put_code(&b, 1, 1);
    put(&b, 127, 7);
  }
  CHECK_TEXT(finish(&b, 0, 1, 4, NULL), "a compressed block has more code lengths than it announced");
  begin(&b, 2); /* a single code of 1 bit, and the other bit is used */
  put(&b, 0, 10);
  put(&b, 0, 4);
  put(&b, 0, 9);
  put(&b, 1, 3);
  put_code(&b, 1, 1);
  CHECK_TEXT(finish(&b, 0, 1, 4, NULL), "a compressed block's code lengths use a code without meaning");
}

static void test_report(void) {
  fmi_env env;
  fm_error error;
  unsigned char out[600];
  fmi_begin(&env, NULL, &error, "head.fbx");
  CHECK(!fmi_inflate(&env, text_fixed, sizeof text_fixed - 4, 1000, out, 510));
  CHECK_INT(error.status, FM_ERROR_FORMAT);
  CHECK_INT(error.offset, 1000 + sizeof text_fixed - 4);
  CHECK(strstr(error.message, "head.fbx: byte ") == error.message && strstr(error.message, "the compressed data ends in the middle"));
  fmi_end(&env);
  CHECK_INT(env.used, 0);
  fmi_begin(&env, NULL, &error, "head.fbx");
  CHECK(fmi_inflate(&env, text_fixed, sizeof text_fixed, 1000, out, 510));
  CHECK(fmi_end(&env));
}

/* Any change of one byte is an error or gives the same bytes (bits behind a block's end have no meaning). */
static void test_every_byte(void) {
  unsigned char copy[sizeof text_dynamic], out[600], want[600];
  size_t n = make_bottles(want);
  for (size_t i = 0; i < sizeof copy; i++)
    for (int value = 0; value < 256; value++) {
      memcpy(copy, text_dynamic, sizeof copy);
      copy[i] = (unsigned char)value;
      if (!*inflate(copy, sizeof copy, out, n, NULL)) CHECK(memcmp(out, want, n) == 0);
    }
}

/* ---- deflate ---- */

static uint32_t random_state;
static uint32_t random_number(void) {
  random_state = random_state * 1664525u + 1013904223u;
  return random_state >> 8;
}

/* Deflates into exactly the promised room, inflates again; returns the compressed size. */
static size_t round_trip(const unsigned char *data, size_t size, const fmi_effort *effort) {
  fmi_deflater *d = (fmi_deflater *)malloc(sizeof *d);
  unsigned char *out = (unsigned char *)malloc(fmi_deflate_bound(size)), *back = (unsigned char *)malloc(size + 1);
  memset(d, 0xA5, sizeof *d); /* scratch memory has any contents */
  size_t packed = fmi_deflate(d, out, data, size, effort);
  CHECK(packed <= fmi_deflate_bound(size));
  CHECK_TEXT(inflate(out, packed, back, size, NULL), "");
  CHECK(memcmp(back, data, size) == 0);
  free(d);
  free(out);
  free(back);
  return packed;
}

static void test_round_trips(void) {
  enum { MOST = 300000 };
  unsigned char *data = (unsigned char *)malloc(MOST);
  random_state = 1;
  for (int kind = 0; kind < 5; kind++) {
    const fmi_effort *effort = &fmi_effort_data;
    for (size_t i = 0; i < MOST; i++) {
      uint32_t r = random_number();
      data[i] = (unsigned char)(kind == 0 ? 0 : kind == 1 ? r : kind == 2 ? (r & 7) : kind == 3 ? i % 251 * (i / 5000) : (r & 15) ? data[i < 77 ? 0 : i - 77] : r >> 8);
    }
    for (size_t size = 0; size < 70; size++) round_trip(data, size, effort);
    for (size_t size = 250; size < 270; size++) round_trip(data, size, effort);
    size_t packed = round_trip(data, MOST, effort);
    if (kind == 0) CHECK(packed < 500);
    if (kind == 1) CHECK(packed < MOST + 200);
    if (kind == 2) CHECK(packed < MOST * 3 / 8 + 2000);
  }
  free(data);
}

/* The cost of a code that is cut to 15 bits, and to 7. */
static void test_huffman(void) {
  uint32_t counts[286] = {0};
  uint8_t lengths[286];
  for (unsigned most = 7; most <= 15; most += 8) {
    unsigned symbols = most == 7 ? 19 : 40, sum = 0;
    uint32_t a = 1, b = 1;
    for (unsigned s = 0; s < symbols; s++) {
      counts[s] = a;
      uint32_t next = a + b;
      a = b;
      b = next;
    }
    fmi_huffman_lengths(lengths, counts, symbols, most);
    for (unsigned s = 0; s < symbols; s++) {
      CHECK(lengths[s] >= 1 && lengths[s] <= most);
      sum += 1u << (most - lengths[s]);
    }
    CHECK_INT(sum, 1u << most);
  }
  /* An optimal code of 5, 9, 12, 13, 16, 45 takes 224 bits (Cormen, Leiserson, Rivest: Introduction to Algorithms). */
  static const uint32_t letters[6] = {45, 13, 12, 16, 9, 5};
  uint32_t cost = 0;
  fmi_huffman_lengths(lengths, letters, 6, 15);
  for (int s = 0; s < 6; s++) cost += letters[s] * lengths[s];
  CHECK_INT(cost, 224);
}

/* Lengths and distances of all symbols there and back. */
static void test_symbols(void) {
  for (unsigned length = 3; length <= 258; length++) {
    unsigned s = fmi_length_symbol(length) - 257;
    CHECK(length >= fmi_length_base[s] && length - fmi_length_base[s] < 1u << fmi_length_extra[s]);
  }
  for (unsigned distance = 1; distance <= 32768; distance++) {
    unsigned s = fmi_distance_symbol(distance);
    CHECK(distance >= fmi_distance_base[s] && distance - fmi_distance_base[s] < 1u << fmi_distance_extra[s]);
  }
}

TEST_MAIN({"stored", test_stored}, {"fixed and dynamic", test_fixed_and_dynamic}, {"long codes", test_long_codes}, {"truncated", test_truncated},
          {"wrong size", test_wrong_size}, {"checksum", test_checksum}, {"header", test_header}, {"no such block", test_no_such_block},
          {"stored lengths", test_stored_lengths}, {"codes without meaning", test_codes_without_meaning}, {"too far", test_too_far},
          {"code lengths", test_code_lengths}, {"length codes", test_length_codes}, {"report", test_report}, {"every byte", test_every_byte},
          {"round trips", test_round_trips}, {"huffman", test_huffman}, {"symbols", test_symbols})
