# Builds src/*.cpp and the SDK into build/$(NAME).wasm, with the compiler that c/plugin.mk finds, which also has the rules.

CPP_SDK := $(SDK)
SDK := $(CPP_SDK)/c
COMPILER_CPP = $(patsubst cc,c++,$(patsubst clang%,clang++%,$(COMPILER)))
LINKER = $(COMPILER_CPP)
OBJECTS := $(patsubst src/%.cpp,build/%.o,$(wildcard src/*.cpp))
include $(SDK)/plugin.mk

build/%.o: src/%.cpp $(wildcard src/*.hpp $(SDK)/*.h) $(CPP_SDK)/lantern.hpp $(MAKEFILE_LIST)
	@mkdir -p build
	$(COMPILER_CPP) $(patsubst -std=%,-std=c++23,$(CFLAGS)) -fno-exceptions -fno-rtti -I $(CPP_SDK) -I $(SDK) -c $< -o $@
