"""From any error to the one line that the user sees."""

import os
from collections.abc import Iterator


def describe(error: BaseException) -> str:
    """Return an error as one line.

    Errors that OpenHop raises for its user speak for themselves; one that nobody foresaw is named
    with its type, since it is a fault of OpenHop.
    """
    message = " ".join(_message(error).split())
    if hasattr(error, "format_message") or isinstance(error, _foreseen()):
        return message or type(error).__name__
    return (
        f"internal error, please report it: {type(error).__name__}: {message} "
        "(OPENHOP_TRACEBACK=1 shows where)"
    )


def wants_traceback() -> bool:
    """Whether the user asked for tracebacks instead of lines."""
    return bool(os.environ.get("OPENHOP_TRACEBACK"))


def _message(error: BaseException) -> str:
    if hasattr(error, "format_message"):  # the command line's own: unknown options and the like
        return error.format_message()  # type: ignore[attr-defined]
    if isinstance(error, MemoryError):
        return "not enough memory"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)


def _foreseen() -> tuple[type[BaseException], ...]:
    """Return the types of errors whose text is meant for the user."""
    return (OSError, MemoryError, *_of_the_rooms())


def _of_the_rooms() -> Iterator[type[BaseException]]:
    # Imported late: the command line starts without these rooms.
    from compiler.errors import CompileError
    from fpga.devices import DeviceError
    from fpga.tools import SynthError
    from golden.formats import FormatError
    from golden.mover import MoverError
    from golden.network import NetworkError
    from golden.params import BuildError
    from golden.segment import MapError
    from openhop.fetching import FetchError
    from openhop.layer_table import TableError
    from sim.streams import SimulationError

    yield from (
        BuildError,
        CompileError,
        DeviceError,
        FetchError,
        FormatError,
        MapError,
        MoverError,
        NetworkError,
        SimulationError,
        SynthError,
        TableError,
    )
