# Builds src/main.zig and the SDK into build/$(NAME).wasm.
#
# zig is taken from where toolchain.sh puts it, or else from the PATH.

TOOLCHAINS := $(or $(LANTERN_TOOLCHAINS),$(HOME)/.cache/lantern-toolchains)
ZIG := $(firstword $(wildcard $(TOOLCHAINS)/zig/ziglang/zig) zig)

# ReleaseSafe: an integer that overflows panics, so a sum in a row is exact or refused.
build/$(NAME).wasm: $(wildcard src/*.zig $(SDK)/*.zig) $(MAKEFILE_LIST)
	@mkdir -p build
	$(ZIG) build-exe -target wasm32-freestanding -O ReleaseSafe -fstrip -fno-entry -rdynamic --stack 1048576 \
		--dep lantern --dep plugin -Mroot=$(SDK)/root.zig -Mlantern=$(SDK)/lantern.zig \
		--dep lantern -Mplugin=src/main.zig --cache-dir build/cache -femit-bin=$@

clean:
	rm -rf build
.PHONY: clean
