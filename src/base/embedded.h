// embedded.h -- texts that the program carries with it: shipped models and templates, embedded by CMake
#ifndef CTPG_EMBEDDED_H
#define CTPG_EMBEDDED_H

// By path in the source tree ("problems/cartpole.xml"); NULL where there is none.
const char *CtpgEmbeddedText(const char *path);

#endif
