// model.c -- loads MJCF files and looks for what an ordinary differential equation cannot hold (model.h)
//
// A model is compiled once for each process, file and way of contacts, and shared by its plants. Each call into MuJoCo
// that may fail runs under MujocoGuard, which turns an mju_error into an answer by longjmp.

#include "problems/mujoco/model.h"
#include "problems/mujoco/engine.h"
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- calls that may fail inside the engine ----

static jmp_buf landing;
static char engine_message[1024];

static void OnError(const char *message) {
  snprintf(engine_message, sizeof engine_message, "%s", message);
  longjmp(landing, 1);
}

// mjData counts its warnings: they are looked at after the call.
static void OnWarning(const char *message) {
  snprintf(engine_message, sizeof engine_message, "%s", message);
}

// The handlers belong to whoever else uses MuJoCo in this process, hence put back.
PetscBool MujocoGuard(void (*work)(void *), void *job) {
  void (*const error)(const char *) = mju_user_error, (*const warning)(const char *) = mju_user_warning;
  volatile PetscBool done = PETSC_FALSE;
  mju_user_error = OnError;
  mju_user_warning = OnWarning;
  if (!setjmp(landing)) {
    work(job);
    done = PETSC_TRUE;
  }
  mju_user_error = error;
  mju_user_warning = warning;
  return done;
}

const char *MujocoMessage(void) {
  return engine_message;
}

// ---- files ----

// Those beside the problems, compiled in.
static const struct {
  const char *name, *text;
} SHIPPED[] = {
#define TEXT(name, text) {name, text},
#include "generated/models.h"
#undef TEXT
};

static const char *ShippedModel(const char *name) {
  for (size_t i = 0; i < sizeof SHIPPED / sizeof *SHIPPED; i++)
    if (!strcmp(SHIPPED[i].name, name)) return SHIPPED[i].text;
  return NULL;
}

typedef struct {
  const char *file, *text; // text NULL: read the file
  mjVFS *vfs;
  mjModel *model;
  char message[1024];
} LoadJob;

static void AddText(mjVFS *vfs, const char *file, const char *text) {
  const int length = (int)strlen(text);
  mj_defaultVFS(vfs);
#ifdef CTPG_MUJOCO_HAS_mj_addBufferVFS
  mj_addBufferVFS(vfs, file, text, length);
#else
  mj_makeEmptyFileVFS(vfs, file, length);
  memcpy(vfs->filedata[0], text, (size_t)length);
#endif
}

static void LoadWork(void *job) {
  LoadJob *load = job;
  if (load->text) AddText(load->vfs, load->file, load->text);
  load->model = mj_loadXML(load->file, load->text ? load->vfs : NULL, load->message, sizeof load->message);
  if (load->text) mj_deleteVFS(load->vfs);
  mj_freeLastXML();
}

// MuJoCo's messages have several lines; ours have one.
static void JoinLines(char *text) {
  size_t n = strlen(text);
  while (n && text[n - 1] == '\n') text[--n] = 0;
  for (; *text; text++)
    if (*text == '\n') *text = ' ';
}

// What this MuJoCo does not know may be a newer one's; a file that is missing is not.
static const char *HintAtVersion(const char *message) {
  return strstr(message, "open") || strstr(message, "FILE_NOT_FOUND")
             ? ""
             : "; if it is one for a newer MuJoCo, see docs/mujoco.md";
}

