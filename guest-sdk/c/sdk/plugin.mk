# Builds src/*.c and the SDK into build/$(NAME).wasm.
#
# The compiler is zig, found where toolchain.sh puts it or on the PATH, or else clang with wasi-libc;
# yyjson is where toolchain.sh puts it, or in YYJSON_FOLDER.
# `make COMPILER='clang-22 -Wno-deprecated --target=wasm32-wasi'` takes another.

COMMA := ,
TOOLCHAINS := $(or $(LANTERN_TOOLCHAINS),$(HOME)/.cache/lantern-toolchains)
YYJSON_FOLDER ?= $(TOOLCHAINS)/yyjson
ZIG := $(firstword $(wildcard $(TOOLCHAINS)/zig/ziglang/zig) $(shell command -v zig))
CLANG := $(lastword clang $(sort $(notdir $(wildcard /usr/bin/clang-[1-9][0-9]))))
COMPILER := $(if $(ZIG),$(ZIG) cc,$(CLANG) -Wno-deprecated) --target=wasm32-wasi
LINKER ?= $(COMPILER)
STACK := $(if $(filter %zig,$(firstword $(COMPILER))),-Wl$(COMMA)--stack$(COMMA),-Wl$(COMMA)-zstack-size=)1048576

# An integer that overflows traps: a sum in a row is exact or refused. So does a failed `assert`, which zig turns off.
CFLAGS := -std=c23 -O2 -UNDEBUG -Wall -Wextra -Wno-missing-field-initializers \
	-fsanitize=signed-integer-overflow -fsanitize-trap=signed-integer-overflow
YYJSON := -DYYJSON_DISABLE_WRITER=1 -DYYJSON_DISABLE_FILE=1 -DYYJSON_DISABLE_UTILS=1 -DYYJSON_DISABLE_INCR_READER=1 \
	-DYYJSON_DISABLE_NON_STANDARD=1

OBJECTS += $(patsubst src/%.c,build/%.o,$(wildcard src/*.c)) \
	$(patsubst $(SDK)/%.c,build/sdk/%.o,$(wildcard $(SDK)/*.c)) build/sdk/yyjson.o
INPUTS := $(wildcard src/*.h $(SDK)/*.h) $(MAKEFILE_LIST)
COMPILE = @mkdir -p $(@D) && $(COMPILER) $(CFLAGS) $(YYJSON) -I $(SDK) -I $(YYJSON_FOLDER) -c $< -o $@

build/$(NAME).wasm: $(OBJECTS)
	$(LINKER) -mexec-model=reactor $(STACK) -s $^ -o $@
build/%.o: src/%.c $(INPUTS)
	$(COMPILE)
build/sdk/%.o: $(SDK)/%.c $(INPUTS)
	$(COMPILE)
build/sdk/yyjson.o: $(YYJSON_FOLDER)/yyjson.c
	$(COMPILE)

clean:
	rm -rf build
.PHONY: clean
