"""What a script uses: ``from kleio.client import Experiment, kleio_logger, output_dir, plot``.

Each is loaded when it is first asked for. ``output_dir`` is a directory that is made at that moment.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kleio.client.experiment import Experiment
    from kleio.client.logger import kleio_logger
    from kleio.client.outputs import OutputDirectory
    from kleio.client.plotting import plot

    output_dir: OutputDirectory

__all__ = ["Experiment", "kleio_logger", "output_dir", "plot"]

_MODULES = {"Experiment": "experiment", "kleio_logger": "logger", "output_dir": "outputs", "plot": "plotting"}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    if name != "output_dir":  # which is another in another trial
        globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Without ``output_dir``: whoever looks at every name, as ``help`` does, shall not make a directory."""
    return sorted({*globals(), *__all__} - {"output_dir"})