static PetscErrorCode LoadModel(const char *option, const char *file, mjModel **model) {
  LoadJob load = {.file = file, .text = ShippedModel(file)};

  PetscFunctionBeginUser;
  PetscCheck(mj_version() == mjVERSION_HEADER, PETSC_COMM_WORLD, PETSC_ERR_LIB,
             "%s %s: the MuJoCo that was loaded is version %s, the one that this program was built with is another: %d",
             option, file, mj_versionString(), mjVERSION_HEADER);
  PetscCheck(load.text || !CtpgIsNoFile(file), PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "%s %s is not a model that MuJoCo can load: it is not a regular file", option, file);
  if (load.text) {
    load.vfs = malloc(sizeof *load.vfs);
    PetscCheck(load.vfs, PETSC_COMM_SELF, PETSC_ERR_MEM, "no memory to load the model %s", file);
  }
  if (!MujocoGuard(LoadWork, &load)) PetscCall(PetscStrncpy(load.message, engine_message, sizeof load.message));
  free(load.vfs);
  JoinLines(load.message);
  PetscCheck(load.model, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT, "%s %s is not a model that MuJoCo %s can load: %s%s",
             option, file, mj_versionString(), load.message, HintAtVersion(load.message));
  *model = load.model;
  PetscFunctionReturn(0);
}

// ---- what is refused ----

static const char *NameOf(const mjModel *m, int object, int id) {
  const char *name = mj_id2name(m, object, id);
  return name ? name : "";
}

// The first fault of one actuator; leaves `fault` alone where there is none.
static void FindActuatorFault(const mjModel *m, int a, char *fault, size_t size) {
  const char *what = NULL;
  if (m->actuator_dyntype[a] == mjDYN_USER || m->actuator_gaintype[a] == mjGAIN_USER ||
      m->actuator_biastype[a] == mjBIAS_USER)
    what = "is of a type \"user\", which only callbacks of the program that owns the model can compute";
  else if (!EngineHasRate(m->actuator_dyntype[a]))
    what = "has internal dynamics that MuJoCo steps in its own way; expected none, integrator, filter, filterexact or "
           "muscle";
  else if (EngineActuatorDelay(m, a) > 0)
    what = "delays its control, so that the past would be part of the state";
  if (what) snprintf(fault, size, "has the actuator '%s' (number %d) that %s", NameOf(m, mjOBJ_ACTUATOR, a), a, what);
}

// What is wrong with the model, "" when nothing is.
static void FindFault(const mjModel *m, char *fault, size_t size) {
  fault[0] = 0;
  if (m->nv == 0) snprintf(fault, size, "has no joint; there is nothing to move");
  for (int a = EngineActuators(m) - 1; a >= 0; a--) FindActuatorFault(m, a, fault, size);
  if (EnginePluginCount(m)) snprintf(fault, size, "uses plugins, which this program does not load");
  if (EnginePlasticCount(m))
    snprintf(fault, size, "has springs that yield: MuJoCo keeps a state for them that has no rate");
  if (EngineLooksAhead(m))
    snprintf(fault, size,
             "foresees contacts by one step (flag speculative or ipc), so that f would depend on the step");
  if (EngineSleeps(m))
    snprintf(fault, size, "lets bodies fall asleep (flag sleep), which stops them although forces act on them");
}

// ---- contacts ----

// n of them: solref [n, mjNREF] in seconds, or, where negative, as stiffness and damping; solimp [n, mjNIMP].
static void ChangeContacts(PetscInt n, mjtNum *solref, mjtNum *solimp, const MujocoContacts *contacts) {
  const PetscReal softness = contacts->softness;
  for (PetscInt i = 0; i < n; i++, solref += mjNREF, solimp += mjNIMP) {
    if (solref[0] > 0)
      solref[0] *= softness;
    else
      solref[0] /= softness * softness, solref[1] /= softness;
    solimp[2] *= softness;
    if (contacts->smooth) solimp[0] = 0;
  }
}

static void ChangeAllContacts(mjModel *m, const MujocoContacts *contacts) {
  ChangeContacts(m->ngeom, m->geom_solref, m->geom_solimp, contacts);
  ChangeContacts(m->npair, m->pair_solref, m->pair_solimp, contacts);
  ChangeContacts(1, m->opt.o_solref, m->opt.o_solimp, contacts);
#ifdef CTPG_MUJOCO_HAS_flex_solref
  ChangeContacts(m->nflex, m->flex_solref, m->flex_solimp, contacts);
#endif
}

// ---- what users name ----

