/* What the commands share: messages, flags, progress, JSON. Everything stands on the library's public API. */
#ifndef CLI_H
#define CLI_H

#include "facemorph.h"

#include <stdio.h>

/* Exit codes. */
enum { CLI_OK = 0, CLI_FAILED = 1, CLI_USAGE = 2, CLI_INTERRUPTED = 130 };

#define CLI_COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ---- the commands; argv begins behind the command's name ---- */

int cli_morph(int argc, char **argv);
int cli_info(int argc, char **argv);

/* ---- process ---- */

void cli_start(void);                            /* descriptors and signals; first of all */
void cli_catch_interrupt(void);                  /* from here on Ctrl-C ends nothing by itself, but is told by: */
bool cli_interrupted(void);
int cli_finish(int code);                        /* flushes stdout; code, or CLI_FAILED if that does not work */

/* ---- messages: names come from files and may hold anything, so every text goes through cli_put ---- */

/* Writes text as valid UTF-8 without control characters; what is neither becomes U+FFFD. */
void cli_put(FILE *out, const char *text);
#if defined(__GNUC__) || defined(__clang__)
__attribute__((format(printf, 2, 3)))
#endif
int cli_fail(int code, const char *format, ...); /* "facemorph: ..." on stderr; returns code */

/* ---- flags ---- */

typedef struct cli_flag cli_flag;
struct cli_flag {
  const char *name;                              /* "--frames" */
  char letter;                                   /* 'o' for -o; 0: none */
  const char *value;                             /* what the help calls its value; NULL: it takes none */
  const char *help;
  bool (*read)(const cli_flag *flag, const char *value); /* false: not allowed; NULL: `help` is a heading */
  void *target;
  double least, most;                            /* for cli_read_integer and cli_read_number */
  const char *allowed;                           /* which values are allowed, in words */
};

typedef struct cli_number { bool given; double value; } cli_number;
typedef struct cli_numbers { double *values; size_t count; } cli_numbers; /* values: malloc'ed */

bool cli_read_switch(const cli_flag *flag, const char *value);  /* bool: true */
bool cli_read_level(const cli_flag *flag, const char *value);   /* fm_log_level: the flag's `least` */
bool cli_read_text(const cli_flag *flag, const char *value);    /* const char *, not empty */
bool cli_read_integer(const cli_flag *flag, const char *value); /* int, least to most */
bool cli_read_number(const cli_flag *flag, const char *value);  /* cli_number, least to most, finite */
bool cli_read_numbers(const cli_flag *flag, const char *value); /* cli_numbers: finite, with commas between */
bool cli_read_choice(const cli_flag *flag, const char *value);  /* int: the place of value in `allowed`, "a|b|c" */
bool cli_read_ignored(const cli_flag *flag, const char *value); /* bool: given; cli_tell_ignored says why it needs nothing */

/* Reads a command's arguments: flags into their targets, everything else into files (room of them at most; *file_count is how
   many there were). CLI_OK, or CLI_USAGE after a message. */
int cli_parse(const char *command, const cli_flag *flags, size_t flag_count, int argc, char **argv, const char **files,
              size_t room, size_t *file_count);
void cli_tell_ignored(const cli_flag *flags, size_t flag_count);
void cli_help(const char *head, const cli_flag *flags, size_t flag_count);

/* The word of the list that is nearest to `word` by edit distance. */
const char *cli_nearest(const char *word, const char *const *list, size_t count);

/* ---- progress and log, for fm_common; all zero but level ---- */

typedef struct cli_output {
  fm_log_level level;                            /* the least important lines to show */
  bool bar_drawn;
  char stage[16];
  double stage_start, last_shown;
} cli_output;

bool cli_show_progress(void *output, const fm_progress *progress);
void cli_show_log(void *output, fm_log_level level, const char *line);
void cli_clear_bar(cli_output *output);

/* ---- numbers: text of a double in a buffer of the caller's ---- */

const char *cli_double(char out[32], double value);

/* ---- JSON, written. key: NULL inside an array. The first two levels put each member on a line of its own. ---- */

typedef struct cli_json_writer {
  FILE *out;
  int depth;
  char closing[16];
  bool begun[16];                                /* has members already */
} cli_json_writer;

void cli_json_open(cli_json_writer *json, const char *key, char bracket); /* '{' or '[' */
void cli_json_close(cli_json_writer *json);
void cli_json_text(cli_json_writer *json, const char *key, const char *text); /* NULL: null */
void cli_json_number(cli_json_writer *json, const char *key, double value);
void cli_json_numbers(cli_json_writer *json, const char *key, const double *values, size_t count);
void cli_json_bool(cli_json_writer *json, const char *key, bool value);

/* ---- JSON, read ---- */

typedef enum cli_json_kind {
  CLI_JSON_NULL, CLI_JSON_BOOL, CLI_JSON_NUMBER, CLI_JSON_TEXT, CLI_JSON_ARRAY, CLI_JSON_OBJECT
} cli_json_kind;

typedef struct cli_json cli_json;
struct cli_json {
  cli_json_kind kind;
  const char *key;                               /* of an object's member, otherwise NULL */
  const char *text;
  double number;                                 /* of a bool: 0 or 1 */
  cli_json *first, *last, *next, *parent;
};
typedef struct cli_json_file { cli_json *root; char *bytes; } cli_json_file;

/* false after a message: the file cannot be read, or what is wrong in which line. Free it in any case. */
bool cli_json_read(cli_json_file *file, const char *path);
void cli_json_free(cli_json_file *file);
const cli_json *cli_json_member(const cli_json *object, const char *key); /* NULL if there is none; object may be NULL */

#endif
