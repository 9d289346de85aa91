# Needs a C compiler and GNU make. CC, CFLAGS, LDFLAGS and LDLIBS can be given on the command line or in the environment.
#
#   make            the command line program, build/facemorph
#   make demo       makes two sample heads, morphs them, says where the pictures are
#   make test       builds and runs the tests (make -j2 test builds them in parallel)
#   make verify     checks against other programs and the data in ../shared, as far as they are there
#   make lib        build/libfacemorph.a          make shared     build/libfacemorph.so
#   make bench      what each part costs, beside the other programs that are installed; BENCH="--only JOB --csv FILE ..."
#   make bench-chart     measures; draws the README's chart, examples/performance.png, and prints its table
#   make contact-sheet   draws the README's picture again, examples/contact_sheet.png
#   make clean      removes build/

CFLAGS ?= -O2
LDLIBS ?= -lm -pthread

# The tests hold the library each: -O1 compiles them fast enough and still finds what optimisation breaks.
TEST_CFLAGS ?= -O1 -g

CLI_SOURCES = $(wildcard examples/facemorph/*.c)
TESTS = $(patsubst tests/%.c,build/tests/%,$(sort $(wildcard tests/test_*.c)))
DEMO_HEADS = build/sample_heads/head_a.obj build/sample_heads/head_b.obj

all: build/facemorph

build/facemorph.o: examples/facemorph/facemorph_impl.c facemorph.h
	@mkdir -p build
	$(CC) $(CFLAGS) -I. -c examples/facemorph/facemorph_impl.c -o $@

build/facemorph: $(CLI_SOURCES) examples/facemorph/cli.h build/facemorph.o
	$(CC) $(CFLAGS) $(LDFLAGS) -I. $(filter-out %_impl.c,$(CLI_SOURCES)) build/facemorph.o -o $@ $(LDLIBS)

build/make_heads build/contact_sheet build/bench_chart: build/%: tools/%.c facemorph.h
	@mkdir -p build
	$(CC) $(CFLAGS) $(LDFLAGS) -I. $< -o $@ $(LDLIBS)

build/sample_heads/made: build/make_heads
	@mkdir -p build/sample_heads
	build/make_heads build/sample_heads
	@touch $@

demo: build/facemorph build/sample_heads/made
	@rm -rf build/demo
	build/facemorph morph $(DEMO_HEADS) -o build/demo --run demo
	@echo "The demo's pictures are in $(CURDIR)/build/demo/demo/head_a_head_b/png"

contact-sheet: build/contact_sheet build/sample_heads/made
	build/contact_sheet $(DEMO_HEADS) examples/contact_sheet.png

# Kernels are compiled for every instruction set where a test is about them; elsewhere for the lowest ones, in half the time.
KERNEL_TESTS = $(addprefix build/tests/test_,golden hashes images inflate jpeg lanes png pyramid rasterizer renderer writers)
$(filter-out $(KERNEL_TESTS),$(TESTS)): TEST_LEVELS = -DFACEMORPH_MAX_SIMD=1

build/tests/%: tests/%.c $(wildcard tests/*.h) facemorph.h
	@mkdir -p build/tests
	$(CC) $(TEST_CFLAGS) $(TEST_LEVELS) $(LDFLAGS) -I. $< -o $@ $(LDLIBS)

test: all $(TESTS)
	@CC='$(CC)' sh tests/run.sh $(TESTS)

verify: all build/sample_heads/made
	@CC='$(CC)' sh tools/verify

# Which peers are installed is looked up each time; build/bench is made again when that has changed.
build/bench.flags: FORCE
	@mkdir -p build
	@CC='$(CC)' CXX='$(CXX)' CFLAGS='$(CFLAGS)' LDFLAGS='$(LDFLAGS)' sh tools/bench_peers build >$@.new
	@cmp -s $@.new $@ || cp $@.new $@

build/bench: tools/bench.c tools/bench.h tools/bench_osmesa.c tools/bench_tinyobj.cpp build/bench.flags facemorph.h
	$(CC) $(CFLAGS) $(LDFLAGS) -I. $< -o $@ $$(cat build/bench.flags) $(LDLIBS)

BENCH_INPUT = $(if $(wildcard ../shared/data/ict),,build/sample_heads/made)

bench: build/bench $(BENCH_INPUT)
	build/bench $(BENCH)

# What the chart shows; measured again when the library or the installed peers have changed, or where the file is gone.
build/bench.csv: build/bench | $(BENCH_INPUT)
	build/bench $(BENCH) --csv $@.new >build/bench.txt || { cat build/bench.txt; exit 1; }
	@mv $@.new $@

bench-chart: build/bench_chart build/bench.csv
	build/bench_chart build/bench.csv build/bench.txt examples/performance.png

lib: build/facemorph.o
	rm -f build/libfacemorph.a
	ar rcs build/libfacemorph.a build/facemorph.o

shared:
	@mkdir -p build
	$(CC) $(CFLAGS) -fPIC -shared $(LDFLAGS) -I. examples/facemorph/facemorph_impl.c -o build/libfacemorph.so $(LDLIBS)

clean:
	rm -rf build

.PHONY: all demo contact-sheet test verify bench bench-chart lib shared clean FORCE