int MujocoModelFind(const mjModel *m, int object, int count, const char *name) {
  char *end;
  const int id = mj_name2id(m, object, name);
  const long number = strtol(name, &end, 10);
  return id < 0 && end != name && !*end && number >= 0 && number < count ? (int)number : id;
}

PetscErrorCode MujocoModelKeyframe(const mjModel *m, const char *option, const char *name, PetscInt *id) {
  char known[1024] = "";
  PetscFunctionBeginUser;
  *id = MujocoModelFind(m, mjOBJ_KEY, m->nkey, name);
  for (int k = 0; k < m->nkey && *id < 0; k++)
    if (mj_id2name(m, mjOBJ_KEY, k))
      snprintf(known + strlen(known), sizeof known - strlen(known), "%s%s", known[0] ? ", " : "",
               mj_id2name(m, mjOBJ_KEY, k));
  PetscCheck(*id >= 0, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "%s %s is not a keyframe of the model, which has %d; known: %s", option, name, (int)m->nkey,
             known[0] ? known : "none by name");
  PetscFunctionReturn(0);
}

// ---- models: one per process, file and way of contacts ----

// Of the compiled model: included files and meshes are in it, comments and paths are not.
static PetscErrorCode HashModel(MujocoModel *model) {
  const int size = (int)mj_sizeModel(model->model), version = mj_version();
  void *bytes;

  PetscFunctionBeginUser;
  PetscCall(PetscCalloc1((size_t)size, (char **)&bytes));
  mj_saveModel(model->model, NULL, bytes, size);
  model->hash = CtpgHash(CtpgHash(CTPG_HASH_START, &version, sizeof version), bytes, (size_t)size);
  PetscCall(PetscFree(bytes));
  PetscFunctionReturn(0);
}

static MujocoModel *models;

static PetscErrorCode NewModel(const char *option, const char *file, const MujocoContacts *contacts,
                               MujocoModel **entry) {
  char fault[256];
  mjModel *m = NULL;
  MujocoModel *new_model;

  PetscFunctionBeginUser;
  PetscCall(LoadModel(option, file, &m));
  FindFault(m, fault, sizeof fault);
  if (fault[0]) mj_deleteModel(m);
  PetscCheck(!fault[0], PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT, "%s %s %s", option, file, fault);
  EngineForgetNoise(m);
  PetscCall(PetscNew(&new_model));
  new_model->model = m;
  new_model->contacts = *contacts;
  new_model->next = models;
  models = *entry = new_model;
  PetscCall(PetscStrallocpy(file, &new_model->file));
  PetscCall(HashModel(new_model));
  EngineForgetStep(m);
  ChangeAllContacts(m, contacts);
  PetscFunctionReturn(0);
}

static PetscBool IsModel(const MujocoModel *model, const char *file, const MujocoContacts *contacts) {
  return !strcmp(model->file, file) && model->contacts.softness == contacts->softness &&
                 model->contacts.smooth == contacts->smooth
             ? PETSC_TRUE
             : PETSC_FALSE;
}

PetscErrorCode MujocoModelAcquire(const char *option, const char *file, const MujocoContacts *contacts,
                                  MujocoModel **model) {
  const MujocoContacts own = {.softness = 1};
  PetscFunctionBeginUser;
  if (!contacts) contacts = &own;
  *model = models;
  while (*model && !IsModel(*model, file, contacts)) *model = (*model)->next;
  if (!*model) PetscCall(NewModel(option, file, contacts, model));
  (*model)->users++;
  PetscFunctionReturn(0);
}

PetscErrorCode MujocoModelRelease(MujocoModel *model) {
  MujocoModel **link = &models;
  PetscFunctionBeginUser;
  if (--model->users) PetscFunctionReturn(0);
  while (*link != model) link = &(*link)->next;
  *link = model->next;
  mj_deleteModel(model->model);
  PetscCall(PetscFree(model->file));
  PetscCall(PetscFree(model));
  PetscFunctionReturn(0);
}
