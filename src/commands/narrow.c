// narrow.c -- see narrow.h
//
// Texts of PETSc's database are rewritten before a command reads them, so that sweep, train and plan all narrow alike:
// -problems and -estimators get the types that the file knows, and -<problem>_estimators (of train) and -estimators
// lose what was not chosen. PETSc counts an option as read once it was looked up; that is how the file's options of
// labels left out are excused, and why lists are taken here from what is yet unread, which looks nothing up.

#include "commands/narrow.h"
#include "base/parse.h"
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { KEY = 128, TEXT = sizeof((PlanLists *)0)->problems };

// ---- comma lists of label or label=type ----

typedef struct {
  int n;
  char **entries;
} List;

static PetscErrorCode ListCreate(const char *text, List *list) {
  PetscFunctionBeginUser;
  PetscCall(PetscStrToArray(text, ',', &list->n, &list->entries));
  PetscFunctionReturn(0);
}

static PetscErrorCode ListDestroy(List *list) {
  PetscFunctionBeginUser;
  PetscCall(PetscStrToArrayDestroy(list->n, list->entries));
  PetscFunctionReturn(0);
}

// The entry with the label of this entry, or NULL.
static const char *ListFind(const List *list, const char *entry) {
  const size_t length = strcspn(entry, "=");
  for (int i = 0; i < list->n; i++)
    if (strcspn(list->entries[i], "=") == length && !strncmp(list->entries[i], entry, length)) return list->entries[i];
  return NULL;
}

static PetscErrorCode Append(char *text, const char *entry) {
  PetscFunctionBeginUser;
  if (text[0]) PetscCall(PetscStrlcat(text, ",", TEXT));
  PetscCall(PetscStrlcat(text, entry, TEXT));
  PetscFunctionReturn(0);
}

// ---- the database, in which nothing counts as read here: that is for the command to do ----

// text [TEXT]: the value of a key as a comma list, "" without.
static PetscErrorCode ReadList(const char *key, char *text) {
  PetscInt n;
  char **names, **values;
  PetscFunctionBeginUser;
  text[0] = 0;
  PetscCall(PetscOptionsLeftGet(NULL, &n, &names, &values));
  for (PetscInt k = 0; k < n; k++)
    if (!strcasecmp(names[k], key + 1) && values[k]) PetscCall(PetscStrncpy(text, values[k], TEXT));
  PetscCall(PetscOptionsLeftRestore(NULL, &n, &names, &values));
  ParseTrimList(text);
  PetscFunctionReturn(0);
}

PetscErrorCode PlanListsRead(PlanLists *lists) {
  PetscFunctionBeginUser;
  PetscCall(ReadList("-problems", lists->problems));
  PetscCall(ReadList("-estimators", lists->estimators));
  PetscFunctionReturn(0);
}

static PetscBool IsWord(int argc, char **argv, const char *key) {
  for (int i = 1; i < argc; i++)
    if (!strcasecmp(argv[i], key)) return PETSC_TRUE;
  return PETSC_FALSE;
}

// -<label>_estimators or -<type>_estimators of a problem: its key and its text [TEXT], which is "" without.
static PetscErrorCode ReadOwn(const char *problem, char key[KEY], char *text) {
  const char *type = strchr(problem, '=');
  PetscFunctionBeginUser;
  snprintf(key, KEY, "-%.*s_estimators", (int)strcspn(problem, "="), problem);
  PetscCall(ReadList(key, text));
  if (text[0] || !type) PetscFunctionReturn(0);
  snprintf(key, KEY, "-%.64s_estimators", type + 1);
  PetscCall(ReadList(key, text));
  PetscFunctionReturn(0);
}

// ---- what was chosen ----

// The entries of `chosen` as the file has them, with their types.
static PetscErrorCode Complete(const char *key, const List *chosen, const List *file) {
  char text[TEXT] = "";
  PetscFunctionBeginUser;
  for (int i = 0; i < chosen->n; i++) {
    const char *known = strchr(chosen->entries[i], '=') ? NULL : ListFind(file, chosen->entries[i]);
    PetscCall(Append(text, known ? known : chosen->entries[i]));
  }
  PetscCall(PetscOptionsSetValue(NULL, key, text));
  PetscFunctionReturn(0);
}

// What is said of labels of the file that were not chosen counts as read; not so what the command line says of them.
static PetscErrorCode Excuse(int argc, char **argv, const List *file, const List *chosen) {
  PetscInt n;
  char **names, **values;
  PetscFunctionBeginUser;
  PetscCall(PetscOptionsLeftGet(NULL, &n, &names, &values));
  for (PetscInt k = 0; k < n; k++) {
    char key[PETSC_MAX_OPTION_NAME];
    PetscBool is_there;
    snprintf(key, sizeof key, "-%s", names[k]);
    for (int i = 0; i < file->n && !IsWord(argc, argv, key); i++) {
      const size_t length = strcspn(file->entries[i], "=");
      if (strncasecmp(names[k], file->entries[i], length) || names[k][length] != '_') continue;
      if (!ListFind(chosen, file->entries[i])) PetscCall(PetscOptionsHasName(NULL, NULL, key, &is_there));
    }
  }
  PetscCall(PetscOptionsLeftRestore(NULL, &n, &names, &values));
  PetscFunctionReturn(0);
}

