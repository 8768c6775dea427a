// python.c -- an estimator that a user writes in Python: a file with a function gradient(loop, x0, accuracy)
//
//   -python_file my.py, or -mine_file my.py for the label mine=python
//   gradient(loop, x0, accuracy) -> (loss, gtheta [np], gx0 [nx]); accuracy is the knob's value
//   optional in the file: knob = "rtol" (default), "dt" or "samples"; order = the order that it claims (default 0:
//   none)
//
// loop, all arrays numpy float64; x, v and dx are [nx], or [n, nx] with t scalar or [n]
//   loop.nx, np, nq, T, breaks, theta
//   loop.eval(t, x) -> f, w
//   loop.vjp(t, x, v, c=1.0, theta=True) -> f_x' v + c w_x, sum of f_theta' v + c w_theta (None unless theta)
//   loop.jvp(t, x, dx, dtheta=None) -> df, dw          loop.jacobian(t, x) -> f_x [nx, nx]
//   loop.terminal(x) -> J, J_x                         loop.use_theta(theta), loop.use_theta(None): back to the case's
//                                                      own
//   loop.purpose("forward"), .piece(k): see closedloop.h
//   loop.uniform(n), .normal(n): random numbers of this run's stream
//   loop.report(steps=, rejected=, steps_adjoint=, rejected_adjoint=, bytes=, h=, error_bar=, backsolve_error=)
//
// Evaluations are made and counted by the closed loop, as for anyone; the wallclock is Python's, and tables say so.
// When the loop fails (limits, a plant that is not finite) its functions raise ctpgbench.PythonLoopFailed, and the
// loop's status is the run's. Any other exception is the file's own: status diverged with the exception as reason;
// NotImplementedError means skipped. The file is a module, named like the file; its top level runs once, before the
// first run; its content enters the run key, what it imports does not. It may start processes, which cannot call the
// loop: nobody would count. -run_time_limit and signals also end a file that computes without calling the loop.
// Price: an interpreter's overhead, some microseconds a call; give many points to one call where the method allows.

#ifdef CTPG_HAVE_PYTHON
#include "python/interpreter.h"
#endif

#include "ctpgbench/estimator.h"

#ifdef CTPG_HAVE_PYTHON
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
  char path[PETSC_MAX_PATH_LEN]; // as given
  char file[PETSC_MAX_PATH_LEN]; // absolute: the folder may be another later
  PyObject *gradient;            // the user's function
} Python;

// ---- the loop as a Python object ----

typedef struct {
  PyObject ob_base;
  CtpgClosedLoop loop; // NULL after the call that it was made for
  CtpgLoopSizes sizes;
  CtpgStream *stream;
  CtpgResult *result;
  PyObject *theta_in_use; // keeps borrowed parameters alive
} LoopObject;

// x [n, nx] as it was given, made contiguous, and its points; one: it was [nx].
typedef struct {
  PyArrayObject *t, *x;
  npy_intp n;
  int one;
} Points;

// A loop that was kept beyond its call leads nowhere.
static int Alive(const LoopObject *self) {
  if (!self->loop) PyErr_SetString(PythonLoopFailed, "this loop belongs to a call that has ended");
  return self->loop ? 1 : 0;
}

static PyArrayObject *AsArray(PyObject *object) {
  if (PythonIsMasked(object)) {
    PyErr_SetString(PyExc_ValueError, "values of an array are masked; fill them (numpy.ma.filled)");
    return NULL;
  }
  return (PyArrayObject *)PyArray_FROMANY(object, NPY_DOUBLE, 0, 2, NPY_ARRAY_IN_ARRAY);
}

static double *Data(PyArrayObject *array) {
  return PyArray_DATA(array);
}

// An array of n rows of `width` numbers each; else ValueError, NULL.
static PyArrayObject *AsRows(PyObject *object, const char *name, npy_intp n, npy_intp width) {
  PyArrayObject *array = AsArray(object);
  if (array && PyArray_SIZE(array) != n * width) {
    PyErr_Format(PyExc_ValueError, "%s has %zd numbers; expected %zd", name, (Py_ssize_t)PyArray_SIZE(array),
                 (Py_ssize_t)(n * width));
    Py_CLEAR(array);
  }
  return array;
}

