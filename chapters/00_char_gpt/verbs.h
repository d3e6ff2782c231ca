// verbs.h - what the program can do besides training; main.cpp has the story of `train`.
#pragma once
#include "chapters/00_char_gpt/config.h"

void run_sample(const Config& config);  // continues a prompt
void run_tape(const Config& config);    // prints the tape of one step
void run_gradcheck(
    const Config& config);  // finite differences, a table per parameter; exits 1 when one is off
