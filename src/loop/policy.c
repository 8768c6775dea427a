// policy.c -- dense layers, their values and the products with their transposed derivatives
//
//   forward   a_l = W_l z_{l-1} + b_l,  z_l = act_l(a_l)
//   reverse   d_l = act_l'(a_l) . (gu for l = L, W_{l+1}' d_{l+1} below);  gW_l += d_l z_{l-1}',  gb_l += d_l,
//             go += W_1' d_1
//   tangent   dz_0 = d_o,  dz_l = act_l'(a_l) . (W_l dz_{l-1} + dW_l z_{l-1} + db_l),  du = dz_L
//   factors   of one point, layer by layer: z_{l-1} [in], d_l [out], each filled up with zeros to a whole number of
//             LANES
// act' comes from the stored output z: 1 - z^2 (tanh); 1 where z > 0, else z + 1 (elu); 1 (linear).
//   kept      of one point: o, z_1, ..., z_L, each filled up with zeros to a whole number of LANES
//   weights   layer by layer: W_l packed for W_l z, b_l filled up, W_l' packed for W_l' d (kernels.h)
//   scratch   two rows of deltas, each [n, largest width filled up]
// n points give the bits of n calls with one point each.
// Initial weights: X. Glorot, Y. Bengio, "Understanding the difficulty of training deep feedforward neural networks",
// AISTATS 2010, Eq. (16).

#include "loop/policy.h"
#include "base/random_engine.h"
#include "base/options_engine.h"
#include "base/parse.h"
#include "loop/combine.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WIDTH_LIMIT 1000000
#define TEXT_SIZE   1024
#define LANES       KERNELS_LANES // those of combine.h, too
#define AT_ONCE     8             // points in one pass back

_Static_assert(LANES == CTPG_LANES, "factors are filled up to whole lanes of both kinds");

static const char *const ACTIVATION_NAMES[] = {"linear", "tanh", "elu", NULL};

struct CtpgPolicy_s {
  PetscInt nlayers, np;
  PetscInt *layers;            // [nlayers + 1]
  CtpgActivation *activations; // [nlayers]
  PetscReal *initial;          // [nlayers] factors of the initial weights, 1 unless options say otherwise
  PetscInt kept, widest;       // per point: o and outputs of all layers together, and the widest of them
  PetscInt weights;            // reals of the packed theta
  const CtpgKernels *kernels;
  PetscInt factors; // per point: reals of the factors of its product
  PetscReal *signs; // [factors, CTPG_PROJECTIONS] +-1, 0 where factors are filled up
  char *text;
};

// ---- life ----

static PetscErrorCode CheckLayers(PetscInt nlayers, const PetscInt *layers, const CtpgActivation *activations) {
  int64_t np = 0;

  PetscFunctionBegin;
  PetscCheck(nlayers >= 1, PETSC_COMM_SELF, PETSC_ERR_ARG_OUTOFRANGE, "a policy of %d layers; expected at least 1",
             (int)nlayers);
  for (PetscInt l = 0; l <= nlayers; l++)
    PetscCheck(layers[l] >= 1 && layers[l] <= WIDTH_LIMIT, PETSC_COMM_SELF, PETSC_ERR_ARG_OUTOFRANGE,
               "layer %d of a policy is %d wide; expected 1 to %d", (int)l, (int)layers[l], WIDTH_LIMIT);
  for (PetscInt l = 0; l < nlayers; l++) {
    np += ((int64_t)layers[l] + 1) * layers[l + 1];
    PetscCheck(np <= PETSC_MAX_INT, PETSC_COMM_SELF, PETSC_ERR_ARG_OUTOFRANGE, "a policy of more than %lld parameters",
               (long long)PETSC_MAX_INT);
    PetscCheck(activations[l] >= CTPG_LINEAR && activations[l] <= CTPG_ELU, PETSC_COMM_SELF, PETSC_ERR_ARG_OUTOFRANGE,
               "layer %d of a policy has the unknown activation %d", (int)l + 1, (int)activations[l]);
  }
  PetscFunctionReturn(0);
}

static PetscInt FillUp(PetscInt n) {
  return KernelsPadded(n);
}

static PetscInt LayerWeights(PetscInt rows, PetscInt columns) {
  return (columns + 1) * FillUp(rows) + rows * FillUp(columns);
}

static void MeasureLayers(CtpgPolicy policy) {
  policy->kept = policy->widest = FillUp(policy->layers[0]);
  for (PetscInt l = 0; l < policy->nlayers; l++) {
    const PetscInt columns = policy->layers[l], rows = policy->layers[l + 1];
    policy->np += (columns + 1) * rows;
    policy->kept += FillUp(rows);
    policy->widest = PetscMax(policy->widest, FillUp(rows));
    policy->weights += LayerWeights(rows, columns);
    policy->factors += FillUp(columns) + FillUp(rows);
  }
}

