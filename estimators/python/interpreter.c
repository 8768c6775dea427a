// interpreter.c -- see interpreter.h
//
// Which Python: the library was linked at build time, and only its folders of packages can be chosen. A virtual
// environment of the same version (pyvenv.cfg says which) is used by giving its interpreter as the program's name;
// another version cannot.
// How a file that loops without asking the loop is ended: a timer's signal asks whether the time is over, and if so
// tells Python that SIGINT has come (PyErr_SetInterruptEx, safe in a handler), whose handler in Python is ours and
// raises.

#define CTPG_IMPORTS_NUMPY
#include "interpreter.h"
#include "ctpgbench/base.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

PyObject *PythonLoopFailed;

// ---- which Python ----

#define TEXT_OF(number) #number
#define WORD_OF(number) TEXT_OF(number)
#define BUILT_VERSION   WORD_OF(PY_MAJOR_VERSION) "." WORD_OF(PY_MINOR_VERSION)
#define PATH_SIZE       4096

// The line "version = 3.11.2" (venv) or "version_info = 3.11.2.final.0" (virtualenv) of pyvenv.cfg; "" without one.
static void ReadVersion(const char *folder, char version[32]) {
  char path[PATH_SIZE], line[512];
  version[0] = 0;
  snprintf(path, sizeof path, "%s/pyvenv.cfg", folder);
  FILE *file = fopen(path, "r");
  while (file && !version[0] && fgets(line, sizeof line, file))
    if (sscanf(line, "version = %31s", version) != 1) sscanf(line, "version_info = %31s", version);
  if (file) fclose(file);
}

// Is "3.11.2" of the version "3.11"?
static PetscBool IsOfVersion(const char *found, const char *wanted) {
  const size_t n = strlen(wanted);
  return !strncmp(found, wanted, n) && (!found[n] || found[n] == '.') ? PETSC_TRUE : PETSC_FALSE;
}

static PetscErrorCode ChoosePython(char program[PATH_SIZE]) {
  const char *active = getenv("VIRTUAL_ENV");
  char version[32];

  PetscFunctionBeginUser;
  snprintf(program, PATH_SIZE, "%s", CTPG_PYTHON_EXECUTABLE);
  if (!active || !active[0]) PetscFunctionReturn(0);
  ReadVersion(active, version);
  if (!version[0]) PetscFunctionReturn(0); // left over from one that is gone
  PetscCheck(IsOfVersion(version, BUILT_VERSION), PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "the virtual environment %s has Python %s, ctpgbench was built with %s: deactivate it, or build with it "
             "(cmake -DPython3_EXECUTABLE=%s/bin/python)",
             active, version, BUILT_VERSION, active);
  snprintf(program, PATH_SIZE, "%s/bin/python", active);
  PetscFunctionReturn(0);
}

// ---- its start ----

// What Python code does better than C. ctpgbench is a module so that LoopFailed can be caught, and pickled by
// processes.
static const char BEGINNING[] =
    "import importlib.machinery, os, sys, types\n"
    "class LoopFailed(RuntimeError):\n"
    "    pass\n"
    "LoopFailed.__module__ = 'ctpgbench'\n"
    "module = types.ModuleType('ctpgbench')\n"
    "module.LoopFailed = LoopFailed\n"
    "sys.modules['ctpgbench'] = module\n"
    "def guard(leave, home):\n"
    "    def _exit(status):\n"
    "        if os.getpid() != home:\n"
    "            leave(status)\n"
    "        raise SystemExit(f'os._exit({status}) was called')\n"
    "    return _exit\n"
    "os._exit = guard(os._exit, os.getpid())\n"
    "def load(file, source):\n"
    "    stem = os.path.splitext(os.path.basename(file))[0].replace('.', '_')\n"
    "    name, number = stem, 1\n"
    "    while name in sys.modules:\n"
    "        known = sys.modules[name]\n"
    "        if getattr(known, '__ctpgbench_source__', None) == (file, source):\n"
    "            return known\n"
    "        number += 1\n"
    "        name = f'{stem}_{number}'\n"
    "    folder = os.path.dirname(file)\n"
    "    if folder not in sys.path:\n"
    "        sys.path.insert(0, folder)\n"
    "    code = compile(source, file, 'exec', dont_inherit=True)\n"
    "    module = types.ModuleType(name)\n"
    "    module.__file__ = file\n"
    "    module.__spec__ = importlib.machinery.ModuleSpec(name, None, origin=file)\n"
    "    sys.modules[name] = module\n"
    "    try:\n"
    "        exec(code, module.__dict__)\n"
    "    except BaseException:\n"
    "        sys.modules.pop(name, None)\n"
    "        raise\n"
    "    module.__ctpgbench_source__ = (file, source)\n"
    "    import gc\n"
    "    gc.freeze()  # what is there after loading is there to stay\n"
    "    return module\n"
    "def is_masked(array):\n"
    "    ma = sys.modules.get('numpy.ma')\n"
    "    return ma is not None and isinstance(array, ma.MaskedArray) and bool(ma.is_masked(array))\n";

