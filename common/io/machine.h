// machine.h - one line about the machine and the compiler, for the report and config.json.
// Never for a checkpoint: its bytes do not depend on where it was written.
#pragma once
#include <string>

// "Some CPU 8, 4 of 8 cores usable, AVX-512 (built for AVX2), 15.6 GiB memory, Linux 6.1"
std::string machine_line();

// Of the machine, or of the container when that may use less.
double memory_bytes();

// "g++ 12.2.0"
std::string compiler_line();