// Signs from a stream of their own: the same for every run of a policy of these layers.
static PetscErrorCode DrawSigns(CtpgPolicy policy) {
  CtpgStream stream = CtpgStreamOpen(0, "policy", CTPG_STREAM_SKETCH, 0, 0);

  PetscFunctionBegin;
  PetscCall(PetscCalloc1(CTPG_PROJECTIONS * policy->factors, &policy->signs));
  for (PetscInt p = 0; p < CTPG_PROJECTIONS; p++) {
    PetscReal *sign = policy->signs;
    for (PetscInt l = 0; l < policy->nlayers; l++)
      for (PetscInt side = 0; side < 2; side++) {
        const PetscInt width = policy->layers[l + side];
        for (PetscInt i = 0; i < width; i++) sign[i * CTPG_PROJECTIONS + p] = CtpgStreamUniform(&stream) < 0.5 ? -1 : 1;
        sign += FillUp(width) * CTPG_PROJECTIONS;
      }
  }
  PetscFunctionReturn(0);
}

static PetscErrorCode WriteText(CtpgPolicy policy) {
  PetscFunctionBegin;
  PetscCall(PetscMalloc1((size_t)(policy->nlayers + 1) * 16, &policy->text));
  char *end = policy->text;
  for (PetscInt l = 0; l <= policy->nlayers; l++) end += sprintf(end, "%s%d", l ? "-" : "", (int)policy->layers[l]);
  for (PetscInt l = 0; l < policy->nlayers; l++)
    end += sprintf(end, "%s%s", l ? "," : " ", ACTIVATION_NAMES[policy->activations[l]]);
  PetscFunctionReturn(0);
}

PetscErrorCode PolicyCreate(PetscInt nlayers, const PetscInt *layers, const CtpgActivation *activations,
                            CtpgPolicy *policy) {
  CtpgPolicy p;

  PetscFunctionBegin;
  PetscCall(CheckLayers(nlayers, layers, activations));
  PetscCall(PetscNew(&p));
  *policy = p;
  p->nlayers = nlayers;
  PetscCall(PetscMalloc1(nlayers + 1, &p->layers));
  PetscCall(PetscMalloc1(nlayers, &p->activations));
  PetscCall(PetscMalloc1(nlayers, &p->initial));
  for (PetscInt l = 0; l < nlayers; l++) p->initial[l] = 1;
  PetscCall(PetscArraycpy(p->layers, layers, nlayers + 1));
  PetscCall(PetscArraycpy(p->activations, activations, nlayers));
  p->kernels = KernelsBest();
  MeasureLayers(p);
  PetscCall(DrawSigns(p));
  PetscCall(WriteText(p));
  PetscFunctionReturn(0);
}

PetscErrorCode PolicyDestroy(CtpgPolicy *policy) {
  PetscFunctionBegin;
  if (!*policy) PetscFunctionReturn(0);
  PetscCall(PetscFree((*policy)->layers));
  PetscCall(PetscFree((*policy)->activations));
  PetscCall(PetscFree((*policy)->signs));
  PetscCall(PetscFree((*policy)->initial));
  PetscCall(PetscFree((*policy)->text));
  PetscCall(PetscFree(*policy));
  PetscFunctionReturn(0);
}

// ---- from options ----

// Words of a comma list; an empty text has none.
static PetscInt CountWords(const char *text) {
  PetscInt n = *text ? 1 : 0;
  for (; *text; text++) n += *text == ',';
  return n;
}

// widths [CountWords(text)] from "32,32".
static PetscErrorCode ParseWidths(const char *option, const char *text, PetscInt *widths) {
  const PetscInt n = CountWords(text);
  const char *rest = text;

  PetscFunctionBegin;
  for (PetscInt l = 0; l < n; l++) {
    char *end;
    const long long width = strtoll(rest, &end, 10);
    PetscCheck(end > rest && *end == (l < n - 1 ? ',' : 0) && width >= 1 && width <= WIDTH_LIMIT, PETSC_COMM_WORLD,
               PETSC_ERR_USER_INPUT, "%s %s is not a list of widths; expected whole numbers from 1 to %d such as 32,32",
               option, text, WIDTH_LIMIT);
    widths[l] = (PetscInt)width;
    rest = end + 1;
  }
  PetscFunctionReturn(0);
}

static PetscErrorCode ParseActivation(const char *option, const char *word, CtpgActivation *activation) {
  PetscFunctionBegin;
  for (int i = 0; ACTIVATION_NAMES[i]; i++)
    if (!strcmp(word, ACTIVATION_NAMES[i])) {
      *activation = (CtpgActivation)i;
      PetscFunctionReturn(0);
    }
  SETERRQ(PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
          "%s: unknown activation \"%s\"; expected linear, tanh or elu "
          "(nearest: %s)",
          option, word, CtpgNearest(word, ACTIVATION_NAMES));
}

// One word per layer, or one word for all hidden layers under a linear output.
PetscErrorCode CtpgActivationsParse(const char *option, const char *text, PetscInt nlayers,
                                    CtpgActivation *activations) {
  const PetscInt n = CountWords(text);

  PetscFunctionBegin;
  PetscCheck(n == nlayers || n == 1, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "%s \"%s\" has %d activations; expected %d, one per layer, or one for the hidden layers", option, text,
             (int)n, (int)nlayers);
  for (PetscInt l = 0; l < n; l++) {
    char word[32];
    const size_t length = strcspn(text, ",");
    snprintf(word, sizeof word, "%.*s", (int)PetscMin(length, sizeof word), text);
    PetscCall(ParseActivation(option, word, &activations[l]));
    text += length + 1;
  }
  if (n == nlayers) PetscFunctionReturn(0);
  for (PetscInt l = 1; l < nlayers; l++) activations[l] = activations[0];
  activations[nlayers - 1] = CTPG_LINEAR;
  PetscFunctionReturn(0);
}