// Of n numbers; one alone is repeated.
static PyArrayObject *AsScalars(PyObject *object, const char *name, npy_intp n) {
  PyArrayObject *array = AsArray(object);
  if (!array || PyArray_SIZE(array) == n) return array;
  if (PyArray_SIZE(array) != 1) {
    PyErr_Format(PyExc_ValueError, "%s has %zd numbers; expected 1 or %zd", name, (Py_ssize_t)PyArray_SIZE(array),
                 (Py_ssize_t)n);
    Py_DECREF(array);
    return NULL;
  }
  PyArrayObject *many = (PyArrayObject *)PyArray_SimpleNew(1, &n, NPY_DOUBLE);
  for (npy_intp i = 0; many && i < n; i++) Data(many)[i] = Data(array)[0];
  Py_DECREF(array);
  return many;
}

static void PointsFree(Points *p) {
  Py_CLEAR(p->t);
  Py_CLEAR(p->x);
}

static int PointsRead(const LoopObject *self, PyObject *t, PyObject *x, Points *p) {
  const npy_intp nx = self->sizes.nx;
  *p = (Points){.x = AsArray(x)};
  if (!p->x) return 0;
  p->one = PyArray_NDIM(p->x) < 2;
  p->n = p->one ? 1 : PyArray_DIM(p->x, 0);
  if (PyArray_SIZE(p->x) != p->n * nx)
    PyErr_Format(PyExc_ValueError, "x has %zd numbers; expected [%zd] or [n, %zd]", (Py_ssize_t)PyArray_SIZE(p->x),
                 (Py_ssize_t)nx, (Py_ssize_t)nx);
  else
    p->t = AsScalars(t, "t", p->n);
  if (!p->t) PointsFree(p);
  return p->t ? 1 : 0;
}

// Zeros [width] for one point, [n, width] for many; width 0: a scalar each.
static PyArrayObject *NewResult(const Points *p, npy_intp width) {
  const npy_intp shape[2] = {p->n, width};
  if (p->one) return (PyArrayObject *)PyArray_ZEROS(width ? 1 : 0, shape + 1, NPY_DOUBLE, 0);
  return (PyArrayObject *)PyArray_ZEROS(width ? 2 : 1, shape, NPY_DOUBLE, 0);
}

static PyArrayObject *NewVector(npy_intp n) {
  return (PyArrayObject *)PyArray_ZEROS(1, &n, NPY_DOUBLE, 0);
}

// (a, b), whose references are taken, where the loop is well and both exist; else an exception.
static PyObject *Answer(const LoopObject *self, PyObject *a, PyObject *b) {
  if (a && b && CtpgClosedLoopGetStatus(self->loop) == CTPG_OK) return Py_BuildValue("NN", a, b);
  Py_XDECREF(a);
  Py_XDECREF(b);
  if (!PyErr_Occurred()) PyErr_SetString(PythonLoopFailed, CtpgClosedLoopGetReason(self->loop));
  return NULL;
}

static PyObject *LoopEval(LoopObject *self, PyObject *arguments) {
  PyObject *t, *x;
  Points p;
  if (!Alive(self) || !PyArg_ParseTuple(arguments, "OO:eval", &t, &x) || !PointsRead(self, t, x, &p)) return NULL;
  PyArrayObject *f = NewResult(&p, self->sizes.nx), *w = NewResult(&p, 0);
  if (f && w) CtpgClosedLoopEval(self->loop, (PetscInt)p.n, Data(p.t), Data(p.x), Data(f), Data(w));
  PointsFree(&p);
  return Answer(self, (PyObject *)f, (PyObject *)w);
}

