/* The one file of the program that holds the library's implementation. */
#define FACEMORPH_IMPLEMENTATION
#include "facemorph.h"