// The problem's activations, stretched to another depth: its first hidden one (tanh where it has none) for all hidden
// layers, its last one for the output.
static void DefaultActivations(const char *activations, PetscInt nlayers, char *text, size_t size) {
  const char *last = strrchr(activations, ',');
  const int first = last ? (int)strcspn(activations, ",") : 4;
  size_t length = 0;
  text[0] = 0;
  if (CountWords(activations) == nlayers) {
    snprintf(text, size, "%s", activations);
    return;
  }
  for (PetscInt l = 1; l < nlayers && length < size; l++)
    length += (size_t)snprintf(text + length, size - length, "%.*s,", first, last ? activations : "tanh");
  if (length < size) snprintf(text + length, size - length, "%s", last ? last + 1 : activations);
}

// Reads -policy_widths: layers is allocated, [nlayers + 1].
static PetscErrorCode ReadLayers(CtpgOptions options, PetscBool linear, PetscInt no, PetscInt nu, const char *widths,
                                 PetscInt *nlayers, PetscInt **layers) {
  char text[TEXT_SIZE], key[PETSC_MAX_OPTION_NAME];
  PetscBool given;

  PetscFunctionBegin;
  PetscCall(PetscStrncpy(text, linear ? "" : widths, sizeof text));
  PetscCall(OptionsReadTextOrNone(options, linear ? OPTION_NOT_IN_KEY : OPTION_IN_KEY, "policy_widths",
                                  "hidden widths of an mlp, such as 32,32; empty or none: none", text, sizeof text));
  ParseTrimList(text);
  if (!strcmp(text, "none")) text[0] = 0;
  PetscCall(CtpgOptionsFind(options, "policy_widths", key, sizeof key, &given));
  PetscCheck(!linear || !given || !strcmp(key, "-policy_widths"), PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "%s is given, but this policy is linear and has no hidden layers; add -%s_policy mlp", key,
             CtpgOptionsLabel(options));
  if (linear) text[0] = 0;
  *nlayers = CountWords(text) + 1;
  PetscCall(PetscMalloc1(*nlayers + 1, layers));
  (*layers)[0] = no;
  PetscCall(ParseWidths(key, text, *layers + 1));
  (*layers)[*nlayers] = nu;
  PetscFunctionReturn(0);
}

// Reads -policy_activations: activations [nlayers] is allocated.
static PetscErrorCode ReadActivations(CtpgOptions options, PetscBool linear, const char *initial, PetscInt nlayers,
                                      CtpgActivation **activations) {
  char text[TEXT_SIZE], key[PETSC_MAX_OPTION_NAME];
  PetscBool given;

  PetscFunctionBegin;
  DefaultActivations(linear ? "linear" : initial, nlayers, text, sizeof text);
  PetscCall(OptionsReadList(options, linear ? OPTION_NOT_IN_KEY : OPTION_IN_KEY, "policy_activations",
                            "one per layer, or one for the hidden layers of an mlp", text, sizeof text));
  PetscCall(CtpgOptionsFind(options, "policy_activations", key, sizeof key, &given));
  PetscCall(PetscMalloc1(nlayers, activations));
  PetscCall(CtpgActivationsParse(key, linear ? "linear" : text, nlayers, *activations));
  PetscFunctionReturn(0);
}

// Factors of the initial weights, layer by layer: a list for all layers, or one number for the last.
static PetscErrorCode ReadInitialFactors(CtpgOptions options, CtpgPolicy policy) {
  const PetscInt nlayers = policy->nlayers;
  char number[CTPG_NUMBER_SIZE];
  PetscReal last = 1, *list;
  PetscBool last_given;
  PetscInt n;

  PetscFunctionBegin;
  PetscCall(OptionsReadReals(options, OPTION_IN_KEY_UNLESS_DEFAULT, "policy_init_layers",
                             "factors of the initial weights beside policy_init_scale, one per layer", &n, &list));
  PetscCheck(!n || n == nlayers, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "-policy_init_layers has %d numbers, but the policy of %s is %s; expected %d, one per layer", (int)n,
             CtpgOptionsLabel(options), policy->text, (int)nlayers);
  for (PetscInt l = 0; l < n; l++)
    PetscCheck(list[l] >= 0 && list[l] <= 1e6, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
               "-policy_init_layers: %s is not a factor; expected numbers from 0 to 1e+06",
               CtpgShortReal(list[l], number));
  PetscCall(PetscArraycpy(policy->initial, list, n));
  PetscCall(PetscFree(list));
  PetscCall(CtpgOptionsFind(options, "policy_init_last", NULL, 0, &last_given));
  PetscCall(OptionsReadReal(options, OPTION_IN_KEY_UNLESS_DEFAULT, "policy_init_last",
                            "the same for the last layer alone", 0, 1e6, &last));
  if (!last_given) PetscFunctionReturn(0);
  PetscCheck(!n, PETSC_COMM_WORLD, PETSC_ERR_USER_INPUT,
             "-policy_init_last and -policy_init_layers are both given for %s; expected one of them",
             CtpgOptionsLabel(options));
  policy->initial[nlayers - 1] = last;
  PetscFunctionReturn(0);
}