static PyObject *LoopVJP(LoopObject *self, PyObject *arguments, PyObject *keywords) {
  static char *names[] = {"t", "x", "v", "c", "theta", NULL};
  PyObject *t, *x, *v_given, *c_given = NULL, *gtheta = NULL;
  int theta = 1;
  Points p;
  if (!Alive(self) ||
      !PyArg_ParseTupleAndKeywords(arguments, keywords, "OOO|Op:vjp", names, &t, &x, &v_given, &c_given, &theta) ||
      !PointsRead(self, t, x, &p))
    return NULL;
  PyObject *one = PyFloat_FromDouble(1);
  PyArrayObject *v = AsRows(v_given, "v", p.n, self->sizes.nx);
  PyArrayObject *c = AsScalars(c_given ? c_given : one, "c", p.n), *gx = NewResult(&p, self->sizes.nx);
  gtheta = theta ? (PyObject *)NewVector(self->sizes.np) : Py_NewRef(Py_None);
  if (v && c && gx && gtheta)
    CtpgClosedLoopVJP(self->loop, (PetscInt)p.n, Data(p.t), Data(p.x), Data(v), Data(c), Data(gx),
                      theta ? Data((PyArrayObject *)gtheta) : NULL);
  else
    Py_CLEAR(gx);
  Py_XDECREF(one);
  Py_XDECREF(v);
  Py_XDECREF(c);
  PointsFree(&p);
  return Answer(self, (PyObject *)gx, gtheta);
}

static PyObject *LoopJVP(LoopObject *self, PyObject *arguments, PyObject *keywords) {
  static char *names[] = {"t", "x", "dx", "dtheta", NULL};
  PyObject *t, *x, *dx_given, *dtheta_given = Py_None;
  PyArrayObject *dtheta = NULL;
  Points p;
  if (!Alive(self) ||
      !PyArg_ParseTupleAndKeywords(arguments, keywords, "OOO|O:jvp", names, &t, &x, &dx_given, &dtheta_given) ||
      !PointsRead(self, t, x, &p))
    return NULL;
  PyArrayObject *dx = AsRows(dx_given, "dx", p.n, self->sizes.nx);
  PyArrayObject *df = NewResult(&p, self->sizes.nx), *dw = NewResult(&p, 0);
  if (dtheta_given != Py_None) dtheta = AsRows(dtheta_given, "dtheta", 1, self->sizes.np);
  if (dx && df && dw && (dtheta || dtheta_given == Py_None))
    CtpgClosedLoopJVP(self->loop, (PetscInt)p.n, Data(p.t), Data(p.x), Data(dx), dtheta ? Data(dtheta) : NULL, Data(df),
                      Data(dw));
  else
    Py_CLEAR(df);
  Py_XDECREF(dx);
  Py_XDECREF(dtheta);
  PointsFree(&p);
  return Answer(self, (PyObject *)df, (PyObject *)dw);
}

static PyObject *LoopJacobian(LoopObject *self, PyObject *arguments) {
  const npy_intp shape[2] = {self->sizes.nx, self->sizes.nx};
  PyObject *x_given;
  double t;
  if (!Alive(self) || !PyArg_ParseTuple(arguments, "dO:jacobian", &t, &x_given)) return NULL;
  PyArrayObject *x = AsRows(x_given, "x", 1, self->sizes.nx);
  PyArrayObject *fx = x ? (PyArrayObject *)PyArray_ZEROS(2, shape, NPY_DOUBLE, 0) : NULL;
  if (fx && CtpgClosedLoopJacobian(self->loop, t, Data(x), Data(fx)) != CTPG_OK) {
    PyErr_SetString(PythonLoopFailed, CtpgClosedLoopGetReason(self->loop));
    Py_CLEAR(fx);
  }
  Py_XDECREF(x);
  return (PyObject *)fx;
}

static PyObject *LoopTerminal(LoopObject *self, PyObject *x_given) {
  PetscReal J = 0;
  if (!Alive(self)) return NULL;
  PyArrayObject *x = AsRows(x_given, "x", 1, self->sizes.nx), *Jx = x ? NewVector(self->sizes.nx) : NULL;
  if (Jx) CtpgClosedLoopTerminal(self->loop, Data(x), &J, Data(Jx));
  Py_XDECREF(x);
  return Answer(self, Jx ? PyFloat_FromDouble(J) : NULL, (PyObject *)Jx);
}

