"""``python -m kleio`` is ``kleio``."""

from kleio.cli.main import main

main()