PetscErrorCode PolicyCreateFromOptions(CtpgOptions options, PetscInt no, PetscInt nu, const char *type,
                                       const char *widths, const char *activations, CtpgPolicy *policy) {
  static const char *const types[] = {"linear", "mlp", NULL};
  PetscInt kind = strcmp(type, "linear") ? 1 : 0, nlayers, *layers;
  CtpgActivation *layer_activations;

  PetscFunctionBegin;
  PetscCall(CtpgOptionsChoice(options, "policy", "kind of policy", types, &kind));
  const PetscBool linear = kind == 0 ? PETSC_TRUE : PETSC_FALSE;
  PetscCall(ReadLayers(options, linear, no, nu, widths, &nlayers, &layers));
  PetscCall(ReadActivations(options, linear, activations, nlayers, &layer_activations));
  PetscCall(PolicyCreate(nlayers, layers, layer_activations, policy));
  PetscCall(ReadInitialFactors(options, *policy));
  PetscCall(PetscFree(layers));
  PetscCall(PetscFree(layer_activations));
  PetscFunctionReturn(0);
}

// ---- questions ----

PetscInt PolicyGetSize(CtpgPolicy policy) {
  return policy->np;
}

PetscInt PolicyGetFactorSize(CtpgPolicy policy) {
  return policy->factors;
}

PetscInt PolicyGetLayers(CtpgPolicy policy) {
  return policy->nlayers;
}

PetscInt PolicyGetLayerSize(CtpgPolicy policy, PetscInt layer) {
  return policy->layers[layer + 1] * (policy->layers[layer] + 1);
}

PetscBool PolicyIsLinear(CtpgPolicy policy) {
  return policy->nlayers == 1 && policy->activations[0] == CTPG_LINEAR ? PETSC_TRUE : PETSC_FALSE;
}

const char *PolicyDescribe(CtpgPolicy policy) {
  return policy->text;
}

PetscInt PolicyGetScratchSize(CtpgPolicy policy, PetscInt n) {
  return 2 * n * policy->widest;
}

PetscInt PolicyGetKeptSize(CtpgPolicy policy) {
  return policy->kept;
}

PetscInt PolicyGetWeightsSize(CtpgPolicy policy) {
  return policy->weights;
}

void PolicySetKernels(CtpgPolicy policy, const CtpgKernels *kernels) {
  policy->kernels = kernels;
}

void PolicyDraw(CtpgPolicy policy, CtpgStream *stream, PetscReal scale, PetscReal *theta) {
  for (PetscInt l = 0; l < policy->nlayers; l++) {
    const PetscInt columns = policy->layers[l], rows = policy->layers[l + 1];
    const PetscReal limit = sqrt(6.0 / (columns + rows)), factor = scale * policy->initial[l];
    for (PetscInt i = 0; i < rows * columns; i++) *theta++ = factor * CtpgStreamUniformIn(stream, -limit, limit);
    for (PetscInt i = 0; i < rows; i++) *theta++ = 0;
  }
}

// ---- evaluation ----

// to [FillUp(n)] = from [n], filled up with zeros.
static void CopyFilledUp(PetscInt n, const PetscReal *from, PetscReal *to) {
  for (PetscInt i = 0; i < n; i++) to[i] = from[i];
  for (PetscInt i = n; i < FillUp(n); i++) to[i] = 0;
}

void PolicyPack(CtpgPolicy policy, const PetscReal *theta, PetscReal *weights) {
  for (PetscInt l = 0; l < policy->nlayers; l++) {
    const PetscInt columns = policy->layers[l], rows = policy->layers[l + 1];
    KernelsPack(columns, rows, theta, weights);
    weights += columns * FillUp(rows);
    CopyFilledUp(rows, theta + rows * columns, weights);
    weights += FillUp(rows);
    KernelsPackTransposed(rows, columns, theta, weights);
    weights += rows * FillUp(columns);
    theta += (columns + 1) * rows;
  }
}

void PolicyEval(CtpgPolicy policy, const PetscReal *weights, PetscInt n, const PetscReal *o, PetscReal *kept,
                PetscReal *u) {
  const PetscInt stride = policy->kept, no = policy->layers[0], nu = policy->layers[policy->nlayers];
  PetscReal *z = kept;
  for (PetscInt p = 0; p < n; p++) CopyFilledUp(no, o + p * no, z + p * stride);
  for (PetscInt l = 0; l < policy->nlayers; l++) {
    const PetscInt columns = policy->layers[l], rows = policy->layers[l + 1];
    PetscReal *out = z + FillUp(columns);
    policy->kernels->apply(n, columns, rows, weights, weights + columns * FillUp(rows), z, stride, out, stride);
    for (PetscInt p = 0; policy->activations[l] != CTPG_LINEAR && p < n; p++)
      policy->kernels->activate(policy->activations[l], FillUp(rows), out + p * stride);
    weights += LayerWeights(rows, columns);
    z = out;
  }
  for (PetscInt p = 0; p < n; p++)
    for (PetscInt i = 0; i < nu; i++) u[p * nu + i] = z[p * stride + i];
}

const PetscReal *PolicyGetKeptControl(CtpgPolicy policy, const PetscReal *kept) {
  return kept + policy->kept - FillUp(policy->layers[policy->nlayers]);
}

