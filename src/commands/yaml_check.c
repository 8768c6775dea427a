// yaml_check.c -- see yaml_check.h; libyaml's parser, the one inside PETSc, walked once for its own sake
//
// A key is known by the option that PETSc makes of it: the keys of nested maps joined with '_'.

#include "commands/yaml_check.h"
#include "ctpgbench/options.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <yaml.h>

#define DEPTH 32 // of nested maps and lists

typedef struct {
  char *option;
  size_t line; // of its value
} Key;

typedef struct {
  const char *path;
  Key *keys;
  size_t nkeys, capacity;
  size_t prefix[DEPTH]; // length of `option` that each open map or list began with
  PetscBool is_map[DEPTH], wants_key[DEPTH];
  int depth, documents;
  char option[1024]; // of the key whose value comes next
} Walk;

static PetscErrorCode Refuse(const Walk *w, size_t line, const char *problem) {
  PetscFunctionBeginUser;
  SETERRQ(PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
          "-options_file %s is not usable: line %zu: %s; expected YAML lines such as `seeds: 0:8`", w->path, line,
          problem);
}

static PetscErrorCode KeepKey(Walk *w, size_t line) {
  char problem[1200];
  PetscFunctionBeginUser;
  for (size_t k = 0; k < w->nkeys; k++) {
    if (strcasecmp(w->keys[k].option, w->option)) continue; // PETSc's options know no case
    snprintf(problem, sizeof problem, "%s is said before, in line %zu", w->option, w->keys[k].line);
    PetscCall(Refuse(w, line, problem));
  }
  if (w->nkeys == w->capacity) {
    w->capacity = w->capacity ? 2 * w->capacity : 64;
    Key *keys = realloc(w->keys, w->capacity * sizeof *keys);
    PetscCheck(keys, PETSC_COMM_SELF, PETSC_ERR_MEM, "no memory for the keys of %s", w->path);
    w->keys = keys;
  }
  w->keys[w->nkeys++] = (Key){strdup(w->option), line};
  PetscFunctionReturn(0);
}

// A scalar where the innermost map waits for a key; what has no map around it is no option.
static void TakeKey(Walk *w, const char *word) {
  const size_t used = w->prefix[w->depth - 1];
  if (*word == '-') word++; // -rtol is rtol
  snprintf(w->option + used, sizeof w->option - used, "%s%s", used ? "_" : "", word);
  w->wants_key[w->depth - 1] = PETSC_FALSE;
}

static PetscBool WantsKey(const Walk *w) {
  return w->depth && w->is_map[w->depth - 1] && w->wants_key[w->depth - 1] ? PETSC_TRUE : PETSC_FALSE;
}

// The value of a key has ended: the next scalar of the map is a key.
static void EndValue(Walk *w) {
  if (w->depth && w->is_map[w->depth - 1]) w->wants_key[w->depth - 1] = PETSC_TRUE;
}

// A value begins: that of a map's key is kept under it.
static PetscErrorCode BeginValue(Walk *w, size_t line) {
  PetscFunctionBeginUser;
  if (w->depth && w->is_map[w->depth - 1]) PetscCall(KeepKey(w, line));
  PetscFunctionReturn(0);
}

static PetscErrorCode Open(Walk *w, PetscBool is_map, size_t line) {
  PetscFunctionBeginUser;
  if (w->depth == DEPTH) PetscCall(Refuse(w, line, "maps and lists are nested too deeply"));
  if (WantsKey(w)) PetscCall(Refuse(w, line, "a key is a map or a list"));
  PetscCall(BeginValue(w, line));
  w->prefix[w->depth] = w->depth ? strlen(w->option) : 0;
  w->is_map[w->depth] = w->wants_key[w->depth] = is_map;
  w->depth++;
  PetscFunctionReturn(0);
}

static PetscErrorCode See(Walk *w, const yaml_event_t *event) {
  const size_t line = event->start_mark.line + 1;
  PetscFunctionBeginUser;
  switch (event->type) {
  case YAML_DOCUMENT_START_EVENT:
    if (w->documents++) PetscCall(Refuse(w, line, "a second document begins, which would not be read"));
    break;
  case YAML_MAPPING_START_EVENT:
  case YAML_SEQUENCE_START_EVENT: PetscCall(Open(w, event->type == YAML_MAPPING_START_EVENT, line)); break;
  case YAML_MAPPING_END_EVENT:
  case YAML_SEQUENCE_END_EVENT:
    w->depth--;
    EndValue(w);
    break;
  case YAML_SCALAR_EVENT:
    if (WantsKey(w)) {
      TakeKey(w, (const char *)event->data.scalar.value);
      break;
    }
    // fall through
  case YAML_ALIAS_EVENT:
    PetscCall(BeginValue(w, line));
    EndValue(w);
    break;
  default: break;
  }
  PetscFunctionReturn(0);
}

static PetscErrorCode WalkText(Walk *w, yaml_parser_t *parser) {
  yaml_event_t event;
  PetscBool ended = PETSC_FALSE;
  PetscFunctionBeginUser;
  while (!ended) {
    if (!yaml_parser_parse(parser, &event))
      PetscCall(Refuse(w, parser->problem_mark.line + 1, parser->problem ? parser->problem : "no YAML"));
    const PetscErrorCode error = See(w, &event);
    ended = event.type == YAML_STREAM_END_EVENT ? PETSC_TRUE : PETSC_FALSE;
    yaml_event_delete(&event);
    if (error) PetscFunctionReturn(error); // told
  }
  PetscFunctionReturn(0);
}

PetscErrorCode YAMLCheck(const char *path, const char *text, size_t n) {
  Walk w = {.path = path};
  yaml_parser_t parser;

  PetscFunctionBeginUser;
  PetscCheck(yaml_parser_initialize(&parser), PETSC_COMM_SELF, PETSC_ERR_MEM, "no memory to read %s", path);
  yaml_parser_set_input_string(&parser, (const unsigned char *)text, n);
  const PetscErrorCode error = WalkText(&w, &parser);
  yaml_parser_delete(&parser);
  for (size_t k = 0; k < w.nkeys; k++) free(w.keys[k].option);
  free(w.keys);
  PetscFunctionReturn(error);
}
