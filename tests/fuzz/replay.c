// replay.c -- a fuzzer's corpus without the fuzzer: every file of a folder once, in the default tests
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int main(int argc, char **argv) {
  DIR *folder = argc > 1 ? opendir(argv[1]) : NULL;
  int files = 0;
  if (!folder || LLVMFuzzerInitialize(&argc, &argv)) return 1;
  for (const struct dirent *entry; (entry = readdir(folder));) {
    char path[4096];
    uint8_t *bytes = malloc(1 << 20);
    snprintf(path, sizeof path, "%s/%s", argv[1], entry->d_name);
    FILE *file = entry->d_name[0] == '.' ? NULL : fopen(path, "rb");
    const size_t size = file ? fread(bytes, 1, 1 << 20, file) : 0;
    if (file) fclose(file), files++;
    uint8_t *exact = realloc(bytes, size + !size);
    if (file) LLVMFuzzerTestOneInput(exact, size);
    free(exact);
  }
  closedir(folder);
  printf("%d inputs\n", files);
  return files ? 0 : 1;
}