// A layer's part of gtheta, whose rows have np components, from deltas [n, widest] and inputs at `in` of each point's
// kept outputs; these stand one behind the other where there is one row.
static void AddLayer(CtpgPolicy policy, PetscInt n, const PetscInt *row, PetscInt rows, PetscInt columns,
                     const PetscReal *d, const PetscReal *const *kept, PetscInt in, PetscReal *gW) {
  const CtpgKernels *k = policy->kernels;
  if (!row) k->add_outer(n, rows, columns, d, policy->widest, kept[0] + in, policy->kept, gW);
  for (PetscInt p = 0; row && p < n; p++)
    k->add_outer(1, rows, columns, d + p * policy->widest, 0, kept[p] + in, 0, gW + row[p] * policy->np);
}

// PolicyVJP where the points' kept outputs and factors [n] may stand apart.
static void Reverse(CtpgPolicy policy, const PetscReal *weights, PetscInt n, const PetscInt *row,
                    const PetscReal *const *kept, const PetscReal *gu, PetscReal *scratch, PetscReal *go,
                    PetscReal *gtheta, PetscReal *const *factors) {
  const CtpgKernels *k = policy->kernels;
  const PetscInt no = policy->layers[0], nu = policy->layers[policy->nlayers], widest = policy->widest;
  PetscReal *delta = scratch, *below = scratch + n * widest;
  PetscInt offset = policy->np, part = policy->factors, at = policy->weights, z = policy->kept - FillUp(nu);
  for (PetscInt p = 0; p < n; p++) CopyFilledUp(nu, gu + p * nu, delta + p * widest);
  for (PetscInt l = policy->nlayers - 1; l >= 0; l--) {
    const PetscInt columns = policy->layers[l], rows = policy->layers[l + 1], in = z - FillUp(columns);
    offset -= (columns + 1) * rows;
    part -= FillUp(columns) + FillUp(rows);
    at -= LayerWeights(rows, columns);
    for (PetscInt p = 0; policy->activations[l] != CTPG_LINEAR && p < n; p++)
      k->times_derivative(policy->activations[l], FillUp(rows), kept[p] + z, delta + p * widest);
    if (gtheta) AddLayer(policy, n, row, rows, columns, delta, kept, in, gtheta + offset);
    for (PetscInt p = 0; factors && p < n; p++) {
      memcpy(factors[p] + part, kept[p] + in, (size_t)FillUp(columns) * sizeof *delta);
      memcpy(factors[p] + part + FillUp(columns), delta + p * widest, (size_t)FillUp(rows) * sizeof *delta);
    }
    if (!l && !go) return;
    k->apply(n, rows, columns, weights + at + (columns + 1) * FillUp(rows), NULL, delta, widest, below, widest);
    PetscReal *above = delta;
    delta = below;
    below = above;
    z = in;
  }
  for (PetscInt p = 0; p < n; p++)
    for (PetscInt i = 0; i < no; i++) go[p * no + i] += delta[p * widest + i];
}

void PolicyVJP(CtpgPolicy policy, const PetscReal *weights, PetscInt n, const PetscInt *row, const PetscReal *kept,
               const PetscReal *gu, PetscReal *scratch, PetscReal *go, PetscReal *gtheta, PetscReal *factors) {
  const PetscInt no = policy->layers[0], nu = policy->layers[policy->nlayers];
  const PetscReal *at_kept[AT_ONCE];
  PetscReal *at_factors[AT_ONCE];
  for (PetscInt first = 0; first < n; first += AT_ONCE) {
    const PetscInt m = PetscMin(AT_ONCE, n - first);
    for (PetscInt p = 0; p < m; p++) {
      at_kept[p] = kept + (first + p) * policy->kept;
      at_factors[p] = factors ? factors + (first + p) * policy->factors : NULL;
    }
    Reverse(policy, weights, m, row ? row + first : NULL, at_kept, gu + first * nu, scratch,
            go ? go + first * no : NULL, gtheta, factors ? at_factors : NULL);
  }
}

void PolicyVJPApart(CtpgPolicy policy, const PetscReal *weights, PetscInt n, const PetscReal *const *kept,
                    const PetscReal *gu, PetscReal *scratch, PetscReal *go, PetscReal *const *factors) {
  Reverse(policy, weights, n, NULL, kept, gu, scratch, go, NULL, factors);
}

static PetscReal Dot(PetscInt n, const PetscReal *restrict a, const PetscReal *restrict b) {
  PetscReal s = 0;
#pragma omp simd reduction(+ : s)
  for (PetscInt j = 0; j < n; j++) s += a[j] * b[j];
  return s;
}

// out [n, stride] += W in + b for in [n, in_stride]; b follows W.
static void AddAffine(PetscInt n, PetscInt rows, PetscInt columns, const PetscReal *W, PetscBool with_b,
                      const PetscReal *in, PetscInt in_stride, PetscReal *out, PetscInt stride) {
  const PetscReal *b = W + rows * columns;
  for (PetscInt p = 0; p < n; p++, in += in_stride, out += stride)
    for (PetscInt i = 0; i < rows; i++) out[i] += Dot(columns, W + i * columns, in) + (with_b ? b[i] : 0);
}

