/* Measure an ONNX model with onnxruntime's C API, where there is no Python: on a phone, or a small board.
 *
 * It does what edgekd/profile/child.py does, by the same rules, which it is given as arguments (NAME=VALUE):
 *   library model inputs answer           files; `inputs` has a line for each input: TYPE RANK SIZE... FILE
 *   threads runs seconds sustained        how long to measure
 *   warmup_window warmup_gain warmup_min_s warmup_max_s flush_s window_s windows spread   the rules
 * The timed runs go to stdout as 64-bit nanoseconds; the rest is JSON in `answer`.
 *
 * It needs no header of onnxruntime: OrtApi is a table of functions to which new ones are only ever appended
 * (onnxruntime_c_api.h says so), so the places below hold for every version from 1.2 on.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MOST_INPUTS = 64, MOST_OUTPUTS = 256, MOST_SIZES = 16, BLOCK = 4096, API_VERSION = 3 };

typedef void Status; /* NULL: all is well */
typedef struct {
  const void **(*get_api)(uint32_t version);
  const char *(*version)(void);
} ApiBase;

/* Places in OrtApi, onnxruntime_c_api.h */
enum {
  GET_ERROR_MESSAGE = 2, CREATE_ENV = 3, CREATE_SESSION = 7, RUN = 9, CREATE_SESSION_OPTIONS = 10,
  SET_LOG_SEVERITY = 22, SET_INTRA_THREADS = 24, SET_INTER_THREADS = 25, INPUT_COUNT = 30, OUTPUT_COUNT = 31,
  INPUT_NAME = 36, OUTPUT_NAME = 37, CREATE_TENSOR = 49, CPU_MEMORY = 69, DEFAULT_ALLOCATOR = 78, RELEASE_VALUE = 96
};

static const void **api;
static int argument_count;
static char **arguments;

static const char *text(const char *name) {
  size_t length = strlen(name);
  for (int i = 1; i < argument_count; i++)
    if (!strncmp(arguments[i], name, length) && arguments[i][length] == '=') return arguments[i] + length + 1;
  fprintf(stderr, "runner: found no argument %s=\n", name);
  exit(64);
}

static double number(const char *name) { return strtod(text(name), NULL); }

static FILE *open_or_end(const char *path, const char *mode) {
  FILE *file = fopen(path, mode);
  if (!file) {
    fprintf(stderr, "runner: %s: %s\n", path, strerror(errno));
    exit(74);
  }
  return file;
}

static void write_quoted(FILE *out, const char *words) {
  fputc('"', out);
  for (; *words; words++) {
    if (*words == '"' || *words == '\\') fprintf(out, "\\%c", *words);
    else if ((unsigned char)*words < 0x20) fprintf(out, "\\u%04x", *words);
    else fputc(*words, out);
  }
  fputc('"', out);
}

/* The model or its inputs can't be used: that is an answer, and no failure. */
static void refuse(const char *form, ...) {
  char reason[4096];
  va_list rest;
  va_start(rest, form);
  vsnprintf(reason, sizeof reason, form, rest);
  va_end(rest);
  FILE *out = open_or_end(text("answer"), "w");
  fputs("{\"refused\": ", out);
  write_quoted(out, reason);
  fputs("}\n", out);
  _exit(fclose(out) ? 74 : 0); /* exit would write what stands in main's own buffer over it */
}

static void check(const char *what, Status *status) {
  if (!status) return;
  const char *(*message)(const Status *) = (const char *(*)(const Status *))api[GET_ERROR_MESSAGE];
  refuse("%s: onnxruntime cannot %s it: %s", text("model"), what, message(status));
}

#define CALL(what, place, types, ...) check(what, ((Status *(*) types)api[place])(__VA_ARGS__))

static int64_t now_ns(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return at.tv_sec * INT64_C(1000000000) + at.tv_nsec;
}

/* The highest resident set of this process so far, in bytes; 0 where the system doesn't tell. */
static long long peak_bytes(void) {
  char line[256];
  long long kilobytes = 0;
  FILE *file = fopen("/proc/self/status", "r");
  while (file && fgets(line, sizeof line, file)) sscanf(line, "VmHWM: %lld kB", &kilobytes);
  if (file) fclose(file);
  return kilobytes * 1024;
}

/* Seconds since this process was started; negative where the system doesn't tell. */
static double age_s(void) {
  char line[2048];
  long long ticks;
  struct timespec at;
  FILE *file = fopen("/proc/self/stat", "r");
  if (!file) return -1;
  char *found = fgets(line, sizeof line, file);
  fclose(file);
  found = found ? strrchr(line, ')') : NULL;
  if (!found || sscanf(found + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %lld",
                       &ticks) != 1)
    return -1;
  clock_gettime(CLOCK_BOOTTIME, &at);
  return at.tv_sec + at.tv_nsec / 1e9 - (double)ticks / sysconf(_SC_CLK_TCK);
}