static PyObject *LoopUseTheta(LoopObject *self, PyObject *given) {
  if (!Alive(self)) return NULL;
  PyArrayObject *theta = given == Py_None ? NULL : AsRows(given, "theta", 1, self->sizes.np);
  if (!theta && given != Py_None) return NULL;
  CtpgClosedLoopUseTheta(self->loop, theta ? Data(theta) : NULL);
  Py_XSETREF(self->theta_in_use, (PyObject *)theta);
  Py_RETURN_NONE;
}

static PyObject *LoopPurpose(LoopObject *self, PyObject *word) {
  const char *text = Alive(self) ? PyUnicode_AsUTF8(word) : NULL;
  if (!text) return NULL;
  for (int purpose = 0; purpose < CTPG_NUM_PURPOSES; purpose++)
    if (!strcmp(text, CtpgPurposeName((CtpgPurpose)purpose))) {
      CtpgClosedLoopSetPurpose(self->loop, (CtpgPurpose)purpose);
      Py_RETURN_NONE;
    }
  return PyErr_Format(PyExc_ValueError,
                      "'%s' is not a purpose; expected forward, adjoint, dense, recompute, startup or "
                      "rejected",
                      text);
}

static PyObject *LoopPiece(LoopObject *self, PyObject *number) {
  const long piece = Alive(self) ? PyLong_AsLong(number) : 0;
  if (PyErr_Occurred()) return NULL;
  CtpgClosedLoopSetPiece(self->loop, (PetscInt)piece);
  Py_RETURN_NONE;
}

static PyObject *Draw(LoopObject *self, PyObject *number, PetscReal (*draw)(CtpgStream *)) {
  const Py_ssize_t n = Alive(self) ? PyLong_AsSsize_t(number) : 0;
  if (PyErr_Occurred()) return NULL;
  PyArrayObject *values = NewVector(n);
  for (Py_ssize_t i = 0; values && i < n; i++) Data(values)[i] = draw(self->stream);
  return (PyObject *)values;
}

static PyObject *LoopUniform(LoopObject *self, PyObject *number) {
  return Draw(self, number, CtpgStreamUniform);
}

static PyObject *LoopNormal(LoopObject *self, PyObject *number) {
  return Draw(self, number, CtpgStreamNormal);
}

static PyObject *LoopReport(LoopObject *self, PyObject *arguments, PyObject *keywords) {
  static char *names[] = {"steps",           "rejected", "steps_adjoint", "rejected_adjoint", "bytes", "h", "error_bar",
                          "backsolve_error", NULL};
  if (!Alive(self)) return NULL;
  CtpgResult *r = self->result;
  long long steps = 0, rejected = 0, steps_adjoint = 0, rejected_adjoint = 0, bytes = 0;
  if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "|$LLLLLddd:report", names, &steps, &rejected, &steps_adjoint,
                                   &rejected_adjoint, &bytes, &r->h, &r->error_bar, &r->backsolve_error))
    return NULL;
  r->steps += steps;
  r->rejected += rejected;
  r->steps_adjoint += steps_adjoint;
  r->rejected_adjoint += rejected_adjoint;
  r->bytes = PetscMax(r->bytes, (size_t)PetscMax(bytes, 0));
  Py_RETURN_NONE;
}

static PyObject *LoopAttribute(LoopObject *self, void *name) {
  const CtpgLoopSizes *s = &self->sizes;
  if (!Alive(self)) return NULL;
  if (!strcmp(name, "nx")) return PyLong_FromLong(s->nx);
  if (!strcmp(name, "np")) return PyLong_FromLong(s->np);
  if (!strcmp(name, "nq")) return PyLong_FromLong(s->nq);
  if (!strcmp(name, "T")) return PyFloat_FromDouble(s->T);
  const PetscBool breaks = strcmp(name, "breaks") ? PETSC_FALSE : PETSC_TRUE;
  const PetscReal *from = breaks ? s->breaks : CtpgClosedLoopGetTheta(self->loop);
  PyArrayObject *copy = NewVector(breaks ? s->nbreak : s->np);
  if (copy) memcpy(Data(copy), from, (size_t)PyArray_SIZE(copy) * sizeof *from);
  return (PyObject *)copy;
}

