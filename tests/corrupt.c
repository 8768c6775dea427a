// corrupt.c -- damaged files: a named error or the truth, never a crash, a hang or a row that is not what was written
//
//   corrupt [first last]      corruptions first .. last - 1 (default 0 60); each is a function of its number alone
//
// A results file, a case file and a gradient file are made once; each corruption copies one of them, damages the copy
// (bits, numbers, pages, lengths, blocks; half of the time in HDF5's metadata) and has it read in forks:
//   results   by ContentsRead: every row that it calls done is the original's, bit for bit; by `status`; by the command
//             that made it, whose digest, where it ends well, is the original's
//   cases     by `gradient -case_file`
//   gradient  by `gradient -out`, which looks before it replaces
// A fork must end with 0, or with 1 and one sentence that names the file. With CTPG_SANITIZE a report ends it with
// another code.

#include "inprocess.h"
#include "store/hdf5.h"
#include "store/contents.h"
#include "test.h"
#include <fcntl.h>
#include <hdf5.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { RESULTS, CASES, GRADIENT, NKINDS };
enum { SECONDS = 60, LONGEST = 256, MOST_CASES = 8 }; // for a fork, in a gradient, in the plan

static const char *const NAMES[NKINDS] = {"results.h5", "cases.h5", "gradient.h5"};
static const char *const SWEEP =
    "sweep -problems lqr,diffdrive -diffdrive_policy_widths 4 -estimators ctpg,euler-bptt "
    "-seeds 0:2 -rtol 1e-3,1e-2 -dt 0.1 -timing_threshold 0 -save_gradients -out results.h5";
static const char *const STATUS = "status results.h5";
static const char *const OF_CASE = "gradient -problem lqr -rtol 1e-2 -reference false -case_file cases.h5 -case good";
static const char *const OVER = "gradient -problem lqr -rtol 1e-2 -reference false -out gradient.h5";

// A command line of words between blanks.
static Ended Run(const char *line) {
  char text[512], *words[64] = {"ctpgbench"}, *rest = text;
  int n = 1;
  snprintf(text, sizeof text, "%s", line);
  for (char *word; n < 63 && (word = strtok_r(rest, " ", &rest));) words[n++] = word;
  return RunProgram(n, words, ".", SECONDS);
}

// ---- the files, and what is in them ----

typedef struct {
  unsigned char *bytes, *is_data; // [size]; is_data: of the array of a dataset, not of HDF5's metadata
  size_t size;
} Image;

static Image images[NKINDS];
static CtpgContents truth;
static PetscReal true_gradients[MOST_CASES][2][LONGEST]; // dL/dx0 and dL/dtheta of the references
static char true_digest[80];