static void *session;
static void *inputs[MOST_INPUTS], *outputs[MOST_OUTPUTS];
static char *input_names[MOST_INPUTS], *output_names[MOST_OUTPUTS];
static size_t input_count, output_count;

static void load(void) {
  void *environment, *options, *allocator;
  CALL("load", CREATE_ENV, (int, const char *, void **), 3, "edgekd", &environment);
  CALL("load", CREATE_SESSION_OPTIONS, (void **), &options);
  CALL("load", SET_LOG_SEVERITY, (void *, int), options, 3);
  CALL("load", SET_INTRA_THREADS, (void *, int), options, (int)number("threads"));
  CALL("load", SET_INTER_THREADS, (void *, int), options, 1);
  CALL("load", CREATE_SESSION, (void *, const char *, void *, void **), environment, text("model"), options, &session);
  CALL("load", DEFAULT_ALLOCATOR, (void **), &allocator);
  CALL("load", INPUT_COUNT, (void *, size_t *), session, &input_count);
  CALL("load", OUTPUT_COUNT, (void *, size_t *), session, &output_count);
  if (input_count > MOST_INPUTS || output_count > MOST_OUTPUTS) refuse("found too many inputs or outputs");
  for (size_t i = 0; i < input_count; i++)
    CALL("load", INPUT_NAME, (void *, size_t, void *, char **), session, i, allocator, &input_names[i]);
  for (size_t i = 0; i < output_count; i++)
    CALL("load", OUTPUT_NAME, (void *, size_t, void *, char **), session, i, allocator, &output_names[i]);
}

static void *read_whole(const char *path, size_t *size) {
  FILE *file = open_or_end(path, "rb");
  fseek(file, 0, SEEK_END);
  *size = (size_t)ftell(file);
  rewind(file);
  void *content = malloc(*size ? *size : 1);
  if (!content || fread(content, 1, *size, file) != *size) refuse("%s: found no readable input", path);
  fclose(file);
  return content;
}

static void read_inputs(void) {
  void *memory;
  size_t count = 0;
  int type, rank;
  CALL("run", CPU_MEMORY, (int, int, void **), 1, 0, &memory);
  FILE *list = open_or_end(text("inputs"), "r");
  while (fscanf(list, "%d %d", &type, &rank) == 2) {
    int64_t sizes[MOST_SIZES];
    char path[256];
    size_t bytes;
    if (count == MOST_INPUTS || rank > MOST_SIZES) refuse("found too many inputs or dimensions");
    for (int i = 0; i < rank; i++)
      if (fscanf(list, "%lld", (long long *)&sizes[i]) != 1) refuse("found a broken list of inputs");
    if (fscanf(list, "%255s", path) != 1) refuse("found a broken list of inputs");
    void *content = read_whole(path, &bytes);
    CALL("run", CREATE_TENSOR, (void *, void *, size_t, const int64_t *, size_t, int, void **), memory, content, bytes,
         sizes, (size_t)rank, type, &inputs[count++]);
  }
  fclose(list);
  if (count != input_count) refuse("found %zu arrays for a model with %zu inputs", count, input_count);
}

/* Run once and return the nanoseconds that it took; what it gave is freed outside of that. */
static int64_t run_once(void) {
  typedef Status *(*Run)(void *, void *, char **, void **, size_t, char **, size_t, void **);
  void (*release)(void *) = (void (*)(void *))api[RELEASE_VALUE];
  memset(outputs, 0, sizeof outputs[0] * output_count);
  int64_t before = now_ns();
  Status *status = ((Run)api[RUN])(session, NULL, input_names, inputs, input_count, output_names, output_count, outputs);
  int64_t took = now_ns() - before;
  check("run", status);
  for (size_t i = 0; i < output_count; i++) release(outputs[i]);
  return took;
}

static int ascending(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double median(const double *values, int count) {
  double sorted[256];
  memcpy(sorted, values, sizeof *values * (size_t)count);
  qsort(sorted, (size_t)count, sizeof *sorted, ascending);
  return count % 2 ? sorted[count / 2] : (sorted[count / 2 - 1] + sorted[count / 2]) / 2;
}

/* Run until it gets no faster, and write the durations in s; returns whether it settled in time. */
static int warm_up(FILE *out) {
  int window = (int)number("warmup_window"), count = 0;
  double gain = number("warmup_gain"), least_s = number("warmup_min_s"), most_s = number("warmup_max_s");
  double last[256]; /* the durations of the last two windows */
  int64_t started = now_ns();
  if (window < 1 || window > 128) window = 8;
  for (;;) {
    double took = (double)run_once() / 1e9, elapsed_s = (double)(now_ns() - started) / 1e9;
    fprintf(out, "%s%.9g", count ? ", " : "", took);
    if (count >= 2 * window) memmove(last, last + 1, sizeof *last * (size_t)(2 * window - 1));
    last[count < 2 * window ? count : 2 * window - 1] = took;
    if (++count < 2 * window) continue;
    if (elapsed_s >= least_s && median(last + window, window) >= (1 - gain) * median(last, window)) return 1;
    if (elapsed_s >= most_s) return 0;
  }
}

static void write_samples(const int64_t *values, size_t count) {
  const char *from = (const char *)values;
  size_t left = count * sizeof *values;
  while (left) {
    ssize_t written = write(STDOUT_FILENO, from, left);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) exit(74); /* nobody reads any more */
    from += written;
    left -= (size_t)written;
  }
}