static void LoopDealloc(LoopObject *self) {
  Py_CLEAR(self->theta_in_use);
  PyObject_Free(self);
}

#define METHOD(function) (PyCFunction)(void (*)(void)) function
static PyMethodDef loop_methods[] = {{"eval", METHOD(LoopEval), METH_VARARGS, NULL},
                                     {"vjp", METHOD(LoopVJP), METH_VARARGS | METH_KEYWORDS, NULL},
                                     {"jvp", METHOD(LoopJVP), METH_VARARGS | METH_KEYWORDS, NULL},
                                     {"jacobian", METHOD(LoopJacobian), METH_VARARGS, NULL},
                                     {"terminal", METHOD(LoopTerminal), METH_O, NULL},
                                     {"use_theta", METHOD(LoopUseTheta), METH_O, NULL},
                                     {"purpose", METHOD(LoopPurpose), METH_O, NULL},
                                     {"piece", METHOD(LoopPiece), METH_O, NULL},
                                     {"uniform", METHOD(LoopUniform), METH_O, NULL},
                                     {"normal", METHOD(LoopNormal), METH_O, NULL},
                                     {"report", METHOD(LoopReport), METH_VARARGS | METH_KEYWORDS, NULL},
                                     {NULL, NULL, 0, NULL}};
#define ATTRIBUTE(name)                                                                                                \
  { name, (getter)LoopAttribute, NULL, NULL, name }
static PyGetSetDef loop_attributes[] = {ATTRIBUTE("nx"),
                                        ATTRIBUTE("np"),
                                        ATTRIBUTE("nq"),
                                        ATTRIBUTE("T"),
                                        ATTRIBUTE("breaks"),
                                        ATTRIBUTE("theta"),
                                        {NULL, NULL, NULL, NULL, NULL}};
static PyTypeObject LoopType = {PyVarObject_HEAD_INIT(NULL, 0).tp_name = "ctpgbench.Loop",
                                .tp_basicsize = sizeof(LoopObject),
                                .tp_flags = Py_TPFLAGS_DEFAULT,
                                .tp_dealloc = (destructor)LoopDealloc,
                                .tp_methods = loop_methods,
                                .tp_getset = loop_attributes};

// ---- the user's file ----

static PetscErrorCode ReadSource(const char *option, const char *path, char **text) {
  FILE *file = CtpgIsNoFile(path) ? NULL : fopen(path, "rb");
  long size = -1;
  PetscFunctionBeginUser;
  if (file && !fseek(file, 0, SEEK_END)) size = ftell(file);
  PetscCheck(size >= 0, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "-%s %s cannot be read; expected a Python file with a function gradient(loop, x0, accuracy)", option,
             path);
  PetscCall(PetscCalloc1(size + 1, text));
  rewind(file);
  const size_t n = fread(*text, 1, (size_t)size, file);
  fclose(file);
  PetscCheck(n == (size_t)size, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT, "-%s %s cannot be read", option, path);
  PetscFunctionReturn(0);
}

// knob and order, where the file says them.
static PetscErrorCode ReadTraits(const char *option, const char *path, PyObject *module, CtpgTraits *traits) {
  PyObject *names = PyModule_GetDict(module);
  PyObject *knob = PyDict_GetItemString(names, "knob"), *order = PyDict_GetItemString(names, "order"); // borrowed
  const char *word = knob && PyUnicode_Check(knob) ? PyUnicode_AsUTF8(knob) : knob ? "?" : "rtol";
  static const struct {
    const char *word;
    CtpgKnob knob;
  } known[] = {{"rtol", CTPG_KNOB_RTOL}, {"dt", CTPG_KNOB_DT}, {"samples", CTPG_KNOB_SAMPLES}};
  PetscBool found = PETSC_FALSE;

  PetscFunctionBeginUser;
  for (int k = 0; k < 3; k++)
    if (!strcmp(known[k].word, word)) {
      traits->knob = known[k].knob;
      found = PETSC_TRUE;
    }
  PetscCheck(found, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "-%s %s: knob is not a word that is known; expected \"rtol\", \"dt\" or \"samples\"", option, path);
  if (order) traits->order = PyFloat_AsDouble(order);
  PetscCheck(!PyErr_Occurred(), PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT, "-%s %s: order is not a number", option, path);
  PetscFunctionReturn(0);
}

