// interpreter.h -- Python in this process: its start, the user's file as a module, exceptions as sentences, its clock
#ifndef CTPG_PYTHON_INTERPRETER_H
#define CTPG_PYTHON_INTERPRETER_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#define NPY_NO_DEPRECATED_API  NPY_1_7_API_VERSION
#define PY_ARRAY_UNIQUE_SYMBOL ctpg_numpy
#ifndef CTPG_IMPORTS_NUMPY
#define NO_IMPORT_ARRAY
#endif
#include <numpy/arrayobject.h>

#include <petscsys.h>

// The Python that CMake found, or the virtual environment that is activated, if it is of that Python. Once per process;
// it stays until the process ends. Signals are the engine's; os._exit raises SystemExit in this process, not in its
// forks.
PetscErrorCode PythonStart(void);
// The exception ctpgbench.LoopFailed; there after PythonStart.
extern PyObject *PythonLoopFailed;
// "ValueError: bad shape (my.py, line 12)" of the current exception, which is cleared. file: whose line is named. Of an
// import that failed because of another the first cause comes first.
void PythonTakeException(const char *file, char *text, size_t size);
// The user's file, its `source` as text, as a module that is named like the file and can be imported by it, by its
// pickles and by its processes; run once, also for several labels. NULL with an exception; else the caller owns a
// reference. file: an absolute path.
PyObject *PythonLoadFile(const char *file, const char *source);
// Are values of this array masked?
int PythonIsMasked(PyObject *array);

// Between the two calls `look` is called a few times a second, wherever Python is, as soon as `due` says so; look
// returns 0 with an exception set to end what is running. due must be safe in a handler of signals.
void PythonClockStart(PetscBool (*due)(void *), int (*look)(void *), void *context);
void PythonClockStop(void);

#endif