/* Whether the last windows were equally fast: the mean time of a run in each. */
static int is_steady(const int64_t *runs, const int64_t *ends, int marks, int windows, double spread) {
  double least = 0, most = 0;
  if (marks <= windows) return 0;
  for (int i = marks - windows; i < marks; i++) {
    double mean = (double)(ends[i] - ends[i - 1]) / (double)(runs[i] - runs[i - 1]);
    if (i == marks - windows || mean < least) least = mean;
    if (i == marks - windows || mean > most) most = mean;
  }
  return most <= (1 + spread) * least;
}

static void time_runs(int64_t *runs, int64_t *steady_runs) {
  static int64_t block[BLOCK], mark_runs[4096], mark_ends[4096];
  int64_t least = (int64_t)number("runs"), finished = now_ns(), written = finished, window = finished;
  int64_t deadline = finished + (int64_t)(number("seconds") * 1e9), flush = (int64_t)(number("flush_s") * 1e9);
  int64_t window_ns = (int64_t)(number("window_s") * 1e9);
  int sustained = (int)number("sustained"), windows = (int)number("windows"), marks = 0;
  size_t filled = 0;
  double spread = number("spread");
  *steady_runs = 0;
  for (*runs = 0; *runs < least || finished < deadline;) {
    block[filled++] = run_once();
    finished = now_ns();
    ++*runs;
    if (filled == BLOCK || finished - written > flush) {
      write_samples(block, filled);
      filled = 0;
      written = finished;
    }
    if (!sustained || finished - window <= window_ns || marks == 4096) continue;
    window = finished;
    mark_runs[marks] = *runs;
    mark_ends[marks++] = finished;
    if (!is_steady(mark_runs, mark_ends, marks, windows, spread)) continue;
    *steady_runs = *runs - mark_runs[marks - 1 - windows];
    if (*runs >= least) break;
  }
  write_samples(block, filled);
}

int main(int count, char **values) {
  argument_count = count;
  arguments = values;
  setenv("ORT_DISABLE_TELEMETRY", "1", 1);
  void *library = dlopen(text("library"), RTLD_NOW);
  if (!library) {
    fprintf(stderr, "runner: %s\n", dlerror());
    return 69;
  }
  const ApiBase *(*base)(void) = (const ApiBase *(*)(void))dlsym(library, "OrtGetApiBase");
  if (!base || !(api = base()->get_api(API_VERSION))) {
    fprintf(stderr, "runner: %s: found no onnxruntime of version 1.3 or later\n", text("library"));
    return 69;
  }
  long long base_bytes = peak_bytes();
  int64_t before = now_ns();
  load();
  double load_s = (double)(now_ns() - before) / 1e9;
  long long load_bytes = peak_bytes();
  read_inputs();
  double first_s = (double)run_once() / 1e9, cold_s = age_s();
  FILE *out = open_or_end(text("answer"), "w");
  fprintf(out, "{\"runtime_version\": \"%s\", \"base_memory_bytes\": %lld, \"load_time_s\": %.9g, ", base()->version(),
          base_bytes, load_s);
  fprintf(out, "\"load_peak_bytes\": %lld, \"first_inference_s\": %.9g, ", load_bytes, first_s);
  if (cold_s >= 0) fprintf(out, "\"cold_start_s\": %.9g, ", cold_s);
  else fputs("\"cold_start_s\": null, ", out);
  fputs("\"warmups_s\": [", out);
  int settled = warm_up(out);
  int64_t runs, steady_runs;
  time_runs(&runs, &steady_runs);
  fprintf(out, "], \"settled\": %s, \"runs\": %lld, \"steady_runs\": %lld, \"core\": null, \"peak_memory_bytes\": %lld, ",
          settled ? "true" : "false", (long long)runs, (long long)steady_runs, peak_bytes());
  fputs("\"energy\": [\"this runner reads no counter\", \"this runner reads no counter\"]}\n", out);
  int lost = ferror(out);
  if (fclose(out) || lost) {
    fprintf(stderr, "runner: %s: %s\n", text("answer"), lost ? "could not be written, the disk may be full" : strerror(errno));
    return 74;
  }
  return 0;
}