static PyObject *beginning; // its names

static PyObject *RunBeginning(void) {
  PyObject *names = PyDict_New();
  PyObject *done = names && !PyDict_SetItemString(names, "__builtins__", PyEval_GetBuiltins())
                       ? PyRun_String(BEGINNING, Py_file_input, names, names)
                       : NULL;
  if (!done) Py_CLEAR(names);
  Py_XDECREF(done);
  return names;
}

static PetscErrorCode Refuse(const char *program, const char *what) {
  char reason[512];
  PetscFunctionBeginUser;
  PythonTakeException("", reason, sizeof reason);
  SETERRQ(PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT, "the Python of %s %s: %s", program, what, reason);
}

PetscErrorCode PythonStart(void) {
  char program[PATH_SIZE];
  PyConfig config;

  PetscFunctionBeginUser;
  if (beginning) PetscFunctionReturn(0);
  PetscCall(ChoosePython(program));
  if (!Py_IsInitialized()) {
    PyConfig_InitPythonConfig(&config);
    config.install_signal_handlers = 0;
    config.parse_argv = 0;
    PyStatus status = PyConfig_SetBytesString(&config, &config.program_name, program);
    if (!PyStatus_Exception(status)) status = Py_InitializeFromConfig(&config);
    PyConfig_Clear(&config);
    PetscCheck(!PyStatus_Exception(status), PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
               "the Python of %s does not start: %s", program, status.err_msg ? status.err_msg : "unknown reason");
  }
  if (_import_array() < 0) PetscCall(Refuse(program, "cannot import numpy (Debian: python3-numpy)"));
  beginning = RunBeginning();
  if (!beginning) PetscCall(Refuse(program, "does not start"));
  PythonLoopFailed = PyDict_GetItemString(beginning, "LoopFailed"); // borrowed from what stays
  PetscFunctionReturn(0);
}

// ---- exceptions ----

// The line of `file` in which the exception arose, 0: none.
static long LineIn(const char *file, PyObject *traceback) {
  long line = 0;
  for (PyTracebackObject *t = (PyTracebackObject *)traceback; t; t = t->tb_next) {
    PyCodeObject *code = PyFrame_GetCode(t->tb_frame);
    const char *name = PyUnicode_AsUTF8(code->co_filename);
    if (name && !strcmp(name, file)) line = t->tb_lineno;
    Py_DECREF(code);
  }
  PyErr_Clear();
  return line;
}

// What an import error arose from, itself without another; a new reference.
static PyObject *FirstCause(PyObject *value) {
  Py_XINCREF(value);
  while (value && PyErr_GivenExceptionMatches(value, PyExc_ImportError)) {
    PyObject *earlier = PyException_GetCause(value);
    if (!earlier) earlier = PyException_GetContext(value);
    if (!earlier) break;
    Py_SETREF(value, earlier);
  }
  return value;
}

// Appends "ValueError: bad shape", on one line, at most `limit` characters of it.
static void AppendException(PyObject *value, size_t limit, char *text, size_t size) {
  PyObject *words = value ? PyObject_Str(value) : NULL;
  const char *said = words ? PyUnicode_AsUTF8(words) : NULL, *kind = value ? Py_TYPE(value)->tp_name : "exception";
  const size_t used = strlen(text);
  said = said ? said + strspn(said, " \n") : "";
  snprintf(text + used, size - used, "%s: %.*s", kind, (int)limit, said);
  for (char *c = text; *c; c++)
    if (*c == '\n') *c = ' ';
  PyErr_Clear();
  Py_XDECREF(words);
}

