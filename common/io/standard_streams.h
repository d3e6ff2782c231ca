// standard_streams.h - stdin, stdout and stderr as the outside world really hands them over: closed, full, or
// a pipe whose reader has left.
// Not here: what is printed on them (results on stdout, everything else on stderr).
#pragma once
#include <string>

// To be called first in main(). Opens /dev/null for every standard stream that is closed: else the next file
// opened, a checkpoint or a log, would take its number, and every printf would land in that file. A write
// beyond the shell's limit for files (ulimit -f) becomes an error with a name instead of a signal.
void prepare_standard_streams();

// A reader of stdout that leaves (`| head -1`) does not end the program: for runs that matter more than their
// output.
void outlive_stdout_reader();

// To be called last in main(): results that could not be written are a user_error, unless their reader has
// left.
void finish_stdout();

// Writes text to stdout, zero bytes included, at once.
void print_text(const std::string& text);
