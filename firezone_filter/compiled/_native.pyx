# cython: language_level=3, wraparound=False, nonecheck=True, binding=False, auto_pickle=False
"""The compiled twins of what the package does to bytes and tables (see `twins`).

Each part has its plain twin in the module that it names. It needs the GIL: on a free-threaded
build importing it turns the GIL on.
"""

include "packet.pxi"
include "tracking.pxi"
include "access.pxi"
include "lookup.pxi"
include "capture.pxi"
include "columns.pxi"
include "owners.pxi"


def supply(dict ours):
    """Take functions and classes of the package by name; this module imports none itself."""
    globals().update(ours)


cdef extern from "Python.h":
    ctypedef struct PyMethodDef:
        const char* ml_doc

    ctypedef struct PyMethodDescrObject:
        PyMethodDef* d_method


cdef list _texts = []


def document(method, bytes text not None):
    """Set the docstring of a method of this module, which is written once, in Python.

    (A function that Cython binds could have it set, but takes 8 to 20 ns more for each call.)
    """
    if type(method) is not type(str.join):
        raise TypeError(f"{method!r} is not a method of this module")
    _texts.append(text)  # the method keeps no reference
    (<PyMethodDescrObject*> method).d_method.ml_doc = text
