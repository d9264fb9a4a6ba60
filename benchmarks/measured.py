"""`python -m benchmarks.measured MODULE ARGUMENT`: a measured process; see `protocol`."""

import importlib
import sys

from benchmarks.protocol import serve

if __name__ == "__main__":
    module, argument = sys.argv[1:]
    serve(importlib.import_module(module).prepare, argument)
