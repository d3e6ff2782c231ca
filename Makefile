# Makefile - builds every chapter and test. `make` alone lists the targets; V=1 shows the commands as they run.
# Chapters, tests, exercises and benchmarks are found by their place in the tree: a new file needs no edit here.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/bash
COMMA := ,
SPACE := $() $()

# ---- What can be set on the command line ----------------------------------------------------------------------------

MARCH ?= native
NVCC ?= nvcc
CUDA_ARCH ?= native
WARN ?= -Wall -Wextra -Werror
ARGS ?=
FUZZ_SECONDS ?= 30
ifeq ($(origin CXX),default)
CXX := $(shell command -v g++ >/dev/null || ! command -v clang++ >/dev/null && echo g++ || echo clang++)
endif

# Use every core that this process has, unless a -j is given (that one wins).
ifeq ($(MAKELEVEL),0)
MAKEFLAGS += --no-print-directory -j$(shell nproc 2>/dev/null || echo 2)
endif

# ---- The build: compiler flags, and the folder that holds what was made with them -----------------------------------

# The cards of this machine as nvcc numbers them, "90" for compute capability 9.0; asked only where nvcc can build for them.
HAS_NVCC := $(shell command -v $(NVCC))
GPU_ARCHS := $(if $(HAS_NVCC),$(shell command -v nvidia-smi >/dev/null && \
             nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | grep -oE '^[0-9]+\.[0-9]+$$' | tr -d . | sort -nu))
DEFAULT_BUILD := $(if $(GPU_ARCHS),cuda,cpu)
BUILD ?= $(DEFAULT_BUILD)

OPTIMISE_cuda  := -O3
OPTIMISE_cpu   := -O3
OPTIMISE_host  := -O2 -g
OPTIMISE_debug := -O0 -g -DGPT_DEBUG
# GCC sees uninitialised variables that are none once a sanitizer has rewritten the code (std::regex is enough).
SANITIZE       := -O0 -g1 -DGPT_DEBUG $(if $(findstring clang,$(CXX)),,-Wno-maybe-uninitialized)
OPTIMISE_asan  := $(SANITIZE) -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
OPTIMISE_tsan  := $(SANITIZE) -fsanitize=thread
OPTIMISE_fuzz  := $(OPTIMISE_asan)
OPTIMISE := $(OPTIMISE_$(BUILD))
SANITIZED := $(filter asan tsan fuzz,$(BUILD))
ifeq ($(OPTIMISE),)
$(error BUILD=$(BUILD) is unknown: use cpu, cuda, host, debug, asan or tsan)
endif