static PetscErrorCode NarrowList(int argc, char **argv, const char *key, const char *text) {
  char asked[TEXT];
  List file, chosen;
  PetscFunctionBeginUser;
  if (!text[0] || !IsWord(argc, argv, key)) PetscFunctionReturn(0);
  PetscCall(ReadList(key, asked));
  PetscCall(ListCreate(text, &file));
  PetscCall(ListCreate(asked, &chosen));
  PetscCall(Excuse(argc, argv, &file, &chosen));
  PetscCall(Complete(key, &chosen, &file));
  PetscCall(ListDestroy(&chosen));
  PetscCall(ListDestroy(&file));
  PetscFunctionReturn(0);
}

// ---- estimators that a problem is trained with ----

// Those of -<problem>_estimators that were chosen take its place; where none was, it stays for the message.
static PetscErrorCode KeepChosen(const char *key, const char *own, const List *estimators) {
  char text[TEXT] = "";
  List list;
  PetscFunctionBeginUser;
  PetscCall(ListCreate(own, &list));
  for (int i = 0; i < list.n; i++)
    if (ListFind(estimators, list.entries[i])) PetscCall(Append(text, list.entries[i]));
  if (text[0]) PetscCall(PetscOptionsSetValue(NULL, key, text));
  PetscCall(ListDestroy(&list));
  PetscFunctionReturn(0);
}

static PetscErrorCode NarrowOwn(int argc, char **argv) {
  PlanLists now;
  List problems, estimators;
  char key[KEY], own[TEXT];
  PetscFunctionBeginUser;
  PetscCall(PlanListsRead(&now));
  PetscCall(ListCreate(now.problems, &problems));
  PetscCall(ListCreate(now.estimators, &estimators));
  for (int p = 0; p < problems.n; p++) {
    PetscCall(ReadOwn(problems.entries[p], key, own));
    if (own[0] && !IsWord(argc, argv, key)) PetscCall(KeepChosen(key, own, &estimators));
  }
  PetscCall(ListDestroy(&estimators));
  PetscCall(ListDestroy(&problems));
  PetscFunctionReturn(0);
}

static PetscErrorCode IsTrainedWith(const List *problems, const char *estimator, PetscBool *found) {
  char key[KEY], own[TEXT];
  List list;
  PetscFunctionBeginUser;
  *found = PETSC_FALSE;
  for (int p = 0; p < problems->n && !*found; p++) {
    PetscCall(ReadOwn(problems->entries[p], key, own));
    PetscCall(ListCreate(own, &list));
    *found = !own[0] || ListFind(&list, estimator) ? PETSC_TRUE : PETSC_FALSE;
    PetscCall(ListDestroy(&list));
  }
  PetscFunctionReturn(0);
}

static PetscErrorCode DropIdle(const char *all) {
  char chosen[TEXT], text[TEXT] = "";
  List problems, estimators, kept;
  PetscFunctionBeginUser;
  PetscCall(ReadList("-problems", chosen));
  PetscCall(ListCreate(chosen, &problems));
  PetscCall(ListCreate(all, &estimators));
  for (int e = 0; e < estimators.n; e++) {
    PetscBool trained;
    PetscCall(IsTrainedWith(&problems, estimators.entries[e], &trained));
    if (trained) PetscCall(Append(text, estimators.entries[e]));
  }
  PetscCall(ListCreate(text, &kept));
  PetscCall(Excuse(0, NULL, &estimators, &kept));
  PetscCall(PetscOptionsSetValue(NULL, "-estimators", text));
  PetscCall(ListDestroy(&kept));
  PetscCall(ListDestroy(&estimators));
  PetscCall(ListDestroy(&problems));
  PetscFunctionReturn(0);
}

PetscErrorCode PlanNarrow(int argc, char **argv, const PlanLists *file) {
  PetscFunctionBeginUser;
  PetscCall(NarrowList(argc, argv, "-problems", file->problems));
  PetscCall(NarrowList(argc, argv, "-estimators", file->estimators));
  if (file->estimators[0] && IsWord(argc, argv, "-estimators"))
    PetscCall(NarrowOwn(argc, argv));
  else if (file->estimators[0] && file->problems[0] && IsWord(argc, argv, "-problems"))
    PetscCall(DropIdle(file->estimators));
  PetscFunctionReturn(0);
}