void PolicyJVP(CtpgPolicy policy, const PetscReal *theta, PetscInt n, const PetscReal *kept, const PetscReal *d_o,
               const PetscReal *dtheta, PetscReal *scratch, PetscReal *du) {
  const PetscInt widest = policy->widest, nu = policy->layers[policy->nlayers];
  const PetscReal *in = kept, *d_in = d_o;
  PetscReal *out = scratch, *next = scratch + n * widest;
  PetscInt offset = 0, d_stride = policy->layers[0];
  for (PetscInt l = 0; l < policy->nlayers; l++) {
    const PetscInt columns = policy->layers[l], rows = policy->layers[l + 1];
    const PetscReal *z = in + FillUp(columns);
    memset(out, 0, (size_t)(n * widest) * sizeof *out);
    if (d_in) AddAffine(n, rows, columns, theta + offset, PETSC_FALSE, d_in, d_stride, out, widest);
    if (dtheta) AddAffine(n, rows, columns, dtheta + offset, PETSC_TRUE, in, policy->kept, out, widest);
    for (PetscInt p = 0; p < n; p++)
      policy->kernels->times_derivative(policy->activations[l], FillUp(rows), z + p * policy->kept, out + p * widest);
    offset += (columns + 1) * rows;
    d_in = out;
    d_stride = widest;
    in = z;
    out = next;
    next = (PetscReal *)d_in;
  }
  for (PetscInt p = 0; p < n; p++)
    for (PetscInt i = 0; i < nu; i++) du[p * nu + i] = d_in[p * widest + i];
}

// ---- projections of products that were kept as factors ----

PetscInt PolicyGetProjections(CtpgPolicy policy) {
  return CTPG_PROJECTIONS * policy->nlayers;
}

// sums [CTPG_PROJECTIONS] of signs [n, CTPG_PROJECTIONS] times part [n], n even: even and odd terms apart, then joined.
CTPG_WIDE static void SumSigned(PetscInt n, const PetscReal *restrict sign, const PetscReal *restrict part,
                                PetscReal *restrict sums) {
  PetscReal even[CTPG_PROJECTIONS] = {0}, odd[CTPG_PROJECTIONS] = {0};
  for (PetscInt j = 0; j < n; j += 2, sign += 2 * CTPG_PROJECTIONS) {
#pragma omp simd
    for (PetscInt p = 0; p < CTPG_PROJECTIONS; p++) even[p] += sign[p] * part[j];
#pragma omp simd
    for (PetscInt p = 0; p < CTPG_PROJECTIONS; p++) odd[p] += sign[CTPG_PROJECTIONS + p] * part[j + 1];
  }
  for (PetscInt p = 0; p < CTPG_PROJECTIONS; p++) sums[p] = even[p] + odd[p];
}

void PolicyAddProjections(CtpgPolicy policy, PetscReal weight, const PetscReal *factors, PetscReal *q) {
  const PetscReal *sign = policy->signs;
  for (PetscInt l = 0; l < policy->nlayers; l++) {
    const PetscInt columns = FillUp(policy->layers[l]), rows = FillUp(policy->layers[l + 1]);
    PetscReal in[CTPG_PROJECTIONS], delta[CTPG_PROJECTIONS];
    SumSigned(columns, sign, factors, in);
    SumSigned(rows, sign + columns * CTPG_PROJECTIONS, factors + columns, delta);
    for (PetscInt p = 0; p < CTPG_PROJECTIONS; p++) q[p * policy->nlayers + l] += weight * delta[p] * (1 + in[p]);
    sign += (columns + rows) * CTPG_PROJECTIONS;
    factors += columns + rows;
  }
}

// ---- sums of products that were kept as factors ----

#define STRIPE (CTPG_MAX_PRODUCTS * LANES) // coefficients of every product for LANES rows

typedef struct {
  PetscInt n, nsums; // n: filled up with zero weights to a multiple of four
  const PetscReal *factors[CTPG_MAX_PRODUCTS];
  PetscReal weights[CTPG_MAX_SUMS][STRIPE];
  CtpgTakePiece take;
  void *context;
  PetscInt offset, filled; // the piece at hand: its first component, its length so far
  PetscReal pieces[CTPG_MAX_SUMS][CTPG_SUM_PIECE + 2 * LANES];
} Sums;

static void HandOver(Sums *sums) {
  const PetscReal *const pieces[] = {sums->pieces[0], sums->pieces[1], sums->pieces[2]};
  if (sums->filled) sums->take(sums->context, sums->offset, sums->filled, pieces);
  sums->offset += sums->filled;
  sums->filled = 0;
}