static PetscErrorCode LoadFile(Python *e, CtpgOptions options, const char *option, CtpgTraits *traits) {
  char *text, reason[512];

  PetscFunctionBeginUser;
  PetscCall(PythonStart());
  PetscCheck(!PyType_Ready(&LoopType), PETSC_COMM_WORLD, PETSC_ERR_LIB, "Python: out of memory");
  PetscCall(ReadSource(option, e->path, &text));
  PetscCall(CtpgOptionsContent(options, "python_source", CtpgHashString(CTPG_HASH_START, text)));
  PetscCheck(realpath(e->path, e->file), PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT, "-%s %s cannot be read", option,
             e->path);
  PyObject *module = PythonLoadFile(e->file, text);
  PetscCall(PetscFree(text));
  if (!module) PythonTakeException(e->file, reason, sizeof reason);
  PetscCheck(module, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT, "-%s %s: %s", option, e->path, reason);
  e->gradient = PyDict_GetItemString(PyModule_GetDict(module), "gradient");
  Py_XINCREF(e->gradient);
  PetscCheck(e->gradient && PyCallable_Check(e->gradient), PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "-%s %s defines no function gradient(loop, x0, accuracy)", option, e->path);
  PetscCall(ReadTraits(option, e->path, module, traits));
  Py_DECREF(module); // Python's list of modules keeps it
  PetscFunctionReturn(0);
}

static PetscErrorCode EstimatorCreate_Python(CtpgOptions options, CtpgTraits *traits, void **est) {
  char key[128];
  PetscBool found, help;
  Python *e;

  PetscFunctionBeginUser;
  PetscCall(PetscNew(&e));
  *est = e;
  PetscCall(CtpgOptionsFind(options, "file", key, sizeof key, &found));
  PetscCall(CtpgOptionsPath(options, "file", "Python file with gradient(loop, x0, accuracy)", e->path, sizeof e->path));
  PetscCall(PetscOptionsHasHelp(NULL, &help));
  if (help && !found) PetscFunctionReturn(0);
  PetscCheck(e->path[0], PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "%s needs -%s_file FILE.py, which defines gradient(loop, x0, accuracy)", CtpgOptionsLabel(options),
             CtpgOptionsLabel(options));
  PetscCall(LoadFile(e, options, key + 1, traits));
  PetscFunctionReturn(0);
}

static PetscErrorCode EstimatorSetUp_Python(void *est, CtpgClosedLoop loop) {
  PetscFunctionBeginUser;
  (void)est, (void)loop;
  PetscFunctionReturn(0);
}

// ---- a run ----

// (loss, gtheta, gx0) into the result; 0 with an exception.
static int TakeGradient(const LoopObject *loop, PyObject *answer, CtpgResult *result) {
  PyObject *loss, *gtheta_given, *gx0_given;
  if (!PyTuple_Check(answer) || PyTuple_Size(answer) != 3) {
    PyErr_SetString(PyExc_TypeError, "gradient returned something else than (loss, gtheta, gx0)");
    return 0;
  }
  PyArg_ParseTuple(answer, "OOO", &loss, &gtheta_given, &gx0_given);
  PyArrayObject *gtheta = AsRows(gtheta_given, "gtheta", 1, loop->sizes.np);
  PyArrayObject *gx0 = gtheta ? AsRows(gx0_given, "gx0", 1, loop->sizes.nx) : NULL;
  if (gx0 && PythonIsMasked(loss)) PyErr_SetString(PyExc_ValueError, "the loss is masked");
  if (gx0 && !PyErr_Occurred()) *result->loss = PyFloat_AsDouble(loss);
  const int good = gx0 && !PyErr_Occurred();
  for (PetscInt i = 0; good && i < loop->sizes.np; i++) result->gtheta[i] += Data(gtheta)[i];
  for (PetscInt i = 0; good && i < loop->sizes.nx; i++) result->gx0[i] = Data(gx0)[i];
  Py_XDECREF(gtheta);
  Py_XDECREF(gx0);
  return good;
}

