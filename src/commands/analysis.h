// analysis.h -- commands that Python does
#ifndef CTPG_ANALYSIS_H
#define CTPG_ANALYSIS_H

// For main, before MPI starts. Where the command line is one of the package ctpgbench_analysis, this process becomes
// Python and does not come back, or it returns 1 and *exit_code is the program's, with the sentence why on stderr. Else
// 0.
int CtpgHandOver(int argc, char **argv, int *exit_code);

#endif
