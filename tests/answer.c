// answer.c -- runs command lines of the program that a test script sends, each in a fork (inprocess.h); see
// program.Forks
//
//   request   folder, seconds, number of words, words: each ends in a zero byte
//   answer    "code signal bytes bytes\n", then what stdout and stderr held

#include "inprocess.h"
#include <stdio.h>
#include <stdlib.h>

// The next word of stdin; the end of stdin ends the program.
static char *NextWord(void) {
  char *word = NULL;
  size_t size = 0;
  if (getdelim(&word, &size, 0, stdin) < 0) exit(0);
  return word;
}

int main(int argc, char **argv) {
  (void)argc;
  InProcessBegin(argv[0]);
  for (;;) {
    char *folder = NextWord();
    const unsigned seconds = (unsigned)atoi(NextWord());
    const int n = atoi(NextWord());
    char **words = calloc((size_t)n + 2, sizeof *words);
    words[0] = argv[0];
    for (int i = 1; i <= n; i++) words[i] = NextWord();
    const Ended ended = RunProgram(n + 1, words, folder, seconds);
    printf("%d %d %zu %zu\n", ended.code, ended.signal, ended.out_size, ended.err_size);
    fwrite(ended.out, 1, ended.out_size, stdout);
    fwrite(ended.err, 1, ended.err_size, stdout);
    fflush(stdout);
    for (int i = 1; i <= n; i++) free(words[i]);
    free(words), free(folder);
  }
}