// `count` lanes of nsums sums, both constants where it is called, from component `part` of the factors on: sum_i c_k,i
// factors_i, c_k,i at c[k][i * stride].
static inline __attribute__((always_inline)) void FormLanes(PetscInt nsums, PetscInt count, const Sums *sums,
                                                            PetscInt part, PetscReal (*c)[STRIPE], PetscInt stride,
                                                            PetscReal *const *out) {
  CtpgLanes sum[CTPG_MAX_SUMS][2] = {{{0}}};
  for (PetscInt i = 0; i < sums->n; i += 4) {
    const PetscReal *const four[] = {sums->factors[i] + part, sums->factors[i + 1] + part, sums->factors[i + 2] + part,
                                     sums->factors[i + 3] + part};
#pragma GCC unroll 2
    for (PetscInt v = 0; v < count; v++)
#pragma GCC unroll 3
      for (PetscInt k = 0; k < nsums; k++) {
        const PetscReal *at = c[k] + i * stride;
        sum[k][v] += at[0] * CTPG_LANES_AT(four[0] + v * LANES) + at[stride] * CTPG_LANES_AT(four[1] + v * LANES) +
                     at[2 * stride] * CTPG_LANES_AT(four[2] + v * LANES) +
                     at[3 * stride] * CTPG_LANES_AT(four[3] + v * LANES);
      }
  }
#pragma GCC unroll 2
  for (PetscInt v = 0; v < count; v++)
#pragma GCC unroll 3
    for (PetscInt k = 0; k < nsums; k++) CTPG_LANES_AT(out[k] + v * LANES) = sum[k][v];
}

// The next `length` <= CTPG_SUM_PIECE components of all sums, in whole lanes: what is too much is overwritten by the
// next, or lies behind the piece.
static inline __attribute__((always_inline)) void FormPiece(PetscInt nsums, Sums *sums, PetscInt length, PetscInt part,
                                                            PetscReal (*c)[STRIPE], PetscInt stride) {
  if (sums->filled + length > CTPG_SUM_PIECE) HandOver(sums);
  PetscReal *out[CTPG_MAX_SUMS];
  PetscInt j = 0;
  for (PetscInt k = 0; k < nsums; k++) out[k] = sums->pieces[k] + sums->filled;
  for (; j + LANES < length; j += 2 * LANES) {
    FormLanes(nsums, 2, sums, part + j, c, stride, out);
    for (PetscInt k = 0; k < nsums; k++) out[k] += 2 * LANES;
  }
  if (j < length) FormLanes(nsums, 1, sums, part + j, c, stride, out);
  sums->filled += length;
}

static inline __attribute__((always_inline)) void FormRow(PetscInt nsums, Sums *sums, PetscInt length, PetscInt part,
                                                          PetscReal (*c)[STRIPE], PetscInt stride) {
  for (PetscInt done = 0; done < length; done += CTPG_SUM_PIECE)
    FormPiece(nsums, sums, PetscMin(length - done, CTPG_SUM_PIECE), part + done, c, stride);
}

// gW [rows, columns], whose row i is sum of weight d_i z, then gb [rows], the sum of weight d. Coefficients of LANES
// rows at a time, side by side.
static inline __attribute__((always_inline)) void FormLayer(PetscInt nsums, Sums *sums, PetscInt rows, PetscInt columns,
                                                            PetscInt part) {
  const PetscInt delta = part + FillUp(columns);
  PetscReal c[CTPG_MAX_SUMS][STRIPE];
  for (PetscInt i = 0; i < rows; i++) {
    for (PetscInt j = 0; i % LANES == 0 && j < sums->n; j++)
      for (PetscInt k = 0; k < nsums; k++)
        CTPG_LANES_AT(c[k] + j * LANES) = sums->weights[k][j] * CTPG_LANES_AT(sums->factors[j] + delta + i);
    PetscReal(*row)[STRIPE] = (PetscReal(*)[STRIPE])(c[0] + i % LANES);
    FormRow(nsums, sums, columns, part, row, LANES);
  }
  FormRow(nsums, sums, rows, delta, sums->weights, 1);
}

CTPG_WIDE static void FormOne(Sums *sums, PetscInt rows, PetscInt columns, PetscInt part) {
  FormLayer(1, sums, rows, columns, part);
}

CTPG_WIDE static void FormTwo(Sums *sums, PetscInt rows, PetscInt columns, PetscInt part) {
  FormLayer(2, sums, rows, columns, part);
}

CTPG_WIDE static void FormThree(Sums *sums, PetscInt rows, PetscInt columns, PetscInt part) {
  FormLayer(3, sums, rows, columns, part);
}

// to [n] = weight from, and copy [m] = other; n and m whole LANES.
CTPG_WIDE static void WeighFactors(PetscInt n, PetscReal weight, const PetscReal *from, PetscReal *to, PetscInt m,
                                   const PetscReal *other, PetscReal *copy) {
  for (PetscInt j = 0; j < n; j += LANES) CTPG_LANES_AT(to + j) = weight * CTPG_LANES_AT(from + j);
  for (PetscInt j = 0; j < m; j += LANES) CTPG_LANES_AT(copy + j) = CTPG_LANES_AT(other + j);
}

void PolicyAddProducts(CtpgPolicy policy, PetscInt n, const PetscReal *const *factors, const PetscReal *weights,
                       PetscReal *scratch, PetscReal *gtheta) {
  const PetscInt stride = policy->widest;
  PetscReal *z = scratch, *d = scratch + n * stride;
  PetscInt part = 0;
  for (PetscInt l = 0; l < policy->nlayers; l++) {
    const PetscInt columns = policy->layers[l], rows = policy->layers[l + 1];
    for (PetscInt i = 0; i < n; i++) {
      const PetscReal *of_z = factors[i] + part, *of_d = of_z + FillUp(columns);
      WeighFactors(FillUp(rows), weights[i], of_d, d + i * stride, FillUp(columns), of_z, z + i * stride);
    }
    policy->kernels->add_outer(n, rows, columns, d, stride, z, stride, gtheta);
    gtheta += (columns + 1) * rows;
    part += FillUp(columns) + FillUp(rows);
  }
}