# BUILD=cuda: nvcc compiles the kernels for the cards in CUDA_ARCH, the C++ compiler all the rest against NVIDIA's headers.
ifeq ($(BUILD),cuda)
ifeq ($(HAS_NVCC),)
$(error BUILD=cuda needs nvcc, of NVIDIA's CUDA Toolkit, and $(NVCC) is not here (NVCC=/path/to/nvcc); BUILD=host runs the kernels on the CPU)
endif
ARCHS := $(if $(filter native,$(CUDA_ARCH)),$(GPU_ARCHS),$(shell printf '%s\n' $(CUDA_ARCH:sm_%=%) | sort -nu))
ifeq ($(ARCHS),)
$(error BUILD=cuda finds no GPU here (nvidia-smi) to compile for: say which, for example CUDA_ARCH=90 (80: A100, 86: RTX 30, 89: RTX 40, 90: H100, 120: RTX 50))
endif
CUDA_TOP := $(shell $(NVCC) --dryrun -x cu -c /dev/null 2>&1 | sed -n 's/^\#\$$ TOP=//p')
CUDA_LIB := $(firstword $(wildcard $(addprefix $(CUDA_TOP)/,lib64 lib)))
CUDA_LIBS := $(if $(CUDA_LIB),-L$(CUDA_LIB) -Wl$(COMMA)-rpath$(COMMA)$(realpath $(CUDA_LIB))) -lcublasLt -lcudart
endif

# These builds have the CUDA kernels too, compiled by g++ against common/cuda_on_host (its head explains). A CUDA
# thread waits by a few instructions of assembly on x86-64 and by ucontext elsewhere; FIBERS=ucontext asks for it.
FIBERS ?= auto
ON_HOST := $(filter host debug asan tsan fuzz,$(BUILD))
WITH_CUDA := $(ON_HOST)$(filter cuda,$(BUILD))
CUDA_FLAGS := $(if $(WITH_CUDA),-DGPT_WITH_GPU) \
              $(if $(ON_HOST),-DGPT_CUDA_ON_HOST $(if $(filter ucontext,$(FIBERS)),-DCUDA_ON_HOST_UCONTEXT))

# What the CUDA kernels store activations and weights in; cpu:: always stores float32.
DEFAULT_PRECISION := $(if $(filter cuda,$(BUILD)),bf16,fp32)
PRECISION ?= $(DEFAULT_PRECISION)
ifeq ($(filter fp32 bf16,$(PRECISION)),)
$(error PRECISION=$(PRECISION) is unknown: use fp32 or bf16)
else ifeq ($(WITH_CUDA)$(PRECISION),bf16)
$(error PRECISION=bf16 is how CUDA kernels store, and BUILD=$(BUILD) has none: use BUILD=cuda, host, debug, asan or tsan)
endif
PRECISION_FLAGS_bf16 := -DGPT_PRECISION_BF16
CUDA_FLAGS += $(PRECISION_FLAGS_$(PRECISION))

# x86 compilers call it -march, arm64 ones -mcpu.
TARGET_CPU := $(if $(filter arm64 aarch64,$(shell uname -m)),-mcpu,-march)=$(MARCH)
FLAGS = -std=c++17 $(WARN) $(OPTIMISE) $(CUDA_FLAGS) $(TARGET_CPU) -fno-math-errno -fno-trapping-math -pthread \
        -Icommon -I. -isystem .deps/include $(addprefix -isystem ,$(wildcard $(CUDA_TOP)/include)) $(CXXFLAGS)
# Machine code for each card, and the last one's intermediate code, which the driver of a newer card compiles when it loads.
# -lineinfo lets compute-sanitizer and the profilers name lines; -Xptxas -v says what `make registers` gathers.
# NVCC_AS=-ptx: only the intermediate code, which all of nvcc's warnings come before.
NVCC_AS := -c
NVCC_FLAGS = -std=c++17 -O3 -lineinfo -Xptxas -v -Werror all-warnings $(addprefix -Xcompiler ,$(WARN)) $(CUDA_FLAGS) \
             -Icommon -I. $(if $(filter-out g++,$(CXX)),-ccbin $(lastword $(CXX))) $(CXXFLAGS) \
             $(if $(filter -ptx,$(NVCC_AS)),-arch=compute_$(lastword $(ARCHS)),$(foreach a,$(ARCHS), \
             -gencode arch=compute_$a$(COMMA)code=$(if $(filter $a,$(lastword $(ARCHS))),[sm_$a$(COMMA)compute_$a],sm_$a)))
LINK = $(CXX) $(OPTIMISE) -pthread -o $@ $(filter %.o,$^) $(filter %.a,$^) $(LIBS) $(CUDA_LIBS) $(LDFLAGS)
FLAGS_STAMP := $(CXX) $(FLAGS) $(LDFLAGS) $(if $(filter cuda,$(BUILD)),$(NVCC) $(NVCC_FLAGS))

# build/cpu, build/debug ...; what differs from the default is part of the name: build/cpu-x86-64-v3-clang++,
# build/host-bf16, build/cuda-fp32
OUT := build/$(BUILD)$(if $(filter-out native,$(MARCH)),-$(MARCH))$(if $(filter-out g++,$(notdir $(CXX))),-$(notdir $(CXX)))$(if $(filter ucontext,$(FIBERS)),-ucontext)$(if $(filter-out $(DEFAULT_PRECISION),$(PRECISION)),-$(PRECISION))

Q := $(if $(V),,@)
say = @printf '  %-5s %s\n' '$1' '$2'
obj = $(addprefix $(OUT)/,$(addsuffix .o,$(basename $1)))

# ---- What is in the tree --------------------------------------------------------------------------------------------

CUDA      := $(sort $(wildcard common/kernels/cuda/*.cu))
LADDER    := $(sort $(wildcard tests/bench/ladder/*.cu))
COMMON    := $(sort $(shell find common -name '*.cpp' $(if $(ON_HOST),,! -path 'common/cuda_on_host/*'))) $(if $(WITH_CUDA),$(CUDA))
CHAPTERS  := $(sort $(wildcard chapters/[0-9][0-9]_*))
TESTS     := $(sort $(shell find tests -mindepth 2 -name '*.cpp'))
SUITES    := $(filter-out bench exercises fuzz support,$(sort $(foreach t,$(TESTS),$(word 2,$(subst /, ,$t)))))
SUITES    := $(filter kernels,$(SUITES)) $(filter-out kernels,$(SUITES))# the longest first: two may run at a time
NO_SUITES := $(if $(ON_HOST),,cuda_on_host)
NO_BENCH  := $(if $(WITH_CUDA),,ladder)
SCRIPTS   := $(sort $(shell find tests -name 'test_*.sh'))
EXERCISES := $(sort $(wildcard chapters/*/exercises/[0-9]*_*.cpp))
SOLUTIONS := $(sort $(wildcard tests/exercises/[0-9][0-9]/[0-9]*_*.cpp))
BENCHES   := $(patsubst tests/bench/%.cpp,$(OUT)/bench/%,$(filter-out $(NO_BENCH:%=tests/bench/%.cpp),$(wildcard tests/bench/*.cpp)))
FUZZERS   := $(patsubst tests/fuzz/%.cpp,$(OUT)/fuzz/%,$(wildcard tests/fuzz/*.cpp))
SOURCES   := $(COMMON) $(wildcard chapters/*/*.cpp) $(filter-out $(NO_SUITES:%=tests/%/%) $(NO_BENCH:%=tests/bench/%.cpp),$(TESTS)) $(EXERCISES) $(if $(WITH_CUDA),$(LADDER))

number = $(firstword $(subst _, ,$(notdir $1)))
NUMBERS := $(foreach c,$(CHAPTERS),$(call number,$c))
LIB := $(OUT)/libcommon.a
# Archives of the chapters' own sources, the newest chapter first.
CHAPTER_LIBS :=

##@ Chapters ----------------------------------------------------------------------------------------------------------

## chapterNN: build one chapter: build/chapter00, or build/debug/chapter00 with BUILD=debug
## run-chapterNN: build and run it; ARGS="train --help" hands it arguments
# A chapter is its main.cpp, an archive of its other sources, the archives of the chapters before it, and common/.
define chapter_rules
ifneq ($(filter-out $2/main.cpp,$(wildcard $2/*.cpp)),)
CHAPTER_LIBS := $(OUT)/libchapter$1.a $$(CHAPTER_LIBS)
$(OUT)/libchapter$1.a: $(call obj,$(filter-out $2/main.cpp,$(wildcard $2/*.cpp)))
endif
LIBS_chapter$1 := $$(CHAPTER_LIBS)
$(OUT)/chapter$1: $(call obj,$2/main.cpp) $$(LIBS_chapter$1) $(LIB)
.PHONY: chapter$1 run-chapter$1
chapter$1: $(OUT)/chapter$1
	$(if $(filter build/$(DEFAULT_BUILD),$(OUT)),@ln -sfn $(DEFAULT_BUILD)/chapter$1 build/chapter$1,@:)
run-chapter$1: chapter$1
	$(Q)$(OUT)/chapter$1 $$(ARGS)
endef
$(foreach c,$(CHAPTERS),$(eval $(call chapter_rules,$(call number,$c),$c)))

## chapters: build all of them
chapters: $(NUMBERS:%=chapter%)

## exercise-NN-K: compile exercise K of chapter NN with your changes, and check it
EXERCISE_PROGRAMS := $(patsubst %.cpp,$(OUT)/%,$(EXERCISES) $(SOLUTIONS))
define exercise_rules
.PHONY: exercise-$1
exercise-$1: $(OUT)/$(2:.cpp=)
	$(Q)$$<
endef
$(foreach e,$(EXERCISES),$(eval $(call exercise_rules,$(call number,$(word 2,$(subst /, ,$e)))-$(call number,$e),$e)))

## data: fetch the data sets of all chapters (each chapter fetches its own when it needs it)
data:
	$(Q)for script in $(filter-out data/fetch.sh,$(wildcard data/*.sh)); do DATA_ALL=1 $$script || exit 1; done

##@ Tests and measurements --------------------------------------------------------------------------------------------

## test: build and run all tests; ARGS="[grad]" picks by tag, SUITES="core ops" by folder
test: test-unit chapters
	$(Q)$(MAKE) test-scripts

# One program per folder of tests. Those of a folder of common/ need no chapter, a chapter's none that comes after it.
LIBS_golden := $(LIBS_chapter00)
SUITE_PROGRAMS := $(patsubst %,$(OUT)/test-%,$(filter-out $(NO_SUITES),$(SUITES)))
define suite_rules
$(OUT)/test-$1: $(call obj,$(filter tests/$1/% tests/support/%,$(TESTS))) $(if $(wildcard common/$1),,$(or $(LIBS_$1),$(CHAPTER_LIBS))) $(LIB)
endef
$(foreach s,$(filter-out $(NO_SUITES),$(SUITES)),$(eval $(call suite_rules,$s)))
# Version 3 of Catch2 has an archive, version 2 has none; looked up when linking, because `setup` may have installed it.
$(SUITE_PROGRAMS): private LIBS = $(firstword $(wildcard $(addsuffix /libCatch2.a,.deps/lib /usr/local/lib /usr/lib/*)))
# Catch2 itself takes half a minute to optimise or to instrument, and gains nothing.
$(OUT)/tests/support/main.o: private OPTIMISE := -O0

## all: build chapters, tests and benchmarks, run nothing
all: chapters benches $(SUITE_PROGRAMS)

## test-unit: only the Catch2 tests
test-unit: $(SUITE_PROGRAMS)
	@for suite in $(filter $(NO_SUITES),$(SUITES)); do echo "  skip  $$suite: BUILD=$(BUILD) emulates no CUDA, BUILD=host does"; done
	$(Q)tests/run.sh $(BUILD) $(SUITE_PROGRAMS) -- $(ARGS)

## test-scripts: only the shell tests (command lines, data scripts, the checkers themselves)
# A chapter's scripts run that chapter, the others whatever they like.
SCRIPTS_NEED = $(foreach s,$(SCRIPTS),$(if $(filter %/test_ladder.sh,$s),$(filter %/ladder,$(BENCHES)), \
               $(or $(filter chapter%,$(word 2,$(subst /, ,$s))),chapters)))
test-scripts: $(sort $(SCRIPTS_NEED))
	$(Q)GPT_BUILD_DIR=$(OUT) tests/run.sh scripts $(SCRIPTS)

## exercises-check: every untouched exercise fails, every solution passes
exercises-check: $(EXERCISE_PROGRAMS)
	$(Q)tests/exercises/run.sh $(OUT)

## fuzz: throw damaged files at the readers, FUZZ_SECONDS=30 for each
fuzz: setup
	$(Q)CXX='$(CXX)' FUZZ_SECONDS='$(FUZZ_SECONDS)' tests/fuzz/run.sh
fuzzers: $(FUZZERS)
# The folder that these settings build into, for scripts.
where:
	@echo $(OUT)

## check: all that must hold before a change goes in, sanitizers included: about half an hour on two cores
check: setup
	+$(Q)CXX='$(CXX)' tools/check

## bench: build the benchmarks and measure this machine
bench: benches chapters
	$(Q)GPT_BUILD_DIR=$(OUT) tests/bench/run.sh $(ARGS)

## bench-01: chapter 01's tokenizer against the ones that can be installed; ARGS="--only encode,worst"
bench-01: $(OUT)/bench/bpe
	$(Q)GPT_BUILD_DIR=$(OUT) python3 tests/bench/tokenizer.py $(ARGS)

## proof: one table of what the tests compare, on both devices, sanitizers included (docs/numbers/proof.md; ten minutes)
proof: setup
	$(Q)tools/proof

## gpu-check: with a GPU: build, test, sanitize, time; STAGES="build test" picks (docs/gpu/README.md)
STAGES ?=
PARTS ?=
MINUTES ?= 8
gpu-check:
	$(Q)tools/gpu-check $(STAGES) --parts '$(PARTS)' --minutes '$(MINUTES)'
.PHONY: gpu-check

## benches: only build them, as build/BUILD/bench/NAME
benches: $(BENCHES)

## numbers: regenerate every table, curve and sample that README and notes show
numbers: chapters benches
	$(Q)tools/numbers $(or $(ARGS),all)

## numbers-check: run the small ones again and fail where a tracked number differs
numbers-check: chapters
	$(Q)tools/numbers check

##@ The repository ----------------------------------------------------------------------------------------------------

ALL_CODE := find common chapters tests -name '*.cpp' -o -name '*.h' -o -name '*.cu' -o -name '*.cuh'

## format: rewrite the sources as clang-format 14 wants them
format:
	$(Q)$(ALL_CODE) | xargs clang-format -i

## format-check: fail where it would change something
format-check:
	$(Q)$(ALL_CODE) | xargs clang-format --dry-run -Werror

## lint: layers, ASCII, paths (the head of tools/lint has the rules)
lint:
	$(Q)tools/lint

## tidy: clang-tidy over all sources (needs clang-tidy; takes minutes)
tidy: $(SOURCES:%=tidy/%)
tidy/%: setup
	$(call say,tidy,$*)
	$(Q)clang-tidy --quiet $* -- $(FLAGS) 2>/dev/null

## nvcc-check: BUILD=cuda as far as it goes without a GPU: kernels for sm_80 and sm_90, bf16, fp32 and debug; chapter00 links; registers
NVCC_ARCHS ?= 80 90
NVCC_CHECK = +$(Q)$(MAKE) BUILD=cuda CUDA_ARCH='$(NVCC_ARCHS)'
ifeq ($(HAS_NVCC),)
nvcc-check:
	@echo 'skipped: $(NVCC) is not here (NVCC=/path/to/nvcc)'
else
nvcc-check: nvcc-objects
	$(Q)NVCC='$(NVCC)' tools/registers --check
## registers: write anew how many registers each kernel needs and what it spills: docs/gpu/registers.md
registers: nvcc-objects
	$(Q)NVCC='$(NVCC)' tools/registers
# What the architectures are handled differently for, tensor cores and asynchronous copies, is bf16; debug differs where a
# kernel checks what it reads.
nvcc-objects:
	$(NVCC_CHECK) PRECISION=bf16 OUT=build/nvcc-bf16 OPTIMISE_cuda=-O0 kernels chapter00
	$(NVCC_CHECK) PRECISION=fp32 OUT=build/nvcc-fp32 CUDA_ARCH=$(lastword $(NVCC_ARCHS)) kernels
	$(NVCC_CHECK) PRECISION=bf16 OUT=build/nvcc-debug CUDA_ARCH=$(lastword $(NVCC_ARCHS)) NVCC_AS=-ptx CXXFLAGS=-DGPT_DEBUG \
	    $(patsubst %.cu,build/nvcc-debug/%.o,$(shell grep -l KERNEL_DCHECK $(CUDA)))
endif

## kernels: only compile the CUDA kernels, for BUILD
kernels: $(call obj,$(CUDA) $(LADDER))

## notes-check: paths, symbols, quoted code and links in the notes are true
notes-check:
	$(Q)tools/notes-check

## deps: name what this machine lacks, and install it (tools/deps --help)
deps:
	@CXX='$(CXX)' tools/deps

## clean: remove build/ (data and runs stay)
clean:
	rm -rf build

## help: this list
help:
	@awk '/^##@/ { sub(/ -+$$/, ""); printf "\n%s\n", substr($$0, 5) } \
	      /^## / { i = index($$0, ": "); printf "  make %-16s %s\n", substr($$0, 4, i - 4), substr($$0, i + 2) }' Makefile
	@echo; echo 'Variables: BUILD=cpu|cuda|host|debug|asan|tsan (default here: $(DEFAULT_BUILD)), PRECISION=fp32|bf16, MARCH=$(MARCH),'
	@echo '           CUDA_ARCH=$(CUDA_ARCH), CXX=$(CXX), ARGS=..., V=1 shows the commands'
	@echo "Found: $$($(CXX) --version 2>/dev/null | head -1 || true); chapters $(NUMBERS)"
	@echo '       $(if $(HAS_NVCC),nvcc $(shell $(NVCC) --version | sed -n 's/.*release \([0-9.]*\).*/\1/p') ($(HAS_NVCC)),no nvcc: BUILD=cuda wants the CUDA Toolkit); $(if $(GPU_ARCHS),GPU of architecture $(GPU_ARCHS:%=sm_%),no GPU$(if $(HAS_NVCC),: BUILD=cuda wants CUDA_ARCH))'

# ---- Rules ----------------------------------------------------------------------------------------------------------

# Runs before anything is compiled; quick when nothing is missing.
setup:
	@CXX='$(CXX)' tools/deps --quiet

# Two stamps that change only when their content does: compiler, flags and CPU (all is recompiled), and the list of
# sources (archives and programs are linked again, so that nothing of a deleted file stays in them).
stamp = @mkdir -p $(@D); { $1; } >$@.new; cmp -s $@.new $@ && rm $@.new || mv $@.new $@
$(OUT)/flags: setup
	$(call stamp,echo '$(FLAGS_STAMP)'; $(CXX) --version | head -1; $(if $(filter cuda,$(BUILD)),$(NVCC) --version | tail -1;) grep -m1 -s ^flags /proc/cpuinfo)
$(OUT)/sources: setup
	$(call stamp,echo '$(SOURCES)')

# Tests compile for longer than they run. Most of what each reads is Catch2, which is compiled once, ahead of them
# (catch.h.gch: GCC and clang take it in place of catch.h), and -O3 is for what is tested.
CATCH := $(OUT)/tests/catch.h
TEST_OBJECTS := $(call obj,$(filter $(SUITES:%=tests/%/%),$(TESTS)))
$(CATCH).gch $(TEST_OBJECTS): private FLAGS += $(if $(filter cpu host cuda,$(BUILD)),-O1)
$(CATCH).gch: tests/support/catch.h $(OUT)/flags
	$(call say,c++,$<)
	@mkdir -p $(@D)
	@echo '#include "$<"' >$(CATCH)
	$(Q)$(CXX) $(FLAGS) -MMD -MP -x c++-header $(CATCH) -o $@
-include $(CATCH).d
WITH_CATCH := $(filter-out %/test_simd.o,$(TEST_OBJECTS))
$(WITH_CATCH): $(CATCH).gch
$(WITH_CATCH): private FLAGS += -include $(CATCH)
# Of vectors, the tests compile the header itself.
$(OUT)/tests/kernels/test_simd.o: private FLAGS += $(if $(filter cpu host cuda,$(BUILD)),-O2)
# Under a sanitizer everything compiles for longer than it runs; what loops over numbers and bytes is worth optimising there.
ifneq ($(SANITIZED),)
$(foreach f,common/core common/kernels common/cuda_on_host chapters/01_bpe,$(OUT)/$f/%.o): private FLAGS += -O1
$(OUT)/chapters/01_bpe/vocabulary_files.o: private FLAGS += -O0  # nlohmann/json: a third of that chapter's time
endif
# libFuzzer watches which branches the readers of files take.
ifeq ($(BUILD),fuzz)
$(foreach f,common/io/ chapters/01_bpe/ chapters/02_small_gpt/json_ tests/fuzz/,$(OUT)/$f%.o): private FLAGS += -fsanitize=fuzzer-no-link
endif
# GCC fuses a * b + c by itself; clang needs to be told. Between the two a sanitizer puts its checks, and then some copies of
# an inlined loop would be fused and others not: there none is, but for simd.h's multiply_add, which is one instruction in
# every build.
$(OUT)/common/kernels/cpu/%.o: private FLAGS += -ffp-contract=$(if $(SANITIZED),off,fast)
# What the kernels are compiled for: a card without is refused in one line.
$(OUT)/common/core/cuda_card.o: private FLAGS += $(if $(filter cuda,$(BUILD)),-DGPT_CUDA_ARCHS=$(subst $(SPACE),$(COMMA),$(ARCHS:%a=%)))
# An exercise that is not solved yet may have unused variables.
$(EXERCISE_PROGRAMS:%=%.o): private WARN += -Wno-unused -Wno-unused-parameter

$(OUT)/%.o: %.cpp $(OUT)/flags
	$(call say,c++,$<)
	@mkdir -p $(@D)
	$(Q)$(CXX) $(FLAGS) -MMD -MP -c $< -o $@

# What nvcc reads as CUDA, every C++ compiler reads as C++. nvcc's notes about registers go into a file beside the object.
ifeq ($(BUILD),cuda)
$(OUT)/%.o: %.cu $(OUT)/flags
	$(call say,nvcc,$< $(ARCHS:%=sm_%) $(PRECISION))
	@mkdir -p $(@D)
	$(Q)$(NVCC) $(NVCC_FLAGS) -MMD -MP $(NVCC_AS) $< -o $@ >$(@:.o=.ptxas) 2>&1 || { grep -v '^ptxas info' $(@:.o=.ptxas) >&2; exit 1; }
else
$(OUT)/%.o: %.cu $(OUT)/flags
	$(call say,cu,$<)
	@mkdir -p $(@D)
	$(Q)$(CXX) $(FLAGS) -Wno-unknown-pragmas -MMD -MP -x c++ -c $< -o $@
endif

$(LIB): $(call obj,$(COMMON))
%.a: $(OUT)/sources
	$(call say,ar,$@)
	$(Q)rm -f $@; ar rcs $@ $(filter %.o,$^)

$(EXERCISE_PROGRAMS): $(OUT)/%: $(OUT)/%.o $(CHAPTER_LIBS) $(LIB)
$(OUT)/bench/ladder: $(call obj,$(LADDER))
$(filter-out %/ladder,$(BENCHES)): $(CHAPTER_LIBS)
$(BENCHES): $(OUT)/bench/%: $(OUT)/tests/bench/%.o $(LIB)
# libFuzzer brings its own main; without it (g++), ours replays files and damages them.
$(FUZZERS): $(OUT)/fuzz/%: $(OUT)/tests/fuzz/%.o $(CHAPTER_LIBS) $(LIB)
ifeq ($(BUILD),fuzz)
$(FUZZERS): private LIBS := -fsanitize=fuzzer
else
$(FUZZERS): $(OUT)/tests/fuzz/standalone/main.o
endif

$(NUMBERS:%=$(OUT)/chapter%) $(SUITE_PROGRAMS) $(EXERCISE_PROGRAMS) $(BENCHES) $(FUZZERS): $(OUT)/sources
	$(call say,link,$@)
	@mkdir -p $(@D)
	$(Q)$(LINK)

.SECONDARY:
.PHONY: all chapters data test test-unit test-scripts exercises-check fuzz fuzzers where check bench bench-01 proof benches
.PHONY: numbers numbers-check
.PHONY: format format-check lint tidy notes-check nvcc-check nvcc-objects registers kernels deps clean help setup
-include $(addsuffix .d,$(addprefix $(OUT)/,$(basename $(SOURCES))))