// The current exception becomes the status, unless the loop has one of its own.
static void LatchException(const Python *e, CtpgClosedLoop loop) {
  const CtpgStatus status = PyErr_ExceptionMatches(PyExc_NotImplementedError) ? CTPG_SKIPPED : CTPG_DIVERGED;
  char reason[512];
  PythonTakeException(e->file, reason, sizeof reason);
  CtpgClosedLoopFail(loop, status, "%s", reason);
}

static PetscBool IsDue(void *loop) {
  return CtpgClosedLoopIsDue(loop);
}

// A file that computes on its own is ended by the limits and the signals that end one which asks the loop.
static int Look(void *loop) {
  if (CtpgClosedLoopLook(loop) == CTPG_OK) return 1;
  PyErr_SetString(PythonLoopFailed, CtpgClosedLoopGetReason(loop));
  return 0;
}

static PetscErrorCode EstimatorGradientOfStart_Python(void *est, CtpgClosedLoop loop, const PetscReal *x0,
                                                      PetscReal accuracy, CtpgStream *stream, CtpgResult *result) {
  Python *e = est;
  PyObject *answer = NULL;

  PetscFunctionBeginUser;
  LoopObject *object = PyObject_New(LoopObject, &LoopType);
  PetscCheck(object, PETSC_COMM_SELF, PETSC_ERR_MEM, "Python: out of memory");
  object->loop = loop;
  object->stream = stream;
  object->result = result;
  object->theta_in_use = NULL;
  CtpgClosedLoopGetSizes(loop, &object->sizes);
  PyArrayObject *start = NewVector(object->sizes.nx);
  PetscCheck(start, PETSC_COMM_SELF, PETSC_ERR_MEM, "Python: out of memory");
  PetscCall(PetscArraycpy(Data(start), x0, object->sizes.nx));
  PythonClockStart(IsDue, Look, loop);
  answer = PyObject_CallFunction(e->gradient, "OOd", object, start, accuracy);
  PythonClockStop();
  if (!answer || !TakeGradient(object, answer, result)) LatchException(e, loop);
  CtpgClosedLoopUseTheta(loop, NULL);
  CtpgClosedLoopSetPiece(loop, -1);
  object->loop = NULL;
  Py_XDECREF(answer);
  Py_DECREF(start);
  Py_DECREF(object);
  PetscFunctionReturn(0);
}

// Forget: the garbage of earlier runs, so that no run pays for the one before.
static PetscErrorCode EstimatorMemory_Python(void *est, PetscViewer viewer, PetscBool load) {
  PetscFunctionBeginUser;
  (void)est, (void)load;
  if (!viewer) PyGC_Collect();
  PetscFunctionReturn(0);
}

static void EstimatorDestroy_Python(void **est) {
  Python *e = *est;
  if (!e) return;
  Py_CLEAR(e->gradient);
  PetscCallVoid(PetscFree(*est));
}
#endif

const CtpgEstimatorType CtpgEstimator_python = {
    .abi = CTPG_ABI,
    .size = sizeof(CtpgEstimatorType),
    .name = "python",
    .version = 2,
    .flags = CTPG_IS_INTERPRETED,
    .bibtex = "@misc{yours, title={the method of the file given as -python_file}}",
    .knob = CTPG_KNOB_RTOL,
    .order = 0,
    .cost = "the file's",
    .storage = "the file's",
#ifdef CTPG_HAVE_PYTHON
    .create = EstimatorCreate_Python,
    .setup = EstimatorSetUp_Python,
    .gradient_of_start = EstimatorGradientOfStart_Python,
    .memory = EstimatorMemory_Python,
    .destroy = EstimatorDestroy_Python,
#else
    .unavailable = "built without Python; install python3-dev and python3-numpy and configure again",
#endif
    .needs = "-python_file FILE.py"};
