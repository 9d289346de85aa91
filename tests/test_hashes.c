/* Check values of the standards and of zlib and coreutils, whole and in pieces of every size. */
#include "test.h"

static void hex_of(char out[65], const void *data, size_t size, size_t piece) {
  fmi_sha256 sha;
  uint8_t digest[32];
  const uint8_t *p = (const uint8_t *)data;
  fmi_sha256_begin(&sha);
  for (size_t at = 0; at < size; at += piece) fmi_sha256_add(&sha, p + at, size - at < piece ? size - at : piece);
  fmi_sha256_end(&sha, digest);
  for (int i = 0; i < 32; i++) fmi_format(out + 2 * i, 3, "%02x", digest[i]);
}

/* The check value of CRC-32/ISO-HDLC is the one of "123456789"; the others from zlib 1.2.13's crc32. */
static void test_crc32(void) {
  static const uint8_t zeros[32] = {0};
  CHECK(fmi_crc32(0, "", 0) == 0);
  CHECK(fmi_crc32(0, "123456789", 9) == 0xCBF43926u);
  CHECK(fmi_crc32(0, "a", 1) == 0xE8B7BE43u);
  CHECK(fmi_crc32(0, "IEND", 4) == 0xAE426082u); /* the last bytes of every PNG */
  CHECK(fmi_crc32(0, "The quick brown fox jumps over the lazy dog", 43) == 0x414FA339u);
  CHECK(fmi_crc32(0, zeros, 32) == 0x190A55ADu);
  for (size_t cut = 0; cut <= 9; cut++) CHECK(fmi_crc32(fmi_crc32(0, "123456789", cut), &"123456789"[cut], 9 - cut) == 0xCBF43926u);
}

/* RFC 1950 begins with 1; "Wikipedia" is the worked example of the article on Adler-32; the others from zlib 1.2.13's adler32. */
static void test_adler32(void) {
  static uint8_t data[100000];
  CHECK(fmi_adler32(1, "", 0) == 1);
  CHECK(fmi_adler32(1, "a", 1) == 0x00620062u);
  CHECK(fmi_adler32(1, "Wikipedia", 9) == 0x11E60398u);
  memset(data, 255, sizeof data); /* as large as the sums can become */
  CHECK(fmi_adler32(1, data, sizeof data) == 0x149A302Cu);
  uint32_t whole = fmi_adler32(1, data, sizeof data);
  for (size_t cut = 0; cut <= sizeof data; cut += 617)
    CHECK(fmi_adler32(fmi_adler32(1, data, cut), data + cut, sizeof data - cut) == whole);
}

/* Every level agrees with the plain functions, at every length and alignment up to beyond what it works on at a time. */
static void test_levels(void) {
  static uint8_t data[20000];
  uint32_t seed = 1;
  for (size_t i = 0; i < sizeof data; i++) {
    seed = seed * 1664525u + 1013904223u;
    data[i] = i < 12000 ? (uint8_t)(seed >> 24) : 255; /* as large as the sums can become */
  }
  for (int level = FM_SIMD_SCALAR; level <= FM_SIMD_NEON; level++) {
    if (!fmi_has_simd((fm_simd)level)) continue;
    size_t wrong = 0;
    for (size_t size = 0; size < 400; size++) {
      const uint8_t *p = data + size % 37;
      wrong += fmi_crc32s[level](0, p, size) != fmi_crc32(0, p, size);
      wrong += fmi_crc32s[level](seed, p, size) != fmi_crc32(seed, p, size);
      wrong += fmi_adler32s[level](1, p, size) != fmi_adler32(1, p, size);
      wrong += fmi_adler32s[level](0xFFF0FFF0u, p, size) != fmi_adler32(0xFFF0FFF0u, p, size);
    }
    for (size_t from = 0; from < sizeof data; from += 777) {
      wrong += fmi_crc32s[level](7, data + from, sizeof data - from) != fmi_crc32(7, data + from, sizeof data - from);
      wrong += fmi_adler32s[level](0xFFF0FFF0u, data + from, sizeof data - from) !=
               fmi_adler32(0xFFF0FFF0u, data + from, sizeof data - from);
    }
    CHECK_INT(wrong, 0);
  }
}

