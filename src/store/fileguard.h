// fileguard.h -- a damaged file that HDF5 itself does not survive ends the program with one sentence
//
// HDF5 1.10 checks most of its metadata, not all: on some damaged files it loops for ever (a global heap with an object
// of size 0) or might crash. What is read between Begin and End is read under guard: a crash, or far more seconds of
// the processor than a file of that size can take, prints "ctpgbench: <path> cannot be read: ..." and exits with 1.
// Where other ranks wait, the launcher ends them.
#ifndef CTPG_FILEGUARD_H
#define CTPG_FILEGUARD_H

// Not nested. The sentence is kept here.
void FileGuardBegin(const char *path);
void FileGuardEnd(void);

#endif