void PolicyAddFactors(CtpgPolicy policy, PetscInt n, const PetscReal *factors, PetscReal *gtheta) {
  for (PetscInt l = 0; l < policy->nlayers; l++) {
    const PetscInt columns = policy->layers[l], rows = policy->layers[l + 1];
    const PetscReal *z = factors, *d = factors + FillUp(columns);
    policy->kernels->add_outer(n, rows, columns, d, policy->factors, z, policy->factors, gtheta);
    gtheta += (columns + 1) * rows;
    factors = d + FillUp(rows);
  }
}

// n products, z of one behind that of the other by `stride` reals, d likewise, and what they are scaled by.
typedef struct {
  PetscInt n, stride;
  const PetscReal *z, *d, *scale;
} Scaled;

// sum [count], a constant where it is called, lanes += scale (d_i z), from column j on.
static inline __attribute__((always_inline)) void AddScaledLanes(PetscInt count, const Scaled *s, PetscInt i,
                                                                 PetscInt j, CtpgLanes *sum) {
  const PetscReal *z = s->z + j, *d = s->d + i;
  for (PetscInt p = 0; p < s->n; p++, z += s->stride, d += s->stride)
#pragma GCC unroll 4
    for (PetscInt v = 0; v < count; v++) sum[v] += s->scale[p] * (*d * CTPG_LANES_AT(z + v * LANES));
}

// Row i of gW. The last lanes overlap those before: they are loaded first and stored last.
static inline __attribute__((always_inline)) void AddScaledRow(const Scaled *s, PetscInt i, PetscInt columns,
                                                               PetscReal *row) {
  const PetscInt last = columns - LANES;
  CtpgLanes sum[4], rest;
  PetscInt j = 0;
  if (columns < LANES) {
    for (; j < columns; j++)
      for (PetscInt p = 0; p < s->n; p++) row[j] += s->scale[p] * (s->d[p * s->stride + i] * s->z[p * s->stride + j]);
    return;
  }
  rest = CTPG_LANES_AT(row + last);
  if (columns % LANES) AddScaledLanes(1, s, i, last, &rest);
  for (; j + 4 * LANES <= columns; j += 4 * LANES) {
    for (PetscInt v = 0; v < 4; v++) sum[v] = CTPG_LANES_AT(row + j + v * LANES);
    AddScaledLanes(4, s, i, j, sum);
    for (PetscInt v = 0; v < 4; v++) CTPG_LANES_AT(row + j + v * LANES) = sum[v];
  }
  for (; j + LANES <= columns; j += LANES) {
    sum[0] = CTPG_LANES_AT(row + j);
    AddScaledLanes(1, s, i, j, sum);
    CTPG_LANES_AT(row + j) = sum[0];
  }
  if (columns % LANES) CTPG_LANES_AT(row + last) = rest;
}

// A layer's part of gtheta: gW [rows, columns] and gb [rows] += scale (d z') and scale d.
CTPG_WIDE static void AddScaledLayer(const Scaled *s, PetscInt rows, PetscInt columns, PetscReal *gW) {
  for (PetscInt i = 0; i < rows; i++, gW += columns) AddScaledRow(s, i, columns, gW);
  for (PetscInt i = 0; i < rows; i++)
    for (PetscInt p = 0; p < s->n; p++) gW[i] += s->scale[p] * s->d[p * s->stride + i];
}

void PolicyAddScaled(CtpgPolicy policy, PetscInt n, const PetscReal *factors, const PetscReal *scale,
                     PetscReal *gtheta) {
  for (PetscInt l = 0; l < policy->nlayers; l++) {
    const PetscInt columns = policy->layers[l], rows = policy->layers[l + 1];
    const Scaled scaled = {
        .n = n, .stride = policy->factors, .z = factors, .d = factors + FillUp(columns), .scale = scale};
    AddScaledLayer(&scaled, rows, columns, gtheta);
    gtheta += (columns + 1) * rows;
    factors += FillUp(columns) + FillUp(rows);
  }
}

void PolicySumProducts(CtpgPolicy policy, PetscInt n, const PetscReal *const *factors, PetscInt nsums,
                       const PetscReal *const *weights, CtpgTakePiece take, void *context) {
  static void (*const form[CTPG_MAX_SUMS])(Sums *, PetscInt, PetscInt, PetscInt) = {FormOne, FormTwo, FormThree};
  Sums sums; // not initialised: it is large
  PetscInt part = 0;
  sums.n = (n + 3) / 4 * 4;
  sums.nsums = nsums;
  sums.take = take;
  sums.context = context;
  sums.offset = sums.filled = 0;
  for (PetscInt i = 0; i < sums.n; i++) {
    sums.factors[i] = factors[i < n ? i : 0];
    for (PetscInt k = 0; k < nsums; k++) sums.weights[k][i] = i < n ? weights[k][i] : 0;
  }
  for (PetscInt l = 0; l < policy->nlayers; l++) {
    const PetscInt columns = policy->layers[l], rows = policy->layers[l + 1];
    form[nsums - 1](&sums, rows, columns, part);
    part += FillUp(columns) + FillUp(rows);
  }
  HandOver(&sums);
}
