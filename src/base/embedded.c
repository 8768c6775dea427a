// embedded.c -- see embedded.h

#include "base/embedded.h"
#include <stddef.h>
#include <string.h>

static const struct {
  const char *path, *text;
} TEXTS[] = {
#define EMBEDDED_TEXT(path, text) {path, text},
#include "embedded_texts.h"
};

const char *CtpgEmbeddedText(const char *path) {
  for (size_t i = 0; i < sizeof TEXTS / sizeof *TEXTS; i++)
    if (!strcmp(TEXTS[i].path, path)) return TEXTS[i].text;
  return NULL;
}