void PythonTakeException(const char *file, char *text, size_t size) {
  const char *slash = strrchr(file, '/');
  PyObject *type, *value, *traceback;
  PyErr_Fetch(&type, &value, &traceback);
  PyErr_NormalizeException(&type, &value, &traceback);
  PyObject *first = FirstCause(value);
  text[0] = 0;
  AppendException(first, size, text, size);
  if (first != value && strlen(text) + 8 < size) {
    strcat(text, "; hence ");
    AppendException(value, 120, text, size);
  }
  const long line = LineIn(file, traceback);
  const size_t used = strlen(text);
  if (line) snprintf(text + used, size - used, " (%s, line %ld)", slash ? slash + 1 : file, line);
  Py_XDECREF(first);
  Py_XDECREF(type);
  Py_XDECREF(value);
  Py_XDECREF(traceback);
}

// ---- the user's file ----

PyObject *PythonLoadFile(const char *file, const char *source) {
  return PyObject_CallFunction(PyDict_GetItemString(beginning, "load"), "ss", file, source);
}

int PythonIsMasked(PyObject *array) {
  PyObject *answer = PyErr_Occurred() || !PyArray_Check(array) || PyArray_CheckExact(array)
                         ? NULL
                         : PyObject_CallFunctionObjArgs(PyDict_GetItemString(beginning, "is_masked"), array, NULL);
  const int masked = answer ? PyObject_IsTrue(answer) : 0;
  Py_XDECREF(answer);
  return masked;
}

// ---- the clock ----

#define TICK 0.25 // s

static struct {
  PetscBool ready;
  timer_t timer;
  PetscBool (*due)(void *);
  int (*look)(void *);
  void *context;
} watch;

static void Tick(int number) {
  (void)number;
  if (watch.due && watch.due(watch.context)) PyErr_SetInterruptEx(SIGINT);
}

static PyObject *Interrupted(PyObject *self, PyObject *arguments) {
  (void)self, (void)arguments;
  if (watch.look && !watch.look(watch.context)) return NULL;
  Py_RETURN_NONE;
}

// Ours in Python's table of handlers; the process's own handler of SIGINT stays what it is.
static int TakeInterrupts(void) {
  static PyMethodDef method = {"interrupted", Interrupted, METH_VARARGS, NULL};
  struct sigaction before;
  PyObject *signals = PyImport_ImportModule("signal"), *function = PyCFunction_New(&method, NULL);
  sigaction(SIGINT, NULL, &before);
  PyObject *done = signals && function ? PyObject_CallMethod(signals, "signal", "iO", SIGINT, function) : NULL;
  sigaction(SIGINT, &before, NULL);
  const int good = done ? 1 : 0;
  Py_XDECREF(signals);
  Py_XDECREF(function);
  Py_XDECREF(done);
  PyErr_Clear();
  return good;
}

static PetscBool ClockReady(void) {
  struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMAX - 2};
  struct sigaction action = {.sa_handler = Tick}; // no SA_RESTART: a call that sleeps ends, and Python looks around
  if (watch.ready) return PETSC_TRUE;
  sigemptyset(&action.sa_mask);
  sigaction(SIGRTMAX - 2, &action, NULL);
  if (TakeInterrupts() && !timer_create(CLOCK_MONOTONIC, &event, &watch.timer)) watch.ready = PETSC_TRUE;
  return watch.ready;
}

static void SetTimer(long nanoseconds) {
  const struct itimerspec every = {.it_value.tv_nsec = nanoseconds, .it_interval.tv_nsec = nanoseconds};
  timer_settime(watch.timer, 0, &every, NULL);
}

void PythonClockStart(PetscBool (*due)(void *), int (*look)(void *), void *context) {
  if (!ClockReady()) return;
  watch.context = context, watch.look = look, watch.due = due;
  SetTimer((long)(1e9 * TICK));
}

void PythonClockStop(void) {
  if (!watch.ready) return;
  SetTimer(0);
  watch.due = NULL, watch.look = NULL;
}
