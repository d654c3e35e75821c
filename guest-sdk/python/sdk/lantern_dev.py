"""The plugin of `lantern dev`: it reads the author's module from standard input, so that a save needs no build."""

import importlib
import linecache
import os
import sys
import traceback
import types

import datetime  # noqa: F401  There are no files once the plugin runs: what may be imported then, must be in it.
import decimal  # noqa: F401

from lantern import Projection


class Source:
    """The projection of the module that is on standard input."""

    def __init__(self, module: str):
        self._module = module
        self._projection: Projection | None = None
        try:
            importlib.import_module(module)  # and so what it imports
        except Exception:
            pass  # comes up again when the plugin runs

    def describe(self):
        try:
            return self._loaded().describe()
        except Exception as bug:
            start = bug.__traceback__
            while start and start.tb_frame.f_code.co_filename == __file__:
                start = start.tb_next
            traceback.print_exception(type(bug), bug, start)
            os._exit(1)

    def apply(self, batch):
        return self._loaded().apply(batch)

    def _loaded(self) -> Projection:
        if self._projection is None:
            text = b"".join(iter(lambda: os.read(0, 65536), b"")).decode()
            path = f"{self._module}.py"
            linecache.cache[path] = (len(text), None, text.splitlines(True), path)
            module = sys.modules[self._module] = types.ModuleType(self._module)
            try:
                exec(compile(text, path, "exec"), module.__dict__)
            except ImportError as error:
                error.add_note("If it is new to this run of `lantern dev`, start `lantern dev` again.")
                raise
            self._projection = module.projection
        return self._projection
