// plugins.h -- loads problems and estimators from shared libraries: see ctpgbench/plugin.h
#ifndef CTPG_PLUGINS_H
#define CTPG_PLUGINS_H

#include <petscsys.h>

// Loads what -problem_library and -estimator_library name (comma lists of files), before any label is created. An error
// names the file and what is wrong with it.
PetscErrorCode PluginsLoad(void);
// "name@hash of the file, ..." of what was loaded, for the sessions of a results file; "" without plug-ins.
const char *PluginsDescribe(void);

#endif