static void WriteArray(hid_t group, const char *name, hsize_t n, const double *values) {
  const hid_t space = H5Screate_simple(1, &n, NULL);
  const hid_t set = H5Dcreate2(group, name, H5T_IEEE_F64LE, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
  H5Dwrite(set, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values);
  H5Dclose(set), H5Sclose(space);
}

static void WriteAttribute(hid_t group, const char *name, hid_t type, hsize_t n, const void *values) {
  const hid_t space = H5Screate_simple(1, &n, NULL);
  const hid_t attribute = H5Acreate2(group, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
  H5Awrite(attribute, type, values);
  H5Aclose(attribute), H5Sclose(space);
}

// length: of the words of `activations`, fixed as numpy's or H5T_VARIABLE as h5py's.
static void WriteCase(hid_t file, const char *name, size_t length) {
  static const double numbers[6] = {0.5, 0.1, 0, 0.2, 0, 1};
  static const int64_t layers[2] = {2, 2};
  const char *variable = "linear", fixed[8] = "linear";
  const hid_t group = H5Gcreate2(file, name, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT), word = H5Tcopy(H5T_C_S1);
  H5Tset_size(word, length);
  WriteArray(group, "x0", 2, numbers);
  WriteArray(group, "theta", 6, numbers);
  WriteAttribute(group, "layers", H5T_NATIVE_INT64, 2, layers);
  WriteAttribute(group, "activations", word, 1, length == H5T_VARIABLE ? (const void *)&variable : fixed);
  WriteAttribute(group, "horizon", H5T_NATIVE_DOUBLE, 1, numbers + 5);
  H5Tclose(word), H5Gclose(group);
}

static void WriteCases(void) {
  const hid_t file = H5Fcreate(NAMES[CASES], H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
  WriteCase(file, "other", 8);
  WriteCase(file, "good", H5T_VARIABLE);
  H5Fclose(file);
}

static herr_t MarkData(hid_t file, const char *name, const H5O_info_t *info, void *context) {
  Image *image = context;
  if (info->type != H5O_TYPE_DATASET) return 0;
  const hid_t set = H5Dopen2(file, name, H5P_DEFAULT);
  const haddr_t offset = H5Dget_offset(set);
  if (offset != HADDR_UNDEF) memset(image->is_data + offset, 1, (size_t)H5Dget_storage_size(set));
  H5Dclose(set);
  return 0;
}

static void ReadImage(int kind) {
  Image *image = &images[kind];
  struct stat info;
  const int descriptor = open(NAMES[kind], O_RDONLY);
  if (descriptor < 0 || fstat(descriptor, &info)) exit(1);
  image->size = (size_t)info.st_size;
  image->bytes = malloc(image->size), image->is_data = calloc(image->size, 1);
  if (read(descriptor, image->bytes, image->size) != info.st_size) exit(1);
  close(descriptor);
  const hid_t file = H5Fopen(NAMES[kind], H5F_ACC_RDONLY, H5P_DEFAULT);
  H5Ovisit(file, H5_INDEX_NAME, H5_ITER_NATIVE, MarkData, image);
  H5Fclose(file);
}

static PetscErrorCode ReadTruth(void) {
  PetscFunctionBeginUser;
  PetscCall(ContentsRead(NAMES[RESULTS], &truth));
  CHECK(truth->ncases <= MOST_CASES, "%d", (int)truth->ncases);
  for (PetscInt c = 0; c < truth->ncases; c++)
    PetscCall(ContentsReadGradients(truth, 1, &(ContentsGradient){c, true_gradients[c][0], true_gradients[c][1]}));
  PetscFunctionReturn(0);
}

static const char *DigestLine(const char *out) {
  const char *line = strstr(out, "digest: ");
  return line ? line : "";
}

static PetscErrorCode MakeFiles(void) {
  PetscFunctionBeginUser;
  Ended ended = Run(SWEEP);
  CHECK(ended.code == 0, "%d %s", ended.code, ended.err);
  snprintf(true_digest, sizeof true_digest, "%.72s", DigestLine(ended.out));
  ended = Run(OVER);
  CHECK(ended.code == 0, "%d %s", ended.code, ended.err);
  WriteCases();
  ended = Run(OF_CASE);
  CHECK(ended.code == 0, "%d %s", ended.code, ended.err);
  for (int kind = 0; kind < NKINDS; kind++) ReadImage(kind);
  PetscCall(ReadTruth());
  PetscFunctionReturn(0);
}

// ---- corruptions ----

static uint64_t state; // of splitmix64

static uint64_t Draw(uint64_t below) {
  uint64_t z = (state += UINT64_C(0x9e3779b97f4a7c15));
  z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
  return (z ^ (z >> 31)) % below;
}

// Every other place lies in metadata.
static size_t DrawPlace(const Image *image) {
  const PetscBool metadata = Draw(2) ? PETSC_TRUE : PETSC_FALSE;
  for (;;) {
    const size_t place = Draw(image->size);
    if (!metadata || !image->is_data[place]) return place;
  }
}

// A number that a parser may stumble over, of 1 to 8 bytes.
static void PutNumber(unsigned char *bytes, size_t size, size_t place) {
  const uint64_t numbers[] = {0,          1,          2,          0x7f,      0xff, 0x100,    0xffff,
                              0x7fffffff, UINT64_MAX, 0x80000000, INT64_MAX, size, size - 1, Draw(size)};
  const uint64_t number = numbers[Draw(sizeof numbers / sizeof *numbers)];
  memcpy(bytes + place, &number, PetscMin((size_t)1 << Draw(4), size - place));
}

static void SwapBlocks(unsigned char *bytes, size_t size) {
  unsigned char kept[512];
  const size_t n = 8 + 8 * Draw(63), a = Draw(size), b = Draw(size);
  if (a + n > size || b + n > size) return;
  memcpy(kept, bytes + a, n), memmove(bytes + a, bytes + b, n), memcpy(bytes + b, kept, n);
}

static void FillPage(unsigned char *bytes, size_t size, size_t place, size_t page, int value) {
  const size_t begin = place / page * page;
  memset(bytes + begin, value, PetscMin(page, size - begin));
}

static void DamageOnce(const Image *image, unsigned char *bytes, size_t *size) {
  const size_t drawn = DrawPlace(image), place = PetscMin(drawn, *size - 1);
  switch (Draw(10)) {
  case 0:
  case 1:
  case 2: bytes[place] ^= (unsigned char)(1u << Draw(8)); break;
  case 3:
  case 4: PutNumber(bytes, *size, place); break;
  case 5: FillPage(bytes, *size, place, 512, Draw(2) ? 0 : 0xff); break;
  case 6: FillPage(bytes, *size, place, 4096, 0); break;
  case 7: SwapBlocks(bytes, *size); break;
  case 8:
    for (size_t i = place; i < PetscMin(*size, place + 32); i++) bytes[i] = (unsigned char)Draw(256);
    break;
  default: *size = 1 + Draw(*size);
  }
}

// The damaged copy of corruption k, at its name; the kind of file.
static int Damage(uint64_t k) {
  state = k * UINT64_C(0x2545f4914f6cdd1d);
  const uint64_t draw = Draw(10), times = 1 + Draw(3);
  const int kind = draw < 6 ? RESULTS : draw < 9 ? CASES : GRADIENT;
  size_t size = images[kind].size;
  unsigned char *bytes = malloc(size);
  memcpy(bytes, images[kind].bytes, size);
  for (uint64_t i = 0; i < times; i++) DamageOnce(&images[kind], bytes, &size);
  const int file = open(NAMES[kind], O_WRONLY | O_TRUNC | O_CREAT, 0666);
  if (file < 0 || write(file, bytes, size) != (ssize_t)size) exit(1);
  close(file);
  free(bytes);
  return kind;
}

// ---- rows, read in a fork ----

static PetscErrorCode Tell(MPI_Comm comm, int line, const char *function, const char *file, PetscErrorCode code,
                           PetscErrorType kind, const char *message, void *context) {
  (void)comm, (void)line, (void)function, (void)file, (void)context;
  if (kind == PETSC_ERROR_INITIAL) fprintf(stderr, "ctpgbench: %s\n", message);
  return code;
}

static int Differs(const char *what, PetscInt row) {
  fprintf(stderr, "%s %d is called done, but is not what was written\n", what, (int)row);
  return 2;
}

static int CompareRun(CtpgContents found, PetscInt r) {
  PetscInt q = 0;
  while (q < truth->nruns && truth->runs[q].run_key != found->runs[r].run_key) q++;
  if (q == truth->nruns || memcmp(&found->runs[r], &truth->runs[q], sizeof *truth->runs)) return Differs("run", r);
  return memcmp(found->sketch + CTPG_SKETCH_SIZE * r, truth->sketch + CTPG_SKETCH_SIZE * q,
                CTPG_SKETCH_SIZE * sizeof(PetscReal))
             ? Differs("sketch", r)
             : 0;
}

static int CompareCase(CtpgContents found, PetscInt c) {
  PetscReal gradient[2][LONGEST];
  PetscInt q = 0;
  while (q < truth->ncases && truth->cases[q].case_key != found->cases[c].case_key) q++;
  if (q == truth->ncases || memcmp(&found->cases[c], &truth->cases[q], sizeof *truth->cases)) return Differs("case", c);
  const PetscInt p = truth->cases[q].problem;
  const size_t nx = (size_t)truth->nx[p], np = (size_t)truth->np[p];
  if ((size_t)found->nx[p] != nx || (size_t)found->np[p] != np) return Differs("size of case", c);
  if (ContentsReadGradients(found, 1, &(ContentsGradient){c, gradient[0], gradient[1]})) return 1;
  return memcmp(gradient[0], true_gradients[q][0], nx * sizeof(PetscReal)) ||
                 memcmp(gradient[1], true_gradients[q][1], np * sizeof(PetscReal))
             ? Differs("reference", c)
             : 0;
}

static int ReadRows(void *unused) {
  CtpgContents found;
  int code = 0;
  (void)unused;
  if (PetscPushErrorHandler(Tell, NULL) || ContentsRead(NAMES[RESULTS], &found)) return 1;
  for (PetscInt r = 0; !code && r < found->nruns; r++)
    if (found->run_done[r]) code = CompareRun(found, r);
  for (PetscInt c = 0; !code && c < found->ncases; c++)
    if (found->case_done[c]) code = CompareCase(found, c);
  return ContentsDestroy(&found) ? 1 : code;
}

// ---- verdicts ----

static int refused, accepted;

// One line that begins with "ctpgbench: " and names the file.
static PetscBool IsOneSentence(const char *err, const char *name) {
  const char *line = strstr(err, "ctpgbench: ");
  if (!line || strstr(line + 1, "ctpgbench: ")) return PETSC_FALSE;
  const char *end = strchr(line, '\n'), *named = strstr(line, name);
  return end && named && named < end && !end[1] ? PETSC_TRUE : PETSC_FALSE;
}

static void Judge(uint64_t k, const char *reader, const char *name, Ended ended) {
  const PetscBool good =
      ended.code == 0 || (ended.code == 1 && IsOneSentence(ended.err, name)) ? PETSC_TRUE : PETSC_FALSE;
  CHECK(good, "corruption %llu, %s: code %d, signal %d\n%.3000s", (unsigned long long)k, reader, ended.code,
        ended.signal, ended.err);
  if (ended.code == 0)
    accepted++;
  else
    refused++;
}

static void JudgeSweep(uint64_t k, Ended ended) {
  Judge(k, "sweep", NAMES[RESULTS], ended);
  const PetscBool same = !strncmp(DigestLine(ended.out), true_digest, strlen(true_digest)) ? PETSC_TRUE : PETSC_FALSE;
  CHECK(ended.code || same, "corruption %llu: another digest: %s", (unsigned long long)k, ended.out);
}

static void TestCorruption(uint64_t k) {
  switch (Damage(k)) {
  case RESULTS:
    Judge(k, "rows", NAMES[RESULTS], ForkAndRun(ReadRows, NULL, ".", SECONDS));
    Judge(k, "status", NAMES[RESULTS], Run(STATUS));
    JudgeSweep(k, Run(SWEEP));
    break;
  case CASES: Judge(k, "gradient of case", NAMES[CASES], Run(OF_CASE)); break;
  default: Judge(k, "gradient over", NAMES[GRADIENT], Run(OVER));
  }
}

int main(int argc, char **argv) {
  const uint64_t first = argc > 2 ? strtoull(argv[1], NULL, 10) : 0, last = argc > 2 ? strtoull(argv[2], NULL, 10) : 60;
  const char *parent = getenv("TMPDIR");
  char folder[512];
  InProcessBegin(argv[0]);
  snprintf(folder, sizeof folder, "%s/corrupt.XXXXXX", parent ? parent : "/tmp");
  if (!mkdtemp(folder) || chdir(folder)) return 1;
  StoreBegin(); // HDF5 prints nothing
  PetscCall(MakeFiles());
  for (uint64_t k = first; k < last && !(test_failed && k == first); k++) TestCorruption(k);
  printf("%d readings refused in one sentence, %d ended well\n", refused, accepted);
  CHECK(refused > 0 && accepted > 0, "nothing was damaged, or everything");
  for (int kind = 0; kind < NKINDS; kind++) unlink(NAMES[kind]);
  unlink("results.h5.outcome"); // what the last sweep says of how it ended
  return TestsEnd() || rmdir(folder);
}
