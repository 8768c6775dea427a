// main.c -- the program is the library's

#include "commands/program.h"

int main(int argc, char **argv) {
  return CtpgMain(argc, argv);
}
