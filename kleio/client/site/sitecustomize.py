# The start-up hook: the first sitecustomize that a Python under kleio finds, whatever its version. It takes itself out of the
# way, begins recording where kleio is installed, and runs the sitecustomize that would have been found without it.
import os
import sys

_here = os.path.dirname(os.path.abspath(__file__))
sys.path[:] = [_place for _place in sys.path if _place != _here]
sys.path_importer_cache.pop(_here, None)

if os.environ.get("KLEIO_SPOOL") and sys.version_info >= (3, 10):
    try:
        from kleio.client import startup as _startup

        _startup.begin()
    except Exception:  # a Python without kleio, or with another one, is left alone
        pass

# Where there is no other, this raises just the error that site expects and passes over.
del sys.modules["sitecustomize"]
import sitecustomize  # noqa: E402, F401