/* NIST's examples for FIPS 180-4: "", "abc", 448 bits, 896 bits, one million times "a". */
static void test_sha256(void) {
  static const char *const text[] = {
      "", "abc", "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
      "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu"};
  static const char *const want[] = {"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
                                     "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
                                     "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
                                     "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"};
  char got[65];
  for (size_t i = 0; i < FMI_COUNT(text); i++)
    for (size_t piece = 1; piece <= 130; piece++) {
      hex_of(got, text[i], strlen(text[i]), piece);
      CHECK_TEXT(got, want[i]);
    }
  static char million[1000000];
  static const size_t pieces[] = {1, 3, 55, 63, 64, 65, 127, 128, 1000, 999983, 1000000};
  memset(million, 'a', sizeof million);
  for (size_t i = 0; i < FMI_COUNT(pieces); i++) {
    hex_of(got, million, sizeof million, pieces[i]);
    CHECK_TEXT(got, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
  }
}

/* All lengths around a block's end, of the bytes 0, 1, 2, ...: the first 4 bytes of what coreutils' sha256sum says. */
static void test_sha256_lengths(void) {
  static const uint32_t want[130] = {
      0xE3B0C442u, 0x6E340B9Cu, 0xB413F47Du, 0xAE4B3280u, 0x054EDEC1u, 0x08BB5E5Du, 0x17E88DB1u, 0x57355AC3u, 0x8A851FF8u, 0xF8348E0Bu,
      0x1F825AA2u, 0x78A62731u, 0xFFF3A9BCu, 0x86EBA947u, 0xAB107F1Bu, 0x7071FC31u, 0xBE45CB26u, 0x3E5718FEu, 0x7A096CC1u, 0x5F9A7536u,
      0xE7AEBF57u, 0x75AEE9DCu, 0x22CB4DF0u, 0xF6A954A6u, 0x1D64ADD2u, 0xB729CE72u, 0xB858DA80u, 0xD7875072u, 0xDC27F8E8u, 0xD09BEA65u,
      0xF2192584u, 0x4F23C2CAu, 0x630DCD29u, 0x5D8FCFEFu, 0x14CDBF17u, 0xF12DD123u, 0x5D7E2D9Bu, 0xF4D285F4u, 0xA2FD0E15u, 0x4ABA23AEu,
      0x5FAA4EECu, 0x753629A6u, 0x40A1ED73u, 0xC0338436u, 0x17619EC4u, 0xA8E960C7u, 0x8EBFEB2Eu, 0xEF8A7781u, 0x4DBDC2B2u, 0x7509FE14u,
      0xA622E138u, 0x3309847Cu, 0xC4C6540Au, 0x90962CC1u, 0x675F28ACu, 0x463EB28Eu, 0xDA2AE4D6u, 0x2FE741AFu, 0xE03B1864u, 0xBD2DE8F5u,
      0x0DDDE28Eu, 0x4B5C2783u, 0xC89DA82Cu, 0x29AF2686u, 0xFDEAB9ACu, 0x4BFD2C8Bu, 0xB6DFD259u, 0x8FA5913Bu, 0x7DED979Cu, 0x1CF3AA65u,
      0x5767D69Au, 0x8189E3D5u, 0x107DE2BCu, 0x169F6F09u, 0x2087EBD3u, 0x182AB56Fu, 0x081F6C68u, 0x5CE02376u, 0xB93E4074u, 0xE81FA832u,
      0xC56705FEu, 0xC2226285u, 0xF9C270DAu, 0xE69BEFD6u, 0x4E303356u, 0x2EA17629u, 0xB90223DFu, 0xE0209F42u, 0x10D9BD42u, 0x7D1978A6u,
      0xE052DFF9u, 0x58D29459u, 0x4E4530C3u, 0xA09C9D3Eu, 0xEB978D0Fu, 0x7D1905A3u, 0x08359B10u, 0xA7B3830Fu, 0xB4F5D9B1u, 0x014ECAEAu,
      0xBCE0AFF1u, 0x4565D7B8u, 0xDDADEB66u, 0xC15A8928u, 0xAE8E3D79u, 0x98545371u, 0x6323DCE2u, 0x8150F7C5u, 0x44D21DB7u, 0xB9B7C375u,
      0xA47A551Bu, 0x60780E94u, 0x09373F12u, 0x13AAA9B5u, 0x5B0A32F1u, 0x32796A0Au, 0xDA9AB893u, 0x9C945573u, 0xD32AB009u, 0xDA18797Eu,
      0xF52B23DBu, 0x335A4616u, 0x3D08C4D7u, 0xCC63BE92u, 0x865447FCu, 0x3DAA582Fu, 0x5DDA7CB7u, 0x92CA0FA6u, 0x471FB943u, 0x5099C6A5u};
  uint8_t data[130];
  for (size_t n = 0; n < FMI_COUNT(want); n++) {
    fmi_sha256 sha;
    uint8_t digest[32];
    data[n] = (uint8_t)n;
    fmi_sha256_begin(&sha);
    fmi_sha256_add(&sha, data, n);
    fmi_sha256_end(&sha, digest);
    CHECK(fmi_be32(digest) == want[n]);
  }
}

TEST_MAIN({"CRC-32", test_crc32}, {"Adler-32", test_adler32}, {"levels", test_levels}, {"SHA-256", test_sha256},
          {"SHA-256 of every length", test_sha256_lengths})
